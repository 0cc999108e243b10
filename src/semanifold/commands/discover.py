"""``semanifold discover``: from a picture and a mask to a run folder."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from tyro.conf import Suppress, arg
from tyro.constructors import PrimitiveConstructorSpec

from semanifold import media
from semanifold.commands.base import (
    Command,
    Film,
    Model,
    Output,
    Start,
    facts_of,
    for_help,
    read_mask,
    to_arguments,
    working_space,
)
from semanifold.commands.results import (
    EDIT,
    HEAT,
    MP4,
    OFFSETS,
    PAD,
    STRIP,
    Subject,
    find_edit,
    moments,
    write_all,
    write_plot,
)
from semanifold.commands.terminal import ProgressLine, remark, say, show
from semanifold.edits import EditInfo, Lattice, save_edit
from semanifold.latents import Latents
from semanifold.manifolds import ManifoldSettings, discover_manifold, paper_settings
from semanifold.solutions import Result, Solution
from semanifold.storage.runs import CHECKPOINT, Run, begin_run, working

PREVIEW = "preview.png"


def layer_range(words: list[str]) -> tuple[int, int]:
    """Return ``(first, last + 1)`` of ``"2-7"``, or of ``"3"`` for one layer."""
    found = re.fullmatch(r"(\d+)(?:-(\d+))?", words[0])
    if not found:
        raise ValueError(f"layers are given as first-last, such as 2-7, but {words[0]!r} came")
    return int(found[1]), int(found[2] or found[1]) + 1


def spring_weights(words: list[str]) -> Mapping[int, float]:
    """Return the weights by order of ``"1:0.3,2:0.1"``."""
    try:
        return {int(order): float(weight) for order, weight in (pair.split(":") for pair in words[0].split(","))}
    except ValueError:
        raise ValueError(f"springs are given as order:weight, such as 1:0.3,2:0.1, but {words[0]!r} came") from None


LAYERS = PrimitiveConstructorSpec[tuple[int, int]](
    nargs=1,
    metavar="FIRST-LAST",
    instance_from_str=layer_range,
    is_instance=lambda value: isinstance(value, tuple),
    str_from_instance=lambda value: [f"{value[0]}-{value[1] - 1}" if value else "all"],
)
SPRINGS = PrimitiveConstructorSpec[Mapping[int, float]](
    nargs=1,
    metavar="ORDER:WEIGHT,...",
    instance_from_str=spring_weights,
    is_instance=lambda value: isinstance(value, Mapping),
    str_from_instance=lambda value: [",".join(f"{order}:{weight:g}" for order, weight in value.items())],
)


@dataclass(frozen=True)
class Search(ManifoldSettings):
    """The same fields; only the way that the command line writes three of them differs."""

    layers: Annotated[tuple[int, int] | None, LAYERS] = None
    springs: Annotated[Mapping[int, float], SPRINGS] = field(default_factory=lambda: ManifoldSettings().springs)
    offset: Suppress[float | None] = None
    coarse: Annotated[bool, arg(help="work with all frames at full size from the beginning.")] = True
    seed: Annotated[int, arg(name="draw-seed")] = 0

    def settings(self, space: str, offset: float | None) -> ManifoldSettings:
        """Return the plain settings."""
        given: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(ManifoldSettings)}
        given |= {"space": space} | ({} if offset is None else {"offset": offset})
        return ManifoldSettings(**given)


Search.__doc__ = for_help(ManifoldSettings.__doc__).replace("(first, last + 1) layers", "first and last layer")


@dataclass(frozen=True)
class Discover(Command):
    """Find a smooth sequence of pictures of one seed that changes inside a mask and stands still outside.

    Attributes:
        mask: what is to change: a region of the bundled faces (mouth, eyes, hair, ...), box:0.3,0.6,0.7,0.9 (left, top,
            right, bottom), ellipse:0.5,0.7,0.2,0.1, polygon:..., or a picture file; ~ means all but, | either, & both,
            feather:0.02(...) soft edges.
        offset: how far the inside is to change, c; several values give a sheet with one row each. Chosen when left out.
        paper: begin from the settings of the published code (Yang et al. 2020: LPIPS, 36 frames, c = 0.25, sigma = 4, ...).
        model: Which generator makes the pictures.
        start: Which picture to start from.
        search: How to search.
        film: What the film looks like.
        output: Where the results go.
    """

    mask: Annotated[str, arg(metavar="MASK")]
    offset: Annotated[tuple[float, ...], arg(metavar="C ...")] = ()
    paper: bool = False
    model: Model = field(default_factory=Model)
    start: Start = field(default_factory=Start)
    search: Search = field(default_factory=Search)
    film: Film = field(default_factory=Film)
    output: Output = field(default_factory=Output)

    @classmethod
    def defaults(cls, words: Sequence[str]) -> Discover | None:
        """See :meth:`Command.defaults`; with --paper those of the published code, which other options then change."""
        if "--paper" not in words:
            return None
        published = paper_settings()
        search: dict[str, Any] = {f.name: getattr(published, f.name) for f in fields(ManifoldSettings)}
        return cls(mask=tyro.MISSING, search=Search(**search))

    def run(self) -> int:
        """Search, then write everything."""
        generator = self.model.load()
        code = self.start.code(generator)
        mask = read_mask(self.mask, generator, code)
        space = working_space(generator, self.search.space)
        choices = [self.search.settings(space, c) for c in sorted(self.offset) or [None]]
        other = [f"direction{self.search.direction}"] if self.search.direction else []
        other += ["flip"] if self.search.flip else []
        folder = self.output.folder(generator.name, self.mask, self.start.word, *other)
        run = begin_run(folder, "discover", to_arguments(self), facts_of(generator), overwrite=self.output.overwrite)
        if run.finished:
            say(f"{folder} is finished already; --overwrite does it again.")
            show(*main_files(run))
            return 0
        with working(run):
            seed = generator.convert(code, space)
            nothing = Subject(generator, seed, blank(seed), mask)
            found: list[Solution[Lattice]] = []
            for index, settings in enumerate(choices):
                found.append(self.search_once(run, nothing, settings, index))
                if found[-1].result is Result.INTERRUPTED:
                    break
            self.write(run, nothing, found)
        return 130 if run.record["status"] == "interrupted" else 0

    def search_once(self, run: Run, nothing: Subject, settings: ManifoldSettings, index: int) -> Solution[Lattice]:
        """Search for one offset, or take up what an earlier process found."""
        assert nothing.mask is not None
        file = EDIT if len(self.offset) < 2 else f"edit-c{settings.offset:g}.safetensors"
        done: list[dict[str, Any]] = run.record.get("searches", [])
        if index < len(done) and (run.folder / file).is_file():
            edit = find_edit(run.folder / file)
            assert isinstance(edit, Lattice)
            return Solution(edit, Result[done[index]["result"]], done[index])
        line = ProgressLine(f"{self.mask}, c = {settings.offset:g}" if settings.offset else self.mask)
        previewed = -1

        def progress(report: dict[str, Any]) -> None:
            nonlocal previewed
            line(report)
            if report["stage"] != previewed:
                previewed = report["stage"]
                write_preview(run, replace(nothing, edit=report["edit"]))

        began = time.monotonic()
        solution = discover_manifold(
            nothing.generator, nothing.seed, nothing.mask, settings, progress=progress, checkpoint=run.folder / CHECKPOINT
        )
        line.close()
        edit = solution.unwrap().with_info(name=self.mask)
        seconds = round(time.monotonic() - began, 2)
        stats = {**solution.stats, "result": solution.result.name, "why": solution.result.value, "seconds": seconds}
        save_edit(edit, run.path(file))
        if solution.result is not Result.INTERRUPTED:
            run.note(searches=[*done[:index], stats])
            (run.folder / CHECKPOINT).unlink(missing_ok=True)
        return Solution(edit, solution.result, stats)

    def write(self, run: Run, nothing: Subject, found: list[Solution[Lattice]]) -> None:
        """Write the results of all offsets; the strongest edit is the one that is filmed."""
        main = max(found, key=lambda solution: solution.stats["offset"])
        subject = replace(nothing, edit=main.value)
        t = moments(main.value)
        scores = write_all(run, subject, t, self.film, search=[solution.stats for solution in found])
        if len(found) > 1:
            films = [(s.stats["offset"], replace(nothing, edit=s.value).frames(moments(s.value))) for s in found]
            sheet = media.offsets_sheet(films, media.to_uint8(subject.picture)[0], subject.mask_picture())
            media.save_png(sheet, run.path(OFFSETS))
        run.remove(PREVIEW)
        say(f"{self.mask} on {subject.generator.name}: {describe(scores, main)}")
        if main.result is Result.INTERRUPTED:
            run.note(status="interrupted")
            remark(f"semanifold: interrupted; the best so far is kept in {run.folder}, and the same command goes on from there.")
        else:
            write_plot(run, [subject], t)
        show(*main_files(run))


def blank(seed: Latents) -> Lattice:
    """Return the edit that changes nothing."""
    return Lattice(torch.zeros(2, *seed.values.shape[1:]), [torch.tensor([0.0, 1.0])], EditInfo(space=seed.space))


def write_preview(run: Run, subject: Subject) -> None:
    """Write a filmstrip of the path as it stands."""
    seed = media.to_uint8(subject.picture)[0]
    frames = subject.frames(moments(subject.edit, 8))
    media.save_png(media.filmstrip(frames, seed, subject.mask_picture()), run.path(PREVIEW))


def describe(scores: Mapping[str, float], solution: Solution[Lattice]) -> str:
    """Return the result in a sentence."""
    took = f"{solution.stats['steps']} steps, {solution.stats['evaluations']} pictures, {solution.stats['seconds']:.1f} s"
    if not scores:
        return f"nothing changes ({took}). {solution.result.value}"
    share = scores["mse_ratio"]
    return f"outside changes {share:.2g} times as much as inside (mean squares; {took}). {solution.result.value}"


def main_files(run: Run) -> list[Path]:
    """Return what to open first."""
    return [run.folder / name for name in (MP4, STRIP, OFFSETS, PAD, HEAT) if (run.folder / name).exists()]
