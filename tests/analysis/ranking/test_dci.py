"""Disentanglement, completeness and informativeness where the answer is known."""

import numpy as np
import pytest

from semanifold.analysis.ranking.dci import dci, lasso, purity
from semanifold.core.errors import SemanifoldError


def test_purity_of_known_matrices() -> None:
    assert purity(np.eye(5)) == pytest.approx((1, 1))
    assert purity(np.ones((6, 4))) == pytest.approx((0, 0))
    # two numbers for each factor, each for one factor: disentangled, not complete
    both = purity(np.kron(np.eye(4), np.ones((2, 1))))
    assert both == pytest.approx((1, 1 - np.log(2) / np.log(8)))
    # numbers of no importance do not count
    assert purity(np.concatenate([np.eye(4), np.zeros((3, 4))])) == pytest.approx((1, 1))
    # weights: the first number counts three times as much as the second, which knows nothing
    assert purity(np.array([[3.0, 0], [0.5, 0.5]]))[0] == pytest.approx(0.75)
    assert purity(np.zeros((3, 3))) == (0, 0)


def test_lasso_meets_the_conditions_of_its_minimum() -> None:
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(200, 12)), draw.normal(size=(200, 3))
    x[:, 5] = x[:, 4] + 0.1 * x[:, 5]
    gram, products, penalties = x.T @ x / 200, x.T @ y / 200, np.array([0.02, 0.05, 0.1])
    weights = lasso(gram, products, penalties, sweeps=5000)
    slope = products - gram @ weights
    assert (np.abs(slope) <= penalties + 1e-8).all()
    used = weights != 0
    assert np.allclose(slope[used], (np.sign(weights) * penalties)[used], atol=1e-7)
    assert not used.all()


def test_axes_that_are_the_factors_are_disentangled_and_a_rotation_is_not() -> None:
    draw = np.random.default_rng(1)
    factors = draw.normal(size=(2000, 6))
    nuisance = draw.normal(size=(2000, 4))
    rotation = np.linalg.qr(draw.normal(size=(10, 10)))[0]
    axes = np.concatenate([factors * [1, 2, 3, 4, 5, 6], nuisance], 1)
    pure, mixed = dci(axes, factors), dci(np.concatenate([factors, nuisance], 1) @ rotation, factors)
    assert min(pure.disentanglement, pure.completeness) > 0.95
    assert max(mixed.disentanglement, mixed.completeness) < 0.5
    assert pure.informativeness > 0.98
    assert mixed.informativeness > 0.98
    nothing = dci(draw.normal(size=(2000, 5)), factors)
    assert nothing.informativeness < 0.02
    assert pure.importance.shape == (10, 6)


def test_constant_columns_do_no_harm() -> None:
    draw = np.random.default_rng(2)
    factors = np.concatenate([draw.normal(size=(100, 2)), np.ones((100, 1))], 1)
    found = dci(np.concatenate([factors[:, :2], np.zeros((100, 1))], 1), factors)
    assert np.isfinite(found.importance).all()
    assert found.disentanglement > 0.9


def test_too_few_codes() -> None:
    with pytest.raises(SemanifoldError, match="at least 8"):
        dci(np.zeros((4, 2)), np.zeros((4, 1)))
    with pytest.raises(SemanifoldError, match="as rows"):
        dci(np.zeros((20, 2)), np.zeros((19, 1)))
