"""How local directions in weights are on pictures that no search has seen, by layer and mask.

``python benchmarks/weight_locality.py [--mask mouth eyes] [--layer convs.4 convs.5+convs.6] [--refine 0 60]``

It prints a table in Markdown: mean (and median) outside/inside mean squared change of the three leading directions, both signs,
on seeds 0 to 7, where the mean square inside is 0.35 of the usual difference of two faces, as in the locality benchmark.
"""

from __future__ import annotations

import argparse
import itertools
import time

import torch
from torch import Tensor

from semanifold.core.latents import Latents
from semanifold.edits import Edit
from semanifold.generators.base import Generator
from semanifold.generators.loading import load_generator
from semanifold.images.masks import as_mask
from semanifold.images.metrics import inside_change, mse_ratio
from semanifold.paths.weight_masked import REFINEMENT, masked_weight_paths

LEVEL, SEEDS, SHOWN, HALVINGS = 0.35, range(8), 3, 12
NEAREST, FARTHEST = 1e-4, 8.0


def at_level(edit: Edit, generator: Generator, code: Latents, plain: Tensor, mask: Tensor, wanted: float, sign: float) -> float:
    """Return outside/inside where the change inside is as wanted, by halving the logarithm of t."""
    low, high = torch.tensor([NEAREST, FARTHEST]).log().tolist()
    picture = plain
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        picture = edit.images(generator, code, [sign * float(torch.tensor(middle).exp())])
        low, high = (middle, high) if float(inside_change(picture, plain, mask)) < wanted else (low, middle)
    return float(mse_ratio(picture, plain, mask))


@torch.no_grad()
def ratios(edits: list[Edit], generator: Generator, name: str) -> list[list[float]]:
    """Return outside/inside of every edit on every seed, both signs."""
    codes = [generator.sample(seed) for seed in SEEDS]
    plain = [generator.images(code) for code in codes]
    side = generator.picture_shape[1:]
    masks = [as_mask(name, generator, code).at(*side) for code in codes]
    strangers = generator.images(generator.sample(range(100, 140)))
    usual = [LEVEL * float(inside_change(strangers, p, m).median()) for p, m in zip(plain, masks)]
    return [
        [at_level(e, generator, c, p, m, u, sign) for c, p, m, u in zip(codes, plain, masks, usual) for sign in (1.0, -1.0)]
        for e in edits
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generator", default="faces")
    parser.add_argument("--mask", nargs="+", default=["mouth", "eyes"])
    parser.add_argument("--layer", nargs="+", default=["convs.3", "convs.4", "convs.5", "convs.6"])
    parser.add_argument("--samples", type=int, default=24)
    parser.add_argument("--refine", type=int, nargs="+", default=[REFINEMENT])
    given = parser.parse_args()
    generator = load_generator(given.generator)
    print(
        "| mask | layer | steps | direction 0 | direction 1 | direction 2 | seconds to find |\n|---|---|---:|---:|---:|---:|---:|"
    )
    for mask, layer, steps in itertools.product(given.mask, given.layer, given.refine):
        start = time.process_time()
        facts = {"samples": given.samples, "refine": steps, "progress": False}
        paths = masked_weight_paths(generator, layer.split("+"), mask, SHOWN, **facts)
        took = time.process_time() - start
        cells = []
        for row in ratios([paths[k] for k in range(SHOWN)], generator, mask):
            numbers = torch.tensor(row)
            cells.append(f"{float(numbers.mean()):.4f} ({float(numbers.median()):.4f})")
        print(f"| {mask} | {layer} | {steps} | {' | '.join(cells)} | {took:.0f} |", flush=True)


if __name__ == "__main__":
    main()
