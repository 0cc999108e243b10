"""How strongly, how straight and how purely each path changes each attribute: one function a number, in float64."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semanifold.analysis.attributes.base import Attribute
from semanifold.analysis.ranking.ranges import fitted
from semanifold.core.errors import SemanifoldError
from semanifold.core.shapes import Moments, Readings, ScoresOfCodes, ScoresOfPaths, Steps

Array = NDArray[np.float64]
"""Values ``[codes, paths, T, attributes]``, scores ``[codes, paths, attributes]`` of each code, or ``[paths, attributes]``."""


@dataclass(frozen=True)
class Scores:
    """What paths do to attributes, averaged over codes; every array is ``[paths, attributes]``, NaN where nothing was measured.

    Attributes:
        slope: signed slope over the range of the attribute, see :func:`slopes`; its absolute value is WarpedGANSpace's ``corr``.
        share: absolute slope as a share of the path's sum over the attributes, see :func:`shares`; ``corr_l1``.
        pearson: signed correlation with ``t``, see :func:`correlations`.
        monotonicity: signed, see :func:`monotonicities`.
        change: mean change of the attribute from one end to the other, in units of its range; for relative attributes, of both
            ends from the middle.
    """

    slope: ScoresOfPaths
    share: ScoresOfPaths
    pearson: ScoresOfPaths
    monotonicity: ScoresOfPaths
    change: ScoresOfPaths

    def columns(self, which: Sequence[int]) -> Scores:
        """Return the scores of some attributes alone; shares are those among them."""
        index = list(which)
        slope = self.slope[:, index]
        return Scores(slope, shares(slope), self.pearson[:, index], self.monotonicity[:, index], self.change[:, index])


def score(values: Array, attributes: Sequence[Attribute], t: Array | None = None) -> Scores:
    """Return the scores of all paths; an attribute without a declared range has that of its readings.

    Args:
        values: ``[codes, paths, T, attributes]``; NaN where a picture has no value.
        attributes: the columns.
        t: ``[T]`` moments; evenly from -1 to 1 when None.

    Raises:
        SemanifoldError: if shapes disagree, or there are fewer than two frames.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 4 or values.shape[-1] != len(attributes) or values.shape[2] < 2 or 0 in values.shape:
        raise SemanifoldError(
            f"Attributes of paths are expected as [codes, paths, 2 or more frames, {len(attributes)}], no size 0, but got "
            f"{list(values.shape)}."
        )
    t = np.linspace(-1, 1, values.shape[2]) if t is None else np.asarray(t, dtype=np.float64)
    if t.shape != (values.shape[2],):
        raise SemanifoldError(f"{values.shape[2]} frames need as many moments, but got {t.shape[0]}.")
    attributes = fitted(values, attributes)
    scaled = rescale(values, attributes)
    steps = steps_of(t, attributes)
    slope = mean(slopes(scaled, steps))
    return Scores(
        slope,
        shares(slope),
        mean(correlations(values, steps)),
        mean(monotonicities(values, attributes, t)),
        mean(changes(scaled, attributes, t)),
    )


def order(scores: Array) -> NDArray[np.int64]:
    """Return the paths of every attribute, largest score first ``[attributes, paths]``; NaN last, ties by index."""
    return np.argsort(-np.nan_to_num(scores, nan=-np.inf), axis=0, kind="stable").T


def rescale(values: Readings, attributes: Sequence[Attribute]) -> Readings:
    """Map every attribute's range to [-1, 1] and clip (WarpedGANSpace's ranking)."""
    low = np.array([a.low for a in attributes])
    high = np.array([a.high for a in attributes])
    return np.clip(2 * (values - low) / (high - low) - 1, -1, 1)


def steps_of(t: Moments, attributes: Sequence[Attribute]) -> Steps:
    """Return what every attribute is compared with ``[T, attributes]``: ``t``, or ``|t|`` for relative ones, in whole frames.

    Frames count from 0, and from the middle for relative attributes, as in WarpedGANSpace; the scores do not depend on it.
    """
    n = np.arange(len(t), dtype=np.float64)
    middle = float(np.argmin(np.abs(t)))
    return np.stack([np.abs(n - middle) if a.relative else n for a in attributes], axis=1)


def mean(of_codes: Array) -> Array:
    """Return the mean over codes that have a value ``[paths, attributes]``; NaN where none has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an empty mean is NaN, which is meant
        return np.nanmean(of_codes, axis=0)


def slopes(scaled: Readings, steps: Steps) -> ScoresOfCodes:
    """Return ``cov(a, s) / std(s)`` of every code ``[codes, paths, attributes]``, over the frames that have a value.

    The score of WarpedGANSpace (Tzelepis et al. 2021, arXiv:2109.13357, section 4), there called a correlation: it is not divided
    by the spread of the attribute, so it is the steepness of the change in units of half the attribute's range. Covariance and
    spread are those of a sample (n - 1).

    Args:
        scaled: ``[codes, paths, T, attributes]`` in [-1, 1].
        steps: ``[T, attributes]``.
    """
    a, s, n = _centred(scaled, steps)
    with np.errstate(invalid="ignore", divide="ignore"):
        covariance = (a * s).sum(2) / (n - 1)
        return covariance / np.sqrt((s * s).sum(2) / (n - 1))


def shares(slope: ScoresOfPaths) -> ScoresOfPaths:
    """Return absolute slopes over their sum along each path ``[paths, attributes]``; 0 for a path that changes nothing."""
    size = np.abs(slope)
    total = np.nansum(size, axis=1, keepdims=True)
    return np.where(total > 0, size / np.where(total > 0, total, 1), size * 0)


def correlations(values: Readings, steps: Steps) -> ScoresOfCodes:
    """Return Pearson's correlation of every code ``[codes, paths, attributes]``, of the values as they were read.

    0 where an attribute does not change (its spread is below rounding), NaN where fewer than three frames have a value.
    """
    a, s, n = _centred(values, steps)
    spread = np.sqrt((a * a).sum(2))
    still = spread <= 1e-12 * np.sqrt(n) * np.nan_to_num(np.abs(values)).max(2)
    with np.errstate(invalid="ignore", divide="ignore"):
        r = (a * s).sum(2) / (spread * np.sqrt((s * s).sum(2)))
    return np.where(n < 3, np.nan, np.where(still, 0.0, r))


def monotonicities(values: Readings, attributes: Sequence[Attribute], t: Moments) -> ScoresOfCodes:
    """Return net change over total variation of every code ``[codes, paths, attributes]``: 1 for an attribute that only rises.

    ``sum(d) / sum(|d|)`` over the differences d of neighbouring frames that have a value: -1 only falls, 0 ends where it began
    (or does not change). Relative attributes are followed outwards from ``t = 0``, both ways together.
    """
    values = np.asarray(values, dtype=np.float64)
    outwards = np.sign(t[1:] + t[:-1])[:, None] if len(t) else np.zeros((0, 1))
    sign = np.concatenate([outwards if a.relative else np.ones_like(outwards) for a in attributes], axis=1)
    filled, known = _carried(values)
    d = np.diff(filled, axis=2) * sign
    net, way = np.nansum(d, axis=2), np.nansum(np.abs(d), axis=2)
    result = np.where(way > 0, net / np.where(way > 0, way, 1), 0.0)
    return np.where(known.sum(2) < 2, np.nan, result)


def changes(scaled: Readings, attributes: Sequence[Attribute], t: Moments) -> ScoresOfCodes:
    """Return the change from one end of the path to the other, in units of the attribute's range ``[codes, paths, attributes]``.

    Relative attributes: the mean change of both ends from the middle. The first and last frames that have a value count.

    Args:
        scaled: ``[codes, paths, T, attributes]`` in [-1, 1].
        attributes: the columns.
        t: ``[T]`` moments.
    """
    last, first = (_carried(part)[0][:, :, -1] for part in (scaled, scaled[:, :, ::-1]))
    middle = scaled[:, :, int(np.argmin(np.abs(t)))]
    relative = np.array([a.relative for a in attributes])
    return np.where(relative, (last + first) / 2 - middle, last - first) / 2


def _centred(values: Readings, steps: Steps) -> tuple[Array, Array, Array]:
    """Return values and steps about their means over the frames that have a value (0 elsewhere), and how many these are."""
    known = ~np.isnan(values)
    n = known.sum(2).astype(np.float64)
    count = np.maximum(n, 1)[:, :, None]
    a = np.where(known, values, 0.0)
    s = np.where(known, steps, 0.0)
    a = np.where(known, a - a.sum(2, keepdims=True) / count, 0.0)
    s = np.where(known, s - s.sum(2, keepdims=True) / count, 0.0)
    return a, s, n


def _carried(values: Readings) -> tuple[Array, NDArray[np.bool_]]:
    """Return values in which every gap repeats the value before it, and which values are known."""
    known = ~np.isnan(values)
    place = np.where(known, np.arange(values.shape[2])[:, None], 0)
    return np.take_along_axis(values, np.maximum.accumulate(place, axis=2), axis=2), known
