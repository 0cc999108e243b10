"""StyleGAN2 against the pictures and gradients of the published code."""

import pytest
import torch
from support.checkpoint_files import CONDITIONAL, UNCLAMPED, VARIANTS, ada_state, as_tensorflow, clamp_of
from support.reference import GRADIENTS, REFERENCE, agree, numbers, settings
from torch import Tensor

from semanifold.core.latents import Latents
from semanifold.generators.stylegan2.layouts import from_ada, from_rosinality, from_tensorflow
from semanifold.generators.stylegan2.network import StyleGAN2


def gradient(generator: StyleGAN2, latents: Latents, of: Tensor, **options: object) -> Tensor:
    return torch.autograd.grad(generator.images(latents, **options).square().mean(), of)[0]


def test_rosinality() -> None:
    expected, config = numbers("stylegan2_rosinality"), settings("stylegan2_rosinality")
    file = torch.load(REFERENCE / "stylegan2_rosinality" / "generator.pt", weights_only=True)
    generator = StyleGAN2.from_state(*from_rosinality(file["g_ema"], file["latent_avg"]))
    assert generator.config.size == config["size"]
    assert generator.config.channels == tuple(config["channels"].values())
    assert generator.config.mapping_layers == config["n_mlp"]
    assert generator.shapes["w+"] == (config["n_latent"], config["style_dim"])
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
    generator = StyleGAN2.from_state(*from_ada(ada_state(variant), clamp=clamp_of(variant)))
    return generator, numbers("stylegan2_ada", variant), settings("stylegan2_ada")


@pytest.mark.parametrize("variant", VARIANTS)
def test_ada(variant: str) -> None:
    generator, expected, config = ada(variant)
    kwargs = VARIANTS[variant]["init_kwargs"]
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


@pytest.mark.parametrize("variant", CONDITIONAL)
def test_gradient_of_the_labels(variant: str) -> None:
    generator, expected, _ = ada(variant)
    labels = expected["c"].requires_grad_()
    agree(gradient(generator, Latents(expected["z"], "z", labels), labels), expected["grad_c"], GRADIENTS)


@pytest.mark.parametrize("variant", UNCLAMPED)
def test_tensorflow(variant: str) -> None:
    _, expected, _ = ada(variant)
    generator = StyleGAN2.from_state(*from_tensorflow(as_tensorflow(ada_state(variant))))
    agree(generator.images(Latents(expected["z"], "z", expected.get("c"))), expected["img_const"])
