"""Turning and moving whole pictures: an edit of the pose of a StyleGAN3 (Karras et al. 2021, arXiv:2106.12423, section 3.2)."""

from __future__ import annotations

import math

import torch

from semanifold.core.errors import SemanifoldError
from semanifold.edits.base import WEIGHTS, EditInfo
from semanifold.edits.weights import WeightEdit

POSE = "pose"
"""The layer of a generator whose weight ``[3, 1]`` is an angle and a way; see ``generators/stylegan3/layers.py``."""
MOST_TURNS, FARTHEST = 10, 10


def pose_edit(degrees: float = 0.0, right: float = 0.0, down: float = 0.0) -> WeightEdit:
    """Return the edit that turns and moves all pictures of a StyleGAN3: at ``t`` by so many times these numbers.

    What comes in from outside is made by the generator as well, and nothing is interpolated. StyleGAN3-R turns its pictures
    without changing them; StyleGAN3-T was made to move them.

    Args:
        degrees: against the clock.
        right: in widths of the picture.
        down: in heights of the picture.

    Raises:
        SemanifoldError: for numbers that move nothing, or far too much.
    """
    numbers = (degrees, right, down)
    sizes = [abs(degrees) / 360 / MOST_TURNS, abs(right) / FARTHEST, abs(down) / FARTHEST]
    if not all(math.isfinite(number) for number in numbers) or not 0 < max(sizes) <= 1:
        raise SemanifoldError(
            f"A pose is degrees and ways to the right and down in pictures, not all 0, of {MOST_TURNS} turns and {FARTHEST} "
            f"pictures at most, but got {', '.join(f'{number:g}' for number in numbers)}."
        )
    delta = torch.tensor([math.radians(degrees), right, down])[:, None]
    name = "pose " + ",".join(f"{number:g}" for number in numbers)
    return WeightEdit({POSE: delta}, EditInfo(name=name, method="pose", space=WEIGHTS, usable=(-1.0, 1.0)))
