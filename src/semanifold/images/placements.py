"""Where in a photograph a generator's picture lies: to cut it out upright, and to put an edited one back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate, max_pool2d

from semanifold.core.errors import SemanifoldError
from semanifold.core.shapes import Mask1, Pictures
from semanifold.images.media import from_uint8
from semanifold.images.motion import TONE, Motion, gaussian, motion_between, moved, smoothed

Corner = tuple[float, float]

EDGE = 0.04
"""Share of the picture's side over which an edited part fades out towards an edge that lies inside of the photograph."""
REACH = 0.1
"""How far outside of the mask details may come from, as a share of the picture's side."""
LEFT = 0.7
"""Standard deviation, in the generator's pixels, of the Gaussian that smooths what an edit changes beside moving it."""
SHARPENED = 0.8
"""How far around it a pixel's lightest and darkest neighbours are looked for when it is sharpened, in pixels of the same."""
GRAIN = 0.3
"""Standard deviation, in the same, of the Gaussian that takes the grain out of a photograph before its edges are measured."""
LEAST = 0.03
"""Steps between neighbours, in picture units, that differ by less say nothing of edges."""
NOTHING = 1 / 512
"""A mask below this moves no level of 8 bits by half a step."""


@dataclass(frozen=True)
class Placement:
    """The part of a photograph that a generator's picture stands for, which may be turned.

    Attributes:
        quad: its corners ``(x, y)`` in pixels of the photograph, top left, bottom left, bottom right, top right of the
            generator's picture; they may lie outside of the photograph.

    Raises:
        SemanifoldError: if the corners are no parallelogram, or less than one pixel large.
    """

    quad: tuple[Corner, Corner, Corner, Corner]

    def __post_init__(self) -> None:
        """Refuse what is no parallelogram."""
        corners = np.asarray(self.quad, dtype=np.float64)
        if corners.shape != (4, 2) or not np.isfinite(corners).all() or np.abs(corners).max() > 1e6:
            raise SemanifoldError(
                "A placement has four corners (x, y) in pixels: top left, bottom left, bottom right, top right."
            )
        down, across = corners[1] - corners[0], corners[3] - corners[0]
        size = max(np.abs(down).max(), np.abs(across).max())
        if np.abs(corners[2] - corners[1] - across).max() > 1e-3 * size or abs(across[0] * down[1] - across[1] * down[0]) < 1:
            raise SemanifoldError("The corners of a placement are those of a parallelogram that is at least one pixel large.")

    @classmethod
    def box(cls, left: float, top: float, right: float, bottom: float) -> Placement:
        """Return an upright rectangle."""
        return cls(((left, top), (left, bottom), (right, bottom), (right, top)))

    @classmethod
    def of(cls, quad: Tensor) -> Placement:
        """Return the placement of corners ``[4, 2]``."""
        first, second, third, fourth = ((float(x), float(y)) for x, y in quad.tolist())
        return cls((first, second, third, fourth))

    def scaled(self, factor: float) -> Placement:
        """Return the same part of the photograph when that is resized."""
        first, second, third, fourth = ((factor * x, factor * y) for x, y in self.quad)
        return Placement((first, second, third, fourth))

    def part(self, left: float, top: float, right: float, bottom: float) -> Placement:
        """Return a part of it, between fractions of its width and height."""
        origin, down, _, across = (np.asarray(corner) for corner in self.quad)
        ends = ((left, top), (left, bottom), (right, bottom), (right, top))
        return Placement.of(torch.from_numpy(np.stack([origin + u * (across - origin) + v * (down - origin) for u, v in ends])))

    @property
    def corners(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of the upright rectangle around it, in pixels."""
        x, y = zip(*self.quad, strict=True)
        return min(x), min(y), max(x), max(y)

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the part, in pixels of the photograph."""
        (x, y), (x_down, y_down), _, (x_across, y_across) = self.quad
        return math.hypot(x_across - x, y_across - y), math.hypot(x_down - x, y_down - y)

    @property
    def upright(self) -> bool:
        """Whether it is a rectangle that is not turned."""
        (x, y), (x_down, _), _, (x_across, y_across) = self.quad
        return abs(x_down - x) + abs(y_across - y) < 1e-9 * sum(self.size) and x_across > x

    def pixels(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Return left, top, right, bottom in whole pixels of what it covers of a photograph; nothing if right <= left."""
        left, top, right, bottom = self.corners
        return (
            max(math.floor(left), 0),
            max(math.floor(top), 0),
            min(math.ceil(right), width),
            min(math.ceil(bottom), height),
        )

    def fractions(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return where points of the photograph lie in the generator's picture: 0 at its left and top, 1 at its right, bottom."""
        origin, down, _, across = (np.asarray(corner) for corner in self.quad)
        inverse = np.linalg.inv(np.stack([across - origin, down - origin], axis=1))
        u = inverse[0, 0] * (x - origin[0]) + inverse[0, 1] * (y - origin[1])
        v = inverse[1, 0] * (x - origin[0]) + inverse[1, 1] * (y - origin[1])
        return u, v


def cut_out(photograph: Image.Image, place: Placement, width: int, height: int) -> Image.Image:
    """Return a part of a photograph, upright and of a size; what lies outside of the photograph is its mirror image.

    Args:
        photograph: of any mode with 8 bits a channel.
        place: which part.
        width: of the result, in pixels.
        height: of the result, in pixels.
    """
    left, top, right, bottom = place.corners
    if place.upright and left >= 0 and top >= 0 and right <= photograph.width and bottom <= photograph.height:
        return photograph.resize((width, height), Image.Resampling.LANCZOS, (left, top, right, bottom))
    # 1. Cut what is needed; a mirror image begins at the photograph's own edges only, for there is a margin elsewhere.
    shrink = max(1.0, math.sqrt(place.size[0] / width * place.size[1] / height))
    margin = 4 * shrink
    box = (
        max(0, math.floor(left - margin)),
        max(0, math.floor(top - margin)),
        min(photograph.width, math.ceil(right + margin)),
        min(photograph.height, math.ceil(bottom + margin)),
    )
    if box[2] - box[0] < 1 or box[3] - box[1] < 1:
        raise SemanifoldError("The part to cut out lies outside of the photograph.")
    part = photograph.crop(box)
    # 2. Shrink it, so that one of its pixels is about one of the result's: sampling takes no mean.
    small = part.resize((max(1, round(part.width / shrink)), max(1, round(part.height / shrink))), Image.Resampling.LANCZOS)
    values = torch.from_numpy(np.array(small, dtype=np.float32)).reshape(small.height, small.width, -1).permute(2, 0, 1)[None]
    # 3. Sample it at the centres of the result's pixels.
    origin, down, _, across = (np.asarray(corner) - box[:2] for corner in place.quad)
    u, v = (torch.arange(width) + 0.5) / width, (torch.arange(height) + 0.5) / height
    x = origin[0] + u[None] * (across - origin)[0] + v[:, None] * (down - origin)[0]
    y = origin[1] + u[None] * (across - origin)[1] + v[:, None] * (down - origin)[1]
    grid = torch.stack([2 * x / part.width - 1, 2 * y / part.height - 1], dim=-1)[None].to(values)
    taken = grid_sample(values, grid, mode="bicubic", padding_mode="reflection", align_corners=False)
    levels = taken[0].clamp(0, 255).round().byte().permute(1, 2, 0).numpy()
    return Image.fromarray(levels[..., 0] if levels.shape[2] == 1 else levels, photograph.mode)


@dataclass(frozen=True, eq=False)
class Inlay:
    """A photograph in which a part can be replaced by edited pictures of a generator.

    Inside of the mask a pixel becomes ``trust * (moved(photograph) + smoothed(edited - moved(unedited))) + (1 - trust) *
    sharpened(edited + tones)``. The photograph goes where the edit moves what it shows
    (:func:`~semanifold.images.motion.motion_between`), so that the edited part is sharper than the generator's picture, and
    becomes as light as the edit makes it. What appears, and was nowhere before, is the generator's picture in the tones of the
    photograph, sharpened as far as makes edges of its unedited picture as steep as the photograph's. At ``edited = unedited``
    nothing changes, and neither does what lies outside of the mask, bit for bit.

    Attributes:
        photograph: ``[height, width, 3]``, 8 bits.
        place: where the generator's picture lies.
        unedited: that picture, ``[1, 1 or 3, h, w]`` in [-1, 1].
        mask: where changes are wanted, in the generator's picture; None for all of it.
        edge: share of the side over which they fade out towards the edges of the generator's picture.

    Raises:
        SemanifoldError: if the generator's picture lies outside of the photograph.
    """

    photograph: NDArray[np.uint8]
    place: Placement
    unedited: Pictures
    mask: Mask1 | None = None
    edge: float = EDGE

    def __post_init__(self) -> None:
        """Refuse a part that lies outside."""
        left, top, right, bottom = self.box
        if right - left < 1 or bottom - top < 1:
            raise SemanifoldError("The part to be edited lies outside of the photograph.")

    @cached_property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom of the pixels that are worked on: the mask and what lies around it."""
        place = self.place
        if self.mask is not None and bool(self.mask.any()):
            place = place.part(*_around(self.mask))
        return place.pixels(self.photograph.shape[1], self.photograph.shape[0])

    @cached_property
    def own(self) -> Tensor:
        """The photograph there, ``[1, 3, y, x]`` in [-1, 1]."""
        left, top, right, bottom = self.box
        return from_uint8(self.photograph[top:bottom, left:right])

    @cached_property
    def where(self) -> tuple[Tensor, Tensor]:
        """Where the centres of the photograph's pixels lie in the generator's picture, as fractions ``[y, x]``."""
        left, top, right, bottom = self.box
        x = torch.arange(left, right, dtype=torch.float64) + 0.5
        y = torch.arange(top, bottom, dtype=torch.float64) + 0.5
        return self.place.fractions(x[None], y[:, None])

    @cached_property
    def weight(self) -> Tensor:
        """The mask in the photograph, ``[1, 1, y, x]``; it fades out at edges that lie inside of the photograph."""
        u, v = self.where
        inside = torch.ones_like(u)
        ends = (self.photograph.shape[1], self.photograph.shape[0])
        left, top, right, bottom = self.place.corners
        for part, low, high, end in ((u, left, right, ends[0]), (v, top, bottom, ends[1])):
            soft_low, soft_high = (low > 0.5, high < end - 0.5) if self.place.upright else (True, True)
            inside = inside * _ramp(part, self.edge, soft=soft_low) * _ramp(1 - part, self.edge, soft=soft_high)
        weight = inside[None, None].float()
        return weight if self.mask is None else weight * self.sampled(self.mask.float().cpu()).clamp(0, 1)

    @cached_property
    def tones(self) -> Tensor:
        """What the photograph is lighter than the unedited picture, smoothed, ``[1, 3, h, w]`` of the generator's picture."""
        height, width = self.unedited.shape[2:]
        there = Image.fromarray(self.photograph)
        return smoothed(from_uint8(cut_out(there, self.place, width, height)) - self.unedited.float().cpu(), TONE)

    @property
    def enlarged(self) -> float:
        """Pixels of the photograph per pixel of the generator's picture."""
        return math.sqrt(self.place.size[0] / self.unedited.shape[3] * self.place.size[1] / self.unedited.shape[2])

    @cached_property
    def sharpening(self) -> float:
        """How much of a sharpening makes the edges of the unedited picture as steep as those of the photograph, from 0 to 1.

        Edges are compared by their steepness and not pixel by pixel, for those of an inversion lie beside the photograph's.
        """
        plain = self.sampled(self.unedited.float().cpu() + self.tones)
        pictures = (plain, stepped(plain, SHARPENED * self.enlarged), self.own)
        before, after, wanted = (steepness(gaussian(picture, GRAIN * self.enlarged)) for picture in pictures)
        return min(1.0, max(0.0, (wanted - before) / max(after - before, LEAST)))

    def sharpened(self, pictures: Tensor) -> Tensor:
        """Return pictures of the generator's part as they lie in the photograph, about as sharp as that is."""
        plain = self.sampled(pictures)
        if self.enlarged <= 1 or self.sharpening == 0:
            return plain
        return plain + self.sharpening * (stepped(plain, SHARPENED * self.enlarged) - plain)

    def sampled(self, pictures: Tensor, mode: str = "bicubic") -> Tensor:
        """Return pictures ``[1, c, h, w]`` of the generator's part as they lie in the photograph, ``[1, c, y, x]``."""
        height, width = pictures.shape[2:]
        scale = math.sqrt(self.place.size[0] / width * self.place.size[1] / height)
        if scale < 1:  # sampling takes no mean
            small = (max(1, round(height * scale)), max(1, round(width * scale)))
            pictures = interpolate(pictures, small, mode="bicubic", antialias=True)
        u, v = self.where
        grid = torch.stack([2 * u - 1, 2 * v - 1], dim=-1)[None].to(pictures)
        return grid_sample(pictures, grid, mode=mode, padding_mode="border", align_corners=False)

    def onto(
        self, edited: Pictures, photograph: NDArray[np.uint8] | None = None, motion: Motion | None = None
    ) -> NDArray[np.uint8]:
        """Return the photograph with one edited picture in it, ``[height, width, 3]``, 8 bits.

        Args:
            edited: ``[1, c, h, w]`` in [-1, 1].
            photograph: the one to change in place of our own, such as one with another part edited; of the same size.
            motion: :func:`~semanifold.images.motion.motion_between` the unedited picture and this one, where it is known already.
        """
        # 1. Where the edit takes each point from, and what it changes beside that.
        before, after = (picture.float().cpu().clamp(-1, 1) for picture in (self.unedited, edited))
        motion = motion or motion_between(before, after)
        height, width = before.shape[2:]
        pixels = motion.shift * torch.tensor([width, height]).reshape(1, 2, 1, 1)
        small = interpolate(torch.cat([pixels, motion.moves], dim=1), (height, width), mode="bilinear", antialias=True)
        beside = gaussian(after - followed(before, small[:, :2], small[:, 2:]), LEFT)
        # 2. The same in the photograph.
        origin, down, _, across = torch.tensor(self.place.quad, dtype=torch.float32)
        sides = torch.stack([across - origin, down - origin], dim=1)
        shift = torch.einsum("ij,njyx->niyx", sides, motion.shift)
        large = self.sampled(torch.cat([shift, motion.moves, motion.trust], dim=1), "bilinear")
        moving = followed(self.own, large[:, :2], large[:, 2:3]) + self.sampled(beside)
        trust, weight = large[:, 3:], self.weight
        difference = weight * (trust * moving + (1 - trust) * self.sharpened(after + self.tones) - self.own)
        # 3. Only pixels that the mask holds are touched.
        left, top, right, bottom = self.box
        whole = (self.photograph if photograph is None else photograph).copy()
        part = whole[top:bottom, left:right]
        levels = torch.from_numpy(part.astype(np.float32)) + 127.5 * difference[0].permute(1, 2, 0)
        part[...] = np.where(weight[0, 0, ..., None].numpy() < NOTHING, part, levels.round().clamp(0, 255).byte().numpy())
        return whole


def followed(picture: Tensor, shift: Tensor, moves: Tensor) -> Tensor:
    """Return a picture ``[1, c, h, w]`` of which what moves comes from each pixel plus a shift in pixels, and the rest stays."""
    return moves * moved(picture, shift, "bicubic") + (1 - moves) * picture


def stepped(picture: Tensor, reach: float) -> Tensor:
    """Return a picture ``[1, c, h, w]`` with steeper edges: drawn to the lightest or darkest value around, whichever is nearer.

    A soft kind of Kramer and Bruckner's transformation (1975, "Iterations of a non-linear transformation for enhancement of
    digital images"), which makes no value that was not there.

    Args:
        picture: any values.
        reach: how far to look around, in pixels.
    """
    side = max(1, round(reach))
    high, low = (sign * _largest(sign * picture, side) for sign in (1, -1))
    high, low = (gaussian(ends, max(0.5, reach / 2)) for ends in (high, low))
    part = ((picture - low) / (high - low + 1e-3)).clamp(0, 1)
    for _ in range(2):
        part = part * part * (3 - 2 * part)
    return low + (high - low) * part


def steepness(picture: Tensor) -> float:
    """Return how large a step between neighbours is that one in fifty exceeds."""
    down, right = (picture.diff(dim=axis).square().sum(1).flatten().sqrt() for axis in (2, 3))
    steps = torch.cat([down, right])
    return float(steps.kthvalue(max(1, round(0.98 * len(steps)))).values) if len(steps) else 0.0


def _largest(picture: Tensor, side: int) -> Tensor:
    """Return the largest value of the square around each pixel."""
    picture = max_pool2d(picture, (2 * side + 1, 1), 1, (side, 0))
    return max_pool2d(picture, (1, 2 * side + 1), 1, (0, side))


def _around(mask: Tensor) -> tuple[float, float, float, float]:
    """Return left, top, right, bottom, as fractions of the picture, of where a mask is not zero, and of what lies around it."""
    ends: list[float] = []
    for axis in (3, 2):
        places = mask.amax(dim=5 - axis).flatten().nonzero().flatten()
        length, margin = mask.shape[axis], max(REACH, 3 / mask.shape[axis])
        ends += [max(0.0, float(places[0]) / length - margin), min(1.0, float(places[-1] + 1) / length + margin)]
    return ends[0], ends[2], ends[1], ends[3]


def _ramp(place: Tensor, edge: float, *, soft: bool) -> Tensor:
    """Return 0 at an edge and outside of it, 1 from ``edge`` inwards, smooth between."""
    if not soft or edge <= 0:
        return (place >= 0).to(place)
    part = (place / edge).clamp(0, 1)
    return part * part * (3 - 2 * part)
