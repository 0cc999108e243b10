"""``semanifold transfer``, ``combine`` and ``render``: what can be done with edits that were found."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import torch
from tyro.conf import Positional, arg

from semanifold import media
from semanifold.commands.base import (
    SEEDS,
    Command,
    Film,
    Model,
    Output,
    facts_of,
    read_mask,
    sample,
    to_arguments,
    truncated,
)
from semanifold.commands.results import (
    EDIT,
    GIF,
    HEAT,
    METRICS,
    MP4,
    STRIP,
    Subject,
    comes_back,
    find_edit,
    measure,
    moments,
    write_all,
)
from semanifold.commands.terminal import remark, say, show
from semanifold.edits import Lattice, save_edit
from semanifold.errors import SemanifoldError
from semanifold.exchange import read_codes
from semanifold.files import write_text
from semanifold.generators.base import Generator
from semanifold.generators.loading import BUNDLED
from semanifold.latents import Latents
from semanifold.manifolds import combine, extrapolate, retime, reverse, transfer, trim
from semanifold.masks import Mask
from semanifold.runs import RECORD, Run, begin_run, read_record, working


@dataclass(frozen=True)
class EditModel:
    """Which generator makes the pictures.

    Attributes:
        generator: as for discover; the one that the edit was found on when left out.
        device: cpu, cuda, cuda:1, mps; the first GPU there is, or else the CPU, when left out.
    """

    generator: Annotated[str | None, arg(metavar="NAME|FILE|URL")] = None
    device: Annotated[str | None, arg(metavar="NAME")] = None

    def of(self, where: Path, edit: Lattice) -> EditModel:
        """Return this with the generator's name filled in from the run folder of the edit.

        Raises:
            SemanifoldError: if nothing says which generator it was.
        """
        if self.generator is not None:
            return self
        folder = where if where.is_dir() else where.parent
        if (folder / RECORD).is_file():
            return replace(self, generator=read_record(folder)["arguments"]["model"]["generator"])
        if edit.info.generator in BUNDLED:
            return replace(self, generator=edit.info.generator)
        raise SemanifoldError(f"{where} was found on {edit.info.generator}; say where that is with --generator.")

    def load(self, edit: Lattice) -> Generator:
        """Return the generator; other weights than the edit's own are worth a remark."""
        assert self.generator is not None
        generator = Model(self.generator, self.device).load()
        if generator.fingerprint != edit.info.fingerprint:
            remark(f"semanifold: the edit was found on {edit.info.generator} with other weights; it may look different here.")
        return generator


def seed_of(edit: Lattice, where: Path, generator: Generator) -> Latents:
    """Return the code that an edit was found on."""
    if edit.seed is None:
        raise SemanifoldError(f"{where} does not hold the code that it was found on; use transfer with --seeds instead.")
    seed = edit.seed.to(generator.device, generator.dtype)
    generator.check(seed)
    return seed


def mask_of(edit: Lattice, generator: Generator, seed: Latents) -> Mask | None:
    """Return the mask that an edit was found with on another picture, or None where it has no meaning there."""
    try:
        return read_mask(edit.info.mask, generator, seed) if edit.info.mask else None
    except SemanifoldError as error:
        remark(f"semanifold: the mask {edit.info.mask!r} cannot be drawn here: {error}")
        return None


def finished(run: Run, *names: str) -> int:
    """Say what to open."""
    if run.finished:
        say(f"{run.folder} is finished already; --overwrite does it again.")
    show(*[run.folder / name for name in names if (run.folder / name).exists()])
    return 0


@dataclass(frozen=True)
class Transfer(Command):
    """Put an edit that was found on one face onto others: one film of all, and one filmstrip each.

    Attributes:
        edit: run folder of discover or combine, or an edit.safetensors file.
        seeds: numbers, and ranges such as 1-6, of the pictures to put it on.
        latents: put it on the codes of this .npy, .npz, .pt or .safetensors file instead.
        latents_space: space of the codes in the file, where their shape leaves it open.
        truncation: pull the codes towards the mean: 1 leaves them, 0 gives the mean picture.
        label: class, for a class-conditional generator.
        frames: number of frames; as many as the edit has when left out.
        model: Which generator makes the pictures.
        film: What the film looks like.
        output: Where the results go.
    """

    edit: Positional[Annotated[Path, arg(metavar="RUN")]]
    seeds: Annotated[tuple[int, ...], SEEDS] = (1, 2, 3, 4, 5, 6)
    latents: Annotated[Path | None, arg(metavar="FILE")] = None
    latents_space: Annotated[str | None, arg(metavar="NAME")] = None
    truncation: Annotated[float, arg(metavar="PSI")] = 1.0
    label: Annotated[int | None, arg(metavar="N")] = None
    frames: Annotated[int | None, arg(metavar="N")] = None
    model: EditModel = field(default_factory=EditModel)
    film: Film = field(default_factory=Film)
    output: Output = field(default_factory=Output)

    def run(self) -> int:
        """Write the films and the strips."""
        edit = find_edit(self.edit)
        command = replace(self, model=self.model.of(self.edit, edit))
        generator = command.model.load(edit)
        if self.latents is not None:
            codes = truncated(generator, read_codes(self.latents, generator, self.latents_space), self.truncation)
            names = None
        elif self.seeds:
            codes, names = sample(generator, self.seeds, self.truncation, self.label), [f"seed {seed}" for seed in self.seeds]
        else:
            raise SemanifoldError("There is no seed; give at least one number after --seeds.")
        codes = generator.convert(codes, edit.info.space)
        names = names or [f"code {index}" for index in range(len(codes))]
        t = moments(edit, self.frames)
        edit.latents(codes[0], t)  # refuses an edit that does not fit before anything is written
        folder = self.output.folder("transfer", edit.info.generator, edit.info.name)
        run = begin_run(folder, "transfer", to_arguments(command), facts_of(generator), overwrite=self.output.overwrite)
        if not run.finished:
            with working(run):
                self.write(run, edit, [Subject(generator, codes[i], edit, None) for i in range(len(codes))], names, t)
        return finished(run, MP4, STRIP)

    def write(self, run: Run, edit: Lattice, subjects: list[Subject], names: list[str], t: torch.Tensor) -> None:
        """Write all results."""
        save_edit(transfer(edit, subjects[0].seed), run.path(EDIT))
        loops = comes_back(edit, t)
        films, rows, scores = [], [], {}
        for name, subject in zip(names, subjects, strict=True):
            subject = replace(subject, mask=mask_of(edit, subject.generator, subject.seed))  # noqa: PLW2901
            films.append(subject.frames(t))
            seed = media.to_uint8(subject.picture)[0]
            rows.append(media.filmstrip(films[-1], seed, subject.mask_picture(), size=128))
            scores[name] = measure(subject, t)
        media.save_png(media.stack_rows(rows, names), run.path(STRIP))
        grid = media.grid_film([film[:-1] if loops else film for film in films])
        size = self.film.size or max(grid.shape[1:3])
        media.save_mp4(grid, run.path(MP4), fps=self.film.fps, size=size, ping_pong=not loops)
        media.save_gif(grid, run.path(GIF), fps=self.film.fps, size=size, ping_pong=not loops)
        write_text(run.path(METRICS), json.dumps({"change": scores}, indent=2) + "\n")


@dataclass(frozen=True)
class Combine(Command):
    """Play several edits of one face at the same time: the mouth of one and the eyes of another.

    Attributes:
        edits: run folders or edit.safetensors files of the same generator; the first one's face is shown.
        frames: number of frames; as many as the first edit has when left out.
        model: Which generator makes the pictures.
        film: What the film looks like.
        output: Where the results go.
    """

    edits: Positional[Annotated[tuple[Path, ...], arg(metavar="RUN RUN ...")]]
    frames: Annotated[int | None, arg(metavar="N")] = None
    model: EditModel = field(default_factory=EditModel)
    film: Film = field(default_factory=Film)
    output: Output = field(default_factory=Output)

    def run(self) -> int:
        """Write the combined edit and its film."""
        if len(self.edits) < 2:
            raise SemanifoldError("There is nothing to combine; give at least two run folders.")
        edits = [find_edit(path) for path in self.edits]
        command = replace(self, model=self.model.of(self.edits[0], edits[0]))
        generator = command.model.load(edits[0])
        edit = combine(edits)
        t = moments(edit, self.frames)
        folder = self.output.folder("combine", edit.info.generator, *[e.info.name for e in edits])
        seed = seed_of(edit, self.edits[0], generator)
        subject = Subject(generator, seed, edit, mask_of(edit, generator, seed))
        run = begin_run(folder, "combine", to_arguments(command), facts_of(generator), overwrite=self.output.overwrite)
        if not run.finished:
            with working(run):
                write_all(run, subject, t, self.film)
        return finished(run, MP4, STRIP, HEAT)


@dataclass(frozen=True)
class Render(Command):
    """Make the film of an edit again, with other timing or size.

    Attributes:
        edit: run folder, or an edit.safetensors file.
        frames: number of frames; as many as the edit has when left out.
        even: make all steps look equally large (perceptually even timing).
        trim: leave out the parts at the ends where the picture hardly changes any more.
        reverse: play it backwards.
        until: lengthen the path in the direction of its last step to this t; found paths end at 1.
        play: once through, back and forth, or whichever makes the film loop without a jump.
        model: Which generator makes the pictures.
        film: What the film looks like.
        output: Where the results go.
    """

    edit: Positional[Annotated[Path, arg(metavar="RUN")]]
    frames: Annotated[int | None, arg(metavar="N")] = None
    even: bool = False
    trim: bool = False
    reverse: bool = False
    until: Annotated[float | None, arg(metavar="T")] = None
    play: Literal["auto", "once", "ping-pong"] = "auto"
    model: EditModel = field(default_factory=EditModel)
    film: Film = field(default_factory=Film)
    output: Output = field(default_factory=Output)

    def run(self) -> int:
        """Write the new film."""
        edit = find_edit(self.edit)
        command = replace(self, model=self.model.of(self.edit, edit))
        generator = command.model.load(edit)
        seed = seed_of(edit, self.edit, generator)
        edit = self.changed(edit, generator)
        subject = Subject(generator, seed, edit, mask_of(edit, generator, seed))
        t = moments(edit, self.frames)
        folder = self.output.out or self.edit_folder.with_name(self.edit_folder.name + "-render")
        run = begin_run(folder, "render", to_arguments(command), facts_of(generator), overwrite=self.output.overwrite)
        if not run.finished:
            with working(run):
                ping_pong = None if self.play == "auto" else self.play == "ping-pong"
                write_all(run, subject, t, self.film, ping_pong=ping_pong)
        return finished(run, MP4, STRIP, HEAT)

    @property
    def edit_folder(self) -> Path:
        """The run folder of the edit."""
        return self.edit if self.edit.is_dir() else self.edit.parent

    def changed(self, edit: Lattice, generator: Generator) -> Lattice:
        """Return the edit with the timing that was asked for."""
        if self.until is not None and not (math.isfinite(self.until) and abs(self.until) <= 10):
            raise SemanifoldError(f"until is a value of t, at most 10, but it is {self.until:g}; a path usually ends at 1.")
        if self.trim:
            edit = trim(generator, edit)
        if self.until is not None:
            edit = extrapolate(edit, self.until)
        if self.even:
            edit = retime(generator, edit)
        return reverse(edit) if self.reverse else edit
