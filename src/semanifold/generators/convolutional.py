"""The layers that the convolutional generators share (SN-GAN, BigGAN, Progressive GAN), written for frozen use."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semanifold.core.errors import SemanifoldError
from semanifold.generators.states import Source
from semanifold.generators.stylegan2.layers import drawn

NORM_EPSILON = 1e-5
"""What batch normalisation adds to the variance, in PyTorch and in every published generator here."""


LEAST_PIXELS = 512
"""For fewer pixels in a batch, summing the taps of a kernel costs more than it saves."""


class Conv(nn.Module):
    """A convolution that keeps the size; its random first weights keep the variance behind a rectifier."""

    def __init__(self, inputs: int, outputs: int, kernel: int, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(drawn(generator, outputs, inputs, kernel, kernel, std=math.sqrt(2 / inputs) / kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """``[n, in, h, w]`` to ``[n, out, h, w]``."""
        return F.conv2d(x, self.weight, self.bias, padding=self.weight.shape[-1] // 2)


class Norm(nn.Module):
    """Batch normalisation by the stored statistics, whatever the mode: ``gain (x - mean) / sqrt(variance + epsilon) + bias``."""

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int, epsilon: float = NORM_EPSILON) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.gain = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """``[n, c, h, w]`` to the same."""
        return normalised(x, self.mean, self.variance, self.gain, self.bias, self.epsilon)


def norm_state(take: Source, theirs: str, ours: str, channels: int | None = None) -> dict[str, Tensor]:
    """Take a batch normalisation of PyTorch out of a foreign file, as the state of a :class:`Norm`."""
    names = {"gain": "weight", "bias": "bias", "mean": "running_mean", "variance": "running_var"}
    return {f"{ours}.{name}": take(f"{theirs}.{other}", channels) for name, other in names.items()}


def normalised(x: Tensor, mean: Tensor, variance: Tensor, gain: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """``gain (x - mean) / sqrt(variance + epsilon) + bias``, one multiplication and one addition an element.

    Args:
        x: ``[n, c, h, w]``.
        mean: ``[c]``.
        variance: ``[c]``.
        gain: ``[c]`` or ``[n, c]``.
        bias: like ``gain``.
        epsilon: keeps the division finite.
    """
    scale = gain * torch.rsqrt(variance + epsilon)
    offset = bias - mean * scale
    return x * scale[..., None, None] + offset[..., None, None]


def doubled(x: Tensor) -> Tensor:
    """Repeat every pixel in a square of four: ``[n, c, h, w]`` to ``[n, c, 2h, 2w]``."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


def doubled_conv(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve :func:`doubled` features by a 3 x 3 kernel: ``[n, in, h, w]`` to ``[n, out, 2h, 2w]``.

    The four copies of a pixel meet nine taps; summed beforehand, they are one transposed convolution of stride 2 and 4 x 4 taps,
    with 16 products where there were 36.
    """
    if x.shape[0] * x.shape[2] * x.shape[3] < LEAST_PIXELS:
        return F.conv2d(doubled(x), weight, bias, padding=1)
    taps = weight.flip(2, 3).transpose(0, 1)
    rows = F.pad(taps, (0, 0, 0, 1)) + F.pad(taps, (0, 0, 1, 0))
    return F.conv_transpose2d(x, F.pad(rows, (0, 1)) + F.pad(rows, (1, 0)), bias, stride=2, padding=1)


def averaged(pictures: Tensor, size: int | None, name: str) -> Tensor:
    """Return pictures ``[n, c, h, w]`` at a smaller height by area averages, in proportion; as they are when ``size`` is None.

    Raises:
        SemanifoldError: for a size that is not in 1..h.
    """
    height, width = pictures.shape[-2:]
    if size is None or size == height:
        return pictures
    if not 1 <= size < height:
        raise SemanifoldError(f"{name} makes pictures of height 1 to {height}, not {size}.")
    return F.adaptive_avg_pool2d(pictures, (size, max(1, round(width * size / height))))


MOST_FEATURES = 1 << 28
"""Numbers in the features of one picture at one size, a gigabyte; published networks have 2^25."""


def check_channels(channels: tuple[int, ...], architecture: str, least: int = 2) -> None:
    """Refuse channel counts that make no network: too few sizes, none at some size, or more than memory holds."""
    if len(channels) < least or any(not isinstance(count, int) or count < 1 for count in channels):
        raise SemanifoldError(
            f"{architecture} needs channel counts from 1 for 4, 8, ... pixels, {least} at least; got {channels}."
        )
    for i, count in enumerate(channels):
        if count << (2 * i + 4) > MOST_FEATURES:
            raise SemanifoldError(
                f"{architecture} with {count:,} channels at {4 << i:,} pixels takes more memory than is given to a file; get a "
                "fresh copy."
            )
