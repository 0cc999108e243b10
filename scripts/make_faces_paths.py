"""Make the named paths that ship with the bundled generator ``faces``: one for every factor, and the table of what they do.

    python scripts/make_faces_paths.py

It writes ``src/semanifold/worlds/faces/weights/paths64.safetensors`` and ``docs/pictures/named_paths.png``, and prints
the table of ``docs/faces.md``. Every seed is fixed, so the same generator and attribute network give the same set; it takes
about two minutes on one core.

The set is made with labels, which other generators lack: `SAMPLES` faces are drawn, their factors are read from the pictures
by the attribute network, and a linear map from codes of w to factors is fitted. A path changes its own factor and, as far as the
map is true, no other: it is a column of the map's pseudo-inverse. Two things make the map nearly linear: the codes are whitened,
and a factor f, which is about uniform in [0, 1], is replaced by its normal score, the x with Phi(x) = f. Among all directions
that do this the pseudo-inverse takes the shortest whitened one, so the codes stay as usual as they can.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from semanifold.analysis.attributes.faces import FacesAttributes
from semanifold.analysis.ranking.dependency import dependencies
from semanifold.analysis.ranking.scores import score
from semanifold.core.latents import Latents, root_of_covariance
from semanifold.generators.base import Generator
from semanifold.generators.loading import load_generator
from semanifold.images import media
from semanifold.paths.base import info_for, moving_codes
from semanifold.paths.closed_form import REACH, sized
from semanifold.paths.files import NAMED_PATHS, load_paths, save_paths
from semanifold.paths.linear import LinearPaths
from semanifold.worlds.faces.factors import FACTORS

SHEET = Path(__file__).parents[1] / "docs" / "pictures" / "named_paths.png"
SAMPLES = 6144
"""Faces that the map is fitted to."""
CUT = 0.02
"""Factors are kept this far from 0 and 1 before their normal scores are taken: readings pile up at both ends."""
FAR, NEAR = 2.5, 1.75
"""Standard deviations of the codes that a path goes to ``t = 1``: farther for small parts of the face, which stay clean that far
and are seen less, than for what changes the whole picture, which tears."""
SMALL_PARTS = ("eyes", "brows", "nose", "mouth")
CODES = range(50_000, 50_016)
"""Seeds of the codes that the table is measured on, none of which the map has seen."""
FRAMES = 9
SHOWN, CELL, COLUMNS = 7, 64, 5
"""The sheet: the seed of its face, pixels of a picture, pictures of a path."""


@torch.no_grad()
def read(generator: Generator, values: Tensor, reader: FacesAttributes) -> Tensor:
    """Return the factors ``[n, F]`` of codes ``[n, d]`` of w, in double precision."""
    parts = [generator.images(Latents(part, "w")) for part in values.split(64)]
    return torch.cat([reader.read(part, part[:1]) for part in parts]).double()


def named_paths(generator: Generator, reader: FacesAttributes) -> LinearPaths:
    """Return the set: a path for every factor, in their order, called after it, along which it rises."""
    names = [attribute.name for attribute in reader.attributes]
    shape, info = info_for(generator, "w", method="regression on read factors", names=dict(enumerate(names)))
    codes = moving_codes(generator, info, SAMPLES)
    scores = torch.special.ndtri(read(generator, codes, reader).clamp(CUT, 1 - CUT))
    root = root_of_covariance(codes)
    whitened = torch.linalg.solve(root, (codes - codes.mean(0)).double().T).T
    slopes = torch.linalg.lstsq(whitened, scores - scores.mean(0)).solution  # [d, F]
    directions = (torch.linalg.pinv(slopes) @ root).float()  # [F, d]
    usual = sized(directions.reshape(-1, *shape), codes, info)  # t = 1 is REACH standard deviations
    reach = torch.tensor([FAR if factor.region in SMALL_PARTS else NEAR for factor in FACTORS]) / REACH
    length = usual.scale * reach
    made = usual.with_info(step=usual.info.step * float(length.max()))
    made.scale.copy_(length / length.max())
    return made


def table(generator: Generator, paths: LinearPaths, reader: FacesAttributes) -> str:
    """Return what every path does to its own factor and to the others, as a table in Markdown."""
    t = torch.linspace(-1, 1, FRAMES)
    codes = generator.sample(CODES, "w")
    values = [
        [read(generator, paths[k].latents(codes[i], t).values, reader) for k in range(len(paths))] for i in range(len(codes))
    ]
    held = torch.stack([torch.stack(row) for row in values]).numpy()
    scores = score(held, reader.attributes, t.double().numpy())
    spread = read(generator, moving_codes(generator, paths.info, 512), reader).std(0).numpy()
    purity = dependencies(held, t.double().numpy(), spread)
    columns = [np.diagonal(array) for array in (scores.change, scores.pearson, scores.share, purity)]
    formats = ("{:.2f}", "{:.2f}", "{:.2f}", "{:.3f}")
    rows = ["| path | change | Pearson | share | dependency |", "|---|---:|---:|---:|---:|"]
    for name, *own in [*zip(paths.info.names.values(), *columns, strict=True), ("mean", *(column.mean() for column in columns))]:
        rows.append(f"| {' | '.join([name, *(form.format(value) for form, value in zip(formats, own, strict=True))])} |")
    return "\n".join(rows)


@torch.no_grad()
def draw(generator: Generator, paths: LinearPaths) -> None:
    """Draw a row of pictures for every path on one face, in two columns of rows."""
    t = torch.linspace(-1, 1, COLUMNS)
    code = generator.sample([SHOWN], "w")
    rows = [media.contact_sheet(media.to_uint8(path.images(generator, code, t)), columns=COLUMNS, size=CELL) for path in paths]
    names = [paths.name_of(k) for k in range(len(paths))]
    half = (len(rows) + 1) // 2
    left, right = (media.stack_rows(rows[part], names[part]) for part in (slice(half), slice(half, None)))
    sheet = Image.new("RGB", (left.width + right.width, max(left.height, right.height)), "white")
    sheet.paste(left, (0, 0))
    sheet.paste(right, (left.width, 0))
    media.save_png(sheet, SHEET)


def main() -> None:
    """Make the set, write it, and measure what was written."""
    generator, reader = load_generator("faces"), FacesAttributes()
    save_paths(named_paths(generator, reader), NAMED_PATHS["faces"])
    paths = load_paths("faces")
    assert isinstance(paths, LinearPaths)
    draw(generator, paths)
    print(table(generator, paths, reader))


if __name__ == "__main__":
    main()
