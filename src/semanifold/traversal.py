"""Traversals: paths walked both ways from the codes of a pool, as codes, pictures and films in a folder."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from safetensors.torch import save_file
from torch import Tensor

from semanifold import media
from semanifold.edits import Edit
from semanifold.errors import SemanifoldError
from semanifold.generators.base import Generator
from semanifold.latents import Latents
from semanifold.paths.base import PathSet
from semanifold.storage.files import PART, replacing
from semanifold.storage.runs import RECORD, read_record

FACTS = "traversal.json"
IMAGES, CODES, PUBLISHED_CODES, ORIGINAL = "paths_images", "codes.safetensors", "paths_latent_codes.pt", "original_image"
FILMS, SUMMARIES = "paths_films", "paths_gifs"
"""Folders of one film a path: plain, and beside still frames."""
ROWS = 8
"""Codes that a film shows at most."""
SPACE, BAR, TRACK = 8, 10, (226, 226, 230)


def moments(count: int, leap: int = 1) -> Tensor:
    """Return the values of ``t`` that are kept, ``2 floor(count / leap) + 1`` of them, with 0 in the middle, as float64.

    Args:
        count: Euler steps from ``t = 0`` to ``t = 1``.
        leap: every how many steps a frame is kept, counted from ``t = 0``.
    """
    if count < 1 or not 1 <= leap <= count:
        raise SemanifoldError(f"A path of at least 1 step keeps every 1st to last of them, but every {leap}th of {count} came.")
    return torch.arange(-(count // leap), count // leap + 1, dtype=torch.float64) * leap / count


def fingerprint_of(paths: PathSet) -> str:
    """Return sixteen hexadecimal digits that name what a set's paths are, whatever they are called: a SHA-256."""
    info = paths.info
    digest = hashlib.sha256(json.dumps([paths.kind, paths.options(), info.space, info.layers], default=str).encode())
    for key, value in sorted(paths.state_dict().items()):
        digest.update(f"{key}{tuple(value.shape)}".encode())
        digest.update(value.detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def walk(edit: Edit, generator: Generator, code: Latents, t: Tensor, *, batch: int = 8) -> Iterator[tuple[Latents, Tensor]]:
    """Yield the codes of a path and their pictures ``[n, c, h, w]``, a few frames at a time.

    The pictures are those of exactly these codes. (The published traversal adds the last shift a second time before it renders,
    so that every picture but the middle one lies a step farther out than the code that is saved with it.)

    Args:
        edit: a path.
        generator: makes the pictures.
        code: one code.
        t: the moments ``[n]``.
        batch: frames at a time.
    """
    with torch.no_grad():
        for part in t.to(code.values.device).split(batch):
            yield edit.latents(code, part), edit.images(generator, code, part)


@dataclass(frozen=True)
class PictureFiles:
    """The pictures of one path in a folder, read when they are asked for.

    Attributes:
        folder: of ``000000.png`` and so on (or ``.jpg``).
    """

    folder: Path

    @cached_property
    def files(self) -> list[Path]:
        """The files in their order."""
        return sorted(p for p in self.folder.glob("[0-9]*") if p.suffix in (".png", ".jpg"))

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> media.Frame:
        try:
            with Image.open(self.files[index]) as picture:
                return np.asarray(picture.convert("RGB"))
        except OSError as error:
            raise SemanifoldError(f"The picture {self.files[index]} is damaged ({error}); walk its path again.") from error

    def tensor(self, rows: slice, channels: int = 3) -> Tensor:
        """Return pictures ``[n, channels, h, w]`` in [-1, 1], as a generator makes them, of 8 bits each."""
        levels = np.stack([self[i] for i in range(len(self))[rows]])
        return torch.from_numpy(levels).permute(0, 3, 1, 2)[:, :channels].float() / 127.5 - 1


def write_path(place: Path, frames: Iterator[tuple[Latents, Tensor]], jpeg: int | None = None) -> None:
    """Write the pictures of one path into a folder that appears when all of them are there.

    Args:
        place: the folder, such as ``<code>/paths_images/path_003``; nothing is done where it exists.
        frames: what :func:`walk` yields.
        jpeg: quality of JPEG files, 1 to 95; PNG, without loss, when None.
    """
    if place.is_dir():
        return
    part = place.with_name(place.name + PART)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        number = 0
        for _, pictures in frames:
            for frame in media.to_uint8(pictures):
                save_picture(frame, part / f"{number:06d}", jpeg)
                number += 1
        part.rename(place)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def save_picture(frame: media.Frame, stem: Path, jpeg: int | None) -> Path:
    """Write one picture as ``<stem>.png`` without loss, or as ``<stem>.jpg`` of a quality."""
    file = stem.with_name(stem.name + (".png" if jpeg is None else ".jpg"))
    with replacing(file) as part:
        if jpeg is None:
            Image.fromarray(frame).save(part, format="PNG", compress_level=1)  # a third of the time, hardly larger
        else:
            Image.fromarray(frame).save(part, format="JPEG", quality=jpeg, subsampling=0)
    return file


def write_codes(folder: Path, edits: Sequence[Edit], code: Latents, t: Tensor, *, batch: int = 8) -> None:
    """Write the codes of all paths from one code, ``[K, T, ...]``, as safetensors and as WarpedGANSpace's plain tensor.

    They are computed in the batches of :func:`walk`, so that they are the codes of the pictures to the last bit.

    Args:
        folder: of the code.
        edits: K paths.
        code: one code.
        t: T moments.
        batch: as it was in :func:`walk`.
    """
    if (folder / CODES).is_file() and (folder / PUBLISHED_CODES).is_file():
        return
    with torch.no_grad():
        parts = t.to(code.values.device).split(batch)
        rows = [torch.cat([edit.latents(code, part).values.cpu() for part in parts]) for edit in edits]
    codes = torch.stack(rows).float()
    with replacing(folder / CODES) as part:
        save_file({"codes": codes, "t": t.cpu()}, part, metadata={"space": code.space})
    buffer = io.BytesIO()  # torch's own file writer hides what the operating system says
    torch.save(codes, buffer)
    with replacing(folder / PUBLISHED_CODES) as part:
        part.write_bytes(buffer.getvalue())


class Film:
    """Films of several codes along one path, as one film: a row a code, still frames at its left, and a bar that shows ``t``.

    With stills it is WarpedGANSpace's summarising gif. A frame is made when it is asked for.
    """

    def __init__(self, films: Sequence[media.Frames], *, stills: int = 0, cell: int = 128, columns: int = 1) -> None:
        """Lay the film out.

        Args:
            films: one a code, all of one length.
            stills: still frames at the left of every row, evenly over the path; none in a grid.
            cell: longer side of every picture.
            columns: moving pictures a row, where there are no stills.
        """
        self.films, self.cell, self.columns = films, cell, 1 if stills else min(columns, len(films))
        first = media.enlarge(films[0][0], cell)
        self.step = (first.width + SPACE, first.height + SPACE)
        places = media.evenly(len(films[0]), stills) if stills else []
        self.left = len(places) * self.step[0] + (SPACE if places else 0)
        rows = math.ceil(len(films) / self.columns)
        self.size = (self.left + self.columns * self.step[0] + SPACE, rows * self.step[1] + BAR + 2 * SPACE)
        self.ground = Image.new("RGB", self.size, media.PAPER)
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
        films: one a code; the first :data:`ROWS` are shown.
        fps: frames a second.
        cell: longer side of every picture; between 96 and 256 when None.
        stills: still frames a row of the summary.
    """
    wanted = [run_path / FILMS / f"{name}.mp4", run_path / FILMS / f"{name}.gif", run_path / SUMMARIES / f"{name}.gif"]
    if all(file.is_file() for file in wanted):
        return
    for file in wanted:
        file.parent.mkdir(exist_ok=True)
    cell = cell or int(min(max(*films[0][0].shape[:2], 96), 256))
    rows = [shrunk(film, cell, range(len(film))) for film in films[:ROWS]]
    grid = Film(rows, cell=cell, columns=math.ceil(math.sqrt(len(rows) * 1.3)))
    summary = Film(rows, cell=cell, stills=stills)
    if not wanted[0].is_file():
        media.save_mp4(grid, wanted[0], fps=fps, size=max(grid.size), ping_pong=True)
    if not wanted[1].is_file():
        media.save_gif(grid, wanted[1], fps=fps, size=max(grid.size), ping_pong=True)
    if not wanted[2].is_file():
        media.save_gif(summary, wanted[2], fps=fps, size=max(summary.size), ping_pong=True)


def shrunk(film: media.Frames, cell: int, places: Sequence[int]) -> list[media.Frame]:
    """Return frames of a film at the size of a cell, each read once."""
    return [np.asarray(media.enlarge(film[i], cell)) for i in places]


def small_film(films: Sequence[media.Frames], path: Path, *, most: int = 11) -> None:
    """Write a gif of at most four codes side by side and a few frames, small enough to go into a page.

    Args:
        films: one a code.
        path: the file.
        most: frames one way.
    """
    places = media.evenly(len(films[0]), most)
    rows = [shrunk(film, 80, places) for film in films[:4]]
    strip = Film(rows, cell=80, columns=len(rows))
    media.save_gif(strip, path, fps=10, size=max(strip.size), ping_pong=True)


@dataclass(frozen=True)
class Traversal:
    """A finished traversal on disk.

    Attributes:
        folder: where it lies.
        facts: what ``traversal.json`` says.
        record: what ``run.json`` says.
    """

    folder: Path
    facts: Mapping[str, Any]
    record: Mapping[str, Any]

    @property
    def codes(self) -> tuple[str, ...]:
        """Names of the codes."""
        return tuple(self.facts["codes"])

    @property
    def paths(self) -> tuple[int, ...]:
        """Indices of the paths in their set."""
        return tuple(self.facts["paths"])

    @property
    def t(self) -> list[float]:
        """Moments of the frames."""
        return list(self.facts["t"])

    def pictures(self, code: str, path: int) -> PictureFiles:
        """Return the pictures of one path from one code.

        Raises:
            SemanifoldError: if some of them are missing.
        """
        files = PictureFiles(self.folder / code / IMAGES / folder_name(path))
        if len(files) != len(self.t):
            raise SemanifoldError(
                f"{files.folder} holds {len(files)} pictures in place of {len(self.t)}; run the same traverse with --overwrite."
            )
        return files


def folder_name(path: int) -> str:
    """Return what the folder of a path is called."""
    return f"path_{path:03d}"


def read_traversal(folder: str | os.PathLike[str]) -> Traversal:
    """Open the folder of a finished ``semanifold traverse``.

    Raises:
        SemanifoldError: if it is no such folder, is unfinished, or a file is damaged.
    """
    folder = Path(folder)
    record = read_record(folder)
    if record["command"] != "traverse":
        raise SemanifoldError(f"{folder} was written by semanifold {record['command']}; give the folder of a traverse.")
    if record.get("status") != "finished":
        raise SemanifoldError(
            f"The traversal {folder} is half-written ({RECORD} says {record.get('status')!r}); run the same traverse again first."
        )
    file = folder / FACTS
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
        sizes = [len(facts[key]) for key in ("codes", "paths", "t", "names")]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SemanifoldError(f"{file} is damaged ({error!r}); run the same traverse again with --overwrite.") from error
    if not all(sizes[:3]):
        raise SemanifoldError(f"{file} names no code, no path or no moment; run the same traverse again with --overwrite.")
    return Traversal(folder, facts, record)
