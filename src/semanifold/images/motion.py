"""What moves from one picture to another, and how surely: dense optical flow, coarse to fine."""

from __future__ import annotations

import math

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
WINDOW = 2.0
"""Standard deviation of the Gaussian over which pixels move together."""
EVEN = 1.0
"""The same of the one by which a shift is drawn to those around it."""
PLAIN = 3e-3
"""Square of the slope, in picture units a pixel, below which nothing says where a pixel goes."""
FARTHEST = 2.0
"""Pixels of one step."""
NEAR = 0.03
"""Standard deviation of the Gaussian by which a change is noticed around it, as a share of the picture's side."""
CHANGED = 0.01
"""Change of the pictures, in their units, at which half of a shift is meant."""
TONE = 0.06
"""Standard deviation of the Gaussian that tells tones from details, as a share of the picture's side."""
UNLIKE = 0.1
"""Difference of the details, in picture units, at which a shift counts half."""
ASTRAY = 3.0
"""Pixels by which the way there and back misses its beginning, at which a shift counts half."""


def motion_between(before: Pictures, after: Pictures) -> tuple[Tensor, Tensor]:
    """Return where each point of a picture was in another one, and how surely.

    Lucas and Kanade's equations (1981, "An iterative image registration technique") in a Gaussian window, from coarse to fine,
    on what is left of the pictures without their tones, so that light and colour may change. A shift is trusted as far as it
    explains the picture, and as the shift of the opposite way leads back. What does not change has not moved.

    Args:
        before: ``[1, c, h, w]`` in [-1, 1].
        after: of the same shape.

    Returns:
        Shifts ``[1, 2, y, x]``, to the right and down, as shares of width and height: ``after`` at a point is ``before`` at the
        point plus the shift; and weights ``[1, 1, y, x]`` from 0 to 1. The shorter side is of ``SIDE`` pixels. Between equal
        pictures they are 0 and 1.
    """
    scale = SIDE / min(before.shape[2:])
    size = (round(before.shape[2] * scale), round(before.shape[3] * scale))
    both = interpolate(torch.cat([before, after]), size, mode="bicubic", antialias=True)
    change = smoothed((both[1:] - both[:1]).square().mean(1, keepdim=True), NEAR)
    both = both - smoothed(both, TONE)
    # both ways at once: the first of each pair is where things come from
    pairs = [(both, both.flip(0))]
    for _ in range(LEVELS - 1):
        half = interpolate(pairs[-1][0], scale_factor=0.5, mode="bicubic", antialias=True)
        pairs.append((half, half.flip(0)))
    shift = torch.zeros(2, 2, *pairs[-1][0].shape[2:])
    for source, target in reversed(pairs):
        if shift.shape[2:] != source.shape[2:]:
            shift = 2 * interpolate(shift, source.shape[2:], mode="bilinear")
        for _ in range(ROUNDS):
            shift = nearer(source, target, shift)
    there, back = shift[:1], shift[1:]
    difference = (both[1:] - moved(both[:1], there)).square().mean(1, keepdim=True) / UNLIKE**2
    missed = (there + moved(back, there)).square().sum(1, keepdim=True) / ASTRAY**2
    doubt = gaussian(difference + missed, 1.0)
    # windows are wide: what does not change at all has not moved
    share = change / (change + CHANGED**2)
    return share * there / torch.tensor([size[1], size[0]]).reshape(1, 2, 1, 1), 1 - share * doubt / (1 + doubt)


def nearer(source: Pictures, target: Pictures, shift: Tensor) -> Tensor:
    """Return shifts ``[n, 2, h, w]`` in pixels after one step that brings the moved source nearer to the target."""
    # 1. The slopes of both, and what is still missing at smoothed shifts, to first order.
    here = moved(source, shift)
    right, down = slopes((here + target) / 2)
    even = gaussian(shift, EVEN)
    back = even - shift
    missing = target - here - right * back[:, :1] - down * back[:, 1:]
    # 2. The normal equations of each pixel's window; where there is no slope the shift of the neighbours stays.
    products = [right * right, right * down, down * down, right * missing, down * missing]
    xx, xy, yy, xd, yd = gaussian(torch.stack([product.sum(1) for product in products], dim=1), WINDOW).split(1, 1)
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
