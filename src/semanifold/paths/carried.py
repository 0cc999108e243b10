"""What an edit does on a generator that it was not found on, such as a fine-tuned one."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from semanifold.core.errors import SemanifoldError, counted, of_type, whole_number
from semanifold.core.latents import Latents
from semanifold.edits import Edit
from semanifold.generators.base import Generator
from semanifold.images.masks import Mask, as_mask
from semanifold.paths.changes import codes_for, roots_of
from semanifold.paths.weight_ranges import SIDE, Look

SMALL = 2 * SIDE
"""Pictures are looked at in the least size from here on that a generator makes."""
MOST_SAMPLES = 1000


@dataclass(frozen=True)
class Carried:
    """What an edit does at the ends of its range.

    Attributes:
        t: the ends, such as ``(-1, 1)``.
        pictures: how many were looked at.
        change: by end, the root mean square change (inside the mask, if any) over the usual difference of two pictures.
        off: by end, how many pictures have left those that the generator makes, by the measure of
            :func:`~semanifold.paths.weight_ranges.calibrated`.
        outside_inside: by end, ratio of squared changes on both sides of the mask; None without one that can be drawn.
        masked: whether the edit has a mask.
    """

    t: tuple[float, ...]
    pictures: int
    change: tuple[float, ...]
    off: tuple[int, ...]
    outside_inside: tuple[float, ...] | None
    masked: bool = False

    @property
    def words(self) -> str:
        """What it does, for people."""
        pictures = counted(self.pictures, "picture")
        clauses = [f"at t = {_listed(self.t)}, {pictures} change {_listed(self.change)} times as much as two usually differ"]
        if self.outside_inside is not None:
            clauses.append(f"{_listed(self.outside_inside)} times as much outside of the mask as inside (mean squares)")
        if self.masked and self.outside_inside is None:
            clauses.append("its mask cannot be drawn there")
        left = " and ".join(map(str, self.off))
        return ", ".join(clauses) + f", and {left} of them leave the pictures that this generator makes"


@torch.no_grad()
def carried(edit: Edit, generator: Generator, *, samples: int = 4, seed: int = 0) -> Carried:
    """Measure what an edit does on a generator with other weights than it was found with.

    Args:
        edit: any; of one with two dimensions, the ends of the first.
        generator: any whose codes or weights it fits.
        samples: pictures to look at.
        seed: of the pictures.

    Raises:
        SemanifoldError: if it does not fit.
    """
    of_type(edit, Edit, "What is carried over is an edit")
    of_type(generator, Generator, "An edit is carried over to a generator")
    whole_number(samples, 1, MOST_SAMPLES, "The number of samples, pictures to look at,")
    whole_number(seed, 0, 2**32 - 1, "A seed")
    space = edit.space(generator)
    codes = codes_for(generator, samples, seed, None)
    codes = codes if codes.space == space else generator.convert(codes, space)
    masks = [mask_on(edit, generator, codes[i]) for i in range(len(codes))]
    size = generator.coarse_size(SMALL)
    look = Look.at(generator, codes, masks, seed, size)
    outside = torch.cat([roots_of(generator, codes[i], mask, size)[1] for i, mask in enumerate(masks)])
    ends = tuple(end for end in edit.info.usable if end) or (1.0,)
    change, off, ratios = [], [], []
    for end in ends:
        t = torch.tensor([end] if edit.dimensions == 1 else [[end, *[0.0] * (edit.dimensions - 1)]])
        other, moved = edit.applied(generator, codes, t)
        now = other.images(moved, size=size)
        inside = ((now - look.plain) * look.root).square().mean().clamp(min=1e-30)
        change.append(float(look.change(now, look.plain).mean()))
        off.append(int((look.off(now) > 1).sum()))
        ratios.append(float(((now - look.plain) * outside).square().mean() / inside))
    return Carried(
        ends, len(codes), tuple(change), tuple(off), tuple(ratios) if masks[0] is not None else None, bool(edit.info.mask)
    )


def mask_on(edit: Edit, generator: Generator, code: Latents) -> Mask | None:
    """Return an edit's own mask on a picture; None if it has none, or this generator does not know its region."""
    if not edit.info.mask:
        return None
    try:
        return as_mask(edit.info.mask, generator, code)
    except SemanifoldError:
        return None


def _listed(numbers: tuple[float, ...]) -> str:
    return " and ".join(f"{number:.2g}" for number in numbers)
