"""A finished traversal on disk: what its files say, checked when they are read, and its pictures."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError, shown
from semanifold.images import media
from semanifold.paths.finding import FILE as PATHS
from semanifold.storage.files import is_file
from semanifold.storage.pictures import open_picture
from semanifold.storage.records import read_json
from semanifold.storage.run_records import RECORD, RunRecord, is_plain_name, read_record

FACTS, IMAGES = "traversal.json", "paths_images"
MOST_PIXELS = 4096 * 4096
"""Pixels of one picture that is read back."""


@dataclass(frozen=True)
class PictureFiles:
    """The pictures of one path in a folder, read when they are asked for.

    Attributes:
        folder: of ``000000.png`` and so on (or ``.jpg``).
    """

    folder: Path

    @cached_property
    def files(self) -> list[Path]:
        """The files in their order."""
        return sorted(p for p in self.folder.glob("[0-9]*") if p.suffix in (".png", ".jpg"))

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> media.Frame:
        try:
            return np.asarray(open_picture(self.files[index], most_pixels=MOST_PIXELS).convert("RGB"))
        except SemanifoldError as error:
            words = str(error).partition(";")[0].rstrip(".")
            raise SemanifoldError(f"A picture is missing or damaged: {words}; walk its path again.") from error

    def tensor(self, rows: slice, channels: int = 3) -> Tensor:
        """Return pictures ``[n, channels, h, w]`` in [-1, 1], as a generator makes them, of 8 bits each."""
        levels = [self[i] for i in range(len(self))[rows]]
        if len({level.shape for level in levels}) > 1:
            raise SemanifoldError(f"The pictures in {shown(str(self.folder), 200)} differ in size; walk their path again.")
        return torch.from_numpy(np.stack(levels)).permute(0, 3, 1, 2)[:, :channels].float() / 127.5 - 1


Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Index = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
Name = Annotated[str, msgspec.Meta(max_length=255)]


class TraversalRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What ``traversal.json`` holds.

    Attributes:
        codes: names of the codes, and of their folders.
        paths: indices of the paths in their set.
        names: what the paths are called.
        t: moments of the frames, rising, 0 among them.
        step: length of an Euler step.
        count: steps either way.
        leap: every how many steps a frame was kept.
        space: latent space.
        method: how the paths were found.
        generator: its name.
        fingerprint: of the generator.
        channels: of the pictures.
        faces: whether they are bundled faces; None if an earlier version wrote it.
        path_set: the file of the set.
        path_set_fingerprint: what the paths are.
    """

    codes: list[Name]
    paths: list[Index]
    names: list[str]
    t: list[Annotated[float, msgspec.Meta(ge=-1, le=1)]]
    step: Annotated[float, msgspec.Meta(gt=0, lt=1e30)]
    count: Count
    leap: Count
    space: Name
    method: str
    generator: str
    fingerprint: Name
    channels: Literal[1, 3]
    faces: bool | None = None
    path_set: str
    path_set_fingerprint: Name

    def __post_init__(self) -> None:
        """Refuse fields that do not fit together."""
        if not (self.codes and self.paths and self.t):
            raise ValueError("it names no code, no path or no moment")
        if bad := [name for name in self.codes if not is_plain_name(name) or shown(name, 255) != name]:
            raise ValueError(f"a code is called {shown(bad[0])!r}, which is no name of a folder")
        if len(self.names) != len(self.paths) or len(set(self.paths)) < len(self.paths) or len(set(self.codes)) < len(self.codes):
            raise ValueError("its codes, or its paths and their names, do not fit together")
        if 0 not in self.t or any(not one < other for one, other in pairwise(self.t)):
            raise ValueError("its moments 't' do not rise from -1 to 1 through 0")


@dataclass(frozen=True)
class Traversal:
    """A finished traversal on disk.

    Attributes:
        folder: where it lies.
        facts: what ``traversal.json`` says.
        record: what ``run.json`` says.
    """

    folder: Path
    facts: TraversalRecord
    record: RunRecord

    @property
    def codes(self) -> tuple[str, ...]:
        """Names of the codes."""
        return tuple(self.facts.codes)

    @property
    def paths(self) -> tuple[int, ...]:
        """Indices of the paths in their set."""
        return tuple(self.facts.paths)

    @property
    def t(self) -> list[float]:
        """Moments of the frames."""
        return list(self.facts.t)

    def pictures(self, code: str, path: int) -> PictureFiles:
        """Return the pictures of one path from one code.

        Raises:
            SemanifoldError: if some of them are missing.
        """
        files = PictureFiles(self.folder / code / IMAGES / folder_name(path))
        if len(files) != len(self.t):
            raise SemanifoldError(
                f"{files.folder} holds {len(files)} pictures in place of {len(self.t)}; walk them again with overwrite=True."
            )
        return files


def folder_name(path: int) -> str:
    """Return what the folder of a path is called."""
    return f"path_{path:03d}"


def read_traversal(folder: str | os.PathLike[str]) -> Traversal:
    """Open the folder of a finished ``semanifold traverse``; names out of its files are made printable.

    Raises:
        SemanifoldError: if it is no such folder, is unfinished, or a file is missing or damaged.
    """
    folder = Path(folder)
    name, again = shown(str(folder), 200), "walk it again with overwrite=True"
    record = read_record(folder)
    if record.command != "traverse":
        has_paths = is_file(folder / PATHS)
        walk = (
            f"that of its paths is made by: semanifold traverse {name}" if has_paths else "it walks a set of paths, such as faces"
        )
        raise SemanifoldError(
            f"{name} was written by semanifold {shown(record.command)}; give the folder of a semanifold traverse ({walk})."
        )
    if record.status != "finished":
        raise SemanifoldError(
            f"The traversal {name} is half-written ({RECORD} says {record.status!r}); run the same traverse again first."
        )
    if missing := [key for key in ("fingerprint", "path_set_fingerprint", "pool") if not isinstance(record.facts.get(key), str)]:
        raise SemanifoldError(f"{name}/{RECORD} is damaged: its facts lack {missing[0]}; {again}.")
    try:
        facts = read_json(folder / FACTS, TraversalRecord, "traversal.json")
    except SemanifoldError as error:
        raise SemanifoldError(f"{str(error).rstrip('.')}; {again}.") from error
    for key in ("fingerprint", "path_set_fingerprint", "pool"):
        if not isinstance(record.facts.get(key), str):
            raise SemanifoldError(f"{name}/{RECORD} is damaged: its facts lack {key}; {again}.")
    words = {key: shown(getattr(facts, key), 200) for key in ("space", "method", "generator", "fingerprint")}
    facts = msgspec.structs.replace(facts, names=[shown(word, 200) for word in facts.names], **words)
    traversal = Traversal(folder, facts, record)
    # Whoever measures it makes room for codes x paths x frames: so many there must be.
    for code in facts.codes:
        there = set(os.listdir(folder / code / IMAGES)) if (folder / code / IMAGES).is_dir() else set()
        if lost := [path for path in facts.paths if folder_name(path) not in there]:
            raise SemanifoldError(f"{name}/{code}/{IMAGES}/{folder_name(lost[0])} is missing; {again}.")
    traversal.pictures(facts.codes[0], facts.paths[0])
    return traversal
