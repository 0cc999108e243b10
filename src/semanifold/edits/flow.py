"""A flow: a curved path that follows the gradient of a potential, valid from every code."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Self

import torch
from torch import Tensor

from semanifold.edits.base import Edit, EditInfo
from semanifold.errors import SemanifoldError
from semanifold.latents import Latents


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


def rbf_direction(codes: Tensor, support: Tensor, alphas: Tensor, gamma: Tensor) -> Tensor:
    """Return ``grad f / ||grad f||``, rows of unit length ``[n, d]`` (arXiv:2109.13357, Eq. 3); arguments as of the potential.

    ``grad f = -2 g sum_i a_i exp(-g ||z - s_i||^2) (z - s_i)``. A factor common to all terms does not change the direction, so
    exponents are taken relative to the largest: far from all support vectors, where the published code has 0/0, the direction
    is the limit, that of the nearest ones. Where the gradient vanishes exactly it is 0.
    """
    difference = codes[:, None] - support
    exponents = -gamma.reshape(-1, 1) * difference.square().sum(-1)
    weights = alphas * (exponents - exponents.amax(-1, keepdim=True).detach()).exp()
    gradient = -(weights[..., None] * difference).sum(-2)
    length = torch.linalg.vector_norm(gradient, dim=-1, keepdim=True)
    return gradient / length.clamp(min=torch.finfo(codes.dtype).tiny)


class Flow(Edit):
    """A curved path of a radial potential (arXiv:2109.13357): ``z`` moves by steps of equal length along :func:`rbf_direction`.

    ``t`` runs from -1 to 1 and counts ``count`` Euler steps of length ``step`` either way; within a step the way is straight, so
    ``t = j / count`` is exactly the j-th code of the published traversal. The direction is computed anew at every step.
    """

    kind: ClassVar[str] = "flow"

    def __init__(self, support: Tensor, alphas: Tensor, gamma: Tensor, step: float, count: int, info: EditInfo) -> None:
        """Make the edit.

        Args:
            support: ``[m, *moving]`` support vectors, of the shape of the part of a code that moves.
            alphas: ``[m]`` their weights.
            gamma: one number, one over a squared length.
            step: length of an Euler step in the latent space.
            count: Euler steps from ``t = 0`` to ``t = 1``.
            info: what the file says about the edit.

        Raises:
            SemanifoldError: if sizes disagree or a number makes no sense.
        """
        if support.ndim < 2 or tuple(alphas.shape) != (len(support),) or gamma.numel() != 1:
            raise SemanifoldError(
                f"A flow needs support vectors [m, ...], m weights and one gamma, but {list(support.shape)}, "
                f"{list(alphas.shape)} and {list(gamma.shape)} came."
            )
        if not (torch.isfinite(support).all() and torch.isfinite(alphas).all() and float(gamma) > 0):
            raise SemanifoldError("A flow's support vectors and weights must be finite, and its gamma above 0.")
        if not (math.isfinite(step) and step > 0 and count >= 1):
            raise SemanifoldError(f"A flow takes at least 1 step of a length above 0, but {count} of {step:g} came.")
        self.support, self.alphas, self.gamma = support, alphas, gamma.reshape(())
        self.step, self.count, self.info = step, count, info

    def direction(self, moving: Tensor) -> Tensor:
        """Return the unit directions ``[n, *moving]`` at the moving parts ``[n, *moving]`` of codes."""
        support, alphas, gamma = (v.to(moving) for v in (self.support.flatten(1), self.alphas, self.gamma))
        return rbf_direction(moving.flatten(1), support, alphas, gamma).reshape(moving.shape)

    def latents(self, latents: Latents, t: Tensor | float) -> Latents:
        """See :meth:`Edit.latents`; steps are shared where one code serves many values of ``t``."""
        if latents.space != self.info.space:
            raise SemanifoldError(
                f"The path lives in space {self.info.space}, but these codes are in {latents.space}; convert them first."
            )
        layers = slice(*self.info.layers) if self.info.layers else slice(None)
        if latents.values[:, layers].shape[1:] != self.support.shape[1:]:
            raise SemanifoldError(
                f"The path moves codes of shape {tuple(self.support.shape[1:])}, but these are "
                f"{tuple(latents.values[:, layers].shape[1:])}; it was made for {self.info.generator}."
            )
        t = torch.as_tensor(t, dtype=latents.values.dtype, device=latents.values.device).reshape(-1)
        moved = self._walk(latents.values[:, layers], t)
        if latents.values[:, layers].shape == latents.values.shape:
            return latents.with_values(moved)
        values = latents.values.expand(len(moved), *latents.values.shape[1:]).clone()
        values[:, layers] = moved
        return latents.with_values(values)

    def _walk(self, start: Tensor, t: Tensor) -> Tensor:
        """Return the moving parts ``[max(n, m), *moving]`` of starts ``[n, *moving]`` (or one) at ``t`` ``[m]`` (or one)."""
        places = (t * self.count).clone()
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
        return cls(tensors["support"], tensors["alphas"], tensors["gamma"], step, count, info)
