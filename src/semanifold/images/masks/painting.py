"""Masks painted by hand: pictures and arrays, read by one rule.

People save masks in many ways: white on black, as the numbers 0 and 1, as indices of a palette, with a red brush, in 1, 8 or 16
bits, as numbers up to 1, as transparency. A mask is never meant to be far below white everywhere, so what has one reasonable
reading is scaled to [0, 1]; what has two, such as the labels of several classes, is refused with a question.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image, ImageChops

from semanifold.core.errors import SemanifoldError, shown
from semanifold.core.lazy import LazyModule
from semanifold.images.masks.base import Mask, quoted
from semanifold.storage.pictures import open_picture

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import functional
else:
    torch, functional = LazyModule("torch"), LazyModule("torch.nn.functional")

Channel = Literal["alpha", "light"]

MOST_PIXELS = 25_000_000
LARGEST = 4096
"""Longer side that a painted mask is kept at."""
NEARLY_WHITE = 0.75
"""A mask whose maximum reaches this is taken as it is."""
DARKEST = 0.05
"""Numbers with fractions say themselves how strong they are, unless all of them are below this."""
FEWEST_SHADES = 48
"""A picture with soft edges has at least so many levels; fewer may be the labels of classes."""
SPECKS = 2000
"""One pixel of so many may differ by accident."""
TINT = 0.15
"""How far, of the range, the channels of a picture in one colour may lie from that colour: JPEG blurs them."""


def painted(
    picture: str | os.PathLike[str] | np.ndarray | Tensor, text: str | None = None, *, channel: Channel | None = None
) -> Mask:
    """Return a mask painted by hand; it is stretched to the shape of the picture that it is used on.

    Args:
        picture: an image file, or ``[height, width]`` numbers. White is the largest value of the numbers' type, or 1 for numbers
            with fractions; the numbers 0 and 1, or 0 and any other one, mean outside and inside.
        text: how the mask is to be called; the file's name, in quotes if need be, when None.
        channel: which part of an image file is meant: its transparency (``"alpha"``) or its brightness (``"light"``). When None
            the part that varies; where both do, the file is refused.

    Raises:
        SemanifoldError: if the file cannot be read, the values are no picture, or there are two ways to read them.
    """
    if isinstance(picture, (str, os.PathLike)):
        name = os.fspath(picture)
        values, text = _of_file(name, channel), text or f"{channel}:" * (channel is not None) + quoted(name)
    else:
        values = _of_array(picture)
    kept = torch.from_numpy(values)[None, None]
    if max(values.shape) > LARGEST:
        size = [max(1, round(side * LARGEST / max(values.shape))) for side in values.shape]
        kept = functional.interpolate(kept, size, mode="bilinear", antialias=True)

    def paint(height: int, width: int) -> Tensor:
        return functional.interpolate(kept, (height, width), mode="bilinear", antialias=True)[0, 0]

    return Mask(text or "painted", paint)


def path_of(name: str) -> Path:
    """Return the path of a file whose name may begin with the home folder's ``~/``."""
    try:
        return Path(os.path.expanduser(name))
    except ValueError:  # a zero byte, which no name has
        return Path(name)


def _of_file(name: str, channel: Channel | None) -> np.ndarray:
    """Return the float32 values ``[height, width]`` in [0, 1] of an image file."""
    what = shown(name, 200)
    picture = open_picture(path_of(name), "mask file", most_pixels=MOST_PIXELS)
    if picture.mode.startswith(("I", "F")):  # 16 bits, 32 bits, fractions
        return _scaled(np.asarray(picture), what)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        channel = channel or _varying(picture.getchannel("A"), picture.convert("L"), what)
    elif channel == "alpha":
        raise SemanifoldError(f"{what} has no transparency, so there is no alpha channel to read; leave alpha: out.")
    return _scaled(np.asarray(picture.getchannel("A") if channel == "alpha" else _light(picture, what)), what)


def _of_array(array: np.ndarray | Tensor) -> np.ndarray:
    """Return the float32 values ``[height, width]`` in [0, 1] of an array or tensor."""
    if isinstance(array, torch.Tensor):
        plain = array.layout == torch.strided and not array.is_meta and not array.is_complex()
        tensor = array.detach().cpu() if plain else torch.empty(0)
        array = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    values = np.squeeze(np.asarray(array))
    if values.ndim != 2 or not values.size or values.dtype.kind not in "biuf":
        raise SemanifoldError(
            f"A painted mask is one [height, width] layer of numbers, but this is {list(values.shape)} of {values.dtype}."
        )
    return _scaled(values, "The painted mask")


def _varying(alpha: Image.Image, light: Image.Image, what: str) -> Channel:
    """Return which of transparency and brightness is the mask: the one that varies; brightness counts where it is seen."""
    pixels = alpha.width * alpha.height
    visible = alpha.point([255 * (value >= 128) for value in range(256)], "1")
    strays = [_strays(alpha.histogram()), _strays(light.histogram(visible))]
    varies = [count > max(1, pixels / SPECKS) for count in strays]
    if all(varies):
        raise SemanifoldError(
            f"Both the transparency and the brightness of {what} vary; say which one is the mask: "
            f"{shown('alpha:' + quoted(what), 200)} or {shown('light:' + quoted(what), 200)}."
        )
    return "alpha" if varies[0] or (not varies[1] and strays[0] > strays[1]) else "light"


def _strays(histogram: list[int], width: int = 8) -> int:
    """Return how many pixels are not about as light as most."""
    most = int(np.argmax(histogram))
    return sum(histogram) - sum(histogram[max(0, most - width) : most + width + 1])


def _light(picture: Image.Image, what: str) -> Image.Image:
    """Return the brightness of a picture that is painted in one colour, of any tint, on black: its lightest channel.

    Raises:
        SemanifoldError: if it has several colours, or is painted on another one than black.
    """
    if picture.mode in ("1", "L", "LA"):
        return picture.convert("L")
    colours = picture.convert("RGB")
    if picture.mode == "P" and len(colours.getcolors(1) or ()) == 1:
        return Image.fromarray(np.asarray(picture))  # a palette that shows nothing: its indices are the mask
    # All pixels must be shades of one colour; it is found, weighted by lightness, in a smaller copy.
    small = np.asarray(colours.reduce(max(1, max(colours.size) // 512)), dtype=np.float32)
    shades = small.max(2, keepdims=True)
    small, shades = small / max(float(shades.max()), 1), shades / max(float(shades.max()), 1)
    colour = (small * shades).sum((0, 1))
    seen = shades[..., 0] > TINT
    off = np.abs(small - shades * colour / max(float(colour.max()), 1e-6)).max(2) > TINT
    if (off & seen).sum() > 0.01 * seen.sum():
        raise SemanifoldError(
            f"{what} has several colours, or is not painted on black, so it does not say what lies inside; "
            "save a picture that is white inside and black outside."
        )
    red, green, blue = colours.split()
    return ImageChops.lighter(red, ImageChops.lighter(green, blue))


def _scaled(values: np.ndarray, what: str) -> np.ndarray:
    """Return numbers of any type as float32 in [0, 1], 1 for white.

    Raises:
        SemanifoldError: if they are negative or not finite, or could be labels of classes.
    """
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)) or low < -1e-3:
        raise SemanifoldError(
            f"{what} must hold finite values from 0 (outside) to white (inside), but they go from {low:g} to {high:g}."
        )
    fractions = values.dtype.kind == "f" and high <= 1 + 1e-3
    white = 1.0 if fractions or values.dtype.kind == "b" else next((top for top in (255, 65535) if high <= top), high)
    if high <= 0 or (fractions and high >= DARKEST):
        return values.astype(np.float32).clip(0, 1)
    if bool(((values == 0) | (values == high)).all()):  # two numbers say what is outside and inside
        return (values > 0).astype(np.float32)
    shades = np.unique(values.ravel()[:: max(1, values.size >> 20)])
    if len(shades) < FEWEST_SHADES and (high < NEARLY_WHITE * white or _bordered(values, shades, white)):
        names = ", ".join(f"{shade:g}" for shade in shades[:5]) + (", ..." if len(shades) > 5 else "")
        raise SemanifoldError(
            f"{what} has only the values {names}, which could be labels of classes or shades far below white ({white:g}); save a "
            "picture that is white inside and black outside."
        )
    scaled = values.astype(np.float32)
    scaled /= white if high >= NEARLY_WHITE * white else high
    return scaled.clip(0, 1, out=scaled)


def _bordered(values: np.ndarray, shades: np.ndarray, white: float) -> bool:
    """Whether small numbers meet white with nothing in between: labels of classes, and a border that belongs to none."""
    dark = (shades > 0) & (shades < white / 4)
    between = (shades >= white / 4) & (shades < white)
    labels = shades[dark]
    return bool(dark.any() and not between.any() and np.isin(values, labels).mean() > 1 / SPECKS)
