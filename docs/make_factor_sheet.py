"""Draws the pictures of the documentation that show the bundled faces: every factor in seven steps, and 64 faces from latents.

Run it from anywhere: ``python docs/make_factor_sheet.py``. It writes ``docs/pictures/factors.png`` and ``faces_rendered.png``.
"""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from semanifold.worlds.faces import FACTORS, AnalyticFaces, Factor, factor_index, likeable_face, render

PICTURES = Path(__file__).parent / "pictures"
STEPS = 7
SIDE = 76
GAP = 22
CLOSE_UP = ("mouth", "eyes", "brows", "nose")
INK, FAINT = (30, 32, 38), (120, 124, 134)


def to_image(pictures: Tensor, columns: int, gap: int = 0) -> Image.Image:
    """Lay pictures [n, 3, h, w] in [-1, 1] out in rows on white paper."""
    n, _, height, width = pictures.shape
    rows = -(-n // columns)
    sheet = Image.new("RGB", (columns * (width + gap) - gap, rows * (height + gap) - gap), "white")
    pixels = ((pictures.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)
    for index in range(n):
        row, column = divmod(index, columns)
        sheet.paste(Image.fromarray(pixels[index].numpy()), (column * (width + gap), row * (height + gap)))
    return sheet


def strip(factor: Factor) -> Image.Image:
    """Return one face while one factor goes from 0 to 1; a close-up where the factor is a small part of the face."""
    faces = likeable_face().repeat(STEPS, 1)
    faces[:, factor_index(factor.name)] = torch.linspace(0, 1, STEPS)
    if factor.region not in CLOSE_UP:
        return to_image(render(faces, SIDE), STEPS, 2)
    size = round(SIDE * 1.6)
    left, top = (size - SIDE) // 2, round(0.21 * size)
    return to_image(render(faces, size)[:, :, top : top + SIDE, left : left + SIDE], STEPS, 2)


def factor_sheet() -> Image.Image:
    """Return the sheet of all factors, two columns of strips, each under its name and the words for its ends."""
    strips = [strip(factor) for factor in FACTORS]
    per_column = -(-len(FACTORS) // 2)
    width, height = strips[0].width, SIDE + GAP + 8
    sheet = Image.new("RGB", (2 * width + 72, per_column * height + 20), "white")
    draw = ImageDraw.Draw(sheet)
    large, small = ImageFont.load_default(15), ImageFont.load_default(12)
    for index, (factor, picture) in enumerate(zip(FACTORS, strips, strict=True)):
        column, row = divmod(index, per_column)
        x, y = 24 + column * (width + 24), 10 + row * height
        draw.text((x, y), factor.name, INK, large)
        words = f"{factor.low}  to  {factor.high}"
        draw.text((x + width - draw.textlength(words, small), y + 2), words, FAINT, small)
        sheet.paste(picture, (x, y + GAP))
    return sheet


def main() -> None:
    """Write both pictures."""
    PICTURES.mkdir(exist_ok=True)
    factor_sheet().save(PICTURES / "factors.png", optimize=True)
    generator = AnalyticFaces()
    faces = generator.images(generator.sample(range(64)), size=96)
    to_image(faces, 8).save(PICTURES / "faces_rendered.png", optimize=True)


if __name__ == "__main__":
    main()
