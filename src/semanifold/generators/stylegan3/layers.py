"""The layers of StyleGAN3 (Karras et al. 2021, arXiv:2106.12423), written for frozen use."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semanifold.generators.stylegan2.layers import Linear, demodulation, drawn
from semanifold.generators.stylegan3.config import LayerPlan
from semanifold.generators.stylegan3.filters import filtered_rectifier


class Pose(nn.Module):
    """How the pictures are turned and moved, beside what the codes say: three numbers that are a weight of their own.

    A change of this weight is an edit of weights like any other: it can be added, timed, baked and kept in a file.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3, 1))

    def forward(self, ones: Tensor) -> Tensor:
        """``[n, 1]`` ones to ``[n, 3]``: radians against the clock, then the way to the right and down in pictures."""
        return F.linear(ones, self.weight)


class FourierInput(nn.Module):
    """Fourier features: waves whose phases are turned and moved by the first code of w+ and by the pose (section 3.2)."""

    freqs: Tensor
    phases: Tensor

    def __init__(self, channels: int, w_dim: int, size: int, rate: float, cutoff: float, generator: torch.Generator) -> None:
        super().__init__()
        self.size, self.rate, self.cutoff = size, rate, cutoff
        self.affine = Linear(w_dim, 4, generator)
        self.weight = nn.Parameter(drawn(generator, channels, channels))
        # frequencies uniform in the disc of the cutoff: the squared length of two normal numbers is exponential
        ways = drawn(generator, channels, 2)
        squares = ways.square().sum(1, keepdim=True)
        self.register_buffer("freqs", cutoff * ways * torch.sqrt((1 - torch.exp(-squares / 2)) / squares))
        self.register_buffer("phases", drawn(generator, channels) / 4)

    def forward(self, style: Tensor, pose: Tensor) -> Tensor:
        """``[n, 4]`` (turn as a vector, way right and down) and ``[n, 3]`` to features ``[n, channels, size, size]``."""
        # 1. A wave of frequency f at a place p is sin(2 pi (f A p + phase)): turned, then moved, by the code and by the pose.
        style = style / torch.linalg.vector_norm(style[:, :2], dim=1, keepdim=True)
        cos, sin, right, down = style.unbind(1)
        turn = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
        shift = -torch.stack([right, down], 1)[..., None]
        cos, sin = pose[:, 0].cos(), pose[:, 0].sin()
        # the pose says where the picture goes, so that its places are looked up the other way
        back = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
        freqs = self.freqs @ turn
        phases = (freqs @ (shift - back @ pose[:, 1:, None])).squeeze(2) + self.phases
        freqs = freqs @ back
        # 2. Waves beyond the cutoff fade out.
        amplitudes = 1 - (torch.linalg.vector_norm(freqs, dim=2) - self.cutoff) / (self.rate / 2 - self.cutoff)
        # 3. The centres of the samples, in pictures from the middle.
        steps = (torch.arange(self.size, device=freqs.device, dtype=freqs.dtype) - (self.size - 1) / 2) / self.rate
        angles = (steps[:, None] * freqs[:, None, :, 0])[:, None] + (steps[:, None] * freqs[:, None, :, 1])[:, :, None]
        waves = torch.sin(2 * math.pi * (angles + phases[:, None, None])) * amplitudes.clamp(0, 1)[:, None, None]
        # with the channels last in memory, as all later operators keep them
        return F.linear(waves, self.weight / math.sqrt(self.weight.shape[1])).permute(0, 3, 1, 2)


class FilteredConv(nn.Module):
    """A modulated convolution and a filtered rectifier, or, at the end, colours.

    Its style ``affine(w)`` is worked out before, since a code of s brings it along.
    """

    magnitude: Tensor
    rise: Tensor | None
    fall: Tensor | None

    def __init__(self, plan: LayerPlan, w_dim: int, taps: int, clamp: float | None, generator: torch.Generator) -> None:
        super().__init__()
        self.plan, self.clamp = plan, clamp
        self.affine = Linear(w_dim, plan.inputs, generator, bias=1.0)
        self.weight = nn.Parameter(drawn(generator, plan.outputs, plan.inputs, plan.kernel, plan.kernel))
        self.bias = nn.Parameter(torch.zeros(plan.outputs))
        self.register_buffer("magnitude", torch.ones(()))
        filters = plan.filters(taps)
        self.register_buffer("rise", filters.get("rise"))
        self.register_buffer("fall", filters.get("fall"))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """``[n, in, h, w]`` features and ``[n, in]`` styles to ``[n, out, size, size]``."""
        # the mean square of the features was tracked in training; the convolution takes them at unit size (section 3.2)
        size = torch.rsqrt(self.magnitude)
        if self.rise is None or self.fall is None:
            style = style * (size / math.sqrt(self.weight.shape[1]))
            x = F.conv2d(x * style[:, :, None, None], self.weight, self.bias)
            return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)
        style = style * torch.rsqrt(style.square().mean(1, keepdim=True))
        scale = demodulation(style, self.weight) * size
        x = F.conv2d(x * style[:, :, None, None], self.weight, padding=self.plan.kernel - 1)
        x = x * scale[:, :, None, None] + self.bias[:, None, None]
        plan = self.plan
        return filtered_rectifier(x, self.rise, self.fall, plan.up, plan.down, plan.before, plan.size, self.clamp)
