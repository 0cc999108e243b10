"""The inert values that a pickle may turn into: names, records, tensors and arrays, and the table of what may be put together.

Nothing here imports, looks up or calls anything that a file names. :mod:`~semanifold.generators.unpickling` reads the pickles.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


class UnreadableError(Exception):
    """The bytes are not what they claim to be; the message goes on from "it ..." ."""


class ForbiddenError(Exception):
    """The pickle asks for something that no checkpoint needs; the message is the name that it asks for."""


@dataclass(frozen=True, slots=True)
class Name:
    """A global name in a pickle; never looked up anywhere."""

    module: str
    name: str


@dataclass(slots=True)
class Record:
    """An instance of some class: the class's name and what the pickle says about the instance."""

    kind: Name
    state: object = None


@dataclass(slots=True)
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
        """Return all numbers ``[numel]``, copied once."""
        if self._flat is None:
            data = self.load()
            if len(data) != self.numel * self.dtype.itemsize:
                raise UnreadableError(f"claims {self.numel} values of {self.dtype} where it holds {len(data)} bytes")
            self._flat = torch.frombuffer(bytearray(data), dtype=self.dtype) if data else torch.empty(0, dtype=self.dtype)
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
        """Return the values."""
        return self.storage.flat().as_strided(self.shape, self.stride, self.offset).contiguous()


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


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: object) -> TensorRecord:
    if not isinstance(storage, Storage):
        raise UnreadableError("holds a tensor without a storage")
    offset, shape, stride = _size(offset), _sizes(shape), _sizes(stride)
    last = offset + sum((n - 1) * step for n, step in zip(shape, stride))
    if len(shape) != len(stride) or (math.prod(shape) and last >= storage.numel) or math.prod(shape) > max(storage.numel, 0):
        raise UnreadableError("holds a tensor that reaches beyond its storage")
    return TensorRecord(storage, offset, shape, stride)


def numpy_type(text: Any, *_: object) -> NumpyType:
    """Note a numpy dtype; only plain numbers and, for arrays that are really lists, objects are possible."""
    if not isinstance(text, str) or not re.fullmatch(r"[<>=|]?(f[248]|i[1248]|u[1248]|b1|O8?)", text):
        raise UnreadableError(f"holds a numpy array of type {str(text)[:20]!r}, not of numbers")
    return NumpyType(text)


def _numpy_scalar(kind: Any, data: Any) -> object:
    return numpy_buffer(data, kind, ()).tensor().item()


def _bytes(data: object) -> bytes | memoryview:
    if isinstance(data, str):  # pickled by Python 2
        return data.encode("latin-1")
    if isinstance(data, bytes | bytearray | memoryview):
        return memoryview(data)
    raise UnreadableError("holds an array without bytes")


def numpy_buffer(data: Any, kind: Any, shape: Any, order: Any = "C", *_: object) -> ArrayRecord:
    """Note a numpy array of given bytes."""
    if not isinstance(kind, NumpyType) or "O" in kind.text:
        raise UnreadableError("holds a numpy array without a type")
    return ArrayRecord(str(order), kind.text, _sizes(shape), _bytes(data))


def _persistent(meta: Any) -> Record:
    """A module of NVIDIA's: a record of class name, state, and source code, which is dropped unread."""
    if not isinstance(meta, dict) or not isinstance(meta.get("class_name"), str):
        raise UnreadableError("holds a module record without a class name")
    return Record(Name("torch_utils.persistence", meta["class_name"]), meta.get("state"))


def _mapping(*args: Any) -> dict[Any, Any]:
    """OrderedDict, EasyDict, defaultdict: all become a plain dict."""
    pairs = args[-1] if args and isinstance(args[-1], list | dict) else []
    return {plain_key(key): value for key, value in (pairs.items() if isinstance(pairs, dict) else pairs)}


def plain_key(key: object) -> Any:
    """Only plain keys: hashing a tuple nested a million deep would crash the interpreter."""
    if key is None or type(key) in (str, bytes, bool) or (type(key) is int and abs(key) < 1 << 60):
        return key
    raise UnreadableError(f"uses a {type(key).__name__} as a key")


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
    ("torch", "Size"): _sizes,
    ("torch", "device"): _inert,
    ("numpy", "dtype"): numpy_type,
    ("_codecs", "encode"): lambda text, *_: _bytes(text),
    ("builtins", "set"): list,
    ("__builtin__", "set"): list,
    ("copyreg", "_reconstructor"): lambda kind, *_: instance(kind),
    ("copy_reg", "_reconstructor"): lambda kind, *_: instance(kind),
}
for _numpy in ("numpy.core", "numpy._core"):
    BUILDERS[(f"{_numpy}.multiarray", "_reconstruct")] = lambda *_: ArrayRecord()
    BUILDERS[(f"{_numpy}.multiarray", "scalar")] = _numpy_scalar
    BUILDERS[(f"{_numpy}.numeric", "_frombuffer")] = numpy_buffer
"""What "call this name" means; :mod:`~semanifold.generators.containers` adds ``torch.storage._load_from_bytes``."""

_ROOMS = r"torch\.nn\.(modules|parameter)|models?|ops?|training|networks|stylegan2\w*|torch_utils|dnnlib|tfutil"
CLASSES = re.compile(rf"({_ROOMS})(\.\w+)* [A-Za-z_]\w*", re.ASCII)
"""Classes whose instances may stand in a file as records: torch's modules and the module names of the published code."""

VALUES = {("builtins", "object"), ("__builtin__", "object"), ("builtins", "dict"), ("builtins", "list"), ("numpy", "ndarray")}
VALUES |= {
    ("argparse", "Namespace"),
    ("torch.storage", "_load_from_bytes"),
    ("torch", "float16"),
    ("torch", "float32"),
    ("torch", "float64"),
}
"""Names that may be mentioned and stand for nothing but themselves."""


def instance(kind: object) -> object:
    """Make the record of an instance; classes of dictionaries make dictionaries."""
    if isinstance(kind, Name):
        return {} if BUILDERS.get((kind.module, kind.name)) is _mapping else Record(kind)
    raise UnreadableError("makes an instance of something that is no class")


def check_name(module: object, name: object) -> Name:
    """Turn a global name into a :class:`Name`, or refuse it.

    Raises:
        ForbiddenError: if it is in none of the tables.
    """
    if type(module) is str and type(name) is str:
        pair = (module, name)
        storage = module in ("torch", "torch.cuda", "torch.storage") and name in STORAGES
        if storage or pair in BUILDERS or pair in VALUES or CLASSES.fullmatch(f"{module} {name}"):
            return Name(module, name)
        if not re.fullmatch(r"[\w.]+ [\w.]+", f"{module} {name}"):
            raise UnreadableError("is damaged (a global name is no name)")
        raise ForbiddenError(f"{module}.{name}"[:80])
    raise UnreadableError("names a global by something other than text")
