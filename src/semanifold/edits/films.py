"""Films of edits: an edit on one picture, and the times at which it is seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
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
STILLS = 8
"""Pictures of a filmstrip beside that with the mask: of a loop one per eighth, the farthest one among them, so that every command
has the same t below them; one more of a path that runs both ways from the unedited picture, which is then in its middle."""
NOTHING = 1e-6
"""A value of t nearer to the unedited picture than this is rounding."""
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

    @cached_property
    def picture(self) -> Pictures:
        """The unedited picture ``[1, c, h, w]``, made once."""
        with torch.no_grad():
            return self.generator.images(self.start)

    def mask_picture(self) -> media.GreyPicture | None:
        """Return the mask at the picture's size."""
        return None if self.mask is None else self.mask.at(*self.generator.picture_shape[1:])[0, 0].numpy()

    def strip(self, count: int = STILLS, size: int = 160) -> Image.Image:
        """Return the filmstrip with its t: the unedited picture with its mask, if any, then a few, of a size in pixels."""
        low, high = self.edit.info.usable
        t = self.edit.times(count + (self.edit.dimensions == 1 and (self.edit.loops or low < 0 < high)))
        return captioned(*self.timed(self.frames(t), t, count=count, size=size))

    def timed(
        self, frames: media.Frames, t: EditTimes, *, count: int = STILLS, size: int = 160, seconds: float | None = None
    ) -> tuple[Image.Image, list[str]]:
        """Return what :func:`timed_strip` makes of a film of this edit on this picture."""
        plain, mask = media.to_uint8(self.picture)[0], self.mask_picture()
        return timed_strip(frames, t, plain, mask, loops=self.edit.loops, count=count, size=size, seconds=seconds)


def times_of_film(edit: Edit, length: int, play: Play = "auto") -> EditTimes:
    """Return the values of ``t`` of a film of so many frames, whatever the edit's number of knots.

    Args:
        edit: what is filmed.
        length: frames from the film's start to its loop.
        play: ``auto`` takes half of them for a path that has to run back.
    """
    back = play == "ping-pong" or (play == "auto" and not edit.loops)
    return edit.times(length // 2 + 1 if back else length + (play != "once"))


def timed_strip(
    frames: media.Frames,
    t: EditTimes,
    plain: media.Frame,
    mask: media.GreyPicture | None,
    *,
    loops: bool = False,
    count: int = STILLS,
    size: int = 160,
    seconds: float | None = None,
) -> tuple[Image.Image, list[str]]:
    """Return the filmstrip of a film, and what to write below its columns: t, of a path; below those of a pad nothing.

    All strips that have numbers below them come from here.

    The unedited picture is among those of a path that runs both ways from it, also where the film has it between two frames.

    Args:
        frames: the film.
        t: their times, ``[n]``, or ``[n, 2]`` of a pad.
        plain: the unedited picture.
        mask: ``[h, w]`` in [0, 1], if any; the row begins with it.
        loops: whether the last ``t`` has the picture of the first one; the film may leave it out.
        count: how many pictures to show, if they fit.
        size: longer side of each picture; see :func:`~semanifold.images.media.readable`.
        seconds: how long t = 1 takes, for a film whose t is time; the texts are seconds then.
    """
    if t.ndim > 1:
        return media.filmstrip(frames, plain, mask, count=count, size=size), []
    both_ways = float(t.min()) < 0 < float(t.max())
    wanted = min(count + both_ways, len(frames))
    fit = media.fitting(plain, size, wanted, beside=mask is not None)
    places = media.evenly(len(frames), fit)
    if loops and not both_ways and len(t) > fit:
        fit -= fit % 2 if 2 < fit < wanted else 0  # of an even number one is the farthest picture
        places = [round(i * (len(t) - 1) / fit) for i in range(fit)]
    near = np.abs(t[places].numpy(force=True))
    beside_end = both_ways and near.min() >= NOTHING and near.argmin() in (0, len(near) - 1)
    if beside_end:  # an end stays, so the unedited picture needs a place of its own
        wanted = min(count, len(frames)) + 1
        places = media.evenly(len(frames), media.fitting(plain, size, fit + 1, beside=mask is not None) - 1)
    chosen, times = [frames[i] for i in places], [0.0 if abs(t[i]) < NOTHING else float(t[i]) for i in places]
    if both_ways and 0.0 not in times:
        middle = int(np.abs(times).argmin())
        if beside_end:
            middle += times[middle] < 0
            chosen, times = [*chosen[:middle], plain, *chosen[middle:]], [*times[:middle], 0.0, *times[middle:]]
        else:
            chosen[middle], times[middle] = plain, 0.0
    signed = "+.2g" if both_ways else ".2g"
    texts = [format(value, signed if value else "g") for value in times]
    texts = [f"t = {texts[0]}", *texts[1:]] if seconds is None else [f"{value * seconds:.2g} s" for value in times]
    if len(chosen) < wanted:
        texts[-1] += f", {media.left_out(len(chosen), wanted)}"
    size = media.readable(plain, size)
    tiles = [media.enlarge(frame, size) for frame in chosen]
    if mask is None:
        return media.side_by_side(tiles), texts
    return media.side_by_side([media.show_mask(plain, mask, size), *tiles]), ["seed and mask", *texts]


def captioned(strip: Image.Image, below: list[str]) -> Image.Image:
    """Return a filmstrip with what :func:`timed_strip` says below it, if that is anything."""
    return media.captioned(strip, below) if below else strip
