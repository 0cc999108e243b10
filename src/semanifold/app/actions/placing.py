"""Which part of a photograph a generator's picture stands for."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence

import msgspec
import torch
from PIL import Image
from torch import Tensor

from semanifold.app.answers import Caller
from semanifold.core.errors import SemanifoldError, counted
from semanifold.generators.base import Generator
from semanifold.images.photographs import middle_of
from semanifold.images.placements import Placement
from semanifold.landmarks import Face, find_faces
from semanifold.landmarks.alignment import UsualFace, quad_like, usual_face
from semanifold.storage.digests import digest
from semanifold.storage.fetching import cache_folder
from semanifold.storage.tensors import read_format, write_tensors

LOOKING = "looking for faces"
LOOKED_AT = 8
"""Pictures of a generator in which it is looked where its faces lie."""
FORMAT = "semanifold-usual-face-1"
AS_IT_IS = 0.12
"""If a face lies this near to where a generator's faces do, as a share of the side, the photograph's middle is taken as it is."""


class UsualFaceHeader(msgspec.Struct, frozen=True):
    """Header of a file that keeps where a generator's faces lie: the size of its pictures, None if they show none."""

    format: str
    size: tuple[int, int] | None


def place_in(
    photograph: Image.Image,
    generator: Generator,
    crop: Sequence[float] | None,
    face: int | None,
    name: str,
    caller: Caller,
) -> Sequence[float] | Placement | None:
    """Return the part of a photograph to invert: the crop, a face as the generator's own faces lie, or None for the middle.

    Args:
        photograph: RGB.
        generator: makes the pictures.
        crop: ``(left, top, right, bottom)`` as fractions, if it was named.
        face: 1 for the largest; 0 looks for none; None takes the largest one if there is one and the generator is of faces.
        name: what to call the photograph in sentences.
        caller: is told what was done.

    Raises:
        SemanifoldError: if a face was named that is not there.
    """
    if crop is not None or face == 0:
        return crop
    if face is None and (photograph.height, photograph.width) == tuple(generator.picture_shape[1:]):
        return None
    with caller.watching(LOOKING):
        usual = usual_of(generator)
        faces = find_faces(photograph) if usual is not None else []
    if usual is None:
        if face is not None:
            raise SemanifoldError(
                f"No faces are found in the pictures of {generator.name}, so it is not known how they lie; name a part of "
                f"{name} by crop= instead."
            )
        return None
    if not faces and face is None:
        caller.remark(f"No face was found in {name}; its middle is taken, or name a part by crop=.")
        return None
    placed = place_of(photograph, faces, face or 1, usual, generator, name)
    if placed is None:
        caller.remark(f"The face in the middle of {name} lies as those of {generator.name} do.")
    elif face is None:
        others = f", the largest of {counted(len(faces), 'face')}," if len(faces) > 1 else ""
        caller.remark(f"The face in {name}{others} is taken, {placed.size[0]:.0f} pixels wide with its surroundings.")
    return placed


def place_of(
    photograph: Image.Image, faces: Sequence[Face], number: int, usual: UsualFace, generator: Generator, name: str
) -> Placement | None:
    """Return where one of the faces of a photograph lies; None for the middle of the photograph.

    Args:
        photograph: RGB.
        faces: in it, largest first.
        number: which, from 1.
        usual: how the generator's own faces lie.
        generator: makes the pictures.
        name: of the photograph.

    Raises:
        SemanifoldError: if there is no such face.
    """
    if not 1 <= number <= len(faces):
        many = f"There is no face {number} in {name}: {counted(len(faces), 'face')} {'was' if len(faces) == 1 else 'were'} found"
        raise SemanifoldError(
            f"{many if faces else f'No face was found in {name}'}; name a part by crop=left,top,right,bottom, or take its "
            "middle by face=0."
        )
    quad = quad_like(faces[number - 1], usual)
    middle = torch.tensor(middle_of(photograph, generator.picture_shape).quad, dtype=quad.dtype)
    if float((quad - middle).abs().max()) < AS_IT_IS * float((middle[2] - middle[0]).max()):
        return None
    return Placement.of(quad)


def usual_of(generator: Generator) -> UsualFace | None:
    """Return where faces lie in a generator's own pictures; None if they show none, or are pictures of given ones.

    What was found is kept among the downloads, for large pictures take minutes to make. The first of them tells generators apart,
    since a fingerprint says nothing of what a function of somebody else's calls.
    """
    if generator.takes_inputs:
        return None
    pictures = _pictures(generator)
    first = next(pictures)
    kept = cache_folder() / "faces" / f"{digest({'picture': first})}-{LOOKED_AT}.safetensors"
    try:
        header, tensors = read_format(kept, FORMAT, UsualFaceHeader, "usual face", "it is made again")
        return UsualFace(tensors["points"], tensors["weights"], header.size) if header.size else None
    except (SemanifoldError, KeyError):  # not kept yet, or damaged
        usual = usual_face(itertools.chain([first], pictures))
    with contextlib.suppress(SemanifoldError, OSError):  # a folder that cannot be written costs time only
        kept.parent.mkdir(parents=True, exist_ok=True)
        tensors = {"points": usual.points, "weights": usual.weights} if usual else {}
        header = {"format": FORMAT, "size": list(usual.size) if usual else None}
        write_tensors(kept, tensors, header, crc=True)
    return usual


def _pictures(generator: Generator) -> Iterator[Tensor]:
    """Yield some pictures, ``[c, h, w]``; those of classes take turns."""
    for seed in range(LOOKED_AT):
        labels = [seed % generator.classes] if generator.classes else None
        with torch.no_grad():
            yield generator.images(generator.sample([seed], labels=labels))[0]
