"""Generators with other weights: one kernel per sample as a sum of shared ones, and copies that share the rest."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

import semanifold as sm
from semanifold.generators.base import Generator
from semanifold.generators.biggan.network import BigGAN, BigGANConfig
from semanifold.generators.editing import editable_layers, moved, weight_of
from semanifold.generators.mixed_weight import MixedWeight
from semanifold.generators.proggan import ProgGAN, ProgGANConfig
from semanifold.generators.sngan import SNGAN, SNGANConfig
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config

CLOSE = {"rtol": 1e-9, "atol": 1e-10}


def small(architecture: str = "skip", clamp: float | None = None) -> StyleGAN2:
    config = StyleGAN2Config(16, 6, 6, (5, 4, 4), mapping_layers=2, architecture=architecture, clamp=clamp)  # type: ignore[arg-type]
    return StyleGAN2(config, seed=3)


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Linear(6, 32),
        nn.Unflatten(1, (2, 4, 4)),
        nn.ConvTranspose2d(2, 4, 4, stride=2, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 3, 3, padding=1),
        nn.Tanh(),
    )


class Transposed(nn.Module):
    """Uses its weights as people write it by hand."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.one, self.two, self.three = nn.Linear(6, 5), nn.Linear(5, 7), nn.Linear(7, 48)

    def forward(self, z: Tensor) -> Tensor:
        x = torch.tanh(z @ self.one.weight.T)
        x = torch.tanh(torch.matmul(x, self.two.weight.t()))
        return torch.tanh(torch.mm(x, self.three.weight.mT)).reshape(-1, 3, 4, 4)


GENERATORS = {
    "skip": small,
    "resnet": lambda: small("resnet"),
    "orig, clamped": lambda: small("orig", 2.0),
    "proggan": lambda: ProgGAN(ProgGANConfig(6, (5, 4))),
    "sngan": lambda: SNGAN(SNGANConfig(6, (5, 4, 4))),
    "biggan": lambda: BigGAN(BigGANConfig(6, 3, 4, (8, 8), attention=(8,))),
    "wrapped": lambda: sm.wrap(network(), 6, name="net"),
    "transposed": lambda: sm.wrap(Transposed(), 6, name="transposed"),
}


@pytest.fixture(params=list(GENERATORS))
def generator(request: pytest.FixtureRequest) -> Generator:
    return GENERATORS[request.param]().double().eval()


def codes(generator: Generator, n: int = 3) -> sm.Latents:
    return generator.sample(range(n), labels=1 if generator.classes else None)


def by_hand(generator: Generator, layer: str, weights: Tensor, latents: sm.Latents) -> Tensor:
    """The stupid way: one call per sample with a weight of its own."""
    pictures = [functional_call(generator, {f"{layer}.weight": w}, (latents[i],)) for i, w in enumerate(weights)]
    return torch.cat(pictures)


def test_every_layer_of_every_architecture_takes_one_weight_per_sample(generator):
    latents, draw = codes(generator), torch.Generator().manual_seed(0)
    layers = editable_layers(generator)
    assert len(layers) > 2
    before = {key: value.clone() for key, value in generator.state_dict().items()}
    index, magnitude = torch.tensor([[0], [1], [0]]), torch.tensor([[0.7], [-1.3], [0.2]]).double()
    changed = 0
    for layer, shape in layers.items():
        directions = torch.randn(2, *shape, generator=draw).double()
        weight = weight_of(generator, layer)
        other = moved(generator, {layer: MixedWeight.along(weight, directions.__getitem__, index, magnitude)})
        pictures = other.images(latents)
        wanted = by_hand(
            generator, layer, torch.stack([weight + m * directions[k] for k, m in zip(index[:, 0], magnitude[:, 0])]), latents
        )
        torch.testing.assert_close(pictures, wanted, **CLOSE)
        changed += bool((pictures - generator.images(latents)).abs().max() > 1e-4)
    assert changed > len(layers) / 2
    assert all(torch.equal(value, before[key]) for key, value in generator.state_dict().items())


class Aware(nn.Linear):
    """Says itself how it is copied, and knows another module."""

    friend: list[nn.Module]

    def __deepcopy__(self, copies: dict) -> Aware:
        other = Aware(6, 6)
        other.__dict__.update(weight=None, friend=copy.deepcopy(self.friend, copies), copied=True)
        other.weight = self.weight
        return other


def test_a_copy_shares_its_tensors_and_nothing_else() -> None:
    """Hooks, modules that refer to one another, and modules that say themselves how they are copied."""
    net = nn.Sequential(Aware(6, 6), nn.Linear(6, 6), nn.Linear(6, 4 * 4))
    net[0].friend, net[1].friends = [net[1]], [net[2], net]
    generator = sm.wrap(nn.Sequential(net, nn.Unflatten(1, (1, 4, 4))), 6)
    inner = generator.get_submodule("network.0")
    layer = "network.0.2"
    other = generator.with_weights({layer: weight_of(generator, layer) + 1})
    first, second, third = other.get_submodule("network.0")
    assert first.copied
    assert first.friend == [second]
    assert second.friends == [third, other.get_submodule("network.0")]
    assert not {id(module) for module in other.modules()} & {id(module) for module in generator.modules()}
    assert second.weight is inner[1].weight
    seen = []
    second.register_forward_hook(lambda *_: seen.append("the copy"))
    inner[2].register_forward_hook(lambda *_: seen.append("the generator"))
    codes = generator.sample([0, 1])
    other.images(codes)
    assert set(seen) == {"the copy"}
    seen.clear()
    generator.images(codes)
    assert set(seen) == {"the generator"}
