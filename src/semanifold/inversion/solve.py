"""Inverting a picture: to the end, or one step at a time."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.core.minimise import Evaluation, begin, lbfgs_step
from semanifold.core.progress import Progress, Report, Watch, followed, watching
from semanifold.core.shapes import Pictures
from semanifold.core.solutions import Result, Solution
from semanifold.generators.base import Generator, as_latents
from semanifold.images.distances import Distance, FeatureDistance, distance_by_name
from semanifold.images.masks import Mask, as_mask
from semanifold.inversion.checkpoints import InversionNumbers, InversionState, inversion_key, load_state, save_state
from semanifold.inversion.curvature import Curvature
from semanifold.inversion.encoder import OWN, Encoder, encoder_of
from semanifold.inversion.objective import Likeness, Objective, likeness_of
from semanifold.inversion.settings import InversionSettings
from semanifold.inversion.starts import MEAN, Start, best_starts, metric_of

TRIAL = 6
"""Steps that each start is followed for before the best is chosen."""
CLASSES = 4
"""Classes that are tried where none is named."""
READ = "the encoder's code"
HISTORY = 20
PATIENCE = 5
CHECKPOINT_EVERY = 10


@dataclass(frozen=True)
class InversionStep:
    """One step of an inversion, and what can be asked about it; going on does not change it."""

    inversion: Inversion = field(repr=False)
    state: InversionState = field(repr=False)
    result: Result | None
    """Why the search ended; None before its last step."""

    @property
    def step(self) -> int:
        """Steps done."""
        return self.state.step

    @property
    def steps(self) -> int:
        """Most steps in all."""
        return self.inversion.settings.steps

    @property
    def code(self) -> Latents:
        """The code as it is now."""
        return self.state.objective.code(self.state.descent.x)

    @property
    def psnr(self) -> float:
        """Peak signal-to-noise ratio against the picture, in dB, inside the mask if there is one."""
        return decibels(self.state.descent.at.terms["pixels"])

    def solution(self) -> Solution[Latents, InversionNumbers]:
        """Return the code as it is, and its numbers."""
        state, terms = self.state, self.state.descent.at.terms
        stats: InversionNumbers = {
            "psnr": self.psnr,
            "distance": terms["perceptual"],
            "nature": terms["nature"],
            "objective": state.descent.at.value,
            "start": state.start_name,
            "starts": dict(state.starts),
            "steps": state.step,
            "evaluations": state.evaluations,
        }
        return Solution(self.code, self.result or Result.INTERRUPTED, stats)

    def report(self) -> Report:
        """Return what a progress callback gets."""
        counts = {"step": self.step, "steps": self.steps, "evaluations": self.state.evaluations}
        return {**counts, "PSNR": self.psnr, "code": self.code, "objective": self.state.descent.at.value}


@dataclass(frozen=True, eq=False)
class Inversion:
    """Everything about an inversion that does not change while it runs."""

    generator: Generator
    space: str
    settings: InversionSettings
    likeness: Likeness
    distance_name: str
    begin: Latents | None
    encoder: Encoder | None
    curvature: Curvature | None
    """That of the encoder, in the units of codes in :attr:`space`; None where it is to be found, or there is none."""
    draw: Callable[[range], Latents]

    @staticmethod
    def prepare(
        generator: Generator,
        image: Tensor,
        settings: InversionSettings,
        mask: Mask | str | None,
        start: Latents | int | None,
        labels: int | Sequence[int] | Tensor | None,
        distance: Distance | None,
        encoder: Encoder | Literal["own"] | None,
    ) -> Inversion:
        """Check that everything fits, and make what the steps need."""
        space = settings.space or generator.search_space
        generator.check_space(space)
        if generator.inputs is not None or generator.takes_inputs:
            raise SemanifoldError(
                f"{generator.name} makes pictures of label maps or photos, which are its codes; there is nothing to invert."
            )
        target = check_target(generator, image)
        reader = encoder_of(generator, encoder)
        # it reads whole pictures, so that inside of a mask it is used only when it is named
        if encoder == OWN and mask is not None:
            reader = None
        curvature = None if reader is None else reader.curvature_in(space, generator)
        if encoder == OWN and start is not None:
            reader = None
        if encoder == OWN and reader is not None and space == generator.first_space != reader.space:
            reader = None  # no way leads back from what it reads
        begun = None if start is None else as_latents(start, generator)
        if begun is not None:
            generator.check(begun)
            if len(begun) != 1:
                raise SemanifoldError(f"An inversion begins at one code, but got {len(begun)}.")
            begun = generator.convert(begun.with_values(begun.values.detach()), space)

        def draw(seeds: range) -> Latents:
            # classes take turns where none is named, so that the picture finds its own
            if labels is None:
                return generator.example(seeds, in_turn=True)
            return generator.sample(seeds, labels=labels)

        generator.check_differentiable(begun or generator.convert(draw(range(1)), space))
        name, function = perceptual_distance(generator, settings, distance)
        painted = torch.ones_like(target[:, :1])
        if mask is not None:
            region = as_mask(mask, generator, begun)
            region.check(*target.shape[2:])
            painted = region.at(*target.shape[2:]).to(target)
        likeness = likeness_of(settings, target, painted, function)
        return Inversion(generator, space, settings, likeness, name, begun, reader, curvature, draw)

    def starts(self, tell: Progress) -> tuple[list[Start], Curvature | None, int]:
        """Return the codes to begin from, the best first, the curvature, and how many pictures it took to compare them."""
        s = self.settings
        if self.begin is not None:
            with torch.no_grad():
                value = float(self.likeness(self.generator.images(self.begin)))
            return [Start("the given code", self.begin, value)], self.curvature, 1
        if self.encoder is not None:
            starts = self.starts_read(self.encoder)
            return starts, self.curvature, len(starts)

        def compared(done: int, code: Latents, pixels: float, value: float) -> None:
            counts = {"step": 0, "steps": s.steps, "evaluations": done, "starts": f"{done} of {s.starts + 1} starts compared"}
            tell({**counts, "PSNR": decibels(pixels), "code": code, "objective": value})

        starts, mean = best_starts(self.generator, self.space, self.likeness, self.draw, s.starts, seed=s.seed, tell=compared)
        return starts, mean, len(starts)

    def starts_read(self, encoder: Encoder) -> list[Start]:
        """Return the code that an encoder reads and the mean code, the better first.

        Where classes are open the encoder's code is tried with several, for it does not tell them.
        """
        read = encoder.codes(self.likeness.target, self.generator)
        plain = self.draw(range(min(self.generator.classes, CLASSES) or 1))
        names = [READ] * len(plain)
        codes = plain.with_values(read.values.expand(len(plain), *read.values.shape[1:]), encoder.space)
        codes = self.generator.convert(codes, self.space)
        _, mean, _ = metric_of(self.generator, codes[0], 0.0)
        every = Latents.cat([codes, mean])
        with torch.no_grad():
            values = self.likeness(self.generator.images(every)).tolist()
        order = sorted(range(len(values)), key=values.__getitem__)
        return [Start([*names, MEAN][i], every[i], values[i]) for i in order]

    def objective(self, start: Latents) -> Objective:
        """Return what falls, from a start."""
        coordinates, mean, own = metric_of(self.generator, start, self.settings.independence)
        origin = coordinates.inverse(start.values - mean.values)
        return Objective(self.generator, start, origin, coordinates, self.likeness, self.settings.naturalness, own)

    def first_state(self, tell: Progress) -> InversionState:
        """Follow the best starts for a few steps each, and return the state of the best."""
        s = self.settings
        starts, curvature, evaluations = self.starts(tell)
        tries = starts[: s.tries]
        # the mean is where published projectors begin: it is always among those that are tried, unless there is but one
        mean = [start for start in starts if start.name == MEAN]
        if self.encoder is not None:
            tries = starts[:1]
        elif s.tries > 1 and not any(start.name == MEAN for start in tries):
            tries[-1:] = mean or tries[-1:]
        # a code cannot leave its class, so that the best of each is tried where classes are open
        classes: dict[int, Start] = {}
        for start in starts:
            if start.code.labels is not None:
                classes.setdefault(int(start.code.labels.argmax()), start)
        tries += [start for start in list(classes.values())[:CLASSES] if start not in tries]
        states = []
        for start in tries:
            objective = self.objective(start.code)
            descent = begin(objective, objective.origin)
            natural = None if curvature is None else curvature.natural(objective.coordinates).fitted(descent.at)
            state = InversionState(objective, descent, natural, start.name, (), (descent.at.value,), 0, 1)
            for _ in range(min(TRIAL, s.steps) if len(tries) > 1 else 0):
                state = self.step(state)
                words = f"start {len(states) + 1} of {len(tries)} followed for {state.step} steps"
                tell({**InversionStep(self, state, None).report(), "step": 0, "starts": words})
            states.append(state)
        best = min(states, key=lambda state: state.descent.at.value if math.isfinite(state.descent.at.value) else math.inf)
        evaluations += sum(state.evaluations for state in states)
        return replace(
            best, evaluations=evaluations, starts=tuple((state.start_name, state.descent.at.value) for state in states)
        )

    def step(self, state: InversionState) -> InversionState:
        """Take one step of the descent."""
        count = 0

        def counted(u: Tensor) -> Evaluation:
            nonlocal count
            count += 1
            return state.objective(u)

        precondition = None if state.curvature is None else state.curvature.inverse()
        descent = lbfgs_step(counted, state.descent, history=HISTORY, precondition=precondition)
        recent = (*state.recent, descent.at.value)[-PATIENCE - 1 :]
        return replace(state, descent=descent, recent=recent, step=state.step + 1, evaluations=state.evaluations + count)

    def ended(self, state: InversionState) -> Result | None:
        """Return why the search ends here, if it does."""
        # a gradient of NaN would pass for the end of the way down
        if not (math.isfinite(state.descent.at.value) and bool(torch.isfinite(state.descent.at.gradient).all())):
            return Result.DIVERGED
        recent = state.recent
        slow = len(recent) > PATIENCE and recent[0] - recent[-1] < self.settings.tolerance * recent[0]
        near = decibels(state.descent.at.terms["pixels"]) >= self.settings.enough
        if state.descent.stalled or slow or near:
            return Result.CONVERGED
        return Result.STEPS if state.step >= self.settings.steps else None

    def run(self, checkpoint: str | None, tell: Progress = lambda report: None) -> Iterator[InversionStep]:
        """Go on to the end, from the checkpoint if there is one; how starts are compared is told beside."""
        codes = self.begin or (
            self.draw(range(2)) if self.encoder is None else self.encoder.codes(self.likeness.target, self.generator)
        )
        key = inversion_key(self.generator, self.space, self.likeness, self.settings, self.distance_name, codes)
        state = (load_state(checkpoint, key, self.objective, self.generator) if checkpoint else None) or self.first_state(tell)
        while True:
            result = self.ended(state)
            if checkpoint and (result or state.step % CHECKPOINT_EVERY == 0):
                save_state(state, checkpoint, key)
            yield InversionStep(self, state, result)
            if result is not None:
                return
            state = self.step(state)


def invert(
    generator: Generator,
    image: Tensor,
    settings: InversionSettings | None = None,
    *,
    mask: Mask | str | None = None,
    start: Latents | int | None = None,
    labels: int | Sequence[int] | Tensor | None = None,
    distance: Distance | None = None,
    encoder: Encoder | Literal["own"] | None = OWN,
    progress: Watch = None,
    checkpoint: str | os.PathLike[str] | None = None,
    throw: bool = True,
) -> Solution[Latents, InversionNumbers]:
    """Find the code whose picture is nearest to a given one.

    L-BFGS with line search in natural coordinates, from what an encoder reads, or the best of the mean and random codes. What is
    lowered is the difference of the pixels, a perceptual distance, and how far the code is from the generator's own.

    Args:
        generator: the generator; it is not changed.
        image: ``[1, c, h, w]`` or ``[c, h, w]`` in [-1, 1], of the generator's size; see
            :func:`semanifold.images.photographs.read_photograph` for files.
        settings: how to look; the defaults when None.
        mask: only what is inside counts, the rest of the picture is free; a mask, or its text.
        start: begin at this code, or at that of this seed, instead.
        labels: class, for a class-conditional generator; classes take turns among the starts when None, and the best stays.
        distance: used in place of ``settings.distance``.
        encoder: begin at the code that it reads, or at the mean if that is better; no random codes are compared. ``"own"`` is
            the one that comes with the package for this generator, which is left out where there is none, and with a mask or a
            start; None compares random codes.
        progress: called after each step with ``step``, ``steps``, ``evaluations`` (pictures made and differentiated), ``PSNR``,
            ``objective`` and ``code``, the code as it is. While starts are compared and the best of them followed it is told of
            step 0, with the words ``starts``. A bar when None, nothing when False.
        checkpoint: a file that the search is saved to every few steps, and taken up from if it is there.
        throw: raise if the search failed; otherwise the solution's ``result`` says so.

    Returns:
        One code in ``settings.space``, why the search stopped, and its numbers: ``psnr`` in dB, the perceptual ``distance``,
        ``nature``, the mean square of its natural coordinates (about 1 for the generator's own codes). After Ctrl-C it
        holds the best code so far.

    Raises:
        SemanifoldError: if the picture, the mask, the start, the distance or the checkpoint do not fit; or if the search failed.
    """
    with watching(progress, "inverting") as tell:
        settings = settings or InversionSettings()
        prepared = Inversion.prepare(generator, image, settings, mask, start, labels, distance, encoder)
        last, _ = followed(prepared.run(None if checkpoint is None else os.fspath(checkpoint), tell), tell)
    return last.solution().thrown(throw)


def inversion_steps(
    generator: Generator,
    image: Tensor,
    settings: InversionSettings | None = None,
    *,
    mask: Mask | str | None = None,
    start: Latents | int | None = None,
    labels: int | Sequence[int] | Tensor | None = None,
    distance: Distance | None = None,
    encoder: Encoder | Literal["own"] | None = OWN,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Iterator[InversionStep]:
    """Invert as :func:`invert` does, one step each time that the next one is asked for; to stop, ask no more.

    Returns:
        The steps, from the start to the last, whose ``result`` says why the search ended. Only the arguments are checked before
        the first is asked for.

    Raises:
        SemanifoldError: if the picture, the mask, the start, the distance or the checkpoint do not fit.
    """
    # checked here, not at the first step, so that a wrong argument is an error of this call
    prepared = Inversion.prepare(generator, image, settings or InversionSettings(), mask, start, labels, distance, encoder)
    return prepared.run(None if checkpoint is None else os.fspath(checkpoint))


def check_target(generator: Generator, image: Tensor) -> Pictures:
    """Return a picture as a batch of one, on the generator's device and in its precision.

    Raises:
        SemanifoldError: if it has another shape than the generator's pictures, or holds NaN or infinite values.
    """
    shape = generator.picture_shape
    if (
        not isinstance(image, Tensor)
        or not image.is_floating_point()
        or tuple(image.shape[-3:]) != shape
        or image.numel() != math.prod(shape)
    ):
        what = list(image.shape) if isinstance(image, Tensor) else f"a value of type {type(image).__name__}"
        raise SemanifoldError(
            f"{generator.name} makes pictures {list(shape)} in [-1, 1], but the picture to invert is {what}; read_photograph and "
            "fitted bring a file into that form."
        )
    if not torch.isfinite(image).all():
        raise SemanifoldError("The picture to invert holds NaN or infinite values.")
    return image.detach().reshape(1, *shape).to(generator.device, generator.dtype)


def perceptual_distance(
    generator: Generator, settings: InversionSettings, distance: Distance | None
) -> tuple[str, Distance | None]:
    """Return the name of the perceptual distance and the function; None where pixels alone count."""
    if distance is not None:
        return repr(getattr(distance, "__qualname__", "distance")), distance
    if settings.distance is None:
        world = generator.world
        return (world.name, FeatureDistance(world.features)) if world is not None else ("l2", None)
    return settings.distance, None if settings.distance == "l2" else distance_by_name(settings.distance)


def decibels(mean_square: float) -> float:
    """Return the peak signal-to-noise ratio of pictures in [-1, 1] whose difference has this mean square."""
    return 10 * (math.log10(4) - math.log10(max(mean_square, 1e-12)))
