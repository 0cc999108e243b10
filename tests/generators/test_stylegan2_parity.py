"""StyleGAN2 against the pictures and gradients of the published code."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from semanifold.generators.stylegan2 import StyleGAN2
from semanifold.generators.stylegan2_layouts import from_ada, from_rosinality, from_tensorflow
from semanifold.latents import Latents

REFERENCE = Path(__file__).resolve().parents[2] / ".." / "shared" / "reference"
pytestmark = pytest.mark.skipif(not REFERENCE.is_dir(), reason="the reference numbers are not beside the checkout")

PICTURES, GRADIENTS = 1e-5, 5e-5
VARIANTS = ["uncond_skip", "cond_skip", "uncond_resnet", "uncond_orig", "uncond_clamp"]


def agree(ours: Tensor, theirs: Tensor, tolerance: float = PICTURES) -> None:
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


def gradient(generator: StyleGAN2, latents: Latents, of: Tensor, **options: object) -> Tensor:
    return torch.autograd.grad(generator.images(latents, **options).square().mean(), of)[0]


def test_rosinality() -> None:
    expected = load_file(REFERENCE / "stylegan2_rosinality.safetensors")
    config = json.loads((REFERENCE / "stylegan2_rosinality.json").read_text())["config"]
    file = torch.load(REFERENCE / "stylegan2_rosinality" / "generator.pt", weights_only=True)
    generator = StyleGAN2.from_state(*from_rosinality(file["g_ema"], file["latent_avg"]))
    assert generator.config.size == config["size"]
    assert generator.config.channels == tuple(config["channels"].values())
    assert generator.config.mapping_layers == config["n_mlp"]
    assert generator.spaces["w+"] == (config["n_latent"], config["style_dim"])
    noise = [expected[f"noise.{i}"] for i in range(config["num_layers"])]
    z, w, psi = Latents(expected["z"], "z"), Latents(expected["w"], "w"), config["truncation"]
    wplus = Latents(expected["wplus"].requires_grad_(), "w+")
    agree(generator.convert(z, "w").values, expected["w"])
    agree(generator.images(wplus, noise=noise), expected["img_wplus"])
    agree(generator.images(generator.truncate(wplus, psi), noise=noise), expected["img_wplus_trunc"])
    agree(generator.images(w, noise=noise), expected["img_w"])
    agree(generator.images(z), expected["img_z_buffers"])
    agree(generator.images(generator.truncate(z, psi)), expected["img_z_trunc_buffers"])
    mixed = generator.mix(z[0], z[1], (config["inject_index"], config["n_latent"]))
    agree(mixed.values, expected["latent_mix"])
    agree(generator.images(mixed), expected["img_mix"])
    agree(gradient(generator, wplus, wplus.values, noise=noise), expected["grad_wplus"], GRADIENTS)
    w.values.requires_grad_()
    agree(gradient(generator, w, w.values, noise=noise), expected["grad_w"], GRADIENTS)


def ada(variant: str) -> tuple[StyleGAN2, dict[str, Tensor], dict]:
    config = json.loads((REFERENCE / "stylegan2_ada.json").read_text())["config"]
    clamp = config["variants"][variant]["init_kwargs"]["synthesis_kwargs"].get("conv_clamp")
    state = load_file(REFERENCE / "stylegan2_ada" / f"{variant}.state.safetensors")
    expected = load_file(REFERENCE / "stylegan2_ada.safetensors")
    mine = {key.split("/")[1]: value for key, value in expected.items() if key.startswith(f"{variant}/")}
    return StyleGAN2.from_state(*from_ada(state, clamp=clamp)), mine, config


@pytest.mark.parametrize("variant", VARIANTS)
def test_ada(variant: str) -> None:
    generator, expected, config = ada(variant)
    kwargs = config["variants"][variant]["init_kwargs"]
    assert generator.config.architecture == kwargs["synthesis_kwargs"].get("architecture", "skip")
    assert generator.config.channels == tuple(config["variants"][variant]["channels"].values())
    assert (generator.config.size, generator.classes) == (kwargs["img_resolution"], kwargs["c_dim"])
    assert generator.config.num_ws == config["variants"][variant]["num_ws"]
    z, psi = Latents(expected["z"], "z", expected.get("c")), config["truncation_psi"]
    cut = generator.truncate(z, psi, config["truncation_cutoff"])
    wsrand = Latents(expected["wsrand"].requires_grad_(), "w+")
    ours = {
        "ws": lambda: generator.convert(z, "w+").values,
        "ws_psi": lambda: generator.convert(generator.truncate(z, psi), "w+").values,
        "ws_psi_cutoff": lambda: cut.values,
        "img_const": lambda: generator.images(z),
        "img_none": lambda: generator.images(z, noise="none"),
        "img_psi_const": lambda: generator.images(generator.truncate(z, psi)),
        "img_psi_cutoff_none": lambda: generator.images(cut, noise="none"),
        "img_wsrand_const": lambda: generator.images(wsrand),
    }
    compared = expected.keys() & ours.keys()
    assert {"ws", "img_const", "img_psi_cutoff_none"} <= compared
    for quantity in compared:
        agree(ours[quantity](), expected[quantity])
    agree(gradient(generator, wsrand, wsrand.values), expected["grad_wsrand"], GRADIENTS)


def test_gradient_of_the_labels() -> None:
    generator, expected, _ = ada("cond_skip")
    labels = expected["c"].requires_grad_()
    agree(gradient(generator, Latents(expected["z"], "z", labels), labels), expected["grad_c"], GRADIENTS)


def as_tensorflow(state: dict[str, Tensor]) -> dict:
    """Write a stylegan2-ada state dict as the TensorFlow code names, turns and mirrors it."""
    names = {"conv1.": "Conv1/", "conv0.": "Conv0_up/", "torgb.": "ToRGB/", "skip.": "Skip/"}
    out = {"lod": torch.zeros(()).numpy(), "G_mapping/dlatent_avg": state["mapping.w_avg"].numpy()}
    for key, value in state.items():
        if key.endswith("resample_filter") or key == "mapping.w_avg":
            continue
        if key.startswith("mapping."):
            name = key.removeprefix("mapping.").replace("fc", "Dense").replace("embed", "LabelEmbed").replace(".", "/")
            out["G_mapping/" + name] = (value.T if value.ndim == 2 else value).contiguous().numpy()
            continue
        size, rest = key.removeprefix("synthesis.b").split(".", 1)
        if rest == "const":
            out["G_synthesis/4x4/Const/const:0"] = value[None].numpy()
        elif rest.endswith("noise_const"):
            index = 2 * (int(size).bit_length() - 1) - (4 if rest.startswith("conv1") else 5)
            out[f"G_synthesis/noise{index}:0"] = value[None, None].numpy()
        else:
            for theirs, tf in names.items():
                rest = rest.replace(theirs, "Conv/" if size == "4" and tf == "Conv1/" else tf)
            if rest.endswith("affine.weight"):
                written = value.T
            elif rest.endswith("affine.bias"):
                written = value - 1
            elif rest.endswith("weight"):
                written = (value.flip(2, 3) if "Conv0_up" in rest else value).permute(2, 3, 1, 0)
            else:
                written = value
            rest = rest.replace("affine.", "mod_")
            out[f"G_synthesis/{size}x{size}/{rest}:0"] = written.contiguous().numpy()
    return out


@pytest.mark.parametrize("variant", ["uncond_skip", "cond_skip", "uncond_resnet", "uncond_orig"])
def test_tensorflow(variant: str) -> None:
    _, expected, _ = ada(variant)
    state = load_file(REFERENCE / "stylegan2_ada" / f"{variant}.state.safetensors")
    generator = StyleGAN2.from_state(*from_tensorflow(as_tensorflow(state)))
    agree(generator.images(Latents(expected["z"], "z", expected.get("c"))), expected["img_const"])
