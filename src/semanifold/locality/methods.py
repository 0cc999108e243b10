"""The methods under comparison: ``problem -> candidates``, each candidate an edit as the paths that lead away from the start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.core.spaces import is_extended, single
from semanifold.edits import EditInfo, Lattice
from semanifold.generators.coordinates import is_plain
from semanifold.generators.editing import editable_layers
from semanifold.generators.features import early_features
from semanifold.images.masks import Mask
from semanifold.locality.baselines import (
    component_lines,
    on_layers,
    principal_directions,
    random_directions,
    regressed_directions,
    sefa_directions,
)
from semanifold.locality.matching import Candidate, both_signs, line, moved_norm, ray
from semanifold.locality.published import published_manifold
from semanifold.locality.subspaces import individual_directions, projected_directions
from semanifold.locality.truth import pixel_effects
from semanifold.locality.worlds import World
from semanifold.manifolds.directions import LocalDirections, local_directions
from semanifold.manifolds.settings import ManifoldSettings
from semanifold.manifolds.solve import discover_manifold
from semanifold.paths.masked import masked_paths
from semanifold.paths.weight_axes import WeightSpace, joint_weight_paths
from semanifold.paths.weight_masked import masked_weight_paths
from semanifold.paths.weight_methods import SAMPLES as WEIGHT_SAMPLES
from semanifold.paths.weight_methods import middle_layer
from semanifold.paths.weight_ranges import FARTHEST
from semanifold.paths.weights import WeightPaths

SAMPLES = 4096
"""Codes that the principal components are taken of."""

RANDOM = 8
"""Random directions that the baseline averages over."""

LOCAL = 5
"""Generalised eigenvectors that the oracle may choose from, in each space."""

SHARES = (1 / 8, 1 / 2, 7 / 8)
"""Share of the dimensions that LocalDiff calls joint, and that RBE projects off, which the oracle may choose from."""

OTHER = 20_000
"""The face whose local directions are tried on another one has a seed higher by this."""

LAYERS = {"faces": "convs.5"}
"""Layers whose weights move, by world: those whose directions are the most local. The convolution in the middle of others."""

MARGIN = 1.1
"""Our manifold is asked for a little more squared change than is compared, so that its path crosses the level."""


@dataclass(frozen=True, eq=False)
class Problem:
    """One face under one mask.

    Attributes:
        world: the generator and what is known of it.
        start: one code in the world's space.
        number: the seed's number.
        mask: name of the mask.
        shape: the mask.
        picture: the mask at the generator's size ``[1, 1, h, w]``.
        reach: how far a straight edit may go: the usual distance of two codes.
        level: inside change (root mean square) at which edits are compared.
        top: components that an oracle may choose from.
        manifold: settings of our manifolds; space and c are set here.
        paper_steps: L-BFGS iterations of the published algorithm (its code takes 4000); it keeps its best.
        layer: layer whose weights move; see :data:`LAYERS` when None.
    """

    world: World
    start: Latents
    number: int
    mask: str
    shape: Mask
    picture: Tensor
    reach: float
    level: float
    top: int
    manifold: ManifoldSettings
    paper_steps: int
    layer: str | None = None

    @cached_property
    def plain(self) -> Tensor:
        """The unedited picture."""
        with torch.no_grad():
            return self.world.generator.images(self.start)

    @cached_property
    def known(self) -> tuple[Tensor, Tensor]:
        """The factors of the unedited picture ``[1, F]`` and their pixel effects, in a world that knows them."""
        truth = self.world.truth
        assert truth is not None
        before = truth.factors(self.start, self.plain)
        return before, pixel_effects(before, truth.render)


Method = Callable[[Problem], list[Candidate]]


def random(problem: Problem) -> list[Candidate]:
    """Random directions, judged by their mean: isotropic over the whole code."""
    shape = tuple(problem.start.values.shape[1:])
    # the mean over all of them and both signs is the candidate: no oracle chooses among random ones
    drawn = random_directions(shape, RANDOM, problem.number)
    lines = [line(d, problem.reach, problem.start.space, "random") for d in drawn]
    return [Candidate(f"mean of {RANDOM} directions", tuple(side for candidate in lines for side in candidate.sides))]


def ganspace(problem: Problem) -> list[Candidate]:
    """GANSpace, with an oracle that picks the best component and layer range for every face and mask."""
    directions = _principal(problem.world, problem.top)
    return component_lines(lambda _: directions, tuple(problem.start.values.shape[1:]), problem.start.space, problem.reach)


def sefa(problem: Problem) -> list[Candidate]:
    """SeFa, with an oracle as in :func:`ganspace`; none where the generator has no affine first layer."""
    generator, space = problem.world.generator, problem.world.space
    if is_extended(space) and generator.affine_maps(space) is not None:
        # layers have affines of their own, so each range of layers has directions of its own
        directions = lru_cache(lambda layers: sefa_directions(generator.affine_maps(space, layers) or [], problem.top))
    elif problem.world.first_weights is not None:
        weights = [problem.world.first_weights]
        directions = lru_cache(lambda _: sefa_directions(weights, problem.top))
    else:
        return []
    return component_lines(directions, tuple(problem.start.values.shape[1:]), problem.start.space, problem.reach)


def eigen(problem: Problem) -> list[Candidate]:
    """The generalised eigenproblem of ReSeFa at the start, with an oracle that picks the best of the leading directions.

    In w+ it is solved there and, one direction for all layers as in the source, in w.
    """
    return _local_lines(problem, problem.number, problem.start, problem.shape, _of_eigenproblem)


def eigen_other(problem: Problem) -> list[Candidate]:
    """The directions of :func:`eigen` that were found at another face, under its own mask, tried on this one."""
    world, number = problem.world, problem.number + OTHER
    other = world.generator.sample([number], world.space)
    return _local_lines(problem, number, other, world.mask(other, problem.mask), _of_eigenproblem)


def localdiff(problem: Problem) -> list[Candidate]:
    """LocalDiff's individual directions at the start, with an oracle over them and the joint part's size; see :func:`eigen`."""
    return _local_lines(problem, problem.number, problem.start, problem.shape, _individual)


def rbe(problem: Problem) -> list[Candidate]:
    """RBE's projected directions at the start, with an oracle over them and how many are projected off; see :func:`eigen`."""
    return _local_lines(problem, problem.number, problem.start, problem.shape, _projected)


Named = dict[str, Tensor]
"""Directions ``[d]`` in the coordinates of a code, by name."""


def _of_eigenproblem(local: LocalDirections) -> Named:
    return {f"{i + 1}": step for i, step in enumerate(local.vectors.flatten(1))}


def _individual(local: LocalDirections) -> Named:
    return _by_ranks(local, individual_directions, "joint")


def _projected(local: LocalDirections) -> Named:
    return _by_ranks(local, projected_directions, "without")


def _by_ranks(local: LocalDirections, directions: Callable[[Tensor, Tensor, int, int], Tensor], word: str) -> Named:
    inside, outside = local.grams
    size, named = len(local.basis), {}
    for rank in {round(share * size): None for share in SHARES}:
        rows = directions(inside, outside, rank, min(LOCAL, size - rank)).to(local.basis) @ local.basis
        named |= {f"{i + 1}, {word} {rank}": row for i, row in enumerate(rows)}
    return named


def _local_lines(
    problem: Problem, number: int, code: Latents, mask: Mask, directions: Callable[[LocalDirections], Named]
) -> list[Candidate]:
    world, shape, damping = problem.world, tuple(problem.start.values.shape[1:]), problem.manifold.damping
    local = local_directions(world.generator, code, mask, LOCAL, damping=damping)
    named = directions(local)
    lines = [line(d.reshape(shape), problem.reach, world.space, f"{world.space} {name}") for name, d in named.items()]
    if is_extended(world.space):
        # the same face in w, where one direction moves all layers
        code = world.generator.sample([number], single(world.space))
        named = directions(local_directions(world.generator, code, mask, LOCAL, damping=damping))
        wide = {name: on_layers(d, (0, shape[0]), shape[0]) for name, d in named.items()}
        lines += [line(d, problem.reach, world.space, f"{code.space} {name}") for name, d in wide.items()]
    return lines


def codes(problem: Problem) -> list[Candidate]:
    """The direction of codes that stays inside the mask best, found once for all faces, on others; without an oracle."""
    world = problem.world
    direction = _masked_codes(world, problem.mask)
    return [line(direction, problem.reach, world.space, "codes")]


@lru_cache(maxsize=8)
def _masked_codes(world: World, mask: str) -> Tensor:
    return masked_paths(world.generator, world.masks.get(mask, mask), 1, world.space, progress=False).directions()[0]


def weights(problem: Problem) -> list[Candidate]:
    """The direction in weights that stays inside the mask best, found once for all faces, on others; without an oracle.

    None where the generator has no convolution whose weight can be edited.
    """
    layer = layer_of(problem)
    return [] if layer is None else _masked_weights(problem.world, layer, problem.mask)


def weights_plain(problem: Problem) -> list[Candidate]:
    """Joint axes of the same weights, which no mask has guided, with an oracle as in :func:`ganspace`."""
    layer = layer_of(problem)
    return [] if layer is None else _joint_weights(problem.world, layer, problem.top)


def layer_of(problem: Problem) -> str | None:
    """Return the layer whose weights move; None if there is none."""
    generator = problem.world.generator
    if problem.layer is not None:
        return problem.layer
    # the layer asked for, else the usual one of the world, else the middle one, else none
    usual = LAYERS.get("" if generator.world is None else generator.world.name)
    if usual in editable_layers(generator):
        return usual
    try:
        return middle_layer(generator)
    except SemanifoldError:
        return None


@lru_cache(maxsize=8)
def _masked_weights(world: World, layer: str, mask: str) -> list[Candidate]:
    shape = world.masks.get(mask, mask)
    paths = masked_weight_paths(world.generator, [layer], shape, 1, samples=WEIGHT_SAMPLES, progress=False)
    return _weight_candidates(world, paths)


@lru_cache(maxsize=2)
def _joint_weights(world: World, layer: str, top: int) -> list[Candidate]:
    paths = joint_weight_paths(world.generator, [layer], top, samples=WEIGHT_SAMPLES, kept=2 * top, progress=False)
    return _weight_candidates(world, paths)


def _weight_candidates(world: World, paths: WeightPaths) -> list[Candidate]:
    """Return both signs of every path, as far as twice the norm of the weights themselves."""
    reach = FARTHEST * WeightSpace(world.generator, tuple(paths.layers)).norm
    return [both_signs(paths[k], reach, f"{', '.join(paths.layers)} {k + 1}") for k in range(len(paths))]


def paper(problem: Problem) -> list[Candidate]:
    """The masked manifold as published, its settings in proportion, given the mask itself rather than a box around it.

    Judged by the mean over the straight ways to all frames.
    """
    world = problem.world
    frames = published_manifold(
        world.generator,
        problem.start,
        problem.shape,
        offset=problem.level**2,
        reach=problem.reach,
        frames=problem.manifold.frames,
        steps=problem.paper_steps,
        draw=problem.number,
    )
    # frames that stayed at the start lead nowhere; the others are walked along straight lines as far as all edits may go
    moving = [frame for frame in frames if frame.abs().max() > 0]
    rays = [ray(frame * (problem.reach / moved_norm(frame)), world.space, "frame") for frame in moving]
    return [Candidate(f"mean of {len(rays)} frames", tuple(rays))]


def ours(problem: Problem) -> list[Candidate]:
    """Our masked manifold at the compared inside change: the way out and the way back."""
    world = problem.world
    # our distance is the mean square, so c is the square of the level
    settings = replace(problem.manifold, space=world.space, schedule="out-and-back", offset=MARGIN * problem.level**2)
    solution = discover_manifold(world.generator, problem.start, problem.shape, settings, progress=False)
    return [Candidate(f"way out and way back, {solution.result.name.lower()}", out_and_back(solution.value))]


def out_and_back(edit: Lattice) -> tuple[Lattice, Lattice]:
    """Return both halves of a path that begins and ends at the start, each from the start to the middle."""
    # an odd number of knots, whose middle belongs to both halves
    half = (len(edit.displacements) + 1) // 2
    knots = torch.linspace(0, 1, half)
    info = EditInfo(name=edit.info.name, space=edit.info.space)
    return Lattice(edit.displacements[:half], (knots,), info), Lattice(edit.displacements.flip(0)[:half], (knots,), info)


@lru_cache(maxsize=4)
def _principal(world: World, top: int) -> Tensor:
    """Return GANSpace's directions ``[top, d]``: of w if there is one, else by regression from the first layer's features."""
    generator = world.generator
    if not is_plain(generator, generator.path_space):
        return principal_directions(generator.sample(range(SAMPLES), generator.path_space).values, top)
    # features are costly: a quarter of the codes, 64 at a time
    codes = generator.sample(range(SAMPLES // 4), world.space)
    early = torch.cat([early_features(generator, codes[slice(i, i + 64)]) for i in range(0, len(codes), 64)])
    return regressed_directions(codes.values, early, top)


METHODS: dict[str, Method] = {
    "random": random,
    "ganspace": ganspace,
    "sefa": sefa,
    "weights-plain": weights_plain,
    "eigen-other": eigen_other,
    "mask": codes,
    "weights": weights,
    "rbe": rbe,
    "localdiff": localdiff,
    "eigen": eigen,
    "paper": paper,
    "ours": ours,
}
"""All methods, in the order of the table: those whose edits are the same for every face, then those that search at each."""

LAYERED = ("weights", "weights-plain")
"""Those that depend on the layer whose weights move."""

TITLES = {
    "random": "random directions",
    "ganspace": "GANSpace (best of {top})",
    "sefa": "SeFa (best of {top})",
    "weights-plain": "weights of a layer, joint axes (best of {top})",
    "eigen-other": "generalised eigenproblem of another face (best of 5)",
    "mask": "codes, guided by the mask on all faces",
    "weights": "weights of a layer, guided by the mask",
    "rbe": "region-based editing, RBE (best of 5 at each of 3 ranks)",
    "localdiff": "joint and individual components, LocalDiff (best of 5 at each of 3 ranks)",
    "eigen": "generalised eigenproblem, ReSeFa (best of 5)",
    "paper": "masked manifold, published algorithm",
    "ours": "masked manifold, ours",
}
"""What the table calls them."""
