"""How far paths are from straight lines: over the latent space, and each along its own way."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.edits import LatentEdit
from semanifold.generators.base import Generator
from semanifold.paths.base import LatentPaths, PathSet


@dataclass(frozen=True, eq=False)
class Bending:
    """Three numbers of each path, all 1 for a straight line that is the same everywhere.

    Attributes:
        field: ``[K]`` mean cosine between the first steps from different codes.
        ends: ``[K]`` cosine between the first and the last step on the way from ``t = -1`` to ``t = 1``, mean over codes.
        chord: ``[K]`` distance between both ends over the length of the way, mean over codes.
    """

    field: Tensor
    ends: Tensor
    chord: Tensor


@torch.no_grad()
def bending(paths: LatentPaths, latents: Latents) -> Bending:
    """Measure how much each path of a set bends.

    Args:
        paths: any set.
        latents: two codes or more to start at, in the set's space; 64 make the numbers good to about 0.02.

    Raises:
        SemanifoldError: if there are fewer than two codes, or they do not fit the paths.
    """
    if len(latents) < 2:
        raise SemanifoldError(f"Bending is measured between codes: at least 2 are needed, but got {len(latents)}.")
    paths.check(latents)
    count = paths.info.count
    rows = [_of_one(paths, k, latents, torch.arange(-count, count + 1) / count) for k in range(len(paths))]
    return Bending(*torch.tensor(rows).T)


def bending_of(paths: PathSet, generator: Generator, seeds: range) -> Bending | None:
    """Measure how much each path bends over random codes of a generator; None for paths that move no codes.

    Args:
        paths: any set.
        generator: whose codes they move.
        seeds: of the codes, at least two.
    """
    if not isinstance(paths, LatentPaths):
        return None
    return bending(paths, generator.example(seeds, paths.info.space))


def _of_one(paths: LatentPaths, index: int, latents: Latents, t: Tensor) -> tuple[float, float, float]:
    """Return the three numbers of one path; ``t`` are the moments of its steps."""
    edit = paths[index]
    assert isinstance(edit, LatentEdit)
    rows = torch.arange(len(latents)).repeat_interleave(len(t))  # all codes at all moments in one walk
    ways = edit.latents(latents[rows], t.to(latents.values).repeat(len(latents))).values.flatten(1).unflatten(0, (-1, len(t)))
    steps = ways[:, 1:] - ways[:, :-1]
    lengths = steps.norm(dim=-1)
    first = normalize(steps[:, len(t) // 2], dim=-1)
    n = len(first)
    between = (first.sum(0).square().sum() - first.square().sum()) / (n * (n - 1))
    ends = cosine_similarity(steps[:, 0], steps[:, -1], dim=-1).mean()
    chord = ((ways[:, -1] - ways[:, 0]).norm(dim=-1) / lengths.sum(1).clamp(min=1e-30)).mean()
    return float(between), float(ends), float(chord)
