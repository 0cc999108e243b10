"""``semanifold rerun``: a run once more, from what its ``run.json`` says."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import chdir
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, cast

import torch
from safetensors.torch import load_file
from tyro.conf import Positional, arg

from semanifold.cli import command_class
from semanifold.commands.base import Command, Output, from_arguments
from semanifold.commands.results import EDIT
from semanifold.commands.terminal import remark, say
from semanifold.errors import SemanifoldError
from semanifold.storage.runs import environment, read_record

COMPARED = (".safetensors", ".npy", ".png", ".jpg", ".csv")
"""Files that hold nothing but results: no time, no place."""


@dataclass(frozen=True)
class Rerun(Command):
    """Repeat a run from its run.json, and say whether the same came out.

    Attributes:
        run_folder: run folder of any command.
        out: where the repetition goes; the folder's name and -again when left out.
        overwrite: remove the results of another run there first.
    """

    run_folder: Positional[Annotated[Path, arg(metavar="RUN")]]
    out: Annotated[Path | None, arg(metavar="FOLDER")] = None
    overwrite: bool = False

    def run(self) -> int:
        """Run it and compare."""
        record = read_record(self.run_folder)
        out = self.out or self.run_folder.with_name(self.run_folder.resolve().name + "-again")
        if out.resolve() == self.run_folder.resolve():
            raise SemanifoldError(f"{out} is the run itself; give another --out.")
        kind = command_class(record["command"])
        try:
            command = from_arguments(kind, record["arguments"])
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise SemanifoldError(
                f"The arguments in {self.run_folder} do not fit this version of semanifold: {error}."
            ) from error
        for name, was in record["environment"].items():
            now = environment().get(name)
            if was != now:
                remark(f"semanifold: {name} was {was} and is {now} now.")
        here = Path.cwd()
        place = Path(record.get("directory", here))
        place = place if place.is_dir() else here
        to = out if place.resolve() == here.resolve() else out.resolve()
        with chdir(place):  # where the files are that the arguments name
            code = cast(Command, replace(cast(Any, command), output=Output(to, self.overwrite))).run()
        if code == 0 and (self.run_folder / EDIT).is_file():
            say(comparison(self.run_folder / EDIT, out / EDIT))
        elif code == 0:
            say(file_comparison(self.run_folder, out, record["files"]))
        return code


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
