"""The weight files of other StyleGAN2 codes, translated into ours: ``state -> (config, our state)``, read from shapes alone."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from semanifold.errors import SemanifoldError
from semanifold.generators.states import Source
from semanifold.generators.stylegan2 import StyleGAN2Config, average_w

KIND = "StyleGAN2"

Translated = tuple[StyleGAN2Config, dict[str, Tensor]]

_SCOPES = re.compile(r"^(?:(?:Gs?|G_main|G_mapping|G_synthesis|mapping|synthesis)/)+")
_FILTER = torch.tensor([0.125, 0.375, 0.375, 0.125])
_MARKS = {
    "rosinality": ("conv1.conv.weight", "convs.0.conv.modulation.weight", "input.input"),
    "ada": ("synthesis.b4.const", "mapping.fc0.weight"),
    "tensorflow": ("4x4/Const/const", "Dense0/weight"),
    "semanifold": ("const", "convs.0.affine.weight", "w_avg"),
}


def recognise(state: Mapping[str, object]) -> str | None:
    """Name the layout of a state dict by its keys: ``"rosinality"``, ``"ada"``, ``"tensorflow"``, ``"semanifold"`` or None."""
    keys = {_plain(key) for key in state}
    return next((name for name, marks in _MARKS.items() if keys.issuperset(marks)), None)


def _plain(key: str) -> str:
    """Strip the scopes and the output number that TensorFlow puts around a name."""
    return _SCOPES.sub("", key).removesuffix(":0")


def _check_filters(take: Source, suffix: str) -> None:
    """Check that every stored low-pass filter is (1, 3, 3, 1), up to its gain."""
    for key in [k for k in take.tensors if k.endswith(suffix)]:
        value = take(key, 4, 4)
        if not value.is_meta and not torch.allclose(value / value.sum(), torch.outer(_FILTER, _FILTER).to(value), atol=1e-5):
            raise SemanifoldError(
                f"{key} is not the filter (1, 3, 3, 1) of StyleGAN2; models with another filter are not supported."
            )


def from_rosinality(state: Mapping[str, Tensor], latent_avg: Tensor | None = None) -> Translated:
    """Translate ``g_ema`` of rosinality/stylegan2-pytorch.

    Args:
        state: the state dict.
        latent_avg: ``latent_avg`` of the same file; without it the mean w is estimated from the mapping network.

    Raises:
        SemanifoldError: naming the tensor that is missing, left over, wrong or NaN.
    """
    take = Source(state, "rosinality", KIND)
    blocks = take.count("to_rgbs.{}.bias")
    out: dict[str, Tensor] = {}
    depth = 0
    while take.has(f"style.{depth + 1}.weight"):
        out |= _linear(
            f"mapping.layers.{depth}", take(f"style.{depth + 1}.weight", None, None), take(f"style.{depth + 1}.bias", None)
        )
        depth += 1
    out["const"] = take("input.input", 1, None, 4, 4)[0]
    for i, theirs in enumerate(["conv1", *[f"convs.{j}" for j in range(2 * blocks)]]):
        out |= _modulated(
            take, f"convs.{i}", f"{theirs}.conv", "modulation.", take(f"{theirs}.conv.weight", 1, None, None, 3, 3)[0]
        )
        out[f"convs.{i}.bias"] = take(f"{theirs}.activate.bias", None)
        out[f"convs.{i}.noise_strength"] = take(f"{theirs}.noise.weight", 1)[0]
        size = 4 << (i + 1) // 2
        out[f"convs.{i}.noise"] = take(f"noises.noise_{i}", 1, 1, size, size)[0, 0]
    for i, theirs in enumerate(["to_rgb1", *[f"to_rgbs.{j}" for j in range(blocks)]]):
        out |= _modulated(
            take, f"colours.{i}", f"{theirs}.conv", "modulation.", take(f"{theirs}.conv.weight", 1, None, None, 1, 1)[0]
        )
        out[f"colours.{i}.bias"] = take(f"{theirs}.bias", 1, None, 1, 1)[0, :, 0, 0]
    _check_filters(take, ".kernel")
    take.finish()
    if latent_avg is not None:
        out["w_avg"] = Source({"latent_avg": latent_avg}, "rosinality", KIND)("latent_avg", None)
    return _finished(out)


def from_ada(state: Mapping[str, Tensor], *, clamp: float | None = None) -> Translated:
    """Translate ``G_ema`` of NVlabs/stylegan2-ada-pytorch, or of the StyleGAN2 in NVlabs/stylegan3.

    Args:
        state: the state dict.
        clamp: ``conv_clamp`` of the constructor arguments beside it; the weights do not tell (256 in most published models,
            which is out of reach of a healthy picture).

    Raises:
        SemanifoldError: naming the tensor that is missing, left over, wrong or NaN.
    """
    take = Source(state, "stylegan2-ada", KIND)
    out: dict[str, Tensor] = {"w_avg": take("mapping.w_avg", None), "const": take("synthesis.b4.const", None, 4, 4)}
    if take.has("mapping.embed.weight"):
        out |= _linear("mapping.embed", take("mapping.embed.weight", None, None), take("mapping.embed.bias", None))
    for i in range(take.count("mapping.fc{}.weight")):
        out |= _linear(f"mapping.layers.{i}", take(f"mapping.fc{i}.weight", None, None), take(f"mapping.fc{i}.bias", None))
    size, index, colours, bypasses = 4, 0, 0, 0
    while take.has(f"synthesis.b{size}.conv1.weight"):
        block = f"synthesis.b{size}"
        for name in ("conv1",) if size == 4 else ("conv0", "conv1"):
            theirs = f"{block}.{name}"
            out |= _modulated(take, f"convs.{index}", theirs, "affine.", take(f"{theirs}.weight", None, None, 3, 3))
            out[f"convs.{index}.bias"] = take(f"{theirs}.bias", None)
            out[f"convs.{index}.noise_strength"] = take(f"{theirs}.noise_strength")
            out[f"convs.{index}.noise"] = take(f"{theirs}.noise_const", size, size)
            index += 1
        if take.has(f"{block}.torgb.weight"):
            out |= _modulated(
                take, f"colours.{colours}", f"{block}.torgb", "affine.", take(f"{block}.torgb.weight", None, None, 1, 1)
            )
            out[f"colours.{colours}.bias"] = take(f"{block}.torgb.bias", None)
            colours += 1
        if take.has(f"{block}.skip.weight"):
            out[f"bypasses.{bypasses}.weight"] = take(f"{block}.skip.weight", None, None, 1, 1)
            bypasses += 1
        size *= 2
    _check_filters(take, ".resample_filter")
    take.finish()
    return _finished(out, clamp=clamp)


def from_tensorflow(variables: Mapping[str, Any]) -> Translated:
    """Translate the variables of a TensorFlow generator: NVlabs/stylegan2 of 2019 or NVlabs/stylegan2-ada.

    Args:
        variables: arrays by name, such as ``"4x4/Conv/weight"``, with or without the scopes ``G_synthesis/``, ``mapping/`` and
            the like. Kernels come as height x width x in x out; those of the doubling convolutions are stored mirrored.

    Raises:
        SemanifoldError: naming the variable that is missing, left over, wrong or NaN.
    """
    take = Source({_plain(key): value for key, value in variables.items() if _plain(key) != "lod"}, "TensorFlow", KIND)
    out: dict[str, Tensor] = {"w_avg": take("dlatent_avg", None), "const": take("4x4/Const/const", 1, None, 4, 4)[0]}
    joint = take.has("LabelConcat/weight")
    if joint:
        # labels times a bare matrix; ours divides by sqrt(classes)
        weight = take("LabelConcat/weight", None, None)
        out |= _linear("mapping.embed", weight.T * math.sqrt(weight.shape[0]), torch.zeros_like(weight[0]))
    if take.has("LabelEmbed/weight"):
        out |= _linear("mapping.embed", take("LabelEmbed/weight", None, None).T, take("LabelEmbed/bias", None))
    for i in range(take.count("Dense{}/weight")):
        out |= _linear(f"mapping.layers.{i}", take(f"Dense{i}/weight", None, None).T, take(f"Dense{i}/bias", None))
    size, index, colours, bypasses = 4, 0, 0, 0
    while take.has(f"{size}x{size}/{'Conv' if size == 4 else 'Conv1'}/weight"):
        block = f"{size}x{size}"
        for name in ("Conv",) if size == 4 else ("Conv0_up", "Conv1"):
            kernel = take(f"{block}/{name}/weight", 3, 3, None, None).permute(3, 2, 0, 1)
            kernel = kernel.flip(2, 3) if name == "Conv0_up" else kernel
            out |= _modulated_tf(take, f"convs.{index}", f"{block}/{name}", kernel)
            out[f"convs.{index}.noise_strength"] = take(f"{block}/{name}/noise_strength")
            out[f"convs.{index}.noise"] = take(f"noise{index}", 1, 1, size, size)[0, 0]
            index += 1
        if take.has(f"{block}/ToRGB/weight"):
            kernel = take(f"{block}/ToRGB/weight", 1, 1, None, None).permute(3, 2, 0, 1)
            out |= _modulated_tf(take, f"colours.{colours}", f"{block}/ToRGB", kernel)
            colours += 1
        if take.has(f"{block}/Skip/weight"):
            out[f"bypasses.{bypasses}.weight"] = take(f"{block}/Skip/weight", 1, 1, None, None).permute(3, 2, 0, 1)
            bypasses += 1
        size *= 2
    take.finish()
    return _finished({key: value.contiguous() for key, value in out.items()}, joint_norm=joint)


def _modulated_tf(take: Source, ours: str, theirs: str, kernel: Tensor) -> dict[str, Tensor]:
    # TensorFlow keeps the style's offset of 1 out of the bias
    affine = _linear(
        f"{ours}.affine",
        take(f"{theirs}/mod_weight", None, kernel.shape[1]).T,
        take(f"{theirs}/mod_bias", kernel.shape[1]) + 1,
    )
    return {f"{ours}.weight": kernel, f"{ours}.bias": take(f"{theirs}/bias", kernel.shape[0])} | affine


def _linear(ours: str, weight: Tensor, bias: Tensor) -> dict[str, Tensor]:
    return {f"{ours}.weight": weight, f"{ours}.bias": bias}


def _modulated(take: Source, ours: str, theirs: str, affine: str, weight: Tensor) -> dict[str, Tensor]:
    weights = take(f"{theirs}.{affine}weight", weight.shape[1], None)
    return {f"{ours}.weight": weight} | _linear(f"{ours}.affine", weights, take(f"{theirs}.{affine}bias", weight.shape[1]))


def _finished(state: dict[str, Tensor], *, clamp: float | None = None, joint_norm: bool = False) -> Translated:
    """Read the configuration off the shapes of a state in our layout, and check the shapes against it."""
    depth = sum(re.fullmatch(r"mapping\.layers\.\d+\.weight", key) is not None for key in state)
    blocks = (sum(re.fullmatch(r"convs\.\d+\.weight", key) is not None for key in state) + 1) // 2
    if not depth or blocks < 2:
        raise SemanifoldError(f"The weights hold {depth} mapping layers and {blocks} resolutions, too few for a StyleGAN2.")
    coloured = sum(re.fullmatch(r"colours\.\d+\.weight", key) is not None for key in state)
    first, last = state["mapping.layers.0.weight"], state[f"mapping.layers.{depth - 1}.weight"]
    embed = state.get("mapping.embed.weight")
    config = StyleGAN2Config(
        size=2 << blocks,
        z_dim=first.shape[1] - (0 if embed is None else embed.shape[0]),
        w_dim=last.shape[0],
        channels=tuple(state[f"convs.{2 * i}.weight"].shape[0] for i in range(blocks)),
        mapping_layers=depth,
        mapping_width=None if depth == 1 or first.shape[0] == last.shape[0] else first.shape[0],
        classes=0 if embed is None else embed.shape[1],
        joint_norm=joint_norm,
        colours=state["colours.0.weight"].shape[0],
        architecture="skip" if coloured == blocks else "resnet" if "bypasses.0.weight" in state else "orig",
        clamp=clamp,
    )
    if "w_avg" not in state:
        mapping = {key.removeprefix("mapping."): value for key, value in state.items() if key.startswith("mapping.")}
        state["w_avg"] = average_w(config, mapping)
    return config, state
