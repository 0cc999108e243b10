"""The ranges of attributes: as declared, or as read; and what to say where readings and range do not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from semanifold.analysis.attributes.base import Attribute

ENDS = (0.001, 0.999)
"""Quantiles of the readings that become a range, so that one odd picture does not decide it."""
SLACK = 0.02
"""Share of a declared range by which a reading may lie beyond it before it counts as outside."""
STRAYS = 0.03
"""Share of the readings that may lie outside without a word."""


def fitted(values: NDArray[np.float64], attributes: Sequence[Attribute]) -> tuple[Attribute, ...]:
    """Return the attributes, those without a declared range with that of their readings.

    Args:
        values: ``[..., attributes]`` readings; NaN where a picture has no value.
        attributes: the columns.
    """
    made = []
    for column, attribute in enumerate(attributes):
        known = _known(values, column)
        if attribute.declared or not len(known):
            made.append(attribute)
            continue
        low, high = (float(end) for end in np.quantile(known, ENDS))
        if not low < high:  # everywhere the same
            low, high = low - 0.5, low + 0.5
        made.append(replace(attribute, low=low, high=high))
    return tuple(made)


def remarks(values: NDArray[np.float64], attributes: Sequence[Attribute]) -> list[str]:
    """Return a sentence for every attribute whose readings and range need one.

    Args:
        values: ``[..., attributes]`` readings; NaN where a picture has no value.
        attributes: the columns.
    """
    sentences = []
    for column, attribute in enumerate(fitted(values, attributes)):
        known, name = _known(values, column), attribute.name
        if not len(known):
            sentences.append(f"No picture has a value of {name}.")
            continue
        smallest, largest = float(known.min()), float(known.max())
        if smallest == largest:
            sentences.append(f"{name} is {smallest:.4g} in every picture, so no path changes it.")
        elif not attribute.declared:
            sentences.append(
                f"{name} has no declared range; that of its readings is used, {attribute.low:.4g} to {attribute.high:.4g}."
            )
        slack = SLACK * (attribute.high - attribute.low)
        outside = float(((known < attribute.low - slack) | (known > attribute.high + slack)).mean())
        if attribute.declared and outside > STRAYS:
            sentences.append(
                f"{outside:.0%} of the readings of {name} lie outside its range, {attribute.low:.4g} to {attribute.high:.4g}: "
                f"they go from {smallest:.4g} to {largest:.4g}, and its slopes are cut off there; declare the range that it has."
            )
    return sentences


def _known(values: NDArray[np.float64], column: int) -> NDArray[np.float64]:
    flat = values[..., column].reshape(-1)
    return flat[~np.isnan(flat)]
