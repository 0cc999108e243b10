"""Natural coordinates: what they whiten, what they keep together, and that the search moves in them."""

import pytest
import torch
from support.small_world import SmallWorld

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.generators.coordinates import PLAIN, SAMPLES, natural_coordinates, own_codes
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config
from semanifold.images.masks import box
from semanifold.manifolds import ManifoldSettings, discover_manifold


@pytest.fixture(scope="module")
def network() -> StyleGAN2:
    return StyleGAN2(StyleGAN2Config(size=16, z_dim=8, w_dim=8, channels=(6, 5, 4)))


def test_standard_normal_coordinates_become_codes_of_the_generator(network: StyleGAN2) -> None:
    found = natural_coordinates(network, network.sample([0], "w"), (8,), 0.2)
    u = torch.randn(20_000, 8, generator=torch.Generator().manual_seed(0))
    codes = network.sample(range(5_000, 9_000), "w").values
    made, drawn = torch.cov(found.displacements(u).T), torch.cov(codes.T)
    assert (made - drawn).norm() < 0.1 * drawn.norm()
    assert (torch.eye(8) * drawn.diagonal().mean() - drawn).norm() > 0.2 * drawn.norm()


def test_own_codes_are_drawn_once_for_each_condition_and_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    sample = StyleGAN2.sample

    def counted(self: StyleGAN2, *values, **options) -> Latents:
        drawn.append(values)
        return sample(self, *values, **options)

    monkeypatch.setattr(StyleGAN2, "sample", counted)
    classes = StyleGAN2(StyleGAN2Config(size=16, z_dim=8, w_dim=8, channels=(6, 5, 4), classes=2))
    first, second = (classes.sample([0], labels=label) for label in (0, 1))
    drawn.clear()
    one = own_codes(classes, first, "w")
    assert own_codes(classes, classes.convert(first, "w+"), "w") is one
    assert len(drawn) == 1
    assert torch.equal(own_codes(classes, second, "w").values, sample(classes, range(SAMPLES), "w", labels=1).values)
    assert own_codes(classes.double(), second, "w").values.dtype == torch.float64
    assert own_codes(classes, second, "z").space == "z"
    before = own_codes(classes, second, "w").values
    with torch.no_grad():
        for weights in classes.parameters():
            weights.mul_(2)
    assert not torch.equal(own_codes(classes, second, "w").values, before), "weights that were written to draw others"
    assert len(drawn) == 6


def test_z_is_natural_already(network: StyleGAN2) -> None:
    assert natural_coordinates(network, network.sample([0]), (8,), 0.2) is PLAIN


@pytest.mark.parametrize("independence", [0.0, 0.2, 1.0])
def test_layers_part_as_much_as_they_are_allowed_to(network: StyleGAN2, independence: float) -> None:
    layers = network.shapes["w+"][0]
    found = natural_coordinates(network, network.sample([0], "w+"), (layers, 8), independence)
    u = torch.randn(20_000, layers, 8, generator=torch.Generator().manual_seed(0))
    offsets = found.displacements(u)
    agreement = (offsets[:, 0] * offsets[:, 1]).mean() / offsets[:, 0].square().mean()
    assert agreement == pytest.approx(1 - independence, abs=0.02)


def test_the_inverse_undoes_the_map(network: StyleGAN2) -> None:
    layers = network.shapes["w+"][0]
    found = natural_coordinates(network, network.sample([0], "w+"), (layers, 8), 0.2)
    offsets = found.displacements(torch.randn(5, layers, 8, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(found.displacements(found.inverse(offsets)), offsets, rtol=1e-3, atol=1e-4)


def test_without_independence_a_search_in_w_plus_moves_all_layers_alike(network: StyleGAN2) -> None:
    settings = ManifoldSettings(frames=5, steps=6, independence=0.0)
    edit = discover_manifold(network, network.sample([0]), box(0, 0.5, 1, 1), settings).value
    torch.testing.assert_close(edit.displacements, edit.displacements[:, :1].expand_as(edit.displacements), rtol=1e-3, atol=1e-5)
    assert edit.displacements.abs().max() > 0.01


class Leaky(SmallWorld):
    """A world in which every change of one half is a change of the other."""

    def images(self, latents: Latents, *, size: int | None = None) -> torch.Tensor:
        upper = super().images(latents, size=size)[:, :, : (size or 16) // 2]
        return torch.cat([upper, upper], dim=2)


def test_where_nothing_is_local_the_inside_changes_all_the_same() -> None:
    world = Leaky()
    settings = ManifoldSettings(space="z", frames=5, steps=30, schedule="out", offset=0.02)
    stats = discover_manifold(world, world.sample([4]), box(0, 0.5, 1, 1), settings).stats
    assert stats["ratio"] == pytest.approx(1, rel=0.05)
    assert max(stats["inside"]) > 0.7 * 0.02


def test_a_first_stage_that_is_repeated_counts_towards_the_most_steps() -> None:
    world, said = Leaky(), []
    settings = ManifoldSettings(space="z", frames=5, steps=10, schedule="out", tolerance=0.0)
    stats = discover_manifold(world, world.sample([4]), box(0, 0.5, 1, 1), settings, progress=said.append).stats
    assert stats["steps"] > 10, "here c is made smaller, so that the first stage comes again"
    assert all(now["step"] <= now["steps"] for now in said)


def test_the_published_method_needs_the_published_objective() -> None:
    with pytest.raises(SemanifoldError, match="published objective only"):
        ManifoldSettings(method="paper", offset=0.1, sigma=1.0)
    with pytest.raises(SemanifoldError, match="independence"):
        ManifoldSettings(independence=1.5)
