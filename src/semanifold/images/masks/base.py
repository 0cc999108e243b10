"""Masks and the shapes that they are made of; the grammar of their text form is in :mod:`semanifold.images.masks.grammar`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from semanifold.core.errors import SemanifoldError, shown
from semanifold.core.lazy import LazyModule
from semanifold.core.notebook import as_html

if TYPE_CHECKING:
    import torch
    from PIL import Image
    from torch import Tensor
    from torch.nn import functional

    from semanifold.core.shapes import Mask1
else:  # a mask is read, and refused, without torch; only drawing it needs that
    torch, functional = LazyModule("torch"), LazyModule("torch.nn.functional")

Regions = Callable[[str], "Mask"]
"""Finds the mask of a named region; raises :class:`SemanifoldError` with the near names for an unknown one."""

QUOTED = r"""'(?:[^']|'')*'|"(?:[^"]|"")*\""""
"""The name of a file in quotes; two quotes within stand for one."""
SUPERSAMPLING = 4
ROWS = 256
"""Rows of points that a polygon is compared with at a time."""
SMALLEST_AREA = 1e-4
"""A mask that covers (or leaves) less than this share of the picture counts as empty (or full)."""
SEAM = 0.45
"""A mask that is nowhere below this is full: two soft edges that meet leave one half between them."""


@dataclass(frozen=True, eq=False)
class Mask:
    """A soft picture in [0, 1]: 1 inside, 0 outside, anti-aliased at every size.

    Attributes:
        text: the mask as a person would type it; :func:`parse_mask` reads it back.
        paint: ``(height, width) -> [height, width]`` values in [0, 1], float32 on the CPU.
        corners: ``(left, top, right, bottom)`` as fractions if the mask is a plain box, else None.
    """

    text: str
    paint: Callable[[int, int], Tensor]
    corners: tuple[float, float, float, float] | None = None

    def at(self, height: int, width: int) -> Mask1:
        """Return the mask as a picture ``[1, 1, height, width]`` in [0, 1], float32 on the CPU."""
        return self.paint(height, width).clamp(0, 1)[None, None]

    def area(self, height: int = 64, width: int = 64) -> float:
        """Return the share of the picture that the mask covers."""
        return float(self.at(height, width).mean())

    def check(self, height: int, width: int) -> None:
        """Refuse a mask that is empty or full at this size.

        Raises:
            SemanifoldError: if there is nothing inside, or nothing outside.
        """
        covered = self.at(height, width)
        area = float(covered.mean())
        if area < SMALLEST_AREA:
            raise SemanifoldError(
                f"The mask '{shown(self.text)}' is empty: nothing lies inside it; draw it larger, or onto the picture."
            )
        if area > 1 - SMALLEST_AREA or float(covered.min()) > SEAM:
            raise SemanifoldError(
                f"The mask '{shown(self.text)}' covers the whole picture, so nothing could stay still; draw it smaller."
            )

    def rectangle(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Return ``(top, bottom, left, right)`` in whole pixels, last ones exclusive, of a mask that is a plain box.

        Raises:
            SemanifoldError: if the mask is no box.
        """
        if self.corners is None:
            raise SemanifoldError(
                f"The paper's objective knows boxes only, but the mask is '{shown(self.text)}'; give box:left,top,right,bottom."
            )
        left, top, right, bottom = self.corners
        rows = [min(max(round(edge * height), 0), height) for edge in (top, bottom)]
        columns = [min(max(round(edge * width), 0), width) for edge in (left, right)]
        return rows[0], rows[1], columns[0], columns[1]

    def feather(self, sigma: float) -> Mask:
        """Return the mask softened by a Gaussian whose standard deviation is this fraction of the picture's shorter side."""
        if not 0 <= sigma <= 1:
            raise SemanifoldError(f"A feather must be a fraction of the picture, from 0 to 1, but it is {sigma:g}.")
        return Mask(f"feather:{sigma:g}({self})", lambda h, w: _blur(self.paint(h, w), sigma * min(h, w)))

    def __invert__(self) -> Mask:
        return Mask(f"~{self.text if _is_plain(self.text) else f'({self})'}", lambda h, w: 1 - self.paint(h, w))

    def __or__(self, other: Mask) -> Mask:
        return any_of([self, other])

    def __and__(self, other: Mask) -> Mask:
        return all_of([self, other])

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Mask({shown(self.text)!r})"

    def picture(self, size: int = 160) -> Image.Image:
        """Return the mask as a square grey picture: white inside, black outside."""
        from PIL import Image  # noqa: PLC0415  (a mask is read without it)

        return Image.fromarray((self.at(size, size)[0, 0] * 255).round().byte().numpy())

    def _repr_html_(self) -> str | None:
        """Show a notebook the mask."""
        return as_html(repr(self), self.picture)


def any_of(masks: Sequence[Mask]) -> Mask:
    """Return what lies in any of one or more masks: ``a|b|c``."""
    if len(masks) == 1:
        return masks[0]
    return Mask("|".join(map(str, masks)), lambda h, w: reduce(torch.maximum, (mask.paint(h, w) for mask in masks)))


def all_of(masks: Sequence[Mask]) -> Mask:
    """Return what lies in all of one or more masks: ``a&b&c``."""
    if len(masks) == 1:
        return masks[0]
    text = "&".join(f"({mask})" if "|" in without_quotes(mask.text) else mask.text for mask in masks)
    return Mask(text, lambda h, w: reduce(torch.minimum, (mask.paint(h, w) for mask in masks)))


def box(left: float, top: float, right: float, bottom: float) -> Mask:
    """Return a box given by its edges as fractions of the picture (0 is left or top, 1 is right or bottom)."""
    corners = (left, top, right, bottom)
    text = f"box:{_numbers(corners)}"
    if not (left < right and top < bottom):
        raise SemanifoldError(f"The mask '{text}' is empty: a box is left,top,right,bottom with left < right and top < bottom.")
    _on_picture(text, left, top, right, bottom)

    def paint(height: int, width: int) -> Tensor:
        return _cover(top, bottom, height)[:, None] * _cover(left, right, width)

    return Mask(text, paint, corners)


def ellipse(cx: float, cy: float, rx: float, ry: float) -> Mask:
    """Return an ellipse given by its centre and radii as fractions of the picture's width (x) and height (y)."""
    text = f"ellipse:{_numbers((cx, cy, rx, ry))}"
    if not (rx > 0 and ry > 0):
        raise SemanifoldError(f"The mask '{text}' is empty: an ellipse is centre x, centre y, radius x, radius y, radii above 0.")
    _on_picture(text, cx - rx, cy - ry, cx + rx, cy + ry)
    return Mask(text, lambda h, w: _supersampled(lambda x, y: ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1, h, w))


def polygon(points: Iterable[tuple[float, float]]) -> Mask:
    """Return a polygon given by its corners ``(x, y)`` as fractions of the picture; crossing edges leave holes (even-odd)."""
    corners = [(float(x), float(y)) for x, y in points]
    text = "polygon:" + " ".join(_numbers(corner) for corner in corners)
    if len(corners) < 3:
        raise SemanifoldError(f"A polygon needs at least 3 corners x,y, but '{text}' has {len(corners)}.")
    xs, ys = zip(*corners)
    _on_picture(text, min(xs), min(ys), max(xs), max(ys))

    def inside(x: Tensor, y: Tensor) -> Tensor:
        return torch.cat([_odd_crossings(corners, x, rows) for rows in y.split(ROWS)])

    return Mask(text, lambda h, w: _supersampled(inside, h, w))


def _odd_crossings(corners: Sequence[tuple[float, float]], x: Tensor, y: Tensor) -> Tensor:
    """Return whether an odd number of edges lies to the right of each point ``[rows, columns]``.

    The crossings of every row with all edges are sorted, so that the points between them are found without a look at each edge.
    """
    start = torch.tensor(corners, dtype=torch.float64)
    (x0, y0), (x1, y1) = start.T, start.roll(-1, 0).T
    crosses = (y0 > y) != (y1 > y)
    level = torch.where(y1 == y0, torch.ones_like(y0), y1 - y0)
    places = torch.where(crosses, x0 + (y - y0) * (x1 - x0) / level, torch.inf).sort(1).values
    passed = torch.searchsorted(places, x.expand(len(y), -1).contiguous(), right=True)
    return (crosses.sum(1, keepdim=True) - passed) % 2 == 1


def quoted(name: str) -> str:
    """Return the name of a file as the text of a mask: in quotes where the grammar would take it apart."""
    if not re.search(r"[|&~()'\"]|^\s|\s$|^(alpha|light|box|ellipse|polygon|at|feather):", name):
        return name
    return "'" + name.replace("'", "''") + "'"


def without_quotes(text: str) -> str:
    """Return the text of a mask without the names in quotes."""
    return re.sub(QUOTED, "", text)


def _is_plain(text: str) -> bool:
    """Whether ``~`` in front of a text means all of it: no part of it is joined to another outside of brackets."""
    depth = 0
    for letter in without_quotes(text):
        depth += (letter == "(") - (letter == ")")
        if letter in "|&" and depth == 0:
            return False
    return True


def _numbers(values: Sequence[float]) -> str:
    return ",".join(f"{value:.6g}" for value in values)


def _on_picture(text: str, left: float, top: float, right: float, bottom: float) -> None:
    if not all(map(math.isfinite, (left, top, right, bottom))):
        raise SemanifoldError(f"The mask '{shown(text)}' has a coordinate that is not a finite number.")
    if right <= 0 or bottom <= 0 or left >= 1 or top >= 1:
        raise SemanifoldError(
            f"The mask '{shown(text)}' lies off the picture; coordinates are fractions of it, from 0 to 1 (or end in px)."
        )


def _cover(start: float, stop: float, n: int) -> Tensor:
    """Return the share ``[n]`` of each of n equal pixels of [0, 1] that lies between start and stop."""
    edges = torch.arange(n + 1, dtype=torch.float64).clamp(start * n, stop * n)
    return (edges[1:] - edges[:-1]).float()


def _supersampled(inside: Callable[[Tensor, Tensor], Tensor], height: int, width: int) -> Tensor:
    """Return the share ``[height, width]`` of 4 x 4 points of each pixel that lie inside."""
    k = SUPERSAMPLING
    y = (torch.arange(height * k, dtype=torch.float64) + 0.5) / (height * k)
    x = (torch.arange(width * k, dtype=torch.float64) + 0.5) / (width * k)
    return functional.avg_pool2d(inside(x[None, :], y[:, None]).float()[None, None], k)[0, 0]


def _blur(picture: Tensor, sigma: float) -> Tensor:
    """Return ``[h, w]`` convolved with a Gaussian of this many pixels; the border is repeated outwards."""
    radius = math.ceil(3 * sigma)
    if sigma < 0.2:
        return picture
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = kernel / kernel.sum()
    wide = functional.pad(picture[None, None], (radius,) * 4, mode="replicate")
    return functional.conv2d(functional.conv2d(wide, kernel[None, None, None, :]), kernel[None, None, :, None])[0, 0]
