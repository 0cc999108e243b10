"""The weight files of BigGAN-PyTorch (``G_ema.pth``), translated into ours; sizes are read from shapes alone."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from semanifold.core.errors import SemanifoldError, shown
from semanifold.core.plain import Json, JsonObject
from semanifold.generators.architecture import Architecture, by_key
from semanifold.generators.biggan.network import BigGAN, BigGANConfig
from semanifold.generators.convolutional import NORM_EPSILON
from semanifold.generators.states import Say, Source, silent
from semanifold.storage.files import is_file
from semanifold.storage.records import REMEDY, read_json

KIND = "BigGAN"
MARK = re.compile(r"blocks\.\d+\.\d+\.bn1\.(gain\.weight|stored_mean)")
"""A key that the published state dicts hold."""

BESIDE = "generator_config.json"
"""The constructor arguments, in the folder of the weights, as WarpedGANSpace and Navigan keep them."""

SUPPORTED = {
    "model": ("BigGAN",),
    "G_nl": ("relu", "inplace_relu"),
    "norm_style": ("bn",),
    "G_param": ("SN",),
    "num_G_SV_itrs": (1,),
    "G_shared": (True,),
}
"""Arguments that shapes do not tell, with the values that make the network of :mod:`~semanifold.generators.biggan.network`."""


def read_arguments(folder: Path) -> JsonObject:
    """Read :data:`BESIDE` in a folder; an empty dictionary if there is none.

    Raises:
        SemanifoldError: if it cannot be read, or asks for a network that is not supported.
    """
    path = folder / BESIDE
    if not is_file(path):
        return {}
    try:
        arguments = read_json(path, JsonObject, remedy=REMEDY)
    except SemanifoldError as error:
        raise SemanifoldError(f"{str(error).rstrip('.')}; repair it, or take it away from beside the weights.") from error
    for key, values in SUPPORTED.items():
        if key in arguments and arguments[key] not in values:
            value, known = shown(json.dumps(arguments[key]), 40), " or ".join(map(str, values))
            raise SemanifoldError(f"{shown(str(path), 200)} says {key} = {value}, but only {known} is supported.")
    return arguments


def from_published(
    state: Mapping[str, Tensor], arguments: Mapping[str, Json], *, say: Say = silent
) -> tuple[BigGANConfig, dict[str, Tensor]]:
    """Translate ``G_ema`` of BigGAN-PyTorch into our configuration and state.

    Args:
        state: the state dict.
        arguments: what :func:`read_arguments` returned; ``BN_eps`` is taken from it, sizes are only compared.
        say: gets what was left out.

    Raises:
        SemanifoldError: naming the tensor that is missing, left over, wrong or NaN, or the argument that contradicts the shapes.
    """
    take = Source(state, "published", KIND)
    embedding = take("shared.weight", None, None)
    out = {"embedding": embedding} | _spectral(take, "linear", "start", None, None)
    blocks = 1 + max((int(match[1]) for key in state if (match := re.match(r"blocks\.(\d{1,4})\.", key))), default=-1)
    for i in range(blocks):
        for name, other, kernel in (("conv1", "conv1", 3), ("conv2", "conv2", 3), ("bypass", "conv_sc", 1)):
            out |= _spectral(take, f"blocks.{i}.0.{other}", f"blocks.{i}.{name}", None, None, kernel, kernel)
        for j in (1, 2):
            out |= _class_norm(take, f"blocks.{i}.0.bn{j}", f"blocks.{i}.norm{j}")
        if any(key.startswith(f"blocks.{i}.1.") for key in state):
            out |= _attention(take, f"blocks.{i}.1", f"attentions.{8 << i}")
    names = {"gain": "gain", "bias": "bias", "mean": "stored_mean", "variance": "stored_var"}
    out |= {f"norm.{name}": take(f"output_layer.0.{other}", None) for name, other in names.items()}
    out |= _spectral(take, "output_layer.2", "colours", None, None, 3, 3)
    take.drop(".sv0")  # a log of training
    take.finish(say)
    return _config(out, blocks, arguments), out


def _spectral(take: Source, theirs: str, ours: str, *shape: int | None, bias: bool = True) -> dict[str, Tensor]:
    weight = take(f"{theirs}.weight", *shape)
    out = {f"{ours}.weight": weight, f"{ours}.u": take(f"{theirs}.u0", 1, weight.shape[0])[0]}
    return out | ({f"{ours}.bias": take(f"{theirs}.bias", weight.shape[0])} if bias else {})


def _class_norm(take: Source, theirs: str, ours: str) -> dict[str, Tensor]:
    out = {f"{ours}.mean": take(f"{theirs}.stored_mean", None), f"{ours}.variance": take(f"{theirs}.stored_var", None)}
    for name, other in (("gain", "gain"), ("shift", "bias")):
        out |= _spectral(take, f"{theirs}.{other}", f"{ours}.{name}", None, None, bias=False)
    return out


def _attention(take: Source, theirs: str, ours: str) -> dict[str, Tensor]:
    out = {f"{ours}.gamma": take(f"{theirs}.gamma")}
    for name, other in (("query", "theta"), ("key", "phi"), ("value", "g"), ("out", "o")):
        out |= _spectral(take, f"{theirs}.{other}", f"{ours}.{name}", None, None, 1, 1, bias=False)
    return out


def _config(state: Mapping[str, Tensor], blocks: int, arguments: Mapping[str, Json]) -> BigGANConfig:
    """Read the configuration off the shapes of a state in our layout, and compare it with the arguments."""
    if not blocks:
        raise SemanifoldError("The weights hold no block, but a BigGAN has one at least.")
    chunk, (classes, embedding) = state["start.weight"].shape[1], state["embedding"].shape
    hierarchical = state["blocks.0.norm1.gain.weight"].shape[1] != embedding
    epsilon = arguments.get("BN_eps", NORM_EPSILON)
    if not isinstance(epsilon, int | float) or not 0 < epsilon < 1:
        raise SemanifoldError(
            f"{BESIDE} says BN_eps = {shown(json.dumps(epsilon), 40)}, where a small positive number is expected."
        )
    config = BigGANConfig(
        z_dim=chunk * (blocks + 1) if hierarchical else chunk,
        classes=classes,
        embedding=embedding,
        channels=(state["blocks.0.conv1.weight"].shape[1], *[state[f"blocks.{i}.conv1.weight"].shape[0] for i in range(blocks)]),
        attention=tuple(8 << i for i in range(blocks) if f"attentions.{8 << i}.gamma" in state),
        hierarchical=hierarchical,
        colours=state["colours.weight"].shape[0],
        norm_epsilon=epsilon,
    )
    for key, value in (("shared_dim", embedding), ("hier", hierarchical)):
        if arguments.get(key, value) != value:
            said = shown(json.dumps(arguments[key]), 40)
            raise SemanifoldError(f"{BESIDE} beside the weights says {key} = {said}, but the weights say {value}; take it away.")
    return config


BIGGAN = Architecture(
    name="biggan",
    kind="BigGAN",
    title="a BigGAN generator",
    layouts={"biggan-pytorch": "ajbrock/BigGAN-PyTorch"},
    mark=MARK.pattern,
    recognise=by_key("biggan-pytorch", MARK),
    translate=lambda foreign: from_published(foreign.state, read_arguments(foreign.folder), say=foreign.say),
    config=BigGANConfig,
    make=BigGAN,
    published=lambda _: "BigGAN",
)
