"""Space: where codes live, what a part of one is, and which other codes become codes of it by an affine map."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

EXTENDED = "+"
"""What the name of an extended space ends with: w+ holds one code of w per layer (Abdal et al. 2019, arXiv:1904.03189)."""


@dataclass(frozen=True)
class Space:
    """A latent space of a generator.

    Files and messages call a space by its name, and this is what a generator knows of it beside. In which units its codes are
    about standard normal is said by :func:`~semanifold.generators.coordinates.natural_coordinates`.

    Attributes:
        name: ``"z"``, ``"w"``, ``"w+"``, ``"s"``, ``"input"`` or another.
        shape: of one code.
        affine_of: names of the spaces whose codes the generator turns into codes of this one by an affine map, so that a
            displacement there is the same one here at every code: those of ``s``, the styles, are ``w`` and ``w+``.
    """

    name: str
    shape: tuple[int, ...]
    affine_of: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """A code of one layer becomes a code of all layers by being repeated, which is linear."""
        if is_extended(self.name) and single(self.name) not in self.affine_of:
            object.__setattr__(self, "affine_of", (single(self.name), *self.affine_of))

    @property
    def layers(self) -> int:
        """Number of layers that have a code each; 0 for a space that is not extended."""
        return self.shape[0] if is_extended(self.name) else 0

    @property
    def numbers(self) -> int:
        """How many numbers a code has."""
        return math.prod(self.shape)


def named(*spaces: Space) -> Mapping[str, Space]:
    """Return spaces by their names."""
    return {space.name: space for space in spaces}


def is_extended(space: str) -> bool:
    """Whether a space, given by its name, holds one code per layer."""
    return len(space) > len(EXTENDED) and space.endswith(EXTENDED)


def single(space: str) -> str:
    """Return the name of the space that the codes of single layers live in: ``"w"`` for ``"w+"``; others are their own."""
    return space.removesuffix(EXTENDED) if is_extended(space) else space


def repeated(values: Tensor, layers: int) -> Tensor:
    """Return codes or displacements ``[..., d]`` of one layer as those of all, ``[..., layers, d]``, without a copy."""
    return values.unsqueeze(-2).expand(*values.shape[:-1], layers, values.shape[-1])


def moved(values: Tensor, displacements: Tensor, layers: tuple[int, int] | None = None) -> Tensor:
    """Return codes ``[n, *shape]`` moved by displacements ``[m, *moving]``; one code serves all of them, one of them all codes.

    Displacements of whole codes move all of them, whatever layers are named; others move the layers ``(first, last + 1)``.
    """
    if layers is None or displacements.shape[1:] == values.shape[1:]:
        return values + displacements
    first, stop = layers
    codes = values.expand(max(len(values), len(displacements)), *values.shape[1:])
    return torch.cat([codes[:, :first], codes[:, first:stop] + displacements, codes[:, stop:]], dim=1)  # vmap has no sum in place
