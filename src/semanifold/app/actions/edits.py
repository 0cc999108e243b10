"""What ``semanifold combine`` and ``render`` do, and the masks of edits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import torch

from semanifold.app.actions.base import (
    beyond,
    common_space,
    existing,
    facts_of,
    fitting,
    load,
    named_generator,
    picture_code,
    read_mask,
    worked,
)
from semanifold.app.actions.results import (
    HEAT,
    MP4,
    PAD,
    STRIP,
    EditedPicture,
    film_moments,
    find_edit,
    own_moments,
    write_all,
    write_plot,
)
from semanifold.app.actions.seen import what_changed
from semanifold.app.answers import Answer, Caller, typed
from semanifold.app.commands import early
from semanifold.app.commands.base import EditModel, Model, onto_others
from semanifold.app.commands.edits import Combine, Render, Transfer
from semanifold.app.commands.places import check_one_generator, model_for, run_word, seed_of
from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.edits import Edit, in_one_space
from semanifold.edits.operations import combine, extrapolate, out_and_back, retime, reverse, trim
from semanifold.edits.tracing import on_code
from semanifold.generators.base import Generator
from semanifold.images import media
from semanifold.images.films import save_film
from semanifold.images.masks import Mask
from semanifold.images.masks.grammar import in_folder
from semanifold.storage.runs import Run

AMPLITUDES = ("amplitudes.mp4", "amplitudes.png")


def with_mask(edit: Edit, mask: str | None) -> Edit:
    """Return the edit with another mask to be measured in, for which nothing is known yet; none leaves it its own."""
    return edit if mask in (None, edit.info.mask) else edit.with_info(mask=mask, locality={})


def mask_of(edit: Edit, generator: Generator, code: Latents, caller: Caller, *, strict: bool = False) -> Mask | None:
    """Return the mask of an edit on a picture, or None if it has no meaning there; it must have one if strict."""
    try:
        text = edit.info.mask if caller.folder is None else in_folder(edit.info.mask, caller.folder)
        return read_mask(text, generator, code) if text else None
    except SemanifoldError as error:
        if strict:
            raise
        caller.remark(f"The mask of the edit cannot be drawn here: {error}")
        return None


def named_by(asked: EditModel, model: Model) -> EditModel:
    """Return the group of arguments with the generator that is used filled in, for ``run.json``."""
    return replace(asked, generator=model.generator)


C = TypeVar("C", Render, Transfer)


def opened(command: C, caller: Caller) -> tuple[C, Model, Generator, Edit]:
    """Return the command with its generator filled in, which that is, the generator, and the edit that fits it."""
    named = named_generator(command.model, caller)
    edit = find_edit(command.edit, command.path, command.space, command.layers, named, caller.remark)
    edit = with_mask(edit, command.mask)
    model = model_for(command.model, command.edit, edit.info.generator)
    command = replace(command, model=named_by(command.model, model))
    generator = named or load(model, caller)
    (edit,) = fitting(generator, [edit], caller, force=command.model.force)
    return command, model, generator, edit


# -------------------------------------------------------------------------------------------------------------- combine


def combine_edits(command: Combine, caller: Caller) -> Answer:
    """Write the combined edit and its film."""
    named = named_generator(command.model, caller)
    edits = [find_edit(path, generator=named, remark=caller.remark) for path in command.edits]
    if named is None:
        check_one_generator(command.edits, [edit.info for edit in edits])
    model = model_for(command.model, command.edits[0], edits[0].info.generator)
    command = replace(command, model=named_by(command.model, model))
    generator = named or load(model, caller)
    edits = in_one_space(fitting(generator, edits, caller, force=command.model.force), generator)
    code = picture_code(command.picture, edits, generator, common_space(edits, generator))
    check_faces(command, edits)
    parts = [on_code(edit, code) for edit in edits]
    edit = combine(parts if command.pad else in_step(parts), pad=command.pad)
    t = film_moments(edit, command.film, command.frames)
    words = [run_word(where, edit.info.name, model.word) for where, edit in zip(command.edits, edits, strict=True)]
    folder = command.output.folder("combine", model.word, *words)
    subject = EditedPicture(generator, code, edit, mask_of(edit, generator, code, caller))

    def work(run: Run) -> Answer:
        scores = write_all(run, subject, t, command.film, caller)
        write_plot(run, [subject], t, caller, umap=command.film.umap)
        return summary_of(subject, t, scores, command.picture.seed)

    inputs = early.inputs(edits=command.edits)
    answer = worked(command, caller, "combine", folder, facts_of(generator), work, inputs=inputs)
    then = typed(*onto_others(folder, command.model.generator))
    return replace(answer, files=existing(folder, MP4, STRIP, HEAT, PAD), next=then)


def in_step(edits: Sequence[Edit]) -> list[Edit]:
    """Return the edits such that all of them come back to the unedited picture if one does."""
    comes = [edit.knots[0][0] == 0 and edit.loops for edit in edits]
    if not any(comes):
        return list(edits)
    return [edit if back or edit.knots[0][-1] <= 0 else out_and_back(edit) for edit, back in zip(edits, comes)]


def check_faces(command: Combine, edits: Sequence[Edit]) -> None:
    """Refuse edits that were found on several pictures, if nobody says on which they are to be played."""
    starts = [(place, e.start.values) for place, e in zip(command.edits, edits) if e.start is not None]
    if command.picture.seed is not None:
        return
    for place, other in starts[1:]:
        if other.shape != starts[0][1].shape or not torch.equal(other, starts[0][1]):
            raise SemanifoldError(
                f"{starts[0][0]} and {place} were found on different pictures; say with seed= on which one to play them."
            )


# --------------------------------------------------------------------------------------------------------------- render


def render_edit(command: Render, caller: Caller) -> Answer:
    """Write the new film."""
    command, _, generator, edit = opened(command, caller)
    code = picture_code(command.picture, [edit], generator, edit.space(generator))
    edit = timed(command, on_code(edit, code), generator, caller)
    subject = EditedPicture(generator, code, edit, mask_of(edit, generator, code, caller, strict=command.mask is not None))
    t, play, seconds = film_moments(edit, command.film, command.frames, command.play), command.play, None
    if not (command.trim or command.until is not None or command.even or command.reverse):
        t, play, seconds = own_moments(edit, command.edit, command.film, command.frames, command.play)
    if edit.dimensions == 1 and not edit.loops:
        beyond(caller, edit, *(far * end for far in command.amplitudes for end in (float(t.min()), float(t.max()))))
    folder = command.folder
    inputs = early.inputs(masks=[command.mask] if command.mask else [], edits=[command.edit])

    def work(run: Run) -> Answer:
        scores = write_all(run, subject, t, command.film, caller, play=play, seconds=seconds)
        if command.amplitudes:
            write_amplitudes(run, command, subject, t, caller)
        write_plot(run, [subject], t, caller, umap=command.film.umap, seconds=seconds)
        return summary_of(subject, t, scores, seed_of(command.edit) if command.picture.seed is None else command.picture.seed)

    answer = worked(command, caller, "render", folder, facts_of(generator), work, inputs=inputs)
    return replace(answer, files=existing(folder, MP4, STRIP, HEAT, *AMPLITUDES), next=typed(*command.then))


def write_amplitudes(run: Run, command: Render, subject: EditedPicture, t: torch.Tensor, caller: Caller) -> None:
    """Write a film of several amplitudes side by side, and a strip with a row for each; as far apart as their numbers say."""
    films, rows, below = [], [], []
    with caller.watching("amplitudes") as line:
        for number, far in enumerate(command.amplitudes, 1):
            farther, reach = subject.farther(far)
            films.append(farther.frames(reach * t))
            row, below = subject.timed(films[-1], t, size=128)
            rows.append(row)
            line({"step": number, "steps": len(command.amplitudes)})
    grid = media.grid_film(films)
    size = command.film.size or max(grid.shape[1:3])
    loops = subject.edit.loops
    save_film(grid, run.path(AMPLITUDES[0]), fps=command.film.fps, size=size, ping_pong=not loops, loops=command.film.loops)
    media.save_png(media.stack_rows(rows, [f"{far:g} x" for far in command.amplitudes], below), run.path(AMPLITUDES[1]))


def timed(command: Render, edit: Edit, generator: Generator, caller: Caller) -> Edit:
    """Return the edit with the timing that was asked for."""
    if command.until is not None and not (math.isfinite(command.until) and abs(command.until) <= 10):
        raise SemanifoldError(f"until is a value of t, at most 10, but it is {command.until:g}; a path usually ends at 1.")
    if command.trim:
        edit = trim(generator, edit)
    if command.until is not None:
        beyond(caller, edit, command.until)
        edit = extrapolate(edit, command.until)
    if command.even:
        edit = retime(generator, edit)
    return reverse(edit) if command.reverse else edit


# --------------------------------------------------------------------------------------------------------------- shared


def summary_of(subject: EditedPicture, t: torch.Tensor, scores: dict[str, float], seed: int | None = None) -> Answer:
    """Return in words what changes, and on which seed if that is known, and how local it is."""
    parts = [what_changed(subject, t)]
    parts += [f"outside changes {scores['mse_ratio']:.2g} times as much as inside (mean squares)"] if scores else []
    words = "; ".join(part for part in parts if part) or "done"
    where = subject.generator.name if seed is None else f"seed {seed} of {subject.generator.name}"
    return Answer(said=(f"{subject.edit.info.name or 'The edit'} on {where}: {words}.",), facts={"change": scores})
