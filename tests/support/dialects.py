"""One small StyleGAN2 in the layouts of other programs: the same pictures from every file."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config

CONFIG = StyleGAN2Config(size=16, z_dim=6, w_dim=6, channels=(5, 4, 3), mapping_layers=2)
KERNEL = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64


def saved(path: Path, contents: object) -> Path:
    """Write a file as torch does."""
    torch.save(contents, path)
    return path


def made(**changes: object) -> StyleGAN2:
    """A random generator that uses its noise."""
    generator = StyleGAN2(CONFIG if not changes else StyleGAN2Config(**{**vars(CONFIG), **changes}), seed=5)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for key, value in generator.state_dict().items():
            if key.endswith("noise_strength"):
                value.fill_(0.3)
            elif key.endswith("bias") or key == "w_avg":
                value.add_(0.1 * torch.randn(value.shape, generator=draw))
    return generator


def pictures(generator: StyleGAN2) -> Tensor:
    """What every dialect has to give."""
    labels = torch.tensor([0, 1, 1]) if generator.classes else None
    codes = generator.sample([1, 2, 3], labels=None if labels is None else torch.eye(generator.classes)[labels])
    return torch.cat([generator.images(codes), generator.images(generator.truncate(codes, 0.5))])


def rosinality(generator: StyleGAN2) -> tuple[dict[str, Tensor], Tensor]:
    """``g_ema`` and ``latent_avg``."""
    ours = generator.state_dict()
    out = {"input.input": ours["const"][None]}
    for i in range(generator.config.mapping_layers):
        out |= {f"style.{i + 1}.{part}": ours[f"mapping.layers.{i}.{part}"] for part in ("weight", "bias")}
    for i in range(len(generator.convs)):
        theirs = "conv1" if i == 0 else f"convs.{i - 1}"
        out |= _modulated(ours, f"convs.{i}", f"{theirs}.conv")
        out |= {
            f"{theirs}.activate.bias": ours[f"convs.{i}.bias"],
            f"{theirs}.noise.weight": ours[f"convs.{i}.noise_strength"][None],
        }
        out[f"noises.noise_{i}"] = ours[f"convs.{i}.noise"][None, None]
        if i % 2:
            out[f"{theirs}.conv.blur.kernel"] = KERNEL * 4
    for i in range(len(generator.colours)):
        theirs = "to_rgb1" if i == 0 else f"to_rgbs.{i - 1}"
        out |= _modulated(ours, f"colours.{i}", f"{theirs}.conv")
        out[f"{theirs}.bias"] = ours[f"colours.{i}.bias"][None, :, None, None]
    return out, ours["w_avg"]


def _modulated(ours: dict[str, Tensor], name: str, theirs: str) -> dict[str, Tensor]:
    affine = {f"{theirs}.modulation.{part}": ours[f"{name}.affine.{part}"] for part in ("weight", "bias")}
    return affine | {f"{theirs}.weight": ours[f"{name}.weight"][None]}


def ada(generator: StyleGAN2) -> dict[str, Tensor]:
    """``G_ema`` of stylegan2-ada-pytorch."""
    ours = generator.state_dict()
    out = {"mapping.w_avg": ours["w_avg"], "synthesis.b4.const": ours["const"]}
    if generator.classes:
        out |= {f"mapping.embed.{part}": ours[f"mapping.embed.{part}"] for part in ("weight", "bias")}
    for i in range(generator.config.mapping_layers):
        out |= {f"mapping.fc{i}.{part}": ours[f"mapping.layers.{i}.{part}"] for part in ("weight", "bias")}
    for i in range(len(generator.convs)):
        theirs = f"synthesis.b{4 << (i + 1) // 2}.conv{0 if i % 2 else 1}"
        out |= {f"{theirs}.affine.{part}": ours[f"convs.{i}.affine.{part}"] for part in ("weight", "bias")}
        out |= {f"{theirs}.{part}": ours[f"convs.{i}.{part}"] for part in ("weight", "bias", "noise_strength")}
        out |= {f"{theirs}.noise_const": ours[f"convs.{i}.noise"], f"{theirs}.resample_filter": KERNEL}
    for i in range(len(generator.colours)):
        theirs = f"synthesis.b{4 << i}.torgb"
        out |= {f"{theirs}.affine.{part}": ours[f"colours.{i}.affine.{part}"] for part in ("weight", "bias")}
        out |= {f"{theirs}.{part}": ours[f"colours.{i}.{part}"] for part in ("weight", "bias")}
    return out


def genforce(generator: StyleGAN2) -> dict[str, Tensor]:
    """``generator_smooth`` of genforce: doubling kernels are mirrored, and styles get their 1 later."""
    ours = generator.state_dict()
    out = {"truncation.w_avg": ours["w_avg"], "synthesis.early_layer.const": ours["const"][None]}
    if generator.classes:
        out["mapping.label_weight"] = ours["mapping.embed.weight"].T / generator.classes**0.5
    for i in range(generator.config.mapping_layers):
        out |= {f"mapping.dense{i}.{part}": ours[f"mapping.layers.{i}.{part}"] for part in ("weight", "bias")}
    layers = [(f"convs.{i}", f"synthesis.layer{i}") for i in range(len(generator.convs))]
    layers += [(f"colours.{i}", f"synthesis.output{i}") for i in range(len(generator.colours))]
    for name, theirs in layers:
        weight = ours[f"{name}.weight"]
        up = name.startswith("convs") and int(name[6:]) % 2
        out |= {f"{theirs}.weight": weight.flip(2, 3) if up else weight, f"{theirs}.bias": ours[f"{name}.bias"]}
        out |= {f"{theirs}.style.weight": ours[f"{name}.affine.weight"], f"{theirs}.style.bias": ours[f"{name}.affine.bias"] - 1}
        if name.startswith("convs"):
            out[f"{theirs}.noise"] = ours[f"{name}.noise"][None, None]
            out[f"{theirs}.noise_strength"] = ours[f"{name}.noise_strength"]
        if up:
            out[f"{theirs}.filter.kernel"] = KERNEL[None, None] * 4
    return out | {"synthesis.upsample.kernel": KERNEL[None, None] * 4}
