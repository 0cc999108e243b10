"""Disentanglement, completeness and informativeness of a latent space (Eastwood & Williams 2018, ICLR), by sparse regression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semanifold.core.errors import SemanifoldError

Array = NDArray[np.float64]

PENALTIES = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
"""L1 penalties that are tried, as shares of the least one that leaves no weight at all."""
SWEEPS = 300
"""Steps of the descent for each penalty; it begins where the one before ended."""


@dataclass(frozen=True, eq=False)
class DCI:
    """How a space tells factors apart.

    Attributes:
        disentanglement: 1 if every number of a code matters for one factor only, 0 if for all alike.
        completeness: 1 if every factor is told by one number of the code only, 0 if by all alike.
        informativeness: mean share of the factors' variance that is predicted on codes that were not fitted, R².
        importance: ``[dims, factors]`` how much each number matters for each factor.
    """

    disentanglement: float
    completeness: float
    informativeness: float
    importance: Array


def purity(importance: Array) -> tuple[float, float]:
    """Return disentanglement and completeness of a matrix ``[dims, factors]`` of importances (section 2 of the paper).

    ``D = sum_c rho_c (1 - H_K(P_c))``: one minus the entropy of what each number of the code is important for, in units of that
    of K equal shares, weighted by its part in all importance. ``C`` is the same for factors, the other way round.
    """
    total = importance.sum()
    if total <= 0:
        return 0.0, 0.0
    scores = []
    for matrix in (importance, importance.T):
        rows = matrix.sum(1)
        shares = matrix[rows > 0] / rows[rows > 0, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            entropy = -np.where(shares > 0, shares * np.log(shares), 0).sum(1) / np.log(matrix.shape[1])
        scores.append(float(((1 - entropy) * rows[rows > 0]).sum() / total))
    return scores[0], scores[1]


def lasso(gram: Array, products: Array, penalties: Array, start: Array | None = None, sweeps: int = SWEEPS) -> Array:
    """Return the weights ``[d, k]`` that minimise ``|x w - y|^2 / (2 n) + penalty |w|_1``, one column per factor.

    Accelerated proximal steps (Beck & Teboulle 2009, FISTA).

    Args:
        gram: ``[d, d]`` ``x^T x / n``.
        products: ``[d, k]`` ``x^T y / n``.
        penalties: ``[k]``.
        start: first weights; zero when None.
        sweeps: number of steps.
    """
    rate = 1 / np.linalg.eigvalsh(gram)[-1]
    weights = np.zeros_like(products) if start is None else start
    ahead, momentum = weights, 1.0
    for _ in range(sweeps):
        moved = ahead - rate * (gram @ ahead - products)
        after = np.sign(moved) * np.maximum(np.abs(moved) - rate * penalties, 0)
        faster = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = after + (momentum - 1) / faster * (after - weights)
        weights, momentum = after, faster
    return weights


def dci(codes: Array, factors: Array, penalties: Sequence[float] = PENALTIES) -> DCI:
    """Return how the numbers of codes tell factors apart, by lasso, as in the paper.

    Codes and factors are standardised; half of them are fitted, a quarter chooses the penalty of every factor, and the last
    quarter says how much of it is predicted. The importance of a number is its absolute weight, of every factor the share.

    Args:
        codes: ``[n, dims]``.
        factors: ``[n, factors]``.
        penalties: from strong to weak, see :data:`PENALTIES`.

    Raises:
        SemanifoldError: for fewer than eight codes, or another number of factors.
    """
    if len(codes) != len(factors) or len(codes) < 8:
        raise SemanifoldError(
            f"As many codes as rows of factors are expected, at least 8, but got {len(codes)} and {len(factors)}."
        )
    cut = [len(codes) // 2, 3 * len(codes) // 4]
    x, y = (_standardised(np.asarray(part, np.float64), cut[0]) for part in (codes, factors))
    (fitted_x, chosen_x, tested_x), (fitted_y, chosen_y, tested_y) = np.split(x, cut), np.split(y, cut)
    gram, products = fitted_x.T @ fitted_x / cut[0], fitted_x.T @ fitted_y / cut[0]
    most = np.abs(products).max(0)
    weights, best, error = np.zeros_like(products), np.zeros_like(products), np.full(products.shape[1], np.inf)
    for penalty in penalties:
        weights = lasso(gram, products, penalty * most, weights)
        now = np.square(chosen_y - chosen_x @ weights).mean(0)
        best, error = np.where(now < error, weights, best), np.minimum(now, error)
    missed = np.square(tested_y - tested_x @ best).sum(0) / np.maximum(np.square(tested_y - tested_y.mean(0)).sum(0), 1e-12)
    importance = np.abs(best)
    importance = importance / np.maximum(importance.sum(0), 1e-12)
    return DCI(*purity(importance), float(np.clip(1 - missed, 0, 1).mean()), importance)


def _standardised(values: Array, fitted: int) -> Array:
    """Return columns less their mean over their spread, both of the rows that are fitted; constant ones become zero."""
    spread = values[:fitted].std(0)
    return np.where(spread > 1e-9 * max(spread.max(), 1e-300), (values - values[:fitted].mean(0)) / np.maximum(spread, 1e-300), 0)
