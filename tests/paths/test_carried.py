"""What an edit does on another generator: by the plain formulas, on patterns of which everything is known."""

from __future__ import annotations

import pytest
import torch
from support.small_world import SmallWorld
from support.toy import LEFT, Toy

from semanifold.core.errors import SemanifoldError
from semanifold.edits import LatentEdit
from semanifold.paths.base import info_for
from semanifold.paths.carried import MOST_SAMPLES, Carried, carried
from semanifold.paths.changes import codes_for
from semanifold.paths.linear import LinearPaths
from semanifold.paths.weight_ranges import Look


def edit_of(k: int, **info: object) -> LatentEdit:
    """Return the edit that moves one code of the toy."""
    shape, of_set = info_for(Toy(), "z")
    edit = LinearPaths("linear", 4, shape, of_set)[k].with_info(**info)
    assert isinstance(edit, LatentEdit)
    return edit


def test_changes_inside_outside_and_off_are_those_of_the_plain_formulas() -> None:
    generator, edit = Toy(), edit_of(2, usable=(-3.0, 6.0), mask=str(LEFT))
    measured = carried(edit, generator, samples=3, seed=5)
    codes = codes_for(generator, 3, 5, None)
    plain = generator.images(codes)
    look = Look.at(generator, codes, [LEFT] * 3, 5)
    assert (measured.t, measured.pictures, measured.masked) == ((-3.0, 6.0), 3, True)
    assert measured.outside_inside is not None
    for i, t in enumerate(measured.t):
        now = torch.cat([generator.images(edit.latents(codes[j], t)) for j in range(3)])
        squares = (now - plain).square()
        inside, outside = squares[..., :8].mean(), squares[..., 8:].mean()
        assert measured.outside_inside[i] == pytest.approx(float(outside / inside), rel=1e-4)
        change = (squares[..., :8].mean((1, 2, 3)).sqrt() / look.usual).mean()
        assert measured.change[i] == pytest.approx(float(change), rel=1e-4)
        assert measured.off[i] == int((look.off(now) > 1).sum())
    assert carried(edit, generator, samples=3, seed=6).change != measured.change


def test_what_moves_nothing_inside_is_all_outside_and_finite() -> None:
    measured = carried(edit_of(1, mask=str(LEFT)), Toy())
    assert measured.pictures == 4
    assert measured.outside_inside is not None
    assert all(1e20 < ratio < float("inf") for ratio in measured.outside_inside)
    assert carried(edit_of(0, mask=str(LEFT)), Toy()).outside_inside == (0,) * len(measured.t)


def test_without_a_mask_or_ends_the_whole_picture_at_1_is_measured() -> None:
    measured = carried(edit_of(2, usable=(0.0, 0.0)), Toy())
    assert (measured.t, measured.outside_inside, measured.masked) == ((1.0,), None, False)
    far = carried(edit_of(2, usable=(-300.0, 300.0)), Toy())
    assert min(far.off) > 0
    unknown = carried(edit_of(2, mask="mouth"), Toy())
    assert (unknown.outside_inside, unknown.masked) == (None, True)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"samples": 0}, "from 1"),
        ({"samples": MOST_SAMPLES + 1}, "to 1,000"),
        ({"seed": -1}, "from 0"),
        ({"seed": 2**32}, "A seed"),
    ],
)
def test_numbers_out_of_range_are_refused(given: dict[str, int], words: str) -> None:
    with pytest.raises(SemanifoldError, match=words):
        carried(edit_of(0), Toy(), **given)
    with pytest.raises(SemanifoldError, match="is an edit"):
        carried(Toy(), Toy())  # type: ignore[arg-type]
    with pytest.raises(SemanifoldError, match="to a generator"):
        carried(edit_of(0), edit_of(0))  # type: ignore[arg-type]
    assert carried(edit_of(0), Toy(), samples=1, seed=2**32 - 1).pictures == 1


def test_it_is_said_in_words() -> None:
    start = "at t = -1 and 2, 4 pictures change 0.5 and 0.25 times as much as two usually differ"
    end = ", and 0 and 3 of them leave the pictures that this generator makes"
    values = ((-1.0, 2.0), 4, (0.5, 0.25), (0, 3))
    assert Carried(*values, None).words == start + end
    assert Carried(*values, None, True).words == f"{start}, its mask cannot be drawn there{end}"
    outside = ", 0.1 and 2 times as much outside of the mask as inside (mean squares)"
    assert Carried(*values, (0.1, 2.0), True).words == start + outside + end


def test_an_edit_of_another_space_than_the_first_does_the_same_there() -> None:
    world = SmallWorld()
    measured = []
    for space in ("z", "w+"):
        edit = LinearPaths("linear", 6, *info_for(world, space))[2].with_info(usable=(-1.0, 1.0))
        measured.append(carried(edit, world))
    assert measured[0].change == pytest.approx(measured[1].change, rel=1e-4)
    assert min(measured[0].change) > 0
    assert carried(edit, world, samples=4, seed=0) == measured[1]
