"""The study of what rewards pure paths: every reward is least where it says."""

from __future__ import annotations

import sys

import pytest
import torch
from support.places import ROOT
from torch import Tensor

from semanifold.generators.wrapped import wrap
from semanifold.paths.linear import linear_paths
from semanifold.paths.warped import warped_paths
from semanifold.training.purity import purity_of

sys.path.insert(0, str(ROOT / "benchmarks"))
import pure_paths as study


def four(z: Tensor) -> Tensor:
    """Four numbers that each change a quarter of the picture: the first one the middle of it."""
    pictures = z.new_zeros(len(z), 1, 8, 8)
    pictures[:, 0, 3:5, 3:5] = z[:, 0, None, None]
    pictures[:, 0, 0, :] = z[:, 1, None]
    pictures[:, 0, 7, :] = 0.5 * z[:, 2, None]
    pictures[:, 0, 2, :] = 0.25 * z[:, 3, None]
    return pictures


def looks() -> tuple[study.Look, study.Look]:
    """Return paths that are the four numbers, and paths that mix them."""
    generator = wrap(four, (4,))
    made = [linear_paths(generator, "z", 4, form) for form in ("id", "random")]
    here = study.Study(generator, purity_of(generator, made[0], samples=4, progress=False), torch.empty(0))
    changes = (four(torch.eye(4)) - four(torch.zeros(1, 4))).expand(4, -1, -1, -1, -1)
    here, rows = study.Study(generator, here.purity, changes), torch.arange(4)
    pure, mixed = (study.Look(here, paths, rows, here.purity.steps(paths)[rows]) for paths in made)
    return pure, mixed


@pytest.mark.parametrize("reward", [study.few_pixels, study.few_cells, study.unlike, study.diagonal])
def test_a_path_that_changes_one_thing_alone_costs_less_than_a_mixture(reward: study.Reward) -> None:
    pure, mixed = looks()
    assert float(reward(pure)) < 0.9 * float(reward(mixed))


def test_the_mask_counts_what_changes_outside_of_the_middle() -> None:
    pure, _ = looks()
    power = pure.changed.square().mean(2)[0].flatten(1).sum(1)
    middle = pure.changed[0, :, 0, 2:6, 2:6].square().flatten(1).sum(1)
    assert float(study.inside_mask(pure)) == pytest.approx(float((1 - middle / power).mean()), abs=1e-5)


def test_straight_paths_commute_and_bent_ones_do_not() -> None:
    pure, mixed = looks()
    assert float(study.commuting(mixed)) < 1e-10
    bent = warped_paths(pure.study.generator, "z", 4, 3, init="spread")
    look = study.Look(pure.study, bent, pure.rows, pure.study.purity.steps(bent)[pure.rows])
    assert float(study.commuting(look).detach()) > 1e-4
