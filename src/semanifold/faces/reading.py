"""What the bundled world knows of a generated face: its factors, and the masks of its named regions."""

from __future__ import annotations

import torch
from torch import Tensor

from semanifold.faces.analytic import AnalyticFaces
from semanifold.faces.attribute_network import attribute_network
from semanifold.faces.regions import region_mask
from semanifold.generators.base import Generator
from semanifold.latents import Latents
from semanifold.masks import Mask, Regions

BUNDLED = "faces"
"""Name of the bundled neural generator."""


@torch.no_grad()
def read_factors(generator: Generator, latents: Latents) -> Tensor:
    """Return the factors ``[n, F]`` in [0, 1] of faces: exact for the analytic generator, read from the pictures otherwise."""
    if isinstance(generator, AnalyticFaces):
        return generator.convert(latents, "factors").values
    images = generator.images(latents)
    network = attribute_network(str(images.device), images.dtype)
    return network(images.clamp(-1, 1)).clamp(0, 1)


def face_regions(generator: Generator, latents: Latents) -> Regions | None:
    """Return the function that finds masks by name (``"mouth"``) on one face, for :func:`semanifold.masks.parse_mask`.

    Args:
        generator: any generator.
        latents: one code.

    Returns:
        None for a generator that does not draw the bundled faces: it has no named regions.
    """
    if not isinstance(generator, AnalyticFaces) and generator.name != BUNDLED:
        return None
    factors = read_factors(generator, latents).cpu()

    def find(name: str) -> Mask:
        region_mask(name, factors, 16)  # refuses an unknown name at once
        return Mask(name, lambda height, width: _square(region_mask(name, factors, max(height, width)), height, width))

    return find


def _square(mask: Tensor, height: int, width: int) -> Tensor:
    return torch.nn.functional.adaptive_avg_pool2d(mask, (height, width))[0, 0]
