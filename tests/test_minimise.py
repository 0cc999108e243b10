"""L-BFGS against torch's own, on functions with known minima, and as a value that goes on from anywhere."""

import itertools

import pytest
import torch
from torch import Tensor

from semanifold.core.minimise import Descent, Evaluation, begin, lbfgs_step


def rosenbrock(x: Tensor) -> Tensor:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def evaluated(function, x: Tensor) -> Evaluation:
    leaf = x.detach().requires_grad_()
    value = function(leaf)
    return Evaluation(value.item(), torch.autograd.grad(value, leaf)[0], {})


def test_line_search_finds_the_minimum_of_rosenbrock() -> None:
    f = lambda x: evaluated(rosenbrock, x)  # noqa: E731
    state = begin(f, torch.full((6,), -1.2, dtype=torch.float64))
    values = [state.at.value]
    for _ in range(80):
        state = lbfgs_step(f, state)
        values.append(state.at.value)
    assert state.at.value < 1e-12
    assert all(b <= a for a, b in itertools.pairwise(values)), "a line search never goes up"


@pytest.mark.parametrize("steps", [1, 8])
def test_without_line_search_it_walks_as_torch_does(steps: int) -> None:
    matrix = torch.randn(7, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    matrix = matrix @ matrix.T + torch.eye(7)
    quadratic = lambda x: x @ matrix @ x / 2 + x.sum() + 0.1 * x.pow(4).sum()  # noqa: E731
    x = torch.linspace(-1, 1, 7, dtype=torch.float64).requires_grad_()
    optimiser = torch.optim.LBFGS([x], history_size=20, max_iter=steps)

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = quadratic(x)
        value.backward()
        return value

    optimiser.step(closure)
    f = lambda x: evaluated(quadratic, x)  # noqa: E731
    state = begin(f, torch.linspace(-1, 1, 7, dtype=torch.float64))
    for _ in range(steps):
        state = lbfgs_step(f, state, line_search=False)
    torch.testing.assert_close(state.x, x.detach())


def test_the_exact_inverse_hessian_needs_one_step() -> None:
    scales = torch.logspace(-3, 3, 9, dtype=torch.float64)
    f = lambda x: evaluated(lambda x: (scales * (x - 1) ** 2).sum() / 2, x)  # noqa: E731
    state = lbfgs_step(f, begin(f, torch.zeros(9, dtype=torch.float64)), precondition=lambda g: g / scales)
    torch.testing.assert_close(state.x, torch.ones(9, dtype=torch.float64))


def test_a_descent_goes_on_from_any_saved_state() -> None:
    f = lambda x: evaluated(rosenbrock, x)  # noqa: E731
    state = begin(f, torch.zeros(4))
    for _ in range(7):
        state = lbfgs_step(f, state)
    copy = Descent(state.x.clone(), state.at, state.moves, state.turns)
    assert torch.equal(lbfgs_step(f, state).x, lbfgs_step(f, copy).x)


def test_at_a_minimum_it_says_that_it_stalls() -> None:
    f = lambda x: evaluated(lambda x: (x**2).sum(), x)  # noqa: E731
    state = lbfgs_step(f, begin(f, torch.zeros(3)))
    assert state.stalled
