"""Residual networks (He et al. 2016, arXiv:1512.03385) with torchvision's names of tensors, without its package."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F


class Block(nn.Module):
    """Two 3 x 3 convolutions and a way around them (Fig. 5, left)."""

    widening = 1

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        self.downsample = shortcut(before, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[n, width, h / stride, w / stride]``."""
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 (with the stride) and 1 x 1 convolutions and a way around them (Fig. 5, right)."""

    widening = 4

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(before, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)
        self.downsample = shortcut(before, 4 * width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[n, 4 width, h / stride, w / stride]``."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))


def shortcut(before: int, after: int, stride: int) -> nn.Module:
    """The way around a block: nothing where the sizes agree, else a 1 x 1 convolution."""
    if stride == 1 and before == after:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))


class Trunk(nn.Module):
    """The part of a residual network before its last layer; its leaves add their heads."""

    def __init__(self, block: type[Block] | type[Bottleneck], depths: Sequence[int]) -> None:
        """Make it with random weights.

        Args:
            block: what it is built of.
            depths: blocks at 1/4, 1/8, 1/16 and 1/32 of the picture.
        """
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        before = 64
        for level, depth in enumerate(depths):
            width, blocks = 64 << level, []
            for index in range(depth):
                blocks.append(block(before, width, 2 if level and not index else 1))
                before = width * block.widening
            self.add_module(f"layer{level + 1}", nn.Sequential(*blocks))
        self.levels, self.width = len(depths), before

    def features(self, x: Tensor) -> Tensor:
        """Return one vector a picture ``[n, width]``: the mean over all places of the last maps."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for level in range(self.levels):
            x = self.get_submodule(f"layer{level + 1}")(x)
        return x.mean((2, 3))
