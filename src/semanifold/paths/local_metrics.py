"""How pictures change around many codes: what joint axes are found from, and what purity is measured by."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.jacobians import PictureFunction, mean_products, pull_back, push_forward
from semanifold.core.latents import Latents
from semanifold.core.plain import Json
from semanifold.core.progress import Watch, watching
from semanifold.core.spaces import is_extended, single
from semanifold.generators.base import Generator
from semanifold.generators.coordinates import Coordinates, coordinates_of
from semanifold.paths.base import APART, PathSetInfo, info_for, moving_codes
from semanifold.paths.closed_form import SAMPLES, leading_rows
from semanifold.storage.digests import digest
from semanifold.storage.keeping import Keeper, KeptHeader

FORMAT = "semanifold-local-metrics-1"
SAVE_EVERY = 2.0
"""Seconds between two writings of a checkpoint."""

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
    checkpoint: str | os.PathLike[str] | None = None,
    progress: Watch = None,
) -> LocalMetrics:
    """Return the metrics of the pictures at many codes, over the directions that change pictures most.

    See :func:`~semanifold.paths.joint.joint_axes`.

    After two blocks of :data:`BLOCK` codes, and every further one, ``enough`` is asked whether the metrics so far ``[n, m, m]``
    will do. A ``checkpoint`` keeps what was looked at, every :data:`SAVE_EVERY` seconds.

    Raises:
        SemanifoldError: if the generator has no such space or layers, for pictures that do not change, or the checkpoint of
            another search.
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
    basis = torch.eye(kept, flat.shape[1]).to(zero)
    # everything that decides what is kept; the number of codes does, since random pictures go round them
    key = digest(repr([generator.fingerprint, info.space, layers, kept, batches, pixels, chunk, seed, len(codes)]), digits=32)
    keeper = Keeper(checkpoint, FORMAT, key, SAVE_EVERY)
    rows, metrics = read_state(keeper, zero, kept, samples)
    until = min(2 * BLOCK, samples)  # the codes that are known to be needed

    def widen() -> None:
        """Take another block of codes where those so far do not do."""
        nonlocal until
        while len(metrics) >= until < samples and not enough(changing(torch.stack(metrics[:until]), generator)):
            until = min(until + BLOCK, samples)

    def done() -> None:
        """Keep the result of a step, and tell that it was taken."""
        keeper.keep(lambda: state_of(rows, metrics))
        tell({"step": len(rows) + len(metrics), "steps": batches + until})

    with watching(progress, f"finding axes of {generator.name}") as tell:
        while len(rows) < batches:
            step = len(rows)
            start = step * chunk % len(codes)
            part = codes[start : start + chunk]
            rows.append(pull_back(pictures_of(part), zero, zero.new_ones(()), len(part), len(part), seed + step))
            done()
        if rows:
            basis = leading_rows(torch.cat(rows), kept).to(zero)
        # 4. The metric of each code in the basis: [kept, kept] products of the pictures that its rows are pushed to. Where
        # nothing was cut an axis may be dead, askew to the basis: curvature, which forward differences hold, would pass for life.
        widen()
        while len(metrics) < until:
            number = len(metrics)
            pushed = push_forward(pictures_of(codes[number : number + 1]), zero, basis, chunk, central=batches == 0)
            metrics.append(mean_products(pushed))
            widen()
            done()
    moving = codes.values[:until, slice(*layers)] if layers else codes.values[:until]
    return LocalMetrics(moving, changing(torch.stack(metrics[:until]), generator), basis, coordinates, usual)


def changing(metrics: Tensor, generator: Generator) -> Tensor:
    """Return the metrics ``[n, m, m]`` if pictures change at every code, by finite amounts; else refuse."""
    if not (torch.isfinite(metrics).all() and (metrics.diagonal(dim1=1, dim2=2).sum(1) > 0).all()):
        raise SemanifoldError(f"Pictures of {generator.name} do not change, or by infinite amounts; no directions can be found.")
    return metrics


class Header(KeptHeader, frozen=True, kw_only=True):
    """The header of a checkpoint: how many rows each batch has."""

    batches: tuple[Annotated[int, msgspec.Meta(ge=1)], ...]


def read_state(keeper: Keeper, like: Tensor, kept: int, most: int) -> tuple[list[Tensor], list[Tensor]]:
    """Return the rows ``[n, d]`` of each batch and the metrics ``[m, m]`` of each code that a checkpoint keeps; none without one.

    Args:
        keeper: of the checkpoint.
        like: ``[1, d]``: size, device and precision of the rows.
        kept: dimensions that are wanted.
        most: codes that are looked at, at most.

    Raises:
        SemanifoldError: if the file is damaged, or belongs to another search.
    """

    def parts(tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        return tensors.get("rows", like[:0].cpu()), tensors.get("metrics", torch.zeros(0, 0, 0, dtype=torch.float64))

    def fits(header: Header, tensors: dict[str, Tensor]) -> bool:
        rows, metrics = parts(tensors)
        side = min(kept, len(rows) or kept) if len(metrics) else 0  # fewer rows span fewer dimensions
        shapes = rows.shape == (sum(header.batches), like.shape[1]) and metrics.shape == (min(len(metrics), most), side, side)
        types = (rows.dtype, metrics.dtype) == (like.dtype, torch.float64)
        return shapes and types and all(bool(torch.isfinite(x).all()) for x in (rows, metrics))

    saved = keeper.read(Header, fits)
    if saved is None:
        return [], []
    rows, metrics = parts(saved[1])
    return list(rows.to(like.device).split(list(saved[0].batches))), list(metrics.to(like.device))


def state_of(rows: Sequence[Tensor], metrics: Sequence[Tensor]) -> tuple[dict[str, Tensor], dict[str, Json]]:
    """Return the tensors and the header of a checkpoint."""
    tensors = {"rows": torch.cat(list(rows))} if rows else {}
    tensors |= {"metrics": torch.stack(list(metrics))} if metrics else {}
    return tensors, {"batches": [len(batch) for batch in rows]}
