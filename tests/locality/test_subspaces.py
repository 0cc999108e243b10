"""Directions of LocalDiff and RBE on Jacobians whose shared and own rows are known."""

from __future__ import annotations

import torch
from torch import Tensor

from semanifold.locality.subspaces import individual_directions, projected_directions


def grams() -> tuple[Tensor, Tensor, Tensor]:
    """Return products of two Jacobians, and orthonormal rows: 0 and 1 change both, 2 the inside only, 3 the outside only."""
    draw = torch.Generator().manual_seed(0)
    rows = torch.linalg.qr(torch.randn(6, 6, generator=draw, dtype=torch.float64))[0]

    def product(*strengths: float) -> Tensor:
        left = torch.linalg.qr(torch.randn(20, 6, generator=draw, dtype=torch.float64))[0]
        jacobian = left * torch.tensor(strengths, dtype=torch.float64) @ rows
        return jacobian.T @ jacobian

    return product(3, 2, 1, 0, 0, 0), product(2, 3, 0, 1, 0, 0), rows


def test_what_is_shared_with_the_outside_is_no_individual_direction() -> None:
    inside, outside, rows = grams()
    assert abs(float(individual_directions(inside, outside, 2, 1)[0] @ rows[2])) > 0.999
    # without a joint part the strongest direction comes first, which changes the outside as well
    assert abs(float(individual_directions(inside, outside, 0, 1)[0] @ rows[0])) > 0.999


def test_what_changes_the_outside_most_is_projected_off() -> None:
    inside, outside, rows = grams()
    found = projected_directions(inside, outside, 3, 1)
    assert abs(float(found[0] @ rows[2])) > 0.999
    # with one dimension less, the weakest change outside is still there, and the strongest two are not
    one, two = projected_directions(inside, outside, 1, 2)
    assert abs(float(one @ rows[0])) > 0.999
    assert abs(float(two @ rows[2])) > 0.999
    assert torch.allclose(one.norm(), torch.ones((), dtype=torch.float64))
