"""Closed-form directions against dense linear algebra, and the search for equal inside change."""

from __future__ import annotations

import math

import pytest
import torch
from support.toy import LEFT, Toy, ToyConv

from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config
from semanifold.images.metrics import inside_change
from semanifold.locality import baselines
from semanifold.locality.matching import line, match, moved_norm, side_images


def test_principal_directions_are_those_of_a_known_ellipsoid() -> None:
    draw = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(5, 5, generator=draw, dtype=torch.float64))[0]
    spread = torch.tensor([5.0, 3.0, 2.0, 0.5, 0.1], dtype=torch.float64)
    codes = 7 + (torch.randn(20_000, 5, generator=draw, dtype=torch.float64) * spread) @ turn
    found = baselines.principal_directions(codes, 3)
    assert torch.allclose((found @ turn.T).abs(), torch.eye(3, 5, dtype=torch.float64), atol=0.03)


def test_regressed_directions_undo_a_linear_first_layer() -> None:
    draw = torch.Generator().manual_seed(1)
    codes = torch.randn(1000, 4, generator=draw, dtype=torch.float64)
    layer = torch.diag(torch.tensor([1.0, 4.0, 2.0, 0.5], dtype=torch.float64))
    found = baselines.regressed_directions(codes, codes @ layer, 2)
    assert torch.allclose(found.abs(), torch.eye(4, dtype=torch.float64)[[1, 2]], atol=0.1)


def test_sefa_directions_are_right_singular_vectors_of_the_stacked_unit_rows() -> None:
    draw = torch.Generator().manual_seed(2)
    weights = [torch.randn(7, 5, generator=draw), 3 * torch.randn(4, 5, generator=draw)]
    stacked = torch.cat(weights)
    vectors = torch.linalg.svd(stacked / stacked.norm(dim=1, keepdim=True)).Vh[:3]
    found = baselines.sefa_directions(weights, 3)
    assert torch.allclose((found * vectors).sum(1).abs(), torch.ones(3), atol=1e-5)


def test_style_weights_of_a_stylegan2_are_those_of_the_chosen_convolutions() -> None:
    generator = StyleGAN2(StyleGAN2Config(size=16, z_dim=8, w_dim=8, channels=(6, 5, 4)))
    state = generator.state_dict()
    found = generator.affine_maps("w+", (1, 3))
    expected = [state["convs.1.affine.weight"], state["convs.2.affine.weight"]]
    assert len(found) == 2
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_components_are_tried_on_all_layers_and_on_each_resolution() -> None:
    found = baselines.component_lines(lambda _: torch.eye(3)[:2], (5, 3), "w+", 2.0)
    assert len(found) == 2 * (1 + 3)
    assert found[0].name == "component 1, all layers"
    last = found[-1]
    assert last.name == "component 2, layers 4-4"
    offset = last.sides[1].way(torch.tensor([1.0])).reshape(5, 3)
    assert torch.equal(offset[4], torch.tensor([0.0, -2.0, 0.0]))
    assert offset[:4].abs().max() == 0
    assert moved_norm(offset) == pytest.approx(2.0)


def test_layer_features_hold_one_map_a_resolution_and_leave_no_hook() -> None:
    generator = ToyConv()
    found = baselines.layer_features(generator, generator.sample([0, 1]))
    assert {size: tuple(f.shape) for size, f in found.items()} == {4: (2, 8, 4, 4), 8: (2, 8, 8, 8)}
    assert not any(module._forward_hooks for module in generator.modules())
    assert baselines.layer_features(Toy(), Toy().sample([0])) == {}


def test_typical_distance_of_normal_codes() -> None:
    assert baselines.typical_distance(ToyConv(), "z", pairs=500) == pytest.approx(math.sqrt(12), rel=0.1)


def test_match_finds_the_level_on_every_side_and_says_which_never_reach_it() -> None:
    generator, mask = Toy(), LEFT.at(16, 16)
    seed = generator.sample([0])
    sides = [s for i in range(4) for s in line(torch.eye(4)[i], 4.0, "z", "axis").sides]
    t = match(generator, seed, sides, mask, 0.15, tolerance=0.005)
    reference = generator.images(seed)
    change = inside_change(side_images(generator, seed, sides, t.nan_to_num(0)), reference, mask)
    assert change[[0, 1, 4, 5]].tolist() == pytest.approx([0.15] * 4, rel=0.006)
    assert t[[2, 3, 6, 7]].isnan().all()  # the right half only, and nothing at all


def test_match_takes_the_first_crossing() -> None:
    generator, mask = Toy(), LEFT.at(16, 16)
    seed = generator.sample([3])
    (side, _) = line(torch.eye(4)[0], 8.0, "z", "axis").sides
    t = match(generator, seed, [side], mask, 0.1)
    before = torch.linspace(0, float(t) * 0.97, 50)
    change = inside_change(side_images(generator, seed, [side] * 50, before), generator.images(seed), mask)
    assert change.max() < 0.1
