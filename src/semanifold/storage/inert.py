"""The inert values that a pickle turns into: names, records, tensors and arrays, and the table of what is put together.

Nothing here imports, looks up or calls anything that a file names. :mod:`~semanifold.storage.unpickling` reads the pickles,
:mod:`~semanifold.storage.malice` knows the names that only an attack uses.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from semanifold.storage.malice import malicious


class UnreadableError(Exception):
    """The bytes are not what they claim to be; the message goes on from "it ..." ."""


class ForbiddenError(Exception):
    """The pickle asks for something that only an attack needs; the message is the name that it asks for."""


@dataclass(frozen=True, slots=True)
class Name:
    """A global name in a pickle; never looked up anywhere."""

    module: str
    name: str


@dataclass(slots=True)
class InertObject:
    """An instance of some class, or what some function returned: the name, and what the pickle says about its attributes."""

    kind: Name
    state: object = None


@dataclass(slots=True, eq=False)
class Storage:
    """The numbers behind tensors, read only when they are asked for.

    Attributes:
        dtype: type of the numbers.
        numel: how many there are.
        load: gives their bytes.
    """

    dtype: torch.dtype
    numel: int
    load: Callable[[], bytes | memoryview]
    _flat: torch.Tensor | None = None

    def flat(self) -> torch.Tensor:
        """Return all numbers ``[numel]`` as a view of the file's bytes, which nobody may write to."""
        if self._flat is None:
            data = self.load()
            if len(data) != self.numel * self.dtype.itemsize:
                raise UnreadableError(f"claims {self.numel} values of {self.dtype} where it holds {len(data)} bytes")
            with warnings.catch_warnings(action="ignore"):  # that the bytes cannot be written to
                self._flat = torch.frombuffer(data, dtype=self.dtype) if data else torch.empty(0, dtype=self.dtype)
        return self._flat


@dataclass(frozen=True, slots=True)
class TensorRecord:
    """A tensor as a view of a storage; values are made only on request."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def dtype(self) -> torch.dtype:
        """Type of the elements."""
        return self.storage.dtype

    def tensor(self) -> torch.Tensor:
        """Return a copy of the values."""
        return self.storage.flat().as_strided(self.shape, self.stride, self.offset).clone(memory_format=torch.contiguous_format)


@dataclass(slots=True)
class ArrayRecord:
    """A numpy array; values are made only on request."""

    order: str = "C"
    type: str = "f4"
    shape: tuple[int, ...] = (0,)
    data: bytes | memoryview = b""

    @property
    def dtype(self) -> torch.dtype:
        """Type of the elements."""
        return torch.from_numpy(np.empty(0, np.dtype(self.type).newbyteorder("="))).dtype

    def tensor(self) -> torch.Tensor:
        """Return the values."""
        kind = np.dtype(self.type)
        # checked before anything is allocated
        if math.prod(self.shape) * kind.itemsize != len(self.data):
            raise UnreadableError(f"claims an array of shape {self.shape} where it holds {len(self.data)} bytes")
        array = np.frombuffer(bytearray(self.data), kind).astype(kind.newbyteorder("="), copy=False)
        return torch.from_numpy(array.reshape(self.shape, order="F" if self.order == "F" else "C")).contiguous()


@dataclass(slots=True)
class NumpyType:
    """A numpy dtype on its way: the letter and size first, the byte order by BUILD."""

    text: str


STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": torch.uint8,
}


def _size(value: object) -> int:
    if type(value) is not int or not 0 <= value < 1 << 48:
        raise UnreadableError("holds a tensor of an impossible size")
    return value


def _sizes(values: object) -> tuple[int, ...]:
    if not isinstance(values, tuple | list) or len(values) > 32:
        raise UnreadableError("holds a tensor of an impossible shape")
    return tuple(_size(value) for value in values)


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: object) -> TensorRecord | InertObject:
    if not isinstance(storage, Storage):
        return InertObject(Name("torch", "Tensor"))  # of a kind of numbers that no generator has
    offset, shape, stride = _size(offset), _sizes(shape), _sizes(stride)
    last = offset + sum((n - 1) * step for n, step in zip(shape, stride))
    if len(shape) != len(stride) or (math.prod(shape) and last >= storage.numel) or math.prod(shape) > max(storage.numel, 0):
        raise UnreadableError("holds a tensor that reaches beyond its storage")
    return TensorRecord(storage, offset, shape, stride)


def _of_type(function: Any, _: object, args: Any, *__: object) -> object:
    """A tensor with attributes or of a subclass: how to make the plain tensor, which is all that is wanted."""
    builder = BUILDERS.get((function.module, function.name)) if isinstance(function, Name) else None
    return builder(*args) if builder and isinstance(args, tuple) else InertObject(Name("torch", "Tensor"))


def numpy_type(text: Any, *_: object) -> NumpyType | InertObject:
    """Note a numpy dtype of plain numbers, or of objects for arrays that are really lists; any other is inert."""
    known = isinstance(text, str) and re.fullmatch(r"[<>=|]?(f[248]|i[1248]|u[1248]|b1|O8?)", text)
    return NumpyType(text) if known else InertObject(Name("numpy", "dtype"))


def _numpy_scalar(kind: Any, data: Any) -> object:
    made = numpy_buffer(data, kind, ())
    return made.tensor().item() if isinstance(made, ArrayRecord) else made


def _bytes(data: object) -> bytes | memoryview:
    if isinstance(data, str):  # pickled by Python 2
        return data.encode("latin-1")
    if isinstance(data, bytes | bytearray | memoryview):
        return memoryview(data)
    raise UnreadableError("holds an array without bytes")


def numpy_buffer(data: Any, kind: Any, shape: Any, order: Any = "C", *_: object) -> ArrayRecord | InertObject:
    """Note a numpy array of given bytes; one of texts or objects is inert."""
    if not isinstance(kind, NumpyType) or "O" in kind.text:
        return InertObject(Name("numpy", "ndarray"))
    return ArrayRecord("F" if order == "F" else "C", kind.text, _sizes(shape), _bytes(data))


def _persistent(meta: Any) -> InertObject:
    """A module of NVIDIA's: a record of class name, state, and source code, which is dropped unread."""
    if not isinstance(meta, dict) or not isinstance(meta.get("class_name"), str):
        raise UnreadableError("holds a module record without a class name")
    return InertObject(Name("torch_utils.persistence", meta["class_name"]), meta.get("state"))


def _mapping(*args: Any) -> dict[Any, Any]:
    """OrderedDict, EasyDict, defaultdict: all become a plain dict."""
    pairs = args[-1] if args and isinstance(args[-1], list | dict) else []
    return plain_entries(pairs.items() if isinstance(pairs, dict) else pairs)


def plain_entries(pairs: Iterable[Any]) -> dict[Any, Any]:
    """Return the pairs whose keys are plain; hashing a tuple nested a million deep would crash the interpreter."""
    return {key: value for key, value in pairs if key is None or type(key) in (str, bytes, bool, int, float, Name)}


def _inert(*args: object) -> object:
    return list(args)


Builder = Callable[..., object]

BUILDERS: dict[tuple[str, str], Builder] = {
    ("collections", "OrderedDict"): _mapping,
    ("collections", "defaultdict"): _mapping,
    ("dnnlib", "EasyDict"): _mapping,
    ("dnnlib.util", "EasyDict"): _mapping,
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): _persistent,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
    ("torch._utils", "_rebuild_parameter_with_state"): lambda data, *_: data,
    ("torch._tensor", "_rebuild_from_type_v2"): _of_type,
    ("torch", "Size"): _sizes,
    ("torch", "device"): _inert,
    ("numpy", "dtype"): numpy_type,
    ("_codecs", "encode"): lambda text, *_: _bytes(text),
    **{(module, kind): list for module in ("builtins", "__builtin__") for kind in ("set", "frozenset")},
    ("copyreg", "_reconstructor"): lambda kind, *_: instance(kind),
    ("copy_reg", "_reconstructor"): lambda kind, *_: instance(kind),
}
for _numpy in ("numpy.core", "numpy._core"):
    BUILDERS[(f"{_numpy}.multiarray", "_reconstruct")] = lambda *_: ArrayRecord()
    BUILDERS[(f"{_numpy}.multiarray", "scalar")] = _numpy_scalar
    BUILDERS[(f"{_numpy}.numeric", "_frombuffer")] = numpy_buffer
"""What "call this name" means; :mod:`~semanifold.storage.containers` adds ``torch.storage._load_from_bytes``."""


def instance(kind: object) -> object:
    """Make the record of an instance; classes of dictionaries make dictionaries."""
    if isinstance(kind, InertObject):  # of a class that a function makes, such as a named tuple
        return InertObject(kind.kind)
    if isinstance(kind, Name):
        return {} if BUILDERS.get((kind.module, kind.name)) is _mapping else InertObject(kind)
    raise UnreadableError("makes an instance of something that is no class")


def check_name(module: object, name: object) -> Name:
    """Turn a global name into a :class:`Name`, or refuse it.

    Raises:
        ForbiddenError: if only an attack uses it.
        UnreadableError: if it is no name.
    """
    if type(module) is str and type(name) is str:
        if malicious(module, name):
            raise ForbiddenError(f"{module}.{name}"[:80])
        if not re.fullmatch(r"[\w.]+ [\w.<>]+", f"{module} {name}"):
            raise UnreadableError("is damaged (a global name is no name)")
        return Name(module, name)
    raise UnreadableError("names a global by something other than text")
