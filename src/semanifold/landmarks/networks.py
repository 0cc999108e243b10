"""The two networks that find faces and their points, with the weights of MediaPipe (``weights/NOTICE``).

BlazeFace is that of Bazarevsky et al. 2019, arXiv:1907.05047, the face mesh that of Kartynnik et al. 2019, arXiv:1907.06724.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, max_pool2d, pad

from semanifold.storage.tensors import read_tensors

N = TypeVar("N", bound=nn.Module)

WEIGHTS = Path(__file__).parent / "weights"
DETECTED_AT = 128
"""Side in pixels of the pictures that the detector takes."""
MESHED_AT = 192
"""Side in pixels of the pictures that the mesh takes."""
POINTS = 468
KEYPOINTS = 6
"""Points that the detector finds: the eyes, the tip of the nose, the middle of the mouth, in front of the ears; the left one of
the picture first."""
ANCHORS = ((16, 2), (8, 6))
"""Cells along a side of the detector's two maps, and candidates of each cell."""
DETECTOR_BLOCKS = ((24, 1), (28, 1), (32, 2), (36, 1), (42, 1), (48, 2), (56, 1), (64, 1), (72, 1), (80, 1), (88, 1))
MESH_BLOCKS = ((16, 1), (16, 1), (32, 2), (32, 1), (32, 1), (64, 2), (64, 1), (64, 1))
MESH_BLOCKS += ((128, 2), (128, 1), (128, 1), (128, 2), (128, 1), (128, 1))


class Even(nn.Conv2d):
    """A convolution whose result has ``ceil(side / stride)`` pixels a side; of an odd padding the larger half is at the end."""

    def forward(self, input: Tensor) -> Tensor:
        """Return feature maps."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        rows, columns = (max(0, (-(-side // stride) - 1) * stride + kernel - side) for side in input.shape[2:])
        ends = rows % 2, columns % 2  # what is not the same on both sides
        padded = pad(input, (0, ends[1], 0, ends[0])) if any(ends) else input
        return conv2d(padded, self.weight, self.bias, self.stride, (rows // 2, columns // 2), 1, self.groups)


class Block(nn.Module):
    """A depthwise convolution, a mix of channels, and a way around both."""

    def __init__(self, before: int, after: int, stride: int, *, learned: bool) -> None:
        """Make the block; ``learned``: whether the slope of negative values is a weight, and not 0."""
        super().__init__()
        self.depthwise = Even(before, before, 3, stride, groups=before)
        self.mix = nn.Conv2d(before, after, 1)
        self.bend = nn.PReLU(after) if learned else nn.ReLU()
        self.stride = stride

    def forward(self, maps: Tensor) -> Tensor:
        """Return feature maps."""
        around = max_pool2d(maps, self.stride) if self.stride > 1 else maps
        mixed = self.mix(self.depthwise(maps))
        mixed[:, : around.shape[1]] += around
        return self.bend(mixed)


def chain(before: int, blocks: tuple[tuple[int, int], ...], *, learned: bool) -> nn.Sequential:
    """Return blocks one after the other; each is given by its channels and its stride."""
    channels = (before, *(after for after, _ in blocks))
    return nn.Sequential(*(Block(b, after, stride, learned=learned) for b, (after, stride) in zip(channels, blocks)))


class BlazeFace(nn.Module):
    """Finds faces that take up a good part of the picture."""

    def __init__(self) -> None:
        """Make the network without its weights."""
        super().__init__()
        numbers = 4 + 2 * KEYPOINTS
        self.stem = nn.Sequential(Even(3, 24, 5, 2), nn.ReLU())
        self.fine = chain(24, DETECTOR_BLOCKS, learned=False)
        self.coarse = chain(88, ((96, 2), *((96, 1),) * 4), learned=False)
        self.scores = nn.ModuleList(nn.Conv2d(c, count, 1) for c, (_, count) in zip((88, 96), ANCHORS))
        self.places = nn.ModuleList(nn.Conv2d(c, count * numbers, 1) for c, (_, count) in zip((88, 96), ANCHORS))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is found in pictures.

        Args:
            pictures: ``[n, 3, 128, 128]`` in [-1, 1].

        Returns:
            For each of 896 candidates the score ``[n, 896]``, a logit, and the middle and size of the face and the keypoints
            ``[n, 896, 8, 2]``, as fractions of the picture; the second of the eight is the size.
        """
        fine = self.fine(self.stem(pictures))
        maps = (fine, self.coarse(fine))
        every = []
        for heads in (self.scores, self.places):
            parts = [head(m).permute(0, 2, 3, 1).flatten(1) for head, m in zip(heads, maps)]
            every.append(torch.cat([part.reshape(len(part), sum_of(cells), -1) for part, cells in zip(parts, ANCHORS)], dim=1))
        places = every[1].reshape(len(pictures), -1, 2 + KEYPOINTS, 2) / DETECTED_AT
        middles = anchors().to(places)[:, None]
        return every[0][..., 0], torch.cat([places[:, :, :1] + middles, places[:, :, 1:2], places[:, :, 2:] + middles], dim=2)


def sum_of(cells: tuple[int, int]) -> int:
    """Return the number of candidates of a map."""
    return cells[0] ** 2 * cells[1]


@cache
def anchors() -> Tensor:
    """Return the middle of the cell of every candidate, ``[896, 2]`` as fractions."""
    middles = []
    for cells, count in ANCHORS:
        places = (torch.arange(cells) + 0.5) / cells
        y, x = torch.meshgrid(places, places, indexing="ij")
        middles.append(torch.stack([x, y], dim=-1).reshape(-1, 2).repeat_interleave(count, dim=0))
    return torch.cat(middles)


class FaceMesh(nn.Module):
    """Finds the points of the one face in a picture."""

    def __init__(self) -> None:
        """Make the network without its weights."""
        super().__init__()

        def head(blocks: int, numbers: int) -> nn.Sequential:
            deep = chain(128, ((128, 2), *((128, 1),) * blocks), learned=True)
            return nn.Sequential(
                deep, nn.Conv2d(128, 32, 1), nn.PReLU(32), Block(32, 32, 1, learned=True), nn.Conv2d(32, numbers, 3)
            )

        self.stem = nn.Sequential(Even(3, 16, 3, 2), nn.PReLU(16))
        self.trunk = chain(16, MESH_BLOCKS, learned=True)
        self.points = head(2, 3 * POINTS)
        self.score = head(0, 1)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Return the points of faces.

        Args:
            pictures: ``[n, 3, 192, 192]`` in [-1, 1].

        Returns:
            The points ``[n, 468, 3]`` as fractions of the picture, x, y and depth, and the score ``[n]``, a logit.
        """
        maps = self.trunk(self.stem((pictures + 1) / 2))
        points = self.points(maps).reshape(len(pictures), POINTS, 3) / MESHED_AT
        return points, self.score(maps).flatten()


@cache
def detector() -> BlazeFace:
    """Return the detector with its weights."""
    return loaded(BlazeFace(), "blazeface.safetensors")


@cache
def mesh() -> FaceMesh:
    """Return the mesh with its weights."""
    return loaded(FaceMesh(), "facemesh.safetensors")


def loaded(network: N, file: str) -> N:
    """Return a network with the weights of a file."""
    _, tensors, _ = read_tensors(WEIGHTS / file, "file of weights")
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return network.eval().requires_grad_(False)
