"""Frames, the distances that they should have, the springs between them, and other numbers of frames."""

from __future__ import annotations

import math

import pytest
import torch

from semanifold.manifolds.layout import layout_of, natural_spline, refine, schedule_targets, springs_of
from semanifold.manifolds.settings import ManifoldSettings


def layout(frames: int, **changes: object):
    return layout_of(ManifoldSettings(frames=frames, **changes), frames)  # type: ignore[arg-type]


def test_targets_are_those_of_even_walks() -> None:
    """Distances grow with the square of a step: ``s^2`` straight out, ``sin^2`` of half the angle around a circle."""
    torch.testing.assert_close(schedule_targets("out", 5), torch.tensor([0, 1, 4, 9, 16]) / 16)
    torch.testing.assert_close(schedule_targets("out-and-back", 5), torch.tensor([0, 0.5, 1, 0.5, 0]))
    torch.testing.assert_close(schedule_targets("out-and-back", 4, closed=True), torch.tensor([0, 0.5, 1, 0.5]))
    assert schedule_targets("constant", 3).tolist() == [1, 1, 1]
    through = layout(5, schedule="through")
    torch.testing.assert_close(through.targets, torch.tensor([1, 0.25, 0, 0.25, 1]))
    pad = layout(3, dims=2)
    torch.testing.assert_close(pad.targets.reshape(3, 3), torch.tensor([[2.0, 1, 2], [1, 0, 1], [2, 1, 2]]))
    assert (through.centred, pad.centred) == (True, True)
    assert through.targets[2] == pad.targets[4] == 0


@pytest.mark.parametrize(
    ("changes", "fixed", "lead"),
    [
        ({"schedule": "out"}, [0], False),
        ({"schedule": "through"}, [2], False),
        ({"schedule": "out-and-back"}, [0, 4], False),
        ({"schedule": "out-and-back", "ends": "free"}, [0], False),
        ({"schedule": "out-and-back", "closed": True}, [0], False),
        ({"schedule": "constant"}, [0, 4], False),
        ({"schedule": "constant", "ends": "free"}, [], True),
        ({"schedule": "constant", "closed": True}, [0], False),
        ({"dims": 2}, [12], False),
    ],
)
def test_frames_that_are_the_seed_do_not_move(changes: dict, fixed: list[int], lead: bool) -> None:
    made = layout(5, **changes)
    assert made.fixed.nonzero().flatten().tolist() == fixed
    assert made.lead is lead
    assert (made.targets[made.fixed] == 0).all()
    assert sorted([*made.free.tolist(), *fixed]) == list(range(len(made.targets)))
    free = torch.randn(len(made.free), 2, 3)
    whole = made.spread(free)
    assert torch.equal(whole[made.free], free)
    assert whole[made.fixed].abs().sum() == 0


def test_springs_join_frames_that_are_k_apart_along_every_axis() -> None:
    line = springs_of((4,), {1: 0.5, 2: 0.25, 3: 0.0, 9: 1.0})
    assert line.pairs.tolist() == [[0, 1], [1, 2], [2, 3], [0, 2], [1, 3]]
    assert line.orders.tolist() == [1, 1, 1, 2, 2]
    assert line.weights.tolist() == [0.5, 0.5, 0.5, 0.25, 0.25]
    ring = springs_of((4,), {1: 1.0}, closed=True)
    assert ring.pairs.tolist() == [[0, 1], [1, 2], [2, 3], [3, 0]]
    sheet = springs_of((2, 3), {1: 1.0})
    assert sorted(map(tuple, sheet.pairs.tolist())) == [(0, 1), (0, 3), (1, 2), (1, 4), (2, 5), (3, 4), (4, 5)]
    assert len(springs_of((1,), {1: 1.0}).orders) == len(springs_of((4,), {}).orders) == 0


def test_other_numbers_of_frames_lie_on_straight_lines_between() -> None:
    line = torch.tensor([0.0, 2.0, 6.0])[:, None, None].expand(3, 2, 2)
    finer = refine(line, (3,), (5,))
    assert finer[:, 0, 0].tolist() == [0, 1, 2, 4, 6]
    assert torch.equal(refine(finer, (5,), (3,)), line)
    assert refine(line, (3,), (3,)) is line
    x, y = torch.meshgrid(torch.arange(3.0), torch.arange(3.0), indexing="ij")
    sheet = refine(torch.stack([x + 10 * y, x], -1).reshape(9, 2), (3, 3), (5, 5)).reshape(5, 5, 2)
    x, y = torch.meshgrid(torch.arange(5.0) / 2, torch.arange(5.0) / 2, indexing="ij")
    torch.testing.assert_close(sheet, torch.stack([x + 10 * y, x], -1))
    angles = 2 * math.pi * torch.arange(4) / 4
    ring = refine(torch.stack([angles.cos(), angles.sin()], 1), (4,), (8,), closed=True)
    torch.testing.assert_close(ring[::2], torch.stack([angles.cos(), angles.sin()], 1))
    torch.testing.assert_close(ring[7], torch.tensor([0.5, -0.5]), rtol=0, atol=1e-6)


def test_a_natural_spline_goes_through_uneven_knots_and_does_not_bend_at_its_ends() -> None:
    knots = torch.tensor([-1.0, -0.7, 0.0, 0.1, 1.0], dtype=torch.float64)
    torch.testing.assert_close(natural_spline(knots, knots), torch.eye(5, dtype=torch.float64))
    fine = torch.linspace(-1, 1, 2001, dtype=torch.float64)
    weights = natural_spline(knots, fine)
    torch.testing.assert_close(weights @ knots, fine)  # a straight line stays one
    bends = weights.diff(dim=0).diff(dim=0) / 1e-6
    assert bends[[0, -1]].abs().max() < 0.01 * bends.abs().max()
    assert bends.diff(dim=0).abs().max() < 0.02 * bends.abs().max()  # second derivatives do not leap at knots
    # of two knots a straight line is left
    torch.testing.assert_close(natural_spline(knots[:2], torch.tensor([-0.85])), torch.tensor([[0.5, 0.5]]).double())


def test_a_spline_goes_through_its_knots_and_gives_a_cubic_back() -> None:
    for old, order in ((3, 2), (4, 3), (9, 3)):
        few, many = (torch.linspace(0, 1, n)[:, None] ** order for n in (old, 24))
        torch.testing.assert_close(refine(few, (old,), (24,), smooth=True), many)
    line = torch.randn(9, 2, 2)
    assert torch.equal(refine(refine(line, (9,), (17,), smooth=True), (17,), (9,), smooth=True), line)
    x, y = torch.meshgrid(torch.arange(9.0) / 2, torch.arange(9.0) / 2, indexing="ij")
    fine = torch.stack([x**3 + 10 * y, x * y], -1)
    sheet = refine(fine[::2, ::2].reshape(25, 2), (5, 5), (9, 9), smooth=True)
    torch.testing.assert_close(sheet.reshape(9, 9, 2), fine)
    few, many = (torch.stack([a.cos(), a.sin()], 1) for a in (2 * math.pi * torch.arange(n) / n for n in (8, 24)))
    torch.testing.assert_close(refine(few, (8,), (24,), closed=True, smooth=True), many, rtol=0, atol=2e-3)


def test_an_edit_begins_at_the_seed_and_closes() -> None:
    offsets = torch.arange(1.0, 5)[:, None]
    grid, knots = layout(4, schedule="constant", ends="free").lattice(offsets, closed=False)
    assert grid.flatten().tolist() == [0, 1, 2, 3, 4]
    torch.testing.assert_close(knots[0], torch.linspace(0, 1, 5))
    ring, _ = layout(4, schedule="out-and-back", closed=True).lattice(offsets, closed=True)
    assert ring.flatten().tolist() == [1, 2, 3, 4, 1]
    again, _ = layout(4).lattice(torch.tensor([[0.0], [1.0], [1.0], [0.0]]), closed=True)
    assert again.flatten().tolist() == [0, 1, 1, 0], "closed already"
    pad, both = layout(3, dims=2).lattice(torch.arange(9.0)[:, None], closed=False)
    assert pad.shape == (3, 3, 1)
    assert [knot.tolist() for knot in both] == [[-1, 0, 1]] * 2
