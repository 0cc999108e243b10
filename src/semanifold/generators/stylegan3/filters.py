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
    ``up``-th tap; what is decimated is a sum over the phases again. All convolutions are at the rate of the input.

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
    taps, ways, count = len(rise) // up, up // down, size * down // up
    phases = [((before - p) % up, (p - before + (before - p) % up) // up) for p in range(up)]
    least, most = min(start for _, start in phases), max(start for _, start in phases)
    length = (up * count - down + fall.shape[-1] - 1) // up + taps
    right, bottom = (most + length - side for side in (x.shape[-1], x.shape[-2]))
    x = F.pad(x, (-least, right, -least, bottom))
    rise, planes = (rise.flip(0) * up).to(x), (torch.outer(fall, fall) if fall.ndim == 1 else fall).flip(0, 1).to(x)
    # 2. Every phase is rectified, and added to every phase of the result.
    totals: dict[tuple[int, int], Tensor] = {}
    for (i, (first_i, start_i)), (j, (first_j, start_j)) in product(enumerate(phases), repeat=2):
        part = x[..., start_i - least :, start_j - least :][..., :length, :length]
        dense = _per_channel(part, torch.outer(rise[first_i::up], rise[first_j::up]))
        dense = F.leaky_relu(dense, SLOPE) * math.sqrt(2)
        dense = dense if clamp is None else dense.clamp(-clamp, clamp)
        for r, s in product(range(ways), repeat=2):
            # sample m of the result's phase r begins at the sample m up + r down of the dense signal
            k, m = (i - r * down) % up, (j - s * down) % up
            kernel, a, b = planes[k::up, m::up], (k + r * down) // up, (m + s * down) // up
            added = _per_channel(dense[..., a : a + count + len(kernel) - 1, b : b + count + kernel.shape[1] - 1], kernel)
            totals[r, s] = totals[r, s] + added if (r, s) in totals else added
    # 3. The phases of the result side by side.
    if ways == 1:
        return totals[0, 0]
    lines = [torch.stack([totals[r, s] for s in range(ways)], 4).flatten(3) for r in range(ways)]
    return torch.stack(lines, 3).flatten(2, 3)


def _per_channel(x: Tensor, kernel: Tensor) -> Tensor:
    """Correlate every channel with a kernel ``[a, b]``."""
    return F.conv2d(x, kernel.expand(x.shape[1], 1, *kernel.shape), groups=x.shape[1])
