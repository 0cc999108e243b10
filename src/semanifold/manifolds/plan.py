"""The plan of a search: stages from coarse to fine."""

from __future__ import annotations

from dataclasses import dataclass, replace

from semanifold.generators.base import Generator
from semanifold.manifolds.settings import ManifoldSettings

WIDTHS = {"smooth": (0.1, 0.1), "paper": (0.2, 0.05, 0.01)}
"""Width of the valley's floor at each stage, as a share of c: the paper's kink is approached, our floor stays round."""
COARSE_STEPS = 0.4
"""Share of the steps that the first stage may take."""
FEWEST = 4
"""Knots of the first stage, where knots are searched: a way out and a way back, not the same.
With the start in the middle, one less."""
ROUGH = 3.0
"""The first stage ends when five steps gain less than this many times the tolerance."""
SMALLEST_SIZE = 64


@dataclass(frozen=True)
class Stage:
    """One part of the search.

    Attributes:
        frames: number of frames along each axis.
        size: height and width of the pictures, or None for the native ones.
        width: of the valley's floor, as a share of c.
        steps: most steps; 0 for those that the stages before left over.
        rough: factor of the tolerance.
    """

    frames: int
    size: int | None
    width: float
    steps: int
    rough: float = 1.0


def stages_of(settings: ManifoldSettings, generator: Generator) -> list[Stage]:
    """Return the stages: few frames (ours) and small pictures first, then all; the paper's kink is tightened on the way."""
    s = settings
    if s.method == "paper":
        return [Stage(s.frames, None, 0.0, s.steps)]
    # Coarse first: a quarter of the height and a third of the frames show where the path goes, at a fiftieth of the pixels.
    small = generator.coarse_size(max(SMALLEST_SIZE, min(generator.picture_shape[1:]) // 4))
    if s.searched:
        return _knotted(s, small)
    # an odd number, so that there is a frame in the middle of a path through the start
    fewer_frames = min(s.frames, max(5, (s.frames + 2) // 3 | 1)) if s.objective == "smooth" else s.frames
    widths = WIDTHS[s.objective]
    first = Stage(fewer_frames, small, widths[0], max(1, round(COARSE_STEPS * s.steps)))
    if not s.coarse:
        first = replace(first, frames=s.frames, size=None)
    left = max(1, s.steps - first.steps)
    return [first, *(Stage(s.frames, None, width, max(1, left // len(widths[1:]))) for width in widths[1:])]


def _knotted(s: ManifoldSettings, small: int | None) -> list[Stage]:
    """Return stages of ever more knots: a smooth path has few degrees of freedom, and a spline has the other frames on it."""
    width = WIDTHS["smooth"][1]
    first = Stage(min(s.frames, FEWEST - s.centred), small, width, max(1, round(COARSE_STEPS * s.steps)), ROUGH)
    knots = min(s.frames, max(s.searched, first.frames))
    stages = [first, Stage(knots, None, width, max(1, s.steps - first.steps))]
    while knots < s.frames:
        knots = min(s.frames, 2 * knots - 1)
        stages.append(Stage(knots, None, width, 0))
    return stages
