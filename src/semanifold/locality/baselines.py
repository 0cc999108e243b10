"""The closed-form directions that masked manifolds are compared with, as candidates; the formulas are those of the path sets."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from semanifold.generators.base import Generator
from semanifold.generators.features import layer_features
from semanifold.locality.matching import Candidate, line
from semanifold.paths.closed_form import (
    principal_directions,
    regressed_directions,
    sefa_directions,
)

__all__ = [
    "component_lines",
    "layer_features",
    "layer_ranges",
    "on_layers",
    "principal_directions",
    "random_directions",
    "regressed_directions",
    "sefa_directions",
    "typical_distance",
]


def random_directions(shape: tuple[int, ...], count: int, seed: int) -> Tensor:
    """Return ``[count, *shape]`` isotropic directions of unit norm, drawn from a seed."""
    drawn = torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))
    return drawn / drawn.flatten(1).norm(dim=1).reshape(-1, *[1] * len(shape))


def layer_ranges(count: int) -> list[tuple[int, int]]:
    """Return the layer ranges of w+ that a component is tried on: all of them, and every two neighbours (one resolution)."""
    pairs = [(first, min(first + 2, count)) for first in range(0, count, 2)]
    return [(0, count), *pairs] if count > 2 else [(0, count)]


def on_layers(direction: Tensor, layers: tuple[int, int], count: int) -> Tensor:
    """Return a direction ``[d]`` of w as one of w+ ``[count, d]``: the same on the given layers, 0 on the others."""
    wide = direction.new_zeros(count, direction.shape[-1])
    wide[layers[0] : layers[1]] = direction
    return wide


def component_lines(
    directions: Callable[[tuple[int, int]], Tensor], shape: tuple[int, ...], space: str, reach: float
) -> list[Candidate]:
    """Return one candidate for every component and, in w+, every layer range.

    Args:
        directions: ``layers -> [k, d]`` components; of the whole code where there are no layers (``(0, 1)`` is asked for).
        shape: shape of one code.
        space: the space that the lines live in.
        reach: how far the lines go; see :func:`~semanifold.locality.matching.line`.
    """
    if len(shape) == 1:
        return [line(d, reach, space, f"component {i + 1}") for i, d in enumerate(directions((0, 1)))]
    lines = []
    for layers in layer_ranges(shape[0]):
        where = "all layers" if layers == (0, shape[0]) else f"layers {layers[0]}-{layers[1] - 1}"
        lines += [
            line(on_layers(d, layers, shape[0]), reach, space, f"component {i + 1}, {where}")
            for i, d in enumerate(directions(layers))
        ]
    return lines


def typical_distance(generator: Generator, space: str, *, pairs: int = 64) -> float:
    """Return how far two random codes lie apart: the mean norm of their difference, a layer of it where codes have layers."""
    codes = generator.sample(range(2 * pairs), space).values
    difference = codes[:pairs] - codes[pairs:]
    return float(difference.reshape(-1, difference.shape[-1]).norm(dim=1).mean())
