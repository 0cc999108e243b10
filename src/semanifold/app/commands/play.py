"""``semanifold play``: several edits over a timeline, in one film."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

from semanifold.app.answers import Answer
from semanifold.app.commands import early, places
from semanifold.app.commands.arguments import FILM, GENERATOR, MAIN, PLACE, START, flat, from_arguments, option
from semanifold.app.commands.base import Command, EditModel, FilmOptions, Output, PictureOptions, onto_others
from semanifold.app.commands.edits import FIRST
from semanifold.app.commands.timeline import Ease, length, timeline_of
from semanifold.core.errors import SemanifoldError
from semanifold.core.plain import JsonObject
from semanifold.storage.files import is_file


@dataclass(frozen=True, kw_only=True)
class TimedFilm(FilmOptions):
    """What the film looks like.

    Attributes:
        seconds: shortest length of the film, which ends at the last moment of the tracks or later.
        fps: frames per second.
        loops: how often the film runs through.
        size: longer side of the film in pixels; if left out, small pictures are enlarged to 512.
        umap: add a map of the codes by UMAP to path.png; takes up to half a minute.
    """

    seconds: Annotated[float, option("S")] = 0.1


@dataclass(frozen=True, kw_only=True)
class Play(Command):
    """Choreograph several edits over time into one film: smile=0:0,2:1 yaw=3:-1,5:1 out/faces-mouth-7=0:0,1:1.

    Attributes:
        tracks: EDIT=SECOND:STRENGTH,SECOND:STRENGTH,...: an edit and its strength at some moments, 0 for unedited, 1 for all of
            it, -1 for all of it in the other direction. EDIT is a run folder, an edit file, SET:NAME, or the name of a path that
            comes with the generator. Or one .toml file that holds the same.
        ease: how a strength goes from one moment to the next.
        picture: Which picture to show.
        model: Which generator makes the pictures.
        film: What the film looks like.
        output: Where the results go.
    """

    does: ClassVar[str] = "semanifold.app.actions.play:play"
    tracks: Annotated[tuple[str, ...], option("EDIT=S:X,... | FILE.toml")] = field(kw_only=False)
    ease: Annotated[Ease, option(group=MAIN)] = "smooth"
    picture: Annotated[PictureOptions, flat(START)] = field(default_factory=PictureOptions)
    model: Annotated[EditModel, flat(GENERATOR)] = field(default_factory=EditModel)
    film: Annotated[TimedFilm, flat(FILM)] = field(default_factory=TimedFilm)
    output: Annotated[Output, flat(PLACE)] = field(default_factory=Output)

    def __post_init__(self) -> None:
        """Call runs by their folders."""
        if isinstance(self.tracks, tuple | list):  # what else Python may pass is refused where requests are checked
            object.__setattr__(self, "tracks", tuple(map(by_folder, self.tracks)))

    @property
    def word(self) -> str:
        """What to call the film in file names."""
        if len(self.tracks) == 1 and self.tracks[0].endswith(".toml"):
            return Path(self.tracks[0]).stem
        edits = [Path(track.rpartition("=")[0]) for track in self.tracks]
        return "-".join(
            edit.stem.replace(":", "-") if re.search(r":\d+$", edit.stem) else edit.stem.rpartition(":")[2] for edit in edits
        )

    def folder(self, *, own: bool) -> Path:
        """Return the run folder; its name has no seed if the picture is the ``own`` one that an edit was found on."""
        return self.output.folder("play", self.word, *[] if own else [self.picture.seed or 0])

    def settled(self) -> Answer | None:
        """See :meth:`Command.settled`."""
        command, tracks = timeline_of(self)
        where = [places.place_of(track.edit, self.model.generator) for track in tracks]
        known = [place for place in map(places.described, where) if place is not None]
        if len(known) == len(where):
            places.model_for(self.model, where[0], known[0].generator)  # refuses what nothing says the generator of
            folder = command.folder(own=command.picture.seed is None and any(place.own for place in known))
            files = [*early.inputs(edits=where), *(Path(track) for track in self.tracks if is_file(track))]
            return early.finished(command, "play", folder, files, FIRST, onto_others(folder, self.model.generator))
        return None


def by_folder(track: Any) -> Any:
    """Return a track that calls a run by its folder; one without an edit, and what is no text, as it is."""
    edit, sign, keys = track.rpartition("=") if isinstance(track, str) else ("", "", "")
    return f"{places.whole_run(edit)}{sign}{keys}" if edit else track


def seconds_of(arguments: JsonObject) -> float | None:
    """Return how long a film is whose record says its arguments alone, as those of before do; None if that is not known."""
    try:
        command, tracks = timeline_of(from_arguments(Play, arguments))
    except SemanifoldError:
        return None
    return length(tracks, command.film.seconds)
