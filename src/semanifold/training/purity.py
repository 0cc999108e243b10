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
from semanifold.paths.joint import local_metrics, logarithms

CODES = 8
"""Codes that one iteration looks at."""

TOGETHER, IN_THE_DARK = 3.0, 2.0
"""Weights of what pictures say of two paths, and of what pictures do not show of one; the rest has the weight 1."""


@dataclass(frozen=True, eq=False)
class Purity:
    """What a training knows of how pictures change around some codes, so that mixed paths cost something without a picture.

    Attributes:
        codes: ``[n, *moving]`` the part of codes that moves.
        strengths: ``[n, m, m]`` logarithms of the metrics of their pictures over m displacements, each of trace 0,
            their eigenvalues 1 in the root mean square.
        natural: ``[d, e]`` from displacements of a code to natural coordinates, in which random codes are standard normal.
        visible: ``[m, e]`` these m displacements in natural coordinates, orthonormal: those that change pictures most.
    """

    codes: Tensor
    strengths: Tensor
    natural: Tensor
    visible: Tensor

    def __len__(self) -> int:
        return len(self.codes)

    def mixing(self, paths: LatentPaths, rows: Tensor) -> Tensor:
        """Return how mixed the paths are at some codes: 0 if every one changes pictures, and codes, in a way of its own.

        The sum of three: the squared products of a path with all others in the logarithm of the picture's metric, three times;
        the squared cosines between them in natural coordinates; and the share of a displacement that pictures do not show,
        twice; means over codes and paths. The first is the criterion of joint diagonalisation (Cardoso & Souloumiac 1996,
        section 2) and of :func:`~semanifold.paths.joint.joint_paths`, where the frame is the same at all codes and orthonormal;
        here without the second two paths may lean on each other, and without the third a path may lie where nothing is seen.

        Args:
            paths: K paths of codes.
            rows: ``[r]`` numbers of the codes.
        """
        moved = self.steps(paths, rows)
        # what pictures show of them, and what pictures say of it
        seen = moved @ self.visible.T  # [r, K, m]
        together = off_diagonal(seen @ self.strengths[rows] @ seen.mT)
        dark = (1 - seen.square().sum(-1)).mean()
        return TOGETHER * together + off_diagonal(moved @ moved.mT) + IN_THE_DARK * dark

    def steps(self, paths: LatentPaths, rows: Tensor) -> Tensor:
        """Return where all K paths lead from some codes by small steps: ``[r, K, e]`` unit rows in natural coordinates."""
        count, codes = len(paths), self.codes[rows]
        starts = codes[:, None].expand(-1, count, *codes.shape[1:]).flatten(0, 1)
        index = torch.arange(count, device=codes.device).repeat(len(codes))
        steps = paths.shift(starts, index, torch.ones_like(index, dtype=codes.dtype))
        return F.normalize((steps.flatten(1) @ self.natural).unflatten(0, (len(codes), count)), dim=-1)

    @torch.no_grad()
    def of(self, paths: PathSet) -> float:
        """Return how mixed the paths are, over all codes."""
        assert isinstance(paths, LatentPaths)
        parts = torch.arange(len(self), device=self.codes.device).split(CODES)
        return sum(float(self.mixing(paths, rows)) * len(rows) for rows in parts) / len(self)


def off_diagonal(products: Tensor) -> Tensor:
    """Return the mean over matrices ``[..., k, k]`` and rows of the sum of the squares that are not on the diagonal."""
    squares = products.square()
    return (squares.sum((-2, -1)) - squares.diagonal(dim1=-2, dim2=-1).sum(-1)).mean() / products.shape[-1]


def check_purity(generator: Generator, space: str | None) -> None:
    """Refuse paths whose purity is not measured, before they are made.

    Args:
        generator: makes the pictures.
        space: of the paths; None if they are of weights.

    Raises:
        SemanifoldError: for paths in weights or in spaces of several layers.
    """
    known = dict.fromkeys((generator.first_space, generator.path_space))
    if space not in known:
        raise SemanifoldError(f"How pure paths are is measured for paths of {' and '.join(known)} only; leave lambda_pure= out.")


def purity_of(generator: Generator, paths: PathSet, *, samples: int = 128, seed: int = 0, progress: Watch = None) -> Purity:
    """Return what the paths' purity is measured by: the metrics that ``directions joint`` diagonalises.

    Args:
        generator: makes the pictures.
        paths: of z or w.
        samples: codes whose metrics are taken.
        seed: of these codes.
        progress: called with ``step`` and ``steps``. A bar when None, nothing when False.

    Raises:
        SemanifoldError: see :func:`check_purity`.
    """
    check_purity(generator, paths.info.space if isinstance(paths, LatentPaths) else None)
    assert isinstance(paths, LatentPaths)
    local = local_metrics(generator, paths.info.space, len(paths), samples=samples, seed=seed, progress=progress)
    # logarithms, as there; what all directions have in common says nothing, and the scale would be that of lambda_pure
    strengths = logarithms(local.metrics)
    size = strengths.shape[-1]
    strengths = strengths - strengths.diagonal(dim1=1, dim2=2).mean(1)[:, None, None] * torch.eye(size).to(strengths)
    strengths = strengths / (strengths.square().sum((1, 2)).mean() / size).sqrt().clamp(min=torch.finfo(strengths.dtype).tiny)
    natural = local.coordinates.inverse(torch.eye(local.basis.shape[1]).to(local.basis))
    return Purity(local.codes, strengths.to(local.basis), natural, local.basis)
