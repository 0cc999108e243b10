"""S3FD, a detector of faces (Zhang et al. 2017, arXiv:1708.05237)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TRUNK = (("1_1", 3, 64), ("1_2", 64, 64), ("2_1", 64, 128), ("2_2", 128, 128), ("3_1", 128, 256), ("3_2", 256, 256))
TRUNK += (("3_3", 256, 256), ("4_1", 256, 512), ("4_2", 512, 512), ("4_3", 512, 512))
TRUNK += (("5_1", 512, 512), ("5_2", 512, 512), ("5_3", 512, 512))
"""Name, channels before and channels after of the 3 x 3 convolutions of VGG-16."""

HEADS = {"conv3_3_norm": 256, "conv4_3_norm": 512, "conv5_3_norm": 512, "fc7": 1024, "conv6_2": 512, "conv7_2": 256}
"""The maps that faces are found on, and their channels; level i has cells of ``2^(i + 2)`` pixels."""

SURE = 0.5
"""Probability above which a cell counts as a face."""

MEAN_BGR = (104.0, 117.0, 123.0)


class ChannelScale(nn.Module):
    """A weight a channel, of maps that have unit length over the channels at every place."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``w_c x_c / (|x| + 1e-10)``."""
        return self.weight[:, None, None] * (x / (torch.linalg.vector_norm(x, dim=1, keepdim=True) + 1e-10))


class S3FD(nn.Module):
    """Pictures to scores and boxes of cells on six levels; VGG-16 with its dense layers made convolutions, and extra ones."""

    def __init__(self) -> None:
        super().__init__()
        for name, before, after in TRUNK:
            self.add_module(f"conv{name}", nn.Conv2d(before, after, 3, padding=1))
        self.fc6, self.fc7 = nn.Conv2d(512, 1024, 3, padding=3), nn.Conv2d(1024, 1024, 1)
        self.conv6_1, self.conv6_2 = nn.Conv2d(1024, 256, 1), nn.Conv2d(256, 512, 3, 2, 1)
        self.conv7_1, self.conv7_2 = nn.Conv2d(512, 128, 1), nn.Conv2d(128, 256, 3, 2, 1)
        for level, (name, channels) in enumerate(HEADS.items()):
            if name.endswith("_norm"):
                self.add_module(name, ChannelScale(channels))
            self.add_module(f"{name}_mbox_conf", nn.Conv2d(channels, 2 if level else 4, 3, padding=1))
            self.add_module(f"{name}_mbox_loc", nn.Conv2d(channels, 4, 3, padding=1))

    def forward(self, images: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return, level by level, scores ``[n, 2, h, w]`` (background, face) and offsets ``[n, 4, h, w]``.

        Args:
            images: ``[n, 3, h, w]``, blue, green and red in 0..255 less :data:`MEAN_BGR`, as the network was trained.
        """
        levels = []
        for (name, _), x in zip(HEADS.items(), self._maps(images), strict=True):
            scores = self.get_submodule(f"{name}_mbox_conf")(x)
            if scores.shape[1] == 4:  # three kinds of background on the finest level, against many false alarms ("max-out")
                scores = torch.cat([scores[:, :3].amax(1, keepdim=True), scores[:, 3:]], 1)
            levels.append((scores, self.get_submodule(f"{name}_mbox_loc")(x)))
        return levels

    def _maps(self, x: Tensor) -> list[Tensor]:
        maps = []
        for name, _, _ in TRUNK:
            if name.endswith("_1") and name != "1_1":
                x = F.max_pool2d(x, 2)
            x = F.relu(self.get_submodule(f"conv{name}")(x))
            if f"conv{name}_norm" in HEADS:
                maps.append(self.get_submodule(f"conv{name}_norm")(x))
        x = F.relu(self.fc7(F.relu(self.fc6(F.max_pool2d(x, 2)))))
        sixth = F.relu(self.conv6_2(F.relu(self.conv6_1(x))))
        seventh = F.relu(self.conv7_2(F.relu(self.conv7_1(sixth))))
        return [*maps, x, sixth, seventh]


def face_cells(levels: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Return what every cell sees ``[n, cells, 5]``: left, top, right, bottom in pixels and the probability of a face.

    A cell of side s at row r, column c stands for a square of side 4 s around ``(s/2 + c s, s/2 + r s)``. Its offsets move the
    centre by ``0.1 * 4 s (dx, dy)`` and scale the sides by ``exp(0.2 (dw, dh))``. Boxes may reach beyond the picture.
    """
    cells = []
    for level, (scores, offsets) in enumerate(levels):
        cell = 2.0 ** (level + 2)
        rows, columns = (torch.arange(n, device=scores.device, dtype=scores.dtype) for n in scores.shape[2:])
        centres = torch.stack(torch.meshgrid(cell / 2 + columns * cell, cell / 2 + rows * cell, indexing="xy"))
        middle = centres + 0.1 * 4 * cell * offsets[:, :2]
        sides = 4 * cell * (0.2 * offsets[:, 2:]).exp()
        first = middle - sides / 2
        face = scores.softmax(1)[:, 1:]
        cells.append(torch.cat([first, first + sides, face], 1).flatten(2))
    return torch.cat(cells, 2).mT


def best_faces(levels: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Return the surest face of every picture ``[n, 5]`` as in :func:`face_cells`; NaN where none is surer than :data:`SURE`.

    Suppressing the weaker of overlapping boxes never removes the surest one, so there is nothing to suppress.
    """
    cells = face_cells(levels)
    best = cells[torch.arange(len(cells), device=cells.device), cells[..., 4].argmax(1)]
    return best.where(best[:, 4:] > SURE, torch.nan)
