"""An exact generator: latents to factors by a smooth, entangled map, factors to pictures by the renderer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.core.shapes import Pictures
from semanifold.core.spaces import Space, named
from semanifold.core.world import World
from semanifold.generators.base import Generator
from semanifold.worlds.faces.factors import FACTORS
from semanifold.worlds.faces.renderer import render
from semanifold.worlds.faces.world import FACES

__all__ = ["LATENT_SIZE", "AnalyticFaces", "factors_from_latents"]

LATENT_SIZE = 32
"""The number of latent dimensions."""

_SEED = 20_260_913
_TURNS = 3
_BEND = 0.9
# Mean and standard deviation of x + 0.9 (sqrt(1 + x^2) - 1), x normal.
_BEND_MEAN = 0.319078
_BEND_SPREAD = 1.064824
_CALIBRATION = 1 << 15

Array = NDArray[np.float64]


def factors_from_latents(latents: Tensor) -> Tensor:
    """Map latents to the factors of faces.

    The latent is first scaled to unit root mean square, as the mapping network of StyleGAN does, so that its length says nothing.
    Three times it is turned by a fixed orthogonal matrix and every coordinate bent; a last, nearly orthogonal matrix mixes and
    whitens the result, and the factors are the normal distribution function of its coordinates. So every factor depends on every
    latent coordinate, along a curve. Over z ~ N(0, I) each factor is close to uniform on [0, 1] and close to uncorrelated with
    the others.

    Args:
        latents: [n, 32], float32 or float64, on any device.

    Returns:
        Factors [n, F] in [0, 1], of the same type and on the same device.

    Raises:
        SemanifoldError: if the shape or type of the latents is wrong.
    """
    matrices, offset = _constants()
    return _mapped(latents, [_like(matrix, latents) for matrix in matrices], _like(offset, latents))


class AnalyticFaces(Generator):
    """The faces of the renderer behind a map from 32 normal latents: a generator of which everything is known.

    Spaces: ``z`` (32,), standard normal, and ``factors`` (F,), each in [0, 1]; :meth:`convert` leads from the first to the
    second. The matrices of the map are its weights, so it has a fingerprint, a device and a precision like any other generator.
    """

    name = "analytic faces"
    spaces = named(Space("z", (LATENT_SIZE,)), Space("factors", (len(FACTORS),)))
    licence = "Apache-2.0"
    source = "rendered by semanifold"

    def __init__(self, size: int = 64) -> None:
        """Make the generator.

        Args:
            size: native width and height of the pictures in pixels.
        """
        super().__init__()
        self.picture_shape = (3, size, size)
        matrices, offset = _constants()
        self.turns = nn.ParameterList([torch.tensor(matrix, dtype=torch.float32) for matrix in matrices])
        self.offset = nn.Parameter(torch.tensor(offset, dtype=torch.float32))
        self.freeze()

    @cached_property
    def world(self) -> World:
        """See :attr:`Generator.world`."""
        return FACES

    def images(self, latents: Latents, *, size: int | None = None) -> Pictures:
        """Return the pictures ``[n, 3, size, size]`` of codes in either space, in [-1, 1]; any size is exact."""
        self.check_shape(latents)
        return render(self.convert(latents, "factors").values, self.picture_shape[-1] if size is None else size)

    def convert(self, latents: Latents, space: str) -> Latents:
        """Carry codes from ``z`` over to ``factors``; differentiable. There is no way back."""
        self.check_shape(latents)
        if (latents.space, space) != ("z", "factors"):
            return super().convert(latents, space)
        matrices = [cast(Tensor, turn) for turn in self.turns]
        return latents.with_values(_mapped(latents.values, matrices, self.offset), "factors")


def _mapped(latents: Tensor, matrices: Sequence[Tensor], offset: Tensor) -> Tensor:
    """Return the factors [n, F] of latents [n, 32]: h <- bend(h A_i) from the scaled latents on, then Phi(h B - b)."""
    if latents.ndim != 2 or latents.shape[1] != LATENT_SIZE or not latents.is_floating_point():
        raise SemanifoldError(
            f"Latents of the analytic faces are expected as a floating tensor [n, {LATENT_SIZE}], "
            f"but these are {list(latents.shape)} of {latents.dtype}."
        )
    # codes on the sphere of mean square 1: their length says nothing
    hidden = latents * (latents.square().mean(1, keepdim=True) + 1e-8).rsqrt()
    for matrix in matrices[:-1]:
        hidden = hidden @ matrix
        # a bend of mean 0 and spread 1 for normal numbers, smooth and invertible
        hidden = (hidden + _BEND * ((1 + hidden * hidden).sqrt() - 1) - _BEND_MEAN) / _BEND_SPREAD
    # scores are about standard normal, so their distribution function makes factors about uniform
    return torch.special.ndtr(hidden @ matrices[-1] - offset)


def _like(array: Array, tensor: Tensor) -> Tensor:
    return torch.tensor(array, dtype=tensor.dtype, device=tensor.device)


@lru_cache(maxsize=1)
def _constants() -> tuple[tuple[Array, ...], Array]:
    """Return the matrices, the last [32, F] after the bends, and the offset [F] that makes the scores zero on average.

    Only the raw integers of the bit generator are used, which NumPy promises never to change; the results are rounded to float32,
    so that both precisions see the same map.
    """
    generator = np.random.PCG64(_SEED)
    turns = [_orthogonal(_normal(generator, LATENT_SIZE, LATENT_SIZE)) for _ in range(_TURNS + 1)]
    hidden = _normal(generator, _CALIBRATION, LATENT_SIZE)
    # Calibration: random codes through all turns but the last.
    hidden /= np.sqrt((hidden**2).mean(1, keepdims=True))
    for turn in turns[:-1]:
        hidden = hidden @ turn
        hidden = (hidden + _BEND * (np.sqrt(1 + hidden**2) - 1) - _BEND_MEAN) / _BEND_SPREAD
    last = turns[-1][:, : len(FACTORS)]
    # Whiten the scores: one over the symmetric root of their covariance, which changes the axes as little as any.
    values, vectors = np.linalg.eigh(np.cov((hidden @ last).T))
    last = last @ (vectors / np.sqrt(values)) @ vectors.T
    offset = (hidden @ last).mean(0)
    return tuple(_rounded(matrix) for matrix in (*turns[:-1], last)), _rounded(offset)


def _rounded(array: Array) -> Array:
    return array.astype(np.float32).astype(np.float64)


def _normal(generator: np.random.PCG64, rows: int, columns: int) -> Array:
    """Draw normal numbers [rows, columns] by the method of Box and Muller."""
    raw = generator.random_raw(2 * rows * columns).reshape(2, rows, columns)
    first, second = ((raw >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53
    return np.sqrt(-2 * np.log(first)) * np.cos(2 * np.pi * second)


def _orthogonal(square: Array) -> Array:
    """Return the orthogonal factor of a square matrix, its signs fixed."""
    orthogonal, triangular = np.linalg.qr(square)
    return orthogonal * np.sign(np.diag(triangular))
