"""What every distance between pictures keeps to."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import pytest
import torch
from support.instances import check_derivatives, drawn, nothing_random
from torch import Tensor

from semanifold.images.distances import Distance, FeatureDistance, distance_by_name, l2


def bands(images: Tensor) -> Sequence[Tensor]:
    """Two layers of features: the pictures and a smooth function of their halves."""
    low = torch.nn.functional.avg_pool2d(images, 2)
    return [images, torch.cat([low.sin(), low.cos()], 1)]


DISTANCES: dict[str, Distance] = {"l2": l2, "features": FeatureDistance(bands), "faces": distance_by_name("faces")}

every = pytest.mark.parametrize("distance", DISTANCES.values(), ids=DISTANCES)


@cache
def pictures(dtype: torch.dtype = torch.float32) -> Tensor:
    return 0.4 * drawn(4, 3, 32, 32, dtype=dtype)


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_number_per_picture_zero_for_equal_ones(distance: Distance, dtype: torch.dtype) -> None:
    images = pictures(dtype)
    found = distance(images, images[:1])
    assert tuple(found.shape) == (4,)
    assert found.dtype == dtype
    assert found[0] < 1e-9
    assert (found[1:] > 1e-3).all()
    torch.testing.assert_close(distance(images[:1].expand(4, -1, -1, -1), images), found, rtol=1e-4, atol=1e-7)  # both ways


@every
def test_a_distance_does_not_depend_on_its_batch(distance: Distance) -> None:
    images, others = pictures(), pictures().flip(0)
    found = distance(images, others)
    for i in range(4):
        torch.testing.assert_close(distance(images[i : i + 1], others[i : i + 1]), found[i : i + 1], rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(distance(images, images[:1]), distance(images, images[:1].expand(4, -1, -1, -1)))


@every
def test_derivatives(distance: Distance) -> None:
    images = pictures(torch.float64)
    check_derivatives(lambda x: distance(x, images[:1]), images[1:3])
    check_derivatives(lambda x: distance(images[1:3], x), images[:1])
    (slope,) = torch.autograd.grad(distance(leaf := images[:1].clone().requires_grad_(), images[:1]).sum(), leaf)
    assert slope.abs().max() < 1e-9, "equal pictures are the least"


@every
def test_farther_is_more_and_nothing_changes(distance: Distance) -> None:
    images = pictures()
    before, step = images.clone(), drawn(1, 3, 32, 32, seed=3, dtype=torch.float32)
    with nothing_random():
        near, far = (float(distance(images[:1] + size * step, images[:1])) for size in (0.05, 0.2))
    assert 0 < near < far
    assert torch.equal(images, before)


@every
def test_the_curvature_at_equal_pictures_is_that_of_the_features(distance: Distance) -> None:
    """Squared differences: twice as far is four times as much, as long as it is little."""
    images, step = pictures(torch.float64)[:1], drawn(1, 3, 32, 32, seed=3)
    one, two = (float(distance(images + size * step, images)) for size in (1e-4, 2e-4))
    assert two / one == pytest.approx(4, rel=1e-2)
