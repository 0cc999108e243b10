"""The weight files of other StyleGAN2 codes, translated into ours: ``state -> (config, our state)``, read from shapes alone."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.generators.architecture import LARGEST
from semanifold.generators.states import Say, Source, silent
from semanifold.generators.stylegan2.network import StyleGAN2Config, average_w

KIND = "StyleGAN2"

Translated = tuple[StyleGAN2Config, dict[str, Tensor]]
AVERAGED_CODES = 10_000
"""Codes whose mean stands for a mean w that a file lacks; fewer if a layer is so wide that they would fill the memory."""
NOISE_SEED = 0
"""Seed of noise maps that a file lacks."""

_SCOPES = re.compile(r"^(?:(?:Gs?|G_main|G_mapping|G_synthesis|mapping|synthesis)/)+")
_FILTER = torch.tensor([0.125, 0.375, 0.375, 0.125])
_MARKS = {
    "rosinality": ("conv1.conv.weight", "convs.0.conv.modulation.weight", "input.input"),
    "ada": ("synthesis.b4.const", "mapping.fc0.weight"),
    "genforce": ("synthesis.early_layer.const", "mapping.dense0.weight", "truncation.w_avg"),
    "tensorflow": ("4x4/Const/const", "Dense0/weight"),
    "semanifold": ("const", "convs.0.affine.weight", "w_avg"),
}
MARK = r"input\.input|synthesis\.b4\.const|synthesis\.early_layer\.const|(?:\w+/)*4x4/Const/const(?::0)?|convs\.0\.affine\.weight"
"""A key of each layout; what lies before it in a file lies before all keys."""


def recognise(state: Mapping[str, object]) -> str | None:
    """Name the layout of a state dict by its keys, such as ``"rosinality"`` or ``"ada"``; None if it is of another network."""
    keys = {_plain(key) for key in state}
    return next((name for name, marks in _MARKS.items() if keys.issuperset(marks)), None)


def _plain(key: str) -> str:
    """Strip the scopes and the output number that TensorFlow puts around a name."""
    return _SCOPES.sub("", key).removesuffix(":0")


def _check_filters(take: Source, suffix: str) -> None:
    """Check that every stored low-pass filter is (1, 3, 3, 1), up to its gain."""
    for key in [k for k in take.tensors if k.endswith(suffix)]:
        value = take(key, *((1, 1) if take.axes(key) == 4 else ()), 4, 4)
        if not value.is_meta and not torch.allclose(value / value.sum(), torch.outer(_FILTER, _FILTER).to(value), atol=1e-5):
            raise SemanifoldError(
                f"{key} is not the filter (1, 3, 3, 1) of StyleGAN2; models with another filter are not supported."
            )


def from_rosinality(state: Mapping[str, Tensor], latent_avg: Tensor | None = None, *, say: Say = silent) -> Translated:
    """Translate ``g_ema`` of rosinality/stylegan2-pytorch.

    Args:
        state: the state dict.
        latent_avg: ``latent_avg`` of the same file, ``[w]``, or ``[layers, w]`` as pSp and e4e keep it; without it the mean w is
            estimated from the mapping network.
        say: gets what was drawn, estimated or left out.

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
    out["const"] = take("input.input", 1, None, None, None)[0]
    for i, theirs in enumerate(["conv1", *[f"convs.{j}" for j in range(2 * blocks)]]):
        out |= _modulated(
            take, f"convs.{i}", f"{theirs}.conv", "modulation.", take(f"{theirs}.conv.weight", 1, None, None, 3, 3)[0]
        )
        out[f"convs.{i}.bias"] = take(f"{theirs}.activate.bias", None)
        out[f"convs.{i}.noise_strength"] = take(f"{theirs}.noise.weight", 1)[0]
    out |= _noise_maps(take, [f"noises.noise_{i}" for i in range(2 * blocks + 1)], out["const"])
    for i, theirs in enumerate(["to_rgb1", *[f"to_rgbs.{j}" for j in range(blocks)]]):
        out |= _modulated(
            take, f"colours.{i}", f"{theirs}.conv", "modulation.", take(f"{theirs}.conv.weight", 1, None, None, 1, 1)[0]
        )
        out[f"colours.{i}.bias"] = take(f"{theirs}.bias", 1, None, 1, 1)[0, :, 0, 0]
    _check_filters(take, ".kernel")
    if latent_avg is not None:
        out["w_avg"] = _mean_w(latent_avg, say)
    return _finished(out, take, say)


def _mean_w(latent_avg: Tensor, say: Say) -> Tensor:
    """Return the one mean w ``[w]`` of a ``latent_avg`` that may have a row per layer."""
    width = latent_avg.shape[-1] if latent_avg.ndim else 1
    if not latent_avg.numel():
        raise SemanifoldError("latent_avg holds no numbers; take it out of the file, and the mean w is estimated.")
    rows = Source({"latent_avg": latent_avg.reshape(-1, width)}, "rosinality", KIND)("latent_avg", None, None)
    if torch.equal(rows, rows[:1].expand_as(rows)):
        return rows[0]
    say(f"its latent_avg has {len(rows)} rows that differ; their mean serves as the mean w")
    return rows.mean(0)


def from_ada(
    state: Mapping[str, Tensor], *, clamp: float | None = None, z_dim: int | None = None, say: Say = silent
) -> Translated:
    """Translate ``G_ema`` of NVlabs/stylegan2-ada-pytorch, or of the StyleGAN2 in NVlabs/stylegan3.

    Args:
        state: the state dict.
        clamp: ``conv_clamp`` of the constructor arguments beside it; the weights do not tell (256 in most published models,
            which is out of reach of a healthy picture).
        z_dim: width of z, if the constructor arguments tell.
        say: gets what was drawn, estimated or left out.

    Raises:
        SemanifoldError: naming the tensor that is missing, left over, wrong or NaN.
    """
    take = Source(state, "stylegan2-ada", KIND)
    out: dict[str, Tensor] = {"const": take("synthesis.b4.const", None, None, None)}
    if take.has("mapping.w_avg"):
        out["w_avg"] = take("mapping.w_avg", None)
    if take.has("mapping.embed.weight"):
        out |= _linear("mapping.embed", take("mapping.embed.weight", None, None), take("mapping.embed.bias", None))
    for i in range(take.count("mapping.fc{}.weight")):
        out |= _linear(f"mapping.layers.{i}", take(f"mapping.fc{i}.weight", None, None), take(f"mapping.fc{i}.bias", None))
    noisy = any(key.endswith((".noise_strength", ".noise_const")) for key in state)
    size, maps, colours, bypasses = 4, [], 0, 0
    while take.has(f"synthesis.b{size}.conv1.weight"):
        block = f"synthesis.b{size}"
        for name in ("conv1",) if size == 4 else ("conv0", "conv1"):
            theirs, ours = f"{block}.{name}", f"convs.{len(maps)}"
            out |= _modulated(take, ours, theirs, "affine.", take(f"{theirs}.weight", None, None, 3, 3))
            out[f"{ours}.bias"] = take(f"{theirs}.bias", None)
            out[f"{ours}.noise_strength"] = take(f"{theirs}.noise_strength") if noisy else torch.zeros(())
            maps.append(f"{theirs}.noise_const")
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
    out |= _noise_maps(take, maps, out["const"])
    return _finished(out, take, say, clamp=clamp, z_dim=z_dim)


def from_genforce(state: Mapping[str, Tensor], *, say: Say = silent) -> Translated:
    """Translate ``generator_smooth`` of genforce/genforce, whose kernels are mirrored and whose styles lack 1, as TensorFlow's.

    Args:
        state: the state dict.
        say: gets what was drawn, estimated or left out.

    Raises:
        SemanifoldError: naming the tensor that is missing, left over, wrong or NaN.
    """
    take = Source(state, "genforce", KIND)
    out = {"w_avg": take("truncation.w_avg", None), "const": take("synthesis.early_layer.const", 1, None, None, None)[0]}
    joint = take.has("mapping.label_weight")
    if joint:
        out |= _bare_embedding(take("mapping.label_weight", None, None))
    for i in range(take.count("mapping.dense{}.weight")):
        out |= _linear(f"mapping.layers.{i}", take(f"mapping.dense{i}.weight", None, None), take(f"mapping.dense{i}.bias", None))
    count, colours = take.count("synthesis.layer{}.weight"), 0
    for i in range(count):
        kernel = take(f"synthesis.layer{i}.weight", None, None, 3, 3)
        out |= _offset(take, f"convs.{i}", f"synthesis.layer{i}", kernel.flip(2, 3) if i % 2 else kernel)
        out[f"convs.{i}.noise_strength"] = take(f"synthesis.layer{i}.noise_strength")
    for i in range((count + 1) // 2):
        if take.has(f"synthesis.output{i}.weight"):
            kernel = take(f"synthesis.output{i}.weight", None, None, 1, 1)
            out |= _offset(take, f"colours.{colours}", f"synthesis.output{i}", kernel)
            colours += 1
    _check_filters(take, ".kernel")
    out |= _noise_maps(take, [f"synthesis.layer{i}.noise" for i in range(count)], out["const"])
    return _finished(out, take, say, joint_norm=joint)


def from_tensorflow(variables: Mapping[str, Any], *, say: Say = silent) -> Translated:
    """Translate the variables of a TensorFlow generator: NVlabs/stylegan2 of 2019 or NVlabs/stylegan2-ada.

    Args:
        variables: arrays by name, such as ``"4x4/Conv/weight"``, with or without the scopes ``G_synthesis/``, ``mapping/`` and
            the like. Kernels come as height x width x in x out; those of the doubling convolutions are stored mirrored.
        say: gets what was drawn, estimated or left out.

    Raises:
        SemanifoldError: naming the variable that is missing, left over, wrong or NaN.
    """
    take = Source({_plain(key): value for key, value in variables.items() if _plain(key) != "lod"}, "TensorFlow", KIND)
    out: dict[str, Tensor] = {"const": take("4x4/Const/const", 1, None, None, None)[0]}
    if take.has("dlatent_avg"):
        out["w_avg"] = take("dlatent_avg", None)
    joint = take.has("LabelConcat/weight")
    if joint:
        out |= _bare_embedding(take("LabelConcat/weight", None, None))
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
            index += 1
        if take.has(f"{block}/ToRGB/weight"):
            kernel = take(f"{block}/ToRGB/weight", 1, 1, None, None).permute(3, 2, 0, 1)
            out |= _modulated_tf(take, f"colours.{colours}", f"{block}/ToRGB", kernel)
            colours += 1
        if take.has(f"{block}/Skip/weight"):
            out[f"bypasses.{bypasses}.weight"] = take(f"{block}/Skip/weight", 1, 1, None, None).permute(3, 2, 0, 1)
            bypasses += 1
        size *= 2
    out |= _noise_maps(take, [f"noise{i}" for i in range(index)], out["const"])
    return _finished({key: value.contiguous() for key, value in out.items()}, take, say, joint_norm=joint)


def _bare_embedding(weight: Tensor) -> dict[str, Tensor]:
    """Labels times a bare matrix ``[classes, z]``; ours divides by ``sqrt(classes)``."""
    return _linear("mapping.embed", weight.T * math.sqrt(weight.shape[0]), torch.zeros_like(weight[0]))


def _modulated_tf(take: Source, ours: str, theirs: str, kernel: Tensor) -> dict[str, Tensor]:
    # TensorFlow keeps the style's offset of 1 out of the bias
    affine = _linear(
        f"{ours}.affine",
        take(f"{theirs}/mod_weight", None, kernel.shape[1]).T,
        take(f"{theirs}/mod_bias", kernel.shape[1]) + 1,
    )
    return {f"{ours}.weight": kernel, f"{ours}.bias": take(f"{theirs}/bias", kernel.shape[0])} | affine


def _offset(take: Source, ours: str, theirs: str, kernel: Tensor) -> dict[str, Tensor]:
    out = _modulated(take, ours, theirs, "style.", kernel) | {f"{ours}.bias": take(f"{theirs}.bias", kernel.shape[0])}
    return out | {f"{ours}.affine.bias": out[f"{ours}.affine.bias"] + 1}


def _linear(ours: str, weight: Tensor, bias: Tensor) -> dict[str, Tensor]:
    return {f"{ours}.weight": weight, f"{ours}.bias": bias}


def _modulated(take: Source, ours: str, theirs: str, affine: str, weight: Tensor) -> dict[str, Tensor]:
    weights = take(f"{theirs}.{affine}weight", weight.shape[1], None)
    return {f"{ours}.weight": weight} | _linear(f"{ours}.affine", weights, take(f"{theirs}.{affine}bias", weight.shape[1]))


def _noise_maps(take: Source, names: Sequence[str], const: Tensor) -> dict[str, Tensor]:
    """Take the noise map of each convolution, in the proportions of the constant; none if the file has none."""
    if not any(map(take.has, names)):
        return {}
    out: dict[str, Tensor] = {}
    for i, name in enumerate(names):
        size = _noise_size(const, i)
        lead = (1, 1) if take.axes(name) == 4 else ()
        out[f"convs.{i}.noise"] = take(name, *lead, *size).reshape(size)
    return out


def _noise_size(const: Tensor, index: int) -> tuple[int, int]:
    """Return height and width of the noise map of a convolution."""
    height, width = const.shape[-2:]
    return height << (index + 1) // 2, width << (index + 1) // 2


def _finished(
    state: dict[str, Tensor],
    take: Source,
    say: Say,
    *,
    clamp: float | None = None,
    joint_norm: bool = False,
    z_dim: int | None = None,
) -> Translated:
    """Read the configuration off the shapes of a state in our layout, check the shapes against it, and add what can be drawn."""
    take.finish(say)
    depth = sum(re.fullmatch(r"mapping\.layers\.\d+\.weight", key) is not None for key in state)
    blocks = (sum(re.fullmatch(r"convs\.\d+\.weight", key) is not None for key in state) + 1) // 2
    if not depth or blocks < 2:
        raise SemanifoldError(f"The weights hold {depth} mapping layers and {blocks} resolutions, too few for a StyleGAN2.")
    sides = state["const"].shape[-2:]
    if max(sides) << (blocks - 1) > LARGEST:
        raise SemanifoldError(f"The weights hold {blocks} resolutions, but pictures have {LARGEST} pixels at most.")
    coloured = sum(re.fullmatch(r"colours\.\d+\.weight", key) is not None for key in state)
    if not coloured:
        raise SemanifoldError("The weights hold no layer that makes colours, but a StyleGAN2 has one at least.")
    first, last = state["mapping.layers.0.weight"], state[f"mapping.layers.{depth - 1}.weight"]
    embed = state.get("mapping.embed.weight")
    # z and w are of one width nearly everywhere, and so is the embedding: twice as much is z with the embedding beside it
    width = z_dim or (last.shape[0] if first.shape[1] == 2 * last.shape[0] else first.shape[1])
    if embed is None and first.shape[1] != width:
        raise SemanifoldError(
            f"The mapping network takes {first.shape[1]} numbers where {width} are expected: it is of a "
            "class-conditional generator, and the embedding of its classes is missing from the file; take the original file."
        )
    if embed is not None and first.shape[1] <= embed.shape[0]:
        raise SemanifoldError(f"The embedding of the classes has {embed.shape[0]} numbers, which leaves none for z.")
    config = StyleGAN2Config(
        size=sides[0] << (blocks - 1),
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
        const=(sides[0], sides[1]),
    )
    return config, state | _drawn_noise(state, 2 * blocks - 1, say) | _estimated_mean(config, state, say)


def _drawn_noise(state: Mapping[str, Tensor], count: int, say: Say) -> dict[str, Tensor]:
    """Draw the noise maps of a file that has none; they are zero where the generator does not use them."""
    if "convs.0.noise" in state:
        return {}
    used = any(state[f"convs.{i}.noise_strength"].is_meta or state[f"convs.{i}.noise_strength"] != 0 for i in range(count))
    if used:
        say(f"it has no noise maps; they are drawn from the seed {NOISE_SEED}")
    draw, like = torch.Generator().manual_seed(NOISE_SEED), state["const"]
    sizes = [_noise_size(like, i) for i in range(count)]
    maps = [torch.randn(size, generator=draw) if used else torch.zeros(size) for size in sizes]
    return {f"convs.{i}.noise": noise.to(like) for i, noise in enumerate(maps)}


def _estimated_mean(config: StyleGAN2Config, state: Mapping[str, Tensor], say: Say) -> dict[str, Tensor]:
    """Estimate the mean w of a file that has none."""
    if "w_avg" in state:
        return {}
    mapping = {key.removeprefix("mapping."): value for key, value in state.items() if key.startswith("mapping.")}
    widest = max(max(value.shape) for value in mapping.values())
    n = max(1, min(AVERAGED_CODES, (1 << 25) // widest))
    say(f"it has no mean w; the mean of {n:,} random codes is taken")
    return {"w_avg": average_w(config, mapping, n=n)}
