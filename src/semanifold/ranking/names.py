"""Names for paths: what a path does more than anything else, and does reliably."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from semanifold.attributes.base import Attribute
from semanifold.ranking.scores import Scores


def name_paths(
    scores: Scores, attributes: Sequence[Attribute], paths: Sequence[int], *, pearson: float = 0.8, share: float = 0.0
) -> dict[int, str]:
    """Return the names that paths deserve, ``{index in the set: "smile +"}``.

    A path is a candidate for the attribute whose slope along it is the largest of all (of those that are not relative), if the
    correlation with ``t`` reaches ``pearson`` and its share of the path's slopes ``share``. Among the candidates of an attribute
    the one with the largest product of correlation and share gets the name; so a path has at most one name and a name at most
    one path. The sign says whether the attribute rises or falls with ``t``.

    Args:
        scores: of these attributes.
        attributes: the columns.
        paths: index of every row in its set.
        pearson: least absolute correlation.
        share: least share of the absolute slopes over all attributes that are not relative, 0 to 1.
    """
    columns = [i for i, attribute in enumerate(attributes) if not attribute.relative]
    if not columns:
        return {}
    chosen = scores.columns(columns)
    steep, straight = np.nan_to_num(np.abs(chosen.slope)), np.nan_to_num(np.abs(chosen.pearson))
    part = np.nan_to_num(chosen.share)
    dominant = (steep == steep.max(1, keepdims=True)) & (steep > 0)
    worth = np.where(dominant & (straight >= pearson) & (part >= share), straight * part, 0.0)
    names: dict[int, str] = {}
    for column, index in enumerate(columns):
        best = int(worth[:, column].argmax())
        if worth[best, column] > 0 and paths[best] not in names:
            names[paths[best]] = f"{attributes[index].name} {'+' if chosen.slope[best, column] > 0 else '-'}"
    return names


def merged_names(before: Mapping[int, str], found: Mapping[int, str]) -> dict[int, str]:
    """Return the names of a set after a ranking: new ones replace the path's own and those of the same attribute."""

    def plain(name: str) -> str:
        return name.removesuffix(" +").removesuffix(" -")

    taken = {plain(name) for name in found.values()}
    kept = {int(k): name for k, name in before.items() if int(k) not in found and plain(name) not in taken}
    return dict(sorted({**kept, **found}.items()))
