"""Masks of the regions of a face, from the truth: where the picture changes when the factors of a region move."""

from __future__ import annotations

from functools import lru_cache
from itertools import product

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d, pad

from semanifold.core.errors import SemanifoldError, near_names, shown
from semanifold.worlds.faces.factors import factor_index, factors_of
from semanifold.worlds.faces.names import MASK_REGIONS
from semanifold.worlds.faces.renderer import render

__all__ = ["MASK_REGIONS", "region_mask"]

_LARGEST = 128
_FIRST, _FULL = 0.04, 0.16
_SAMPLES = 48
_REMEMBERED = 128


@torch.no_grad()
def region_mask(region: str, factors: Tensor, size: int = 64) -> Tensor:
    """Return where the pictures of these faces can change when the region's own factors move.

    The region's factors go through all the corners of their cube and a few dozen random places inside, all other factors stay; a
    pixel belongs to the mask as far as it does not keep its colour (not at
    a spread of 0.04, fully at 0.16, of a range of 2). The result is widened and feathered by one 64th of the picture each. It
    does not depend on the region's own factors: all the mouths of a face have the same mask.

    Args:
        region: one of `MASK_REGIONS`.
        factors: [n, F] in [0, 1].
        size: width and height of the masks in pixels; they are measured at 128 pixels at most and enlarged.

    Returns:
        Masks [n, 1, size, size] in [0, 1], of the type and on the device of the factors.

    Raises:
        SemanifoldError: if the region has no mask; the message lists the near names.
    """
    check_region(region)
    if not len(factors):
        return factors.new_zeros(0, 1, size, size)
    # 1. How far each pixel's colour moves; one face at a time, since that takes many pictures.
    small = min(size, _LARGEST)
    spreads = [_spread(region, tuple(face.tolist()), factors.dtype, small, _SAMPLES) for face in factors]
    # 2. From colours that move to a soft mask, then wider and feathered, so that the border of the region is inside.
    change = ((torch.cat(spreads).to(factors) - _FIRST) / (_FULL - _FIRST)).clamp(0, 1)
    mask = _widened(change, max(1, round(small / 64)))
    return mask if small == size else interpolate(mask, size=(size, size), mode="bilinear", align_corners=False)


def check_region(region: str) -> None:
    """Refuse a region that has no mask; the message lists the near names."""
    if region not in MASK_REGIONS:
        whole = " (pose and light change the whole picture)" if region in ("pose", "light") else ""
        raise SemanifoldError(f"There is no mask of '{shown(region, 40)}'{whole}: {near_names(region, MASK_REGIONS)}")


def _places(dimensions: int, samples: int) -> Tensor:
    """Return places [p, dimensions] in the unit cube: corners first, then fixed random ones."""
    corners = torch.tensor(list(product((0.0, 1.0), repeat=dimensions)), dtype=torch.float64)
    generator = torch.Generator().manual_seed(dimensions)
    inner = torch.rand(samples, dimensions, generator=generator, dtype=torch.float64)
    return torch.cat([corners, inner])


@lru_cache(_REMEMBERED)
def _spread(region: str, factors: tuple[float, ...], dtype: torch.dtype, size: int, samples: int) -> Tensor:
    """Return the largest minus the smallest value [1, 1, size, size] of every pixel while the region's factors move.

    Remembered: a command asks for the same region of the same face several times, and it takes a hundred pictures.
    """
    columns = [factor_index(factor.name) for factor in factors_of(region)]
    places = _places(len(columns), samples).to(dtype)
    variants = torch.tensor(factors, dtype=dtype).repeat(len(places), 1)
    variants[:, columns] = places
    low, high = variants.new_full((3, size, size), torch.inf), variants.new_full((3, size, size), -torch.inf)
    for chunk in variants.split(32):
        pictures = render(chunk, size)
        low, high = torch.minimum(low, pictures.amin(0)), torch.maximum(high, pictures.amax(0))
    return (high - low).amax(0)[None, None]


def _widened(change: Tensor, reach: int) -> Tensor:
    """Widen and then feather by `reach` pixels."""
    side = 2 * reach + 1
    widened = max_pool2d(change, side, stride=1, padding=reach)
    return avg_pool2d(pad(widened, (reach,) * 4, mode="replicate"), side, stride=1)
