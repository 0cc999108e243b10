"""Tracing: what any path does to one code, as a lattice of displacements; and several edits in one space."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

import torch

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.core.shapes import Times
from semanifold.core.spaces import Space, single
from semanifold.edits.base import Edit, LatentEdit
from semanifold.edits.lattice import Lattice
from semanifold.generators.base import Generator, as_latents


def traced(
    edit: Edit, latents: Latents | int, knots: Times | int | None = None, *, generator: Generator | None = None
) -> Lattice:
    """Return the way that a path takes from one code as displacements from it, to be combined, retimed, trimmed or carried over.

    A curved path goes another way from every code; a traced one goes the same way from all of them.

    Args:
        edit: a path of one dimension that moves latents.
        latents: the one code to start at, in the edit's space (or in w+, for a path of w: all layers move alike); or its seed,
            which needs the generator.
        knots: increasing values of ``t``, or how many of them over the usable range; 0 is added where it is missing. By default
            the knots of the edit itself: each Euler step of a flow, each knot of a lattice.
        generator: makes the code of a seed.

    Returns:
        A lattice with the edit's info, whose start is the code.

    Raises:
        SemanifoldError: if the edit has two dimensions, or there is not exactly one code in its space.
    """
    if not isinstance(edit, LatentEdit):
        raise SemanifoldError(f"{edit.info.name} moves no codes, so there is no way of codes to trace; use it as it is.")
    if edit.dimensions != 1:
        raise SemanifoldError(f"A path is traced along one t, but this edit has {edit.dimensions} dimensions.")
    latents = as_latents(latents, generator, edit.info.space)
    if len(latents) != 1:
        raise SemanifoldError(f"A path is traced from one code at a time, but {len(latents)} were given.")
    if single(latents.space) == edit.info.space != latents.space:
        edit = edit.embedded(Space(latents.space, tuple(latents.values.shape[1:])))
    places = _knots(edit, knots).to(latents.values)
    with torch.no_grad():
        displacements = edit.latents(latents, places).values - latents.values
    displacements[places == 0] = 0
    return Lattice(displacements, (places,), edit.info, start=latents)


def on_code(edit: Edit, latents: Latents) -> Edit:
    """Return what an edit does to one code, with that code as its start, to be walked in another time, combined and saved.

    Displacements of whole codes are the same from every code (Yang et al. 2020, section 4), as changes of weights are; any other
    path is traced.

    Args:
        edit: any.
        latents: the one code, in the edit's space.

    Raises:
        SemanifoldError: if the code does not fit, or there is not exactly one.
    """
    if not edit.is_traced(latents):
        return traced(edit, latents)
    if len(latents) != 1:
        raise SemanifoldError(f"An edit is carried to one code at a time, but {len(latents)} were given.")
    edit.check_code(latents)
    other = copy(edit)
    other.start = latents
    return other


def in_one_space(edits: Sequence[Edit], generator: Generator) -> list[Edit]:
    """Return edits in the one of their spaces that all others of them are embedded in, if there is one; else as they are.

    Raises:
        SemanifoldError: for a path that goes another way from every code, and would have to be traced before.
    """
    spaces = {edit.info.space for edit in edits if edit.moves_codes and edit.info.space in generator.spaces}
    for name in spaces:
        space = generator.spaces[name]
        if len(spaces) > 1 and spaces <= {name, *space.affine_of}:
            return [edit.embedded(space, generator) for edit in edits]
    return list(edits)


def _knots(edit: Edit, knots: Times | int | None) -> Times:
    """Return increasing values of ``t`` that hold 0."""
    if knots is None:
        return edit.knots[0]
    if isinstance(knots, int):
        knots = torch.linspace(*edit.info.usable, max(2, knots), dtype=torch.float64)
    return torch.unique(torch.cat([knots.flatten(), knots.new_zeros(1)]))
