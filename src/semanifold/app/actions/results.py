"""From an edit to the files of a run folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from semanifold.app.answers import Caller, ignored
from semanifold.app.commands.base import FilmOptions, slug
from semanifold.app.commands.places import EDIT, check_edit, folder_of, pose_of, split_path
from semanifold.app.commands.play import seconds_of
from semanifold.app.commands.timeline import LONGEST
from semanifold.core.errors import shown
from semanifold.core.shapes import EditTimes
from semanifold.core.spaces import EXTENDED
from semanifold.edits import Edit, load_edit, save_edit
from semanifold.edits.films import NOTHING, EditedPicture, Play, captioned, times_of_film
from semanifold.edits.poses import pose_edit
from semanifold.generators.base import Generator
from semanifold.generators.exchange import export_codes
from semanifold.images import films, media
from semanifold.images.metrics import inside_change, moving, mse_ratio, outside_change, roir, ssim_outside
from semanifold.storage.files import is_file, is_folder
from semanifold.storage.marks import GENERATED, Source
from semanifold.storage.records import write_json
from semanifold.storage.runs import RECORD, Run, read_record

FRAMES, MP4, GIF, WEBM = "frames", "film.mp4", "film.gif", "film.webm"
STRIP, HEAT, PLOT, METRICS, OFFSETS, PAD = "filmstrip.png", "heatmap.png", "path.png", "metrics.json", "offsets.png", "pad.png"
TIMELINE = "timeline"
"""The method of what ``semanifold play`` made, whose t is time."""
BEGINNING = 1e-4
"""Where a timeline begins that has no unedited picture; t = 0 is that of every edit."""
MEASURED = 32
"""Frames of a film that its locality is averaged over."""


def find_edit(
    where: Path,
    path: str | None = None,
    space: str | None = None,
    layers: tuple[int, int] | None = None,
    generator: Generator | None = None,
    remark: Callable[[str], None] = ignored,
) -> Edit:
    """Return the edit of a run folder or a file, or one path of a set.

    Args:
        where: run folder or edit; or a set of paths, with the path's number or name after a colon: ``faces:smile``; or a
            pose, such as ``pose:20,0.1,0``.
        path: the path's number or name.
        space: latent space of the paths, if their file leaves it open.
        layers: layers ``(first, last + 1)`` of w+ that they move, if their file leaves it open.
        generator: what it is for, if that is known already; it decides how the arrays of other programs are read.
        remark: called with a sentence about how they were read.

    Raises:
        SemanifoldError: if there is none.
    """
    if (numbers := pose_of(where)) and path is None:
        return pose_edit(*numbers)
    place, named = split_path(where)
    path = named if path is None else path
    if path is not None:
        from semanifold.paths.files import load_paths  # noqa: PLC0415  (edits of masks need no path sets)

        return load_paths(place, space, layers=layers, generator=generator, remark=remark)[path]
    check_edit(place)
    return load_edit(place / EDIT if is_folder(place) else place)


def film_moments(edit: Edit, film: FilmOptions, frames: int | None = None, play: Play = "auto") -> EditTimes:
    """Return the values of ``t`` of a film: those of its seconds and frames per second, or so many frames in place of these."""
    return edit.times(frames) if frames is not None else times_of_film(edit, film.frames, play)


def own_moments(
    edit: Edit, where: Path, film: FilmOptions, frames: int | None = None, play: Play = "auto"
) -> tuple[EditTimes, Play, float | None]:
    """Return the values of ``t`` of a film, how it runs, and how many seconds t = 1 takes, or None where t is no time.

    What ``semanifold play`` made runs once, in its own seconds unless others than the usual ones are asked for.

    Args:
        edit: what is filmed.
        where: as it was typed.
        film: as for :func:`film_moments`.
        frames: as for :func:`film_moments`.
        play: as for :func:`film_moments`.
    """
    if edit.info.method != TIMELINE or play == "ping-pong":
        return film_moments(edit, film, frames, play), play, None
    folder, seconds = folder_of(where), film.seconds
    if seconds == FilmOptions.seconds and is_file(folder / RECORD):
        record = read_record(folder)
        own = record.others.get("seconds") or seconds_of(record.arguments)
        seconds = own if isinstance(own, (int, float)) and 0 < own <= LONGEST else seconds
    count = frames or round(seconds * film.fps) + 1
    t, first = edit.times(count), float(edit.knots[0][1])
    return t.clamp(min=first) if first <= BEGINNING + NOTHING else t, "once", (count - 1) / film.fps


def write_film(
    run: Run, subject: EditedPicture, t: EditTimes, film: FilmOptions, caller: Caller, play: Play = "auto"
) -> media.FrameFolder:
    """Write the frames, the video and the gif; a path that does not come back to its start is played back and forth.

    A film with transparency is shown over a checkerboard in these, and keeps it in a WebM beside them.
    """
    edit = subject.edit
    loops = edit.loops
    filmed = t[:-1] if loops and len(t) > 2 else t  # the last frame of a loop is the first one again
    frames = write_frames(run.path(FRAMES), subject, filmed, caller)
    back = (not loops) if play == "auto" else play == "ping-pong"
    save_films(run, frames, film, ping_pong=back)
    if subject.generator.picture_shape[0] == 4:
        clear = media.FrameFolder(run.path(FRAMES), clear=True)
        films.save_film(clear, run.path(WEBM), fps=film.fps, size=film.size, ping_pong=back, loops=film.loops)
    return frames


def write_frames(folder: Path, subject: EditedPicture, t: EditTimes, caller: Caller) -> media.FrameFolder:
    """Write the pictures at ``t`` in place of those of an earlier film."""
    for stale in folder.glob("frame_*.png"):
        stale.unlink()
    first = 0
    with caller.watching("film") as line:
        for part in subject.pictures(t):
            media.save_frames(media.to_pixels(part), folder, first=first)
            first += len(part)
            line({"step": first, "steps": len(t)})
    return media.FrameFolder(folder)


def save_films(run: Run, frames: media.Frames, film: FilmOptions, *, ping_pong: bool, source: Source | None = GENERATED) -> None:
    """Write frames as video and gif."""
    films.save_film(frames, run.path(MP4), fps=film.fps, size=film.size, ping_pong=ping_pong, loops=film.loops, source=source)
    films.save_film(frames, run.path(GIF), fps=film.fps, size=film.size, ping_pong=ping_pong, source=source)


def write_all(
    run: Run,
    subject: EditedPicture,
    t: EditTimes,
    film: FilmOptions,
    caller: Caller,
    *,
    search: Sequence[Mapping[str, object]] = (),
    play: Play = "auto",
    seconds: float | None = None,
) -> dict[str, float]:
    """Write the edit with its measured locality, the film, the pictures, the numbers and the exports; return the locality.

    Where t is time, t = 1 after so many ``seconds``, the pictures say seconds in its place.
    """
    scores = measure(subject, t[torch.tensor(media.evenly(len(t), MEASURED))])
    subject = replace(subject, edit=subject.edit.with_info(locality=scores))
    save_edit(subject.edit, run.path(EDIT))
    write_json(run.path(METRICS), {"change": scores} | ({"search": search} if search else {}), 2)
    frames = write_film(run, subject, t, film, caller, play)
    write_pictures(run, subject, frames, t, seconds)
    if subject.edit.dimensions == 2:
        write_pad(run, subject)
    write_exports(run, [subject], t)
    return scores


def write_pictures(run: Run, subject: EditedPicture, frames: media.Frames, t: EditTimes, seconds: float | None = None) -> None:
    """Write the filmstrip, with the values of t of a path below its pictures, or its seconds, and the heat map."""
    from semanifold.images.plots import heat_map  # noqa: PLC0415  (brings matplotlib)

    media.save_png(captioned(*subject.timed(frames, t, seconds=seconds)), run.path(STRIP))
    heat_map(frames, media.to_uint8(subject.picture)[0], subject.mask_picture(), run.path(HEAT))


def write_plot(
    run: Run,
    subjects: Sequence[EditedPicture],
    t: EditTimes,
    caller: Caller,
    *,
    umap: bool = False,
    seconds: float | None = None,
) -> None:
    """Plot the codes of the path, from every picture, coloured by t, or by seconds of which t = 1 is so many."""
    from semanifold.images.plots import path_plot  # noqa: PLC0415  (brings matplotlib)

    if not all(subject.edit.moves_codes for subject in subjects):
        return
    if umap:
        caller.remark("Drawing the map of the codes by UMAP ...")
    codes = [subject.edit.applied(subject.generator, subject.start, t)[1].values.flatten(1).cpu().numpy() for subject in subjects]
    colour = t if t.ndim == 1 else torch.linspace(0, 1, len(t))
    label = "t" if seconds is None else "seconds"
    path_plot(codes, (colour * (seconds or 1)).numpy(), run.path(PLOT), umap=umap, label=label)


def write_pad(run: Run, subject: EditedPicture, side: int = 7) -> None:
    """Write a sheet of a pad: its pictures over both coordinates, from the first knots to the last."""
    across, down = (torch.linspace(float(knots[0]), float(knots[-1]), side) for knots in subject.edit.knots)
    grid = torch.stack(torch.meshgrid(across, down, indexing="xy"), dim=-1).reshape(-1, 2)
    sheet = media.contact_sheet(subject.frames(grid), columns=side, size=96)
    names = [shown(name, 30) for name in subject.edit.info.name.split(" + ")]
    axes = names if len(names) == 2 else ["first", "second"]
    media.save_png(media.titled(sheet, f"across: {axes[0]}, down: {axes[1]}"), run.path(PAD))


def measure(subject: EditedPicture, t: EditTimes) -> dict[str, float]:
    """Return how much the pictures change inside and outside of the mask, averaged over the path, and how local that is.

    ``inside`` and ``outside`` are root mean squares in picture units (0 to 2). All are means over the frames that change by at
    least a tenth of the most.
    """
    if subject.mask is None:
        return {}
    reference = subject.picture
    mask = subject.mask.at(*reference.shape[2:]).to(reference)
    measures = {
        "inside": inside_change,
        "outside": outside_change,
        "mse_ratio": mse_ratio,
        "roir": roir,
        "ssim_outside": ssim_outside,
    }
    rows: dict[str, list[Tensor]] = {name: [] for name in measures}
    for part in subject.pictures(t):
        for name, function in measures.items():
            rows[name].append(function(part, reference, mask))
    columns = {name: torch.cat(parts).double() for name, parts in rows.items()}
    moved = moving(columns["inside"])
    return {name: float(column[moved].mean()) for name, column in columns.items()} if moved.any() else {}


def write_exports(run: Run, subjects: Sequence[EditedPicture], t: EditTimes) -> None:
    """Write the codes of the path for other programs, those of one picture after the other; one alone is the farthest of all."""
    edit, generator = subjects[0].edit, subjects[0].generator
    if not all(leaf.moves_codes for leaf in edit.leaves):
        return  # other programs know edits of codes only
    extended = generator.spaces.get(edit.info.space + EXTENDED)
    layers = 0 if extended is None else extended.layers
    codes = torch.cat([subject.edit.applied(generator, subject.start, t)[1].values for subject in subjects])
    farthest = torch.cat([subject.edit.way(t).norm(dim=1) for subject in subjects]).argmax()
    export_codes(run.path, slug(edit.info.name), codes, layers, frame=int(farthest))
