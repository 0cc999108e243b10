"""SN-GAN's residual generator (Miyato et al. 2018, arXiv:1802.05957, appendix B.4): digits of 32 and anime faces of 64 pixels."""

from __future__ import annotations

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
from semanifold.generators.convolutional import Conv, Norm, averaged, check_channels, doubled, doubled_conv, norm_state
from semanifold.generators.states import Say, Source, silent
from semanifold.generators.stylegan2.layers import drawn

KIND = "SN-GAN"
MARK = re.compile(r"model\.\d+\.model\.\d+\.running_mean")
"""A key that the published state dicts hold, and no other network's."""


@dataclass(frozen=True)
class SNGANConfig:
    """Everything that the shapes of the weights say about an SN-GAN generator; every number is JSON-ready.

    Attributes:
        z_dim: width of z.
        channels: feature channels at 4, 8, ... pixels; the last size is that of the pictures.
        colours: channels of the pictures.
    """

    z_dim: int = 128
    channels: tuple[int, ...] = (256, 256, 256, 256)
    colours: int = 3

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        check_channels(self.channels, "An SN-GAN")

    @property
    def size(self) -> int:
        """Height and width of the pictures."""
        return 2 << len(self.channels)


class SNGAN(Generator):
    """SN-GAN: a linear layer, residual blocks that double the size, and a hyperbolic tangent; pictures lie in [-1, 1].

    The spectral normalisation of its name is the discriminator's; the generator has batch normalisation, frozen here.

    Attributes:
        config: sizes.
    """

    def __init__(
        self,
        config: SNGANConfig,
        *,
        name: str = "sngan",
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
        self.start = _Start(config.z_dim, c[0], draw)
        self.blocks = nn.ModuleList(_Block(a, b, draw) for a, b in pairwise(c))
        self.norm = Norm(c[-1])
        self.colours = Conv(c[-1], config.colours, 3, draw)
        self.freeze()

    def images(self, latents: Latents, *, size: int | None = None) -> Pictures:
        """Return the pictures ``[n, colours, size, size]`` of codes of z; smaller ones are area averages.

        Raises:
            SemanifoldError: for codes that do not fit, or a size that is not there.
        """
        self.check_shape(latents)
        x = self.start(latents.values)
        for block in self.blocks:
            x = block(x)
        return averaged(self.colours(F.relu(self.norm(x))).tanh(), size, self.name)


class _Start(nn.Module):
    """A linear layer from z ``[n, z]`` to the features ``[n, c, 4, 4]``."""

    def __init__(self, z_dim: int, channels: int, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(drawn(generator, 16 * channels, z_dim, std=z_dim**-0.5))
        self.bias = nn.Parameter(torch.zeros(16 * channels))

    def forward(self, z: Tensor) -> Tensor:
        return F.linear(z, self.weight, self.bias).unflatten(1, (-1, 4, 4))


class _Block(nn.Module):
    """A residual block ``[n, in, h, h]`` to ``[n, out, 2h, 2h]``; the shortcut has a convolution only if the channels change."""

    def __init__(self, inputs: int, outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        self.norm1, self.norm2 = Norm(inputs), Norm(outputs)
        self.conv1 = Conv(inputs, outputs, 3, generator)
        self.conv2 = Conv(outputs, outputs, 3, generator)
        self.bypass = Conv(inputs, outputs, 3, generator) if inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        inner = doubled_conv(F.relu(self.norm1(x)), self.conv1.weight, self.conv1.bias)
        inner = self.conv2(F.relu(self.norm2(inner)))
        return inner + (doubled(x) if self.bypass is None else doubled_conv(x, self.bypass.weight, self.bypass.bias))


def from_published(state: Mapping[str, Tensor], *, say: Say = silent) -> tuple[SNGANConfig, dict[str, Tensor]]:
    """Translate ``generator.pt`` of GANLatentDiscovery, Navigan and WarpedGANSpace into our configuration and state.

    That file names the convolutions of a block twice (``conv1`` and ``model.3``, ``conv2`` and ``model.6``); either name will do.

    Raises:
        SemanifoldError: naming the tensor that is missing, left over, wrong or NaN, or that differs from its other name.
    """
    take = Source(state, "published", KIND)
    numbers = {int(match[1]) for key in state if (match := re.match(r"model\.(\d{1,4})\.(model|conv[12]|bypass)\.", key))}
    last = max(numbers, default=1)
    weight = take("model.0.weight", None, None)
    out = {"start.weight": weight, "start.bias": take("model.0.bias", weight.shape[0])}
    channels = [weight.shape[0] // 16]
    for i in range(2, last + 1):
        theirs, ours = f"model.{i}", f"blocks.{i - 2}"
        out |= norm_state(take, f"{theirs}.model.0", f"{ours}.norm1") | _conv(take, theirs, "conv1", "model.3", ours)
        out |= norm_state(take, f"{theirs}.model.4", f"{ours}.norm2") | _conv(take, theirs, "conv2", "model.6", ours)
        channels.append(out[f"{ours}.conv1.weight"].shape[0])
        if channels[-2] != channels[-1]:
            out[f"{ours}.bypass.weight"] = take(f"{theirs}.bypass.1.weight", channels[-1], channels[-2], 3, 3)
            out[f"{ours}.bypass.bias"] = take(f"{theirs}.bypass.1.bias", channels[-1])
    out |= norm_state(take, f"model.{last + 1}", "norm")
    colours = take(f"model.{last + 3}.weight", None, channels[-1], 3, 3)
    out |= {"colours.weight": colours, "colours.bias": take(f"model.{last + 3}.bias", colours.shape[0])}
    take.drop(".num_batches_tracked")
    take.finish(say)
    return SNGANConfig(weight.shape[1], tuple(channels), colours.shape[0]), out


def _conv(take: Source, block: str, name: str, alias: str, ours: str) -> dict[str, Tensor]:
    out: dict[str, Tensor] = {}
    for part, shape in (("weight", (None, None, 3, 3)), ("bias", (None,))):
        first, second = f"{block}.{name}.{part}", f"{block}.{alias}.{part}"
        value = take(first if take.has(first) or not take.has(second) else second, *shape)
        if take.has(first) and take.has(second):
            other = take(second, *value.shape)
            if not value.is_meta and not torch.equal(value, other):
                raise SemanifoldError(
                    f"{first} and {second} are one tensor in a published SN-GAN, but differ here; take another copy."
                )
        out[f"{ours}.{name}.{part}"] = value
    return out


SNGANS = Architecture(
    name="sngan",
    kind="SN-GAN",
    title="an SN-GAN generator",
    layouts={"latent-discovery": "GANLatentDiscovery, Navigan or WarpedGANSpace"},
    mark=MARK.pattern,
    recognise=by_key("latent-discovery", MARK),
    translate=lambda foreign: from_published(foreign.state, say=foreign.say),
    config=SNGANConfig,
    make=SNGAN,
    published=lambda made: {(1, 32, 32): "SNGAN_MNIST", (3, 64, 64): "SNGAN_AnimeFaces"}.get(made.picture_shape),
)
