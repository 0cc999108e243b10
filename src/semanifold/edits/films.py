"""Films of edits: an edit on one picture, and the moments at which it is seen."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.edits.base import Edit
from semanifold.generators.base import Generator
from semanifold.images import media
from semanifold.images.masks import Mask

CHUNK = 8
"""Pictures made at a time."""
MOST_FRAMES = 100_000
Play = Literal["auto", "once", "ping-pong"]
"""Once through, back and forth, or whichever makes a film loop without a jump."""


@dataclass(frozen=True)
class Subject:
    """An edit on one picture.

    Attributes:
        generator: makes the pictures.
        seed: the code of the unedited picture.
        edit: the edit.
        mask: what was to change, or None where that is not known.
    """

    generator: Generator
    seed: Latents
    edit: Edit
    mask: Mask | None = None

    def pictures(self, t: Tensor) -> Iterator[Tensor]:
        """Yield the pictures at ``t``, a few at a time, so that a long film takes no more memory than a short one."""
        with torch.no_grad():
            for part in t.split(CHUNK):
                yield self.edit.images(self.generator, self.seed, part)

    def frames(self, t: Tensor) -> media.Frame:
        """Return the frames at ``t``, all at once."""
        return np.concatenate([media.to_uint8(part) for part in self.pictures(t)])

    @property
    def picture(self) -> Tensor:
        """The unedited picture ``[1, c, h, w]``."""
        with torch.no_grad():
            return self.generator.images(self.seed)

    def mask_picture(self) -> media.Picture | None:
        """Return the mask at the picture's size."""
        return None if self.mask is None else self.mask.at(*self.generator.picture_shape[1:])[0, 0].numpy()

    def strip(self, count: int = 8, size: int = 160) -> Image.Image:
        """Return the filmstrip: the unedited picture with its mask, if any, then a few of the film's, of a size in pixels."""
        seed = media.to_uint8(self.picture)[0]
        return media.filmstrip(self.frames(moments(self.edit, count)), seed, self.mask_picture(), count=count, size=size)


def moments(edit: Edit, count: int | None = None) -> Tensor:
    """Return the values of ``t`` of a film: ``[n]`` evenly over the usable range, or ``[n, 2]`` around a pad.

    The walk on a pad begins and ends at the seed, and sees both coordinates: a figure of eight where the seed is in the middle,
    once out and back on the first and twice on the second where it is a corner.
    """
    if count is not None and not 2 <= count <= MOST_FRAMES:
        raise SemanifoldError(f"A film has 2 to {MOST_FRAMES:,} frames, but {count} were asked for.")
    if edit.dimensions == 1:
        return torch.linspace(*edit.info.usable, count or len(edit.knots[0]))
    turn = torch.linspace(0, 2 * math.pi, count or 8 * len(edit.knots[0]))
    return torch.stack([swing(knots, laps * turn) for laps, knots in enumerate(edit.knots, 1)], dim=1)


def moments_of_film(edit: Edit, length: int, play: Play = "auto") -> Tensor:
    """Return the values of ``t`` of a film of so many frames, whatever the edit's number of knots.

    Args:
        edit: what is filmed.
        length: frames from the film's start to its loop.
        play: ``auto`` takes half of them for a path that has to run back.
    """
    back = play == "ping-pong" or (play == "auto" and not comes_back(edit, moments(edit)))
    return moments(edit, length // 2 + 1 if back else length + (play != "once"))


def swing(knots: Tensor, angle: Tensor) -> Tensor:
    """Return where a swing over an axis of a pad is at angles: about 0 if that is inside, else from the first knot on."""
    low, high = float(knots[0]), float(knots[-1])
    if low < 0 < high:
        return (low + high) / 2 + (high - low) / 2 * angle.sin()
    return low + (high - low) / 2 * (1 - angle.cos())


def comes_back(edit: Edit, t: Tensor) -> bool:
    """Whether the film ends where it begins, so that it can be looped as it is."""
    ends = edit.way(t[[0, -1]])
    return bool((ends[1] - ends[0]).norm() <= 0.05 * edit.way(t).norm(dim=1).max())
