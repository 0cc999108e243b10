"""What one iteration of the training computes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semanifold.core.latents import Latents
from semanifold.core.shapes import Codes, EachCode, Masks, Paths, Pictures
from semanifold.generators.base import Generator
from semanifold.images.masks import Mask
from semanifold.paths.base import LatentPaths, PathSet
from semanifold.training.draws import Draw
from semanifold.training.purity import Purity
from semanifold.training.reconstructor import Reconstructor
from semanifold.training.settings import TrainingSettings

STATS = ("accuracy", "classification_loss", "regression_loss", "mask_loss", "total_loss")
"""What every iteration is measured by, in the order of :attr:`Losses.row`."""


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
        purity: Purity | None = None,
    ) -> None:
        """Join the parts.

        Args:
            generator: frozen.
            paths: what is trained.
            reconstructor: what is trained with it.
            settings: weights of the terms, and the precision.
            mask: where change is welcome; None for everywhere.
            purity: what it is measured by how mixed paths are; None if that does not matter.
        """
        super().__init__()
        self.paths, self.reconstructor, self.settings = paths, reconstructor, settings
        self.frozen = (generator,)  # in a tuple, so that it does not become a part
        self.purity = purity
        self.outside = None if mask is None else 1 - mask.at(*generator.picture_shape[1:])

    def forward(
        self, values: Codes, conditions: Mapping[str, Tensor], index: Paths, magnitude: EachCode
    ) -> tuple[Tensor, Tensor]:
        """Return the total loss, and the row of :data:`STATS` ``[5]`` without a graph.

        Args:
            values: ``[n, *shape]`` codes in the space of the paths.
            conditions: of the codes, such as ``labels``, ``[n, classes]`` class weights.
            index: ``[n]`` which path each takes.
            magnitude: ``[n]`` how far.
        """
        (generator,) = self.frozen
        latents = Latents(values, self.paths.space(generator), conditions)
        # 1. Pictures before and after, and what the reconstructor says of both.
        with torch.autocast(values.device.type, torch.bfloat16, enabled=self.settings.precision == "bf16"):
            unshifted, shifted = self.pictures(generator, latents, index, magnitude)
            scores, measured = self.reconstructor(unshifted, shifted)
        # 2. Losses in single precision: bf16 has three digits.
        scores, measured = scores.float(), measured.float()
        naming = F.cross_entropy(scores, index)
        measuring = (measured - magnitude.float()).abs().mean()
        # 3. With a mask, what changes outside counts as well.
        straying = torch.zeros((), device=values.device)
        if self.outside is not None:
            straying = change_outside(unshifted.float(), shifted.float(), self.outside.to(shifted.device))
        weights = self.settings
        total = weights.lambda_cls * naming + weights.lambda_reg * measuring + weights.lambda_mask * straying
        # 4. Paths that are mixed cost something, at codes whose pictures were looked at before.
        if self.purity is not None and isinstance(self.paths, LatentPaths):
            total = total + weights.lambda_pure * self.purity.mixing(self.paths)
        accuracy = (scores.argmax(-1) == index).float().mean()
        return total, torch.stack([accuracy, naming, measuring, straying, total]).detach()

    def pictures(self, generator: Generator, latents: Latents, index: Paths, magnitude: EachCode) -> tuple[Pictures, Pictures]:
        """Return the pictures before and after; of pairs that share a code, only the first keeps a graph."""
        sharing = self.settings.sharing
        before = latents[::sharing]
        if sharing == 1:
            with torch.no_grad():
                unshifted = generator.images(before)
            return unshifted, self.paths.shifted_images(generator, latents, index, magnitude)
        # 1. Where most of the time goes, and paths have few numbers to learn: so they learn from one of each code's pictures.
        first = self.paths.shifted_images(generator, before, index[::sharing], magnitude[::sharing])
        if first.requires_grad:
            first.register_hook(lambda gradient: sharing * gradient)  # which stand for all of them
        # 2. The reconstructor, which has many, learns from all. One batch is faster than two: a step of length 0 moves nothing.
        others = torch.arange(len(index), device=index.device) % sharing > 0
        every = torch.cat([index[::sharing], index[others]])
        far = torch.cat([torch.zeros_like(magnitude[::sharing]), magnitude[others]])
        with torch.no_grad():
            made = self.paths.shifted_images(generator, Latents.cat([before, latents[others]]), every, far)
        unshifted, rest = made[: len(before)], made[len(before) :].unflatten(0, (-1, sharing - 1))
        return unshifted.repeat_interleave(sharing, 0), torch.cat([first[:, None], rest], 1).flatten(0, 1)


def change_outside(unshifted: Pictures, shifted: Pictures, outside: Masks) -> Tensor:
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
    return step(draw.latents.values, draw.latents.conditions, draw.index, draw.magnitude)
