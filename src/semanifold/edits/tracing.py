"""Tracing: what any path does to one code, as a lattice of offsets; and paths of ``w`` in ``w+``, and of both in ``s``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace

import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.edits.base import Edit, LatentEdit
from semanifold.edits.flow import Flow
from semanifold.edits.lattice import Lattice
from semanifold.edits.sums import Sum
from semanifold.edits.weights import WeightEdit
from semanifold.generators.base import Generator, as_latents


def traced(
    edit: Edit, latents: Latents | int, knots: Tensor | int | None = None, *, generator: Generator | None = None
) -> Lattice:
    """Return the way that a path takes from one code as offsets from it, to be combined, retimed, trimmed or carried over.

    A curved path goes another way from every code; a traced one goes the same way from all of them.

    Args:
        edit: a path of one dimension that moves latents.
        latents: the one code to start at, in the edit's space (or in w+, for a path of w: all layers move alike); or its seed,
            which needs the generator.
        knots: increasing values of ``t``, or how many of them over the usable range; 0 is added where it is missing. By default
            the knots of the edit itself: each Euler step of a flow, each knot of a lattice.
        generator: makes the code of a seed.

    Returns:
        A lattice with the edit's info, whose seed is the code.

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
    if (edit.info.space, latents.space) == ("w", "w+"):
        edit = widened(edit, latents.values.shape[1])
    assert isinstance(edit, LatentEdit)
    places = _knots(edit, knots).to(latents.values)
    with torch.no_grad():
        offsets = edit.latents(latents, places).values - latents.values
    offsets[places == 0] = 0
    return Lattice(offsets, (places,), edit.info, seed=latents)


def on_code(edit: Edit, latents: Latents) -> Edit:
    """Return what an edit does to one code, with that code as its seed, to be walked in another time, combined and saved.

    Offsets of whole codes are the same from every code (Yang et al. 2020, section 4), as changes of weights are; any other path
    is traced.

    Args:
        edit: any.
        latents: the one code, in the edit's space.

    Raises:
        SemanifoldError: if the code does not fit, or there is not exactly one.
    """
    moves_a_part = isinstance(edit, LatentEdit) and edit.moving_shape != tuple(latents.values.shape[1:])
    if moves_a_part or isinstance(edit, Flow):
        return traced(edit, latents)
    if len(latents) != 1:
        raise SemanifoldError(f"An edit is carried to one code at a time, but {len(latents)} were given.")
    if isinstance(edit, LatentEdit):
        edit.latents(latents, torch.zeros(edit.dimensions))  # refuses what does not fit
    other = copy(edit)
    other.seed = latents
    return other


def widened(edit: Edit, layers: int) -> Edit:
    """Return a path of ``w`` as one of ``w+`` that moves all layers alike; a path of ``w+`` is returned as it is.

    On codes whose layers agree the pictures are the same; now it can also start at others, and be combined with paths of ``w+``.

    Args:
        edit: the path.
        layers: number of layers of ``w+``.

    An edit that moves no codes is returned as well, and a sum with its parts carried over.

    Raises:
        SemanifoldError: for a path of another space.
    """
    if isinstance(edit, Sum):
        return _sum_of(edit, lambda part: widened(part, layers))
    if edit.info.space == "w+" or not isinstance(edit, LatentEdit):
        return edit
    if edit.info.space != "w":
        raise SemanifoldError(f"{edit.info.name} lives in {edit.info.space}, and only paths of w can be carried over into w+.")
    info = replace(edit.info, space="w+")
    if isinstance(edit, Flow):
        return Flow(edit.support[:, None], edit.alphas, edit.gamma, edit.step, edit.count, info)
    if not isinstance(edit, Lattice):
        raise SemanifoldError(f"{edit.info.name} moves no codes, so it cannot be carried over into w+.")
    offsets = edit.offsets.unsqueeze(-2).expand(*edit.offsets.shape[:-1], layers, -1)
    seed = edit.seed and Latents(edit.seed.values.unsqueeze(1).expand(-1, layers, -1), "w+", edit.seed.labels)
    return Lattice(offsets, edit.knots, info, seed=seed)


def in_styles(edit: Edit, generator: Generator) -> Edit:
    """Return a path of ``w`` or ``w+`` as one of ``s``; a path of ``s`` and an edit that moves no codes are returned as they are.

    Styles are affine in ``w+``, so the same offsets of styles are right at every code. Now the path can also start at any code
    of ``s``, and be combined with single channels.

    Args:
        edit: the path.
        generator: a StyleGAN2, whose maps from w to styles are used.

    Raises:
        SemanifoldError: for a path of another space, or a curved one, which has to be traced before.
    """
    if isinstance(edit, Sum):
        return _sum_of(edit, lambda part: in_styles(part, generator))
    if edit.info.space == "s" or not isinstance(edit, LatentEdit):
        return edit
    if edit.info.space not in ("w", "w+"):
        raise SemanifoldError(f"{edit.info.name} lives in {edit.info.space}, and only paths of w and w+ can be carried into s.")
    if not isinstance(edit, Lattice):
        raise SemanifoldError(
            f"{edit.info.name} goes another way from every code; trace it from one (traced, or semanifold render) before it is "
            "carried into s."
        )
    shape, dimensions = generator.spaces[edit.info.space], edit.dimensions
    zero = Latents(torch.zeros(1, *shape, device=generator.device, dtype=generator.dtype), edit.info.space)
    grid = edit.offsets.shape[:dimensions]
    moving = edit.offsets.flatten(0, dimensions - 1).to(zero.values)
    layers = edit.info.layers if moving.shape[1:] != shape else None
    with torch.no_grad():
        offsets = generator.convert(zero.moved(moving, layers), "s").values - generator.convert(zero, "s").values
        seed = edit.seed and generator.convert(edit.seed.to(zero.values.device, zero.values.dtype), "s")
    info = replace(edit.info, space="s", layers=None)
    return Lattice(offsets.reshape(*grid, -1).to(edit.offsets), edit.knots, info, seed=seed)


def _sum_of(edit: Sum, carry: Callable[[Edit], Edit]) -> Sum:
    """Return a sum with its parts carried over to another space; the code that it is looked at on stays behind."""
    parts = [carry(part) for part in edit.parts]
    return Sum([part for part in parts if isinstance(part, Lattice | WeightEdit)], edit.info)


def in_one_space(edits: Sequence[Edit], generator: Generator) -> list[Edit]:
    """Return paths of ``w``, ``w+`` and ``s`` in the widest of these spaces that there is among them; others as they are.

    Raises:
        SemanifoldError: for a curved path beside one of ``s``.
    """
    spaces = {edit.info.space for edit in edits}
    if "s" in spaces and spaces & {"w", "w+"}:
        return [in_styles(edit, generator) if edit.info.space in ("w", "w+") else edit for edit in edits]
    if {"w", "w+"} <= spaces:
        return [widened(edit, generator.spaces["w+"][0]) for edit in edits]
    return list(edits)


def _knots(edit: Edit, knots: Tensor | int | None) -> Tensor:
    """Return increasing values of ``t`` that hold 0."""
    if knots is None:
        return edit.knots[0]
    if isinstance(knots, int):
        knots = torch.linspace(*edit.info.usable, max(2, knots), dtype=torch.float64)
    return torch.unique(torch.cat([knots.flatten(), knots.new_zeros(1)]))
