"""A path that leaks much where it is carried is found anew from the start, place by place, each beginning with the one before."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from semanifold.core.jacobians import mean_products, push_forward
from semanifold.manifolds.same_change import AMOUNT, CHUNK, Known, SameChange

EVERY, FIRST = 4, 2
"""Places at which all directions are pushed anew: every fourth, beginning with this one."""
ROUNDS = 2
"""Steps at a place."""
DAMPING = 10.0
"""Weight of a step's squared length, in units of the carried path's reach."""
SHARE = 0.01
"""The outside is as dear as where it changes by this share of the inside."""


class Walk(NamedTuple):
    """What a walk along a path has come to.

    Attributes:
        path: ``[f, *moving]`` where the places are now.
        known: all directions, and what they do at the last place.
        grams: mean products ``[s, s]`` of what they do inside and outside, a mean of the places.
        pictures: only made.
    """

    path: Tensor
    known: Known
    grams: tuple[Tensor, Tensor]
    pictures: int


@torch.no_grad()
def walked(same: SameChange, t: Tensor) -> Walk:
    """Walk from the start outward, to all places one after the other.

    What is known of a picture that leaks much holds for short ways only, and a descent from there takes short steps. At the start
    nothing leaks, and from every place to the next is a short way. For small spaces: all directions are pushed at the start and
    at some places, and learn from the pictures on the way in between (Broyden, A class of methods for solving nonlinear
    simultaneous equations, 1965).

    Args:
        same: the objective; its springs are left out.
        t: ``[f]`` of its places; those above 0 are walked to upward, those below 0 downward.
    """
    carried, moving = same.carried.flatten(1), same.carried.shape[1:]
    rows = torch.eye(carried.shape[1]).to(carried)

    def change(x: Tensor) -> Tensor:
        return same.change(x.reshape(-1, *moving))

    start, path, grams, count = torch.zeros_like(carried[:1]), carried.clone(), [], 1 + len(rows)
    pushed = at_start = push_forward(change, start, rows, CHUNK, central=False)
    order = t.argsort()
    for side in (order[t[order] > 0], order[t[order] < 0].flip(0)):
        pushed, before, seen, added = at_start, start, torch.zeros_like(same.picture), 0.0 * start
        for number, i in enumerate(side.tolist()):
            # 1. What was added at the place before grows, or shrinks, as the carried path does.
            x = carried[i][None] + added * (carried[i].norm() / carried[side[max(number - 1, 0)]].norm())
            for turn in range(ROUNDS):
                # 2. The picture here says what the way here does; at some places all directions are pushed.
                picture, count = change(x), count + 1
                if turn == 0 and number % EVERY == FIRST:
                    pushed, count = push_forward(change, x, rows, CHUNK, central=False), count + 1 + len(rows)
                else:
                    way = (x - before)[0]
                    wrong = picture[0] - seen[0] - torch.tensordot(way, pushed, 1)
                    pushed = pushed + torch.tensordot(way / way.square().sum().clamp(min=1e-12), wrong, 0)
                # 3. A step to where it would cost least if they did the same everywhere.
                before, seen = x, picture
                x = x + newton_step(same, pushed, picture[0], same.wanted[i])
            path[i], added = x[0], x - carried[i]
            grams.append(torch.stack([mean_products(pushed * root) for root in same.roots]))
    inside, outside = torch.stack(grams).mean(0)
    return Walk(path.reshape(same.carried.shape), Known(rows, pushed), (inside, outside), count)


def newton_step(same: SameChange, pushed: Tensor, change: Tensor, wanted: Tensor) -> Tensor:
    """Return the damped step ``[d]`` of Gauss and Newton at a place.

    Args:
        same: the objective.
        pushed: ``[d, c, h, w]`` what all directions do.
        change: ``[c, h, w]`` of the picture so far.
        wanted: ``[c, h, w]`` inside, times its root.
    """
    inside, outside = ((pushed * root).flatten(1) for root in same.roots)
    unit_wanted = wanted.flatten() / wanted.norm().clamp(min=1e-12)
    missing, leak = ((part - goal).flatten() for part, goal in zip(change * same.roots, (wanted, 0)))
    # what is missing along the wanted change is dearer than what else changes inside
    along, dearer = inside @ unit_wanted, AMOUNT - 1
    weight = same.weight(SHARE * same.unit)
    scale = 1 / (same.unit * len(leak))
    hessian = scale * (inside @ inside.T + dearer * torch.outer(along, along) + weight * (outside @ outside.T))
    slope = scale * (inside @ missing + dearer * along * (missing @ unit_wanted) + weight * (outside @ leak))
    hessian.diagonal().add_(DAMPING / same.reach**2)
    return -torch.linalg.solve(hessian, slope)
