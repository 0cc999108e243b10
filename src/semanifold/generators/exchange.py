"""Latent codes in the files that people exchange (``.npy``, ``.npz``, ``.pt``, ``.safetensors``), read without running code."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError, shown
from semanifold.core.latents import Latents
from semanifold.generators.base import Generator
from semanifold.storage.arrays import Place, open_arrays, write_numpy, write_torch
from semanifold.storage.checkpoints import Value
from semanifold.storage.readings import Remark, read_codes_of, silent

NOISE = "noise"
"""Name under which files keep noise maps."""


def read_codes(
    path: str | os.PathLike[str], generator: Generator, space: str | None = None, *, remark: Remark = silent
) -> Latents:
    """Read latent codes for a generator.

    Args:
        path: a file of one array ``[n, *shape]`` or ``[*shape]``, whatever it is called (``.npy``, ``.npz``, ``.pt``,
            ``.safetensors``, a pickle); if it holds several, those under ``w``, ``latents``, ``latent`` or ``seed`` are taken.
        generator: its spaces decide what the shape means: ``[L, d]`` is one code of a w+ of L layers.
        space: the space of the codes; needed only where two spaces have the same shape, or for L codes of ``w``.
        remark: is given the sentence that says how the array was read.

    Raises:
        SemanifoldError: if the file is missing, unreadable or holds anything else, or the codes fit no space or two.
    """
    arrays = open_arrays(path, "file of latent codes")
    if space is not None:
        generator.check_space(space)
    readings: list[str] = []
    values, space_read = read_codes_of(arrays, generator.shapes, space, readings.append)
    latents = Latents(values.to(generator.device, generator.dtype), space_read)
    generator.check(latents)
    for sentence in readings:  # of codes that are good
        remark(sentence)
    return latents


def projection(generator: Generator, code: Latents, picture: Tensor) -> dict[str, Tensor | list[Tensor]] | None:
    """Return a projected picture as rosinality's projector keeps it: ``img``, ``latent`` and ``noise``.

    Args:
        generator: with the noise maps that belong to the picture.
        code: one code.
        picture: of it, ``[1, c, h, w]``.

    Returns:
        The dictionary, whose latent is ``[d]`` for w and ``[layers, d]`` for w+; None for codes of other spaces.
    """
    if code.space not in ("w", "w+"):
        return None
    maps = [noise.detach().float().cpu()[None, None].clone() for noise in generator.noise_maps().values()]
    return {"img": picture[0].detach().float().cpu(), "latent": code.values[0].detach().float().cpu(), "noise": maps}


def join_projections(paths: Iterable[Path], to: Path) -> None:
    """Write the projected pictures of several files of :func:`projection` as one."""
    every: dict[str, dict[str, Tensor | list[Tensor]]] = {}
    for path in paths:
        arrays = open_arrays(path, "file of projected pictures")
        for place, tensor in zip(arrays.leaves, arrays.tensors(arrays.leaves.values()), strict=True):
            picture = every.setdefault(str(place[0]), {})
            if len(place) == 2:
                picture[str(place[1])] = tensor
            else:
                several = picture.setdefault(str(place[1]), [])
                assert isinstance(several, list)  # as it was written
                several.append(tensor)
    write_torch(to, every)


def read_noise(path: str | os.PathLike[str], generator: Generator) -> list[dict[str, Tensor]]:
    """Read the noise maps of projected pictures: rosinality's, by file, or those of a ``projected_w.npz`` of semanifold.

    Returns:
        For each picture of the file, a map for each name in :meth:`Generator.noise_maps`.

    Raises:
        SemanifoldError: if the file holds none, or others than those of the generator.
    """
    arrays = open_arrays(path, "file of noise maps")
    groups: dict[Place, list[Value]] = {}
    for place, value in arrays.leaves.items():
        if NOISE in place[:-1]:
            groups.setdefault(place[: place.index(NOISE)], []).append(value)
        elif place and str(place[-1]).removeprefix(NOISE).isdigit():
            groups.setdefault(place[:-1], []).append(value)
    if not groups:
        raise SemanifoldError(f"{arrays.name} holds no noise maps; rosinality's projector keeps them under the name noise.")
    stored = generator.noise_maps()
    wanted, pictures = [tuple(noise.shape) for noise in stored.values()], []
    for values in groups.values():
        shapes = [tuple(value.shape)[-2:] for value in values]
        if shapes != wanted or any(math.prod(value.shape) != math.prod(value.shape[-2:]) for value in values):
            raise SemanifoldError(
                f"{arrays.name} holds noise maps {shown(str([list(s) for s in shapes]), 120)}, but those of {generator.name} are "
                f"{shown(str([list(s) for s in wanted]), 120)}."
            )
        maps = [
            noise.reshape(shape).to(generator.device, generator.dtype) for noise, shape in zip(arrays.tensors(values), wanted)
        ]
        if not all(bool(torch.isfinite(noise).all()) for noise in maps):
            raise SemanifoldError(f"{arrays.name} holds noise maps with NaN or infinite values.")
        pictures.append(dict(zip(stored, maps, strict=True)))
    return pictures


def export_codes(
    place: Callable[[str], Path],
    name: str,
    codes: Tensor,
    layers: int,
    *,
    frame: int = -1,
    maps: Iterable[Tensor] = (),
) -> None:
    """Write the codes of a path in the formats that peers read.

    ``<name>_latents.pt`` is a plain tensor and ``latents.npy`` the same array; ``projected_w.npz`` holds one frame under the key
    ``w`` as ``[1, layers, d]``, which NVIDIA's projector writes and its readers expect, and beside it ``noise0`` ... if there are
    noise maps that belong to it.

    Args:
        place: turns a file's name into its path, such as ``Run.path``.
        name: of the edit.
        codes: ``[n, d]`` or ``[n, layers, d]``.
        layers: number of layers that a code ``[d]`` of ``w`` is repeated for; 0 where it is not a code of ``w``.
        frame: which frame that is.
        maps: noise maps, in the order of the layers.
    """
    codes = codes.detach().float().cpu().contiguous()
    write_torch(place(f"{name}_latents.pt"), codes)
    write_numpy(place("latents.npy"), codes.numpy())
    if codes.ndim == 3 or layers:
        w = codes[frame][None] if codes.ndim == 3 else codes[frame].expand(1, layers, -1)
        noise = {f"{NOISE}{i}": level.detach().float().cpu().numpy() for i, level in enumerate(maps)}
        write_numpy(place("projected_w.npz"), {"w": w.numpy(), **noise})
