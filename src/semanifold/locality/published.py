"""The masked manifold as published, as a baseline: the settings of its code in proportion to any generator, and any mask."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from semanifold.core.latents import Latents
from semanifold.core.minimise import begin, lbfgs_step
from semanifold.generators.base import Generator
from semanifold.images.distances import l2
from semanifold.images.masks import Mask
from semanifold.manifolds.directions import moving_shape
from semanifold.manifolds.layout import layout_of
from semanifold.manifolds.objective import Objective, kinked_valley, pasted_parts
from semanifold.manifolds.settings import paper_settings
from semanifold.manifolds.start import paper_path

LAYERS = (2 / 18, 8 / 18)
"""The published code moves layers 2..7 of 18."""

SIGMA = 0.1
"""Rest length of a spring, as a share of the usual distance of two codes in the layers that move."""

HISTORY = 20


def published_layers(shape: tuple[int, ...]) -> tuple[int, int] | None:
    """Return the published layer range in proportion, for codes of w+; None for codes without layers."""
    return (round(LAYERS[0] * shape[0]), round(LAYERS[1] * shape[0])) if len(shape) == 2 else None


def published_manifold(
    generator: Generator, start: Latents, mask: Mask, *, offset: float, reach: float, frames: int, steps: int, draw: int
) -> Tensor:
    """Return the frames ``[frames, *code]``, displaced from the start, of the algorithm of Yang et al. 2020, arXiv:2105.07273.

    ``0.5 sum_i [|D_in - c| + D_out] / c * 0.25 + (0.3 S1 + 0.1 S2) / sigma^2 * 4^2``: the published weights with the published
    c = 0.25 and sigma = 4 taken out as units. Random start, L-BFGS whose steps have length one. The mean squared difference is
    the distance: inside and outside by pasting are then the published crop and strips wherever the mask is a box, and any mask
    will do. The best that was seen is kept.

    Args:
        generator: the generator.
        start: one code.
        mask: what is to change.
        offset: c, a mean squared difference.
        reach: usual distance of two codes, for a layer of them where codes have layers.
        frames: number of frames.
        steps: L-BFGS iterations; the published code takes 4000.
        draw: seed of the random start.
    """
    layers = published_layers(tuple(start.values.shape[1:]))
    shape = moving_shape(start, layers)
    sigma = SIGMA * reach * math.sqrt(shape[0] if layers else 1)
    published = paper_settings()
    settings = paper_settings(space=start.space, layers=layers, frames=frames, offset=offset, sigma=sigma, seed=draw)
    # In units of c and sigma, so that the published proportions hold for any distance and any latent space.
    own_offset, own_sigma = published.offset or 1.0, published.sigma or 1.0
    with torch.no_grad():
        reference = generator.images(start)
    objective = Objective(
        generator,
        start,
        layers,
        layout_of(settings, frames),
        pasted_parts(mask.at(*generator.picture_shape[1:]), reference, l2),
        offset,
        sigma,
        settings.alpha,
        settings.outside_of(0.0),
        valley=kinked_valley,
        width=0.0,
        image_unit=offset / own_offset,
        spring_unit=sigma**2 / own_sigma**2,
    )
    descent = best = begin(objective, paper_path(start, settings, shape))
    for _ in range(steps):
        descent = lbfgs_step(objective, descent, history=HISTORY, line_search=False)
        if not math.isfinite(descent.at.value):
            break
        best = descent if descent.at.value < best.at.value else best
    full = torch.zeros(frames, *start.values.shape[1:]).to(best.x)
    full[:, slice(*layers) if layers else slice(None)] = best.x
    return full
