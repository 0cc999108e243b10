"""Latents: codes together with the space that they live in, and the conditions that belong to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from semanifold.core import spaces
from semanifold.core.errors import SemanifoldError, shown
from semanifold.core.shapes import Codes, Rows, Square

LABELS = "labels"
"""The condition of class-conditional generators: ``[n, classes]`` weights of classes."""
PREFIX = "condition."
"""What files put before the names of other conditions."""


@dataclass(frozen=True, eq=False, repr=False)
class Latents:
    """A batch of latent codes that knows its space; two are equal if space, values and conditions are.

    Attributes:
        values: ``[n, *shape]`` codes, where ``shape`` is the generator's shape for the space: ``(d,)`` for ``z`` and ``w``,
            ``(layers, d)`` for ``w+``.
        space: name of the space, such as ``"z"``, ``"w"``, ``"w+"``, ``"s"`` or ``"input"``.
        conditions: what pictures depend on beside the codes, by name: ``[n, ...]`` each, such as ``labels``, ``[n, classes]``
            class weights of a class-conditional generator. A tensor in place of the mapping is taken for labels.
    """

    values: Tensor
    space: str
    conditions: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what is no batch of codes."""
        if not isinstance(self.values, Tensor) or self.values.ndim == 0:
            what = "a single number" if isinstance(self.values, Tensor) else f"of type {type(self.values).__name__}"
            raise SemanifoldError(
                f"Latents hold a tensor [n, *shape] of codes and the name of their space, but these values are {what}; "
                "seeds become codes by generator.sample([7])."
            )
        if not isinstance(self.space, str):
            raise SemanifoldError("The space of latents is a name, such as 'w'.")
        conditions = {} if self.conditions is None else self.conditions
        conditions = {LABELS: conditions} if isinstance(conditions, Tensor) else conditions
        if not isinstance(conditions, Mapping) or not all(
            isinstance(name, str) and isinstance(value, Tensor) and value.ndim for name, value in conditions.items()
        ):
            raise SemanifoldError("Conditions of latents are tensors [n, ...] by name, such as {'labels': tensor}.")
        object.__setattr__(self, "conditions", dict(conditions))

    @property
    def labels(self) -> Tensor | None:
        """The class weights ``[n, classes]`` among the :attr:`conditions`, if any."""
        return self.conditions.get(LABELS)

    def __len__(self) -> int:
        return self.values.shape[0]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Latents):
            return NotImplemented
        same = self.space == other.space and _same(self.values, other.values)
        names = self.conditions.keys() == other.conditions.keys()
        return same and names and all(_same(self.conditions[name], other.conditions[name]) for name in self.conditions)

    __hash__ = None  # type: ignore[assignment]  # as Python has it for what compares by its contents

    def __repr__(self) -> str:
        codes = "1 code" if len(self) == 1 else f"{len(self)} codes"
        beside = f", with {', '.join(shown(name, 40) for name in self.conditions)}" if self.conditions else ""
        kind = str(self.values.dtype).removeprefix("torch.")
        return f"Latents({codes} of {self.space} {list(self.values.shape[1:])}, {kind} on {self.values.device}{beside})"

    def __getitem__(self, index: int | slice | Sequence[int] | Tensor) -> Latents:
        """Select codes; a single integer keeps the batch dimension."""
        index = [index] if isinstance(index, int) else index
        return self._changed(lambda tensor: tensor[index])

    def _changed(self, change: Callable[[Tensor], Tensor]) -> Latents:
        """Return the same with codes and conditions changed alike."""
        conditions = {name: change(value) for name, value in self.conditions.items()}
        return replace(self, values=change(self.values), conditions=conditions)

    def with_values(self, values: Codes, space: str | None = None) -> Latents:
        """Return other codes ``[m, *shape]``, of another space perhaps; a condition is repeated where one row serves them all."""
        conditions = dict(self.conditions)
        for name, rows in conditions.items():
            if rows.shape[0] == values.shape[0]:
                continue
            if rows.shape[0] != 1:
                raise SemanifoldError(
                    f"{values.shape[0]} codes cannot share {rows.shape[0]} {shown(name, 40)}; give one per code, or one for all."
                )
            conditions[name] = rows.expand(values.shape[0], *rows.shape[1:])
        return Latents(values, space or self.space, conditions)

    def moved(self, displacements: Codes, layers: tuple[int, int] | None = None) -> Latents:
        """Return these codes with displacements ``[n, *moving]`` added; one code serves all of them, and one of them all codes.

        Displacements of a part of the code move the layers ``(first, last + 1)`` of an extended space, such as ``w+``.
        """
        return self.with_values(spaces.moved(self.values, displacements, layers))

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Latents:
        """Move or cast; conditions that hold whole numbers keep their type."""
        return self._changed(lambda tensor: tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else None))

    @staticmethod
    def cat(parts: Sequence[Latents]) -> Latents:
        """Join batches of one space into one."""
        spaces = {part.space for part in parts}
        if len(spaces) != 1:
            raise SemanifoldError(f"Codes of different spaces cannot be joined: {', '.join(sorted(spaces))}.")
        names = parts[0].conditions.keys()
        if any(part.conditions.keys() != names for part in parts):
            raise SemanifoldError("Codes with and without labels, or with other conditions, cannot be joined.")
        conditions = {name: torch.cat([part.conditions[name] for part in parts]) for name in names}
        return Latents(torch.cat([part.values for part in parts]), parts[0].space, conditions)


def condition_tensors(latents: Latents) -> dict[str, Tensor]:
    """Return what a file holds of the conditions of codes, by the names that it keeps them under."""
    return {name if name == LABELS else PREFIX + name: value for name, value in latents.conditions.items()}


def conditions_key(latents: Latents) -> bytes:
    """Return bytes that are the same for codes whose first ones have the same conditions."""
    return b"".join(name.encode() + value[:1].float().cpu().numpy().tobytes() for name, value in latents.conditions.items())


def conditions_in(tensors: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
    """Return the conditions of codes from the tensors of a file; see :func:`condition_tensors`.

    Args:
        tensors: of the file, others among them.
        count: number of codes.

    Raises:
        SemanifoldError: if their numbers are not finite, or not as many as there are codes.
    """
    names = [name for name in tensors if name == LABELS or name.startswith(PREFIX)]
    conditions = {name.removeprefix(PREFIX): tensors[name] for name in names}
    for name, value in conditions.items():
        fits = value.ndim == 2 and value.is_floating_point() if name == LABELS else value.ndim > 0
        if not fits or len(value) != count or value.is_complex() or not torch.isfinite(value).all():
            raise SemanifoldError(f"its {shown(name, 40)} {list(value.shape)} do not fit its {count} codes")
    return conditions


def _same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors, on any device, hold the same numbers."""
    return a.dtype == b.dtype and torch.equal(a.cpu(), b.cpu())


def root_of_covariance(codes: Rows) -> Square:
    """Return the symmetric square root ``[d, d]`` of the covariance of codes ``[n, d]``, in double precision."""
    return symmetric_root(torch.cov(codes.double().T))


def symmetric_root(matrix: Square) -> Square:
    """Return the symmetric square root of a positive matrix."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T
