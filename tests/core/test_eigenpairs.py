"""Leading eigenpairs by products only, against the dense answer."""

from __future__ import annotations

import torch
from torch import Tensor

from semanifold.core.eigenpairs import Eigenpairs, begin, step

SIZE, K = 60, 6


def matrix() -> Tensor:
    draw = torch.Generator().manual_seed(0)
    frame = torch.linalg.qr(torch.randn(SIZE, SIZE, generator=draw, dtype=torch.float64))[0]
    return (frame * 0.8 ** torch.arange(SIZE)) @ frame.T


def searched(steps: int, most: int = 30, start: Eigenpairs | None = None) -> Eigenpairs:
    dense = matrix()
    state = start or begin(SIZE, 4, dense)
    for _ in range(steps):
        state = step(state, lambda rows: rows @ dense, K, most)
    return state


def test_the_pairs_are_those_of_the_dense_matrix_and_restarts_lose_nothing():
    values, vectors = torch.linalg.eigh(matrix())
    for most in (SIZE, 20):
        found, rows, residuals = searched(12, most).pairs(K)
        torch.testing.assert_close(found, values.flip(0)[:K], rtol=1e-9, atol=0)
        assert torch.linalg.svdvals(rows @ vectors.flip(1)[:, :K]).min() > 1 - 1e-9
        assert residuals.max() < 1e-5
    assert len(searched(12, 20).basis) <= 20


def test_residuals_tell_what_is_not_found_yet():
    state = searched(3)
    values, rows, residuals = state.pairs(K)
    exact = (rows @ matrix() - values[:, None] * rows).norm(dim=1) / values
    torch.testing.assert_close(residuals, exact, rtol=1e-6, atol=1e-12)
    assert residuals.max() > 1e-3
    assert state.multiplied == 12


def test_a_search_goes_on_from_its_state_bit_for_bit():
    whole, parts = searched(9, 20), searched(5, 20, searched(4, 20))
    assert torch.equal(whole.basis, parts.basis)
    assert torch.equal(whole.products, parts.products)
    basis = whole.basis
    torch.testing.assert_close(basis @ basis.T, torch.eye(len(basis), dtype=basis.dtype), rtol=0, atol=1e-12)
