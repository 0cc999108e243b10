"""Are the manifolds of several local directions different ones? Searches on the bundled faces, compared.

    python benchmarks/manifold_directions.py                     # four faces and masks, five searches each: minutes
    python benchmarks/manifold_directions.py --out out/directions   # and a sheet of each

The table gives the largest cosine between the farthest picture changes of any two searches, first as they are, then with the bar
that keeps later directions off what the earlier ones change taken away, and what each search changes most.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from unittest import mock

import torch
from torch.nn.functional import normalize

from semanifold.analysis.attributes.faces import FacesAttributes
from semanifold.generators.base import Generator
from semanifold.generators.loading import load_generator
from semanifold.images import media
from semanifold.images.masks import parse_mask
from semanifold.manifolds import ManifoldSettings, discover_manifold
from semanifold.manifolds.metric import Metric
from semanifold.worlds.faces.reading import face_regions

CASES = ((4, "mouth"), (1, "mouth"), (2, "eyes"), (5, "hair"))
SEARCHES = ((0, False), (0, True), (1, False), (2, False), (3, False))
"""Direction and flip."""


def searched(generator: Generator, seed: int, region: str, sheet: Path | None) -> tuple[float, list[str], list[float]]:
    """Return the largest cosine between the changes, the factor that each search changes most, and the ratios."""
    code, reader = generator.sample([seed]), FacesAttributes()
    mask = parse_mask(region, face_regions(generator, code), size=generator.picture_shape[1:])
    changes, words, ratios, rows = [], [], [], []
    for direction, flip in SEARCHES:
        found = discover_manifold(generator, code, mask, ManifoldSettings(direction=direction, flip=flip, frames=16))
        edit = found.unwrap()
        with torch.no_grad():
            pictures = edit.images(generator, generator.convert(code, edit.info.space), torch.linspace(0, 1, 9))
        changes.append((pictures[4] - pictures[0]).flatten())
        read = reader.read(pictures[[0, 4]], pictures[:1])
        step = read[1] - read[0]
        most = int(step.abs().argmax())
        words.append(f"{reader.attributes[most].name.replace('_', ' ')} {float(step[most]):+.2f}")
        ratios.append(found.stats["ratio"])
        rows.append(media.contact_sheet(media.to_uint8(pictures), columns=9, size=72))
    if sheet is not None:
        media.save_png(media.stack_rows(rows, words), sheet)
    unit = normalize(torch.stack(changes), dim=1)
    cosines = unit @ unit.T - 2 * torch.eye(len(unit))
    return float(cosines.max()), words, ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for sheets of pictures")
    given = parser.parse_args()
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
    generator = load_generator("faces")
    print("| seed, mask | without the bar | with it | directions 0, flip, 1, 2, 3 change most | outside/inside |")
    print("|---|---:|---:|---|---|")
    for seed, region in CASES:
        sheet = None if given.out is None else given.out / f"{region}-{seed}.png"
        cosine, words, ratios = searched(generator, seed, region, sheet)
        with mock.patch.object(Metric, "allowed", lambda self, x: x):
            before = searched(generator, seed, region, None)[0]
        share = ", ".join(f"{ratio:.4f}" for ratio in ratios)
        print(f"| {seed}, {region} | {before:.2f} | {cosine:.2f} | {'; '.join(words)} | {share} |", flush=True)


if __name__ == "__main__":
    main()
