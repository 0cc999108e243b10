"""A generator of two layers in double precision."""

from __future__ import annotations

import torch
from torch import nn

from semanifold.generators.base import Generator
from semanifold.generators.wrapped import wrap


def two_layers() -> Generator:
    """Two layers of very different norms: z [3] -> 1 channel of 4 x 4 -> pictures."""
    net = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 3, 1))
    draw = torch.Generator().manual_seed(0)
    for scale, parameter in zip((1.0, 0.1, 20.0, 0.1), net.parameters(), strict=True):
        parameter.data = scale * torch.randn(parameter.shape, generator=draw)
    return wrap(net.double(), 3)
