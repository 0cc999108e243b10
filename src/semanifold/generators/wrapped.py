"""Any network or function as a generator."""

from __future__ import annotations

import copy
import inspect
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from semanifold.core.errors import SemanifoldError, first_line, shown
from semanifold.core.latents import LABELS, Latents
from semanifold.core.shapes import Pictures
from semanifold.core.spaces import Space, named
from semanifold.generators.base import Generator
from semanifold.generators.convolutional import averaged
from semanifold.generators.seeds import uniform
from semanifold.storage.digests import digest

Prior = Literal["normal", "uniform"]

MOST_NUMBERS = 100_000_000
"""Numbers of one code."""
SAME = 1e-4
"""How far, of its largest value, a picture may change when it is made again: GPUs do not add in a fixed order."""
ALIKE = 1e-2
"""How far it may change among others: convolutions of another batch size may be computed in another way."""


def wrap(
    module: nn.Module | Callable[..., Tensor],
    latent_shape: int | Sequence[int],
    *,
    space: str = "z",
    prior: Prior = "normal",
    pixel_range: tuple[float, float] = (-1.0, 1.0),
    classes: int = 0,
    conditions: Mapping[str, Sequence[int]] | None = None,
    name: str | None = None,
    licence: str = "unknown",
    source: str = "unknown",
) -> Generator:
    """Make a generator of a network or function that turns codes ``[n, *latent_shape]`` into pictures ``[n, c, h, w]``.

    A module is copied, and the copy frozen and put into evaluation mode: yours is never changed, and later changes of yours do
    not reach the generator. A function is called as it is, with a copy of the codes; whatever weights it uses are yours to keep
    still. A few pictures are made at once, to find out their shape and whether they depend on the code alone.

    Args:
        module: the network; what it returns must depend on the codes (and labels) alone.
        latent_shape: shape of one code, such as ``(100, 1, 1)``; ``512`` is short for ``(512,)``.
        space: name of the space that the codes live in.
        prior: how codes are drawn: standard normal, or uniform in [-1, 1].
        pixel_range: values of black and white in its pictures, such as ``(0, 1)`` behind a sigmoid; rescaled to [-1, 1].
        classes: number of classes of a network that is called as ``module(codes, labels)``, with labels ``[n, classes]`` whose
            rows add up to 1 (a network that takes numbers of classes is wrapped as
            ``lambda codes, labels: network(codes, labels.argmax(1))``); 0 for one that takes codes only.
        conditions: what else the network is called with, by the names of its arguments, and the shape of one each: a network with
            ``conditions={"text": (77, 768)}`` is called as ``module(codes, text=tensor)``, ``tensor`` of ``[n, 77, 768]``.
        name: what people call it, in files and messages; better given, since it is otherwise made of the class or function.
        licence: licence of the weights.
        source: where the weights are from.

    Raises:
        SemanifoldError: if the network does not take such codes, does not return pictures, or not always the same ones.
    """
    if isinstance(module, Generator):
        raise SemanifoldError(f"{module.name} is a generator already; use it as it is.")
    if not callable(module):
        raise SemanifoldError(f"A network or a function is wrapped, but this is of type {type(module).__name__}.")
    if prior not in ("normal", "uniform"):
        raise SemanifoldError(f"There is no prior {prior!r}; choose 'normal' or 'uniform' (in [-1, 1]).")
    if isinstance(classes, bool) or not isinstance(classes, int) or classes < 0:
        raise SemanifoldError(f"classes is a number of classes, 0 for none, but {shown(repr(classes), 40)} was given.")
    made = Wrapped(
        module,
        Space(space, _shape(latent_shape)),
        prior=prior,
        pixel_range=_range(pixel_range),
        classes=classes,
        conditions=_condition_shapes(conditions),
        name=name,
    )
    made.licence, made.source = licence, source
    check_steady(made)
    return made


def _shape(sizes: int | Sequence[int]) -> tuple[int, ...]:
    try:
        shape = tuple(map(operator.index, sizes if isinstance(sizes, Sequence) else [sizes]))
    except TypeError:
        shape = ()
    if not shape or min(shape) < 1 or math.prod(shape) > MOST_NUMBERS:
        raise SemanifoldError(
            f"The latent shape {shown(repr(sizes), 40)} must be one or more positive sizes, such as (512,), of at most "
            f"{MOST_NUMBERS:,} numbers in all."
        )
    return shape


def _condition_shapes(shapes: Mapping[str, Sequence[int]] | None) -> dict[str, tuple[int, ...]]:
    if shapes is not None and not isinstance(shapes, Mapping):
        raise SemanifoldError("Conditions are given as the shape of one each, by name, such as {'text': (77, 768)}.")
    for name in shapes or {}:
        if not isinstance(name, str) or not name.isidentifier() or name == LABELS:
            raise SemanifoldError(
                f"A condition is called as an argument of the network is, such as 'text', not {shown(repr(name), 40)}; "
                "classes= asks for labels."
            )
    return {name: _shape(shape) for name, shape in (shapes or {}).items()}


def _range(bounds: tuple[float, float]) -> tuple[float, float]:
    try:
        low, high = map(float, bounds)
    except (TypeError, ValueError):
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise SemanifoldError(
            f"The pixel range {shown(repr(bounds), 40)} must be two finite numbers, the smaller first, such as (0, 1)."
        )
    return low, high


def undrawn(device: torch.device) -> AbstractContextManager[None]:
    """Put the global random state back after this context: a network of somebody else may draw from it, and takes no other."""
    return torch.random.fork_rng([device] if device.type == "cuda" else [])


@torch.no_grad()
def check_steady(generator: Generator) -> None:
    """Refuse a generator that has noise of its own, or whose pictures depend on the codes beside them.

    Raises:
        SemanifoldError: saying what to do about it.
    """
    codes = generator.example([0, 1])
    with undrawn(generator.device):
        alone = generator.images(codes[0])
        state = torch.get_rng_state()
        try:
            pair, again = generator.images(codes), generator.images(codes)
            # Two draws of noise may be alike by chance, ten are not; a network that draws may still make no use of it.
            for _ in range(0 if torch.equal(state, torch.get_rng_state()) else 8):
                other = generator.images(codes)
                again = torch.where((other - pair).abs() > (again - pair).abs(), other, again)
        except SemanifoldError as error:
            if error.__cause__ is None:
                raise
            why = first_line(error.__cause__)
            raise SemanifoldError(f"{generator.name} takes one code, but not two at once: {why}.") from error
    scale = float(alone.abs().max()) or 1.0
    if float((again - pair).abs().max()) > SAME * scale:
        raise SemanifoldError(
            f"{generator.name} makes another picture of the same code each time: it has noise of its own; draw the noise once "
            "and use the same in every call, and put dropout and batch norm into evaluation mode."
        )
    if float((pair[:1] - alone).abs().max()) > ALIKE * scale:
        raise SemanifoldError(
            f"A picture of {generator.name} depends on the other codes of its batch; put batch norm into evaluation mode, and "
            "let every code be worked on alone."
        )


class Wrapped(Generator):
    """The generator that :func:`wrap` makes."""

    shares_frames: ClassVar[bool] = False  # a network of somebody else may look at the size of its batch

    def __init__(
        self,
        module: nn.Module | Callable[..., Tensor],
        space: Space,
        *,
        prior: Prior,
        pixel_range: tuple[float, float],
        classes: int = 0,
        conditions: Mapping[str, tuple[int, ...]] | None = None,
        name: str | None = None,
    ) -> None:
        """See :func:`wrap`."""
        super().__init__()
        self.network = _copy(module) if isinstance(module, nn.Module) else module
        self.prior: Prior = prior
        self.pixel_range, self.spaces, self.classes = pixel_range, named(space), classes
        self.others = dict(conditions or {})
        self.name = name or _name_for(module)
        if not any(value.is_floating_point() for value in self.state_dict().values()):
            # without weights, this says on which device and in which precision codes are drawn
            self.register_buffer("anchor", torch.zeros(()))
        self.freeze()
        self.picture_shape = self._probe()

    def _probe(self) -> tuple[int, int, int]:
        """Find the shape of the pictures by making one."""
        space, shape = self.first_space, self.spaces[self.first_space].shape
        codes = self.example([0])
        beside = "".join(f" and {name} {[1, *size]}" for name, size in self.conditions.items())
        try:
            with torch.no_grad(), undrawn(self.device):
                picture = self._called(codes)
        except Exception as error:  # anything may go wrong in a network of somebody else
            raise SemanifoldError(
                f"{self.name} does not take codes {[1, *shape]} of space {space}{beside}: {first_line(error)}; "
                "check the latent shape."
            ) from error
        if not isinstance(picture, Tensor) or picture.ndim != 4 or len(picture) != 1 or not picture.numel():
            got = list(picture.shape) if isinstance(picture, Tensor) else type(picture).__name__
            raise SemanifoldError(
                f"{self.name} must return pictures [n, c, h, w], but for one code it returned {got}; wrap a function that does."
            )
        if not picture.is_floating_point() or picture.layout != torch.strided or picture.is_meta:
            kind = "meta" if picture.is_meta else str(picture.dtype if picture.layout == torch.strided else picture.layout)
            raise SemanifoldError(
                f"{self.name} must return plain tensors of floating numbers, but it returned {kind.removeprefix('torch.')}; "
                "values from 0 to 255 are fine as floats with pixel_range=(0, 255)."
            )
        if not torch.isfinite(picture).all():
            raise SemanifoldError(f"{self.name} made a picture with NaN or infinite values; check its weights.")
        return (picture.shape[1], picture.shape[2], picture.shape[3])

    def _called(self, latents: Latents) -> Tensor:
        """Return what the network makes of a copy of the codes: it may work in place."""
        labels = [self.condition(latents, LABELS).clone()] if self.classes else []
        others = {name: self.condition(latents, name).clone() for name in self.others}
        return self.network(latents.values.clone(), *labels, **others)

    @property
    def conditions(self) -> Mapping[str, tuple[int, ...]]:
        """See :attr:`Generator.conditions`."""
        return {**super().conditions, **self.others}

    def _checked(self, latents: Latents) -> Tensor:
        """Return what the network makes of codes, if it is what it made of the first one: it may do anything at a later call.

        Raises:
            SemanifoldError: if it fails, or returns anything else.
        """
        try:
            pictures = self._called(latents)
        except SemanifoldError:
            raise
        except Exception as error:  # anything may go wrong in a network of somebody else
            raise SemanifoldError(f"{self.name} failed at {len(latents)} codes: {first_line(error)}.") from error
        if not isinstance(pictures, Tensor) or tuple(pictures.shape) != (len(latents), *self.picture_shape):
            came = list(pictures.shape) if isinstance(pictures, Tensor) else type(pictures).__name__
            raise SemanifoldError(
                f"{self.name} must return one picture per code, each {list(self.picture_shape)} as the first one, but for "
                f"{len(latents)} codes it returned {came}."
            )
        if not pictures.is_floating_point() or pictures.layout != torch.strided or pictures.is_meta:
            raise SemanifoldError(f"{self.name} must return plain tensors of floating numbers, as it did at first.")
        return pictures

    @property
    def is_normal(self) -> bool:
        """See :attr:`Generator.is_normal`."""
        return self.prior == "normal"

    def draw(self, seed: int) -> Tensor:
        """See :meth:`Generator.draw`; normal or uniform in [-1, 1]."""
        if self.prior == "normal":
            return super().draw(seed)
        return uniform(seed, self.spaces[self.first_space].shape) * 2 - 1

    def images(self, latents: Latents, *, size: int | None = None) -> Pictures:
        """See :meth:`Generator.images`; smaller pictures are area averages, of height ``size`` and width in proportion."""
        self.check_shape(latents)
        low, high = self.pixel_range
        pictures = self._checked(latents).to(latents.values.dtype)
        if (low, high) != (-1, 1):
            pictures = (pictures - low) * (2 / (high - low)) - 1
        return averaged(pictures, size, self.name)

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits: of the weights, or for a plain function of its source text."""
        if isinstance(self.network, nn.Module):
            return Generator.fingerprint.func(self)
        return digest(_function_text(self.network))


def _copy(module: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(module)
    except Exception as error:  # a module of somebody else may hold anything
        raise SemanifoldError(
            f"{type(module).__name__} cannot be copied: {first_line(error)}; give a function that calls it instead."
        ) from error


def _name_for(module: object) -> str:
    """Return the name of a function; of a module or object, which have none, a name made of their class."""
    name = getattr(module, "__name__", "")
    return name if isinstance(name, str) and name.isidentifier() else f"wrapped {type(module).__name__}"


def _function_text(function: Callable[..., Tensor]) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):  # made at a prompt, or a callable object
        return f"{type(function).__module__}.{getattr(function, '__name__', type(function).__name__)}"
