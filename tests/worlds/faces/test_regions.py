from __future__ import annotations

import pytest
import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.worlds.faces import FACTORS, MASK_REGIONS, factor_index, factors_of, region_mask, render


def random_faces(n: int, seed: int = 0) -> Tensor:
    return torch.rand(n, len(FACTORS), generator=torch.Generator().manual_seed(seed))


def two_faces() -> Tensor:
    """Two faces whose eyes are open; their regions are remembered from test to test."""
    faces = random_faces(2, seed=6)
    faces[:, factor_index("eye_opening")] = 0.8
    return faces


@pytest.mark.parametrize("region", MASK_REGIONS)
def test_factors_of_a_region_change_nothing_outside_of_its_mask(region: str) -> None:
    faces, outside = two_faces(), region_mask(region, two_faces()) == 0
    assert outside.any()
    columns = [factor_index(factor.name) for factor in factors_of(region)]
    generator = torch.Generator().manual_seed(11)
    before = render(faces)
    for _ in range(12):
        changed = faces.clone()
        changed[:, columns] = torch.rand(2, len(columns), generator=generator)
        leak = ((render(changed) - before).abs().amax(1, keepdim=True) * outside).max()
        assert leak < 0.08


@pytest.mark.parametrize("region", MASK_REGIONS)
def test_every_factor_of_a_region_changes_something_inside(region: str) -> None:
    faces, mask = two_faces(), region_mask(region, two_faces())
    for factor in factors_of(region):
        low, high = faces.clone(), faces.clone()
        low[:, factor_index(factor.name)], high[:, factor_index(factor.name)] = 0, 1
        moved = (render(high) - render(low)).abs().amax(1, keepdim=True)
        assert ((moved * mask).amax((1, 2, 3)) > 0.15).all(), factor.name


def test_small_regions_do_not_reach_each_other() -> None:
    masks = {region: region_mask(region, two_faces()) for region in ("mouth", "eyes", "brows", "nose")}
    assert all(mask.mean() < 0.15 for mask in masks.values())
    assert (masks["mouth"] * masks["eyes"]).max() == 0
    assert (masks["mouth"] * masks["brows"]).max() == 0


def test_masks_do_not_depend_on_the_regions_own_factors() -> None:
    other = two_faces()[:1].clone()
    other[:, [factor_index(factor.name) for factor in factors_of("mouth")]] = 0.1
    assert torch.equal(region_mask("mouth", two_faces()[:1]), region_mask("mouth", other))


def test_masks_come_in_any_size() -> None:
    small, large = region_mask("nose", two_faces()[:1]), region_mask("nose", two_faces()[:1], 200)
    assert small.shape == (1, 1, 64, 64)
    assert large.shape == (1, 1, 200, 200)
    assert small.min() >= 0
    assert small.max() <= 1
    assert abs(large.mean() - small.mean()) < 0.01


def test_regions_without_a_mask_are_refused() -> None:
    with pytest.raises(SemanifoldError, match="whole picture"):
        region_mask("pose", random_faces(1))
    with pytest.raises(SemanifoldError, match="mouth"):
        region_mask("mouht", random_faces(1))


def test_a_region_of_the_same_face_is_not_painted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    faces = random_faces(2, seed=7)
    mask = region_mask("mouth", faces)
    monkeypatch.setattr("semanifold.worlds.faces.regions.render", None)
    assert region_mask("mouth", faces).equal(mask)
    mask.zero_()  # what is remembered is nobody's to change
    assert region_mask("mouth", faces.flip(0)).flip(0).any()
    with pytest.raises(TypeError):
        region_mask("eyes", faces)
