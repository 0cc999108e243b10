"""What an inversion lowers: how far a picture is from the target, and a code from those of the generator."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from semanifold.core.latents import Latents
from semanifold.core.minimise import Evaluation
from semanifold.core.shapes import Codes, EachPicture, Mask1, Pictures
from semanifold.generators.base import Generator
from semanifold.generators.coordinates import Coordinates
from semanifold.images.distances import Distance, FeatureDistance
from semanifold.inversion.settings import InversionSettings


@dataclass(frozen=True, eq=False)
class Likeness:
    """How far pictures are from a target, inside of a mask only if there is one.

    Attributes:
        target: ``[1, c, h, w]`` in [-1, 1].
        mask: ``[1, 1, h, w]``; ones where everything counts.
        distance: the perceptual distance; None for pixels alone.
        pixels: weight of the pixels.
        perceptual: weight of the distance.
    """

    target: Pictures
    mask: Mask1
    distance: Distance | None
    pixels: float
    perceptual: float

    def terms(self, images: Pictures) -> tuple[EachPicture, EachPicture]:
        """Return the mean squared difference of the pixels and the perceptual distance, both averaged over the mask."""
        # paste the inside into the target, so that the rest cannot count
        area = float(self.mask.mean())
        pasted = self.target + self.mask * (images - self.target)
        pixels = (self.mask * (images - self.target).square()).flatten(1).mean(1) / area
        if self.distance is None:
            return pixels, torch.zeros_like(pixels)
        if isinstance(self.distance, FeatureDistance) and not self.target.requires_grad:  # a target may move (placing)
            return pixels, self.distance.between(pasted, self._units) / area
        return pixels, self.distance(pasted, self.target) / area

    @cached_property
    def _units(self) -> list[Tensor]:
        """The target's own maps, which every picture is compared with."""
        assert isinstance(self.distance, FeatureDistance)
        with torch.no_grad():
            return self.distance.units(self.target)

    def __call__(self, images: Pictures) -> EachPicture:
        """Return the weighted sum of both terms."""
        return self.weighted(*self.terms(images))

    def weighted(self, pixels: EachPicture, perceptual: EachPicture) -> EachPicture:
        """Return the weighted sum of both terms, once they are known."""
        return self.pixels * pixels + self.perceptual * perceptual


@dataclass(frozen=True, eq=False)
class Objective:
    """The function of coordinates that falls: ``pixels |G - x|^2 + perceptual d(G, x) + naturalness mean(u^2) / own``.

    The code is ``start + A (u - u0)``, where A are the natural coordinates (their metric is that of P_N, Zhu et al. 2020,
    arXiv:2012.09036, without its leaky units) and u0 those of the start, measured from the mean code, wherever the search begins.

    Attributes:
        generator: the generator.
        start: the code that the search begins at.
        origin: its coordinates ``u0``.
        coordinates: from coordinates to offsets of the code.
        likeness: of the pictures.
        naturalness: weight of the last term.
        own: mean of ``u^2`` over the generator's own codes, so that their last term is 1.
    """

    generator: Generator
    start: Latents
    origin: Codes
    coordinates: Coordinates
    likeness: Likeness
    naturalness: float
    own: float

    def code(self, u: Codes) -> Latents:
        """Return the code at coordinates."""
        return self.start.with_values(self.start.values + self.coordinates.displacements(u - self.origin))

    def __call__(self, u: Codes) -> Evaluation:
        """Return value, gradient and terms at coordinates ``[1, *code]``."""
        with torch.enable_grad():
            point = u.detach().clone().requires_grad_()
            pixels, perceptual = self.likeness.terms(self.generator.images(self.code(point)))
            nature = point.square().mean() / self.own
            weighted = self.likeness.pixels * pixels.sum() + self.likeness.perceptual * perceptual.sum()
            value = weighted + self.naturalness * nature
            (gradient,) = torch.autograd.grad(value, point)
        terms = {"pixels": float(pixels.detach()), "perceptual": float(perceptual.detach()), "nature": float(nature.detach())}
        return Evaluation(float(value.detach()), gradient, terms)


def likeness_of(settings: InversionSettings, target: Tensor, mask: Tensor, distance: Distance | None) -> Likeness:
    """Return the likeness that the settings ask for."""
    return Likeness(target, mask, distance, settings.pixels, settings.perceptual)
