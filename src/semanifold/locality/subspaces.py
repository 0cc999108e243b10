"""Local directions of two papers on diffusion models, from the Gram matrices of the Jacobians inside and outside of a mask."""

from __future__ import annotations

import torch
from torch import Tensor

ROUNDS = 30
"""Turns of the alternation; its residual no longer changes in the third digit."""


def individual_directions(inside: Tensor, outside: Tensor, joint: int, k: int) -> Tensor:
    """Return the leading directions ``[k, s]`` of the part of the inside that is not shared with the outside, unit rows.

    The joint and individual components (JIVE) of both Jacobians, as LocalDiff takes them of a denoiser (Kouzelis et al. 2024,
    arXiv:2408.16845): each is a joint part, whose rows span the same ``joint`` dimensions for both, and an individual part of
    rank k, orthogonal to these, fitted in turns by least squares. Jacobians have the same size here, by their norms.

    Args:
        inside: ``[s, s]`` products ``J^T J`` inside.
        outside: the same outside.
        joint: dimensions of the joint part.
        k: directions.
    """
    # 1. Only the products of the Jacobians are known; a root of them has the same rows up to a rotation, which changes nothing.
    roots = [_root(gram) for gram in (inside, outside)]
    roots = [root / root.norm() for root in roots]
    apart = [torch.zeros_like(root) for root in roots]
    rows = roots[0][:0]
    for _ in range(ROUNDS):
        # 2. The joint rows: leading right singular vectors of both, without what is individual.
        shared = sum((root - part).T @ (root - part) for root, part in zip(roots, apart))
        rows = torch.linalg.eigh(shared)[1].T.flip(0)[:joint]
        # 3. The individual parts: the best of rank k of what is orthogonal to the joint rows.
        apart = [_of_rank(root - (root @ rows.T) @ rows, k) for root in roots]
    return torch.linalg.svd(apart[0]).Vh[:k]


def projected_directions(inside: Tensor, outside: Tensor, removed: int, k: int) -> Tensor:
    """Return the directions ``[k, s]`` that change the inside most among those orthogonal to what changes the outside most.

    The projection of Region-Based Editing (Li et al. 2024, arXiv:2412.12912): right singular vectors of ``J_in (I - B^T B)``, B
    the leading ``removed`` right singular vectors of the outside's Jacobian. (The paper finds them by power iteration.)

    Args:
        inside: ``[s, s]`` products ``J^T J`` inside.
        outside: the same outside.
        removed: dimensions that are projected off, less than s - k.
        k: directions.
    """
    # eigenvalues rise, so the complement of the strongest comes first
    rest = torch.linalg.eigh(outside)[1].T[: len(outside) - removed]
    return torch.linalg.eigh(rest @ inside @ rest.T)[1].T.flip(0)[:k] @ rest


def _root(gram: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(gram)
    return values.clamp(min=0).sqrt()[:, None] * vectors.T


def _of_rank(matrix: Tensor, rank: int) -> Tensor:
    left, values, right = torch.linalg.svd(matrix)
    return (left[:, :rank] * values[:rank]) @ right[:rank]
