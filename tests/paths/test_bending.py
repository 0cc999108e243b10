"""How far paths are from straight lines."""

from __future__ import annotations

import pytest
import torch

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.paths.base import PathSetInfo
from semanifold.paths.bending import bending
from semanifold.paths.linear import LinearPaths
from semanifold.paths.warped import WarpedPaths


def codes(n: int = 64, d: int = 32) -> Latents:
    return Latents(torch.randn(n, d, generator=torch.Generator().manual_seed(5)), "z")


def test_a_straight_line_is_1_in_every_way() -> None:
    found = bending(LinearPaths("ortho", 3, (32,), PathSetInfo(), random_init=True), codes())
    for numbers in (found.field, found.ends, found.chord):
        assert torch.allclose(numbers, torch.ones(3), atol=1e-4)


def test_the_spread_start_bends_over_space_and_keeps_its_way() -> None:
    """The published start is all but the same everywhere, yet turns back on itself where d is small."""
    published = bending(WarpedPaths.create(4, 16, (32,), PathSetInfo()), codes())
    spread = bending(WarpedPaths.create(4, 16, (32,), PathSetInfo(), init="spread"), codes())
    assert spread.field.mean() < published.field.mean() - 0.1
    assert spread.ends.mean() > published.ends.mean() + 0.1
    assert (spread.chord < 0.99).all()


def test_against_a_loop() -> None:
    paths, start = WarpedPaths.create(2, 4, (6,), PathSetInfo(count=3, step=0.4), init="spread"), codes(5, 6)
    found = bending(paths, start)
    index, one = torch.ones(5, dtype=torch.long), torch.full((5,), 0.4)
    now, then = start.values, start.values
    ends = []
    for _ in range(3):
        ahead, back = paths.shift(now, index, one).detach(), paths.shift(then, index, -one).detach()
        now, then = now + ahead, then + back
        ends = [ahead, -back]
    assert float(found.ends[1]) == pytest.approx(float(torch.cosine_similarity(*ends).mean()), abs=1e-5)
    assert float(found.chord[1]) == pytest.approx(float(((now - then).norm(dim=1) / 2.4).mean()), abs=1e-5)
    first = paths.shift(start.values, index, one).detach() / 0.4
    cosines = [float(first[i] @ first[j]) for i in range(5) for j in range(5) if i != j]
    assert float(found.field[1]) == pytest.approx(sum(cosines) / 20, abs=1e-5)


def test_mistakes() -> None:
    paths = LinearPaths("id", 3, (32,), PathSetInfo())
    with pytest.raises(SemanifoldError, match="at least 2"):
        bending(paths, codes(1))
    assert bending(paths, codes(2)).field.tolist() == pytest.approx([1, 1, 1])
    with pytest.raises(SemanifoldError, match=r"\(32,\).*\(31,\)"):
        bending(paths, codes(3, 31))
