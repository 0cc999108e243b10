"""BigGAN (Brock et al. 2019, arXiv:1809.11096), the class-conditional generator of BigGAN-PyTorch at 32 to 512 pixels."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import LABELS, Latents
from semanifold.core.shapes import Pictures
from semanifold.core.spaces import Space, named
from semanifold.generators.base import Generator
from semanifold.generators.convolutional import (
    NORM_EPSILON,
    Norm,
    averaged,
    check_channels,
    doubled,
    doubled_conv,
    normalised,
)
from semanifold.generators.mixed_weight import MixedWeight
from semanifold.generators.stylegan2.layers import drawn


@dataclass(frozen=True)
class BigGANConfig:
    """Everything that the shapes of the weights say about a BigGAN, and one number that they do not; every number is JSON-ready.

    Attributes:
        z_dim: width of z.
        classes: number of classes.
        embedding: width of the embedded class.
        channels: feature channels at 4, 8, ... pixels; the last size is that of the pictures.
        attention: sizes, in pixels, at which features attend to one another.
        hierarchical: z is cut into equal chunks, the first for the start and one for each block; else all of z is for the start.
        colours: channels of the pictures.
        norm_epsilon: what batch normalisation adds to the variance (``BN_eps``; the weights do not tell).
    """

    z_dim: int = 120
    classes: int = 1000
    embedding: int = 128
    channels: tuple[int, ...] = (1536, 1536, 768, 384, 192, 96)
    attention: tuple[int, ...] = (64,)
    hierarchical: bool = True
    colours: int = 3
    norm_epsilon: float = NORM_EPSILON

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        object.__setattr__(self, "attention", tuple(self.attention))
        check_channels(self.channels, "A BigGAN")
        sizes = [4 << i for i in range(1, len(self.channels))]
        if not set(self.attention) <= set(sizes):
            raise SemanifoldError(f"A BigGAN of {self.size} pixels can attend at {sizes} pixels, not at {self.attention}.")
        if self.hierarchical and self.z_dim % len(self.channels):
            raise SemanifoldError(
                f"A z of {self.z_dim} numbers cannot be cut into {len(self.channels)} equal chunks; choose a multiple."
            )

    @property
    def size(self) -> int:
        """Height and width of the pictures."""
        return 2 << len(self.channels)

    @property
    def chunk(self) -> int:
        """Numbers of z for the start."""
        return self.z_dim // len(self.channels) if self.hierarchical else self.z_dim


class BigGAN(Generator):
    """BigGAN: residual blocks whose normalisations are steered by the class and a chunk of z; pictures lie in [-1, 1].

    Every sample has its own class: labels are weights ``[n, classes]``, and a mixture of classes is one of their embeddings.
    Weights are divided by an estimate of their largest singular value, one power iteration from the stored vectors, as the
    published code does in evaluation mode; the exact value would make other pictures.

    Attributes:
        config: sizes.
    """

    def __init__(
        self,
        config: BigGANConfig,
        *,
        name: str = "biggan",
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
        self.picture_shape, self.classes = (config.colours, config.size, config.size), config.classes
        draw, c = torch.Generator().manual_seed(seed), config.channels
        condition = config.embedding + (config.chunk if config.hierarchical else 0)
        self.embedding = nn.Parameter(drawn(draw, config.classes, config.embedding))
        self.start = _Spectral((16 * c[0], config.chunk), draw)
        self.blocks = nn.ModuleList(_Block(a, b, condition, config.norm_epsilon, draw) for a, b in pairwise(c))
        self.attentions = nn.ModuleDict({str(size): _Attention(c[size.bit_length() - 3], draw) for size in config.attention})
        self.norm = Norm(c[-1], config.norm_epsilon)
        self.colours = _Spectral((config.colours, c[-1], 3, 3), draw)
        self.freeze()

    def images(self, latents: Latents, *, size: int | None = None) -> Pictures:
        """Return the pictures ``[n, colours, size, size]`` of codes of z with labels; smaller ones are area averages.

        Raises:
            SemanifoldError: for codes or labels that do not fit, or a size that is not there.
        """
        self.check_shape(latents)
        config = self.config
        classes = self.condition(latents, LABELS) @ self.embedding
        chunks = latents.values.split(config.chunk, 1)
        x = self.start(chunks[0]).unflatten(1, (-1, 4, 4))
        for i, block in enumerate(self.blocks):
            x = block(x, torch.cat([classes, chunks[i + 1]], 1) if config.hierarchical else classes)
            if (side := 8 << i) in config.attention:
                x = self.attentions[str(side)](x)
        return averaged(self.colours(F.relu(self.norm(x))).tanh(), size, self.name)


def spectral_norm(weight: Tensor, u: Tensor) -> Tensor:
    """Estimate the largest singular value by one power iteration, ``|W v|`` with ``v = W^T u / |W^T u|``.

    Algorithm 1 of Miyato et al. 2018, arXiv:1802.05957.

    Args:
        weight: ``[out, ...]``, flattened to a matrix.
        u: ``[out]``, the left vector that training left behind, of any length.
    """
    matrix = weight.flatten(1)
    return (matrix @ F.normalize(u @ matrix, dim=0)).norm()


class _Spectral(nn.Module):
    """A linear layer or convolution (by the shape of its weight) divided by :func:`spectral_norm`."""

    u: Tensor

    def __init__(self, shape: tuple[int, ...], generator: torch.Generator, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(drawn(generator, *shape))
        self.bias = nn.Parameter(torch.zeros(shape[0])) if bias else None
        self.register_buffer("u", drawn(generator, shape[0]))

    def forward(self, x: Tensor, *, double: bool = False) -> Tensor:
        weight: Any = self.weight
        if isinstance(weight, MixedWeight):
            weight = weight.scaled(1 / torch.stack([spectral_norm(weight.of(i), self.u) for i in range(len(weight))]))
        else:
            weight = weight / spectral_norm(weight, self.u)
        if weight.ndim == 2:
            return F.linear(x, weight, self.bias)
        if double:
            return doubled_conv(x, weight, self.bias)
        return F.conv2d(x, weight, self.bias, padding=weight.shape[-1] // 2)


class _ClassNorm(nn.Module):
    """Batch normalisation by stored statistics whose gain and bias come from the condition ``[n, d]``, linearly."""

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int, condition: int, epsilon: float, generator: torch.Generator) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.gain = _Spectral((channels, condition), generator, bias=False)
        self.shift = _Spectral((channels, condition), generator, bias=False)
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return normalised(x, self.mean, self.variance, 1 + self.gain(condition), self.shift(condition), self.epsilon)


class _Block(nn.Module):
    """A residual block ``[n, in, h, h]`` to ``[n, out, 2h, 2h]``, steered by the condition ``[n, d]``."""

    def __init__(self, inputs: int, outputs: int, condition: int, epsilon: float, generator: torch.Generator) -> None:
        super().__init__()
        self.norm1 = _ClassNorm(inputs, condition, epsilon, generator)
        self.conv1 = _Spectral((outputs, inputs, 3, 3), generator)
        self.norm2 = _ClassNorm(outputs, condition, epsilon, generator)
        self.conv2 = _Spectral((outputs, outputs, 3, 3), generator)
        self.bypass = _Spectral((outputs, inputs, 1, 1), generator)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        inner = self.conv1(F.relu(self.norm1(x, condition)), double=True)
        inner = self.conv2(F.relu(self.norm2(inner, condition)))
        # a convolution of single pixels may as well come before the doubling
        return inner + doubled(self.bypass(x))


class _Attention(nn.Module):
    """Self-attention (Zhang et al. 2019, arXiv:1805.08318) whose keys and values are pooled: ``x + gamma o(...)``."""

    def __init__(self, channels: int, generator: torch.Generator) -> None:
        super().__init__()
        inner = {"query": channels // 8, "key": channels // 8, "value": channels // 2}
        self.query, self.key, self.value = (_Spectral((n, channels, 1, 1), generator, bias=False) for n in inner.values())
        self.out = _Spectral((channels, channels // 2, 1, 1), generator, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        query = self.query(x).flatten(2)
        key, value = (F.max_pool2d(layer(x), 2).flatten(2) for layer in (self.key, self.value))
        weights = (query.transpose(1, 2) @ key).softmax(-1)
        mixed = (value @ weights.transpose(1, 2)).unflatten(2, x.shape[2:])
        return x + self.gamma * self.out(mixed)
