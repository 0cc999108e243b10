import pytest
import torch
from support.small_world import SmallWorld

from semanifold.core.latents import Latents
from semanifold.generators.coordinates import Coordinates
from semanifold.images.distances import l2
from semanifold.inversion.objective import Likeness, Objective
from semanifold.inversion.starts import metric_of


def test_only_the_inside_of_a_mask_counts_and_the_terms_are_means_over_it():
    target, mask = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    mask[..., :2] = 1
    images = torch.zeros(2, 1, 4, 4)
    images[0, ..., 2:] = 9.0  # outside only
    images[1, ..., :2] = 0.5
    pixels, perceptual = Likeness(target, mask, l2, 2.0, 3.0).terms(images)
    assert pixels.tolist() == perceptual.tolist() == [0.0, 0.25]
    assert Likeness(target, mask, l2, 2.0, 3.0)(images).tolist() == [0.0, 1.25]
    assert Likeness(target, mask, None, 2.0, 3.0)(images).tolist() == [0.0, 0.5]


def test_value_gradient_and_terms_are_those_of_the_formula():
    world = SmallWorld(torch.float64)
    codes = Latents(world.sample([1, 2]).values.double(), "z")
    target = world.images(codes[1])
    metric = Coordinates(torch.diag(torch.linspace(0.5, 2, 6)).double())
    origin = torch.full((1, 6), 0.3).double()
    likeness = Likeness(target, torch.ones_like(target), l2, 2.0, 0.5)
    objective = Objective(world, codes[0], origin, metric, likeness, 0.1, 4.0)
    assert torch.equal(objective.code(origin).values, codes[0].values)
    u = origin + 0.2

    def plain(v):
        picture = world.images(Latents(codes[0].values + (v - origin) @ metric.within, "z"))
        return 2.5 * (picture - target).square().mean() + 0.1 * v.square().mean() / 4.0

    at = objective(u)
    point = u.clone().requires_grad_()
    value = plain(point)
    assert at.value == pytest.approx(value.item(), rel=1e-12)
    torch.testing.assert_close(at.gradient, torch.autograd.grad(value, point)[0])
    assert at.terms["nature"] == pytest.approx(u.square().mean().item() / 4)
    assert at.terms["pixels"] == pytest.approx(at.terms["perceptual"])


def test_a_code_of_the_generators_own_has_about_the_mean_square_of_all():
    world = SmallWorld()
    coordinates, mean, own = metric_of(world, world.sample([3]), 0.25)
    assert own == 1.0
    assert torch.equal(mean.values, torch.zeros(1, 6))
    assert coordinates == coordinates.__class__() or coordinates.within is None
