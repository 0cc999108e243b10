"""Safetensors files with a JSON header of ours, under the key ``semanifold`` of their metadata.

Edits, sets of paths, pools and checkpoints are written by :func:`write_tensors` and read by :func:`read_format`, which checks the
name of the format, the header against a schema, and the tensors against their checksum.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from safetensors import SafetensorError

from semanifold.core.errors import SemanifoldError, shown
from semanifold.core.lazy import LazyModule
from semanifold.core.plain import Json, JsonObject
from semanifold.storage.files import opened, replacing
from semanifold.storage.records import MOST_BYTES, checked, parse_json

if TYPE_CHECKING:
    import safetensors.torch as files
    import torch
    from torch import Tensor
else:  # headers are read without torch
    files, torch = LazyModule("safetensors.torch"), LazyModule("torch")

T = TypeVar("T")

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

    header: JsonObject
    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def write_tensors(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Tensor],
    header: Mapping[str, Json] | None = None,
    *,
    texts: Mapping[str, str] | None = None,
    crc: bool = False,
    previous: Path | None = None,
) -> None:
    """Write tensors as one file, whole or not at all.

    Args:
        path: the file.
        tensors: by name.
        header: ours; None writes a file without one, for other programs.
        texts: other pairs of the metadata.
        crc: whether the header also gets a checksum of the tensors, ``crc32``, which :func:`read_format` compares.
        previous: see :func:`~semanifold.storage.files.replacing`.
    """
    plain: dict[str, Tensor] = {}
    seen: set[int] = set()
    for key, value in tensors.items():
        copy = value.detach().cpu().contiguous()
        memory = copy.untyped_storage().data_ptr()
        plain[key] = copy.clone() if memory in seen else copy  # safetensors refuses two tensors in one memory
        seen.add(memory)
    metadata = dict(texts or {})
    if header is not None:
        metadata[HEADER] = json.dumps({**header, "crc32": checksum(plain)} if crc else header)
    with replacing(path, previous) as part:
        files.save_file(plain, part, metadata=metadata or None)


def metadata_of(data: bytes, what: str) -> dict[str, str]:
    """Return the text pairs of the bytes of a safetensors file, or of their first part.

    Raises:
        SemanifoldError: if its header is damaged.
    """
    if len(data) < 8 or (size := struct.unpack("<Q", data[:8])[0]) > min(len(data) - 8, MOST_BYTES):
        raise SemanifoldError(f"{what} is damaged: it is no safetensors file, or is cut short.")
    header = parse_json(bytes(data[8 : 8 + size]), f"The header of {what}")
    pairs = header.get("__metadata__") if isinstance(header, dict) else None
    if not isinstance(header, dict) or not (
        pairs is None or (isinstance(pairs, dict) and all(isinstance(value, str) for value in pairs.values()))
    ):
        raise SemanifoldError(f"The header of {what} is damaged: it is not an object of tensors and texts.")
    if len(header) > MOST_TENSORS:
        raise SemanifoldError(f"{what} holds {len(header):,} tensors, more than are ever needed ({MOST_TENSORS:,}).")
    return pairs or {}


def header_of(metadata: Mapping[str, str], what: str) -> JsonObject:
    """Return our header among the text pairs of a safetensors file; empty if there is none.

    Raises:
        SemanifoldError: if it is damaged.
    """
    if HEADER not in metadata:
        return {}
    header = parse_json(metadata[HEADER], f"The header of {what}")
    if not isinstance(header, dict):
        raise SemanifoldError(f"The header of {what} is damaged: it is not an object.")
    return header


def read_header(path: str | os.PathLike[str], what: str = "file") -> JsonObject:
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
    """Return header and tensors of a safetensors file; it can run no code, and takes no more memory than twice its own size.

    The tensors get memory of their own: in that of the file they may be badly aligned, and BLAS then rounds otherwise.

    Raises:
        SemanifoldError: if there is no such file, or it is damaged.
    """
    name = shown(os.fspath(path), 200)
    with opened(path, what) as file:
        data = file.read()
    metadata = metadata_of(data, name)
    try:
        loaded = files.load(data)
        tensors = {key: loaded.pop(key).clone() for key in sorted(loaded)}  # the library gives them in another order each time
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError, OverflowError) as error:
        raise SemanifoldError(f"{name} is damaged or cut short: {shown(str(error), 120)}.") from error
    return TensorFile(header_of(metadata, name), tensors, metadata)


def read_format(path: str | os.PathLike[str], form: str, schema: type[T], what: str, advice: str) -> tuple[T, dict[str, Tensor]]:
    """Return the checked header and the tensors of a file that semanifold wrote.

    Args:
        path: the file.
        form: the ``format`` that its header must name, such as ``"semanifold-pool-1"``.
        schema: of the header, see :func:`~semanifold.storage.records.checked`.
        what: what it is expected to be, for the messages, such as ``"pool"``.
        advice: what to do if it is not, the end of the messages.

    Raises:
        SemanifoldError: if there is no such file, it is damaged or of another format, a field of its header is missing or wrong,
            or its tensors are not those of its checksum.
    """
    name = shown(os.fspath(path), 200)
    try:
        header, tensors, _ = read_tensors(path, what)
        if (stated := header.get("format")) != form:
            kind = f"of the format {shown(stated, 40)!r}" if isinstance(stated, str) else "another kind of file"
            raise SemanifoldError(f"{name} is {kind}, no {what} that this version reads")
        values = checked(header, schema, f"The header of {name}")
        if "crc32" in header and header["crc32"] != checksum(tensors):
            raise SemanifoldError(f"{name} is damaged: its bytes have changed")
    except SemanifoldError as error:
        raise SemanifoldError(f"{str(error).rstrip('.')}; {advice}.") from error
    return values, tensors


def checksum(tensors: Mapping[str, Tensor]) -> int:
    """Return the CRC-32 of the names and bytes of tensors in main memory, which headers keep to tell damaged ones."""
    total = 0
    for name in sorted(tensors):
        total = zlib.crc32(name.encode(), total)
        if tensors[name].numel():
            total = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().data, total)
    return total
