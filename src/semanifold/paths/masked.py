"""Directions of codes that change pictures inside a mask, on every picture of a generator, and leave them alone outside."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import torch
from torch import Tensor

from semanifold.core.jacobians import PictureFunction
from semanifold.core.latents import Latents
from semanifold.core.progress import Watch
from semanifold.generators.base import Generator
from semanifold.generators.coordinates import PLAIN, Coordinates, natural_coordinates
from semanifold.images.masks import Mask, as_mask
from semanifold.paths.base import info_for, moving_codes
from semanifold.paths.changes import codes_for
from semanifold.paths.closed_form import RESEFA, SAMPLES, check_count, sized
from semanifold.paths.linear import LinearPaths
from semanifold.paths.weight_masked import View, masked_rows, ratios_at_level

DAMPING = 1e-4
"""Added to the change outside, as a share of the strongest change inside; more of it is what makes shared directions leak."""
INDEPENDENCE = 0.2
"""How freely layers of w+ and channels of s may part."""
KEPT = 64
"""Dimensions of the subspace that is searched: 128 leak 2 % less, at twice the cost (``docs/measured-locality.md``)."""


@dataclass(frozen=True, eq=False)
class CodeSpace:
    """The codes of a space as one vector, in natural coordinates.

    Attributes:
        generator: whose codes they are.
        space: name.
        layers: layers ``(first, last + 1)`` of ``w+`` that move; all when None.
        shape: of the part of a code that moves.
        coordinates: from natural coordinates to displacements.
    """

    generator: Generator
    space: str
    layers: tuple[int, int] | None
    shape: tuple[int, ...]
    coordinates: Coordinates

    @property
    def what(self) -> str:
        """What changes, in words."""
        moving = "" if self.layers is None else f", layers {self.layers[0]}:{self.layers[1]}"
        return f"codes of {self.space}{moving}"

    @property
    def size(self) -> int:
        """Numbers of the part of a code that moves."""
        return math.prod(self.shape)

    def zero(self) -> Tensor:
        """Return ``[1, N]`` no change."""
        return torch.zeros(1, self.size, device=self.generator.device, dtype=self.generator.dtype)

    def displacements(self, changes: Tensor) -> Tensor:
        """Return displacements ``[n, *shape]`` of changes ``[n, N]``."""
        return self.coordinates.displacements(changes.reshape(-1, *self.shape))

    def pictures_of(self, code: Latents, size: int | None) -> PictureFunction:
        """Return the function from changes ``[n, N]`` to the pictures of one code."""
        return lambda changes: self.generator.images(code.moved(self.displacements(changes), self.layers), size=size)

    def pictures_along(self, change: Tensor, codes: Latents, far: Tensor, size: int | None = None) -> Tensor:
        """Return the pictures of n codes, moved ``far`` times ``[n]`` along one change ``[N]``; differentiable in the change."""
        moved = codes.moved(self.displacements(far[:, None] * change[None]), self.layers)
        return self.generator.images(moved, size=size)


def masked_paths(
    generator: Generator,
    mask: str | Mask,
    k: int = 8,
    space: str | None = None,
    layers: tuple[int, int] | None = None,
    *,
    samples: int = 24,
    kept: int = KEPT,
    size: int | None = None,
    damping: float = DAMPING,
    seed: int = 0,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: Watch = None,
) -> LinearPaths:
    """Return straight paths that change pictures inside a mask and leave them alone outside, the best first.

    ``A v = lambda (B + mu I) v`` with A and B the mean squared change inside and outside, averaged over pictures whose masks are
    found picture by picture: one direction for all pictures, where :func:`~semanifold.manifolds.directions.local_directions`
    solves the eigenproblem (Zhu et al. 2022, arXiv:2202.02649) at one alone. ``t = 1`` is three standard deviations.

    Args:
        generator: any.
        mask: where change is welcome; a name such as ``mouth`` is another mask on every picture.
        k: number of paths.
        space: of the paths; ``w`` if there is one, else the first, when None.
        layers: layers ``(first, last + 1)`` of ``w+`` that move.
        samples: pictures that decide.
        kept: dimensions of the subspace that is searched; those that change pictures most, inside and outside.
        size: height and width of the pictures; their own when None.
        damping: mu as a share of the strongest change inside.
        seed: of the pictures.
        checkpoint: file that keeps what was looked at, which goes on from there, bit for bit.
        progress: called with ``step`` and ``steps``; a bar when None, nothing when False.

    Returns:
        The set; ``info.measured`` has ``outside_inside`` of every path, the mean ratio of squared changes on those pictures.

    Raises:
        SemanifoldError: if there is no such space, layer or mask, fewer than k directions, pictures that do not change, or
            the checkpoint of another search.
    """
    method = f"changes of codes inside {mask}"
    shape, info = info_for(generator, space, layers, method=method, cite=RESEFA)
    check_count(k, math.prod(shape), generator)
    codes = generator.convert(codes_for(generator, samples, seed, None), info.space)
    coordinates = natural_coordinates(generator, codes[0], shape, INDEPENDENCE)
    moves = CodeSpace(generator, info.space, info.layers, shape, coordinates)
    kept = min(moves.size, max(kept, k))
    # about twice the usual length of a code in these coordinates
    facts = {"size": size, "damping": damping, "seed": seed, "refine": 0, "both": True, "farthest": (2 * moves.size) ** 0.5}
    rows, ratios = masked_rows(moves, mask, k, codes, kept, checkpoint=checkpoint, progress=progress, **facts)
    paths = sized(moves.displacements(rows), moving_codes(generator, info, SAMPLES), info)
    return paths.with_info(mask=mask if isinstance(mask, str) else "", measured={"outside_inside": ratios})


@dataclass(frozen=True, eq=False)
class Leaks:
    """How much paths change outside of a mask, on some pictures, where all change as much inside.

    Attributes:
        ratios: ``[k, n, 2]`` mean squared change outside over inside, backwards and forwards.
        pictures: ``[k, n, 3, c, h, w]`` one way, unedited, and the other way.
    """

    ratios: Tensor
    pictures: Tensor


@torch.no_grad()
def leaks(generator: Generator, paths: LinearPaths, mask: str | Mask, codes: Latents) -> Leaks:
    """Measure straight paths on n pictures, each way at 0.35 of the usual change inside the mask of each.

    Args:
        generator: any.
        paths: of its codes.
        mask: a name such as ``mouth`` is another mask on every picture.
        codes: n codes in the space of the paths.
    """
    moves = CodeSpace(generator, paths.info.space, paths.info.layers, paths.shape, PLAIN)
    masks = [as_mask(mask, generator, codes[i]) for i in range(len(codes))]
    # no further than two codes that are twice as far apart as usual
    spread = moving_codes(generator, paths.info, SAMPLES).flatten(1).var(0).sum()
    reach = float(2 * (2 * spread).sqrt())
    view = View.of(moves, codes, masks, None, 0, reach)
    ratios, pictures = [], []
    for row in paths.directions().to(view.plain).flatten(1):
        step = view.plain.new_full((len(codes),), reach / 100)
        inside = view.changes(row, list(range(len(codes))), step)[0].sqrt()
        far = (view.level / inside * step).clamp(max=reach)  # where nothing changes inside as well
        far = torch.stack([-far, far], 1)
        ratios.append(ratios_at_level(view, row, far))
        ways = [moves.pictures_along(row, codes, way) for way in far.unbind(1)]
        pictures.append(torch.stack([ways[0], view.plain, ways[1]], 1))
    return Leaks(torch.stack(ratios), torch.stack(pictures))
