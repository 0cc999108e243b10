"""Between a photograph and the parts of it that are edited: where they lie, and their codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import torch
from PIL import Image

from semanifold.app.actions.invert import invert_on
from semanifold.app.actions.placing import LOOKING, place_of, usual_of
from semanifold.app.actions.results import EDIT
from semanifold.app.answers import Answer, Caller
from semanifold.app.commands.base import Output
from semanifold.app.commands.invert import CODE, Inversion
from semanifold.app.commands.photographs import INVERSION, PhotoEdit
from semanifold.core.errors import SemanifoldError, shown
from semanifold.core.latents import Latents
from semanifold.edits import Edit, load_edit
from semanifold.generators.base import Generator
from semanifold.generators.exchange import read_codes
from semanifold.images.masks.grammar import regions_in
from semanifold.images.photographs import fitted
from semanifold.images.placements import Placement
from semanifold.landmarks import find_faces
from semanifold.landmarks.regions import FACE, PARTS, face_in
from semanifold.storage.digests import file_digest
from semanifold.storage.records import checked
from semanifold.storage.run_records import UNREADABLE, RunRecord, read_record
from semanifold.storage.runs import ANEW

Number = Annotated[float, msgspec.Meta(ge=-1e6, le=1e6)]
Corner = tuple[Number, Number]


class Numbers(msgspec.Struct, frozen=True):
    """What is read of an inversion's numbers."""

    place: tuple[Corner, Corner, Corner, Corner]
    noise: dict[str, Number | str] | None = None
    tuning: dict[str, Number | str] | None = None


class Recorded(msgspec.Struct, frozen=True):
    """What is read of the ``run.json`` of an inversion."""

    inversion: Numbers


@dataclass(frozen=True, eq=False)
class Inverted:
    """A part of the photograph as a code.

    Attributes:
        generator: perhaps with weights or noise maps that were fitted to it.
        code: whose picture is nearest to it.
        place: where it lies.
        file: the code's.
        answer: of the inversion.
    """

    generator: Generator
    code: Latents
    place: Placement
    file: Path
    answer: Answer


def places_in(
    command: PhotoEdit, photograph: Image.Image, generator: Generator, caller: Caller
) -> list[Placement | Sequence[float] | None]:
    """Return the parts to edit: the inversion's, the crop, the faces that were asked for, or None for the middle.

    Raises:
        SemanifoldError: if there is no such face.
    """
    name = shown(command.photo.name, 80)
    if command.inversion is not None:
        return [place_of_inversion(command)]
    if command.crop is not None or command.face == (0,):
        fitted(photograph, generator.picture_shape, command.crop, name=name)  # refuses a crop that is too small
        return [command.crop]
    with caller.watching(LOOKING):
        usual = usual_of(generator)
    if usual is None:
        if command.all_faces or command.face != (1,):
            raise SemanifoldError(f"No faces are found in the pictures of {generator.name}; name a part of {name} by its crop.")
        return [None]
    largest = command.face == (1,) and not command.all_faces
    if largest and (photograph.height, photograph.width) == tuple(generator.picture_shape[1:]):
        return [None]
    with caller.watching(LOOKING):
        faces = find_faces(photograph)
    numbers = tuple(range(1, max(len(faces), 1) + 1)) if command.all_faces else command.face
    if largest and len(faces) > 1:
        caller.remark(f"{name} shows {len(faces)} faces; the largest is edited. face=2 takes the next, all_faces=True takes all.")
    return [place_of(photograph, faces, number, usual, generator, name) for number in numbers]


def inversion_record(command: PhotoEdit) -> RunRecord:
    """Return what a finished inversion says of itself.

    Raises:
        SemanifoldError: if it is not finished, or of another photograph or generator.
    """
    assert command.inversion is not None
    record = read_record(command.inversion)
    name = shown(str(command.inversion), 200)
    if record.command != "invert" or record.status != "finished":
        raise SemanifoldError(f"{name} is no finished semanifold invert.")
    digests = record.facts.get("inputs")
    if not isinstance(digests, Mapping) or file_digest(command.photo, "photograph", 16) not in digests.values():
        raise SemanifoldError(f"{name} is the inversion of another photograph than {shown(command.photo.name, 80)}.")
    return record


def place_of_inversion(command: PhotoEdit) -> Placement:
    """Return the part of the photograph that was inverted."""
    what = f"The run.json of {shown(str(command.inversion), 200)}"
    record = checked(inversion_record(command).others, Recorded, what, remedy=UNREADABLE)
    return Placement(record.inversion.place)


def of_face(
    command: PhotoEdit,
    edit: Edit | None,
    generator: Generator,
    photograph: Image.Image,
    place: Placement | Sequence[float] | None,
) -> str | None:
    """Return the mask of what the code has to meet: the face, if nothing else is to change; None for the whole part.

    A background that the generator cannot make would draw the code away from where edits do what they should.
    """
    text = command.mask or (None if edit is None else edit.info.mask) or ""
    names = regions_in(text)
    if not names or "~" in text or not names <= {*PARTS, FACE}:
        return None
    target, _ = fitted(photograph, generator.picture_shape, place)
    try:
        face_in(target[0], "the photograph")
    except SemanifoldError:  # none, or a neighbour's as well
        return None
    return FACE


def inverted(
    command: PhotoEdit,
    generator: Generator,
    place: Placement | Sequence[float] | None,
    mask: str | None,
    order: int,
    caller: Caller,
) -> Inverted:
    """Return the code of a part, from an inversion of now or of before, and the generator fitted to it, if it was."""
    folder = command.inversion
    answer = Answer()
    if folder is None:
        folder = command.folder / numbered(INVERSION, order)
        face = order + 1 if command.all_faces else command.face[order]
        request = Inversion(
            photo=command.photo,
            mask=mask,
            crop=command.crop,
            face=None if place is None and face == 1 else face,  # the middle, also where there is no face at all
            tune_noise=command.tune_noise,
            tune=command.tune,
            consistency=False,
            model=command.model,
            output=Output(out=folder, overwrite=command.output.overwrite),
        )
        answer = invert_on(request, generator, caller, place)
        if answer.interrupted:
            return Inverted(generator, Latents(torch.zeros(1, 1), ""), Placement.box(0, 0, 1, 1), folder / CODE, answer)
    code = read_codes(folder / CODE, generator)[0]
    record = checked(read_record(folder).others, Recorded, f"The run.json of {shown(str(folder), 200)}", remedy=ANEW)
    if record.inversion.noise is not None or record.inversion.tuning is not None:
        with torch.no_grad():
            generator, code = load_edit(folder / EDIT).applied(generator, code, torch.ones(1))
    return Inverted(generator, code, Placement(record.inversion.place), folder / CODE, answer)


def numbered(name: str, order: int) -> str:
    """Return the name of a file or folder of one of several parts."""
    stem, dot, end = name.partition(".")
    return name if order == 0 else f"{stem}-{order + 1}{dot}{end}"
