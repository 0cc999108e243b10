"""Noise maps of a picture: what a generator draws at random, such as where single hairs lie, taken from a photograph.

Noise takes content from the code where nothing keeps it random (Karras et al. 2020, arXiv:1912.04958, appendix D), so that codes
are found with the maps as they are, and the maps are fitted afterwards.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TypedDict

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import avg_pool2d

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.core.progress import Watch, watching
from semanifold.core.solutions import Solution
from semanifold.edits.weights import WeightEdit
from semanifold.generators.base import Generator
from semanifold.images.distances import Distance
from semanifold.inversion.fitting import Fitting, FittingStep, ended, fitted_edit, fitting_key, met, pivot_of
from semanifold.inversion.settings import InversionSettings, NoiseSettings

CITE = "Karras et al. 2020, Analyzing and Improving the Image Quality of StyleGAN, arXiv:1912.04958"
SMALLEST = 8
"""Height or width at which the pyramid of a map ends."""
RISE, FALL = 0.05, 0.25
"""Shares of the steps over which the rate rises and falls."""


class NoiseNumbers(TypedDict):
    """What is said of fitted noise maps.

    Attributes:
        psnr: of the picture with them, in dB.
        distance: perceptual distance of it.
        before: PSNR without.
        structure: what is lowered to keep them random, see :func:`structure_of`.
        usual_structure: the same of as many maps of random numbers.
        steps: taken.
    """

    psnr: float
    distance: float
    before: float
    structure: float
    usual_structure: float
    steps: int


def structure_of(maps: Sequence[Tensor]) -> Tensor:
    """Return how far noise maps ``[h, w]`` are from random numbers: 0 if no pixel tells anything of its neighbours.

    ``sum (mean n(x, y) n(x - 1, y))^2 + (mean n(x, y) n(x, y - 1))^2`` over the maps and the levels of their pyramids, down to 8
    pixels; a level is the mean over 2 x 2 pixels of the one before, times 2, which keeps the variance of random numbers.
    """
    total = maps[0].new_zeros(())
    for noise in maps:
        level = noise[None, None]
        while True:
            total = total + (level * level.roll(1, 3)).mean().square() + (level * level.roll(1, 2)).mean().square()
            if min(level.shape[2:]) <= SMALLEST:
                break
            level = 2 * avg_pool2d(level, 2)
    return total


def fit_noise(
    generator: Generator,
    code: Latents,
    image: Tensor,
    settings: NoiseSettings | None = None,
    inversion: InversionSettings | None = None,
    *,
    distance: Distance | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: Watch = None,
    throw: bool = True,
) -> Solution[WeightEdit, NoiseNumbers]:
    """Find the noise maps of a generator with which the picture of a code is nearest to a given one.

    Adam on the maps, with the published rate and regularisation, whose weight is that of the settings; after each step they get
    mean 0 and variance 1. The generator is not changed: what is found is an edit, ``t = 1`` the generator with these maps.

    Args:
        generator: the generator.
        code: one code: what :func:`~semanifold.inversion.solve.invert` has found for this picture.
        image: ``[1, c, h, w]`` in [-1, 1], the picture.
        settings: how to fit; the defaults when None.
        inversion: how likeness is measured: its weights and its distance.
        distance: used in place of that of ``inversion``.
        checkpoint: a file that the fitting is saved to every 25 steps, and taken up from, bit for bit, if it is there.
        progress: called after each step with ``step``, ``steps``, ``PSNR``, ``distance`` and ``picture``, the picture as it is.
        throw: raise if the fitting failed; otherwise the solution's ``result`` says so.

    Returns:
        The edit, with the code as its picture, and its numbers. After Ctrl-C it is that of the step whose picture was nearest.

    Raises:
        SemanifoldError: if the code or the picture do not fit, or the pictures of the generator do not depend on noise maps.
    """
    settings = settings or NoiseSettings()
    with watching(progress, "fitting noise maps") as tell:
        steps = noise_steps(generator, code, image, settings, inversion, distance=distance, checkpoint=checkpoint)
        last, result = ended(steps, tell)
    maps = [generator.noise_maps()[name] + change for name, change in last.changes.items()]
    draws = torch.Generator().manual_seed(0)
    stats: NoiseNumbers = {
        "psnr": last.psnr,
        "distance": last.distance,
        "before": last.before,
        "structure": float(structure_of(maps)),
        "usual_structure": float(structure_of([torch.randn(noise.shape, generator=draws) for noise in maps])),
        "steps": last.step,
    }
    edit = fitted_edit(generator, code, last.changes, "noise", "noise maps", CITE)
    return Solution(edit, result, stats).thrown(throw)


def noise_steps(
    generator: Generator,
    code: Latents,
    image: Tensor,
    settings: NoiseSettings,
    inversion: InversionSettings | None = None,
    *,
    distance: Distance | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Iterator[FittingStep]:
    """Fit as :func:`fit_noise` does, one step each time that the next one is asked for; the first is where it begins."""
    code, name, likeness = pivot_of(generator, code, image, inversion or InversionSettings(), distance)
    stored = used_maps(generator, code)
    free = {layer: noise.clone().requires_grad_() for layer, noise in stored.items()}

    def rate(step: int) -> float:
        t = step / settings.steps
        return settings.rate * min(1.0, t / RISE) * (0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - t) / FALL)))

    def tidy() -> None:
        with torch.no_grad():
            for noise in free.values():
                noise.sub_(noise.mean())
                noise.mul_(noise.square().mean().clamp(min=1e-12).rsqrt())

    fitting = Fitting(
        free=free,
        picture=lambda: functional_call(generator, free, (code,)),
        changes=lambda: {layer: (noise.detach() - stored[layer]).clone() for layer, noise in free.items()},
        likeness=likeness,
        rate=rate,
        beside=lambda _: settings.regularity * structure_of(list(free.values())),
        tidy=tidy,
        steps=settings.steps,
        enough=settings.enough,
        seed=0,
        key=fitting_key(generator, code, likeness, name, settings),
    )
    return fitting.run(None if checkpoint is None else os.fspath(checkpoint))


def used_maps(generator: Generator, code: Latents) -> dict[str, Tensor]:
    """Return the noise maps that the picture of a code depends on, by their names.

    Raises:
        SemanifoldError: if there is none.
    """
    maps = {name: noise.detach() for name, noise in generator.noise_maps().items()}
    names = met(generator, code, maps)
    used = {name: noise for name, noise in maps.items() if name in names}
    if not used:
        raise SemanifoldError(f"The pictures of {generator.name} depend on no noise maps, so there are none to find.")
    return used


def noise_edit(generator: Generator, code: Latents, maps: Mapping[str, Tensor]) -> WeightEdit:
    """Return the edit to other noise maps, such as those that a projector has found, ``t = 1`` the generator with them."""
    stored = generator.noise_maps()
    changes = {name: noise.to(stored[name]).reshape(stored[name].shape) - stored[name] for name, noise in maps.items()}
    return fitted_edit(generator, code, changes, "noise", "noise maps", CITE)
