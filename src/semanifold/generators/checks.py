"""What :class:`~semanifold.generators.base.Generator` checks of codes before pictures are made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents

if TYPE_CHECKING:
    from semanifold.generators.base import Generator


def check_shape(generator: Generator, latents: Latents) -> None:
    """See :meth:`Generator.check_shape`."""
    if not isinstance(latents, Latents):
        raise SemanifoldError(
            f"Pictures are made of Latents, not of a value of type {type(latents).__name__}; the code of seed 7 is "
            "generator.sample(7)."
        )
    generator.check_space(latents.space)
    shape, expected = tuple(latents.values.shape[1:]), generator.spaces[latents.space].shape
    if shape != expected:
        raise SemanifoldError(f"{generator.name} expects codes of shape {expected} in {latents.space}, but these are {shape}.")
    if latents.values.dtype != generator.dtype:
        theirs, own = (str(dtype).removeprefix("torch.") for dtype in (latents.values.dtype, generator.dtype))
        raise SemanifoldError(
            f"{generator.name} works in {own}, but these codes are {theirs}; cast them: latents.to(dtype=torch.{own})."
        )
    if len(latents) == 0:
        raise SemanifoldError("There is no code to work on; give at least one seed or latent.")


def check_differentiable(generator: Generator, code: Latents) -> None:
    """See :meth:`Generator.check_differentiable`."""
    with torch.enable_grad():
        probe = code[0].with_values(code.values[:1].detach().requires_grad_())
        if not generator.images(probe).requires_grad:
            raise SemanifoldError(
                f"The pictures of {generator.name} cannot be differentiated; take no_grad(), detach() and numpy out of its code."
            )
