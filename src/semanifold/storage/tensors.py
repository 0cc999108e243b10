"""Safetensors files with a JSON header of ours, under the key ``semanifold`` of their metadata."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from safetensors import SafetensorError

from semanifold.core.errors import SemanifoldError, shown
from semanifold.core.lazy import LazyModule
from semanifold.storage.files import opened, replacing
from semanifold.storage.records import MOST_BYTES, parse_json

if TYPE_CHECKING:
    import safetensors.torch as files
    import torch
    from torch import Tensor
else:  # headers are read without torch
    files, torch = LazyModule("safetensors.torch"), LazyModule("torch")

HEADER = "semanifold"
MOST_TENSORS = 20_000
"""Tensors of one file; the largest generators have some thousands."""


class TensorFile(NamedTuple):
    """A safetensors file.

    Attributes:
        header: our header; empty if the file has none, as those of other programs.
        tensors: by name.
        metadata: all text pairs of the file.
    """

    header: dict[str, Any]
    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def write_tensors(path: str | os.PathLike[str], tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write tensors with a header as one file, whole or not at all."""
    plain: dict[str, Tensor] = {}
    seen: set[int] = set()
    for key, value in tensors.items():
        copy = value.detach().cpu().contiguous()
        memory = copy.untyped_storage().data_ptr()
        plain[key] = copy.clone() if memory in seen else copy  # safetensors refuses two tensors in one memory
        seen.add(memory)
    with replacing(path) as part:
        files.save_file(plain, part, metadata={HEADER: json.dumps(header)})


def metadata_of(data: bytes, what: str) -> dict[str, str]:
    """Return the text pairs of the bytes of a safetensors file, or of their first part.

    Raises:
        SemanifoldError: if its header is damaged.
    """
    if len(data) < 8 or (size := struct.unpack("<Q", data[:8])[0]) > min(len(data) - 8, MOST_BYTES):
        raise SemanifoldError(f"{what} is no safetensors file, or is cut short.")
    held = parse_json(bytes(data[8 : 8 + size]), f"The header of {what}")
    pairs = held.get("__metadata__") if isinstance(held, dict) else None
    if not isinstance(held, dict) or not (
        pairs is None or (isinstance(pairs, dict) and all(isinstance(value, str) for value in pairs.values()))
    ):
        raise SemanifoldError(f"The header of {what} is damaged: it is not an object of tensors and texts.")
    if len(held) > MOST_TENSORS:
        raise SemanifoldError(f"{what} holds {len(held):,} tensors, more than are ever needed ({MOST_TENSORS:,}).")
    return pairs or {}


def header_of(metadata: Mapping[str, str], what: str) -> dict[str, Any]:
    """Return our header among the text pairs of a safetensors file; empty if there is none.

    Raises:
        SemanifoldError: if it is damaged.
    """
    if HEADER not in metadata:
        return {}
    held = parse_json(metadata[HEADER], f"The header of {what}")
    if not isinstance(held, dict):
        raise SemanifoldError(f"The header of {what} is damaged: it is not an object.")
    return held


def read_header(path: str | os.PathLike[str], what: str = "file") -> dict[str, Any]:
    """Return our header of a safetensors file without reading its tensors; empty for one of another program.

    Raises:
        SemanifoldError: if there is no such file, or it is no safetensors file.
    """
    name = shown(os.fspath(path), 200)
    with opened(path, what) as file:
        start = file.read(8)
        size = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        data = start + file.read(min(size, MOST_BYTES + 1))
    return header_of(metadata_of(data, name), name)


def read_tensors(path: str | os.PathLike[str], what: str = "file") -> TensorFile:
    """Return header and tensors of a safetensors file; it can run no code, and takes no more memory than its own size.

    Raises:
        SemanifoldError: if there is no such file, or it is damaged.
    """
    name = shown(os.fspath(path), 200)
    with opened(path, what) as file:
        data = file.read()
    metadata = metadata_of(data, name)
    try:
        tensors = dict(sorted(files.load(data).items()))  # the library gives them in another order each time
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError, OverflowError) as error:
        raise SemanifoldError(f"{name} is damaged or cut short: {shown(str(error), 120)}.") from error
    return TensorFile(header_of(metadata, name), tensors, metadata)


def checksum(tensors: Mapping[str, Tensor]) -> int:
    """Return the CRC-32 of the names and bytes of tensors in main memory, which headers keep to tell damaged ones."""
    total = 0
    for name in sorted(tensors):
        total = zlib.crc32(name.encode(), total)
        if tensors[name].numel():
            total = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().data, total)
    return total
