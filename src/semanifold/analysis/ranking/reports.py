"""What a ranking writes as numbers and text: JSON, CSV tables and a markdown page, in WarpedGANSpace's layouts and beyond."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from semanifold.analysis.ranking.measures import Measures, mean_evenness
from semanifold.analysis.ranking.scores import Array, Scores, order
from semanifold.core.errors import shown
from semanifold.core.plain import JsonObject
from semanifold.storage.files import write_text
from semanifold.storage.records import write_json

TABLES = ("corr", "corr_l1", "pearson", "monotonicity")
"""Tables a group: ``corr`` and ``corr_l1`` as WarpedGANSpace calls slope and share (neither is a correlation), and ours."""

USUAL = {"generator": "A generator", "space": "unknown"}
"""What is written of a traversal that does not say it."""


@dataclass(frozen=True)
class Group:
    """The ranking of one group of attributes.

    Attributes:
        name: of the group.
        attributes: names of its attributes.
        scores: of these attributes alone.
    """

    name: str
    attributes: tuple[str, ...]
    scores: Scores

    def table(self, name: str) -> Array:
        """Return the absolute scores ``[paths, attributes]`` of one of :data:`TABLES`."""
        fields = {"corr": "slope", "corr_l1": "share", "pearson": "pearson", "monotonicity": "monotonicity"}
        return np.abs(getattr(self.scores, fields[name]))

    def orders(self, paths: Sequence[int]) -> dict[str, dict[str, list[int]]]:
        """Return the indices of the paths, best first, by table and attribute."""
        return {
            name: {
                attribute: [paths[i] for i in row]
                for attribute, row in zip(self.attributes, order(self.table(name)), strict=True)
            }
            for name in TABLES
        }


def write_group(folder: Path, group: Group, measures: Measures, top: int, gifs: Mapping[int, str]) -> None:
    """Write the files of one group, ``Group_<name>/``.

    They are those of WarpedGANSpace's ranking, with their names, columns and decimals, and the same tables for Pearson's
    correlation and monotonicity: ``interpretable_paths.json``, ``attributes_traversals_details.json``, ``<table>/attr_idx_*.csv``
    and ``top-<k>_interpretable_path_<name>.md``. (The published details exchange eps and shift_steps; here they are right.)

    Args:
        folder: made if it is not there.
        group: the ranking.
        measures: what was ranked.
        top: paths an attribute on the markdown page.
        gifs: address of a path's gif, relative to the folder, by its index.
    """
    folder.mkdir(exist_ok=True)
    paths, attributes = measures.paths, group.attributes
    write_json(folder / "interpretable_paths.json", group.orders(paths))
    write_json(folder / "attributes_traversals_details.json", details(group, measures))
    for name in TABLES:
        place, scores = folder / name, group.table(name)
        place.mkdir(exist_ok=True)
        best = order(scores)
        write_text(place / f"attr_idx_{name}.csv", table("path_id", attributes, paths, scores))
        diagonal = scores[best[:, 0]]
        write_text(place / f"attr_idx_{name}_diag.csv", table("", attributes, range(len(attributes)), diagonal, digits=2))
        for word, row in zip(file_words(attributes), best, strict=True):
            sorted_paths = [paths[i] for i in row]
            write_text(place / f"attr_idx_{name}_sorted_by_{word}.csv", table("", attributes, sorted_paths, scores[row]))
    write_text(folder / f"top-{top}_interpretable_path_{file_word(group.name)}.md", markdown(group, measures, top, gifs))


def file_word(attribute: str) -> str:
    """Return an attribute's name as a part of a file's name."""
    return "".join(c if c.isalnum() or c in "._- " else "-" for c in attribute[:60]).strip() or "attribute"


def file_words(attributes: Sequence[str]) -> list[str]:
    """Return attributes' names as parts of file names, each another."""
    words: list[str] = []
    for number, attribute in enumerate(attributes):
        word = file_word(attribute)
        words.append(word if word not in words else f"{word} {number}")
    return words


def in_markdown(text: str) -> str:
    """Return a name as markdown that shows it as it is: no markup, no raw HTML, no further columns of a table."""
    return re.sub(r"([\\`*\[\]|!~])", r"\\\1", html.escape(shown(text, 200), quote=False))


def in_csv(text: str) -> str:
    """Return a name that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def table(corner: str, attributes: Sequence[str], paths: Sequence[int], scores: Array, *, digits: int = 3) -> str:
    """Return a CSV table: a row per path, a column per attribute; empty if there is no number."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([corner, *map(in_csv, attributes)])
    for path, row in zip(paths, scores, strict=True):
        writer.writerow([path, *("" if np.isnan(value) else f"{value:.{digits}f}" for value in row)])
    return buffer.getvalue()


def details(group: Group, measures: Measures) -> JsonObject:
    """Return the sizes of a ranking, under the names of WarpedGANSpace."""
    step, count = measures.facts.step, measures.facts.count or len(measures.t) // 2
    return {
        "eps": str(step),
        "shift_steps": str(count),
        "traversal_length": str(round(2 * count * step, 3)),
        "num_of_samples": len(measures.codes),
        "num_of_paths": len(measures.paths),
        "num_of_attributes": len(group.attributes),
        "num_of_points_per_path": len(measures.t),
    }


def markdown(group: Group, measures: Measures, top: int, gifs: Mapping[int, str]) -> str:
    """Return the page of the best paths of every attribute; ``identity`` is left out, as in WarpedGANSpace.

    It is ordered by share (``corr_l1``), beside which the other scores stand.
    """
    names = {path: in_markdown(name) for path, name in zip(measures.paths, measures.names, strict=True)}
    facts = {key: in_markdown(getattr(measures.facts, key) or usual) for key, usual in USUAL.items()}
    lines = [
        f"# Top-{top} interpretable paths: {in_markdown(group.name)}",
        "",
        f"{facts['generator']}, space {facts['space']}: {len(measures.paths)} paths from "
        f"{len(measures.codes)} codes, {len(measures.t)} frames each.",
        "",
    ]
    for column, attribute in enumerate(group.attributes):
        if attribute == "identity":
            continue
        lines += [
            f"## {in_markdown(attribute)}",
            "",
            "| rank | path | slope | share | Pearson | monotonicity | |",
            "|---|---|---|---|---|---|---|",
        ]
        for rank, i in enumerate(order(group.scores.share)[column][:top]):
            path = measures.paths[i]
            s = group.scores
            numbers = (s.slope[i, column], s.share[i, column], s.pearson[i, column], s.monotonicity[i, column])
            words = " | ".join("–" if np.isnan(number) else f"{number:.3f}" for number in numbers)
            picture = f"![{names[path]}]({gifs[path]})" if path in gifs else ""
            lines.append(f"| {rank + 1} | {names[path]} | {words} | {picture} |")
        lines.append("")
    return "\n".join(lines)


def as_json(measures: Measures, groups: Sequence[Group], names: Mapping[int, str], locality: Array | None, level: float) -> str:
    """Return everything that a ranking found as JSON; null if there is no number."""

    def rows(scores: Array) -> list[Any]:
        return [[None if np.isnan(v) else round(float(v), 9) for v in row] for row in scores]

    ranked: JsonObject = {}
    for group in groups:
        s = group.scores
        ranked[group.name] = {
            "attributes": group.attributes,
            "slope": rows(s.slope),
            "share": rows(s.share),
            "pearson": rows(s.pearson),
            "monotonicity": rows(s.monotonicity),
            "change": rows(s.change),
            "orders": group.orders(measures.paths),
        }
    report: JsonObject = {
        "paths": measures.paths,
        "names": measures.names,
        "found_names": {str(k): name for k, name in names.items()},
        "codes": measures.codes,
        "t": measures.t.tolist(),
        "traversal": msgspec.to_builtins(measures.facts),
        "groups": ranked,
    }
    if (even := mean_evenness(measures)) is not None:
        report["evenness"] = [None if np.isnan(v) else round(float(v), 9) for v in even]
    if locality is not None:
        finite = [i for i in np.argsort(locality, kind="stable") if not np.isnan(locality[i])]
        report["locality"] = {
            "mask": measures.mask,
            "inside_change": level,
            "mse_ratio": [None if np.isnan(v) else float(v) for v in locality],
            "order": [measures.paths[i] for i in finite],
        }
    return json.dumps(report, indent=1) + "\n"
