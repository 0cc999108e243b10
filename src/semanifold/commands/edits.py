"""``semanifold transfer``, ``combine`` and ``render``: what can be done with edits that were found."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import torch
from PIL import Image
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
    slug,
    to_arguments,
    truncated,
)
from semanifold.commands.discover import LAYERS
from semanifold.commands.results import (
    EDIT,
    FRAMES,
    GIF,
    HEAT,
    METRICS,
    MP4,
    PAD,
    STRIP,
    Subject,
    comes_back,
    find_edit,
    measure,
    moments,
    split_path,
    write_all,
    write_exports,
    write_plot,
)
from semanifold.commands.terminal import remark, say, show
from semanifold.edits import Edit, Lattice, save_edit, traced, widened
from semanifold.errors import SemanifoldError
from semanifold.exchange import read_codes
from semanifold.generators.base import Generator
from semanifold.generators.loading import BUNDLED
from semanifold.latents import Latents
from semanifold.manifolds import combine, extrapolate, retime, reverse, transfer, trim
from semanifold.masks import Mask
from semanifold.plots import heat_picture
from semanifold.storage.files import write_text
from semanifold.storage.runs import RECORD, Run, begin_run, read_record, working


@dataclass(frozen=True)
class EditModel:
    """Which generator makes the pictures.

    Attributes:
        generator: as for discover; the one that the edit was found on when left out.
        device: cpu, cuda, cuda:1, mps; the first GPU there is, or else the CPU, when left out.
    """

    generator: Annotated[str | None, arg(metavar="NAME|FILE|URL")] = None
    device: Annotated[str | None, arg(metavar="NAME")] = None

    def of(self, where: Path, edit: Edit) -> EditModel:
        """Return this with the generator's name filled in from the run folder of the edit.

        Raises:
            SemanifoldError: if nothing says which generator it was.
        """
        if self.generator is not None:
            return self
        where, _ = split_path(where)
        folder = where if where.is_dir() else where.parent
        if (folder / RECORD).is_file():
            return replace(self, generator=read_record(folder)["arguments"]["model"]["generator"])
        if edit.info.generator in BUNDLED:
            return replace(self, generator=edit.info.generator)
        raise SemanifoldError(f"{where} was found on {edit.info.generator}; say where that is with --generator.")

    def load(self, edit: Edit) -> Generator:
        """Return the generator; other weights than the edit's own are worth a remark."""
        assert self.generator is not None
        generator = Model(self.generator, self.device).load()
        if generator.fingerprint != edit.info.fingerprint:
            remark(f"semanifold: the edit was found on {edit.info.generator} with other weights; it may look different here.")
        return generator


@dataclass(frozen=True)
class Picture:
    """Which picture to show; the one that the edit was found on, or number 0, when left out.

    Attributes:
        seed: number of the picture.
        label: class, for a class-conditional generator.
    """

    seed: Annotated[int | None, arg(metavar="N")] = None
    label: Annotated[int | None, arg(metavar="N")] = None

    def code(self, edits: Sequence[Edit], generator: Generator, space: str) -> Latents:
        """Return the code that was asked for, or the first that one of the edits was found on."""
        found = [edit.seed for edit in edits if isinstance(edit, Lattice) and edit.seed is not None]
        if self.seed is None and found:
            code = found[0].to(generator.device, generator.dtype)
        else:
            code = sample(generator, (self.seed or 0,), label=self.label)
        code = generator.convert(code, space)
        generator.check(code)
        return code


def on(edit: Edit, code: Latents) -> Lattice:
    """Return what an edit does to one code, as offsets of the whole code: the same everywhere, but for a curved path."""
    whole = isinstance(edit, Lattice) and edit.offsets.shape[edit.dimensions :] == code.values.shape[1:]
    return transfer(edit, code) if isinstance(edit, Lattice) and whole else traced(edit, code)


def with_mask(edit: Edit, mask: str | None) -> Edit:
    """Return the edit with another mask to be measured in; none leaves it its own."""
    return edit if mask is None else edit.with_info(mask=mask)


def mask_of(edit: Edit, generator: Generator, seed: Latents, *, strict: bool = False) -> Mask | None:
    """Return the mask of an edit on a picture, or None where it has no meaning there; it must have one if strict."""
    try:
        return read_mask(edit.info.mask, generator, seed) if edit.info.mask else None
    except SemanifoldError as error:
        if strict:
            raise
        remark(f"semanifold: the mask {edit.info.mask!r} cannot be drawn here: {error}")
        return None


def finished(run: Run, *names: str) -> int:
    """Say what to open."""
    if run.finished:
        say(f"{run.folder} is finished already; --overwrite does it again.")
    show(*[run.folder / name for name in names if (run.folder / name).exists()])
    return 0


def check_one_generator(places: Sequence[Path], edits: Sequence[Edit]) -> None:
    """Refuse edits of several generators, where none is said on which they are to be played."""
    known = [
        (place, edit.info) for place, edit in zip(places, edits, strict=True) if edit.info.fingerprint not in ("", "unknown")
    ]
    for place, info in known[1:]:
        if info.fingerprint != known[0][1].fingerprint:
            raise SemanifoldError(
                f"{known[0][0]} was found on {known[0][1].generator} ({known[0][1].fingerprint}), but {place} on "
                f"{info.generator} ({info.fingerprint}); combine edits of one generator, or name one with --generator."
            )


@dataclass(frozen=True)
class Transfer(Command):
    """Put an edit that was found on one face onto others: one film of all, and one filmstrip each.

    Attributes:
        edit: run folder of discover or combine, an edit.safetensors file, or one path of a set, as out/train-faces:smile.
        path: number or name of the path, where the edit is a set of paths.
        space: latent space of the paths, where their file leaves it open.
        layers: first and last layer of w+ that directions of a file move, where it leaves that open.
        mask: measure how local the edit is in this mask, written as for discover; the edit's own when left out.
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
    path: Annotated[str | None, arg(metavar="N|NAME")] = None
    space: Annotated[str | None, arg(metavar="NAME")] = None
    layers: Annotated[tuple[int, int] | None, LAYERS] = None
    mask: Annotated[str | None, arg(metavar="MASK")] = None
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
        edit = with_mask(find_edit(self.edit, self.path, self.space, self.layers), self.mask)
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
        edits = [on(edit, codes[i]) for i in range(len(codes))]  # refuses an edit that does not fit before anything is written
        t = moments(edits[0], self.frames)
        subjects = [
            Subject(generator, codes[i], each, mask_of(each, generator, codes[i], strict=self.mask is not None))
            for i, each in enumerate(edits)
        ]
        folder = self.output.folder("transfer", edit.info.generator, edit.info.name)
        run = begin_run(folder, "transfer", to_arguments(command), facts_of(generator), overwrite=self.output.overwrite)
        if not run.finished:
            with working(run):
                self.write(run, subjects, names, t)
        return finished(run, MP4, STRIP, HEAT)

    def write(self, run: Run, subjects: list[Subject], names: list[str], t: torch.Tensor) -> None:
        """Write all results."""
        loops = all(comes_back(subject.edit, t) for subject in subjects)
        films, rows, scores = [], [], {}
        for name, subject in zip(names, subjects, strict=True):
            films.append(subject.frames(t))
            seed = media.to_uint8(subject.picture)[0]
            rows.append(media.filmstrip(films[-1], seed, subject.mask_picture(), size=128))
            scores[name] = measure(subject, t)
        media.save_png(media.stack_rows(rows, names), run.path(STRIP))
        grid = media.grid_film([film[:-1] if loops else film for film in films])
        media.save_frames(grid, run.path(FRAMES))
        size = self.film.size or max(grid.shape[1:3])
        media.save_mp4(grid, run.path(MP4), fps=self.film.fps, size=size, ping_pong=not loops)
        media.save_gif(grid, run.path(GIF), fps=self.film.fps, size=size, ping_pong=not loops)
        write_text(run.path(METRICS), json.dumps({"change": scores}, indent=2) + "\n")
        save_edit(subjects[0].edit.with_info(locality=scores[names[0]]), run.path(EDIT))
        maps = [heat_picture(film, media.to_uint8(s.picture)[0], s.mask_picture()) for film, s in zip(films, subjects)]
        media.save_png(media.stack_rows([Image.fromarray(drawn) for drawn in maps], names), run.path(HEAT))
        write_exports(run, subjects, t)
        write_plot(run, subjects, t)


@dataclass(frozen=True)
class Combine(Command):
    """Play several edits of one face at the same time: the mouth of one and the eyes of another.

    Attributes:
        edits: run folders, edit.safetensors files, or paths of sets such as out/train-faces:smile, of the same generator.
        pad: give two edits an axis each instead: a sheet of pictures over both, and a walk over it.
        frames: number of frames; as many as the joint edit has knots when left out.
        picture: Which picture to show; the first that an edit was found on, or number 0, when left out.
        model: Which generator makes the pictures.
        film: What the film looks like.
        output: Where the results go.
    """

    edits: Positional[Annotated[tuple[Path, ...], arg(metavar="RUN RUN ...")]]
    pad: bool = False
    frames: Annotated[int | None, arg(metavar="N")] = None
    picture: Picture = field(default_factory=Picture)
    model: EditModel = field(default_factory=EditModel)
    film: Film = field(default_factory=Film)
    output: Output = field(default_factory=Output)

    def run(self) -> int:
        """Write the combined edit and its film."""
        if len(self.edits) < 2:
            raise SemanifoldError("There is nothing to combine; give at least two run folders.")
        edits = [find_edit(path) for path in self.edits]
        command = replace(self, model=self.model.of(self.edits[0], edits[0]))
        if self.model.generator is None:
            check_one_generator(self.edits, edits)
        generator = command.model.load(edits[0])
        if {edit.info.space for edit in edits} == {"w", "w+"}:
            edits = [widened(edit, generator.spaces["w+"][0]) for edit in edits]
        seed = self.picture.code(edits, generator, edits[0].info.space)
        seeds = [each.seed.values for each in edits if isinstance(each, Lattice) and each.seed is not None]
        if self.picture.seed is None and any(not torch.equal(other, seeds[0]) for other in seeds[1:]):
            remark("semanifold: the edits were found on different pictures; they are shown on that of the first.")
        edit = combine([on(edit, seed) for edit in edits], pad=self.pad)
        t = moments(edit, self.frames)
        folder = self.output.folder("combine", edit.info.generator, *[e.info.name for e in edits])
        subject = Subject(generator, seed, edit, mask_of(edit, generator, seed))
        run = begin_run(folder, "combine", to_arguments(command), facts_of(generator), overwrite=self.output.overwrite)
        if not run.finished:
            with working(run):
                write_all(run, subject, t, self.film)
                write_plot(run, [subject], t)
        return finished(run, MP4, STRIP, HEAT, PAD)


@dataclass(frozen=True)
class Render(Command):
    """Make the film of an edit again, with other timing or size.

    Attributes:
        edit: run folder, an edit.safetensors file, or one path of a set, as out/train-faces:smile.
        path: number or name of the path, where the edit is a set of paths.
        space: latent space of the paths, where their file leaves it open.
        layers: first and last layer of w+ that directions of a file move, where it leaves that open.
        mask: measure how local the edit is in this mask, written as for discover; the edit's own when left out.
        frames: number of frames; as many as the edit has when left out.
        even: make all steps look equally large (perceptually even timing).
        trim: leave out the parts at the ends where the picture hardly changes any more.
        reverse: play it backwards.
        until: lengthen the path in the direction of its last step to this t; found paths end at 1.
        play: once through, back and forth, or whichever makes the film loop without a jump.
        picture: Which picture to show; the one that the edit was found on, or number 0, when left out.
        model: Which generator makes the pictures.
        film: What the film looks like.
        output: Where the results go.
    """

    edit: Positional[Annotated[Path, arg(metavar="RUN")]]
    path: Annotated[str | None, arg(metavar="N|NAME")] = None
    space: Annotated[str | None, arg(metavar="NAME")] = None
    layers: Annotated[tuple[int, int] | None, LAYERS] = None
    mask: Annotated[str | None, arg(metavar="MASK")] = None
    frames: Annotated[int | None, arg(metavar="N")] = None
    even: bool = False
    trim: bool = False
    reverse: bool = False
    until: Annotated[float | None, arg(metavar="T")] = None
    play: Literal["auto", "once", "ping-pong"] = "auto"
    picture: Picture = field(default_factory=Picture)
    model: EditModel = field(default_factory=EditModel)
    film: Film = field(default_factory=Film)
    output: Output = field(default_factory=Output)

    def run(self) -> int:
        """Write the new film."""
        found = with_mask(find_edit(self.edit, self.path, self.space, self.layers), self.mask)
        command = replace(self, model=self.model.of(self.edit, found))
        generator = command.model.load(found)
        seed = self.picture.code([found], generator, found.info.space)
        edit = self.changed(on(found, seed), generator)
        subject = Subject(generator, seed, edit, mask_of(edit, generator, seed, strict=self.mask is not None))
        t = moments(edit, self.frames)
        folder = self.output.out or self.edit_folder.with_name(f"{self.edit_folder.name}-render{self.word}")
        run = begin_run(folder, "render", to_arguments(command), facts_of(generator), overwrite=self.output.overwrite)
        if not run.finished:
            with working(run):
                ping_pong = None if self.play == "auto" else self.play == "ping-pong"
                write_all(run, subject, t, self.film, ping_pong=ping_pong)
                write_plot(run, [subject], t)
        return finished(run, MP4, STRIP, HEAT)

    @property
    def edit_folder(self) -> Path:
        """The run folder of the edit."""
        place, _ = split_path(self.edit)
        return place if place.is_dir() else place.parent

    @property
    def word(self) -> str:
        """What to add to the name of the new folder for a path of a set, which has many."""
        path = self.path or split_path(self.edit)[1]
        return "" if path is None else f"-{slug(path)}-{self.picture.seed or 0}"

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
