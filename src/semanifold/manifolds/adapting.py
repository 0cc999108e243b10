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
from semanifold.images.metrics import inside_change, outside_change
from semanifold.manifolds.directions import LocalDirections, local_directions
from semanifold.manifolds.layout import Layout, springs_of
from semanifold.manifolds.metric import metric_of, preconditioner
from semanifold.manifolds.objective import spring_energy
from semanifold.manifolds.plan import SMALLEST_SIZE
from semanifold.manifolds.settings import OUTSIDE, ManifoldSettings
from semanifold.manifolds.stages import HISTORY, MOST_LEAK
from semanifold.manifolds.start import PROBES, evaluations

KEYS = 5
"""Places of the path, its ends among them, that are searched; what is added to the carried path is a straight line between."""
STAGES, STEPS = 2, 8
"""The weight of the outside rises from stage to stage, as the path becomes cleaner; most steps of each."""
AMOUNT = 5.0
"""Weight of changing as much as at the path's own face against changing the inside in other ways: what not changing at all costs
in :class:`~semanifold.manifolds.objective.Objective`."""
MOST_TIMES = 2.0
"""How many times as far, or as short a way, a carried path is sent at most, to change as much as at its own face."""
SPRING = 0.02
"""Weight of bending all places alike."""
TRIED = (1.0, 10.0, 100.0)
"""Weights of the outside that starts are made with; the one in the middle decides between them."""
PATIENCE, TOLERANCE = 3, 0.003
"""A stage ends if so many steps gain less than this, per place and in units of the change inside."""


class AdaptationNumbers(TypedDict):
    """What is said of an adapted path.

    Attributes:
        steps: taken in all.
        evaluations: pictures made and differentiated, of any size; half of those only made.
        carried: change outside over that inside of the path as it was carried over, mean squares, all knots together.
        ratio: that of the adapted path.
        carried_inside: change inside of the path as it was carried over, root mean square of all knots.
        inside: that of the adapted path.
    """

    steps: int
    evaluations: int
    carried: float
    ratio: float
    carried_inside: float
    inside: float


@dataclass(frozen=True, eq=False)
class SameChange:
    """``sum_i [|d_i - g_i|^2 along g_i times a weight + across it + outside_weight outside_i] / unit + springs``.

    d_i is what the picture at place i changes inside, g_i what it is wanted to change. Calling it with coordinates
    ``[f, *moving]`` gives value, gradient and terms.

    Attributes:
        generator: makes the pictures.
        start: the code that is edited, ``[1, *code]``.
        layers: slice of the code's first axis that moves, or None.
        coordinates: what places are given in.
        layout: places that move, and the springs between them.
        carried: ``[f, *moving]`` where the carried path goes; springs act on what is added to it.
        picture: ``[1, c, h, w]`` of the start.
        roots: ``[2, 1, h, w]`` square roots of the weights of pixels inside and outside.
        wanted: ``[f, c, h, w]`` change inside, times its root.
        unit: the most mean square of that.
        reach: longest way of the carried path, the unit of the springs.
        outside: weight of the outside.
        size: height and width of the pictures, or None.
    """

    generator: Generator
    start: Latents
    layers: tuple[int, int] | None
    coordinates: Coordinates
    layout: Layout
    carried: Tensor
    picture: Tensor
    roots: Tensor
    wanted: Tensor
    unit: float
    reach: float
    outside: float
    size: int | None

    def __call__(self, free: Tensor) -> Evaluation:
        """Return the value, the gradient ``[f, *moving]`` and the terms."""
        leaf = free.detach().requires_grad_()
        along, across, outside = self.parts(leaf)
        pictures = (AMOUNT * along + across + self.outside * outside).double().sum() / self.unit
        springs = spring_energy(self.layout.spread(leaf - self.carried), self.layout.springs, 0.0).sum() / self.reach**2
        value = pictures + springs
        (gradient,) = torch.autograd.grad(value, leaf)
        inside, leak = self.wanted.square().mean().item(), outside.detach().mean().item()
        terms = {"inside": inside, "outside": leak, "spring": springs.item(), "objective": value.item()}
        return Evaluation(value.item(), gradient, terms)

    def parts(self, free: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean squares ``[f]``: what is missing of the wanted change, what else changes inside, what changes outside."""
        codes = self.start.moved(self.coordinates.displacements(free), self.layers)
        change = self.generator.images(codes, size=self.size) - self.picture
        inside, outside = change * self.roots[:1], change * self.roots[1:]
        amount = self.wanted.square().mean((1, 2, 3))
        share = (inside * self.wanted).mean((1, 2, 3)) / amount
        missing, other = (1 - share).square() * amount, inside.square().mean((1, 2, 3)) - share.square() * amount
        return missing, other, outside.square().mean((1, 2, 3))


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
        return STAGES * STEPS

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
        mask: on the new face.
        coordinates: natural ones at the new code.
        places: ``[f]`` values of t that are searched.
        knots: ``[f + 2]`` at most: with those where the path is at the start, or ends.
    """

    generator: Generator
    edit: Lattice
    farther: Lattice
    amount: float
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
        carried = on_code(edit, code.with_values(code.values.detach()))
        lattice = lattice_of(carried)
        if lattice.dimensions != 1:
            raise SemanifoldError("A path of one dimension is adapted to another face, but the edit is a pad of two.")
        assert lattice.start is not None
        generator.check_differentiable(lattice.start)
        own = edit.start if isinstance(edit, Lattice) and edit.start is not None else None
        # a region lies elsewhere on every face
        here, there = (as_mask(mask, generator, face) for face in (lattice.start, own or lattice.start))
        here.check(*generator.picture_shape[1:])
        ends = torch.linspace(0, len(lattice.knots[0]) - 1, min(KEYS, len(lattice.knots[0]))).round().long()
        knots = torch.unique(torch.cat([lattice.knots[0][ends], lattice.knots[0].new_zeros(1)]))
        places = knots[lattice.way(knots).abs().amax(1) > 0]
        if not len(places):
            raise SemanifoldError(f"{edit.info.name} goes nowhere, so there is nothing to adapt.")
        amount = changes(generator, lattice, places, here)[0]
        if not amount > 0:
            raise SemanifoldError(f"{edit.info.name} changes nothing inside the mask {here} here; give another mask.")
        wanted = amount if own is None else changes(generator, edit, places, there)[0]
        # the change of a picture grows like the step, about
        times = min(max(math.sqrt(wanted / amount), 1 / MOST_TIMES), MOST_TIMES)
        farther = lattice_of(amplified(lattice, times))
        moving = tuple(moving_part(lattice).shape[1:])
        independence = ManifoldSettings().independence
        coordinates = natural_coordinates(generator, lattice.start, moving, independence)
        return Adaptation(generator, lattice, farther, times**2 * amount, here, coordinates, places, knots)

    def same_change(self, size: int | None, outside: float, carried: Tensor) -> SameChange:
        """Return the objective at a size of pictures."""
        start, layers = self.start, self.edit.info.layers
        with torch.no_grad():
            picture = self.generator.images(start, size=size)
            moved = self.generator.images(start.moved(self.coordinates.displacements(carried), layers), size=size)
        weight = self.mask.at(*picture.shape[2:]).to(picture)
        roots = torch.cat([(part / part.mean()).sqrt() for part in (weight, 1 - weight)])
        wanted = (moved - picture) * roots[:1]
        wanted = wanted * (self.amount / wanted.square().mean().clamp(min=1e-12)).sqrt()
        unit = float(wanted.square().mean((1, 2, 3)).max())
        fixed = torch.isin(self.knots, self.places, invert=True)
        springs = springs_of((len(fixed),), {1: SPRING * len(carried)})
        layout = Layout((len(fixed),), torch.zeros(len(fixed)), fixed, springs, centred=False, lead=False)
        reach = float(carried.flatten(1).norm(dim=1).max())
        return SameChange(
            self.generator, start, layers, self.coordinates, layout, carried, picture, roots, wanted, unit, reach, outside, size
        )

    def first(self) -> tuple[SameChange, LocalDirections, Tensor, float, int]:
        """Return the objective of the first stage, what the new face does around its code, and where the descent begins.

        That is the carried path, or one of those without most of what moves the outside there; with what it changes outside, and
        the pictures that it took.
        """
        settings, native = ManifoldSettings(), self.generator.picture_shape[1]
        coarse = self.generator.coarse_size(max(SMALLEST_SIZE, native // 4))
        carried = self.coordinates.inverse(moving_part(self.farther, self.places))
        local = local_directions(
            self.generator, self.start, self.mask, 1, layers=self.edit.info.layers, size=coarse, probes=PROBES,
            damping=settings.damping, chunk=settings.chunk, coordinates=self.coordinates,
        )  # fmt: skip
        same = self.same_change(coarse, TRIED[1], carried)
        starts = [carried, *(projected(local, carried, weight) for weight in TRIED)]
        tried: list[tuple[float, float, Tensor]] = []
        with torch.no_grad():
            for free in starts:
                along, across, outside = same.parts(free)
                value = AMOUNT * along + across + same.outside * outside
                tried.append((float(value.sum()), float(outside.mean()), free))
        _, leak, free = min(tried, key=lambda one: one[0])
        # the basis pushed forward by central differences and pulled back, the amounts, what is wanted, and the starts
        rows = len(local.basis)
        made, differentiated = 2 * rows + (3 + len(starts)) * len(carried), rows if rows < local.basis.shape[1] else 0
        return same, local, free, leak, evaluations(made, differentiated)

    def run(self) -> Iterator[AdaptationStep]:
        """Go through the stages; the last step says why the search ends."""
        same, local, free, leak, count = self.first()
        step, stage, ends = 0, 0, False
        while True:
            # the outside weighs as much as the path at hand can bear
            weight = min(OUTSIDE, MOST_LEAK * float(same.wanted.square().mean()) / max(leak, 1e-12))
            size = None if stage else same.size
            same = replace(same if size == same.size else self.same_change(size, weight, same.carried), outside=weight)
            metric = metric_of(local.basis, local.grams[0], local.grams[1], weight)
            precondition = preconditioner(metric, same.layout, 1 / same.unit, 1 / same.reach**2)
            descent = begin(same, free)
            count += len(free)
            values = [descent.at.value]
            yield AdaptationStep(self, descent, step, count, None)
            for within in range(STEPS):
                pictures = 0

                def counted(x: Tensor, same: SameChange = same) -> Evaluation:
                    nonlocal pictures
                    pictures += len(x)
                    return same(x)

                descent = lbfgs_step(counted, descent, history=HISTORY, precondition=precondition)
                step, count = step + 1, count + pictures
                values.append(descent.at.value)
                if not math.isfinite(values[-1]):
                    yield AdaptationStep(self, descent, step, count, Result.DIVERGED)
                    return
                ends = descent.stalled or (len(values) > PATIENCE and values[-1 - PATIENCE] - values[-1] < TOLERANCE * len(free))
                if ends:
                    break
                if within + 1 < STEPS:
                    yield AdaptationStep(self, descent, step, count, None)
            free, leak, stage = descent.x, descent.at.terms["outside"], stage + 1
            if stage == STAGES:
                yield AdaptationStep(self, descent, step, count, Result.CONVERGED if ends else Result.STEPS)
                return

    def solution(self, reached: AdaptationStep) -> Solution[Lattice, AdaptationNumbers]:
        """Return the whole path: the carried one, and between the places that were searched a line of what is added to it."""
        layers, info = self.edit.info.layers, self.edit.info
        added = self.coordinates.displacements(reached.descent.x) - moving_part(self.farther, self.places)
        corrections = added.new_zeros(len(self.knots), *added.shape[1:])
        corrections[torch.isin(self.knots, self.places)] = added
        knots = self.edit.knots[0]
        line = Lattice(corrections, (self.knots,), info).displacement(knots).to(added)
        full = added.new_zeros(len(knots), *self.start.values.shape[1:])
        full[:, slice(*layers) if layers else slice(None)] = moving_part(self.farther) + line
        full[knots == 0] = 0
        path = Lattice(full, (knots,), replace(info, method=f"{info.method}, adapted", locality={}), start=self.start)
        before, after = (changes(self.generator, one, knots, self.mask) for one in (self.edit, path))
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
    coordinates. Each place begins without the part that moves the outside to first order.

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
        raise SemanifoldError(f"{edit.info.name} has no mask, so nothing says what is to stay as it is; give mask.")
    prepared = Adaptation.prepare(generator, edit, code, mask)
    with watching(progress, f"adapting {edit.info.name}") as tell:
        last, _ = followed(prepared.run(), tell)
    return last.solution().thrown(throw)


def moving_part(path: Lattice, t: Tensor | None = None) -> Tensor:
    """Return the displacements ``[n, *moving]`` of a path's layers that move, at t, or at its knots when None."""
    full, layers = path.whole(), path.info.layers
    displacements = full.displacements if t is None else full.displacement(t)
    return displacements[:, slice(*layers)] if layers else displacements


def projected(local: LocalDirections, carried: Tensor, weight: float) -> Tensor:
    """Return displacements that change the inside as the carried ones do, to first order, but the outside less.

    ``(A + weight B + mu I)^-1 (A + mu I) x`` in the span of the basis, A and B the changes inside and outside, mu as in the
    search; made longer until it changes the inside along that of x as much.

    Args:
        local: what moves the inside and the outside.
        carried: ``[f, *moving]``.
        weight: of the outside.
    """
    inside, outside = (gram.double() for gram in local.grams)
    rows = carried.flatten(1)
    x = (rows @ local.basis.T).double()
    damped = inside + ManifoldSettings().damping * torch.linalg.eigvalsh(inside)[-1] * torch.eye(len(inside)).to(inside)
    y = torch.linalg.solve(damped + weight * outside, damped @ x.T).T
    share = ((y @ inside) * x).sum(1, keepdim=True) / ((x @ inside) * x).sum(1, keepdim=True).clamp(min=1e-30)
    y = y / share.clamp(min=1 / MOST_TIMES**4)
    return (rows + (y - x).to(rows) @ local.basis).reshape(carried.shape)


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
