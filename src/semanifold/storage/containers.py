"""The files that weights come in, opened without running anything: PyTorch's two formats, plain pickles and safetensors.

:func:`read` gives the inert contents of a file, or says in a few words what the file is instead.
"""

from __future__ import annotations

import io
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import safetensors.torch
from safetensors import SafetensorError

from semanifold.core.errors import SemanifoldError, shown
from semanifold.storage.digests import digest
from semanifold.storage.files import read_bytes
from semanifold.storage.inert import STORAGES, Builder, ForbiddenError, InertObject, Name, Storage, UnreadableError
from semanifold.storage.tensors import metadata_of
from semanifold.storage.unpickling import Budget, unpickle

LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


@dataclass(frozen=True)
class Contents:
    """What a file holds.

    Attributes:
        format: the container, in words.
        tree: dicts, lists, tuples, tensors and the inert records of :mod:`~.inert`; None if there are no weights.
        problem: why there is no tree, as the end of a sentence that begins with the file's name; empty otherwise.
        metadata: text pairs of a safetensors header.
        size: bytes.
        sha256: of the file.
    """

    format: str
    tree: Any = None
    problem: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    size: int = 0
    sha256: str = ""


def read(path: str | os.PathLike[str]) -> Contents:
    """Open a file of weights as inert data.

    Raises:
        SemanifoldError: if there is no such file or it cannot be read; a file of another kind is no error but a ``problem``.
    """
    data = read_bytes(path)
    facts = {"size": len(data), "sha256": digest(data, digits=64)}
    name, reader = _recognise(data)
    if reader is None:
        return Contents(name, problem=f"is {name}", **facts)
    try:
        tree, metadata = reader(data)
    except ForbiddenError as error:
        problem = (
            f"asks Python to use {shown(str(error))!r}, which no checkpoint needs: nothing was run, but the file may be "
            "malicious; do not open it with other programs, and get the weights from a source that you trust"
        )
        return Contents(name, problem=problem, **facts)
    except SemanifoldError as error:
        return Contents(name, problem=f"({name}) is damaged ({shown(str(error), 200).rstrip('.')}); get a fresh copy", **facts)
    except (UnreadableError, RecursionError, MemoryError) as error:
        return Contents(name, problem=f"({name}) {shown(str(error), 200) or 'claims too much'}; get a fresh copy", **facts)
    return Contents(name, tree, metadata=metadata, **facts)


Reader = Callable[[bytes], tuple[Any, dict[str, str]]]

EMPTY, DAMAGED = "an empty file", "damaged or cut short"
UNKNOWN = ("a text file, not a file of weights", "of no format that semanifold knows")
"""How formats that nothing here knows begin to be called."""
JUNK = [
    (rb"$(?!.)", f"{EMPTY}; get a fresh copy"),
    (rb".{257}ustar", "a tar archive; unpack it and give the file of weights inside"),
    (rb"\x1f\x8b|7z\xbc\xaf|Rar!|\xfd7zXZ", "a compressed archive; unpack it and give the file of weights inside"),
    (
        rb"\s*<(?i:!doctype|html|\?xml)",
        "a web page, probably an error page that was saved in place of the weights; download it again",
    ),
    (rb"version https://git-lfs", "a placeholder of git-lfs, not the file itself; run 'git lfs pull' where it lies"),
    (rb"\x93NUMPY", "a numpy array (.npy), such as a direction, not a generator"),
    (rb"\x89PNG|\xff\xd8\xff|GIF8|BM.{4}\0\0\0\0|RIFF.{4}WEBP", "a picture, not a file of weights"),
    (rb"\x89HDF", "an HDF5 file, as Keras writes; semanifold reads the files of PyTorch, safetensors and NVIDIA's pickles"),
    (rb"%PDF", "a PDF document, not a file of weights"),
    (rb"\x08[\x01-\x10]\x12", "probably an ONNX model; semanifold needs the weights in PyTorch's or safetensors form"),
]


def _recognise(data: bytes) -> tuple[str, Reader | None]:
    """Name the container by its first bytes, and how to read it; never by the file's name."""
    head = data[:4096]
    if head.startswith(b"PK"):
        return _recognise_zip(data)
    if head.startswith(LEGACY_MAGIC):
        return "PyTorch checkpoint of the old form", lambda data: (read_legacy(data, Budget()), {})
    if re.match(rb"\x80[\x00-\x05]", head) or _is_old_pickle(data):
        return "pickle", _read_pickle
    if re.match(rb".{5}\0\0\0\s*[{\[]", head, re.DOTALL):
        return "safetensors", _read_safetensors
    name = next((name for magic, name in JUNK if re.match(magic, head, re.DOTALL)), None)
    if name is None and re.sub(r"[\n\r\t]", "", head.decode("utf-8", "ignore")).isprintable():
        name = UNKNOWN[0]
    return name or f"{UNKNOWN[1]} (it begins with the bytes {head[:4].hex(' ')})", None


def _is_old_pickle(data: bytes) -> bool:
    """Whether these are a pickle of protocol 0 or 1, which have no mark at the start and may look like text."""
    if not data.endswith(b".") or data[0] not in b"(c]}ld":
        return False
    try:
        _read_pickle(data)
    except UnreadableError:
        return False
    except ForbiddenError:
        pass
    return True


def _recognise_zip(data: bytes) -> tuple[str, Reader | None]:
    try:
        names = zipfile.ZipFile(io.BytesIO(data)).namelist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, struct.error, EOFError):
        return "a zip or PyTorch file that is damaged or cut short; get a fresh copy", None
    if any(name.endswith("constants.pkl") for name in names):
        return "a TorchScript archive, which holds code; save the state dict of the generator and give that", None
    if any(re.fullmatch(r"[^/]*/data\.pkl", name) for name in names):
        return "PyTorch checkpoint", _read_zip
    if names and all(name.endswith(".npy") for name in names):
        return "a file of numpy arrays (.npz), such as codes or directions, not a generator", None
    inside = f", whose first entry is {shown(names[0], 40)!r}" if names else ", which is empty"
    return f"a zip archive that PyTorch did not write{inside}; unpack it and give the file of weights inside", None


def _read_pickle(data: bytes) -> tuple[Any, dict[str, str]]:
    """A plain pickle, as NVIDIA's programs write; its tensors are small PyTorch files of their own inside of it."""
    budget = Budget()
    seen: dict[int, tuple[Any, Storage]] = {}

    def nested(inner: Any) -> Storage:
        if id(inner) not in seen:  # the bytes are kept, so that no others get their number
            seen[id(inner)] = inner, _nested(inner, budget)
        return seen[id(inner)][1]

    extra: dict[tuple[str, str], Builder] = {("torch.storage", "_load_from_bytes"): nested}
    return unpickle(data, extra=extra, budget=budget)[0], {}


def _nested(data: Any, budget: Budget) -> Storage:
    if not isinstance(data, bytes | memoryview) or bytes(data[: len(LEGACY_MAGIC)]) != LEGACY_MAGIC:
        raise UnreadableError("holds a tensor in a form that PyTorch does not write")
    storage = read_legacy(data, budget)
    if not isinstance(storage, Storage):
        raise UnreadableError("holds a tensor without a storage")
    return storage


def _storage_id(pid: object) -> tuple[Any, str, int] | None:
    """Read ``("storage", type, key, device, count, ...)``, the way in which PyTorch refers to the numbers of a tensor.

    Returns:
        Type, key and count; None for a type that no generator has, such as quantised numbers.
    """
    if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage" or any(pid[5:]):
        raise UnreadableError("refers to something that is no storage of a tensor")
    _, kind, key, _, numel = pid[:5]
    if not isinstance(kind, Name) or type(key) is not str or type(numel) is not int or numel < 0:
        raise UnreadableError("refers to a storage of an unknown type")
    return (STORAGES[kind.name], key, numel) if kind.name in STORAGES else None


def read_legacy(data: bytes | memoryview, budget: Budget) -> Any:
    """Read the format of PyTorch before 1.6: magic number, protocol, system, the object, storage keys, and the storages."""
    pieces: dict[str, memoryview] = {}
    storages: dict[str, Storage] = {}

    def persistent(pid: object) -> object:
        if isinstance(pid, tuple) and len(pid) > 1 and pid[0] == "module":
            return pid[1]  # the class of a whole module; its source text beside it is dropped unread
        known = _storage_id(pid)
        if known is None:
            raise UnreadableError("refers to a storage of an unknown type")  # nobody can tell where the next one begins
        dtype, key, numel = known
        return storages.setdefault(key, Storage(dtype, numel, lambda: pieces[key]))

    position = 0
    parts = []
    for _ in range(5):
        part, position = unpickle(data, position, persistent=persistent, budget=budget)
        parts.append(part)
    _, version, system, tree, keys = parts
    if version != 1001 or not isinstance(system, dict) or system.get("little_endian") is not True or not isinstance(keys, list):
        raise UnreadableError("was written by a PyTorch or on a machine that semanifold does not know")
    view = memoryview(data)
    for key in keys:
        storage = storages.get(key) if isinstance(key, str) else None
        if storage is None or len(view) < position + 8:
            raise UnreadableError("is cut short")
        stop = position + 8 + storage.numel * storage.dtype.itemsize
        if struct.unpack("<q", view[position : position + 8])[0] != storage.numel or stop > len(view):
            raise UnreadableError("is cut short")
        pieces[key], position = view[position + 8 : stop], stop
    if pieces.keys() != storages.keys():
        raise UnreadableError("lacks the values of some tensors")
    return tree


def _read_zip(data: bytes) -> tuple[Any, dict[str, str]]:
    """Read PyTorch's present format: a zip archive of a pickle and one uncompressed entry a storage."""
    entries = {info.filename: info for info in zipfile.ZipFile(io.BytesIO(data)).infolist()}
    if any(info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 for info in entries.values()):
        raise UnreadableError("is compressed inside, which PyTorch never does")
    if sum(info.file_size for info in entries.values()) > len(data):
        raise UnreadableError("claims to hold more than its own size")

    def entry(name: str) -> memoryview:
        piece = _stored(data, entries[name]) if name in entries else None
        if piece is None:
            raise UnreadableError(f"is damaged at its entry {shown(name)!r}")
        return piece

    pickled = [name for name in entries if re.fullmatch(r"[^/]*/data\.pkl", name)]
    if len(pickled) != 1:
        raise UnreadableError("holds several checkpoints in one")
    root = pickled[0].removesuffix("data.pkl")
    if f"{root}byteorder" in entries and entry(f"{root}byteorder") != b"little":
        raise UnreadableError("was written on a big-endian machine, which semanifold does not support")
    storages: dict[str, Storage] = {}

    def persistent(pid: object) -> object:
        known = _storage_id(pid)
        if known is None:
            return InertObject(Name("torch", "Storage"))
        dtype, key, numel = known
        return storages.setdefault(key, Storage(dtype, numel, lambda: entry(f"{root}data/{key}")))

    return unpickle(entry(pickled[0]), persistent=persistent)[0], {}


def _stored(data: bytes, info: zipfile.ZipInfo) -> memoryview | None:
    """Return an uncompressed entry as a view of its archive; None if it is damaged."""
    head = data[info.header_offset : info.header_offset + 30]
    if len(head) < 30 or not head.startswith(b"PK\3\4"):
        return None
    start = info.header_offset + 30 + sum(struct.unpack("<HH", head[26:30]))  # the name, and what fills up to the next 64 bytes
    piece = memoryview(data)[start : start + info.file_size]
    return piece if len(piece) == info.file_size and zlib.crc32(piece) == info.CRC else None


def _read_safetensors(data: bytes) -> tuple[Any, dict[str, str]]:
    metadata = metadata_of(data, "the file")
    try:
        return safetensors.torch.load(data), metadata
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError, OverflowError) as error:
        raise UnreadableError(f"is {DAMAGED} ({shown(str(error))})") from error
