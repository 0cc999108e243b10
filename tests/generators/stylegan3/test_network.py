"""StyleGAN3 against the pictures and gradients of the published code, and what its pose does."""

from __future__ import annotations

import math

import pytest
import torch
from support.instances import codes, made
from support.reference import GRADIENTS, REFERENCE, agree, numbers, settings
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.generators.features import layer_features
from semanifold.generators.loading import load_generator
from semanifold.generators.stylegan3.config import StyleGAN3Config, plan
from semanifold.generators.stylegan3.network import StyleGAN3

both = pytest.mark.parametrize("fixture", ["stylegan3_t", "stylegan3_r"])


def pose(degrees: float, right: float, down: float) -> Tensor:
    return torch.tensor([[math.radians(degrees)], [right], [down]])


@both
def test_pictures_and_gradients_are_those_of_the_published_program(fixture: str) -> None:
    generator = load_generator(REFERENCE / fixture / "G.state.safetensors")
    expected, config = numbers(fixture), settings(fixture)
    z = Latents(expected["z"], "z", expected.get("c"))
    ws = Latents(expected["ws_rand"].requires_grad_(), "w+")
    assert generator.shapes["w+"] == (config["num_ws"], config["init_kwargs"]["w_dim"])
    assert generator.classes == config["init_kwargs"]["c_dim"]
    agree(generator.convert(z, "w+").values, expected["ws"])
    agree(generator.images(z), expected["img_z"])
    pulled = generator.truncate(z, config["truncation_psi"], config["truncation_cutoff"])
    agree(pulled.values, expected["ws_psi_cutoff"])
    agree(generator.images(pulled), expected["img_z_psi_cutoff"])
    pictures = generator.images(ws)
    agree(pictures.detach(), expected["img_ws"])
    agree(torch.autograd.grad(pictures.square().mean(), ws.values)[0], expected["grad_ws"], GRADIENTS)
    turned = config["user_transform"]
    moved = generator.with_weights({"pose": pose(turned["rotate_degrees"], *turned["translate"])})
    agree(moved.images(z), expected["img_z_transform"])


@both
def test_the_layers_have_the_sizes_of_the_published_program(fixture: str) -> None:
    config, kwargs = settings(fixture), settings(fixture)["init_kwargs"]
    layers = config["layers"]
    ours = StyleGAN3Config(
        kwargs["img_resolution"], kwargs["z_dim"], kwargs["w_dim"], tuple(layer["out_channels"] for layer in layers[:-1]),
        kernel=kwargs.get("conv_kernel", 3), radial=kwargs.get("use_radial_filters", False),
    )  # fmt: skip
    plans, size, rate = plan(ours)
    assert ([size, size], rate, ours.cutoff) == tuple(
        config["input_layer"][key] for key in ("size", "sampling_rate", "bandwidth")
    )
    assert len(plans) == len(layers)
    for made_, told in zip(plans, layers, strict=True):
        assert (made_.inputs, made_.outputs, [made_.size] * 2) == (told["in_channels"], told["out_channels"], told["out_size"])
        assert (made_.up, made_.down, made_.rate) == (told["up_factor"], told["down_factor"], told["tmp_sampling_rate"])
        assert (made_.radial, made_.colour) == (told["down_radial"], told["is_torgb"])
        assert made_.colour or made_.before == told["padding"][0]
        assert made_.rise == pytest.approx((told["in_cutoff"], told["in_half_width"]))
        assert made_.fall == pytest.approx((told["out_cutoff"], told["out_half_width"]))


def test_a_picture_is_moved_by_whole_pixels_and_by_a_quarter_turn() -> None:
    """The layers do not know where they are: only the rims, where they see less of the margin, are made in another way."""
    generator = load_generator(REFERENCE / "stylegan3_r" / "G.state.safetensors")
    latents = codes(generator, 1)
    plain = generator.images(latents)
    right = generator.with_weights({"pose": pose(0, 4 / 32, 0)}).images(latents)
    middle = slice(8, 24)
    scale = plain.abs().max()
    assert (right[..., middle, 12:28] - plain[..., middle, middle]).abs().max() < 0.02 * scale
    assert (plain[..., middle, 12:28] - plain[..., middle, middle]).abs().max() > 0.2 * scale
    turned = generator.with_weights({"pose": pose(90, 0, 0)}).images(latents)
    against_the_clock = plain.rot90(1, (2, 3))
    assert (turned - against_the_clock)[..., middle, middle].abs().max() < 0.05 * scale


def test_features_show_the_picture_without_its_margin() -> None:
    generator = made("stylegan3-t")
    config = generator.config
    features = layer_features(generator, codes(generator))
    sizes = {p.size for p in plan(config)[0]}
    assert set(features) == {side if side == config.size else side - 2 * config.margin for side in sizes}
    whole = torch.arange(24.0 * 24).reshape(1, 1, 24, 24)
    assert torch.equal(generator.in_frame(whole), whole[..., 4:20, 4:20])
    assert generator.in_frame(whole[..., :16, :16]).shape[-1] == config.size


def test_styles_have_names_and_the_input_is_layer_0() -> None:
    generator = made("stylegan3-t")
    assert [layer.kind for layer in generator.layers] == ["input", *["conv"] * 4, "colour"]
    latents = generator.convert(codes(generator), "s")
    assert generator.channel_index("1_0") == 4
    assert generator.channel_name(4 + 5) == "2_0"
    moved = latents.values.clone()
    moved[:, generator.channel_index("0_2")] += 0.1
    assert (generator.images(latents.with_values(moved)) - generator.images(latents)).abs().max() > 1e-3
    maps = generator.affine_maps("w")
    assert maps is not None
    assert [len(m) for m in maps] == [layer.channels for layer in generator.layers if layer.kind == "conv"]
    with pytest.raises(SemanifoldError, match="has no noise"):
        generator.with_noise("random")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": 24}, "16, 32"),
        ({"channels": (4, 4)}, "more than 2 layers"),
        ({"stopband": 1.0}, "stopbands lie above"),
        ({"kernel": 5}, "kernels of 1 or 3"),
        ({"margin": 257}, "kernels of 1 or 3"),
        ({"mapping_lr": 0.0}, "mapping_lr is 0"),
    ],
)
def test_what_makes_no_network_is_refused(changes: dict, words: str) -> None:
    with pytest.raises(SemanifoldError, match=words):
        StyleGAN3(StyleGAN3Config(**({"size": 16, "z_dim": 4, "w_dim": 4, "channels": (4,) * 5} | changes)))


def test_a_file_that_claims_far_more_samples_from_layer_to_layer_is_refused() -> None:
    with pytest.raises(SemanifoldError, match="too few layers"):
        plan(StyleGAN3Config(4096, 4, 4, (4, 4), critical=1))
