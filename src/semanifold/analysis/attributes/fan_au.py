"""FAN-AU: intensities of facial action units as heat maps over a face (Ntinou et al. 2021, arXiv:2004.06657)."""

from __future__ import annotations

from torch import Tensor, cat, nn
from torch.nn import functional as F

ACTION_UNITS = (
    "au_1_Inner_Brow_Raiser",
    "au_2_Outer_Brow_Raiser",
    "au_4_Brow_Lowerer",
    "au_5_Upper_Lid_Raiser",
    "au_6_Cheek_Raiser",
    "au_9_Nose_Wrinkler",
    "au_12_Lip_Corner_Puller",
    "au_15_Lip_Corner_Depressor",
    "au_17_Chin_Raiser",
    "au_20_Lip_stretcher",
    "au_25_Lips_part",
    "au_26_Jaw_Drop",
)
"""The units of DISFA in the order of the maps, by the names of WarpedGANSpace."""

DEPTH = 4


class Block(nn.Module):
    """Three convolutions whose results are put side by side and added to the input (Bulat & Tzimiropoulos 2017)."""

    def __init__(self, before: int, after: int, kernel: int = 3) -> None:
        super().__init__()
        half, quarter = after // 2, after // 4
        for index, (a, b) in enumerate(((before, half), (half, quarter), (quarter, quarter)), 1):
            self.add_module(f"conv{index}", nn.Conv2d(a, b, kernel, padding=kernel // 2, bias=False))
            self.add_module(f"bn{index}", nn.BatchNorm2d(b))
        self.downsample = (
            nn.Identity()
            if before == after
            else nn.Sequential(nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU6())
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[n, after, h, w]``."""
        parts, y = [], x
        for index in (1, 2, 3):
            y = F.relu6(self.get_submodule(f"bn{index}")(self.get_submodule(f"conv{index}")(y)))
            parts.append(y)
        return cat(parts, 1) + self.downsample(x)


class Hourglass(nn.Module):
    """Blocks at five sizes, each half of the one above, added on the way back up (Newell et al. 2016, arXiv:1603.06937)."""

    def __init__(self, channels: int, side_kernel: int) -> None:
        """Make it.

        Args:
            channels: the same at all sizes.
            side_kernel: kernel of the blocks on the ways across; the lightweight one has 1.
        """
        super().__init__()
        for level in range(1, DEPTH + 1):
            self.add_module(f"b1_{level}", Block(channels, channels, side_kernel))
            self.add_module(f"b2_{level}", Block(channels, channels))
            self.add_module(f"b3_{level}", Block(channels, channels))
        self.b2_plus_1 = Block(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return maps of the same shape, whose sides must be multiples of 16."""
        return self._level(x, DEPTH)

    def _level(self, x: Tensor, level: int) -> Tensor:
        if not level:
            return self.b2_plus_1(x)
        below = self.get_submodule(f"b2_{level}")(F.max_pool2d(x, 2))
        below = self.get_submodule(f"b3_{level}")(self._level(below, level - 1))
        return self.get_submodule(f"b1_{level}")(x) + F.interpolate(below, scale_factor=2, mode="nearest")


class Landmarks(nn.Module):
    """A face alignment network of one hourglass: 68 maps of landmarks, and the features below them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3), nn.BatchNorm2d(64)
        self.conv2, self.conv3, self.conv4 = Block(64, 64), Block(64, 128), Block(128, 128)
        self.m0, self.top_m_0 = Hourglass(128, 3), Block(128, 128)
        self.conv_last0, self.bn_end0, self.l0 = nn.Conv2d(128, 128, 1), nn.BatchNorm2d(128), nn.Conv2d(128, 68, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return landmark maps ``[n, 68, h/4, w/4]`` and features ``[n, 128, h/4, w/4]``."""
        x = F.relu(self.bn1(self.conv1(images)))
        features = self.conv4(self.conv3(F.max_pool2d(self.conv2(x), 2)))
        x = F.relu(self.bn_end0(self.conv_last0(self.top_m_0(self.m0(features)))))
        return self.l0(x), features


class FanAU(nn.Module):
    """Faces to one heat map an action unit; its maximum is the intensity, nominally 0..5."""

    def __init__(self) -> None:
        super().__init__()
        self.fan = Landmarks()
        self.conv1 = nn.Sequential(nn.Conv2d(68, 128, 1), nn.BatchNorm2d(128))
        self.conv2 = nn.Sequential(nn.Conv2d(128, 128, 1), nn.BatchNorm2d(128))
        self.net = Hourglass(128, 1)
        self.conv_last = nn.Sequential(nn.Conv2d(128, 128, 1), nn.BatchNorm2d(128))
        self.l = nn.Conv2d(128, len(ACTION_UNITS), 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return maps ``[n, 12, h/4, w/4]``.

        Args:
            images: ``[n, 3, h, w]``, RGB in [0, 1], sides multiples of 64.
        """
        landmarks, features = self.fan(images)
        x = F.relu6(self.conv1(landmarks)) + F.relu6(self.conv2(features))
        return self.l(F.relu6(self.conv_last(self.net(x))))
