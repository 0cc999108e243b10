"""What a person would say of an edit: which factors change, and whether it stays in its mask."""

from __future__ import annotations

import torch

from semanifold.app.actions.results import EditedPicture
from semanifold.app.answers import Caller
from semanifold.core.shapes import EditTimes, Frames
from semanifold.generators.base import Generator
from semanifold.images.media import evenly
from semanifold.worlds.faces.changes import describe_change, describe_usual_change
from semanifold.worlds.faces.world import FACES

MOST_LEAK = 0.1
"""Outside/inside ratio of mean squares from which an edit is said to leak."""
LOOKED_AT = 9


def shows_faces(generator: Generator) -> bool:
    """Whether a generator's pictures are those whose factors the bundled network reads."""
    return generator.world is FACES


def leak(ratio: float) -> bool:
    """Whether an edit with this outside/inside ratio leaks so that a person sees it."""
    return not ratio <= MOST_LEAK


def what_changed(subject: EditedPicture, t: EditTimes) -> str:
    """Return what changes, in words, if the generator's pictures can be read; else an empty text.

    A film that runs both ways from the unedited picture is described one way at a time, as its filmstrip is labelled.
    """
    if not shows_faces(subject.generator):
        return ""
    chosen = t[torch.tensor(evenly(len(t), LOOKED_AT))]
    frames = torch.cat(list(subject.pictures(chosen)))
    if t.ndim > 1 or not float(t.min()) < 0 < float(t.max()):
        return describe_change(frames, subject.picture)
    ways = [(f"towards {float(end):+.2g} ", frames[chosen * end > 0]) for end in (t.max(), t.min())]
    words = [(way, describe_change(part, subject.picture)) for way, part in ways]
    return ", ".join(way + change for way, change in words if change)


@torch.no_grad()
def remark_nothing(subject: EditedPicture, caller: Caller) -> None:
    """Say so if an edit of weights meets nothing of a code: one of w+ has the layers of the mapping network behind it."""
    edit, generator = subject.edit, subject.generator
    if edit.moves_codes or subject.start.space == generator.first_space:
        return
    end = max(edit.info.usable, key=abs) or 1.0
    if torch.equal(edit.images(generator, subject.start, end), subject.picture):
        caller.remark(
            f"{edit.info.name or 'The edit'} changes nothing here: it moves {edit.what_moves}, which make no picture of a code "
            f"of {subject.start.space}; it needs codes of {generator.first_space}, such as those of seeds=."
        )


def changes_between(generator: Generator, after: Frames, before: Frames, most: int = 3, region: str = "") -> str:
    """Return what is different on average in pictures ``[n, c, h, w]`` from others, in words; empty if it cannot be read."""
    return describe_usual_change(after, before, most=most, region=region) if shows_faces(generator) else ""
