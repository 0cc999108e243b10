"""The low-pass filters of StyleGAN3 and its filtered nonlinearity (Karras et al. 2021, arXiv:2106.12423, section 3).

A rectifier makes frequencies that the samples cannot hold. So it is applied to more samples than there are: the signal is
upsampled (zeros between the samples, then a low-pass filter), rectified, filtered again and decimated.
"""

from __future__ import annotations

import math
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from semanifold.generators.stylegan2.layers import SLOPE


def kaiser(taps: int, width: float) -> Tensor:
    """Return the Kaiser window ``[taps]`` (float64) of a filter whose transition is ``width`` wide, in units of half the rate.

    Its attenuation in decibels and its shape are Kaiser's empirical formulas (1974), which ``scipy.signal`` has as well.
    """
    decibels = 2.285 * (taps - 1) * math.pi * width + 7.95
    beta = 0.0
    if decibels > 50:
        beta = 0.1102 * (decibels - 8.7)
    elif decibels > 21:
        beta = 0.5842 * (decibels - 21) ** 0.4 + 0.07886 * (decibels - 21)
    return torch.kaiser_window(taps, periodic=False, beta=beta, dtype=torch.float64, device="cpu")


def low_pass(taps: int, cutoff: float, half_width: float, rate: float, *, radial: bool = False) -> Tensor:
    """Return a windowed low-pass filter of sum 1: ``[taps]`` for either axis, or ``[taps, taps]``.

    Args:
        taps: its length.
        cutoff: frequency at which it lets half of the amplitude through.
        half_width: half the width of its transition.
        rate: samples per unit.
        radial: whether it is the same in all directions: the jinc in place of the sinc (appendix C of the paper).
    """
    window = kaiser(taps, 2 * half_width / (rate / 2))
    places = (torch.arange(taps, dtype=torch.float64, device="cpu") - (taps - 1) / 2) / rate
    if not radial:
        values = torch.sinc(2 * cutoff * places) * window
    else:
        radius = torch.hypot(places[:, None], places)
        # the number of taps is even, so that no tap lies at 0
        values = torch.special.bessel_j1(2 * math.pi * cutoff * radius) / (math.pi * radius) * torch.outer(window, window)
    return (values / values.sum()).float()


def filtered_rectifier(
    x: Tensor, rise: Tensor, fall: Tensor, up: int, down: int, before: int, size: int, clamp: float | None
) -> Tensor:
    """Upsample, rectify, filter and decimate features: ``[n, c, h, w]`` to ``[n, c, size, size]``.

    The dense signal is never made. Its samples are those of ``up * up`` phases, each a convolution of the input by every
    ``up``-th tap; what is decimated is a sum over signals of the result's rate. No convolution meets a zero.

    Args:
        x: features; fastest with the channels last in memory.
        rise: ``[taps]`` filter behind the upsampling.
        fall: ``[taps]`` filter for either axis, or ``[taps, taps]``, before the decimation.
        up: samples of the dense signal per sample of x, along an axis.
        down: samples of the dense signal per sample of the result; divides ``up``.
        before: samples of the dense signal that precede the first one of x.
        size: height and width of the result.
        clamp: what the rectified signal is clamped to; None for no limit.
    """
    # 1. One padding for all phases. Sample m of phase p has the taps rise[first + q up] at the samples m + start + q of x.
    taps, ways, reach = len(rise) // up, up // down, -(-fall.shape[-1] // down)
    phases = [((before - p) % up, (p - before + (before - p) % up) // up) for p in range(up)]
    least, most = min(start for _, start in phases), max(start for _, start in phases)
    length = -(-(size + reach - 1) // ways) + taps - 1
    right, bottom = (most + length - side for side in (x.shape[-1], x.shape[-2]))
    x = F.pad(x, (-least, right, -least, bottom))
    # the gain of the rectifier, a root of 2, is put before it: half of it into the filter of either axis
    rise, planes = (rise.flip(0) * (up * 2**0.25)).to(x), (torch.outer(fall, fall) if fall.ndim == 1 else fall).flip(0, 1).to(x)

    def phase(i: int, j: int) -> Tensor:
        (first_i, start_i), (first_j, start_j) = phases[i], phases[j]
        part = x[..., start_i - least :, start_j - least :][..., :length, :length]
        return _per_channel(part, torch.outer(rise[first_i::up], rise[first_j::up]))

    # 2. Sample m of the result is a sum over the samples m down, m down + 1, ... of the dense signal: over as many signals of
    # its own rate, each of which is one phase, or several by turns.
    total: Tensor | None = None
    for i, j in product(range(down), repeat=2):
        dense = _by_turns([[phase(i + r * down, j + s * down) for s in range(ways)] for r in range(ways)])
        dense = F.leaky_relu(dense, SLOPE)
        dense = dense if clamp is None else dense.clamp(-clamp, clamp)
        kernel = planes[i::down, j::down]
        added = _per_channel(dense[..., : size + len(kernel) - 1, : size + kernel.shape[1] - 1], kernel)
        total = added if total is None else total + added
    assert total is not None
    return total


def _by_turns(parts: list[list[Tensor]]) -> Tensor:
    """Join features ``[n, c, h, w]``, k by k of them, whose samples take turns in rows and columns: ``[n, c, k h, k w]``."""
    if len(parts) == 1:
        return parts[0][0]
    # with the channels last in memory, where whole runs of numbers are copied
    rows = [torch.stack([part.permute(0, 2, 3, 1) for part in row], 3).flatten(2, 3) for row in parts]
    return torch.stack(rows, 2).flatten(1, 2).permute(0, 3, 1, 2)


def _per_channel(x: Tensor, kernel: Tensor) -> Tensor:
    """Correlate every channel with a kernel ``[a, b]``."""
    return F.conv2d(x, kernel.expand(x.shape[1], 1, *kernel.shape), groups=x.shape[1])
