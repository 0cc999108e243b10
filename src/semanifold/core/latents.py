"""Latents: codes together with the space that they live in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.shapes import Codes, Rows, Square


@dataclass(frozen=True, eq=False, repr=False)
class Latents:
    """A batch of latent codes that knows its space; two are equal if space, values and labels are.

    Attributes:
        values: ``[n, *shape]`` codes, where ``shape`` is the generator's shape for the space: ``(d,)`` for ``z`` and ``w``,
            ``(layers, d)`` for ``w+``.
        space: name of the space: ``"z"``, ``"w"``, ``"w+"`` or ``"input"``.
        labels: ``[n, classes]`` class weights of a class-conditional generator, or None.
    """

    values: Tensor
    space: str
    labels: Tensor | None = None

    def __post_init__(self) -> None:
        """Refuse what is no batch of codes."""
        if not isinstance(self.values, Tensor) or self.values.ndim == 0:
            what = "a single number" if isinstance(self.values, Tensor) else f"of type {type(self.values).__name__}"
            raise SemanifoldError(
                f"Latents hold a tensor [n, *shape] of codes and the name of their space, but these values are {what}; "
                "seeds become codes by generator.sample([7])."
            )

        if not isinstance(self.labels, Tensor | None) or not isinstance(self.space, str):
            raise SemanifoldError("The space of latents is a name, such as 'w', and labels are a tensor [n, classes] or None.")

    def __len__(self) -> int:
        return self.values.shape[0]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Latents):
            return NotImplemented
        return self.space == other.space and _same(self.values, other.values) and _same(self.labels, other.labels)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        codes = "1 code" if len(self) == 1 else f"{len(self)} codes"
        labels = "" if self.labels is None else ", with labels"
        kind = str(self.values.dtype).removeprefix("torch.")
        return f"Latents({codes} of {self.space} {list(self.values.shape[1:])}, {kind} on {self.values.device}{labels})"

    def __getitem__(self, index: int | slice | Sequence[int] | Tensor) -> Latents:
        """Select codes; a single integer keeps the batch dimension."""
        if isinstance(index, int):
            index = [index]
        labels = None if self.labels is None else self.labels[index]
        return replace(self, values=self.values[index], labels=labels)

    def with_values(self, values: Codes) -> Latents:
        """Return the same space with other codes ``[m, *shape]``; labels are repeated when one row serves them all."""
        labels = self.labels
        if labels is not None and labels.shape[0] != values.shape[0]:
            if labels.shape[0] != 1:
                raise SemanifoldError(
                    f"{values.shape[0]} codes cannot share {labels.shape[0]} labels; give one label a code, or one for all."
                )
            labels = labels.expand(values.shape[0], -1)
        return replace(self, values=values, labels=labels)

    def moved(self, offsets: Codes, layers: tuple[int, int] | None = None) -> Latents:
        """Return these codes with offsets ``[n, *moving]`` added; one code serves all offsets.

        Of ``w+`` only the layers ``(first, last + 1)`` move, if any are named.
        """
        if layers is None:
            return self.with_values(self.values + offsets)
        first, last = layers
        code = self.values.expand(len(offsets), *self.values.shape[1:])
        return self.with_values(torch.cat([code[:, :first], code[:, first:last] + offsets, code[:, last:]], dim=1))

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Latents:
        """Move or cast."""
        labels = None if self.labels is None else self.labels.to(device=device, dtype=dtype)
        return replace(self, values=self.values.to(device=device, dtype=dtype), labels=labels)

    @staticmethod
    def cat(parts: Sequence[Latents]) -> Latents:
        """Join batches of one space into one."""
        spaces = {part.space for part in parts}
        if len(spaces) != 1:
            raise SemanifoldError(f"Codes of different spaces cannot be joined: {', '.join(sorted(spaces))}.")
        labels = [part.labels for part in parts if part.labels is not None]
        if labels and len(labels) != len(parts):
            raise SemanifoldError("Codes with and without labels cannot be joined.")
        joined = torch.cat([part.values for part in parts])
        return Latents(joined, parts[0].space, torch.cat(labels) if labels else None)


def _same(a: Tensor | None, b: Tensor | None) -> bool:
    """Whether two tensors, on any device, hold the same numbers; or both are missing."""
    if a is None or b is None:
        return a is b
    return a.dtype == b.dtype and torch.equal(a.cpu(), b.cpu())


def root_of_covariance(codes: Rows) -> Square:
    """Return the symmetric square root ``[d, d]`` of the covariance of codes ``[n, d]``, in double precision."""
    return symmetric_root(torch.cov(codes.double().T))


def symmetric_root(matrix: Square) -> Square:
    """Return the symmetric square root of a positive matrix."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T
