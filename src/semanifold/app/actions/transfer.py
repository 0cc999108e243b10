"""What ``semanifold transfer`` does: an edit on other pictures, adapted where it leaks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import torch
from PIL import Image

from semanifold.app.actions.base import (
    code_for,
    existing,
    facts_of,
    read_given,
    sample,
    truncated,
    worked,
)
from semanifold.app.actions.edits import mask_of, opened
from semanifold.app.actions.results import (
    EDIT,
    FRAMES,
    HEAT,
    METRICS,
    MP4,
    STRIP,
    EditedPicture,
    measure,
    own_moments,
    save_films,
    write_exports,
    write_plot,
)
from semanifold.app.actions.seen import leak, remark_nothing, what_changed
from semanifold.app.answers import Answer, Caller, never, typed
from semanifold.app.commands import early
from semanifold.app.commands.base import slug
from semanifold.app.commands.edits import Transfer
from semanifold.core.errors import SemanifoldError, counted
from semanifold.core.latents import Latents
from semanifold.core.solutions import Result
from semanifold.edits import Edit, load_edit, save_edit
from semanifold.edits.films import STILLS, Play
from semanifold.edits.tracing import on_code
from semanifold.generators.exchange import read_codes
from semanifold.images import media
from semanifold.images.masks.grammar import in_folder
from semanifold.images.metrics import ratio_map
from semanifold.images.plots import Filmed, heat_pictures, outside_map
from semanifold.manifolds.adapting import AdaptationNumbers, adapt
from semanifold.storage.digests import file_digest
from semanifold.storage.files import is_file
from semanifold.storage.records import write_json
from semanifold.storage.run_records import plain
from semanifold.storage.runs import Run

ADAPTED = "adapted.png"
SIDE = 128
"""Of the pictures in the strips."""
MOST_SEEN, MORE = 0.01, 3.0
"""A carried path is adapted by itself where it changes the outside by more than this share of the inside (mean squares), and by
more than so many times the share at its own picture."""


def transfer_edit(command: Transfer, caller: Caller) -> Answer:
    """Put an edit onto several pictures: films, strips, numbers."""
    command, model, generator, edit = opened(command, caller)
    if command.latents is not None:
        read = read_given(read_codes, command.latents, generator, command.latents_space, caller.remark)
        codes = truncated(generator, read, command.truncation)
        names = [f"code {index}" for index in range(len(codes))]
    else:
        codes = sample(generator, command.seeds, command.truncation, command.label)
        names = [f"seed {seed}" for seed in command.seeds]
    codes = code_for(edit, generator, codes)
    edits = [on_code(edit, codes[i]) for i in range(len(codes))]  # refuses an edit that does not fit before anything is written
    t, play, seconds = own_moments(edits[0], command.edit, command.film, command.frames)
    subjects = [
        EditedPicture(generator, codes[i], own, mask_of(own, generator, codes[i], caller, strict=command.mask is not None))
        for i, own in enumerate(edits)
    ]
    if subjects:
        remark_nothing(subjects[0], caller)
    if command.adapt:
        check_adaptable(edit)
    folder = command.folder(model, edit.info.name)
    inputs = early.inputs(masks=[command.mask] if command.mask else [], codes=command.latents, edits=[command.edit])

    def work(run: Run) -> Answer:
        adapted = adapt_where_it_leaks(run, command, edit, subjects, names, t, caller)
        # what there is is written all the same
        hears = replace(caller, stop=never) if adapted.interrupted else caller
        scores = write_transfer(run, command, adapted.subjects, names, t, hears, play, seconds)
        answer = summary_of_transfer(edit, adapted, t, scores, caller)
        return replace(answer, interrupted=adapted.interrupted)

    answer = worked(command, caller, "transfer", folder, facts_of(generator), work, inputs=inputs)
    then = ("render", folder) if (folder / ADAPTED).exists() else command.then
    return replace(answer, files=existing(folder, MP4, STRIP, HEAT, ADAPTED), next=typed(*then))


def check_adaptable(edit: Edit) -> None:
    """Refuse an edit that cannot be adapted to a face.

    Raises:
        SemanifoldError: saying why, and what to do.
    """
    name = edit.info.name or "The edit"
    if not edit.moves_codes:
        raise SemanifoldError(f"{name} changes weights, the same on every picture; leave adapt=True out.")
    if edit.dimensions != 1:
        raise SemanifoldError(f"{name} is a pad of two dimensions, and only a path is adapted; leave adapt=True out.")
    if not edit.info.mask:
        raise SemanifoldError(f"{name} has no mask, so nothing says what is to stay as it is; give mask= as well.")


class Adapted(NamedTuple):
    """What has become of the pictures of a transfer.

    Attributes:
        subjects: with paths of their own where the carried one leaks.
        numbers: of the searches for these, by the name of the picture.
        carried: change outside over that inside of the path that was carried there, along the film as in all other sentences.
        interrupted: whether it was stopped.
    """

    subjects: list[EditedPicture]
    numbers: dict[str, AdaptationNumbers]
    carried: dict[str, float]
    interrupted: bool = False


def adapt_where_it_leaks(
    run: Run, command: Transfer, edit: Edit, subjects: list[EditedPicture], names: list[str], t: torch.Tensor, caller: Caller
) -> Adapted:
    """Return the pictures, with paths of their own where the carried one leaks.

    Every adapted path gets a file, and a row of its own below that of the carried one in a still picture.
    """
    own, mine, interrupted = edit.info.locality.get("mse_ratio"), list(subjects), False
    numbers: dict[str, AdaptationNumbers] = {}
    carried: dict[str, float] = {}
    rows: dict[str, EditedPicture] = {}
    files: dict[str, str] = {}
    possible = edit.moves_codes and edit.dimensions == 1 and command.adapt is not False
    if not possible or (not command.adapt and own is None):
        return Adapted(mine, {}, {})
    mask = edit.info.mask if caller.folder is None else in_folder(edit.info.mask, caller.folder)
    for index, (name, subject) in enumerate(zip(names, subjects, strict=True)):
        ratio = measure(subject, t).get("mse_ratio")
        if ratio is None or not (command.adapt or (own is not None and ratio > max(MOST_SEEN, MORE * own))):
            continue
        if ratio <= MOST_SEEN and is_own(edit, subject.start):
            caller.remark(f"The path was found on {name}, where there is nothing to adapt.")
            continue
        if name in numbers:  # a picture that is named twice
            path = rows[f"{name}, adapted"].edit
        elif (earlier := adapted_before(run, name)) is not None:
            path, numbers[name], files[name] = earlier
        else:
            with caller.watching(f"adapting to {name}") as line:
                solution = adapt(subject.generator, edit, subject.start, mask, progress=line, throw=False)
            if not solution.result.good:
                caller.remark(f"The path could not be adapted to {name}, and stays as it was: {solution.result.value}")
                continue
            path, numbers[name], interrupted = solution.value, solution.stats, solution.result is Result.INTERRUPTED
            file = run.path(f"edit-{slug(name)}.safetensors")
            save_edit(path, file)
            files[name] = file_digest(file)
            if not interrupted:  # the same command goes on behind this one
                run.note(adapted={name: plain(row) for name, row in numbers.items()}, adapted_files=files)
        mine[index], carried[name] = replace(subject, edit=path), ratio
        rows |= {f"{name}, carried": subject, f"{name}, adapted": mine[index]}
        if interrupted:
            caller.remark("semanifold: interrupted; the best so far is kept, and later pictures have the path as it was carried.")
            break
    if rows:
        media.save_png(adapted_sheet(rows), run.path(ADAPTED))
    return Adapted(mine, numbers, carried, interrupted)


def adapted_sheet(rows: Mapping[str, EditedPicture]) -> Image.Image:
    """Return a row of pictures for each name, in pairs of a carried and an adapted path.

    At its end, where the film changes outside of the mask, in units of its change inside as in the sentences; all maps have one
    scale.
    """
    strips, below, changes = [], [], []
    for subject in rows.values():
        t = subject.edit.times(STILLS + subject.edit.loops)
        pictures, mask = torch.cat(list(subject.pictures(t))), subject.mask_picture()
        assert mask is not None  # nothing else is adapted
        strip, below = subject.timed(media.to_uint8(pictures), t, size=SIDE)
        strips.append(strip)
        change = ratio_map(pictures, subject.picture, torch.from_numpy(mask)[None, None].to(pictures))
        changes.append((change.cpu().numpy() * (1 - mask), mask))
    top, side = max(float(change.max()) for change, _ in changes), media.readable(changes[0][1], SIDE)
    maps = [outside_map(change, mask, top, side) for change, mask in changes]
    joined = [media.side_by_side([strip, drawn]) for strip, drawn in zip(strips, maps)]
    return media.stack_rows(joined, list(rows), [*below, f"change outside,\nbrightest = {top:.2g} of\nrms change inside"])


def is_own(edit: Edit, code: Latents) -> bool:
    """Whether this is the code that an edit was found on; not known of one in another space."""
    own = edit.start
    return own is not None and own.space == code.space and torch.allclose(own.values, code.values.to(own.values), atol=1e-5)


def adapted_before(run: Run, name: str) -> tuple[Edit, AdaptationNumbers, str] | None:
    """Return the path that the same command has adapted to a picture before it broke off, its numbers, and its file's digest.

    None if there is none, or its file is not the one that was written.
    """
    done, files = (run.record.others.get(key) if run.resumed else None for key in ("adapted", "adapted_files"))
    row, written = (kept.get(name) if isinstance(kept, dict) else None for kept in (done, files))
    file = run.folder / f"edit-{slug(name)}.safetensors"
    if not isinstance(row, dict) or not isinstance(written, str) or not is_file(file) or file_digest(file) != written:
        return None
    fields = AdaptationNumbers.__annotations__
    if row.keys() != fields.keys() or not all(isinstance(value, (int, float)) for value in row.values()):
        return None
    return load_edit(file), AdaptationNumbers(**row), written  # pyright: ignore[reportArgumentType]  (checked above)


def write_transfer(
    run: Run,
    command: Transfer,
    subjects: list[EditedPicture],
    names: list[str],
    t: torch.Tensor,
    caller: Caller,
    play: Play = "auto",
    seconds: float | None = None,
) -> dict[str, dict[str, float]]:
    """Write all results; return the locality on every picture. Where t is time, t = 1 comes after so many ``seconds``."""
    loops = all(subject.edit.loops for subject in subjects)
    films, rows, below, scores = [], [], [], {}
    with caller.watching("pictures") as line:
        for number, (name, subject) in enumerate(zip(names, subjects, strict=True), 1):
            films.append(subject.frames(t))
            row, below = subject.timed(films[-1], t, size=SIDE, seconds=seconds)
            rows.append(row)
            scores[name] = measure(subject, t)
            line({"step": number, "steps": len(subjects)})
    media.save_png(media.stack_rows(rows, names, below), run.path(STRIP))
    grid = media.grid_film([film[:-1] if loops else film for film in films], names)
    media.save_frames(grid, run.path(FRAMES))
    film = replace(command.film, size=command.film.size or max(grid.shape[1:3]))
    save_films(run, grid, film, ping_pong=play == "auto" and not loops)
    write_json(run.path(METRICS), {"change": scores}, 2)
    save_edit(subjects[0].edit.with_info(locality=scores[names[0]]), run.path(EDIT))
    plains = [media.to_uint8(subject.picture)[0] for subject in subjects]
    seen = [Filmed(film, plain, subject.mask_picture()) for film, plain, subject in zip(films, plains, subjects)]
    media.save_png(heat_pictures(seen, names), run.path(HEAT))
    write_exports(run, subjects, t)
    write_plot(run, subjects, t, caller, umap=command.film.umap, seconds=seconds)
    return scores


def summary_of_transfer(
    edit: Edit, adapted: Adapted, t: torch.Tensor, scores: dict[str, dict[str, float]], caller: Caller
) -> Answer:
    """Return in words what changes in the first picture, how local the edit is on every one, and where it leaks."""
    numbers, said = adapted.numbers, []
    facts = {"change": scores, "adapted": {name: plain(row) for name, row in numbers.items()}}
    if seen := what_changed(adapted.subjects[0], t):
        first, count = next(iter(scores)), len(adapted.subjects)
        those = f"{first}, the first of {counted(count, 'picture')}" if count > 1 else first
        said.append(f"{edit.info.name or 'The edit'} on {those}: {seen}.")
    own = edit.info.locality.get("mse_ratio") if edit.info.locality else None
    ratios = {name: score["mse_ratio"] for name, score in scores.items() if score}
    if not ratios:
        if not seen:
            said.append(f"{edit.info.name or 'The edit'} on {counted(len(scores), 'picture')}.")
        return Answer(said=tuple(said), facts=facts)
    if numbers:
        took = sum(row["evaluations"] for row in numbers.values())
        said.append(f"Adapted to {len(numbers)} of {counted(len(scores), 'picture')} ({took} pictures made).")
    before = {name: f"{ratio:.2g} -> " for name, ratio in adapted.carried.items()}
    listed = ", ".join(f"{name} {before.get(name, '')}{ratio:.2g}" for name, ratio in ratios.items())
    here = f"; {own:.2g} at its own picture" if own else ""
    how = "mean squares; carried -> adapted" if numbers else "mean squares"
    said.append(f"Change outside of the mask, as a share of the change inside ({how}): {listed}{here}.")
    worst = max(ratios.values())
    if leak(worst) and (own is None or worst > MORE * own):
        other = "adapt=True bends it there, and " if len(numbers) < len(scores) else ""
        caller.remark(
            f"The edit leaks out of its mask on some of these pictures; {other}semanifold discover finds an edit of their own."
        )
    return Answer(said=tuple(said), facts=facts)
