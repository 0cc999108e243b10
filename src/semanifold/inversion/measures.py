"""How good an inversion is: how near its picture, how usual its code, and whether edits of it can be undone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn.functional import normalize

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.core.progress import Watch
from semanifold.core.solutions import Result
from semanifold.generators.base import Generator
from semanifold.generators.styles import Styled
from semanifold.inversion.encoder import OWN, Encoder
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

    ``1 - mean over layers of <s / |s|, a>``, where ``a`` is the mean of ``s / |s|`` over the generator's own codes: the cosine
    distance in the normalised style space (SNCD, LSAP, Cao et al. 2022, arXiv:2209.12746, as its authors' program computes it):
    of the styles of the convolutions and of the last colours, one layer for each of w+ in a StyleGAN2.

    Args:
        generator: the generator.
        code: one code.

    Returns:
        Both distances; None for a generator without styles.
    """
    if not isinstance(generator, Styled):
        return None
    colours = [layer for layer in generator.layers if layer.kind == "colour"]
    layers = [layer for layer in generator.layers if layer.kind in ("up", "conv") or layer in colours[-1:]]

    def directions(codes: Latents) -> list[torch.Tensor]:
        styles = generator.layer_styles(codes, layers)
        return [normalize(style.double(), dim=1) for style in styles.values()]

    own = directions(generator.sample_like(code, range(MEASURED), generator.path_space))
    anchors = [unit.mean(0) for unit in own]

    def distance(of: list[torch.Tensor]) -> float:
        return 1 - float(torch.stack([(unit @ anchor).mean() for unit, anchor in zip(of, anchors, strict=True)]).mean())

    return distance(directions(code)), distance(own)


def edit_consistency(
    generator: Generator,
    code: Latents,
    settings: InversionSettings | None = None,
    *,
    displacement: torch.Tensor | None = None,
    encoder: Encoder | Literal["own"] | None = OWN,
    progress: Watch = None,
) -> Consistency:
    """Invert, edit, invert again, undo (Latent Editing Consistency, e4e, Tov et al. 2021, arXiv:2102.02766, Sec. 5).

    Args:
        generator: the generator.
        code: what an inversion has returned.
        settings: of the second inversion; those of the first one, or the defaults when None.
        displacement: ``[1, *code]``, what the edit adds to the code; half the way from the mean to a random code when None.
        encoder: of the second inversion, as :func:`~semanifold.inversion.solve.invert` takes it.
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
    again = invert(generator, edited, settings, labels=code.labels, encoder=encoder, progress=progress, throw=False)
    if again.result is Result.INTERRUPTED:  # a number of half a search says nothing
        raise KeyboardInterrupt
    undone = generator.convert(again.value, code.space).moved(-displacement)
    with torch.no_grad():
        picture = generator.images(code)
        left, change = (float((other - picture).square().mean()) for other in (generator.images(undone), edited))
    off = float((undone.values - code.values).norm() / displacement.norm())
    return Consistency(decibels(left), off, decibels(change))
