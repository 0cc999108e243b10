"""Edit: a path of pictures that starts at an unedited one.

``edit.images(generator, latents, t)`` is all that rendering, measuring, the command line and the studio know of an edit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError, of_type, shown
from semanifold.core.latents import Latents
from semanifold.core.shapes import Pictures
from semanifold.generators.base import Generator, as_latents, origin


@dataclass(frozen=True)
class EditInfo:
    """What an edit's file says about it: where it lives, what it was made with, how far it may be driven.

    Attributes:
        name: short name for people, such as ``"mouth"``.
        method: how it was found, such as ``"masked manifold"``.
        space: latent space of the codes; :data:`WEIGHTS` for an edit of weights, which takes codes of any space.
        layers: ``(first, last + 1)`` layers of ``w+`` that move, or None for all.
        generator: name of the generator.
        fingerprint: fingerprint of its weights.
        mask: the mask as the user wrote it.
        usable: range of ``t`` in which the pictures keep changing and stay good.
        locality: measured locality scores, by name.
        cite: papers to cite.
    """

    name: str = "edit"
    method: str = "unknown"
    space: str = "w+"
    layers: tuple[int, int] | None = None
    generator: str = "unknown"
    fingerprint: str = "unknown"
    mask: str = ""
    usable: tuple[float, float] = (0.0, 1.0)
    locality: dict[str, float] = field(default_factory=dict)
    cite: tuple[str, ...] = ()


WEIGHTS = "weights"


class Edit(ABC):
    """A path of pictures; ``t = 0`` is the unedited picture.

    Attributes:
        info: what the file says about the edit.
        dimensions: number of coordinates of ``t``: 1 for a path, 2 for a pad.
        kind: what files call this leaf.
        knots: moments ``t`` between which the edit goes on evenly: one increasing tensor per dimension, which holds 0.
        seed: the code that the edit was found on, or is looked at on, if any.
    """

    kind: ClassVar[str]
    info: EditInfo
    knots: tuple[Tensor, ...]
    dimensions: int = 1
    seed: Latents | None = None

    @abstractmethod
    def applied(self, generator: Generator, latents: Latents, t: Tensor) -> tuple[Generator, Latents]:
        """Return the generator and the codes that make the edited pictures; neither of the given ones is changed.

        An edit of codes leaves the generator alone, an edit of weights the codes.

        Args:
            generator: makes the unedited pictures, or has been through other edits already.
            latents: n codes, or one for all values of ``t``.
            t: ``[n]``, or ``[n, 2]`` for an edit of two dimensions.

        Raises:
            SemanifoldError: if the edit does not fit the generator, or the codes are of another space or shape.
        """

    @property
    @abstractmethod
    def what_moves(self) -> str:
        """What moves and where, for people, such as ``"w+ [12, 128]"``."""

    @property
    def leaves(self) -> tuple[Edit, ...]:
        """The edits that this one is made of, none of which is a sum."""
        return (self,)

    @abstractmethod
    def check(self, generator: Generator) -> None:
        """Refuse a generator that has no such codes, or no such weights, as the edit moves.

        Raises:
            SemanifoldError: naming the space, or the layer, or both shapes.
        """

    def way(self, t: Tensor) -> Tensor:
        """Return how far the edit has gone at ``t``, as ``[n, m]`` numbers whose distances say how far apart two moments are.

        Raises:
            SemanifoldError: for an edit that goes another way from every code; trace it from one first.
        """
        raise SemanifoldError(f"{self.info.name} goes another way from every code; trace it from one: traced(edit, code).")

    def along(self, places: Tensor, knots: Tensor) -> Self:
        """Return the same way walked in another time: at ``knots[i]`` it is where it was at ``places[i]``; both ``[n]``.

        Raises:
            SemanifoldError: as :meth:`way`.
        """
        raise SemanifoldError(f"{self.info.name} goes another way from every code; trace it from one: traced(edit, code).")

    def space(self, generator: Generator) -> str:
        """Return the space of the codes that the edit takes."""
        return self.info.space

    def images(
        self, generator: Generator, latents: Latents | int | Sequence[int], t: Tensor | float | Sequence[float]
    ) -> Pictures:
        """Return the edited pictures ``[n, c, h, w]``.

        Args:
            generator: the generator that the edit was made for, or one with the same spaces.
            latents: n codes or seeds, or one for all values of ``t``.
            t: one number, ``[n]`` numbers, or ``[n, 2]`` for an edit of two dimensions.
        """
        codes = self.codes(generator, latents)
        moments = self.moments(t, codes)
        other, moved = self.applied(generator, codes, moments)
        return other.images(moved)

    def codes(self, generator: Generator, latents: Latents | int | Sequence[int]) -> Latents:
        """Return codes or seeds as codes for this edit, on the generator's device and in its precision.

        Raises:
            SemanifoldError: if they are neither, or there is no generator.
        """
        of_type(generator, Generator, "A generator is expected, as by load_generator or wrap")
        return as_latents(latents, generator, self.space(generator))

    def moments(self, t: Tensor | float | Sequence[float], codes: Latents) -> Tensor:
        """Return values of ``t`` as ``[n]``, or ``[n, 2]`` for an edit of two dimensions, beside these codes.

        Raises:
            SemanifoldError: if they are no plain numbers.
        """
        of_type(t, (Real, Sequence, Tensor), "t is a number, or several")
        try:
            moments = torch.as_tensor(t)
            if moments.is_meta or moments.layout != torch.strided or moments.is_complex():
                raise ValueError("it does not hold plain numbers")
            moments = moments.to(codes.values)
            return moments.reshape(-1, 2) if self.dimensions == 2 else moments.reshape(-1)
        except (TypeError, ValueError, RuntimeError) as error:
            raise SemanifoldError(f"t is a number, or several, but {shown(repr(t), 40)} was given.") from error

    def __repr__(self) -> str:
        low, high = self.info.usable
        kind = "pad" if self.dimensions == 2 else "path"
        made_for, name = shown(origin(self.info.generator), 40), shown(self.info.name, 40)
        return f"{type(self).__name__}({name!r}: {kind} in {self.what_moves} of {made_for}, t from {low:g} to {high:g})"

    def with_info(self, **changes: Any) -> Self:
        """Return the same path with other fields of its :class:`EditInfo`."""
        other = copy(self)
        other.info = replace(self.info, **changes)
        return other

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Return what the file must hold for :func:`load_edit` to make the edit again."""

    @classmethod
    @abstractmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], info: EditInfo) -> Self:
        """Make the edit of a file's tensors again; ``KeyError`` if one is missing."""


class LatentEdit(Edit):
    """An edit that moves codes."""

    @abstractmethod
    def latents(self, latents: Latents, t: Tensor | float) -> Latents:
        """Return the edited codes; one code serves all values of ``t``.

        Args:
            latents: n codes in the edit's space, or one code for all values of ``t``.
            t: one number, ``[n]`` numbers, or ``[n, 2]`` for an edit of two dimensions.

        Raises:
            SemanifoldError: if the codes are of another space or shape.
        """

    @property
    @abstractmethod
    def moving_shape(self) -> tuple[int, ...]:
        """Shape of the part of one code that moves."""

    def check(self, generator: Generator) -> None:
        """See :meth:`Edit.check`."""
        generator.check_space(self.info.space)

    def applied(self, generator: Generator, latents: Latents, t: Tensor) -> tuple[Generator, Latents]:
        """See :meth:`Edit.applied`."""
        return generator, self.latents(latents, t)

    @property
    def what_moves(self) -> str:
        """See :attr:`Edit.what_moves`."""
        return f"{self.info.space} {list(self.moving_shape)}"


def check_counts(codes: int, moments: int) -> None:
    """Refuse codes and values of ``t`` of which neither is one for all of the other.

    Raises:
        SemanifoldError: naming both numbers.
    """
    if not codes or not moments:
        raise SemanifoldError(f"An edit takes at least one code and one t, but got {codes} and {moments}.")
    if codes != moments and 1 not in (codes, moments):
        raise SemanifoldError(f"{codes} codes take one t, or {codes} of them, but got {moments}.")
