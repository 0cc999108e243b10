"""Strategies that turn good files into bad ones: bytes anywhere, values of JSON and headers, opcodes of pickles."""

from __future__ import annotations

import json
import struct
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

EDGES = [0, 1, -1, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1, 10**30, 10**400]
"""Whole numbers at which programs break."""
TEXTS = [
    "",
    "a",
    "\x1b[2J",
    "\u202e",
    "\0",
    "\ud800",
    "..",
    "../x",
    "/etc/passwd",
    "a.py:g",
    "NaN",
    "x" * 300,
    "faces",
    "w+",
    "~",
    "<b>",
]
"""Texts that mean something to somebody."""

texts: SearchStrategy[str] = st.sampled_from(TEXTS) | st.text(max_size=20)
numbers: SearchStrategy[Any] = st.sampled_from(EDGES) | st.integers(-5, 100) | st.floats() | st.sampled_from([1e308, -1e308, 0.5])
scalars: SearchStrategy[Any] = st.none() | st.booleans() | numbers | texts
values: SearchStrategy[Any] = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)
"""JSON values."""


def spelled(value: Any) -> bytes:
    """Return a value as JSON, however odd its texts."""
    return json.dumps(value).encode("utf-8", "surrogatepass")


@st.composite
def bent_bytes(draw: DrawFn, seeds: list[bytes]) -> bytes:
    """Draw one of the good files with a few bytes changed, cut, doubled or put in."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        kind = draw(st.sampled_from(["flip", "put", "cut", "double", "number", "end"]))
        if kind == "flip" and at < len(data):
            data[at] = draw(st.integers(0, 255))
        elif kind == "put":
            data[at:at] = draw(st.binary(min_size=1, max_size=8))
        elif kind == "cut":
            del data[at : at + draw(st.integers(1, 64))]
        elif kind == "double":
            data[at:at] = data[at : at + draw(st.integers(1, 256))]
        elif kind == "number":
            size = draw(st.sampled_from([2, 4, 8]))
            number = draw(st.sampled_from(EDGES[:-2])) % (1 << (8 * size))
            data[at : at + size] = number.to_bytes(size, "little")
        else:
            del data[at:]
    return bytes(data)


@st.composite
def bent_value(draw: DrawFn, good: Any) -> Any:
    """Draw a JSON value with one to three of its parts replaced, left out or doubled."""
    whole = json.loads(json.dumps(good))
    for _ in range(draw(st.integers(1, 3))):
        holder, inner = {"": whole}, ""  # a place to put the whole as well
        while isinstance(holder[inner], dict | list) and len(holder[inner]) and draw(st.integers(0, 3)):
            holder = holder[inner]  # type: ignore[assignment]
            inner = draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else range(len(holder))))  # type: ignore
        kind = draw(st.sampled_from(["put", "put", "put", "drop", "more"]))
        if kind == "put" or inner == "":
            holder[inner] = draw(values)
        elif kind == "drop":
            del holder[inner]
        elif isinstance(holder, dict):
            holder[draw(texts)] = draw(values)  # type: ignore[index]
        else:
            holder.append(draw(values))  # type: ignore[attr-defined]
        if inner == "":
            whole = holder[""]
    return whole


@st.composite
def bent_json(draw: DrawFn, seeds: list[bytes]) -> bytes:
    """Draw one of the good JSON files with other values, or other bytes."""
    if draw(st.integers(0, 3)) == 0:
        return draw(bent_bytes(seeds))
    return spelled(draw(bent_value(json.loads(draw(st.sampled_from(seeds))))))


@st.composite
def bent_safetensors(draw: DrawFn, seeds: list[bytes]) -> bytes:
    """Draw one of the good safetensors files with another header, another one of ours, or other bytes."""
    data = draw(st.sampled_from(seeds))
    kind = draw(st.sampled_from(["bytes", "header", "ours", "ours"]))
    if kind == "bytes":
        return draw(bent_bytes([data]))
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    if kind == "ours" and "semanifold" in header.get("__metadata__", {}):
        ours = spelled(draw(bent_value(json.loads(header["__metadata__"]["semanifold"]))))
        header["__metadata__"]["semanifold"] = ours.decode("utf-8", "surrogatepass")
    else:
        header = draw(bent_value(header))
    text = spelled(header)
    return struct.pack("<Q", len(text)) + text + data[8 + size :]


NAMES = [
    ("collections", "OrderedDict"), ("torch._utils", "_rebuild_tensor_v2"), ("torch", "FloatStorage"), ("torch", "bfloat16"),
    ("torch._utils", "_rebuild_parameter"), ("torch.storage", "_load_from_bytes"), ("numpy", "ndarray"), ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"), ("numpy.core.multiarray", "scalar"), ("_codecs", "encode"), ("builtins", "set"),
    ("copyreg", "_reconstructor"), ("builtins", "object"), ("pathlib", "PosixPath"), ("datetime", "datetime"), ("os", "system"),
    ("torch_utils.persistence", "_reconstruct_persistent_obj"), ("dnnlib.util", "EasyDict"), ("torch", "Size"),
    ("builtins", "eval"),
    ("torch.nn.parallel.data_parallel", "DataParallel"), ("collections", "defaultdict"), ("functools", "partial"),
]  # fmt: skip
"""Names that pickles of weights hold, and some that they never do."""
PLAIN = [bytes([code]) for code in b"(.012]})tlsaubeQR\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x93\x94N"]
"""Opcodes without an argument."""


LITERALS = [b"G" + struct.pack(">d", 1e308), b"B\x04\0\0\0abcd", b"C\x02ab", b"\x8a\x09" + b"\xff" * 8 + b"\0"]
"""A number, bytes, bytes, and a large number."""


@st.composite
def opcode(draw: DrawFn) -> bytes:
    """Draw one instruction of a pickle."""
    kind = draw(st.integers(0, 9))
    if kind <= 4:
        return draw(st.sampled_from(PLAIN))
    if kind == 5:
        module, name = draw(st.sampled_from(NAMES))
        return f"c{module}\n{name}\n".encode()
    if kind == 6:
        text = draw(texts).encode("utf-8", "surrogatepass")
        return b"X" + struct.pack("<I", len(text)) + text
    if kind == 7:
        return draw(st.sampled_from([b"K", b"q", b"h"])) + bytes([draw(st.integers(0, 4))])
    if kind == 8:
        return b"J" + struct.pack("<i", draw(st.sampled_from([0, 1, -1, 2**31 - 1, 64])))
    return draw(st.sampled_from(LITERALS))


pickles: SearchStrategy[bytes] = st.lists(opcode(), max_size=60).map(lambda codes: b"\x80\x04" + b"".join(codes) + b".")
"""Pickles of random instructions."""
