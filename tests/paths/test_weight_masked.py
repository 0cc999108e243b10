"""Directions in weights inside a mask: the refinement on pictures that are linear, and how a search is taken up again."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support.two_layers import two_layers
from torch import Tensor, nn

from semanifold.core.errors import SemanifoldError
from semanifold.images.masks import box
from semanifold.paths.weight_axes import WeightSpace, joint_weight_paths, made
from semanifold.paths.weight_masked import FORMAT, View, masked_weight_paths, read_state, refined
from semanifold.paths.weight_ranges import FARTHEST, usual_changes
from semanifold.storage.keeping import Keeper

LEFT = box(0, 0, 0.5, 1)


def test_directions_in_a_subspace_become_weights_in_units_of_each_layers_norm() -> None:
    generator = two_layers()
    space = WeightSpace(generator, ("network.0", "network.3"))
    norms = [float(dict(generator.named_parameters())[f"{layer}.weight"].norm()) for layer in space.layers]
    assert space.norm == pytest.approx((norms[0] ** 2 + norms[1] ** 2) ** 0.5)
    basis = torch.eye(space.size).double()[[0, 50]]  # a weight of the first layer, and one of the second
    paths = made(space, torch.tensor([[1.0, 1.0]]).double() / 2**0.5, basis, "by hand", ())
    moved = paths.directions([0])
    flat = torch.cat([moved[0][layer].flatten() for layer in space.layers])
    assert float(flat[0] / flat[50]) == pytest.approx(norms[0] / norms[1], rel=1e-4)
    assert paths.info.step * paths.info.count == pytest.approx(space.norm / 2)


def test_directions_are_refined_at_a_third_of_the_usual_change() -> None:
    generator = two_layers()
    codes = generator.sample([3, 4])
    view = View.of(WeightSpace(generator, ("network.3",)), codes, [LEFT] * 2, None, 0)
    usual = usual_changes(generator, generator.images(codes), view.inside.sqrt(), 0, None)
    torch.testing.assert_close(view.level, 0.35 * usual)


def test_options_that_are_left_out_are_the_documented_ones() -> None:
    def found(**options: Any) -> Tensor:
        return masked_weight_paths(two_layers(), ["network.0"], LEFT, 2, refine=0, progress=False, **options).basis

    assert torch.equal(found(), found(samples=24, kept=48, damping=1e-3, seed=0))
    few: dict[str, Any] = {"samples": 4, "kept": 24}
    usual = found(**few)
    for other in ({"samples": 5}, {"kept": 8}, {"damping": 1.0}, {"seed": 1}):
        assert not torch.equal(usual, found(**few | other)), other


def linear_view(level: float = 0.5, n: int = 3) -> View:
    """Pictures of 2 x 2: number 0 of the weights moves the left pixels, 1 the right ones, 2 both, 3 nothing."""
    effects = torch.tensor([[[1.0, 0], [1, 0]], [[0, 1], [0, 1]], [[1, 1], [1, 1]], [[0, 0], [0, 0]]])
    plain = torch.zeros(n, 1, 2, 2)

    def along(row: Tensor, codes: list[int], far: Tensor, size: int | None) -> Tensor:
        strength = torch.arange(1.0, n + 1)[codes][:, None, None, None]
        return plain[codes] + strength * far[:, None, None, None] * torch.einsum("k,khw->hw", row, effects)

    class Numbers:
        def __getitem__(self, numbers: list[int]) -> list[int]:
            return numbers

    codes: Any = Numbers()
    space: Any = SimpleNamespace(pictures_along=along)
    left = torch.tensor([[2.0, 0], [2.0, 0]]).expand(n, 1, 2, 2)
    return View(space, codes, None, plain, left, 2 - left, torch.full((n,), level))


def test_changes_of_a_view_are_weighted_means_of_squares() -> None:
    view = linear_view()
    row = torch.tensor([0.6, 0.8, 0.0, 0.0])
    inside, outside = view.changes(row, [0, 2], torch.tensor([1.0, -2.0]))
    torch.testing.assert_close(inside, torch.tensor([0.36, 36 * 0.36]))
    torch.testing.assert_close(outside, torch.tensor([0.64, 36 * 0.64]))


def test_refinement_keeps_what_changes_the_inside_and_takes_out_the_rest() -> None:
    view, said = linear_view(), []
    row = nn.functional.normalize(torch.tensor([1.0, 0.3, 0.2, 0.1]), dim=0)
    strength = view.changes(row, [0, 1, 2], torch.ones(3))[0].sqrt()
    better, ratio = refined(view, row, strength, 60, seed=0, tell=said.append)
    start = view.changes(row, [0], torch.ones(1))
    assert ratio < 0.2 * float(start[1] / start[0])
    torch.testing.assert_close(better.norm(), torch.tensor(1.0))
    assert float((better[1] + better[2]) / (better[0] + better[2])) == pytest.approx(0, abs=0.2)
    inside, outside = view.changes(better, [0, 1, 2], torch.tensor([1.0, 2.0, 3.0]))
    assert ratio == pytest.approx(float((outside / inside).mean()), rel=1e-3)
    assert (len(said), said[-1]) == (60, {"step": 60, "steps": 60})
    same, unchanged = refined(view, row, strength, 0, seed=0, tell=said.append)
    assert torch.equal(same, row), "without steps, and where it gets no better, it is as it was"
    assert unchanged == pytest.approx(float(start[1] / start[0]))
    done = torch.tensor([1.0, 0.0, 0.0, 0.0])
    kept, nothing = refined(view, done, torch.arange(1.0, 4), 5, seed=0, tell=said.append)
    assert torch.equal(kept, done)
    assert nothing == 0


def test_the_rate_falls_to_nothing_and_with_the_root_of_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    view, rates = linear_view(), []
    taken = torch.optim.Adam.step

    def noted(self: torch.optim.Adam, closure: Any = None) -> Any:
        rates.append(self.param_groups[0]["lr"])
        return taken(self, closure)

    monkeypatch.setattr(torch.optim.Adam, "step", noted)
    row = nn.functional.normalize(torch.tensor([1.0, 0.3, 0.2, 0.1]), dim=0)
    refined(view, row, view.changes(row, [0, 1, 2], torch.ones(3))[0].sqrt(), 4, seed=0, tell=lambda _: None)
    assert rates == pytest.approx([0.025 * 12**0.5 * share for share in (1, 0.75, 0.5, 0.25)])


def test_each_picture_is_moved_until_its_change_is_the_one_that_is_wanted() -> None:
    """The first guess of the strength is off by two: it is corrected whenever a picture is taken, up to the farthest."""
    seen: list[tuple[list[int], Tensor]] = []
    for level in (0.5, 100.0):
        view = linear_view(level)
        along = view.space.pictures_along

        def noted(row: Tensor, codes: Any, far: Tensor, size: int | None, along: Any = along) -> Tensor:
            seen.append((codes, far.clone()))
            return along(row, codes, far, size)

        view.space.pictures_along = noted  # type: ignore[method-assign]
        refined(view, torch.tensor([1.0, 0, 0, 0]), 2 * torch.arange(1.0, 4), 0, seed=0, tell=lambda _: None)
        numbers, far = (torch.cat(side) for side in zip(*[(torch.tensor(c), f) for c, f in seen[-1:]], strict=True))
        wanted = (level / (numbers + 1.0)).clamp(max=FARTHEST)
        torch.testing.assert_close(far.abs(), wanted, rtol=0.1, atol=0)
        assert sorted(far.sign().tolist()) == [-1] * 3 + [1] * 3, "both ways"


def test_refined_directions_are_kept_and_not_refined_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semanifold.paths.weight_masked.SAVE_EVERY", 0.0)
    generator, checkpoint = two_layers(), tmp_path / "checkpoint.safetensors"
    how: dict[str, Any] = {"samples": 3, "kept": 8, "refine": 4}

    def stop(now: dict[str, Any]) -> None:
        if "refining" in now["part"] and now["step"] == 7:
            raise KeyboardInterrupt

    layers = ["network.0", "network.3"]
    with pytest.raises(KeyboardInterrupt):
        masked_weight_paths(generator, layers, LEFT, 3, **how, checkpoint=checkpoint, progress=stop)
    said: list[dict[str, Any]] = []
    paths = masked_weight_paths(generator, layers, LEFT, 3, **how, checkpoint=checkpoint, progress=said.append)
    refining = [(now["step"], now["steps"]) for now in said if "refining" in now["part"]]
    assert refining == [(step, 12) for step in range(5, 13)], "the first of three is done"
    whole = masked_weight_paths(generator, layers, LEFT, 3, **how, progress=False)
    torch.testing.assert_close(dict(paths.state_dict()), dict(whole.state_dict()), rtol=0, atol=0)
    assert paths.info.measured == whole.info.measured
    with pytest.raises(SemanifoldError, match="of another search"):
        masked_weight_paths(generator, layers, ~LEFT, 3, **how, checkpoint=checkpoint, progress=False)
    checkpoint.write_bytes(checkpoint.read_bytes()[:-8] + bytes(8))
    with pytest.raises(SemanifoldError, match=r"damaged.*remove the checkpoint"):
        masked_weight_paths(generator, layers, LEFT, 3, **how, checkpoint=checkpoint, progress=False)


@pytest.mark.parametrize("last", [8, 11])
def test_what_was_looked_at_is_kept_and_not_looked_at_again(last: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of twelve steps, four for masks, four pulled back and four pushed forward; for directions in a mask and for joint axes."""
    monkeypatch.setattr("semanifold.paths.weight_masked.SAVE_EVERY", 0.0)
    monkeypatch.setattr("semanifold.paths.weight_axes.SAVE_EVERY", 0.0)
    generator, layers = two_layers(), ["network.0", "network.3"]
    ways: dict[str, Any] = {
        "mask": partial(masked_weight_paths, generator, layers, LEFT, 3, samples=4, kept=8, refine=0),
        "joint": partial(joint_weight_paths, generator, layers, 3, samples=4, kept=8, size=None),
    }

    def stop(now: dict[str, Any]) -> None:
        if "finding" in now["part"] and now["step"] == last:
            raise KeyboardInterrupt

    for name, find in ways.items():
        checkpoint, said = tmp_path / f"{name}.safetensors", []
        with pytest.raises(KeyboardInterrupt):
            find(checkpoint=checkpoint, progress=stop)
        paths = find(checkpoint=checkpoint, progress=said.append)
        steps = [now["step"] for now in said if "finding" in now["part"]]
        assert steps == [1, 2, 3, 4, *range(last + 1, 13)], name
        whole = find(progress=False)
        torch.testing.assert_close(dict(paths.state_dict()), dict(whole.state_dict()), rtol=0, atol=0)
        assert paths.info == whole.info
        with pytest.raises(SemanifoldError, match="of another search"):
            find(checkpoint=checkpoint, progress=False, seed=1)


def test_rows_without_what_they_were_refined_from_are_not_taken_up(tmp_path: Path) -> None:
    like, square = torch.zeros(1, 9).double(), torch.ones(2, 4, 4).double()
    looked = {"basis": torch.ones(4, 9).double(), "inside": square, "outside": square}
    keeper = Keeper(tmp_path / "s", FORMAT, "key")
    keeper.write(looked | {"rows": torch.ones(1, 9).double()}, {"ratios": [0.5]})
    before, rows, ratios = read_state(keeper, like, 2, 3, 4)
    assert before is not None
    assert (len(before.inside), len(rows), ratios) == (2, 1, [0.5])
    for tensors, numbers in (
        ({"rows": torch.ones(1, 9).double()}, [0.5]),
        (looked | {"inside": square[:1], "outside": square[:1], "rows": torch.ones(1, 9).double()}, [0.5]),
        (looked | {"rows": torch.ones(1, 9).double()}, [0.5, 0.5]),
        (looked | {"rows": torch.ones(4, 9).double()}, 4 * [0.5]),
        (looked | {"rows": torch.ones(1, 9)}, [0.5]),
        (looked | {"rows": torch.ones(1, 9).double() * torch.nan}, [0.5]),
        (looked, [0.5]),
        (looked, [-0.5]),
    ):
        keeper.write(tensors, {"ratios": numbers})
        with pytest.raises(SemanifoldError, match=r"remove the checkpoint to begin again"):
            read_state(keeper, like, 2, 3, 4)
