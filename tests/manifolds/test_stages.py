"""A search that is asked for one step after the other."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from support.small_world import SmallWorld

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.core.solutions import Result
from semanifold.generators.coordinates import PLAIN
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config
from semanifold.generators.wrapped import wrap
from semanifold.images.masks import box, ellipse
from semanifold.manifolds import ManifoldSettings, discover_manifold, paper_settings, search
from semanifold.manifolds.checkpoints import search_key
from semanifold.manifolds.layout import layout_of
from semanifold.manifolds.metric import preconditioner
from semanifold.manifolds.plan import COARSE_STEPS
from semanifold.manifolds.stages import CAUTIOUS, MOST_LEAK, MOST_SHRINKS, SHRINK, Search

LOWER = box(0, 0.5, 1, 1)
QUICK = ManifoldSettings(space="z", frames=9, steps=30, knots=0)


class CountedWorld(SmallWorld):
    """A small world that counts its pictures."""

    made = 0

    def images(self, latents: Latents, *, size: int | None = None) -> torch.Tensor:
        self.made += len(latents)
        return super().images(latents, size=size)


def test_a_search_can_be_stepped_and_left_at_any_step() -> None:
    counted = CountedWorld()
    said: list[dict] = []
    whole = discover_manifold(counted, counted.sample([4]), LOWER, QUICK, progress=said.append)
    pictures, counted.made = counted.made, 0
    steps = list(search(counted, counted.sample([4]), LOWER, QUICK))
    assert all(
        one.step == now["step"] and one.terms["objective"] == now["objective"] for one, now in zip(steps, said, strict=True)
    )
    assert [step.result for step in steps[:-1]] == [None] * (len(steps) - 1)
    solution = steps[-1].solution()
    assert (solution.stats, solution.result) == (whole.stats, whole.result)
    torch.testing.assert_close(solution.value.displacements, whole.value.displacements, rtol=0, atol=0)
    assert counted.made == pictures  # the same pictures were made, and none for the steps that nobody asked


def test_leaving_a_search_gives_the_best_so_far() -> None:
    world = CountedWorld()
    steps = search(world, world.sample([4]), LOWER, QUICK)
    assert world.made <= 2  # nothing is searched before the first step is asked for
    left = next(step for step in steps if step.step == 5)
    assert repr(left) == "SearchStep(result=None)", "nothing large is written out"
    best = left.edit.displacements
    assert len(left.edit.knots[0]) == 5, "the frames of the first stage"
    splined = next(search(world, world.sample([4]), LOWER, replace(QUICK, knots=5, frames=24)))
    assert len(splined.edit.knots[0]) == 24, "all frames, through the knots"
    for _ in range(3):
        next(steps)
    torch.testing.assert_close(left.edit.displacements, best, rtol=0, atol=0)
    solution = left.solution()
    assert (solution.result, solution.stats["steps"]) == (Result.INTERRUPTED, 5)
    assert len(solution.value.knots[0]) == QUICK.frames


def test_a_search_that_makes_no_sense_is_refused_before_its_first_step() -> None:
    world = SmallWorld()
    with pytest.raises(SemanifoldError):
        search(world, world.sample([4]), "no-such-region", QUICK)


def prepared(**changes: object) -> Search:
    world = SmallWorld()
    return Search.prepare(world, world.sample([4]), LOWER, replace(QUICK, **changes), None)  # type: ignore[arg-type]


@pytest.mark.parametrize(("frames", "few"), [(5, 5), (9, 5), (15, 5), (19, 7), (24, 9), (61, 21), (4, 4)])
def test_the_first_stage_has_a_third_of_the_frames_one_of_them_in_the_middle(frames: int, few: int) -> None:
    first, last = prepared(frames=frames, steps=50).stages()
    assert (first.frames, last.frames) == (few, frames)
    assert (first.steps, last.steps) == (round(COARSE_STEPS * 50), 50 - round(COARSE_STEPS * 50))
    whole, _ = prepared(frames=frames, coarse=False).stages()
    assert (whole.frames, whole.size) == (frames, None)


def test_knots_are_searched_and_all_frames_lie_on_a_spline_through_them() -> None:
    assert [stage.frames for stage in prepared(knots=9, frames=24).stages()] == [4, 9, 17, 24]
    assert [stage.frames for stage in prepared(knots=None, frames=24).stages()] == [4, 7, 13, 24]
    assert [stage.frames for stage in prepared(knots=None, frames=24, closed=True).stages()] == [4, 9, 17, 24]
    assert [stage.frames for stage in prepared(knots=None, frames=25, schedule="through").stages()] == [3, 9, 17, 25]
    assert [stage.frames for stage in prepared(knots=None, frames=9, dims=2).stages()] == [3, 5, 9]
    assert not prepared(knots=None, coarse=False).splined
    assert not prepared(knots=None, schedule="constant").splined
    assert prepared(knots=9, schedule="constant").splined
    assert not prepared(knots=None, objective="paper").splined
    made = prepared(knots=5, frames=33, steps=60)
    counted = CountedWorld()
    made = replace(made, generator=counted)
    last, result = list(made.run(None))[-1]
    assert result is Result.CONVERGED
    assert last.stage == 1, "the pictures between are as good"
    solution = made.solution(last, result)
    assert len(solution.value.knots[0]) == 33
    whole = discover_manifold(counted, counted.sample([4]), LOWER, replace(QUICK, frames=33, steps=60))
    assert solution.stats["ratio"] < 1.1 * whole.stats["ratio"]
    assert solution.stats["evaluations"] < 0.5 * whole.stats["evaluations"]


def test_more_knots_are_taken_where_the_pictures_between_are_worse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semanifold.manifolds.stages.BETWEEN", (0.5, 0.0))
    states = [state for state, _ in prepared(knots=5, frames=9, steps=60).run(None)]
    assert [len(state.best) for state in states if state.within == 0 and state.step][-1] == 7
    monkeypatch.setattr("semanifold.manifolds.stages.BETWEEN", (0.0, 1e9))
    assert {len(state.best) for state, _ in prepared(knots=5, frames=9, steps=60).run(None) if state.stage} == {3}, "good enough"
    monkeypatch.setattr("semanifold.manifolds.stages.BETWEEN", (0.0, 0.0))
    short = [state for state, _ in prepared(knots=5, frames=9, steps=5, tolerance=0.0).run(None)]
    assert (short[-1].stage, short[-1].step) == (1, 5), "no steps are left for them"


def test_a_path_that_leaps_from_its_way_out_to_another_way_back_comes_back_as_it_went() -> None:
    made = prepared(knots=5, frames=24, steps=60)
    state = replace(made.enter(made.first_state(), 1, torch.zeros(3, 6)), outside=1.0)
    line = torch.eye(6)[:1]
    leaps = torch.cat([0.3 * line, 0.6 * line, -6 * line])
    for path in (leaps, leaps.flip(0)):
        torch.testing.assert_close(made.folded(replace(state, best=path)), torch.cat([0.3 * line, 0.6 * line, 0.3 * line]))
    assert made.folded(replace(state, best=torch.cat([0.3 * line, 0.6 * line, 0.3 * line]))) is None, "an even path stays"
    assert made.folded(replace(state, best=leaps, folded=True)) is None, "once is enough"
    assert made.folded(replace(state, best=leaps, stage=0)) is None, "the first stage may take a smaller c"
    assert made.most_steps(replace(state, folded=True)) == made.most_steps(state) + made.stages()[1].steps
    ring = prepared(knots=5, frames=24, closed=True)
    assert ring.folded(replace(state, best=torch.cat([leaps, leaps[:1]]))) is None, "a ring has no way back"


def test_a_search_of_all_frames_has_the_key_that_it_had_before_there_were_knots() -> None:
    world = SmallWorld()
    code = world.sample([4])

    def key(**changes: Any) -> str:
        return search_key(world, code, LOWER, replace(QUICK, **changes), "l2")

    assert key(knots=None) == key(knots=7) != key()
    assert key(knots=None, coarse=False) == key(coarse=False), "without a coarse stage there are no knots"


def test_stages_of_the_papers_objective_share_the_steps_that_are_left() -> None:
    stages = prepared(objective="paper", steps=100, frames=9).stages()
    assert [stage.steps for stage in stages] == [40, 30, 30]
    assert [stage.frames for stage in stages] == [9, 9, 9]
    assert [stage.width for stage in stages] == sorted((stage.width for stage in stages), reverse=True)
    assert prepared(steps=1).most_steps(next(prepared(steps=1).run(None))[0]) == 2, "every stage takes a step at least"


@pytest.mark.parametrize(("strength", "restarts"), [(0.2, 0), (0.4, 0), (0.41, 1), (1.0, 1), (1.01, 2), (2.5, 2), (2.51, 3)])
def test_a_search_begins_anew_until_its_strength_is_that_of_caution(strength: float, restarts: int) -> None:
    assert prepared(strength=strength).restarts == restarts
    assert strength * CAUTIOUS**restarts <= 0.4 + 1e-9


def test_units_cancel_those_of_the_distance_and_of_the_latent_space() -> None:
    """The value does not change when distances and c, or lengths and sigma, are measured in other units; the paper's does."""
    search = prepared()
    stage = search.stages()[-1]
    free = 0.1 * torch.randn(7, 6, generator=torch.Generator().manual_seed(0))
    one = search.objective(stage, 0.02, 0.3, 4.0)
    other = replace(one, parts=lambda x: tuple(10 * d for d in one.parts(x)))  # type: ignore[arg-type]
    larger = search.objective(stage, 0.2, 0.3, 4.0)
    other = replace(other, offset=larger.offset, width=larger.width, image_unit=larger.image_unit)
    assert other(free).value == pytest.approx(one(free).value, rel=1e-4)
    springs = [search.objective(stage, 0.02, scale * 0.3, 4.0)(scale * free).terms["spring"] for scale in (1, 10)]
    assert springs[1] == pytest.approx(springs[0], rel=1e-4)
    assert (one.image_unit, one.spring_unit, one.width) == pytest.approx((0.02, 0.09, 0.1 * 0.02))
    coarse = search.objective(replace(stage, frames=5), 0.02, 0.3, 4.0)
    assert coarse.sigma == pytest.approx(0.6)
    plain = prepared(objective="paper").objective(stage, 0.02, 0.3, 4.0)
    assert (plain.image_unit, plain.spring_unit) == (1, 1)


def test_a_stage_begins_with_a_weight_at_which_the_leak_is_a_tenth_of_the_cost_of_standing_still() -> None:
    search = prepared(outside=1e6)
    free = 0.3 * torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
    descent, weight, pictures = search.begin(0, 0.02, 0.3, free)
    terms = descent.at.terms
    assert weight * terms["outside"] == pytest.approx(MOST_LEAK * terms["inside"])
    assert weight < 1e6
    assert descent.at.value == pytest.approx(search.objective(search.stages()[0], 0.02, 0.3, weight)(free).value)
    assert pictures == 6, "evaluated once more"
    little = prepared(outside=0.5 * weight)
    assert little.begin(0, 0.02, 0.3, free)[1:] == (0.5 * weight, 3)
    assert prepared(outside=1e6, objective="paper", steps=9).begin(0, 0.02, 0.3, free[:1].expand(7, -1).clone())[1] == 1e6


def test_what_asks_too_much_begins_anew_with_less_and_then_shrinks_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semanifold.manifolds.stages.LEAK", 0.0)  # everything leaks too much
    search = prepared(steps=10, strength=2.5)
    stages, last, seen = search.stages(), None, []
    for state, _ in search.run(None):
        if last is None or state.shrunk != last.shrunk:
            seen.append((state, last))
        last = state
    assert [state.shrunk for state, _ in seen] == list(range(1 + search.restarts + MOST_SHRINKS))
    first, anew = seen[0][0], seen[1 : 1 + search.restarts]
    assert [state.offset for state, _ in anew] == pytest.approx([CAUTIOUS * first.offset, CAUTIOUS**2 * first.offset])
    assert anew[0][0].evaluations > anew[0][1].evaluations >= first.evaluations, "all that was made counts"
    for state, left in seen[1 + search.restarts :]:
        before = left
        assert (state.offset, state.sigma) == pytest.approx((SHRINK * before.offset, SHRINK**0.5 * before.sigma))
        objective = search.objective(stages[0], before.offset, before.sigma, before.outside)
        while before.within < stages[0].steps and not search.settled(before, objective):
            before = search.step(before, objective)
        torch.testing.assert_close(state.descent.x, SHRINK**0.5 * before.best)
        assert (state.stage, state.within, state.step) == (0, 0, before.step)
    assert search.most_steps(last) == sum(stage.steps for stage in stages) + 4 * stages[0].steps
    given = prepared(offset=0.01, steps=10)
    assert {state.shrunk for state, _ in given.run(None)} == {0}, "a c that a person gave is kept"


def test_it_settles_when_five_steps_gain_less_than_the_tolerance_per_frame() -> None:
    search = prepared(tolerance=0.01)
    state, _ = next(search.run(None))
    objective = search.objective(search.stages()[0], state.offset, state.sigma, state.outside)
    frames = len(state.best)
    assert frames == len(layout_of(search.settings, search.stages()[0].frames).free)
    for gain, settled in ((0.011, False), (0.009, True)):
        values = tuple(7 - gain * frames * step / 5 for step in range(6))
        assert search.settled(replace(state, recent=values), objective) is settled
    assert not search.settled(replace(state, recent=values[:5]), objective), "not before five steps"
    for _ in range(8):
        state = search.step(state, objective)
    assert len(state.recent) == 6
    assert state.recent[-1] == state.descent.at.value


def test_the_preconditioner_has_the_scales_of_the_objective() -> None:
    search = prepared(alpha=0.7)
    state, _ = next(search.run(None))
    objective = search.objective(search.stages()[0], 0.02, 0.3, state.outside)
    apply = search.precondition(state, objective)
    assert apply is not None
    assert state.metric is not None
    wanted = preconditioner(state.metric, objective.layout, 0.7 / 0.02, 1 / objective.sigma**2)
    gradient = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(apply(gradient), wanted(gradient))
    assert search.precondition(replace(state, metric=None), objective) is None


def test_the_papers_box_is_cut_out_of_pictures_of_any_form() -> None:
    """Wide pictures whose columns are numbered: the crop holds those of the box."""
    ramp = torch.arange(16.0) / 16
    generator = wrap(lambda z: z[:, :1, None, None] * ramp.expand(1, 3, 8, 16), 2)
    search = Search.prepare(
        generator, Latents(torch.zeros(1, 2), "z"), box(0.5, 0.25, 0.75, 0.75), replace(QUICK, objective="paper"), None
    )
    pictures = generator.images(Latents(torch.ones(1, 2), "z"))
    inside, outside = search.parts(None)(pictures)
    assert float(inside) == pytest.approx(float(ramp[8:12].square().mean()))
    whole = float(ramp.square().mean()) * 16 * 8
    assert float(outside) == pytest.approx((whole - 16 * float(inside)) / (16 * 8 - 16))
    round_one = replace(search, mask=ellipse(0.5, 0.25, 0.75, 0.75))
    with pytest.raises(SemanifoldError, match="boxes only"):
        round_one.parts(None)
    assert replace(round_one, settings=QUICK).parts(None)(pictures)[0] != inside, "our masks have any form"


def test_bounds_of_settings_belong_to_what_is_allowed() -> None:
    assert ManifoldSettings(frames=99, dims=2).frames == 99
    assert ManifoldSettings(sigma=1e-9, alpha=1e9, independence=0.0, strength=1e-9, knots=3).independence == 0
    with pytest.raises(SemanifoldError, match="above 0"):
        ManifoldSettings(sigma=0.0)
    assert ManifoldSettings(knots=4).knots == 4
    with pytest.raises(SemanifoldError, match="odd for a path or pad"):
        ManifoldSettings(knots=4, dims=2, frames=9)
    for wrong in ({"frames": 101, "dims": 2}, {"sigma": 0.9e-9}, {"alpha": 1.1e9}, {"independence": 1.1}, {"frames": True}):
        with pytest.raises(SemanifoldError):
            ManifoldSettings(**wrong)  # type: ignore[arg-type]


def test_our_objective_measures_lengths_in_natural_coordinates_and_the_papers_in_the_plain_space() -> None:
    generator = StyleGAN2(StyleGAN2Config(size=16, z_dim=8, w_dim=8, channels=(6, 5, 4)))
    for objective, plain in (("smooth", False), ("paper", True)):
        settings = replace(QUICK, space="w+", objective=objective)
        made = Search.prepare(generator, generator.sample([1]), LOWER, settings, None)
        assert (made.coordinates is PLAIN) == plain


def test_the_outside_of_a_large_mask_weighs_more_unless_its_weight_is_given() -> None:
    def weight(right: float, **changes: Any) -> float:
        world = SmallWorld()
        return Search.prepare(world, world.sample([4]), box(0, 0, right, 0.5), replace(QUICK, **changes), None).weight

    assert [weight(right) for right in (0.125, 0.25, 0.5, 1.0)] == [400, 500, 1000, 2000]
    assert weight(1.0, objective="paper") == 400
    assert (weight(1.0, outside=7.0), weight(1.0, outside=0.0)) == (7, 0)


def test_the_outside_weighs_more_by_and_by_where_the_leak_cannot_bear_what_a_large_mask_asks_for() -> None:
    def tightens(leak: float, weight: float, *, settled: bool, stage: int = 1, **changes: Any) -> bool:
        made = prepared(knots=5, **changes)
        state = made.first_state()
        at = state.descent.at._replace(terms={"inside": 1.0, "outside": leak, "spring": 0.0, "objective": 0.0})
        state = replace(state, stage=stage, outside=weight, descent=replace(state.descent, at=at))
        return made.tightens(state, settled)

    assert tightens(1e-3, 100.0, settled=True), "twice as much, of 2,000"
    assert not tightens(1e-3, 100.0, settled=False), "as long as the leak falls, it waits for 2,000"
    assert tightens(1e-4, 500.0, settled=False)
    assert not tightens(1e-3, 500.0, settled=True), "more than 400 as it is"
    assert not tightens(3e-3, 100.0, settled=True), "too much leaks for 200"
    assert tightens(1e-3, 300.0, settled=True), "400 is enough"
    assert not tightens(1e-3, 100.0, settled=True, stage=0), "the next stage takes what its leak bears"
    assert not tightens(1e-3, 100.0, settled=True, outside=400.0), "as before, where no more is asked for"


@pytest.mark.parametrize(("height", "width", "size"), [(400, 800, 100), (800, 320, 80), (160, 160, 64), (64, 64, None)])
def test_the_first_stage_has_pictures_of_a_quarter_of_the_shorter_side(height: int, width: int, size: int | None) -> None:
    generator = wrap(lambda z: z[:, :1, None, None].expand(-1, 3, height, width), 2)
    made = Search.prepare(generator, generator.sample([1]), LOWER, QUICK, None)
    assert [stage.size for stage in made.stages()] == [size, None]


def test_the_papers_settings_are_those_that_were_published() -> None:
    s = paper_settings()
    assert (s.space, s.layers, s.frames, s.distance) == ("w+", (2, 8), 36, "lpips-alex")
    assert (s.offset, s.sigma, s.springs, s.alpha, s.outside) == (0.25, 4, {1: 0.3, 2: 0.1}, 0.5, 1)
    assert (s.steps, s.tolerance, s.schedule, s.ends) == (500 * 8, 0, "constant", "free")
