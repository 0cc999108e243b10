"""StyleGAN3 as NVIDIA's program keeps it, and as a row of the table of networks."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError, shown
from semanifold.generators.architecture import Architecture, ForeignState, State, Written
from semanifold.generators.states import Say, Source
from semanifold.generators.stylegan3.config import StyleGAN3Config, plan
from semanifold.generators.stylegan3.network import StyleGAN3

KIND = "StyleGAN3"
LAYER = re.compile(r"synthesis\.(L(\d{1,3})_(\d{1,5})_(\d{1,5}))\.weight")
MARK = r"synthesis\.input\.freqs|pose\.weight"
PARTS = {"weight": "weight", "bias": "bias", "magnitude": "magnitude_ema", "rise": "up_filter", "fall": "down_filter"}
"""Our names of a layer's tensors and NVIDIA's."""
CLOSE = 1e-4
"""How near, relative to the largest tap, the filters of a file must be to those of its settings."""


def recognise(state: Mapping[str, object]) -> str | None:
    """Name the layout of a state dict by its keys; None if it is of another network."""
    if "synthesis.input.freqs" in state and "mapping.fc0.weight" in state:
        return "nvidia"
    return "semanifold" if {"input.freqs", "pose.weight", "convs.0.magnitude"} <= state.keys() else None


def from_nvidia(foreign: ForeignState) -> tuple[StyleGAN3Config, State]:
    """Translate ``G_ema`` of NVlabs/stylegan3.

    What the tensors do not tell (cutoffs, margin, clamp) is read from the settings in a pickle, or is that of the paper. The
    filters in the file are compared with those that follow from it.

    Raises:
        SemanifoldError: naming the tensor that is missing, left over, wrong or NaN, or settings that do not fit the filters.
    """
    if foreign.layout != "nvidia":
        raise SemanifoldError("It holds tensors of semanifold without their configuration; convert the original file again.")
    take = Source(foreign.state, "NVIDIA", KIND)
    if take.has("mapping.embed.weight") and not take.has("mapping.embed.bias"):  # those of ImageNet, also where no class is asked
        raise SemanifoldError("It holds a StyleGAN-XL generator, which semanifold does not load yet.")
    out = _mapping(take)
    # 1. The layers by their names, which say their places and sizes.
    layers = {int(match[2]): match for key in foreign.state if (match := LAYER.fullmatch(key))}
    if sorted(layers) != list(range(len(layers))) or len(layers) < 4:
        raise SemanifoldError(f"The weights hold the layers {sorted(layers)}, but a StyleGAN3 has L0, L1, ..., four at least.")
    for part in ("freqs", "phases", "weight", "affine.weight", "affine.bias"):
        shape = {"freqs": (None, 2), "phases": (None,), "weight": (None, None), "affine.weight": (4, None), "affine.bias": (4,)}
        out[f"input.{part}"] = take(f"synthesis.input.{part}", *shape[part])
    for i, match in layers.items():
        theirs, ours, side = f"synthesis.{match[1]}", f"convs.{i}", (None, None)
        out[f"{ours}.weight"] = take(f"{theirs}.weight", None, None, *side)
        out[f"{ours}.bias"], out[f"{ours}.magnitude"] = take(f"{theirs}.bias", None), take(f"{theirs}.magnitude_ema")
        out[f"{ours}.affine.weight"] = take(f"{theirs}.affine.weight", *side)
        out[f"{ours}.affine.bias"] = take(f"{theirs}.affine.bias", None)
        for part in ("rise", "fall") if i < len(layers) - 1 else ():
            out[f"{ours}.{part}"] = take(f"{theirs}.{PARTS[part]}", *[None] * max(1, take.axes(f"{theirs}.{PARTS[part]}")))
    out["pose.weight"] = _pose(take("synthesis.input.transform", 3, 3))
    take.finish(foreign.say)
    # 2. The configuration that follows, and whether the filters are its own.
    config = _config(out, layers, foreign.settings)
    _check_filters(config, out, layers)
    return config, out


def _mapping(take: Source) -> State:
    out = {"w_avg": take("mapping.w_avg", None)}
    names = [(f"fc{i}", f"layers.{i}") for i in range(take.count("mapping.fc{}.weight"))]
    names += [("embed", "embed")] if take.has("mapping.embed.weight") else []
    for theirs, ours in names:
        out[f"mapping.{ours}.weight"] = take(f"mapping.{theirs}.weight", None, None)
        out[f"mapping.{ours}.bias"] = take(f"mapping.{theirs}.bias", None)
    return out


def _config(state: State, layers: Mapping[int, re.Match[str]], settings: Mapping[str, object]) -> StyleGAN3Config:
    last, embed = len(layers) - 1, state.get("mapping.embed.weight")
    sizes = [int(layers[i][3]) for i in range(last + 1)]
    depth = sum(re.fullmatch(r"mapping\.layers\.\d+\.weight", key) is not None for key in state)
    width = state["w_avg"].shape[0]
    z_dim = state["mapping.layers.0.weight"].shape[1] - (0 if embed is None else embed.shape[0])
    if embed is None and z_dim == 2 * width and settings.get("mapping.z_dim") != z_dim:
        raise SemanifoldError(
            f"The mapping network takes {z_dim} numbers where {width} are expected: it is of a class-conditional generator, and "
            "the embedding of its classes is missing from the file; take the original file."
        )
    radial = [state[f"convs.{i}.fall"].ndim == 2 for i in range(last)]
    rise = state["convs.0.rise"].shape[0]
    names = {"margin": "margin_size", "scale": "output_scale", "cutoff": "input.bandwidth"}
    stored = {ours: _number(settings.get(f"synthesis.{key}"), key) for ours, key in names.items()}
    numbers: dict[str, Any] = {ours: value for ours, value in stored.items() if value is not None}
    numbers["margin"] = int(numbers.get("margin", StyleGAN3Config.margin))
    clamp = f"synthesis.{layers[0][1]}.conv_clamp"
    critical = last - 1 - max((i for i in range(last) if radial[i]), default=last - 1 - StyleGAN3Config.critical)
    return StyleGAN3Config(
        size=sizes[-1],
        z_dim=z_dim,
        w_dim=width,
        channels=(state["input.weight"].shape[1], *(state[f"convs.{i}.weight"].shape[0] for i in range(1, last))),
        mapping_layers=depth,
        classes=0 if embed is None else embed.shape[1],
        colours=state[f"convs.{last}.weight"].shape[0],
        kernel=state["convs.0.weight"].shape[-1],
        radial=any(radial),
        critical=critical,
        taps=rise // 2,
        clamp=_number(settings[clamp], "conv_clamp") if clamp in settings else StyleGAN3Config.clamp,
        mapping_lr=_number(settings.get("mapping.fc0.bias_gain"), "learning rate of the mapping network") or 0.01,
        **numbers,
    )


def _number(value: object, what: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e9:
        return float(value)
    raise SemanifoldError(f"Its {what} is {shown(str(value), 40)!r}, where a positive number is expected.")


def _check_filters(config: StyleGAN3Config, state: State, layers: Mapping[int, re.Match[str]]) -> None:
    """Refuse a file whose layers are not those of its configuration: its cutoffs are others, and nothing tells which."""
    plans, _, _ = plan(config)
    for i, made in enumerate(plans):
        name, side = layers[i][1], int(layers[i][3])
        if side != made.size:
            raise SemanifoldError(
                f"{name} makes features of {side} samples, but {made.size} follow from its settings; others are not supported."
            )
        for part, ours in made.filters(config.taps).items():
            stored = state[f"convs.{i}.{part}"]
            same = stored.shape == ours.shape and (
                stored.is_meta or float((stored.cpu().double() - ours).abs().max()) <= CLOSE * float(ours.abs().max())
            )
            if not same:
                raise SemanifoldError(
                    f"The filter {PARTS[part]} of {name} is not that of the paper's settings; other cutoffs are not supported."
                )


def _pose(transform: Tensor) -> Tensor:
    """Return angle and way ``[3, 1]`` of the matrix by which places of the picture are looked up."""
    if transform.is_meta:
        return transform.new_empty(3, 1)
    turn, back = transform[:2, :2].double(), transform.double()
    lower = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    rigid = torch.allclose(turn @ turn.T, torch.eye(2, dtype=torch.float64), atol=1e-5) and torch.linalg.det(turn) > 0
    if not (rigid and torch.allclose(back[2], lower, atol=1e-5)):
        raise SemanifoldError(
            "Its input transform stretches or mirrors pictures; only one that turns and moves them is supported."
        )
    angle, way = torch.atan2(turn[1, 0], turn[0, 0]), -turn.T @ back[:2, 2]
    return torch.stack([angle, *way])[:, None].to(transform.dtype)


def as_nvidia(generator: StyleGAN3, say: Say) -> Written:
    """Return the state dict of NVlabs/stylegan3's ``G_ema``, for ``Generator(...).load_state_dict``."""
    config, state = generator.config, {key: value.detach().cpu().contiguous() for key, value in generator.state_dict().items()}
    out: dict[str, Tensor] = {"mapping.w_avg": state.pop("w_avg")}
    angle, right, down = state.pop("pose.weight").flatten().double().tolist()
    cos, sin = math.cos(angle), math.sin(angle)
    rows = [[cos, -sin, sin * down - cos * right], [sin, cos, -sin * right - cos * down], [0.0, 0.0, 1.0]]
    out["synthesis.input.transform"] = torch.tensor(rows)
    plans = plan(config)[0]
    for key, value in state.items():
        room, *rest = key.split(".")
        if room == "convs":
            i, *part = rest
            made = plans[int(i)]
            name = f"L{i}_{made.size}_{made.outputs}"
            out[f"synthesis.{name}.{PARTS.get(part[0], part[0])}" + "".join(f".{p}" for p in part[1:])] = value
        elif room == "mapping":
            out[f"mapping.fc{'.'.join(rest[1:])}" if rest[0] == "layers" else key] = value
        else:
            out[f"synthesis.{key}"] = value
    base = [f"z_dim={config.z_dim}", f"c_dim={config.classes}", f"w_dim={config.w_dim}", f"img_resolution={config.size}",
            f"img_channels={config.colours}", f"num_layers={len(config.channels)}", f"conv_kernel={config.kernel}",
            f"use_radial_filters={config.radial}"]  # fmt: skip
    say(
        f"NVIDIA's Generator({', '.join(base)}), mapping_kwargs num_layers={config.mapping_layers}, must have the channels "
        f"{', '.join(map(str, config.channels))}"
    )
    return out, {}


STYLEGAN3 = Architecture(
    name="stylegan3",
    kind=KIND,
    title="a StyleGAN3 generator",
    layouts={"nvidia": "NVIDIA stylegan3"},
    mark=MARK,
    recognise=recognise,
    translate=from_nvidia,
    config=StyleGAN3Config,
    make=StyleGAN3,
    depth=lambda config: config.mapping_layers + len(config.channels),
    writers={"nvidia": as_nvidia},
)
