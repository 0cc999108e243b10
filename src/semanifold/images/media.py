"""What people look at: pictures, filmstrips and sheets of pictures; video and gif are in :mod:`semanifold.images.films`.

Everything here works on *frames*: 8-bit RGB pictures ``[h, w, 3]`` in a sequence, as :func:`to_uint8` makes them from a
generator's output or :class:`FrameFolder` reads them from disk one at a time. Each file is written under a temporary name first.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence, Sized
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from semanifold.core.errors import SemanifoldError
from semanifold.core.shapes import Frames8, Pictures
from semanifold.storage.marks import GENERATED, Source
from semanifold.storage.pictures import open_picture, write_picture

Frame = NDArray[np.uint8]
"""One picture, ``[h, w, 3]``, 8-bit sRGB."""
GreyPicture = NDArray[np.float32]
"""A mask or a map, ``[h, w]``."""


class Frames(Protocol):
    """Pictures of one size: a list of frames, an array ``[n, h, w, 3]``, or a :class:`FrameFolder`."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Frame: ...


ACCENT = (255, 122, 26)
INK = (60, 60, 66)
WHITE = (255, 255, 255)
GAP = 4
VIEWABLE = 512
CAPTION = 22
READABLE = 24
"""Pixels of the shorter side of a picture in a strip or a sheet, at least."""
WIDEST, TALLEST = 8000, 30_000
"""Pixels of a strip or a sheet; of pictures that do not fit some are left out, never the first or last, and it says how many."""
CHECKERS, CHECKER_GREYS = 16, (153, 204)
"""Squares of a checkerboard along the shorter side of a picture, and their two greys."""


def to_uint8(images: Pictures) -> Frames8:
    """Turn generator pictures into 8-bit RGB; those with transparency are shown over a checkerboard.

    Args:
        images: ``[n, c, h, w]`` in [-1, 1] (values outside are clamped), c = 1, 3, or 4 where the last one is the opacity.

    Returns:
        ``[n, h, w, 3]``.

    Raises:
        SemanifoldError: if the shape is another or a value is NaN.
    """
    pixels = to_pixels(images)
    return over_checkers(pixels) if pixels.shape[-1] == 4 else pixels


def to_pixels(images: Pictures) -> NDArray[np.uint8]:
    """Turn generator pictures into 8-bit RGB, or RGBA ``[n, h, w, 4]`` if they have transparency; else as :func:`to_uint8`."""
    if images.ndim != 4 or images.shape[1] not in (1, 3, 4):
        raise SemanifoldError(f"Pictures are expected as [n, 1, 3 or 4, height, width], but these are {list(images.shape)}.")
    images = images.detach().float()
    if bool(images.isnan().any()):
        raise SemanifoldError("The generator's pictures hold NaN; the codes lie too far out, or the weights are damaged.")
    levels = ((images.clamp(-1, 1) + 1) * 127.5).round().byte().cpu()
    levels = levels.expand(-1, 3, -1, -1) if levels.shape[1] == 1 else levels
    return levels.permute(0, 2, 3, 1).contiguous().numpy()


def over_checkers(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay RGBA pictures ``[..., h, w, 4]`` on a checkerboard: ``[..., h, w, 3]``."""
    height, width = pixels.shape[-3:-1]
    side = max(2, min(height, width) // CHECKERS)
    odd = (np.arange(height)[:, None] // side + np.arange(width) // side) % 2
    board = np.where(odd, *CHECKER_GREYS)[..., None].astype(np.float32)
    opacity = pixels[..., 3:].astype(np.float32) / 255
    return (pixels[..., :3] * opacity + board * (1 - opacity)).round().astype(np.uint8)


def from_uint8(frames: NDArray[np.uint8] | Image.Image) -> Pictures:
    """Return 8-bit RGB, frames ``[n, h, w, 3]`` or one of them, as pictures ``[n, 3, h, w]`` in [-1, 1]."""
    levels = torch.from_numpy(np.array(frames, dtype=np.float32))
    return (levels if levels.ndim == 4 else levels[None]).permute(0, 3, 1, 2) / 127.5 - 1


class FrameFolder:
    """The frames of a folder, read when they are asked for, so that a long film needs no more memory than a short one."""

    def __init__(self, folder: str | os.PathLike[str], *, clear: bool = False) -> None:
        """List the frames that :func:`save_frames` wrote.

        Args:
            folder: where they lie.
            clear: whether those with transparency come as RGBA, and not over a checkerboard.
        """
        self.paths = sorted(Path(folder).glob("frame_*.png"))
        self.clear = clear

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Frame:
        picture = open_picture(self.paths[index])
        if picture.mode != "RGBA":
            return np.asarray(picture.convert("RGB"))
        return np.asarray(picture) if self.clear else over_checkers(np.asarray(picture))


def save_png(picture: Frame | Image.Image, path: str | os.PathLike[str], *, source: Source | None = GENERATED) -> Path:
    """Write one picture without loss, and how it was made."""
    write_picture(picture if isinstance(picture, Image.Image) else Image.fromarray(picture), path, source=source)
    return Path(path)


def save_frames(frames: Iterable[Frame], folder: str | os.PathLike[str], *, first: int = 0) -> list[Path]:
    """Write frames as ``frame_0000.png`` and so on, without loss.

    Args:
        frames: the pictures.
        folder: made if it is not there.
        first: number of the first frame, to write a film in pieces.
    """
    folder = Path(folder)
    folder.mkdir(exist_ok=True)
    return [save_png(frame, folder / f"frame_{first + i:04d}.png") for i, frame in enumerate(frames)]


def enlarge(frame: Frame | Image.Image, size: int) -> Image.Image:
    """Resize with Lanczos so that the longer side is ``size`` pixels."""
    image = frame if isinstance(frame, Image.Image) else Image.fromarray(frame)
    scale = size / max(image.size)
    target = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image if target == image.size else image.resize(target, Image.Resampling.LANCZOS)


def readable(frame: Frame | GreyPicture, size: int) -> int:
    """Return the longer side of a picture in a strip or a sheet: ``size``, or what makes a long and thin one readable."""
    shorter, longer = sorted(frame.shape[:2])
    return max(size, min(math.ceil(min(READABLE, size) * longer / shorter), WIDEST // 4 - GAP))


def fitting(frame: Frame, size: int, count: int, *, beside: bool = False) -> int:
    """Return how many of ``count`` pictures like this one fit into a row, two at least, perhaps with one more ``beside`` them."""
    return min(count, max(2, WIDEST // (enlarge(frame, readable(frame, size)).width + GAP) - beside))


def left_out(shown: int, count: int) -> str:
    """Return what a strip or a sheet says that shows fewer pictures or rows than there are."""
    return f"{count - shown} of {count} left out"


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the font of all captions, of this height in pixels."""
    return ImageFont.load_default(size)


def show_mask(plain: Frame, mask: GreyPicture, size: int) -> Image.Image:
    """Return the seed with everything outside of the mask dimmed and the mask outlined.

    Args:
        plain: the unedited picture.
        mask: ``[h, w]`` in [0, 1], any resolution.
        size: longer side of the result.
    """
    image = enlarge(plain, size)
    dimmed = Image.blend(image.convert("L").convert("RGB"), Image.new("RGB", image.size, WHITE), 0.55)
    return outlined(image, dimmed, mask)


def outlined(inside: Image.Image, outside: Image.Image, mask: GreyPicture) -> Image.Image:
    """Return one picture inside of a mask ``[h, w]`` in [0, 1] and another of its size outside, with the mask's outline."""
    soft = Image.fromarray((np.clip(mask, 0, 1) * 255).astype(np.uint8)).resize(inside.size, Image.Resampling.BICUBIC)
    shown = Image.composite(inside, outside, soft)
    if min(inside.size) < 2:  # a line of pixels has no room for one
        return shown
    # distance to the contour, to first order: |m - 1/2| / |grad m|; the blur gives hard masks a gradient as wide as the line
    width = max(2.0, max(inside.size) / 110)
    level = np.asarray(soft.filter(ImageFilter.GaussianBlur(width)), dtype=np.float32) / 255 - 0.5
    down, right = np.gradient(level)
    line = np.clip(width / 2 + 0.5 - np.abs(level) / np.maximum(np.hypot(down, right), 1e-3), 0, 1)
    outline = Image.fromarray((line * 255).astype(np.uint8))
    return Image.composite(Image.new("RGB", inside.size, ACCENT), shown, outline)


def check_some(pictures: Sized) -> None:
    """Refuse to show no pictures.

    Raises:
        SemanifoldError: if there is none.
    """
    if not len(pictures):
        raise SemanifoldError("There is no picture to show; give at least one.")


def side_by_side(tiles: Sequence[Image.Image]) -> Image.Image:
    """Return pictures of one height in a row."""
    check_some(tiles)
    width = sum(tile.width for tile in tiles) + GAP * (len(tiles) - 1)
    row = Image.new("RGB", (width, tiles[0].height), WHITE)
    left = 0
    for tile in tiles:
        row.paste(tile, (left, 0))
        left += tile.width + GAP
    return row


def evenly(n: int, count: int) -> list[int]:
    """Return ``count`` indices spread evenly over ``range(n)``, both ends included, each once."""
    return sorted({round(i) for i in np.linspace(0, n - 1, min(n, count))})


def captioned(row: Image.Image, captions: Sequence[str]) -> Image.Image:
    """Return a row of pictures of equal width with a short text below each, of one line or several."""
    check_some(captions)
    lines = 1 + max(caption.count("\n") for caption in captions)
    sheet = Image.new("RGB", (row.width, row.height + lines * CAPTION), WHITE)
    sheet.paste(row, (0, 0))
    draw, step = ImageDraw.Draw(sheet), (row.width + GAP) / len(captions)
    for i, caption in enumerate(captions):
        draw.text((i * step + (step - GAP) / 2, row.height + 3), caption, fill=INK, font=font(13), anchor="ma")
    return sheet


def titled(picture: Image.Image, title: str) -> Image.Image:
    """Return a picture with a line of text above it."""
    sheet = Image.new("RGB", (picture.width, picture.height + CAPTION), WHITE)
    sheet.paste(picture, (0, CAPTION))
    ImageDraw.Draw(sheet).text((picture.width / 2, 2), title, fill=INK, font=font(14), anchor="ma")
    return sheet


def filmstrip(frames: Frames, plain: Frame, mask: GreyPicture | None = None, *, count: int = 8, size: int = 160) -> Image.Image:
    """Return a row of pictures: the seed with its mask, then evenly chosen frames (Yang et al. 2020, arXiv:2105.07273, Fig. 1).

    Args:
        frames: the film.
        plain: the unedited picture.
        mask: ``[h, w]`` in [0, 1]; without one the row begins with the first frame.
        count: number of frames to show, if they fit.
        size: longer side of each picture; see :func:`readable`.
    """
    count, size = min(count, len(frames)), readable(plain, size)
    places = evenly(len(frames), fitting(plain, size, count, beside=mask is not None))
    chosen = [enlarge(frames[i], size) for i in places]
    row = side_by_side(chosen if mask is None else [show_mask(plain, mask, size), *chosen])
    return row if len(places) == count else captioned(row, [left_out(len(places), count)])


def stack_rows(rows: Sequence[Image.Image], labels: Sequence[str], columns: Sequence[str] = ()) -> Image.Image:
    """Return rows of pictures below one another, each with a short label at its left; texts below the columns, if any.

    Of rows that are higher than :data:`TALLEST` together only as many are shown as fit.
    """
    check_some(rows)
    count = len(rows)
    if (most := max(2, TALLEST // (max(row.height for row in rows) + GAP))) < count:
        kept = evenly(count, most)
        rows, labels = [rows[i] for i in kept], [labels[i] for i in kept]
        rows, labels = [*rows, captioned(Image.new("RGB", (rows[0].width, 0)), [left_out(most, count)])], [*labels, ""]
    if columns:
        blank = Image.new("RGB", (max(row.width for row in rows), 0))
        rows, labels = [*rows, captioned(blank, columns)], [*labels, ""]
    letters = font(15)
    margin = math.ceil(max(letters.getlength(label) for label in labels)) + 16 if any(labels) else 0
    width, height = max(row.width for row in rows) + margin, sum(row.height for row in rows) + GAP * (len(rows) - 1)
    sheet = Image.new("RGB", (width, height), WHITE)
    draw = ImageDraw.Draw(sheet)
    top = 0
    for row, label in zip(rows, labels, strict=True):
        sheet.paste(row, (margin, top))
        draw.text((margin - 8, top + row.height / 2), label, fill=INK, font=letters, anchor="rm")
        top += row.height + GAP
    return sheet


def even_columns(count: int) -> int:
    """Return how many of some pictures to put in a row: as many as there are rows, or one more if that leaves fewer gaps."""
    square = math.ceil(math.sqrt(count))
    return min(range(square, square + 2), key=lambda columns: -count % columns)


def contact_sheet(frames: Frames, labels: Sequence[str] = (), *, columns: int | None = None, size: int = 128) -> Image.Image:
    """Return a grid of pictures, each with a short label below.

    Args:
        frames: the pictures.
        labels: one per picture, or none at all.
        columns: pictures a row; when None :func:`even_columns`, and of more pictures than fit only so many.
        size: longer side of each picture; see :func:`readable`.
    """
    check_some(frames)
    count, size = len(frames), readable(frames[0], size)
    places = list(range(count))
    if not columns:
        high = enlarge(frames[0], size).height + CAPTION
        columns = fitting(frames[0], size, even_columns(count))
        places = evenly(count, columns * max(1, TALLEST // high))
        labels = [labels[i] for i in places] if labels else []
    columns = min(columns, len(places))
    tiles = [enlarge(frames[i], size) for i in places]
    below = 20 if labels else GAP
    cell = (tiles[0].width + GAP, tiles[0].height + below)
    sheet = Image.new("RGB", (columns * cell[0] + GAP, math.ceil(len(tiles) / columns) * cell[1] + GAP), WHITE)
    draw = ImageDraw.Draw(sheet)
    for i, tile in enumerate(tiles):
        left, top = GAP + i % columns * cell[0], GAP + i // columns * cell[1]
        sheet.paste(tile, (left, top))
        if labels:
            draw.text((left + tile.width / 2, top + tile.height + 1), labels[i], fill=INK, font=font(13), anchor="ma")
    return sheet if len(places) == count else captioned(sheet, [left_out(len(places), count)])


def grid_film(films: Sequence[Frames], labels: Sequence[str] = (), *, columns: int | None = None, size: int = 192) -> Frame:
    """Return several films of one length side by side, as one film ``[n, height, width, 3]``.

    Args:
        films: the films.
        labels: short texts below them, one per film, or none at all.
        columns: films a row; when None :func:`even_columns`, and of more films than fit only so many.
        size: longer side of each film; see :func:`readable`.
    """
    check_some(films)
    check_some(films[0])
    size = readable(films[0][0], size)
    said = ""
    if not columns:
        count, columns = len(films), fitting(films[0][0], size, even_columns(len(films)))
        high = enlarge(films[0][0], size).height + CAPTION
        places = evenly(count, columns * max(1, WIDEST // high))
        films = [films[i] for i in places]
        labels = [labels[i] for i in places] if labels else []
        said = left_out(len(places), count) if len(places) < count else ""
        if said and labels:
            labels[-1] += f", {said}"
    grid = []
    for moment in range(len(films[0])):
        tiles = [enlarge(film[moment], size) for film in films]
        tiles = [captioned(tile, [label]) for tile, label in zip(tiles, labels, strict=True)] if labels else tiles
        cells = [np.asarray(tile) for tile in tiles]
        cells += [np.full_like(cells[0], 255)] * (-len(cells) % columns)
        sheet = np.concatenate([np.concatenate(cells[i : i + columns], axis=1) for i in range(0, len(cells), columns)])
        grid.append(np.asarray(captioned(Image.fromarray(sheet), [said])) if said and not labels else sheet)
    return np.stack(grid)
