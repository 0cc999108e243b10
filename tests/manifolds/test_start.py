"""Where a search starts: on worlds so simple that every scale is known in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from semanifold.core.latents import Latents
from semanifold.generators.base import Generator
from semanifold.generators.coordinates import PLAIN, Coordinates
from semanifold.generators.wrapped import wrap
from semanifold.images.distances import l2
from semanifold.images.masks import box
from semanifold.manifolds.layout import layout_of
from semanifold.manifolds.metric import Metric
from semanifold.manifolds.objective import Parts, pasted_parts
from semanifold.manifolds.settings import ManifoldSettings
from semanifold.manifolds.start import (
    REACH,
    SHARE,
    STRANGERS,
    TRIALS,
    StartAxes,
    evaluations,
    find_axes,
    fitted_path,
    mean_spacing,
    paper_path,
    starting_path,
    strangers,
)

LOWER = box(0, 0.5, 1, 1)
PLAN = ManifoldSettings(space="z", frames=9, offset=0.02, damping=10.0, knots=0)
FIRST, SECOND = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 0.0])


def world(quarters: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]) -> Generator:
    """Return a generator of 4 x 4 grey pictures of z [3]: the upper half, the lower left and the lower right quarter."""

    def pictures(z: Tensor) -> Tensor:
        above, left, right = (v[:, None, None] for v in quarters(z))
        below = torch.cat([left.expand(-1, 2, 2), right.expand(-1, 2, 2)], 2)
        return torch.cat([above.expand(-1, 2, 4), below], 1)[:, None].expand(-1, 3, -1, -1)

    return wrap(pictures, 3)


def leaking(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Inside ``(z0^2 + z1^2 / 4) / 2``; what leaks is less where z0 is negative, and where z1 is positive."""
    return 0.05 * (z[:, 0] + z[:, 0] ** 2) + 0.05 * (z[:, 1] - z[:, 1] ** 2), z[:, 0], z[:, 1] / 2


def seed_of(generator: Generator) -> tuple[Latents, Parts]:
    seed = Latents(torch.zeros(1, 3), "z")
    return seed, pasted_parts(LOWER.at(4, 4), generator.images(seed), l2)


def start_of(generator: Generator, **changes: object) -> StartAxes:
    settings = replace(PLAN, **changes)  # type: ignore[arg-type]
    seed, parts = seed_of(generator)
    return find_axes(generator, seed, LOWER, parts, settings, layout_of(settings, settings.frames), None, PLAIN)


def test_axes_reach_c_after_one_unit_on_the_cleaner_side() -> None:
    found = start_of(world(leaking))
    torch.testing.assert_close(found.axes[0], -math.sqrt(2 * 0.02) * FIRST, rtol=0.03, atol=2e-3)
    torch.testing.assert_close(found.axes[1], math.sqrt(8 * 0.02) * SECOND, rtol=0.03, atol=4e-3)
    turned = start_of(world(leaking), flip=True)
    torch.testing.assert_close(turned.axes[0], -found.axes[0], rtol=0.03, atol=2e-3)
    torch.testing.assert_close(turned.axes[1], found.axes[1])
    assert (found.offset, found.metric is not None) == (0.02, True)
    mirrored = start_of(world(lambda z: leaking(-z)))
    torch.testing.assert_close(mirrored.axes, -found.axes, rtol=0.03, atol=4e-3)


def test_a_later_direction_begins_there_and_bars_the_earlier_ones() -> None:
    found = start_of(world(leaking), direction=1)
    torch.testing.assert_close(found.axes[0], math.sqrt(8 * 0.02) * SECOND, rtol=0.03, atol=4e-3)
    assert found.metric is not None
    assert found.metric.allowed(FIRST[None]).abs().max() < 1e-3
    torch.testing.assert_close(found.metric.allowed(SECOND[None]), SECOND[None], rtol=0, atol=1e-3)
    last = start_of(world(leaking), direction=2)
    torch.testing.assert_close(last.axes[0].abs(), last.axes[1].abs(), msg="there is no direction after the last")


def test_a_way_that_never_reaches_c_loses_against_one_that_leaks() -> None:
    """Forwards the inside saturates at a quarter of c, and leaks a hundredth of what leaks backwards."""

    def saturating(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        forwards = torch.tanh(10 * z[:, 0]) / 10
        inside = torch.where(z[:, 0] > 0, forwards, z[:, 0])
        return torch.where(z[:, 0] > 0, 0.001, 0.01) * z[:, 0], inside, inside

    assert start_of(world(saturating)).axes[0, 0] < 0
    far = start_of(world(leaking), offset=50.0)
    seed, parts = seed_of(world(leaking))
    apart, _ = strangers(world(leaking), seed, parts, PLAN, None, PLAIN)
    assert float(far.axes[0].norm()) == pytest.approx(REACH * apart), "what is out of reach is walked to the end"


@pytest.mark.parametrize(("dirtier", "sign"), [(1.0, -1), (1.05, -1), (1.15, 1)])
def test_of_ways_about_as_clean_the_one_to_the_likelier_code_is_taken(dirtier: float, sign: int) -> None:
    """The code lies above the mean, so the way down leads to likelier ones; it leaks by this factor more than the way up."""
    place = torch.tensor([[1.5, 0.0, 0.0]])

    def towards(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        away = z[:, 0] - place[0, 0]
        return 0.05 * away * torch.where(away < 0, dirtier, 1.0), z[:, 0], z[:, 1] / 2

    generator = world(towards)
    seed = Latents(place, "z")
    parts = pasted_parts(LOWER.at(4, 4), generator.images(seed), l2)
    found = find_axes(generator, seed, LOWER, parts, PLAN, layout_of(PLAN, 9), None, PLAIN)
    assert found.axes[0, 0].sign() == sign


def test_c_and_sigma_are_chosen_from_the_generator() -> None:
    generator = world(leaking)
    seed, parts = seed_of(generator)
    apart, usual = strangers(generator, seed, parts, PLAN, None, PLAIN)
    others = generator.sample(range(1_000_000, 1_000_000 + STRANGERS)).values
    assert apart == pytest.approx(float(others.norm(dim=1).median()))
    assert usual == pytest.approx(float(((others[:, 0] ** 2 + others[:, 1] ** 2 / 4) / 2).median()))
    wide = strangers(generator, seed, parts, PLAN, None, Coordinates(within=2 * torch.eye(3)))
    assert wide == (pytest.approx(apart / 2), pytest.approx(usual))
    later = generator.sample(range(1_000_050, 1_000_050 + STRANGERS)).values
    assert strangers(generator, seed, parts, replace(PLAN, seed=50), None, PLAIN)[0] == pytest.approx(
        float(later.norm(dim=1).median())
    )
    found = start_of(generator, offset=None, strength=0.1)
    assert found.offset == pytest.approx(0.1 * SHARE * usual)
    line = starting_path(layout_of(PLAN, 9), found.axes, PLAN)
    assert found.sigma == pytest.approx(mean_spacing(line, layout_of(PLAN, 9)))
    assert start_of(generator, sigma=0.7).sigma == 0.7


def test_a_start_with_knots_bends_along_the_second_direction_as_far_as_the_first_goes() -> None:
    found, whole = start_of(world(leaking), knots=None), start_of(world(leaking))
    torch.testing.assert_close(found.axes[0], whole.axes[0], rtol=0.03, atol=2e-3)
    assert found.axes[1, 1].abs() == pytest.approx(math.sqrt(8 * 0.02), rel=0.05)
    around = {name: start_of(world(leaking), schedule="constant", knots=count) for name, count in (("few", 9), ("all", 0))}
    torch.testing.assert_close(around["few"].axes[1], around["all"].axes[1], rtol=0.03, atol=4e-3)


@pytest.mark.parametrize(
    ("changes", "walked", "pushed"),
    [({}, 4, 2 * 3), ({"knots": 7}, 2, 1 + 3), ({"knots": 7, "direction": 1}, 2, 2 * 3), ({"knots": 5, "dims": 2}, 4, 2 * 3)],
)
def test_the_pictures_of_a_start_are_counted(changes: dict, walked: int, pushed: int) -> None:
    plan = replace(PLAN, **changes)
    generator = world(leaking)
    seed, parts = seed_of(generator)
    images, made = generator.images, []

    def counted(latents: Latents, *, size: int | None = None) -> Tensor:
        made.append(len(latents))
        return images(latents, size=size)

    generator.images = counted  # type: ignore[method-assign]
    found = find_axes(generator, seed, LOWER, parts, plan, layout_of(plan, 9), None, PLAIN)
    assert found.pictures == evaluations(walked * TRIALS + STRANGERS + pushed, 0)
    assert 0 <= sum(made) - 2 * found.pictures <= 1  # one picture more says how large they are
    assert (evaluations(5, 2), evaluations(4, 0)) == (5, 2)


def axes(*rows: Tensor) -> Tensor:
    return torch.stack(rows)


@pytest.mark.parametrize("schedule", ["out", "through"])
def test_a_walk_out_is_straight(schedule: str) -> None:
    settings = ManifoldSettings(frames=5, schedule=schedule)  # type: ignore[arg-type]
    found = starting_path(layout_of(settings, 5), axes(FIRST, SECOND), settings)
    low = 0.0 if schedule == "out" else -1.0
    torch.testing.assert_close(found, torch.linspace(low, 1, 5)[:, None] * FIRST)


def test_a_pad_is_the_plane_of_both_directions() -> None:
    settings = ManifoldSettings(frames=3, dims=2)
    found = starting_path(layout_of(settings, 3), axes(FIRST, 2 * SECOND), settings).reshape(3, 3, 3)
    for i in range(3):
        for j in range(3):
            torch.testing.assert_close(found[i, j], (i - 1) * FIRST + (j - 1) * 2 * SECOND)


@pytest.mark.parametrize("closed", [False, True])
def test_out_and_back_is_a_circle_through_the_seed(closed: bool) -> None:
    settings = ManifoldSettings(frames=8 if closed else 9, closed=closed)
    found = starting_path(layout_of(settings, settings.frames), axes(FIRST, SECOND), settings)
    assert found[0].abs().max() == 0
    torch.testing.assert_close((found - FIRST / 2).norm(dim=1), torch.full((settings.frames,), 0.5))
    torch.testing.assert_close(found[4], FIRST)
    torch.testing.assert_close(found[2], FIRST / 2 + SECOND / 2)
    assert closed or found[-1].abs().max() == 0


@pytest.mark.parametrize(("closed", "angle"), [(False, 180.0), (True, 315.0)])
def test_at_constant_distance_it_is_a_circle_around_the_seed(closed: bool, angle: float) -> None:
    settings = ManifoldSettings(frames=8, schedule="constant", ends="free", closed=closed)
    found = starting_path(layout_of(settings, 8), axes(FIRST, SECOND), settings)
    angles = torch.atan2(found[:, 1], found[:, 0]).rad2deg() % 360
    torch.testing.assert_close(angles, torch.linspace(0, angle, 8), rtol=0, atol=1e-3)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(8))


def test_spacing_is_that_of_the_lowest_order_over_its_order() -> None:
    line = torch.arange(6.0)[:, None] ** 3 * FIRST
    springs = ManifoldSettings(frames=6, schedule="out", springs={3: 0.1, 2: 0.1})
    assert mean_spacing(line, layout_of(springs, 6)) == pytest.approx((8 + 26 + 56 + 98) / 4 / 2)
    loose = ManifoldSettings(frames=6, schedule="out", springs={1: 0.0})
    assert mean_spacing(line, layout_of(loose, 6)) == pytest.approx(125 / 6)


def test_the_published_start_lies_on_one_short_line_through_the_seed() -> None:
    settings = ManifoldSettings(frames=200, seed=3)
    found = paper_path(Latents(torch.zeros(1, 400), "z"), settings, (400,))
    assert found[0].abs().max() == 0
    assert torch.linalg.matrix_rank(found, rtol=1e-4) == 1
    spread = found[1:].norm(dim=1) / (0.001 * 20)  # a line of 400 normal numbers is about 20 long
    assert float(spread.square().mean().sqrt()) == pytest.approx(1, rel=0.15)
    assert (found[1:].norm(dim=1) > 0).all()
    other = paper_path(Latents(torch.zeros(1, 400), "z"), replace(settings, seed=4), (400,))
    assert not torch.equal(found, other)


def round_world() -> Generator:
    """Inside ``z0^2``, nothing outside: whatever the radius of a line, its wanted distances are met by one correction."""
    return world(lambda z: (0 * z[:, 0], z[:, 0], z[:, 0]))


def fitted(
    settings: ManifoldSettings, offsets: Tensor, start: StartAxes, generator: Generator | None = None
) -> tuple[Tensor, int]:
    generator = generator or round_world()
    seed, parts = seed_of(generator)
    return fitted_path(generator, seed, parts, layout_of(settings, len(offsets)), offsets, start, settings, None)


def test_a_line_is_fitted_to_the_distances_that_are_wanted() -> None:
    settings = ManifoldSettings(frames=5, schedule="out", springs={1: 0.0})
    start = StartAxes(axes(FIRST, SECOND), 0.04, 1.0, 0, None)
    wanted = 0.2 * torch.linspace(0, 1, 5)[:, None] * FIRST
    for wrong in (0.7, 1.5):
        line, count = fitted(settings, wrong * wanted, start)
        torch.testing.assert_close(line, wanted)
        assert count == 5
    far, _ = fitted(settings, 10 * wanted, start)
    torch.testing.assert_close(far, 5 * wanted, msg="one correction is by a factor of two at most")
    near, _ = fitted(settings, 0.1 * wanted, start)
    torch.testing.assert_close(near, 0.2 * wanted)
    still, _ = fitted(settings, 0 * wanted, start)
    assert torch.equal(still, 0 * wanted), "where nothing changes at all there is nothing to correct"


def test_the_line_that_costs_less_is_kept() -> None:
    """What leaks grows so fast that it costs more to go as far as is wanted; with little weight outside it does not."""
    steep = world(lambda z: (z[:, 0] ** 4, z[:, 0], z[:, 0]))
    line = 0.5 * torch.linspace(0, 1, 5)[:, None] * FIRST
    start = StartAxes(axes(FIRST, SECOND), 0.81, 1.0, 0, None)
    settings = ManifoldSettings(frames=5, schedule="out", springs={1: 0.0}, outside=400.0)
    torch.testing.assert_close(fitted(settings, line, start, steep)[0], line)
    assert fitted(replace(settings, outside=0.01), line, start, steep)[0][-1, 0] == pytest.approx(0.9)
    stiff = replace(settings, outside=0.01, springs={1: 1e4})
    near = replace(start, sigma=0.125)
    torch.testing.assert_close(fitted(stiff, line, near, steep)[0], line, msg="springs that are as long as they want to be")


def test_missing_length_goes_around_a_circle_in_a_plane_that_is_quiet() -> None:
    settings = ManifoldSettings(frames=9, schedule="out", springs={1: 1.0})
    known = torch.linalg.qr(torch.randn(6, 3, generator=torch.Generator().manual_seed(1)))[0].T
    metric = Metric(known, torch.tensor([1.0, 2.0, 3.0]), known[:0])
    line = torch.linspace(0, 1, 9)[:, None] * known[0]
    generator = wrap(lambda z: (z @ known[0])[:, None, None, None].expand(-1, 3, 4, 4), 6)  # the line is as far as it should be
    seed = Latents(torch.zeros(1, 6), "z")
    parts = pasted_parts(LOWER.at(4, 4), generator.images(seed), l2)
    start = StartAxes(torch.zeros(2, 6), 1.0, 0.5, 0, metric)
    bent, _ = fitted_path(generator, seed, parts, layout_of(settings, 9), line, start, settings, None)
    assert bent[0].abs().max() == 0
    torch.testing.assert_close(bent.diff(dim=0).norm(dim=1), torch.full((8,), 0.5))
    torch.testing.assert_close(bent @ known.T, line @ known.T, rtol=0, atol=1e-5)  # the plane is orthogonal to all that is known
    assert torch.linalg.matrix_rank(bent - line, rtol=1e-4) == 2
    # with nine frames two thirds of a turn, which is rounded to one: the circle is closed
    torch.testing.assert_close(bent[-1] - line[-1], bent[0], rtol=0, atol=1e-5)
    # with 25 frames two turns
    many = replace(settings, frames=25)
    longer = torch.linspace(0, 1, 25)[:, None] * known[0]
    twice, _ = fitted_path(generator, seed, parts, layout_of(many, 25), longer, start, many, None)
    torch.testing.assert_close(twice[-1] - longer[-1], twice[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(twice[12] - longer[12], twice[0], rtol=0, atol=1e-5)
    # half as many frames are twice as far apart
    coarse, _ = fitted_path(generator, seed, parts, layout_of(settings, 5), line[::2].clone(), start, settings, None)
    torch.testing.assert_close(coarse.diff(dim=0).norm(dim=1), torch.full((4,), 1.0))
    # lines that are long enough stay straight
    long, _ = fitted_path(generator, seed, parts, layout_of(settings, 9), 20 * line, start, settings, None)
    torch.testing.assert_close(long, 10 * line)


def test_where_everything_is_known_the_softest_plane_is_taken() -> None:
    settings = ManifoldSettings(frames=9, schedule="out", springs={1: 1.0})
    known = torch.eye(3)
    metric = Metric(known, torch.tensor([0.1, 0.2, 3.0]), known[:0])
    line = torch.linspace(0, 0.1, 9)[:, None] * known[2]
    generator = world(lambda z: (z[:, 2], z[:, 2], z[:, 2]))
    bent, _ = fitted(settings, line, StartAxes(torch.zeros(2, 3), 0.01, 0.5, 0, metric), generator)
    torch.testing.assert_close(bent[:, 2], line[:, 2])
    assert bent[:, :2].abs().amax(0).min() > 0.1
