"""The ranking as one HTML page that needs nothing else: films inside, sortable tables, a path × attribute heat map."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from semanifold.analysis.attributes.base import Attribute
from semanifold.analysis.ranking.measures import Measures, mean_evenness
from semanifold.analysis.ranking.reports import Group
from semanifold.analysis.ranking.scores import Array, Scores, mean
from semanifold.core.errors import shown
from semanifold.edits.base import WEIGHTS
from semanifold.storage.files import read_bytes
from semanifold.worlds.faces.changes import CHANGES

TEMPLATE = Path(__file__).with_name("page.html")
SHOWN = 4
"""Attributes on a card."""


def page(
    measures: Measures,
    everything: Scores,
    groups: Sequence[Group],
    found: Mapping[int, str],
    gifs: Mapping[int, bytes],
    locality: Array | None = None,
    level: float = 0.0,
) -> str:
    """Return the page.

    Args:
        measures: what was ranked.
        everything: scores of all attributes of the measures.
        groups: what the tables show; at least one.
        found: names that paths deserve, by index.
        gifs: a gif's bytes by path index, for some of the paths.
        locality: ``[paths]``, see :func:`~semanifold.analysis.ranking.measures.mask_locality`.
        level: the inside change that it was taken at.
    """
    called = {k: found.get(k, name) for k, name in zip(measures.paths, measures.names, strict=True)}
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
    title = f"{len(measures.paths)} paths of {facts.get('generator', 'a generator')}, ranked by what they change"
    summary = (
        f"Method: {facts.get('method', 'unknown')}, space {facts.get('space', 'unknown')}. Walked from {len(measures.codes)} "
        f"codes, {facts.get('count', 0)} steps either way, each a change {facts.get('step', 0.0):.3g} long of the "
        f"{'weights' if facts.get('space') == WEIGHTS else 'code'}; {len(measures.attributes)} attributes read "
        f"from each of the {len(measures.t)} frames of a path."
    )
    filled = {
        "title": text_of(title),
        "summary": text_of(summary),
        "cards": cards(measures, everything, found, gifs),
        "mask": text_of(measures.mask),
        "level": f"{level:.3g}",
        "data": json.dumps(data).replace("<", "\\u003c"),
    }
    text = read_bytes(TEMPLATE).decode()
    before, *pieces = text.split("{{")
    parts = [piece.split("}}", 1) for piece in pieces]
    return before + "".join(filled[key] + rest for key, rest in parts)


def text_of(text: str) -> str:
    """Return a text as HTML that shows it and nothing else: no markup, no control or right-to-left characters."""
    return html.escape(shown(text, 1000))


def _scores(scores: Scores) -> dict[str, Any]:
    fields = ("slope", "share", "pearson", "monotonicity", "change")
    return {name: [_numbers(row) for row in getattr(scores, name)] for name in fields}


def _numbers(row: Array) -> list[float | None]:
    return [None if np.isnan(v) else round(float(v), 4) for v in row]


def cards(measures: Measures, scores: Scores, found: Mapping[int, str], gifs: Mapping[int, bytes]) -> str:
    """Return a card for every path that deserves a name: its film, what it changes most, and the curve of the attribute."""
    if not found:
        return (
            "<section><h2>No path has earned a name</h2><p>None changes one attribute clearly more than all others, and evenly; "
            "the tables below show what the paths do.</p></section>"
        )
    names = [attribute.name for attribute in measures.attributes]
    made, even = [], mean_evenness(measures)
    for k, name in prominence(found, measures, scores):
        i, column = measures.paths.index(k), names.index(name[:-2])
        image = f'<img data-gif="{k}" alt="{text_of(name)}">' if k in gifs else ""
        numbers = f"path {k} · Pearson {scores.pearson[i, column]:+.2f} · share {scores.share[i, column]:.0%}"
        if even is not None and not np.isnan(even[i]):
            numbers += f" · evenness {even[i]:.2f}"
        if (old := measures.names[i]) not in (name, f"path {k}"):
            numbers += f" · was {old}"
        made.append(
            f'<div class="card">{image}<div class="text"><h3>{text_of(name)}</h3>'
            f"{curve(measures.values[:, i, :, column], measures.attributes[column])}"
            f"<small>{text_of(numbers)}</small>{bars(scores, i, names)}</div></div>"
        )
    words = (
        "Each changes one attribute clearly more than any other, and evenly. The curve is this attribute along the path, a thin "
        "line for every code; the bars show the largest changes from one end to the other, as a share of the attribute's range. "
        "Evenness is the smallest over the largest change of the picture from one frame to the next."
    )
    return f'<section><h2>Paths with a name</h2><p>{words}</p><div class="cards">{"".join(made)}</div></section>'


def prominence(found: Mapping[int, str], measures: Measures, scores: Scores) -> list[tuple[int, str]]:
    """Return the paths that have earned a name, those that change their attribute most plainly first.

    That is the slope, for a factor of the bundled faces as a multiple of the error with which it is read, as in
    :func:`~semanifold.worlds.faces.changes.describe_change`.
    """
    names = [attribute.name for attribute in measures.attributes]

    def plainness(item: tuple[int, str]) -> float:
        name = item[1][:-2]
        slope = abs(float(scores.slope[measures.paths.index(item[0]), names.index(name)]))
        return slope / CHANGES[name].error if name in CHANGES else slope

    return sorted(found.items(), key=plainness, reverse=True)


def curve(values: Array, attribute: Attribute) -> str:
    """Return a small drawing of an attribute along a path: a thin line a code and a thick one for the mean ``[codes, T]``.

    The frame is the attribute's range, extended where the values leave it.
    """
    known = values[~np.isnan(values)]
    low, high = min(attribute.low, *known, attribute.high), max(attribute.low, *known, attribute.high)
    rows = [*values, mean(values)] if len(known) else []
    lines = []
    for row in rows:
        points = [
            f"{4 + 84 * j / max(len(row) - 1, 1):.1f},{53 - 48 * (v - low) / (high - low):.1f}"
            for j, v in enumerate(row)
            if not np.isnan(v)
        ]
        lines.append(f'<polyline fill="none" stroke="#c9c9d2" stroke-width="1.2" points="{" ".join(points)}"/>')
    if lines:
        lines[-1] = lines[-1].replace('"#c9c9d2" stroke-width="1.2"', '"rgb(255,122,26)" stroke-width="2.4"')
    return (
        f'<svg viewBox="0 0 92 58" role="img"><title>{text_of(attribute.name)} over t, from {low:.3g} to {high:.3g}</title>'
        f'<path d="M46 4V54" stroke="#dcdce2" stroke-dasharray="2 3"/>{"".join(lines)}</svg>'
    )


def bars(scores: Scores, path: int, names: Sequence[str]) -> str:
    """Return the changes of the steepest attributes along a path as bars to either side of 0."""
    change = np.nan_to_num(scores.change[path])
    rows = []
    for j in np.argsort(-np.nan_to_num(np.abs(scores.slope[path])), kind="stable")[:SHOWN]:
        width = min(abs(change[j]), 1) * 50
        left, colour = (50, "rgb(var(--up))") if change[j] > 0 else (50 - width, "rgb(var(--down))")
        bar = f'<div class="bar"><i style="left:{left:.1f}%;width:{width:.1f}%;background:{colour}"></i></div>'
        rows.append(f"<span>{text_of(names[int(j)])}</span>{bar}<span>{change[j]:+.0%}</span>")
    return f'<div class="bars">{"".join(rows)}</div>'
