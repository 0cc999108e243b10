"""ArcFace with a squeeze-and-excitation backbone, IR-SE50: who a face is (Deng et al. 2019, arXiv:1801.07698)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GROUPS = ((64, 3), (128, 4), (256, 14), (512, 3))
"""Channels and number of blocks; the first block of each group halves the map."""


class Excitation(nn.Module):
    """Weighs the channels by what the whole map says (Hu et al. 2018, arXiv:1709.01507)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // 16, 1, bias=False)
        self.fc2 = nn.Conv2d(channels // 16, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x * sigmoid(fc2(relu(fc1(mean x))))``."""
        return x * self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True)))).sigmoid()


class Block(nn.Module):
    """Two convolutions after a normalisation, excited, and a way around them."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(before),
            nn.Conv2d(before, after, 3, 1, 1, bias=False),
            nn.PReLU(after),
            nn.Conv2d(after, after, 3, stride, 1, bias=False),
            nn.BatchNorm2d(after),
            Excitation(after),
        )
        self.shortcut_layer = (
            nn.MaxPool2d(1, stride)
            if before == after
            else nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[n, after, h / stride, w / stride]``."""
        return self.res_layer(x) + self.shortcut_layer(x)


class ArcFace(nn.Module):
    """Faces to unit vectors; the cosine of two says how alike two people are."""

    def __init__(self) -> None:
        super().__init__()
        self.input_layer = nn.Sequential(nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64))
        blocks, before = [], 64
        for channels, depth in GROUPS:
            for index in range(depth):
                blocks.append(Block(before, channels, 1 if index else 2))
                before = channels
        self.body = nn.Sequential(*blocks)
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(512), nn.Dropout(0.4), nn.Flatten(), nn.Linear(512 * 7 * 7, 512), nn.BatchNorm1d(512)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return ``[n, 512]`` of unit length.

        Args:
            images: ``[n, 3, 112, 112]``, RGB in [-1, 1].
        """
        x = self.output_layer(self.body(self.input_layer(images)))
        return x / torch.linalg.vector_norm(x, dim=1, keepdim=True)
