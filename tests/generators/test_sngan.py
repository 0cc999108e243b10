"""SN-GAN against the published pictures, and what the three convolutional generators have in common."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from support.published_generators import FILES, SMALL, gradient, shapes
from support.reference import GRADIENTS, agree, numbers, settings

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.generators.convolutional import Norm, doubled, doubled_conv
from semanifold.generators.loading import load_generator
from semanifold.generators.sngan import SNGAN, SNGANConfig, from_published
from semanifold.generators.states import assembled

REAL = {"sngan_mnist": (256,) * 4, "sngan_animefaces": (1024, 512, 256, 128, 64)}
every_kind = pytest.mark.parametrize("kind", SMALL)


@pytest.mark.parametrize("name", ["sngan_mnist", "sngan_anime"])
def test_published_pictures(name: str) -> None:
    generator, expected, config = load_generator(FILES[name]), numbers(name), settings(name)
    assert isinstance(generator, SNGAN)
    assert generator.config == SNGANConfig(config["latent_dim"], tuple(config["channels"]), config["image_channels"])
    assert generator.picture_shape == (config["image_channels"], config["img_size"], config["img_size"])
    codes = Latents(expected["z"], "z")
    agree(generator.images(codes), expected["img"])
    agree(generator.images(codes.with_values(expected["z"] + expected["shift"])), expected["img_shifted"])
    agree(gradient(generator, codes), expected["grad_z"], GRADIENTS)


@pytest.mark.parametrize("model", REAL)
def test_real_models_are_understood(model: str) -> None:
    state = shapes(model)
    config, ours = from_published(state)
    assert config == SNGANConfig(128, REAL[model], 1 if model == "sngan_mnist" else 3)
    generator = assembled(lambda: SNGAN(config), ours, "SN-GAN")
    twice = sum(v.numel() for k, v in state.items() if ".conv1." in k or ".conv2." in k)
    counters = sum("num_batches" in key for key in state)
    assert sum(v.numel() for v in generator.state_dict().values()) == sum(v.numel() for v in state.values()) - twice - counters


def test_a_doubled_convolution_is_a_transposed_one() -> None:
    draw = torch.Generator().manual_seed(0)
    for height, width in ((16, 16), (17, 19), (4, 5)):
        x = torch.randn(2, 3, height, width, generator=draw, dtype=torch.float64)
        weight = torch.randn(5, 3, 3, 3, generator=draw, dtype=torch.float64)
        bias = torch.randn(5, generator=draw, dtype=torch.float64)
        expected = F.conv2d(x.repeat_interleave(2, 2).repeat_interleave(2, 3), weight, bias, padding=1)
        torch.testing.assert_close(doubled_conv(x, weight, bias), expected)
        assert torch.equal(doubled(x), x.repeat_interleave(2, 2).repeat_interleave(2, 3))


def test_normalisation_is_that_of_pytorch() -> None:
    norm = Norm(3).double()
    values = torch.rand(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.5
    norm.load_state_dict(dict(zip(("gain", "bias", "mean", "variance"), values)))
    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(norm.train()(x), F.batch_norm(x, values[2], values[3], values[0], values[1]))


@every_kind
def test_smaller_pictures_are_averages(kind: str) -> None:
    generator = SMALL[kind]()
    codes = generator.sample([0], labels=1 if generator.classes else None)
    full = generator.images(codes)
    torch.testing.assert_close(generator.images(codes, size=8), full.unflatten(3, (8, 4)).unflatten(2, (8, 4)).mean((3, 5)))
    assert torch.equal(generator.images(codes, size=32), full)
    for size in (0, 33):
        with pytest.raises(SemanifoldError, match=f"height 1 to 32, not {size}"):
            generator.images(codes, size=size)


@every_kind
def test_channel_counts_that_make_no_network(kind: str) -> None:
    generator = SMALL[kind]()
    for channels in ((4,), (4, 0), ("4", 4)):
        with pytest.raises(SemanifoldError, match="channel counts"):
            type(generator.config)(channels=channels)
