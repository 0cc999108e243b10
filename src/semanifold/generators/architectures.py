"""The table of the networks that can be loaded: how to know each by its keys, translate its files, and make it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from semanifold.errors import SemanifoldError, near_names
from semanifold.generators import biggan_layout, proggan, sngan, stylegan2_layouts
from semanifold.generators.biggan import BigGAN, BigGANConfig
from semanifold.generators.checkpoints import Weights, materialise, read_header, tensor_bytes
from semanifold.generators.containers import Contents, shown
from semanifold.generators.inert import UnreadableError
from semanifold.generators.proggan import ProgGAN, ProgGANConfig
from semanifold.generators.sngan import SNGAN, SNGANConfig
from semanifold.generators.states import assembled
from semanifold.generators.stylegan2 import StyleGAN2, StyleGAN2Config

FORMAT = "semanifold-generator-1"
OWN = "semanifold"

Loadable = StyleGAN2 | BigGAN | ProgGAN | SNGAN
"""A generator that files hold; every one has a ``config``, a frozen dataclass of plain values."""

State = dict[str, Tensor]
Config = TypeVar("Config")


@dataclass(frozen=True)
class Found:
    """What a file holds, for the translation.

    Attributes:
        layout: short name of the layout of the state.
        state: tensors by name.
        weights: the same as the file holds them, with what stands beside them.
        folder: folder of the file.
    """

    layout: str
    state: State
    weights: Weights
    folder: Path


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
    recognise: Callable[[Mapping[str, object]], str | None]
    translate: Callable[[Found], tuple[Any, State]]
    config: type[Any]
    make: Callable[..., Loadable]
    depth: Callable[[Any], int] = _sizes


def _by_key(layout: str, mark: re.Pattern[str]) -> Callable[[Mapping[str, object]], str | None]:
    """Recognise the only layout of an architecture by one key."""
    return lambda state: layout if any(mark.fullmatch(key) for key in state) else None


def _stylegan2(found: Found) -> tuple[StyleGAN2Config, State]:
    state, settings, average = found.state, found.weights.settings, found.weights.latent_avg
    match found.layout:
        case "rosinality":
            return stylegan2_layouts.from_rosinality(state, None if average is None else materialise(average))
        case "tensorflow":
            config, ours = stylegan2_layouts.from_tensorflow(state)
            return dataclasses.replace(config, clamp=_number(settings.get("conv_clamp"), "conv_clamp")), ours
        case "ada":
            clamp = _number(_only(settings, r"synthesis\.b\d+\.(conv[01]|torgb)\.conv_clamp"), "conv_clamp")
            if (kind := _only(settings, r"synthesis\.b\d+\.conv[01]\.activation")) not in (None, "lrelu"):
                raise SemanifoldError(f"It uses the activation {shown(str(kind)[:80])!r}; only 'lrelu' is supported.")
            config, ours = stylegan2_layouts.from_ada(state, clamp=clamp)
            gain = _number(_only(settings, r"mapping\.fc\d+\.bias_gain"), "learning rate of the mapping network")
            return dataclasses.replace(config, mapping_lr=gain or config.mapping_lr), ours
    raise SemanifoldError("It holds tensors of semanifold without their configuration; convert the original file again.")


def _only(settings: Mapping[str, object], pattern: str) -> object:
    """Return the one value that all settings of a kind agree on."""
    values = {str(value)[:80]: value for key, value in settings.items() if re.fullmatch(pattern, key)}
    if len(values) > 1:
        raise SemanifoldError(f"Its layers have different settings ({', '.join(map(shown, values))}), which is not supported.")
    return next(iter(values.values()), None)


def _number(value: object, what: str) -> float | None:
    if value is None or (isinstance(value, int | float) and 0 < value < 1e9):
        return value
    raise SemanifoldError(f"Its {what} is {shown(str(value)[:80])!r}, where a positive number is expected.")


def _biggan(found: Found) -> tuple[BigGANConfig, State]:
    return biggan_layout.from_published(found.state, biggan_layout.read_arguments(found.folder))


ARCHITECTURES = (
    Architecture(
        name="stylegan2",
        kind="StyleGAN2",
        title="a StyleGAN2 generator",
        layouts={
            "rosinality": "rosinality/stylegan2-pytorch",
            "ada": "NVIDIA stylegan2-ada-pytorch or stylegan3",
            "tensorflow": "NVIDIA stylegan2 (TensorFlow)",
        },
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
        recognise=_by_key("pytorch", proggan.MARK),
        translate=lambda found: proggan.from_published(found.state),
        config=ProgGANConfig,
        make=ProgGAN,
    ),
    Architecture(
        name="sngan",
        kind="SN-GAN",
        title="an SN-GAN generator",
        layouts={"latent-discovery": "GANLatentDiscovery, Navigan or WarpedGANSpace"},
        recognise=_by_key("latent-discovery", sngan.MARK),
        translate=lambda found: sngan.from_published(found.state),
        config=SNGANConfig,
        make=SNGAN,
    ),
)
"""Every network that can be loaded; a new one is one more row."""

OTHERS = [
    ("a StyleGAN3 generator", r"synthesis\.input\.freqs"),
    ("a BigGAN-deep generator", r"blocks\.\d+\.\d+\.conv4\.weight"),
    ("a pix2pixHD generator", r"model(\d+_\d+)?\.\d+\.conv_block\.\d+\.weight"),
    ("a StyleGAN1 generator", r"(.*/)?\d+x\d+/(\w+/)?StyleMod/weight"),
    ("a StyleGAN2 discriminator", r"b4\.out\.weight|final_linear\.\d+\.weight|.*4x4/MinibatchStddev.*|Output/weight"),
    ("a BigGAN discriminator", r"embed\.u0"),
    ("support sets of WarpedGANSpace", r"SUPPORT_SETS"),
    ("a reconstructor of paths", r"(path_indices|shift_magnitudes|type_estimator|shift_estimator|fc_logits)\..*"),
]
"""Other networks that people have files of, each known by one key of its state dict."""


def identify(weights: Weights, header: Mapping[str, Any]) -> tuple[Architecture, str] | None:
    """Find the row of the table and the layout that a state dict belongs to, or None.

    Args:
        weights: the state dict.
        header: what :func:`~.checkpoints.read_header` returned; our own files name their architecture there.

    Raises:
        SemanifoldError: if the header is of no generator that this version knows.
    """
    if header:
        if header["format"] != FORMAT:
            raise SemanifoldError(
                f"It is of the format {shown(header['format'])!r}, not a generator that this version reads ({FORMAT})."
            )
        name, rows = str(header.get("architecture", "stylegan2")), {row.name: row for row in ARCHITECTURES}
        if name not in rows:
            raise SemanifoldError(f"Its header names the architecture {shown(name)!r}: {near_names(name, rows)}")
        return rows[name], OWN
    if other_network(weights.state):
        return None
    found = ((row, row.recognise(weights.state)) for row in ARCHITECTURES)
    return next(((row, layout) for row, layout in found if layout), None)


def other_network(state: Mapping[str, object]) -> str | None:
    """Name the network that a state dict belongs to, if it is known but cannot be loaded."""
    return next((name for name, pattern in OTHERS if any(re.fullmatch(pattern, key) for key in state)), None)


def generator_of(
    architecture: Architecture, layout: str, weights: Weights, contents: Contents, folder: Path, words: Mapping[str, str]
) -> Loadable:
    """Make the generator that a file holds, float32 on the CPU.

    Args:
        architecture: row of the table.
        layout: layout of the weights.
        weights: the state dict.
        contents: the file.
        folder: where the file lies; a BigGAN may have its arguments beside it.
        words: name, source and licence.

    Raises:
        SemanifoldError: if tensors are missing, left over, of the wrong shape or not finite.
        UnreadableError: if the file is damaged.
    """
    if sum(map(tensor_bytes, weights.state.values())) > 4 * contents.size:
        raise UnreadableError("claims to hold far more numbers than fit into it")
    state = {key: materialise(value) for key, value in weights.state.items()}
    if layout == OWN and (header := read_header(contents)):
        config, state = _own(architecture, header.get("config"), state)
    else:
        config, state = architecture.translate(Found(layout, state, weights, folder))
    return assembled(lambda: architecture.make(config, **words), state, architecture.kind)


def read_config(kind: type[Config], values: object) -> Config:
    """Make a configuration of the plain values in a header, the reverse of ``dataclasses.asdict``.

    Raises:
        SemanifoldError: if it is no such configuration.
    """
    try:
        return kind(**values)  # type: ignore[arg-type]  # a value that is no dictionary raises the TypeError below
    except (TypeError, ValueError) as error:
        raise SemanifoldError(f"This is no {kind.__name__}: {shown(str(error), 200)}.") from error


def _own(architecture: Architecture, values: object, state: State) -> tuple[Any, State]:
    config = read_config(architecture.config, values)
    # a hostile configuration must not make a network of a billion layers
    if architecture.depth(config) > len(state):
        raise SemanifoldError("Its configuration does not belong to its tensors; get a fresh copy.")
    for key, value in state.items():
        if not torch.isfinite(value).all():
            raise SemanifoldError(f"{shown(key)} holds NaN or infinite values; the file is damaged, take another copy.")
    return config, {key: value.to(torch.promote_types(value.dtype, torch.float32)) for key, value in state.items()}
