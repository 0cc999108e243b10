"""Films of edits: an edit on one picture, and the times at which it is seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from PIL import Image

from semanifold.core.latents import Latents
from semanifold.core.shapes import EditTimes, Frames, Frames8, Pictures
from semanifold.edits.base import Edit
from semanifold.edits.operations import amplified
from semanifold.generators.base import Generator
from semanifold.images import media
from semanifold.images.masks import Mask

CHUNK = 8
"""Pictures made at a time."""
Play = Literal["auto", "once", "ping-pong"]
"""Once through, back and forth, or whichever makes a film loop without a jump."""


@dataclass(frozen=True, eq=False)
class EditedPicture:
    """An edit on one picture.

    Attributes:
        generator: makes the pictures.
        start: the code of the unedited picture.
        edit: the edit.
        mask: what was to change, or None where that is not known.
    """

    generator: Generator
    start: Latents
    edit: Edit
    mask: Mask | None = None

    def pictures(self, t: EditTimes) -> Iterator[Frames]:
        """Yield the pictures at ``t``, a few at a time, so that a long film takes no more memory than a short one."""
        with torch.no_grad():
            for part in t.split(CHUNK):
                yield self.edit.images(self.generator, self.start, part)

    def frames(self, t: EditTimes) -> Frames8:
        """Return the frames at ``t``, all at once."""
        return np.concatenate([media.to_uint8(part) for part in self.pictures(t)])

    def farther(self, factor: float) -> tuple[EditedPicture, float]:
        """Return the edit so many times as far, and what its ``t`` is multiplied by for that.

        A path that comes back to its start goes farther at the same ``t``; any other one goes on to a larger ``t``.
        """
        if factor == 1 or self.edit.dimensions > 1 or not self.edit.loops:
            return self, factor
        return replace(self, edit=amplified(self.edit, factor)), 1.0

    @property
    def picture(self) -> Pictures:
        """The unedited picture ``[1, c, h, w]``."""
        with torch.no_grad():
            return self.generator.images(self.start)

    def mask_picture(self) -> media.GreyPicture | None:
        """Return the mask at the picture's size."""
        return None if self.mask is None else self.mask.at(*self.generator.picture_shape[1:])[0, 0].numpy()

    def strip(self, count: int = 8, size: int = 160) -> Image.Image:
        """Return the filmstrip: the unedited picture with its mask, if any, then a few of the film's, of a size in pixels."""
        frames = self.frames(self.edit.times(count))
        return media.filmstrip(frames, media.to_uint8(self.picture)[0], self.mask_picture(), count=count, size=size)


def times_of_film(edit: Edit, length: int, play: Play = "auto") -> EditTimes:
    """Return the values of ``t`` of a film of so many frames, whatever the edit's number of knots.

    Args:
        edit: what is filmed.
        length: frames from the film's start to its loop.
        play: ``auto`` takes half of them for a path that has to run back.
    """
    back = play == "ping-pong" or (play == "auto" and not edit.loops)
    return edit.times(length // 2 + 1 if back else length + (play != "once"))
