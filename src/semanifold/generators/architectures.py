"""The table of the networks that can be loaded: how to know each by its keys, translate its files, and make it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError, near_names, shown
from semanifold.generators import pix2pixhd, proggan, sngan
from semanifold.generators.biggan import layout as biggan_layout
from semanifold.generators.biggan.network import BigGAN, BigGANConfig
from semanifold.generators.inputs import read_options
from semanifold.generators.pix2pixhd import Pix2PixHD, Pix2PixHDConfig
from semanifold.generators.proggan import ProgGAN, ProgGANConfig
from semanifold.generators.sngan import SNGAN, SNGANConfig
from semanifold.generators.states import Say, assembled
from semanifold.generators.stylegan2 import layouts as stylegan2_layouts
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config
from semanifold.storage.checkpoints import Held, Weights, materialised, place_of, read_header
from semanifold.storage.containers import Contents
from semanifold.storage.records import checked

FORMAT = "semanifold-generator-1"
OWN = "semanifold"

Loadable = StyleGAN2 | BigGAN | ProgGAN | SNGAN | Pix2PixHD
"""A generator that files hold; every one has a ``config``, a frozen dataclass of plain values."""

State = dict[str, Tensor]
Config = TypeVar("Config")


@dataclass(frozen=True)
class Found:
    """What a file holds, for the translation.

    Attributes:
        layout: short name of the layout of the state.
        state: tensors by name, and objects that semanifold does not know.
        latent_avg: mean w beside them.
        settings: what the file says about the network, by path.
        folder: folder of the file.
        say: gets what was drawn, estimated or left out.
    """

    layout: str
    state: State
    latent_avg: Tensor | None
    settings: Mapping[str, object]
    folder: Path
    say: Say


def _sizes(config: Any) -> int:
    return len(config.channels)


@dataclass(frozen=True)
class Architecture:
    """A network that can be loaded.

    Attributes:
        name: what the headers of our own files call it.
        kind: what people call it.
        title: the same with its article.
        layouts: whose code writes files of it, by the short name of the layout.
        mark: pattern of keys that every file of it has; what lies before one of them in a file lies before all keys.
        recognise: names the layout of a state dict by its keys, or returns None.
        translate: turns a foreign state dict of one of these layouts into configuration and state of ours.
        config: class of its configuration.
        make: its class.
        depth: number of layers that a configuration asks for; a network has at least as many tensors.
    """

    name: str
    kind: str
    title: str
    layouts: Mapping[str, str]
    mark: str
    recognise: Callable[[Mapping[str, object]], str | None]
    translate: Callable[[Found], tuple[Any, State]]
    config: type[Any]
    make: Callable[..., Loadable]
    depth: Callable[[Any], int] = _sizes


def _by_key(layout: str, mark: re.Pattern[str]) -> Callable[[Mapping[str, object]], str | None]:
    """Recognise the only layout of an architecture by one key."""
    return lambda state: layout if any(mark.fullmatch(key) for key in state) else None


def _stylegan2(found: Found) -> tuple[StyleGAN2Config, State]:
    state, settings, say = found.state, found.settings, found.say
    match found.layout:
        case "rosinality":
            return stylegan2_layouts.from_rosinality(state, found.latent_avg, say=say)
        case "genforce":
            return stylegan2_layouts.from_genforce(state, say=say)
        case "tensorflow":
            config, ours = stylegan2_layouts.from_tensorflow(state, say=say)
            return dataclasses.replace(config, clamp=_number(settings.get("conv_clamp"), "conv_clamp")), ours
        case "ada":
            clamp = _number(_only(settings, r"synthesis\.b\d+\.(conv[01]|torgb)\.conv_clamp"), "conv_clamp")
            if (kind := _only(settings, r"synthesis\.b\d+\.conv[01]\.activation")) not in (None, "lrelu"):
                raise SemanifoldError(f"It uses the activation {shown(str(kind))!r}; only 'lrelu' is supported.")
            width = _number(settings.get("mapping.z_dim"), "width of z")
            config, ours = stylegan2_layouts.from_ada(state, clamp=clamp, z_dim=None if width is None else int(width), say=say)
            gain = _number(_only(settings, r"mapping\.fc\d+\.bias_gain"), "learning rate of the mapping network")
            return dataclasses.replace(config, mapping_lr=gain or config.mapping_lr), ours
    raise SemanifoldError("It holds tensors of semanifold without their configuration; convert the original file again.")


def _only(settings: Mapping[str, object], pattern: str) -> object:
    """Return the one value that all settings of a kind agree on."""
    values = {shown(str(value)): value for key, value in settings.items() if re.fullmatch(pattern, key)}
    if len(values) > 1:
        raise SemanifoldError(f"Its layers have different settings ({', '.join(values)}), which is not supported.")
    return next(iter(values.values()), None)


def _number(value: object, what: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, int | float) and 0 < value < 1e9:
        return float(value)
    raise SemanifoldError(f"Its {what} is {shown(str(value))!r}, where a positive number is expected.")


def _biggan(found: Found) -> tuple[BigGANConfig, State]:
    return biggan_layout.from_published(found.state, biggan_layout.read_arguments(found.folder), say=found.say)


ARCHITECTURES = (
    Architecture(
        name="stylegan2",
        kind="StyleGAN2",
        title="a StyleGAN2 generator",
        layouts={
            "rosinality": "rosinality/stylegan2-pytorch",
            "ada": "NVIDIA stylegan2-ada-pytorch or stylegan3",
            "genforce": "genforce",
            "tensorflow": "NVIDIA stylegan2 (TensorFlow)",
        },
        mark=stylegan2_layouts.MARK,
        recognise=stylegan2_layouts.recognise,
        translate=_stylegan2,
        config=StyleGAN2Config,
        make=StyleGAN2,
        depth=lambda config: config.mapping_layers + len(config.channels),
    ),
    Architecture(
        name="biggan",
        kind="BigGAN",
        title="a BigGAN generator",
        layouts={"biggan-pytorch": "ajbrock/BigGAN-PyTorch"},
        mark=biggan_layout.MARK.pattern,
        recognise=_by_key("biggan-pytorch", biggan_layout.MARK),
        translate=_biggan,
        config=BigGANConfig,
        make=BigGAN,
    ),
    Architecture(
        name="proggan",
        kind="Progressive GAN",
        title="a Progressive GAN generator",
        layouts={"pytorch": "the PyTorch port of CelebA-HQ (ptrblck/prog_gans_pytorch_inference)"},
        mark=proggan.MARK.pattern,
        recognise=_by_key("pytorch", proggan.MARK),
        translate=lambda found: proggan.from_published(found.state, say=found.say),
        config=ProgGANConfig,
        make=ProgGAN,
    ),
    Architecture(
        name="sngan",
        kind="SN-GAN",
        title="an SN-GAN generator",
        layouts={"latent-discovery": "GANLatentDiscovery, Navigan or WarpedGANSpace"},
        mark=sngan.MARK.pattern,
        recognise=_by_key("latent-discovery", sngan.MARK),
        translate=lambda found: sngan.from_published(found.state, say=found.say),
        config=SNGANConfig,
        make=SNGAN,
    ),
    Architecture(
        name="pix2pixhd",
        kind="pix2pixHD",
        title="a pix2pixHD generator",
        layouts={"published": "NVIDIA pix2pixHD, or pytorch-CycleGAN-and-pix2pix"},
        mark=pix2pixhd.MARK.pattern,
        recognise=_by_key("published", pix2pixhd.MARK),
        translate=lambda found: pix2pixhd.from_published(found.state, read_options(found.folder), say=found.say),
        config=Pix2PixHDConfig,
        make=Pix2PixHD,
        depth=pix2pixhd.layers_in,
    ),
)
"""Every network that can be loaded; a new one is one more row."""

OTHERS = [
    ("a StyleGAN3 generator", r"synthesis\.input\.freqs"),
    ("a BigGAN-deep generator", r"blocks\.\d+\.\d+\.conv4\.weight"),
    ("a StyleGAN1 generator", r"(.*/)?\d+x\d+/(\w+/)?StyleMod/weight"),
    ("a StyleGAN2 discriminator", r"b4\.out\.weight|final_linear\.\d+\.weight|.*4x4/MinibatchStddev.*|Output/weight"),
    ("a BigGAN discriminator", r"embed\.u0"),
    ("support sets of WarpedGANSpace", r"SUPPORT_SETS"),
    ("a reconstructor of paths", r"(path_indices|shift_magnitudes|type_estimator|shift_estimator|fc_logits)\..*"),
]
"""Other networks that people have files of, each known by one key of its state dict."""


@dataclass(frozen=True)
class Network:
    """A generator in a file.

    Attributes:
        architecture: row of the table.
        layout: short name of the layout of its weights.
        weights: its state dict.
    """

    architecture: Architecture
    layout: str
    weights: Weights


def identify(held: Held, header: Mapping[str, Any]) -> Network | None:
    """Find the generator in a file, or None; averaged weights are better than those that were trained.

    Args:
        held: what the file holds.
        header: what :func:`~.checkpoints.read_header` returned; our own files name their architecture there.

    Raises:
        SemanifoldError: if the header is of no generator that this version knows, or if the file holds several generators and
            does not say which one is meant.
        UnreadableError: if it holds far more networks than any checkpoint.
    """
    if header:
        if header["format"] != FORMAT:
            raise SemanifoldError(
                f"It is of the format {shown(header['format'])!r}, not a generator that this version reads ({FORMAT})."
            )
        name, rows = shown(str(header.get("architecture", "stylegan2"))), {row.name: row for row in ARCHITECTURES}
        if name not in rows:
            raise SemanifoldError(f"Its header names the architecture {name!r}: {near_names(name, rows)}")
        return Network(rows[name], OWN, Weights(dict(held.values)))
    found = [
        Network(row, layout, weights)
        for row in ARCHITECTURES
        for weights in map(held.under, held.prefixes(row.mark))
        if (layout := row.recognise(weights.state | weights.odd)) and not other_network(weights.state)
    ]
    best = [network for network in found if network.weights.rank == min(other.weights.rank for other in found)]
    if others := [network for network in best[1:] if not _same(network.weights, best[0].weights)]:
        parts = ", ".join(shown(network.weights.part, 40) or "(bare)" for network in (best[0], *others[:3]))
        raise SemanifoldError(f"It holds several generators ({parts}); save the state dict of the one that is meant by itself.")
    before = f"{best[0].weights.part}.".lstrip(".") if best else ""
    if best and (double := [name for name in held.twice if name.startswith(before)]):
        raise SemanifoldError(f"It holds {shown(min(double))} twice, with different numbers; save one state dict by itself.")
    return best[0] if best else None


def _same(a: Weights, b: Weights) -> bool:
    """Whether two state dicts are the same tensors under two names."""
    first, second = ({key: place_of(value) for key, value in weights.state.items()} for weights in (a, b))
    return first == second


def other_network(names: Iterable[str], *, anywhere: bool = False) -> str | None:
    """Name the network that keys belong to, if it is known but cannot be loaded.

    Args:
        names: keys.
        anywhere: whether the keys of the network may have something before them.
    """
    every, before = list(names), r"(?:.*?\.)?" if anywhere else ""
    return next(
        (kind for kind, mark in OTHERS if any(re.fullmatch(f"{before}(?:{mark})", key, re.DOTALL) for key in every)), None
    )


def generator_of(network: Network, contents: Contents, folder: Path, words: Mapping[str, str], say: Say) -> Loadable:
    """Make the generator that a file holds, float32 on the CPU.

    Args:
        network: what :func:`identify` found.
        contents: the file.
        folder: where the file lies; a BigGAN may have its arguments beside it.
        words: name, source and licence.
        say: gets what was drawn, estimated or left out.

    Raises:
        SemanifoldError: if tensors are missing, left over, of the wrong shape or not finite.
        UnreadableError: if the file is damaged.
    """
    architecture, weights = network.architecture, network.weights
    beside = {} if weights.latent_avg is None else {"latent_avg": weights.latent_avg}
    state = materialised(weights.state | beside, contents)
    average = state.pop("latent_avg", None)
    if network.layout == OWN and (header := read_header(contents)):
        config, state = _own(architecture, header.get("config"), state)
    else:
        every: Any = state | weights.odd
        found = Found(network.layout, every, average, weights.settings, folder, say)
        config, state = architecture.translate(found)
    return assembled(lambda: architecture.make(config, **words), state, architecture.kind)


MOST = 1 << 20
"""No size in a configuration is larger; real ones stay below 10,000."""


def read_config(kind: type[Config], values: object) -> Config:
    """Make a configuration of the plain values in a header, the reverse of ``dataclasses.asdict``.

    Raises:
        SemanifoldError: if it is no such configuration.
    """
    what = f"The configuration {kind.__name__}"
    config = checked(values, kind, what)
    fields = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]  # every configuration is a dataclass
    if unknown := [key for key in values if key not in fields]:  # type: ignore[union-attr]  # it has been checked
        raise SemanifoldError(f"{what} is of another version: this one does not know {shown(str(unknown[0]), 40)!r}.")
    for name in fields:
        value = getattr(config, name)
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int | float) and not 0 <= number <= MOST:
                raise SemanifoldError(f"{what} is damaged: {name} is {shown(repr(number), 30)}, where 0 to {MOST} are possible.")
    return config


def _own(architecture: Architecture, values: object, state: State) -> tuple[Any, State]:
    config = read_config(architecture.config, values)
    # a hostile configuration must not make a network of a billion layers
    if architecture.depth(config) > len(state):
        raise SemanifoldError("Its configuration does not belong to its tensors; get a fresh copy.")
    for key, value in state.items():
        if value.is_complex() or not torch.isfinite(value).all():
            raise SemanifoldError(f"{shown(key)} holds NaN, infinite or complex values; the file is damaged, take another copy.")
    return config, {key: value.to(torch.promote_types(value.dtype, torch.float32)) for key, value in state.items()}
