"""Generator: a frozen, differentiable map from latents to pictures."""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from semanifold.core.errors import SemanifoldError, near_names, of_type, shown
from semanifold.core.latents import LABELS, Latents
from semanifold.core.notebook import as_html
from semanifold.core.shapes import Pictures
from semanifold.core.spaces import Space, single
from semanifold.core.world import World, world_of
from semanifold.generators import seeds as seeds_
from semanifold.generators.capabilities import Capabilities
from semanifold.generators.checks import check_differentiable, check_shape
from semanifold.generators.conditions import checked_conditions, condition_of
from semanifold.generators.seeds import Seeds
from semanifold.images.media import contact_sheet, to_uint8
from semanifold.storage.digests import digest

if TYPE_CHECKING:
    from PIL import Image

    from semanifold.images.masks import Mask, Regions

PATIENCE = 0.5
"""Seconds after which no further picture is drawn for a notebook."""

UNKNOWN = "unknown"
"""What files say that do not name their generator or its weights."""


class Generator(Capabilities, nn.Module, ABC):
    """A frozen, differentiable map ``Latents -> Images``; nobody changes its weights.

    Images are NCHW float, nominally in [-1, 1], not clamped. ``forward`` is :meth:`images`, so that
    ``torch.func.functional_call`` can run the generator with other weights.

    Attributes:
        name: what people call it.
        spaces: latent spaces by their names; the first is the one that :meth:`sample` draws from.
        picture_shape: ``(channels, height, width)``.
        classes: number of classes of a class-conditional generator, else 0.
        licence: licence of the weights, as far as known.
        source: where the weights are from (path, URL or citation).
        config: sizes of the network, a frozen dataclass of plain values, of those that files hold.
        shares_frames: whether one code may meet several weights: features of one sample then become those of n samples at the
            first layer whose weights differ, and what comes before is worked out once.
    """

    name: str
    spaces: Mapping[str, Space]
    picture_shape: tuple[int, int, int]
    classes: int = 0
    licence: str = "unknown"
    source: str = "unknown"
    config: Any = None
    shares_frames: ClassVar[bool] = True

    @abstractmethod
    def images(self, latents: Latents, *, size: int | None = None) -> Pictures:
        """Return the pictures ``[n, c, h, w]`` of latents in any of :attr:`spaces`.

        Args:
            latents: n codes.
            size: height of a smaller picture for coarse work, whose width is in proportion; the native size when None.
        """

    def coarse_size(self, size: int) -> int | None:
        """Return the least height of at least ``size`` that :meth:`images` makes pictures of; None for their own."""
        return size if size < self.picture_shape[1] else None

    def in_frame(self, features: Tensor) -> Tensor:
        """Return the part of a layer's features ``[n, c, h, w]`` that lies within the picture: all of most generators."""
        return features

    def convert(self, latents: Latents, space: str) -> Latents:
        """Carry codes over into another space of this generator (``z`` to ``w`` to ``w+``); differentiable.

        Raises:
            SemanifoldError: if there is no such way (``w`` back to ``z``).
        """
        self.check_space(space)
        if latents.space == space:
            return latents
        raise SemanifoldError(f"{self.name} has no way from space {latents.space} to {space}.")

    def sample(
        self,
        seeds: Seeds,
        space: str | None = None,
        *,
        labels: Tensor | Sequence[int] | int | None = None,
        conditions: Mapping[str, Tensor] | None = None,
    ) -> Latents:
        """Draw one code per seed, independent of the batch size, the device and the global random state.

        Args:
            seeds: one whole number per code, of any size; distinct ones give distinct codes. For a generator that makes pictures
                of pictures, a file or a folder of inputs may take their place; see :meth:`codes_in`.
            space: the space that the result lives in; the first of :attr:`spaces` when None.
            labels: for a class-conditional generator: one class index for all, ``[n]`` indices, or ``[n, classes]`` weights.
            conditions: for a generator that has others: ``[n, ...]`` per name, or ``[1, ...]`` for all; see :attr:`conditions`.

        Raises:
            SemanifoldError: for a space, a class or a condition that is not there, or a condition that is missing.
        """
        if isinstance(seeds, (str, os.PathLike)):
            return self.convert(self.codes_in(seeds), space or self.first_space)
        drawn = torch.stack([self.draw(seed) for seed in seeds_.seed_numbers(seeds)])
        first = self.first_space
        latents = Latents(drawn.to(self.device, self.dtype), first, checked_conditions(self, labels, conditions, len(drawn)))
        if space is not None:
            self.check_space(space)
        return self.convert(latents, space or first)

    def sample_like(self, code: Latents, seeds: int | Sequence[int], space: str | None = None) -> Latents:
        """Draw one code per seed, all under the conditions of one given code, such as its class.

        A code of ``w`` that was read from a file may have none: then classes take turns. See :meth:`sample`.
        """
        seeds = seeds_.seed_numbers(seeds)
        conditions = {name: value[:1] for name, value in code.conditions.items()}
        labels = conditions.pop(LABELS, None)
        if self.classes:
            labels = torch.arange(len(seeds)) % self.classes if labels is None else labels.expand(len(seeds), -1)
        return self.sample(seeds, space, labels=labels, conditions=conditions)

    def example(self, seeds: Seeds = 0, space: str | None = None, *, in_turn: bool = False) -> Latents:
        """Draw codes whose conditions do not matter, to try the generator out.

        Args:
            seeds: one whole number per code.
            space: of the codes; the first when None.
            in_turn: whether classes take turns; all codes are of the first one otherwise. Other conditions are zeros.
        """
        zeros = {name: torch.zeros(1, *shape) for name, shape in self.conditions.items() if name != LABELS}
        labels = None
        if self.classes:
            labels = torch.arange(len(seeds_.seed_numbers(seeds))) % self.classes if in_turn else 0
        return self.sample(seeds, space, labels=labels, conditions=zeros)

    @property
    def conditions(self) -> Mapping[str, tuple[int, ...]]:
        """What pictures depend on beside the codes: the shape of one row of each, by name, such as ``labels``."""
        return {LABELS: (self.classes,)} if self.classes else {}

    def condition(self, latents: Latents, name: str) -> Tensor:
        """Return a condition ``[n, ...]`` of codes.

        Raises:
            SemanifoldError: if they have none of that name, or of another shape.
        """
        return condition_of(self, latents, name)

    def draw(self, seed: int) -> Tensor:
        """Return one code of the first space for one seed, float32 on the CPU; standard normal unless a leaf says otherwise."""
        return seeds_.normal(seed, self.spaces[self.first_space].shape)

    @property
    def first_space(self) -> str:
        """The space that codes are drawn from."""
        return next(iter(self.spaces))

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of one code in each of :attr:`spaces`."""
        return {name: space.shape for name, space in self.spaces.items()}

    @property
    def path_space(self) -> str:
        """The space that sets of paths live in unless a person says otherwise: one code for all layers, if there is one."""
        return next(
            (single(name) for name in self.spaces if single(name) != name and single(name) in self.spaces), self.first_space
        )

    @property
    def search_space(self) -> str:
        """The space that masked changes are looked for in unless a person says otherwise: a code per layer, if there is one."""
        return next((name for name, space in self.spaces.items() if space.layers), self.first_space)

    @property
    def is_normal(self) -> bool:
        """Whether codes of the first space are drawn from a standard normal distribution."""
        return type(self).draw is Generator.draw

    @cached_property
    def world(self) -> World | None:
        """The world that the pictures show, of which it is known how they are made; None of most generators.

        That is a matter of the weights, not of the name; a generator with other weights in some layers shows the same world.
        """
        return world_of(self.fingerprint)

    def regions(self, code: Latents | int | None = None) -> Regions:
        """Return the function that finds the masks of named regions on one picture.

        They are those of the world that the pictures show; in others those of a face, if one is found in the picture.

        Args:
            code: the code or the seed of the picture; without it every name is refused.
        """
        latents = None if code is None else as_latents(code, self)
        if self.world is not None:
            return self.world.masks(self, latents)
        from semanifold.landmarks.regions import face_regions  # noqa: PLC0415  (only asked for by names)

        def picture() -> Tensor:
            if latents is None or len(latents) != 1:
                raise SemanifoldError("A named region belongs to one picture; say which by a seed or a code.")
            if self.picture_shape[0] not in (1, 3):
                raise SemanifoldError("A picture is searched for faces in colour or in grey; draw a shape instead.")
            with torch.no_grad():
                return self.images(latents)[0]

        return face_regions(picture, f"the picture of {shown(self.name, 40)}")

    def clicked(self, x: float, y: float, code: Latents | int | None, by: Literal["features", "sam"] = "features") -> Mask:
        """Return the mask of what belongs together at a point of one picture; see :mod:`semanifold.generators.parts`.

        Args:
            x: of the point, from 0 at the left to 1 at the right.
            y: of the point, from 0 at the top to 1 at the bottom.
            code: the code or the seed of the picture.
            by: the generator's own features, or Segment Anything 2.1, which knows things of its own training only.

        Raises:
            SemanifoldError: without a code, for a point off the picture, for a generator without feature maps (by these), and
                without the extra ``sam`` or its model (by that).
        """
        from semanifold.generators.parts import clicked, clicked_by_sam  # noqa: PLC0415  (it knows generators)

        if by not in ("features", "sam"):
            raise SemanifoldError(f"What belongs together is found by 'features' or by 'sam', not by {shown(str(by), 40)!r}.")
        find = clicked_by_sam if by == "sam" else clicked
        return find(self, x, y, None if code is None else as_latents(code, self))

    def with_weights(self, weights: Mapping[str, Tensor]) -> Self:
        """Return another generator that has other weights in some layers and shares all other tensors with this one.

        Args:
            weights: by layer, such as ``{"convs.4": tensor}``: a tensor of the shape of its weight.

        Raises:
            SemanifoldError: if there is no such layer, or a weight has another shape or holds NaN or infinite values.
        """
        from semanifold.generators.editing import with_weights  # noqa: PLC0415  (it knows generators)

        return with_weights(self, weights)

    def forward(self, latents: Latents, **options: Any) -> Tensor:
        """The same as :meth:`images`, with the same options."""
        return self.images(latents, **options)

    def check(self, latents: Latents) -> None:
        """Refuse codes of an unknown space, of the wrong shape, of no code at all, or with NaN or infinite values.

        Raises:
            SemanifoldError: naming what was given and what was expected.
        """
        self.check_shape(latents)
        if not torch.isfinite(latents.values).all():
            raise SemanifoldError("The latent codes hold NaN or infinite values; check the file that they come from.")

    def check_shape(self, latents: Latents) -> None:
        """The part of :meth:`check` that looks at no value, and so works under ``vmap`` and without waiting for a GPU."""
        check_shape(self, latents)

    def check_space(self, space: str) -> None:
        """Refuse a space that this generator does not have."""
        of_type(space, str, "A latent space is given by its name")
        if space not in self.spaces:
            raise SemanifoldError(f"{self.name} has no latent space {shown(space, 40)!r}: {near_names(space, self.spaces)}")

    def check_differentiable(self, code: Latents) -> None:
        """Refuse a generator whose pictures do not depend on a code in a way that can be differentiated.

        Raises:
            SemanifoldError: for a function that runs under ``torch.no_grad()``, or leaves torch on its way.
        """
        check_differentiable(self, code)

    def freeze(self) -> Generator:
        """Switch to evaluation mode without weight gradients and return self; every leaf calls it once, when it is made."""
        return self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode, also inside of a module that is trained: pictures depend on the codes alone."""
        return super().train(False)

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that name these weights: SHA-256 of names, shapes and float32 values."""
        return digest(self.state_dict())

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next((t.device for t in chain(self.parameters(), self.buffers())), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        floats = (t.dtype for t in chain(self.parameters(), self.buffers()) if t.is_floating_point())
        return next(floats, torch.float32)

    def __repr__(self) -> str:
        spaces = ", ".join(f"{name} {list(shape)}" for name, shape in self.shapes.items())
        channels, height, width = self.picture_shape
        classes = f", {self.classes} classes" if self.classes else ""
        return f"{type(self).__name__}({shown(self.name)!r}: {spaces} -> {channels} x {height} x {width}{classes})"

    def glimpse(self, most: int = 8) -> Image.Image:
        """Return a sheet of the pictures of seeds 0, 1, ...; fewer of a generator that takes long for one."""
        began, frames, codes = time.monotonic(), [], self.example(range(most), in_turn=True)
        with torch.no_grad():
            while len(frames) < most and (not frames or time.monotonic() - began < PATIENCE):
                frames.append(to_uint8(self.images(codes[len(frames)]))[0])
        return contact_sheet(frames[: len(frames) // 4 * 4 or None], columns=4)  # whole rows

    def _repr_html_(self) -> str | None:
        """Show a notebook a few pictures."""
        return as_html(repr(self), self.glimpse)


def origin(generator: str) -> str:
    """Return what a message calls the generator that something was made for; many files do not name it."""
    return "another generator" if generator == UNKNOWN else generator


def as_latents(latents: Latents | int | Sequence[int] | str, generator: Generator | None, space: str | None = None) -> Latents:
    """Return codes in any of their forms: themselves, on the generator's device and in its precision, or the codes of seeds.

    Args:
        latents: codes, a seed, several seeds, or a file or folder of inputs for a generator that makes pictures of pictures.
        generator: the generator; None for a function that got none, which then cannot take seeds.
        space: the space of the codes that seeds become; the generator's first when None.

    Raises:
        SemanifoldError: for anything else, and for seeds without a generator.
    """
    if generator is not None and not isinstance(generator, Generator):
        raise SemanifoldError(
            f"A generator is expected, as by load_generator or wrap, but a value of type {shown(type(generator).__name__, 40)} "
            "was given."
        )
    if isinstance(latents, Latents):
        same = generator is None or (latents.values.device, latents.values.dtype) == (generator.device, generator.dtype)
        return latents if same or generator is None else latents.to(generator.device, generator.dtype)
    if isinstance(latents, (str, os.PathLike)) and generator is not None:
        return generator.sample(latents, space)
    if isinstance(latents, Tensor) and latents.is_floating_point():
        raise SemanifoldError("These codes do not say in which space they are; give Latents(values, 'w') or another space.")
    seeds = seeds_.seed_numbers(latents)
    if generator is None:
        raise SemanifoldError(f"A seed, such as {seeds[0]}, becomes a code by its generator; give generator= as well.")
    return generator.sample(seeds, space)
