"""The methods under comparison: ``problem -> candidates``, each candidate an edit as the paths that lead away from the seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from semanifold.edits import EditInfo, Lattice
from semanifold.generators.stylegan2 import StyleGAN2
from semanifold.latents import Latents
from semanifold.locality.baselines import (
    component_lines,
    on_layers,
    principal_directions,
    random_directions,
    regressed_directions,
    sefa_directions,
    style_weights,
)
from semanifold.locality.matching import Candidate, line, moved_norm, ray
from semanifold.locality.published import published_manifold
from semanifold.locality.worlds import World
from semanifold.manifolds.directions import local_directions
from semanifold.manifolds.settings import ManifoldSettings
from semanifold.manifolds.solve import discover_manifold
from semanifold.masks import Mask
from semanifold.paths.closed_form import early_features

SAMPLES = 4096
"""Codes that the principal components are taken of."""

RANDOM = 8
"""Random directions that the baseline averages over."""

LOCAL = 5
"""Generalised eigenvectors that the oracle may choose from, in each space."""

MARGIN = 1.1
"""Our manifold is asked for a little more squared change than is compared, so that its path crosses the level."""


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
        manifold: settings of our manifolds; space and c are set here.
        paper_steps: L-BFGS iterations of the published algorithm (its code takes 4000); it keeps its best.
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
    manifold: ManifoldSettings
    paper_steps: int


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


def eigen(problem: Problem) -> list[Candidate]:
    """The generalised eigenproblem of ReSeFa at the seed, with an oracle that picks the best of the leading directions.

    In w+ it is solved there and, one direction for all layers as in the source, in w.
    """
    world, shape = problem.world, tuple(problem.seed.values.shape[1:])
    found = local_directions(world.generator, problem.seed, problem.shape, LOCAL, damping=problem.manifold.damping).vectors
    lines = [line(d, problem.reach, world.space, f"{world.space} {i + 1}") for i, d in enumerate(found)]
    if world.space == "w+":
        seed = world.generator.sample([problem.number], "w")
        found = local_directions(world.generator, seed, problem.shape, LOCAL, damping=problem.manifold.damping).vectors
        wide = [on_layers(d, (0, shape[0]), shape[0]) for d in found]
        lines += [line(d, problem.reach, "w+", f"w {i + 1}") for i, d in enumerate(wide)]
    return lines


def paper(problem: Problem) -> list[Candidate]:
    """The masked manifold as published, its settings in proportion, given the mask itself rather than a box around it.

    Judged by the mean over the straight ways to all frames.
    """
    world = problem.world
    frames = published_manifold(
        world.generator,
        problem.seed,
        problem.shape,
        offset=problem.level**2,
        reach=problem.reach,
        frames=problem.manifold.frames,
        steps=problem.paper_steps,
        draw=problem.number,
    )
    moving = [frame for frame in frames if frame.abs().max() > 0]
    rays = [ray(frame * (problem.reach / moved_norm(frame)), world.space, "frame") for frame in moving]
    return [Candidate(f"mean of {len(rays)} frames", tuple(rays))]


def ours(problem: Problem) -> list[Candidate]:
    """Our masked manifold at the compared inside change: the way out and the way back."""
    world = problem.world
    settings = replace(problem.manifold, space=world.space, schedule="out-and-back", offset=MARGIN * problem.level**2)
    found = discover_manifold(world.generator, problem.seed, problem.shape, settings, progress=False)
    return [Candidate(f"way out and way back, {found.result.name.lower()}", out_and_back(found.value))]


def out_and_back(edit: Lattice) -> tuple[Lattice, Lattice]:
    """Return both halves of a path that starts and ends at the seed, each from the seed to the middle."""
    half = (len(edit.offsets) + 1) // 2
    knots = torch.linspace(0, 1, half)
    info = EditInfo(name=edit.info.name, space=edit.info.space)
    return Lattice(edit.offsets[:half], (knots,), info), Lattice(edit.offsets.flip(0)[:half], (knots,), info)


@lru_cache(maxsize=4)
def _principal(world: World, top: int) -> Tensor:
    """Return GANSpace's directions ``[top, d]``: of w if there is one, else by regression from the first layer's features."""
    generator = world.generator
    if "w" in generator.spaces:
        return principal_directions(generator.sample(range(SAMPLES), "w").values, top)
    codes = generator.sample(range(SAMPLES // 4), world.space)
    early = torch.cat([early_features(generator, codes[slice(i, i + 64)]) for i in range(0, len(codes), 64)])
    return regressed_directions(codes.values, early, top)


METHODS: dict[str, Method] = {
    "random": random,
    "ganspace": ganspace,
    "sefa": sefa,
    "eigen": eigen,
    "paper": paper,
    "ours": ours,
}
"""All methods, in the order of the table."""

TITLES = {
    "random": "random directions",
    "ganspace": "GANSpace (best of {top})",
    "sefa": "SeFa (best of {top})",
    "eigen": "generalised eigenproblem, ReSeFa (best of 5)",
    "paper": "masked manifold, published algorithm",
    "ours": "masked manifold, ours",
}
"""What the table calls them."""
