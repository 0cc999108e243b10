"""How well a click selects what a person means: intersection over union with the true parts of the bundled faces.

Two truths: what is seen of a part (from the painters of the renderer), and the named regions, which hold all places where the
part could be. A click lies at the innermost pixel of the part, or at a random one. Beside them colour alone (all pixels that
are as near in colour as the best of several tolerances), and a flood fill; the tolerance is the best on these very pictures.
Eyes are both eyes. ``python benchmarks/click_masks.py --codes 32 --draws 3``
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from semanifold.core.latents import Latents
from semanifold.generators import parts
from semanifold.generators.base import Generator
from semanifold.generators.loading import load_generator
from semanifold.worlds.faces.label_maps import LABELS, label_map
from semanifold.worlds.faces.names import MASK_REGIONS
from semanifold.worlds.faces.reading import read_factors
from semanifold.worlds.faces.regions import region_mask

SIZE = 64
FIRST = 7000
SEEN = {
    "mouth": ("lips", "mouth", "teeth"),
    "eyes": ("lids", "whites", "irises"),
    "hair": ("hair",),
    "background": ("background",),
    "skin": ("skin",),
    "clothes": ("clothes",),
    "nose": ("nose",),
    "brows": ("brows",),
}
TOLERANCES = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7)
Select = Callable[[int, int, int], Tensor]
"""``(code, row, column) -> [h, w]``: what is selected."""


def overlap(one: Tensor, other: Tensor) -> float:
    """Intersection over union."""
    return float((one & other).sum() / (one | other).sum().clamp(min=1))


def innermost(part: Tensor) -> tuple[int, int]:
    """Return the pixel of a part that is farthest from its border; of several the one nearest to their mean."""
    depth, left = torch.zeros(part.shape), part.float()[None]
    while left.any():
        depth += left[0]
        left = -max_pool2d(-left, 3, 1, 1)
        left[:, [0, -1]] = 0
        left[:, :, [0, -1]] = 0
    deepest = (depth == depth.max()).nonzero()
    nearest = (deepest - deepest.float().mean(0)).square().sum(1).argmin()
    return int(deepest[nearest, 0]), int(deepest[nearest, 1])


def anywhere(part: Tensor, seed: int) -> tuple[int, int]:
    """Return a random pixel of a part."""
    places = part.nonzero()
    row, column = places[int(torch.randint(len(places), (1,), generator=torch.Generator().manual_seed(seed)))]
    return int(row), int(column)


def mean_overlap(select: Select, truth: Tensor, random: bool) -> float:
    """Return the mean over the codes ``[n, h, w]`` that show the part in four pixels or more."""
    found = []
    for i, part in enumerate(truth):
        if part.sum() >= 4:
            found.append(overlap(select(i, *(anywhere(part, i) if random else innermost(part))), part))
    return sum(found) / len(found)


def by_colour(pictures: Tensor, tolerance: float, flood: bool) -> Select:
    """Select all pixels of like colour, or only those that are connected to the click."""

    def select(i: int, row: int, column: int) -> Tensor:
        near = (pictures[i] - pictures[i, :, row, column][:, None, None]).norm(dim=0) <= tolerance
        if not flood:
            return near
        reached = torch.zeros_like(near)
        reached[row, column] = True
        while not torch.equal(wider := (max_pool2d(reached.float()[None], 3, 1, 1)[0] > 0) & near, reached):
            reached = wider
        return reached

    return select


def by_click(generator: Generator, codes: list[Latents]) -> Select:
    """Select by ``at:``."""
    return lambda i, row, column: (
        generator.clicked((column + 0.5) / SIZE, (row + 0.5) / SIZE, codes[i]).at(SIZE, SIZE)[0, 0] > 0.5
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--codes", type=int, default=32)
    parser.add_argument("--draws", type=int, default=3, help="how often the parts are found, from other samples each time")
    options = parser.parse_args()
    faces = load_generator("faces")
    drawn = faces.sample(range(FIRST, FIRST + options.codes))
    codes = [drawn[i] for i in range(len(drawn))]
    pictures, factors = faces.images(drawn), read_factors(faces, drawn)
    labels = label_map(factors, SIZE)
    seen = {name: torch.isin(labels, torch.tensor([LABELS.index(each) for each in every])) for name, every in SEEN.items()}
    named = {name: region_mask(name, factors, SIZE)[:, 0] > 0.5 for name in MASK_REGIONS}
    first, draws = parts.FIRST, []
    for draw in range(options.draws):
        parts.FIRST = first + draw * parts.SAMPLES
        generator, began = load_generator("faces"), time.perf_counter()
        generator.clicked(0.5, 0.5, codes[0])
        middle = time.perf_counter()
        generator.clicked(0.5, 0.5, codes[1])
        print(f"parts found in {middle - began:.1f} s, the next mask in {time.perf_counter() - middle:.3f} s")
        draws.append(by_click(generator, codes))
    for title, truth in (("what is seen", seen), ("named regions", named)):
        print(f"\n{title}, {options.codes} codes, {options.draws} draws of samples: mean (lowest, highest draw)\n")
        print(
            "| part | share | click inside | click anywhere | colour | flood fill | colour, anywhere | flood, anywhere | seen |"
        )
        print("|---|" + "---:|" * 8)
        for name, region in truth.items():
            cells = [f"{region.float().mean():.1%}"]
            for random in (False, True):
                values = [mean_overlap(select, region, random) for select in draws]
                cells.append(f"{sum(values) / len(values):.2f} ({min(values):.2f}, {max(values):.2f})")
            for random in (False, True):
                for flood in (False, True):
                    best = max(mean_overlap(by_colour(pictures, t, flood), region, random) for t in TOLERANCES)
                    cells.append(f"{best:.2f}")
            own = seen.get("skin" if name == "face" else name)
            cells.append("" if own is None else f"{sum(map(overlap, own, region)) / len(region):.2f}")
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
