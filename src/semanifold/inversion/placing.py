"""Where in a photograph the generator's picture lies, found together with its code."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import grid_sample

from semanifold.core.latents import Latents
from semanifold.core.minimise import Evaluation, begin, lbfgs_step
from semanifold.core.progress import Watch, watching
from semanifold.core.shapes import Pictures
from semanifold.generators.base import Generator
from semanifold.images.photographs import fitted
from semanifold.images.placements import Placement
from semanifold.inversion.encoder import OWN, Encoder
from semanifold.inversion.objective import Objective
from semanifold.inversion.settings import InversionSettings
from semanifold.inversion.solve import HISTORY, Inversion, decibels

STEPS = 20
AROUND = 0.3
"""Share of the part's side that is looked at on each side of it."""
USUAL = (0.06, 0.06, 0.06, 0.02)
"""How far a part is usually misplaced: to the right and down, as shares of the width; the logarithm of its size; turn in radians.

Points of a face tell its turn to one degree, and where its head is to several pixels of 64."""
FARTHEST = (0.16, 0.16, 0.24, 0.06)
"""Bounds of the same."""


@dataclass(frozen=True, eq=False)
class Surroundings:
    """A part of a photograph with what lies around it, at the scale of the generator's pictures.

    Attributes:
        place: the part.
        picture: ``[1, c, h, w]`` in [-1, 1], ``1 + 2 AROUND`` times as wide and as high as the part.
        size: height and width of the generator's pictures.
    """

    place: Placement
    picture: Pictures
    size: tuple[int, int]

    def points(self, numbers: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return where points of the part, from -1/2 to 1/2 in its width and height, go as four numbers move it.

        Args:
            numbers: shift right and down, size, turn, in units of what is usual; 0 moves nothing, and none goes too far.
            x: to the right.
            y: down.
        """
        most, usual = (torch.tensor(four).to(numbers) for four in (FARTHEST, USUAL))
        right, down, larger, turn = most * torch.tanh(numbers * usual / most)
        tall = self.size[0] / self.size[1]
        cos, sin = larger.exp() * turn.cos(), larger.exp() * turn.sin()
        y = y * tall
        return right + cos * x - sin * y, (down + sin * x + cos * y) / tall

    def at(self, numbers: Tensor) -> Pictures:
        """Return the moved part as a picture of the generator's size; it can be differentiated."""
        height, width = self.size
        x, y = ((torch.arange(length).to(numbers) + 0.5) / length - 0.5 for length in (width, height))
        points = torch.stack(self.points(numbers, x[None], y[:, None]), dim=-1)[None] * (2 / (1 + 2 * AROUND))
        return grid_sample(self.picture, points, mode="bicubic", padding_mode="border", align_corners=False)

    def moved(self, numbers: Tensor) -> Placement:
        """Return where the moved part lies in the photograph."""
        origin, down, _, across = torch.tensor(self.place.quad, dtype=torch.float64)
        ends = torch.tensor([[-0.5, -0.5], [-0.5, 0.5], [0.5, 0.5], [0.5, -0.5]], dtype=torch.float64)
        x, y = self.points(numbers.double().cpu(), ends[:, 0], ends[:, 1])
        return Placement.of(origin + (x[:, None] + 0.5) * (across - origin) + (y[:, None] + 0.5) * (down - origin))


def refined_placement(
    generator: Generator,
    photograph: Image.Image,
    place: Placement,
    settings: InversionSettings | None = None,
    *,
    start: Latents | None = None,
    labels: int | None = None,
    encoder: Encoder | Literal["own"] | None = OWN,
    progress: Watch = None,
) -> Placement:
    """Move, turn and scale a part of a photograph until the generator can make it best.

    L-BFGS on the natural coordinates of the code and four numbers of the placement together, on what an inversion lowers. The
    points of a face say where it lies to a few of the generator's pixels; what the generator can make says it to about one.

    Args:
        generator: the generator; it is not changed.
        photograph: RGB.
        place: where the part lies, about.
        settings: of the inversion that is to follow; at most ``STEPS`` of its steps are taken.
        start: as for ``invert``.
        labels: as for ``invert``.
        encoder: as for ``invert``.
        progress: as for ``invert``.

    Returns:
        The placement; the code is left to the inversion, which begins anew there: going on from the code of a face that the
        generator cannot make ends too early.
    """
    settings = settings or InversionSettings()
    around = surroundings(generator, photograph, place)
    still = torch.zeros(4).to(around.picture)
    inversion = Inversion.prepare(generator, around.at(still), settings, None, start, labels, None, encoder)
    steps = min(STEPS, settings.steps)
    with watching(progress, "placing the face") as tell:
        objective = inversion.objective(inversion.starts(tell)[0][0].code)
        count = objective.origin.numel()

        def function(both: Tensor) -> Evaluation:
            return misfit(objective, around, both[:count].reshape(objective.origin.shape), both[count:])

        descent = begin(function, torch.cat([objective.origin.flatten(), still]))
        for step in range(steps):
            descent = lbfgs_step(function, descent, history=HISTORY)
            tell({"step": step + 1, "steps": steps, "PSNR": decibels(descent.at.terms["pixels"])})
            if descent.stalled:
                break
    return around.moved(descent.x[count:])


def surroundings(generator: Generator, photograph: Image.Image, place: Placement) -> Surroundings:
    """Return a part of a photograph and what lies around it, at the generator's scale."""
    channels, height, width = generator.picture_shape
    share = 1 + 2 * AROUND
    wide = place.part(-AROUND, -AROUND, 1 + AROUND, 1 + AROUND)
    picture, _ = fitted(photograph, (channels, round(height * share), round(width * share)), wide)
    return Surroundings(place, picture.to(generator.device, generator.dtype), (height, width))


def misfit(objective: Objective, around: Surroundings, u: Tensor, numbers: Tensor) -> Evaluation:
    """Return what an inversion lowers, with its gradient by the coordinates of the code and by the numbers of the placement."""
    with torch.enable_grad():
        point, moves = (part.detach().clone().requires_grad_() for part in (u, numbers))
        likeness = replace(objective.likeness, target=around.at(moves))
        pixels, perceptual = likeness.terms(objective.generator.images(objective.code(point)))
        nature = point.square().mean() / objective.own + moves.square().mean()
        weighted = likeness.pixels * pixels.sum() + likeness.perceptual * perceptual.sum()
        value = weighted + objective.naturalness * nature
        gradients = torch.autograd.grad(value, (point, moves))
    gradient = torch.cat([part.flatten() for part in gradients])
    return Evaluation(float(value.detach()), gradient, {"pixels": float(pixels.detach())})
