"""How far the pictures themselves decide which directions are the joint axes: axes that stand firm, planes in which none does."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from semanifold.core.plain import JsonObject

FIRM = 8.0
"""Degrees that an axis may vary over draws of codes: three such deviations are 24, and the cosine of 25.8 is 0.9."""

TELLING = 0.1
"""Least contrast of a pair of axes, from 0 (any two directions of their plane would do as well) to 1."""

DEAD = 3e-4
"""Share of the strongest axis' squared change of the picture below which an axis is dead."""

EVEN = 0.01
"""Difference of two logarithms of strengths that counts as none: pictures are differentiated in single precision."""

MOST_DEGREES = 45.0
"""A pair that is turned further is the same pair in another order."""


@dataclass(frozen=True, eq=False)
class Certainty:
    """What the metrics of many codes say of the axes that diagonalise them together, without any label.

    All of it is about the pictures: it tells where another draw of codes would give other axes, not whether the axes are those
    that somebody had in mind (``docs/joint.md``).

    Attributes:
        contrast: ``[k, k]`` how much the criterion rises when a pair is turned by 45 degrees in its plane, from 0 (flat) to 1.
        error: ``[k, k]`` standard error, in degrees, of the angle of each pair in its plane over draws as many codes; at most 45.
        spread: ``[k]`` degrees that each axis varies over such draws, in all its planes together.
        strength: ``[k]`` mean squared change of the picture along each axis, as a share of the strongest.
    """

    contrast: Tensor
    error: Tensor
    spread: Tensor
    strength: Tensor

    @property
    def dead(self) -> list[int]:
        """Axes along which pictures do not change."""
        return [k for k, strength in enumerate(self.strength.tolist()) if strength < DEAD]

    @property
    def planes(self) -> list[tuple[int, int]]:
        """Pairs of living axes that cannot be told apart: their angle is open, or every angle is as good."""
        living = [k for k in range(len(self.strength)) if k not in self.dead]
        return [
            (p, q)
            for p in living
            for q in living
            if p < q and (float(self.error[p, q]) > FIRM or float(self.contrast[p, q]) < TELLING)
        ]

    @property
    def loose(self) -> list[int]:
        """Living axes in no such plane that vary by more than :data:`FIRM` degrees, in planes with weaker ones among them."""
        out = {*self.dead, *(axis for plane in self.planes for axis in plane)}
        return [k for k, spread in enumerate(self.spread.tolist()) if k not in out and spread > FIRM]

    @property
    def settled(self) -> bool:
        """Whether every axis that is alive is sure, so that more codes would tell nothing new."""
        return not self.loose and not self.planes

    @property
    def sure(self) -> list[int]:
        """Axes that are alive, in no such plane, and vary by at most :data:`FIRM` degrees over draws of codes."""
        out = {*self.dead, *self.loose, *(axis for plane in self.planes for axis in plane)}
        return [k for k in range(len(self.spread)) if k not in out]

    def json(self) -> JsonObject:
        """Return all of it, ready for JSON."""
        return {
            "sure": list(self.sure),
            "planes": [list(plane) for plane in self.planes],
            "dead": list(self.dead),
            "strength": _rounded(self.strength, 6),
            "spread": _rounded(self.spread),
            "contrast": [_rounded(row) for row in self.contrast],
            "error": [_rounded(row) for row in self.error],
        }


def certainty_of(turned: Tensor, strength: Tensor, k: int) -> Certainty:
    """Return how certain the first k of some joint axes are.

    The plane of axes p and q: with ``h = a_pp - a_qq`` and ``o = 2 a_pq`` of each matrix the sum of ``o^2`` is what is left off
    the diagonal, and turned by 45 degrees it would be the sum of ``h^2``. An angle t adds ``4 t sum(h o) + 4 t^2 sum(h^2 - o^2)``
    to a half of it, so that one more matrix shifts the best angle by ``h o / (2 sum(h^2 - o^2))``: the infinitesimal jackknife.

    Args:
        turned: ``[n, m, m]`` the matrices in the frame of their joint axes.
        strength: ``[m]`` mean squared change of the picture along each, the strongest first.
        k: number of axes that are asked about; the spread of each counts its planes with all m.
    """
    n, diagonal = len(turned), turned.diagonal(dim1=1, dim2=2)
    shares = strength / strength[0]
    contrasts, errors = [], []
    for axis in range(k):  # one row at a time: all at once would be n m^2 numbers several times
        h, o = diagonal[:, axis, None] - diagonal, 2 * turned[:, axis]  # [n, m]
        turn, rest = h.square().sum(0), o.square().sum(0)
        rise = (turn - rest).clamp(min=0)
        contrasts.append(rise / (turn + rest + n * EVEN**2))
        scatter = (h * o - (h * o).mean(0)).square().sum(0).sqrt() * math.sqrt(n / max(n - 1, 1))
        degrees = torch.rad2deg(scatter / (2 * rise)) if n > 1 else torch.full_like(rise, MOST_DEGREES)
        errors.append(degrees.nan_to_num(MOST_DEGREES).clamp(max=MOST_DEGREES))
    contrast, error = torch.stack(contrasts), torch.stack(errors)
    itself = torch.eye(*contrast.shape, dtype=torch.bool, device=contrast.device)
    # in a flat plane every angle is as good, whatever the noise of single precision says of it
    error = torch.where(contrast < TELLING, MOST_DEGREES, error)
    contrast, error = contrast.masked_fill(itself, 1), error.masked_fill(itself, 0)
    # what happens in the plane with a dead axis cannot be seen
    spread = error[:, shares >= DEAD].square().sum(1).sqrt().clamp(max=2 * MOST_DEGREES)
    return Certainty(contrast[:, :k], error[:, :k], spread, shares[:k])


def _rounded(row: Tensor, places: int = 3) -> list[float]:
    return [round(float(value), places) for value in row]
