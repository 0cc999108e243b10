"""What one iteration of the training computes, and its settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.generators.base import Generator
from semanifold.images.masks import Mask
from semanifold.paths.base import PathSet
from semanifold.training.draws import Draw, Prior
from semanifold.training.reconstructor import Reconstructor

STATS = ("accuracy", "classification_loss", "regression_loss", "mask_loss", "total_loss")
"""What every iteration is measured by, in the order of :attr:`Losses.row`."""

MOST_SAMPLES, MOST_ITERATIONS = 1 << 20, 100_000_000
"""Samples of a batch, and steps: a typo would otherwise end without memory, after a minute, or never."""
MOST_WEIGHT, MOST_RATE = 1e6, 10.0
"""Largest weight and length, whose squares have to fit into float32, and largest learning rate."""


@dataclass(frozen=True)
class TrainingSettings:
    """How to train paths; the defaults are those of the published code (WarpedGANSpace, arXiv:2109.13357).

    Attributes:
        min_magnitude: least length of a step, in units of the latent space.
        max_magnitude: greatest length of a step.
        iterations: steps of the optimisers.
        batch: samples per iteration, of all processes together.
        accumulate: parts that a batch is worked through in, one after the other, to save memory.
        lambda_cls: weight of naming the path (cross-entropy).
        lambda_reg: weight of measuring the magnitude (mean absolute error).
        lambda_mask: weight of staying the same outside of the mask.
        paths_lr: learning rate of the paths (Adam).
        reconstructor_lr: learning rate of the reconstructor (Adam).
        decay: share of the iterations, the last ones, in which both learning rates fall to 0 along a straight line.
        prior: where codes are drawn from.
        precision: of the networks: float32, or bf16 where losses and weights stay float32.
        log_every: iterations that one entry of the log is averaged over.
        save_every: iterations between two checkpoints.
        seed: of all the draws.
    """

    min_magnitude: float = 0.25
    max_magnitude: float = 0.45
    iterations: int = 100_000
    batch: int = 32
    accumulate: int = 1
    lambda_cls: float = 1.0
    lambda_reg: float = 0.25
    lambda_mask: float = 0.0
    paths_lr: float = 1e-4
    reconstructor_lr: float = 1e-4
    decay: float = 0.0
    prior: Prior = field(default_factory=Prior)
    precision: Literal["float32", "bf16"] = "float32"
    log_every: int = 10
    save_every: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            SemanifoldError: naming the field, what was given and what is expected.
        """
        # 0 to 0 would leave nothing to tell apart
        if not 0 <= self.min_magnitude <= self.max_magnitude <= MOST_WEIGHT or self.max_magnitude == 0:
            raise SemanifoldError(
                f"Magnitudes range from a smallest length of 0 or more to a larger one, at most {MOST_WEIGHT:,.0f}, but got "
                f"{self.min_magnitude:g} to {self.max_magnitude:g}."
            )
        for name in ("iterations", "batch", "accumulate", "log_every", "save_every"):
            if getattr(self, name) < 1:
                raise SemanifoldError(f"{name} must be at least 1, but got {getattr(self, name)}.")
        if self.iterations > MOST_ITERATIONS:
            raise SemanifoldError(f"A training has at most {MOST_ITERATIONS:,} iterations, but got {self.iterations}.")
        if self.batch > MOST_SAMPLES:
            raise SemanifoldError(f"A batch has at most {MOST_SAMPLES:,} samples, but got {self.batch}.")
        for name in ("lambda_cls", "lambda_reg", "lambda_mask", "paths_lr", "reconstructor_lr"):
            most = MOST_RATE if name.endswith("_lr") else MOST_WEIGHT
            if not 0 <= getattr(self, name) <= most:
                raise SemanifoldError(f"{name} must be 0 or more, and at most {most:,.0f}, but got {getattr(self, name):g}.")
        if not 0 <= self.decay <= 1:
            raise SemanifoldError(f"decay is a share of the iterations, 0 to 1, but got {self.decay:g}.")
        if self.precision not in ("float32", "bf16"):
            raise SemanifoldError(f"The precision is float32 or bf16, not {self.precision!r}.")
        if self.seed < 0 or self.seed >= 2**62:
            raise SemanifoldError(f"The seed is a whole number from 0 to 2^62, but got {self.seed}.")

    def share(self, processes: int) -> int:
        """Return how many samples one process works on at a time.

        Raises:
            SemanifoldError: if the batch cannot be divided evenly, or a part is too small for batch normalisation.
        """
        size, rest = divmod(self.batch, processes * self.accumulate)
        # batch normalisation has no variance with one sample
        if rest or size * processes < 2:
            raise SemanifoldError(
                f"A batch of {self.batch} cannot be divided among {processes} processes and {self.accumulate} parts each; every "
                "part needs the same number of samples, and at least 2 over all processes."
            )
        return size

    def rate(self, iteration: int) -> float:
        """Return the factor of the learning rates in an iteration, counted from 0."""
        # 1 until the last share of the iterations, then along a straight line to 0
        left = (self.iterations - iteration) / self.iterations
        return 1.0 if left >= self.decay else left / self.decay


class TrainingStep(nn.Module):
    """The loss of one batch: name the path, measure the magnitude, stay the same outside of a mask.

    The unshifted picture is made without a graph, and the generator is no part of this module, so that nothing keeps or
    exchanges gradients of its weights.
    """

    def __init__(
        self,
        generator: Generator,
        paths: PathSet,
        reconstructor: Reconstructor,
        settings: TrainingSettings,
        mask: Mask | None = None,
    ) -> None:
        """Join the parts.

        Args:
            generator: frozen.
            paths: what is trained.
            reconstructor: what is trained with it.
            settings: weights of the terms, and the precision.
            mask: where change is welcome; None for everywhere.
        """
        super().__init__()
        self.paths, self.reconstructor, self.settings = paths, reconstructor, settings
        self.frozen = (generator,)  # in a tuple, so that it does not become a part
        self.outside = None if mask is None else 1 - mask.at(*generator.picture_shape[1:])

    def forward(self, values: Tensor, labels: Tensor | None, index: Tensor, magnitude: Tensor) -> tuple[Tensor, Tensor]:
        """Return the total loss, and the row of :data:`STATS` ``[5]`` without a graph.

        Args:
            values: ``[n, *shape]`` codes in the space of the paths.
            labels: ``[n, classes]`` class weights, or None.
            index: ``[n]`` which path each takes.
            magnitude: ``[n]`` how far.
        """
        (generator,) = self.frozen
        latents = Latents(values, self.paths.space(generator), labels)
        # 1. Pictures before and after, and what the reconstructor says of both.
        with torch.autocast(values.device.type, torch.bfloat16, enabled=self.settings.precision == "bf16"):
            with torch.no_grad():
                unshifted = generator.images(latents)
            shifted = self.paths.shifted_images(generator, latents, index, magnitude)
            scores, measured = self.reconstructor(unshifted, shifted)
        # 2. Losses in single precision: bf16 has three digits.
        scores, measured = scores.float(), measured.float()
        naming = F.cross_entropy(scores, index)
        measuring = (measured - magnitude.float()).abs().mean()
        # 3. With a mask, what changes outside counts as well.
        straying = torch.zeros((), device=values.device)
        if self.outside is not None:
            straying = change_outside(unshifted.float(), shifted.float(), self.outside.to(shifted.device))
        given = self.settings
        total = given.lambda_cls * naming + given.lambda_reg * measuring + given.lambda_mask * straying
        accuracy = (scores.argmax(-1) == index).float().mean()
        return total, torch.stack([accuracy, naming, measuring, straying, total]).detach()


def change_outside(unshifted: Tensor, shifted: Tensor, outside: Tensor) -> Tensor:
    """Return the mean share of the squared change that lies outside of a mask: 0 for none of it, 1 for all.

    Args:
        unshifted: ``[n, c, h, w]``.
        shifted: ``[n, c, h, w]``.
        outside: ``[1, 1, h, w]`` one minus the mask.
    """
    squares = (shifted - unshifted).square()  # [n, c, h, w]
    inside_and_out = squares.mean((1, 2, 3))
    # a share, so that the term cannot be lowered by changing less; the small number is for pictures that do not change
    return ((squares * outside).mean((1, 2, 3)) / (inside_and_out + 1e-12)).mean()


def run_step(step: nn.Module, draw: Draw) -> tuple[Tensor, Tensor]:
    """Return what a :class:`TrainingStep`, or a wrapper of one, says of a draw."""
    return step(draw.latents.values, draw.latents.labels, draw.index, draw.magnitude)
