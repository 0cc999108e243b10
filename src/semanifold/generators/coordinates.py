"""The metric of a space: units in which a generator's own codes are about standard normal, so that all steps are about as usual.

A code of s has thousands of numbers, but random ones fill no more dimensions than w has, which all styles are affine maps of: its
metric is a diagonal and a matrix of that rank, never a dense one.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from semanifold.core.latents import Latents, conditions_key, root_of_covariance, symmetric_root
from semanifold.core.spaces import single
from semanifold.generators.base import Generator

SAMPLES = 2048
"""Codes that the covariance is taken of."""
FLAT = 1e-8
"""Variances below this share of the largest count as none."""


@dataclass(frozen=True, eq=False)
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


@dataclass(frozen=True, eq=False)
class Coordinates:
    """A linear map from coordinates u to displacements of a code, ``across u within``; both None for the plain latent space.

    Attributes:
        within: ``[d, d]`` symmetric root of the covariance of one layer's code; that of s is given by its low rank.
        across: ``[l, l]`` symmetric root of the covariance of the layers among one another.
    """

    within: Tensor | LowRank | None = None
    across: Tensor | None = None

    def displacements(self, u: Tensor) -> Tensor:
        """Return the displacements ``[n, *moving]`` of coordinates ``[n, *moving]``."""
        if isinstance(self.within, LowRank):
            u = self.within.times(u)
        elif self.within is not None:
            u = u @ self.within
        return u if self.across is None else torch.einsum("ij,njd->nid", self.across, u)

    def inverse(self, displacements: Tensor) -> Tensor:
        """Return the shortest coordinates ``[n, *moving]`` of displacements; what the samples never do is left out."""
        if isinstance(self.within, LowRank):
            displacements = self.within.solved(displacements)
        elif self.within is not None:
            # pseudo-inverse: w often fills a part of its dimensions only, and dividing by the rest would blow up noise
            displacements = displacements @ torch.linalg.pinv(self.within, hermitian=True, rtol=1e-4)
        if self.across is None:
            return displacements
        return torch.einsum("ij,njd->nid", torch.linalg.pinv(self.across, hermitian=True, rtol=1e-4), displacements)


PLAIN = Coordinates()
"""The latent space as it is."""


_KNOWN: WeakKeyDictionary[Generator, dict[object, Latents]] = WeakKeyDictionary()
"""The own codes that were asked for last, by the generator."""


@torch.no_grad()
def own_codes(generator: Generator, code: Latents, space: str) -> Latents:
    """Return :data:`SAMPLES` codes of a generator's own, under the conditions of a code; drawn once as long as all these stay."""
    written = sum(0 if weights.is_inference() else weights._version for weights in generator.parameters())  # in place
    key = space, generator.device, generator.dtype, conditions_key(code), written
    codes = _KNOWN.setdefault(generator, {}).get(key)
    if codes is None:
        codes = generator.sample_like(code, range(SAMPLES), space)
        _KNOWN[generator] = {key: codes}
    return codes


def natural_coordinates(generator: Generator, code: Latents, moving: tuple[int, ...], independence: float) -> Coordinates:
    """Return :func:`coordinates_of` the space of a code, from codes of its class.

    Args:
        generator: the generator.
        code: one code in the space to move in.
        moving: shape of the part of a code that moves.
        independence: from 0 (layers and channels move together, as in w) to 1 (each goes its own way).
    """
    if is_plain(generator, code.space):
        return PLAIN
    codes = own_codes(generator, code, generator.path_space).values
    layers = moving[0] if generator.spaces[code.space].layers else 0
    return coordinates_of(generator, code.space, codes, layers, independence)


def is_plain(generator: Generator, space: str) -> bool:
    """Whether a space is taken as it is: it is that of the drawn codes, or no affine map leads to it from the path space."""
    home = generator.path_space
    return home == generator.first_space or (space != home and home not in generator.spaces[space].affine_of)


def coordinates_of(generator: Generator, space: str, codes: Tensor, layers: int, independence: float) -> Coordinates:
    """Return coordinates in which the codes of a generator are about standard normal.

    A space that codes are drawn from is taken as it is. ``w`` is whitened by the covariance of its codes (the metric of P_N, Zhu
    et al. 2020, arXiv:2012.09036, without its leaky units). In ``w+`` layers usually agree; they get the covariance
    ``(1 - e) 1 1^T + e I`` with each other, so that moving them together is cheap and letting them part is dear. In any other
    affine image of ``w``, such as the styles ``s``, the same is done for the channels, see :func:`affine_root`.

    Args:
        generator: the generator.
        space: its space.
        codes: ``[n, d]`` random codes of the generator's ``path_space``, such as w.
        layers: how many layers of an extended space move; 0 for all others, and for layers that move alike.
        independence: e, from 0 (layers and channels move together, as in w) to 1 (each goes its own way).
    """
    if is_plain(generator, space):
        return PLAIN
    if single(space) != generator.path_space:
        return Coordinates(affine_root(generator, space, codes, independence))
    within = root_of_covariance(codes).to(codes)
    if not layers:
        return Coordinates(within)
    # eigenvalues: (1 - e) l + e for moving together, e for each way of parting
    together = (1 - independence) * torch.ones(layers, layers) + independence * torch.eye(layers)
    return Coordinates(within, symmetric_root(together.double()).to(codes))


def spread_rows(generator: Generator, space: str, codes: Tensor) -> Tensor:
    """Return rows ``[d, m]`` whose products are the covariance of codes of a space: ``rows^T rows``, in double precision.

    The space is an affine image of the one that paths live in, so these are the root of the covariance there, carried over.

    Args:
        generator: has both spaces.
        space: such as ``"s"``, of which a code has m numbers.
        codes: ``[n, d]`` random codes of the generator's ``path_space``, such as w.
    """
    units, home = torch.eye(codes.shape[1]).to(codes), generator.path_space
    with torch.no_grad():
        ends, middle = (
            generator.convert(Latents(x, home), space).values.flatten(1).double() for x in (units, torch.zeros_like(units[:1]))
        )
    return root_of_covariance(codes) @ (ends - middle)


def affine_root(generator: Generator, space: str, codes: Tensor, independence: float) -> LowRank:
    """Return the map from coordinates in which codes of an affine image of w are about standard normal to their displacements.

    Every channel is measured in its own standard deviation. Channels vary together among random codes; they get the correlation
    ``(1 - e) R + e I``, R their own, so that moving them as w does is cheap and letting them part is dear.

    Args:
        generator: has both spaces.
        space: such as ``"s"``.
        codes: ``[n, d]`` random codes of the generator's ``path_space``, such as w.
        independence: e, from 0 (only what some code of w does) to 1 (each channel by itself).
    """
    rows = spread_rows(generator, space, codes)
    scale = rows.square().sum(0).sqrt()
    scale = torch.where(scale > scale.max() * FLAT, scale, 0)
    rows = torch.where(scale > 0, rows / torch.where(scale > 0, scale, 1), 0)
    values, vectors = torch.linalg.eigh(rows @ rows.T)  # of the small side: the correlations have the same ones
    kept = values > values[-1] * FLAT
    values, vectors = values[kept], vectors[:, kept]
    axes = (vectors / values.sqrt()).T @ rows
    gains = ((1 - independence) * values + independence).sqrt()
    return LowRank(scale.to(codes), axes.to(codes), gains.to(codes), independence**0.5)
