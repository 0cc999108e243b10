"""What ``semanifold rank`` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from semanifold.analysis.ranking.groups import find_group
from semanifold.analysis.ranking.measures import Measures, mask_locality, read_measures
from semanifold.analysis.ranking.names import merged_names, name_paths, why_unnamed
from semanifold.analysis.ranking.page import page, prominence
from semanifold.analysis.ranking.reports import TABLES, Group, as_json, file_word, write_group
from semanifold.analysis.ranking.scores import Array, order, score
from semanifold.analysis.traversal import FACTS, fingerprint_of, folder_name, read_traversal, small_film
from semanifold.app.actions.base import worked
from semanifold.app.answers import Answer, Caller, typed
from semanifold.app.commands.paths import MEASURE
from semanifold.app.commands.places import recorded_model
from semanifold.app.commands.ranking import Rank
from semanifold.core.errors import SemanifoldError
from semanifold.paths.base import PathSet
from semanifold.storage.digests import digest
from semanifold.storage.files import read_bytes, write_text
from semanifold.storage.runs import RECORD, Run, read_record
from semanifold.worlds.faces.changes import CHANGES

RANKING, PAGE, GIFS = "ranking.json", "ranking.html", "gifs"
MOST_BYTES = 16 * 2**20
"""Bytes of gifs that go into one page."""


def rank(command: Rank, caller: Caller) -> Answer:
    """Score, name, and write everything."""
    measured = command.measured / MEASURE if (command.measured / MEASURE).is_dir() else command.measured
    measures = finished(measured)
    groups = groups_of(command, measures)
    everything = score(measures.values, measures.attributes, measures.t)
    members = {attribute for group in groups for attribute in group.attributes}
    counted = [i for i, attribute in enumerate(measures.attributes) if attribute.name in members and not attribute.relative]
    columns, names = everything.columns(counted), [measures.attributes[i].name for i in counted]
    deserved = name_paths(columns, names, measures.paths, pearson=command.least_pearson, lead=command.least_lead)
    unnamed = why_unnamed(columns, names, measures.paths, deserved, lead=command.least_lead)
    locality, level = mask_locality(measures, command.level) if measures.locality is not None else (None, 0.0)
    named = named_paths(command, measures, deserved) if command.name is not None else None
    folder = command.output.out or command.measured / "rank"
    decisive = {"measured": digest(measures.values.tobytes())}

    def work(run: Run) -> Answer:
        films = films_of(command, run, measured, measures, groups, deserved) if command.gifs else {}
        links = {k: f"../{GIFS}/{folder_name(k)}.gif" for k in films}
        for group in groups:
            write_group(run.path(f"Group_{file_word(group.name)}"), group, measures, command.top, links)
        write_text(run.path(RANKING), as_json(measures, groups, deserved, locality, level))
        write_text(run.path(PAGE), page(measures, everything, groups, deserved, films, locality, level))
        return Answer()

    answer = worked(replace(command, name=None), caller, "rank", folder, decisive, work, inputs=None, watched=None)
    if named is not None:
        from semanifold.paths.files import save_paths  # noqa: PLC0415  (only needed here)

        save_paths(named, command.name or "")
    kept = [] if named is None else [f"{command.name} holds the paths, {len(deserved)} of them under these names."]
    said = (*answer.said, *sentences(measures, deserved, unnamed, locality), *kept)
    facts = {
        "names": {str(k): name for k, name in sorted(deserved.items())},
        "unnamed": {str(k): why for k, why in unnamed.items()},
    }
    then = next_words(command, measured, measures, [name for _, name in prominence(deserved, measures, everything)])
    return replace(answer, said=said, files=(folder / PAGE,), next=then, facts=facts)


def finished(folder: Path) -> Measures:
    """Return the measures of a finished run."""
    record = read_record(folder)
    if record.command != "measure":
        what = "run semanifold measure on it" if record.command == "traverse" else "give a measured traversal"
        raise SemanifoldError(f"{folder} was written by semanifold {record.command}, not by measure; {what}.")
    if record.status != "finished":
        raise SemanifoldError(f"The measurement {folder} is half-written; run the same semanifold measure again first.")
    return read_measures(folder)


def groups_of(command: Rank, measures: Measures) -> list[Group]:
    """Return the groups that were asked for, scored."""
    names = [attribute.name for attribute in measures.attributes]
    everything = score(measures.values, measures.attributes, measures.t)
    chosen = [find_group(word, names) for word in dict.fromkeys(command.group)]
    if len({file_word(name) for name, _ in chosen}) < len(chosen):
        raise SemanifoldError(f"Groups need different names, but got {', '.join(name for name, _ in chosen)}.")
    return [Group(name, members, everything.columns([names.index(a) for a in members])) for name, members in chosen]


def named_paths(command: Rank, measures: Measures, deserved: dict[int, str]) -> PathSet:
    """Return the set that was walked, with the names that its paths deserve."""
    from semanifold.paths.files import NAMED_PATHS, load_paths  # noqa: PLC0415  (only needed here)

    source = Path(measures.facts.path_set)
    if str(source) not in NAMED_PATHS and not source.exists():
        raise SemanifoldError(f"The paths {source} that were walked are gone; put the file back to give them names.")
    paths = load_paths(source, measures.facts.space)
    if fingerprint_of(paths) != measures.facts.path_set_fingerprint:
        raise SemanifoldError(f"The paths in {source} are not those that were walked; walk and measure them again first.")
    assert command.name is not None
    if command.name.exists() and fingerprint_of(load_paths(command.name)) != fingerprint_of(paths):
        raise SemanifoldError(f"{command.name} holds other paths than those that were walked; give a new file after name=.")
    return paths.with_info(names=merged_names(paths.info.names, deserved))


def films_of(
    command: Rank, run: Run, measured: Path, measures: Measures, groups: Sequence[Group], deserved: dict[int, str]
) -> dict[int, bytes]:
    """Write small gifs of the paths that the pages show, those with a name first, until the page would grow too large."""
    beside = (measured.parent / FACTS).is_file()
    traversal = read_traversal(measured.parent if beside else measures.facts.folder)
    decisive = ("path_set_fingerprint", "step", "count", "leap")
    same = [getattr(traversal.facts, key) == getattr(measures.facts, key) for key in decisive]
    if not all(same) or traversal.codes != measures.codes or traversal.paths != measures.paths:
        raise SemanifoldError(
            f"{traversal.folder} shows other paths by now than those measured; measure them, or use gifs=False."
        )
    wanted = list(deserved)
    for rank in range(command.top):
        for group in groups:
            for table in TABLES:
                wanted += [measures.paths[row[rank]] for row in order(group.table(table)) if rank < len(row)]
    place = run.path(GIFS)
    place.mkdir(exist_ok=True)
    films: dict[int, bytes] = {}
    for k in dict.fromkeys(wanted):
        file = place / f"{folder_name(k)}.gif"
        small_film([traversal.pictures(name, k) for name in measures.codes], file)
        films[k] = read_bytes(file)
        if sum(map(len, films.values())) > MOST_BYTES:
            break
    return films


def sentences(measures: Measures, deserved: dict[int, str], unnamed: dict[int, str], locality: Array | None) -> list[str]:
    """Return in sentences what was found."""
    if not deserved:
        said = ["No path changes one attribute more than all others, and evenly enough to be named after it."]
    else:
        said = [f"path {k:<4} {name:<20} {meaning(name)}" for k, name in sorted(deserved.items())]
        said += [f"path {k:<4} {'-':<20} {why}" for k, why in unnamed.items()]
    if locality is not None and not np.isnan(locality).all():
        best = int(np.nanargmin(locality))
        said.append(f"Most local in {measures.mask}: {measures.names[best]}, outside/inside {locality[best]:.2g}")
    return said


def meaning(name: str) -> str:
    """Say what a path does that is named so: ``"yaw -"`` is a head that turns left."""
    change, rises = CHANGES.get(name[:-2]), name.endswith("+")
    if change is None:
        return f"{name[:-2]} {'rises' if rises else 'falls'} along the path"
    return f"{change.what} {change.more if rises else change.less}"


def next_words(command: Rank, measured: Path, measures: Measures, names: Sequence[str]) -> tuple[str, ...]:
    """Return the words of the command to type next: one that uses the most prominent of the names, or gives them."""
    if command.name is None:
        return typed("rank", command.measured, "--name", "named.safetensors")
    best = names[0] if names else measures.names[0]
    path = f"{command.name}:{best.removesuffix(' +').removesuffix(' -')}"
    return typed("render", path, *model_words(measured, measures), "--seed", 7)


def model_words(measured: Path, measures: Measures) -> list[str]:
    """Return the words that name the generator of a traversal to another command."""
    for folder in (measured.parent, Path(measures.facts.folder)):
        if (folder / RECORD).is_file():
            try:
                model = recorded_model(folder)
            except SemanifoldError:
                return ["--generator", "YOURS.py:NAME"]
            return [] if model is None else model.words
    return []
