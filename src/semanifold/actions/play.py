"""What ``semanifold play`` does: strengths over time, the sum of edits at each moment, one film."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from semanifold.actions.base import (
    check_weights,
    common_space,
    facts_of,
    load,
    model_for,
    named_generator,
    own_code,
    picture_code,
    start_run,
)
from semanifold.actions.edits import existing, mask_of, named_by, on, tell_edit, tell_finished
from semanifold.actions.results import (
    HEAT,
    MP4,
    STRIP,
    Subject,
    exists,
    find_edit,
    folder_of,
    split_path,
    write_all,
    write_plot,
)
from semanifold.actions.terminal import hint, show
from semanifold.commands import early
from semanifold.commands.base import onto_others
from semanifold.commands.play import Ease, Play
from semanifold.edits import Edit, EditInfo, LatentEdit, Lattice, Sum, WeightEdit, widened
from semanifold.edits.films import MOST_FRAMES
from semanifold.errors import SemanifoldError, near_names, shown
from semanifold.generators.base import Generator
from semanifold.generators.loading import BUNDLED
from semanifold.latents import Latents
from semanifold.storage.files import is_file, read_bytes
from semanifold.storage.records import checked
from semanifold.storage.runs import working

MOST_TRACKS, MOST_KEYS = 64, 1000
LONGEST = 600.0
STRONGEST = 3.0
"""Limit on |strength|: a typo would otherwise leave the generator's pictures far behind."""
SAMPLES = 65
"""Places at which the strongest point of a path is looked for."""


@dataclass(frozen=True)
class Track:
    """One edit over time.

    Attributes:
        edit: run folder, file, ``SET:NAME``, or the name of a path that comes with the generator.
        keys: ``(second, strength)`` in the order of time.
        ease: how the strength goes from one key to the next; as for the whole timeline if empty.
    """

    edit: str
    keys: tuple[tuple[float, float], ...]
    ease: Ease | None = None

    def __post_init__(self) -> None:
        """Refuse keys that make no sense."""
        name = shown(self.edit, 60)
        if not 1 <= len(self.keys) <= MOST_KEYS:
            raise SemanifoldError(f"The track {name} needs 1 to {MOST_KEYS} moments, such as 0:0,2:1, but has {len(self.keys)}.")
        seconds = [second for second, _ in self.keys]
        if not all(0 <= second <= LONGEST for second in seconds) or sorted(set(seconds)) != seconds:
            raise SemanifoldError(
                f"The moments of {name} are seconds that increase, from 0 to {LONGEST:g}, but are {seconds[:8]}."
            )
        if not all(abs(strength) <= STRONGEST for _, strength in self.keys):
            raise SemanifoldError(f"A strength of {name} is a number from {-STRONGEST:g} to {STRONGEST:g}; 1 is all of the edit.")


@dataclass(frozen=True)
class Timeline:
    """What a ``.toml`` file holds: tracks, and what else may be said there.

    Attributes:
        track: the tracks.
        seed: number of the picture.
        ease: how strengths go from one key to the next.
        seconds: length of the film.
    """

    track: tuple[Track, ...]
    seed: int | None = None
    ease: Ease | None = None
    seconds: float | None = field(default=None)


def play(command: Play) -> int:
    """Make the film."""
    command, tracks = timeline_of(command)
    places = [place_of(track.edit, command.model.generator) for track in tracks]
    named = named_generator(command.model)
    edits: list[Edit] = [find_edit(place, generator=named) for place in places]
    model = model_for(command.model, folder_of(places[0]), edits[0].info.generator)
    command = replace(command, model=named_by(command.model, model))
    generator = named or load(model)
    check_weights(generator, edits)
    if {"w", "w+"} <= {edit.info.space for edit in edits}:
        edits = [widened(edit, generator.spaces["w+"][0]) for edit in edits]
    seed = picture_code(command.picture, edits, generator, common_space(edits, generator))
    edit, t = choreographed(command, tracks, edits, generator, seed)
    subject = Subject(generator, seed, edit, mask_of(edit, generator, seed))
    own = command.picture.seed is None and own_code(edits) is not None
    folder = command.output.folder("play", command.word, *[] if own else [command.picture.seed or 0])
    timeline = [Path(track) for track in command.tracks if is_file(track)]
    run = start_run(command, "play", folder, facts_of(generator), [*early.inputs(edits=places), *timeline])
    if run.finished:
        tell_finished(run)
    else:
        with working(run):
            scores = write_all(run, subject, t, command.film, play="once")
            write_plot(run, [subject], t, umap=command.film.umap)
        tell_edit(subject, t, scores)
    show(*existing(folder, MP4, STRIP, HEAT))
    hint(*onto_others(folder, command.model.generator))
    return 0


def timeline_of(command: Play) -> tuple[Play, list[Track]]:
    """Return the tracks that were typed, or those of a file, with what else the file says."""
    if not 1 <= len(command.tracks) <= MOST_TRACKS:
        raise SemanifoldError(f"A film plays 1 to {MOST_TRACKS} tracks, such as smile=0:0,2:1, but got {len(command.tracks)}.")
    if len(command.tracks) == 1 and "=" not in command.tracks[0]:
        path = Path(command.tracks[0])
        if path.suffix != ".toml":
            raise SemanifoldError(
                f"{shown(str(path), 60)!r} is no track; a track is EDIT=SECOND:STRENGTH,..., such as smile=0:0,2:1."
            )
        text = read_bytes(path, "timeline", 1 << 20)
        try:
            held = tomllib.loads(text.decode())
        except (ValueError, RecursionError) as error:
            raise SemanifoldError(f"The timeline {path} is no TOML: {shown(str(error), 100)}.") from error
        found = checked(held, Timeline, f"The timeline {path}")
        if not 1 <= len(found.track) <= MOST_TRACKS:
            raise SemanifoldError(f"The timeline {path} needs 1 to {MOST_TRACKS} tracks: [[track]] with edit and keys.")
        if found.seed is not None and command.picture.seed is None:
            command = replace(command, picture=replace(command.picture, seed=found.seed))
        if found.seconds is not None:
            command = replace(command, film=replace(command.film, seconds=max(found.seconds, command.film.seconds)))
        return replace(command, ease=found.ease or command.ease), list(found.track)
    return command, [track_of(text) for text in command.tracks]


def track_of(text: str) -> Track:
    """Return the track of ``"smile=0:0,2:1"``."""
    name, sign, keys = text.rpartition("=")
    try:
        pairs = [tuple(float(number) for number in key.split(":")) for key in keys.split(",")]
        if not (sign and name) or any(len(pair) != 2 or not all(map(math.isfinite, pair)) for pair in pairs):
            raise ValueError(text)
    except ValueError:
        raise SemanifoldError(
            f"{shown(text, 60)!r} is no track; a track is EDIT=SECOND:STRENGTH,SECOND:STRENGTH, such as smile=0:0,2:1."
        ) from None
    return Track(name, tuple((pair[0], pair[1]) for pair in pairs))


def place_of(text: str, generator: str | None) -> Path:
    """Return where an edit is: what exists, ``SET:NAME``, or a path that comes with the generator by its name."""
    if exists(text) or split_path(Path(text))[1] is not None:
        return Path(text)
    bundled = generator or "faces"
    if ":" not in text and "/" not in text and bundled in BUNDLED:
        from semanifold.paths.files import load_paths  # noqa: PLC0415  (files of edits need no sets)

        names = [name.removesuffix(" +").removesuffix(" -") for name in load_paths(bundled).info.names.values()]
        if text in names:
            return Path(f"{bundled}:{text}")
        raise SemanifoldError(
            f"There is no edit {shown(text, 60)!r}, neither a file nor a path of {bundled}: {near_names(text, names)}"
        )
    raise SemanifoldError(f"There is no edit {shown(text, 100)!r}; give a run folder, an edit file or SET:NAME.")


def choreographed(
    command: Play, tracks: Sequence[Track], edits: Sequence[Edit], generator: Generator, seed: Latents
) -> tuple[Edit, Tensor]:
    """Return the sum of all edits over time as one edit, whose ``t`` runs from 0 to 1, and the ``t`` of all frames."""
    seconds = max(command.film.seconds, *(track.keys[-1][0] for track in tracks))
    count = round(seconds * command.film.fps) + 1
    if not 2 <= count <= MOST_FRAMES:
        raise SemanifoldError(
            f"The film would have {count} frames; give moments some tenths of a second apart, up to {LONGEST:g} s."
        )
    times = torch.linspace(0, seconds, count, dtype=torch.float64)
    total = torch.zeros(count, *seed.values.shape[1:], dtype=seed.values.dtype, device=seed.values.device)
    changes: list[tuple[WeightEdit, Tensor]] = []
    for track, edit in zip(tracks, edits, strict=True):
        strength = strengths(track, times, track.ease or command.ease)
        part = on(edit, seed)
        if part.dimensions != 1 or not isinstance(part, Lattice | WeightEdit):
            what = "a pad of two dimensions, which has" if part.dimensions != 1 else "a sum of codes and weights, which have"
            raise SemanifoldError(f"{shown(track.edit, 60)} is {what} no single strength; play its parts.")
        if isinstance(part, WeightEdit):
            changes.append((part, at_strength(part, strength)))
        else:
            total += part.offset(at_strength(part, strength)).to(total)
    t = torch.linspace(0, 1, count)
    # an edit has the unedited picture at t = 0; a film that begins with an edited one has it just before
    if total[0].any() or any(places[0] != 0 for _, places in changes):
        knots = torch.cat([torch.zeros(1), 1e-4 + (1 - 1e-4) * t])
        total = torch.cat([0 * total[:1], total])
        changes = [(part, torch.cat([torch.zeros(1).to(places), places])) for part, places in changes]
    else:
        knots = t
    info = EditInfo(
        name=command.word,
        method="timeline",
        space=seed.space,
        generator=generator.name,
        fingerprint=generator.fingerprint,
        mask="|".join(dict.fromkeys(f"({edit.info.mask})" for edit in edits)) if all(edit.info.mask for edit in edits) else "",
        cite=tuple(dict.fromkeys(paper for edit in edits for paper in edit.info.cite)),
    )
    codes = Lattice(total.cpu(), [knots], info, seed=seed.to("cpu"))
    if not changes:
        return codes, knots[-count:]
    parts = [codes] if any(isinstance(edit, LatentEdit) for edit in edits) else []
    weights = [part.along(places, knots) for part, places in changes]
    return Sum([*parts, *weights], info, seed=seed.to("cpu")), knots[-count:]


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
