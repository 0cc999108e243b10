"""A lattice of latents: displacements from the start on a line or a sheet of knots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Self

import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents, condition_tensors, conditions_in
from semanifold.core.shapes import EditTimes, Times, Way
from semanifold.core.spaces import Space, repeated, single
from semanifold.edits.base import EditInfo, LatentEdit, check_counts
from semanifold.generators.base import Generator, origin

MOST_KNOTS = 10_000
"""Knots of a path in a file; each is a frame of its film."""


class Lattice(LatentEdit):
    """Displacements from the start on a line (or a sheet) of knots, with straight pieces between them.

    ``latents(l, t) = l + displacement(t)`` with ``displacement(0) = 0``: the start itself belongs to every edit.
    A manifold found on one face is carried to another by the same displacements (Yang et al. 2020, arXiv:2105.07273, section 4).
    """

    kind: ClassVar[str] = "lattice"

    def __init__(self, displacements: Tensor, knots: Sequence[Tensor], info: EditInfo, *, start: Latents | None = None) -> None:
        """Make the edit.

        Args:
            displacements: ``[n, *shape]`` for a path, ``[n, m, *shape]`` for a sheet: code minus start at every knot; the shape
                is that of a code, or of the layers ``info.layers`` of one.
            knots: one increasing ``[n]`` tensor of ``t`` a dimension; each must hold 0.
            info: what the file says about the edit.
            start: the code that the edit was found on, if known.

        Raises:
            SemanifoldError: if sizes disagree, knots do not increase, no knot is 0 or the displacement there is not zero.
        """
        self.displacements, self.knots, self.info, self.start = displacements, tuple(knots), info, start
        self.dimensions = len(self.knots)
        if tuple(displacements.shape[: self.dimensions]) != tuple(len(k) for k in self.knots):
            raise SemanifoldError(f"Displacements {tuple(displacements.shape)} do not fit knots {[len(k) for k in self.knots]}.")
        if not torch.isfinite(displacements).all():
            raise SemanifoldError("The edit's codes hold NaN or infinite values.")
        for knots_ in self.knots:
            if len(knots_) < 2 or not (knots_[1:] > knots_[:-1]).all() or not (knots_ == 0).any():
                raise SemanifoldError("Knots must be at least two increasing values of t, one of which is 0.")
        if displacements[tuple(int((k == 0).nonzero()[0]) for k in self.knots)].abs().max() != 0:
            raise SemanifoldError("The displacement at t = 0 must be zero: t = 0 is the unedited picture.")

    @property
    def moving_shape(self) -> tuple[int, ...]:
        """See :attr:`LatentEdit.moving_shape`."""
        return tuple(self.displacements.shape[self.dimensions :])

    def displacement(self, t: EditTimes | float) -> Tensor:
        """Return the displacements ``[n, *shape]`` at ``t`` (``[n]``, or ``[n, 2]`` on a sheet).

        Between knots it interpolates linearly; beyond the last ones it goes on in a straight line.
        """
        precise = t.dtype if isinstance(t, Tensor) else self.displacements.dtype
        t = torch.as_tensor(t, dtype=torch.promote_types(self.displacements.dtype, precise), device=self.displacements.device)
        t = t.reshape(-1, self.dimensions)
        if not torch.isfinite(t).all():
            raise SemanifoldError("t holds NaN or infinite values; 0 is the unedited picture, and 1 usually all of the edit.")
        result = self.displacements.expand(len(t), *self.displacements.shape)
        for axis, knots in enumerate(line.to(t) for line in self.knots):
            left = (torch.searchsorted(knots, t[:, axis].contiguous(), right=True) - 1).clamp(0, len(knots) - 2)
            share = (t[:, axis] - knots[left]) / (knots[left + 1] - knots[left])
            rows = torch.arange(len(t), device=t.device)
            share = share.reshape(-1, *[1] * (result.ndim - 2))
            result = (1 - share) * result[rows, left] + share * result[rows, left + 1]
        return result

    def way(self, t: EditTimes) -> Way:
        """See :meth:`Edit.way`."""
        return self.displacement(t).flatten(1)

    def along(self, places: Times, knots: Times) -> Self:
        """See :meth:`Edit.along`."""
        displacements = self.displacement(places.to(self.displacements))
        displacements[knots == 0] = 0
        info = replace(self.info, usable=(float(knots[0]), float(knots[-1])))
        return type(self)(displacements, (knots.to(self.knots[0]),), info, start=self.start)

    def latents(self, latents: Latents, t: EditTimes | float) -> Latents:
        """See :meth:`LatentEdit.latents`."""
        if latents.space != self.info.space:
            raise SemanifoldError(
                f"The edit lives in space {self.info.space}, but these codes are in {latents.space}; convert them first."
            )
        shape, layers = self.moving_shape, self.info.layers
        values = latents.values if layers is None or self.is_traced(latents) else latents.values[:, slice(*layers)]
        if values.shape[1:] != shape:
            raise SemanifoldError(
                f"The edit moves codes of shape {shape}, but these are {tuple(latents.values.shape[1:])}; "
                f"it was made for {origin(self.info.generator)}."
            )
        displacement = self.displacement(t).to(values)
        check_counts(len(values), len(displacement))
        return latents.moved(displacement, layers)

    def embedded(self, space: Space, generator: Generator | None = None) -> Lattice:
        """See :meth:`Edit.embedded`; those of some layers become those of whole codes, for which the layers must be known."""
        here = self.info.space
        if space.name == here:
            return self
        if single(space.name) == here and space.layers:
            start = self.start and self.start.with_values(repeated(self.start.values, space.layers), space.name)
            return Lattice(
                repeated(self.displacements, space.layers), self.knots, replace(self.info, space=space.name), start=start
            )
        if here not in space.affine_of or generator is None:
            raise SemanifoldError(
                f"{self.info.name} lives in {here}, and no affine map leads from there to {space.name}; "
                f"{'only edits of ' + ' and '.join(space.affine_of) if space.affine_of else 'no edit'} can be carried over."
            )
        shape, layers = generator.spaces[here].shape, self.info.layers
        zero = Latents(torch.zeros(1, *shape, device=generator.device, dtype=generator.dtype), here)
        moving = self.displacements.flatten(0, self.dimensions - 1).to(zero.values)
        with torch.no_grad():
            ends = generator.convert(zero.moved(moving, layers), space.name).values
            displacements = ends - generator.convert(zero, space.name).values
            start = self.start and generator.convert(self.start.to(zero.values.device, zero.values.dtype), space.name)
        grid = self.displacements.shape[: self.dimensions]
        info = replace(self.info, space=space.name, layers=None)
        return Lattice(displacements.reshape(*grid, *space.shape).to(self.displacements), self.knots, info, start=start)

    def whole(self) -> Lattice:
        """Return the same path as displacements of whole codes, those of layers that do not move being zero.

        Raises:
            SemanifoldError: if it moves some layers only, and does not know its start.
        """
        if self.info.layers is None or (self.start is not None and self.is_traced(self.start)):
            return self.with_info(layers=None)
        if self.start is None:
            raise SemanifoldError(f"{self.info.name} moves some layers of a code that it does not hold; trace it from one first.")
        first, stop = self.info.layers
        displacements = self.displacements.new_zeros(*self.displacements.shape[: self.dimensions], *self.start.values.shape[1:])
        displacements[..., first:stop, :] = self.displacements
        return Lattice(displacements, self.knots, replace(self.info, layers=None), start=self.start)

    def tensors(self) -> dict[str, Tensor]:
        """See :meth:`Edit.tensors`."""
        tensors = {"offsets": self.displacements} | {f"knots.{i}": k for i, k in enumerate(self.knots)}
        return tensors | start_tensors(self.start)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], info: EditInfo) -> Self:
        """See :meth:`Edit.from_tensors`."""
        knots = [tensors["knots.0"], *([tensors["knots.1"]] if "knots.1" in tensors else [])]
        displacements, start = tensors["offsets"], tensors.get("seed")
        if any(line.ndim != 1 or len(line) > MOST_KNOTS for line in knots) or displacements.ndim <= len(knots):
            raise SemanifoldError(
                f"Knots {[list(line.shape) for line in knots]} of displacements {list(displacements.shape)} make no sense."
            )
        if start is not None and start.ndim != displacements.ndim - len(knots) + 1:
            raise SemanifoldError(
                f"The start {list(start.shape)} is no code that the displacements {list(displacements.shape)} could move."
            )
        return cls(displacements, knots, info, start=start_of(tensors, info))


def start_tensors(start: Latents | None) -> dict[str, Tensor]:
    """Return what a file holds of the code that an edit was found on."""
    if start is None:
        return {}
    return {"seed": start.values} | condition_tensors(start)


def start_of(tensors: Mapping[str, Tensor], info: EditInfo) -> Latents | None:
    """Return the code that the edit of a file was found on, if it is there.

    Raises:
        SemanifoldError: if its conditions make no sense.
    """
    start = tensors.get("seed")
    try:
        conditions = conditions_in(tensors, 0 if start is None else len(start))
    except SemanifoldError as error:
        raise SemanifoldError(f"The start of the edit is damaged: {error}.") from error
    return None if start is None else Latents(start, info.space, conditions)
