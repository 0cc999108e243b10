"""Digests: the SHA-256 of weights, codes, settings and files, by which semanifold tells them apart."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from semanifold.storage.files import opened

if TYPE_CHECKING:
    from torch import Tensor

MOST_READ = 1 << 28
"""Bytes of all files of :func:`files_digest` that are read; of what lies beyond the names and sizes count."""


def digest(*parts: str | bytes | Tensor | Mapping[str, Tensor] | None, digits: int = 16, double: bool = False) -> str:
    """Return the first hexadecimal digits of the SHA-256 of texts, bytes and tensors, one after the other.

    Args:
        parts: a text counts as UTF-8, a tensor as its float32 values without its shape, a state dict as its names, shapes and
            values in the order of the names, None as nothing.
        digits: how many, at most 64.
        double: whether tensors count as float64.
    """
    whole = hashlib.sha256()
    for part in parts:
        if isinstance(part, Mapping):
            for key, value in sorted(part.items()):
                whole.update(f"{key}{tuple(value.shape)}".encode())
                whole.update(_bytes_of(value, double))
        elif part is not None:
            whole.update(_bytes_of(part, double))
    return whole.hexdigest()[:digits]


def _bytes_of(part: str | bytes | Tensor, double: bool) -> bytes:
    if isinstance(part, str):
        return part.encode(errors="replace")
    if isinstance(part, bytes):
        return part
    tensor = part.detach().cpu()
    return (tensor.double() if double else tensor.float()).contiguous().numpy().tobytes()


def file_digest(path: str | os.PathLike[str], what: str = "file", digits: int = 64) -> str:
    """Return the first hexadecimal digits of the SHA-256 of a regular file; see :func:`~semanifold.storage.files.opened`."""
    with opened(path, what) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:digits]  # type: ignore[arg-type]  # it has readinto


def files_digest(files: Sequence[Path]) -> str:
    """Return sixteen hexadecimal digits that change if the names, sizes or contents of files do."""
    whole, left = hashlib.sha256(), MOST_READ
    for path in files:
        with opened(path, "input") as file:
            size = os.fstat(file.fileno()).st_size
            whole.update(f"{path.name} {size} ".encode(errors="replace"))
            if size <= left:
                whole.update(file.read(size))
                left -= size
    return whole.hexdigest()[:16]
