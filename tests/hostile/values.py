"""Values that no reader expects in JSON, as the text that a file holds, and ways to put them there."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

WRONG: dict[str, str] = {
    "null": "null",
    "true": "true",
    "-1": "-1",
    "0.5": "0.5",
    "1e308": "1e308",
    "NaN": "NaN",
    "-Infinity": "-Infinity",
    "10**400": "1" + "0" * 400,
    "5,000 digits": "7" * 5000,
    "2**63": str(2**63),
    "empty text": '""',
    "10**6 letters": '"' + "x" * 10**6 + '"',
    "control characters": '"\\u001b[2J\\u202e\\u0007\\r\\nsemanifold: all is well"',
    "half a pair": '"\\ud800"',
    "zero byte": '"a\\u0000b"',
    "path": '"../../../../etc/passwd"',
    "code": '"evil.py:g"',
    "markup": '"</td><script>alert(1)</script>"',
    "empty list": "[]",
    "empty object": "{}",
    "list of lists": "[[1], {}, null]",
    "object of objects": '{"a": {"b": [null]}, "": 1, "1e9": {}}',
    "60 levels": "[" * 60 + "]" * 60,
    "10**5 levels": "[" * 10**5 + "]" * 10**5,
    "10**5 numbers": "[" + "0," * 10**5 + "0]",
}
"""JSON texts."""
HERE = "@here@"


def text_with(record: Mapping[str, Any], place: Sequence[str], value: str) -> str:
    """Return the JSON text of a record in which a field is replaced by the text of a value."""
    copy: dict[str, Any] = json.loads(json.dumps(record))
    inner: Any = copy
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = HERE
    return json.dumps(copy).replace(f'"{HERE}"', value)


def text_without(record: Mapping[str, Any], place: Sequence[str]) -> str:
    """Return the JSON text of a record that lacks a field."""
    copy: dict[str, Any] = json.loads(json.dumps(record))
    inner: Any = copy
    for key in place[:-1]:
        inner = inner[key]
    del inner[place[-1]]
    return json.dumps(copy)


def places_of(record: Mapping[str, Any], deep: Sequence[str] = ()) -> list[tuple[str, ...]]:
    """Return the places of all fields, and of those in some of them."""
    places = [(key,) for key in record]
    for key in deep:
        places += [(key, inner) for inner in record.get(key, {})]
    return places


def turns(places: Sequence[tuple[str, ...]], each: int, first: int = 0) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield so many wrong values for every place, so that all values take their turns."""
    names, step = list(WRONG), 7  # 7 and the number of values have no common divisor
    for i, place in enumerate(places):
        for j in range(each):
            yield place, names[(first + (i * each + j) * step) % len(names)]


def header_text(path: Path) -> tuple[str, bytes]:
    """Return the JSON header of a safetensors file, and the bytes after it."""
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    return data[8 : 8 + size].decode(), data[8 + size :]


def our_header(path: Path) -> dict[str, Any]:
    """Return our header of a safetensors file."""
    return json.loads(json.loads(header_text(path)[0])["__metadata__"]["semanifold"])


def write_safetensors(path: Path, header: str, rest: bytes) -> None:
    """Write a safetensors file of any header."""
    data = header.encode("utf-8", "surrogatepass")
    path.write_bytes(struct.pack("<Q", len(data)) + data + rest)


def with_our_header(source: Path, target: Path, ours: str) -> None:
    """Copy a safetensors file with another text as our header."""
    header, rest = header_text(source)
    whole = json.loads(header)
    whole["__metadata__"]["semanifold"] = ours
    write_safetensors(target, json.dumps(whole), rest)
