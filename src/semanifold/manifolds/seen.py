"""What is seen of a path between two stages, and at the end: its pictures are made once for all that is asked of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semanifold.core.latents import Latents
from semanifold.generators.base import Generator
from semanifold.generators.coordinates import Coordinates
from semanifold.images.distances import l2
from semanifold.manifolds.objective import Parts


@dataclass(frozen=True, eq=False)
class Seen:
    """Frames of a path, at full size.

    Attributes:
        inside: ``[n]`` their distances inside.
        outside: ``[n]`` those outside.
        steps: ``[n - 1]`` roots of the distances between consecutive ones.
    """

    inside: Tensor
    outside: Tensor
    steps: Tensor


@torch.no_grad()
def look(
    generator: Generator, start: Latents, path: Tensor, layers: tuple[int, int] | None, coordinates: Coordinates, parts: Parts,
    chunk: int,
) -> Seen:  # fmt: skip
    """Make the pictures of all frames ``[n, *moving]``, given in coordinates, a chunk at a time."""
    insides, outsides, steps = [], [], []
    last: Tensor | None = None
    for part in path.split(chunk):
        pictures = generator.images(start.moved(coordinates.displacements(part), layers))
        inside, outside = parts(pictures)
        chain = pictures if last is None else torch.cat([last, pictures])
        insides.append(inside)
        outsides.append(outside)
        steps.append(l2(chain[1:], chain[:-1]).sqrt())
        last = pictures[-1:]
    return Seen(torch.cat(insides), torch.cat(outsides), torch.cat(steps))


def smoother_half(path: Tensor, steps: Tensor) -> Tensor:
    """Return the half of a path ``[n, ...]`` whose longest step between pictures is the shorter one, there and back."""
    half, count = len(steps) // 2, (len(path) + 1) // 2
    if steps[:half].max() > steps[-half:].max():
        path = path.flip(0)
    # the first half with the middle, and again backwards
    return torch.cat([path[:count], path[: len(path) - count].flip(0)])
