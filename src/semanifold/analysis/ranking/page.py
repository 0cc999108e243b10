"""The ranking as one HTML page that needs nothing else: films inside, sortable tables, a path × attribute heat map."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from semanifold.analysis.attributes.base import Attribute
from semanifold.analysis.ranking.measures import Measures, mean_evenness
from semanifold.analysis.ranking.reports import Group
from semanifold.analysis.ranking.scores import Array, Scores, mean
from semanifold.core.errors import shown
from semanifold.core.plain import JsonObject
from semanifold.edits.base import WEIGHTS
from semanifold.worlds.faces.changes import CHANGES

SHOWN = 4
"""Attributes on a card."""


def page(
    measures: Measures,
    everything: Scores,
    groups: Sequence[Group],
    deserved: Mapping[int, str],
    gifs: Mapping[int, bytes],
    locality: Array | None = None,
    level: float = 0.0,
) -> str:
    """Return the page.

    Args:
        measures: what was ranked.
        everything: scores of all attributes of the measures.
        groups: what the tables show; at least one.
        deserved: names that paths deserve, by index.
        gifs: a gif's bytes by path index, for some of the paths.
        locality: ``[paths]``, see :func:`~semanifold.analysis.ranking.measures.mask_locality`.
        level: the inside change that it was taken at.
    """
    called = {k: deserved.get(k, name) for k, name in zip(measures.paths, measures.names, strict=True)}
    names = [name if name == f"path {k}" else f"{k} · {shown(name, 200)}" for k, name in called.items()]
    even = mean_evenness(measures)
    data = {
        "paths": measures.paths,
        "names": names,
        "groups": [{"name": g.name, "attributes": g.attributes, **_scores(g.scores)} for g in groups],
        "locality": None if locality is None else _numbers(locality),
        "evenness": None if even is None else _numbers(even),
        "gifs": {str(k): "data:image/gif;base64," + base64.b64encode(gif).decode() for k, gif in gifs.items()},
    }
    facts = measures.facts
    title = f"{len(measures.paths)} paths of {facts.generator or 'a generator'}, ranked by what they change"
    summary = (
        f"Method: {facts.method or 'unknown'}, space {facts.space or 'unknown'}. Walked from {len(measures.codes)} "
        f"codes, {facts.count} steps either way, each a change {facts.step:.3g} long of the "
        f"{'weights' if facts.space == WEIGHTS else 'code'}; {len(measures.attributes)} attributes read "
        f"from each of the {len(measures.t)} frames of a path."
    )
    return _template().render(
        title=title,
        summary=summary,
        cards=cards(measures, everything, deserved, gifs),
        mask=measures.mask,
        level=level,
        data=data,
    )


@cache
def _template() -> Template:
    """Return the page before it is filled; texts in it show themselves and nothing else: no markup, no control characters."""
    made = Environment(loader=PackageLoader("semanifold.analysis.ranking", "."), autoescape=True, undefined=StrictUndefined)
    made.filters["shown"] = lambda text: shown(str(text), 1000)
    return made.get_template("page.html")


def _scores(scores: Scores) -> JsonObject:
    fields = ("slope", "share", "pearson", "monotonicity", "change")
    return {name: [_numbers(row) for row in getattr(scores, name)] for name in fields}


def _numbers(row: Array) -> list[float | None]:
    return [None if np.isnan(v) else round(float(v), 4) for v in row]


@dataclass(frozen=True)
class Curve:
    """An attribute along a path, in the coordinates of a drawing 92 wide and 58 high.

    Attributes:
        attribute: name.
        low: value at the bottom of the frame.
        high: value at its top.
        lines: ``x,y x,y ...`` of every code, and of their mean at the end; none if no value is known.
    """

    attribute: str
    low: float
    high: float
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Card:
    """What the page shows of a path that deserves a name.

    Attributes:
        path: its number.
        name: its name.
        film: whether there is one.
        numbers: its scores in words.
        curve: its attribute.
        changes: names and changes, from one end to the other, of the steepest attributes.
    """

    path: int
    name: str
    film: bool
    numbers: str
    curve: Curve
    changes: tuple[tuple[str, float], ...]


def cards(measures: Measures, scores: Scores, deserved: Mapping[int, str], gifs: Mapping[int, bytes]) -> list[Card]:
    """Return a card for every path that deserves a name, the plainest first."""
    names = [attribute.name for attribute in measures.attributes]
    made, even = [], mean_evenness(measures)
    for k, name in prominence(deserved, measures, scores):
        i, column = measures.paths.index(k), names.index(name[:-2])
        numbers = f"path {k} · Pearson {scores.pearson[i, column]:+.2f} · share {scores.share[i, column]:.0%}"
        if even is not None and not np.isnan(even[i]):
            numbers += f" · evenness {even[i]:.2f}"
        if (old := measures.names[i]) not in (name, f"path {k}"):
            numbers += f" · was {old}"
        drawn = curve(measures.values[:, i, :, column], measures.attributes[column])
        made.append(Card(k, name, k in gifs, numbers, drawn, steepest(scores, i, names)))
    return made


def prominence(deserved: Mapping[int, str], measures: Measures, scores: Scores) -> list[tuple[int, str]]:
    """Return the paths that have earned a name, those that change their attribute most plainly first.

    That is the slope, for a factor of the bundled faces as a multiple of the error with which it is read, as in
    :func:`~semanifold.worlds.faces.changes.describe_change`.
    """
    names = [attribute.name for attribute in measures.attributes]

    def plainness(item: tuple[int, str]) -> float:
        name = item[1][:-2]
        slope = abs(float(scores.slope[measures.paths.index(item[0]), names.index(name)]))
        return slope / CHANGES[name].error if name in CHANGES else slope

    return sorted(deserved.items(), key=plainness, reverse=True)


def curve(values: Array, attribute: Attribute) -> Curve:
    """Return a small drawing of an attribute along a path: a line per code and one for the mean ``[codes, T]``.

    The frame is the attribute's range, extended where the values leave it.
    """
    known = values[~np.isnan(values)]
    low, high = min(attribute.low, *known, attribute.high), max(attribute.low, *known, attribute.high)
    rows = [*values, mean(values)] if len(known) else []
    lines = (
        " ".join(
            f"{4 + 84 * j / max(len(row) - 1, 1):.1f},{53 - 48 * (v - low) / (high - low):.1f}"
            for j, v in enumerate(row)
            if not np.isnan(v)
        )
        for row in rows
    )
    return Curve(attribute.name, low, high, tuple(lines))


def steepest(scores: Scores, path: int, names: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """Return the names of the steepest attributes along a path, and how much each changes from one end to the other."""
    change = np.nan_to_num(scores.change[path])
    best = np.argsort(-np.nan_to_num(np.abs(scores.slope[path])), kind="stable")[:SHOWN]
    return tuple((names[int(j)], float(change[j])) for j in best)
