"""Spaces: extended ones, what is embedded in them, and moving codes."""

from __future__ import annotations

import pytest
import torch

from semanifold.core.spaces import Space, is_extended, moved, named, repeated, single


def test_an_extended_space_holds_a_code_per_layer() -> None:
    wide = Space("w+", (5, 8))
    assert (wide.layers, wide.numbers, wide.affine_of) == (5, 40, ("w",))
    flat = Space("s", (24,), affine_of=("w", "w+"))
    assert (flat.layers, flat.affine_of) == (0, ("w", "w+"))
    assert [is_extended(name) for name in ("w+", "p+", "w", "+")] == [True, True, False, False]
    assert [single(name) for name in ("w+", "w", "+")] == ["w", "w", "+"]
    assert named(wide, flat) == {"w+": wide, "s": flat}


def test_a_repeated_code_is_the_same_in_all_layers() -> None:
    codes = torch.arange(6.0).reshape(2, 3)
    assert torch.equal(repeated(codes, 4)[:, 2], codes)
    assert repeated(codes, 4).shape == (2, 4, 3)


@pytest.mark.parametrize(("codes", "offsets"), [(1, 3), (3, 3), (3, 1)])
def test_some_layers_move_and_the_others_stay(codes: int, offsets: int) -> None:
    values, steps = torch.randn(codes, 5, 2), torch.randn(offsets, 2, 2)
    result = moved(values, steps, (1, 3))
    for i in range(3):
        expected = values[min(i, codes - 1)].clone()
        expected[1:3] += steps[min(i, offsets - 1)]
        assert torch.equal(result[i], expected)


def test_offsets_of_whole_codes_move_all_layers_whatever_is_named() -> None:
    values, steps = torch.randn(1, 5, 2), torch.randn(2, 5, 2)
    assert torch.equal(moved(values, steps, (1, 3)), values + steps)
    assert torch.equal(moved(values, steps), values + steps)


def test_moving_can_be_differentiated_and_batched() -> None:
    values, steps = torch.randn(1, 5, 2), torch.randn(3, 2, 2)
    _, change = torch.func.jvp(lambda s: moved(values, s, (1, 3)), (steps,), (torch.ones_like(steps),))
    assert change[:, 1:3].eq(1).all()
    assert change[:, [0, 3, 4]].eq(0).all()
    each = torch.vmap(lambda s: moved(values, s[None], (1, 3))[0])(steps)
    assert torch.equal(each, moved(values, steps, (1, 3)))
