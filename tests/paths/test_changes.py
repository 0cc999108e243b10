"""The subspace of the changes that move pictures most, against dense Jacobians, and how its search is taken up again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support.two_layers import two_layers
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.images.masks import box
from semanifold.paths.base import APART
from semanifold.paths.changes import Gathered, _leading_rows, changes_of, codes_for, gathered_fit, roots_of, search_key
from semanifold.paths.weight_axes import WeightSpace

LEFT = box(0, 0, 0.5, 1)


def jacobian(space: WeightSpace, code: Latents) -> Tensor:
    """Return ``[pixels, N]`` by differences of the pictures, which are smooth."""
    pictures = space.pictures_of(code, None)
    step, units = 1e-5, torch.eye(space.size).double()
    return ((pictures(step * units) - pictures(-step * units)) / (2 * step)).flatten(1).T


def test_changes_are_the_jacobians_in_the_subspace_that_moves_pictures_most() -> None:
    generator = two_layers()
    space = WeightSpace(generator, ("network.0", "network.3"))
    codes = codes_for(generator, 2, 0, None)
    said: list[dict[str, Any]] = []
    found = changes_of(space, codes, [LEFT] * 2, 40, tell=said.append)
    assert said == [{"step": step + 1, "steps": 6} for step in range(6)]
    torch.testing.assert_close(found.basis @ found.basis.T, torch.eye(len(found.basis)).double())
    inside = torch.zeros(4, 4).double()
    inside[:, :2] = 2
    for i in range(2):
        dense = jacobian(space, codes[i]) @ found.basis.T
        for side, weight in ((found.inside, inside), (found.outside, 2 - inside)):
            pixels = weight.expand(3, 4, 4).flatten()[:, None]
            torch.testing.assert_close(side[i], dense.T @ (pixels * dense) / 48, rtol=1e-3, atol=1e-5)
    # what the subspace leaves out changes pictures less than what it holds
    one = changes_of(space, codes, None, 4, tell=lambda _: None)
    rows = torch.cat([jacobian(space, codes[i]) for i in range(2)])
    best = torch.linalg.svdvals(rows)[:4].square().sum()
    assert (rows @ one.basis.T).square().sum() > 0.5 * best
    assert one.outside.abs().max() == 0


def test_leading_rows_are_the_right_singular_vectors() -> None:
    rows = torch.randn(6, 9, generator=torch.Generator().manual_seed(0)).double()
    found = _leading_rows(rows, 2)
    wanted = torch.linalg.svd(rows)[2][:2]
    torch.testing.assert_close(found.T @ found, wanted.T @ wanted)
    torch.testing.assert_close(found @ found.T, torch.eye(2).double())
    flat = rows[:, :2] @ rows[:2]
    assert _leading_rows(flat, 5).shape == (2, 9), "six rows that span two dimensions"


def test_weights_of_pixels_have_the_mean_1_on_both_sides() -> None:
    generator = two_layers()
    for mask in (LEFT, box(0, 0, 0.25, 0.3)):
        inside, outside = (root.square() for root in roots_of(generator, generator.sample([0]), mask, None))
        assert (float(inside.mean()), float(outside.mean())) == (pytest.approx(1), pytest.approx(1))
        covered = mask.at(4, 4)
        torch.testing.assert_close(inside / inside.max(), covered.double() / covered.max())
        torch.testing.assert_close(outside / outside.max(), (1 - covered.double()) / (1 - covered).max())
    one, none = roots_of(generator, generator.sample([0]), None, None)
    assert (one.min(), none.abs().max()) == (1, 0)
    for useless in (box(-1, -1, 2, 2), ~box(-1, -1, 2, 2)):
        with pytest.raises(SemanifoldError, match="nothing or everything"):
            roots_of(generator, generator.sample([0]), useless, None)
    tall: Any = SimpleNamespace(picture_shape=(3, 8, 4))
    for size, shape in ((None, (8, 4)), (4, (4, 2)), (1, (1, 1))):
        assert roots_of(tall, generator.sample([0]), None, size)[0].shape[2:] == shape


def test_codes_that_decide_are_named_or_far_from_those_that_people_show() -> None:
    generator = two_layers()
    assert torch.equal(codes_for(generator, 5, 0, [3, 4]).values, generator.sample([3, 4]).values)
    first, second = codes_for(generator, 5, 0, None), codes_for(generator, 5, 1, None)
    apart = APART + 7_000_000
    assert torch.equal(torch.cat([first.values, second.values]), generator.example(range(apart, apart + 10)).values)
    assert torch.equal(codes_for(generator, 4, 2**30, None).values, codes_for(generator, 4, 0, None).values), "round at 2^32"
    assert not (first.values[:, None] == second.values[None]).all(-1).any()
    shown = generator.sample(range(10_000)).values
    assert not (first.values[:, None] == shown[None]).all(-1).any()
    with pytest.raises(SemanifoldError, match="At least one picture"):
        codes_for(generator, 5, 0, [])


def test_a_search_for_changes_goes_on_where_it_broke_off() -> None:
    """Bit for bit, among the codes that are pulled back and among those that are pushed forward; nothing is done twice."""
    space = WeightSpace(two_layers(), ("network.0", "network.3"))
    codes = codes_for(space.generator, 3, 0, None)
    masks = [LEFT] * 3
    whole = changes_of(space, codes, masks, 8, both=True, seed=0, tell=lambda _: None)
    for last, parts in ((5, {"pulled": 2}), (6, {"pulled": 3}), (8, {"basis": 8, "inside": 2, "outside": 2})):
        told: list[int] = []
        kept: list[dict[str, Tensor]] = []

        def tell(now: dict[str, Any], last: int = last) -> None:
            if now["step"] == last:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            changes_of(space, codes, masks, 8, both=True, keep=lambda now, kept=kept: kept.append(now.tensors()), tell=tell)
        assert {name: len(tensor) for name, tensor in kept[-1].items()} == parts
        assert gathered_fit(kept[-1], space.zero(), 3, 8)
        before = Gathered.from_tensors(kept[-1], space.zero())
        again = changes_of(space, codes, masks, 8, both=True, before=before, tell=lambda now, told=told: told.append(now["step"]))
        assert told == [1, 2, 3, *range(last + 1, 10)]
        for part in ("basis", "inside", "outside"):
            assert torch.equal(getattr(again, part), getattr(whole, part)), (last, part)


ROWS, SQUARES = torch.ones(2, 3, 9).double(), torch.ones(2, 4, 4).double()
BASIS = torch.ones(4, 9).double()
PUSHED = {"basis": BASIS, "inside": SQUARES, "outside": SQUARES}


@pytest.mark.parametrize(
    "tensors",
    [
        {"pulled": ROWS, "basis": BASIS},
        {"pulled": ROWS, "inside": SQUARES, "outside": SQUARES},
        {"inside": SQUARES, "outside": SQUARES},
        {"basis": BASIS, "inside": SQUARES},
        {"pulled": ROWS[..., :8]},
        {"pulled": ROWS.float()},
        {"pulled": ROWS[:, :0]},
        {"pulled": ROWS[0]},
        {"pulled": torch.ones(3, 3, 9).double()},
        {"pulled": ROWS * torch.nan},
        {"basis": torch.ones(5, 9).double()},
        {"basis": ROWS},
        {"basis": BASIS[:0]},
        {**PUSHED, "basis": BASIS[:3]},
        {**PUSHED, "outside": SQUARES[:1]},
        {**PUSHED, "inside": SQUARES.float(), "outside": SQUARES.float()},
        {**PUSHED, "inside": SQUARES[:0], "outside": SQUARES[:0]},
        {**PUSHED, "inside": SQUARES * torch.inf},
    ],
)
def test_changes_that_no_search_has_are_not_taken_up(tensors: dict[str, Tensor]) -> None:
    like = torch.zeros(1, 9).double()
    assert all(gathered_fit(good, like, 2, 4) for good in ({}, {"pulled": ROWS}, {"basis": BASIS}, PUSHED))
    assert not gathered_fit(tensors, like, 2, 4)


def test_a_key_is_that_of_everything_that_decides() -> None:
    generator = two_layers()
    space, codes = WeightSpace(generator, ("network.0",)), generator.sample([3, 4])
    key = search_key(space, codes, [LEFT] * 2, 8, 0)
    assert key == search_key(WeightSpace(generator, ("network.0",)), generator.sample([3, 4]), [LEFT] * 2, 8, 0)
    others = [
        search_key(WeightSpace(generator, ("network.3",)), codes, [LEFT] * 2, 8, 0),
        search_key(space, generator.sample([3, 5]), [LEFT] * 2, 8, 0),
        search_key(space, codes, [LEFT, ~LEFT], 8, 0),
        search_key(space, codes, None, 8, 0),
        search_key(space, codes, [LEFT] * 2, 8, 1),
        search_key(space, Latents(codes.values, codes.space, {"class": torch.ones(2, 1)}), [LEFT] * 2, 8, 0),
    ]
    assert len({key, *others}) == 1 + len(others)
