"""What moves from one picture to another, and how surely: dense optical flow, coarse to fine, before what lies still."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate, pad

from semanifold.core.shapes import Pictures

SIDE = 128
"""Shorter side that pictures are given before their parts are followed; the pixels below are those."""
LEVELS = 4
"""Sizes, each half of the one before."""
ROUNDS = 4
"""Steps at each of them."""
WINDOW = 2.5
"""Standard deviation of the Gaussian over which pixels move together."""
EVEN = 1.0
"""The same of the one by which a shift is drawn to those around it."""
NEAR = 1.0
"""The same of the one over which it is seen whether something moved or lies still."""
PLAIN = 3e-3
"""Square of the slope, in picture units a pixel, below which nothing says where a pixel goes."""
FARTHEST = 2.0
"""Pixels of one step."""
SAME = 0.01
"""Difference of the pictures, in their units, below which nothing has changed."""
TONE = 0.06
"""Standard deviation of the Gaussian that tells tones from details, as a share of the picture's side."""
ODD = 0.15
"""Difference of the details, in picture units, at which a pixel counts half in its window: it has appeared, or is hidden now."""
UNLIKE = 0.1
"""The same at which what was found counts half."""
DOUBT = 0.5
"""Standard deviation of the Gaussian by which such a difference is smoothed."""


@dataclass(frozen=True, eq=False)
class Motion:
    """Where each point of a picture was in another one; the shorter side is of ``SIDE`` pixels.

    Attributes:
        shift: ``[1, 2, y, x]``, to the right and down, as shares of width and height: the later picture at a point that moved is
            the earlier one at the point plus the shift.
        moves: ``[1, 1, y, x]``: 1 where a point moved so, 0 where it lies still, in front of what moves or behind it.
        trust: ``[1, 1, y, x]``: how much of the later picture is explained by that, from 0 to 1.
    """

    shift: Tensor
    moves: Tensor
    trust: Tensor


def motion_between(before: Pictures, after: Pictures) -> Motion:
    """Return where each point of a picture was in another one, and how surely.

    Lucas and Kanade's equations (1981, "An iterative image registration technique") in a Gaussian window, from coarse to fine,
    on what is left of the pictures without their tones, so that light and colour may change. An iris moves below lids that do
    not: what lies still explains better than what moves, or what neither explains, counts little in the window and is told apart
    afterwards. Between equal pictures nothing moves and all is trusted.

    Args:
        before: ``[1, c, h, w]`` in [-1, 1].
        after: of the same shape.
    """
    scale = SIDE / min(before.shape[2:])
    size = (round(before.shape[2] * scale), round(before.shape[3] * scale))
    both = interpolate(torch.cat([before, after]), size, mode="bicubic", antialias=True)
    change = differs(*both.split(1))
    both = both - smoothed(both, TONE)
    pairs = [both]
    for _ in range(LEVELS - 1):
        pairs.append(interpolate(pairs[-1], scale_factor=0.5, mode="bicubic", antialias=True))
    shift = torch.zeros(1, 2, *pairs[-1].shape[2:])
    for pair in reversed(pairs):
        if shift.shape[2:] != pair.shape[2:]:
            shift = 2 * interpolate(shift, pair.shape[2:], mode="bilinear")
        for _ in range(ROUNDS):
            shift = nearer(pair[:1], pair[1:], shift)
    source, target = both.split(1)
    there = moved(source, shift)
    still, gone = differs(source, target).square(), differs(there, target).square()
    moves = still / (still + gone + SAME**4)
    missed = (target - moves * there - (1 - moves) * source).square().mean(1, keepdim=True)
    doubt = gaussian(missed / UNLIKE**2, DOUBT)
    # what does not change at all is where it was
    share = change / (change + SAME**2)
    return Motion(shift / torch.tensor([size[1], size[0]]).reshape(1, 2, 1, 1), moves, 1 - share * doubt / (1 + doubt))


def differs(one: Pictures, other: Pictures) -> Tensor:
    """Return how far two pictures differ around each pixel, ``[n, 1, h, w]``, in squares of their units."""
    return gaussian((one - other).square().mean(1, keepdim=True), NEAR)


def nearer(source: Pictures, target: Pictures, shift: Tensor) -> Tensor:
    """Return shifts ``[n, 2, h, w]`` in pixels after one step that brings the moved source nearer to the target."""
    # 1. The slopes of both, and what is still missing at smoothed shifts, to first order.
    here = moved(source, shift)
    right, down = slopes((here + target) / 2)
    even = gaussian(shift, EVEN)
    back = even - shift
    missing = target - here - right * back[:, :1] - down * back[:, 1:]
    # 2. How much each pixel says: less if it lies still, or is found in neither way.
    still, gone = differs(source, target) + SAME**2, differs(here, target)
    weight = (still / (still + gone + SAME**2)).square() / (1 + gone / ODD**2)
    # 3. The normal equations of each pixel's window; where there is no slope the shift of the neighbours stays.
    products = [right * right, right * down, down * down, right * missing, down * missing]
    sums = gaussian(torch.stack([product.sum(1) for product in products], dim=1) * weight, WINDOW)
    xx, xy, yy, xd, yd = sums.split(1, 1)
    xx, yy = xx + PLAIN, yy + PLAIN
    step = torch.cat([yy * xd - xy * yd, xx * yd - xy * xd], dim=1) / (xx * yy - xy.square())
    return even + step.clamp(-FARTHEST, FARTHEST)


def moved(pictures: Tensor, shift: Tensor, mode: str = "bilinear") -> Tensor:
    """Return pictures ``[n, c, h, w]`` read at each pixel plus a shift ``[n, 2, h, w]``, to the right and down, in pixels."""
    height, width = pictures.shape[2:]
    x = 2 * (torch.arange(width) + 0.5 + shift[:, 0]) / width - 1
    y = 2 * (torch.arange(height)[:, None] + 0.5 + shift[:, 1]) / height - 1
    return grid_sample(pictures, torch.stack([x, y], dim=-1), mode=mode, padding_mode="border", align_corners=False)


def slopes(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Return the slopes to the right and down, per pixel."""
    wide = pad(pictures, (1, 1, 1, 1), mode="replicate")
    return (wide[..., 1:-1, 2:] - wide[..., 1:-1, :-2]) / 2, (wide[..., 2:, 1:-1] - wide[..., :-2, 1:-1]) / 2


def smoothed(pictures: Tensor, share: float) -> Tensor:
    """Return pictures ``[n, c, h, w]`` smoothed by a Gaussian of this share of the shorter side, their borders mirrored."""
    return gaussian(pictures, share * min(pictures.shape[2:]))


def gaussian(pictures: Tensor, sigma: float) -> Tensor:
    """Return pictures ``[n, c, h, w]`` smoothed by a Gaussian of a width in pixels, their borders mirrored."""
    reach = min(math.ceil(3 * sigma), min(pictures.shape[2:]) - 1)
    if reach < 1:
        return pictures
    places = torch.arange(-reach, reach + 1.0)
    kernel = torch.softmax(-(places**2) / (2 * sigma**2), dim=0).tolist()
    for axis, sides in ((2, (0, 0, reach, reach)), (3, (reach, reach, 0, 0))):
        wide, length = pad(pictures, sides, mode="reflect"), pictures.shape[axis]
        pictures = kernel[0] * wide.narrow(axis, 0, length)
        for tap, weight in enumerate(kernel[1:], 1):  # several times as fast as a convolution of one channel
            pictures = pictures.add_(wide.narrow(axis, tap, length), alpha=weight)
    return pictures
