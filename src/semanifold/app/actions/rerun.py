"""What ``semanifold rerun`` does."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from semanifold.app.actions.results import EDIT
from semanifold.app.answers import Answer, Caller
from semanifold.app.commands.arguments import from_arguments
from semanifold.app.commands.base import Command
from semanifold.app.commands.rerun import Rerun
from semanifold.app.commands.table import command_class
from semanifold.core.errors import SemanifoldError, shown
from semanifold.core.plain import Json, JsonObject
from semanifold.storage.files import is_file, is_folder, opened
from semanifold.storage.run_records import UNREADABLE
from semanifold.storage.runs import environment, names_code, read_record, result_files
from semanifold.storage.tensors import read_tensors

COMPARED = (".safetensors", ".npy", ".png", ".jpg", ".csv")
"""Files that hold nothing but results: no time, no place."""
MOST_BYTES = 1 << 29
"""Bytes of a file that is compared."""

CODE = ("generator", "attributes")
"""Arguments that may name code to run."""
PATHS = ("path", "paths", "edit", "edits", "tracks")
"""Arguments that may name paths of a set by their numbers."""


def rerun(command: Rerun, caller: Caller) -> Answer:
    """Run it and compare."""
    record = read_record(command.run_folder)
    out = command.out or command.run_folder.resolve().with_name(command.run_folder.resolve().name + "-again")
    if command.out is None and not command.run_folder.is_absolute():
        out = Path(command.run_folder.parent, out.name)
    if os.path.realpath(out) == os.path.realpath(command.run_folder):
        raise SemanifoldError(f"{out} is the run itself; give another out=.")
    kind = command_class(record.command).recorded_as()
    if "output" not in {field.name for field in fields(cast(Any, kind))}:
        raise SemanifoldError(f"semanifold {shown(record.command, 40)} writes no run folder, so its record is not genuine.")
    arguments = as_meant(trusted(command, record.arguments))
    again = from_arguments(kind, arguments, f"The record of {command.run_folder}", remedy=UNREADABLE)
    for name, now in environment().items():
        was = record.environment.get(name, now)
        if was != now:
            caller.remark(f"{name} was {shown(was)} and is {now} now.")
    place, here = record.directory, caller.folder or Path()  # place: where the files are that arguments name
    if place and is_folder(place) and os.access(place, os.X_OK) and os.path.realpath(place) != os.path.realpath(here):
        out, caller = Path(os.path.realpath(out)), replace(caller, folder=Path(os.path.realpath(place)))
    output = replace(cast(Any, again).output, out=out, overwrite=command.overwrite)
    part = cast(Command, replace(cast(Any, again), output=output)).perform(caller)
    caller.hear(part)
    if part.interrupted:
        return Answer(interrupted=True, parts=(part,))
    if is_file(command.run_folder / EDIT):
        said = comparison(command.run_folder / EDIT, out / EDIT)
    else:
        said = file_comparison(command.run_folder, out, record.files)
    return Answer(folder=out, said=(said,), parts=(part,))


def trusted(command: Rerun, arguments: Mapping[str, Json]) -> JsonObject:
    """Return the arguments of a record, in which code runs only if the user names the same code.

    Raises:
        SemanifoldError: if the record names code that the user does not.
    """
    checked: JsonObject = {}
    for key, value in arguments.items():
        if isinstance(value, Mapping):
            checked[key] = trusted(command, value)
            continue
        asked = getattr(command, key) if key in CODE else None
        if asked is not None and isinstance(value, str):
            checked[key] = from_here(asked)
        elif isinstance(value, str) and key in CODE and names_code(value):
            raise SemanifoldError(
                f"{shown(str(command.run_folder), 200)} was made with the code {shown(value)!r}, and a folder cannot name code "
                f"to run; if you trust that code, name it yourself with --{key}."
            )
        else:
            checked[key] = value
    return checked


def as_meant(arguments: JsonObject) -> JsonObject:
    """Return arguments in which paths that an earlier version counted from the end, such as -1 or SET:-1, are counted so now."""

    def counted(field: str, value: Json) -> Json:
        if isinstance(value, list):
            return [counted(field, part) for part in value]
        if not isinstance(value, str):
            return value
        if field in ("path", "paths"):
            return re.sub(r"^-[0-9]{1,18}$", r"path \g<0>", value)
        edit, sign, keys = value.rpartition("=") if field == "tracks" else (value, "", "")
        return re.sub(r"(?<!^pose):(-[0-9]{1,18})$", r":path \1", edit) + sign + keys

    return {key: counted(key, value) if key in PATHS else value for key, value in arguments.items()}


def from_here(text: str) -> str:
    """Return what the user names, with files as absolute paths: they are the user's, and not those of the run's folder."""
    parts = []
    for part in text.split(","):
        file, colon, name = part.rpartition(":") if names_code(part) else (part, "", "")
        parts.append(f"{os.path.abspath(file)}{colon}{name}" if is_file(file) else part)
    return ",".join(parts)


def file_comparison(before: Path, after: Path, names: Sequence[str]) -> str:
    """Return which files of numbers and pictures of two runs differ, in a sentence.

    Args:
        before: run folder.
        after: run folder.
        names: files and folders in it that are results.
    """
    files = [file for file in result_files(before, names) if file.suffix in COMPARED]
    places = [file.relative_to(before) for file in files]
    other = [str(place) for place in places if not same(before / place, after / place)]
    if not other:
        return f"All {len(places)} files of numbers and pictures are equal."
    more = ", ..." if len(other) > 3 else ""
    words = shown(", ".join(other[:3]), 200)
    return f"Of {len(places)} files of numbers and pictures {len(other)} are different: {words}{more}."


def same(before: Path, after: Path) -> bool:
    """Whether two files say the same: equal tensors, for names of paths may have been written beside them since; else bytes."""
    if not is_file(after) or before.stat().st_size > MOST_BYTES:
        return False
    if before.suffix != ".safetensors":
        with opened(before) as one, opened(after) as other:
            return one.read() == other.read()
    old, new = tensors_of(before), tensors_of(after)
    return old is not None and new is not None and equal(old, new)


def tensors_of(path: Path) -> dict[str, Tensor] | None:
    """Return the tensors of a file; None if they cannot be read."""
    try:
        return read_tensors(path).tensors
    except SemanifoldError:
        return None


def equal(old: Mapping[str, Tensor], new: Mapping[str, Tensor]) -> bool:
    """Whether tensors are the same, bit for bit."""
    return old.keys() == new.keys() and all(torch.equal(old[key], new[key]) for key in old)


def comparison(before: Path, after: Path) -> str:
    """Return how two edits differ, in a sentence."""
    old, new = tensors_of(before), tensors_of(after)
    if old is None or new is None:
        return f"The edit {shown(str(before), 200)} cannot be read, so it cannot be compared."
    if {key: value.shape for key, value in old.items()} != {key: value.shape for key, value in new.items()}:
        return "The edit has other shapes."
    if equal(old, new):
        return "The edit is equal, bit for bit."
    largest = max((float((old[key].double() - new[key].double()).abs().max()) for key in old if old[key].numel()), default=0.0)
    size = max(
        (float(value.double().abs().max()) for key, value in old.items() if key == "offsets" and value.numel()), default=0.0
    )
    return f"The edit differs by at most {largest:.2g}, where its codes move by up to {size:.2g}."
