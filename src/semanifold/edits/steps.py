"""How far apart the consecutive pictures of a path are."""

from __future__ import annotations

import torch

from semanifold.core.errors import SemanifoldError, of_type
from semanifold.core.latents import Latents
from semanifold.core.shapes import EachStep, Times
from semanifold.edits.base import Edit
from semanifold.generators.base import Generator
from semanifold.images.distances import Distance, l2


def path_start(edit: Edit) -> Latents:
    """Return the code that a path was found on.

    Raises:
        SemanifoldError: if the edit is a pad, or does not know its start.
    """
    of_type(edit, Edit, "This works on a path that was found by a search")
    if edit.dimensions != 1:
        raise SemanifoldError("This works on paths of one dimension, but the edit is a pad of two.")
    if edit.start is None:
        raise SemanifoldError("The edit does not hold the code that it was found on; give an edit made by semanifold discover.")
    return edit.start


def picture_steps(
    generator: Generator, edit: Edit, t: Times, *, distance: Distance = l2, size: int | None = None, chunk: int = 8
) -> EachStep:
    """Return the square roots ``[n - 1]`` of the distances between consecutive pictures of a path on its own start.

    Args:
        generator: the generator of the edit.
        edit: a path of one dimension.
        t: ``[n]`` places on the path.
        distance: between pictures; its root grows evenly along an even path.
        size: height and width of the pictures.
        chunk: pictures at a time.
    """
    start = path_start(edit)
    steps, last = [], None
    with torch.no_grad():
        for part in t.split(chunk):
            other, moved = edit.applied(generator, start, part)
            pictures = other.images(moved, size=size)
            chain = pictures if last is None else torch.cat([last, pictures])
            steps.append(distance(chain[1:], chain[:-1]).sqrt())
            last = pictures[-1:]
    return torch.cat(steps)


def jump(generator: Generator, edit: Edit, *, size: int | None = None, chunk: int = 8) -> float:
    """Return the longest step between the pictures at a path's knots over the mean one."""
    steps = picture_steps(generator, edit, edit.knots[0], size=size, chunk=chunk)
    return float(steps.max() / steps.mean().clamp(min=1e-12))
