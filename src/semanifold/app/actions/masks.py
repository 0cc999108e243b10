"""What ``semanifold mask`` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from PIL import Image, ImageDraw

from semanifold.app.actions.base import facts_of, load, read_mask, start_code, worked
from semanifold.app.answers import Answer, Caller, typed
from semanifold.app.commands.masks import ShowMask
from semanifold.core.errors import shown
from semanifold.images import media
from semanifold.images.masks import Mask
from semanifold.storage.runs import Run

SHEET = "masks.png"
SIZE, MARGIN = 448, 26
TENTHS = 10


def show_masks(command: ShowMask, caller: Caller) -> Answer:
    """Draw the sheet: the picture with its grid, then one tile per mask."""
    generator = load(command.model, caller)
    code = start_code(command.start, generator, caller)
    regions = () if generator.world is None else generator.world.regions
    masks = [read_mask(text, generator, code, caller) for text in command.masks or regions]
    height, width = generator.picture_shape[1:]
    covered = {str(mask): float(mask.at(height, width).mean()) for mask in masks}
    words = "; ".join(f"{name} covers {share:.1%} of the picture" for name, share in covered.items()) + "."
    if not masks:
        words = f"{generator.name} names no regions; read a box off the grid: box:left,top,right,bottom."

    def work(run: Run) -> Answer:
        picture = media.to_uint8(generator.images(code))[0]
        media.save_png(sheet(picture, masks), run.path(SHEET))
        return Answer(said=(words,))

    answer = worked(command, caller, "mask", command.folder, facts_of(generator), work, inputs=command.inputs)
    facts = {"covered": covered, "regions": list(regions)}
    return replace(answer, files=(command.folder / SHEET,), next=typed(*command.then), facts=facts)


def sheet(picture: media.Frame, masks: Sequence[Mask]) -> Image.Image:
    """Return the picture with a grid, and once more with each mask, every tile with its name."""
    height, width = picture.shape[:2]
    tiles = [("grid", media.enlarge(picture, SIZE))]
    tiles += [(str(mask), media.show_mask(picture, mask.at(height, width)[0, 0].numpy(), SIZE)) for mask in masks]
    drawn = [gridded(tile, shown(name, 60)) for name, tile in tiles]
    columns = min(4, len(drawn)) if len(drawn) != 5 else 3
    cell = drawn[0].size
    whole = Image.new("RGB", (columns * cell[0], -(-len(drawn) // columns) * cell[1]), media.WHITE)
    for i, tile in enumerate(drawn):
        whole.paste(tile, (i % columns * cell[0], i // columns * cell[1]))
    return whole


def gridded(tile: Image.Image, name: str) -> Image.Image:
    """Return a picture with lines at every tenth, numbers at its edges and a name above it."""
    wide, high = tile.width + MARGIN + 10, tile.height + 2 * MARGIN + 4
    whole = Image.new("RGB", (wide, high), media.WHITE)
    left, top = MARGIN, MARGIN + 20
    lines = Image.new("RGBA", tile.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(lines)
    for i in range(1, TENTHS):
        strong = 150 if i == TENTHS // 2 else 80
        x, y = tile.width * i / TENTHS, tile.height * i / TENTHS
        draw.line((x, 0, x, tile.height), fill=(255, 255, 255, strong))
        draw.line((0, y, tile.width, y), fill=(255, 255, 255, strong))
    whole.paste(Image.alpha_composite(tile.convert("RGBA"), lines).convert("RGB"), (left, top))
    draw, font = ImageDraw.Draw(whole), media.font(12)
    for i in range(TENTHS + 1):
        share = f"{i / TENTHS:g}".lstrip("0") or "0"
        draw.text((left + tile.width * i / TENTHS, top - 3), share, fill=media.INK, font=font, anchor="ms")
        draw.text((left - 4, top + tile.height * i / TENTHS), share, fill=media.INK, font=font, anchor="rm")
    label = name if len(name) <= 60 else name[:59] + "…"
    draw.text((left + tile.width / 2, 4), label, fill=media.INK, font=media.font(14), anchor="mt")
    return whole
