"""What the sizes of a StyleGAN3 follow from: cutoffs in a geometric progression (arXiv:2106.12423, section 3.2, appendix C)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.generators.architecture import LARGEST
from semanifold.generators.stylegan3.filters import low_pass

DENSER = 2
"""Samples of the signal that is rectified, per sample of the layer's result along an axis."""
WIDEST, STEEPEST = 256, 16
"""The margin, and the samples of a dense signal per sample that a layer takes, at most: a file may claim more."""


@dataclass(frozen=True)
class StyleGAN3Config:
    """Everything that a StyleGAN3 can be made of again; every number is JSON-ready.

    Attributes:
        size: height and width of the pictures.
        z_dim: width of z.
        w_dim: width of w.
        channels: features of every layer but the last, which makes colours; the first layer's are also those of the input.
        mapping_layers: layers of the mapping network.
        classes: number of classes, 0 without.
        colours: channels of the pictures.
        kernel: height and width of the kernels: 3 (StyleGAN3-T) or 1 (StyleGAN3-R).
        radial: whether the filters before the decimation are the same in all directions (StyleGAN3-R).
        critical: layers at the end, before the colours, that are sampled as densely as their cutoff asks for.
        cutoff: that of the input, in cycles per picture.
        stopband: of the input.
        last_stopband: of the last layer, as a multiple of its cutoff.
        margin: samples that features go beyond the picture on every side.
        taps: of a filter, per sample of its coarser side.
        clamp: features are clamped to ``[-clamp, clamp]`` behind the rectifier; None for no limit.
        scale: what the colours are multiplied by at the end.
        mapping_lr: learning rate multiplier of the mapping network, which also scales its weights.
    """

    size: int
    z_dim: int
    w_dim: int
    channels: tuple[int, ...]
    mapping_layers: int = 2
    classes: int = 0
    colours: int = 3
    kernel: int = 3
    radial: bool = False
    critical: int = 2
    cutoff: float = 2.0
    stopband: float = 2**2.1
    last_stopband: float = 2**0.3
    margin: int = 10
    taps: int = 6
    clamp: float | None = 256.0
    scale: float = 0.25
    mapping_lr: float = 0.01

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        layers, last = len(self.channels), self.size / 2
        if not 0 <= self.critical < layers:
            raise SemanifoldError(f"A StyleGAN3 has more than {self.critical} layers, its critical ones, but got {layers}.")
        if not (16 <= self.size <= LARGEST and self.size & (self.size - 1) == 0):
            raise SemanifoldError(f"A StyleGAN3 makes pictures of 16, 32, ... {LARGEST} pixels, not {self.size}.")
        if not (0 < self.cutoff <= last and self.cutoff < self.stopband and self.last_stopband > 1):
            raise SemanifoldError("The cutoffs of a StyleGAN3 grow up to half its size, and its stopbands lie above them.")
        if self.kernel not in (1, 3) or self.taps < 1 or self.taps > 64 or self.margin > WIDEST or self.mapping_layers < 1:
            raise SemanifoldError("A StyleGAN3 has kernels of 1 or 3, a margin, filters of taps, and a mapping network.")

    @property
    def num_ws(self) -> int:
        """Codes in w+: one for the input, one a layer."""
        return len(self.channels) + 2


@dataclass(frozen=True)
class LayerPlan:
    """Sizes and filters of one layer.

    Attributes:
        inputs: channels that it takes.
        outputs: channels that it makes.
        size: height and width that it makes.
        before: samples of the dense signal that precede the first one of the convolution's result.
        up: samples of the dense signal per sample that it takes, along an axis.
        down: samples of the dense signal per sample that it makes.
        rate: samples of the dense signal per picture.
        rise: cutoff and half width of the filter behind the upsampling.
        fall: cutoff and half width of the filter before the decimation.
        radial: whether this one is the same in all directions.
        kernel: height and width of its kernels.
        colour: whether it makes colours, without filters and rectifier.
    """

    inputs: int
    outputs: int
    size: int
    before: int
    up: int
    down: int
    rate: float
    rise: tuple[float, float]
    fall: tuple[float, float]
    radial: bool
    kernel: int
    colour: bool

    def filters(self, taps: int) -> dict[str, Tensor]:
        """Return the filters behind the upsampling and before the decimation; none of a layer that makes colours."""
        if self.colour:
            return {}
        rise = low_pass(taps * self.up, *self.rise, self.rate)
        return {"rise": rise, "fall": low_pass(taps * self.down, *self.fall, self.rate, radial=self.radial)}


def plan(config: StyleGAN3Config) -> tuple[tuple[LayerPlan, ...], int, float]:
    """Return the layers, and the size and the sampling rate of the input that comes before them."""
    count, c = len(config.channels), config
    # 1. Cutoff and stopband of every layer: a geometric progression that is constant over the last, critical ones.
    share = [min(i / (count - c.critical), 1.0) for i in range(count + 1)]
    cutoffs = [c.cutoff * (c.size / 2 / c.cutoff) ** e for e in share]
    stops = [c.stopband * (c.size / 2 * c.last_stopband / c.stopband) ** e for e in share]
    # 2. Samples: a power of two that holds the stopband, at most one a pixel; the picture's margin, which the last two lack.
    rates = [2.0 ** math.ceil(math.log2(min(2 * stop, c.size))) for stop in stops]
    widths = [max(stop, rate / 2) - cutoff for stop, rate, cutoff in zip(stops, rates, cutoffs)]
    sizes = [int(rate) + 2 * c.margin for rate in rates[:-2]] + [c.size] * 2
    if max(sizes) > LARGEST + 2 * c.margin:
        raise SemanifoldError(f"The features of a StyleGAN3 have {LARGEST} samples a side at most, besides the margin.")
    # 3. What every layer does between the samples of the one before it and its own.
    layers, outputs = [], (*c.channels, c.colours)
    for i in range(count + 1):
        last, before = i == count, max(i - 1, 0)
        rate = max(rates[before], rates[i]) * (1 if last else DENSER)
        up, down, kernel = round(rate / rates[before]), round(rate / rates[i]), 1 if last else c.kernel
        if up % down or up > STEEPEST:
            raise SemanifoldError(
                f"A layer of a StyleGAN3 has as many samples as the one before, or up to {STEEPEST // DENSER} times as many; "
                "there are too few layers for such pictures."
            )
        taps = (1 if last else c.taps * up) + (1 if last else c.taps * down) - 2
        missing = (sizes[i] - 1) * down + 1 - (sizes[before] + kernel - 1) * up + taps
        layers.append(
            LayerPlan(
                outputs[before], outputs[i], sizes[i], (missing + up) // 2, up, down, rate, (cutoffs[before], widths[before]),
                (cutoffs[i], widths[i]), c.radial and i < count - c.critical, kernel, last,
            )
        )  # fmt: skip
    return tuple(layers), sizes[0], rates[0]
