"""Files of our own formats with every field of their headers, and their tensors, replaced by something else."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from hostile.goods import EDIT, PATHS, POOL
from hostile.trials import IN, Hostile, Words
from hostile.uses import TO, arrays, codes, edit, generator
from hostile.values import (
    WRONG,
    header_text,
    our_header,
    places_of,
    text_with,
    text_without,
    turns,
    with_our_header,
    write_safetensors,
)

TENSORS: dict[str, Callable[[dict, bytes], tuple[dict, bytes]]] = {
    "NaN": lambda held, rest: (held, (b"\x00\x00\xc0\x7f" * (len(rest) // 4))),
    "infinite": lambda held, rest: (held, (b"\x00\x00\x80\x7f" * (len(rest) // 4))),
    "huge": lambda held, rest: (held, struct.pack("<f", 3e38) * (len(rest) // 4)),
    "integers": lambda held, rest: ({k: v | {"dtype": "I32"} for k, v in held.items()}, rest),
    "flat": lambda held, rest: ({k: v | {"shape": [_count(v)]} for k, v in held.items()}, rest),
    "transposed": lambda held, rest: ({k: v | {"shape": v["shape"][::-1]} for k, v in held.items()}, rest),
    "twelve axes": lambda held, rest: ({k: v | {"shape": [1] * 9 + v["shape"]} for k, v in held.items()}, rest),
    "none": lambda held, rest: ({}, b""),
    "other names": lambda held, rest: ({f"\x1b[2J{k}": v for k, v in held.items()}, rest),
    "one is missing": lambda held, rest: _packed(dict(list(held.items())[1:]), rest),
    "empty": lambda held, rest: ({k: v | {"shape": [0], "data_offsets": [0, 0]} for k, v in held.items()}, b""),
    "impossible": lambda held, rest: (
        {k: v | {"shape": [2**47, 2**47, 0], "data_offsets": [0, 0]} for k, v in held.items()},
        b"",
    ),
    "cut short": lambda held, rest: (held, rest[: len(rest) // 2]),
}


def _count(entry: dict) -> int:
    count = 1
    for side in entry["shape"]:
        count *= side
    return count


def _packed(held: dict, rest: bytes) -> tuple[dict, bytes]:
    """Return tensors moved together, where some were taken out."""
    packed, data = {}, b""
    for key, entry in held.items():
        low, high = entry["data_offsets"]
        packed[key] = entry | {"data_offsets": [len(data), len(data) + high - low]}
        data += rest[low:high]
    return packed, data


def header_writer(source: str, name: str, place: tuple[str, ...], value: str) -> Callable[[Path, Path], None]:
    """Write a good file with one field of its header replaced; an empty value leaves the field out."""

    def write(folder: Path, good: Path) -> None:
        held = our_header(good / source)
        text = text_with(held, place, WRONG[value]) if value else text_without(held, place)
        with_our_header(good / source, folder / name, text)

    return write


def tensor_writer(source: str, name: str, change: Callable[[dict, bytes], tuple[dict, bytes]]) -> Callable[[Path, Path], None]:
    """Write a good file with other tensors."""

    def write(folder: Path, good: Path) -> None:
        header, rest = header_text(good / source)
        whole = json.loads(header)
        metadata = whole.pop("__metadata__")
        held, data = change(whole, rest)
        write_safetensors(folder / name, json.dumps({"__metadata__": metadata, **held}), data)

    return write


def uses_of_a_set(name: str) -> tuple[Words, ...]:
    """Commands that take a set of paths of ours, which knows its generator."""
    own = arrays(name)[len(codes(name)) :]
    return (("inspect", f"{IN}/{name}"), *own, ("inspect", "--json", f"{IN}/{name}"))


FORMATS: tuple[tuple[str, str, str, tuple[str, ...], tuple[Words, ...]], ...] = (
    ("edit", EDIT, "x.safetensors", (), edit("x.safetensors")),
    ("set of paths", PATHS, "x.safetensors", ("options", "info"), uses_of_a_set("x.safetensors")),
    (
        "pool",
        POOL,
        "x.safetensors",
        (),
        (
            ("inspect", f"{IN}/x.safetensors"),
            ("traverse", "faces", "--pool", f"{IN}/x.safetensors", "--paths", "0", "--steps", "1", "--no-films", *TO),
            *codes("x.safetensors")[:3],
        ),
    ),
    ("generator", "faces.safetensors", "x.safetensors", ("config",), generator("x.safetensors")),
)


def inputs(good: Path) -> Iterator[Hostile]:
    """Yield hostile files of our formats.

    Args:
        good: the folder of good files, which says what fields there are.
    """
    for number, (kind, source, name, deep, uses) in enumerate(FORMATS):
        held = our_header(good / source)
        places = places_of(held, deep)
        for place, value in turns(places, 1, first=5 * number):
            yield Hostile(kind, f"{'.'.join(place)} = {value}", header_writer(source, name, place, value), uses)
        for place in places_of(held):
            yield Hostile(kind, f"no {'.'.join(place)}", header_writer(source, name, place, ""), uses)
        for what, change in TENSORS.items():
            yield Hostile(kind, f"tensors: {what}", tensor_writer(source, name, change), uses)
