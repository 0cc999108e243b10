"""Which shapes the moving part of a code may have."""

from __future__ import annotations

import pytest

from semanifold.core.errors import SemanifoldError
from semanifold.paths.base import PathSetInfo, moving_size


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
