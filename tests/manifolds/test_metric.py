"""The local metric and its preconditioner against the dense matrices that they stand for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from semanifold.manifolds.layout import Layout, layout_of
from semanifold.manifolds.metric import FLOOR, Metric, metric_of, preconditioner
from semanifold.manifolds.settings import ManifoldSettings

D, S = 7, 4


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def positive(size: int, seed: int) -> Tensor:
    root = drawn(size, size, seed=seed)
    return root @ root.T


def parts(*, barred: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Metric]:
    basis = torch.linalg.qr(drawn(D, S))[0].T
    inside, outside = positive(S, 1), positive(S, 2)
    return basis, inside, outside, metric_of(basis, inside, outside, 3.0, barred)


def test_the_metric_is_that_of_inside_and_weighted_outside() -> None:
    basis, inside, outside, metric = parts()
    dense = basis.T @ (inside + 3.0 * outside) @ basis
    torch.testing.assert_close((metric.axes.T * metric.stiffness) @ metric.axes, dense)
    torch.testing.assert_close(metric.axes @ metric.axes.T, torch.eye(S).double())
    rows = drawn(2, D, seed=5)
    assert metric.allowed(rows) is rows, "nothing is barred"


def test_rounding_makes_no_stiffness_negative() -> None:
    basis, inside, _, _ = parts()
    weak = inside - torch.linalg.eigvalsh(inside)[1] * torch.eye(S).double()
    assert metric_of(basis, weak, torch.zeros(S, S).double(), 1.0).stiffness.min() == 0


def test_what_is_allowed_changes_the_inside_in_ways_orthogonal_to_what_is_barred() -> None:
    barred = drawn(2, D, seed=3)
    basis, inside, _, metric = parts(barred=barred)
    dense = basis.T @ inside @ basis
    moves = drawn(5, D, seed=4)
    allowed = metric.allowed(moves)
    assert (moves @ dense @ barred.T).abs().min() > 1e-3
    torch.testing.assert_close(allowed @ dense @ barred.T, torch.zeros(5, 2).double(), rtol=0, atol=1e-10)
    torch.testing.assert_close(metric.allowed(allowed), allowed)
    layered = metric.allowed(moves.reshape(5, 1, D))
    torch.testing.assert_close(layered.reshape(5, D), allowed)
    assert torch.linalg.matrix_rank(moves - allowed) == 2


def dense_hessian(layout: Layout, metric: Metric, image_scale: float, spring_scale: float) -> Tensor:
    """``H`` of the docstring as one matrix over all free frames, by sums over springs."""
    n = len(layout.targets)
    laplacian = torch.zeros(n, n).double()
    for (a, b), weight in zip(layout.springs.pairs.tolist(), layout.springs.weights.tolist()):
        ends = torch.zeros(n).double()
        ends[a], ends[b] = 1, -1
        laplacian += weight * torch.outer(ends, ends)
    k = laplacian[layout.free][:, layout.free]
    picture = 2 * image_scale * (metric.axes.T * metric.stiffness) @ metric.axes
    floor = FLOOR * 2 * image_scale * float(metric.stiffness.max())
    frames = len(k)
    eye = torch.eye(frames * D).double()
    return torch.kron(torch.eye(frames).double(), picture) + torch.kron(2 * spring_scale * k, torch.eye(D).double()) + floor * eye


@pytest.mark.parametrize("with_barred", [False, True])
def test_the_preconditioner_is_the_inverse_of_the_dense_hessian_between_projections(with_barred: bool) -> None:
    """What is barred is taken out before the inverse and after it: it would come back through the axes that the two share."""
    metric = parts(barred=drawn(2, D, seed=3) if with_barred else None)[3]
    layout = layout_of(ManifoldSettings(frames=9), 9)
    assert FLOOR < 0.01
    apply = preconditioner(metric, layout, 0.7, 1.3)
    gradient = drawn(len(layout.free), D, seed=6)
    hessian = dense_hessian(layout, metric, 0.7, 1.3)
    inner = torch.linalg.solve(hessian, metric.allowed(gradient).flatten()).reshape(gradient.shape)
    wanted = metric.allowed(inner)
    found = apply(gradient)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(metric.allowed(found), found)
    torch.testing.assert_close(apply(metric.allowed(gradient)), found, msg="what is barred does not count in the gradient")
    if with_barred:
        assert (inner - wanted).abs().max() > 1e-3
