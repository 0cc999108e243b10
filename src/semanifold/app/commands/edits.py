"""``semanifold transfer``, ``combine`` and ``render``: what can be done with edits that were found."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from semanifold.app.answers import Answer
from semanifold.app.commands import early, places
from semanifold.app.commands.arguments import (
    FILM,
    GENERATOR,
    LAYERS,
    MAIN,
    PLACE,
    START,
    flat,
    option,
    seed_numbers_option,
)
from semanifold.app.commands.base import Command, EditModel, FilmOptions, Model, Output, PictureOptions, code_words, onto_others
from semanifold.app.commands.values import numbers_text
from semanifold.core.errors import SemanifoldError
from semanifold.core.world import bundled
from semanifold.storage.files import is_file
from semanifold.storage.run_records import RECORD

MOST_AMPLITUDES = 16
USUAL = (1, 2, 3, 4, 5, 6)
"""Seeds of the pictures that an edit is put on if nobody says it."""
FIRST = ("film.mp4", "filmstrip.png", "heatmap.png", "adapted.png")
"""What is to be looked at first."""


@dataclass(frozen=True, kw_only=True)
class Transfer(Command):
    """Put an edit that was found on one face onto others: one film of all, and one filmstrip each.

    Attributes:
        edit: run folder of discover or combine, an edit.safetensors file, one path of a set, such as faces:smile, or a pose.
        path: number or name of the path, if the edit is a set of paths.
        space: latent space of the paths, if their file leaves it open.
        layers: first and last layer of w+ that directions of a file move, if it leaves that open.
        mask: measure how local the edit is in this mask, written as for discover; if left out the edit's own.
        adapt: bend the path on every picture until only the inside of the mask changes there; if left out, where it leaks.
        seeds: numbers, and ranges such as 1-6, of the pictures to put it on.
        latents: put it on the codes of this .npy, .npz, .pt or .safetensors file instead.
        latents_space: space of the codes in the file, if their shape leaves it open.
        truncation: pull the codes towards the mean: 1 leaves them, 0 gives the mean picture.
        label: class, for a class-conditional generator.
        frames: number of frames of one run through the film; seconds times fps if left out.
        model: Which generator makes the pictures.
        film: What the film looks like.
        output: Where the results go.
    """

    does: ClassVar[str] = "semanifold.app.actions.transfer:transfer_edit"
    edit: Annotated[Path, option("RUN")] = field(kw_only=False)
    path: Annotated[str | None, option("N|NAME", group=MAIN)] = None
    seeds: Annotated[tuple[int, ...], seed_numbers_option(MAIN)] = USUAL
    mask: Annotated[str | None, option("MASK", group=MAIN)] = None
    adapt: Annotated[bool | None, option(off="--no-adapt", group=MAIN)] = None
    space: Annotated[str | None, option("NAME", group=START)] = None
    layers: Annotated[tuple[int, int] | None, LAYERS, option(group=START)] = None
    latents: Annotated[Path | None, option("FILE", group=START)] = None
    latents_space: Annotated[str | None, option("NAME", group=START)] = None
    truncation: Annotated[float, option("PSI", group=START)] = 1.0
    label: Annotated[int | None, option("N", name="--class", group=START)] = None
    frames: Annotated[int | None, option("N", group=FILM)] = None
    model: Annotated[EditModel, flat(GENERATOR)] = field(default_factory=EditModel)
    film: Annotated[FilmOptions, flat(FILM)] = field(default_factory=FilmOptions)
    output: Annotated[Output, flat(PLACE)] = field(default_factory=Output)

    def __post_init__(self) -> None:
        """Call the same edit the same."""
        places.name_once(self)

    @property
    def others(self) -> tuple[str, ...]:
        """Which pictures they are, for file names, if they are not the usual ones, and how the path comes there if it is said."""
        ways = () if self.adapt is None else ("adapted",) if self.adapt else ("carried",)
        if self.latents is not None:
            return (self.latents.stem, *ways)
        return ways if self.seeds == USUAL else (numbers_text(self.seeds), *ways)

    def folder(self, model: Model, name: str) -> Path:
        """Return the run folder: named by the one that the edit is in, or by the generator and the edit's name.

        Args:
            model: the generator that is used.
            name: of the edit, or of the path.
        """
        place, path = places.split_path(self.edit)
        path = self.path or path
        if not is_file(places.folder_of(self.edit) / RECORD):
            return self.output.folder("transfer", model.word, places.word_of(self.edit, self.path, name), *self.others)
        words = [] if path is None else [path]
        words += [place.stem] if place.name not in (places.EDIT, places.PATHS) and is_file(place) else []
        words += [model.word] if self.model.force or self.model.inputs else []
        return self.output.out or self.output.within / places.result_folder(self.edit, "transfer", *words, *self.others)

    @property
    def then(self) -> tuple[object, ...]:
        """The words of the command to type next, if it is known which pictures there are."""
        path = ["--path", self.path] if self.path is not None else []
        if self.latents is not None or not self.seeds:
            return ()
        generator = self.model.generator
        words = code_words(generator)
        if not words and generator is not None and generator not in bundled():  # a run folder knows its own
            words = [] if places.recorded_model(places.folder_of(self.edit)) else ["--generator", generator]
        return ("render", self.edit, *path, *words, "--seed", self.seeds[0])

    def settled(self) -> Answer | None:
        """See :meth:`Command.settled`."""
        inputs = early.inputs(masks=[self.mask] if self.mask else [], codes=self.latents, edits=[self.edit])
        if place := places.described(self.edit, self.path):
            model = places.model_for(self.model, self.edit, place.generator)
            early.check_masks([self.mask] if self.mask else [], model.generator)
            return early.finished(self, "transfer", self.folder(model, place.name), inputs, FIRST, self.then)
        return None


@dataclass(frozen=True, kw_only=True)
class Combine(Command):
    """Play several edits of one face at the same time: the mouth of one and the eyes of another.

    Attributes:
        edits: run folders, edit.safetensors files, paths of sets such as faces:smile, or poses, of the same generator.
        pad: give two edits an axis each instead: a sheet of pictures over both, and a walk over it.
        frames: number of frames of one run through the film; seconds times fps if left out.
        picture: Which picture to show.
        model: Which generator makes the pictures.
        film: What the film looks like.
        output: Where the results go.
    """

    does: ClassVar[str] = "semanifold.app.actions.edits:combine_edits"
    edits: Annotated[tuple[Path, ...], option("RUN RUN ...")] = field(kw_only=False)
    pad: Annotated[bool, option(group=MAIN)] = False
    frames: Annotated[int | None, option("N", group=FILM)] = None
    picture: Annotated[PictureOptions, flat(START)] = field(default_factory=PictureOptions)
    model: Annotated[EditModel, flat(GENERATOR)] = field(default_factory=EditModel)
    film: Annotated[FilmOptions, flat(FILM)] = field(default_factory=FilmOptions)
    output: Annotated[Output, flat(PLACE)] = field(default_factory=Output)

    def __post_init__(self) -> None:
        """Call runs by their folders."""
        object.__setattr__(self, "edits", places.whole_run(self.edits))

    def settled(self) -> Answer | None:
        """See :meth:`Command.settled`."""
        if len(self.edits) < 2:
            raise SemanifoldError("There is nothing to combine; give at least two run folders.")
        known = [place for place in map(places.described, self.edits) if place is not None]
        if len(known) == len(self.edits):
            if self.model.generator is None:
                places.check_one_generator(self.edits, known)
            model = places.model_for(self.model, self.edits[0], known[0].generator)
            words = [places.run_word(edit, place.name, model.word) for edit, place in zip(self.edits, known, strict=True)]
            folder = self.output.folder("combine", model.word, *words)
            then = onto_others(folder, self.model.generator)
            return early.finished(self, "combine", folder, early.inputs(edits=self.edits), FIRST, then)
        return None


@dataclass(frozen=True, kw_only=True)
class Render(Command):
    """Make the film of an edit again, with other timing or size.

    Attributes:
        edit: run folder, an edit.safetensors file, one path of a set, such as faces:smile, or a pose of a StyleGAN3: degrees and
            ways to the right and down in pictures, such as pose:20 or pose:0,0.1,0.
        path: number or name of the path, if the edit is a set of paths.
        space: latent space of the paths, if their file leaves it open.
        layers: first and last layer of w+ that directions of a file move, if it leaves that open.
        mask: measure how local the edit is in this mask, written as for discover; if left out the edit's own.
        frames: number of frames of one run through the film; seconds times fps if left out.
        even: make all steps look equally large (perceptually even timing).
        trim: leave out the parts at the ends where the picture hardly changes any more.
        reverse: play it backwards.
        until: lengthen the path in the direction of its last step to this t; found paths end at 1.
        amplitudes: also play it so many times as far, such as 0.5 1 2, in one film side by side and one strip.
        play: once through, back and forth, or whichever makes the film loop without a jump.
        picture: Which picture to show.
        model: Which generator makes the pictures.
        film: What the film looks like.
        output: Where the results go.
    """

    does: ClassVar[str] = "semanifold.app.actions.edits:render_edit"
    edit: Annotated[Path, option("RUN")] = field(kw_only=False)
    path: Annotated[str | None, option("N|NAME", group=MAIN)] = None
    mask: Annotated[str | None, option("MASK", group=MAIN)] = None
    space: Annotated[str | None, option("NAME", group=START)] = None
    layers: Annotated[tuple[int, int] | None, LAYERS, option(group=START)] = None
    frames: Annotated[int | None, option("N", group=FILM)] = None
    even: Annotated[bool, option(group=FILM)] = False
    trim: Annotated[bool, option(group=FILM)] = False
    reverse: Annotated[bool, option(group=FILM)] = False
    until: Annotated[float | None, option("T", group=FILM)] = None
    amplitudes: Annotated[tuple[float, ...], option("X ...", group=FILM)] = ()
    play: Annotated[Literal["auto", "once", "ping-pong"], option(group=FILM)] = "auto"
    picture: Annotated[PictureOptions, flat(START)] = field(default_factory=PictureOptions)
    model: Annotated[EditModel, flat(GENERATOR)] = field(default_factory=EditModel)
    film: Annotated[FilmOptions, flat(FILM)] = field(default_factory=FilmOptions)
    output: Annotated[Output, flat(PLACE)] = field(default_factory=Output)

    def __post_init__(self) -> None:
        """Call the same edit the same."""
        places.name_once(self)

    @property
    def folder(self) -> Path:
        """The run folder."""
        path = self.path or places.split_path(self.edit)[1]
        words = [] if path is None else [path]
        words += [] if path is None and self.picture.seed is None else [str(self.picture.seed or 0)]
        words += [Model(generator=self.model.generator).word] if self.model.force and self.model.generator else []
        return self.output.out or self.output.within / places.result_folder(self.edit, "render", *words)

    @property
    def then(self) -> tuple[object, ...]:
        """The words of the command to type next; none for the edit of a run folder, which has been put onto others by itself."""
        if (self.path or places.split_path(self.edit)[1]) is None and is_file(places.folder_of(self.edit) / RECORD):
            return ()
        return onto_others(self.folder, self.model.generator)

    def settled(self) -> Answer | None:
        """See :meth:`Command.settled`."""
        if len(self.amplitudes) > MOST_AMPLITUDES or not all(0 < abs(x) <= 100 for x in self.amplitudes):
            raise SemanifoldError(
                f"amplitudes are at most {MOST_AMPLITUDES} numbers, from -100 to 100 and not 0, such as 0.5 1 2."
            )
        inputs = early.inputs(masks=[self.mask] if self.mask else [], edits=[self.edit])
        if place := places.described(self.edit, self.path):
            model = places.model_for(self.model, self.edit, place.generator)
            early.check_masks([self.mask] if self.mask else [], model.generator)
            return early.finished(self, "render", self.folder, inputs, FIRST, self.then)
        return None
