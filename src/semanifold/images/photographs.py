"""Photographs of strangers: as plain upright RGB, and cut and resized to what a generator makes."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageCms

from semanifold.core.errors import SemanifoldError, shown
from semanifold.core.shapes import Pictures
from semanifold.images.placements import Placement, cut_out
from semanifold.storage.pictures import open_picture
from semanifold.storage.readings import Remark, silent

SMALLEST = 8
"""Pixels that a side has to have to be a picture of something."""
SEEN = 0.02
"""A share of the part that lies outside of the photograph is said from here on."""
WHITE = (255, 255, 255)
SIXTEEN = 65535


def read_photograph(path: str | os.PathLike[str], *, remark: Remark = silent) -> Image.Image:
    """Read a photograph as RGB of 8 bits, upright.

    What is transparent becomes white, 16 bits become 8, colours of a profile become sRGB, and grey, palettes and printers'
    colours RGB.

    Args:
        path: a file that Pillow reads, of at most 50 million pixels.
        remark: is given a sentence for all that was put right.

    Raises:
        SemanifoldError: if it is no picture, damaged, or has too few or too many pixels.
    """
    name = shown(os.fspath(path), 200)
    picture = open_picture(path, "photograph", remark=remark)
    if min(picture.size) < SMALLEST:
        raise SemanifoldError(
            f"{name} has {picture.width} x {picture.height} pixels; a photograph has at least {SMALLEST} a side."
        )
    if picture.mode.startswith("I") or picture.mode == "F":
        picture = _eight_bits(picture, name, remark)
    profile = picture.info.get("icc_profile")
    if picture.has_transparency_data:
        clear = picture.convert("RGBA")
        if clear.getchannel("A").getextrema() != (255, 255):
            remark(f"{name} is transparent in places, which become white.")
        picture = Image.alpha_composite(Image.new("RGBA", clear.size, (*WHITE, 255)), clear)
    picture = picture.convert("RGB")
    return picture if not profile else _in_srgb(picture, profile, name, remark)


def _eight_bits(picture: Image.Image, name: str, remark: Remark) -> Image.Image:
    """Return a picture of grey numbers, of 16 or 32 bits or floating, with 8 bits."""
    values = np.asarray(picture, dtype=np.float64)
    if not np.isfinite(values).all():
        raise SemanifoldError(f"{name} holds NaN or infinite values.")
    low, high = (0.0, float(SIXTEEN)) if values.min() >= 0 and 255 < values.max() <= SIXTEEN else (values.min(), values.max())
    if picture.mode == "F" and values.min() >= 0 and values.max() <= 1:
        low, high = 0.0, 1.0
    remark(f"{name} has more than 8 bits a pixel; {low:g} becomes black and {high:g} white.")
    return Image.fromarray((255 * (values - low) / max(high - low, 1e-12)).round().clip(0, 255).astype(np.uint8), "L")


def _in_srgb(picture: Image.Image, profile: bytes, name: str, remark: Remark) -> Image.Image:
    """Return a picture whose colours are those of a profile in sRGB; as it is if the profile is that, or cannot be read."""
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        described = ImageCms.getProfileDescription(own).strip()
        if "srgb" in described.lower() or not ImageCms.isIntentSupported(
            own, ImageCms.Intent.PERCEPTUAL, ImageCms.Direction.INPUT
        ):
            return picture
        turned = ImageCms.profileToProfile(picture, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        remark(f"The colour profile of {name} cannot be read; its colours are taken for sRGB.")
        return picture
    remark(f"{name} has the colours of {shown(described, 60)}, which become sRGB.")
    return picture if turned is None else turned


def fitted(
    photograph: Image.Image,
    shape: Sequence[int],
    crop: Sequence[float] | Placement | None = None,
    *,
    name: str = "The photograph",
    remark: Remark = silent,
) -> tuple[Pictures, Placement]:
    """Return a part of a photograph as a picture of a generator's size.

    Args:
        photograph: RGB.
        shape: ``(channels, height, width)`` of the generator's pictures.
        crop: ``(left, top, right, bottom)`` as fractions of the photograph, or a placement; the largest part in its middle when
            None.
        name: what to call it in sentences.
        remark: is given a sentence for all that was done.

    Returns:
        The picture ``[1, c, h, w]`` in [-1, 1], and the part of the photograph that it stands for.

    Raises:
        SemanifoldError: for a crop that is no rectangle, or smaller than 8 pixels.
    """
    channels, height, width = shape
    if channels not in (1, 3):
        raise SemanifoldError(f"A photograph becomes a picture of 1 or 3 channels, not of {channels}.")
    if isinstance(crop, Placement):
        place = crop
        if (share := outside(photograph, place)) > SEEN:
            remark(f"{name} ends inside of the part that is taken; its mirror image fills the {share:.0%} that are missing.")
    elif crop is None:
        place = middle_of(photograph, shape)
        w, h = place.size
        if w < photograph.width - 0.5 or h < photograph.height - 0.5:
            remark(f"{name}, {photograph.width} x {photograph.height} pixels, is cut to {w:.0f} x {h:.0f} in its middle.")
    else:
        left, top, w, h = _cut(photograph, crop)
        stretch = (w / width) / (h / height)
        if not 0.99 < stretch < 1.01:
            remark(f"The crop of {name} has other proportions than {width} x {height}; it is stretched.")
        place = Placement.box(left, top, left + w, top + h)
    if place.size[1] < 0.99 * height:
        remark(f"{name} is enlarged {height / place.size[1]:.2g} times, to {width} x {height} pixels.")
    resized = cut_out(photograph.convert("L" if channels == 1 else "RGB"), place, width, height)
    values = torch.from_numpy(np.array(resized, dtype=np.float32)).reshape(height, width, channels).permute(2, 0, 1)
    return (values / 127.5 - 1)[None].contiguous(), place


def outside(photograph: Image.Image, place: Placement) -> float:
    """Return which share of a part lies outside of the photograph."""
    steps = (torch.arange(64) + 0.5) / 64
    origin, down, _, across = torch.tensor(place.quad)
    points = origin + steps[:, None, None] * (across - origin) + steps[None, :, None] * (down - origin)
    inside = (points >= 0) & (points < torch.tensor(photograph.size))
    return 1 - float(inside.all(-1).float().mean())


def middle_of(photograph: Image.Image, shape: Sequence[int]) -> Placement:
    """Return the largest part in the middle of a photograph that has the proportions of a generator's pictures."""
    _, height, width = shape
    scale = min(photograph.width / width, photograph.height / height)
    w, h = width * scale, height * scale
    left, top = (photograph.width - w) / 2, (photograph.height - h) / 2
    return Placement.box(left, top, left + w, top + h)


def _cut(photograph: Image.Image, crop: Sequence[float]) -> tuple[float, float, float, float]:
    """Return left, top, width and height in pixels of a crop in fractions."""
    try:
        left, top, right, bottom = map(float, crop)
    except (TypeError, ValueError):
        left = top = right = bottom = math.nan
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise SemanifoldError("A crop is left, top, right and bottom as fractions of the photograph, such as 0.2,0.1,0.8,0.7.")
    w, h = (right - left) * photograph.width, (bottom - top) * photograph.height
    if min(w, h) < SMALLEST:
        raise SemanifoldError(f"The crop has {w:.0f} x {h:.0f} pixels; a photograph has at least {SMALLEST} a side.")
    return left * photograph.width, top * photograph.height, w, h
