"""How strongly pictures change with a code, as a preconditioner of the descent: most directions of a code change hardly anything.

Rows R stand for the matrix ``R^T R``, about the mean of ``J^T J`` over the generator's own codes, J the derivative of what is
compared by the code (the Gauss-Newton matrix of the likeness, Nocedal and Wright 2006, Sec. 10.3). A row is ``J^T e`` with random
signs e, the price of one backward pass: the mean of its square is ``J^T J`` (Hutchinson's estimate).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from semanifold.core.latents import Latents
from semanifold.core.minimise import Evaluation, Precondition
from semanifold.core.shapes import Pictures
from semanifold.generators.base import Generator
from semanifold.generators.coordinates import Coordinates
from semanifold.images.distances import FeatureDistance

CODES, SIGNS, KEPT = 64, 8, 64
"""Own codes that an encoder's rows are taken at, draws of signs at each, and how many rows are kept."""
MOST_ROWS = 256
"""More starts than these are compared without a row of their own."""
CHUNK = 16
"""Pictures made at a time."""


@dataclass(frozen=True, eq=False)
class Curvature:
    """About the mean of ``J^T J``.

    Attributes:
        rows: R ``[r, *code]``.
        draws: of which they were made; as a share of the largest, eigenvalues below one over it are not known.
    """

    rows: Tensor
    draws: int

    def natural(self, coordinates: Coordinates) -> Curvature:
        """Return the same for natural coordinates: the transpose of their displacements."""
        move = coordinates.displacements
        return Curvature(torch.func.vjp(move, torch.zeros_like(self.rows))[1](self.rows)[0], self.draws)

    def inverse(self) -> Precondition:
        """Return ``(R^T R + damping I)^-1`` as a function of ``[1, *code]`` (by the Woodbury identity)."""
        flat = self.rows.flatten(1).double()
        gram = flat @ flat.T
        damping = float(torch.linalg.eigvalsh(gram)[-1]) / self.draws
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
        return Curvature(self.rows * max(1.0, gain / max(2 * at.value, 1e-30)) ** 0.5, self.draws)


def rows_at(
    generator: Generator,
    codes: Latents,
    compared: Callable[[Pictures], Tensor],
    draws: torch.Generator,
    *,
    size: int | None = None,
    signs: int = 1,
) -> tuple[Tensor, Pictures]:
    """Return rows ``[signs n, *code]`` at codes, in the code's own units, and the codes' pictures.

    Args:
        generator: the generator.
        codes: n codes; their pictures are made all at once.
        compared: pictures ``[n, c, h, w]`` to the numbers ``[n, m]`` whose squared differences are their distance.
        draws: random numbers, on the CPU.
        size: of the pictures.
        signs: draws of signs for each code.
    """
    with torch.enable_grad():
        values = codes.values.detach().clone().requires_grad_()
        pictures = generator.images(codes.with_values(values), size=size)
        numbers = compared(pictures)
        rows = []
        for _ in range(signs):
            random = torch.randint(0, 2, numbers.shape, generator=draws).to(numbers) * 2 - 1
            rows.append(torch.autograd.grad(numbers, values, random, retain_graph=True)[0])
    # one over the root of two: a squared difference has twice its gradients' products as its second derivative
    return torch.cat(rows) * (2 / (signs * len(codes))) ** 0.5, pictures.detach()


def mean_curvature(generator: Generator, codes: Latents, coordinates: Coordinates, size: int | None, seed: int) -> Curvature:
    """Return the ``KEPT`` rows that say most of how pictures change, in the code's own units.

    Args:
        generator: whose pictures are compared by their pixels, and by the features of its world if it has one.
        codes: its own, n of them.
        coordinates: natural ones of their space; what counts is weighed in them.
        size: of the pictures.
        seed: of the signs.
    """
    draws = torch.Generator().manual_seed(seed)
    distance = None if generator.world is None else FeatureDistance(generator.world.features)

    def compared(pictures: Pictures) -> Tensor:
        pixels = pictures.flatten(1) / pictures[0].numel() ** 0.5
        return pixels if distance is None else torch.cat([pixels, distance.numbers(pictures)], 1)

    parts = [codes[i : i + CHUNK] for i in range(0, len(codes), CHUNK)]
    rows = torch.cat([rows_at(generator, part, compared, draws, size=size, signs=SIGNS)[0] for part in parts])
    natural = Curvature(rows / len(parts) ** 0.5, len(rows)).natural(coordinates)
    _, stretch, axes = torch.linalg.svd(natural.rows.flatten(1).double(), full_matrices=False)
    kept = (stretch[:KEPT, None] * axes[:KEPT]).to(rows).reshape(-1, *rows.shape[1:])
    return Curvature(coordinates.inverse(kept), len(rows))  # its matrices are symmetric
