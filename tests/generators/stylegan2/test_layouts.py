"""Foreign StyleGAN2 weights: what their shapes tell, and what a damaged file is told."""

import dataclasses
import json

import pytest
import torch
from support.reference import REFERENCE, full_size
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.generators.architectures import read_config
from semanifold.generators.stylegan2.layouts import (
    from_ada,
    from_rosinality,
    from_tensorflow,
    recognise,
)
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config, average_w

FILTER = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64


def real_table(model: str, *, device: str | None = None) -> dict[str, Tensor]:
    """A state of a real model's shapes: on no device, or one zero seen many times; the filters are real."""
    table = full_size(model)
    if device:
        return {key: torch.empty(shape, device=device) for key, shape in table.items()}
    state = {key: torch.zeros(()).expand(shape) for key, shape in table.items()}
    return {key: FILTER if key.endswith(("kernel", "resample_filter")) else value for key, value in state.items()}


FULL = (512, 512, 512, 512, 512, 256, 128, 64, 32)


@pytest.mark.parametrize(
    ("model", "layout", "translate", "expected"),
    [
        ("stylegan2_rosinality_1024_config_f", "rosinality", from_rosinality, StyleGAN2Config(1024, 512, 512, FULL)),
        ("stylegan2_ada_1024", "ada", from_ada, StyleGAN2Config(1024, 512, 512, FULL)),
        ("stylegan2_ada_cond_32", "ada", from_ada, StyleGAN2Config(32, 512, 512, FULL[:4], mapping_layers=2, classes=10)),
    ],
)
def test_real_models_are_understood(model, layout, translate, expected) -> None:
    state = real_table(model, device="meta")
    assert recognise(state) == layout
    config, ours = translate(state)
    assert config == expected
    generator = StyleGAN2.from_state(config, ours)
    assert generator.shapes["w+"] == (2 * len(expected.channels), 512)
    held = sum(value.numel() for value in generator.state_dict().values())
    filters = sum(value.numel() for key, value in state.items() if key.endswith(("kernel", "resample_filter")))
    assert held == sum(value.numel() for value in state.values()) - filters + (512 if layout == "rosinality" else 0)


def test_values_of_a_real_model_are_checked() -> None:
    state = real_table("stylegan2_ada_cond_32")
    assert from_ada(state, clamp=256.0)[0].clamp == 256.0
    with pytest.raises(SemanifoldError, match=r"b16.conv0.resample_filter is not the filter"):
        from_ada(state | {"synthesis.b16.conv0.resample_filter": torch.ones(4, 4)})


@pytest.mark.parametrize("model", ["stylegan3_t_1024", "proggan_celebahq_1024", "biggan_128", "sngan_mnist"])
def test_other_architectures_are_not_recognised(model: str) -> None:
    assert recognise(full_size(model)) is None


def rosinality_state() -> tuple[dict[str, Tensor], Tensor]:
    file = torch.load(REFERENCE / "stylegan2_rosinality" / "generator.pt", weights_only=True)
    return file["g_ema"], file["latent_avg"]


def test_damage_is_named() -> None:
    state, mean = rosinality_state()
    key = next(key for key in state if key.endswith("conv.weight"))
    damaged = [
        ({k: v for k, v in state.items() if k != key}, f"lacks the tensor {key}"),
        (state | {key: state[key] * torch.nan}, f"{key} holds NaN"),
        (state | {key: state[key][0]}, f"{key} has shape"),
        (state | {"discriminator.weight": mean}, "belong to no StyleGAN2: discriminator.weight"),
        (state | {"style.2.weight": state["style.2.weight"][:, :3]}, "mapping.layers.1.weight"),
    ]
    for broken, message in damaged:
        with pytest.raises(SemanifoldError, match=message):
            StyleGAN2.from_state(*from_rosinality(broken, mean))
    with pytest.raises(SemanifoldError, match="latent_avg holds NaN"):
        from_rosinality(state, mean * torch.inf)
    for translate in (from_ada, from_tensorflow):
        with pytest.raises(SemanifoldError, match="lacks the tensor"):
            translate(state)


def test_a_missing_mean_is_estimated() -> None:
    state, _ = rosinality_state()
    config, ours = from_rosinality(state)
    generator = StyleGAN2.from_state(config, ours)
    w = generator.sample(range(2000), "w").values
    error = (ours["w_avg"] - w.mean(0)).norm() / w.std(0).norm()
    assert error < 3 * (1 / 2000 + 1 / 10_000) ** 0.5
    torch.testing.assert_close(average_w(config, generator.mapping.state_dict(), n=10_000), ours["w_avg"])


def test_our_own_layout_comes_back() -> None:
    config = StyleGAN2Config(16, 8, 6, (6, 5, 4), mapping_layers=3, mapping_width=7, classes=3, architecture="resnet", clamp=9.0)
    generator = StyleGAN2(config, seed=3)
    state = generator.state_dict()
    assert recognise(state) == "semanifold"
    written = json.loads(json.dumps(dataclasses.asdict(config)))
    assert read_config(StyleGAN2Config, written) == config
    again = StyleGAN2.from_state(read_config(StyleGAN2Config, written), state)
    assert again.fingerprint == generator.fingerprint
    z = generator.sample([1, 2], labels=1)
    assert torch.equal(again.images(z), generator.images(z))
    for wrong in ([], None, {"size": 16}, {"size": 16, "colour": 3}):
        with pytest.raises(SemanifoldError, match="configuration StyleGAN2Config"):
            read_config(StyleGAN2Config, wrong)


def test_labels_of_the_first_tensorflow_code() -> None:
    """Labels times a bare matrix beside z, both normalised together: y = c M, x = [z, y] / rms([z, y])."""
    made = StyleGAN2(StyleGAN2Config(8, 6, 5, (4, 4), mapping_layers=1, classes=3, joint_norm=True), seed=1)
    z, labels = torch.randn(2, 6), torch.eye(3)[:2]
    matrix = made.mapping.get_submodule("embed").get_parameter("weight").T / 3**0.5
    x = torch.cat([z, labels @ matrix], 1)
    x = x / x.square().mean(1, keepdim=True).sqrt()
    layer = made.mapping.get_submodule("layers.0")
    expected = x @ layer.get_parameter("weight").T * 0.01 / 12**0.5
    expected = torch.where(expected > 0, expected, 0.2 * expected) * 2**0.5
    torch.testing.assert_close(made.convert(Latents(z, "z", labels), "w").values, expected)


def test_weights_are_shared_with_the_state_dict_and_lie_as_optimisers_expect() -> None:
    generator = StyleGAN2(StyleGAN2Config(16, 8, 6, (6, 5, 4)))
    loaded = StyleGAN2.from_state(generator.config, generator.state_dict())
    for made in (generator, loaded):
        state = made.state_dict()
        for name, parameter in made.named_parameters():
            assert parameter.is_contiguous(), name
            assert state[name].data_ptr() == parameter.data_ptr(), name
