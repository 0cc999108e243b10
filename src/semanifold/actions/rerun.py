"""What ``semanifold rerun`` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file

from semanifold.actions.results import EDIT
from semanifold.actions.terminal import remark, say
from semanifold.cli import command_class
from semanifold.commands.arguments import from_arguments
from semanifold.commands.base import Output
from semanifold.commands.rerun import Rerun
from semanifold.errors import SemanifoldError
from semanifold.storage.runs import environment, names_code, read_record

COMPARED = (".safetensors", ".npy", ".png", ".jpg", ".csv")
"""Files that hold nothing but results: no time, no place."""


CODE = ("generator", "attributes")
"""Arguments that may name code to run."""


def rerun(command: Rerun) -> int:
    """Run it and compare."""
    record = read_record(command.run_folder)
    out = command.out or command.run_folder.resolve().with_name(command.run_folder.resolve().name + "-again")
    if command.out is None and not command.run_folder.is_absolute():
        out = Path(command.run_folder.parent, out.name)
    if out.resolve() == command.run_folder.resolve():
        raise SemanifoldError(f"{out} is the run itself; give another --out.")
    kind = command_class(record["command"]).recorded_as()
    arguments = trusted(command, record["arguments"])
    again = from_arguments(kind, arguments, f"The record of {command.run_folder}")
    for name, was in record["environment"].items():
        now = environment().get(name)
        if was != now:
            remark(f"{name} was {was} and is {now} now.")
    here = Path.cwd()
    place = Path(record.get("directory", here))
    place = place if place.is_dir() else here
    to = out if place.resolve() == here.resolve() else out.resolve()
    with chdir(place):  # where the files are that the arguments name
        code = cast(Any, replace(cast(Any, again), output=Output(out=to, overwrite=command.overwrite))).run()
    if code == 0 and (command.run_folder / EDIT).is_file():
        say(comparison(command.run_folder / EDIT, out / EDIT))
    elif code == 0:
        say(file_comparison(command.run_folder, out, record["files"]))
    return code


def trusted(command: Rerun, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a record, in which code runs only if the user names the same code.

    Raises:
        SemanifoldError: if the record names code that the user does not.
    """
    checked: dict[str, Any] = {}
    for key, value in arguments.items():
        if isinstance(value, Mapping):
            checked[key] = trusted(command, value)
            continue
        asked = getattr(command, key) if key in CODE else None
        if asked is not None and isinstance(value, str):
            checked[key] = asked
        elif isinstance(value, str) and key in CODE and names_code(value):
            raise SemanifoldError(
                f"{command.run_folder} was made with the code {value!r}, and a folder cannot name code to run; if you trust that "
                f"code, name it yourself with --{key}."
            )
        else:
            checked[key] = value
    return checked


def file_comparison(before: Path, after: Path, names: Sequence[str]) -> str:
    """Return which files of numbers and pictures of two runs differ, in a sentence.

    Args:
        before: run folder.
        after: run folder.
        names: files and folders in it that are results.
    """
    files = [file for name in names for file in (before / name, *(before / name).rglob("*")) if file.suffix in COMPARED]
    places = sorted(file.relative_to(before) for file in files if file.is_file())
    other = [str(place) for place in places if not same(before / place, after / place)]
    if not other:
        return f"All {len(places)} files of numbers and pictures came out equal."
    more = ", ..." if len(other) > 3 else ""
    return f"Of {len(places)} files of numbers and pictures {len(other)} came out different: {', '.join(other[:3])}{more}."


def same(before: Path, after: Path) -> bool:
    """Whether two files say the same: equal tensors, for names of paths may have been written beside them since; else bytes."""
    if not after.is_file():
        return False
    if before.suffix != ".safetensors":
        return before.read_bytes() == after.read_bytes()
    old, new = load_file(before), load_file(after)
    return old.keys() == new.keys() and all(torch.equal(old[key], new[key]) for key in old)


def comparison(before: Path, after: Path) -> str:
    """Return how two edits differ, in a sentence."""
    old, new = load_file(before), load_file(after)
    if {key: value.shape for key, value in old.items()} != {key: value.shape for key, value in new.items()}:
        return "The edit came out with other shapes."
    if all(torch.equal(old[key], new[key]) for key in old):
        return "The edit came out equal, bit for bit."
    largest = max(float((old[key] - new[key]).abs().max()) for key in old)
    size = float(old["offsets"].abs().max())
    return f"The edit came out different by at most {largest:.2g}, where its codes move by up to {size:.2g}."
