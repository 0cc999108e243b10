"""An encoder: a small network that reads the code from a picture, so that inversions begin there."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

import msgspec
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from semanifold.core.errors import SemanifoldError, of_type, shown
from semanifold.core.latents import Latents
from semanifold.core.shapes import Pictures
from semanifold.core.spaces import single
from semanifold.generators.base import Generator, origin
from semanifold.generators.coordinates import Coordinates
from semanifold.inversion.curvature import MOST_ROWS, Curvature
from semanifold.inversion.starts import metric_of
from semanifold.storage.tensors import read_format, write_tensors

FORMAT = "semanifold-encoder-1"
OWN: Literal["own"] = "own"
"""What stands for the encoder that comes with a generator."""
CHANNELS = (24, 40, 64, 80)
HIDDEN = 96
GROUPS = 8
SEEN_AT = 64
"""Height and width of the pictures that the network sees."""
ROWS, LARGEST, LEVELS = "curvature.rows", "curvature.largest", 127
TINY = 1e-30
MOST_CODE = 1 << 16

Whole = Annotated[int, msgspec.Meta(ge=1, le=MOST_CODE)]


class Header(msgspec.Struct, frozen=True):
    """What the file of an encoder says of it."""

    format: Literal["semanifold-encoder-1"]
    generator: str
    fingerprint: str
    space: str
    channels: Annotated[int, msgspec.Meta(ge=1, le=4)]
    code: Annotated[list[Whole], msgspec.Meta(min_length=1, max_length=3)]
    damping: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1


class Network(nn.Module):
    """Convolutions that halve the picture four times, and two dense layers."""

    def __init__(self, channels: int, numbers: int) -> None:
        """Make the network.

        Args:
            channels: of the pictures.
            numbers: of a code.
        """
        super().__init__()
        widths = (channels, *CHANNELS)
        stages = []
        for before, after in zip(widths, CHANNELS):
            for first, stride in ((before, 2), (after, 1)):
                stages += [nn.Conv2d(first, after, 3, stride, padding=1), nn.GroupNorm(GROUPS, after), nn.SiLU()]
        self.stages = nn.Sequential(*stages)
        side = SEEN_AT >> len(CHANNELS)
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(CHANNELS[-1] * side * side, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, numbers)
        )

    def forward(self, pictures: Pictures) -> Tensor:
        """Return ``[n, numbers]``."""
        if pictures.shape[2:] != (SEEN_AT, SEEN_AT):
            pictures = interpolate(pictures, (SEEN_AT, SEEN_AT), mode="bilinear", antialias=True)
        return self.head(self.stages(pictures))


@dataclass(frozen=True, eq=False)
class Encoder:
    """Reads the codes of pictures of one generator.

    Attributes:
        network: gives natural coordinates of the code.
        space: of the code.
        shape: of one code.
        generator: name of the generator.
        fingerprint: of its weights.
        curvature: mean one of the generator's pictures, in the units of its :attr:`Generator.search_space`; None in files of
            earlier versions.
    """

    network: Network = field(repr=False)
    space: str
    shape: tuple[int, ...]
    generator: str
    fingerprint: str
    curvature: Curvature | None = field(default=None, repr=False)

    @torch.no_grad()
    def codes(self, pictures: Pictures, generator: Generator) -> Latents:
        """Return the codes that pictures ``[n, c, h, w]`` in [-1, 1] seem to have, in :attr:`space`.

        Raises:
            SemanifoldError: if the encoder was trained for another generator.
        """
        self.check(generator)
        coordinates, mean, _ = frame_of(generator)
        weight = next(self.network.parameters())
        u = self.network(pictures.to(weight)).reshape(-1, *self.shape).to(mean.values)
        values = mean.values + coordinates.displacements(u)
        return generator.example(range(len(values)), self.space).with_values(values)

    def curvature_in(self, space: str, generator: Generator) -> Curvature | None:
        """Return the curvature in the units of codes of a space; None where it is not told by that of the searched one."""
        searched, known = generator.search_space, self.curvature
        if known is None or space == searched:
            return known
        if not generator.spaces[searched].layers or single(searched) != space:
            return None
        return Curvature(known.rows.sum(1), known.damping)  # all layers have one code

    def check(self, generator: Generator) -> None:
        """Refuse a generator that the encoder was not trained for.

        Raises:
            SemanifoldError: naming both.
        """
        if generator.fingerprint != self.fingerprint:
            raise SemanifoldError(
                f"The encoder was trained for {origin(self.generator)} ({self.fingerprint}), not for {generator.name} "
                f"({generator.fingerprint}); train one for it, as semanifold encoder does."
            )


def frame_of(generator: Generator) -> tuple[Coordinates, Latents, float]:
    """Return the natural coordinates of the space that encoders read, the mean code, and the mean square of its own codes."""
    code = generator.example(0, generator.path_space)
    return metric_of(generator, code, 0.0)


def save_encoder(encoder: Encoder, path: str | os.PathLike[str]) -> None:
    """Write an encoder as safetensors, in half precision and less, with a header that says whose codes it reads."""
    network = encoder.network
    header = {
        "format": FORMAT,
        "generator": encoder.generator,
        "fingerprint": encoder.fingerprint,
        "space": encoder.space,
        "channels": network.stages[0].in_channels,
        "code": list(encoder.shape),
    }
    rows = {}
    if encoder.curvature is not None:
        rows, header["damping"] = packed(encoder.curvature.rows), encoder.curvature.damping
    write_tensors(path, {name: tensor.half() for name, tensor in network.state_dict().items()} | rows, header)


def load_encoder(path: str | os.PathLike[str], generator: Generator) -> Encoder:
    """Return the encoder in a file, for a generator, on its device.

    Raises:
        SemanifoldError: if there is no such file, it is damaged or no encoder, or was trained for another generator.
    """
    header, tensors = read_format(path, FORMAT, Header, "encoder", "give the encoder.safetensors of semanifold encoder")
    numbers = math.prod(header.code)
    if numbers > MOST_CODE:
        raise SemanifoldError(f"{shown(os.fspath(path), 200)} reads codes of {numbers} numbers; at most {MOST_CODE:,} are read.")
    network = Network(header.channels, numbers)
    encoder = Encoder(network, header.space, tuple(header.code), header.generator, header.fingerprint)
    encoder.check(generator)
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    curved = ROWS in tensors
    rows = unpacked(tensors, generator)
    if {name: tuple(tensor.shape) for name, tensor in tensors.items()} != expected or curved != (rows is not None):
        raise SemanifoldError(f"{shown(os.fspath(path), 200)} is damaged: its tensors are not those of an encoder.")
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise SemanifoldError(f"{shown(os.fspath(path), 200)} is damaged: it holds NaN or infinite values.")
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    network.to(generator.device).requires_grad_(False)
    return encoder if rows is None else replace(encoder, curvature=Curvature(rows, header.damping))


def packed(rows: Tensor) -> dict[str, Tensor]:
    """Return rows as a file keeps them, a byte a number: what is rounded off is far less than what so few draws are off by."""
    largest = rows.flatten(1).abs().amax(1).float()
    whole = (rows.float() / expanded(largest, rows).clamp(min=TINY) * LEVELS).round().to(torch.int8)
    return {ROWS: whole, LARGEST: largest}


def unpacked(tensors: dict[str, Tensor], generator: Generator) -> Tensor | None:
    """Take the rows ``[r, *code]`` out of the tensors of a file; None if there are none that fit the generator's codes."""
    whole, largest = tensors.pop(ROWS, None), tensors.pop(LARGEST, None)
    shape = generator.spaces[generator.search_space].shape
    if whole is None or largest is None or whole.dtype != torch.int8 or whole.shape[1:] != shape:
        return None
    if not 1 <= len(whole) <= MOST_ROWS or largest.shape != whole.shape[:1] or not torch.isfinite(largest).all():
        return None
    rows = whole.float() * expanded(largest, whole) / LEVELS
    return rows.to(generator.device, generator.dtype)


def expanded(largest: Tensor, rows: Tensor) -> Tensor:
    """Return one number a row ``[r]`` as ``[r, 1, ...]``."""
    return largest.reshape(-1, *[1] * (rows.ndim - 1))


def encoder_of(generator: Generator, encoder: Encoder | Literal["own"] | None) -> Encoder | None:
    """Return the encoder that is meant: ``"own"`` is the one that comes with the package for these weights, if there is one.

    Raises:
        SemanifoldError: if it was trained for another generator, or is no encoder.
    """
    if encoder == OWN:
        file = None if generator.world is None else generator.world.encoders.get(generator.fingerprint)
        return None if file is None else load_encoder(file, generator)
    if encoder is not None:
        of_type(encoder, Encoder, 'encoder is an Encoder, "own", or None for none')
        encoder.check(generator)
    return encoder
