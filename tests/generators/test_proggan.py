"""Progressive GAN against the published pictures."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from support.published_generators import FILES, SMALL, gradient, shapes
from support.reference import GRADIENTS, agree, numbers, settings

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.generators.loading import load_generator
from semanifold.generators.proggan import ProgGAN, ProgGANConfig, from_published, unit_pixels
from semanifold.generators.states import assembled


def test_published_pictures() -> None:
    generator, expected, config = load_generator(FILES["proggan"]), numbers("proggan"), settings("proggan")
    assert isinstance(generator, ProgGAN)
    assert generator.config == ProgGANConfig(config["latent_dim"], tuple(config["channels_per_resolution"].values()))
    assert generator.picture_shape == (3, config["resolution"], config["resolution"])
    codes = Latents(expected["z"], "z")
    agree(generator.images(codes), expected["img"])
    agree(generator.images(codes.with_values(expected["z"] + expected["shift"])), expected["img_shifted"])
    agree(generator.images(codes.with_values(3 * expected["z"])), expected["img"])
    agree(gradient(generator, codes), expected["grad_z"], GRADIENTS)


def test_the_real_model_is_understood() -> None:
    state = shapes("proggan_celebahq_1024")
    config, ours = from_published(state)
    assert config == ProgGANConfig()
    generator = assembled(lambda: ProgGAN(config), ours, "Progressive GAN")
    assert generator.picture_shape == (3, 1024, 1024)
    assert sum(v.numel() for v in generator.state_dict().values()) == sum(v.numel() for v in state.values())
    with pytest.raises(SemanifoldError, match="two layers a resolution"):
        from_published({key: value for key, value in state.items() if not key.startswith("features.17.")})


def test_the_textbook_network() -> None:
    """Every equation spelled out in double precision: normalise, double, convolve, scale, add, rectify."""
    generator = SMALL["proggan"]().double()
    draw = torch.Generator().manual_seed(0)
    state = {k: v + 0.1 * torch.randn(v.shape, generator=draw, dtype=v.dtype) for k, v in generator.state_dict().items()}
    generator.load_state_dict(state)
    codes = generator.sample([1, 2])
    x = codes.values[:, :, None, None]
    for i in range(8):
        x = x / (x.pow(2).mean(1, keepdim=True) + 1e-8).sqrt()
        x = x.repeat_interleave(2, 2).repeat_interleave(2, 3) if i in (2, 4, 6) else x
        x = F.conv2d(x, state[f"layers.{i}.weight"], padding=3 if i == 0 else 1) * state[f"layers.{i}.scale"]
        x = x + state[f"layers.{i}.bias"][None, :, None, None]
        x = torch.where(x > 0, x, 0.2 * x)
    x = F.conv2d(unit_pixels(x), state["colours.weight"]) * state["colours.scale"] + state["colours.bias"][None, :, None, None]
    torch.testing.assert_close(generator.images(codes), x)


def test_the_length_of_a_code_does_not_matter() -> None:
    generator = SMALL["proggan"]().double()
    codes = generator.sample([0])
    torch.testing.assert_close(generator.images(codes.with_values(5 * codes.values)), generator.images(codes))
    radial = torch.func.jvp(lambda z: generator.images(codes.with_values(z)), (codes.values,), (codes.values,))[1]
    assert radial.abs().max() < 1e-6
