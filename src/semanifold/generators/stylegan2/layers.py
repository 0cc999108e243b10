"""The equations and layers of StyleGAN2 (Karras et al. 2020, arXiv:1912.04958), written for frozen use.

Modulation is *unfused*: the style scales the input of one convolution that the whole batch shares, and the demodulation
scales its output, which is the same as giving every sample its own kernel (section 2.2 of the paper) without the kernels.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semanifold.core.errors import SemanifoldError
from semanifold.generators.mixed_weight import MixedWeight

SLOPE = 0.2
"""Slope of every leaky rectifier below zero."""

EPSILON = 1e-8
"""Keeps the normalisations finite."""

MOST_LR = 1e6
"""Learning rate multiplier of a mapping network, at most, and one over the least; usual are 0.01 and 1."""


def drawn(generator: torch.Generator, *shape: int, std: float = 1.0) -> Tensor:
    """Return normal numbers, or on the meta device an empty tensor (drawing there would import torch's compiler, for seconds)."""
    empty = torch.empty(*shape)
    return empty if empty.is_meta else empty.normal_(std=std, generator=generator)


def unit_moment(x: Tensor) -> Tensor:
    """``x / sqrt(mean(x^2))`` over the last dimension: the input normalisation of the mapping network."""
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPSILON)


def demodulation(styles: Tensor, weight: Tensor | MixedWeight) -> Tensor:
    """``d = 1 / sqrt(sum_{i,k} (s_i w_oik)^2)``, eq. 3 of arXiv:1912.04958, without a kernel per sample.

    Args:
        styles: ``[n, in]``.
        weight: ``[out, in, k, k]``, or one per sample.

    Returns:
        ``[n, out]``; the output of the shared convolution of ``s * x`` times this has the variance of one kernel per sample.
    """
    if isinstance(weight, MixedWeight):
        return torch.rsqrt(weight.squares(styles.square()) + EPSILON)
    # the sum over a kernel as a product with ones, since torch sums nine neighbours at half the speed
    kernels = weight.square().flatten(2)
    return torch.rsqrt(styles.square() @ (kernels @ kernels.new_ones(kernels.shape[-1])).T + EPSILON)


def blur(x: Tensor) -> Tensor:
    """Smooth with the taps (1, 3, 3, 1) / 4 along both axes, no padding: ``[n, c, h, w]`` to ``[n, c, h - 3, w - 3]``.

    Twice the unit sum an axis, since half of the samples of a picture doubled by zero insertion are zero.
    """
    channels = x.shape[1]
    taps = torch.tensor([0.25, 0.75, 0.75, 0.25], dtype=x.dtype, device=x.device)
    x = F.conv2d(x, taps.reshape(1, 1, 4, 1).expand(channels, 1, 4, 1), groups=channels)
    return F.conv2d(x, taps.reshape(1, 1, 1, 4).expand(channels, 1, 1, 4), groups=channels)


def upsample(x: Tensor) -> Tensor:
    """Double height and width by zero insertion and the filter (1, 3, 3, 1): ``[n, c, h, w]`` to ``[n, c, 2h, 2w]``.

    Away from the border that is bilinear interpolation; beyond it the picture counts as zero.
    """
    x = F.interpolate(F.pad(x, (1, 1, 1, 1)), scale_factor=2, mode="bilinear", align_corners=False)
    return x[..., 2:-2, 2:-2]


class Linear(nn.Module):
    """A fully connected layer with an equalised learning rate: ``x W^T lr / sqrt(in) + b lr``."""

    def __init__(self, inputs: int, outputs: int, generator: torch.Generator, *, lr: float = 1.0, bias: float = 0.0) -> None:
        super().__init__()
        self.lr = lr
        self.weight = nn.Parameter(drawn(generator, outputs, inputs, std=1 / lr))
        self.bias = nn.Parameter(torch.full((outputs,), bias / lr))

    def forward(self, x: Tensor) -> Tensor:
        """``[..., in]`` to ``[..., out]``; scales the small input rather than the large weight."""
        return F.linear(x * (self.lr / math.sqrt(self.weight.shape[1])), self.weight, self.bias * self.lr)


class Mapping(nn.Module):
    """The mapping network f: z (and class weights) to w."""

    def __init__(
        self, widths: tuple[int, ...], classes: int, label_width: int, generator: torch.Generator, *, lr: float, joint: bool
    ) -> None:
        """Make the network.

        Args:
            widths: z, hidden layers, w.
            classes: number of classes, 0 without.
            label_width: size of the embedded class.
            generator: source of the first weights.
            lr: learning rate multiplier of the layers.
            joint: normalise z and the embedded class together, not each by itself.

        Raises:
            SemanifoldError: for a multiplier that files claim and networks cannot have.
        """
        super().__init__()
        if not 1 / MOST_LR <= lr <= MOST_LR:
            raise SemanifoldError(
                f"The learning rate multiplier of a mapping network is {1 / MOST_LR:g} to {MOST_LR:g}, but mapping_lr is {lr:g}."
            )
        self.joint = joint
        self.embed = Linear(classes, label_width, generator) if classes else None
        inputs = (widths[0] + (label_width if classes else 0), *widths[1:-1])
        self.layers = nn.ModuleList(Linear(a, b, generator, lr=lr) for a, b in zip(inputs, widths[1:]))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """``[n, z]`` and ``[n, classes]`` class weights to ``[n, w]``."""
        parts = [z] if self.embed is None or labels is None else [z, self.embed(labels)]
        x = unit_moment(torch.cat(parts, -1)) if self.joint else torch.cat([unit_moment(part) for part in parts], -1)
        for layer in self.layers:
            x = F.leaky_relu(layer(x), SLOPE) * math.sqrt(2)
        return x


class StyledConv(nn.Module):
    """A modulated 3 x 3 convolution, noise, bias and leaky rectifier; doubles the size first when ``up``.

    Its style ``affine(w)`` is worked out before, since a code of s brings it along.
    The first weights have unit variance; the gain ``1 / sqrt(9 in)`` of the paper's code cancels in the demodulation.
    """

    noise: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        w_dim: int,
        size: tuple[int, int],
        generator: torch.Generator,
        *,
        up: bool,
        clamp: float | None,
    ) -> None:
        super().__init__()
        self.up, self.clamp, self.size = up, clamp, size
        self.affine = Linear(w_dim, inputs, generator, bias=1.0)
        self.weight = nn.Parameter(drawn(generator, outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise", drawn(generator, *size))

    def forward(self, x: Tensor, styles: Tensor, noise: Tensor | None, gain: float = 1.0) -> Tensor:
        """``[n, in, h, w]`` features and ``[n, in]`` styles to ``[n, out, *size]``; ``noise`` is broadcast over channels."""
        scale = demodulation(styles, self.weight)
        x = x * styles[:, :, None, None]
        if self.up:
            x = blur(F.pad(F.conv_transpose2d(x, self.weight.transpose(0, 1), stride=2), (1, 1, 1, 1)))
        else:
            x = F.conv2d(x, self.weight, padding=1)
        x = x * scale[:, :, None, None]
        if noise is not None:
            x = x + noise * self.noise_strength
        x = F.leaky_relu(x + self.bias[:, None, None], SLOPE) * (math.sqrt(2) * gain)
        return x if self.clamp is None else x.clamp(-self.clamp * gain, self.clamp * gain)


class Colour(nn.Module):
    """Features to colours (ToRGB): a modulated 1 x 1 convolution without demodulation."""

    def __init__(self, inputs: int, colours: int, w_dim: int, generator: torch.Generator, *, clamp: float | None) -> None:
        super().__init__()
        self.clamp = clamp
        self.affine = Linear(w_dim, inputs, generator, bias=1.0)
        self.weight = nn.Parameter(drawn(generator, colours, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(colours))

    def forward(self, x: Tensor, styles: Tensor) -> Tensor:
        """``[n, in, h, w]`` features and ``[n, in]`` styles to ``[n, colours, h, w]``."""
        styles = styles / math.sqrt(self.weight.shape[1])
        x = F.conv2d(x * styles[:, :, None, None], self.weight, self.bias)
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)


class Bypass(nn.Module):
    """The shortcut of a residual block: a 1 x 1 convolution, then the size doubles."""

    def __init__(self, inputs: int, outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(drawn(generator, outputs, inputs, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """``[n, in, h, w]`` to ``[n, out, 2h, 2w]``, scaled by ``sqrt(1/2)`` which keeps the variance of the sum."""
        return upsample(F.conv2d(x, self.weight * math.sqrt(0.5 / self.weight.shape[1])))
