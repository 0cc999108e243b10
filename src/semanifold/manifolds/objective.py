"""The objective: springs between codes, a valley at distance c inside the mask, and a floor outside of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.core.minimise import Evaluation
from semanifold.generators.base import Generator
from semanifold.generators.coordinates import PLAIN, Coordinates
from semanifold.images.distances import Distance
from semanifold.manifolds.layout import Layout, Springs

Parts = Callable[[Tensor], tuple[Tensor, Tensor]]
"""``images [n, c, h, w] -> (distance inside [n], distance outside [n])`` of the start's picture."""


def spring_energy(codes: Tensor, springs: Springs, sigma: float) -> Tensor:
    """Return ``[m]`` energies ``weight (||z_a - z_b|| - k sigma)^2`` (Yang et al. 2020, arXiv:2105.07273, Eq. 3).

    Where two codes coincide the gradient is zero; the published code gives NaN there.

    Args:
        codes: ``[n, *code]``, or their differences from any common origin.
        springs: which codes are joined, at which order and weight.
        sigma: rest length between neighbours.
    """
    a, b = springs.pairs.to(codes.device).unbind(1)
    lengths = torch.linalg.vector_norm((codes[a] - codes[b]).flatten(1), dim=1)  # [m]; its gradient at 0 is 0, not NaN
    return springs.weights.to(codes) * (lengths - springs.orders.to(codes) * sigma).square()


def kinked_valley(distance: Tensor, offset: Tensor | float, kink: float) -> Tensor:
    """Return ``|d - c|``, rounded: ``sqrt((d - c)^2 + kink^2) - kink`` (Yang et al. 2020, Eq. 2, where the kink is 0).

    Args:
        distance: ``[n]``.
        offset: c, one number or ``[n]``.
        kink: half the width of the rounded floor; at 0 the plain absolute value, its gradient on the floor zero.
    """
    # abs() rather than the root of the square: its gradient at 0 is 0, not NaN
    off = distance - offset
    return off.abs() if kink == 0 else (off.square() + kink**2).sqrt() - kink


def round_valley(distance: Tensor, offset: Tensor | float, width: float) -> Tensor:
    """Return ``(d - c)^2 / (2 width)``: as steep as the kinked valley at ``d = c +- width``, steeper farther off.

    Near its floor it is the rounded kink; but a change inside that costs some change outside cannot make it collapse to none.
    """
    return (distance - offset).square() / (2 * width)


def pasted_parts(mask: Tensor, reference: Tensor, distance: Distance) -> Parts:
    """Compare inside and outside of any mask by pasting, each averaged over its area.

    ``inside = d(x* + sqrt(M) (x - x*), x*) / area(M)``, ``outside = d(x* + sqrt(1 - M) (x - x*), x*) / area(1 - M)``: where a
    mask is soft, the square of a change counts on either side by that side's share of the pixel, as in all measures.

    Args:
        mask: ``[1, 1, h, w]`` in [0, 1].
        reference: ``[1, c, h, w]``, the start's picture x*.
        distance: between whole pictures.
    """
    mask, area = mask.to(reference), float(mask.mean())
    within, without = (part.clamp(min=0).sqrt() for part in (mask, 1 - mask))

    def parts(images: Tensor) -> tuple[Tensor, Tensor]:
        # paste one part into the other picture, so that the rest cannot count; over the area, so that all sizes are alike
        inside = distance(reference + within * (images - reference), reference) / area
        outside = distance(reference + without * (images - reference), reference) / (1 - area)
        return inside, outside

    return parts


def cropped_parts(rectangle: tuple[int, int, int, int], reference: Tensor, distance: Distance) -> Parts:
    """Compare a box with its crop, and the outside by four strips weighted by area, as the published code does.

    Strips above and below have the full width, those beside it the height of the box. Empty ones (the box touches the border)
    are left out; the published code gives NaN there.

    Args:
        rectangle: ``(top, bottom, left, right)`` in pixels, last ones exclusive.
        reference: ``[1, c, h, w]``, the start's picture.
        distance: between crops.

    Raises:
        SemanifoldError: if the box is empty or covers the picture.
    """
    top, bottom, left, right = rectangle
    height, width = reference.shape[2:]
    area = (bottom - top) * (right - left)
    if area <= 0 or area >= height * width:
        raise SemanifoldError(f"The box {rectangle} leaves nothing inside or nothing outside of a {height} x {width} picture.")
    # above and below over the full width, left and right beside the box only: every pixel belongs to one strip
    strips = [(0, top, 0, width), (bottom, height, 0, width), (top, bottom, 0, left), (top, bottom, right, width)]
    outer = [(strip, (strip[1] - strip[0]) * (strip[3] - strip[2]) / (height * width - area)) for strip in strips]

    def cropped(images: Tensor, crop: tuple[int, int, int, int]) -> Tensor:
        rows, columns = slice(crop[0], crop[1]), slice(crop[2], crop[3])
        return distance(images[..., rows, columns], reference[..., rows, columns])

    def parts(images: Tensor) -> tuple[Tensor, Tensor]:
        # a strip without pixels has weight 0 and no distance
        outside = [weight * cropped(images, strip) for strip, weight in outer if weight]
        return cropped(images, rectangle), torch.stack(outside).sum(0)

    return parts


@dataclass(frozen=True, eq=False)
class Objective:
    """``alpha sum_i [valley(inside_i - c_i) + outside_weight outside_i] / unit_image + sum springs / unit_spring``.

    Calling it with the free frames' coordinates ``[f, *moving]`` gives value, gradient and terms, a chunk of pictures at a time.

    Attributes:
        generator: makes the pictures.
        start: the code that the frames are displaced from, ``[1, *code]``.
        layers: slice of the code's first axis that moves, or None.
        layout: frames, targets and springs.
        parts: distances inside and outside.
        offset: c.
        sigma: rest length.
        alpha: weight of the pictures.
        outside: weight of the outside.
        valley: :func:`round_valley` or :func:`kinked_valley`.
        width: of the valley's floor, in units of the distance.
        image_unit: what image terms are divided by: 1 in the paper, c in ours.
        spring_unit: what spring terms are divided by: 1 in the paper, sigma^2 in ours.
        size: height and width of the pictures, or None.
        chunk: pictures at a time.
        coordinates: what the frames are given in; the springs measure lengths in them.
    """

    generator: Generator
    start: Latents
    layers: tuple[int, int] | None
    layout: Layout
    parts: Parts
    offset: float
    sigma: float
    alpha: float
    outside: float
    valley: Callable[[Tensor, Tensor, float], Tensor] = round_valley
    width: float = 0.1
    image_unit: float = 1.0
    spring_unit: float = 1.0
    size: int | None = None
    chunk: int = 8
    coordinates: Coordinates = PLAIN

    def __call__(self, free: Tensor) -> Evaluation:
        """Return the value, the gradient ``[f, *moving]`` and the terms."""
        # Pictures take all the memory, so their gradient is made in chunks; the springs join frames across chunks and come after.
        image_terms, gradient, inside, outside = self.images(free)
        leaf = free.detach().requires_grad_()
        energies = spring_energy(self.layout.spread(leaf), self.layout.springs, self.sigma) / self.spring_unit
        springs = energies.sum()
        # no springs, or none that end at a frame that moves
        if springs.requires_grad:
            gradient = gradient + torch.autograd.grad(springs, leaf)[0]
        spring = springs.item()
        # in double precision: the line search compares values that differ in the last digits
        value = image_terms.double().sum().item() + spring
        terms = {"inside": inside.mean().item(), "outside": outside.mean().item(), "spring": spring, "objective": value}
        return Evaluation(value, gradient, terms)

    @property
    def goals(self) -> Tensor:
        """Distances ``[f]`` wanted inside."""
        return self.layout.targets[self.layout.free] * self.offset

    def costs(self, inside: Tensor, outside: Tensor, goals: Tensor) -> Tensor:
        """Return image terms ``[n]`` of distances and of those wanted inside."""
        return self.alpha * (self.valley(inside, goals, self.width) + self.outside * outside) / self.image_unit

    def images(self, free: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return image terms ``[f]``, their gradient, and the distances inside and outside ``[f]``."""
        terms, gradients, insides, outsides = [], [], [], []
        for codes, goals in zip(free.split(self.chunk), self.goals.to(free).split(self.chunk)):
            # one graph per chunk, freed as soon as its gradient is known
            leaf = codes.detach().requires_grad_()
            pictures = self.generator.images(self.start.moved(self.coordinates.displacements(leaf), self.layers), size=self.size)
            inside, outside = self.parts(pictures)
            term = self.costs(inside, outside, goals)
            gradients.append(torch.autograd.grad(term.sum(), leaf)[0])
            terms.append(term.detach())
            insides.append(inside.detach())
            outsides.append(outside.detach())
        return torch.cat(terms), torch.cat(gradients), torch.cat(insides), torch.cat(outsides)
