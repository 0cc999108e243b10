"""One frame for all pictures: the directions along which every picture changes in ways of its own, by joint diagonalisation."""

from __future__ import annotations

import math
import os

import numpy as np
import torch
from torch import Tensor

from semanifold.core.progress import Watch
from semanifold.core.spaces import is_extended
from semanifold.generators.base import Generator
from semanifold.paths.base import info_for
from semanifold.paths.certainty import Certainty, certainty_of
from semanifold.paths.closed_form import check_count, direction_size, sized
from semanifold.paths.linear import LinearPaths
from semanifold.paths.local_metrics import local_metrics

DAMPING = 1e-3
"""Added to a local metric before its logarithm, as a share of its largest eigenvalue."""

CARDOSO = (
    "Cardoso, Souloumiac 1996, Jacobi Angles for Simultaneous Diagonalization, SIAM J. Matrix Anal. Appl. 17(1)",
    "Rolinek, Zietlow, Martius 2019, Variational Autoencoders Pursue PCA Directions (by Accident), arXiv:1812.06775",
)


def joint_diagonal(matrices: Tensor, *, sweeps: int = 100, tolerance: float = 1e-6) -> Tensor:
    """Return the orthonormal frame in which symmetric matrices are as diagonal as they can all be at once.

    Jacobi rotations in the plane of two axes after the other, each by the angle that makes the sum of the squared off-diagonal
    entries of all matrices least (Cardoso & Souloumiac 1996, section 2). One matrix alone has its eigenvectors as the answer.

    Args:
        matrices: ``[n, d, d]`` symmetric.
        sweeps: rounds over all pairs of axes, at most.
        tolerance: a round whose angles are all smaller, in radians, is the last.

    Returns:
        ``[d, d]``, one axis a row, in double precision.
    """
    # Entries of all matrices side by side [d, d, n], so that a rotation works on whole rows; ten times as fast as on [n, d, d].
    a = np.array(matrices.double().cpu().numpy().transpose(1, 2, 0), order="C")
    d = len(a)
    frame = np.eye(d)
    for _ in range(sweeps):
        widest = 0.0
        for p in range(d):
            for q in range(p + 1, d):
                # 1. The best angle t in the plane of p and q. With h = (a_pp - a_qq, 2 a_pq) of each matrix and G = sum h h^T,
                # what a rotation leaves off the diagonal is least where (cos 2t, sin 2t) is the leading eigenvector of G
                # (Cardoso & Souloumiac 1996, section 2): tan 4t = off / diagonal, diagonal = G_11 - G_22, off = 2 G_12.
                difference, twice = a[p, p] - a[q, q], 2 * a[p, q]  # [n] each
                diagonal = float(difference @ difference - twice @ twice)
                off = 2 * float(difference @ twice)
                # atan2(off, diagonal) / 4, by the half-angle formula: |t| <= pi/4, so that axes keep their places
                angle = 0.5 * math.atan2(off, diagonal + math.hypot(diagonal, off))
                widest = max(widest, abs(angle))
                cos, sin = math.cos(angle), math.sin(angle)
                # 2. Rotate rows, columns and the frame; the views share memory with `a`.
                for rows in (a, a.swapaxes(0, 1), frame):
                    turned = cos * rows[p] + sin * rows[q]
                    rows[q] = cos * rows[q] - sin * rows[p]
                    rows[p] = turned
        if widest < tolerance:
            break
    return torch.from_numpy(frame).to(matrices.device)


def joint_axes(
    generator: Generator,
    space: str | None = None,
    k: int = 20,
    layers: tuple[int, int] | None = None,
    *,
    samples: int = 128,
    size: int = 64,
    chunk: int = 32,
    seed: int = 0,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: Watch = None,
) -> tuple[LinearPaths, Certainty]:
    """Return straight paths along the axes that the pictures' own changes agree on, and how certain each of these axes is.

    At every code the metric ``J^T J`` of the picture tells which small changes look unlike each other. Where a generator keeps
    its factors apart, that metric is nearly diagonal in them at every code (for decoders of variational autoencoders see Rolinek
    et al. 2019, arXiv:1812.06775), although their order and strength vary from one to the next. So the axes are those that
    diagonalise the logarithms of the metrics of many codes together (Cardoso & Souloumiac 1996). One metric, or the mean of
    them, tells axes apart only by their strength; many also tell apart axes that are equally strong on average.

    In ``w`` and ``w+`` (all chosen layers moving alike) the space is whitened first, so that axes are uncorrelated among random
    codes; in ``s`` as well, but channels may part by :data:`~semanifold.paths.local_metrics.INDEPENDENCE` (see
    :func:`~semanifold.generators.coordinates.coordinates_of`). Spaces of more than 32 (or k) dimensions are first cut to those
    in which pictures change most on average. ``t = 1`` is three standard deviations.

    Args:
        generator: any.
        space: of the paths; ``w`` if there is one, else the first, when None.
        k: number of paths, those that change the picture most first.
        layers: layers ``(first, last + 1)`` of ``w+`` that move.
        samples: codes whose metrics are taken, at most; each costs a picture for every direction. They are taken in blocks of
            :data:`~semanifold.paths.local_metrics.BLOCK`, until every axis that is alive is sure.
        size: height of the pictures, about; their own if it is smaller.
        chunk: pictures at a time.
        seed: of the codes.
        checkpoint: file that keeps what was looked at, which goes on from there, bit for bit.
        progress: called with ``step`` and ``steps`` after every code, before which come the batches that cut the space;
            ``steps`` grows by a block where axes are not sure yet. A bar when None, nothing when False.

    Raises:
        SemanifoldError: if the generator has no such space or layers, fewer than k directions, pictures that do not change,
            or the checkpoint of another search.
    """
    shape, info = info_for(generator, space, layers, method="joint diagonalisation", cite=CARDOSO)
    check_count(k, direction_size(info, shape), generator)
    # 1. to 4. The metrics of many codes, over the directions that change pictures most.
    local = local_metrics(
        generator, info.space, k, info.layers, samples=samples, size=size, chunk=chunk, seed=seed,
        checkpoint=checkpoint, progress=progress, enough=lambda metrics: axes_of(metrics, k)[1].settled,
    )  # fmt: skip
    frame, certainty = axes_of(local.metrics, k)
    # 7. Back from the basis and the whitened coordinates to displacements of codes.
    directions = local.coordinates.displacements(frame.to(local.basis) @ local.basis)
    paths = sized(directions if is_extended(info.space) else directions.reshape(k, *shape), local.usual, info)
    return paths, certainty


def axes_of(metrics: Tensor, k: int) -> tuple[Tensor, Certainty]:
    """Return the k axes ``[k, m]`` along which metrics ``[n, m, m]`` are most diagonal together, and how certain each is."""
    # 5. Diagonalise the logarithms: the strength of an axis varies by orders of magnitude from one code to the next, and without
    # the logarithm the few codes at which pictures change most would decide alone.
    logs = logarithms(metrics)
    frame = joint_diagonal(logs)
    # 6. Strongest first; the largest entry of each axis is made positive, since eigenvectors have no sign of their own.
    strength = torch.einsum("ki,nij,kj->k", frame, metrics, frame)  # [m]
    order = strength.argsort(descending=True)
    certainty = certainty_of(frame[order] @ logs @ frame[order].T, strength[order], k)
    frame = frame[order[:k]]
    return frame * frame.gather(1, frame.abs().argmax(1, keepdim=True)).sign(), certainty


def joint_paths(
    generator: Generator,
    space: str | None = None,
    k: int = 20,
    layers: tuple[int, int] | None = None,
    *,
    samples: int = 128,
    size: int = 64,
    chunk: int = 32,
    seed: int = 0,
    progress: Watch = None,
) -> LinearPaths:
    """Return the paths of :func:`joint_axes`, whose arguments these are."""
    return joint_axes(generator, space, k, layers, samples=samples, size=size, chunk=chunk, seed=seed, progress=progress)[0]


def logarithms(metrics: Tensor) -> Tensor:
    """Return the matrix logarithms of positive matrices ``[n, d, d]``, damped by :data:`DAMPING`."""
    values, vectors = torch.linalg.eigh(metrics)
    # Without damping the logarithm of a direction that pictures do not show would be -inf, and rounding noise would decide.
    damped = values.clamp(min=0) + DAMPING * values.amax(1, keepdim=True)
    return (vectors * damped.log()[:, None]) @ vectors.mT  # V diag(log) V^T
