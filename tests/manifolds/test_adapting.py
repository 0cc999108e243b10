"""Adapting a carried path to another face: it keeps its change inside, loses that outside, and takes less than a new search."""

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from support.small_world import SmallWorld

from semanifold.core.errors import SemanifoldError
from semanifold.core.minimise import Descent, Evaluation
from semanifold.core.solutions import Result, Solution
from semanifold.edits import EditInfo, Lattice
from semanifold.edits.operations import transfer
from semanifold.images.masks import Mask, box
from semanifold.manifolds import ManifoldSettings, adapt, adapting, discover_manifold
from semanifold.manifolds.adapting import Adaptation, changes, moving_part
from semanifold.manifolds.same_change import SameChange

WORLD = SmallWorld()
LOWER = box(0, 0.5, 1, 1)


@pytest.fixture(scope="module")
def own() -> Solution:
    return discover_manifold(WORLD, WORLD.sample([4]), LOWER, ManifoldSettings(space="z", frames=9, steps=30, knots=0))


def leaky(edit: Lattice, amount: float = 0.5) -> Lattice:
    """The same path with something added that changes the upper half."""
    added = edit.knots[0].sin()[:, None] * amount * WORLD.get_buffer("turn")[:, 4]
    displacements = edit.displacements + added * (edit.displacements.abs().amax(1, keepdim=True) > 0)
    return Lattice(displacements, edit.knots, replace(edit.info, mask="box:0,0.5,1,1"), start=edit.start)


def test_a_leaking_path_keeps_its_change_and_loses_the_leak(own: Solution) -> None:
    path = leaky(own.unwrap())
    for seed in (5, 6):
        code = WORLD.sample([seed])
        solution = adapt(WORLD, path, code, progress=False)
        carried, edit = transfer(path, code), solution.unwrap()
        inside, outside = changes(WORLD, edit, edit.knots[0], LOWER)
        assert solution.stats["ratio"] == pytest.approx(outside / inside)
        before = changes(WORLD, carried, Adaptation.prepare(WORLD, path, code, LOWER).places, LOWER)
        assert solution.stats["carried"] == pytest.approx(before[1] / before[0])
        assert solution.stats["ratio"] < 0.25 * solution.stats["carried"]
        # as much as at its own face, and in the same way as the carried path
        wanted = changes(WORLD, path, edit.knots[0], LOWER)[0]
        assert inside == pytest.approx(wanted, rel=0.25)
        pictures = [(one.images(WORLD, code, 0.5) - WORLD.images(code))[..., 8:, :].flatten() for one in (carried, edit)]
        assert torch.cosine_similarity(*pictures, dim=0) > 0.9
        assert (edit.knots[0] == path.knots[0]).all()
        assert edit.displacement(0.0).abs().max() == 0
        assert edit.start == code
        assert edit.info.method == "masked manifold, adapted"


def test_it_takes_fewer_pictures_than_a_new_search(own: Solution) -> None:
    solution = adapt(WORLD, own.unwrap(), 5, LOWER, progress=False)
    assert solution.stats["evaluations"] < 0.6 * own.stats["evaluations"]
    assert solution.stats["steps"] <= 24
    # five places at the start and at every step, all six dimensions and what is wanted
    assert solution.stats["evaluations"] >= 5 * (solution.stats["steps"] + 1) + 6


def test_a_path_that_leaks_much_more_than_at_its_own_face_is_walked_first(own: Solution, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapting, "FAR", 1e9)
    path, code = leaky(own.unwrap()), WORLD.sample([5])
    plain = Adaptation.prepare(WORLD, path, code, LOWER)
    monkeypatch.setattr(adapting, "FAR", 0.0)
    prepared = Adaptation.prepare(WORLD, path, code, LOWER)
    assert (plain.far, prepared.far) == (False, True)
    assert len(prepared.places) > len(plain.places)
    first = next(prepared.run())
    assert first.steps == 10
    terms = first.descent.at.terms
    assert terms["outside"] / terms["inside"] < 0.2 * prepared.carried[1] / prepared.carried[0]
    solution = adapt(WORLD, path, code, LOWER, progress=False)
    assert solution.stats["steps"] <= 10
    assert solution.stats["ratio"] < adapting.GOOD


def test_a_path_without_a_face_of_its_own_changes_as_much_as_it_is_carried(own: Solution) -> None:
    path = leaky(own.unwrap())
    path.start = None
    solution = adapt(WORLD, path, 5, progress=False)
    carried = changes(WORLD, transfer(path, WORLD.sample([5])), path.knots[0], LOWER)[0] ** 0.5
    assert solution.stats["inside"] == pytest.approx(carried, rel=0.15)
    assert solution.stats["carried_inside"] > carried  # of places on the way, without the start
    assert solution.stats["ratio"] < 0.25 * solution.stats["carried"]


def test_a_path_is_never_sent_more_than_twice_as_far(own: Solution) -> None:
    edit = own.unwrap()
    still = Lattice(0.02 * edit.displacements, edit.knots, edit.info, start=None)
    still_there = Lattice(edit.displacements, edit.knots, edit.info, start=edit.start)
    prepared = Adaptation.prepare(WORLD, still_there, WORLD.sample([5]), LOWER)
    ratio = prepared.farther.displacements[4] / edit.displacements[4]
    assert 0.5 <= float(ratio[0]) <= 2
    assert Adaptation.prepare(WORLD, still, WORLD.sample([5]), LOWER).farther.displacements.equal(still.displacements)


@pytest.mark.parametrize("schedule", ["out", "through"])
def test_paths_of_every_shape_keep_their_knots(schedule: str) -> None:
    settings = ManifoldSettings(space="z", frames=9, steps=10, schedule=schedule)  # pyright: ignore[reportArgumentType]
    path = leaky(discover_manifold(WORLD, WORLD.sample([4]), LOWER, settings, progress=False).unwrap())
    solution = adapt(WORLD, path, 6, progress=False)
    assert solution.value.knots[0].equal(path.knots[0])
    assert solution.stats["ratio"] < 0.25 * solution.stats["carried"]


def test_layers_that_do_not_move_stay() -> None:
    settings = ManifoldSettings(space="w+", layers=(0, 2), frames=5, steps=10)
    path = discover_manifold(WORLD, WORLD.sample([4]), LOWER, settings, progress=False).unwrap()
    edit = adapt(WORLD, path, WORLD.convert(WORLD.sample([5]), "w+"), LOWER, progress=False).unwrap()
    assert edit.displacements.shape == (5, 3, 2)
    assert edit.displacements[:, 2].abs().max() == 0
    assert edit.displacements[:, :2].abs().max() > 0
    assert moving_part(edit).shape == (5, 2, 2)


@pytest.mark.parametrize(("large", "leak", "steps"), [(True, 0.29, 17), (True, 0.31, 24), (False, 0.29, 24)])
def test_a_large_space_takes_more_steps_only_where_the_path_still_leaks_much(large: bool, leak: float, steps: int) -> None:
    adaptation = cast("Adaptation", SimpleNamespace(large=large, far=False, good=0.1))
    at = SimpleNamespace(at=SimpleNamespace(terms={"inside": 1.0, "outside": leak}))
    assert adapting.AdaptationStep(adaptation, cast("Descent", at), 1, 1, None).steps == steps


def test_stopped_it_keeps_the_best_so_far(own: Solution) -> None:
    path, steps = leaky(own.unwrap()), []

    def stop(report: dict) -> None:
        steps.append(report)
        if report["step"] == 1:
            raise KeyboardInterrupt

    solution = adapt(WORLD, path, 5, progress=stop)
    assert solution.result is Result.INTERRUPTED
    assert solution.stats["steps"] == 1
    assert solution.stats["ratio"] < solution.stats["carried"]
    assert steps[0]["part"] == f"adapting {path.info.name}"
    assert steps[-1]["outside/inside"] < steps[0]["outside/inside"]
    assert {report["steps"] for report in steps} == {24}


def test_a_search_that_breaks_says_so(own: Solution, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = SameChange.at
    calls: list[int] = []

    def broken(self: SameChange, free: torch.Tensor) -> tuple[Evaluation, torch.Tensor]:
        calls.append(1)
        at, change = plain(self, free)
        return at if len(calls) == 1 else at._replace(value=float("-inf")), change

    monkeypatch.setattr(SameChange, "at", broken)
    solution = adapt(WORLD, leaky(own.unwrap()), 5, progress=False, throw=False)
    assert solution.result is Result.DIVERGED
    with pytest.raises(SemanifoldError, match="infinite"):
        adapt(WORLD, leaky(own.unwrap()), 5, progress=False)


@pytest.mark.parametrize(
    ("edit", "mask", "words"),
    [
        (Lattice(torch.zeros(2, 6), [torch.tensor([0.0, 1.0])], EditInfo(space="z")), LOWER, "goes nowhere"),
        (
            Lattice(torch.eye(6)[:2] * torch.tensor([[0.0], [1e-9]]), [torch.tensor([0.0, 1.0])], EditInfo(space="z")),
            LOWER,
            "changes nothing inside",
        ),
        (Lattice(torch.eye(6)[:2] * 0, [torch.tensor([0.0, 1.0])], EditInfo(space="z")), None, "has no mask"),
        (Lattice(torch.zeros(3, 3, 6), [torch.linspace(-1, 1, 3)] * 2, EditInfo(space="z")), LOWER, "pad of two"),
    ],
)
def test_what_cannot_be_adapted_is_refused(edit: Lattice, mask: Mask | None, words: str) -> None:
    with pytest.raises(SemanifoldError, match=words):
        adapt(WORLD, edit, 5, mask, progress=False)


def test_a_path_that_moves_only_between_the_places_of_most_paths_is_looked_at_where_it_moves() -> None:
    t = torch.linspace(0, 1, 41)
    displacements = torch.zeros(41, 6)
    displacements[3] = WORLD.get_buffer("turn")[:, 0]
    path = Lattice(displacements, [t], EditInfo(space="z"))
    knots, places = adapting.searched(path, 5)
    assert torch.equal(places, t[3:4])
    assert torch.equal(knots, t[[0, 2, 3, 4, 10, 20, 30, 40]]), "what is added there ends where the change ends"
    path = path.with_info(mask="box:0,0.5,1,1")
    solution = adapt(WORLD, path, 5, progress=False)
    inside, _ = changes(WORLD, solution.unwrap(), t[3:4], LOWER)
    assert inside > 0.5 * changes(WORLD, transfer(path, WORLD.sample([5])), t[3:4], LOWER)[0] > 0
    displacements[12:30] = displacements[3]
    path = Lattice(displacements, [t], EditInfo(space="z"))
    assert len(adapting.searched(path, 5)[1]) == 1, "at 0.5, as others"


def test_pictures_of_nan_are_not_laid_to_the_mask(own: Solution, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semanifold.manifolds.adapting.changes", lambda *_: (float("nan"), 0.0))
    with pytest.raises(SemanifoldError, match="are infinite or NaN along"):
        adapt(WORLD, leaky(own.unwrap()), 5, LOWER, progress=False)
