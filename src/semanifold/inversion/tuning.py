"""Pivotal tuning: the weights of the generator give what its codes cannot (Roich et al. 2021, arXiv:2106.05744)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import TypedDict

import torch
from torch import Tensor
from torch.func import functional_call

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.core.progress import Watch, watching
from semanifold.core.shapes import Pictures
from semanifold.core.solutions import Solution
from semanifold.edits.weights import WeightEdit
from semanifold.generators.base import Generator
from semanifold.generators.editing import editable_layers, weight_of
from semanifold.images.distances import Distance
from semanifold.inversion.fitting import Fitting, FittingStep, ended, fitted_edit, fitting_key, met, pivot_of
from semanifold.inversion.settings import InversionSettings, TuningSettings
from semanifold.inversion.solve import decibels

CITE = "Roich, Mokady, Bermano, Cohen-Or 2021, Pivotal Tuning for Latent-based Editing of Real Images, arXiv:2106.05744"
WARM = 5
"""Steps over which the rate rises to its full size."""
FALL = 0.25
"""Share of the steps over which it falls to nothing at the end."""
OTHERS = 16
"""Codes of other pictures that are measured before and after."""


class TuningNumbers(TypedDict):
    """What is said of a tuning at its end.

    Attributes:
        psnr: of the tuned picture, in dB.
        distance: perceptual distance of it.
        before: PSNR without.
        others: PSNR of other pictures, after against before.
        steps: taken.
    """

    psnr: float
    distance: float
    before: float
    others: float
    steps: int


def tune(
    generator: Generator,
    code: Latents,
    image: Tensor,
    settings: TuningSettings | None = None,
    inversion: InversionSettings | None = None,
    *,
    distance: Distance | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: Watch = None,
    throw: bool = True,
) -> Solution[WeightEdit, TuningNumbers]:
    """Change the weights a little, so that the picture of a code becomes a given one, and those of other codes stay.

    Adam on the kernels of all layers behind the mapping network, in units of each layer's root mean square, with a rate that
    falls at the end. The generator is not changed: what is found is an edit of its weights, ``t = 1`` the tuned generator.

    Args:
        generator: the generator.
        code: the pivot, one code: what :func:`~semanifold.inversion.solve.invert` has found for this picture.
        image: ``[1, c, h, w]`` in [-1, 1], the picture.
        settings: how to tune; the defaults when None.
        inversion: how likeness is measured: its weights and its distance.
        distance: used in place of that of ``inversion``.
        checkpoint: a file that the tuning is saved to every 25 steps, and taken up from, bit for bit, if it is there.
        progress: called after each step with ``step``, ``steps``, ``PSNR``, ``distance`` and ``picture``, the picture as it is.
        throw: raise if the tuning failed; otherwise the solution's ``result`` says so.

    Returns:
        The edit, with the pivot as its picture, and its numbers: ``psnr`` and ``distance`` of the tuned picture, ``before`` its
        PSNR without, and ``others``, the PSNR of other pictures after against before: how well the generator is kept. After
        Ctrl-C the edit is that of the step whose picture was nearest.

    Raises:
        SemanifoldError: if the code or the picture do not fit, or no layer of the generator can be changed; or if it failed.
    """
    settings = settings or TuningSettings()
    with watching(progress, "tuning") as tell:
        steps = tuning_steps(generator, code, image, settings, inversion, distance=distance, checkpoint=checkpoint)
        last, result = ended(steps, tell)
    edit = fitted_edit(generator, code, last.changes, "tuned", "pivotal tuning", CITE)
    others = generator.sample_like(code, range(OTHERS))
    with torch.no_grad():
        left = (edit.baked(generator).images(others) - generator.images(others)).square().mean()
    stats: TuningNumbers = {
        "psnr": last.psnr,
        "distance": last.distance,
        "before": last.before,
        "others": decibels(float(left)),
        "steps": last.step,
    }
    return Solution(edit, result, stats).thrown(throw)


def tuning_steps(
    generator: Generator,
    code: Latents,
    image: Tensor,
    settings: TuningSettings,
    inversion: InversionSettings | None = None,
    *,
    distance: Distance | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Iterator[FittingStep]:
    """Tune as :func:`tune` does, one step each time that the next one is asked for; the first is where it begins."""
    code, name, likeness = pivot_of(generator, code, image, inversion or InversionSettings(), distance)
    weights = {layer: weight_of(generator, layer).detach() for layer in tuned_layers(generator, code)}
    scales = {layer: weight.square().mean().sqrt() for layer, weight in weights.items()}
    free = {layer: torch.zeros_like(weight).requires_grad_() for layer, weight in weights.items()}

    def changed(codes: Latents) -> Pictures:
        tensors = {name_of(layer): weights[layer] + scales[layer] * free[layer] for layer in free}
        return functional_call(generator, tensors, (codes,))

    def others(draws: torch.Generator) -> Tensor:
        # the regularisation of the paper (Eq. 5), at random codes themselves: held at codes that lie 0.3 of the way to them,
        # other pictures come out 3 dB less like they were
        seed = int(torch.randint(1 << 31, (1,), generator=draws))
        other = generator.convert(generator.sample_like(code, [seed]), code.space)
        with torch.no_grad():
            before = generator.images(other)
        return settings.locality * replace(likeness, target=before)(changed(other)).sum()

    def rate(step: int) -> float:
        # it rises over the first steps, for Adam's averages are poor there, and falls at the end, where they are noise
        return settings.rate * min(1.0, (step + 1) / WARM, (1 - step / settings.steps) / FALL)

    fitting = Fitting(
        free=free,
        picture=lambda: changed(code),
        changes=lambda: {layer: (scales[layer] * x).detach().clone() for layer, x in free.items()},
        likeness=likeness,
        rate=rate,
        beside=others if settings.locality else None,
        tidy=lambda: None,
        steps=settings.steps,
        enough=settings.enough,
        seed=settings.seed,
        key=fitting_key(generator, code, likeness, name, settings),
    )
    return fitting.run(None if checkpoint is None else os.fspath(checkpoint))


def name_of(layer: str) -> str:
    """Return the name of the weight of a layer among the generator's parameters."""
    return f"{layer}.weight"


def tuned_layers(generator: Generator, code: Latents) -> list[str]:
    """Return the names of the layers whose kernels the picture of a code depends on; maps of styles are left as they are.

    Raises:
        SemanifoldError: if there is none.
    """
    layers = [layer for layer in editable_layers(generator) if not layer.endswith("affine")]
    names = met(generator, code, {name_of(layer): weight_of(generator, layer) for layer in layers})
    tuned = [layer for layer in layers if name_of(layer) in names]
    if not tuned:
        raise SemanifoldError(f"{generator.name} has no layer whose weights could be tuned.")
    return tuned
