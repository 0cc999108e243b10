"""The same change on another face: a path that is carried over, bent until the outside of the mask stays still there."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TypedDict

import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.core.minimise import Descent, Evaluation, begin, lbfgs_step
from semanifold.core.progress import Report, Watch, followed, watching
from semanifold.core.solutions import Result, Solution
from semanifold.edits import Edit, Lattice
from semanifold.edits.films import EditedPicture
from semanifold.edits.operations import amplified, lattice_of
from semanifold.edits.tracing import on_code
from semanifold.generators.base import Generator, as_latents
from semanifold.generators.coordinates import Coordinates, natural_coordinates
from semanifold.images.masks import Mask, as_mask
from semanifold.images.media import evenly
from semanifold.images.metrics import inside_change, outside_change
from semanifold.manifolds.layout import Layout, natural_spline, springs_of
from semanifold.manifolds.metric import metric_of, preconditioner
from semanifold.manifolds.same_change import WHOLE, Known, SameChange
from semanifold.manifolds.settings import ManifoldSettings
from semanifold.manifolds.stages import HISTORY
from semanifold.manifolds.start import evaluations
from semanifold.manifolds.walking import Walk, walked

KEYS, FEWER = 7, 4
"""Places of the path, its ends among them, that are searched; fewer in a large space, whose pictures bend less. What is added to
the carried path is a smooth line between."""
STEPS, FEWER_STEPS = 24, 17
"""Most steps; fewer in a large space, where each pushes pictures too, unless the path still leaks much."""
MUCH = 3.0
"""That is: so many times as much as is good enough."""
FAR = 50.0
"""A path of a small space that leaks so many times as much as at its own face is walked from the start before."""
WALKED, WALKED_KEYS, WALKED_STEPS = 16, 9, 10
"""Most places of such a walk, places that are searched after it, and most steps of that."""
MOST_TIMES = 2.0
"""How many times as far, or as short a way, a carried path is sent at most, to change as much as at its own face."""
SPRING = 0.02
"""Weight of bending all places alike."""
GOOD = 0.01
"""An adaptation ends where it changes the outside by this share of the inside (mean squares), or that of its own face if less."""
MISSED = 0.01
"""Most that may be missing of the wanted change there: a tenth."""
LEAST = 1e-12
"""A mean squared change inside below this is rounding, in pictures between -1 and 1."""
PATIENCE, TOLERANCE = 3, 0.02
"""It ends also if so many steps gain less than this, per place and in units of the change inside."""


class AdaptationNumbers(TypedDict):
    """What is said of an adapted path.

    Attributes:
        steps: taken in all.
        evaluations: pictures made and differentiated, of any size; half of those only made.
        carried: change outside over that inside of the path as it was carried over, mean squares of the places searched.
        ratio: that of the adapted path, mean squares of all knots.
        carried_inside: change inside of the path as it was carried over, root mean square of the places searched.
        inside: that of the adapted path, root mean square of all knots.
    """

    steps: int
    evaluations: int
    carried: float
    ratio: float
    carried_inside: float
    inside: float


@dataclass(frozen=True)
class AdaptationStep:
    """One step of bending a carried path.

    Attributes:
        adaptation: what does not change meanwhile.
        descent: the state of the minimiser; its point is ``[f, *moving]``.
        step: steps done.
        evaluations: pictures so far.
        result: why it ended; None before the last step.
    """

    adaptation: Adaptation = field(repr=False)
    descent: Descent = field(repr=False)
    step: int
    evaluations: int
    result: Result | None

    @property
    def steps(self) -> int:
        """Most steps in all."""
        if not self.adaptation.large:
            return WALKED_STEPS if self.adaptation.far else STEPS
        terms = self.descent.at.terms
        return STEPS if terms["outside"] > MUCH * self.adaptation.good * terms["inside"] else FEWER_STEPS

    def report(self) -> Report:
        """Return what a progress callback gets."""
        terms = self.descent.at.terms
        return {"step": self.step, "steps": self.steps, "outside/inside": terms["outside"] / terms["inside"]}

    def solution(self) -> Solution[Lattice, AdaptationNumbers]:
        """Return the adapted path as it is; the pictures of its knots are made once, to measure them."""
        return self.adaptation.solution(self)


@dataclass(frozen=True, eq=False)
class Adaptation:
    """Everything about the adaptation of a path that does not change while it runs.

    Attributes:
        generator: makes the pictures.
        edit: the carried path, with the new code as its start.
        farther: the same, about as far as it has to go to change as much as at its own face.
        amount: mean squared change inside that is wanted, a mean of the places.
        carried: mean squared changes inside and outside of the places as they were carried.
        good: change outside over that inside at which the path is good enough.
        far: whether it leaks so much that it is walked.
        mask: on the new face.
        coordinates: natural ones at the new code.
        places: ``[f]`` values of t that are searched.
        knots: ``[f + 2]`` at most: with those where the path is at the start, or ends.
    """

    generator: Generator
    edit: Lattice
    farther: Lattice
    amount: float
    carried: tuple[float, float]
    good: float
    far: bool
    mask: Mask
    coordinates: Coordinates
    places: Tensor
    knots: Tensor

    @property
    def start(self) -> Latents:
        """The code that the path is adapted to."""
        assert self.edit.start is not None
        return self.edit.start

    @staticmethod
    def prepare(generator: Generator, edit: Edit, code: Latents, mask: Mask | str) -> Adaptation:
        """Check that everything fits, and find out how far the path has to go."""
        lattice = lattice_of(on_code(edit, code.with_values(code.values.detach())))
        if lattice.dimensions != 1:
            raise SemanifoldError("A path of one dimension is adapted to another face, but the edit is a pad of two.")
        assert lattice.start is not None
        generator.check_differentiable(lattice.start)
        own = edit.start if isinstance(edit, Lattice) and edit.start is not None else None
        # a region lies elsewhere on every face
        here, there = (as_mask(mask, generator, face) for face in (lattice.start, own or lattice.start))
        here.check(*generator.picture_shape[1:])
        moving = tuple(moving_part(lattice).shape[1:])
        small = math.prod(moving) <= WHOLE
        knots, places = searched(lattice, KEYS if small else FEWER)
        if not len(places):
            raise SemanifoldError(f"{edit.info.name} goes nowhere where it was looked at, so there is nothing to adapt.")
        carried = changes(generator, lattice, places, here)
        if not all(map(math.isfinite, carried)):
            raise SemanifoldError(
                f"Pictures of {generator.name} are infinite or NaN along {edit.info.name} here; give another code."
            )
        if carried[0] < LEAST:
            raise SemanifoldError(f"{edit.info.name} changes nothing inside the mask {here} here; give another mask=.")
        wanted, leak = (carried[0], 0.0) if own is None else changes(generator, edit, places, there)
        good = min(GOOD, leak / max(wanted, 1e-12))
        far = small and carried[1] / carried[0] > FAR * (GOOD if own is None else leak / max(wanted, 1e-12))
        if far:
            knots, places = searched(lattice, WALKED_KEYS)
        # the change of a picture grows like the step, about
        times = min(max(math.sqrt(wanted / carried[0]), 1 / MOST_TIMES), MOST_TIMES)
        farther = lattice_of(amplified(lattice, times))
        coordinates = natural_coordinates(generator, lattice.start, moving, ManifoldSettings().independence)
        return Adaptation(
            generator, lattice, farther, times**2 * carried[0], carried, good, far, here, coordinates, places, knots
        )

    @property
    def large(self) -> bool:
        """Whether not all dimensions are known from the start."""
        return moving_part(self.edit)[0].numel() > WHOLE

    def same_change(self) -> SameChange:
        """Return the objective."""
        start, layers = self.start, self.edit.info.layers
        carried = self.coordinates.inverse(moving_part(self.farther, self.places))
        with torch.no_grad():
            picture = self.generator.images(start)
            moved = self.generator.images(start.moved(self.coordinates.displacements(carried), layers))
        weight = self.mask.at(*picture.shape[2:]).to(picture)
        roots = torch.cat([(part / part.mean()).sqrt() for part in (weight, 1 - weight)])
        wanted = (moved - picture) * roots[:1]
        wanted = wanted * (self.amount / wanted.square().mean().clamp(min=1e-12)).sqrt()
        fixed = torch.isin(self.knots, self.places, invert=True)
        springs = springs_of((len(fixed),), {1: SPRING * len(carried)})
        layout = Layout((len(fixed),), torch.zeros(len(fixed)), fixed, springs, centred=False, lead=False)
        reach, unit = float(carried.flatten(1).norm(dim=1).max()), float(wanted.square().mean())
        heavy = ManifoldSettings().outside_of(float(weight.mean()))
        return SameChange(
            self.generator, start, layers, self.coordinates, layout, carried, picture, roots, wanted, unit, reach, heavy
        )

    def run(self) -> Iterator[AdaptationStep]:
        """Descend; the last step says why it ends."""
        same = self.same_change()
        # 0. Begin where the path was carried, or where a walk leads to.
        first, known, grams, made_only = self.first(same)
        change, tried = same.picture, []

        def made(x: Tensor) -> Evaluation:
            at, change = same.at(x)
            tried.append((x, change))
            return at

        descent = begin(made, first)
        places, values = len(same.carried), [descent.at.value]
        count = evaluations(1 + places + made_only, places)
        while True:
            reached = AdaptationStep(self, descent, len(values) - 1, count, None)
            if result := self.ends(reached, values):
                yield replace(reached, result=result)
                return
            yield reached
            # 1. In a large space the directions of gradients become known, step by step.
            if self.large:
                change = next((change for x, change in tried if x.equal(descent.x)), change)
                larger = known.with_gradients(same, descent.x, descent.at.gradient, change)
                count, known = count + evaluations(len(larger.rows) - len(known.rows), 0), larger
                grams = known.grams(same)
            # 2. A step, preconditioned by what is known, the outside as dear as it is at this point.
            metric = metric_of(known.rows, *grams, same.weight(descent.at.terms["outside"]))
            precondition = preconditioner(metric, same.layout, 1 / same.unit, 1 / same.reach**2)
            tried.clear()
            descent = lbfgs_step(made, descent, history=HISTORY, precondition=precondition)
            count += places * len(tried)
            values.append(descent.at.value)

    def first(self, same: SameChange) -> Walk:
        """Return where the descent begins, and what is known there."""
        if not self.far:
            known = Known.first(same)
            return Walk(same.carried, known, known.grams(same), 1 + len(known.rows))
        knots, places = searched(self.edit, WALKED)
        fine = replace(self, knots=knots, places=places)
        walk = walked(wanted := fine.same_change(), places)
        added = fine.between(walk.path - wanted.carried, self.places)
        return walk._replace(path=same.carried + added, pictures=walk.pictures + len(places) + 1)

    def between(self, added: Tensor, t: Tensor) -> Tensor:
        """Return what is added at t ``[n]``, smooth between what is added at the places ``[f, ...]``."""
        at_knots = added.new_zeros(len(self.knots), *added.shape[1:])
        at_knots[torch.isin(self.knots, self.places)] = added
        return torch.einsum("nk,k...->n...", natural_spline(self.knots, t).to(added), at_knots)

    def ends(self, reached: AdaptationStep, values: list[float]) -> Result | None:
        """Return why the descent is over, if it is."""
        if not math.isfinite(values[-1]):
            return Result.DIVERGED
        terms, places = reached.descent.at.terms, len(reached.descent.x)
        slow = len(values) > PATIENCE and values[-1 - PATIENCE] - values[-1] < TOLERANCE * places
        good = terms["outside"] <= self.good * terms["inside"] and terms["missing"] <= MISSED * terms["inside"]
        if reached.descent.stalled or slow or good:
            return Result.CONVERGED
        return Result.STEPS if reached.step >= reached.steps else None

    def solution(self, reached: AdaptationStep) -> Solution[Lattice, AdaptationNumbers]:
        """Return the whole path: the carried one, and between the places that were searched a smooth line of what is added."""
        layers, info = self.edit.info.layers, self.edit.info
        added = self.coordinates.displacements(reached.descent.x) - moving_part(self.farther, self.places)
        knots = self.edit.knots[0]
        full = added.new_zeros(len(knots), *self.start.values.shape[1:])
        full[:, slice(*layers) if layers else slice(None)] = moving_part(self.farther) + self.between(added, knots)
        full[knots == 0] = 0
        path = Lattice(full, (knots,), replace(info, method=f"{info.method}, adapted", locality={}), start=self.start)
        before, after = self.carried, changes(self.generator, path, knots, self.mask)
        stats: AdaptationNumbers = {
            "steps": reached.step,
            "evaluations": reached.evaluations,
            "carried": before[1] / before[0] if before[0] else math.inf,
            "ratio": after[1] / after[0] if after[0] else math.inf,
            "carried_inside": math.sqrt(before[0]),
            "inside": math.sqrt(after[0]),
        }
        result = reached.result or Result.INTERRUPTED
        return Solution(path, result, stats, EditedPicture(self.generator, self.start, path, self.mask))


def adapt(
    generator: Generator, edit: Edit, latents: Latents | int, mask: Mask | str | None = None, *,
    progress: Watch = None, throw: bool = True,
) -> Solution[Lattice, AdaptationNumbers]:  # fmt: skip
    """Carry a path over to another face, and bend it there until it changes the same inside the mask and nothing outside.

    At a few places of the path, the picture's change inside is held to that of the carried path (as much as at its own face, if
    that is known), and the change outside is lowered, by the descent of :func:`~semanifold.manifolds.discover_manifold` in its
    coordinates. In a small space, where the carried path leaks much more than at its own face, it is first walked from the start.

    Args:
        generator: the generator of the edit.
        edit: a path of codes that was found on one face, or is the same on all.
        latents: the new code, in the edit's space, or its seed.
        mask: what is to change; the edit's own if left out. Its text is read on each of both faces, where regions lie elsewhere.
        progress: called after each step with ``step``, ``steps`` and ``outside/inside``. A bar when None, nothing when False.
        throw: raise if the search failed; otherwise the solution's ``result`` says so.

    Returns:
        The path, why the search ended, and its numbers. After Ctrl-C it holds the best path so far.

    Raises:
        SemanifoldError: if the edit moves no codes, has two dimensions or no mask, or does not fit the code.
    """
    code = as_latents(latents, generator, edit.info.space)
    mask = mask or edit.info.mask
    if not mask:
        raise SemanifoldError(f"{edit.info.name} has no mask, so nothing says what is to stay as it is; give mask=.")
    prepared = Adaptation.prepare(generator, edit, code, mask)
    with watching(progress, f"adapting {edit.info.name}") as tell:
        last, _ = followed(prepared.run(), tell)
    return last.solution().thrown(throw)


def searched(path: Lattice, most: int) -> tuple[Tensor, Tensor]:
    """Return knots of a path, at most so many and the start's, and the places ``[f]`` among them where it is not at the start."""
    t = path.knots[0]
    ends = torch.linspace(0, len(t) - 1, min(most, len(t))).round().long()
    away = (path.way(t).abs().amax(1) > 0).nonzero()[:, 0]
    if len(away) and not torch.isin(ends, away).any():  # a short change in a long path lies between these
        inside = away[evenly(len(away), most)]
        around = torch.stack([away[0] - 1, away[-1] + 1])  # both ends of the path are among those that do not move
        ends = torch.cat([ends, inside, around])
    knots = torch.unique(torch.cat([t[ends], t.new_zeros(1)]))
    return knots, knots[path.way(knots).abs().amax(1) > 0]


def moving_part(path: Lattice, t: Tensor | None = None) -> Tensor:
    """Return the displacements ``[n, *moving]`` of a path's layers that move, at t, or at its knots when None."""
    full, layers = path.whole(), path.info.layers
    displacements = full.displacements if t is None else full.displacement(t)
    return displacements[:, slice(*layers)] if layers else displacements


@torch.no_grad()
def changes(generator: Generator, edit: Edit, t: Tensor, mask: Mask) -> tuple[float, float]:
    """Return the mean squared change of a path's pictures on its own start, inside and outside of the mask."""
    assert edit.start is not None
    subject = EditedPicture(generator, edit.start, edit, mask)
    reference = subject.picture
    weight = mask.at(*reference.shape[2:]).to(reference)
    parts = [[f(part, reference, weight).square() for f in (inside_change, outside_change)] for part in subject.pictures(t)]
    inside, outside = (float(torch.cat(column).mean()) for column in zip(*parts, strict=True))
    return inside, outside
