"""A lattice of latents: offsets from a seed's code on a line or a sheet of knots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Self

import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.edits.base import EditInfo, LatentEdit, check_counts
from semanifold.generators.base import origin

MOST_KNOTS = 10_000
"""Knots of a path in a file; each is a frame of its film."""


class Lattice(LatentEdit):
    """Offsets from a seed's code on a line (or a sheet) of knots, with straight pieces between them.

    ``latents(l, t) = l + offset(t)`` with ``offset(0) = 0``: the seed itself belongs to every edit. A manifold found on one
    face is carried to another by the same offsets (Yang et al. 2020, arXiv:2105.07273, section 4).
    """

    kind: ClassVar[str] = "lattice"

    def __init__(self, offsets: Tensor, knots: Sequence[Tensor], info: EditInfo, *, seed: Latents | None = None) -> None:
        """Make the edit.

        Args:
            offsets: ``[n, *shape]`` for a path, ``[n, m, *shape]`` for a sheet: code minus seed code at every knot; the shape is
                that of a code, or of the layers ``info.layers`` of one.
            knots: one increasing ``[n]`` tensor of ``t`` a dimension; each must hold 0.
            info: what the file says about the edit.
            seed: the code that the edit was found on, if known.

        Raises:
            SemanifoldError: if sizes disagree, knots do not increase, no knot is 0 or the offset there is not zero.
        """
        self.offsets, self.knots, self.info, self.seed = offsets, tuple(knots), info, seed
        self.dimensions = len(self.knots)
        if tuple(offsets.shape[: self.dimensions]) != tuple(len(k) for k in self.knots):
            raise SemanifoldError(f"Offsets {tuple(offsets.shape)} do not fit knots {[len(k) for k in self.knots]}.")
        if not torch.isfinite(offsets).all():
            raise SemanifoldError("The edit's codes hold NaN or infinite values.")
        for knots_ in self.knots:
            if len(knots_) < 2 or not (knots_[1:] > knots_[:-1]).all() or not (knots_ == 0).any():
                raise SemanifoldError("Knots must be at least two increasing values of t, one of which is 0.")
        if offsets[tuple(int((k == 0).nonzero()[0]) for k in self.knots)].abs().max() != 0:
            raise SemanifoldError("The offset at t = 0 must be zero: t = 0 is the unedited picture.")

    @property
    def moving_shape(self) -> tuple[int, ...]:
        """See :attr:`LatentEdit.moving_shape`."""
        return tuple(self.offsets.shape[self.dimensions :])

    def offset(self, t: Tensor | float) -> Tensor:
        """Return the offsets ``[n, *shape]`` at ``t`` (``[n]``, or ``[n, 2]`` on a sheet).

        Between knots it interpolates linearly; beyond the last ones it goes on in a straight line.
        """
        precise = t.dtype if isinstance(t, Tensor) else self.offsets.dtype
        t = torch.as_tensor(t, dtype=torch.promote_types(self.offsets.dtype, precise), device=self.offsets.device)
        t = t.reshape(-1, self.dimensions)
        if not torch.isfinite(t).all():
            raise SemanifoldError("t holds NaN or infinite values; 0 is the unedited picture, and 1 usually all of the edit.")
        result = self.offsets.expand(len(t), *self.offsets.shape)
        for axis, given in enumerate(self.knots):
            knots = given.to(t)
            left = (torch.searchsorted(knots, t[:, axis].contiguous(), right=True) - 1).clamp(0, len(knots) - 2)
            share = (t[:, axis] - knots[left]) / (knots[left + 1] - knots[left])
            rows = torch.arange(len(t), device=t.device)
            share = share.reshape(-1, *[1] * (result.ndim - 2))
            result = (1 - share) * result[rows, left] + share * result[rows, left + 1]
        return result

    def way(self, t: Tensor) -> Tensor:
        """See :meth:`Edit.way`."""
        return self.offset(t).flatten(1)

    def along(self, places: Tensor, knots: Tensor) -> Self:
        """See :meth:`Edit.along`."""
        offsets = self.offset(places.to(self.offsets))
        offsets[knots == 0] = 0
        info = replace(self.info, usable=(float(knots[0]), float(knots[-1])))
        return type(self)(offsets, (knots.to(self.knots[0]),), info, seed=self.seed)

    def latents(self, latents: Latents, t: Tensor | float) -> Latents:
        """See :meth:`LatentEdit.latents`."""
        if latents.space != self.info.space:
            raise SemanifoldError(
                f"The edit lives in space {self.info.space}, but these codes are in {latents.space}; convert them first."
            )
        shape, values = self.moving_shape, latents.values
        whole = values.shape[1:] == shape
        layers = slice(*self.info.layers) if self.info.layers and not whole else slice(None)
        if values[:, layers].shape[1:] != shape:
            raise SemanifoldError(
                f"The edit moves codes of shape {shape}, but these are {tuple(values.shape[1:])}; "
                f"it was made for {origin(self.info.generator)}."
            )
        offset = self.offset(t).to(values)
        check_counts(len(values), len(offset))
        if whole:
            return latents.with_values(values + offset)
        moved = values.expand(max(len(values), len(offset)), *values.shape[1:]).clone()
        moved[:, layers] += offset
        return latents.with_values(moved)

    def tensors(self) -> dict[str, Tensor]:
        """See :meth:`Edit.tensors`."""
        held = {"offsets": self.offsets} | {f"knots.{i}": k for i, k in enumerate(self.knots)}
        return held | seed_tensors(self.seed)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], info: EditInfo) -> Self:
        """See :meth:`Edit.from_tensors`."""
        knots = [tensors["knots.0"], *([tensors["knots.1"]] if "knots.1" in tensors else [])]
        offsets, seed = tensors["offsets"], tensors.get("seed")
        if any(each.ndim != 1 or len(each) > MOST_KNOTS for each in knots) or offsets.ndim <= len(knots):
            raise SemanifoldError(f"Knots {[list(each.shape) for each in knots]} of offsets {list(offsets.shape)} make no sense.")
        if seed is not None and seed.ndim != offsets.ndim - len(knots) + 1:
            raise SemanifoldError(f"The seed {list(seed.shape)} is no code that the offsets {list(offsets.shape)} could move.")
        return cls(offsets, knots, info, seed=seed_of(tensors, info))


def seed_tensors(seed: Latents | None) -> dict[str, Tensor]:
    """Return what a file holds of the code that an edit was found on."""
    if seed is None:
        return {}
    return {"seed": seed.values} | ({} if seed.labels is None else {"labels": seed.labels})


def seed_of(tensors: Mapping[str, Tensor], info: EditInfo) -> Latents | None:
    """Return the code that the edit of a file was found on, if it is there.

    Raises:
        SemanifoldError: if its labels make no sense.
    """
    seed, labels = tensors.get("seed"), tensors.get("labels")
    if labels is not None and (seed is None or labels.ndim != 2 or len(labels) != len(seed)):
        raise SemanifoldError(f"Labels {list(labels.shape)} do not fit the seed.")
    return None if seed is None else Latents(seed, info.space, labels)
