"""A small network that reads the factors of a face back from its picture; its features serve as a perceptual distance."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semanifold.core.shapes import FactorsOfPictures, Pictures
from semanifold.storage.tensors import read_tensors
from semanifold.worlds.faces.factors import FACTORS

SIZE = 64
WEIGHTS = Path(__file__).parent / "weights" / "attributes64.safetensors"


class AttributeNetwork(nn.Module):
    """Pictures to factors: a smooth convolutional network without batch statistics.

    Every activation is smooth (SiLU) and every picture is treated on its own, so that distances on its features suit line
    searches, jvp and vmap.
    """

    def __init__(self, widths: tuple[int, ...] = (32, 64, 96, 128, 160), embedding: int = 256) -> None:
        """Make the network with random weights.

        Args:
            widths: channels at 64, 32, 16, 8 and 4 pixels.
            embedding: length of the vector that :meth:`embed` returns.
        """
        super().__init__()
        self.stem = nn.Conv2d(3, widths[0], 3, padding=1)
        self.downs = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths))
        self.blocks = nn.ModuleList(nn.Conv2d(b, b, 3, padding=1) for b in widths[1:])
        self.hidden = nn.Linear(widths[-1] * (SIZE >> len(widths[1:])) ** 2, embedding)
        self.head = nn.Linear(embedding, len(FACTORS))

    def features(self, images: Pictures) -> list[Tensor]:
        """Return feature maps ``[n, c, h, w]`` at 64, 32, 16, 8 and 4 pixels.

        Args:
            images: ``[n, 3, h, w]`` in [-1, 1], any size; resized to 64 pixels.
        """
        if images.shape[-1] > SIZE:
            images = F.adaptive_avg_pool2d(images, SIZE)
        elif images.shape[-1] < SIZE:
            images = F.interpolate(images, size=(SIZE, SIZE), mode="bilinear", align_corners=False)
        x = F.silu(self.stem(images))
        maps = [x]
        for down, block in zip(self.downs, self.blocks):
            x = F.silu(down(x))
            x = x + F.silu(block(x))
            maps.append(x)
        return maps

    def embed(self, images: Pictures) -> Tensor:
        """Return one vector ``[n, embedding]`` a picture, the layer before the factors; Fréchet distances are taken here."""
        return F.silu(self.hidden(self.features(images)[-1].flatten(1)))

    def forward(self, images: Pictures) -> FactorsOfPictures:
        """Return the factors ``[n, factors]`` in the order of ``FACTORS``; nominally in [0, 1], not clamped."""
        return self.head(self.embed(images))


@lru_cache(maxsize=4)
def attribute_network(device: str = "cpu", dtype: torch.dtype = torch.float32) -> AttributeNetwork:
    """Return the shipped network, frozen."""
    network = AttributeNetwork()
    network.load_state_dict({k: v.float() for k, v in read_tensors(WEIGHTS).tensors.items()})
    return network.to(device, dtype).eval().requires_grad_(False)
