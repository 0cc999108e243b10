"""Latent codes in the files that people exchange (``.npy``, ``.npz``, ``.pt``, ``.safetensors``), read without running code."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from semanifold.errors import SemanifoldError
from semanifold.generators.base import Generator
from semanifold.latents import Latents
from semanifold.storage.files import replacing

CODE_KEYS = ("w", "latents", "latent", "seed")
"""Names under which files keep their codes: ``projected_w.npz`` says ``w``, our edits say ``seed``."""


def _read_npz(path: Path) -> Any:
    with np.load(path, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


READERS: dict[str, Callable[[Path], Any]] = {
    ".npy": lambda path: np.load(path, allow_pickle=False),
    ".npz": _read_npz,
    ".pt": lambda path: torch.load(path, map_location="cpu", weights_only=True),
    ".safetensors": load_file,
}


def read_codes(path: str | os.PathLike[str], generator: Generator, space: str | None = None) -> Latents:
    """Read latent codes for a generator.

    Args:
        path: a ``.npy``, ``.npz``, ``.pt`` or ``.safetensors`` file of one array ``[n, *shape]`` or ``[*shape]``; where it holds
            several, the one under ``w``, ``latents``, ``latent`` or ``seed`` is taken.
        generator: its spaces decide what the shape means.
        space: the space of the codes; needed only where two spaces have the same shape.

    Raises:
        SemanifoldError: if the file is missing, unreadable or holds anything else, or the codes fit no space or two.
    """
    path = Path(path)
    if not path.is_file():
        raise SemanifoldError(f"There is no file {path}; give a .npy, .npz, .pt or .safetensors file of latent codes.")
    if path.suffix not in READERS:
        raise SemanifoldError(
            f"{path} ends in {path.suffix or 'nothing'}; latent codes are read from {', '.join(READERS)} files."
        )
    try:
        held = READERS[path.suffix](path)
    except (
        OSError,
        ValueError,
        KeyError,
        EOFError,
        RuntimeError,
        zipfile.BadZipFile,
        pickle.UnpicklingError,
        SafetensorError,
    ) as error:
        raise SemanifoldError(
            f"{path} cannot be read as plain arrays; it is damaged, or holds more than latent codes."
        ) from error
    values = _only_array(held, path)
    if not values.is_floating_point():
        raise SemanifoldError(f"{path} holds {values.dtype}, but latent codes are floating-point numbers.")
    space = _space_of(values, generator, space, path)
    if values.ndim == len(generator.spaces[space]):
        values = values[None]
    latents = Latents(values.to(generator.device, generator.dtype), space)
    generator.check(latents)
    return latents


def _only_array(held: Any, path: Path) -> Tensor:
    if isinstance(held, Mapping):
        arrays = {key: value for key, value in held.items() if isinstance(value, np.ndarray | Tensor)}
        named = [key for key in CODE_KEYS if key in arrays]
        if not named and len(arrays) != 1:
            raise SemanifoldError(f"{path} holds {len(arrays)} arrays, none of them called {' or '.join(CODE_KEYS)}.")
        held = arrays[named[0]] if named else next(iter(arrays.values()))
    if isinstance(held, np.ndarray) and held.dtype.kind in "fiub":
        held = torch.from_numpy(np.ascontiguousarray(held.astype(held.dtype.newbyteorder("="))))
    if not isinstance(held, Tensor):
        raise SemanifoldError(f"{path} holds no array of numbers, but {type(held).__name__}.")
    return held.detach()


def _space_of(values: Tensor, generator: Generator, space: str | None, path: Path) -> str:
    shape = tuple(values.shape)
    spaces = {name: tuple(s) for name, s in generator.spaces.items()}
    if space is not None:
        generator.check_space(space)
        fits = [space] if spaces[space] in (shape, shape[1:]) else []
    else:
        fits = [name for name, s in spaces.items() if s == shape[1:]] or [name for name, s in spaces.items() if s == shape]
    if not fits:
        expected = ", ".join(f"{list(s)} in {name}" for name, s in spaces.items() if space in (None, name))
        raise SemanifoldError(f"{path} holds codes of shape {list(shape)}, but {generator.name} expects [n, ...] of {expected}.")
    if len(fits) > 1:
        raise SemanifoldError(f"The codes of {path} fit the spaces {' and '.join(fits)}; say which with --latents-space.")
    return fits[0]


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
    buffer = io.BytesIO()  # torch's own file writer hides what the operating system says
    torch.save(codes, buffer)
    with replacing(place(f"{name}_latents.pt")) as part:
        part.write_bytes(buffer.getvalue())
    with replacing(place("latents.npy")) as part, part.open("wb") as file:
        np.save(file, codes.numpy())
    if codes.ndim == 3 or layers:
        w = codes[shown][None] if codes.ndim == 3 else codes[shown].expand(1, layers, -1)
        with replacing(place("projected_w.npz")) as part, part.open("wb") as file:
            np.savez(file, w=w.numpy())
