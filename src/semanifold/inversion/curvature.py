"""How strongly pictures change with a code, as a preconditioner of the descent: most directions of a code change hardly anything.

Rows R stand for the matrix ``R^T R``, about the mean of ``2 J^T J`` over the generator's own codes, J the derivative of what is
compared by the code (the Gauss-Newton matrix of the likeness, Nocedal and Wright 2006, Sec. 10.3). A row is ``J^T omega`` with a
random omega, the price of one backward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from semanifold.core.jacobians import pull_back
from semanifold.core.latents import Latents
from semanifold.core.minimise import Evaluation, Precondition
from semanifold.core.shapes import Pictures
from semanifold.generators.base import Generator
from semanifold.generators.coordinates import Coordinates
from semanifold.images.distances import FeatureDistance

CODES, DRAWS, KEPT = 64, 8, 48
"""Own codes that an encoder's rows are taken at, draws at each, and how many rows are kept."""
MOST_ROWS = 256
"""More starts than these are compared without a row of their own."""
CHUNK, PIXELS = 16, 1 << 18
"""Pictures made at a time, and pixels that they have together: they are differentiated, which takes memory."""


@dataclass(frozen=True, eq=False)
class Curvature:
    """About the mean of ``2 J^T J``.

    Attributes:
        rows: R ``[r, *code]``.
        damping: eigenvalues below this share of the largest are not known.
    """

    rows: Tensor
    damping: float

    @staticmethod
    def of(rows: Tensor) -> Curvature:
        """Return that of draws ``J^T omega`` ``[r, *code]``: what so many do not tell apart from nothing is not known."""
        return Curvature(rows * (2 / len(rows)) ** 0.5, 1 / len(rows))

    def natural(self, coordinates: Coordinates) -> Curvature:
        """Return the same for natural coordinates: the transpose of their displacements."""
        with torch.enable_grad():
            u = torch.zeros_like(self.rows).requires_grad_()
            # torch.func would make torch import its compiler first, a second and a half
            return Curvature(torch.autograd.grad((coordinates.displacements(u) * self.rows).sum(), u)[0], self.damping)

    def inverse(self) -> Precondition:
        """Return ``(R^T R + damping I)^-1`` as a function of ``[1, *code]`` (by the Woodbury identity)."""
        flat = self.rows.flatten(1).double()
        gram = flat @ flat.T
        damping = self.damping * float(torch.linalg.eigvalsh(gram)[-1])
        inner = torch.linalg.inv(gram + damping * torch.eye(len(gram), dtype=gram.dtype, device=gram.device))

        def solved(x: Tensor) -> Tensor:
            y = x.flatten().double()
            return ((y - flat.T @ (inner @ (flat @ y))) / damping).to(x).reshape(x.shape)

        return solved

    @property
    def inverts(self) -> bool:
        """Whether numbers are finite, and neither too small nor too large for the inverse."""
        try:
            return bool(torch.isfinite(self.rows).all()) and bool(torch.isfinite(self.inverse()(self.rows[:1])).all())
        except RuntimeError:  # as torch.linalg has it for what is singular
            return False

    def fitted(self, at: Evaluation) -> Curvature | None:
        """Return the same for a descent from a point; None if it says nothing.

        A quadratic of this curvature would fall by half of ``g (R^T R)^-1 g``, but what falls cannot fall below 0: where that
        promises more, pictures change more strongly than the rows say.
        """
        if not self.inverts:
            return None
        gain = float((at.gradient * self.inverse()(at.gradient)).sum())
        return Curvature(self.rows * max(1.0, gain / max(2 * at.value, 1e-30)) ** 0.5, self.damping)


def chunk_of(generator: Generator, size: int | None) -> int:
    """Return how many pictures of a size are differentiated at a time."""
    height, width = generator.picture_shape[1:]
    scale = 1 if size is None else size / height
    return max(1, min(CHUNK, int(PIXELS / (scale * height * scale * width))))


def rows_at(
    generator: Generator,
    codes: Latents,
    compared: Callable[[Pictures], Tensor],
    seed: int,
    *,
    size: int | None = None,
    draws: int = 1,
    coordinates: Coordinates | None = None,
) -> Tensor:
    """Return ``J^T omega`` for random omega, ``[draws n, *code]``, from one picture of each code, which are made all at once.

    Args:
        generator: the generator.
        codes: n codes.
        compared: pictures ``[n, c, h, w]`` to the numbers ``[n, m]`` whose squared differences are their distance.
        seed: of the draws.
        size: of the pictures.
        draws: for each code.
        coordinates: natural ones that rows are wanted in; in the code's own units when None.
    """
    move = (lambda u: u) if coordinates is None else coordinates.displacements
    shape = codes.values.shape[1:]

    def numbers(flat: Tensor) -> Tensor:
        return compared(generator.images(codes.moved(move(flat.reshape(-1, *shape))), size=size))

    zero = torch.zeros(1, shape.numel()).to(codes.values)
    with torch.enable_grad():
        rows = pull_back(numbers, zero, zero.new_ones(()), draws * len(codes), len(codes), seed & ((1 << 63) - 1))
    return rows.reshape(-1, *shape)


def mean_curvature(generator: Generator, codes: Latents, coordinates: Coordinates, size: int | None, seed: int) -> Curvature:
    """Return the :data:`KEPT` rows that say most of how pictures change, in the code's own units.

    Args:
        generator: whose pictures are compared by their pixels, and by the features of its world if it has one.
        codes: its own.
        coordinates: natural ones of their space; what counts is weighed in them.
        size: of the pictures.
        seed: of the draws.
    """
    distance = None if generator.world is None else FeatureDistance(generator.world.features)

    def compared(pictures: Pictures) -> Tensor:
        pixels = pictures.flatten(1) / pictures[0].numel() ** 0.5
        return pixels if distance is None else torch.cat([pixels, distance.numbers(pictures)], 1)

    chunk, facts = chunk_of(generator, size), {"size": size, "draws": DRAWS, "coordinates": coordinates}
    starts = range(0, len(codes), chunk)
    rows = torch.cat([rows_at(generator, codes[i : i + chunk], compared, seed + i, **facts) for i in starts])
    every = Curvature.of(rows)
    # the leading singular vectors are about the matrix; all that is below what is left out is not known any more
    _, stretch, axes = torch.linalg.svd(every.rows.flatten(1).double(), full_matrices=False)
    kept = (stretch[:KEPT, None] * axes[:KEPT]).to(rows).reshape(-1, *rows.shape[1:])
    unknown = float((stretch[KEPT:] / stretch[0]).square().max()) if len(stretch) > KEPT else 0.0
    return Curvature(coordinates.inverse(kept), max(every.damping, unknown))  # its matrices are symmetric
