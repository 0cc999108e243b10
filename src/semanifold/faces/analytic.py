"""From latents to factors: an exact, smooth, entangled map that stands in for the mapping network of a trained generator."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semanifold.faces.factors import FACTORS

__all__ = ["LATENT_SIZE", "factors_from_latents"]

LATENT_SIZE = 32
"""The number of latent dimensions."""

_SEED = 20_260_913
_LAYERS = 3
_BEND = 0.9
# Mean and standard deviation of bend(x) before they are taken off, x normal: x normal.
_BEND_MEAN = 0.319078
_BEND_SPREAD = 1.064824
_CALIBRATION = 1 << 15

Array = NDArray[np.float64]


def factors_from_latents(latents: Tensor) -> Tensor:
    """Map latents to the factors of faces.

    The latent is first scaled to unit root mean square, as the mapping network of StyleGAN does, so that its length says nothing.
    Three times it is turned by a fixed orthogonal matrix and every coordinate bent; a last, nearly orthogonal matrix mixes and
    whitens the result, and the factors are the normal distribution function of its coordinates. So every factor depends on every latent
    coordinate, along a curve. Over z ~ N(0, I) each factor is close to uniform on [0, 1] and close to uncorrelated with the others.

    Args:
        latents: [n, 32], float32 or float64, on any device.

    Returns:
        Factors [n, F] in [0, 1], of the same type and on the same device.

    Raises:
        ValueError: if the shape or type of the latents is wrong.
    """
    if latents.ndim != 2 or latents.shape[1] != LATENT_SIZE or not latents.is_floating_point():
        raise ValueError(
            f"Latents of the analytic faces must be a floating tensor of shape [n, {LATENT_SIZE}]; "
            f"got shape {list(latents.shape)} of {latents.dtype}."
        )
    matrices, offset = _constants()
    hidden = latents * (latents.square().mean(1, keepdim=True) + 1e-8).rsqrt()
    for matrix in matrices[:-1]:
        hidden = _bend(hidden @ _like(matrix, latents))
    return torch.special.ndtr(hidden @ _like(matrices[-1], latents) - _like(offset, latents))


def _like(array: Array, tensor: Tensor) -> Tensor:
    return torch.tensor(array, dtype=tensor.dtype, device=tensor.device)


def _bend(hidden: Tensor) -> Tensor:
    """Bend each coordinate: x + 0.9 (sqrt(1 + x^2) - 1), a smooth leaky rectifier with slopes 0.1 to 1.9, then standardise."""
    return (hidden + _BEND * ((1 + hidden * hidden).sqrt() - 1) - _BEND_MEAN) / _BEND_SPREAD


@lru_cache(maxsize=1)
def _constants() -> tuple[tuple[Array, ...], Array]:
    """Return the matrices, the last [32, F] after the bends, and the offset [F] that makes the scores zero on average.

    Only the raw integers of the bit generator are used, which NumPy promises never to change.
    """
    generator = np.random.PCG64(_SEED)
    turns = [_orthogonal(_normal(generator, LATENT_SIZE, LATENT_SIZE)) for _ in range(_LAYERS + 1)]
    hidden = _normal(generator, _CALIBRATION, LATENT_SIZE)
    hidden /= np.sqrt((hidden**2).mean(1, keepdims=True))
    for turn in turns[:-1]:
        hidden = hidden @ turn
        hidden = (hidden + _BEND * (np.sqrt(1 + hidden**2) - 1) - _BEND_MEAN) / _BEND_SPREAD
    last = turns[-1][:, : len(FACTORS)]
    values, vectors = np.linalg.eigh(np.cov((hidden @ last).T))
    last = last @ (vectors / np.sqrt(values)) @ vectors.T
    return (*turns[:-1], last), (hidden @ last).mean(0)


def _normal(generator: np.random.PCG64, rows: int, columns: int) -> Array:
    """Draw normal numbers [rows, columns] by the method of Box and Muller."""
    raw = generator.random_raw(2 * rows * columns).reshape(2, rows, columns)
    first, second = ((raw >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53
    return np.sqrt(-2 * np.log(first)) * np.cos(2 * np.pi * second)


def _orthogonal(square: Array) -> Array:
    """Return the orthogonal factor of a square matrix, its signs fixed."""
    orthogonal, triangular = np.linalg.qr(square)
    return orthogonal * np.sign(np.diag(triangular))
