"""Any network or function as a generator."""

from __future__ import annotations

import copy
import hashlib
import inspect
import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor, nn

from semanifold.errors import SemanifoldError
from semanifold.generators.base import Generator
from semanifold.generators.convolutional import averaged
from semanifold.latents import Latents

Prior = Literal["normal", "uniform"]


def wrap(
    module: nn.Module | Callable[[Tensor], Tensor],
    latent_shape: Sequence[int],
    *,
    space: str = "z",
    prior: Prior = "normal",
    pixel_range: tuple[float, float] = (-1.0, 1.0),
    name: str | None = None,
    licence: str = "unknown",
    source: str = "unknown",
) -> Generator:
    """Make a generator of a network or function that turns codes ``[n, *latent_shape]`` into pictures ``[n, c, h, w]``.

    A module is copied, and the copy frozen and put into evaluation mode: yours is never changed, and later changes of yours do
    not reach the generator. A function is called as it is; whatever weights it uses are yours to keep still.

    Args:
        module: the network; what it returns must depend on the codes alone.
        latent_shape: shape of one code, such as ``(512,)`` or ``(100, 1, 1)``.
        space: name of the space that the codes live in.
        prior: how codes are drawn: standard normal, or uniform in [-1, 1].
        pixel_range: values of black and white in its pictures, such as ``(0, 1)`` behind a sigmoid; rescaled to [-1, 1].
        name: what people call it; the class or function name when None.
        licence: licence of the weights.
        source: where the weights came from.

    Raises:
        SemanifoldError: if the network does not take such codes, or does not return pictures.
    """
    if isinstance(module, Generator):
        raise SemanifoldError(f"{module.name} is a generator already; use it as it is.")
    if prior not in ("normal", "uniform"):
        raise SemanifoldError(f"There is no prior {prior!r}; choose 'normal' or 'uniform' (in [-1, 1]).")
    low, high = pixel_range
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise SemanifoldError(f"The pixel range {pixel_range} must be two finite numbers, the smaller first, such as (0, 1).")
    shape = tuple(latent_shape)
    if not shape or any(side < 1 for side in shape):
        raise SemanifoldError(f"The latent shape {shape} must be one or more positive sizes, such as (512,).")
    made = Wrapped(module, {space: shape}, prior=prior, pixel_range=(low, high))
    made.name, made.licence, made.source = name or made.name, licence, source
    return made


class Wrapped(Generator):
    """The generator that :func:`wrap` makes."""

    def __init__(
        self,
        module: nn.Module | Callable[[Tensor], Tensor],
        spaces: dict[str, tuple[int, ...]],
        *,
        prior: Prior,
        pixel_range: tuple[float, float],
    ) -> None:
        """See :func:`wrap`."""
        super().__init__()
        self.network = _copy(module) if isinstance(module, nn.Module) else module
        self.prior: Prior = prior
        self.pixel_range, self.spaces = pixel_range, spaces
        self.name = type(module).__name__ if isinstance(module, nn.Module) else _function_name(module)
        if not any(value.is_floating_point() for value in self.state_dict().values()):
            # without weights, this says on which device and in which precision codes are drawn
            self.register_buffer("anchor", torch.zeros(()))
        self.freeze()
        self.picture_shape = self._probe()

    def _probe(self) -> tuple[int, int, int]:
        """Find the shape of the pictures by making one."""
        space, shape = next(iter(self.spaces.items()))
        code = self.draw(0)[None].to(self.device, self.dtype)
        try:
            with torch.no_grad():
                picture = self.network(code)
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            raise SemanifoldError(
                f"{self.name} does not take codes {[1, *shape]} of space {space}: {first_line(error)}; check the latent shape."
            ) from error
        if not isinstance(picture, Tensor) or picture.ndim != 4 or len(picture) != 1:
            came = list(picture.shape) if isinstance(picture, Tensor) else type(picture).__name__
            raise SemanifoldError(
                f"{self.name} must return pictures [n, c, h, w], but for one code it returned {came}; wrap a function that does."
            )
        if not torch.isfinite(picture).all():
            raise SemanifoldError(f"{self.name} made a picture with NaN or infinite values; check its weights.")
        return (picture.shape[1], picture.shape[2], picture.shape[3])

    def draw(self, seed: int) -> Tensor:
        """See :meth:`Generator.draw`; normal or uniform in [-1, 1]."""
        if self.prior == "normal":
            return super().draw(seed)
        shape = next(iter(self.spaces.values()))
        return torch.rand(shape, generator=torch.Generator().manual_seed(int(seed))) * 2 - 1

    def images(self, latents: Latents, *, size: int | None = None) -> Tensor:
        """See :meth:`Generator.images`; smaller pictures are area averages, of height ``size`` and width in proportion."""
        self.check_shape(latents)
        low, high = self.pixel_range
        pictures = self.network(latents.values)
        if (low, high) != (-1, 1):
            pictures = (pictures - low) * (2 / (high - low)) - 1
        return averaged(pictures, size, self.name)

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits: of the weights, or for a plain function of its source text."""
        if isinstance(self.network, nn.Module):
            return Generator.fingerprint.func(self)
        return hashlib.sha256(_function_text(self.network).encode()).hexdigest()[:16]


def _copy(module: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(module)
    except (RuntimeError, TypeError) as error:
        raise SemanifoldError(
            f"{type(module).__name__} cannot be copied: {first_line(error)}; give a function that calls it instead."
        ) from error


def first_line(error: Exception) -> str:
    """The first line of PyTorch's sometimes long messages."""
    return str(error).partition("\n")[0][:200]


def _function_name(function: Callable[[Tensor], Tensor]) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _function_text(function: Callable[[Tensor], Tensor]) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):  # made at a prompt, or a callable object
        return f"{type(function).__module__}.{_function_name(function)}"
