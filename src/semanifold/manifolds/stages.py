"""A search: stages from coarse to fine, each a descent by L-BFGS, which can be taken up from a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.core.minimise import Descent, Evaluation, begin, lbfgs_step
from semanifold.core.solutions import Result, Solution
from semanifold.edits import EditInfo, Lattice
from semanifold.edits.films import EditedPicture
from semanifold.edits.steps import jump
from semanifold.generators.base import Generator
from semanifold.generators.coordinates import PLAIN, Coordinates, natural_coordinates
from semanifold.images.distances import Distance, distance_by_name
from semanifold.images.masks import Mask
from semanifold.manifolds.checkpoints import SearchNumbers, SearchState, check_state, load_state, save_state, search_key
from semanifold.manifolds.directions import moving_shape
from semanifold.manifolds.layout import layout_of, refine
from semanifold.manifolds.metric import Secants, preconditioner
from semanifold.manifolds.objective import Objective, Parts, cropped_parts, kinked_valley, pasted_parts, round_valley
from semanifold.manifolds.plan import Stage, stages_of
from semanifold.manifolds.seen import Seen, look, smoother_half
from semanifold.manifolds.settings import OUTSIDE, ManifoldSettings
from semanifold.manifolds.start import StartAxes, find_axes, fitted_path, paper_path, starting_path

CITE = "Yang, Rokeby, Snelgrove 2020, Mask-Guided Discovery of Semantic Manifolds in Generative Models, arXiv:2105.07273"
SEEN = 9
"""Frames of a path of few knots among which a jump is looked for."""
SEEN_LATER = 24
"""Frames among which it is looked for later."""
FOLD = 2.0
"""Longest step between pictures over the mean one at which a path of knots comes back as it went."""
BETWEEN = 2.0, 0.05
"""Most that pictures with those between knots cost on average, as a multiple of those at knots, and in units of c on top, the
cost of an inside that is off by a tenth of c. Else the next stage has twice as many knots."""
LEAK, JUMP = 0.1, 2.5
"""Where c is chosen: most change outside for the change inside, and longest step between pictures over the mean one."""
MOST_LEAK = 0.5
"""A stage's weight of the outside is such that at its beginning the leak costs at most this many times c a frame: a tenth of what
it costs in our objective not to change at all."""
CAUTIOUS = 0.4
"""Where the first stage ends with more than that, it begins anew, from its first path, with a c of this share, as long as the
strength is above it: a path that has leaked stays in a valley that leaks."""
SHRINK, MOST_SHRINKS = 0.7, 2
"""By what and how often c becomes smaller after that."""
HEAVY = 400.0
"""Weight of the outside from which the tolerance grows, by its root."""
PATIENCE = 5
CHECKPOINT_EVERY = 5
HISTORY = 20
TINY_GRADIENT = 1e-7


@dataclass(frozen=True, eq=False)
class Search:
    """Everything about a search that does not change while it runs."""

    generator: Generator
    start: Latents
    mask: Mask
    settings: ManifoldSettings
    distance: Distance
    distance_name: str
    moving: tuple[int, ...]
    coordinates: Coordinates

    @staticmethod
    def prepare(
        generator: Generator, latents: Latents, mask: Mask, settings: ManifoldSettings, distance: Distance | None
    ) -> Search:
        """Check that everything fits, and make what the steps need."""
        if len(latents) != 1:
            raise SemanifoldError(f"A manifold belongs to one code, but got {len(latents)} codes; search once for each.")
        generator.check(latents)
        space = settings.space or generator.search_space
        if generator.inputs is not None and space == generator.first_space:
            raise SemanifoldError(
                f"{generator.name} makes pictures of label maps or photos, among which there is no path; find directions in its "
                "weights instead: semanifold weights mask, sm.weight_paths."
            )
        start = generator.convert(latents, space)
        # the search differentiates in the coordinates only; a graph of the caller's code would be walked through at every step
        start = start.with_values(start.values.detach())
        moving = moving_shape(start, settings.layers)
        generator.check_differentiable(start)
        mask.check(*generator.picture_shape[1:])
        name = settings.distance if distance is None else repr(getattr(distance, "__qualname__", "distance"))
        # lengths of springs mean something only where codes are about standard normal; the paper measures them in the plain space
        natural = settings.objective == "smooth"
        coordinates = natural_coordinates(generator, start, moving, settings.independence) if natural else PLAIN
        function = distance or distance_by_name(settings.distance)
        return Search(generator, start, mask, settings, function, name, moving, coordinates)

    @cached_property
    def references(self) -> dict[int | None, Tensor]:
        """The start's picture at the size of each stage, and at full size."""
        with torch.no_grad():
            sizes = {None, *(stage.size for stage in self.stages())}
            return {size: self.generator.images(self.start, size=size) for size in sizes}

    def parts(self, size: int | None) -> Parts:
        """Return the distances inside and outside of the start's picture at a size."""
        reference = self.references[size]
        height, width = reference.shape[2:]
        if self.settings.objective == "paper":
            return cropped_parts(self.mask.rectangle(height, width), reference, self.distance)
        return pasted_parts(self.mask.at(height, width), reference, self.distance)

    def stages(self) -> list[Stage]:
        """Return the stages, from coarse to fine."""
        return stages_of(self.settings, self.generator)

    @property
    def splined(self) -> bool:
        """Whether knots are searched, and the frames lie on a spline through them."""
        return bool(self.settings.searched)

    @cached_property
    def weight(self) -> float:
        """Weight of the outside that the search comes to."""
        return self.settings.outside_of(float(self.mask.at(*self.generator.picture_shape[1:]).mean()))

    def objective(self, stage: Stage, offset: float, sigma: float, outside: float) -> Objective:
        """Return a stage's objective; the paper's has no units, ours is free of those of the distance and the latent space."""
        s = self.settings
        # the path is as long with fewer frames, so these are farther apart
        sigma = sigma * (s.frames - 1) / (stage.frames - 1)
        # image terms over c and springs over sigma^2: alpha is then the same trade-off for every generator and distance
        units = (1.0, 1.0) if s.objective == "paper" else (offset, sigma**2)
        layout, parts = layout_of(s, stage.frames), self.parts(stage.size)
        valley = kinked_valley if s.objective == "paper" else round_valley
        return Objective(
            self.generator, self.start, s.layers, layout, parts, offset, sigma, s.alpha, outside, valley=valley,
            width=stage.width * offset, image_unit=units[0], spring_unit=units[1], size=stage.size, chunk=s.chunk,
            coordinates=self.coordinates,
        )  # fmt: skip

    def edit(self, free: Tensor, frames: int, to: int | None = None) -> Lattice:
        """Return the edit of some free frames' coordinates ``[f, *moving]``, with ``to`` frames; as many when None."""
        s = self.settings
        to = to or frames
        layout = layout_of(s, to)
        path = layout.spread(self.carry(free, frames, to))
        full = torch.zeros(len(path), *self.start.values.shape[1:]).to(path)  # [n, *code]: 0 in layers that do not move
        full[:, slice(*s.layers) if s.layers else slice(None)] = self.coordinates.displacements(path)
        grid, knots = layout.lattice(full, s.closed)
        info = EditInfo(
            name=str(self.mask),
            method="masked manifold",
            space=self.start.space,
            layers=s.layers,
            generator=self.generator.name,
            fingerprint=self.generator.fingerprint,
            mask=str(self.mask),
            usable=(float(knots[0][0]), 1.0),
            cite=(CITE,),
        )
        return Lattice(grid, knots, info, start=self.start)

    @property
    def restarts(self) -> int:
        """How often the first stage may begin anew with a smaller c."""
        return max(0, math.ceil(round(math.log(self.settings.strength / CAUTIOUS, 1 / CAUTIOUS), 6)))

    def first_path(self, share: float = 1.0) -> tuple[StartAxes, Tensor]:
        """Return scales and path ``[n, *moving]``, in coordinates, that a search of this share of the strength starts with."""
        s, stage = replace(self.settings, strength=share * self.settings.strength), self.stages()[0]
        layout = layout_of(s, stage.frames)
        if s.method == "paper":
            if s.offset is None or s.sigma is None:
                raise SemanifoldError("The paper's method needs an offset and a sigma; its own are 0.25 and 4.")
            nothing = self.start.values.new_zeros(2, *self.moving)
            return StartAxes(nothing, s.offset, s.sigma, 0, None), paper_path(self.start, s, self.moving)
        # sigma is measured at the full number of frames, the first path is made with the stage's
        chosen = find_axes(
            self.generator, self.start, self.mask, self.parts(stage.size), s, layout_of(s, s.frames), stage.size, self.coordinates
        )  # fmt: skip
        path = starting_path(layout, chosen.axes, s)
        # the paper's springs are far stiffer than ours; a path that meets them already saves most of its steps
        if s.objective == "paper" and s.dims == 1:
            path, count = fitted_path(self.generator, self.start, self.parts(stage.size), layout, path, chosen, s, stage.size)
            chosen = replace(chosen, pictures=chosen.pictures + count)
        return chosen, path

    def run(self, checkpoint: str | None) -> Iterator[tuple[SearchState, Result | None]]:
        """Go through all stages, from the checkpoint if there is one; items as of :meth:`steps`."""
        key = search_key(self.generator, self.start, self.mask, replace(self.settings, outside=self.weight), self.distance_name)
        state = load_state(checkpoint, key, self.start.values.device) if checkpoint else None
        if state is not None and checkpoint is not None:
            # shapes of the free frames at every stage: a checkpoint has to have one of them
            points = [(len(layout_of(self.settings, stage.frames).free), *self.moving) for stage in self.stages()]
            check_state(state, checkpoint, points, self.start.values)
        for reached, result in self.steps(state or self.first_state()):
            if checkpoint and (reached.step % CHECKPOINT_EVERY == 0 or result):
                save_state(reached, checkpoint, key)
            yield reached, result

    def first_state(self, share: float = 1.0) -> SearchState:
        """Return where the search begins, for this share of the strength."""
        axes, path = self.first_path(share)
        free = path[layout_of(self.settings, self.stages()[0].frames).free].contiguous()
        descent, outside, count = self.begin(0, axes.offset, axes.sigma, free)
        value, none = descent.at.value, free.new_zeros(0, free[0].numel())
        secants = Secants(none, none) if self.splined and axes.metric is not None else None
        return SearchState(
            0, 0, 0, axes.pictures + count, axes.offset, axes.sigma, outside, descent, (value,), free, value, axes.metric, 0,
            secants=secants,
        )  # fmt: skip

    def enter(self, state: SearchState, stage: int, free: Tensor) -> SearchState:
        """Return the state at the beginning of another stage."""
        descent, outside, count = self.begin(stage, state.offset, state.sigma, free)
        value = descent.at.value
        fresh = {"outside": outside, "descent": descent, "recent": (value,), "best": free, "best_value": value, "seen": None}
        return replace(state, stage=stage, within=0, evaluations=state.evaluations + count, **fresh)

    def begin(self, stage: int, offset: float, sigma: float, free: Tensor) -> tuple[Descent, float, int]:
        """Return a stage's first evaluation, the weight of the outside in it, and the pictures that it took.

        The weight asked for is approached from below: where the path still leaks so much that it would cost less not to change at
        all, it begins with a weight at which it does not.
        """
        s = self.settings
        # 1. Evaluate with the weight that was asked for.
        descent = begin(self.objective(self.stages()[stage], offset, sigma, self.weight), free)
        inside, outside = descent.at.terms["inside"], descent.at.terms["outside"]
        # 2. Not to change costs 5 c per frame (c^2 / (2 width), width 0.1 c): a leak of a tenth of that does no harm.
        if s.objective == "paper" or self.weight * outside <= MOST_LEAK * inside:
            return descent, self.weight, len(free)
        # 3. Else begin with a weight at which the leak costs just that, and evaluate again, since the value depends on it.
        lower = MOST_LEAK * inside / outside
        return begin(self.objective(self.stages()[stage], offset, sigma, lower), free), lower, 2 * len(free)

    def steps(self, state: SearchState) -> Iterator[tuple[SearchState, Result | None]]:
        """Go on from a state; each item is the next one, the last with the reason why the search ends."""
        stages = self.stages()
        yield state, None
        while True:
            stage = stages[state.stage]
            objective = self.objective(stage, state.offset, state.sigma, state.outside)
            settled = self.settled(state, objective)
            # 1. Descend until the stage has nothing more to gain or its steps are used up.
            while state.within < self.room(state) and not settled:
                state = self.step(state, objective)
                settled = self.settled(state, objective)
                if not math.isfinite(state.descent.at.value):
                    yield state, Result.DIVERGED
                    return
                if state.within < self.room(state):
                    if self.tightens(state, settled):
                        state = replace(self.enter(state, state.stage, state.best), within=state.within)
                        objective = self.objective(stage, state.offset, state.sigma, state.outside)
                        settled = False
                    if not settled:
                        yield state, None
            # 2. Look at the frames between knots. A path that leaps from its way out to another way back comes back as it went.
            if self.splined and state.stage:
                state = replace(state, seen=self.seen(state, self.looked_at(state)))
            if (folded := self.folded(state)) is not None:
                state = replace(self.enter(state, state.stage, folded), folded=True)
                yield state, None
                continue
            # 3. The last stage ends the search, or one between whose knots nothing is missing.
            if state.stage + 1 == len(stages) or not self.goes_on(state):
                yield state, Result.CONVERGED if settled else Result.STEPS
                return
            # 4. The first stage may show that c is too much to ask.
            if self.overreaches(state):
                # from the first path again, with less strength; the steps and pictures taken so far still count
                if state.shrunk < self.restarts:
                    times = state.shrunk + 1
                    fresh = self.first_state(CAUTIOUS**times)
                    evaluations = state.evaluations + fresh.evaluations
                    state = replace(fresh, step=state.step, evaluations=evaluations, shrunk=times)
                    yield state, None
                    continue
                # or from where it is, with a smaller c: distances grow with the square of a step, so lengths shrink by the root
                share = SHRINK**0.5
                smaller = replace(state, offset=SHRINK * state.offset, sigma=share * state.sigma, shrunk=state.shrunk + 1)
                state = self.enter(smaller, 0, share * state.best)
                yield state, None
                continue
            # 5. Carry the best path over to the frames of the next stage.
            following = stages[state.stage + 1]
            free = self.carry(state.best, stage.frames, following.frames)
            state = self.enter(state, state.stage + 1, free)
            yield state, None

    def step(self, state: SearchState, objective: Objective) -> SearchState:
        """Take one step of the descent."""
        count = 0

        def counted(free: Tensor) -> Evaluation:
            nonlocal count
            count += len(free)
            return objective(free)

        descent = lbfgs_step(
            counted, state.descent, history=HISTORY, line_search=self.settings.method != "paper",
            precondition=self.precondition(state, objective),
        )  # fmt: skip
        secants = state.secants
        if secants is not None:
            secants = secants.after(descent.x - state.descent.x, descent.at.gradient - state.descent.at.gradient)
        # without a line search a step may rise, so the best point is kept apart
        lower = descent.at.value < state.best_value
        return replace(
            state,
            within=state.within + 1,
            step=state.step + 1,
            evaluations=state.evaluations + count,
            descent=descent,
            recent=(*state.recent, descent.at.value)[-PATIENCE - 1 :],
            best=descent.x if lower else state.best,
            best_value=descent.at.value if lower else state.best_value,
            secants=secants,
            seen=None,
        )

    def precondition(self, state: SearchState, objective: Objective) -> Callable[[Tensor], Tensor] | None:
        """Return the inverse of the Hessian's estimate."""
        if state.metric is None:
            return None
        # the scales of the terms as they are in the objective: alpha over c for pictures, 1 over sigma^2 for springs
        scales = objective.alpha / objective.image_unit, 1 / objective.spring_unit
        apply = preconditioner(state.metric, objective.layout, *scales)
        return apply if state.secants is None else state.secants.corrected(apply)

    def settled(self, state: SearchState, objective: Objective) -> bool:
        """Whether this stage has nothing more to gain."""
        if self.settings.method == "paper":
            return float(state.descent.at.gradient.abs().max()) <= TINY_GRADIENT
        # slow: the last PATIENCE steps together gained less than the tolerance, per frame and in units of the image terms
        recent = state.recent
        scale = len(state.best) * objective.alpha * objective.offset / objective.image_unit
        # a heavy outside raises what is gained by its last thousandths
        heavy = max(1.0, state.outside / HEAVY) ** 0.5
        least = self.settings.tolerance * self.stages()[state.stage].rough * scale * heavy
        slow = len(recent) > PATIENCE and recent[0] - recent[-1] < least
        return slow or state.descent.stalled

    def overreaches(self, state: SearchState) -> bool:
        """Whether c was chosen by us, and the first stage shows that it is too much to ask: the path leaks, or it jumps."""
        s = self.settings
        if s.offset is not None or s.method == "paper" or state.stage > 0 or state.shrunk >= self.restarts + MOST_SHRINKS:
            return False
        # 1. It leaks: too much change outside for what changed inside.
        terms = state.descent.at.terms
        if terms["outside"] > LEAK * terms["inside"]:
            return True
        # 2. It jumps: one step between pictures is much longer than the mean one, so the path leaps from one picture to another.
        first = self.stages()[0]
        edit = self.edit(state.best, first.frames, max(first.frames, min(s.frames, SEEN)) if self.splined else None)
        return s.dims == 1 and jump(self.generator, edit, size=first.size, chunk=s.chunk) > JUMP

    def folded(self, state: SearchState) -> Tensor | None:
        """Return the knots of the smoother half, there and back, where a path between knots jumps; None where it does not.

        A way out and a way back that lead to different pictures meet in the middle, where the path leaps from one to the other.
        """
        s = self.settings
        if not self.splined or state.folded or not state.stage or s.centred or s.closed or s.schedule != "out-and-back":
            return None
        steps = self.seen(state, self.looked_at(state)).steps
        if not steps.max() > FOLD * steps.mean():
            return None
        layout = layout_of(s, self.stages()[state.stage].frames)
        return smoother_half(layout.spread(state.best), steps)[layout.free].contiguous()

    def goes_on(self, state: SearchState) -> bool:
        """Whether the stage that follows has something to do: pictures between knots are not as good as those at knots."""
        stages = self.stages()
        stage, following = stages[state.stage], stages[state.stage + 1]
        # the first stage is only a beginning, and stages of as many frames differ in the paper's kink
        if state.stage == 0 or following.frames == stage.frames:
            return True
        if not self.room(replace(state, stage=state.stage + 1, within=0)):
            return False
        at = (state.descent.at.value - state.descent.at.terms["spring"]) / len(state.best)
        objective = self.objective(replace(stage, frames=self.looked_at(state)), state.offset, state.sigma, state.outside)
        seen, free = self.seen(state, self.looked_at(state)), objective.layout.free
        costs = objective.costs(seen.inside[free], seen.outside[free], objective.goals.to(seen.inside))
        most, floor = BETWEEN
        return float(costs.mean()) > most * at + floor * self.settings.alpha

    def room(self, state: SearchState) -> int:
        """Return how many steps the stage may take."""
        stage = self.stages()[state.stage]
        return stage.steps or max(0, self.most_steps(state) - (state.step - state.within))

    def tightens(self, state: SearchState, settled: bool) -> bool:
        """Whether the outside can have the weight that was asked for by now; or twice what it has, if that was too much."""
        terms = state.descent.at.terms
        weight = min(OUTSIDE, 2 * state.outside) if settled else self.weight
        due = state.stage > 0 and self.weight > OUTSIDE if settled else True
        return self.splined and due and state.outside < weight and weight * terms["outside"] <= MOST_LEAK * terms["inside"]

    def carry(self, free: Tensor, old: int, new: int) -> Tensor:
        """Return the free frames' coordinates at another number of frames."""
        before, after = (layout_of(self.settings, n) for n in (old, new))
        return refine(before.spread(free), before.shape, after.shape, closed=self.settings.closed, smooth=self.splined)[
            after.free
        ].contiguous()

    def most_steps(self, state: SearchState) -> int:
        """Return how many steps the search may take in all; a stage counts again each time that it begins anew."""
        stages = self.stages()
        again = state.shrunk * stages[0].steps + (stages[1].steps if state.folded else 0)
        return sum(stage.steps for stage in stages) + again

    def looked_at(self, state: SearchState) -> int:
        """Return how many frames along each axis are looked at between two stages."""
        following = self.stages()[min(state.stage + 1, len(self.stages()) - 1)]
        return following.frames if self.settings.dims == 2 else min(self.settings.frames, SEEN_LATER)

    def seen(self, state: SearchState, frames: int) -> Seen:
        """Return what so many frames of the best path look like."""
        if state.seen is not None and len(state.seen.inside) == frames**self.settings.dims:
            return state.seen
        s = self.settings
        path = layout_of(s, frames).spread(self.carry(state.best, self.stages()[state.stage].frames, frames))
        return look(self.generator, self.start, path, s.layers, self.coordinates, self.parts(None), s.chunk)

    def solution(self, state: SearchState, result: Result) -> Solution[Lattice, SearchNumbers]:
        """Return the best path at the full number of frames, with the distances of every frame at full size."""
        # A search that was stopped early is carried to the full number of frames all the same.
        s, frames = self.settings, self.stages()[state.stage].frames
        free = self.carry(state.best, frames, s.frames)
        edit = self.edit(free, s.frames)
        seen, layout = self.seen(state, s.frames), layout_of(s, s.frames)
        inside, outside = (layout.spread(x[layout.free]) for x in (seen.inside, seen.outside))
        stats: SearchNumbers = {
            "steps": state.step,
            "evaluations": state.evaluations,
            "objective": state.best_value,
            "offset": state.offset,
            "sigma": state.sigma,
            "inside": inside.tolist(),
            "outside": outside.tolist(),
            "ratio": float(outside.sum() / inside.sum()),
        }
        return Solution(edit, result, stats, EditedPicture(self.generator, self.start, edit, self.mask))
