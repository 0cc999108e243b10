"""Pictures, films and files for Python and notebooks: ``show``, ``film``, ``save``, ``to_pil``."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from semanifold.core.errors import SemanifoldError, of_type, shown
from semanifold.core.latents import Latents
from semanifold.core.progress import Watch, watching
from semanifold.core.solutions import Solution
from semanifold.edits import Edit, save_edit
from semanifold.edits.films import CHUNK, EditedPicture, times_of_film
from semanifold.edits.tracing import on_code
from semanifold.generators.base import Generator, as_latents
from semanifold.generators.seeds import seed_numbers
from semanifold.images import films, media
from semanifold.images.masks import Mask, as_mask
from semanifold.paths.base import PathSet
from semanifold.paths.files import save_paths
from semanifold.storage.files import read_bytes
from semanifold.storage.pictures import write_picture

CELL, STILL, ALONE = 128, 160, 256
"""Longer side of a picture in a sheet, in a filmstrip, and alone, in pixels."""
ROWS = 12
"""Paths of a set that are shown at most."""
PREVIEW = 256
"""Longer side of a film in a notebook."""

SECONDS = 4.0
"""Length of a film."""


@dataclass(frozen=True, repr=False, eq=False)
class Film:
    """A film, whose frames are all in memory.

    Attributes:
        frames: 8-bit RGB pictures ``[h, w, 3]``; after the last one comes the first again.
        fps: frames per second.
    """

    frames: Sequence[media.Frame]
    fps: float = 30

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> media.Frame:
        return self.frames[index]

    def __repr__(self) -> str:
        height, width = self.frames[0].shape[:2]
        seconds = len(self) / self.fps
        return f"Film({len(self)} frames of {width} x {height}, {seconds:.3g} s at {self.fps:g} per second)"

    def _repr_html_(self) -> str | None:
        """Show a notebook the film, moving."""
        try:
            with TemporaryDirectory() as folder:
                data = read_bytes(films.save_film(self, Path(folder) / "film.mp4", fps=self.fps, size=PREVIEW))
        except Exception:  # a notebook shows whatever a cell ends with: that must not fail
            return None
        source = f"data:video/mp4;base64,{base64.b64encode(data).decode()}"
        return f'<video src="{source}" width="{PREVIEW}" autoplay loop muted controls></video>'


def to_pil(images: Tensor) -> Any:
    """Turn a generator's pictures into PIL images.

    Args:
        images: ``[n, c, h, w]`` or ``[c, h, w]`` in [-1, 1], c = 1 or 3.

    Returns:
        A list of n PIL images, or one, RGB, at their own size.

    Raises:
        SemanifoldError: if they are no pictures.
    """
    if not isinstance(images, Tensor) or images.ndim not in (3, 4):
        what = f"a tensor {list(images.shape)}" if isinstance(images, Tensor) else f"of type {type(images).__name__}"
        raise SemanifoldError(f"Pictures are a tensor [n, channels, height, width] in -1..1, but this is {what}.")
    many = [Image.fromarray(frame) for frame in media.to_uint8(images.reshape(-1, *images.shape[-3:]))]
    return many if images.ndim == 4 else many[0]


def film(
    edit: Edit | Solution[Any, Any],
    generator: Generator | None = None,
    code: Latents | int | None = None,
    *,
    seconds: float = SECONDS,
    fps: float = 30,
    progress: Watch = None,
) -> Film:
    """Film an edit on a picture: once around if the path comes back to its start, else there and back.

    Args:
        edit: an edit, or the solution of a search, which knows its generator and its picture.
        generator: makes the pictures.
        code: the picture: a seed or one code; the one that the edit was found on when None.
        seconds: length of the film, which can be played in a loop.
        fps: frames per second.
        progress: called with ``step`` and ``steps`` after a few frames. A bar when None, nothing when False.

    Returns:
        The film: a notebook plays it, :func:`save` writes it.

    Raises:
        SemanifoldError: if the edit does not fit the picture, or the generator or the picture is missing.
    """
    for number in (seconds, fps):
        of_type(number, Real, "Seconds and frames per second are numbers")
    if not (0 < seconds <= 600 and 0.1 <= fps <= 240):
        raise SemanifoldError(f"A film lasts up to 600 seconds of up to 240 frames, not {seconds:g} seconds of {fps:g} frames.")
    return Film(_filmed(edit, generator, code, seconds, fps, progress, media.to_uint8), fps)


def _filmed(
    edit: Edit | Solution[Any, Any],
    generator: Generator | None,
    code: Latents | int | None,
    seconds: float,
    fps: float,
    progress: Watch,
    pixels: Callable[[Tensor], Any],
) -> list[media.Frame]:
    """Return the frames of a film; arguments as of :func:`film`, and what makes frames of pictures."""
    subject = subject_of(edit, generator, code)
    t = times_of_film(subject.edit, max(2, round(seconds * fps)))
    loops = subject.edit.loops
    t = t[:-1] if loops and len(t) > 2 else t  # the last frame of a loop is the first one again
    frames: list[media.Frame] = []
    with watching(progress, f"filming {subject.edit.info.name}") as tell:
        for part in subject.pictures(t):
            frames.extend(pixels(part))
            tell({"step": len(frames), "steps": len(t)})
    return [frames[i] for i in films.order(len(frames), ping_pong=not loops)]


def subject_of(edit: Edit | Solution[Any, Any], generator: Generator | None, code: Latents | int | None) -> EditedPicture:
    """Return an edit on a picture; arguments as of :func:`film`."""
    if isinstance(edit, Solution):
        if edit.subject is not None and generator is None and code is None:
            return edit.subject
        generator = generator or (edit.subject and edit.subject.generator)
        edit = edit.value
    if not isinstance(edit, Edit):
        raise SemanifoldError(f"An edit or a solution is put on a picture, not a value of type {type(edit).__name__}.")
    code = edit.start if code is None else code
    if generator is not None and isinstance(code, Latents) and code.space in generator.spaces:
        home = generator.spaces[code.space]
        edit = edit.embedded(home, generator) if edit.info.space in home.affine_of else edit
    generator, code = _picture(edit.info.name, generator, code, edit.info.space if edit.moves_codes else None)
    edit = on_code(edit, code)
    try:
        mask = as_mask(edit.info.mask, generator, code) if edit.info.mask else None
    except SemanifoldError:  # a region or a file that is not here
        mask = None
    return EditedPicture(generator, code, edit, mask)


def show(
    thing: Any,
    generator: Generator | None = None,
    code: Latents | int | None = None,
    *,
    count: int = 8,
    size: int | None = None,
) -> Image.Image:
    """Return one picture of anything: a notebook displays it; elsewhere ``.show()`` opens it, and :func:`save` writes it.

    What can be shown:

    - a solution: a filmstrip, the picture with its mask and then frames;
    - an edit with its generator and a code: the same; the code may be left out if the edit knows its own;
    - a set of paths with its generator and a code, or a list of edits or solutions: a filmstrip for each;
    - a mask: alone, or on a picture if a generator and a code are given;
    - seeds or codes with a generator: their pictures;
    - a generator: a few of its pictures;
    - pictures (a tensor in [-1, 1], PIL images, 8-bit arrays, lists of these): one, or a sheet; a film: a filmstrip.

    Args:
        thing: what is shown.
        generator: makes the pictures.
        code: the picture: a seed or one code.
        count: frames of a filmstrip.
        size: longer side of every picture in pixels; 128 to 256 when None.

    Raises:
        SemanifoldError: if it cannot be shown, or needs a generator or a code.
    """
    if not isinstance(count, Integral) or count < 1:
        raise SemanifoldError(f"count is a whole number of frames, at least 1, but {shown(repr(count), 40)} was given.")
    if isinstance(thing, PathSet):
        thing = [thing[index] for index in sorted(thing.info.names)[:ROWS] or range(min(ROWS, len(thing)))]
    if isinstance(thing, Edit | Solution):
        image = subject_of(thing, generator, code).strip(count, size or STILL)
    elif isinstance(thing, list | tuple) and thing and all(isinstance(edit, Edit | Solution) for edit in thing):
        strips = [subject_of(edit, generator, code).strip(count, size or CELL // 2) for edit in thing]
        image = media.stack_rows(strips, [shown(_title(edit), 40) for edit in thing])
    elif isinstance(thing, Film):
        image = media.filmstrip(thing, thing[0], count=count, size=size or STILL)
    elif isinstance(thing, Generator):
        image = thing.glimpse()
    elif isinstance(thing, Mask) and generator is None:
        image = thing.picture(size or ALONE)
    elif isinstance(thing, Mask):
        generator, code = _picture("a mask", generator, code)
        mask = thing.at(*generator.picture_shape[1:])[0, 0].numpy()
        image = media.show_mask(frames_of(code, generator)[0], mask, size or ALONE)
    else:
        frames = frames_of(thing, generator)
        labels = [str(seed) for seed in seed_numbers(thing)] if _are_seeds(thing) else []
        alone = media.enlarge(frames[0], size or max(ALONE, *frames[0].shape[:2]))
        image = alone if len(frames) == 1 else media.contact_sheet(frames, labels, size=size or CELL)
    return image


def save(thing: Any, path: str | os.PathLike[str], *, fps: float | None = None) -> Path:
    """Write anything, in the format that the name's suffix says, whole or not at all.

    - ``.png``, ``.jpg``: one picture at its own size; of all else, what :func:`show` returns.
    - ``.mp4``, ``.gif``, ``.webm``: a film, the solution of a search, or pictures one after the other. Only WebM keeps
      transparency, and not that of a film that :func:`film` made.
    - ``.safetensors``: an edit, the solution of a search, or a set of paths.

    Args:
        thing: what is written.
        path: the file; its folder must exist.
        fps: frames per second of a film; its own, or 30, when None.

    Returns:
        The file.

    Raises:
        SemanifoldError: if this cannot be written so.
    """
    of_type(path, (str, os.PathLike), "The second argument is the name of a file")
    path = Path(path)
    writer = WRITERS.get(path.suffix.lower())
    name = shown(path.name, 60)
    if writer is None:
        raise SemanifoldError(
            f"Pictures are written as .png or .jpg, films as .mp4, .gif or .webm, edits and paths as .safetensors, not as {name}."
        )
    if not path.parent.is_dir():
        raise SemanifoldError(f"There is no folder {shown(str(path.parent), 200)} to write {name} into; make it first.")
    writer(thing, path, fps)
    return path


def frames_of(thing: Any, generator: Generator | None = None, *, clear: bool = False) -> list[media.Frame]:
    """Return pictures in any of their forms as 8-bit RGB frames ``[h, w, 3]``; codes and seeds by their generator.

    Args:
        thing: the pictures.
        generator: makes them of codes or seeds.
        clear: whether those with transparency become RGBA ``[h, w, 4]``, and are not laid on a checkerboard.

    Raises:
        SemanifoldError: if it is none.
    """
    frames: list[media.Frame] = []
    pixels = media.to_pixels if clear else media.to_uint8
    if isinstance(thing, Latents) or _are_seeds(thing):
        if generator is None:
            raise SemanifoldError("Codes and seeds become pictures by their generator: give it too, show(range(8), generator).")
        codes = as_latents(thing, generator)
        with torch.no_grad():
            for start in range(0, len(codes), CHUNK):
                frames.extend(pixels(generator.images(codes[start : start + CHUNK])))
    elif isinstance(thing, Image.Image):
        frames = [np.asarray(thing.convert("RGBA" if clear and thing.has_transparency_data else "RGB"))]
    elif isinstance(thing, Film):
        frames = list(thing.frames)
    elif isinstance(thing, np.ndarray) and thing.dtype == np.uint8 and thing.shape[-1:] == (3,) and thing.ndim in (3, 4):
        frames = list(thing.reshape(-1, *thing.shape[-3:]))
    elif isinstance(thing, Tensor) and thing.is_floating_point():
        frames = list(pixels(thing[None] if thing.ndim == 3 else thing))
    elif isinstance(thing, list | tuple):
        frames = [frame for part in thing for frame in frames_of(part, clear=clear)]
    else:
        raise SemanifoldError(
            "Pictures are a tensor [n, channels, height, width] in -1..1, PIL images or 8-bit arrays [n, height, width, 3], but "
            f"this is a value of type {type(thing).__name__}."
        )
    if not frames:
        raise SemanifoldError("There is no picture to show or to write; give at least one.")
    return frames


def _are_seeds(thing: Any) -> bool:
    return isinstance(thing, int | range) or (isinstance(thing, list | tuple) and bool(thing) and isinstance(thing[0], int))


def _picture(
    name: str, generator: Generator | None, code: Latents | int | None, space: str | None = None
) -> tuple[Generator, Latents]:
    """Return the generator and the one code that something is shown on, in a space."""
    if generator is None or code is None:
        raise SemanifoldError(f"To see {shown(name, 40)} on a picture, give its generator and a seed: (..., generator, 7).")
    code = as_latents(code, generator, space)
    if len(code) != 1:
        raise SemanifoldError(f"One picture is shown or filmed at a time, but {len(code)} codes were given.")
    return generator, generator.convert(code, space or code.space)


def _title(edit: Edit | Solution[Any, Any]) -> str:
    if isinstance(edit, Edit):
        return edit.info.name
    offset = f", c = {edit.stats['offset']:.2g}" if "offset" in edit.stats else ""
    return f"{edit.value.info.name}{offset}"


def _save_picture(thing: Any, path: Path, fps: float | None) -> None:
    one = thing if isinstance(thing, Image.Image) else None
    if isinstance(thing, Tensor) and len(frames := frames_of(thing)) == 1:
        one = Image.fromarray(frames[0])
    image = one or show(thing)
    write_picture(image, path, jpeg=None if path.suffix.lower() == ".png" else 95)


def _save_film(thing: Any, path: Path, fps: float | None) -> None:
    clear = path.suffix.lower() == ".webm"
    if isinstance(thing, Edit | Solution):
        frames = _filmed(thing, None, None, SECONDS, fps or 30, None, media.to_pixels if clear else media.to_uint8)
    else:
        frames = frames_of(thing, clear=clear)
    fps = fps or (thing.fps if isinstance(thing, Film) else 30)
    films.save_film(frames, path, fps=fps)


def _save_tensors(thing: Any, path: Path, fps: float | None) -> None:
    thing = thing.value if isinstance(thing, Solution) else thing
    if isinstance(thing, PathSet):
        save_paths(thing, path)
    elif isinstance(thing, Edit):
        save_edit(thing, path)
    else:
        raise SemanifoldError(
            f"Edits and sets of paths are written as .safetensors, not a value of type {type(thing).__name__}; pictures as .png, "
            "films as .mp4, .gif or .webm."
        )


WRITERS: Mapping[str, Callable[[Any, Path, float | None], None]] = {
    ".png": _save_picture,
    ".jpg": _save_picture,
    ".jpeg": _save_picture,
    ".mp4": _save_film,
    ".gif": _save_film,
    ".webm": _save_film,
    ".safetensors": _save_tensors,
}
