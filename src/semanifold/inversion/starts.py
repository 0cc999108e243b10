"""Where an inversion begins: at the mean code, at the random ones whose pictures are most alike, or at a code of the caller's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from semanifold.core.latents import Latents
from semanifold.core.shapes import Pictures
from semanifold.generators.base import Generator
from semanifold.generators.coordinates import PLAIN, Coordinates, coordinates_of, is_plain, own_codes
from semanifold.inversion.curvature import MOST_ROWS, Curvature, chunk_of, rows_at
from semanifold.inversion.objective import Likeness

MEAN = "the mean"
MEASURED = 256
"""Own codes whose mean square is taken."""
COARSE = 64
"""Least height of the pictures that random codes are compared by."""


@dataclass(frozen=True, eq=False)
class Start:
    """A code to begin from.

    Attributes:
        name: what it is: ``"the mean"``, ``"random code 7"``, ``"the given code"``.
        code: one code, with the conditions that its picture has.
        value: how far its picture is from the target.
    """

    name: str
    code: Latents
    value: float


@torch.no_grad()
def metric_of(generator: Generator, code: Latents, independence: float) -> tuple[Coordinates, Latents, float]:
    """Return natural coordinates of the space of a code, the mean of the generator's own codes there, and their mean square.

    Args:
        generator: the generator.
        code: one code, whose conditions, such as its class, the own codes get too.
        independence: see :func:`~semanifold.generators.coordinates.coordinates_of`.
    """
    if code.space == generator.first_space and generator.is_normal:
        return PLAIN, code.with_values(torch.zeros_like(code.values)), 1.0
    # codes of w+ are those of w repeated, and styles are affine in w: codes of the path space tell all of it
    plain = is_plain(generator, code.space)
    own = own_codes(generator, code, code.space if plain else generator.path_space)
    mean = generator.convert(own[0].with_values(own.values.mean(0, keepdim=True)), code.space)
    layers = generator.spaces[code.space].layers
    coordinates = PLAIN if plain else coordinates_of(generator, code.space, own.values, layers, independence)
    offsets = generator.convert(own[:MEASURED], code.space).values - mean.values
    return coordinates, mean, float(coordinates.inverse(offsets).square().mean())


def best_starts(
    generator: Generator,
    space: str,
    likeness: Likeness,
    draw: Callable[[range], Latents],
    count: int,
    *,
    seed: int = 0,
    tell: Callable[[int, Latents, float, float], None] | None = None,
) -> tuple[list[Start], Curvature]:
    """Compare the mean and random codes by their pictures, and take from the same pictures how they change with the code.

    Args:
        generator: the generator.
        space: that the codes have to be in.
        likeness: how far a picture is from the target.
        draw: gives the codes of seeds, of the first space, with their conditions.
        count: number of random codes.
        seed: the first of their seeds.
        tell: is told after every few pictures how many there are, the code of the most alike so far, the mean squared
            difference of its pixels, and how far it is in all.

    Returns:
        The mean and the random codes, the most alike first, and the mean curvature of the pixels inside of the mask, in
        the units of codes. Pictures are compared at a smaller size where the generator makes such for less.
    """
    size = generator.coarse_size(COARSE)
    likeness = likeness if size is None else coarse(likeness, generator, size)
    codes = generator.convert(draw(range(seed, seed + max(count, 1))), space)
    _, mean, _ = metric_of(generator, codes[0], 0.0)
    names = [MEAN, *(f"random code {seed + i}" for i in range(count))]
    every = Latents.cat([mean, codes]) if count else mean
    values, pixels, rows = [], [], []
    share = (likeness.mask / (likeness.mask.mean() * likeness.target[0].numel())).sqrt()
    made: list[Tensor] = []

    def compared(pictures: Pictures) -> Tensor:
        made.append(pictures.detach())
        return (share * pictures).flatten(1)

    chunk = chunk_of(generator, size)
    for first in range(0, len(every), chunk):
        part = every[first : first + chunk]
        if first + len(part) <= MOST_ROWS:
            rows.append(rows_at(generator, part, compared, seed + first, size=size))
        with torch.no_grad():
            terms = likeness.terms(made.pop() if made else generator.images(part, size=size))
        pixels += terms[0].tolist()
        values += likeness.weighted(*terms).tolist()
        if tell is not None:
            best = min(range(len(values)), key=values.__getitem__)
            tell(len(values), every[best], pixels[best], values[best])
    order = sorted(range(len(values)), key=values.__getitem__)
    return [Start(names[i], every[i], values[i]) for i in order], Curvature.of(torch.cat(rows))


def coarse(likeness: Likeness, generator: Generator, size: int) -> Likeness:
    """Return the same likeness for smaller pictures, of another height."""
    height, width = generator.picture_shape[1:]
    shape = (size, max(1, round(size * width / height)))
    target, mask = (interpolate(picture, shape, mode="area") for picture in (likeness.target, likeness.mask))
    return replace(likeness, target=target, mask=mask)
