"""Films of paths: several codes side by side, with still frames and a bar that shows the moment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from semanifold.images import media
from semanifold.images.films import save_film

FILMS, SUMMARIES = "paths_films", "paths_gifs"
"""Folders of one film a path: plain, and beside still frames."""
ROWS = 8
"""Codes that a film shows at most."""
SPACE, BAR, TRACK = 8, 10, (226, 226, 230)


class FilmGrid:
    """Films of several codes along one path, as one film: a row per code, still frames at its left, and a bar that shows ``t``.

    With stills it is WarpedGANSpace's summarising gif. A frame is made when it is asked for.
    """

    def __init__(self, films: Sequence[media.Frames], *, stills: int = 0, cell: int = 128, columns: int = 1) -> None:
        """Lay the film out.

        Args:
            films: one per code, all of one length.
            stills: still frames at the left of every row, evenly over the path; none in a grid.
            cell: longer side of every picture.
            columns: moving pictures per row, if there are no stills.
        """
        cell = media.readable(films[0][0], cell)
        self.films, self.cell, self.columns = films, cell, 1 if stills else min(columns, len(films))
        first = media.enlarge(films[0][0], cell)
        self.step = (first.width + SPACE, first.height + SPACE)
        places = media.evenly(len(films[0]), stills) if stills else []
        self.left = len(places) * self.step[0] + (SPACE if places else 0)
        rows = math.ceil(len(films) / self.columns)
        self.size = (self.left + self.columns * self.step[0] + SPACE, rows * self.step[1] + BAR + 2 * SPACE)
        self.ground = Image.new("RGB", self.size, media.WHITE)
        for row, film in enumerate(films if places else []):
            for column, place in enumerate(places):
                still = media.enlarge(film[place], cell)
                self.ground.paste(still, (SPACE + column * self.step[0], SPACE + row * self.step[1]))

    def __len__(self) -> int:
        return len(self.films[0])

    def __getitem__(self, index: int) -> media.Frame:
        frame = self.ground.copy()
        for i, film in enumerate(self.films):
            row, column = divmod(i, self.columns)
            place = (self.left + SPACE + column * self.step[0], SPACE + row * self.step[1])
            frame.paste(media.enlarge(film[index], self.cell), place)
        draw = ImageDraw.Draw(frame)
        left, right, top = SPACE, self.size[0] - SPACE - 1, self.size[1] - SPACE - BAR
        middle, reach = (left + right) / 2, (right - left) / 2
        draw.rectangle((left, top, right, top + BAR - 1), fill=TRACK)
        now = middle + reach * (2 * index / max(len(self) - 1, 1) - 1)
        draw.rectangle((min(now, middle), top, max(now, middle), top + BAR - 1), fill=media.ACCENT)
        draw.line((middle, top - 2, middle, top + BAR + 1), fill=media.INK)
        return np.asarray(frame)


def write_films(
    run_path: Path, name: str, films: Sequence[media.Frames], *, fps: float, cell: int | None, stills: int = 5
) -> None:
    """Write the films of one path: video and gif of all codes side by side, and the summarising gif with still frames.

    Args:
        run_path: folder of the traversal.
        name: such as ``path_003``.
        films: one per code; the first :data:`ROWS` are shown.
        fps: frames per second.
        cell: longer side of every picture, between 192 and 256 when None; two thirds of it in the summary.
        stills: still frames per row of the summary.
    """
    targets = [run_path / FILMS / f"{name}.mp4", run_path / FILMS / f"{name}.gif", run_path / SUMMARIES / f"{name}.gif"]
    if all(file.is_file() for file in targets):
        return
    for file in targets:
        file.parent.mkdir(exist_ok=True)
    cell = cell or int(min(max(*films[0][0].shape[:2], 192), 256))
    rows = [shrunk(film, cell, range(len(film))) for film in films[:ROWS]]
    grid = FilmGrid(rows, cell=cell, columns=media.even_columns(len(rows)))
    side = max(cell * 2 // 3, 1)  # the summary has as many pictures in a row as there are stills, and one more
    stills = media.fitting(rows[0][0], side, stills, beside=True)
    summary = FilmGrid([shrunk(row, side, range(len(row))) for row in rows], cell=side, stills=stills)
    if not targets[0].is_file():
        save_film(grid, targets[0], fps=fps, size=max(grid.size), ping_pong=True)
    if not targets[1].is_file():
        save_film(grid, targets[1], fps=fps, size=max(grid.size), ping_pong=True)
    if not targets[2].is_file():
        save_film(summary, targets[2], fps=fps, size=max(summary.size), ping_pong=True)


def shrunk(film: media.Frames, cell: int, places: Sequence[int]) -> list[media.Frame]:
    """Return frames of a film at the size of a cell, each read once."""
    return [np.asarray(media.enlarge(film[i], media.readable(film[i], cell))) for i in places]


def small_film(films: Sequence[media.Frames], path: Path, *, most: int = 11) -> None:
    """Write a gif of at most four codes side by side and a few frames, small enough to go into a page.

    Args:
        films: one per code.
        path: the file.
        most: frames one way.
    """
    places = media.evenly(len(films[0]), most)
    rows = [shrunk(film, 80, places) for film in films[:4]]
    strip = FilmGrid(rows, cell=80, columns=len(rows))
    save_film(strip, path, fps=10, size=max(strip.size), ping_pong=True)
