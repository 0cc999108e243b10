"""Anti-aliased shapes and smooth colours: the brushes of the face renderer.

Coordinates run from -1 to 1, x to the right and y down, with the same layout at every resolution. A signed distance is negative
inside of a shape. All brushes are pure elementwise functions, so gradients, jvp and vmap pass through them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Canvas", "bezier", "colour", "coverage", "ellipse_distance", "mix", "paint", "rounded_and", "stroke", "together"]

_TINY = 1e-6


@dataclass(frozen=True, eq=False)
class Canvas:
    """The pixel centres of a picture, or of a window cut out of it.

    Args:
        x: horizontal positions [1, 1, W].
        y: vertical positions [1, H, 1].
        pixel: side of one pixel in the same units.
    """

    x: Tensor
    y: Tensor
    pixel: float

    @classmethod
    def square(cls, size: int, like: Tensor) -> Canvas:
        """Return the canvas of a whole picture of `size` x `size` pixels."""
        centres = (torch.arange(size, dtype=like.dtype, device=like.device) + 0.5) * (2 / size) - 1
        return cls(centres.view(1, 1, size), centres.view(1, size, 1), 2 / size)

    def span(self, low: float, high: float) -> slice:
        """Return the rows (or, on a square canvas, columns) whose centres lie between two positions, with a pixel to spare."""
        size = self.y.shape[1]
        first = int((low + 1) / self.pixel) - 1
        last = int((high + 1) / self.pixel) + 2
        return slice(max(first, 0), min(last, size))

    def cut(self, rows: slice, columns: slice) -> Canvas:
        """Return the canvas of a window."""
        return Canvas(self.x[:, :, columns], self.y[:, rows, :], self.pixel)

    def coverage(self, distance: Tensor) -> Tensor:
        """Return how much of each pixel lies inside of a shape, given the signed distances of the pixel centres."""
        return coverage(distance, self.pixel)

    def stroke(self, distance: Tensor, half_width: Tensor | float) -> Tensor:
        """Return how much of each pixel lies on a line, given the distance (of either sign) from its middle."""
        return stroke(distance, half_width, self.pixel)


def coverage(distance: Tensor, softness: Tensor | float) -> Tensor:
    """Return the coverage in [0, 1] at a signed distance: a smooth step, 1.5 times `softness` wide.

    The cubic 3 t^2 - 2 t^3 stays close to the box filter of a straight edge and has a continuous derivative.
    """
    # 1 inside, 0 outside, 1/2 on the border
    ramp = (0.5 - distance / (1.5 * softness)).clamp(0, 1)
    return ramp * ramp * (3 - 2 * ramp)


def together(first: Tensor, second: Tensor) -> Tensor:
    """Return the coverage of the part of a pixel that lies between two roughly parallel edges; exact for thin strips."""
    # what one edge leaves and the other leaves: a strip thinner than a pixel is covered by the sum of both, less 1
    return (first + second - 1).clamp(min=0)


def rounded_and(first: Tensor, second: Tensor, radius: float) -> Tensor:
    """Return the signed distance from the intersection of two shapes, with the corners rounded off."""
    between = first - second
    # the maximum is (a + b + |a - b|) / 2; the root with a radius is a rounded |a - b|
    return 0.5 * (first + second + (between * between + radius * radius).sqrt())


def stroke(distance: Tensor, half_width: Tensor | float, softness: float) -> Tensor:
    """Return the coverage of a line; lines thinner than a pixel grow faint instead of jagged."""
    # all that lies before one edge, less all that lies before the other
    return (coverage(distance - half_width, softness) - coverage(distance + half_width, softness)).clamp(min=0)


def ellipse_distance(u: Tensor, v: Tensor, radius_x: Tensor | float, radius_y: Tensor | float) -> Tensor:
    """Return the signed distance from an ellipse, to first order at its border.

    Args:
        u: horizontal distance from the middle over the horizontal radius.
        v: vertical distance from the middle over the vertical radius.
        radius_x: horizontal radius.
        radius_y: vertical radius.
    """
    # f = r^2 - r with r = sqrt(u^2 + v^2) is 0 on the border; over its gradient there, sqrt(slope), it is the distance.
    uu, vv = u * u, v * v
    squared = uu + vv + _TINY  # both small numbers: roots and slopes are finite at the middle
    slope = uu / (radius_x * radius_x) + vv / (radius_y * radius_y) + _TINY
    return (squared - squared.sqrt()) * slope.rsqrt()


def mix(low: Tensor | float, high: Tensor | float, amount: Tensor) -> Tensor:
    """Return low at 0, high at 1, a straight line in between."""
    return low + (high - low) * amount


def bezier(points: Sequence[Sequence[float]], amount: Tensor) -> Tensor:
    """Return the colours [n, 3, 1, 1] at positions [n, 1, 1] along a Bezier curve through colour space.

    Args:
        points: three or four RGB colours in [0, 1]; the curve starts at the first and ends at the last.
        amount: position in [0, 1].
    """
    t = amount[:, None]
    s = 1 - t
    weights = (s * s, 2 * s * t, t * t) if len(points) == 3 else (s * s * s, 3 * s * s * t, 3 * s * t * t, t * t * t)
    return sum((colour(point, t) * weight for point, weight in zip(points, weights, strict=True)), torch.zeros_like(t))


def colour(rgb: Sequence[float], like: Tensor) -> Tensor:
    """Return a constant colour [1, 3, 1, 1] with the type and device of a tensor."""
    return torch.tensor(rgb, dtype=like.dtype, device=like.device).view(1, 3, 1, 1)


def paint(picture: Tensor, paint_colour: Tensor, alpha: Tensor) -> Tensor:
    """Lay a colour [n, 3, H or 1, W or 1] over a picture [n, 3, H, W], as opaque as alpha [n, H, W] says."""
    return torch.lerp(picture, paint_colour, alpha[:, None])
