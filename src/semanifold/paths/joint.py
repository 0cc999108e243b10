"""One frame for all pictures: the directions along which every picture changes in ways of its own, by joint diagonalisation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.jacobians import PictureFunction, mean_products, pull_back, push_forward
from semanifold.core.latents import Latents
from semanifold.core.progress import Watch, watching
from semanifold.core.spaces import is_extended, single
from semanifold.generators.base import Generator
from semanifold.generators.coordinates import Coordinates, coordinates_of
from semanifold.paths.base import APART, PathSetInfo, info_for, moving_codes
from semanifold.paths.certainty import Certainty, certainty_of
from semanifold.paths.closed_form import SAMPLES, check_count, direction_size, leading_rows, sized
from semanifold.paths.linear import LinearPaths

LEAST = 32
"""Directions that are told apart at least, even where fewer paths are wanted."""

INDEPENDENCE = 0.2
"""How freely channels of s may part: at 1, each by itself, axes are less pure (``docs/measured-paths.md``)."""

ROWS_EACH = 2
"""Random pictures pulled back for each dimension of a space that is cut."""

MOST_ROWS = 2048
"""Random pictures pulled back, at most, that tell the directions in which pictures change most."""

BLOCK = 16
"""Codes after which it is asked whether axes are sure; of two blocks first, for the spread of fewer codes says little."""

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


@dataclass(frozen=True, eq=False)
class LocalMetrics:
    """How pictures change around some codes.

    Attributes:
        codes: ``[n, *moving]`` the moving parts of these codes.
        metrics: ``[n, m, m]`` mean products of the changes of the picture along the rows of the basis, in double precision.
        basis: ``[m, d]`` orthonormal rows in natural coordinates: those along which pictures change most.
        coordinates: from natural coordinates to displacements.
        usual: ``[many, *moving]`` random codes.
    """

    codes: Tensor
    metrics: Tensor
    basis: Tensor
    coordinates: Coordinates
    usual: Tensor


def local_metrics(
    generator: Generator,
    space: str | None = None,
    k: int = 20,
    layers: tuple[int, int] | None = None,
    *,
    samples: int = 128,
    size: int = 64,
    chunk: int = 32,
    seed: int = 0,
    enough: Callable[[Tensor], bool] = lambda _: False,
    progress: Watch = None,
) -> LocalMetrics:
    """Return the metrics of the pictures at many codes, over the directions that change pictures most; see :func:`joint_axes`.

    After two blocks of :data:`BLOCK` codes, and every further one, ``enough`` is asked whether the metrics so far ``[n, m, m]``
    will do.

    Raises:
        SemanifoldError: if the generator has no such space or layers, or pictures that do not change.
    """
    # 1. The displacements u that paths move along, whitened: axes of u that are orthonormal are uncorrelated among random codes.
    shape, info = info_for(generator, space, layers)
    usual = moving_codes(generator, info, SAMPLES)  # [n, *shape]
    layered, home = is_extended(info.space), generator.path_space
    flat = usual[:, 0] if layered else usual.flatten(1)  # [n, d]
    # s has far more channels than w has dimensions, so its covariance is singular; its metric is made from codes of w
    at_home = flat if single(info.space) == home else moving_codes(generator, PathSetInfo(space=home), SAMPLES)
    coordinates = coordinates_of(generator, info.space, at_home, 0, INDEPENDENCE)

    # 2. The codes, apart from those that people choose and from those of any other seed.
    first = (APART + (1 + seed) * 2 * SAMPLES) % 2**32
    codes = generator.example(range(first, first + samples), info.space)
    pixels = generator.coarse_size(size)

    def pictures_of(base: Latents) -> PictureFunction:
        """Return pictures of one code, or one for each row, moved by rows ``[n, d]`` of whitened displacements."""

        def pictures(u: Tensor) -> Tensor:
            displacements = coordinates.displacements(u)  # [n, d]
            displacements = displacements[:, None] if layered else displacements.reshape(-1, *shape)
            code = base if len(base) > 1 else base.with_values(base.values.expand(len(u), *base.values.shape[1:]))
            return generator.images(code.moved(displacements, layers), size=pixels)

        return pictures

    # 3. In wide spaces keep those dimensions in which pictures change most on average: random pictures pulled back from many
    # codes at once (row i of the batch at code i) are rows of their Jacobians.
    zero = flat.new_zeros(1, flat.shape[1])
    kept = min(flat.shape[1], max(k, LEAST))
    # so many random pictures per dimension are enough to find the leading ones, up to MOST_ROWS for the time it takes
    batches = 0 if kept == flat.shape[1] else math.ceil(min(ROWS_EACH * flat.shape[1], MOST_ROWS) / chunk)
    basis, rows, metrics = torch.eye(kept, flat.shape[1]).to(zero), [], []
    until = min(2 * BLOCK, samples)  # the codes that are known to be needed
    with watching(progress, f"finding axes of {generator.name}") as tell:
        for step in range(batches):
            start = step * chunk % len(codes)
            part = codes[start : start + chunk]
            rows.append(pull_back(pictures_of(part), zero, zero.new_ones(()), len(part), len(part), seed + step))
            tell({"step": step + 1, "steps": batches + until})
        if rows:
            basis = leading_rows(torch.cat(rows), kept).to(zero)
        # 4. The metric of each code in the basis: [kept, kept] products of the pictures that its rows are pushed to. Where
        # nothing was cut an axis may be dead, askew to the basis: curvature, which forward differences hold, would pass for life.
        while len(metrics) < until:
            number = len(metrics)
            pushed = push_forward(pictures_of(codes[number : number + 1]), zero, basis, chunk, central=batches == 0)
            metrics.append(mean_products(pushed))
            if len(metrics) == until < samples and not enough(changing(torch.stack(metrics), generator)):
                until = min(until + BLOCK, samples)
            tell({"step": batches + len(metrics), "steps": batches + until})
    moving = codes.values[:until, slice(*layers)] if layers else codes.values[:until]
    return LocalMetrics(moving, changing(torch.stack(metrics), generator), basis, coordinates, usual)


def changing(metrics: Tensor, generator: Generator) -> Tensor:
    """Return the metrics ``[n, m, m]`` if pictures change at every code, by finite amounts; else refuse."""
    if not (torch.isfinite(metrics).all() and (metrics.diagonal(dim1=1, dim2=2).sum(1) > 0).all()):
        raise SemanifoldError(f"Pictures of {generator.name} do not change, or by infinite amounts; no directions can be found.")
    return metrics


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
    progress: Watch = None,
) -> tuple[LinearPaths, Certainty]:
    """Return straight paths along the axes that the pictures' own changes agree on, and how certain each of these axes is.

    At every code the metric ``J^T J`` of the picture tells which small changes look unlike each other. Where a generator keeps
    its factors apart, that metric is nearly diagonal in them at every code (for decoders of variational autoencoders see Rolinek
    et al. 2019, arXiv:1812.06775), although their order and strength vary from one to the next. So the axes are those that
    diagonalise the logarithms of the metrics of many codes together (Cardoso & Souloumiac 1996). One metric, or the mean of
    them, tells axes apart only by their strength; many also tell apart axes that are equally strong on average.

    In ``w`` and ``w+`` (all chosen layers moving alike) the space is whitened first, so that axes are uncorrelated among random
    codes; in ``s`` as well, but channels may part by :data:`INDEPENDENCE` (see
    :func:`~semanifold.generators.coordinates.coordinates_of`). Spaces of more than 32 (or k) dimensions are first cut to those
    in which pictures change most on average. ``t = 1`` is three standard deviations.

    Args:
        generator: any.
        space: of the paths; ``w`` if there is one, else the first, when None.
        k: number of paths, those that change the picture most first.
        layers: layers ``(first, last + 1)`` of ``w+`` that move.
        samples: codes whose metrics are taken, at most; each costs a picture for every direction. They are taken in blocks of
            :data:`BLOCK`, until every axis that is alive is sure.
        size: height of the pictures, about; their own if it is smaller.
        chunk: pictures at a time.
        seed: of the codes.
        progress: called with ``step`` and ``steps`` after every code, before which come the batches that cut the space;
            ``steps`` grows by a block where axes are not sure yet. A bar when None, nothing when False.

    Raises:
        SemanifoldError: if the generator has no such space or layers, fewer than k directions, or pictures that do not change.
    """
    shape, info = info_for(generator, space, layers, method="joint diagonalisation", cite=CARDOSO)
    check_count(k, direction_size(info, shape), generator)
    # 1. to 4. The metrics of many codes, over the directions that change pictures most.
    local = local_metrics(
        generator, info.space, k, info.layers, samples=samples, size=size, chunk=chunk, seed=seed, progress=progress,
        enough=lambda metrics: axes_of(metrics, k)[1].settled,
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
