"""Weights as one vector, and directions in them along which pictures change in ways of their own."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.jacobians import PictureFunction
from semanifold.core.latents import Latents
from semanifold.core.progress import Watch, watching
from semanifold.generators.base import Generator
from semanifold.generators.editing import check_layers, moved, weight_of
from semanifold.generators.mixed_weight import MixedWeight
from semanifold.paths.changes import SAVE_EVERY, Gathered, changes_of, codes_for, gathered_fit, search_key
from semanifold.paths.joint import CARDOSO, joint_diagonal, logarithms
from semanifold.paths.weights import CITE, WeightPaths, info_of
from semanifold.storage.keeping import Keeper, KeptHeader

FORMAT = "semanifold-changes-1"


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


def joint_weight_paths(
    generator: Generator,
    layers: Sequence[str],
    k: int = 32,
    *,
    samples: int = 48,
    kept: int = 64,
    size: int | None = 64,
    seed: int = 0,
    checkpoint: str | os.PathLike[str] | None = None,
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
        checkpoint: file that keeps what was looked at, which goes on from there, bit for bit.
        progress: called with ``step`` and ``steps``; a bar when None, nothing when False.

    Raises:
        SemanifoldError: for layers that are not there, pictures that do not change, or the checkpoint of another search.
    """
    space = WeightSpace(generator, tuple(layers))
    codes = codes_for(generator, samples, seed, None)
    pixels = None if size is None else generator.coarse_size(size)
    kept = max(kept, k)
    keeper = Keeper(checkpoint, FORMAT, search_key(space, codes, None, kept, pixels, seed), SAVE_EVERY)
    like = space.zero()
    saved = keeper.read(KeptHeader, lambda _, tensors: gathered_fit(tensors, like, samples, kept))
    before = None if saved is None else Gathered.from_tensors(saved[1], like)

    def keep(now: Gathered) -> None:
        keeper.keep(lambda: (now.tensors(), {}))

    with watching(progress, f"finding axes of the weights of {', '.join(layers)}") as tell:
        changes = changes_of(space, codes, None, kept, size=pixels, seed=seed, before=before, keep=keep, tell=tell)
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
