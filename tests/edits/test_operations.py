"""What can be done with paths that were found; all of it keeps the seed at t = 0."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from support.small_world import SmallWorld

from semanifold.core.errors import SemanifoldError
from semanifold.edits import EditInfo, Lattice, Sum, WeightEdit, load_edit, save_edit
from semanifold.edits.films import EditedPicture
from semanifold.edits.operations import amplified, combine, extrapolate, out_and_back, retime, reverse, transfer, trim
from semanifold.edits.steps import picture_steps

WORLD = SmallWorld()


def path(shape: Callable[[torch.Tensor], torch.Tensor], start: float = 0.0, mask: str = "lower", axis: int = 0) -> Lattice:
    """A path along one coordinate of the small world."""
    knots = torch.linspace(start, 1, 9)
    offsets = torch.zeros(9, 6)
    offsets[:, axis] = shape(knots)
    return Lattice(offsets, (knots,), EditInfo(name=mask, space="z", mask=mask), start=WORLD.sample([4]))


RISING = path(lambda t: t.square())
RETURNING = path(lambda t: torch.where(t < 1, torch.sin(torch.pi * t), 0.0), mask="eyes", axis=3)
THROUGH = path(lambda t: t + 0.5 * t.square(), start=-1.0)


def test_combined_paths_add_their_offsets() -> None:
    both = combine([RISING, RETURNING])
    t = torch.tensor([0.0, 0.2, 0.77, 1.0])
    torch.testing.assert_close(both.displacement(t), RISING.displacement(t) + RETURNING.displacement(t))
    assert both.info.mask == "lower|eyes"


def test_a_pad_gives_each_path_an_axis() -> None:
    pad = combine([RISING, RETURNING], pad=True)
    assert pad.dimensions == 2
    torch.testing.assert_close(
        pad.displacement(torch.tensor([[0.3, 0.6]])), RISING.displacement(0.3) + RETURNING.displacement(0.6)
    )


@pytest.mark.parametrize("edit", [RISING, THROUGH], ids=["rising", "through"])
def test_a_path_goes_out_and_back_within_the_same_time(edit: Lattice) -> None:
    swung = out_and_back(edit)
    assert swung.info.usable == (0, 1)
    assert not swung.displacement(torch.tensor([0.0, 1.0])).any()
    torch.testing.assert_close(swung.displacement(0.5), edit.displacement(1.0))
    torch.testing.assert_close(swung.displacement(0.25), edit.displacement(0.5))
    torch.testing.assert_close(swung.displacement(0.25), swung.displacement(0.75))
    with pytest.raises(SemanifoldError, match="at least 3 frames"):
        out_and_back(edit, frames=2)
    with pytest.raises(SemanifoldError, match="an end above t = 0"):
        out_and_back(
            Lattice(
                edit.displacements.flip(0)[:1].repeat(3, 1) * 0, (torch.tensor([-1.0, -0.5, 0.0]),), edit.info, start=edit.start
            )
        )


def test_a_transferred_path_adds_the_same_offsets_to_another_code() -> None:
    other = WORLD.sample([9])
    moved = transfer(RISING, other)
    torch.testing.assert_close(moved.latents(other, 1.0).values - other.values, RISING.displacement(1.0))
    assert moved.start is not None
    assert torch.equal(moved.start.values, other.values)
    with pytest.raises(SemanifoldError, match="one code at a time"):
        transfer(RISING, WORLD.sample([1, 2]))
    with pytest.raises(SemanifoldError, match="lives in space z"):
        transfer(RISING, WORLD.sample([1], "w+"))


@pytest.mark.parametrize("edit", [RISING, RETURNING, THROUGH], ids=["rising", "returning", "through"])
def test_retimed_steps_look_even_and_follow_the_same_way(edit: Lattice) -> None:
    even = retime(WORLD, edit, frames=17)
    before, after = (picture_steps(WORLD, e, e.knots[0]) for e in (edit, even))
    assert len(even.knots[0]) == 17
    zero = int((even.knots[0] == 0).nonzero()[0])
    for side in (after[:zero], after[zero:]):
        if len(side):
            assert side.max() / side.min() < 1.35
    assert before.max() / before.min() > 1.5
    on_the_way = torch.linspace(float(edit.knots[0][0]), 1, 2000)
    nearest = torch.cdist(even.displacements, edit.displacement(on_the_way)).min(1).values
    assert nearest.max() < 1e-2


def test_trimming_cuts_where_the_picture_stands_still() -> None:
    still = path(lambda t: (2 * t).clamp(max=1.0))
    cut = trim(WORLD, still)
    assert cut.info.usable == (0.0, 0.5)
    assert float(cut.knots[0][-1]) == 0.5
    assert len(trim(WORLD, RETURNING).knots[0]) == 9


def test_extrapolation_goes_straight_on() -> None:
    longer = extrapolate(RISING, 1.5)
    assert float(longer.knots[0][-1]) == 1.5
    torch.testing.assert_close(longer.displacement(1.25), RISING.displacement(1.25))
    assert float(extrapolate(THROUGH, -2.0).knots[0][0]) == -2.0
    with pytest.raises(SemanifoldError, match="beyond that"):
        extrapolate(RISING, 0.5)


def test_an_amplified_path_goes_farther_at_the_same_t() -> None:
    t = torch.linspace(0, 1, 7)
    weights = WeightEdit(
        {"layer": torch.ones(3)},
        EditInfo(space="weights"),
        course=Lattice(RETURNING.displacements[:, 3:4], RETURNING.knots, RETURNING.info),
    )
    for edit in (RETURNING, weights, Sum([RETURNING, weights], RETURNING.info)):
        for factor in (-1.0, 1.5):
            far = amplified(edit, factor)
            torch.testing.assert_close(far.way(t), factor * edit.way(t))
            assert far.start is edit.start


def test_a_path_that_returns_goes_farther_and_another_one_on() -> None:
    for edit, factor in ((RETURNING, 1.0), (RISING, 1.5)):
        seen, times = EditedPicture(WORLD, WORLD.sample([4]), edit).farther(1.5)
        assert times == factor
        torch.testing.assert_close(seen.edit.displacement(0.5) * factor, 1.5 * edit.displacement(0.5))


def test_the_unedited_picture_is_made_once() -> None:
    seen = EditedPicture(WORLD, WORLD.sample([4]), RISING)
    assert seen.picture is seen.picture


@pytest.mark.parametrize("edit", [RISING, RETURNING, THROUGH], ids=["rising", "returning", "through"])
def test_reversing_twice_changes_nothing_and_keeps_the_seed(edit: Lattice) -> None:
    turned = reverse(edit)
    assert torch.equal(turned.displacement(0.0), torch.zeros(1, 6))
    assert torch.equal(turned.displacements, edit.displacements.flip(0))
    again = reverse(turned)
    torch.testing.assert_close(again.knots[0], edit.knots[0])
    assert torch.equal(again.displacements, edit.displacements)


def test_works_are_saved_and_loaded_as_edits(tmp_path) -> None:
    pad = combine([RISING, RETURNING], pad=True)
    save_edit(pad, tmp_path / "pad.safetensors")
    again = load_edit(tmp_path / "pad.safetensors")
    assert isinstance(again, Lattice)
    assert torch.equal(again.displacements, pad.displacements)


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(SemanifoldError, match="at least 2 paths"):
        combine([RISING])
    with pytest.raises(SemanifoldError, match="exactly 2 paths"):
        combine([RISING, RETURNING, RISING], pad=True)
    with pytest.raises(SemanifoldError, match=r"but '.*' is a path in z \[6\], '.*' is a path in w \[6\]"):
        combine([RISING, Lattice(RISING.displacements, RISING.knots, replace(RISING.info, space="w"))])
    with pytest.raises(SemanifoldError, match="paths of one dimension"):
        retime(WORLD, combine([RISING, RETURNING], pad=True))
    with pytest.raises(SemanifoldError, match="does not hold the code"):
        trim(WORLD, Lattice(RISING.displacements, RISING.knots, RISING.info))
