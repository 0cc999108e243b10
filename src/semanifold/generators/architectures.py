"""The table of the networks that can be loaded, and finding in a file which of them it holds."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from semanifold.core.errors import SemanifoldError, near_names, shown
from semanifold.core.plain import Json
from semanifold.generators.architecture import LARGEST, Architecture, ForeignState, State
from semanifold.generators.base import Generator
from semanifold.generators.biggan.layout import BIGGAN
from semanifold.generators.dcgan import DCGANS
from semanifold.generators.pix2pixhd import PIX2PIXHD
from semanifold.generators.proggan import PROGGAN
from semanifold.generators.r3gan import R3GANS
from semanifold.generators.sngan import SNGANS
from semanifold.generators.states import Say, assembled
from semanifold.generators.stylegan2.architecture import STYLEGAN2
from semanifold.generators.stylegan3.layouts import STYLEGAN3
from semanifold.storage.checkpoints import Networks, Weights, materialised, place_of, read_header
from semanifold.storage.containers import Contents
from semanifold.storage.records import checked

FORMAT = "semanifold-generator-1"
OWN = "semanifold"

Config = TypeVar("Config")

ARCHITECTURES: tuple[Architecture, ...] = (STYLEGAN2, STYLEGAN3, BIGGAN, PROGGAN, SNGANS, PIX2PIXHD, R3GANS, DCGANS)
"""Every network that can be loaded; a new one is one more name here."""


def row_of(generator: Generator) -> Architecture | None:
    """Return the row of a generator; None of one that no file holds, such as a wrapped one."""
    return next((row for row in ARCHITECTURES if type(generator) is row.make), None)


OTHERS = [
    ("a BigGAN-deep generator", r"blocks\.\d+\.\d+\.conv4\.weight"),
    ("a StyleGAN1 generator", r"(.*/)?\d+x\d+/(\w+/)?StyleMod/weight"),
    ("a StyleGAN-XL generator", r"mapping\.embed_proj\.weight"),
    ("a StyleGAN-T generator", r"synthesis\.b\d+\.convs1\.\d+\.affine\.proj\.weight"),
    ("an R3GAN discriminator", r"(Model\.)?ExtractionLayer\.Layer\.weight"),
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


def identify(networks: Networks, header: Mapping[str, Json]) -> Network | None:
    """Find the generator in a file, or None; averaged weights are better than those that were trained.

    Args:
        networks: what the file holds.
        header: what :func:`~semanifold.storage.checkpoints.read_header` returned; our own files name their architecture there.

    Raises:
        SemanifoldError: if the header is of no generator that this version knows, or if the file holds several generators and
            does not say which one is meant.
        UnreadableError: if it holds far more networks than any checkpoint.
    """
    if header:
        if header["format"] != FORMAT:
            raise SemanifoldError(
                f"It is of the format {shown(str(header['format']))!r}, not a generator that this version reads ({FORMAT})."
            )
        name, rows = shown(str(header.get("architecture", "stylegan2"))), {row.name: row for row in ARCHITECTURES}
        if name not in rows:
            raise SemanifoldError(f"Its header names the architecture {name!r}: {near_names(name, rows)}")
        return Network(rows[name], OWN, Weights(dict(networks.values)))
    known = [
        Network(row, layout, weights)
        for row in ARCHITECTURES
        for weights in map(networks.network, networks.prefixes(row.mark))
        if (layout := row.recognise(weights.state | weights.odd)) and not other_network(weights.state)
    ]
    best = [network for network in known if network.weights.rank == min(other.weights.rank for other in known)]
    if others := [network for network in best[1:] if not _same(network.weights, best[0].weights)]:
        parts = ", ".join(shown(network.weights.part, 40) or "(bare)" for network in (best[0], *others[:3]))
        raise SemanifoldError(f"It holds several generators ({parts}); save the state dict of the one that is meant by itself.")
    before = f"{best[0].weights.part}.".lstrip(".") if best else ""
    if best and (double := [name for name in networks.twice if name.startswith(before)]):
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
    return next((kind for kind, mark in OTHERS if any(map(re.compile(f"{before}(?:{mark})", re.DOTALL).fullmatch, every))), None)


def generator_of(network: Network, contents: Contents, folder: Path, words: Mapping[str, str], say: Say) -> Generator:
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
        foreign = ForeignState(network.layout, every, average, weights.settings, folder, say)
        config, state = architecture.translate(foreign)
    made = assembled(lambda: architecture.make(config, **words), state, architecture.kind)
    height, width = made.picture_shape[1:]
    if max(height, width) > LARGEST:
        raise SemanifoldError(
            f"Its layers would make pictures of {width:,} x {height:,} pixels, where at most {LARGEST:,} a side are read; the "
            "file is damaged, get a fresh copy."
        )
    return made


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
