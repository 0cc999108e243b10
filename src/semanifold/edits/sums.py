"""Sums of edits: several changes of codes and of weights at once, on one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Self

import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError, shown
from semanifold.core.latents import Latents
from semanifold.core.shapes import EditTimes, Pictures, Times, Way
from semanifold.core.spaces import Space
from semanifold.edits.base import WEIGHTS, Edit, EditInfo
from semanifold.edits.lattice import Lattice
from semanifold.edits.weights import WeightEdit, unedited_at_zero
from semanifold.generators.base import Generator

MOST_PARTS = 100


class Sum(Edit):
    """Several edits of one dimension at once, all at the same ``t``: displacements of codes add up, and changes of weights."""

    kind: ClassVar[str] = "sum"

    def __init__(self, parts: Sequence[Lattice | WeightEdit], info: EditInfo, *, start: Latents | None = None) -> None:
        """Join the edits.

        Args:
            parts: edits of one dimension; those of codes in the same space.
            info: what the file says about the sum; its space is that of the codes, or ``weights`` if no codes move.
            start: the code of the picture that it is looked at on, if any.

        Raises:
            SemanifoldError: if there is none, or they do not fit together.
        """
        spaces = {part.info.space for part in parts if part.moves_codes}
        if not 1 <= len(parts) <= MOST_PARTS:
            raise SemanifoldError(f"A sum takes 1 to {MOST_PARTS} edits, but got {len(parts)}; combine fewer.")
        for part in parts:
            if part.dimensions != 1:
                raise SemanifoldError(
                    f"A sum takes edits of one dimension, but {shown(part.info.name, 40)} is a pad; leave it out."
                )
        if len(spaces) > 1:
            raise SemanifoldError(f"A sum takes codes of one space, but got {', '.join(sorted(spaces))}.")
        self.parts, self.start = tuple(parts), start
        self.info = replace(info, space=next(iter(spaces), WEIGHTS))
        self.knots = (torch.unique(torch.cat([part.knots[0].double() for part in parts])),)

    @property
    def what_moves(self) -> str:
        """See :attr:`Edit.what_moves`."""
        return " and ".join(part.what_moves for part in self.parts)

    @property
    def leaves(self) -> tuple[Edit, ...]:
        """See :attr:`Edit.leaves`."""
        return self.parts

    @property
    def moves_codes(self) -> bool:
        """See :attr:`Edit.moves_codes`."""
        return any(part.moves_codes for part in self.parts)

    def check_code(self, latents: Latents) -> None:
        """See :meth:`Edit.check_code`."""
        for part in self.parts:
            part.check_code(latents)

    def is_traced(self, latents: Latents) -> bool:
        """See :meth:`Edit.is_traced`."""
        return all(part.is_traced(latents) for part in self.parts)

    def embedded(self, space: Space, generator: Generator | None = None) -> Sum:
        """See :meth:`Edit.embedded`; the code that the sum is looked at on stays behind."""
        return Sum([part.embedded(space, generator) for part in self.parts], self.info)

    def baked(self, generator: Generator, t: float = 1.0) -> Generator:
        """See :meth:`Edit.baked`."""
        for part in self.parts:
            generator = part.baked(generator, t)
        return generator

    def check(self, generator: Generator) -> None:
        """See :meth:`Edit.check`."""
        for part in self.parts:
            part.check(generator)

    def space(self, generator: Generator) -> str:
        """See :meth:`Edit.space`."""
        if self.start is not None:
            return self.start.space
        return generator.first_space if self.info.space == WEIGHTS else self.info.space

    def applied(self, generator: Generator, latents: Latents, t: EditTimes) -> tuple[Generator, Latents]:
        """See :meth:`Edit.applied`."""
        for part in self.parts:
            generator, latents = part.applied(generator, latents, t)
        return generator, latents

    def images(
        self, generator: Generator, latents: Latents | int | Sequence[int], t: EditTimes | float | Sequence[float]
    ) -> Pictures:
        """See :meth:`Edit.images`; at ``t = 0`` the picture is the generator's own to the last bit."""
        return unedited_at_zero(self, generator, latents, t, super().images)

    def way(self, t: EditTimes) -> Way:
        """See :meth:`Edit.way`."""
        return torch.cat([part.way(t) for part in self.parts], 1)

    def along(self, places: Times, knots: Times) -> Self:
        """See :meth:`Edit.along`."""
        usable = (float(knots[0]), float(knots[-1]))
        return type(self)([part.along(places, knots) for part in self.parts], replace(self.info, usable=usable), start=self.start)

    def tensors(self) -> dict[str, Tensor]:
        """See :meth:`Edit.tensors`."""
        parts = {f"{i}.{key}": value for i, part in enumerate(self.parts) for key, value in part.tensors().items()}
        return parts | ({} if self.start is None else WeightEdit.start_tensors(self.start))

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], info: EditInfo) -> Self:
        """See :meth:`Edit.from_tensors`."""
        parts: list[Lattice | WeightEdit] = []
        for i in range(MOST_PARTS):
            own = {key.removeprefix(f"{i}."): value for key, value in tensors.items() if key.startswith(f"{i}.")}
            if not own:
                break
            leaf = Lattice if "offsets" in own else WeightEdit
            # codes of a sum are whole: no part knows layers of its own
            parts.append(leaf.from_tensors(own, replace(info, layers=None)))
        if not parts:
            raise KeyError("0.offsets")
        return cls(parts, info, start=WeightEdit.start_from(tensors))
