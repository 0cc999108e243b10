"""Our StyleGAN2 as other programs keep theirs: the way back of :mod:`~semanifold.generators.stylegan2.layouts`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.generators.states import Say, silent
from semanifold.generators.stylegan2.network import StyleGAN2

MAPPING_LR = 0.01
"""Learning rate multiplier of the mapping network, which the other programs have fixed."""
CLAMP = 256
"""What NVIDIA's half-precision models clamp at."""

_TAPS = torch.outer(*[torch.tensor([1.0, 3.0, 3.0, 1.0])] * 2) / 64


def as_rosinality(generator: StyleGAN2, *, say: Say = silent) -> dict[str, object]:
    """Return what ``torch.save`` writes into a ``.pt`` of rosinality/stylegan2-pytorch: ``{"g_ema": ..., "latent_avg": ...}``.

    Args:
        generator: without classes, of the architecture ``skip``.
        say: gets what that program needs to be told.

    Raises:
        SemanifoldError: for a network that this program does not have.
    """
    config, state = generator.config, _weights(generator)
    if config.classes or config.architecture != "skip":
        what = f"{config.classes} classes" if config.classes else f"the architecture {config.architecture}"
        raise SemanifoldError(
            f"{generator.name} has {what}, which rosinality's StyleGAN2 does not know; write NVIDIA's layout "
            '(layout="nvidia") or our own.'
        )
    if not config.z_dim == config.w_dim == (config.mapping_width or config.w_dim):
        raise SemanifoldError(
            f"{generator.name} has {config.z_dim} numbers in z and {config.w_dim} in w, but rosinality's StyleGAN2 has "
            "one width for both and the layers between; write NVIDIA's layout "
            '(layout="nvidia") or our own.'
        )
    if config.clamp is not None and config.clamp < CLAMP:
        raise SemanifoldError(
            f"{generator.name} clamps its features at {config.clamp:g}, which rosinality's StyleGAN2 does not do."
        )
    out = {f"style.{i + 1}.{part}": value for i, part, value in _mapping_layers(state, config.mapping_layers, config.mapping_lr)}
    out["input.input"] = state["const"][None]
    for i in range(len(generator.convs)):
        theirs, ours = f"convs.{i - 1}" if i else "conv1", f"convs.{i}"
        out |= {f"{theirs}.conv.weight": state[f"{ours}.weight"][None]}
        out |= {f"{theirs}.conv.modulation.{part}": state[f"{ours}.affine.{part}"] for part in ("weight", "bias")}
        out |= {
            f"{theirs}.noise.weight": state[f"{ours}.noise_strength"].reshape(1),
            f"{theirs}.activate.bias": state[f"{ours}.bias"],
        }
        out[f"noises.noise_{i}"] = state[f"{ours}.noise"][None, None]
        if i % 2:
            out[f"{theirs}.conv.blur.kernel"] = 4 * _TAPS
    for i in range(len(generator.colours)):
        theirs, ours = f"to_rgbs.{i - 1}" if i else "to_rgb1", f"colours.{i}"
        out |= {
            f"{theirs}.conv.weight": state[f"{ours}.weight"][None],
            f"{theirs}.bias": state[f"{ours}.bias"][None, :, None, None],
        }
        out |= {f"{theirs}.conv.modulation.{part}": state[f"{ours}.affine.{part}"] for part in ("weight", "bias")}
        if i:
            out[f"{theirs}.upsample.kernel"] = 4 * _TAPS
    arguments = f"size={_nominal(generator)}, style_dim={config.w_dim}, n_mlp={config.mapping_layers}"
    channels = ", ".join(map(str, config.channels))
    say(f"rosinality's Generator({arguments}) must have the channels {channels} at 4, 8, ... pixels{_proportions(generator)}")
    return {"g_ema": _contiguous(out), "latent_avg": state["w_avg"].clone()}


def as_nvidia(generator: StyleGAN2, *, say: Say = silent) -> dict[str, Tensor]:
    """Return the state dict of stylegan2-ada-pytorch's ``G_ema``, for ``Generator(...).load_state_dict``.

    Args:
        generator: any but one whose codes and classes are normalised together, as in the TensorFlow code of 2019.
        say: gets the arguments of the constructor, which the state dict does not hold.

    Raises:
        SemanifoldError: for a network that this program does not have.
    """
    config, state = generator.config, _weights(generator)
    if config.joint_norm:
        raise SemanifoldError(
            f"{generator.name} normalises z and the class together, as only the TensorFlow code does; write our own layout."
        )
    out = {"mapping.w_avg": state["w_avg"], "synthesis.b4.const": state["const"]}
    out |= {f"mapping.fc{i}.{part}": value for i, part, value in _mapping_layers(state, config.mapping_layers, config.mapping_lr)}
    out |= {f"mapping.embed.{part}": state[f"mapping.embed.{part}"] for part in ("weight", "bias") if config.classes}
    blocks = len(config.channels)
    for i in range(len(generator.convs)):
        theirs, ours = f"synthesis.b{4 << (i + 1) // 2}.conv{0 if i % 2 else 1}", f"convs.{i}"
        out |= {f"{theirs}.{part}": state[f"{ours}.{part}"] for part in ("weight", "bias", "noise_strength")}
        out |= {f"{theirs}.affine.{part}": state[f"{ours}.affine.{part}"] for part in ("weight", "bias")}
        out |= {f"{theirs}.noise_const": state[f"{ours}.noise"], f"{theirs}.resample_filter": _TAPS}
    for i in range(blocks):
        out[f"synthesis.b{4 << i}.resample_filter"] = _TAPS
    for i in range(len(generator.colours)):
        theirs, ours = f"synthesis.b{4 << (i + blocks - len(generator.colours))}.torgb", f"colours.{i}"
        out |= {f"{theirs}.{part}": state[f"{ours}.{part}"] for part in ("weight", "bias")}
        out |= {f"{theirs}.affine.{part}": state[f"{ours}.affine.{part}"] for part in ("weight", "bias")}
    for i in range(len(generator.bypasses)):
        theirs = f"synthesis.b{8 << i}.skip"
        out |= {f"{theirs}.weight": state[f"bypasses.{i}.weight"], f"{theirs}.resample_filter": _TAPS}
    clamp = "None" if config.clamp is None else f"{config.clamp:g}"
    arguments = [
        f"z_dim={config.z_dim}", f"c_dim={config.classes}", f"w_dim={config.w_dim}", f"img_resolution={_nominal(generator)}",
        f"img_channels={config.colours}", f"num_layers={config.mapping_layers}", f"architecture={config.architecture!r}",
        f"conv_clamp={clamp}",
    ]  # fmt: skip
    channels = ", ".join(map(str, config.channels))
    special = f"the channels {channels} at 4, 8, ... pixels{_proportions(generator)}"
    say(f"NVIDIA's Generator needs {', '.join(arguments)}, and {special}")
    return _contiguous(out)


def _nominal(generator: StyleGAN2) -> int:
    """Return the size that other programs count layers by: 4 pixels, doubled as often as the constant is."""
    return 4 << (len(generator.config.channels) - 1)


def _proportions(generator: StyleGAN2) -> str:
    """Say that a constant is not 4 x 4, which the other programs do not expect and some of their forks do."""
    height, width = generator.config.const
    return "" if (height, width) == (4, 4) else f", and the constant and noise maps of a fork that starts from {height} x {width}"


def _weights(generator: StyleGAN2) -> dict[str, Tensor]:
    return {key: value.detach().cpu() for key, value in generator.state_dict().items()}


def _mapping_layers(state: Mapping[str, Tensor], count: int, lr: float) -> Iterator[tuple[int, str, Tensor]]:
    """Return the layers of the mapping network, scaled so that :data:`MAPPING_LR` makes the same of them as ``lr`` of ours."""
    for i in range(count):
        for part in ("weight", "bias"):
            value = state[f"mapping.layers.{i}.{part}"]
            yield i, part, value if lr == MAPPING_LR else value * (lr / MAPPING_LR)


def _contiguous(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors that share no memory, as files hold them."""
    return {key: value.clone(memory_format=torch.contiguous_format) for key, value in state.items()}
