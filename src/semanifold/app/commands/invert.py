"""``semanifold invert``: from photographs to codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

from semanifold.app.answers import Answer
from semanifold.app.commands import early
from semanifold.app.commands.arguments import GENERATOR, MAIN, PLACE, SEARCH, START, flat, option
from semanifold.app.commands.base import Command, Model, Output
from semanifold.core.errors import SemanifoldError, whole_number
from semanifold.inversion.settings import MOST_STEPS, InversionSettings

MOST_PHOTOS = 1000
MOST_FACES = 100
CODE = "code.safetensors"
PROJECTED = "projected.pt"
"""Codes and noise maps as rosinality's projector keeps them."""
NO_ENCODER = "none"


def corners(words: list[str]) -> tuple[float, float, float, float]:
    """Return the crop of ``"0.1,0.2,0.8,0.9"``."""
    try:
        left, top, right, bottom = map(float, words[0].removeprefix("box:").split(","))
    except ValueError as error:
        raise ValueError("a crop is left,top,right,bottom as fractions of the photograph, such as 0.2,0.1,0.8,0.7") from error
    return left, top, right, bottom


def corners_text(crop: Sequence[float]) -> str:
    """Return a crop as a person types it."""
    return ",".join(f"{number:g}" for number in crop)


@dataclass(frozen=True, kw_only=True)
class InversionOptions(InversionSettings):
    """The same fields; only what the command line writes in another way differs."""

    space: Annotated[str | None, option("NAME", group=MAIN)] = None
    distance: Annotated[str | None, option("NAME")] = None
    steps: Annotated[int, option("N", name="--iterations")] = InversionSettings.steps
    seed: Annotated[int, option("N", name="--draw-seed")] = 0

    def settings(self) -> InversionSettings:
        """Return the plain settings."""
        return InversionSettings(**{f.name: getattr(self, f.name) for f in fields(InversionSettings)})


InversionOptions.__doc__ = (InversionSettings.__doc__ or "").replace("``", "").replace(" (None)", "")


@dataclass(frozen=True, kw_only=True)
class BeginOptions:
    """Where the search begins.

    Attributes:
        seed: begin at this picture of the generator, in place of the best of the mean and random ones.
        latents: begin at the first code of this .npy, .npz, .pt or .safetensors file.
        latents_space: space of the codes in the file, if their shape leaves it open.
        label: class, for a class-conditional generator; if left out the class of the most alike picture.
        encoder: begin at the code that this encoder reads, see semanifold encoder; of the bundled faces if left out their own,
            and none compares random codes.
    """

    seed: Annotated[int | None, option("N")] = None
    latents: Annotated[Path | None, option("FILE")] = None
    latents_space: Annotated[str | None, option("NAME")] = None
    label: Annotated[int | None, option("N", name="--class")] = None
    encoder: Annotated[Path | None, option("FILE")] = None


@dataclass(frozen=True, kw_only=True)
class Inversion(Command):
    """One photograph; what its ``run.json`` records.

    Attributes:
        photo: the file.
        mask: what counts.
        crop: part of the photograph.
        face: which face.
        tune_noise: steps that the noise maps are fitted for.
        tune: steps of pivotal tuning.
        consistency: whether edits are tried.
        attributes: what is read from both pictures.
        weights: folder of published networks.
        model: which generator.
        begin: where the search begins.
        search: how to search.
        output: where the results go.
    """

    does: ClassVar[str] = "semanifold.app.actions.invert:invert_photo"
    photo: Path
    mask: str | None = None
    crop: tuple[float, float, float, float] | None = None
    face: int | None = None
    tune_noise: int = 0
    tune: int = 0
    consistency: bool = True
    attributes: str | None = None
    weights: Path | None = None
    model: Model = field(default_factory=Model)
    begin: BeginOptions = field(default_factory=BeginOptions)
    search: InversionOptions = field(default_factory=InversionOptions)
    output: Output = field(default_factory=Output)

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.output.folder("invert", self.model.word, self.photo.stem)

    @property
    def inputs(self) -> list[Path]:
        """The files that decide the result."""
        encoder = [] if self.begin.encoder is None or str(self.begin.encoder) == NO_ENCODER else [self.begin.encoder]
        return [self.photo, *encoder, *early.inputs(masks=[self.mask] if self.mask else [], codes=self.begin.latents)]

    @property
    def then(self) -> tuple[object, ...]:
        """The words of the command to type next."""
        mask = "mouth" if self.model.generator == "faces" else "box:0.3,0.6,0.7,0.9"
        if self.tune or self.tune_noise:
            return ("bake", self.folder, self.folder / "generator.safetensors")
        return ("discover", "--mask", mask, *self.model.words, "--latents", self.folder / CODE)

    def settled(self) -> Answer | None:
        """See :meth:`Command.settled`."""
        check_photo(self.photo)
        early.check_masks([self.mask] if self.mask else [], self.model.generator)
        return early.finished(self, "invert", self.folder, self.inputs, ("comparison.png",), self.then)


def check_part(crop: Sequence[float] | None, faces: Sequence[int]) -> None:
    """Refuse a part of a photograph that is named twice, and numbers of faces that there cannot be."""
    for face in faces:
        whole_number(face, 0, MOST_FACES, "face, the number of the face from the largest down,")
    if crop is not None and not (0 <= crop[0] < crop[2] <= 1 and 0 <= crop[1] < crop[3] <= 1):
        raise SemanifoldError(
            "A crop is left, top, right and bottom as fractions of the photograph, such as 0.2,0.1,0.8,0.7, "
            f"but {corners_text(crop)} was given."
        )
    if crop is not None and any(faces):
        raise SemanifoldError("A part of a photograph is named by its face or by its crop; give --face or --crop.")


def check_photo(photo: Path) -> None:
    """Refuse what is no file, and say what a folder is good for."""
    if photo.is_dir():
        raise SemanifoldError(f"{photo} is a folder; name its pictures, such as {photo}/*.png.")
    early.check_there(photo, "photograph")


@dataclass(frozen=True, kw_only=True)
class Inversions(Command):
    """Find the code of the generator whose picture is nearest to a photograph, so that it can be edited.

    Every photograph gets a folder of its own. With a generator of faces the largest face is taken, turned and scaled to lie as
    the generator's own faces do; with others the middle of the photograph.

    Attributes:
        photos: picture files.
        mask: what counts, as for discover; the rest of the picture is free. Named regions are those of the photograph's face;
            where --seed or --latents names a code, they are those of its picture. Points at: need such a code, sam: needs none.
        crop: left,top,right,bottom of the part of the photograph to take, as fractions of it.
        face: take this face, 1 for the largest; 0 looks for none and takes the middle.
        tune_noise: then find the noise maps of the layers, for generators that have any, in so many steps (100 is usual); the
            code stays, and what comes of it is an edit of weights.
        tune: then change the weights of the generator a little, in so many steps (100 is usual), until its picture is nearer;
            what comes of it is an edit of weights.
        consistency: say whether edits can be undone: edit the picture, invert it again, and take the edit back.
        attributes: read these from the photograph and from its inversion, as semanifold measure does, such as identity,pose;
            identity compares the two faces.
        weights: folder of the published networks' weights; if left out where semanifold zoo puts them.
        model: Which generator makes the pictures.
        begin: Where the search begins.
        search: How to search.
        output: Where the results go.
    """

    does: ClassVar[str] = "semanifold.app.actions.invert:invert_all"
    photos: Annotated[tuple[Path, ...], option("PHOTO ...")] = field(kw_only=False)
    mask: Annotated[str | None, option("MASK", group=MAIN)] = None
    crop: Annotated[tuple[float, float, float, float] | None, option("L,T,R,B", group=MAIN, read=corners, write=corners_text)] = (
        None
    )
    face: Annotated[int | None, option("N", group=MAIN)] = None
    tune_noise: Annotated[int, option("STEPS", group=MAIN)] = 0
    tune: Annotated[int, option("STEPS", group=MAIN)] = 0
    consistency: Annotated[bool, option(off="--no-consistency")] = True
    attributes: Annotated[str | None, option("NAME,...")] = None
    weights: Annotated[Path | None, option("FOLDER")] = None
    model: Annotated[Model, flat(GENERATOR)] = field(default_factory=Model)
    begin: Annotated[BeginOptions, flat(START)] = field(default_factory=BeginOptions)
    search: Annotated[InversionOptions, flat(SEARCH)] = field(default_factory=InversionOptions)
    output: Annotated[Output, flat(PLACE)] = field(default_factory=Output)

    @classmethod
    def recorded_as(cls) -> type[Command]:
        """See :meth:`Command.recorded_as`."""
        return Inversion

    @property
    def single(self) -> list[Inversion]:
        """The single inversions, each with the folder it goes to."""
        shared: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "photos"}
        every = [Inversion(photo=photo, **shared) for photo in self.photos]
        if len(every) == 1 or self.output.out is None:
            return every
        return [replace(one, output=replace(self.output, out=self.output.out / one.photo.stem)) for one in every]

    def settled(self) -> Answer | None:
        """See :meth:`Command.settled`."""
        if not 0 < len(self.photos) <= MOST_PHOTOS:
            raise SemanifoldError(f"Give one photograph, or several, at most {MOST_PHOTOS:,}.")
        for name in ("tune_noise", "tune"):
            whole_number(getattr(self, name), 0, MOST_STEPS, f"{name.replace('_', '-')}, the number of steps,")
        check_part(self.crop, [] if self.face is None else [self.face])
        if self.begin.seed is not None and self.begin.latents is not None:
            raise SemanifoldError("The search begins at one code; give --seed or --latents.")
        if (encoder := self.begin.encoder) is not None and str(encoder) != NO_ENCODER:
            if self.begin.seed is not None or self.begin.latents is not None:
                raise SemanifoldError("The search begins at one code; give --encoder, or --seed or --latents.")
            early.check_there(encoder, "encoder")
        stems = [photo.stem for photo in self.photos]
        if twice := next((stem for stem in stems if stems.count(stem) > 1), None):
            raise SemanifoldError(f"Two photographs are called {twice}, and would share a folder; invert them one by one.")
        for photo in self.photos:
            check_photo(photo)
        every = self.single
        return every[0].settled() if len(every) == 1 else None
