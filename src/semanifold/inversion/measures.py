"""How good an inversion is: how near its picture, how usual its code, and whether edits of it can be undone."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.core.progress import Watch
from semanifold.core.solutions import Result
from semanifold.generators.base import Generator
from semanifold.inversion.settings import InversionSettings
from semanifold.inversion.solve import decibels, invert
from semanifold.inversion.starts import MEASURED, metric_of

STRENGTH = 0.5
"""How far towards another code of the generator the edit goes that consistency is measured with."""


@dataclass(frozen=True)
class Consistency:
    """What is left when a picture is inverted, edited, inverted again, and the edit is undone.

    Attributes:
        psnr: of the picture at the end against the one at the beginning, in dB.
        code: distance of both codes, as a share of the length of the edit.
        edited: PSNR of the edited picture against the unedited one: how much there was to undo.
    """

    psnr: float
    code: float
    edited: float


@torch.no_grad()
def style_distance(generator: Generator, code: Latents) -> tuple[float, float] | None:
    """Return how far the styles of a code point away from those of the generator's own codes, and what is usual among these.

    ``1 - cos(s / sd, mean / sd)``, where ``mean`` and ``sd`` are of each channel over the generator's own codes: the cosine
    distance in normalised style space (NSCD, LSAP, arXiv:2209.12746), of which the usual value says how to read it.

    Args:
        generator: the generator.
        code: one code.

    Returns:
        Both distances; None for a generator without styles.
    """
    if "s" not in generator.spaces:
        return None
    own = generator.convert(generator.sample_like(code, range(MEASURED), generator.path_space), "s").values.flatten(1).double()
    spread, mean = own.std(0), own.mean(0)
    kept = spread > 0
    weights = 1 / spread[kept]

    def distance(styles: torch.Tensor) -> torch.Tensor:
        return 1 - torch.cosine_similarity(styles[:, kept] * weights, (mean[kept] * weights)[None])

    styles = generator.convert(code, "s").values.flatten(1).double()
    return float(distance(styles).mean()), float(distance(own).mean())


def edit_consistency(
    generator: Generator,
    code: Latents,
    settings: InversionSettings | None = None,
    *,
    displacement: torch.Tensor | None = None,
    progress: Watch = None,
) -> Consistency:
    """Invert, edit, invert again, undo (Latent Editing Consistency, e4e, Tov et al. 2021, arXiv:2102.02766, Sec. 5).

    Args:
        generator: the generator.
        code: what an inversion has returned.
        settings: of the second inversion; those of the first one, or the defaults when None.
        displacement: ``[1, *code]``, what the edit adds to the code; half the way from the mean to a random code when None.
        progress: of the second inversion.

    Raises:
        SemanifoldError: if the displacement does not fit the code.
        KeyboardInterrupt: after Ctrl-C.
    """
    settings = settings or InversionSettings(space=code.space)
    if displacement is None:
        _, mean, _ = metric_of(generator, code, settings.independence)
        other = generator.convert(generator.sample_like(code, [settings.seed + settings.starts], None), code.space)
        displacement = STRENGTH * (other.values - mean.values)
    if displacement.shape != code.values.shape:
        raise SemanifoldError(f"The edit moves codes {list(displacement.shape)}, but the code is {list(code.values.shape)}.")
    with torch.no_grad():
        edited = generator.images(code.moved(displacement))
    # the search begins anew: it must not know the code that it should find
    again = invert(generator, edited, settings, labels=code.labels, progress=progress, throw=False)
    if again.result is Result.INTERRUPTED:  # a number of half a search says nothing
        raise KeyboardInterrupt
    undone = generator.convert(again.value, code.space).moved(-displacement)
    with torch.no_grad():
        picture = generator.images(code)
        left, change = (float((other - picture).square().mean()) for other in (generator.images(undone), edited))
    off = float((undone.values - code.values).norm() / displacement.norm())
    return Consistency(decibels(left), off, decibels(change))
