"""DCGAN's generator (Radford et al. 2016, arXiv:1511.06434, Sec. 3), in the layout of PyTorch's examples and tutorial."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semanifold.core.latents import Latents
from semanifold.core.shapes import Pictures
from semanifold.core.spaces import Space, named
from semanifold.generators.architecture import Architecture
from semanifold.generators.base import Generator
from semanifold.generators.convolutional import Norm, averaged, check_channels, norm_state
from semanifold.generators.states import Say, Source, silent
from semanifold.generators.stylegan2.layers import drawn

KIND = "DCGAN"
KERNEL = 4
SEQUENCE = "main|net|network|model|layers|gen|generator|deconv"
"""What people call the chain of layers; PyTorch's programs say ``main``."""
MARK = re.compile(rf"({SEQUENCE})\.1\.running_mean")
"""The discriminator of these programs has no normalisation there."""
EVERY = 3
"""Places of the chain from one convolution to the next: convolution, normalisation, rectifier."""


@dataclass(frozen=True)
class DCGANConfig:
    """Everything that the shapes of the weights say about a DCGAN; every number is JSON-ready.

    Attributes:
        z_dim: width of z.
        channels: feature channels at 4, 8, ... pixels; pictures are twice as large as the last.
        colours: channels of the pictures.
    """

    z_dim: int = 100
    channels: tuple[int, ...] = (512, 256, 128, 64)
    colours: int = 3

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        check_channels(self.channels, "A DCGAN", 1)

    @property
    def size(self) -> int:
        """Height and width of the pictures."""
        return KERNEL << len(self.channels)


class DCGAN(Generator):
    """DCGAN: transposed convolutions of 4 x 4 taps, normalised and rectified, and a hyperbolic tangent; pictures in [-1, 1].

    Attributes:
        config: sizes.
    """

    def __init__(
        self,
        config: DCGANConfig,
        *,
        name: str = "dcgan",
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
        self.start = Up(config.z_dim, c[0], draw, first=True)
        self.norms = nn.ModuleList(Norm(count) for count in c)
        self.ups = nn.ModuleList(Up(a, b, draw) for a, b in pairwise(c))
        self.colours = Up(c[-1], config.colours, draw)
        self.colours.bias = nn.Parameter(torch.zeros(config.colours))
        self.freeze()

    def images(self, latents: Latents, *, size: int | None = None) -> Pictures:
        """Return the pictures ``[n, colours, size, size]`` of codes of z; smaller ones are area averages.

        Raises:
            SemanifoldError: for codes that do not fit, or a size that is not there.
        """
        self.check_shape(latents)
        x = latents.values[:, :, None, None]
        for up, norm in zip([self.start, *self.ups], self.norms, strict=True):
            x = F.relu(norm(up(x)))
        return averaged(self.colours(x).tanh(), size, self.name)


class Up(nn.Module):
    """A transposed convolution of stride 2, or the first, of stride 1."""

    bias: Tensor | None

    def __init__(self, inputs: int, outputs: int, draw: torch.Generator, *, first: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(drawn(draw, inputs, outputs, KERNEL, KERNEL, std=(2 / inputs) ** 0.5 / (1 if first else 2)))
        self.register_parameter("bias", None)
        self.stride, self.padding = (1, 0) if first else (2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``[n, in, h, h]`` to ``[n, out, 2h, 2h]``; the first 1 x 1 to 4 x 4."""
        return F.conv_transpose2d(x, self.weight, self.bias, stride=self.stride, padding=self.padding)


def recognise(state: Mapping[str, object]) -> str | None:
    """Name the layout of a chain of transposed 4 x 4 convolutions, each but the last with batch normalisation, or return None."""
    word = next((match[1] for key in state if (match := MARK.fullmatch(key))), None)
    first, second = (list(getattr(state.get(f"{word}.{place}.weight"), "shape", ())) for place in (0, EVERY))
    taps = [KERNEL, KERNEL]
    return "pytorch" if first[2:] == second[2:] == taps and first[1] == second[0] else None


def from_published(state: Mapping[str, Tensor], *, say: Say = silent) -> tuple[DCGANConfig, dict[str, Tensor]]:
    """Translate the state dict of a chain of layers into our configuration and state.

    A bias before a normalisation moves its mean.

    Raises:
        SemanifoldError: naming the tensor that is missing, left over, wrong or NaN.
    """
    word = next(match[1] for key in state if (match := MARK.fullmatch(key)))
    take = Source(state, "published", KIND)
    last = max(int(match[1]) for key in state if (match := re.fullmatch(rf"{word}\.(\d{{1,4}})\.weight", key)))
    width, channels, out = None, [], {}
    for i, place in enumerate(range(0, last, EVERY)):
        weight = take(f"{word}.{place}.weight", width, None, KERNEL, KERNEL)
        out["start.weight" if i == 0 else f"ups.{i - 1}.weight"] = weight
        width = weight.shape[1]
        channels.append(width)
        out |= norm_state(take, f"{word}.{place + 1}", f"norms.{i}", width)
        if take.has(f"{word}.{place}.bias"):
            out[f"norms.{i}.mean"] = out[f"norms.{i}.mean"] - take(f"{word}.{place}.bias", width)
    colours = take(f"{word}.{last}.weight", width, None, KERNEL, KERNEL)
    out["colours.weight"] = colours
    bias = f"{word}.{last}.bias"
    out["colours.bias"] = take(bias, colours.shape[1]) if take.has(bias) else colours.new_zeros(colours.shape[1])
    take.drop(".num_batches_tracked")
    take.finish(say)
    say("read it as PyTorch's DCGAN: rectifiers, a hyperbolic tangent, strides of 2 after the first layer, which no file says")
    return DCGANConfig(out["start.weight"].shape[0], tuple(channels), colours.shape[1]), out


DCGANS = Architecture(
    name="dcgan",
    kind=KIND,
    title="a DCGAN generator",
    layouts={"pytorch": "PyTorch's examples"},
    mark=MARK.pattern,
    recognise=recognise,
    translate=lambda foreign: from_published(foreign.state, say=foreign.say),
    config=DCGANConfig,
    make=DCGAN,
)
