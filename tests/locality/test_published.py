"""The published algorithm as a baseline: its regions, its proportions, and that it does descend."""

from __future__ import annotations

import pytest
import torch
from support.toy import LEFT, ToyConv

from semanifold.images.distances import l2
from semanifold.images.masks import box
from semanifold.images.metrics import inside_change
from semanifold.locality.published import published_layers, published_manifold
from semanifold.manifolds.objective import cropped_parts, pasted_parts


def test_pasted_and_published_regions_agree_on_a_box_with_the_squared_distance() -> None:
    draw = torch.Generator().manual_seed(0)
    plain, other = torch.rand(1, 3, 16, 16, generator=draw), torch.rand(4, 3, 16, 16, generator=draw)
    mask = box(0.25, 0.5, 0.75, 0.875)
    pasted = pasted_parts(mask.at(16, 16), plain, l2)(other)
    cropped = cropped_parts(mask.rectangle(16, 16), plain, l2)(other)
    for a, b in zip(pasted, cropped, strict=True):
        assert torch.allclose(a, b, rtol=1e-5)


def test_layers_are_those_of_the_published_code() -> None:
    assert published_layers((18, 512)) == (2, 8)
    assert published_layers((10, 128)) == (1, 4)
    assert published_layers((100,)) is None


def test_frames_come_to_lie_at_the_wanted_change() -> None:
    generator = ToyConv()
    seed, mask = generator.sample([0]), LEFT.at(16, 16)
    frames = published_manifold(generator, seed, LEFT, offset=0.01, reach=3.5, frames=6, steps=150, draw=0)
    changes = inside_change(generator.images(seed.with_values(seed.values + frames)), generator.images(seed), mask)
    assert changes.median().item() == pytest.approx(0.1, rel=0.25)
