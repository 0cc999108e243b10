"""Finding the faces of a photograph, and their points."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from semanifold.images.media import from_uint8, to_uint8
from semanifold.images.placements import Placement, cut_out
from semanifold.landmarks.networks import DETECTED_AT, MESHED_AT, detector, mesh

LIKELY = 0.0
"""Logit from which on the detector's candidates are looked at."""
SURE = 5.0
"""Logit from which on the mesh has found a face: faces have 20 to 50, what is none -10 to 5."""
SAME = 0.3
"""Two candidates that share this much of their area are one face."""
AROUND = 1.5
"""The mesh is given so many times the face's box."""
LOOKS = 4
"""Times that the mesh looks in the box of its own points."""
SMALLEST_TILE = 96
"""Side in pixels of the smallest part that is searched."""
MOST_TILES = 1000
SHORTEST = 1536
"""A photograph whose shorter side is longer is searched at this size."""
FINEST = 8
"""The smallest parts that are searched are such a share of the shorter side."""
BATCH = 32
RIGHT_EYE = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
"""Points around the eye at the left of the picture, which is the person's right one."""
LEFT_EYE = (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249)
MOUTH_CORNERS = (61, 291)
"""The left and the right one in the picture."""


@dataclass(frozen=True, eq=False)
class Face:
    """A face in a photograph.

    Attributes:
        points: the 468 points of the mesh, ``[468, 2]``, x and y in pixels of the photograph.
        score: how sure it is a face, a logit, at least 5.
    """

    points: Tensor
    score: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of the points, in pixels."""
        low, high = self.points.amin(0), self.points.amax(0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    @property
    def main(self) -> Tensor:
        """The middles of the eyes and the corners of the mouth, ``[4, 2]``, from left to right as an upright face has them."""
        eyes = [self.points[list(eye)].mean(0) for eye in (RIGHT_EYE, LEFT_EYE)]
        return torch.stack([*eyes, *self.points[list(MOUTH_CORNERS)]])

    @property
    def roll(self) -> float:
        """How far the face is turned in the picture, in degrees, clockwise; 0 for an upright one."""
        right, left = self.main[:2].tolist()
        return math.degrees(math.atan2(left[1] - right[1], left[0] - right[0]))


def find_faces(photograph: Image.Image | Tensor) -> list[Face]:
    """Return the faces of a photograph, the largest first.

    The detector looks at the whole, and at overlapping parts, each half as large as the one before, down to an eighth of the
    shorter side; and at the photograph on its side and on its head, with parts of a half. The mesh has the last word on whether
    something is a face.

    Args:
        photograph: RGB, or a picture ``[1 or 3, h, w]`` in [-1, 1].

    Raises:
        SemanifoldError: if the picture has another shape, or holds NaN.
    """
    if isinstance(photograph, Tensor):
        photograph = Image.fromarray(to_uint8(photograph[None])[0])
    scale = min(1.0, SHORTEST / min(photograph.size))
    small = photograph.resize([max(1, round(side * scale)) for side in photograph.size]) if scale < 1 else photograph
    faces: list[Face] = []
    for quarters in range(4):
        turned = small.rotate(90 * quarters, expand=True) if quarters else small
        for candidate in candidates(turned, finest=2 if quarters else FINEST):
            place = turned_back(candidate, quarters, small.size) / scale
            if _among(faces, _box(place)):
                continue
            face = face_at(photograph, place)
            if face is not None and not _among(faces, face.box):
                faces.append(face)
    return sorted(faces, key=lambda face: -_area(face.box))


def tiles(width: int, height: int, finest: int) -> list[tuple[float, float, float]]:
    """Return the parts that are searched: left, top and side of squares, the whole first, each next side half as long.

    The last ones are at least a share of the shorter side, one over ``finest``.
    """
    side = float(max(width, height))
    parts = [((width - side) / 2, (height - side) / 2, side)]
    while side / 2 >= max(SMALLEST_TILE, min(width, height) / finest):
        side /= 2
        steps = [max(0, math.ceil(2 * (length - side) / side)) for length in (width, height)]
        lefts, tops = (
            [(length - side) * (i / n if n else 0.5) for i in range(n + 1)] for length, n in zip((width, height), steps)
        )
        parts += [(left, top, side) for top, left in itertools.product(tops, lefts)]
    return parts[:MOST_TILES]


def candidates(photograph: Image.Image, finest: int = FINEST) -> list[Tensor]:
    """Return what the detector takes for faces, the surest first: middle, size and keypoints ``[8, 2]`` in pixels."""
    parts = tiles(*photograph.size, finest)
    scored: list[tuple[float, Tensor]] = []
    for start in range(0, len(parts), BATCH):
        chosen = parts[start : start + BATCH]
        pictures = torch.stack([_framed(photograph, *part) for part in chosen])
        logits, places = detector()(pictures)
        for part, index in torch.nonzero(logits > LIKELY).tolist():
            left, top, side = chosen[part]
            place = places[part, index] * side
            place[[0, *range(2, len(place))]] += torch.tensor([left, top])
            scored.append((float(logits[part, index]), place))
    # one face makes many candidates, in several parts
    scored.sort(key=lambda pair: -pair[0])
    kept: list[Tensor] = []
    for _, place in scored:
        if not any(overlap(_box(place), _box(other)) > SAME for other in kept):
            kept.append(place)
    return kept


def turned_back(place: Tensor, quarters: int, size: tuple[int, int]) -> Tensor:
    """Return a candidate in a photograph that was turned counterclockwise by so many quarters, as it lies in the photograph.

    Args:
        place: middle, size and keypoints ``[8, 2]``.
        quarters: 0 to 3.
        size: width and height of the photograph.
    """
    width, height = size
    x, y = place.unbind(1)
    back = ((x, y), (width - y, x), (width - x, height - y), (y, height - x))[quarters]
    turned = torch.stack(back, dim=-1)
    turned[1] = place[1] if quarters % 2 == 0 else place[1].flip(0)
    return turned


def face_at(photograph: Image.Image, candidate: Tensor) -> Face | None:
    """Return the face that a candidate is, or None.

    The mesh looks at the detector's box four ways round, for the detector takes faces that lie or hang for upright ones; then in
    the box of its own points, several times, for that box moves at first.
    """
    across, size = candidate[3] - candidate[2], float(candidate[1].max())
    angle = math.atan2(float(across[1]), float(across[0]))
    turns = [angle + quarter * math.pi / 2 for quarter in range(4)]
    face = meshed(photograph, [turned_square(candidate[0], AROUND * size, turn) for turn in turns])
    for _ in range(LOOKS):
        if face is None:
            return None
        # the box of the points in the upright coordinates of the face
        angle = math.radians(face.roll)
        turn = torch.tensor([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        upright = face.points @ turn.T
        low, high = upright.amin(0), upright.amax(0)
        middle, size = turn.T @ ((low + high) / 2), float((high - low).max())
        face = meshed(photograph, [turned_square(middle, AROUND * size, angle)])
    return face


def meshed(photograph: Image.Image, places: Sequence[Placement]) -> Face | None:
    """Return the face in the part of a photograph that shows it best; None if no part does."""
    there = [place for place in places if _touches(place, photograph)]
    if not there:
        return None
    points, logits = mesh()(torch.cat([from_uint8(cut_out(photograph, place, MESHED_AT, MESHED_AT)) for place in there]))
    best = int(logits.argmax())
    if logits[best] < SURE:
        return None
    origin, down, _, right = (torch.tensor(corner) for corner in there[best].quad)
    inside = points[best, :, :2]
    return Face(origin + inside[:, :1] * (right - origin) + inside[:, 1:] * (down - origin), float(logits[best]))


def turned_square(middle: Tensor, side: float, angle: float) -> Placement:
    """Return a square around a point, turned clockwise by an angle in radians."""
    across = torch.tensor([math.cos(angle), math.sin(angle)]) * side / 2
    down = torch.tensor([-math.sin(angle), math.cos(angle)]) * side / 2
    corners = [middle - across - down, middle - across + down, middle + across + down, middle + across - down]
    return Placement.of(torch.stack(corners))


def overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Return the area that two boxes share, over that of the smaller one."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height) / max(min(_area(one), _area(other)), 1e-9)


def _among(faces: list[Face], box: tuple[float, ...]) -> bool:
    """Whether a box is that of one of these faces."""
    return any(overlap(face.box, box) > SAME for face in faces)


def _area(box: tuple[float, ...]) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def _box(place: Tensor) -> tuple[float, ...]:
    return tuple(torch.cat([place[0] - place[1] / 2, place[0] + place[1] / 2]).tolist())


def _touches(place: Placement, photograph: Image.Image) -> bool:
    """Whether the middle of a part lies in a photograph."""
    left, top, right, bottom = place.corners
    return 0 < (left + right) / 2 < photograph.width and 0 < (top + bottom) / 2 < photograph.height and right - left >= 4


def _framed(photograph: Image.Image, left: float, top: float, side: float) -> Tensor:
    """Return a square part ``[3, 128, 128]``, black outside of the photograph."""
    inside = (max(left, 0.0), max(top, 0.0), min(left + side, photograph.width), min(top + side, photograph.height))
    scale = DETECTED_AT / side
    size = (max(1, round((inside[2] - inside[0]) * scale)), max(1, round((inside[3] - inside[1]) * scale)))
    part = photograph.resize(size, Image.Resampling.BILINEAR, inside)
    framed = Image.new("RGB", (DETECTED_AT, DETECTED_AT))
    framed.paste(part, (round((inside[0] - left) * scale), round((inside[1] - top) * scale)))
    return from_uint8(framed)[0]
