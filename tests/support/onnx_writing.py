"""ONNX files of a few operators, written byte by byte, so that no test needs the onnx package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def _number(value: int) -> bytes:
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def _field(tag: int, value: int | str | bytes) -> bytes:
    """A field of a protocol buffer: a number, a text or a message."""
    if isinstance(value, int):
        return _number(tag << 3) + _number(value)
    data = value.encode() if isinstance(value, str) else value
    return _number(tag << 3 | 2) + _number(len(data)) + data


def _value(name: str, shape: Sequence[int | str]) -> bytes:
    sides = b"".join(_field(1, _field(1, side) if isinstance(side, int) else _field(2, side)) for side in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, 1) + _field(2, sides)))


def write_onnx(path: Path, shape: Sequence[int | str], outputs: dict[str, tuple[str, int]]) -> Path:
    """Write a network whose input ``pixels`` of a shape goes through one operator an output.

    Args:
        path: the new file.
        shape: numbers, and texts for sides of any size.
        outputs: name of each output, and its operator and number of dimensions.
    """
    nodes = b"".join(_field(1, _field(1, "pixels") + _field(2, name) + _field(4, kind)) for name, (kind, _) in outputs.items())
    ends = b"".join(_field(12, _value(name, [f"{name}{i}" for i in range(count)])) for name, (_, count) in outputs.items())
    graph = nodes + _field(2, "graph") + _field(11, _value("pixels", shape)) + ends
    path.write_bytes(_field(1, 8) + _field(7, graph) + _field(8, _field(1, "") + _field(2, 13)))
    return path
