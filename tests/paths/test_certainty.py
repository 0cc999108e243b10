"""How certain joint axes are, without labels."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from semanifold.paths.certainty import DEAD, MOST_DEGREES, certainty_of
from semanifold.paths.joint import joint_diagonal


def metrics(n: int, seed: int = 0) -> Tensor:
    """Logarithms of four axes: one far from the rest, two that are told apart by their variation alone, all with noise."""
    draw = torch.Generator().manual_seed(seed)
    logs = torch.randn(n, 4, generator=draw, dtype=torch.float64) * torch.tensor([0.3, 1.0, 0.9, 0.2]).double()
    logs = logs + torch.tensor([5.0, 0.0, 0.0, -3.0]).double()
    noise = 0.4 * torch.randn(n, 4, 4, generator=draw, dtype=torch.float64)
    return logs.diag_embed() + noise + noise.mT


def turned(matrices: Tensor) -> Tensor:
    frame = joint_diagonal(matrices)
    return frame @ matrices @ frame.T


def test_the_spread_is_that_over_draws_of_codes() -> None:
    """The jackknife at one draw against the angles between the axes of forty draws and the true ones."""
    axes = torch.stack([joint_diagonal(metrics(60, seed)) for seed in range(40)])
    scattered = torch.rad2deg(axes.diagonal(dim1=1, dim2=2).abs().clamp(max=1).arccos()).square().mean(0).sqrt()
    told = torch.stack([certainty_of(turned(metrics(60, seed)), torch.ones(4), 4).spread for seed in range(40)]).mean(0)
    ratio = told / scattered
    assert ratio.min() > 0.7
    assert ratio.max() < 1.4


def test_the_contrast_is_how_much_the_criterion_rises() -> None:
    matrices = turned(metrics(60))
    half = torch.eye(4).double()
    half[1, 1] = half[1, 2] = half[2, 2] = 0.5**0.5
    half[2, 1] = -(0.5**0.5)
    best, worst = matrices[:, 1, 2].square().sum(), (half @ matrices @ half.T)[:, 1, 2].square().sum()
    found = certainty_of(matrices, torch.ones(4), 4).contrast
    assert float(found[1, 2]) == pytest.approx(float((worst - best) / (worst + best)), rel=1e-3)
    torch.testing.assert_close(found, found.T)


def test_the_error_is_the_scatter_of_what_each_code_would_turn() -> None:
    matrices, strength = metrics(3), torch.tensor([2.0, 1.0, 1.0, 0.5])  # in no frame of their own, so that turns have a mean
    found = certainty_of(matrices, strength, 4)
    h, o = matrices[:, 0, 0] - matrices[:, 1, 1], 2 * matrices[:, 0, 1]
    turns = h * o / (2 * (h.square().sum() - o.square().sum()))
    assert float(found.error[0, 1]) == pytest.approx(float(torch.rad2deg(turns.std() * 3**0.5)), rel=1e-6)
    assert found.strength.tolist() == [1.0, 0.5, 0.5, 0.25]


def test_a_plane_without_axes_is_a_plane_and_its_axes_are_not_sure() -> None:
    matrices = metrics(200)
    noise = torch.randn(200, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    matrices[:, 2, 2] = matrices[:, 1, 1]
    matrices[:, 1, 2] = matrices[:, 2, 1] = 0.001 * noise
    found = certainty_of(turned(matrices), torch.ones(4), 4)
    assert found.planes == [(1, 2)]
    assert found.sure == [0, 3]
    assert found.json()["planes"] == [[1, 2]]


def test_a_dead_axis_is_neither_sure_nor_in_a_plane_and_does_not_unsettle_others() -> None:
    strength = torch.tensor([1.0, 0.5, 0.4, 0.5 * DEAD])
    matrices = metrics(200)
    matrices[:, 0, 3] = matrices[:, 3, 0] = matrices[:, 3, 3] = matrices[:, 0, 0]  # the plane of 0 and 3 means nothing
    found = certainty_of(matrices, strength, 4)
    assert found.dead == [3]
    assert 0 in found.sure
    assert 3 not in found.sure
    assert not any(3 in plane for plane in found.planes)


def test_one_code_says_nothing() -> None:
    found = certainty_of(turned(metrics(1)), torch.ones(4), 4)
    assert found.sure == []
    assert float(found.error[0, 1]) == MOST_DEGREES


def test_an_axis_that_a_cut_off_one_could_replace_is_not_sure() -> None:
    draw = torch.Generator().manual_seed(0)
    apart = torch.randn(40, 3, generator=draw, dtype=torch.float64)
    matrices = torch.diag_embed(torch.cat([apart, apart[:, 2:]], 1))  # axes 2 and 3 are equally strong at every code
    matrices += 1e-7 * torch.randn(40, 4, 4, generator=draw, dtype=torch.float64)
    strength = torch.tensor([4.0, 3.0, 2.0, 2.0], dtype=torch.float64)
    all_four, three = certainty_of(matrices, strength, 4), certainty_of(matrices, strength, 3)
    assert (all_four.sure, all_four.planes, all_four.loose) == ([0, 1], [(2, 3)], [])
    assert (three.sure, three.planes, three.loose) == ([0, 1], [], [2])
    assert (all_four.spread[2:] >= 45).all()
