"""Walking from the start to the places of a path, where all directions are known and every way is short."""

import pytest
import torch
from support.small_world import SmallWorld

from semanifold.edits import EditInfo, Lattice
from semanifold.images.masks import box
from semanifold.manifolds import walking
from semanifold.manifolds.adapting import Adaptation
from semanifold.manifolds.same_change import AMOUNT
from semanifold.manifolds.walking import newton_step, walked

WORLD = SmallWorld()


def leaking(t: torch.Tensor) -> Adaptation:
    """A path that moves the lower half, as is wanted, and the upper half."""
    turn = WORLD.get_buffer("turn")
    path = Lattice(t[:, None] * (1.5 * turn[:, 3] + 0.8 * turn[:, 4]), [t], EditInfo(space="z"))
    return Adaptation.prepare(WORLD, path, WORLD.sample([5]), box(0, 0.5, 1, 1))


@pytest.mark.parametrize("low", [0.0, -1.0])
def test_every_place_keeps_the_change_and_loses_the_leak(low: float) -> None:
    adaptation = leaking(torch.linspace(low, 1, 9))
    same = adaptation.same_change()
    walk = walked(same, adaptation.places)
    before, after = (same.parts(same.change(x)) for x in (same.carried, walk.path))
    assert before[2] > 0.1 * same.unit
    assert after[2] < 0.03 * before[2]
    assert after[0].mean() < 0.15 * same.unit  # a damped step stays behind
    # the picture is seen at every step, all six directions at the start and at two places: the third and seventh, or of each side
    # the third
    assert walk.pictures == 7 + 2 * len(same.carried) + 7 * 2
    assert walk.known.rows.equal(torch.eye(6))


def test_directions_follow_what_the_pictures_do_between_pushes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walking, "EVERY", 1000)
    monkeypatch.setattr(walking, "FIRST", 999)
    adaptation = leaking(torch.linspace(0, 1, 9))
    same = adaptation.same_change()
    walk = walked(same, adaptation.places)
    assert walk.pictures == 7 + 2 * len(same.carried)
    assert same.parts(same.change(walk.path))[2] < 0.05 * same.parts(same.change(same.carried))[2]
    # grams are a mean of places at which directions do different things
    assert not walk.grams[0].allclose(walk.known.grams(same)[0], rtol=1e-3)


def test_a_step_is_lowest_where_its_own_linear_model_is() -> None:
    same = leaking(torch.linspace(0, 1, 9)).same_change()
    pushed = torch.randn(6, *same.picture.shape[1:], generator=torch.Generator().manual_seed(0))
    change, wanted = 0.3 * pushed[0], same.wanted[3]

    def cost(x: torch.Tensor) -> torch.Tensor:
        inside, outside = ((change + torch.tensordot(x, pushed, 1)) * root for root in same.roots)
        along = wanted / wanted.norm()
        missing = ((inside - wanted) * along).sum().square()
        other = (inside - wanted).square().sum() - missing
        leak = same.weight(walking.SHARE * same.unit) * outside.square().sum()
        pictures = (AMOUNT * missing + other + leak) / wanted.numel() / same.unit
        return pictures + walking.DAMPING * x.square().sum() / same.reach**2

    step = newton_step(same, pushed, change, wanted).requires_grad_()
    (slope,) = torch.autograd.grad(cost(step), step)
    (at_start,) = torch.autograd.grad(cost(nothing := torch.zeros(6, requires_grad=True)), nothing)
    assert slope.norm() < 1e-4 * at_start.norm()
