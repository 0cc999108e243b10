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

from semanifold.errors import SemanifoldError, of_type, shown
from semanifold.generators.base import Generator, as_latents
from semanifold.latents import Latents


@dataclass(frozen=True)
class EditInfo:
    """What an edit's file says about it: where it lives, what it was made with, how far it may be driven.

    Attributes:
        name: short name for people, such as ``"mouth"``.
        method: how it was found, such as ``"masked manifold"``.
        space: latent space of the codes.
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


UNKNOWN = "unknown"


def origin(generator: str) -> str:
    """Return what a message calls the generator that something was made for; many files do not name it."""
    return "another generator" if generator == UNKNOWN else generator


class Edit(ABC):
    """A path of pictures; ``t = 0`` is the unedited picture.

    Attributes:
        info: what the file says about the edit.
        dimensions: number of coordinates of ``t``: 1 for a path, 2 for a pad.
        kind: what files call this leaf.
    """

    kind: ClassVar[str]
    info: EditInfo
    dimensions: int = 1

    @abstractmethod
    def latents(self, latents: Latents, t: Tensor | float) -> Latents:
        """Return the edited codes; one code serves all values of ``t``.

        Args:
            latents: n codes in the edit's space, or one code for all values of ``t``.
            t: one number, ``[n]`` numbers, or ``[n, 2]`` for an edit of two dimensions.

        Raises:
            SemanifoldError: if the codes are of another space or shape.
        """

    def images(self, generator: Generator, latents: Latents | int | Sequence[int], t: Tensor | float | Sequence[float]) -> Tensor:
        """Return the edited pictures ``[n, c, h, w]``.

        Args:
            generator: the generator that the edit was made for, or one with the same spaces.
            latents: n codes or seeds, or one for all values of ``t``.
            t: one number, ``[n]`` numbers, or ``[n, 2]`` for an edit of two dimensions.
        """
        codes = as_latents(latents, generator, self.info.space)
        of_type(t, (Real, Sequence, Tensor), "t is a number, or several")
        try:
            moments = t if isinstance(t, int | float) else torch.as_tensor(t)
            if isinstance(moments, Tensor) and (moments.is_meta or moments.layout != torch.strided or moments.is_complex()):
                raise ValueError("it does not hold plain numbers")
        except (TypeError, ValueError, RuntimeError) as error:
            raise SemanifoldError(f"t is a number, or several, but {shown(repr(t), 40)} was given.") from error
        return generator.images(self.latents(codes, moments))

    def __repr__(self) -> str:
        low, high = self.info.usable
        kind = "pad" if self.dimensions == 2 else "path"
        shape, made_for = list(self.moving_shape), shown(origin(self.info.generator), 40)
        name = shown(self.info.name, 40)
        return f"{type(self).__name__}({name!r}: {kind} in {self.info.space} {shape} of {made_for}, t from {low:g} to {high:g})"

    @property
    @abstractmethod
    def moving_shape(self) -> tuple[int, ...]:
        """Shape of the part of one code that moves."""

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
