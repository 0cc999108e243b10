"""The random draws of a training: codes, paths and signed magnitudes from one generator whose state can be kept."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import LABELS, Latents
from semanifold.generators.base import Generator
from semanifold.training.settings import Prior


@dataclass(frozen=True, eq=False)
class Draw:
    """What one step needs.

    Attributes:
        latents: n codes in the space of the paths.
        index: ``[n]`` which path each takes.
        magnitude: ``[n]`` how far, signed.
    """

    latents: Latents
    index: Tensor
    magnitude: Tensor

    def __len__(self) -> int:
        return len(self.index)

    def part(self, number: int, of: int) -> Draw:
        """Return one of ``of`` equal parts."""
        size = len(self) // of
        rows = slice(number * size, (number + 1) * size)
        return Draw(self.latents[rows], self.index[rows], self.magnitude[rows])


def check_prior(prior: Prior, generator: Generator) -> None:
    """Refuse what this generator cannot do.

    Raises:
        SemanifoldError: for a space, truncation or class that it does not have.
    """
    generator.check_space(prior.space)
    if prior.psi != 1 and not generator.truncates:
        raise SemanifoldError(f"{generator.name} has no mean to truncate towards; leave truncation= out.")
    if prior.psi != 1 and prior.space == "z":
        raise SemanifoldError("A truncation by psi pulls codes of w; train in w or w+, or cut z by z_truncation=.")
    if not -2 <= prior.psi <= 2:
        raise SemanifoldError(f"The truncation psi is between 0 (the mean picture) and 1 (no change), but got {prior.psi:g}.")
    if prior.z_truncation is not None and not prior.z_truncation > 0:
        raise SemanifoldError(f"The cut of z must be above 0, but got {prior.z_truncation:g}.")
    if prior.z_truncation is not None and not generator.is_normal:
        raise SemanifoldError(f"The codes of {generator.name} are not normal, so they cannot be cut; leave z_truncation= out.")
    if others := [name for name in generator.conditions if name != LABELS]:
        raise SemanifoldError(f"{generator.name} makes pictures of {others[0]}, which no training draws.")
    if prior.classes and not generator.classes:
        raise SemanifoldError(f"{generator.name} is not class-conditional, so there are no classes to draw.")
    for wanted in prior.classes:
        if not 0 <= wanted < generator.classes:
            raise SemanifoldError(f"There is no class {wanted}: {generator.name} has classes 0..{generator.classes - 1}.")


@torch.no_grad()
def prior_codes(prior: Prior, generator: Generator, n: int, draw: torch.Generator) -> Latents:
    """Draw n codes, the labels of a class-conditional generator among them, and carry them into the space."""
    first, shape = generator.first_space, generator.spaces[generator.first_space].shape
    if prior.z_truncation is not None:
        values = cut_normal((n, *shape), prior.z_truncation, draw)
    elif generator.is_normal:
        values = torch.randn((n, *shape), generator=draw)
    else:  # the generator's own way, a seed at a time
        seeds = torch.randint(2**62, (n,), generator=draw).tolist()
        values = torch.stack([generator.draw(seed) for seed in seeds])
    conditions = {}
    if generator.classes:
        choice = torch.tensor(prior.classes or range(generator.classes))
        rows = choice[torch.randint(len(choice), (n,), generator=draw)]
        conditions = {LABELS: one_hot(rows, generator.classes).to(generator.device, generator.dtype)}
    latents = Latents(values.to(generator.device, generator.dtype), first, conditions)
    if prior.psi != 1:
        latents = generator.truncate(generator.convert(latents, prior.space), prior.psi)
    return generator.convert(latents, prior.space)


def cut_normal(shape: tuple[int, ...], cut: float, draw: torch.Generator) -> Tensor:
    """Return standard normal numbers cut to ``[-cut, cut]``, float32, by the inverse of their distribution function."""
    edge = torch.special.ndtr(torch.tensor(-cut, dtype=torch.float64))
    uniform = torch.rand(shape, generator=draw, dtype=torch.float64)
    return torch.special.ndtri(edge + uniform * (1 - 2 * edge)).clamp(-cut, cut).float()


def draw_step(
    generator: Generator,
    prior: Prior,
    paths: int,
    magnitudes: tuple[float, float],
    n: int,
    draw: torch.Generator,
    sharing: int = 1,
) -> Draw:
    """Draw n samples: the path uniform, the length of the step uniform in a range, its sign fair.

    The published code draws the sign from a pool with probabilities proportional to the place in it, 70 % positive; the paper
    means a fair one.

    Args:
        generator: whose codes are drawn.
        prior: how.
        paths: K.
        magnitudes: least and greatest length of a step.
        n: number of samples.
        draw: source of all the randomness, on the CPU, so that devices and processes agree.
        sharing: samples in a row that have the same code.
    """
    latents = prior_codes(prior, generator, n // sharing, draw)
    if sharing > 1:
        latents = latents[torch.arange(n // sharing, device=latents.values.device).repeat_interleave(sharing)]
    index = torch.randint(paths, (n,), generator=draw)
    low, high = magnitudes
    length = low + (high - low) * torch.rand(n, generator=draw)
    sign = 2 * torch.randint(2, (n,), generator=draw) - 1
    magnitude = (sign * length).to(latents.values)
    return Draw(latents, index.to(magnitude.device), magnitude)


def usual_distance(generator: Generator, prior: Prior, *, samples: int = 256) -> float:
    """Return the median distance between two random codes, the length that steps are compared with."""
    codes = prior_codes(prior, generator, samples, torch.Generator().manual_seed(0)).values
    return float(torch.pdist(codes.float().flatten(1)).median())
