"""The door: every JSON text that comes from outside is bounded, read, and checked against a schema before anybody uses it.

A schema is a dataclass or a :class:`msgspec.Struct`; types, bounds (``Annotated[int, msgspec.Meta(ge=1)]``) and defaults are read
from it by msgspec. Python's own parser reads the text, because our files may hold ``NaN``.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from functools import cache
from numbers import Integral, Real
from typing import Any, TypeVar, get_type_hints

import msgspec

from semanifold.core.errors import SemanifoldError, shown
from semanifold.core.plain import JsonObject
from semanifold.storage.files import read_bytes, write_text

T = TypeVar("T")

MOST_BYTES = 16 << 20
"""Bytes of one JSON text."""
DEEPEST = 64
"""Levels of brackets in one JSON text."""
REMEDY = "get a fresh copy, or have it written again"
"""What a person may do about a damaged file that some program wrote."""


def parse_json(data: bytes | str, what: str, most: int = MOST_BYTES, *, remedy: str = "") -> Any:
    """Return the value of a JSON text of bounded size and nesting.

    Args:
        data: the text.
        what: what holds it, the beginning of the messages, such as ``"The header of edit.safetensors"``.
        most: bytes that it may have.
        remedy: what to do about it, the end of the messages; nothing if the caller adds that.

    Raises:
        SemanifoldError: if it is too large, too deep, or no JSON.
    """
    advice = remedy and f"; {remedy}"
    if len(data) > most:
        raise SemanifoldError(f"{what} has {len(data):,} bytes, more than is ever needed ({most:,}){advice}.")
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
        if depth(text) > DEEPEST:
            raise SemanifoldError(f"{what} is nested more than {DEEPEST} levels deep{advice}.")
        return json.loads(text)
    except SemanifoldError:
        raise
    except (ValueError, RecursionError, MemoryError) as error:
        raise SemanifoldError(f"{what} is damaged: {shown(str(error), 120)}{advice}.") from error


def depth(text: str) -> int:
    """Return how many levels of brackets a JSON text opens at most, strings left out."""
    deepest = level = 0
    for match in re.finditer(r'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', text, re.DOTALL):
        letter = match[0][0]
        if letter in "[{":
            level += 1
            deepest = max(deepest, level)
            if deepest > DEEPEST:
                break
        elif letter in "]}":
            level -= 1
    return deepest


def checked(
    value: Any,
    schema: type[T],
    what: str,
    made: Callable[[type, Any], Any] | None = None,
    *,
    wrong: str = "is damaged",
    remedy: str = "",
) -> T:
    """Return a plain value as an instance of a schema.

    Args:
        value: dicts, lists, texts, numbers.
        schema: the type that it must have; fields that the schema does not know are left out.
        what: what holds it, the beginning of the message.
        made: ``(type, value) -> instance`` for the types that msgspec does not know.
        wrong: what the message says of it.
        remedy: what to do about it, the end of the message; nothing if the caller adds that.

    Raises:
        SemanifoldError: naming the first field that is missing or wrong.
    """
    try:
        return msgspec.convert(value, schema, str_keys=True, dec_hook=made)
    except (
        msgspec.ValidationError,
        SemanifoldError,
        OverflowError,
        RecursionError,
        TypeError,
        ValueError,
        AttributeError,
    ) as error:
        words = str(error).replace("`$.", "`").replace(" - at `$`", "").replace(" - at ", " in ").replace("`", "'")
        advice = remedy and f"; {remedy}"
        raise SemanifoldError(f"{what} {wrong}: {shown(words, 160).rstrip('.')}{advice}.") from error


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    return get_type_hints(kind, include_extras=True)


def settle(record: Any, but: tuple[str, ...] = ()) -> None:
    """Give the fields of a frozen dataclass the types of their annotations, from its ``__post_init__``.

    So a record that can be made can be written and read again: a list, range or array becomes a tuple, a value of NumPy one of
    Python.

    Args:
        record: whose fields are texts, numbers, tuples and mappings of such.
        but: fields that are something else.

    Raises:
        SemanifoldError: naming the first field whose value is of another type.
    """
    for name, hint in _hints(type(record)).items():
        if name not in but:
            value = _plain(getattr(record, name))
            object.__setattr__(record, name, checked(value, hint, f"{type(record).__name__}.{name}", wrong="does not fit"))


def _plain(value: Any) -> Any:
    """Return a value with arrays, numbers and texts of other libraries as lists, numbers and texts of Python."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {_plain(key): _plain(part) for key, part in value.items()}
    if isinstance(value, tuple | list | range):
        return [_plain(part) for part in value]
    if isinstance(value, Real) and not isinstance(value, int | bool):
        return int(value) if isinstance(value, Integral) else float(value)
    return value


def write_json(path: str | os.PathLike[str], value: Any, indent: int | None = None) -> None:
    """Write a JSON file, whole or not at all; what is no JSON, such as a path, is a :class:`TypeError`."""
    write_text(path, json.dumps(value, indent=indent) + "\n")


def read_json(path: str | os.PathLike[str], schema: type[T], what: str = "file", *, remedy: str = "") -> T:
    """Return the value of a JSON file, checked against a schema.

    Raises:
        SemanifoldError: if there is no such file, it is no JSON, or a field is missing or wrong.
    """
    name = shown(os.fspath(path), 200)
    value = parse_json(read_bytes(path, what, MOST_BYTES), name, remedy=remedy)
    return checked(value, schema, name, remedy=remedy)


def read_settings(path: str | os.PathLike[str]) -> JsonObject:
    """Return the object in a JSON file of another program; empty if there is no such file, or it holds something else.

    Raises:
        SemanifoldError: if the file is damaged.
    """
    if not os.path.lexists(path) or not os.path.exists(os.path.dirname(path) or "."):
        return {}
    settings = parse_json(read_bytes(path, "file of settings", MOST_BYTES), shown(os.fspath(path), 200), remedy=REMEDY)
    return settings if isinstance(settings, dict) else {}
