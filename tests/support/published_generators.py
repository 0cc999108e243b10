"""SN-GAN, BigGAN and Progressive GAN for tests: the published files with their numbers, small random ones, and the way back."""

from __future__ import annotations

import torch
from support.reference import REFERENCE, full_size
from torch import Tensor

from semanifold.core.latents import Latents
from semanifold.generators.base import Generator
from semanifold.generators.biggan.network import BigGAN, BigGANConfig
from semanifold.generators.proggan import ProgGAN, ProgGANConfig
from semanifold.generators.sngan import SNGAN, SNGANConfig

FILES = {
    "sngan_mnist": REFERENCE / "sngan_mnist" / "generator.pt",
    "sngan_anime": REFERENCE / "sngan_anime" / "generator.pt",
    "proggan": REFERENCE / "proggan" / "generator.pth",
    "biggan": REFERENCE / "biggan" / "G_ema.pth",
}
SMALL = {
    "sngan": lambda: SNGAN(SNGANConfig(5, (4, 4, 3, 3), 2), seed=1),
    "proggan": lambda: ProgGAN(ProgGANConfig(5, (4, 4, 3, 3), 2), seed=1),
    "biggan": lambda: BigGAN(BigGANConfig(8, 5, 3, (9, 8, 8, 4), attention=(8, 16)), seed=1),
}


def shapes(model: str) -> dict[str, Tensor]:
    """The state of a real model on no device."""
    return {key: torch.empty(shape, device="meta") for key, shape in full_size(model).items()}


def gradient(generator: Generator, latents: Latents) -> Tensor:
    """Of the mean square of the pictures."""
    z = latents.values.clone().requires_grad_()
    return torch.autograd.grad(generator.images(latents.with_values(z)).square().mean(), z)[0]


def labels_for(generator: Generator, n: int) -> Tensor | None:
    return torch.arange(n) % generator.classes if generator.classes else None


def as_published(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A BigGAN's state as BigGAN-PyTorch writes it."""
    out: dict[str, Tensor] = {}
    names = {"conv1": "conv1", "conv2": "conv2", "bypass": "conv_sc", "norm1": "bn1", "norm2": "bn2"}
    inner = {"query": "theta", "key": "phi", "value": "g", "out": "o"}
    ends = {"u": "u0", "mean": "stored_mean", "variance": "stored_var"}
    for key, value in state.items():
        if key == "embedding":
            out["shared.weight"] = value
            continue
        first, *middle, last = key.split(".")
        last = ends.get(last, last)
        if first == "blocks":
            parts = ["bias" if part == "shift" else names.get(part, part) for part in middle[1:]]
            theirs = ".".join(["blocks", middle[0], "0", *parts, last])
        elif first == "attentions":
            block = int(middle[0]).bit_length() - 4
            theirs = ".".join(["blocks", str(block), "1", *[inner[part] for part in middle[1:]], last])
        else:
            theirs = {"start": "linear", "norm": "output_layer.0", "colours": "output_layer.2"}[first] + f".{last}"
        out[theirs] = value[None] if last == "u0" else value
        if last == "u0":
            out[theirs.removesuffix("u0") + "sv0"] = torch.ones(1)
    return out
