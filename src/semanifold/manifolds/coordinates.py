"""Natural coordinates: latent offsets in units in which every step of length one is about equally usual."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semanifold.core.latents import Latents, root_of_covariance, symmetric_root
from semanifold.generators.base import Generator
from semanifold.generators.styles import LowRank, style_root

SAMPLES = 2048
"""Codes that the covariance is taken of."""


@dataclass(frozen=True)
class Coordinates:
    """A linear map from coordinates u to offsets of a code, ``across u within``; both None for the plain latent space.

    Attributes:
        within: ``[d, d]`` symmetric root of the covariance of one layer's code; that of s is given by its low rank.
        across: ``[l, l]`` symmetric root of the covariance of the layers among one another.
    """

    within: Tensor | LowRank | None = None
    across: Tensor | None = None

    def offsets(self, u: Tensor) -> Tensor:
        """Return the offsets ``[n, *moving]`` of coordinates ``[n, *moving]``."""
        if isinstance(self.within, LowRank):
            u = self.within.times(u)
        elif self.within is not None:
            u = u @ self.within
        return u if self.across is None else torch.einsum("ij,njd->nid", self.across, u)

    def inverse(self, offsets: Tensor) -> Tensor:
        """Return the shortest coordinates ``[n, *moving]`` of offsets; what the samples never do is left out."""
        if isinstance(self.within, LowRank):
            offsets = self.within.solved(offsets)
        elif self.within is not None:
            # pseudo-inverse: w often fills a part of its dimensions only, and dividing by the rest would blow up noise
            offsets = offsets @ torch.linalg.pinv(self.within, hermitian=True, rtol=1e-4)
        if self.across is None:
            return offsets
        return torch.einsum("ij,njd->nid", torch.linalg.pinv(self.across, hermitian=True, rtol=1e-4), offsets)


PLAIN = Coordinates()
"""The latent space as it is."""


def natural_coordinates(generator: Generator, seed: Latents, moving: tuple[int, ...], independence: float) -> Coordinates:
    """Return coordinates in which the codes of a generator are about standard normal.

    In ``z`` that is the space itself. In ``w`` it is whitened by the covariance of 2,048 codes (the metric of P_N, Zhu et al.
    2020, arXiv:2012.09036, without its leaky units). In ``w+`` layers usually agree; they are given the covariance
    ``(1 - e) 1 1^T + e I`` with each other, so that moving them together is cheap and letting them part is dear. In ``s``
    the same is done for the channels, see :func:`~semanifold.generators.styles.style_root`.

    Args:
        generator: the generator.
        seed: one code in the space to move in.
        moving: shape of the part of a code that moves.
        independence: e, from 0 (layers move together, as in w) to 1 (each goes its own way).
    """
    if seed.space not in ("w", "w+", "s") or "w" not in generator.spaces:
        return PLAIN
    codes = generator.sample_like(seed, range(SAMPLES), "w").values.detach()
    if seed.space == "s":
        return Coordinates(style_root(generator, codes, independence))
    within = root_of_covariance(codes).to(seed.values)
    if seed.space == "w":
        return Coordinates(within)
    layers = moving[0]
    # eigenvalues: (1 - e) l + e for moving together, e for each way of parting
    together = (1 - independence) * torch.ones(layers, layers) + independence * torch.eye(layers)
    return Coordinates(within, symmetric_root(together.double()).to(seed.values))
