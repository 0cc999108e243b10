"""Names for paths: what a path does more than anything else, and does reliably."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from semanifold.analysis.ranking.scores import Array, Scores

LITTLE = 0.2
"""What changes even its best attribute by less than this share of the range is not told by it, as in the words of sheets."""
LEAST_SLOPE = 0.03
"""A path that changes even its best attribute less than this (a twentieth of its range from end to end) gets no name."""


def name_paths(
    scores: Scores, attributes: Sequence[str], paths: Sequence[int], *, pearson: float = 0.8, lead: float = 1.25
) -> dict[int, str]:
    """Return the names that paths deserve, ``{index in the set: "smile +"}``.

    A path is a candidate for the attribute whose slope along it is the steepest, if it is at least ``lead`` times as steep as
    that of any other and the correlation with ``t`` reaches ``pearson``. Among the candidates of an attribute the one with the
    largest product of correlation and share gets the name, the purest; so a path has at most one name, and a name at most one
    path. How steep it is does not count beyond :data:`LEAST_SLOPE`, for a person can go farther along it. The sign says whether
    the attribute rises or falls with ``t``.

    Args:
        scores: of these attributes alone; leave relative ones out.
        attributes: names of the columns.
        paths: index of every row in its set.
        pearson: least absolute correlation.
        lead: least ratio of the steepest slope to the next.
    """
    if not scores.slope.size:
        return {}
    worth = np.where(_dominant(scores, lead) & (_straight(scores) >= pearson), _straight(scores) * np.nan_to_num(scores.share), 0)
    best = worth.argmax(0)
    return {
        paths[i]: f"{attributes[column]} {'+' if scores.slope[i, column] > 0 else '-'}"
        for column, i in enumerate(best)
        if worth[i, column] > 0
    }


def why_unnamed(
    scores: Scores, attributes: Sequence[str], paths: Sequence[int], names: Mapping[int, str], *, lead: float = 1.25
) -> dict[int, str]:
    """Return why other paths have got no name from :func:`name_paths`, in words, by their index in the set.

    Args:
        scores: as for :func:`name_paths`.
        attributes: names of the columns.
        paths: index of every row in its set.
        names: the names.
        lead: least ratio of the steepest slope to the next.
    """
    steep, far, words = _steep(scores), np.nan_to_num(np.abs(scores.change)), {}
    for i, k in enumerate(paths):
        if k in names or not attributes:
            continue
        first, *rest = np.argsort(-steep[i])
        name = attributes[first]
        purer = next((other for other, called in names.items() if called[:-2] == name), None)
        if steep[i, first] < LEAST_SLOPE:
            words[k] = "hardly changes anything"
        elif far[i].max() < LITTLE:
            most = far[i].argmax()
            by = f"{100 * scores.change[i, most]:+.0f} % of its range"
            words[k] = f"no attribute names this change; {attributes[most]} changes most, by {by}"
        elif rest and steep[i, first] < lead * steep[i, rest[0]]:
            words[k] = f"changes {name} and {attributes[rest[0]]} about as much"
        elif purer is not None:
            words[k] = f"changes {name}, which path {purer} does more purely"
        else:
            words[k] = f"changes {name} too unevenly"
    return words


def _steep(scores: Scores) -> Array:
    return np.nan_to_num(np.abs(scores.slope))


def _straight(scores: Scores) -> Array:
    return np.nan_to_num(np.abs(scores.pearson))


def _dominant(scores: Scores, lead: float) -> NDArray[np.bool_]:
    """Return whether an attribute's slope along a path is the steepest, by far enough: ``[K, A]`` booleans."""
    steep = _steep(scores)
    ranked = np.sort(np.concatenate([np.zeros((len(steep), 1)), steep], axis=1), axis=1)
    first, second = ranked[:, -1:], ranked[:, -2:-1]
    return (steep == first) & (first >= LEAST_SLOPE) & (first >= lead * second)


def merged_names(before: Mapping[int, str], new: Mapping[int, str]) -> dict[int, str]:
    """Return the names of a set after a ranking: new ones replace the path's own and those of the same attribute."""

    def plain(name: str) -> str:
        return name.removesuffix(" +").removesuffix(" -")

    taken = {plain(name) for name in new.values()}
    kept = {int(k): name for k, name in before.items() if int(k) not in new and plain(name) not in taken}
    return dict(sorted({**kept, **new}.items()))
