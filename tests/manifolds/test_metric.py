"""The local metric and its preconditioner against the dense matrices that they stand for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from semanifold.manifolds.layout import Layout, layout_of
from semanifold.manifolds.metric import FLOOR, MOST_SECANTS, Metric, Secants, metric_of, preconditioner
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


def test_secants_of_single_frames_correct_the_preconditioner_of_all_by_bfgs() -> None:
    """Against the dense update ``(I - s y^T / s y) H (I - y s^T / s y) + s s^T / s y``, one pair after the other."""
    moves, hessian = drawn(3, D, seed=6), positive(D, 7)
    turns = moves @ hessian
    none = moves[:0]
    learned = Secants(none, none).after(moves[:2].reshape(2, 1, D), turns[:2].reshape(2, 1, D)).after(moves[2:], turns[2:])
    torch.testing.assert_close(torch.stack([learned.moves, learned.turns]), torch.stack([moves, turns]))
    dense = 0.5 * torch.eye(D).double()
    for move, turn in zip(moves, turns):
        side = torch.eye(D) - torch.outer(move, turn) / (move @ turn)
        dense = side @ dense @ side.T + torch.outer(move, move) / (move @ turn)
    gradient = drawn(4, 1, D, seed=8)
    apply = learned.corrected(lambda rows: 0.5 * rows)
    torch.testing.assert_close(apply(gradient), gradient @ dense)
    torch.testing.assert_close(apply(turns[2:].reshape(1, 1, D)), moves[2:].reshape(1, 1, D), msg="the latest pair is exact")


def test_pairs_that_do_not_curve_upwards_are_left_out_and_the_oldest_forgotten() -> None:
    moves = drawn(MOST_SECANTS + 3, D, seed=9)
    turns = torch.cat([-moves[:1], torch.zeros(1, D), moves[2:]])
    learned = Secants(moves[:0], moves[:0]).after(moves, turns)
    torch.testing.assert_close(learned.moves, moves[3:])
