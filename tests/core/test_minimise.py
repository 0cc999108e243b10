"""L-BFGS against torch's own, on functions with known minima, and as a value that goes on from anywhere."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from semanifold.core.minimise import (
    CURVATURE,
    MOST_TRIALS,
    SUFFICIENT,
    Descent,
    Evaluation,
    _cubic,
    begin,
    lbfgs_step,
    two_loops,
    wolfe_search,
)


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


def along(function: Callable[[float], tuple[float, float]], length: float) -> tuple[tuple[float, Evaluation] | None, list[float]]:
    """Search a function of one number from 0 upwards; return what was found and the lengths that were tried."""
    tried: list[float] = []

    def evaluate(x: Tensor) -> Evaluation:
        value, slope = function(float(x))
        tried.append(float(x))
        return Evaluation(value, torch.tensor([slope], dtype=torch.float64), {})

    state = begin(evaluate, torch.zeros(1, dtype=torch.float64))
    slope = float(state.at.gradient)
    return wolfe_search(evaluate, state, torch.ones(1, dtype=torch.float64), slope, length), tried[1:]


VALLEYS: dict[str, Callable[[float], tuple[float, float]]] = {
    "square": lambda x: ((x - 3) ** 2, 2 * (x - 3)),
    "quartic": lambda x: ((x - 3) ** 4 / 20, (x - 3) ** 3 / 5),
    "cubic": lambda x: (x**3 / 3 - 9 * x, x**2 - 9),
    "waves": lambda x: (math.cos(2 * x) - 0.3 * x, -2 * math.sin(2 * x) - 0.3),
    "kinked": lambda x: (math.sqrt((x - 3) ** 2 + 1e-4), (x - 3) / math.sqrt((x - 3) ** 2 + 1e-4)),
    "narrow": lambda x: (-math.exp(-4 * (x - 1) ** 2), 8 * (x - 1) * math.exp(-4 * (x - 1) ** 2)),
}


@pytest.mark.parametrize("length", [1e-3, 0.1, 1.0, 3.1, 30.0, 1e4])
@pytest.mark.parametrize("name", VALLEYS)
def test_lengths_satisfy_both_conditions_wherever_the_search_begins(name: str, length: float) -> None:
    """Nocedal and Wright 2006, Eq. 3.7: lower by enough, and not much steeper than a tenth down or up."""
    valley = VALLEYS[name]
    value, slope = valley(0.0)
    found, tried = along(valley, length)
    assert found is not None
    assert tried[0] == pytest.approx(length)
    assert len(tried) <= MOST_TRIALS
    far, at = found
    assert at.value == pytest.approx(valley(far)[0])
    assert at.value <= value + SUFFICIENT * far * slope
    assert abs(valley(far)[1]) <= -CURVATURE * slope
    assert far == tried[-1], "the first that satisfies both is taken"


def test_the_next_trial_is_four_times_as_long_until_the_valley_is_bracketed() -> None:
    _, tried = along(VALLEYS["kinked"], 1e-3)
    assert tried[:6] == pytest.approx([1e-3 * 4**k for k in range(6)])
    later = [trial for trial in tried if trial > 4 ** (len(tried) - 1) * 1e-3]
    assert not later
    found, tried = along(lambda x: (-x, -1.0), 1.0)
    assert tried == pytest.approx([4.0**k for k in range(MOST_TRIALS)]), "a slope without an end"
    assert found is not None
    assert found[0] == tried[-1], "the lowest trial, since none satisfied both"
    found, tried = along(lambda x: (x * x * 1e-3 + abs(x), -1.0), 1.0)
    assert found is None
    assert len(tried) <= MOST_TRIALS, "none is lower"


def test_the_interval_may_not_shrink_for_ever() -> None:
    """A step down between two numbers has no length that satisfies both conditions; the search ends with the lowest."""
    found, tried = along(lambda x: (0.0 if x < 1 else 1.0, -1.0) if x else (0.5, -1.0), 2.0)
    assert found is None or found[1].value == 0
    assert len(tried) <= MOST_TRIALS


@pytest.mark.parametrize("turn", [False, True])
def test_a_cubic_is_met_at_its_lowest_point(turn: bool) -> None:
    """``x^3 - 3 x``, turned or not, lies lowest at 1; never nearer to an end than a tenth of the interval."""

    def met(a: float, b: float, shift: float = 0.0) -> float:
        f, g = (lambda x: 2 * ((x - shift) ** 3 - 3 * (x - shift)) + 7), (lambda x: 6 * (x - shift) ** 2 - 6)
        a, b = (b, a) if turn else (a, b)
        return _cubic(a, f(a), g(a), b, f(b), g(b))

    assert met(0, 3) == pytest.approx(1)
    assert met(0.5, 1.7) == pytest.approx(1)
    assert met(5.2, 8, 5) == pytest.approx(6)
    assert met(0, 20) == pytest.approx(2)
    assert met(-1, 1.1) == pytest.approx(0.89)
    ends = (-1.0, -2.0, 4.0, 1.0, 2.0, 4.0)  # x^3 + x, which lies lowest nowhere
    assert _cubic(*ends) == 0
    assert _cubic(0.0, 1.0, -1.0, 4.0, math.inf, 1.0) == 2
    assert _cubic(0.0, 1.0, -1.0, 4.0, 1.0, math.nan) == 2
    assert _cubic(2.0, 1.0, 0.0, 4.0, 1.0, 0.0) == pytest.approx(3, abs=0.8)


def test_two_loops_are_the_dense_formula() -> None:
    """``H_{k+1} = (I - s y^T / s.y) H_k (I - y s^T / s.y) + s s^T / s.y`` (Nocedal and Wright 2006, Eq. 7.16), H_0 scaled."""
    draw = torch.Generator().manual_seed(0)
    root = torch.randn(5, 5, generator=draw, dtype=torch.float64)
    curvature = root @ root.T + torch.eye(5)
    moves = tuple(torch.randn(5, generator=draw, dtype=torch.float64) for _ in range(3))
    turns = tuple(curvature @ move for move in moves)
    gradient, weights = torch.randn(5, generator=draw, dtype=torch.float64), torch.rand(5, generator=draw).double() + 0.5
    for first, precondition in ((torch.eye(5).double(), None), (weights.diag(), lambda g: weights * g)):
        h = first * (moves[-1] @ turns[-1]) / (turns[-1] @ first @ turns[-1])
        for s, y in zip(moves, turns, strict=True):
            left = torch.eye(5) - torch.outer(s, y) / (s @ y)
            h = left @ h @ left.T + torch.outer(s, s) / (s @ y)
        torch.testing.assert_close(two_loops(gradient, moves, turns, precondition), h @ gradient)
    torch.testing.assert_close(two_loops(gradient, (), ()), gradient)


def test_moves_are_remembered_up_to_a_number_and_only_where_the_function_curves_upwards() -> None:
    f = lambda x: evaluated(lambda x: (x - 2).square().sum() + 0.1 * (x**4).sum(), x)  # noqa: E731
    state = begin(f, torch.linspace(-1, 1, 4, dtype=torch.float64))
    assert state.stalled is False
    for k in range(1, 5):
        state = lbfgs_step(f, state, history=2)
        assert len(state.moves) == len(state.turns) == min(k, 2)
        torch.testing.assert_close(f(state.x).gradient, state.at.gradient)
    straight = lambda x: evaluated(lambda x: x.sum(), x)  # noqa: E731
    after = lbfgs_step(straight, begin(straight, torch.zeros(3, dtype=torch.float64)))
    assert after.moves == (), "nothing was learned of how it curves"
    assert after.at.value < 0
    tiny = lambda x: evaluated(lambda x: 1e-9 * (x - 2).square().sum(), x)  # noqa: E731
    learned = lbfgs_step(tiny, begin(tiny, torch.zeros(3, dtype=torch.float64)))
    assert len(learned.moves) == 1, "whatever the units of the function"


def test_a_first_step_is_at_most_as_long_as_one_over_the_gradient() -> None:
    seen: list[Tensor] = []

    def f(x: Tensor) -> Evaluation:
        seen.append(x)
        return evaluated(lambda x: 50 * (x - 1).square().sum(), x)

    lbfgs_step(f, begin(f, torch.zeros(2, dtype=torch.float64)))
    torch.testing.assert_close(seen[1], torch.tensor([0.5, 0.5], dtype=torch.float64))
    state = lbfgs_step(f, begin(f, torch.full((2,), 1.001, dtype=torch.float64)), line_search=False)
    torch.testing.assert_close(state.x, torch.full((2,), 1.001 - 0.1, dtype=torch.float64))
    scaled = lbfgs_step(f, begin(f, torch.zeros(2, dtype=torch.float64)), precondition=lambda g: g / 100)
    torch.testing.assert_close(scaled.x, torch.ones(2, dtype=torch.float64))


def test_a_direction_that_goes_up_is_left_for_the_gradient() -> None:
    """History that does not fit gives no step; without it the next one goes down again."""
    f = lambda x: evaluated(lambda x: x.square().sum(), x)  # noqa: E731
    x = torch.ones(3, dtype=torch.float64)
    state = Descent(x, f(x), (torch.ones(3, dtype=torch.float64),), (-torch.ones(3, dtype=torch.float64),))
    assert two_loops(state.at.gradient, state.moves, state.turns) @ state.at.gradient < 0
    again = lbfgs_step(f, state)
    assert torch.equal(again.x, x)
    assert (again.moves, again.turns, again.stalled) == ((), (), False)
    assert lbfgs_step(f, again).at.value < 3


def listed(*answers: tuple[float, float]) -> Callable[[float], tuple[float, float]]:
    """A function that answers with these values and slopes, whatever it is asked; the last one from then on."""
    left = list(answers)
    return lambda x: left.pop(0) if len(left) > 1 else left[0]


def test_a_trial_has_to_be_lower_than_all_before_it_and_low_enough_for_its_length() -> None:
    found, tried = along(listed((0, -1), (-10, -5), (-9, 0), (-12, 0)), 1.0)
    assert found is not None
    assert (tried[:2], found[1].value) == ([1, 4], -12)
    assert 1 < found[0] < 4, "between the lowest and what is no longer lower"
    found, tried = along(listed((0, -1), (-1e-6, 0), (-0.5, 0)), 1.0)
    assert found is not None
    assert found[1].value == -0.5, "a millionth for a length of one is too little"
    assert along(listed((0, -1), (0, -1)), 1.0)[0] is None, "as low is not lower"


def test_an_interval_of_a_billionth_is_not_divided_any_more() -> None:
    """Downhill to a cliff at 1000: each trial comes ten times nearer to it."""
    found, tried = along(lambda x: (-x, -1.0) if x < 1000 else (1e9, 2e9 / (x - 1000 + 1e-9)), 1000 - 1e-9)
    gaps = [trial - tried[0] for trial in tried[1:]]
    assert found is not None
    assert found[0] == tried[0]
    assert gaps[-1] > 1e-7 * 0.99
    assert len(tried) < MOST_TRIALS - 5
    assert gaps[-1] < 1e-5


@pytest.mark.parametrize("unit", [1e12, 1e-12])
def test_what_is_learned_does_not_depend_on_the_unit_of_length(unit: float) -> None:
    f = lambda x: evaluated(lambda x: (x / unit - 1).square().sum(), x)  # noqa: E731
    state = begin(f, torch.zeros(3, dtype=torch.float64))
    state = lbfgs_step(f, state, precondition=lambda g: g * unit**2 / 4)
    assert len(state.moves) == 1


def test_nothing_is_tried_along_a_direction_that_goes_up() -> None:
    calls: list[Tensor] = []

    def f(x: Tensor) -> Evaluation:
        calls.append(x)
        return evaluated(lambda x: 0.01 * x.square().sum(), x)

    x = torch.ones(3, dtype=torch.float64)
    state = Descent(x, f(x), (x,), (-x,))
    calls.clear()
    assert 0 < -two_loops(state.at.gradient, state.moves, state.turns) @ state.at.gradient < 1
    assert torch.equal(lbfgs_step(f, state).x, x)
    assert not calls
