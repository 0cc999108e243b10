"""Paths of a set by number or name, found without torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from semanifold.core.errors import SemanifoldError, near_names, shown

FILE = "paths.safetensors"
"""The file of a set in the folder of a training."""
NAMED_PATHS = {"faces": Path(__file__).parents[1] / "worlds" / "faces" / "weights" / "paths64.safetensors"}
"""Sets of named paths that ship with bundled generators, by the generator's name (``scripts/make_faces_paths.py``)."""


def find_path(which: int | str, count: int, names: Mapping[int, str]) -> int:
    """Return the index of a path by its index or its name (a name without its sign will do).

    Args:
        which: index, of which negative ones count from the end, or name; a text may be a number as it is typed, from 0 on, or
            ``path -1``, which counts from the end.
        count: paths of the set.
        names: of those paths that have one.

    Raises:
        SemanifoldError: if there is no such path; near names are listed.
    """
    typed = isinstance(which, str) and re.fullmatch(r"-?[0-9]{1,18}", which)
    if typed or isinstance(which, int):
        which = int(which)
        if not (0 if typed else -count) <= which < count:
            raise SemanifoldError(f"There is no path {which}: the set has {count} paths, 0..{count - 1}.")
        return which % count
    for exact in (True, False):
        for index, name in names.items():
            if which == (name if exact else unsigned(name)):
                return find_path(int(index), count, names)
    if match := re.fullmatch(r"path (-?[0-9]{1,18})", which):
        return find_path(int(match[1]), count, names)
    known = near_names(which, names.values()) if names else f"no path of the set has a name; give an index, 0..{count - 1}."
    raise SemanifoldError(f"There is no path {shown(which, 40)!r}: {known}")


def unsigned(name: str) -> str:
    """Return a name without the sign of the direction in which it holds."""
    return name.removesuffix(" +").removesuffix(" -")


def path_name(index: int, names: Mapping[int, str]) -> str:
    """Return what a path is called."""
    return names.get(index, f"path {index}")
