"""Tracing: what any path does to one code, as a lattice of offsets that other works on paths can take apart."""

from __future__ import annotations

import torch
from torch import Tensor

from semanifold.edits.base import Edit
from semanifold.edits.flow import Flow
from semanifold.edits.lattice import Lattice
from semanifold.errors import SemanifoldError
from semanifold.latents import Latents

KNOTS = 33
"""Knots of a traced edit that has no steps or knots of its own."""


def traced(edit: Edit, latents: Latents, knots: Tensor | int | None = None) -> Lattice:
    """Return the way that a path takes from one code as offsets from it, to be combined, retimed, trimmed or carried over.

    A curved path goes another way from every code; a traced one goes the same way from all of them.

    Args:
        edit: a path of one dimension that moves latents.
        latents: the one code to start at, in the edit's space.
        knots: increasing values of ``t``, or how many of them over the usable range; 0 is added where it is missing. By default
            the knots of the edit itself: each Euler step of a flow, each knot of a lattice.

    Returns:
        A lattice with the edit's info, whose seed is the code.

    Raises:
        SemanifoldError: if the edit has two dimensions, or there is not exactly one code in its space.
    """
    if edit.dimensions != 1:
        raise SemanifoldError(f"A path is traced along one t, but this edit has {edit.dimensions} dimensions.")
    if len(latents) != 1:
        raise SemanifoldError(f"A path is traced from one code at a time, but {len(latents)} came.")
    places = _knots(edit, knots).to(latents.values)
    with torch.no_grad():
        offsets = edit.latents(latents, places).values - latents.values
    offsets[places == 0] = 0
    return Lattice(offsets, (places,), edit.info, seed=latents)


def _knots(edit: Edit, knots: Tensor | int | None) -> Tensor:
    """Return increasing values of ``t`` that hold 0."""
    if knots is None and isinstance(edit, Flow):
        return torch.arange(-edit.count, edit.count + 1, dtype=torch.float64) / edit.count
    if knots is None and isinstance(edit, Lattice):
        return edit.knots[0]
    if knots is None or isinstance(knots, int):
        knots = torch.linspace(*edit.info.usable, max(2, KNOTS if knots is None else knots), dtype=torch.float64)
    return torch.unique(torch.cat([knots.flatten(), knots.new_zeros(1)]))
