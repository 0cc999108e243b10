"""What a person would say of an edit: which factors change, and whether it stays in its mask."""

from __future__ import annotations

import torch
from torch import Tensor

from semanifold.actions.results import Subject
from semanifold.faces.reading import face_regions
from semanifold.generators.base import Generator
from semanifold.latents import Latents
from semanifold.media import evenly

MOST_LEAK = 0.1
"""Outside/inside ratio of mean squares from which an edit is said to leak."""
LOOKED_AT = 9


def leak(ratio: float) -> bool:
    """Whether an edit with this outside/inside ratio leaks so that a person sees it."""
    return not ratio <= MOST_LEAK


def draws_faces(generator: Generator, code: Latents) -> bool:
    """Whether a generator's pictures are bundled faces, whose factors can be read."""
    return face_regions(generator, code) is not None


def what_changed(subject: Subject, t: Tensor) -> str:
    """Return what changes, in words, if the generator's pictures can be read; else an empty text."""
    try:
        from semanifold.faces.changes import describe_change  # noqa: PLC0415
    except ImportError:
        return ""
    chosen = t[torch.tensor(evenly(len(t), LOOKED_AT))]
    frames = torch.cat(list(subject.pictures(chosen)))
    return describe_change(frames, subject.picture) if draws_faces(subject.generator, subject.seed) else ""


def changes_between(generator: Generator, code: Latents, after: Tensor, before: Tensor, most: int = 3) -> str:
    """Return what is different in one picture ``[1, c, h, w]`` from another, in words; empty if it cannot be read."""
    try:
        from semanifold.faces.changes import describe_change  # noqa: PLC0415
    except ImportError:
        return ""
    return describe_change(after, before, most=most) if draws_faces(generator, code) else ""
