"""Directions in weights that are found by what they do to pictures: the subspace in which they are looked for, and joint axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.jacobians import PictureFunction, mean_products, pull_back, push_forward
from semanifold.core.latents import Latents
from semanifold.core.progress import Progress, Watch, watching
from semanifold.generators.base import Generator
from semanifold.generators.editing import check_layers, moved, weight_of
from semanifold.generators.mixed_weight import MixedWeight
from semanifold.images.masks import Mask
from semanifold.paths.base import APART
from semanifold.paths.joint import CARDOSO, joint_diagonal, logarithms
from semanifold.paths.weights import CITE, WeightPaths, info_of

PROBES, CHUNK = 6, 16


class Moves(Protocol):
    """What can be changed in a generator, as one vector of numbers: weights of layers, or codes of a space."""

    @property
    def generator(self) -> Generator:
        """Whose pictures change."""
        ...

    @property
    def what(self) -> str:
        """What changes, in words."""
        ...

    @property
    def size(self) -> int:
        """How many numbers."""
        ...

    def zero(self) -> Tensor:
        """Return ``[1, N]`` no change."""
        ...

    def pictures_of(self, code: Latents, size: int | None) -> PictureFunction:
        """Return the function from changes ``[n, N]`` to the pictures of one code."""
        ...

    def pictures_along(self, change: Tensor, codes: Latents, far: Tensor, size: int | None = None) -> Tensor:
        """Return the pictures of n codes, moved ``far`` times ``[n]`` along one change ``[N]``; differentiable in the change."""
        ...


@dataclass(frozen=True)
class WeightSpace:
    """The weights of some layers as one vector, whose unit is the norm of the weights themselves.

    Attributes:
        generator: whose weights they are.
        layers: names.
    """

    generator: Generator
    layers: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse layers that are not there."""
        if not self.layers:
            raise SemanifoldError(f"At least one layer of {self.generator.name} has to be named whose weights may move.")
        check_layers(self.generator, self.layers)

    @property
    def what(self) -> str:
        """What changes, in words."""
        return f"the weights of {', '.join(self.layers)}"

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of the weight by layer."""
        return {layer: tuple(weight_of(self.generator, layer).shape) for layer in self.layers}

    @property
    def size(self) -> int:
        """Numbers of all weights."""
        return sum(map(math.prod, self.shapes.values()))

    @property
    def norm(self) -> float:
        """Euclidean norm of all weights."""
        return float(torch.stack([weight_of(self.generator, layer).norm().square() for layer in self.layers]).sum().sqrt())

    def zero(self) -> Tensor:
        """Return ``[1, N]`` no change."""
        return weight_of(self.generator, self.layers[0]).new_zeros(1, self.size)

    def pictures_of(self, code: Latents, size: int | None) -> PictureFunction:
        """Return the function from changes ``[n, N]``, in units of each weight's norm, to the pictures of one code."""

        def pictures(changes: Tensor) -> Tensor:
            # sample i moves along change i, all of them by 1
            index = torch.arange(len(changes), device=changes.device)[:, None]
            shared = (
                code
                if self.generator.shares_frames
                else code.with_values(code.values.expand(len(changes), *code.values.shape[1:]))
            )
            return self._moved(changes, index, changes.new_ones(len(changes), 1)).images(shared, size=size)

        return pictures

    def pictures_along(self, change: Tensor, codes: Latents, far: Tensor, size: int | None = None) -> Tensor:
        """Return the pictures of n codes, moved ``far`` times ``[n]`` along one change ``[N]``; differentiable in the change."""
        # all samples move along the one change, each as far as `far` says
        index = torch.zeros(len(codes), 1, dtype=torch.int64, device=change.device)
        return self._moved(change[None], index, far[:, None]).images(codes, size=size)

    def _moved(self, changes: Tensor, index: Tensor, far: Tensor) -> Generator:
        """Return the generator in which sample i has moved ``far[i]`` times along ``changes[index[i]]``."""
        parts = changes.split([math.prod(shape) for shape in self.shapes.values()], 1)
        mixed = {}
        for layer, rows in zip(self.layers, parts, strict=True):
            weight = weight_of(self.generator, layer)
            mixed[layer] = MixedWeight.along(
                weight, lambda k, rows=rows, like=weight: rows[k].reshape(like.shape), index, far * weight.norm()
            )
        return moved(self.generator, mixed)


@dataclass(frozen=True, eq=False)
class Changes:
    """How pictures change in a subspace of weights.

    Attributes:
        basis: ``[s, N]`` orthonormal rows.
        inside: ``[n, s, s]`` mean products of the pictures that the rows push to, per code, inside its mask (or everywhere).
        outside: ``[n, s, s]`` the same outside; zero without masks.
    """

    basis: Tensor
    inside: Tensor
    outside: Tensor


def changes_of(
    space: Moves,
    codes: Latents,
    masks: Sequence[Mask] | None,
    kept: int,
    *,
    size: int | None = None,
    both: bool = False,
    probes: int = PROBES,
    chunk: int = CHUNK,
    seed: int = 0,
    tell: Progress,
) -> Changes:
    """Find the changes that move pictures most (inside their masks, if any), and how they move each picture.

    Random pictures are pulled back from every code to the changes (vjp; Halko et al. 2011, arXiv:0909.4061); the leading
    singular vectors of these rows span the subspace. Each of them is then pushed forward (jvp, by central differences) at every
    code.

    Args:
        space: what may change.
        codes: n codes.
        masks: one per code; None for the whole picture.
        kept: s, dimensions of the subspace.
        size: height and width of the pictures; their own when None.
        both: look at what moves pictures outside of their masks as well, where there are masks.
        probes: random pictures per code; more where ``kept`` asks for them.
        chunk: pictures at a time.
        seed: of the random pictures.
        tell: gets ``step`` and ``steps``.

    Raises:
        SemanifoldError: if pictures do not change, or by infinite amounts.
    """
    # The subspace needs twice as many random pictures as dimensions to be sure of the leading ones (Halko et al. 2011).
    n, zero, kept = len(codes), space.zero(), min(kept, space.size)
    probes = max(probes, math.ceil(2 * kept / n))
    steps, done, rows, roots = 3 * n, 0, [], []
    # 1. Roots of the weights of pixels, from the mask of each picture.
    # 2. Random pictures inside the mask, pulled back to the weights of the layers.
    for i in range(n):
        roots.append(roots_of(space.generator, codes[i], None if masks is None else masks[i], size))
        done += 1
        tell({"step": done, "steps": steps})
    for i in range(n):
        sides = roots[i] if both else roots[i][:1]
        rows += [pull_back(space.pictures_of(codes[i], size), zero, root, probes, chunk, seed + i) for root in sides]
        done += 1
        tell({"step": done, "steps": steps})
    pulled = torch.cat(rows)  # [n probes, N]
    if not (torch.isfinite(pulled).all() and pulled.any()):
        raise SemanifoldError(
            f"Pictures of {space.generator.name} do not change with {space.what}, or by infinite amounts; choose another "
            "layer or mask, or larger pictures."
        )
    # 3. The subspace in which weights move pictures most, on average over the codes.
    basis = _leading_rows(pulled, min(kept, n * probes))
    # 4. Push its axes forward at every code: J^T J of each picture in the subspace, inside and outside.
    inside, outside = [], []
    for i in range(n):
        pushed = push_forward(space.pictures_of(codes[i], size), zero, basis, chunk)
        inside.append(mean_products(pushed * roots[i][0]))
        outside.append(mean_products(pushed * roots[i][1]))
        done += 1
        tell({"step": done, "steps": steps})
    return Changes(basis, torch.stack(inside), torch.stack(outside))


def joint_weight_paths(
    generator: Generator,
    layers: Sequence[str],
    k: int = 32,
    *,
    samples: int = 48,
    kept: int = 64,
    size: int | None = 64,
    seed: int = 0,
    progress: Watch = None,
) -> WeightPaths:
    """Return directions in weights that the pictures' own changes agree on: :func:`~semanifold.paths.joint.joint_paths` there.

    Args:
        generator: any with weights.
        layers: names of the layers whose weights move.
        k: number of directions, those that change pictures most first.
        samples: pictures whose metrics are diagonalised together.
        kept: dimensions of the subspace in which that is done.
        size: height and width of the pictures; their own when None.
        seed: of the pictures.
        progress: called with ``step`` and ``steps``; a bar when None, nothing when False.

    Raises:
        SemanifoldError: for layers that are not there, or pictures that do not change.
    """
    space = WeightSpace(generator, tuple(layers))
    codes = codes_for(generator, samples, seed, None)
    pixels = None if size is None else generator.coarse_size(size)
    with watching(progress, f"finding axes of the weights of {', '.join(layers)}") as tell:
        changes = changes_of(space, codes, None, max(kept, k), size=pixels, seed=seed, tell=tell)
    # as in joint_paths: logarithms, so that the pictures that change most do not decide alone
    frame = joint_diagonal(logarithms(changes.inside))
    strength = torch.einsum("ki,nij,kj->k", frame, changes.inside, frame)
    return made(
        space, frame[strength.argsort(descending=True)[:k]], changes.basis, "joint diagonalisation of weights", CITE + CARDOSO
    )


def made(space: WeightSpace, small: Tensor, basis: Tensor, method: str, cite: tuple[str, ...], steps: int = 16) -> WeightPaths:
    """Return the set of directions that are given in a subspace ``[k, s]``; ``t = 1`` is half of the weights' own norm."""
    # 1. Back to the weights; the unit of each layer was the norm of its weight.
    rows = small.to(basis) @ basis
    units = torch.cat(
        [weight_of(space.generator, layer).norm().expand(math.prod(shape)) for layer, shape in space.shapes.items()]
    )
    vectors = rows * units.to(rows)
    # 2. Step such that t = 1 is half of the norm of all weights; calibrated() finds a better one.
    unit = space.norm
    info = info_of(space.generator, method=method, step=unit / 2 / steps, count=steps, cite=cite)
    return WeightPaths.from_vectors(vectors.cpu(), space.shapes, info).to(space.generator.device)


def codes_for(generator: Generator, samples: int, seed: int, seeds: Sequence[int] | None) -> Latents:
    """Return the codes that decide: those of seeds that people name, or random ones that nobody shows."""
    numbers = list(seeds) if seeds is not None else [(APART + 7_000_000 + seed * samples + i) % 2**32 for i in range(samples)]
    if not numbers:
        raise SemanifoldError("At least one picture is needed to find directions; give one or more samples.")
    return generator.example(numbers, in_turn=True)


def roots_of(generator: Generator, code: Latents, mask: Mask | None, size: int | None) -> tuple[Tensor, Tensor]:
    """Return the square roots of the weights of pixels inside and outside, each of mean 1."""
    height, width = generator.picture_shape[1:]
    if size is not None:
        height, width = size, max(1, round(width * size / height))
    if mask is None:
        one = code.values.new_ones(1, 1, height, width)
        return one, torch.zeros_like(one)
    weight = mask.at(height, width).to(code.values)
    if not 0 < float(weight.mean()) < 1:
        raise SemanifoldError("The mask covers nothing or everything of a picture; nothing can be told apart by it.")
    # the root of a weight, since changes are squared after it; of mean 1, so that small masks count as much as large ones
    return (weight / weight.mean()).sqrt(), ((1 - weight) / (1 - weight).mean()).sqrt()


def _leading_rows(rows: Tensor, kept: int) -> Tensor:
    """Return the leading right singular vectors ``[kept, N]`` of rows ``[m, N]``, by the small product of the rows.

    In their own precision, since each is as long as all weights of some layers.
    """
    # N may be millions, m is some hundreds: eigenvectors u of the small product give those of the large one, rows^T u / sigma
    products = (rows @ rows.T).double()
    values, vectors = torch.linalg.eigh(products)
    values, vectors = values.flip(0)[:kept], vectors.flip(1)[:, :kept]
    # random pictures may pull back to fewer independent rows than asked for; the others would be noise over 0
    sound = values > 1e-10 * values[0]
    basis = ((vectors[:, sound] / values[sound].sqrt()).T.to(rows)) @ rows
    # single precision leaves them not quite orthogonal
    return torch.linalg.qr(basis.T)[0].T
