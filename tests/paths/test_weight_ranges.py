"""How far directions in weights may go: what is read from walks, on numbers made by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from semanifold.generators.wrapped import wrap
from semanifold.paths.weight_ranges import (
    OWN,
    STALLED,
    Look,
    Manifold,
    Walk,
    detail,
    manifold_of,
    small,
    usual_changes,
)

NORMS = torch.tensor([1.0, 2.0, 4.0, 8.0], dtype=torch.float64)


def walk(change: list[float], off: list[float] | None = None) -> Walk:
    """Return the walk of one picture."""
    column = torch.tensor(change, dtype=torch.float64)[:, None]
    steps = column.diff(dim=0, prepend=torch.zeros(1, 1, dtype=torch.float64))
    return Walk(column, steps, torch.zeros_like(column) if off is None else torch.tensor(off, dtype=torch.float64)[:, None])


def test_a_way_whose_pictures_stay_good_has_no_end() -> None:
    assert walk([1, 2, 4, 8]).end(NORMS) == 8
    assert walk([1, 2, 4, 8]).speeds(NORMS).tolist() == [1, 1, 1, 1]
    assert walk([1, 3, 4, 8]).speeds(NORMS).tolist() == [1, 2, 0.5, 1]


def test_it_ends_where_the_change_stalls() -> None:
    """Speed so far is 1 at the norm 2; the next step adds just less, or just more, than the share that counts."""
    assert walk([1, 2, 2 + 2 * (STALLED - 0.01), 9]).end(NORMS) == 2
    assert walk([1, 2, 2 + 2 * (STALLED + 0.01), 6]).end(NORMS) == 8


def test_it_ends_where_half_of_the_pictures_left_the_manifold() -> None:
    """Between norms along a straight line of logarithms: from 1/2 at 2 to 2 at 4, 1 is reached at 2 sqrt(2)."""
    assert walk([1, 2, 4, 8], [0.1, 0.5, 2, 3]).end(NORMS) == pytest.approx(2 * math.sqrt(2))
    assert walk([1, 2, 4, 8], [0.1, 0.5, 2, 0.5]).end(NORMS) == 8, "pictures that have come back are the generator's own"
    change, off = torch.tensor([[1.0], [2], [4], [8]]).double().expand(4, 3), torch.full((4, 3), 0.1).double()
    off[2:, 0] = 100
    assert Walk(change, change, off).end(NORMS) == 8, "one of three is not half"
    off[2:, 1] = 100
    assert Walk(change, change, off).end(NORMS) < 4
    assert walk([1, 2, 4, 8], [2, 3, 4, 5]).end(NORMS) == pytest.approx(0.5), "before the first norm in proportion"


def test_the_span_of_pictures_leaves_nothing_of_them_over() -> None:
    mean = torch.arange(12.0)
    axes = torch.linalg.qr(torch.randn(12, 3, generator=torch.Generator().manual_seed(0)))[0].T
    manifold = Manifold(mean, axes[:2], mean[:0], mean[:0], (2, 2))
    shift = 0.01 * torch.tensor([[1.0, 2.0], [-1.0, 0.5]]) @ axes[:2]
    inside = ((mean - 5.5) / 10 + shift).reshape(2, 3, 2, 2)
    centred = Manifold((mean - 5.5) / 10, axes[:2], mean[:0], mean[:0], (2, 2))
    torch.testing.assert_close(centred.left(inside), torch.zeros(2, 4), rtol=0, atol=1e-9)
    outside = inside + 0.1 * axes[2].reshape(3, 2, 2)
    wanted = (0.1 * axes[2]).square().reshape(3, 4).mean(0)
    torch.testing.assert_close(centred.left(outside), wanted.expand(2, 4), rtol=1e-3, atol=1e-7)
    assert manifold.left(outside).shape == (2, 4)


def test_details_are_mean_squared_gradients() -> None:
    ramp = (0.1 * torch.arange(8.0) - 0.4).expand(1, 3, 8, 8)
    torch.testing.assert_close(detail(ramp, (2, 2)), torch.full((1, 4), 0.01))
    torch.testing.assert_close(detail(ramp + ramp.mT, (2, 2)), torch.full((1, 4), 0.02))
    half = torch.where(torch.arange(8) < 4, ramp, ramp.new_tensor(-0.1))  # flat on the right
    assert detail(half, (1, 2))[0, 0] > 2 * detail(half, (1, 2))[0, 1]
    burst = ramp.clone()
    burst[..., 0, 0] = 1e9
    for each in (burst, burst - 2e9 * (burst > 1)):
        bounded = each.clamp(-1.2, 1.2)
        torch.testing.assert_close(small(each, (2, 2)), torch.nn.functional.adaptive_avg_pool2d(bounded, 2))
        assert float(detail(each, (1, 1))) == pytest.approx(gradients(bounded), rel=1e-5)


def gradients(pictures: Tensor) -> float:
    """Mean squared gradient over all places that have a neighbour below and one to the right."""
    down, right = pictures.diff(dim=2)[..., :-1], pictures.diff(dim=3)[..., :-1, :]
    return float((down.square() + right.square()).mean())


def lines(z: Tensor) -> Tensor:
    """Pictures in a plane of two numbers each."""
    across = torch.linspace(-1, 1, 8)
    return 0.3 * (z[:, :1] * across).sin()[:, None, None, :].expand(-1, 3, 8, -1)


def test_the_manifold_of_a_generator_keeps_its_pictures_and_not_those_of_others() -> None:
    generator = wrap(lines, 2)
    manifold = manifold_of(generator, 0)
    own = generator.images(generator.sample([1, 2, 3]))
    assert manifold.left(own).max() < 1e-6
    assert manifold.left(own.mT).max() > 1e-3
    assert manifold.others.max() < 1e-6
    assert (len(manifold.others), len(manifold.details) - OWN) == (32, 32)


def test_usual_changes_are_medians_over_others_that_differ() -> None:
    generator = wrap(lines, 2)
    codes = generator.sample([1, 2])
    plain, root = generator.images(codes), torch.ones(2, 1, 8, 8)
    found = usual_changes(generator, plain, root, 0)
    torch.testing.assert_close(usual_changes(generator, plain, 3 * root, 0), 3 * found)
    half = torch.tensor([[[[1.0] * 4 + [0.0] * 4]]]).expand(2, 1, 8, 8)
    assert (usual_changes(generator, plain, half, 0) < found).all()
    assert not torch.equal(usual_changes(generator, plain, root, 1), found)
    still = wrap(lambda z: 0 * lines(z), 2)
    torch.testing.assert_close(usual_changes(still, 0 * plain, root, 0), torch.ones(2))
    # pictures that many others are equal to: only those that differ count
    rare = wrap(lambda z: torch.where(z[:, :1, None, None] > 0.8, 0.5, 0.0).expand(-1, 3, 8, 8), 2)
    torch.testing.assert_close(usual_changes(rare, 0 * plain, root, 0), torch.full((2,), 0.5))
    torch.testing.assert_close(usual_changes(rare, 0 * plain + 1e-7, root, 0), torch.full((2,), 0.5))  # but for rounding


def test_a_picture_is_off_if_too_much_is_left_over_or_too_little_detail() -> None:
    generator = wrap(lambda z: lines(z) + 0.1 * (3 * torch.arange(8.0)).sin(), 2)
    codes = generator.sample([5, 6])
    look = Look.at(generator, codes, [None, None], 0)
    assert (look.off(look.plain) <= 1).all()
    strange = look.plain + 0.5 * torch.linspace(-1, 1, 8)[:, None]
    assert (look.off(strange) > 1).all()
    flat = look.plain.mean((2, 3), keepdim=True).expand_as(look.plain)
    assert (look.off(flat) > 1).all()
    torch.testing.assert_close(look.off(strange[1:], 1)[0], look.off(strange)[1], check_dtype=False)
    torch.testing.assert_close(look.change(look.plain + look.usual[:, None, None, None], look.plain), torch.ones(2))


def test_a_picture_is_blurred_below_half_of_its_own_detail_or_a_tenth_of_all_whichever_is_less() -> None:
    generator = wrap(lambda z: lines(z) + 0.1 * (3 * torch.arange(8.0)).sin(), 2)
    look = Look.at(generator, generator.sample([5, 6]), [None, None], 0)
    half = 0.5 * detail(look.plain, look.manifold.size).mean(1)
    few = look.manifold.details.mean(1).quantile(0.1)
    torch.testing.assert_close(look.details, torch.minimum(half, few.expand(2)))
    usual = (0.1 * look.usual).square().double()
    own = 1.5 * look.manifold.left(look.plain).mean(1)
    others = look.manifold.others.mean(1).median()
    torch.testing.assert_close(look.limits, torch.stack([usual, own.double(), others.double().expand(2)]).amax(0))
