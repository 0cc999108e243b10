"""Purity: how far each path changes pictures in a way of its own, at the codes where that has been measured beforehand."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.progress import Watch
from semanifold.generators.base import Generator
from semanifold.paths.base import LatentPaths, PathSet
from semanifold.paths.joint import local_metrics

CODES = 8
"""Codes that one iteration looks at."""

SMALL = 1e-12
"""Added to the strengths of two paths before their product is divided by it: a path that changes nothing shares nothing."""


@dataclass(frozen=True, eq=False)
class Purity:
    """What a training knows of how pictures change around some codes, so that mixed paths cost something without a picture.

    Attributes:
        codes: ``[n, *moving]`` the part of codes that moves.
        metrics: ``[n, m, m]`` how alike the changes of their pictures are along m displacements; each has the trace 1.
        natural: ``[d, e]`` from displacements of a code to natural coordinates, in which random codes are standard normal.
        visible: ``[m, e]`` these m displacements in natural coordinates, orthonormal: those that change pictures most.
    """

    codes: Tensor
    metrics: Tensor
    natural: Tensor
    visible: Tensor

    def __len__(self) -> int:
        return len(self.codes)

    def mixing(self, paths: LatentPaths, rows: Tensor) -> Tensor:
        """Return how mixed the paths are at some codes: 0 if every one changes pictures, and codes, in a way of its own.

        The sum of three: the squared cosines between the changes of the picture along a path and along all others, those between
        their displacements in natural coordinates, and the share of a displacement that pictures do not show; means over codes
        and paths. The first is the criterion of joint diagonalisation (Cardoso & Souloumiac 1996, section 2) with every path
        measured in its own strength; without the second two paths may lean on each other, and without the third a path may lie
        where nothing is seen.

        Args:
            paths: K paths of codes.
            rows: ``[r]`` numbers of the codes.
        """
        count, codes = len(paths), self.codes[rows]
        # 1. Where every path leads from each of these codes, by small steps: [r, K, e] in natural coordinates.
        starts = codes[:, None].expand(-1, count, *codes.shape[1:]).flatten(0, 1)
        index = torch.arange(count, device=codes.device).repeat(len(codes))
        steps = paths.shift(starts, index, torch.ones_like(index, dtype=codes.dtype))
        moved = F.normalize((steps.flatten(1) @ self.natural).unflatten(0, (len(codes), count)), dim=-1)
        # 2. The part of it that pictures show, and what pictures say of it.
        seen = moved @ self.visible.T  # [r, K, m]
        alike = shared(seen @ self.metrics[rows] @ seen.mT) + shared(moved @ moved.mT)
        # twice, so that a path in the dark costs more than one that is half like another
        return alike + 2 * (1 - seen.square().sum(-1)).mean()

    @torch.no_grad()
    def of(self, paths: PathSet) -> float:
        """Return how mixed the paths are, over all codes."""
        assert isinstance(paths, LatentPaths)
        parts = torch.arange(len(self), device=self.codes.device).split(CODES)
        return sum(float(self.mixing(paths, rows)) * len(rows) for rows in parts) / len(self)


def shared(products: Tensor) -> Tensor:
    """Return the mean over rows of the sum of the squared cosines with all other rows, from their products ``[..., k, k]``."""
    squares = products.diagonal(dim1=-2, dim2=-1)
    cosines = products.square() / (squares[..., :, None] * squares[..., None, :] + SMALL)
    return cosines.sum((-2, -1)).mean() / products.shape[-1] - 1


def purity_of(generator: Generator, paths: PathSet, *, samples: int = 128, seed: int = 0, progress: Watch = None) -> Purity:
    """Return what the paths' purity is measured by: the metrics that ``directions joint`` diagonalises.

    Args:
        generator: makes the pictures.
        paths: of z or w.
        samples: codes whose metrics are taken.
        seed: of these codes.
        progress: called with ``step`` and ``steps``. A bar when None, nothing when False.

    Raises:
        SemanifoldError: for paths in weights or in other spaces.
    """
    if not isinstance(paths, LatentPaths) or paths.info.space not in (generator.first_space, generator.path_space):
        spaces = " and ".join(dict.fromkeys((generator.first_space, generator.path_space)))
        raise SemanifoldError(f"How pure paths are is measured for paths of {spaces} only; leave lambda_pure=0.")
    local = local_metrics(generator, paths.info.space, len(paths), samples=samples, seed=seed, progress=progress)
    metrics = local.metrics / local.metrics.diagonal(dim1=1, dim2=2).sum(1)[:, None, None]
    size = local.basis.shape[1]
    natural = local.coordinates.inverse(torch.eye(size).to(local.basis))
    return Purity(local.codes, metrics.to(local.basis), natural, local.basis)
