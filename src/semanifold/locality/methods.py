"""The methods under comparison: ``problem -> candidates``, each candidate an edit as the paths that lead away from the seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from semanifold.generators.stylegan2 import StyleGAN2
from semanifold.latents import Latents
from semanifold.locality.baselines import (
    component_lines,
    layer_features,
    principal_directions,
    random_directions,
    regressed_directions,
    sefa_directions,
    style_weights,
)
from semanifold.locality.matching import Candidate, line
from semanifold.locality.worlds import World
from semanifold.masks import Mask

SAMPLES = 4096
"""Codes that the principal components are taken of."""

RANDOM = 8
"""Random directions that the baseline averages over."""


@dataclass(frozen=True)
class Problem:
    """One face under one mask.

    Attributes:
        world: the generator and what is known of it.
        seed: one code in the world's space.
        number: the seed's number.
        mask: name of the mask.
        shape: the mask.
        picture: the mask at the generator's size ``[1, 1, h, w]``.
        reach: how far a straight edit may go: the usual distance of two codes.
        level: inside change (root mean square) at which edits are compared.
        top: components that an oracle may choose from.
        frames: frames of a manifold.
    """

    world: World
    seed: Latents
    number: int
    mask: str
    shape: Mask
    picture: Tensor
    reach: float
    level: float
    top: int
    frames: int


Method = Callable[[Problem], list[Candidate]]


def random(problem: Problem) -> list[Candidate]:
    """Random directions, judged by their mean: isotropic over the whole code."""
    shape = tuple(problem.seed.values.shape[1:])
    drawn = random_directions(shape, RANDOM, problem.number)
    lines = [line(d, problem.reach, problem.seed.space, "random") for d in drawn]
    return [Candidate(f"mean of {RANDOM} directions", tuple(side for each in lines for side in each.sides))]


def ganspace(problem: Problem) -> list[Candidate]:
    """GANSpace, with an oracle that picks the best component and layer range for every face and mask."""
    directions = _principal(problem.world, problem.top)
    return component_lines(lambda _: directions, tuple(problem.seed.values.shape[1:]), problem.seed.space, problem.reach)


def sefa(problem: Problem) -> list[Candidate]:
    """SeFa, with an oracle as in :func:`ganspace`; none where the generator has no affine first layer."""
    generator = problem.world.generator
    if isinstance(generator, StyleGAN2):
        directions = lru_cache(lambda layers: sefa_directions(style_weights(generator, layers), problem.top))
    elif problem.world.first_weights is not None:
        weights = [problem.world.first_weights]
        directions = lru_cache(lambda _: sefa_directions(weights, problem.top))
    else:
        return []
    return component_lines(directions, tuple(problem.seed.values.shape[1:]), problem.seed.space, problem.reach)


@lru_cache(maxsize=4)
def _principal(world: World, top: int) -> Tensor:
    """Return GANSpace's directions ``[top, d]``: of w where there is one, else by regression from the first layer's features."""
    generator = world.generator
    if "w" in generator.spaces:
        return principal_directions(generator.sample(range(SAMPLES), "w").values, top)
    codes = generator.sample(range(SAMPLES // 4), world.space)
    features = [layer_features(generator, codes[slice(i, i + 64)]) for i in range(0, len(codes), 64)]
    if features[0]:
        first = min(features[0])
        early = torch.cat([f[first].flatten(1) for f in features])
    else:
        with torch.no_grad():
            early = torch.cat([generator.images(codes[slice(i, i + 64)]).flatten(1) for i in range(0, len(codes), 64)])
    return regressed_directions(codes.values, early, top)


METHODS: dict[str, Method] = {"random": random, "ganspace": ganspace, "sefa": sefa}
"""All methods, in the order of the table."""

TITLES = {
    "random": "random directions",
    "ganspace": "GANSpace (best of {top})",
    "sefa": "SeFa (best of {top})",
    "eigen": "generalised eigenproblem (ReSeFa)",
    "paper": "masked manifold, as published",
    "ours": "masked manifold, ours",
}
"""What the table calls them."""
