"""Attribute dependency: what else changes where one attribute has changed by a given amount."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def dependencies(values: Array, t: Array, spread: Array, amount: float = 1.0) -> Array:
    """Return the mean change of all other attributes where an attribute has changed by a given amount, lower is purer.

    The mean-AD of Wu et al. 2021 (StyleSpace, arXiv:2011.12799, section 5): with changes in units of each attribute's spread
    over random pictures, each path is followed outwards on either side of ``t = 0`` to the first place where attribute j has
    changed by ``amount``; there ``mean_{i != j} |change_i|`` counts, averaged over codes and sides.

    Args:
        values: ``[codes, paths, T, attributes]`` without gaps.
        t: ``[T]`` moments, 0 among them.
        spread: ``[attributes]`` standard deviation of each attribute over random pictures.
        amount: change of the target, in units of its spread.

    Returns:
        ``[paths, attributes]``; NaN where fewer than half of the sides reach the amount.
    """
    middle = int(np.argmin(np.abs(t)))
    change = np.abs(values - values[:, :, middle : middle + 1]) / spread
    reach = min(middle, len(t) - 1 - middle)
    outwards = [change[:, :, middle : middle + reach + 1], change[:, :, middle - reach : middle + 1][:, :, ::-1]]
    sides = np.concatenate(outwards, axis=0).transpose(1, 0, 2, 3)  # [paths, sides, steps, attributes]
    paths, attributes = sides.shape[0], sides.shape[-1]
    result = np.full((paths, attributes), np.nan)
    for j in range(attributes):
        over = sides[..., j] >= amount
        reached = over.any(2)
        first = np.maximum(over.argmax(2), 1)[:, :, None, None]
        before, after = (np.take_along_axis(sides, first - back, axis=2)[:, :, 0] for back in (1, 0))
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.clip((amount - before[..., j]) / (after[..., j] - before[..., j]), 0, 1)[:, :, np.newaxis]
        there = before + share * (after - before)
        others = (there.sum(-1) - there[..., j]) / (attributes - 1)
        total = np.where(reached, others, 0.0).sum(1)
        count = reached.sum(1)
        result[:, j] = np.where(count * 2 >= len(outwards) * len(values), total / np.maximum(count, 1), np.nan)
    return result
