"""The local metric: how stiff the objective is along each latent direction, and its inverse as a preconditioner.

What the pictures at the start say of it, the steps of the search correct, see :class:`Secants`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from semanifold.manifolds.layout import Layout


@dataclass(frozen=True, eq=False)
class Metric:
    """Stiffness of the pictures' part of the objective at the start, times c: ``x^T (A + w B) x`` in its own axes.

    A and B are the mean squared changes inside and outside per squared unit of the latent space (see
    :func:`~semanifold.manifolds.directions.local_directions`), w is the weight of the outside.

    Attributes:
        axes: ``[s, d]`` orthonormal rows; what is orthogonal to all of them hardly changes the picture.
        stiffness: ``[s]``.
        barred: ``[b, d]`` orthonormal rows along which the search does not go.
    """

    axes: Tensor
    stiffness: Tensor
    barred: Tensor

    def allowed(self, x: Tensor) -> Tensor:
        """Return ``[f, *moving]`` without what it has along :attr:`barred`."""
        if not len(self.barred):
            return x
        rows = x.reshape(len(x), -1)
        return (rows - (rows @ self.barred.T) @ self.barred).reshape(x.shape)


def metric_of(basis: Tensor, inside: Tensor, outside: Tensor, weight: float, barred: Tensor | None = None) -> Metric:
    """Return the metric from what is known of the pictures at the start.

    Args:
        basis: ``[s, d]`` orthonormal rows.
        inside: ``[s, s]`` products of the pictures that they are pushed to, inside.
        outside: ``[s, s]`` the same outside.
        weight: w.
        barred: ``[b, d]`` directions whose change inside is forbidden: what the search may do changes the inside, to first order,
            in ways orthogonal to theirs.
    """
    # A change x costs x^T (A + w B) x to second order: the diagonal form of that matrix in the span of the basis.
    values, vectors = torch.linalg.eigh(inside + weight * outside)
    # A barred v forbids every x whose change inside overlaps with that of v: x^T A v = 0, so the rows are A v, orthonormalised.
    rows = basis.new_zeros(0, basis.shape[1])
    if barred is not None and len(barred):
        rows = torch.linalg.qr(((barred @ basis.T) @ inside.to(basis) @ basis).T)[0].T
    return Metric(vectors.T.to(basis) @ basis, values.clamp(min=0).to(basis), rows)  # rounding may turn a 0 negative


def preconditioner(metric: Metric, layout: Layout, image_scale: float, spring_scale: float) -> Callable[[Tensor], Tensor]:
    """Return the map ``g -> H^-1 g`` of ``[f, *moving]`` gradients, H an estimate of the objective's Hessian.

    ``H = I x (2 image_scale (A + w B)) + (2 spring_scale K) x I + floor``, K the graph Laplacian of the springs. Both parts are
    diagonal in their own axes, so that the inverse costs two small products. What is barred is taken out before and after: L-BFGS
    moves by sums of earlier moves and of what this map returns, so a descent that begins where it may stays there.

    Args:
        metric: of the pictures at the start.
        layout: frames and springs.
        image_scale: weight of the pictures over the unit of their distances.
        spring_scale: one over the unit of the spring terms.
    """
    # K: the sum of the springs' second derivatives along the frames, w (e_a - e_b)(e_a - e_b)^T each.
    laplacian = torch.zeros(len(layout.targets), len(layout.targets), dtype=torch.float64)
    for (a, b), weight in zip(layout.springs.pairs.tolist(), layout.springs.weights.tolist()):
        laplacian[a, a] += weight
        laplacian[b, b] += weight
        laplacian[a, b] -= weight
        laplacian[b, a] -= weight
    # The start's own frame does not move: its row and column go, and with them the constant mode.
    free = layout.free
    # Both parts of H are diagonal in the modes of K (over frames) times the axes of the metric (over the code), where H is
    # slow_i + stiff_j + floor; off the axes only springs and floor are left.
    slow, modes = torch.linalg.eigh(laplacian[free][:, free])
    slow = (2 * spring_scale * slow.clamp(min=0)).to(metric.axes)[:, None]  # [f, 1]
    modes = modes.to(metric.axes)
    stiff = 2 * image_scale * metric.stiffness  # [s]
    floor = FLOOR * float(stiff.max())

    def apply(gradient: Tensor) -> Tensor:
        rows = modes.T @ metric.allowed(gradient).reshape(len(gradient), -1)  # [f, d]: frames to modes
        along = rows @ metric.axes.T  # [f, s]: the part in the axes
        rest = (rows - along @ metric.axes) / (slow + floor)  # [f, d]: the part off them
        return metric.allowed((modes @ ((along / (slow + stiff + floor)) @ metric.axes + rest)).reshape(gradient.shape))

    return apply


FLOOR = 1e-3
"""Least stiffness, as a share of the greatest: keeps directions that hardly change the picture from running away."""

MOST_SECANTS = 128
"""How many are remembered."""


@dataclass(frozen=True, eq=False)
class Secants:
    """How the objective's gradient turned along moves of single frames.

    A descent moves all frames at once, and has one pair of a move and a turn from a step. But the Hessian hardly joins different
    frames, and is much the same at all: every frame's own pair holds for all of them, and for those of the stages that follow.

    Attributes:
        moves: ``[m, d]`` oldest first.
        turns: ``[m, d]`` the gradient's changes along them, with products above zero.
    """

    moves: Tensor
    turns: Tensor

    def after(self, move: Tensor, turn: Tensor) -> Secants:
        """Return these and those of a step, ``[f, *moving]`` each."""
        move, turn = move.flatten(1), turn.flatten(1)
        good = (move * turn).sum(1) > CURVED * move.norm(dim=1) * turn.norm(dim=1)
        moves, turns = torch.cat([self.moves, move[good]]), torch.cat([self.turns, turn[good]])
        return Secants(moves[-MOST_SECANTS:], turns[-MOST_SECANTS:])

    def corrected(self, precondition: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        """Return the estimate of the inverse Hessian after a BFGS update by every pair, in every frame alike (Nocedal 1980)."""
        products = (self.moves * self.turns).sum(1).tolist()
        pairs = list(zip(self.moves, self.turns, products, strict=True))

        def apply(gradient: Tensor) -> Tensor:
            rows, shares = gradient.flatten(1), []
            for move, turn, product in reversed(pairs):
                shares.append(rows @ move / product)  # [f]
                rows = torch.addr(rows, shares[-1], turn, alpha=-1)
            rows = precondition(rows.reshape(gradient.shape)).flatten(1)
            for (move, turn, product), share in zip(pairs, reversed(shares), strict=True):
                rows = torch.addr(rows, share - rows @ turn / product, move)
            return rows.reshape(gradient.shape)

        return apply


CURVED = 1e-8
"""Least cosine between a move and its turn."""
