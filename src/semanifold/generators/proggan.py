"""Progressive GAN (Karras et al. 2018, arXiv:1710.10196) as the PyTorch port of CelebA-HQ has it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.core.shapes import Pictures
from semanifold.core.spaces import Space, named
from semanifold.generators.architecture import Architecture, by_key
from semanifold.generators.base import Generator
from semanifold.generators.convolutional import averaged, check_channels, doubled_conv
from semanifold.generators.states import Say, Source, silent
from semanifold.generators.stylegan2.layers import EPSILON, SLOPE, drawn

KIND = "Progressive GAN"
MARK = re.compile(r"features\.\d+\.wscale\.(b|scale)")
"""A key that the published state dicts hold, and no other network's."""


@dataclass(frozen=True)
class ProgGANConfig:
    """Everything that the shapes of the weights say about a Progressive GAN; every number is JSON-ready.

    Attributes:
        z_dim: width of z.
        channels: feature channels at 4, 8, ... pixels; the last size is that of the pictures.
        colours: channels of the pictures.
    """

    z_dim: int = 512
    channels: tuple[int, ...] = (512, 512, 512, 512, 256, 128, 64, 32, 16)
    colours: int = 3

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        check_channels(self.channels, "A Progressive GAN")

    @property
    def size(self) -> int:
        """Height and width of the pictures."""
        return 2 << len(self.channels)


class ProgGAN(Generator):
    """Progressive GAN: two convolutions a resolution, each behind a pixel normalisation; pictures are not bounded.

    The code is normalised first, so its length does not matter: only its direction does. A file holds the colour layer of the
    last resolution alone, so smaller pictures are averages of full ones.

    Attributes:
        config: sizes.
    """

    def __init__(
        self,
        config: ProgGANConfig,
        *,
        name: str = "proggan",
        source: str = "unknown",
        licence: str = "unknown",
        seed: int = 0,
    ) -> None:
        """Make a generator with random weights.

        Args:
            config: sizes.
            name: what people call it.
            source: where the weights are from.
            licence: licence of the weights.
            seed: seed of the random weights.
        """
        super().__init__()
        self.config, self.name, self.source, self.licence = config, name, source, licence
        self.spaces = named(Space("z", (config.z_dim,)))
        self.picture_shape = (config.colours, config.size, config.size)
        draw, c = torch.Generator().manual_seed(seed), config.channels
        layers = [_Scaled(config.z_dim, c[0], 4, draw), _Scaled(c[0], c[0], 3, draw)]
        for a, b in pairwise(c):
            layers += [_Scaled(a, b, 3, draw), _Scaled(b, b, 3, draw)]
        self.layers = nn.ModuleList(layers)
        self.colours = _Scaled(c[-1], config.colours, 1, draw)
        self.freeze()

    def images(self, latents: Latents, *, size: int | None = None) -> Pictures:
        """Return the pictures ``[n, colours, size, size]`` of codes of z; smaller ones are area averages.

        Raises:
            SemanifoldError: for codes that do not fit, or a size that is not there.
        """
        self.check_shape(latents)
        x = latents.values[:, :, None, None]
        for i, layer in enumerate(self.layers):
            x = F.leaky_relu(layer(unit_pixels(x), double=i >= 2 and i % 2 == 0), SLOPE)
        return averaged(self.colours(unit_pixels(x)), size, self.name)


def unit_pixels(x: Tensor) -> Tensor:
    """Pixel normalisation, section 4.2 of arXiv:1710.10196: ``x / sqrt(mean over channels of x^2 + 1e-8)``."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + EPSILON)


class _Scaled(nn.Module):
    """A convolution with an equalised learning rate (section 4.1): ``scale (W * x) + b``; the first one makes 4 pixels of 1."""

    scale: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(drawn(generator, outputs, inputs, kernel, kernel))
        self.register_buffer("scale", torch.full((1,), math.sqrt(2 / inputs) / kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, *, double: bool = False) -> Tensor:
        kernel, weight = self.weight.shape[-1], self.weight * self.scale
        if double:
            return doubled_conv(x, weight, self.bias)
        return F.conv2d(x, weight, self.bias, padding=3 if kernel == 4 else kernel // 2)


def from_published(state: Mapping[str, Tensor], *, say: Say = silent) -> tuple[ProgGANConfig, dict[str, Tensor]]:
    """Translate the state dict of the PyTorch port (``100_celeb_hq_network-snapshot-010403.pth`` and others of its layout).

    Raises:
        SemanifoldError: naming the tensor that is missing, left over, wrong or NaN.
    """
    take = Source(state, "published", KIND)
    count = 1 + max((int(match[1]) for key in state if (match := re.match(r"features\.(\d{1,4})\.", key))), default=-1)
    if count < 4 or count % 2:
        raise SemanifoldError(
            f"A Progressive GAN has two layers a resolution and two resolutions at least, but these are {count} layers."
        )
    out: dict[str, Tensor] = {}
    for i in range(count):
        out |= _scaled(take, f"features.{i}", f"layers.{i}", 4 if i == 0 else 3)
    out |= _scaled(take, "output", "colours", 1)
    take.finish(say)
    channels = tuple(out[f"layers.{i}.weight"].shape[0] for i in range(1, count, 2))
    return ProgGANConfig(out["layers.0.weight"].shape[1], channels, out["colours.weight"].shape[0]), out


def _scaled(take: Source, theirs: str, ours: str, kernel: int) -> dict[str, Tensor]:
    weight = take(f"{theirs}.conv.weight", None, None, kernel, kernel)
    bias = take(f"{theirs}.wscale.b", weight.shape[0])
    return {f"{ours}.weight": weight, f"{ours}.scale": take(f"{theirs}.wscale.scale", 1), f"{ours}.bias": bias}


PROGGAN = Architecture(
    name="proggan",
    kind="Progressive GAN",
    title="a Progressive GAN generator",
    layouts={"pytorch": "the PyTorch port of CelebA-HQ (ptrblck/prog_gans_pytorch_inference)"},
    mark=MARK.pattern,
    recognise=by_key("pytorch", MARK),
    translate=lambda foreign: from_published(foreign.state, say=foreign.say),
    config=ProgGANConfig,
    make=ProgGAN,
    published=lambda _: "ProgGAN",
)
