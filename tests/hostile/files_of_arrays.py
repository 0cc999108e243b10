"""Hostile ``.npy``, ``.npz`` and safetensors files."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from hostile.files_pickled import archive, bomb, calls, encrypted, saved
from hostile.trials import Hostile, Words
from hostile.uses import arrays, generator
from hostile.values import WRONG, write_safetensors


def npy(header: str, data: bytes = b"", version: tuple[int, int] = (1, 0)) -> bytes:
    """A ``.npy`` file of any header."""
    text = header.encode("latin-1") + b"\n"
    size = struct.pack("<H" if version == (1, 0) else "<I", len(text) % (1 << (16 if version == (1, 0) else 32)))
    return b"\x93NUMPY" + bytes(version) + size + text + data


def claims(shape: str, kind: str = "'<f4'", fortran: str = "False", data: bytes = b"") -> bytes:
    """A ``.npy`` file that claims a shape."""
    return npy(f"{{'descr': {kind}, 'fortran_order': {fortran}, 'shape': {shape}}}", data)


def whole(array: np.ndarray) -> bytes:
    """The bytes of ``np.save``."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


NPY: dict[str, Callable[[], bytes]] = {
    "2**40 numbers": lambda: claims("(1099511627776,)"),
    "10**30 numbers": lambda: claims("(10**30,)".replace("10**30", "1" + "0" * 30)),
    "(2**47, 2**47, 0)": lambda: claims(f"({2**47}, {2**47}, 0)"),
    "negative shape": lambda: claims("(-1, 64)", data=bytes(256)),
    "shape of text": lambda: claims("'abc'"),
    "shape of calls": lambda: claims("(__import__('os').getpid(),)"),
    "no shape": lambda: npy("{'descr': '<f4', 'fortran_order': False}"),
    "header is no dict": lambda: npy("[1, 2]"),
    "header is deep": lambda: npy("(" * 9000),
    "header of 60,000 letters": lambda: npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}" + " " * 60_000),
    "version 9.9": lambda: npy("{}", version=(9, 9)),
    "version 2 of 4 GB": lambda: b"\x93NUMPY\x02\x00\xff\xff\xff\xff{",
    "float128": lambda: whole(np.zeros((1, 64), dtype=np.longdouble)),
    "complex": lambda: whole(np.zeros((1, 64), dtype=np.complex128)),
    "objects": lambda: whole(np.array([{"w": np.zeros(64)}, None], dtype=object)),
    "objects that run code": lambda: claims("(1,)", "'|O'", data=calls("os system", "true")),
    "structured": lambda: whole(np.zeros(3, dtype=[("a", "<f4"), ("b", "<i8", (2, 2))])),
    "texts": lambda: whole(np.array(["\x1b[2J"] * 64)),
    "dates": lambda: whole(np.zeros(64, dtype="datetime64[s]")),
    "subarray": lambda: claims("(1,)", "('<f4', (1000000, 1000000))"),
    "strange type": lambda: claims("(1, 64)", "'<f99999999'", data=bytes(256)),
    "type that is code": lambda: claims("(1, 64)", "'__import__'", data=bytes(256)),
    "void": lambda: claims("(64,)", "'|V1000000000'"),
    "short": lambda: claims("(1, 64)", data=bytes(10)),
    "long": lambda: claims("(1, 64)", data=bytes(10_000)),
    "NaN": lambda: whole(np.full((1, 64), np.nan, dtype=np.float32)),
    "infinite": lambda: whole(np.full((8, 64), np.inf)),
    "huge": lambda: whole(np.full((1, 64), 1e300)),
    "empty": lambda: whole(np.zeros((0, 64), dtype=np.float32)),
    "no dimension": lambda: whole(np.float32(1)),
    "32 dimensions": lambda: whole(np.zeros((1,) * 32, dtype=np.float32)),
    "booleans": lambda: whole(np.ones((1, 64), dtype=bool)),
    "bytes of the other order": lambda: whole(np.full((1, 64), 3, dtype=">f8")),
    "magic alone": lambda: b"\x93NUMPY",
    "a million codes": lambda: whole(np.zeros((100_000, 64), dtype=np.float16)),
}


def npz_bomb() -> bytes:
    """An ``.npz`` of 2 GB of zeros, twice what a command may take, by hand: zeros that were packed once are put in 32 times."""
    if not _npz_bomb:
        header, count = claims(f"({2 << 28},)"), 2 << 4
        squeezer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
        begun, zeros = (squeezer.compress(part) + squeezer.flush(zlib.Z_FULL_FLUSH) for part in (header, bytes(1 << 26)))
        data = begun + count * zeros + squeezer.flush()
        facts = struct.pack("<HHHHHIIIHH", 20, 0, zipfile.ZIP_DEFLATED, 0, 33, BOMB_CRC, len(data), len(header) + (2 << 30), 5, 0)
        member = b"PK\3\4" + facts + b"w.npy" + data
        listed = b"PK\1\2" + struct.pack("<H", 20) + facts + struct.pack("<HHHII", 0, 0, 0, 0, 0) + b"w.npy"
        _npz_bomb.append(member + listed + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(listed), len(member), 0))
    return _npz_bomb[0]


BOMB_CRC = 0x0ED9EB15
"""Checksum of its array, which takes longer to compute than all the rest."""
_npz_bomb: list[bytes] = []
GOOD_NPY = whole(np.zeros((1, 64), dtype=np.float32))

NPZ: dict[str, Callable[[], bytes]] = {
    "bomb": npz_bomb,
    "broken inside": lambda: archive({"w.npy": GOOD_NPY[:100]}),
    "checksum": lambda: archive({"w.npy": GOOD_NPY}).replace(bytes(200), bytes(199) + b"\x01"),
    "nothing inside": lambda: archive({}),
    "objects": lambda: archive({"w.npy": claims("(1,)", "'|O'", data=calls("os system", "true"))}),
    "no arrays": lambda: archive({"w.npy": b"hello"}),
    "names that lead out": lambda: archive({"../../w.npy": GOOD_NPY, "/etc/x.npy": GOOD_NPY}),
    "names that steer": lambda: archive({"\x1b[2J\u202e.npy": GOOD_NPY}),
    "10,001 arrays": lambda: archive({f"{i}.npy": b"" for i in range(10_001)}),
    "two codes": lambda: archive({"w.npy": GOOD_NPY, "latents.npy": GOOD_NPY}),
    "bzip2": lambda: archive({"w.npy": GOOD_NPY}, zipfile.ZIP_BZIP2),
    "encrypted": lambda: encrypted(archive({"w.npy": GOOD_NPY})),
    "inner zip": lambda: archive({"w.npy": archive({"w.npy": GOOD_NPY})}),
}  # fmt: skip


def tensors(entries: dict[str, object], data: bytes = b"", metadata: object = None) -> tuple[str, bytes]:
    """The header and the bytes of a safetensors file."""
    held = dict(entries) if metadata is None else {"__metadata__": metadata, **entries}
    return json.dumps(held), data


def entry(shape: list, offsets: list, kind: object = "F32") -> dict:
    """One tensor of a safetensors header."""
    return {"dtype": kind, "shape": shape, "data_offsets": offsets}


GOOD_ENTRY = entry([1, 64], [0, 256])
HEADERS: dict[str, Callable[[], tuple[str, bytes]]] = {
    "[]": lambda: ("[]", b""),
    "null": lambda: ("null", b""),
    "empty": lambda: ("", b""),
    "{}": lambda: ("{}", b""),
    "text": lambda: ('"abc"', b""),
    "10**5 levels": lambda: ('{"a":' * 10**5, b""),
    "metadata is null": lambda: ('{"__metadata__": null}', b""),
    "metadata is a list": lambda: ('{"__metadata__": [1]}', b""),
    "metadata of numbers": lambda: ('{"__metadata__": {"semanifold": 3}}', b""),
    "our header is a list": lambda: tensors({"w": GOOD_ENTRY}, bytes(256), {"semanifold": "[]"}),
    "our header is deep": lambda: tensors({"w": GOOD_ENTRY}, bytes(256), {"semanifold": "[" * 10**5}),
    "our header is damaged": lambda: tensors({"w": GOOD_ENTRY}, bytes(256), {"semanifold": '{"format": '}),
    "our header steers": lambda: tensors({"w": GOOD_ENTRY}, bytes(256), {"semanifold": '{"format": "\x1b[2J"}'}),
    "unknown format": lambda: tensors({"w": GOOD_ENTRY}, bytes(256), {"semanifold": '{"format": "semanifold-mind-9"}'}),
    "overlapping": lambda: tensors({"a": GOOD_ENTRY, "b": GOOD_ENTRY}, bytes(256)),
    "holes": lambda: tensors({"a": entry([1], [0, 4]), "b": entry([1], [100, 104])}, bytes(104)),
    "backwards": lambda: tensors({"a": entry([1, 64], [256, 0])}, bytes(256)),
    "beyond the end": lambda: tensors({"a": entry([1, 64], [0, 10**15])}, bytes(256)),
    "negative offsets": lambda: tensors({"a": entry([1, 64], [-256, 0])}, bytes(256)),
    "negative shape": lambda: tensors({"a": entry([-1, 64], [0, 256])}, bytes(256)),
    "(2**47, 2**47, 0)": lambda: tensors({"w": entry([2**47, 2**47, 0], [0, 0])}),
    "(2**63,)": lambda: tensors({"w": entry([2**63], [0, 256])}, bytes(256)),
    "10**400": lambda: ('{"w": {"dtype": "F32", "shape": [' + WRONG["10**400"] + '], "data_offsets": [0, 4]}}', bytes(4)),
    "5,000 digits": lambda: ('{"w": ' + WRONG["5,000 digits"] + "}", b""),
    "unknown type": lambda: tensors({"w": entry([1, 64], [0, 256], "F99")}, bytes(256)),
    "type is a number": lambda: tensors({"w": entry([1, 64], [0, 256], 3)}, bytes(256)),
    "float8": lambda: tensors({"w": entry([1, 64], [0, 64], "F8_E4M3")}, bytes(64)),
    "shape is text": lambda: ('{"w": {"dtype": "F32", "shape": "abc", "data_offsets": [0, 4]}}', bytes(4)),
    "10**5 dimensions": lambda: tensors({"w": entry([1] * 10**5, [0, 4])}, bytes(4)),
    "two of one name": lambda: ('{"w": ' + json.dumps(GOOD_ENTRY) + ', "w": ' + json.dumps(GOOD_ENTRY) + "}", bytes(256)),
    "names that steer": lambda: tensors({"\x1b[2J\u202e": GOOD_ENTRY}, bytes(256)),
    "half a pair": lambda: ('{"\\ud800": ' + json.dumps(GOOD_ENTRY) + "}", bytes(256)),
    "name of 10**6 letters": lambda: tensors({"w" * 10**6: GOOD_ENTRY}, bytes(256)),
    "10**5 tensors of nothing": lambda: tensors({f"t{i}": entry([0], [0, 0]) for i in range(10**5)}),
    "infinite": lambda: tensors({"w": GOOD_ENTRY}, struct.pack("<f", float("inf")) * 64),
}  # fmt: skip
BYTES: dict[str, bytes] = {
    "header of 2**63 bytes": struct.pack("<Q", 2**63) + b"{}",
    "header of 2**40 bytes": struct.pack("<Q", 2**40) + b"{}",
    "header longer than the file": struct.pack("<Q", 100) + b"{}",
    "seven bytes": b"1234567",
    "header of invalid UTF-8": struct.pack("<Q", 4) + b'{"\xff"',
}


def uses(name: str) -> tuple[Words, ...]:
    """All commands that take arrays, and those that say what a file is or take weights."""
    return (*arrays(name), *generator(name)[:3])


def inputs() -> Iterator[Hostile]:
    """Yield all hostile files of arrays."""

    def writer(name: str, made: Callable[[], bytes]) -> Callable[[Path, Path], object]:
        return lambda folder, good: (folder / name).write_bytes(made())

    def header_writer(made: Callable[[], tuple[str, bytes]]) -> Callable[[Path, Path], object]:
        return lambda folder, good: write_safetensors(folder / "x.safetensors", *made())

    for what, made in NPY.items():
        yield Hostile("numpy array", what, writer("x.npy", made), uses("x.npy"))
    for what, made in NPZ.items():
        yield Hostile("numpy archive", what, writer("x.npz", made), uses("x.npz"))
    for what, name, made in (
        ("archive called .npy", "x.npy", lambda: archive({"w.npy": GOOD_NPY})),
        ("array called .npz", "x.npz", lambda: GOOD_NPY),
        ("array called .safetensors", "x.safetensors", lambda: GOOD_NPY),
        ("PyTorch file called .npz", "x.npz", lambda: saved({"w": np.zeros(64)})),
        ("PyTorch bomb called .npz", "x.npz", bomb),
        ("text called .npy", "x.npy", lambda: b"#!/bin/sh\nexit 1\n"),
        ("picture called .pt", "x.pt", lambda: b"\x89PNG\r\n\x1a\n" + bytes(100)),
        ("HTML called .pkl", "x.pkl", lambda: b"<!DOCTYPE html><title>404</title>"),
        ("pointer of git-lfs", "x.pt", lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"),
        ("without suffix", "x", lambda: bytes(1000)),
    ):
        yield Hostile("misnamed file", what, writer(name, made), uses(name))
    for what, made in HEADERS.items():
        yield Hostile("safetensors header", what, header_writer(made), uses("x.safetensors"))
    for what, data in BYTES.items():
        yield Hostile("safetensors header", what, writer("x.safetensors", lambda data=data: data), uses("x.safetensors"))
