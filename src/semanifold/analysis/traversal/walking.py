"""Traversals: paths walked both ways from the codes of a pool, as codes, pictures and films in a folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import torch
from PIL import Image

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.core.shapes import Frames, Times
from semanifold.edits import Edit
from semanifold.edits.flow import MOST_STEPS
from semanifold.generators.base import Generator
from semanifold.images import media
from semanifold.paths.base import PathSet
from semanifold.storage.arrays import write_torch
from semanifold.storage.digests import digest
from semanifold.storage.files import making_folder
from semanifold.storage.pictures import write_picture
from semanifold.storage.tensors import write_tensors

CODES, PUBLISHED_CODES, ORIGINAL = "codes.safetensors", "paths_latent_codes.pt", "original_image"


def moments(count: int, leap: int = 1) -> Times:
    """Return the values of ``t`` that are kept, ``2 floor(count / leap) + 1`` of them, with 0 in the middle, as float64.

    Args:
        count: Euler steps from ``t = 0`` to ``t = 1``.
        leap: every how many steps a frame is kept, counted from ``t = 0``.
    """
    if count < 1 or not 1 <= leap <= count:
        raise SemanifoldError(f"A path of at least 1 step keeps every 1st to last of them, but got every {leap}th of {count}.")
    if count > MOST_STEPS:
        raise SemanifoldError(f"A path takes at most {MOST_STEPS:,} steps, but {count} were asked for.")
    return torch.arange(-(count // leap), count // leap + 1, dtype=torch.float64) * leap / count


def fingerprint_of(paths: PathSet) -> str:
    """Return sixteen hexadecimal digits that name what a set's paths are, whatever they are called: a SHA-256."""
    info = paths.info
    return digest(json.dumps([paths.kind, paths.options(), info.space, info.layers], default=str), paths.state_dict())


def walk(edit: Edit, generator: Generator, code: Latents, t: Times, *, batch: int = 8) -> Iterator[tuple[Latents, Frames]]:
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
            yield edit.applied(generator, code, part)[1], edit.images(generator, code, part)


def write_path(place: Path, frames: Iterator[tuple[Latents, Frames]], jpeg: int | None = None) -> None:
    """Write the pictures of one path into a folder that appears when all of them are there.

    Args:
        place: the folder, such as ``<code>/paths_images/path_003``; nothing is done where it exists.
        frames: what :func:`walk` yields.
        jpeg: quality of JPEG files, 1 to 95; PNG, without loss, when None.
    """
    if place.is_dir():
        return
    with making_folder(place) as part:
        every = chain.from_iterable(media.to_uint8(pictures) for _, pictures in frames)
        for number, frame in enumerate(every):
            save_picture(frame, part / f"{number:06d}", jpeg)


def save_picture(frame: media.Frame, stem: Path, jpeg: int | None) -> Path:
    """Write one picture as ``<stem>.png`` without loss, or as ``<stem>.jpg`` of a quality."""
    file = stem.with_name(stem.name + (".png" if jpeg is None else ".jpg"))
    write_picture(Image.fromarray(frame), file, jpeg=jpeg, level=1)  # a third of the usual time, and hardly larger
    return file


def write_codes(folder: Path, generator: Generator, edits: Sequence[Edit], code: Latents, t: Times, *, batch: int = 8) -> None:
    """Write the codes of all paths from one code, ``[K, T, ...]``, as safetensors and as WarpedGANSpace's plain tensor.

    They are computed in the batches of :func:`walk`, so that they are the codes of the pictures to the last bit. Of edits of
    weights, which move no codes, nothing is written.

    Args:
        folder: of the code.
        generator: that the paths are for.
        edits: K paths.
        code: one code.
        t: T moments.
        batch: as it was in :func:`walk`.
    """
    if not all(edit.moves_codes for edit in edits) or ((folder / CODES).is_file() and (folder / PUBLISHED_CODES).is_file()):
        return
    with torch.no_grad():
        parts = t.to(code.values.device).split(batch)
        rows = [torch.cat([edit.applied(generator, code, part)[1].values.cpu() for part in parts]) for edit in edits]
    codes = torch.stack(rows).float()
    write_tensors(folder / CODES, {"codes": codes, "t": t}, texts={"space": code.space})
    write_torch(folder / PUBLISHED_CODES, codes)
