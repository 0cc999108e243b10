"""What ``semanifold discover`` does."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Annotated, Literal, cast

import msgspec
import torch

from semanifold.app.actions.base import existing, facts_of, load, read_mask, start_code, worked, working_space
from semanifold.app.actions.results import (
    EDIT,
    HEAT,
    MP4,
    OFFSETS,
    PAD,
    STRIP,
    EditedPicture,
    film_moments,
    find_edit,
    write_all,
    write_plot,
)
from semanifold.app.actions.seen import leak, what_changed
from semanifold.app.answers import Answer, Caller, never, typed
from semanifold.app.commands.base import code_words
from semanifold.app.commands.discover import Discover, Discoveries, sheet_folder
from semanifold.core.errors import shown
from semanifold.core.latents import Latents
from semanifold.core.progress import Report
from semanifold.core.solutions import Result, Solution
from semanifold.edits import EditInfo, Lattice, save_edit
from semanifold.edits.operations import lattice_of
from semanifold.generators.base import Generator
from semanifold.images import media
from semanifold.images.masks import Mask
from semanifold.manifolds import ManifoldSettings, discover_manifold
from semanifold.manifolds.checkpoints import SearchNumbers
from semanifold.storage.pictures import open_picture
from semanifold.storage.records import checked
from semanifold.storage.run_records import plain
from semanifold.storage.runs import ANEW, CHECKPOINT, Run

PREVIEW = "preview.png"
SHEET = "comparison.png"
PREVIEWED = 8
"""Pictures of the path in a preview."""


def discover(command: Discover, caller: Caller) -> Answer:
    """Search, then write everything."""
    generator = load(command.model, caller)
    code = start_code(command.start, generator, caller)
    return search(command, generator, code, read_mask(command.mask, generator, code, caller), caller)


def discover_all(many: Discoveries, caller: Caller) -> Answer:
    """Search once per mask, seed and direction, and draw a sheet that compares what was found, if it is several."""
    searches = many.searches
    if len(searches) == 1:
        return discover(searches[0], caller)
    generator = load(many.model, caller)
    codes = [start_code(one.start, generator, caller) for one in searches]
    # all masks are read before the first search, so that a misspelt last one costs no time
    masks = [read_mask(one.mask, generator, code, caller) for one, code in zip(searches, codes, strict=True)]
    parts: list[Answer] = []
    for number, (one, code, mask) in enumerate(zip(searches, codes, masks, strict=True), 1):
        caller.hear(Answer(said=(f"--- {number} of {len(searches)}: {called(one)}",)))
        part = search(one, generator, code, mask, caller)
        parts.append(replace(part, next=(), files=part.files if part.fresh else ()))
        caller.hear(parts[-1])
        if part.interrupted:
            return Answer(interrupted=True, parts=tuple(parts))
    path = sheet_folder(many)
    path.mkdir(parents=True, exist_ok=True)
    media.save_png(comparison(searches), path / SHEET)
    first, second = searches[:2]
    then = first.then
    if first.mask != second.mask and first.start == second.start:
        then = ("combine", first.folder, second.folder, *code_words(many.model.generator))
    said = (f"--- {len(searches)} searches",)
    return Answer(folder=path, said=said, files=(path / SHEET,), next=typed(*then), parts=tuple(parts))


def called(one: Discover) -> str:
    """Return what tells a search from others."""
    direction = f", direction {one.search.direction}" if one.search.direction else ""
    return f"{one.output.short(one.mask)}, {'seed' if one.start.latents is None else 'code'} {one.start.word}{direction}"


def comparison(searches: Sequence[Discover]) -> media.Image.Image:
    """Return the filmstrips of several searches below one another."""
    rows = [open_picture(one.folder / STRIP).convert("RGB") for one in searches]
    return media.stack_rows(rows, [called(one) for one in searches])


Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]


class Statistics(msgspec.Struct, frozen=True):
    """What ``run.json`` says of a finished search, and is read when a run is taken up."""

    result: Literal["CONVERGED", "STEPS"]
    offset: Annotated[float, msgspec.Meta(gt=0)]
    steps: Count
    evaluations: Count
    seconds: Annotated[float, msgspec.Meta(ge=0)]


class FinishedSearch(SearchNumbers):
    """What ``run.json`` says of a search: its numbers, why it stopped, as a name and in words, and the seconds that it took."""

    result: str
    why: str
    seconds: float


@dataclass(frozen=True)
class Work:
    """One search on its way.

    Attributes:
        command: what was asked for.
        caller: who asked.
        run: its folder.
        nothing: the picture with the edit that changes nothing.
    """

    command: Discover
    caller: Caller
    run: Run
    nothing: EditedPicture

    @property
    def mask(self) -> Mask:
        """The mask, which a search always has."""
        assert self.nothing.mask is not None
        return self.nothing.mask


def search(command: Discover, generator: Generator, code: Latents, mask: Mask, caller: Caller) -> Answer:
    """Search on one picture, and write everything."""
    space = working_space(generator, command.search.space)
    weight = command.search.settings(space, None).outside_of(float(mask.at(*generator.picture_shape[1:]).mean()))
    if weight == command.earlier_outside:  # the same search, whose weight was written as a number
        command = replace(command, search=replace(command.search, outside=weight))
    choices = [command.search.settings(space, c) for c in sorted(command.offset) or [None]]

    def searched(run: Run) -> Answer:
        start = generator.convert(code, space)
        work = Work(command, caller, run, EditedPicture(generator, start, blank(start), mask))
        solutions: list[Solution[Lattice, FinishedSearch]] = []
        for index, settings in enumerate(choices):
            solutions.append(search_once(work, settings, index))
            if solutions[-1].result is Result.INTERRUPTED:
                work = replace(work, caller=replace(caller, stop=never))  # the best so far is filmed all the same
                break
        return write(work, solutions)

    answer = worked(command, caller, "discover", command.folder, facts_of(generator), searched, inputs=command.inputs)
    files = existing(command.folder, MP4, STRIP, OFFSETS, PAD, HEAT)  # what to open first
    return replace(answer, files=files, next=() if answer.interrupted else typed(*command.then))


def search_once(work: Work, settings: ManifoldSettings, index: int) -> Solution[Lattice, FinishedSearch]:
    """Search for one offset, or take up what an earlier process found."""
    command, run, nothing = work.command, work.run, work.nothing
    file = EDIT if len(command.offset) < 2 else f"edit-c{settings.offset:g}.safetensors"
    done = run.record.searches
    if index < len(done) and (run.folder / file).is_file():
        edit = find_edit(run.folder / file)
        earlier = checked(done[index], Statistics, f"The run.json of {shown(str(run.folder), 200)}", remedy=ANEW)
        return Solution(lattice_of(edit), Result[earlier.result], cast(FinishedSearch, done[index]))
    title = f"{command.mask}, c = {settings.offset:g}" if settings.offset else command.mask
    previewed = -1
    with work.caller.watching(f"searching {title}") as line:

        def progress(report: Report) -> None:
            nonlocal previewed
            ratio = report["outside"] / report["inside"] if report["inside"] > 0 else float("inf")
            line({"step": report["step"], "steps": report["steps"], "outside/inside": float(ratio)})
            if report["stage"] != previewed:
                previewed = report["stage"]
                write_preview(run, replace(nothing, edit=report["edit"]))

        began = time.monotonic()
        solution = discover_manifold(
            nothing.generator,
            nothing.start,
            work.mask,
            settings,
            progress=progress,
            checkpoint=run.folder / CHECKPOINT,
            throw=False,
        )
    if not solution.result.good:  # taking it up again would fail in the same way
        (run.folder / CHECKPOINT).unlink(missing_ok=True)
        run.remove(PREVIEW)
    edit = solution.unwrap().with_info(name=command.output.short(command.mask))
    seconds = round(time.monotonic() - began, 2)
    stats: FinishedSearch = {**solution.stats, "result": solution.result.name, "why": solution.result.value, "seconds": seconds}
    save_edit(edit, run.path(file))
    if solution.result is not Result.INTERRUPTED:
        run.note(searches=(*done[:index], plain(stats)))
        (run.folder / CHECKPOINT).unlink(missing_ok=True)
    return Solution(edit, solution.result, stats)


def write(work: Work, solutions: list[Solution[Lattice, FinishedSearch]]) -> Answer:
    """Write the results of all offsets, and return what was found; the strongest edit is the one that is filmed."""
    run, film = work.run, work.command.film
    main = max(solutions, key=lambda solution: solution.stats["offset"])
    subject = replace(work.nothing, edit=main.value)
    t = film_moments(main.value, film)
    scores = write_all(run, subject, t, film, work.caller, search=[solution.stats for solution in solutions])
    if len(solutions) > 1:
        films = [(s.stats["offset"], replace(work.nothing, edit=s.value)) for s in solutions]
        media.save_png(offsets_sheet(films), run.path(OFFSETS))
    run.remove(PREVIEW)
    answer = summary_of(work, subject, t, scores, main)
    if main.result is Result.INTERRUPTED:
        work.caller.remark(
            f"semanifold: interrupted; the best so far is kept in {run.folder}, and the same command goes on from there."
        )
        return replace(answer, interrupted=True)
    write_plot(run, [subject], t, work.caller, umap=film.umap)
    return answer


def summary_of(
    work: Work, subject: EditedPicture, t: torch.Tensor, scores: Mapping[str, float], main: Solution[Lattice, FinishedSearch]
) -> Answer:
    """Return in words what was found: what changes, how local it is, and what it took."""
    stats = main.stats
    took = f"{stats['steps']} steps, {stats['evaluations']} pictures, {stats['seconds']:.1f} s"
    facts = {"change": dict(scores), "result": main.result.name, "seconds": stats["seconds"]}
    mask = work.command.output.short(work.command.mask)
    if not scores:
        words = f"nothing changes ({took}); try a larger strength=, or another direction=."
        return Answer(said=(f"{mask} on {subject.generator.name}: {words}",), facts=facts)
    ratio = scores["mse_ratio"]
    local = f"outside changes {ratio:.2g} times as much as inside (mean squares)"
    seen = what_changed(subject, t)
    if leak(ratio):
        work.caller.remark(
            f"The change leaks out of the mask: this generator hardly changes {mask} alone; try a larger mask, another "
            "direction=, or a smaller strength=."
        )
    words = f"{seen + '; ' if seen else ''}{local}; {took}. {main.result.value}"
    return Answer(said=(f"{mask} on {subject.generator.name}: {words}",), facts=facts)


def blank(code: Latents) -> Lattice:
    """Return the edit that changes nothing."""
    return Lattice(torch.zeros(2, *code.values.shape[1:]), [torch.tensor([0.0, 1.0])], EditInfo(space=code.space))


def write_preview(run: Run, subject: EditedPicture) -> None:
    """Write a filmstrip of the path as it is so far."""
    media.save_png(subject.strip(PREVIEWED), run.path(PREVIEW))


def offsets_sheet(films: Sequence[tuple[float, EditedPicture]]) -> media.Image.Image:
    """Return a filmstrip per offset c, the largest change at the bottom (Yang et al. 2020, arXiv:2105.07273, Fig. 2)."""
    ordered = sorted(films, key=itemgetter(0))
    return media.stack_rows([subject.strip(size=128) for _, subject in ordered], [f"c = {offset:g}" for offset, _ in ordered])
