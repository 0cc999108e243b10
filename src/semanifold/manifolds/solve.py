"""Searching for masked manifolds: to the end, or one step at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.core.progress import Report, Watch, followed, watching
from semanifold.core.solutions import Result, Solution
from semanifold.edits import Lattice
from semanifold.generators.base import Generator, as_latents
from semanifold.images.distances import Distance
from semanifold.images.masks import Mask, as_mask
from semanifold.manifolds.checkpoints import SearchNumbers, SearchState
from semanifold.manifolds.settings import ManifoldSettings
from semanifold.manifolds.stages import Search


@dataclass(frozen=True)
class SearchStep:
    """One step of a search, and what can be asked about it; searching on does not change it."""

    search: Search = field(repr=False)
    state: SearchState = field(repr=False)
    result: Result | None
    """Why the search ended; None before its last step."""

    @property
    def step(self) -> int:
        """Steps done."""
        return self.state.step

    @property
    def steps(self) -> int:
        """Most steps in all; it grows when the search begins anew with a smaller c."""
        return self.search.most_steps(self.state)

    @property
    def evaluations(self) -> int:
        """Pictures made and differentiated so far, of any size; half of those only made."""
        return self.state.evaluations

    @property
    def terms(self) -> Mapping[str, float]:
        """What is being lowered, ``objective``, and its parts ``inside``, ``outside`` and ``spring``."""
        return self.state.descent.at.terms

    @property
    def edit(self) -> Lattice:
        """The best path so far, with the frames of this stage, or all on a spline: a preview, for which no pictures are made."""
        search = self.search
        frames = search.stages()[self.state.stage].frames
        return search.edit(self.state.best, frames, search.settings.frames if search.splined else None)

    def solution(self) -> Solution[Lattice, SearchNumbers]:
        """Return the best path so far with all its frames; their pictures are made once, to measure them."""
        return self.search.solution(self.state, self.result or Result.INTERRUPTED)

    def report(self) -> Report:
        """Return what a progress callback gets."""
        counts = {"step": self.step, "steps": self.steps, "stage": self.state.stage, "evaluations": self.evaluations}
        return {**counts, **self.terms, "edit": self.edit}


def discover_manifold(
    generator: Generator,
    latents: Latents | int,
    mask: Mask | str,
    settings: ManifoldSettings | None = None,
    *,
    distance: Distance | None = None,
    progress: Watch = None,
    checkpoint: str | os.PathLike[str] | None = None,
    throw: bool = True,
) -> Solution[Lattice, SearchNumbers]:
    """Find a smooth sequence of pictures that differ inside the mask only (Yang et al. 2020, arXiv:2105.07273).

    Args:
        generator: the generator.
        latents: the start: a seed, or one code in any space from which the generator can reach ``settings.space``.
        mask: what is to change: a mask, or its text (see :func:`semanifold.images.masks.parse_mask`).
        settings: how to look; the defaults when None.
        distance: used in place of ``settings.distance``.
        progress: called after each step with ``step``, ``steps``, ``stage``, ``inside``, ``outside``, ``spring``, ``objective``,
            ``evaluations`` (pictures made and differentiated so far, of any size; half of those only made) and ``edit``, the
            path as it is: a preview. The first call is at step 0, with the first path. A bar when None, nothing when False.
        checkpoint: a file that the search is saved to every few steps, and taken up from if it is there.
        throw: raise if the search failed; otherwise the solution's ``result`` says so.

    Returns:
        The path as a :class:`Lattice` (its ``t`` runs from 0, or from -1 where the start is the middle, to 1), why the search
        stopped, and its numbers. After Ctrl-C it holds the best path so far.

    Raises:
        SemanifoldError: if the start, the mask, the layers, the distance or the checkpoint do not fit; or if the search failed.
    """
    code = as_latents(latents, generator)
    mask = as_mask(mask, generator, code)
    with watching(progress, f"searching {mask}") as tell:
        last, _ = followed(search(generator, code, mask, settings, distance=distance, checkpoint=checkpoint), tell)
    return last.solution().thrown(throw)


def search(
    generator: Generator,
    latents: Latents | int,
    mask: Mask | str,
    settings: ManifoldSettings | None = None,
    *,
    distance: Distance | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Iterator[SearchStep]:
    """Search as :func:`discover_manifold` does, one step each time that the next one is asked for.

    The caller decides what happens between two steps, such as showing :attr:`SearchStep.edit`, and whether there is another: to
    stop, ask no more. Every step gives the best path so far by :meth:`SearchStep.solution`::

        for step in search(generator, 7, "mouth"):
            if seconds() > 20:
                break
        solution = step.solution()

    Args:
        generator: as for :func:`discover_manifold`, and so are the others.
        latents: the start.
        mask: what is to change.
        settings: how to look; the defaults when None.
        distance: used in place of ``settings.distance``.
        checkpoint: a file that the search is saved to every few steps, and taken up from if it is there.

    Returns:
        The steps, from step 0, which is the first path, to the last, whose ``result`` says why the search ended. Only the
        arguments are checked before the first is asked for.

    Raises:
        SemanifoldError: if the start, the mask, the layers, the distance or the checkpoint do not fit.
    """
    code = as_latents(latents, generator)
    # checked here, not at the first step, so that a wrong argument is an error of this call
    prepared = Search.prepare(generator, code, as_mask(mask, generator, code), settings or ManifoldSettings(), distance)
    states = prepared.run(None if checkpoint is None else os.fspath(checkpoint))
    return (SearchStep(prepared, state, result) for state, result in states)


def discover_manifolds(
    generator: Generator,
    latents: Latents | int,
    mask: Mask | str,
    offsets: Sequence[float],
    settings: ManifoldSettings | None = None,
    *,
    distance: Distance | None = None,
    progress: Watch = None,
    throw: bool = True,
) -> list[Solution[Lattice, SearchNumbers]]:
    """Search once for each of several offsets c at one code (the paper's Figure 2); arguments as in :func:`discover_manifold`."""
    if not len(offsets):
        raise SemanifoldError("There is no offset; give at least one distance that the inside is to change by.")
    settings = settings or ManifoldSettings()
    choices = [replace(settings, offset=float(c)) for c in offsets]
    return [
        discover_manifold(generator, latents, mask, choice, distance=distance, progress=progress, throw=throw)
        for choice in choices
    ]
