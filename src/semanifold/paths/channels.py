"""Single channels of the styles as paths: those that are named, or those that change pictures (or the inside of a mask) most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.jacobians import PictureFunction, pull_back
from semanifold.core.latents import Latents
from semanifold.core.progress import Watch, watching
from semanifold.generators.base import Generator
from semanifold.images.masks import Mask, as_mask
from semanifold.paths.base import info_for, moving_codes
from semanifold.paths.changes import codes_for, roots_of
from semanifold.paths.closed_form import SAMPLES, check_count, sized
from semanifold.paths.linear import LinearPaths

STYLESPACE = ("Wu, Lischinski, Shechtman 2021, StyleSpace Analysis, arXiv:2011.12799",)
CODES, PROBES, CHUNK = 24, 8, 8
DAMPING = 0.01
"""Added to the change outside, as a share of the strongest change inside: of equally clean channels the strongest is taken."""
FAR = 6.0
"""Standard deviations of a channel to ``t = 1``: a single one of thousands has to go far to be seen."""
MOST = 1024
"""Channels in one set; each keeps a whole code."""


def channel_paths(
    generator: Generator,
    channels: Sequence[str] = (),
    k: int = 20,
    *,
    mask: str | Mask | None = None,
    samples: int = CODES,
    size: int | None = None,
    seed: int = 0,
    progress: Watch = None,
) -> LinearPaths:
    """Return single channels of the styles as a set of paths; ``t = 1`` is six standard deviations of each.

    Every path is called by the name of its channel, such as ``6_364`` (see
    :meth:`~semanifold.generators.stylegan2.network.StyleGAN2.channel_index`).

    Args:
        generator: a StyleGAN2.
        channels: names of channels, in the order of the paths; when empty they are chosen by what they do to pictures.
        k: number of channels that are chosen.
        mask: take those that change most inside it for the least outside, instead of those that change most; a name such as
            ``mouth`` is another mask on every picture.
        samples: pictures that decide.
        size: height of these pictures, about; their own when None.
        seed: of these pictures.
        progress: called with ``step`` and ``steps``; a bar when None, nothing when False.

    Raises:
        SemanifoldError: for a generator without styles, channels that are not there or named twice, or a mask of no use.
    """
    generator.channel_name(0)  # refuses one without channels
    (total,), info = info_for(generator, "s", method="single channels of the styles", cite=STYLESPACE)
    codes = moving_codes(generator, info, SAMPLES)
    if channels:
        check_count(len(channels), min(total, MOST), generator)
        index = [generator.channel_index(name) for name in channels]
        if twice := [name for name, place in zip(channels, index) if index.count(place) > 1]:
            raise SemanifoldError(f"The channel {twice[0]} is named {channels.count(twice[0])} times; name it once.")
    else:
        check_count(k, min(total, MOST), generator)
        gains = channel_gains(generator, codes.std(0), mask, samples=samples, size=size, seed=seed, progress=progress)
        index = gains.argsort(descending=True)[:k].tolist()
        if not gains[index[0]] > 0:
            raise SemanifoldError(f"No channel of {generator.name} changes anything there; choose another mask.")
    info = replace(info, names={i: generator.channel_name(place) for i, place in enumerate(index)})
    units = torch.zeros(len(index), total).to(codes)
    units[range(len(index)), index] = 1
    return sized(units, codes, info, FAR)


def channel_gains(
    generator: Generator,
    spread: Tensor,
    mask: str | Mask | None,
    *,
    samples: int = CODES,
    size: int | None = None,
    seed: int = 0,
    progress: Watch = None,
) -> Tensor:
    """Return how much every channel changes pictures ``[s]``, or how much more inside a mask than outside.

    The mean squared change A of a picture for one standard deviation of a channel, averaged over pictures; with a mask ``A / (B +
    mu max A)``, A inside and B outside. Random pictures that are pulled back to the styles (vjp) have its square root as their
    spread, so a few of them tell it of all channels at once.

    Args:
        generator: has a space s.
        spread: ``[s]`` standard deviation of each channel.
        mask: see :func:`channel_paths`.
        samples: pictures that decide.
        size: height of these pictures, about; their own when None.
        seed: of these pictures.
        progress: called with ``step`` and ``steps``; a bar when None, nothing when False.

    Raises:
        SemanifoldError: for a mask that covers nothing or everything of a picture.
    """
    pixels = None if size is None else generator.coarse_size(size)
    drawn = codes_for(generator, samples, seed, None)
    masks = [None if mask is None else as_mask(mask, generator, drawn[i]) for i in range(len(drawn))]
    codes = generator.convert(drawn, "s")
    inside, outside = total = [torch.zeros_like(spread), torch.zeros_like(spread)]
    with watching(progress, f"looking for channels {'inside ' + str(mask) if mask else 'that matter'}") as tell:
        for i in range(len(codes)):
            roots = roots_of(generator, codes[i], masks[i], pixels)
            for place, root in enumerate(roots[: 1 if mask is None else 2]):
                rows = pull_back(_pictures(generator, codes[i], pixels), codes.values[:1] * 0, root, PROBES, CHUNK, seed + i)
                total[place].add_((rows * spread).square().sum(0))
            tell({"step": i + 1, "steps": len(codes)})
    return inside if mask is None else inside / (outside + DAMPING * inside.max()).clamp(min=torch.finfo(spread.dtype).tiny)


def _pictures(generator: Generator, code: Latents, size: int | None) -> PictureFunction:
    return lambda displacements: generator.images(code.moved(displacements), size=size)
