"""``semanifold rank``: what each path of a measured traversal changes, as tables, pages and names."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
from tyro.conf import Positional, arg

from semanifold.commands.base import Command, Output, to_arguments
from semanifold.commands.paths import MEASURE
from semanifold.commands.terminal import say, show
from semanifold.errors import SemanifoldError
from semanifold.paths.base import PathSet
from semanifold.ranking.groups import find_group
from semanifold.ranking.measures import Measures, mask_locality, read_measures
from semanifold.ranking.names import merged_names, name_paths
from semanifold.ranking.page import page
from semanifold.ranking.reports import TABLES, Group, as_json, file_word, write_group
from semanifold.ranking.scores import Array, order, score
from semanifold.storage.files import write_text
from semanifold.storage.runs import Run, begin_run, read_record, working
from semanifold.traversal import FACTS, fingerprint_of, folder_name, read_traversal, small_film

RANKING, PAGE, GIFS = "ranking.json", "ranking.html", "gifs"
MOST_BYTES = 16 * 2**20
"""Bytes of gifs that go into one page."""


@dataclass(frozen=True)
class Rank(Command):
    """Rank the paths of a measured traversal by what they change, and by how little else.

    Attributes:
        measured: folder of a traversal that has been measured, or of a semanifold measure.
        group: attributes to look at together: all, a group of WarpedGANSpace's such as Smiling-AU12 or Rotation, or your own as
            smile=smile,mouth_width,identity.
        top: paths an attribute on the markdown page, and films in the HTML page.
        name: write the paths with the names that they deserve into this file, so that --paths smile finds them.
        least_pearson: absolute correlation that a path needs to be named after an attribute of the groups.
        least_lead: how many times as steep as any other attribute of the groups it has to be.
        level: root mean square change inside the mask at which localities are compared; chosen when left out.
        output: Where the results go; rank/ in the folder that is ranked when left out.
    """

    measured: Positional[Annotated[Path, arg(metavar="MEASURED")]]
    group: Annotated[tuple[str, ...], arg(metavar="GROUP ...")] = ("all",)
    top: Annotated[int, arg(metavar="N")] = 3
    name: Annotated[Path | None, arg(metavar="FILE")] = None
    least_pearson: Annotated[float, arg(metavar="R")] = 0.8
    least_lead: Annotated[float, arg(metavar="TIMES")] = 1.25
    level: Annotated[float | None, arg(metavar="RMS")] = None
    gifs: Annotated[bool, arg(help="leave the films out of the pages.")] = True
    output: Output = field(default_factory=Output)

    def run(self) -> int:
        """Score, name, and write everything."""
        measured = self.measured / MEASURE if (self.measured / MEASURE).is_dir() else self.measured
        measures = self.finished(measured)
        groups = self.groups(measures)
        everything = score(measures.values, measures.attributes, measures.t)
        members = {attribute for group in groups for attribute in group.attributes}
        counted = [i for i, attribute in enumerate(measures.attributes) if attribute.name in members and not attribute.relative]
        found = name_paths(
            everything.columns(counted),
            [measures.attributes[i].name for i in counted],
            measures.paths,
            pearson=self.least_pearson,
            lead=self.least_lead,
        )
        locality, level = mask_locality(measures, self.level) if measures.locality is not None else (None, 0.0)
        named = self.named(measures, found) if self.name is not None else None
        folder = self.output.out or self.measured / "rank"
        facts = {"measured": hashlib.sha256(measures.values.tobytes()).hexdigest()[:16]}
        run = begin_run(folder, "rank", to_arguments(self), facts, overwrite=self.output.overwrite)
        if run.finished:
            say(f"{folder} is finished already; --overwrite does it again.")
        else:
            with working(run):
                films = self.films(run, measured, measures, groups, found) if self.gifs else {}
                links = {k: f"../{GIFS}/{folder_name(k)}.gif" for k in films}
                for group in groups:
                    write_group(run.path(f"Group_{file_word(group.name)}"), group, measures, self.top, links)
                write_text(run.path(RANKING), as_json(measures, groups, found, locality, level))
                write_text(run.path(PAGE), page(measures, everything, groups, found, films, locality, level))
        if named is not None:
            from semanifold.paths.files import save_paths  # noqa: PLC0415  (only needed here)

            save_paths(named, self.name or "")
        self.tell(measures, found, locality)
        show(folder / PAGE)
        return 0

    def finished(self, folder: Path) -> Measures:
        """Return the measures of a finished run."""
        record = read_record(folder)
        if record["command"] != "measure":
            what = "run semanifold measure on it" if record["command"] == "traverse" else "give a measured traversal"
            raise SemanifoldError(f"{folder} was written by semanifold {record['command']}, not by measure; {what}.")
        if record.get("status") != "finished":
            raise SemanifoldError(f"The measurement {folder} is half-written; run the same semanifold measure again first.")
        return read_measures(folder)

    def groups(self, measures: Measures) -> list[Group]:
        """Return the groups that were asked for, scored."""
        if self.top < 1:
            raise SemanifoldError(f"top is the number of paths shown for an attribute, at least 1, but it is {self.top}.")
        if not self.group:
            raise SemanifoldError("There is no group; give a name after --group, such as all.")
        if not 0 <= self.least_pearson <= 1:
            raise SemanifoldError(f"least-pearson is a correlation of 0 to 1, but it is {self.least_pearson:g}.")
        if not self.least_lead >= 1:
            raise SemanifoldError(f"least-lead is a factor of at least 1, but it is {self.least_lead:g}.")
        names = [attribute.name for attribute in measures.attributes]
        everything = score(measures.values, measures.attributes, measures.t)
        found = [find_group(word, names) for word in dict.fromkeys(self.group)]
        if len({file_word(name) for name, _ in found}) < len(found):
            raise SemanifoldError(f"Groups need names of their own, but these came: {', '.join(name for name, _ in found)}.")
        return [Group(name, members, everything.columns([names.index(a) for a in members])) for name, members in found]

    def named(self, measures: Measures, found: dict[int, str]) -> PathSet:
        """Return the set that was walked, with the names that its paths deserve."""
        from semanifold.paths.files import load_paths  # noqa: PLC0415  (only needed here)

        source = Path(str(measures.facts.get("path_set")))
        if not source.exists():
            raise SemanifoldError(f"The paths {source} that were walked are gone; put the file back to give them names.")
        paths = load_paths(source, str(measures.facts.get("space")))
        if fingerprint_of(paths) != measures.facts.get("path_set_fingerprint"):
            raise SemanifoldError(f"The paths in {source} are not those that were walked; walk and measure them again first.")
        assert self.name is not None
        if self.name.suffix != ".safetensors" or self.name.is_dir() or not self.name.parent.is_dir():
            raise SemanifoldError(
                f"{self.name} cannot be written; give a .safetensors file in a folder that exists after --name."
            )
        if self.name.exists() and fingerprint_of(load_paths(self.name)) != fingerprint_of(paths):
            raise SemanifoldError(f"{self.name} holds other paths than those that were walked; give a new file after --name.")
        return paths.with_info(names=merged_names(paths.info.names, found))

    def films(
        self, run: Run, measured: Path, measures: Measures, groups: Sequence[Group], found: dict[int, str]
    ) -> dict[int, bytes]:
        """Write small gifs of the paths that the pages show, those with a name first, until the page would grow too large."""
        beside = (measured.parent / FACTS).is_file()
        traversal = read_traversal(measured.parent if beside else str(measures.facts.get("folder")))
        same = [traversal.facts[key] == measures.facts.get(key) for key in ("path_set_fingerprint", "step", "count", "leap")]
        if not all(same) or traversal.codes != measures.codes or traversal.paths != measures.paths:
            raise SemanifoldError(
                f"{traversal.folder} shows other paths by now than those measured; measure them, or use --no-gifs."
            )
        wanted = list(found)
        for rank in range(self.top):
            for group in groups:
                for table in TABLES:
                    wanted += [measures.paths[row[rank]] for row in order(group.table(table)) if rank < len(row)]
        place = run.path(GIFS)
        place.mkdir(exist_ok=True)
        films: dict[int, bytes] = {}
        for k in dict.fromkeys(wanted):
            file = place / f"{folder_name(k)}.gif"
            small_film([traversal.pictures(name, k) for name in measures.codes], file)
            films[k] = file.read_bytes()
            if sum(map(len, films.values())) > MOST_BYTES:
                break
        return films

    def tell(self, measures: Measures, found: dict[int, str], locality: Array | None) -> None:
        """Print what was found."""
        if not found:
            say("No path changes one attribute more than all others, and evenly enough to be named after it.")
        for k, name in sorted(found.items()):
            say(f"path {k:<4} {name}")
        if self.name is not None and found:
            first = min(found.values()).removesuffix(" +").removesuffix(" -")
            say(f"{self.name} knows these names:  semanifold traverse {self.name} --paths {first}")
        if locality is not None and not np.isnan(locality).all():
            best = int(np.nanargmin(locality))
            say(f"Most local in {measures.mask}: {measures.names[best]}, outside / inside {locality[best]:.2g}")
