"""Edits brought to equal inside change: the smallest step at which the picture has changed by a given amount inside the mask."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from semanifold.core.latents import Latents
from semanifold.core.shapes import Frames, Times
from semanifold.edits import Edit, EditInfo, Lattice
from semanifold.generators.base import Generator
from semanifold.images.metrics import inside_change

FIRST = 2.0**-4
"""The smallest step that is tried, as a share of a side's whole range."""


@dataclass(frozen=True)
class Candidate:
    """One edit of a method, as the paths that lead away from the unedited picture.

    Attributes:
        name: which of the method's edits it is, such as ``"component 3, layers 4-8"``.
        sides: edits with ``t`` in [0, 1], all beginning at the start: both signs of a direction, both ends of a path, or the rays
            to the frames of a manifold. A method is judged by the mean over all of them.
    """

    name: str
    sides: tuple[Edit, ...]


def ray(displacement: Tensor, space: str, name: str) -> Lattice:
    """Return the straight edit that has moved a code by ``displacement`` (of the shape of one code) at ``t = 1``."""
    knots = torch.tensor([0.0, 1.0], dtype=displacement.dtype)
    return Lattice(torch.stack([torch.zeros_like(displacement), displacement]), (knots,), EditInfo(name=name, space=space))


def line(direction: Tensor, reach: float, space: str, name: str) -> Candidate:
    """Return both signs of a direction as a candidate.

    Args:
        direction: of the shape of one code; only its direction counts.
        reach: how far ``t = 1`` lies from the start, as the root mean square over the layers that move (the norm where codes have
            no layers).
        space: latent space of the direction.
        name: name of the candidate.
    """
    step = direction * (reach / moved_norm(direction))
    return Candidate(name, (ray(step, space, name), ray(-step, space, name)))


def both_signs(edit: Edit, reach: float, name: str) -> Candidate:
    """Return both signs of a straight edit as a candidate, slow at first: at ``t`` it has gone ``reach t^2``.

    So it comes by small changes as well, where it is not known how long a way is usual.

    Args:
        edit: the edit.
        reach: how far ``t = 1`` lies from the start, in the unit of the edit's :meth:`~semanifold.edits.Edit.way`.
        name: name of the candidate.
    """
    unit = float(edit.way(torch.tensor([0.0, 1.0])).diff(dim=0).norm())
    knots = torch.tensor([0.0, *(2.0**i for i in range(round(math.log2(FIRST)), 1))])
    return Candidate(name, tuple(edit.along(end / unit * knots.square(), knots) for end in (reach, -reach)))


def moved_norm(displacement: Tensor) -> float:
    """Return the norm of a displacement ``[d]``, or the root mean square norm over the moving layers of ``[layers, d]``."""
    norms = displacement.reshape(-1, displacement.shape[-1]).norm(dim=-1)
    return float(norms[norms > 0].square().mean().sqrt())


def side_images(generator: Generator, start: Latents, sides: Sequence[Edit], t: Times) -> Frames:
    """Return the pictures ``[n, c, h, w]`` of n sides, each at its own ``t`` ``[n]``."""
    return of_sides(generator, start, sides, t, lambda other, codes, _: other.images(codes))


@torch.no_grad()
def of_sides(
    generator: Generator,
    start: Latents,
    sides: Sequence[Edit],
    t: Tensor,
    measure: Callable[[Generator, Latents, list[int]], Tensor],
) -> Tensor:
    """Return what a function makes of n sides, each at its own ``t`` ``[n]``: one row per side ``[n, ...]``.

    Args:
        generator: makes the unedited picture.
        start: one code.
        sides: paths that start at it.
        t: how far each has gone.
        measure: makes m rows of a generator, m codes, and the numbers of their sides.
    """
    batches = list(_batches(generator, start, sides, t))
    parts = [measure(other, codes, rows) for rows, other, codes in batches]
    order = torch.tensor([row for rows, *_ in batches for row in rows]).argsort()
    joined = torch.cat(parts)
    return joined[order.to(joined.device)]


def _batches(
    generator: Generator, start: Latents, sides: Sequence[Edit], t: Tensor, *, batch: int = 64
) -> Iterator[tuple[list[int], Generator, Latents]]:
    """Return the numbers of the sides, with the generator and the codes that make their pictures, as few at a time as possible.

    Edits that leave the generator as it is are made together, whatever kind they are; any other makes its picture alone.
    """
    together: list[int] = []
    values: list[Tensor] = []
    for row, side in enumerate(sides):
        other, codes = side.applied(generator, start, t[row : row + 1])
        if other is generator:
            together.append(row)
            values.append(codes.values)
        else:
            yield [row], other, codes
    for i in range(0, len(together), batch):
        yield together[i : i + batch], generator, start.with_values(torch.cat(values[i : i + batch]))


def match(
    generator: Generator,
    start: Latents,
    sides: Sequence[Edit],
    mask: Tensor,
    level: float,
    *,
    tolerance: float = 0.01,
    rounds: int = 12,
) -> Tensor:
    """Find where each side first reaches a given inside change.

    The step is doubled from :data:`FIRST` until the change inside the mask exceeds the level; the crossing in between is then
    found by false position and bisection in turn, on all sides at once.

    Args:
        generator: makes the pictures.
        start: one code.
        sides: paths that are at the start at ``t = 0``.
        mask: ``[1, 1, h, w]``.
        level: wanted :func:`~semanifold.images.metrics.inside_change`.
        tolerance: accepted relative error of the level.
        rounds: most steps of the second part.

    Returns:
        ``t`` in (0, 1] a side ``[n]``; NaN where a side never reaches the level.
    """
    with torch.no_grad():
        reference = generator.images(start)
    n = len(sides)
    low, high = torch.zeros(n), torch.full((n,), torch.nan)
    low_change, high_change = torch.zeros(n), torch.full((n,), torch.nan)

    def change(rows: Tensor, t: Tensor) -> Tensor:
        pictures = side_images(generator, start, [sides[i] for i in rows.tolist()], t)
        return inside_change(pictures, reference, mask).to("cpu", torch.float32).nan_to_num(0.0)

    step = FIRST
    while step <= 1:
        rows = high.isnan().nonzero()[:, 0]
        if len(rows) == 0:
            break
        now = change(rows, torch.full((len(rows),), step))
        over = now >= level * (1 - tolerance)
        high[rows[over]], high_change[rows[over]] = step, now[over]
        low[rows[~over]], low_change[rows[~over]] = step, now[~over]
        step *= 2
    for turn in range(rounds):
        off = (high_change - level).abs() > tolerance * level
        rows = (~high.isnan() & off).nonzero()[:, 0]
        if len(rows) == 0:
            break
        aimed = (level - low_change[rows]) / (high_change[rows] - low_change[rows])
        share = aimed.clamp(0.02, 0.98) if turn % 2 == 0 else torch.full_like(aimed, 0.5)
        middle = low[rows] + share * (high[rows] - low[rows])
        now = change(rows, middle)
        over = now >= level * (1 - tolerance)
        high[rows[over]], high_change[rows[over]] = middle[over], now[over]
        low[rows[~over]], low_change[rows[~over]] = middle[~over], now[~over]
    return high
