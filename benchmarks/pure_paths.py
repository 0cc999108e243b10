"""What rewards pure paths without a label? Rewards on the changes of pictures at codes that are looked at once, in one table.

    python benchmarks/pure_paths.py celeba64    # a real decoder behind a hidden rotation: how many of its ten axes come back?
    python benchmarks/pure_paths.py faces       # the bundled faces: how much else changes with each of 29 factors

Paths from random starts learn by the reward alone, by Adam, without a reconstructor. All of them are also rewarded for directions
that differ and that pictures show, as in ``training/purity.py``: a reward alone lets all paths be the same one. The changes of
pictures along a basis of the space are taken at some codes beforehand; every step looks at :data:`CODES` of them.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from path_sets import CELEBA, axes_found, rotated
from torch import Tensor
from weight_joint import purest

from semanifold.analysis.attributes.faces import FacesAttributes
from semanifold.core.errors import SemanifoldError
from semanifold.core.jacobians import push_forward
from semanifold.generators.base import Generator
from semanifold.generators.loading import load_generator
from semanifold.paths.base import LatentPaths
from semanifold.paths.linear import linear_paths
from semanifold.paths.local_metrics import local_metrics
from semanifold.paths.warped import warped_paths
from semanifold.training.presets import PRESETS
from semanifold.training.purity import RATE, Purity, off_diagonal, purity_of

SIZE, CELLS = 32, 8
"""Height of the pictures whose changes are rewarded, and cells of them, each way."""
CODES = 8
"""Codes that one step looks at."""
IN_THE_DARK = 2.0
"""Weight of what pictures do not show."""
READ_AT, STEPS = 2, 6
"""Codes on which factors are read, and steps of a path each way."""


@dataclass(frozen=True)
class Study:
    """What all rewards ask of: the generator, the purity of its paths, and ``changes [n, m, c, h, w]`` at the codes of it."""

    generator: Generator
    purity: Purity
    changes: Tensor


@dataclass(frozen=True)
class Look:
    """The paths at some codes: their numbers, where paths lead ``[r, K, e]``, and how pictures change ``[r, K, c, h, w]``."""

    study: Study
    paths: LatentPaths
    rows: Tensor
    moved: Tensor

    @property
    def seen(self) -> Tensor:
        """Return the part of where paths lead that pictures show, ``[r, K, m]``."""
        return self.moved @ self.study.purity.visible.T

    @property
    def changed(self) -> Tensor:
        """Return how pictures change along every path."""
        return torch.einsum("rkm,rmchw->rkchw", self.seen, self.study.changes[self.rows])


Reward = Callable[[Look], Tensor]


def few_pixels(look: Look) -> Tensor:
    """Return the mean of |change| over its root mean square, 1 if all pixels change alike (Hoyer 2004)."""
    flat = look.changed.flatten(2)
    return (flat.abs().mean(-1) / flat.square().mean(-1).sqrt()).mean()


def few_cells(look: Look) -> Tensor:
    """Return the entropy of the squared change over cells, as a share of the largest."""
    cells = F.adaptive_avg_pool2d(look.changed.square().mean(2), CELLS).flatten(2)
    share = cells / cells.sum(-1, keepdim=True)
    return -(share * (share + 1e-12).log()).sum(-1).mean() / math.log(share.shape[-1])


def inside_mask(look: Look) -> Tensor:
    """Return the share of the squared change outside of a box, the middle quarter of the picture, as ``--lambda-mask`` does."""
    power = look.changed.square().mean(2)
    high, wide = power.shape[-2:]
    inside = power[..., high // 4 : -high // 4, wide // 4 : -wide // 4].sum((-2, -1))
    return (1 - inside / power.sum((-2, -1))).mean()


def unlike(look: Look) -> Tensor:
    """Return the squared cosines of a change of the picture with those along all other paths."""
    unit = F.normalize(look.changed.flatten(2), dim=-1)
    return off_diagonal(unit @ unit.mT)


def diagonal(look: Look) -> Tensor:
    """Return the squared products of a path with all others in the logarithm of the picture's metric."""
    return off_diagonal(look.seen @ look.study.purity.strengths[look.rows] @ look.seen.mT)


def commuting(look: Look) -> Tensor:
    """Return how far apart one ends that goes a step of length 1 along two paths in one order and in the other, squared."""
    codes, count = look.study.purity.codes[look.rows], len(look.paths)
    starts = codes[:, None].expand(-1, count, *codes.shape[1:]).flatten(0, 1)
    first = torch.arange(count).repeat(len(codes))
    other = (first + 1 + look.rows.repeat_interleave(count) % (count - 1)) % count
    one = torch.ones(len(first))
    there = starts + look.paths.shift(starts, first, one)
    back = starts + look.paths.shift(starts, other, one)
    apart = there + look.paths.shift(there, other, one) - back - look.paths.shift(back, first, one)
    return apart.flatten(1).square().sum(1).mean()


REWARDS: dict[str, tuple[float, Reward | None]] = {
    "nothing but paths that differ and are seen": (0, None),
    "few pixels": (3, few_pixels),
    f"few of {CELLS} x {CELLS} cells": (3, few_cells),
    "change inside a mask, the middle quarter": (3, inside_mask),
    "the order of two paths does not matter": (3, commuting),
    "changes of pictures that are orthogonal": (3, unlike),
    "logarithms of metrics that are diagonal, weight 1": (1, diagonal),
    "the same, weight 3 (--lambda-pure)": (3, diagonal),
    "the same, weight 10": (10, diagonal),
}
"""Weight of each reward, to be made least; without one, that of nothing."""


def study_of(generator: Generator, paths: LatentPaths, samples: int) -> Study:
    """Look at the pictures: their changes along the directions that the purity of paths is measured in."""
    space = paths.info.space
    purity = purity_of(generator, paths, samples=samples, progress=False)
    local = local_metrics(generator, space, len(paths), samples=samples, enough=lambda _: True, progress=False)
    basis, displacements = purity.visible, local.coordinates.displacements(purity.visible)
    found = []
    for code in purity.codes:

        def pictures(rows: Tensor, code: Tensor = code) -> Tensor:
            values = code + (rows @ displacements).reshape(-1, *code.shape)
            return generator.images(generator.example(0, space).with_values(values))

        eye = torch.eye(len(basis))
        found.append(F.adaptive_avg_pool2d(push_forward(pictures, torch.zeros(1, len(basis)), eye, 32, central=False), SIZE))
    return Study(generator, purity, torch.stack(found))


def learned(study: Study, paths: LatentPaths, weight: float, reward: Reward | None, steps: int, seed: int) -> float:
    """Train the paths in place; return the CPU seconds."""
    optimiser = torch.optim.Adam(paths.parameters(), RATE)
    draws, began = torch.Generator().manual_seed(seed), time.process_time()
    for _ in range(steps):
        rows = torch.randperm(len(study.purity), generator=draws)[:CODES]
        look = Look(study, paths, rows, study.purity.steps(paths)[rows])
        dark = (1 - look.seen.square().sum(-1)).mean()
        loss = off_diagonal(look.moved @ look.moved.mT) + IN_THE_DARK * dark
        if reward is not None:
            loss = loss + weight * reward(look)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return time.process_time() - began


def new_paths(generator: Generator, kind: str, seed: int) -> LatentPaths:
    """Return paths from a random start."""
    preset = CELEBA if generator.first_space == generator.path_space else PRESETS["faces"]
    space, way = preset.space, {"step": preset.step, "steps": preset.steps}
    if kind == "warped":
        return warped_paths(generator, space, preset.k, preset.dipoles, init="spread", seed=seed, **way)
    return linear_paths(generator, space, preset.k, "projective", random_init=True, seed=seed, **way)


def celeba64(given: argparse.Namespace) -> None:
    """Print how many of ten hidden axes each reward finds, from several starts."""
    generator, rotation = rotated()
    study = study_of(generator, new_paths(generator, "warped", 0), given.codes)
    steps = given.steps or 600
    print(f"| rewarded | axes of 10, warped, {given.starts} starts | linear | CPU s a start |\n|---|---|---|---:|")
    for name, (weight, reward) in REWARDS.items():
        cells, seconds = [], 0.0
        for kind in ("warped", "linear"):
            found = []
            for seed in range(given.starts):
                paths = new_paths(generator, kind, seed)
                seconds += learned(study, paths, weight, reward, steps, seed)
                with torch.no_grad():
                    found.append(axes_found(generator, paths, rotation))
            cells.append(", ".join(map(str, found)))
        print(f"| {name} | {' | '.join(cells)} | {seconds / 2 / given.starts:.0f} |", flush=True)


def faces(given: argparse.Namespace) -> None:
    """Print how much else changes with each factor along warped paths of the faces, from one start."""
    generator, reader = load_generator("faces"), FacesAttributes()
    with torch.no_grad():
        pictures = generator.images(generator.sample(range(60_000, 60_256)))
        spread = reader.read(pictures, pictures[:1]).std(0).double().numpy()
    study = study_of(generator, new_paths(generator, "warped", 0), given.codes)
    steps = given.steps or 600
    print("| rewarded | dependency: mean | median | factors reached | CPU s |\n|---|---:|---:|---:|---:|")
    for name, (weight, reward) in REWARDS.items():
        paths = new_paths(generator, "warped", 0)
        seconds = learned(study, paths, weight, reward, steps, 0)
        costs = purest(generator, paths, spread, READ_AT, STEPS)
        reached = int((~np.isnan(costs)).sum())
        print(f"| {name} | {np.nanmean(costs):.3f} | {np.nanmedian(costs):.3f} | {reached} of 29 | {seconds:.0f} |", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["celeba64", "faces"])
    parser.add_argument("--starts", type=int, default=4, help="of celeba64")
    parser.add_argument("--codes", type=int, default=64, help="whose pictures are looked at")
    parser.add_argument("--steps", type=int, help="of the optimiser; 600 when left out")
    given = parser.parse_args()
    try:
        {"celeba64": celeba64, "faces": faces}[given.what](given)
    except SemanifoldError as error:
        sys.exit(f"pure_paths: {error}")


if __name__ == "__main__":
    main()
