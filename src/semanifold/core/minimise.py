"""L-BFGS as a value: each step takes a state and returns the next one, so that a search can be stopped, saved and resumed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

SUFFICIENT, CURVATURE = 1e-4, 0.9
"""The two constants of the strong Wolfe conditions (Nocedal and Wright, Numerical Optimization, 2006, Eq. 3.7)."""
MOST_TRIALS = 20


class Evaluation(NamedTuple):
    """A function's value at a point, its gradient there, and whatever numbers the caller wants to see again."""

    value: float
    gradient: Tensor
    terms: dict[str, float]


Function = Callable[[Tensor], Evaluation]
Precondition = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Descent:
    """The state of a descent.

    Attributes:
        x: the point.
        at: the function there.
        moves: latest moves ``x_{k+1} - x_k``, oldest first.
        turns: the gradient's changes along them.
        stalled: whether no step along the last direction lowered the function.
    """

    x: Tensor
    at: Evaluation
    moves: tuple[Tensor, ...] = field(default=())
    turns: tuple[Tensor, ...] = field(default=())
    stalled: bool = False


def begin(function: Function, x: Tensor) -> Descent:
    """Evaluate the function at the start."""
    return Descent(x, function(x))


def lbfgs_step(
    function: Function, state: Descent, *, history: int = 20, line_search: bool = True, precondition: Precondition | None = None
) -> Descent:
    """Take one step of L-BFGS (Nocedal 1980).

    Args:
        function: what falls.
        state: of the descent.
        history: number of moves that the inverse Hessian is built of.
        line_search: whether steps satisfy the strong Wolfe conditions; without, every step after the first has length one, as
            in ``torch.optim.LBFGS`` by default.
        precondition: an estimate of the inverse Hessian, up to scale once there is history; the identity when None.

    Returns:
        The next state. If the line search found nothing lower, the same point without history, ``stalled`` if there was none.
    """
    direction = -two_loops(state.at.gradient, state.moves, state.turns, precondition)
    slope = float(_dot(direction, state.at.gradient))
    length = 1.0 if state.moves else min(1.0, 1.0 / max(float(state.at.gradient.abs().sum()), 1e-30))
    if precondition is not None:
        length = 1.0
    if line_search:
        end = wolfe_search(function, state, direction, slope, length) if slope < 0 else None
        if end is None:
            return replace(state, moves=(), turns=(), stalled=not state.moves)
        length, at = end
    else:
        at = function(state.x + length * direction)
    move, turn = length * direction, at.gradient - state.at.gradient
    moves, turns = state.moves, state.turns
    if float(_dot(move, turn)) > 1e-10 * (1.0 if not line_search else float(_dot(turn, turn).sqrt() * _dot(move, move).sqrt())):
        moves, turns = (*moves, move)[-history:], (*turns, turn)[-history:]
    return Descent(state.x + move, at, moves, turns)


def two_loops(
    gradient: Tensor, moves: tuple[Tensor, ...], turns: tuple[Tensor, ...], precondition: Precondition | None = None
) -> Tensor:
    """Return the inverse Hessian's estimate times the gradient (Nocedal and Wright 2006, Algorithm 7.4)."""
    q = gradient
    shares = []
    for s, y in zip(reversed(moves), reversed(turns)):
        a = _dot(s, q) / _dot(s, y)
        q = q - a * y
        shares.append(a)
    if moves:
        turned = turns[-1] if precondition is None else precondition(turns[-1])
        q = q * (_dot(moves[-1], turns[-1]) / _dot(turns[-1], turned))
    if precondition is not None:
        q = precondition(q)
    for s, y, a in zip(moves, turns, reversed(shares)):
        q = q + (a - _dot(y, q) / _dot(s, y)) * s
    return q


def wolfe_search(
    function: Function, state: Descent, direction: Tensor, slope: float, length: float
) -> tuple[float, Evaluation] | None:
    """Find a step length that satisfies the strong Wolfe conditions (Nocedal and Wright 2006, Algorithms 3.5 and 3.6).

    Returns:
        The length and the function there; the lowest trial if none satisfied both conditions; None if none was lower.
    """
    start = state.at.value
    low, low_value, low_slope = 0.0, start, slope
    high: float | None = None
    high_value, high_slope = 0.0, 0.0
    best: tuple[float, Evaluation] | None = None
    for _ in range(MOST_TRIALS):
        at = function(state.x + length * direction)
        here = float(_dot(at.gradient, direction))
        if at.value < start and (best is None or at.value < best[1].value):
            best = length, at
        if not (at.value <= start + SUFFICIENT * length * slope and at.value < low_value):
            high, high_value, high_slope = length, at.value, here
        elif abs(here) <= -CURVATURE * slope:
            return length, at
        else:
            if here * ((high if high is not None else float("inf")) - low) >= 0:
                high, high_value, high_slope = low, low_value, low_slope
            low, low_value, low_slope = length, at.value, here
        if high is None:
            length = low * 4
        else:
            if abs(high - low) < 1e-9 * max(abs(high), abs(low)):
                break
            length = _cubic(low, low_value, low_slope, high, high_value, high_slope)
    return best


def _cubic(a: float, fa: float, ga: float, b: float, fb: float, gb: float) -> float:
    """Return where the cubic through both values and slopes is lowest, at least a tenth of the interval from its ends."""
    d1 = ga + gb - 3 * (fa - fb) / (a - b)
    square = d1 * d1 - ga * gb
    middle = (a + b) / 2
    lowest = middle
    if square >= 0 and abs(fb) < float("inf"):
        d2 = square**0.5 * (1 if b > a else -1)
        if gb - ga + 2 * d2:
            lowest = b - (b - a) * (gb + d2 - d1) / (gb - ga + 2 * d2)
    near, far = min(a, b) + 0.1 * abs(b - a), max(a, b) - 0.1 * abs(b - a)
    return middle if math.isnan(lowest) else min(max(lowest, near), far)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return torch.dot(a.flatten(), b.flatten())
