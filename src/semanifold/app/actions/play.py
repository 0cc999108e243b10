"""What ``semanifold play`` does: strengths over time, the sum of edits at each moment, one film."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from semanifold.app.actions.base import (
    beyond,
    common_space,
    existing,
    facts_of,
    fitting,
    load,
    named_generator,
    own_code,
    picture_code,
    worked,
)
from semanifold.app.actions.edits import mask_of, named_by, summary_of
from semanifold.app.actions.results import (
    BEGINNING,
    HEAT,
    MP4,
    STRIP,
    TIMELINE,
    EditedPicture,
    find_edit,
    write_all,
    write_plot,
)
from semanifold.app.answers import Answer, Caller, typed
from semanifold.app.commands import early
from semanifold.app.commands.base import onto_others
from semanifold.app.commands.places import model_for, place_of
from semanifold.app.commands.play import Play
from semanifold.app.commands.timeline import LONGEST, Ease, Track, length, timeline_of
from semanifold.core.errors import SemanifoldError, shown
from semanifold.core.latents import Latents
from semanifold.edits import Edit, in_one_space
from semanifold.edits.base import MOST_FRAMES
from semanifold.edits.operations import amplified, combine
from semanifold.edits.tracing import on_code
from semanifold.generators.base import Generator
from semanifold.storage.files import is_file
from semanifold.storage.runs import Run

SAMPLES = 65
"""Places at which the strongest point of a path is looked for."""


def play(command: Play, caller: Caller) -> Answer:
    """Make the film."""
    command, tracks = timeline_of(command)
    places = [place_of(track.edit, command.model.generator) for track in tracks]
    named = named_generator(command.model, caller)
    edits: list[Edit] = [find_edit(place, generator=named, remark=caller.remark) for place in places]
    model = model_for(command.model, places[0], edits[0].info.generator)
    command = replace(command, model=named_by(command.model, model))
    generator = named or load(model, caller)
    edits = in_one_space(fitting(generator, edits, caller, force=command.model.force), generator)
    code = picture_code(command.picture, edits, generator, common_space(edits, generator))
    edit, t, seconds = choreographed(command, tracks, edits, generator, code, caller)
    subject = EditedPicture(generator, code, edit, mask_of(edit, generator, code, caller))
    own = command.picture.seed is None and own_code(edits) is not None
    folder = command.folder(own=own)
    timeline = [Path(track) for track in command.tracks if is_file(track)]

    def work(run: Run) -> Answer:
        run.note(seconds=seconds)  # for whoever puts the film onto others
        scores = write_all(run, subject, t, command.film, caller, play="once", seconds=seconds)
        write_plot(run, [subject], t, caller, umap=command.film.umap, seconds=seconds)
        return summary_of(subject, t, scores, command.picture.seed)

    inputs = [*early.inputs(edits=places), *timeline]
    answer = worked(command, caller, "play", folder, facts_of(generator), work, inputs=inputs)
    then = typed(*onto_others(folder, command.model.generator))
    return replace(answer, files=existing(folder, MP4, STRIP, HEAT), next=then)


def choreographed(
    command: Play, tracks: Sequence[Track], edits: Sequence[Edit], generator: Generator, code: Latents, caller: Caller
) -> tuple[Edit, Tensor, float]:
    """Return the sum of all edits over time as one edit, whose ``t`` runs from 0 to 1, the ``t`` of all frames, and seconds."""
    seconds = length(tracks, command.film.seconds)
    count = round(seconds * command.film.fps) + 1
    if not 2 <= count <= MOST_FRAMES:
        raise SemanifoldError(
            f"The film would have {count} frames; give moments some tenths of a second apart, up to {LONGEST:g} s."
        )
    times = torch.linspace(0, seconds, count, dtype=torch.float64)
    walked: list[tuple[Edit, Tensor]] = []
    for track, edit in zip(tracks, edits, strict=True):
        part = on_code(edit, code)
        if part.dimensions != 1:
            raise SemanifoldError(f"{shown(track.edit, 60)} is a pad of two dimensions, which has no single strength.")
        part, wanted = within_reach(part, strengths(track, times, track.ease or command.ease))
        places = at_strength(part, wanted)
        beyond(caller, part, float(places.min()), float(places.max()))
        walked.append((part, places))
    t = knots = torch.linspace(0, 1, count)
    # an edit has the unedited picture at t = 0; a film that begins with an edited one has it just before
    if any(places[0] != 0 for _, places in walked):
        t = BEGINNING + (1 - BEGINNING) * t
        knots = torch.cat([torch.zeros(1), t])
        walked = [(part, torch.cat([torch.zeros(1).to(places), places])) for part, places in walked]
    parts = [part.along(places, knots) for part, places in walked]
    whole = combine(parts) if len(parts) > 1 else parts[0]
    masks = list(dict.fromkeys(f"({edit.info.mask})" for edit in edits)) if all(edit.info.mask for edit in edits) else []
    edit = whole.with_info(
        name=command.word,
        method=TIMELINE,
        layers=None,
        generator=generator.name,
        fingerprint=generator.fingerprint,
        mask="|".join(masks),
        usable=(0.0, 1.0),
        locality={},
        cite=tuple(dict.fromkeys(paper for edit in edits for paper in edit.info.cite)),
    )
    edit.start = code.to("cpu")
    return edit, t, seconds


def strengths(track: Track, times: Tensor, ease: Ease) -> Tensor:
    """Return the strength ``[n]`` of a track at times in seconds; before the first key and after the last one it holds still."""
    seconds, values = (torch.tensor(column, dtype=torch.float64) for column in zip(*track.keys))
    right = torch.searchsorted(seconds, times, right=True)
    left, right = (right - 1).clamp(min=0), right.clamp(max=len(seconds) - 1)
    share = ((times - seconds[left]) / (seconds[right] - seconds[left]).clamp(min=1e-9)).clamp(0, 1)
    if ease == "smooth":
        share = share * share * (3 - 2 * share)
    elif ease == "step":
        share = (share >= 1).to(share)
    return values[left] + share * (values[right] - values[left])


def within_reach(edit: Edit, strength: Tensor) -> tuple[Edit, Tensor]:
    """Return an edit that has strengths above 1, and these as shares of it: a path that comes back to its start has none."""
    peak = float(strength.abs().max())
    return (amplified(edit, peak), strength / peak) if peak > 1 and edit.loops else (edit, strength)


def at_strength(edit: Edit, strength: Tensor) -> Tensor:
    """Return the ``t`` of strengths: 1 is where the edit is farthest from the unedited picture, -1 the same the other way.

    A path that comes back to its start is used up to its farthest point only.
    """
    low, high = edit.info.usable
    places = torch.linspace(low, high, SAMPLES)
    size = edit.way(places).norm(dim=1)
    up = float(places[torch.where(places >= 0, size, -1).argmax()]) or high
    down = float(places[torch.where(places <= 0, size, -1).argmax()]) if low < 0 else -up
    return torch.where(strength >= 0, strength * up, -strength * down).float()
