"""Generators with an edit of their weights inside, as files."""

from __future__ import annotations

import os
from numbers import Real
from pathlib import Path
from typing import Any, cast

from semanifold.core.errors import SemanifoldError, of_type
from semanifold.edits import Edit
from semanifold.generators.base import Generator
from semanifold.generators.loading import Layout, save_generator
from semanifold.generators.states import Say, silent

MOST_STRENGTH = 1000.0
"""Beyond all ranges that are ever usable."""


def bake(
    edit: Edit,
    generator: Generator,
    path: str | os.PathLike[str],
    *,
    strength: float | None = None,
    layout: Layout | None = None,
    overwrite: bool = False,
    say: Say = silent,
) -> Generator:
    """Write a generator whose own pictures are the edited ones, and return it; the given one is not changed.

    Args:
        edit: an edit of weights.
        generator: that it is for.
        path: the new file, ``.safetensors``, or ``.pt`` for other programs.
        strength: ``t`` of the edit, beyond its usable range as well, up to 1000; None is 1, or the end of that range if it is
            nearer.
        layout: how the tensors are called; see :func:`~semanifold.generators.loading.save_generator`.
        overwrite: whether the file may be replaced.
        say: gets what the other program needs to be told.

    Raises:
        SemanifoldError: for an edit of codes, one that does not fit, a strength out of that range, or a file that cannot be
            written; nothing half-written remains.
    """
    of_type(edit, Edit, "What is written into a generator is an edit")
    of_type(generator, Generator, "An edit is written into a generator")
    of_type(path, (str, os.PathLike), "The target is the name of a file")
    if strength is None:
        strength = full_strength(edit)
    of_type(strength, Real, "strength is a number, such as 1 or -0.5")
    if not abs(strength) <= MOST_STRENGTH:
        most = f"{MOST_STRENGTH:g}"
        raise SemanifoldError(f"strength is a number from -{most} to {most}, such as 1 or -0.5, but it is {float(strength):g}.")
    baked = edit.baked(generator, strength)
    baked.name = Path(path).stem  # as any other file is called that does not say its name
    save_generator(cast("Any", baked), path, layout=layout, overwrite=overwrite, say=say)
    return baked


def full_strength(edit: Edit) -> float:
    """Return the ``t`` of all of an edit: 1, or the end of its usable range if it is nearer."""
    return min(1.0, edit.info.usable[1]) or 1.0
