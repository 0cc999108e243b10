"""Eigenpairs: the leading ones of a large symmetric matrix that is known by its products, and generalised ones of small ones.

Our own: ``torch.lobpcg`` cannot be stopped, saved and resumed between two products, each of which takes seconds here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Product = Callable[[Tensor], Tensor]
"""Rows ``[b, N]`` to their products ``[b, N]`` with a symmetric matrix of no negative eigenvalue."""


@dataclass(frozen=True, eq=False)
class Eigenpairs:
    """What has been found so far, and all that the search needs to go on from here, bit for bit.

    Attributes:
        basis: ``[m, N]`` orthonormal rows that have been multiplied.
        products: ``[m, N]`` their products.
        ahead: ``[b, N]`` orthonormal rows to be multiplied next.
        multiplied: number of rows that have been multiplied in all.
    """

    basis: Tensor
    products: Tensor
    ahead: Tensor
    multiplied: int = 0

    def ritz(self) -> tuple[Tensor, Tensor]:
        """Return the eigenvalues ``[m]`` of the matrix in the basis, largest first, and their coordinates ``[m, m]`` (rows)."""
        small = (self.basis @ self.products.T).double()
        values, vectors = torch.linalg.eigh((small + small.T) / 2)
        return values.flip(0), vectors.T.flip(0)

    def pairs(self, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the k leading eigenvalues, eigenvectors ``[k, N]``, and residuals ``|H v - lambda v| / lambda`` ``[k]``.

        Eigenvalues below the rounding of products, the root of the precision times the largest one, count as that.
        """
        values, coordinates = self.ritz()
        coordinates = coordinates[:k].to(self.basis)
        vectors = coordinates @ self.basis
        left = coordinates @ self.products - values[:k, None].to(self.basis) * vectors
        floor = max(float(values[0]) * torch.finfo(self.basis.dtype).eps ** 0.5, torch.finfo(torch.float64).tiny)
        return values[:k], vectors, left.norm(dim=1).double() / values[:k].clamp(min=floor)


def begin(size: int, block: int, like: Tensor, seed: int = 0) -> Eigenpairs:
    """Return the state before the first product: ``block`` random orthonormal rows."""
    drawn = torch.randn(block, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(like)
    empty = like.new_empty(0, size)
    return Eigenpairs(empty, empty, _orthonormal(drawn, empty))


def step(state: Eigenpairs, product: Product, k: int, most: int) -> Eigenpairs:
    """Multiply one block more: block Lanczos with full reorthogonalisation and a thick restart (Wu & Simon 2000).

    Args:
        state: see :class:`Eigenpairs`.
        product: multiplies rows.
        k: eigenpairs that are wanted.
        most: rows that are kept; above it, what is known of the leading ``k + block`` pairs goes on alone.
    """
    block = len(state.ahead)
    images = product(state.ahead)
    basis, products = torch.cat([state.basis, state.ahead]), torch.cat([state.products, images])
    # what the last block was turned into, apart from what is known, is where the matrix leads next
    ahead = _orthonormal(images, basis)
    if len(basis) + block > most:
        # the leading vectors stay what they are; their products are known, so nothing is multiplied again
        joined = Eigenpairs(basis, products, ahead)
        rows = joined.ritz()[1][: min(k + block, len(basis))].to(basis)
        basis, products = rows @ basis, rows @ products
    return Eigenpairs(basis, products, ahead, state.multiplied + block)


def _orthonormal(rows: Tensor, others: Tensor) -> Tensor:
    """Return rows that are orthonormal, and orthogonal to others that are orthonormal; twice, for the rounding."""
    for _ in range(2):
        rows = rows - (rows @ others.T) @ others
        rows = torch.linalg.qr(rows.T)[0].T
    return rows


def generalised_eigenvectors(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return eigenvalues ``[m]`` (largest first) and unit eigenvectors ``[m, m]`` (rows) of ``A v = lambda B v``, B positive."""
    factor = torch.linalg.cholesky(b)
    half = torch.linalg.solve_triangular(factor, a, upper=False)
    whitened = torch.linalg.solve_triangular(factor, half.T, upper=False)
    values, vectors = torch.linalg.eigh((whitened + whitened.T) / 2)
    vectors = torch.linalg.solve_triangular(factor.T, vectors, upper=True).T.flip(0)
    vectors = vectors / vectors.norm(dim=1, keepdim=True)
    # The sign of an eigenvector means nothing; the largest entry is made positive so that runs agree.
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    return values.flip(0), vectors * largest.sign()
