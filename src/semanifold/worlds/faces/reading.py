"""What the bundled world knows of a generated face: its factors, and the masks of its named regions."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.core.shapes import FactorsOfPictures
from semanifold.generators.base import Generator
from semanifold.images.masks import Mask, Regions
from semanifold.worlds.faces.attribute_network import attribute_network
from semanifold.worlds.faces.regions import check_region, region_mask

FACTOR_SPACE = "factors"
"""The space of a generator whose codes say the factors themselves."""


def has_factors(generator: Generator) -> bool:
    """Whether the factors of a generator's pictures are known exactly, from their codes."""
    return FACTOR_SPACE in generator.spaces


@torch.no_grad()
def read_factors(generator: Generator, latents: Latents) -> FactorsOfPictures:
    """Return the factors ``[n, F]`` in [0, 1] of faces: exact for the analytic generator, read from the pictures otherwise."""
    if has_factors(generator):
        return generator.convert(latents, FACTOR_SPACE).values
    images = generator.images(latents)
    network = attribute_network(str(images.device), images.dtype)
    return network(images.clamp(-1, 1)).clamp(0, 1)


def face_regions(generator: Generator, latents: Latents) -> Regions | None:
    """Return :meth:`~semanifold.generators.base.Generator.regions` of one face; None for a generator of anything else."""
    return generator.regions(latents)


def regions_of(generator: Generator, code: Latents | None) -> Regions:
    """Return the function that finds masks by name (``"mouth"``) on one face, for :func:`semanifold.images.masks.parse_mask`.

    Args:
        generator: one that shows the bundled faces.
        code: of one face; without it every name is refused.
    """

    @cache
    def factors() -> Tensor:
        if code is None:
            raise SemanifoldError("A named region lies elsewhere in every picture; say whose it is by a seed or a code.")
        if len(code) != 1:
            raise SemanifoldError(f"A named region belongs to one picture, but {len(code)} codes were given.")
        return read_factors(generator, code).cpu()

    def find(name: str) -> Mask:
        check_region(name)
        face = factors()
        paint = cache(lambda height, width: _square(region_mask(name, face, max(height, width)), height, width))
        return Mask(name, paint)  # remembered: a search asks for it at every step, and it takes a hundred pictures of the face

    return find


def _square(mask: Tensor, height: int, width: int) -> Tensor:
    return torch.nn.functional.adaptive_avg_pool2d(mask, (height, width))[0, 0]
