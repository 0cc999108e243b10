"""What makes joint weight axes work: which layer, how many pictures, how large a subspace, several layers at once.

``python benchmarks/weight_joint.py`` prints a table in Markdown for the bundled faces: of 32 joint axes of the weights of a layer
and, in the same subspace, of the 32 leading eigenvectors of the mean metric (what the Hessian finds), how many of the 29 factors
change by a standard deviation along some path, and how much the others change then on the purest path (dependency, as in
``path_sets.py``), averaged over the factors that both sets reach; on 4 codes. One to three minutes of one core per row.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from path_sets import TARGET, walked

from semanifold.analysis.attributes.faces import FacesAttributes
from semanifold.analysis.ranking.dependency import dependencies
from semanifold.generators.base import Generator
from semanifold.generators.loading import load_generator
from semanifold.paths.base import PathSet
from semanifold.paths.changes import changes_of, codes_for
from semanifold.paths.joint import joint_diagonal, logarithms
from semanifold.paths.weight_axes import WeightSpace, made
from semanifold.paths.weight_ranges import calibrated
from semanifold.paths.weights import CITE

K, CODES = 32, 4
ROWS = (
    ("convs.2", 48, 64),
    ("convs.3", 48, 64),
    ("convs.4", 48, 64),
    ("convs.5", 48, 64),
    ("convs.6", 48, 64),
    ("convs.4", 12, 64),
    ("convs.4", 48, 32),
    ("convs.4", 48, 128),
    ("convs.3+convs.4+convs.5", 48, 64),
)
"""Layers, pictures that decide, and dimensions of the subspace."""


def purest(
    generator: Generator, paths: PathSet, spread: np.ndarray, codes: int | None = None, steps: int | None = None
) -> np.ndarray:
    """Return the dependency of every factor ``[29]`` on its purest path; NaN where no path reaches it.

    Measured on so many codes, and so many steps of each path either way; its own when None.
    """
    reader, steps = FacesAttributes(), steps or paths.info.count
    coarse = paths.with_info(step=paths.info.step * paths.info.count / steps, count=steps)
    measured = walked(generator, coarse, codes or CODES, reader, ("mouth",))["mouth"]
    costs = dependencies(measured.values, measured.t, spread, TARGET)
    reached = ~np.isnan(costs).all(0)
    found = np.full(costs.shape[1], np.nan)
    found[reached] = np.nanmin(costs[:, reached], 0)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layer", nargs="+", help="only these rows")
    given = parser.parse_args()
    generator = load_generator("faces")
    with torch.no_grad():
        pictures = generator.images(generator.sample(range(60_000, 60_256)))
        spread = FacesAttributes().read(pictures, pictures[:1]).std(0).double().numpy()
    print("| layers | pictures | dimensions | joint: factors, dependency | eigenvectors: factors, dependency | seconds |")
    print("|---|---:|---:|---|---|---:|")
    for layers, samples, kept in ROWS:
        if given.layer and layers not in given.layer:
            continue
        start = time.process_time()
        space = WeightSpace(generator, tuple(layers.split("+")))
        found = changes_of(space, codes_for(generator, samples, 0, None), None, kept, seed=0, tell=lambda _: None)
        frames = {
            "joint": joint_diagonal(logarithms(found.inside)),
            "mean": torch.linalg.eigh(found.inside.mean(0).double())[1].T,
        }
        costs = {}
        for name, frame in frames.items():
            strength = torch.einsum("ki,nij,kj->k", frame, found.inside.double(), frame)
            rows = frame[strength.argsort(descending=True)[:K]]
            paths = calibrated(made(space, rows, found.basis, name, CITE), generator, samples=3, progress=False)
            costs[name] = purest(generator, paths, spread)
        both = ~np.isnan(costs["joint"]) & ~np.isnan(costs["mean"])
        words = [f"{int((~np.isnan(cost)).sum())}, {float(cost[both].mean()):.3f}" for cost in costs.values()]
        took = time.process_time() - start
        print(f"| {layers} | {samples} | {kept} | {words[0]} | {words[1]} | {took:.0f} |", flush=True)


if __name__ == "__main__":
    main()
