"""What the benchmark runs on: a generator with masks, and what is known of its pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from semanifold.generators.base import Generator
from semanifold.latents import Latents
from semanifold.locality.metrics import ChangeMap
from semanifold.locality.truth import Truth
from semanifold.masks import Mask


@dataclass(frozen=True, eq=False)
class World:
    """A generator to measure on.

    Attributes:
        generator: makes the pictures.
        space: latent space of the edits.
        mask: ``(face, name) -> mask`` of one seed.
        truth: where the factors come from, or None.
        perceptual: spatial perceptual distance, or None where no weights are at hand.
        perceptual_name: what it is, for the table.
        first_weights: ``[out, d]`` weights of the first layer that the code meets, for SeFa on generators without styles; None if
            there is no such layer.
    """

    generator: Generator
    space: str
    mask: Callable[[Latents, str], Mask]
    truth: Truth | None = None
    perceptual: ChangeMap | None = None
    perceptual_name: str = "none"
    first_weights: Tensor | None = None
