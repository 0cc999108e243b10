"""What an adaptation lowers: the same change inside of the mask and none outside; and what is known of its curvature."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semanifold.core.jacobians import mean_products, push_forward
from semanifold.core.latents import Latents
from semanifold.core.minimise import Evaluation
from semanifold.generators.base import Generator
from semanifold.generators.coordinates import Coordinates
from semanifold.manifolds.layout import Layout
from semanifold.manifolds.objective import spring_energy

WHOLE = 128
"""In a space of at most so many dimensions all are known from the start; in a larger one those that gradients point to."""
AMOUNT = 20.0
"""Weight of changing as much as at the path's own face against changing the inside in other ways."""
LEAK = 1.0
"""What a leak costs that is e times as large, in units of the change wanted, as long as it is large."""
NEW = 0.01
"""Least share of a gradient that is not yet among the directions known for it to become one."""
CHUNK = 16
"""Pictures made at a time."""
PUSH = 0.01
"""How far directions are pushed, as a share of the path's reach."""


@dataclass(frozen=True, eq=False)
class SameChange:
    """``sum_i [AMOUNT |d_i - g_i|^2 along g_i + across it] / unit + f LEAK log(1 + W outside / (LEAK unit)) + springs``.

    d_i is what the picture at place i changes inside, g_i what it is wanted to change. Of a large leak the logarithm
    counts: it never costs so much that not to change at all would cost less.

    Attributes:
        generator: makes the pictures.
        start: the code that is edited, ``[1, *code]``.
        layers: slice of the code's first axis that moves, or None.
        coordinates: what places are given in.
        layout: places that move, and the springs between them.
        carried: ``[f, *moving]`` where the carried path goes; springs act on what is added to it.
        picture: ``[1, c, h, w]`` of the start.
        roots: ``[2, 1, h, w]`` square roots of the weights of pixels inside and outside.
        wanted: ``[f, c, h, w]`` change inside, times its root.
        unit: the mean square of that.
        reach: longest way of the carried path, the unit of the springs.
        heavy: W, the weight of the search for such a mask.
    """

    generator: Generator
    start: Latents
    layers: tuple[int, int] | None
    coordinates: Coordinates
    layout: Layout
    carried: Tensor
    picture: Tensor
    roots: Tensor
    wanted: Tensor
    unit: float
    reach: float
    heavy: float

    def at(self, free: Tensor) -> tuple[Evaluation, Tensor]:
        """Return the value, the gradient ``[f, *moving]`` and the terms, and what the pictures change ``[f, c, h, w]``."""
        leaf = free.detach().requires_grad_()
        change = self.change(leaf)
        along, across, outside = self.parts(change)
        pictures = (AMOUNT * along + across).double().sum() / self.unit + len(free) * self.cost(outside.double())
        springs = spring_energy(self.layout.spread(leaf - self.carried), self.layout.springs, 0.0).sum() / self.reach**2
        value = pictures + springs
        (gradient,) = torch.autograd.grad(value, leaf)
        terms = {"inside": self.unit, "outside": outside.item(), "missing": along.detach().mean().item()}
        return Evaluation(value.item(), gradient, terms), change.detach()

    def change(self, free: Tensor) -> Tensor:
        """Return what the pictures ``[f, c, h, w]`` of places ``[f, *moving]`` change."""
        codes = self.start.moved(self.coordinates.displacements(free), self.layers)
        return self.generator.images(codes) - self.picture

    def parts(self, change: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean squares: what is missing of the wanted change ``[f]``, what else changes inside ``[f]``, and outside."""
        inside, outside = change * self.roots[:1], change * self.roots[1:]
        amount = self.wanted.square().mean((1, 2, 3))
        share = (inside * self.wanted).mean((1, 2, 3)) / amount
        missing, other = (1 - share).square() * amount, inside.square().mean((1, 2, 3)) - share.square() * amount
        return missing, other, outside.square().mean()

    def cost(self, outside: Tensor) -> Tensor:
        """Return what a mean square outside costs a place."""
        return LEAK * torch.log1p(self.heavy / LEAK * outside / self.unit)

    def weight(self, outside: float) -> float:
        """Return how much dearer a change outside is than one inside, where so much changes there: the slope of the cost."""
        return self.heavy / (1 + self.heavy / LEAK * outside / self.unit)


@dataclass(frozen=True, eq=False)
class Known:
    """What small steps along some directions do to the pictures: the Hessian's part that Gauss and Newton keep.

    Attributes:
        rows: ``[s, d]`` orthonormal.
        pushed: ``[s, c, h, w]`` change of the picture per unit.
    """

    rows: Tensor
    pushed: Tensor

    @staticmethod
    def first(same: SameChange) -> Known:
        """Return all directions of a small space, from the middle of the carried path, and none of a large one."""
        middle = same.carried[len(same.carried) // 2][None]
        if middle.numel() > WHOLE:
            return Known(middle.new_zeros(0, middle.numel()), same.picture[:0])
        rows = torch.eye(middle.numel()).to(middle)

        def pictures(u: Tensor) -> Tensor:
            return same.change(u.reshape(-1, *middle.shape[1:]))

        with torch.no_grad():
            return Known(rows, push_forward(pictures, middle.flatten(1), rows, CHUNK, central=False))

    def grams(self, same: SameChange) -> tuple[Tensor, Tensor]:
        """Return mean products ``[s, s]`` inside and outside."""
        inside, outside = (mean_products(self.pushed * root) for root in same.roots)
        return inside, outside

    def with_gradients(self, same: SameChange, free: Tensor, gradient: Tensor, change: Tensor) -> Known:
        """Return these and the directions of the gradients ``[f, *moving]`` at places, with the pictures' changes there."""
        rows, at = self.rows, []
        wanted = gradient.flatten(1)
        if not len(rows):  # the way itself is the first
            wanted = torch.cat([wanted, free.flatten(1)])
        for index, row in enumerate(wanted):
            left = row
            for _ in range(2):  # twice, since rounding leaves some the first time
                left = left - (left @ rows.T) @ rows
            if left.norm() > NEW * row.norm():
                rows, at = torch.cat([rows, left[None] / left.norm()]), [*at, index % len(free)]
        if not at:
            return self
        step, new = PUSH * same.reach, rows[len(self.rows) :]
        with torch.no_grad():
            there = same.change(free[at] + step * new.reshape(-1, *free.shape[1:]))
        return Known(rows, torch.cat([self.pushed, (there - change[at]) / step]))
