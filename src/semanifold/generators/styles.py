"""The space of styles: how its codes are spread, and units in which they are about standard normal, without dense matrices.

A code of s has thousands of numbers, but random ones fill no more dimensions than w has, which all styles are affine maps of.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semanifold.core.latents import Latents, root_of_covariance
from semanifold.generators.base import Generator

FLAT = 1e-8
"""Variances below this share of the largest count as none."""


@dataclass(frozen=True)
class LowRank:
    """The matrix ``(rest I + V^T diag(gains - rest) V) diag(scale)`` that rows are multiplied by, V the axes.

    Attributes:
        scale: ``[d]``.
        axes: ``[r, d]`` orthonormal rows.
        gains: ``[r]`` what these are stretched by.
        rest: what everything orthogonal to them is stretched by.
    """

    scale: Tensor
    axes: Tensor
    gains: Tensor
    rest: float

    def times(self, rows: Tensor) -> Tensor:
        """Return ``rows @ self`` of ``[..., d]``."""
        return (self.rest * rows + (rows @ self.axes.T * (self.gains - self.rest)) @ self.axes) * self.scale

    def solved(self, rows: Tensor) -> Tensor:
        """Return the shortest rows ``[..., d]`` that :meth:`times` makes these of; what it cannot make is left out."""
        rows = torch.where(self.scale > 0, rows / torch.where(self.scale > 0, self.scale, 1), 0)
        along = rows @ self.axes.T
        within = (along / self.gains) @ self.axes
        return within if self.rest == 0 else within + (rows - along @ self.axes) / self.rest


def spread_rows(generator: Generator, w: Tensor) -> Tensor:
    """Return rows ``[d, s]`` whose products are the covariance of codes of s: ``cov(s) = rows^T rows``, in double precision.

    Styles are affine in w, so these are the root of the covariance of w carried over to s.

    Args:
        generator: has the spaces w and s.
        w: ``[n, d]`` random codes of w.
    """
    units = torch.eye(w.shape[1]).to(w)
    with torch.no_grad():
        ends, middle = (generator.convert(Latents(x, "w"), "s").values.double() for x in (units, torch.zeros_like(units[:1])))
    return root_of_covariance(w) @ (ends - middle)


def style_root(generator: Generator, w: Tensor, independence: float) -> LowRank:
    """Return the map from coordinates in which codes of s are about standard normal to their offsets.

    Every channel is measured in its own standard deviation. Channels vary together among random codes; they are given the
    correlation ``(1 - e) R + e I``, R their own, so that moving them as w does is cheap and letting them part is dear.

    Args:
        generator: has the spaces w and s.
        w: ``[n, d]`` random codes of w.
        independence: e, from 0 (only what some code of w does) to 1 (each channel by itself).
    """
    rows = spread_rows(generator, w)
    scale = rows.square().sum(0).sqrt()
    scale = torch.where(scale > scale.max() * FLAT, scale, 0)
    rows = torch.where(scale > 0, rows / torch.where(scale > 0, scale, 1), 0)
    values, vectors = torch.linalg.eigh(rows @ rows.T)
    kept = values > values[-1] * FLAT
    values, vectors = values[kept], vectors[:, kept]
    axes = (vectors / values.sqrt()).T @ rows
    gains = ((1 - independence) * values + independence).sqrt()
    return LowRank(scale.to(w), axes.to(w), gains.to(w), independence**0.5)
