"""Which part of a code may move, and what a set says of itself where nothing else is known."""

from __future__ import annotations

import pytest
import torch
from support.small_world import SmallWorld
from support.two_layers import two_layers

from semanifold.core.errors import SemanifoldError
from semanifold.paths.base import APART, LONGEST_STEP, PathSetInfo, SetOptions, info_for, moving_codes, moving_size
from semanifold.paths.weights import svd_paths


def test_a_direction_is_as_long_as_what_moves() -> None:
    info = PathSetInfo(method="by hand", space="w+")
    assert moving_size((3, 4), info, shared=False) == 12
    assert moving_size((3, 4), info, shared=True) == 4
    assert moving_size((1,), info, shared=False) == 1
    some = PathSetInfo(method="by hand", space="w+", layers=(2, 5))
    assert moving_size((3, 4), some, shared=True) == 4


@pytest.mark.parametrize(
    ("shape", "layers", "shared", "words"),
    [
        ((), None, False, "sizes are at least 1"),
        ((3, 0), None, False, "sizes are at least 1"),
        ((12,), None, True, "Only layers of w"),
        ((2, 3, 4), None, True, "Only layers of w"),
        ((3,), (2, 5), False, "do not fit"),
        ((2, 4), (2, 5), False, "do not fit"),
        ((4, 4), (2, 5), True, "do not fit"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    shape: tuple[int, ...], layers: tuple[int, int] | None, shared: bool, words: str
) -> None:
    with pytest.raises(SemanifoldError, match=words):
        moving_size(shape, PathSetInfo(method="by hand", space="w+", layers=layers), shared=shared)


@pytest.mark.parametrize(("space", "layers"), [("w+", (0, 4)), ("w+", (2, 2)), ("w+", (-1, 1)), ("z", (0, 1))])
def test_layers_that_are_not_there_are_refused(space: str, layers: tuple[int, int]) -> None:
    with pytest.raises(SemanifoldError, match=rf"ayers {layers[0]}:{layers[1]}"):
        info_for(SmallWorld(), space, layers)
    assert info_for(SmallWorld(), "w+", (0, 3))[0] == (3, 2)
    assert info_for(SmallWorld(), "w+", (1, 2))[0] == (1, 2)


def test_codes_that_move_are_those_of_seeds_that_nobody_chooses() -> None:
    world, info = SmallWorld(), PathSetInfo(space="w+")
    usual = moving_codes(world, info, 4)
    assert torch.equal(usual, world.example(range(APART, APART + 4), "w+").values)
    assert torch.equal(usual, moving_codes(world, info, 4, seed=2**30)), "seeds go round at 2^32"
    assert torch.equal(moving_codes(world, info, 4, seed=1), world.example(range(APART + 4, APART + 8), "w+").values)
    assert torch.equal(moving_codes(world, PathSetInfo(space="w+", layers=(1, 3)), 4), usual[:, 1:3])


def test_steps_and_ranges_of_a_set() -> None:
    for step in (0.0, LONGEST_STEP * 1.01):
        with pytest.raises(SemanifoldError, match="of a length above 0"):
            PathSetInfo(step=step)
    with pytest.raises(SemanifoldError, match="at least 1 step"):
        PathSetInfo(count=0)
    assert PathSetInfo(step=LONGEST_STEP, count=1).step == LONGEST_STEP
    low, high = {"low": (-0.5, -0.25)}, {"high": (0.75, 1.0)}
    assert [PathSetInfo(measured=known).usable(1) for known in ({}, low, high)] == 3 * [(-1, 1)]
    assert PathSetInfo(measured=low | high).usable(1) == (-0.25, 1.0)


def test_what_a_set_says_unless_its_kind_knows_better() -> None:
    assert SetOptions(count=3).size == 0, "codes stay"
    assert svd_paths(two_layers(), "network.0", 1).support_sets() == {}
