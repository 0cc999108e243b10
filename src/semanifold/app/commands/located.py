"""A request whose relative paths begin in a folder of the caller's choice, and not in that of the process."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from semanifold.core.world import bundled
from semanifold.images.masks.grammar import in_folder
from semanifold.storage.files import is_file, is_folder
from semanifold.storage.run_records import names_code

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


def located(request: T, folder: Path) -> T:
    """Return a request, or one of its groups of arguments, with absolute paths in place of relative ones.

    Names that come with the package or lie in the zoo stay, unless the folder holds something of that name.

    Args:
        request: a frozen dataclass; its paths are known by their type, and texts that hold names of files by their field.
        folder: absolute.
    """
    changes = {f.name: _located(f.name, getattr(request, f.name), folder) for f in dataclasses.fields(request)}
    return dataclasses.replace(request, **changes)


def _located(name: str, value: Any, folder: Path) -> Any:
    if isinstance(value, tuple):
        return tuple(_located(name, part, folder) for part in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return located(value, folder)
    if isinstance(value, Path):
        return value if name in NAMED and is_name(str(value), folder) else folder / value
    return TEXTS[name](value, folder) if isinstance(value, str) and name in TEXTS else value


def is_name(text: str, folder: Path) -> bool:
    """Whether a text, or what is in front of its last colon, names something that comes with the package or lies in the zoo."""
    from semanifold.storage import zoo  # noqa: PLC0415  (only needed here)

    heads = {text, text.rpartition(":")[0]} - {""}
    there = any(is_file(folder / head) or is_folder(folder / head) for head in heads)
    return not there and any(head in bundled() or head in zoo.table() for head in heads)


def _generator(text: str, folder: Path) -> str:
    if "://" in text or is_name(text, folder):
        return text
    file, colon, name = text.rpartition(":") if names_code(text) and ":" in text else (text, "", "")
    return f"{folder / file}{colon}{name}"


def _attributes(text: str, folder: Path) -> str:
    files = re.compile(r"\.onnx\s*(:|$)", re.IGNORECASE)
    return ",".join(
        _generator(part.strip(), folder) if names_code(part) or files.search(part) else part for part in text.split(",")
    )


def edit_in(text: str, folder: Path) -> str:
    """Return where an edit is; what names no file or folder is the name of a path that comes with the generator."""
    head = text.rpartition(":")[0] or text
    there = any(is_file(folder / name) or is_folder(folder / name) for name in (text, head))
    return str(folder / text) if there else text


def _track(text: str, folder: Path) -> str:
    edit, sign, keys = text.rpartition("=")
    return f"{edit_in(edit, folder)}{sign}{keys}" if sign else str(folder / text)


NAMED = ("edit", "edits", "path_set", "basis", "inputs", "files")
"""Fields of requests whose paths may be names that come with the package; others, such as ``out``, are files and folders."""
TEXTS: dict[str, Callable[[str, Path], str]] = {
    "generator": _generator,
    "source": _generator,
    "attributes": _attributes,
    "mask": in_folder,
    "masks": in_folder,
    "tracks": _track,
}
"""Fields of requests whose texts may hold names of files, and what such a text is in a folder."""
