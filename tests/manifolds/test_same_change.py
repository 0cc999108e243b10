"""The objective of an adaptation, and what is known of its curvature."""

import math
from dataclasses import replace

import pytest
import torch
from support.small_world import SmallWorld

from semanifold.edits import EditInfo, Lattice
from semanifold.images.masks import box
from semanifold.manifolds import same_change
from semanifold.manifolds.adapting import Adaptation
from semanifold.manifolds.same_change import Known, SameChange

WORLD = SmallWorld()
LOWER = box(0, 0.5, 1, 1)


@pytest.fixture(scope="module")
def same() -> SameChange:
    ways = torch.sin(torch.linspace(0, 3, 7))[:, None] * WORLD.get_buffer("turn")[:, 3] + 0.2 * torch.linspace(0, 1, 7)[:, None]
    path = Lattice(ways - ways[0], [torch.linspace(0, 1, 7)], EditInfo(space="z"))
    return Adaptation.prepare(WORLD, path, WORLD.sample([5]), LOWER).same_change()


def test_the_terms_are_those_of_the_formula(same: SameChange, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(same_change, "LEAK", 2.0)
    moved = 0.8 * same.carried
    change = WORLD.images(WORLD.sample([5]).moved(moved)) - WORLD.images(WORLD.sample([5]))
    low, high = change[..., 8:, :].flatten(1), change[..., :8, :].flatten(1)
    wanted = same.wanted[..., 8:, :].flatten(1) / 2**0.5
    share = (low * wanted).mean(1) / wanted.square().mean(1)
    missing, other = (1 - share).square() * wanted.square().mean(1), (low - share[:, None] * wanted).square().mean(1)
    unit = wanted.square().mean()
    pictures = (20 * missing + other).sum() / unit + 2 * len(moved) * torch.log(1 + 1000 * high.square().mean() / unit)
    bends = torch.cat([torch.zeros(1, 6), moved - same.carried]).diff(dim=0).square().sum()
    springs = 0.02 * len(moved) * bends / same.carried.norm(dim=1).max() ** 2
    at, seen = same.at(moved)
    assert at.value == pytest.approx(float(pictures + springs), rel=1e-4)
    assert at.value - float(pictures) == pytest.approx(float(springs), rel=0.1)
    assert seen.allclose(change, atol=1e-6)
    assert at.terms == pytest.approx(
        {"inside": float(unit), "outside": float(high.square().mean()), "missing": float(missing.mean())}, rel=1e-3
    )
    step = torch.randn(moved.shape, generator=torch.Generator().manual_seed(0))
    slope = (same.at(moved + 1e-3 * step)[0].value - same.at(moved - 1e-3 * step)[0].value) / 2e-3
    assert float((at.gradient * step).sum()) == pytest.approx(slope, rel=1e-2)


def test_the_weight_of_the_outside_is_the_slope_of_its_cost(same: SameChange) -> None:
    for leak in (0.0, 0.001, 0.1, 2.0):
        x = torch.tensor(leak * same.unit, dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(same.cost(x), x)
        assert same.weight(leak * same.unit) == pytest.approx(float(slope) * same.unit, rel=1e-6)
    # a leak that doubles costs log 2 more when it is large
    doubled = same.cost(torch.tensor(2.0 * same.unit)) - same.cost(torch.tensor(same.unit))
    assert float(doubled) == pytest.approx(math.log(2), rel=0.01)


def test_a_small_space_is_known_from_the_middle_of_the_path(same: SameChange) -> None:
    known = Known.first(same)
    middle = same.carried[len(same.carried) // 2].double().requires_grad_()
    jacobian = torch.autograd.functional.jacobian(lambda u: same.change(u[None].float())[0].flatten(), middle)
    assert known.rows.equal(torch.eye(6))
    assert known.pushed.flatten(1).T.allclose(jacobian.float(), atol=2e-2 * float(jacobian.abs().max()))
    for gram, root in zip(known.grams(same), same.roots, strict=True):
        weighted = (jacobian.reshape(*same.picture[0].shape, 6) * root[..., None]).flatten(0, 2)
        assert gram.allclose(weighted.T @ weighted / len(weighted), atol=5e-2 * float(gram.max()))


def test_gradients_become_directions(same: SameChange, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(same_change, "WHOLE", 5)
    empty = Known.first(same)
    assert len(empty.rows) == 0
    free = same.carried[:2]
    few = replace(same, carried=free)
    change = few.change(free).detach()
    gradient = 1e-3 * (torch.eye(6)[:2] + 0.1)
    known = empty.with_gradients(few, free, gradient, change)
    # two gradients, and the way at two places
    assert known.rows.shape == (4, 6)
    assert (known.rows @ known.rows.T).allclose(torch.eye(4), atol=1e-5)
    inside = torch.cat([1e3 * gradient, free])
    assert ((inside @ known.rows.T) @ known.rows).allclose(inside, atol=1e-4)
    # each is pushed at its own place
    for index, row in enumerate(known.rows):
        x = free[index % 2].double()
        slope = (few.change((x + 1e-3 * row)[None].float()) - few.change((x - 1e-3 * row)[None].float()))[0] / 2e-3
        assert known.pushed[index].allclose(slope, atol=0.05 * float(slope.abs().max()))
    # what is known already is not pushed again, later gradients bring no way
    assert known.with_gradients(few, free, gradient, change).rows.equal(known.rows)
    assert len(known.with_gradients(few, free, torch.randn(2, 6, generator=torch.Generator().manual_seed(1)), change).rows) == 6
