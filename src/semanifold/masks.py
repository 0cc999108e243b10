"""Masks: soft pictures in [0, 1] of any shape, at any size, with a text form that people can type.

The grammar of :func:`parse_mask`, from loose to tight::

    mouth|nose                        either          box:0.3,0.6,0.7,0.9      left, top, right, bottom
    mouth&box:0,0,0.5,1               both            ellipse:0.5,0.7,0.2,0.1  centre x, y, radius x, y
    ~eyes                             all but         polygon:0.1,0.1 0.9,0.1 0.5,0.8
    feather:0.02(mouth)               softened        painted.png              alpha, or else brightness
    (mouth|nose)&~eyes                grouped         mouth                    a region with a name

Coordinates are fractions of the picture, x to the right and y down; a last ``px`` (``box:300,680,730,790px``) says that the
numbers are pixels of the picture.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, interpolate, pad

from semanifold.errors import SemanifoldError

Regions = Callable[[str], "Mask"]
"""Finds the mask of a named region; raises :class:`SemanifoldError` with the near names for an unknown one."""

SUPERSAMPLING = 4
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

    def at(self, height: int, width: int) -> Tensor:
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
            raise SemanifoldError(f"The mask '{self}' is empty: nothing lies inside it; draw it larger, or onto the picture.")
        if area > 1 - SMALLEST_AREA or float(covered.min()) > SEAM:
            raise SemanifoldError(f"The mask '{self}' covers the whole picture, so nothing could stay still; draw it smaller.")

    def rectangle(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Return ``(top, bottom, left, right)`` in whole pixels, last ones exclusive, of a mask that is a plain box.

        Raises:
            SemanifoldError: if the mask is no box.
        """
        if self.corners is None:
            raise SemanifoldError(
                f"The paper's objective knows boxes only, but the mask is '{self}'; give box:left,top,right,bottom."
            )
        left, top, right, bottom = self.corners
        rows = [min(max(round(edge * height), 0), height) for edge in (top, bottom)]
        columns = [min(max(round(edge * width), 0), width) for edge in (left, right)]
        return rows[0], rows[1], columns[0], columns[1]

    def feather(self, sigma: float) -> Mask:
        """Return the mask softened by a Gaussian whose standard deviation is this fraction of the picture's shorter side."""
        if not 0 <= sigma <= 1:
            raise SemanifoldError(f"A feather must be a fraction of the picture, from 0 to 1, but {sigma:g} came.")
        return Mask(f"feather:{sigma:g}({self})", lambda h, w: _blur(self.paint(h, w), sigma * min(h, w)))

    def __invert__(self) -> Mask:
        return Mask(f"~{self.text if _is_plain(self.text) else f'({self})'}", lambda h, w: 1 - self.paint(h, w))

    def __or__(self, other: Mask) -> Mask:
        return Mask(f"{self}|{other}", lambda h, w: torch.maximum(self.paint(h, w), other.paint(h, w)))

    def __and__(self, other: Mask) -> Mask:
        text = "&".join(f"({m})" if "|" in m.text else m.text for m in (self, other))
        return Mask(text, lambda h, w: torch.minimum(self.paint(h, w), other.paint(h, w)))

    def __str__(self) -> str:
        return self.text


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
        raise SemanifoldError(f"A polygon needs at least 3 corners x,y, but {len(corners)} came: '{text}'.")
    xs, ys = zip(*corners)
    _on_picture(text, min(xs), min(ys), max(xs), max(ys))

    def inside(x: Tensor, y: Tensor) -> Tensor:
        crossings = torch.zeros(torch.broadcast_shapes(x.shape, y.shape), dtype=torch.bool)
        for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1]):
            if y0 != y1:
                crossings ^= ((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
        return crossings

    return Mask(text, lambda h, w: _supersampled(inside, h, w))


def painted(picture: str | os.PathLike[str] | np.ndarray | Tensor, text: str | None = None) -> Mask:
    """Return a mask painted by hand.

    Args:
        picture: an image file (its transparency counts if it has any, else its brightness), or ``[h, w]`` values in [0, 1]
            (an array of bytes is divided by 255).
        text: how the mask is to be called; the file's name when None.

    Raises:
        SemanifoldError: if the file cannot be read, or the values are no picture.
    """
    if isinstance(picture, (str, os.PathLike)):
        values, text = _read(Path(picture)), text or os.fspath(picture)
    elif isinstance(picture, np.ndarray):
        values = torch.from_numpy(np.ascontiguousarray(picture))
    else:
        values = picture
    values = values.detach().cpu()
    values = (values.float() / 255 if values.dtype == torch.uint8 else values.float()).squeeze()
    if values.ndim != 2 or not torch.isfinite(values).all():
        raise SemanifoldError(
            f"A painted mask must be one [height, width] layer of finite values, but {list(values.shape)} came."
        )
    values = values.clamp(0, 1)

    def paint(height: int, width: int) -> Tensor:
        return interpolate(values[None, None], (height, width), mode="bilinear", antialias=True)[0, 0]

    return Mask(text or "painted", paint)


def parse_mask(text: str, regions: Regions | None = None, *, size: tuple[int, int] | None = None) -> Mask:
    """Read a mask from its text form; the grammar stands at the top of this module.

    Args:
        text: such as ``"mouth|~box:0.1,0.1,0.9,0.9"``.
        regions: finds the masks of names; None where there are no named regions.
        size: ``(height, width)`` of the picture, which ``px`` coordinates need.

    Returns:
        The mask; its ``text`` is what came, without needless spaces.

    Raises:
        SemanifoldError: saying where the text stops making sense.
    """
    return _Parser(text, regions, size).whole()


class _Parser:
    """Recursive descent over ``| & ~ ( ) feather:x( )`` and the primitive shapes between them."""

    def __init__(self, text: str, regions: Regions | None, size: tuple[int, int] | None) -> None:
        self.text, self.regions, self.size = text, regions, size
        self.tokens = [token.strip() for token in re.findall(r"[|&~()]|[^|&~()]+", text) if token.strip()]
        self.tokens.reverse()

    def whole(self) -> Mask:
        mask = self.either()
        if self.tokens:
            raise self.wrong(f"'{self.tokens[-1]}' is left over")
        return mask

    def either(self) -> Mask:
        mask = self.both()
        while self.take("|"):
            mask = mask | self.both()
        return mask

    def both(self) -> Mask:
        mask = self.factor()
        while self.take("&"):
            mask = mask & self.factor()
        return mask

    def factor(self) -> Mask:
        if self.take("~"):
            return ~self.factor()
        if self.take("("):
            return self.group()
        if not self.tokens or self.tokens[-1] in "|&)":
            raise self.wrong(f"a shape or a name is missing before '{self.tokens[-1]}'" if self.tokens else "it ends too early")
        token = self.tokens.pop()
        if token.startswith("feather:"):
            if not self.take("("):
                raise self.wrong("a feather is written feather:0.02(mask)")
            return self.group().feather(self.numbers(token, 1)[0])
        return self.primitive(token)

    def group(self) -> Mask:
        mask = self.either()
        if not self.take(")"):
            raise self.wrong("a closing ) is missing")
        return mask

    def primitive(self, token: str) -> Mask:
        kind = token.split(":", 1)[0]
        if kind == "box":
            shape = box(*self.numbers(token, 4))
        elif kind == "ellipse":
            shape = ellipse(*self.numbers(token, 4))
        elif kind == "polygon":
            values = self.numbers(token, None)
            shape = polygon(list(zip(values[::2], values[1::2])))
        elif re.search(r"\.\w{2,5}$", token):
            shape = painted(token)
        elif self.regions is not None:
            shape = self.regions(token)
        else:
            raise self.wrong(
                f"'{token}' is neither a shape (box:, ellipse:, polygon:) nor a file, and this generator names no regions"
            )
        return Mask(token, shape.paint, shape.corners)

    def numbers(self, token: str, count: int | None) -> list[float]:
        kind, _, rest = token.partition(":")
        pixels = rest.endswith("px")
        try:
            values = [float(number) for number in re.split(r"[\s,]+", rest.removesuffix("px").strip())]
        except ValueError as error:
            raise self.wrong(f"{kind} wants numbers separated by commas, but '{rest}' came") from error
        if (
            (count is not None and len(values) != count)
            or len(values) % 2 * (count is None)
            or not all(map(math.isfinite, values))
        ):
            raise self.wrong(f"{kind} wants {count or 'pairs of'} numbers, but '{rest}' came")
        if pixels:
            if self.size is None:
                raise self.wrong("pixels need a picture; give fractions of it instead")
            values = [value / self.size[1 - i % 2] for i, value in enumerate(values)]
        return values

    def take(self, token: str) -> bool:
        if self.tokens and self.tokens[-1] == token:
            self.tokens.pop()
            return True
        return False

    def wrong(self, why: str) -> SemanifoldError:
        return SemanifoldError(
            f"The mask '{self.text}' cannot be read: {why}; examples: mouth, ~eyes, mouth|nose, box:0.3,0.6,0.7,0.9."
        )


def _is_plain(text: str) -> bool:
    """Whether ``~`` in front of a text means all of it: no part of it is joined to another outside of brackets."""
    depth = 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter in "|&" and depth == 0:
            return False
    return True


def _numbers(values: Sequence[float]) -> str:
    return ",".join(f"{value:.6g}" for value in values)


def _on_picture(text: str, left: float, top: float, right: float, bottom: float) -> None:
    if not all(map(math.isfinite, (left, top, right, bottom))):
        raise SemanifoldError(f"The mask '{text}' has a coordinate that is not a finite number.")
    if right <= 0 or bottom <= 0 or left >= 1 or top >= 1:
        raise SemanifoldError(
            f"The mask '{text}' lies off the picture; coordinates are fractions of it, from 0 to 1 (or end in px)."
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
    return avg_pool2d(inside(x[None, :], y[:, None]).float()[None, None], k)[0, 0]


def _blur(picture: Tensor, sigma: float) -> Tensor:
    """Return ``[h, w]`` convolved with a Gaussian of this many pixels; the border is repeated outwards."""
    radius = math.ceil(3 * sigma)
    if sigma < 0.2:
        return picture
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = kernel / kernel.sum()
    wide = pad(picture[None, None], (radius,) * 4, mode="replicate")
    return conv2d(conv2d(wide, kernel[None, None, None, :]), kernel[None, None, :, None])[0, 0]


def _read(path: Path) -> Tensor:
    try:
        with Image.open(path) as image:
            if "A" in image.getbands() or "transparency" in image.info:
                alpha = np.asarray(image.convert("RGBA").getchannel("A"))
                if alpha.min() < 255:
                    return torch.from_numpy(alpha.copy())
            if image.mode.startswith("I"):  # 16 bits; convert would cut them off at 255
                return torch.from_numpy(np.asarray(image).astype(np.float32) / 65535)
            return torch.from_numpy(np.asarray(image.convert("L")).copy())
    except FileNotFoundError as error:
        raise SemanifoldError(f"There is no mask file {path}; give an image file, a shape or the name of a region.") from error
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise SemanifoldError(f"{path} cannot be read as an image ({error}); give a PNG or another common format.") from error
