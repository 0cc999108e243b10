"""Fitting tensors of a generator to one picture with Adam: its weights, or its noise maps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated

import msgspec
import torch
from torch import Tensor
from torch.func import functional_call

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.core.progress import Progress, Report, followed
from semanifold.core.shapes import Pictures
from semanifold.core.solutions import Result
from semanifold.edits.base import EditInfo
from semanifold.edits.weights import WeightEdit
from semanifold.generators.base import Generator
from semanifold.images.distances import Distance
from semanifold.inversion.objective import Likeness, likeness_of
from semanifold.inversion.settings import InversionSettings
from semanifold.inversion.solve import check_target, decibels, perceptual_distance
from semanifold.storage.descents import Count, adam_tensors, restore_adam
from semanifold.storage.digests import digest
from semanifold.storage.keeping import Keeper, KeptHeader, SearchKind

FORMAT = "semanifold-fitting-1"
KIND = SearchKind("a tuning", "is the state of another tuning", "remove it to begin anew")
CHECKPOINT_EVERY = 25
FREE, BEST = "free.", "best."


@dataclass(frozen=True, eq=False)
class FittingStep:
    """One step of a fitting."""

    step: int
    steps: int
    psnr: float
    distance: float
    value: float
    """How far the picture is: what is lowered, without what holds the weights back."""
    before: float
    """PSNR at the beginning, in dB."""
    changes: Mapping[str, Tensor] = field(repr=False)
    """What is added to the weight of each layer."""
    picture: Pictures | None = field(default=None, repr=False)
    result: Result | None = None
    nearest: FittingStep | None = field(default=None, repr=False)
    """The step so far whose picture is nearest; None for itself."""

    @property
    def best(self) -> FittingStep:
        """The step so far whose picture is nearest."""
        return self.nearest or self

    def report(self) -> Report:
        """Return what a progress callback gets."""
        numbers = {"step": self.step, "steps": self.steps, "PSNR": self.psnr, "distance": self.distance}
        return {**numbers, "picture": self.picture}


@dataclass(frozen=True, eq=False)
class Fitting:
    """What is fitted, and how.

    Attributes:
        free: leaves that Adam moves, by the name of the layer.
        picture: the picture of the generator with them.
        changes: what they add to the weights.
        likeness: to the photograph.
        rate: of Adam, at each step.
        beside: what is lowered beside, with numbers drawn from a generator of random numbers; None for nothing.
        tidy: called after each step of Adam.
        steps: most steps.
        enough: PSNR at which it ends, in dB.
        seed: of the draws.
        key: of everything that decides it.
    """

    free: Mapping[str, Tensor]
    picture: Callable[[], Pictures]
    changes: Callable[[], dict[str, Tensor]]
    likeness: Likeness
    rate: Callable[[int], float]
    beside: Callable[[torch.Generator], Tensor] | None
    tidy: Callable[[], None]
    steps: int
    enough: float
    seed: int
    key: str

    def run(self, checkpoint: str | None) -> Iterator[FittingStep]:
        """Take one step each time that the next one is asked for; the first is where it begins, or where it was broken off."""
        adam = torch.optim.Adam(list(self.free.values()))
        draws = torch.Generator().manual_seed(self.seed & ((1 << 63) - 1))
        keeper = Keeper(checkpoint, FORMAT, self.key, kind=KIND)
        first, best, before = load_fitting(keeper, self, adam, draws)
        for step in range(first, self.steps + 1):
            if best is not None and step > first and step % CHECKPOINT_EVERY == 0:
                save_fitting(keeper, self, step, best, adam, draws)
            with torch.enable_grad():
                images = self.picture()
                terms = self.likeness.terms(images)
                value = self.likeness.weighted(*terms).sum()
            pixels, perceptual = (float(term.detach()) for term in terms)
            psnr = decibels(pixels)
            result = Result.CONVERGED if psnr >= self.enough else Result.STEPS if step == self.steps else None
            result = result if math.isfinite(pixels + perceptual) else Result.DIVERGED
            before = before if best is not None else psnr
            now = FittingStep(
                step, self.steps, psnr, perceptual, float(value.detach()), before, self.changes(), images.detach(), result
            )  # fmt: skip
            best = now if best is None or now.value < best.value else best
            yield now if best is now else replace(now, nearest=best)
            if result is not None:
                return
            for group in adam.param_groups:
                group["lr"] = self.rate(step)
            adam.zero_grad()
            with torch.enable_grad():
                (value if self.beside is None else value + self.beside(draws)).backward()
            adam.step()
            self.tidy()


def pivot_of(
    generator: Generator, code: Latents, image: Tensor, inversion: InversionSettings, distance: Distance | None
) -> tuple[Latents, str, Likeness]:
    """Return the one code that a generator is fitted at, and how its likeness to a picture is measured, with its name.

    Raises:
        SemanifoldError: if the code or the picture do not fit.
    """
    generator.check(code)
    if len(code) != 1:
        raise SemanifoldError(f"A tuning has one pivot, but got {len(code)} codes.")
    target = check_target(generator, image)
    name, function = perceptual_distance(generator, inversion, distance)
    likeness = likeness_of(inversion, target, torch.ones_like(target[:, :1]), function)
    return code.with_values(code.values.detach()), name, likeness


def ended(steps: Iterator[FittingStep], tell: Progress) -> tuple[FittingStep, Result]:
    """Take all steps; return the last one, or the nearest one after Ctrl-C or a failure, and how it ended."""
    last, interrupted = followed(steps, tell)
    result = Result.INTERRUPTED if interrupted else last.result or Result.STEPS
    return last.best if result in (Result.INTERRUPTED, Result.DIVERGED) else last, result


def met(generator: Generator, code: Latents, tensors: Mapping[str, Tensor]) -> set[str]:
    """Return the names of those tensors of a generator that the picture of a code depends on."""
    probes = {name: tensor.detach().clone().requires_grad_() for name, tensor in tensors.items()}
    with torch.enable_grad():
        picture = functional_call(generator, probes, (code,)).square().sum() if probes else torch.zeros(())
        gradients = torch.autograd.grad(picture, list(probes.values()), allow_unused=True) if picture.requires_grad else []
    return {name for name, gradient in zip(probes, gradients) if gradient is not None and bool(gradient.any())}


def fitting_key(generator: Generator, code: Latents, likeness: Likeness, distance: str, settings: object) -> str:
    """Return a digest of everything that decides a fitting; a checkpoint of another one is refused."""
    texts = repr(settings), f"{generator.fingerprint}{code.space}{distance}{likeness.pixels}{likeness.perceptual}"
    conditions = [code.conditions[name] for name in sorted(code.conditions)]
    return digest(*texts, likeness.target, code.values, *conditions, digits=32, double=True)


def fitted_edit(
    generator: Generator, code: Latents, changes: Mapping[str, Tensor], name: str, method: str, cite: str
) -> WeightEdit:
    """Return the edit that makes the changes at ``t = 1``, with the code as its picture."""
    info = EditInfo(
        name=name, method=method, space=code.space, generator=generator.name, fingerprint=generator.fingerprint,
        usable=(0.0, 1.0), cite=(cite,),
    )  # fmt: skip
    return WeightEdit({layer: change.detach() for layer, change in changes.items()}, info, start=code)


class Header(KeptHeader, frozen=True, kw_only=True):
    """What the file of a fitting's state says of it."""

    step: Count
    before: float
    best: Annotated[tuple[float, float, float, float], msgspec.Meta(description="step, PSNR, distance, value")]


def save_fitting(
    keeper: Keeper, fitting: Fitting, step: int, best: FittingStep, adam: torch.optim.Optimizer, draws: torch.Generator
) -> None:
    """Write the state of a fitting, from which it goes on bit for bit."""
    tensors = {FREE + name: tensor.detach() for name, tensor in fitting.free.items()}
    tensors |= {BEST + name: tensor for name, tensor in best.changes.items()} | adam_tensors(adam) | {"draws": draws.get_state()}
    numbers = [float(best.step), best.psnr, best.distance, best.value]
    keeper.write(tensors, {"step": step, "before": best.before, "best": numbers})


def load_fitting(
    keeper: Keeper, fitting: Fitting, adam: torch.optim.Optimizer, draws: torch.Generator
) -> tuple[int, FittingStep | None, float]:
    """Take up the state of a fitting, if there is one; return its step, its best step, and the PSNR that it began at.

    Raises:
        SemanifoldError: if it is that of another fitting, or damaged.
    """
    read = keeper.read(Header)
    if read is None:
        return 0, None, math.nan
    header, tensors = read
    try:
        for name, tensor in fitting.free.items():
            if tensors[FREE + name].shape != tensor.shape:
                raise ValueError(name)
        best = {name: tensors[BEST + name].reshape(tensor.shape).to(tensor) for name, tensor in fitting.free.items()}
        restore_adam(adam, tensors)
        draws.set_state(tensors["draws"])
    except (RuntimeError, KeyError, ValueError, TypeError) as error:
        raise keeper.refused("is damaged") from error
    with torch.no_grad():
        for name, tensor in fitting.free.items():
            tensor.copy_(tensors[FREE + name])
    step, psnr, distance, value = header.best
    return header.step, FittingStep(int(step), fitting.steps, psnr, distance, value, header.before, best), header.before
