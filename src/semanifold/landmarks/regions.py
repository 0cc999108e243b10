"""The parts of a face in any picture that shows one: masks from the points of the mesh."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError, near_names, shown
from semanifold.images.masks import Mask, Regions, polygon
from semanifold.images.masks.base import any_of
from semanifold.landmarks.faces import LEFT_EYE, RIGHT_EYE, Face, find_faces

LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
"""Points around the lips, in order."""
BROWS = ((70, 63, 105, 66, 107, 55, 65, 52, 53, 46), (300, 293, 334, 296, 336, 285, 295, 282, 283, 276))
NOSE = (1, 2, 98, 327, 129, 358, 5)
"""The tip of the nose, and around it."""
OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
"""Points around the face, from the forehead clockwise."""
CHIN = 152
FOREHEAD = 10
FACE = "face"
NAMES = ("mouth", "eyes", "brows", "nose", "hair", FACE, "background")
"""The regions of a face."""
PARTS = {
    "mouth": ((LIPS,), 0.5, 0.4),
    "eyes": ((RIGHT_EYE, LEFT_EYE), 0.46, 0.36),
    "brows": (BROWS, 0.46, 0.27),
    "nose": ((NOSE,), 0.45, 0.36),
}
"""Points of each part, and half the width and height of the ellipse around their middle, in distances between the eyes.

What moves needs room: lids belong to the eyes, and the chin below it to an open mouth.
"""
HEAD = 1.75
"""How many times the face the head is taken to be, with its hair."""


def face_in(picture: Tensor, what: str) -> Face:
    """Return the one face of a picture ``[c, h, w]`` in [-1, 1].

    Args:
        picture: the picture.
        what: what to call it in sentences.

    Raises:
        SemanifoldError: if there is none, or there are several.
    """
    faces = find_faces(picture)
    if len(faces) != 1:
        number = "no face is" if not faces else f"{len(faces)} faces are"
        raise SemanifoldError(
            f"Named regions are those of a face, but {number} found in {what}; draw a shape, such as box:0.3,0.6,0.7,0.9."
        )
    return faces[0]


def face_regions(picture: Callable[[], Tensor], what: str) -> Regions:
    """Return the function that finds masks by name (``"mouth"``) on a picture, for :func:`semanifold.images.masks.parse_mask`.

    mouth, eyes, brows and nose are ellipses around their points, with room to move; face is what lies within its outline; hair is
    what lies around that, above the chin, within a head of the usual size, and background is what lies outside of the head and
    above the shoulders.

    Args:
        picture: makes the picture ``[c, h, w]`` when a name is first asked for.
        what: what to call it in sentences.
    """
    faces: list[tuple[Face, int, int]] = []

    def find(name: str) -> Mask:
        if name not in NAMES:
            raise SemanifoldError(f"There is no region {shown(name, 60)!r}: {near_names(name, dict.fromkeys(NAMES))}")
        if not faces:
            made = picture()
            faces.append((face_in(made, what), made.shape[1], made.shape[2]))
        face, height, width = faces[0]
        mask = region(name, face.points / torch.tensor([width, height]), width / height)
        return Mask(name, mask.paint)

    return find


def region(name: str, points: Tensor, aspect: float = 1.0) -> Mask:
    """Return the mask of a region.

    Args:
        name: one of :data:`NAMES`.
        points: of the mesh, ``[468, 2]`` as fractions of the picture.
        aspect: width of the picture over its height.
    """
    square = points * torch.tensor([aspect, 1.0])
    up = square[FOREHEAD] - square[CHIN]
    tall = float(up.norm())
    up = up / tall
    across = torch.stack([-up[1], up[0]])

    def around(middle: Tensor, half_width: float, half_height: float) -> Mask:
        turns = torch.arange(64) * 2 * math.pi / 64
        line = middle + turns.cos()[:, None] * across * half_width + turns.sin()[:, None] * up * half_height
        return polygon(_pairs(line / torch.tensor([aspect, 1.0])))

    if name in PARTS:
        parts, wide, high = PARTS[name]
        apart = float((square[list(RIGHT_EYE)].mean(0) - square[list(LEFT_EYE)].mean(0)).norm())
        wide, high = wide * apart, high * apart
        if name == "mouth":  # a wide or open one needs more
            lips = square[list(LIPS)]
            extent = lips @ torch.stack([across, up], dim=1)
            wide, high = (max(size, 0.7 * float(extent[:, i].max() - extent[:, i].min())) for i, size in enumerate((wide, high)))
        return any_of([around(square[list(part)].mean(0), wide, high) for part in parts])
    face = polygon(_pairs(points[list(OVAL)]))
    if name == FACE:
        return face
    whole = around((square[FOREHEAD] + square[CHIN]) / 2 + 0.1 * tall * up, 0.42 * HEAD * tall, 0.5 * HEAD * tall)
    above = Mask("above the chin", lambda h, w: half_plane(square[CHIN], up, aspect, h, w))
    return whole & ~face & above if name == "hair" else ~whole & above


def half_plane(start: Tensor, direction: Tensor, aspect: float, height: int, width: int) -> Tensor:
    """Return ``[height, width]``: 1 on the side of a line through a point that a direction of length 1 points to, 0 on the other.

    Points and directions are in heights of the picture; edges are a pixel soft.
    """
    y, x = (torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width * aspect
    distance = (x[None] - start[0]) * direction[0] + (y[:, None] - start[1]) * direction[1]
    return (distance * height + 0.5).clamp(0, 1)


def _pairs(points: Tensor) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in points.tolist()]
