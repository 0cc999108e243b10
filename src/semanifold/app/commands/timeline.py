"""The timeline of ``semanifold play``: which edit is how strong at which second."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from semanifold.app.commands.located import edit_in
from semanifold.core.errors import SemanifoldError, shown
from semanifold.storage.files import read_bytes
from semanifold.storage.records import checked

if TYPE_CHECKING:
    from semanifold.app.commands.play import Play

Ease = Literal["smooth", "linear", "step"]
MOST_TRACKS, MOST_KEYS = 64, 1000
LONGEST = 600.0
STRONGEST = 3.0
"""Limit on |strength|: a typo would otherwise leave the generator's pictures far behind."""


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


def length(tracks: Sequence[Track], seconds: float) -> float:
    """Return how many seconds a film is long: those that were asked for, or to the last moment of the tracks."""
    return max(seconds, *(track.keys[-1][0] for track in tracks))


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
            table = tomllib.loads(text.decode())
        except (ValueError, RecursionError) as error:
            raise SemanifoldError(f"The timeline {path} is no TOML: {shown(str(error), 100)}.") from error
        try:
            timeline = checked(table, Timeline, f"The timeline {path}")
        except SemanifoldError as error:  # it was typed by hand
            raise SemanifoldError(str(error).replace(" is damaged: ", " cannot be played: ")) from error
        if not 1 <= len(timeline.track) <= MOST_TRACKS:
            raise SemanifoldError(f"The timeline {path} needs 1 to {MOST_TRACKS} tracks: [[track]] with edit and keys.")
        if timeline.seed is not None and command.picture.seed is None:
            command = replace(command, picture=replace(command.picture, seed=timeline.seed))
        if timeline.seconds is not None:
            command = replace(command, film=replace(command.film, seconds=max(timeline.seconds, command.film.seconds)))
        within = command.output.within
        tracks = (
            timeline.track if within == Path() else [replace(track, edit=edit_in(track.edit, within)) for track in timeline.track]
        )
        return replace(command, ease=timeline.ease or command.ease), list(tracks)
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
