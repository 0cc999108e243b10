"""What ``semanifold discover`` does."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import torch

from semanifold.app.actions.base import facts_of, load, read_mask, start_code, start_run, working_space
from semanifold.app.actions.results import (
    EDIT,
    HEAT,
    MP4,
    OFFSETS,
    PAD,
    STRIP,
    Subject,
    film_moments,
    find_edit,
    write_all,
    write_plot,
)
from semanifold.app.actions.seen import leak, what_changed
from semanifold.app.commands.base import code_words
from semanifold.app.commands.discover import Discover, Discoveries, sheet_folder
from semanifold.app.terminal import facts, hint, progress_line, remark, say, show
from semanifold.core.errors import shown
from semanifold.core.latents import Latents
from semanifold.core.solutions import Result, Solution
from semanifold.edits import EditInfo, Lattice, save_edit
from semanifold.edits.operations import lattice_of
from semanifold.generators.base import Generator
from semanifold.images import media
from semanifold.images.masks import Mask
from semanifold.manifolds import ManifoldSettings, discover_manifold
from semanifold.storage.pictures import open_picture
from semanifold.storage.records import checked
from semanifold.storage.runs import CHECKPOINT, Run, working

PREVIEW = "preview.png"
SHEET = "comparison.png"


def discover(command: Discover) -> int:
    """Search, then write everything."""
    generator = load(command.model)
    code = start_code(command.start, generator)
    return search(command, generator, code, read_mask(command.mask, generator, code))


def discover_all(many: Discoveries) -> int:
    """Search once per mask, seed and direction, and draw a sheet that compares what was found, if it is several."""
    searches = many.each
    if len(searches) == 1:
        return discover(searches[0])
    generator = load(many.model)
    codes = [start_code(one.start, generator) for one in searches]
    # all masks are read before the first search, so that a misspelt last one costs no time
    masks = [read_mask(one.mask, generator, code) for one, code in zip(searches, codes, strict=True)]
    for number, (one, code, mask) in enumerate(zip(searches, codes, masks, strict=True), 1):
        say(f"--- {number} of {len(searches)}: {called(one)}")
        if ended := search(one, generator, code, mask, last=False):
            return ended
    path = sheet_folder(many)
    path.mkdir(parents=True, exist_ok=True)
    media.save_png(comparison(searches), path / SHEET)
    say(f"--- {len(searches)} searches")
    show(path / SHEET)
    first, second = searches[:2]
    if first.mask != second.mask and first.start == second.start:
        hint("combine", first.folder, second.folder, *code_words(many.model.generator))
    else:
        hint(*first.then)
    return 0


def called(one: Discover) -> str:
    """Return what tells a search from others."""
    direction = f", direction {one.search.direction}" if one.search.direction else ""
    return f"{one.mask}, {'seed' if one.start.latents is None else 'code'} {one.start.word}{direction}"


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


@dataclass(frozen=True)
class Work:
    """One search on its way.

    Attributes:
        command: what was asked for.
        run: its folder.
        nothing: the picture with the edit that changes nothing.
    """

    command: Discover
    run: Run
    nothing: Subject

    @property
    def mask(self) -> Mask:
        """The mask, which a search always has."""
        assert self.nothing.mask is not None
        return self.nothing.mask


def search(command: Discover, generator: Generator, code: Latents, mask: Mask, *, last: bool = True) -> int:
    """Search on one picture, and write everything; ``last`` if nothing follows that says what to do next."""
    space = working_space(generator, command.search.space)
    choices = [command.search.settings(space, c) for c in sorted(command.offset) or [None]]
    run = start_run(command, "discover", command.folder, facts_of(generator), command.inputs)
    if run.finished:
        say(f"{command.folder} is finished already; --overwrite does it again.")
    else:
        with working(run):
            seed = generator.convert(code, space)
            work = Work(command, run, Subject(generator, seed, blank(seed), mask))
            found: list[Solution[Lattice]] = []
            for index, settings in enumerate(choices):
                found.append(search_once(work, settings, index))
                if found[-1].result is Result.INTERRUPTED:
                    break
            write(work, found)
    if last or not run.finished:
        show(*main_files(run))
    if run.record["status"] == "interrupted":
        return 130
    if last:
        hint(*command.then)
    return 0


def search_once(work: Work, settings: ManifoldSettings, index: int) -> Solution[Lattice]:
    """Search for one offset, or take up what an earlier process found."""
    command, run, nothing = work.command, work.run, work.nothing
    file = EDIT if len(command.offset) < 2 else f"edit-c{settings.offset:g}.safetensors"
    done: list[dict[str, Any]] = run.record.get("searches", [])
    if index < len(done) and (run.folder / file).is_file():
        edit = find_edit(run.folder / file)
        checked(done[index], Statistics, f"The run.json of {shown(str(run.folder), 200)}")
        return Solution(lattice_of(edit), Result[done[index]["result"]], done[index])
    title = f"{command.mask}, c = {settings.offset:g}" if settings.offset else command.mask
    previewed = -1
    with progress_line(f"searching {title}") as line:

        def progress(report: dict[str, Any]) -> None:
            nonlocal previewed
            ratio = report["outside"] / report["inside"] if report["inside"] > 0 else float("inf")
            line({"step": report["step"], "steps": report["steps"], "outside/inside": float(ratio)})
            if report["stage"] != previewed:
                previewed = report["stage"]
                write_preview(run, replace(nothing, edit=report["edit"]))

        began = time.monotonic()
        solution = discover_manifold(
            nothing.generator,
            nothing.seed,
            work.mask,
            settings,
            progress=progress,
            checkpoint=run.folder / CHECKPOINT,
            throw=False,
        )
    if not solution.result.good:  # taking it up again would fail in the same way
        (run.folder / CHECKPOINT).unlink(missing_ok=True)
        run.remove(PREVIEW)
    edit = solution.unwrap().with_info(name=command.mask)
    seconds = round(time.monotonic() - began, 2)
    stats = {**solution.stats, "result": solution.result.name, "why": solution.result.value, "seconds": seconds}
    save_edit(edit, run.path(file))
    if solution.result is not Result.INTERRUPTED:
        run.note(searches=[*done[:index], stats])
        (run.folder / CHECKPOINT).unlink(missing_ok=True)
    return Solution(edit, solution.result, stats)


def write(work: Work, found: list[Solution[Lattice]]) -> None:
    """Write the results of all offsets; the strongest edit is the one that is filmed."""
    run, film = work.run, work.command.film
    main = max(found, key=lambda solution: solution.stats["offset"])
    subject = replace(work.nothing, edit=main.value)
    t = film_moments(main.value, film)
    scores = write_all(run, subject, t, film, search=[solution.stats for solution in found])
    if len(found) > 1:
        films = [(s.stats["offset"], replace(work.nothing, edit=s.value).frames(s.value.times())) for s in found]
        sheet = media.offsets_sheet(films, media.to_uint8(subject.picture)[0], subject.mask_picture())
        media.save_png(sheet, run.path(OFFSETS))
    run.remove(PREVIEW)
    tell(work, subject, t, scores, main)
    if main.result is Result.INTERRUPTED:
        run.note(status="interrupted")
        remark(f"semanifold: interrupted; the best so far is kept in {run.folder}, and the same command goes on from there.")
    else:
        write_plot(run, [subject], t, umap=film.umap)


def tell(work: Work, subject: Subject, t: torch.Tensor, scores: Mapping[str, float], main: Solution[Lattice]) -> None:
    """Say what was found: what changes, how local it is, and what it took."""
    stats = main.stats
    took = f"{stats['steps']} steps, {stats['evaluations']} pictures, {stats['seconds']:.1f} s"
    facts(change=dict(scores), result=main.result.name, seconds=stats["seconds"])
    mask = work.command.mask
    if not scores:
        say(f"{mask} on {subject.generator.name}: nothing changes ({took}); try a larger --strength, or another --direction.")
        return
    ratio = scores["mse_ratio"]
    local = f"outside changes {ratio:.2g} times as much as inside (mean squares)"
    seen = what_changed(subject, t)
    say(f"{mask} on {subject.generator.name}: {seen + '; ' if seen else ''}{local}; {took}. {main.result.value}")
    if leak(ratio):
        remark(
            f"The change leaks out of the mask: this generator hardly changes {mask} alone; try a larger mask, another "
            "--direction, or a smaller --strength."
        )


def blank(seed: Latents) -> Lattice:
    """Return the edit that changes nothing."""
    return Lattice(torch.zeros(2, *seed.values.shape[1:]), [torch.tensor([0.0, 1.0])], EditInfo(space=seed.space))


def write_preview(run: Run, subject: Subject) -> None:
    """Write a filmstrip of the path as it is so far."""
    seed = media.to_uint8(subject.picture)[0]
    frames = subject.frames(subject.edit.times(8))
    media.save_png(media.filmstrip(frames, seed, subject.mask_picture()), run.path(PREVIEW))


def main_files(run: Run) -> list[Path]:
    """Return what to open first."""
    return [run.folder / name for name in (MP4, STRIP, OFFSETS, PAD, HEAT) if (run.folder / name).exists()]
