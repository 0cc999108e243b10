"""The short description that an ONNX network needs to read attributes: what goes in, what comes out, and what it means.

Checked by hand and not against a schema, for a person types it: near names, the expected form and the value are told.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeGuard

from semanifold.analysis.attributes.base import Attribute
from semanifold.core.errors import SemanifoldError, near_names, shown
from semanifold.storage.files import read_bytes
from semanifold.storage.records import parse_json

DESCRIPTIONS = (".json", ".toml")
DECODINGS = ("columns", "softmax", "sigmoid", "expectation", "box")
MOST_BYTES, MOST_ATTRIBUTES, LARGEST, LONGEST = 1 << 20, 10_000, 4096, 200
"""Bytes of a description, its attributes, pixels along a side of the input, and letters of a name."""
BOX = (Attribute("face_width"), Attribute("face_height"), Attribute("face_x"), Attribute("face_y"))


@dataclass(frozen=True)
class Description:
    """What goes into an ONNX network, what comes out, and what it means; the keys of its JSON or TOML file.

    Attributes:
        size: height and width of the input in pixels; pictures are stretched to it.
        attributes: what is read, in the order of the columns, each ``{"name": ..., "low": ..., "high": ..., "unit": ...}`` with
            only the name necessary; without low and high rankings take the range of the readings, but 0 to 1 after ``softmax``
            and ``sigmoid``; for ``box`` they may be left out.
        decode: how the output becomes numbers:

            - ``columns``: its columns are the attributes;
            - ``softmax``, ``sigmoid``: the same after this function;
            - ``expectation``: classes along its last dimension, one attribute a row; the mean of ``values`` under the softmax;
            - ``box``: the surest of ``scores`` ``[n, cells, 1 or 2]`` among ``boxes`` ``[n, cells, 4]`` (left, top, right, bottom
              as shares of the picture) gives width, height and middle x, y; nothing where it is not surer than ``threshold``.
        output: name of the output that is decoded; for ``box`` that of the boxes. May be left out where there is but one.
        scores: for ``box``, name of the output with the scores.
        columns: which columns of the output are the attributes, counted from 0; all of them when empty.
        models: files beside the description, whose outputs are averaged; the file of its own name when empty.
        layout: ``nchw`` or ``nhwc``.
        colours: ``rgb``, ``bgr`` or ``grey``.
        mean: subtracted from pixels in 0..255, one number or one a channel.
        scale: what they are then divided by.
        values: what the classes of ``expectation`` stand for; 0 .. C - 1 when empty.
        threshold: see ``box``.
    """

    size: tuple[int, int]
    attributes: tuple[Attribute, ...] = ()
    decode: str = "columns"
    output: str = ""
    scores: str = ""
    columns: tuple[int, ...] = ()
    models: tuple[str, ...] = ()
    layout: str = "nchw"
    colours: str = "rgb"
    mean: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)
    values: tuple[float, ...] = ()
    threshold: float = 0.5


def read_description(path: Path) -> Description:
    """Read a description.

    Raises:
        SemanifoldError: if the file cannot be read, or a key is unknown, missing or of the wrong kind.
    """
    data, name = read_bytes(path, "description", MOST_BYTES), shown(str(path), 200)
    try:
        table = tomllib.loads(data.decode("utf-8")) if path.suffix == ".toml" else parse_json(data, "it")
    except (ValueError, RecursionError) as error:
        words = shown(str(error).rstrip("."), 120)
        raise SemanifoldError(f"{name} cannot be read as {path.suffix[1:].upper()}: {words}.") from error
    try:
        return parse_description(table)
    except SemanifoldError as error:
        raise SemanifoldError(f"{name}: {error}") from error


def parse_description(table: object) -> Description:
    """Return the description that a table of a file holds.

    Raises:
        SemanifoldError: if a key is unknown, missing or of the wrong kind.
    """
    known = [field.name for field in fields(Description)]
    if not isinstance(table, dict) or "size" not in table:
        raise SemanifoldError("a description needs at least the size of the input, such as size = [64, 64].")
    for key in table:
        if key not in known:
            raise SemanifoldError(f"there is no key {shown(str(key))!r}: {near_names(str(key), known)}")
    size = _numbers(table, "size", 2)
    if len(size) != 2 or not all(1 <= side <= LARGEST and side == int(side) for side in size):
        raise SemanifoldError(
            f"size must be height and width in pixels, such as [64, 64], each at most {LARGEST}, but got {_said(table['size'])}."
        )
    channels = 1 if table.get("colours") == "grey" else 3
    made = Description(
        size=(int(size[0]), int(size[1])),
        attributes=_attributes(table),
        decode=_choice(table, "decode", DECODINGS),
        output=_text(table, "output"),
        scores=_text(table, "scores"),
        columns=tuple(int(column) for column in _numbers(table, "columns")),
        models=_texts(table, "models"),
        layout=_choice(table, "layout", ("nchw", "nhwc")),
        colours=_choice(table, "colours", ("rgb", "bgr", "grey")),
        mean=_numbers(table, "mean", channels) or (0.0,),
        scale=_numbers(table, "scale", channels) or (1.0,),
        values=_numbers(table, "values"),
        threshold=(_numbers(table, "threshold", 1) or (0.5,))[0],
    )
    if 0 in made.scale:
        raise SemanifoldError("scale must not be 0.")
    if made.columns and (len(made.columns) != len(made.attributes) or min(made.columns) < 0):
        raise SemanifoldError(f"columns must be one number from 0 per attribute, but got {_said(table['columns'])}.")
    if made.decode == "box" and not (made.output and made.scores and len(made.attributes) == 4):
        raise SemanifoldError("a box needs the names of two outputs, output (boxes) and scores, and four attributes or none.")
    return made


def _attributes(table: Mapping[str, object]) -> tuple[Attribute, ...]:
    rows, known = table.get("attributes"), [field.name for field in fields(Attribute) if field.name != "declared"]
    if rows is None and table.get("decode") == "box":
        return BOX
    tables = isinstance(rows, list) and all(isinstance(row, dict) and row.keys() <= set(known) for row in rows)
    if not isinstance(rows, list) or not tables or not 0 < len(rows) <= MOST_ATTRIBUTES:
        raise SemanifoldError(f"attributes must be a list of tables with a name and perhaps {', '.join(known[1:])}.")
    made = []
    for row in rows:
        low, high, name = row.get("low", 0), row.get("high", 1), row.get("name")
        if not (_is_name(name) and _is_number(low) and _is_number(high) and low < high):
            raise SemanifoldError(
                f"an attribute needs a printable name of at most {LONGEST} letters, and a low below its high, "
                f"but got {_said(row)}."
            )
        declared = "low" in row or "high" in row or table.get("decode") in ("softmax", "sigmoid")
        unit = shown(str(row.get("unit", "")))
        made.append(Attribute(name, float(low), float(high), unit, row.get("relative") is True, declared))
    if len({attribute.name for attribute in made}) < len(made):
        raise SemanifoldError("two attributes have the same name.")
    return tuple(made)


def _choice(table: Mapping[str, object], key: str, choices: Sequence[str]) -> str:
    value = table.get(key, choices[0])
    if not isinstance(value, str) or value not in choices:
        raise SemanifoldError(f"there is no {key} {_said(value)}: {near_names(str(value)[:200], choices)}")
    return value


def _text(table: Mapping[str, object], key: str) -> str:
    value = table.get(key, "")
    if not isinstance(value, str):
        raise SemanifoldError(f"{key} must be a name, but got {_said(value)}.")
    return value


def _texts(table: Mapping[str, object], key: str) -> tuple[str, ...]:
    values = table.get(key, [])
    if not isinstance(values, list) or not all(isinstance(value, str) and _is_name(value) for value in values):
        raise SemanifoldError(f"{key} must be a list of file names, but got {_said(values)}.")
    return tuple(values)


def _numbers(table: Mapping[str, object], key: str, count: int | None = None) -> tuple[float, ...]:
    """Return the finite numbers under a key, one or ``count`` of them; none if there is no such key."""
    value = table.get(key, [])
    entries = value if isinstance(value, list) else [value]
    values = tuple(float(v) for v in entries if _is_number(v))
    if len(values) < len(entries):
        raise SemanifoldError(f"{key} must be numbers, but got {_said(value)}.")
    if count is not None and len(values) not in (0, 1, count):
        raise SemanifoldError(f"{key} must be one number or {count}, but got {len(values)}.")
    return values


def _is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a finite number that single precision holds."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -3e38 < value < 3e38


def _is_name(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= LONGEST and shown(value, LONGEST) == value


def _said(value: object) -> str:
    return shown(repr(value))
