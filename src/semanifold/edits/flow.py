"""A flow: a curved path that follows the gradient of a potential, valid from every code."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.core.shapes import EditTimes
from semanifold.core.spaces import Space, single
from semanifold.edits.base import EditInfo, LatentEdit, check_counts
from semanifold.generators.base import Generator, origin

FARTHEST = 100
"""Largest t: every step costs a direction, so that a slip of the pen should not take hours."""

MOST_STEPS = 10_000
"""Steps of a flow in a file, from t = 0 to t = 1."""


def rbf_potential(codes: Tensor, support: Tensor, alphas: Tensor, gamma: Tensor) -> Tensor:
    """Return ``f(z) = sum_i a_i exp(-g ||z - s_i||^2)`` (WarpedGANSpace, Tzelepis et al. 2021, arXiv:2109.13357, Eq. 1).

    Args:
        codes: ``[n, d]``.
        support: ``[n, m, d]`` or ``[m, d]`` support vectors s.
        alphas: ``[n, m]`` or ``[m]`` weights a.
        gamma: ``[n]``, or one number for all: g, one over a squared length.

    Returns:
        ``[n]``.
    """
    squares = (codes[:, None] - support).square().sum(-1)
    return (alphas * (-gamma.reshape(-1, 1) * squares).exp()).sum(-1)


class _Nearness(torch.autograd.Function):
    """``2 z.s - ||s||^2`` ``[n, m]`` of codes ``[n, d]`` and support vectors ``[n, m, d]``.

    The only reason for a derivative of our own is that it goes through the support vectors twice where autograd goes seven times:
    in the training of paths they are the bulk of the numbers.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(codes: Tensor, support: Tensor) -> Tensor:
        return 2 * torch.linalg.vecdot(support, codes[:, None]) - torch.linalg.vector_norm(support, dim=-1).square()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    # torch declares any arguments, and passes one per input
    @staticmethod
    def jvp(ctx: Any, codes_step: Tensor | None, support_step: Tensor | None) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        codes, support = ctx.saved_tensors
        change = codes.new_zeros(())
        if codes_step is not None:
            change = change + 2 * torch.linalg.vecdot(support, codes_step[:, None])
        if support_step is not None:
            change = change + 2 * torch.linalg.vecdot(support_step, codes[:, None] - support)
        return change

    # torch declares any arguments, and passes one per output
    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        codes, support = ctx.saved_tensors
        of_codes, of_support = ctx.needs_input_grad
        twice = 2 * gradient[..., None]
        return (
            (twice.mT @ support).squeeze(-2) if of_codes else None,
            (twice * codes[:, None]).addcmul_(twice, support, value=-1) if of_support else None,
        )


def rbf_direction(codes: Tensor, support: Tensor, alphas: Tensor, gamma: Tensor) -> Tensor:
    """Return ``grad f / ||grad f||``, rows of unit length ``[n, d]`` (arXiv:2109.13357, Eq. 3); arguments as of the potential.

    ``grad f = 2 g sum_i a_i exp(-g ||z - s_i||^2) (s_i - z)``. What is common to all terms does not change the direction:
    ``exp(-g ||z||^2)`` is left out, which makes the exponents ``g (2 z.s_i - ||s_i||^2)`` a matrix product and more exact than
    differences of squared distances, and they are taken relative to the largest. So the direction is also defined far from all
    support vectors, where the published code has 0/0: it is the limit, that of the nearest ones. Where the gradient vanishes
    exactly it is 0.
    """
    one = support.ndim == 2
    nearness = 2 * codes @ support.T - support.square().sum(-1) if one else _Nearness.apply(codes, support)
    exponents = gamma.reshape(-1, 1) * nearness
    unused = alphas == 0
    largest = exponents.detach().masked_fill(unused, -math.inf).amax(-1, keepdim=True).nan_to_num(neginf=0.0)
    relative = exponents - largest
    weights = alphas * relative.masked_fill(unused & (relative > 0), 0).exp()
    towards = weights @ support if one else (weights[:, None] @ support).squeeze(1)
    gradient = towards - weights.sum(-1, keepdim=True) * codes
    length = torch.linalg.vector_norm(gradient, dim=-1, keepdim=True)
    return gradient / torch.where(length > 0, length, 1)


class Flow(LatentEdit):
    """A curved path of a radial potential (arXiv:2109.13357): ``z`` moves by steps of equal length along :func:`rbf_direction`.

    ``t`` runs from -1 to 1 and counts ``count`` Euler steps of length ``step`` either way; within a step the way is straight, so
    ``t = j / count`` is exactly the j-th code of the published traversal. The direction is computed anew at every step.

    Where support vectors have one layer and codes several, all layers move alike: the direction is taken at their mean and is of
    unit length in each, so that a path of ``w`` may move some layers of ``w+``.
    """

    kind: ClassVar[str] = "flow"

    def __init__(self, support: Tensor, alphas: Tensor, gamma: Tensor, step: float, count: int, info: EditInfo) -> None:
        """Make the edit.

        Args:
            support: ``[m, *moving]`` support vectors, of the shape of the part of a code that moves, or ``[m, 1, d]`` for layers
                that move alike.
            alphas: ``[m]`` their weights.
            gamma: one number, one over a squared length.
            step: length of an Euler step in the latent space.
            count: Euler steps from ``t = 0`` to ``t = 1``.
            info: what the file says about the edit.

        Raises:
            SemanifoldError: if sizes disagree or a number makes no sense.
        """
        if support.ndim < 2 or tuple(alphas.shape) != (len(support),) or not len(support) or gamma.numel() != 1:
            raise SemanifoldError(
                f"A flow needs support vectors [m, ...], m weights and one gamma, but got {list(support.shape)}, "
                f"{list(alphas.shape)} and {list(gamma.shape)}."
            )
        if not (torch.isfinite(support).all() and torch.isfinite(alphas).all() and 0 < float(gamma) < math.inf):
            raise SemanifoldError("A flow's support vectors and weights must be finite, and its gamma above 0.")
        if not (math.isfinite(step) and step > 0 and count >= 1):
            raise SemanifoldError(f"A flow takes at least 1 step of a length above 0, but got {count} of {step:g}.")
        self.support, self.alphas, self.gamma = support, alphas, gamma.reshape(())
        self.step, self.count, self.info = step, count, info
        self.knots = (torch.arange(-count, count + 1, dtype=torch.float64) / count,)  # every Euler step

    def direction(self, moving: Tensor) -> Tensor:
        """Return the directions ``[n, *moving]`` at the moving parts ``[n, *moving]`` of codes, of unit length (a layer)."""
        support, alphas, gamma = (v.to(moving) for v in (self.support.flatten(1), self.alphas, self.gamma))
        if self._fits(moving):
            return rbf_direction(moving.flatten(1), support, alphas, gamma).reshape(moving.shape)
        return rbf_direction(moving.mean(1), support, alphas, gamma)[:, None].expand_as(moving)

    def _fits(self, moving: Tensor) -> bool:
        """Whether each layer has a direction of its own."""
        return moving.shape[1:] == self.support.shape[1:]

    @property
    def moving_shape(self) -> tuple[int, ...]:
        """See :attr:`LatentEdit.moving_shape`; one layer of 1 stands for layers that move alike."""
        return tuple(self.support.shape[1:])

    def latents(self, latents: Latents, t: EditTimes | float) -> Latents:
        """See :meth:`LatentEdit.latents`; steps are shared where one code serves many values of ``t``."""
        if latents.space != self.info.space:
            raise SemanifoldError(
                f"The path lives in space {self.info.space}, but these codes are in {latents.space}; convert them first."
            )
        layers = slice(*self.info.layers) if self.info.layers else slice(None)
        start, shape = latents.values[:, layers], self.support.shape[1:]
        alike = start.ndim == 3 and len(shape) == 2 and shape[0] == 1 and shape[1] == start.shape[2]
        if not (self._fits(start) or alike):
            raise SemanifoldError(
                f"The path moves codes of shape {tuple(shape)}, but these are {tuple(start.shape[1:])}; "
                f"it was made for {origin(self.info.generator)}."
            )
        t = torch.as_tensor(t, dtype=start.dtype, device=start.device).reshape(-1)
        check_counts(len(start), len(t))
        if not (t.abs() <= FARTHEST).all():
            raise SemanifoldError(
                f"A path is followed to {FARTHEST} times its length at most; give a t of -1 to 1, or a little more."
            )
        moved = self._walk(start, t)
        if start.shape == latents.values.shape:
            return latents.with_values(moved)
        values = latents.values.expand(len(moved), *latents.values.shape[1:]).clone()
        values[:, layers] = moved
        return latents.with_values(values)

    def _walk(self, start: Tensor, t: Tensor) -> Tensor:
        """Return the moving parts ``[max(n, m), *moving]`` of starts ``[n, *moving]`` (or one) at ``t`` ``[m]`` (or one)."""
        places = t * self.count
        whole = places.abs().floor()
        ones = [1] * (start.ndim - 1)
        one_start = len(start) == 1 and len(t) > 1
        result = start.expand(max(len(start), len(t)), *start.shape[1:]).clone()
        for sign in (1.0, -1.0):
            rows = ((places.sign() == sign) & (places != 0)).expand(len(result)).nonzero().flatten()
            if not len(rows):
                continue
            now = start if one_start else result[rows]
            steps = whole.expand(len(result))[rows]
            rest = (places.abs() - whole).expand(len(result))[rows]
            for j in range(int(steps.max()) + 1):
                way = sign * self.step * self.direction(now)
                ending = (steps == j).nonzero().flatten()
                if len(ending):
                    base, toward = (v.expand(len(ending), *v.shape[1:]) if one_start else v[ending] for v in (now, way))
                    result = result.index_copy(0, rows[ending], base + rest[ending].reshape(-1, *ones) * toward)
                now = now + way
        return result

    def is_traced(self, latents: Latents) -> bool:
        """See :meth:`Edit.is_traced`: a flow goes another way from every code."""
        return False

    @property
    def loops(self) -> bool:
        """See :attr:`Edit.loops`: a flow follows a gradient, and never comes back."""
        return False

    def embedded(self, space: Space, generator: Generator | None = None) -> Flow:
        """See :meth:`Edit.embedded`; only layers can be made to move alike."""
        if space.name == self.info.space:
            return self
        if not space.layers or single(space.name) != self.info.space:
            raise SemanifoldError(
                f"{self.info.name} goes another way from every code; trace it from one (traced, or semanifold render) before it "
                f"is carried into {space.name}."
            )
        info = replace(self.info, space=space.name)
        return Flow(self.support[:, None], self.alphas, self.gamma, self.step, self.count, info)

    def tensors(self) -> dict[str, Tensor]:
        """See :meth:`Edit.tensors`."""
        return {
            "support": self.support,
            "alphas": self.alphas,
            "gamma": self.gamma,
            "step": torch.tensor(self.step, dtype=torch.float64),
            "count": torch.tensor(self.count),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], info: EditInfo) -> Self:
        """See :meth:`Edit.from_tensors`."""
        step, count = float(tensors["step"]), int(tensors["count"])
        if count > MOST_STEPS:
            raise SemanifoldError(f"A flow of {count:,} steps would take for ever; at most {MOST_STEPS:,} are walked.")
        return cls(tensors["support"], tensors["alphas"], tensors["gamma"], step, count, info)
