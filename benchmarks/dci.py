"""How well do the spaces of the bundled faces tell their factors apart? DCI and dependency of z, w, w+ and s, one table.

    python benchmarks/dci.py                 # some minutes on one core
    python benchmarks/dci.py --codes 2000 --pictures 2

DCI (Eastwood & Williams 2018) by lasso on standardised codes, and, where scikit-learn is installed, as StyleSpace does it (Wu
et al. 2021, arXiv:2011.12799): gradient-boosted trees that tell the codes of the lowest from those of the highest 2 % of every
factor, half of them for the test; FFHQ has D .54 in w and .75 in s there. Dependency is the mean change of the other factors
where one has changed by its standard deviation: of single numbers of the code (the three most important for every factor), and
of the 32 joint axes of the space; for every factor that is reached the purest path counts.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semanifold.analysis.ranking.dci import dci, purity
from semanifold.analysis.ranking.dependency import dependencies
from semanifold.core.latents import Latents
from semanifold.generators.base import Generator
from semanifold.generators.loading import load_generator
from semanifold.paths.joint import joint_paths
from semanifold.worlds.faces.reading import read_factors

Array = NDArray[np.float64]

FIRST_CODE = 900_000
"""Seed of the first code; no search draws it."""
EXTREME = 2.0
"""Per cent of the codes at either end that trees tell apart."""
STEPS, AXES, CANDIDATES = 10, 32, 3
FAR = 12.0
"""Standard deviations that a single number goes either way."""


def drawn(generator: Generator, n: int) -> tuple[dict[str, Array], Array]:
    """Return n random codes in every space, ``[n, dims]``, and the factors that are read off their pictures."""
    codes: dict[str, list[Array]] = {space: [] for space in generator.spaces}
    factors = []
    for start in range(FIRST_CODE, FIRST_CODE + n, 250):
        z = generator.sample(range(start, min(start + 250, FIRST_CODE + n)))
        factors.append(read_factors(generator, z).double().numpy())
        for space, parts in codes.items():
            with torch.no_grad():
                parts.append(generator.convert(z, space).values.flatten(1).numpy())
    return {space: np.concatenate(parts) for space, parts in codes.items()}, np.concatenate(factors)


def trees(codes: Array, factors: Array) -> tuple[float, float, float]:
    """Return disentanglement, completeness and accuracy by gradient-boosted trees on the extremes of every factor."""
    from sklearn.ensemble import GradientBoostingClassifier  # noqa: PLC0415  (not everybody has it)

    importance, right = np.zeros((codes.shape[1], factors.shape[1])), []
    for j, values in enumerate(factors.T):
        order, count = values.argsort(kind="stable"), round(EXTREME / 100 * len(values))
        chosen = np.random.default_rng(j).permutation(np.concatenate([order[:count], order[-count:]]))
        fitted, held = np.array_split(chosen, 2)
        high = np.isin(np.arange(len(values)), order[-count:])
        model = GradientBoostingClassifier(random_state=0)
        model.fit(codes[fitted], high[fitted])
        importance[:, j] = model.feature_importances_
        right.append(float((model.predict(codes[held]) == high[held]).mean()))
    return *purity(importance), float(np.mean(right))


@torch.no_grad()
def purest(generator: Generator, steps: Tensor, codes: Latents, spread: Array) -> tuple[float, int]:
    """Return the dependency of the purest of straight paths, averaged over the factors that one reaches, and how many these are.

    Args:
        generator: the faces.
        steps: ``[paths, *code]`` their ends.
        codes: where they begin.
        spread: ``[factors]`` standard deviations.
    """
    t = torch.linspace(-1, 1, 2 * STEPS + 1)
    t = t * t.abs()  # close together near the picture itself, where strong paths have done their part
    values = np.zeros((len(codes), len(steps), len(t), len(spread)))
    for i in range(len(codes)):
        for k, step in enumerate(steps):
            moved = codes[i].moved(t.reshape(-1, *[1] * step.ndim) * step)
            values[i, k] = read_factors(generator, moved).numpy()
    found = dependencies(values, t.numpy().astype(float), spread)
    reached = ~np.isnan(found).all(0)
    return float(np.nanmin(found[:, reached], 0).mean()) if reached.any() else math.nan, int(reached.sum())


def row(generator: Generator, space: str, codes: Array, factors: Array, pictures: int) -> dict[str, float]:
    """Measure one space."""
    found = dci(codes, factors)
    result = {"dims": codes.shape[1], "D": found.disentanglement, "C": found.completeness, "I": found.informativeness}
    if importlib.util.find_spec("sklearn"):
        result |= dict(zip(("D trees", "C trees", "I trees"), trees(codes, factors)))
    spread = factors.std(0)
    begin = generator.sample(range(pictures), space)
    places = np.unique(found.importance.argsort(0)[-CANDIDATES:])
    deviation = torch.from_numpy(codes.std(0)).float()
    units = torch.zeros(len(places), codes.shape[1])
    for i, place in enumerate(places.tolist()):
        units[i, place] = FAR * deviation[place]
    ends = units.reshape(-1, *generator.shapes[space])
    result["single"], result["singles reached"] = purest(generator, ends, begin, spread)
    paths = joint_paths(generator, space, AXES, progress=False)
    ends = torch.stack([paths[k].latents(begin[0], 1.0).values[0] - begin.values[0] for k in range(len(paths))])
    result["axes"], result["axes reached"] = purest(generator, ends, begin, spread)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codes", type=int, default=20_000)
    parser.add_argument("--pictures", type=int, default=4)
    parser.add_argument("--spaces", nargs="+", default=["z", "w", "w+", "s"])
    parser.add_argument("--out", type=Path, default=Path("out/dci.json"))
    args = parser.parse_args()
    generator = load_generator("faces")
    codes, factors = drawn(generator, args.codes)
    table = {}
    for space in args.spaces:
        table[space] = row(generator, space, codes[space], factors, args.pictures)
        print(space, {key: round(value, 3) for key, value in table[space].items()}, flush=True)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(table, indent=1))
    columns = list(next(iter(table.values())))
    print("| space | " + " | ".join(columns) + " |\n|" + "---|" * (len(columns) + 1))
    for space, numbers in table.items():
        print(f"| {space} | " + " | ".join(f"{numbers[c]:.3g}" for c in columns) + " |")


if __name__ == "__main__":
    main()
