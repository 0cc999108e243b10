"""Directions in closed form, each function one published formula, and ready-made path sets of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.core.spaces import is_extended, single
from semanifold.generators.base import Generator
from semanifold.generators.coordinates import is_plain, spread_rows
from semanifold.generators.features import early_features, first_weights
from semanifold.paths.base import PathSetInfo, info_for, moving_codes
from semanifold.paths.files import load_paths
from semanifold.paths.kinds import NewPaths
from semanifold.paths.linear import LinearPaths

SAMPLES = 4096
"""Random codes that principal components and standard deviations are taken of."""

REACH = 3.0
"""Standard deviations of the codes that a ready-made path goes to ``t = 1``."""

STEPS = 16
"""Steps that it takes."""

GANSPACE = ("Härkönen, Hertzmann, Lehtinen, Paris 2020, GANSpace, arXiv:2004.02546",)
SEFA = ("Shen, Zhou 2021, Closed-Form Factorization of Latent Semantics in GANs, arXiv:2007.06600",)
RESEFA = ("Zhu et al. 2022, Region-Based Semantic Factorization in GANs, arXiv:2202.02649",)


def principal_directions(codes: Tensor, top: int) -> Tensor:
    """Return the leading principal components of codes ``[n, d]`` as unit rows ``[top, d]``, largest variance first.

    GANSpace's rule for style-based generators: PCA of w over random z (Härkönen et al. 2020, arXiv:2004.02546, section 2.2).
    """
    return leading_rows(codes - codes.mean(0), top).to(codes.dtype)


def regressed_directions(codes: Tensor, features: Tensor, top: int) -> Tensor:
    """Return the code directions ``[top, d]`` that best explain the principal components of early features, as unit rows.

    GANSpace's rule for generators without a style space (arXiv:2004.02546, section 2.3): PCA of the first layer's features
    over random z gives coordinates x; ``U = argmin sum_j |U x_j - z_j|^2``, whose columns are the directions.

    Args:
        codes: ``[n, d]`` random codes.
        features: ``[n, m]`` the first layer's features of the same codes.
        top: how many directions.

    Raises:
        SemanifoldError: if the features vary in fewer ways.
    """
    centred = (features - features.mean(0)).double()  # [n, m]
    # n is far smaller than m: the eigenvectors of the small product, times the singular values, are the coordinates U S
    variances, left = torch.linalg.eigh(centred @ centred.T)
    ways = int((variances > 1e-12 * variances[-1]).sum())  # what is below that is rounding
    if ways < top:
        raise SemanifoldError(f"The features vary in {ways} ways only, but {top} directions were asked for; ask for fewer.")
    coordinates = left[:, -top:].flip(1) * variances[-top:].flip(0).sqrt()  # [n, top], largest first; all above 0
    solved = torch.linalg.lstsq(coordinates, (codes - codes.mean(0)).double()).solution  # [top, d]
    return (solved / solved.norm(dim=1, keepdim=True)).to(codes.dtype)


def sefa_directions(weights: Sequence[Tensor], top: int) -> Tensor:
    """Return the codes that the first affine maps stretch most, as unit rows ``[top, d]``.

    The leading eigenvectors of ``A^T A``, A the style-affine weights ``[out, d]`` of the chosen layers one below the other, each
    row scaled to unit length as in the authors' code (Shen & Zhou 2021, SeFa, arXiv:2007.06600, section 3.2).
    """
    stacked = torch.cat([w.flatten(1) for w in weights]).double()
    # every channel counts alike, however strongly its style is scaled
    stacked = stacked / stacked.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return _leading(stacked.T @ stacked, top).to(weights[0].dtype)


def leading_rows(rows: Tensor, top: int) -> Tensor:
    """Return the leading eigenvectors ``[top, d]`` of ``rows^T rows``, by the smaller of the two products of ``[n, d]``."""
    rows = rows.double()
    # d x d when there are more rows than columns, else n x n, whose eigenvectors u give those of the other by rows^T u / sigma
    if len(rows) >= rows.shape[1]:
        return _leading(rows.T @ rows, top)
    values, vectors = torch.linalg.eigh(rows @ rows.T)
    # rank-deficient rows have eigenvalues of 0 up to rounding
    scale = values[-top:].clamp(min=torch.finfo(values.dtype).tiny).sqrt()
    return ((vectors[:, -top:] / scale).T @ rows).flip(0)


def _leading(symmetric: Tensor, top: int) -> Tensor:
    vectors = torch.linalg.eigh(symmetric).eigenvectors  # ascending
    return vectors.flip(1)[:, :top].T.contiguous()


def principal_paths(
    generator: Generator,
    space: str | None = None,
    k: int = 20,
    layers: tuple[int, int] | None = None,
    *,
    samples: int = SAMPLES,
) -> LinearPaths:
    """Return GANSpace's directions as a set of paths; ``t = 1`` is three standard deviations of each.

    The principal components of w where the space is ``w`` or ``w+``, all chosen layers moving alike, and those of s in ``s``, of
    which there are as many as w has dimensions; in other spaces the directions that explain those of the first layer's features
    best (arXiv:2004.02546, sections 2.2 and 2.3).

    Args:
        generator: any.
        space: of the paths; ``w`` if there is one, else the first, when None.
        k: number of paths.
        layers: layers ``(first, last + 1)`` of ``w+`` that move.
        samples: random codes; a quarter of them where features are needed.

    Raises:
        SemanifoldError: if the generator has no such space or layers, or fewer than k directions.
    """
    shape, info = info_for(generator, space, layers, method="principal components", cite=GANSPACE)
    check_count(k, min(direction_size(info, shape), samples - 1), generator)
    home = generator.path_space
    if is_plain(generator, info.space):
        codes = moving_codes(generator, info, max(k + 1, samples // 4))
        one = generator.example(0, info.space)
        features = torch.cat([early_features(generator, one.with_values(part)) for part in codes.split(64)])  # [n, m]
        return sized(regressed_directions(codes.flatten(1), features, k).reshape(k, *shape), codes, info)
    if single(info.space) == home:
        codes = moving_codes(generator, info, samples)
        return sized(principal_directions(_narrow(codes), k), codes, info)
    # s is an affine image of w, so its principal components are those of the spread of w, without [n, channels] codes in memory
    codes = moving_codes(generator, PathSetInfo(space=home), samples)
    check_count(k, codes.shape[1], generator)
    components = leading_rows(spread_rows(generator, info.space, codes), k).to(codes)
    return sized(components, generator.convert(Latents(codes, home), info.space).values, info)


def sefa_paths(
    generator: Generator, k: int = 20, layers: tuple[int, int] | None = None, *, space: str | None = None
) -> LinearPaths:
    """Return SeFa's directions as a set of paths; ``t = 1`` is three standard deviations of the codes along each.

    They come from the style affines of the chosen layers of a StyleGAN2, and from the first layer of any other generator.

    Args:
        generator: any whose first layer takes the whole code.
        k: number of paths.
        layers: layers ``(first, last + 1)`` of ``w+`` of a StyleGAN2, whose affines count and which move.
        space: of the paths; when None ``w+`` where layers are named, else ``w`` if there is one, else the first.

    Raises:
        SemanifoldError: if there is no such layer, or fewer than k directions.
    """
    space = space or ("w+" if layers else generator.path_space)
    shape, info = info_for(generator, space, layers, method="SeFa", cite=SEFA)
    weights = generator.affine_maps(space, layers) or [first_weights(generator, space)]
    check_count(k, min(direction_size(info, shape), sum(len(w) for w in weights)), generator)
    directions = sefa_directions(weights, k)
    if not is_extended(space):
        directions = directions.reshape(k, *shape)
    return sized(directions, moving_codes(generator, info, SAMPLES), info)


def local_paths(
    generator: Generator, vectors: Tensor, space: str, layers: tuple[int, int] | None = None, *, method: str = "local directions"
) -> LinearPaths:
    """Return given directions of whole codes, such as the ``vectors`` of ``manifolds.local_directions``, as a set of paths.

    Args:
        generator: that they were found on.
        vectors: ``[k, *code]``.
        space: that they live in.
        layers: layers ``(first, last + 1)`` of ``w+`` that may move; all when None.
        method: how they were found.

    Raises:
        SemanifoldError: if the vectors are not of the shape of codes.
    """
    shape, info = info_for(generator, space, layers, method=method, cite=RESEFA if method == "local directions" else ())
    code = generator.spaces[space].shape
    if tuple(vectors.shape[1:]) != code:
        raise SemanifoldError(f"Directions [k, ...] of {list(code)} are expected in {space}, but got {list(vectors.shape)}.")
    moving = vectors[:, slice(*layers)] if layers else vectors
    return sized(moving.reshape(-1, *shape), moving_codes(generator, info, SAMPLES), info)


def _narrow(codes: Tensor) -> Tensor:
    """Return codes of w ``[n, d]`` from those of w or of w+, whose layers agree where no truncation is at work."""
    return codes if codes.ndim == 2 else codes[:, 0]


def sized(vectors: Tensor, codes: Tensor, info: PathSetInfo, reach: float = REACH) -> LinearPaths:
    """Make a set whose paths go ``reach`` standard deviations of the codes ``[n, *shape]`` along them, by layer, to ``t = 1``.

    Vectors ``[k, d]`` of codes ``[n, layers, d]`` move all layers alike.
    """
    # How far codes usually go along each direction, so that t = 1 is as unusual on every path.
    shared = vectors.ndim < codes.ndim
    units = vectors / vectors.flatten(1).norm(dim=1).reshape(-1, *[1] * (vectors.ndim - 1))
    if shared or codes.ndim == 2:
        # [k]: one projection of the whole code
        deviations = (_narrow(codes) @ units.flatten(1).T).std(0)
    else:
        # [k]: layers vary on their own here, so their variances add
        deviations = torch.einsum("nld,kld->nkl", codes.flatten(2), units.flatten(2)).var(0).sum(-1).sqrt()
    # The step is that of the longest path, and the scales are at most 1; a direction along which codes hardly vary keeps
    # a thousandth of it, since a scale has to be above 0.
    largest = deviations.max().clamp(min=1e-8)
    info = replace(info, step=reach * float(largest) / STEPS, count=STEPS)
    layers = codes.shape[1] if shared else None
    scale = (deviations / largest).clamp(min=1e-3)
    made = LinearPaths.from_vectors(vectors, info, scale=scale.float().cpu(), layers=layers)
    return made.to(vectors.device, vectors.dtype)


def direction_size(info: PathSetInfo, shape: tuple[int, ...]) -> int:
    """Return the numbers of one direction; in an extended space all layers move alike."""
    return shape[-1] if is_extended(info.space) else math.prod(shape)


def check_count(k: int, most: int, generator: Generator) -> None:
    """Refuse a number of paths that a generator cannot have."""
    if not 1 <= k <= most:
        raise SemanifoldError(f"{generator.name} has 1 to {most} such directions, not {k}.")


def directions_before(file: Path, generator: Generator) -> LinearPaths | None:
    """Return the directions in a file, if they are straight ones of this generator; None if they are to be found again."""
    try:
        paths = load_paths(file)
    except SemanifoldError:
        return None
    return paths if isinstance(paths, LinearPaths) and paths.info.fingerprint == generator.fingerprint else None


def new_paths(generator: Generator, new: NewPaths) -> LinearPaths:
    """Return a set for a training that measures it; see :class:`~semanifold.paths.kinds.Kind`."""
    assert new.along is not None  # the set itself
    return new.along
