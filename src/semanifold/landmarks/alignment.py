"""How faces lie in pictures: as those of FFHQ do, or as those of any generator of faces."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from semanifold.core.shapes import Pictures
from semanifold.landmarks.faces import Face, find_faces

MOST_WITHOUT = 0.5
"""Pictures of which a larger share shows no face, or several, are not of faces."""
STILL = 0.01
"""How far a point that lies still moves, as a share of the picture's side: the error of the mesh."""


@dataclass(frozen=True, eq=False)
class UsualFace:
    """Where a face usually lies in pictures of one kind.

    Attributes:
        points: of the mesh, ``[468, 2]``, in pixels.
        weights: how still each point lies from picture to picture, ``[468]``, one over its variance: in pictures that were
            aligned by eyes and mouth these lie still, in others the outline of the head may.
        size: width and height of the pictures in pixels.
    """

    points: Tensor
    weights: Tensor
    size: tuple[int, int]


def ffhq_quad(face: Face) -> Tensor:
    """Return the corners ``[4, 2]`` of the part that FFHQ shows of a face: top left, bottom left, bottom right, top right.

    Karras et al. 2018, arXiv:1710.10196, Appendix C: a square across the eyes, whose half side is twice the distance of the eyes
    or 1.8 times that from eyes to mouth, whichever is larger, around a point a tenth of the way from the eyes to the mouth.

    Args:
        face: in pixels of the photograph; the corners may lie outside of it.
    """
    eye_a, eye_b, mouth_a, mouth_b = face.main
    eyes, mouth = (eye_a + eye_b) / 2, (mouth_a + mouth_b) / 2
    across, down = eye_b - eye_a, mouth - eyes
    # the mean of the direction across and of the one down, turned by a right angle
    x = across + torch.stack([down[1], -down[0]])
    half = max(2 * float(across.norm()), 1.8 * float(down.norm()))
    x = x / x.norm() * half
    y = torch.stack([-x[1], x[0]])
    middle = eyes + 0.1 * down
    return torch.stack([middle - x - y, middle - x + y, middle + x + y, middle + x - y])


def usual_face(pictures: Pictures | Iterable[Tensor]) -> UsualFace | None:
    """Return where faces lie in pictures of one kind, such as those of a generator; None if they are not of faces.

    Args:
        pictures: each ``[1 or 3, h, w]`` in [-1, 1], all of one size.
    """
    every, points, size = 0, [], (0, 0)
    for picture in pictures:
        every += 1
        size = (picture.shape[2], picture.shape[1])
        faces = find_faces(picture)
        if len(faces) == 1:
            points.append(faces[0].points)
    if not points or len(points) < (1 - MOST_WITHOUT) * every:
        return None
    stacked = torch.stack(points)
    usual = stacked.median(0).values
    variance = (stacked - usual).square().sum(-1).mean(0)
    return UsualFace(usual, 1 / (variance + (STILL * max(size)) ** 2), size)


def quad_like(face: Face, usual: UsualFace) -> Tensor:
    """Return the corners ``[4, 2]`` of the part of a photograph in which a face lies as usual.

    It is the turn, scale and shift that takes the usual points nearest to the face's own, each by its weight (Umeyama 1991,
    without reflection).

    Args:
        face: in pixels of the photograph.
        usual: how the face is to lie.
    """
    # as complex numbers a turn and scale is one factor, which weighted least squares gives
    here, there = (torch.complex(points[:, 0].double(), points[:, 1].double()) for points in (face.points, usual.points))
    weights = usual.weights.double() / usual.weights.double().sum()
    middle_here, middle_there = (weights * here).sum(), (weights * there).sum()
    spread = (weights * (there - middle_there).abs().square()).sum()
    factor = (weights * (there - middle_there).conj() * (here - middle_here)).sum() / spread
    width, height = usual.size
    corners = torch.tensor([0, complex(0, height), complex(width, height), complex(width, 0)], dtype=torch.complex128)
    placed = middle_here + factor * (corners - middle_there)
    return torch.stack([placed.real, placed.imag], dim=-1)
