"""Local directions: where the picture changes most inside the mask for the least change outside, at one code."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semanifold.core.eigenpairs import generalised_eigenvectors
from semanifold.core.errors import SemanifoldError
from semanifold.core.jacobians import mean_products, pull_back, push_forward
from semanifold.core.latents import Latents
from semanifold.generators.base import Generator, as_latents
from semanifold.generators.coordinates import PLAIN, Coordinates
from semanifold.images.masks import Mask, as_mask


@dataclass(frozen=True, eq=False)
class LocalDirections:
    """Generalised eigenvectors of the picture's change inside against outside, best first.

    Attributes:
        vectors: ``[k, *code]`` unit vectors; zero in layers that may not move.
        steps: ``[k, *moving]`` the same in coordinates, unit vectors there.
        gains: ``[k]`` eigenvalues lambda: change inside over (change outside + damping).
        inside: ``[k]`` mean squared change inside per squared unit of the coordinates.
        outside: ``[k]`` the same outside.
        basis: ``[s, d]`` orthonormal rows that span the search, d the dimensions that may move.
        grams: ``[2, s, s]`` mean products of the pictures that the rows push to, inside and outside.
    """

    vectors: Tensor
    steps: Tensor
    gains: Tensor
    inside: Tensor
    outside: Tensor
    basis: Tensor
    grams: Tensor

    def __len__(self) -> int:
        return len(self.gains)


def local_directions(
    generator: Generator,
    latents: Latents | int,
    mask: Mask | str,
    k: int = 8,
    *,
    layers: tuple[int, int] | None = None,
    size: int | None = None,
    damping: float = 0.01,
    probes: int | tuple[int, int] = 64,
    chunk: int = 16,
    seed: int = 0,
    coordinates: Coordinates = PLAIN,
    central: bool = True,
) -> LocalDirections:
    """Solve ``J_in^T J_in v = lambda (J_out^T J_out + mu I) v`` without ever forming the Jacobian.

    The eigenproblem of ReSeFa (Zhu et al. 2022, arXiv:2202.02649). ``J_in`` and ``J_out`` are the Jacobians of the picture times
    the square roots of ``M / area`` and ``(1 - M) / area``. The problem is solved in the span of the rows of both: random
    pictures pulled back (vjp; Halko et al. 2011, arXiv:0909.4061), then pushed forward (jvp). In spaces of no more
    dimensions than random pictures the span is everything and the answer exact.

    Args:
        generator: the generator.
        latents: one code, or its seed; directions are in its space.
        mask: what is to change, or its text.
        k: number of directions; fewer are returned if there are fewer.
        layers: layers of ``w+`` that may move.
        size: height and width of the pictures.
        damping: mu as a share of the strongest change inside; larger prefers short ways to clean ones.
        probes: random pictures inside, and as many outside; or one number of each.
        chunk: pictures at a time.
        seed: of the random pictures.
        coordinates: I is the unit of these.
        central: push forward by central differences, not by those of one side, which take half the pictures.

    Raises:
        SemanifoldError: if more than one code is given, or the mask or the code has no influence on the picture.
    """
    if k < 1:
        raise SemanifoldError(f"k is the number of local directions, at least 1, but it is {k}.")
    latents = as_latents(latents, generator)
    mask = as_mask(mask, generator, latents)
    shape = moving_shape(latents, layers)
    dims = int(torch.tensor(shape).prod())

    def pictures(u: Tensor) -> Tensor:
        return generator.images(latents.moved(coordinates.displacements(u.reshape(-1, *shape)), layers), size=size)

    zero = latents.values.new_zeros(1, dims)
    height, width = pictures(zero).shape[2:]
    weight = mask.at(height, width).to(latents.values)
    # the root of a pixel's weight: squares of weighted changes are then weighted means of squares
    roots = [(part / part.mean()).sqrt() for part in (weight, 1 - weight)]
    # 1. A basis of the search: everything if that is small, else what random pictures pull back to: rows of J_in and J_out.
    counts = (probes, probes) if isinstance(probes, int) else probes
    if dims <= sum(counts):
        basis = torch.eye(dims).to(zero)
    else:
        pairs = enumerate(zip(roots, counts, strict=True))
        basis = torch.cat([pull_back(pictures, zero, root, count, chunk, seed + i) for i, (root, count) in pairs])
        basis = torch.linalg.qr(basis.T)[0].T
    # 2. Push the basis forward: the Gram matrices of the pictures are J^T J in the span of the basis.
    pushed = push_forward(pictures, zero, basis, chunk, central=central)
    inside, outside = (mean_products(pushed * root) for root in roots)  # [s, s]
    if not (torch.isfinite(inside).all() and torch.isfinite(outside).all()):
        raise SemanifoldError(f"Pictures of {generator.name} around this code change by NaN or infinite amounts; check the code.")
    top = float(torch.linalg.eigvalsh(inside)[-1])
    if not top > 0:
        raise SemanifoldError(f"Nothing inside the mask {mask} answers to this code; use another mask, space or layers.")
    # 3. Most change inside per change outside. The damping is a share of the strongest change inside: without it, directions that
    # change nothing at all (0 / 0) would win over those that are seen.
    gains, small = generalised_eigenvectors(inside, outside + damping * top * torch.eye(len(inside)).to(inside))
    gains, small = gains[:k], small[:k]
    # 4. Back to the coordinates and, for the public vectors, to whole codes of unit length.
    steps = (small.to(basis) @ basis).reshape(-1, *shape)
    full = torch.zeros(len(steps), *latents.values.shape[1:]).to(basis)
    full[:, slice(*layers) if layers else slice(None)] = coordinates.displacements(steps)
    full /= full.flatten(1).norm(dim=1).reshape(-1, *[1] * len(latents.values.shape[1:]))
    rates = [torch.einsum("ki,ij,kj->k", small, matrix, small) for matrix in (inside, outside)]
    return LocalDirections(full, steps, gains, rates[0], rates[1], basis, torch.stack([inside, outside]))


def moving_shape(latents: Latents, layers: tuple[int, int] | None) -> tuple[int, ...]:
    """Return the shape of the part of one code that may move.

    Raises:
        SemanifoldError: if there is not exactly one code, or the layers are not those of the space.
    """
    if len(latents) != 1:
        raise SemanifoldError(f"A manifold belongs to one code, but got {len(latents)} codes; search once for each.")
    shape = tuple(latents.values.shape[1:])
    if layers is None:
        return shape
    first, last = layers
    if len(shape) < 2:
        raise SemanifoldError(
            f"Layers can be chosen in the space w+ only, not in {latents.space}, but got {first}-{last - 1}; leave them out."
        )
    if not 0 <= first < last <= shape[0]:
        raise SemanifoldError(f"There are no layers {first} to {last - 1}: this code has layers 0 to {shape[0] - 1}.")
    return (last - first, *shape[1:])
