"""Files of plain arrays (``.npy``, ``.npz``, PyTorch's, pickles, safetensors), opened as inert data whatever they are called.

Everything that reads codes or directions begins here, and so does ``inspect``. What a file claims is compared with its size
before anything is inflated or allocated.
"""

from __future__ import annotations

import io
import lzma
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from tokenize import TokenError
from typing import Any

import numpy as np
import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError, shown
from semanifold.core.plain import Json, JsonObject
from semanifold.storage import containers
from semanifold.storage.checkpoints import Value, allow, materialise, read_header, tensor_bytes
from semanifold.storage.files import opened, read_bytes, replacing, write_bytes
from semanifold.storage.inert import ArrayRecord, ForbiddenError, InertObject, UnreadableError
from semanifold.storage.unpickling import Budget, unpickle

MAGIC = b"\x93NUMPY"
MOST_LISTED = 10_000
"""Arrays of a file that are looked at."""
DEEPEST = 8
"""Dictionaries inside of one another that are looked into."""

Place = tuple[str | int, ...]
"""Keys and indices that lead to an array of a file; empty for one that is all of it."""


@dataclass(frozen=True)
class Arrays:
    """The inert contents of a file of arrays.

    Attributes:
        name: the file, fit to be printed.
        format: its container, in words.
        tree: dicts, lists, arrays and whatever else is inside.
        size: bytes of the file.
        header: our own header of a safetensors file; empty for other files.
    """

    name: str
    format: str
    tree: Any
    size: int
    header: Mapping[str, Json] = field(default_factory=dict)

    @property
    def leaves(self) -> dict[Place, Value]:
        """The arrays by their places, in the order of the file."""
        return leaves_of(self.tree)

    def tensors(self, values: Iterable[Value]) -> list[Tensor]:
        """Return the numbers of some of the arrays.

        Raises:
            SemanifoldError: if they take far more memory than the file has bytes, or are damaged.
        """
        values = list(values)
        try:
            for value in values:
                _check_shape(tuple(value.shape))
            allow(sum(map(tensor_bytes, values)), self.size)
            return [materialise(value).detach() for value in values]
        except UnreadableError as error:
            raise SemanifoldError(f"{self.name} is damaged: it {shown(str(error), 160)}.") from error
        except (RuntimeError, ValueError, OverflowError, MemoryError) as error:
            raise SemanifoldError(f"{self.name} is damaged: {shown(str(error), 120)}.") from error


def leaves_of(tree: object) -> dict[Place, Value]:
    """Collect the arrays anywhere in the contents of a file, by their places."""
    leaves: dict[Place, Value] = {}
    todo: list[tuple[Place, object]] = [((), tree)]
    for _ in range(MOST_LISTED):
        if not todo:
            break
        place, value = todo.pop()
        if isinstance(value, Value):
            leaves[place] = value
            continue
        value = value.state if isinstance(value, InertObject) else value
        pairs = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
        room = max(0, MOST_LISTED - len(todo)) if len(place) < DEEPEST else 0
        inner = islice(pairs, room)
        todo += [((*place, key if isinstance(key, int) else str(key)), item) for key, item in inner][::-1]
    return leaves


def spelled(place: Place, whole: str = "(the array)") -> str:
    """Return a place as text, such as ``face.png.latent``; its end, if it is long."""
    return ".".join(map(str, place))[-200:] or whole


def open_arrays(path: str | os.PathLike[str], what: str = "file of arrays") -> Arrays:
    """Open a file of arrays; what it is called does not matter, and nothing in it is run.

    Args:
        path: a regular file.
        what: what is expected, for the messages.

    Raises:
        SemanifoldError: if there is no such file, it holds something else, is damaged, or claims more than it can hold.
    """
    name = shown(os.fspath(path), 200)
    with opened(path, what) as file:
        start = file.read(len(MAGIC))
    try:
        if start == MAGIC:
            data = read_bytes(path, what)
            return Arrays(name, "a numpy array (.npy)", _numpy_array(memoryview(data), Budget()), len(data))
        if start[:2] == b"PK" and (members := _numpy_members(path)) is not None:
            size = os.path.getsize(path)
            return Arrays(name, "a file of numpy arrays (.npz)", _read_members(members, size), size)
    except ForbiddenError as error:
        raise SemanifoldError(
            f"{name} asks Python to use {shown(str(error))!r}, which no file of arrays needs: nothing was run, but the file may "
            "be malicious; get the arrays from a source that you trust."
        ) from error
    except (UnreadableError, RecursionError, MemoryError) as error:
        words = shown(str(error), 200) or "claims too much"
        raise SemanifoldError(f"{name} cannot be read as plain arrays: it {words}.") from error
    contents = containers.read(path)
    if contents.problem:
        raise SemanifoldError(f"{name} {contents.problem}.")
    try:
        header, tree = read_header(contents), contents.tree
    except SemanifoldError as error:
        raise SemanifoldError(f"{name} cannot be read: {str(error)[:1].lower()}{str(error)[1:]}") from error
    if contents.format == "safetensors":  # which come in any order
        tree = dict(sorted(tree.items()))
    return Arrays(name, contents.format, tree, contents.size, header)


def write_torch(path: str | os.PathLike[str], value: object) -> None:
    """Write tensors, or dictionaries of them, as a file of PyTorch's, whole or not at all."""
    buffer = io.BytesIO()  # torch's own file writer hides what the operating system says
    torch.save(value, buffer)
    write_bytes(path, buffer.getvalue())


def write_numpy(path: str | os.PathLike[str], array: np.ndarray | Mapping[str, np.ndarray]) -> None:
    """Write an array as ``.npy``, or several by their names as ``.npz``, whole or not at all."""
    with replacing(path) as part, part.open("wb") as file:
        if isinstance(array, Mapping):
            np.savez(file, **array)  # type: ignore[arg-type]  # names, none of which is an option
        else:
            np.save(file, array)


def _check_shape(shape: tuple[int, ...]) -> None:
    """Refuse shapes that no memory holds, such as ``(2**47, 2**47, 0)``: torch multiplies before it looks for the zero."""
    if math.prod(n for n in shape if n) >= 1 << 48 or any(n < 0 for n in shape):
        raise UnreadableError(f"claims an array of the impossible shape {shown(str(list(shape)))}")


def _numpy_array(data: memoryview, budget: Budget) -> Any:
    """Return the array of the bytes of a ``.npy`` file; of one of objects, these as inert data.

    Raises:
        UnreadableError: if the bytes are no whole array, or one of something else than numbers.
        ForbiddenError: if pickled objects ask for a name that no file of arrays needs.
    """
    stream = io.BytesIO(data[: 1 << 17])  # no header is longer; numpy refuses those above 10,000 bytes
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, kind = read(stream)
    except (ValueError, TypeError, KeyError, SyntaxError, TokenError, OverflowError, EOFError, struct.error) as error:
        raise UnreadableError("is damaged in its header") from error
    rest = data[stream.tell() :]
    if kind.hasobject and kind.names is None:
        return unpickle(rest, budget=budget)[0]
    if kind.kind not in "fiub" or kind.itemsize > 8 or kind.subdtype is not None:
        raise UnreadableError(f"holds an array of type {shown(str(kind), 40)}, not of numbers of at most 64 bits")
    _check_shape(tuple(shape))
    if math.prod(shape) * kind.itemsize != len(rest):
        raise UnreadableError(
            f"claims an array of shape {shown(str(list(shape)))} where it holds {len(rest):,} bytes; it is damaged"
        )
    return ArrayRecord("F" if fortran else "C", kind.str, tuple(map(int, shape)), rest)


_BROKEN = (
    zipfile.BadZipFile, ValueError, OSError, NotImplementedError, struct.error, EOFError, RuntimeError, KeyError, zlib.error,
    lzma.LZMAError, OverflowError,
)  # fmt: skip
"""What the standard library raises for damaged zip archives."""


def _numpy_members(path: str | os.PathLike[str]) -> zipfile.ZipFile | None:
    """Return the archive of an ``.npz`` file; None for any other zip archive, such as PyTorch's."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(read_bytes(path)))
    except _BROKEN:
        return None
    names = archive.namelist()
    return archive if names and all(name.endswith(".npy") for name in names) else None


def _read_members(archive: zipfile.ZipFile, size: int) -> JsonObject:
    """Return the arrays of an ``.npz`` file by their names, once it is clear that they are not far larger than the file."""
    entries = archive.infolist()
    if len(entries) > MOST_LISTED:
        raise UnreadableError(f"holds {len(entries):,} arrays, more than are ever needed")
    if any(entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for entry in entries):
        raise UnreadableError("is compressed in a way that numpy never uses")
    allow(sum(entry.file_size for entry in entries), size)
    budget, arrays = Budget(), JsonObject()
    for entry in entries:
        try:
            with archive.open(entry) as file:
                data = file.read()
        except _BROKEN as error:
            raise UnreadableError(f"is damaged at its array {shown(entry.filename)!r}") from error
        arrays[entry.filename.removesuffix(".npy")] = _numpy_array(memoryview(data), budget)
    return arrays
