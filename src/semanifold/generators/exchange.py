"""Latent codes in the files that people exchange (``.npy``, ``.npz``, ``.pt``, ``.safetensors``), read without running code."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from semanifold.core.latents import Latents
from semanifold.generators.base import Generator
from semanifold.storage.arrays import open_arrays, write_numpy, write_torch
from semanifold.storage.readings import Remark, read_codes_of, silent


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


def export_codes(place: Callable[[str], Path], name: str, codes: Tensor, layers: int, *, shown: int = -1) -> None:
    """Write the codes of a path in the formats that peers read.

    ``<name>_latents.pt`` is a plain tensor and ``latents.npy`` the same array; ``projected_w.npz`` holds one frame under the key
    ``w`` as ``[1, layers, d]``, which NVIDIA's projector writes and its readers expect.

    Args:
        place: turns a file's name into its path, such as ``Run.path``.
        name: of the edit.
        codes: ``[n, d]`` or ``[n, layers, d]``.
        layers: number of layers that a code ``[d]`` of ``w`` is repeated for; 0 where it is not a code of ``w``.
        shown: which frame that is.
    """
    codes = codes.detach().float().cpu().contiguous()
    write_torch(place(f"{name}_latents.pt"), codes)
    write_numpy(place("latents.npy"), codes.numpy())
    if codes.ndim == 3 or layers:
        w = codes[shown][None] if codes.ndim == 3 else codes[shown].expand(1, layers, -1)
        write_numpy(place("projected_w.npz"), {"w": w.numpy()})
