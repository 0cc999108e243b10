import torch
from support.small_world import SmallWorld

from semanifold.generators.loading import load_generator
from semanifold.images.distances import l2
from semanifold.inversion.objective import Likeness
from semanifold.inversion.starts import best_starts, coarse, metric_of


def likeness(target):
    return Likeness(target, torch.ones_like(target[:, :1]), l2, 1.0, 0.0)


def test_the_most_alike_of_random_codes_comes_first():
    world = SmallWorld()
    starts, _ = best_starts(world, "z", likeness(world.images(world.sample([12]))), world.sample, 20, seed=5)
    assert starts[0].name == "random code 12"
    assert starts[0].value < 1e-12, "nothing but rounding, which may differ with the size of a batch"
    assert torch.equal(starts[0].code.values, world.sample([12]).values)
    assert len(starts) == 21
    assert {start.name for start in starts} == {"the mean", *(f"random code {i}" for i in range(5, 25))}
    assert [start.value for start in starts] == sorted(start.value for start in starts)
    only, _ = best_starts(world, "w+", likeness(world.images(world.sample([12]))), world.sample, 0)
    assert [start.name for start in only] == ["the mean"]
    assert only[0].code.space == "w+"


def test_a_smaller_likeness_compares_the_smaller_target():
    world = SmallWorld()
    small = coarse(likeness(world.images(world.sample([1]))), world, 8)
    assert small.target.shape == (1, 1, 8, 8)
    assert small.mask.min() == small.mask.max() == 1


def test_the_metric_of_w_plus_has_its_origin_in_the_mean_of_w_and_own_codes_have_mean_square_one():
    faces = load_generator("faces")
    code = faces.sample([7], "w+")
    coordinates, mean, own = metric_of(faces, code, 0.25)
    ws = faces.sample(range(2048), "w").values
    torch.testing.assert_close(mean.values, ws.mean(0).expand(1, 10, -1), rtol=1e-4, atol=1e-5)
    others = faces.sample(range(5000, 5400), "w+").values - mean.values
    assert 0.8 < float(coordinates.inverse(others).square().mean()) / own < 1.25
