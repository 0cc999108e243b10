"""Directions in weights inside a mask: the subspace against dense Jacobians, and the refinement on pictures that are linear."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.generators.base import Generator
from semanifold.generators.wrapped import wrap
from semanifold.images.masks import box
from semanifold.paths.weight_axes import WeightSpace, changes_of, codes_for, made, roots_of
from semanifold.paths.weight_masked import View, masked_weight_paths, refined
from semanifold.paths.weight_ranges import FARTHEST, usual_changes

LEFT = box(0, 0, 0.5, 1)


def small() -> Generator:
    """Two layers of very different norms: z [3] -> 1 channel of 4 x 4 -> pictures."""
    net = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 3, 1))
    draw = torch.Generator().manual_seed(0)
    for scale, parameter in zip((1.0, 0.1, 20.0, 0.1), net.parameters(), strict=True):
        parameter.data = scale * torch.randn(parameter.shape, generator=draw)
    return wrap(net.double(), 3)


def jacobian(space: WeightSpace, code: Latents) -> Tensor:
    """Return ``[pixels, N]`` by differences of the pictures, which are smooth."""
    pictures = space.pictures_of(code, None)
    step, units = 1e-5, torch.eye(space.size).double()
    return ((pictures(step * units) - pictures(-step * units)) / (2 * step)).flatten(1).T


def test_changes_are_the_jacobians_in_the_subspace_that_moves_pictures_most() -> None:
    generator = small()
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


def test_directions_in_a_subspace_become_weights_in_units_of_each_layers_norm() -> None:
    generator = small()
    space = WeightSpace(generator, ("network.0", "network.3"))
    norms = [float(dict(generator.named_parameters())[f"{layer}.weight"].norm()) for layer in space.layers]
    assert space.norm == pytest.approx((norms[0] ** 2 + norms[1] ** 2) ** 0.5)
    basis = torch.eye(space.size).double()[[0, 50]]  # a weight of the first layer, and one of the second
    paths = made(space, torch.tensor([[1.0, 1.0]]).double() / 2**0.5, basis, "by hand", ())
    moved = paths.directions([0])
    flat = torch.cat([moved[0][layer].flatten() for layer in space.layers])
    assert float(flat[0] / flat[50]) == pytest.approx(norms[0] / norms[1], rel=1e-4)
    assert paths.info.step * paths.info.count == pytest.approx(space.norm / 2)


def test_weights_of_pixels_have_the_mean_1_on_both_sides() -> None:
    generator = small()
    for mask in (LEFT, box(0, 0, 0.25, 0.3)):
        inside, outside = (root.square() for root in roots_of(generator, generator.sample([0]), mask, None))
        assert (float(inside.mean()), float(outside.mean())) == (pytest.approx(1), pytest.approx(1))
        covered = mask.at(4, 4)
        torch.testing.assert_close(inside / inside.max(), covered.double() / covered.max())
        torch.testing.assert_close(outside / outside.max(), (1 - covered.double()) / (1 - covered).max())
    one, none = roots_of(generator, generator.sample([0]), None, None)
    assert (one.min(), none.abs().max()) == (1, 0)
    with pytest.raises(SemanifoldError, match="nothing or everything"):
        roots_of(generator, generator.sample([0]), box(-1, -1, 2, 2), None)


def test_codes_that_decide_are_named_or_far_from_those_that_people_show() -> None:
    generator = small()
    assert torch.equal(codes_for(generator, 5, 0, [3, 4]).values, generator.sample([3, 4]).values)
    first, second = codes_for(generator, 5, 0, None), codes_for(generator, 5, 1, None)
    assert not (first.values[:, None] == second.values[None]).all(-1).any()
    shown = generator.sample(range(10_000)).values
    assert not (first.values[:, None] == shown[None]).all(-1).any()
    with pytest.raises(SemanifoldError, match="At least one picture"):
        codes_for(generator, 5, 0, [])


def test_directions_are_refined_at_a_third_of_the_usual_change() -> None:
    generator = small()
    codes = generator.sample([3, 4])
    view = View.of(WeightSpace(generator, ("network.3",)), codes, [LEFT] * 2, None, 0)
    usual = usual_changes(generator, generator.images(codes), view.inside.sqrt(), 0, None)
    torch.testing.assert_close(view.level, 0.35 * usual)


def test_options_that_are_left_out_are_the_documented_ones() -> None:
    def found(**options: Any) -> Tensor:
        return masked_weight_paths(small(), ["network.0"], LEFT, 2, refine=0, progress=False, **options).basis

    usual = found()
    assert torch.equal(usual, found(samples=24, kept=48, damping=1e-3, seed=0))
    for other in ({"samples": 23}, {"kept": 8}, {"damping": 1.0}, {"seed": 1}):
        assert not torch.equal(usual, found(**other)), other


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
    generator, checkpoint = small(), tmp_path / "checkpoint.safetensors"
    how: dict[str, Any] = {"samples": 3, "refine": 4}

    def stop(now: dict[str, Any]) -> None:
        if "refining" in now["part"] and now["step"] == 7:
            raise KeyboardInterrupt

    layers = ["network.0", "network.3"]
    with pytest.raises(KeyboardInterrupt):
        masked_weight_paths(generator, layers, LEFT, 3, **how, checkpoint=checkpoint, progress=stop)
    said: list[dict[str, Any]] = []
    paths = masked_weight_paths(generator, layers, LEFT, 3, **how, checkpoint=checkpoint, progress=said.append)
    assert next(now["step"] for now in said if "refining" in now["part"]) == 5, "the first of three is done"
    whole = masked_weight_paths(generator, layers, LEFT, 3, **how, progress=False)
    torch.testing.assert_close(dict(paths.state_dict()), dict(whole.state_dict()), rtol=0, atol=0)
    assert paths.info.measured == whole.info.measured
    with pytest.raises(SemanifoldError, match="of another search"):
        masked_weight_paths(generator, layers, ~LEFT, 3, **how, checkpoint=checkpoint, progress=False)
    checkpoint.write_bytes(checkpoint.read_bytes()[:-8] + bytes(8))
    with pytest.raises(SemanifoldError, match=r"damaged.*remove the checkpoint"):
        masked_weight_paths(generator, layers, LEFT, 3, **how, checkpoint=checkpoint, progress=False)
