"""PathSet: K paths that belong together and can be trained."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Self

import msgspec
import torch
from torch import Tensor, nn

from semanifold.core.errors import SemanifoldError, of_type, shown
from semanifold.core.latents import Latents
from semanifold.core.plain import JsonObject
from semanifold.core.shapes import Codes, EachCode, Paths, Pictures
from semanifold.edits import Edit, EditInfo, LatentEdit
from semanifold.edits.base import check_layer_range, settle_texts
from semanifold.edits.flow import MOST_STEPS
from semanifold.generators.base import Generator, as_latents, origin
from semanifold.paths.finding import find_path, path_name
from semanifold.storage.records import settle

LONGEST_STEP, LONGEST_NAME = 1_000_000, 100
"""Length of a step: its square has to fit into float32."""
MOST_T = 1000.0
"""Ends of the usable range of a path."""
APART = 3_000_000_000
"""First seed of the codes that sets are made from; PyTorch tells seeds apart by their last 32 bits only."""


@dataclass(frozen=True)
class PathSetInfo:
    """What a set's file says about it: where its paths live, what they were made with, how far they go, what they are called.

    Attributes:
        method: how the paths were found, such as ``"warped paths"``.
        space: latent space of the codes.
        layers: ``(first, last + 1)`` layers of ``w+`` that move, or None for all.
        generator: name of the generator.
        fingerprint: fingerprint of its weights; ``"unknown"`` for sets that people exchange without one.
        mask: where the paths change pictures, as the user wrote it, if they were found inside a mask.
        step: length of one step in the latent space; the magnitude that a path is traced in.
        count: steps from ``t = 0`` to ``t = 1``.
        names: what paths are called, ``"smile +"``, by their index; a path without a name is called ``path 12``.
        measured: numbers per path, by what they are: ``low`` and ``high`` (the usable range of t), ``evenness`` (smallest over
            largest speed in it), ``eigenvalue``, ``residual``, ``outside_inside`` (ratio of squared changes of a mask's sides).
        cite: papers to cite.
    """

    method: str = "unknown"
    space: str = "z"
    layers: tuple[int, int] | None = None
    generator: str = "unknown"
    fingerprint: str = "unknown"
    mask: str = ""
    step: float = 0.2
    count: int = 16
    names: Mapping[int, str] = field(default_factory=dict)
    measured: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    cite: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no file could give back, and steps that cannot be walked."""
        settle(self)
        settle_texts(self)
        object.__setattr__(self, "names", {index: shown(text, LONGEST_NAME) for index, text in self.names.items()})
        check_layer_range(self.layers)
        if not (0 < self.step <= LONGEST_STEP and 1 <= self.count <= MOST_STEPS):
            raise SemanifoldError(
                f"A path takes at least 1 step, at most {MOST_STEPS:,}, of a length above 0, at most {LONGEST_STEP:,}, but "
                f"{shown(str(self.count), 20)} steps of {self.step:g} were given."
            )

    def of(self, count: int) -> PathSetInfo:
        """Return this info if it can be that of so many paths.

        Raises:
            SemanifoldError: if it names others, or measured more or fewer, or what was measured makes no sense.
        """
        if not all(0 <= index < count for index in self.names):
            raise SemanifoldError(f"Names are those of paths 0..{count - 1}, but it names paths that there are not.")
        if any(len(numbers) != count for numbers in self.measured.values()) or not all(
            -MOST_T <= low <= 0 <= high <= MOST_T for low, high in map(self.usable, range(count))
        ):
            raise SemanifoldError(f"What was measured of its paths makes no sense; numbers of {count} paths are expected.")
        return self

    def usable(self, index: int) -> tuple[float, float]:
        """Return the range of t in which a path's pictures keep changing and stay good, as far as it was measured."""
        low, high = self.measured.get("low"), self.measured.get("high")
        return (-1.0, 1.0) if low is None or high is None else (low[index], high[index])


Size = Annotated[int, msgspec.Meta(ge=1, le=1 << 24)]
Shape = Annotated[list[Size], msgspec.Meta(min_length=1, max_length=4)]


class SetOptions(msgspec.Struct):
    """What a file must say of a set, beside its numbers and its info, to make it again; leaves add their own.

    Attributes:
        count: K.
    """

    count: Size

    @property
    def size(self) -> int:
        """Numbers of one code that a path moves, which multiply with its steps; 0 where codes stay."""
        return 0


class PathSet(nn.Module, ABC):
    """K paths that belong together; a module whose parameters a trainer may change.

    ``paths[k]`` or ``paths["smile"]`` is an :class:`Edit`; :meth:`shifted_images` moves a batch in which every sample may use
    another path.

    Attributes:
        info: what the file says about the set.
        kind: what files call this leaf.
        schema: of its :meth:`options`.
        moves_weights: whether weights move, and codes of any space will do; else codes move.
    """

    kind: ClassVar[str]
    schema: ClassVar[type[SetOptions]]
    moves_weights: ClassVar[bool] = False
    info: PathSetInfo

    @abstractmethod
    def __len__(self) -> int:
        """Return K."""

    @abstractmethod
    def edit(self, index: int, info: EditInfo) -> Edit:
        """Return one path as an edit, with ``t`` from -1 to 1 over ``info.count`` steps either way, detached from the set."""

    @abstractmethod
    def options(self) -> JsonObject:
        """Return the JSON-ready arguments that, with :meth:`state_dict`, make the set again."""

    @classmethod
    @abstractmethod
    def from_options(cls, options: Mapping[str, Any], info: PathSetInfo) -> Self:
        """Make a set of the sizes in ``options``, which are those of :attr:`schema`; its weights are about to be loaded."""

    def __getitem__(self, which: int | str) -> Edit:
        """Return a path by its index (negative ones count from the end) or its name."""
        index = self.find(which)
        info = self.info
        return self.edit(
            index,
            EditInfo(
                name=self.name_of(index),
                method=info.method,
                space=info.space,
                layers=info.layers,
                generator=info.generator,
                fingerprint=info.fingerprint,
                mask=info.mask,
                usable=info.usable(index),
                cite=info.cite,
            ),
        )

    def __iter__(self) -> Iterator[Edit]:
        """Yield every path."""
        return (self[index] for index in range(len(self)))

    def find(self, which: int | str) -> int:
        """Return the index of a path by its index or its name (a name without its sign will do).

        Raises:
            SemanifoldError: if there is no such path; near names are listed.
        """
        of_type(which, (int, str), "A path is called by its number or its name")
        return find_path(which, len(self), self.info.names)

    def name_of(self, index: int) -> str:
        """Return what a path is called."""
        return path_name(index, self.info.names)

    def with_info(self, **changes: Any) -> Self:
        """Return a set that shares the parameters of this one and says something else about itself."""
        with torch.device("meta"):
            other = type(self).from_options(self.options(), replace(self.info, **changes))
        other.load_state_dict(self.state_dict(), assign=True)
        return other.train(self.training).requires_grad_(any(p.requires_grad for p in self.parameters()))

    @abstractmethod
    def moved_images(self, generator: Generator, latents: Latents, index: Paths, magnitude: EachCode) -> Pictures:
        """Return the pictures of :meth:`shifted_images`; ``index`` and ``magnitude`` are ``[n]`` on the device of the codes."""

    @abstractmethod
    def check_generator(self, generator: Generator) -> None:
        """Refuse a generator that these paths do not fit.

        Raises:
            SemanifoldError: naming what is there and what is needed.
        """

    @property
    @abstractmethod
    def what_moves(self) -> str:
        """What moves and where, for people, such as ``"w [512]"``."""

    def published_options(self) -> dict[str, object]:
        """Return the arguments of WarpedGANSpace's programs that say which paths these are; None what means nothing to them."""
        return {
            "num_support_sets": len(self),
            "num_support_dipoles": None,
            "learn_alphas": None,
            "learn_gammas": None,
            "gamma": None,
        }

    def support_sets(self) -> dict[str, Tensor]:
        """Return the numbers as WarpedGANSpace's files hold them; empty if these cannot hold such paths."""
        return {}

    def space(self, generator: Generator) -> str:
        """Return the space of the codes that the paths take."""
        return self.info.space

    def shifted_images(
        self,
        generator: Generator,
        latents: Latents | int | Sequence[int],
        index: Tensor | Sequence[int] | int | str,
        magnitude: Tensor | Sequence[float] | float,
    ) -> Pictures:
        """Return the pictures ``[n, c, h, w]`` of n codes, each moved along a path by some way; differentiable in the parameters.

        Args:
            generator: makes the pictures.
            latents: n codes or seeds.
            index: which path each takes, ``[n]``; or one, by its index or name, for all.
            magnitude: how far, ``[n]``, signed; or one number for all. In units of the latent space, or of the norm of the
                weight that is added; times the path's scale, where a set has scales.
        """
        of_type(generator, Generator, "A generator is expected, as by load_generator or wrap")
        codes = as_latents(latents, generator, self.space(generator))
        if not len(codes):
            raise SemanifoldError("There is no code to move; give at least one seed or latent.")
        which = self.find(index) if isinstance(index, int | str) else index
        every = _per_code(which, codes, "A path is called by its number or its name")
        far = _per_code(magnitude, codes, "A magnitude is a number")
        if every.is_floating_point() or every.is_complex() or every.dtype == torch.bool:
            raise SemanifoldError(f"Numbers of paths are whole, but got {str(every.dtype).removeprefix('torch.')}.")
        if every.device.type == "cpu" and not ((every >= 0) & (every < len(self))).all():  # a GPU would have to be waited for
            raise SemanifoldError(f"The paths are numbered 0..{len(self) - 1}, but got {shown(str(every.tolist()), 60)}.")
        return self.moved_images(generator, codes, every, far.to(codes.values))

    def __repr__(self) -> str:
        names = ", ".join(shown(name, 20) for name in list(self.info.names.values())[:3])
        named = f", {len(self.info.names)} with names ({names}{', ...' if len(self.info.names) > 3 else ''})" if names else ""
        made_for = shown(origin(self.info.generator), 40)
        return f"{type(self).__name__}({len(self)} paths in {self.what_moves} of {made_for}{named})"


def _per_code(values: object, codes: Latents, what: str) -> Tensor:
    """Return ``[n]`` numbers for n codes, of that many or of one for all.

    Raises:
        SemanifoldError: if they are something else, beginning with ``what``.
    """
    try:
        return torch.as_tensor(values, device=codes.values.device).expand(len(codes))
    except (TypeError, ValueError, RuntimeError) as error:
        raise SemanifoldError(f"{what}, one for all or {len(codes)}, but {shown(repr(values), 40)} was given.") from error


class LatentPaths(PathSet):
    """K paths of codes.

    Attributes:
        shape: shape of the part of one code that moves: ``(d,)``, or ``(layers, d)`` in ``w+``.
    """

    shape: tuple[int, ...]

    def __getitem__(self, which: int | str) -> LatentEdit:
        """See :meth:`PathSet.__getitem__`."""
        edit = super().__getitem__(which)
        assert isinstance(edit, LatentEdit)
        return edit

    @abstractmethod
    def shift(self, moving: Codes, index: Paths, magnitude: EachCode) -> Codes:
        """Return what one step adds to the moving parts of codes; differentiable in the set's parameters.

        Args:
            moving: ``[n, *shape]`` moving parts of n codes.
            index: ``[n]`` which path each takes, integers in 0..K-1.
            magnitude: ``[n]`` how far, signed, in units of the latent space; times the path's scale, where a set has scales.

        Returns:
            ``[n, *shape]``.
        """

    def shifts(self, moving: Codes) -> Tensor:
        """Return what a step of magnitude 1 along all paths adds to moving parts ``[n, *shape]`` of codes: ``[n, K, *shape]``."""
        count, n = len(self), len(moving)
        index = torch.arange(count, device=moving.device).repeat(n)
        steps = self.shift(moving.repeat_interleave(count, 0), index, moving.new_ones(n * count))
        return steps.unflatten(0, (n, count))

    def shifted(self, latents: Latents, index: Paths, magnitude: EachCode) -> Latents:
        """Return codes moved by one step each; ``index`` and ``magnitude`` as for :meth:`shift`.

        Raises:
            SemanifoldError: if the codes are of another space or shape than the paths.
        """
        self.check(latents)
        layers = slice(*self.info.layers) if self.info.layers else slice(None)
        moving = latents.values[:, layers]
        shift = self.shift(moving, index, magnitude)
        if moving.shape == latents.values.shape:
            return latents.with_values(latents.values + shift)
        values = latents.values.clone()
        values[:, layers] = moving + shift
        return latents.with_values(values)

    def moved_images(self, generator: Generator, latents: Latents, index: Paths, magnitude: EachCode) -> Pictures:
        """See :meth:`PathSet.moved_images`."""
        return generator.images(self.shifted(latents, index, magnitude))

    @property
    def what_moves(self) -> str:
        """See :attr:`PathSet.what_moves`."""
        return f"{self.info.space} {list(self.shape)}"

    def check(self, latents: Latents) -> None:
        """Refuse codes that these paths cannot move.

        Raises:
            SemanifoldError: naming both spaces, or both shapes.
        """
        if latents.space != self.info.space:
            raise SemanifoldError(
                f"The paths live in space {self.info.space}, but these codes are in {latents.space}; convert them first."
            )
        layers = slice(*self.info.layers) if self.info.layers else slice(None)
        got = tuple(latents.values[:, layers].shape[1:])
        if got != self.shape:
            raise SemanifoldError(
                f"The paths move codes of shape {self.shape}, but these are {got}; they were made for "
                f"{origin(self.info.generator)}."
            )

    def check_generator(self, generator: Generator) -> None:
        """Refuse a generator that lacks the space of these paths, or has codes of another shape there.

        Raises:
            SemanifoldError: naming what is there and what is needed.
        """
        if self.info.space not in generator.spaces:
            raise SemanifoldError(
                f"The paths live in space {self.info.space} of {origin(self.info.generator)}, but {generator.name} has only "
                f"{', '.join(generator.spaces)}."
            )
        shape = generator.spaces[self.info.space].shape
        self.check(Latents(torch.empty(1, *shape), self.info.space))


def info_for(
    generator: Generator, space: str | None = None, layers: tuple[int, int] | None = None, **facts: Any
) -> tuple[tuple[int, ...], PathSetInfo]:
    """Return the shape of the part of a code that moves, and what the file of a new set for this generator says.

    Args:
        generator: whose codes move.
        space: of the codes; the generator's :attr:`~semanifold.generators.base.Generator.path_space` when None.
        layers: layers ``(first, last + 1)`` of ``w+`` that move; all when None.
        facts: other fields of :class:`PathSetInfo`.

    Raises:
        SemanifoldError: if the generator has no such space or no such layers.
    """
    space = space or generator.path_space
    generator.check_space(space)
    shape = generator.spaces[space].shape
    if layers is not None:
        layers = (int(layers[0]), int(layers[1]))
        if len(shape) != 2:
            raise SemanifoldError(f"Layers {layers[0]}:{layers[1]} can be chosen in the space w+ only, not in {space}.")
        if not 0 <= layers[0] < layers[1] <= shape[0]:
            raise SemanifoldError(f"There are no layers {layers[0]}:{layers[1]}: codes of {generator.name} have 0:{shape[0]}.")
        shape = (layers[1] - layers[0], shape[1])
    info = PathSetInfo(space=space, layers=layers, generator=generator.name, fingerprint=generator.fingerprint, **facts)
    return shape, info


def moving_codes(generator: Generator, info: PathSetInfo, count: int, *, seed: int = 0) -> Tensor:
    """Return the moving parts ``[count, *shape]`` of random codes of a set's space; of the first class if there are classes.

    Their seeds lie far from those that people choose, so that a set made from them does not know the codes that it is shown on.
    """
    first = (APART + seed * count) % 2**32
    codes = generator.example(range(first, first + count), info.space).values
    return codes[:, slice(*info.layers)] if info.layers else codes


def moving_size(shape: tuple[int, ...], info: PathSetInfo, *, shared: bool) -> int:
    """Return the length of one direction: all numbers of the moving part, or those of one layer where layers move alike.

    Raises:
        SemanifoldError: if the shape makes no sense for the layers.
    """
    if not shape or min(shape) < 1:
        raise SemanifoldError(f"The moving part of a code has the shape {tuple(shape)}, but sizes are at least 1.")
    if shared and len(shape) != 2:
        raise SemanifoldError(f"Only layers of w+ can move alike, but codes of {info.space} have the shape {tuple(shape)}.")
    if info.layers and (len(shape) < 2 or info.layers[1] - info.layers[0] != shape[0]):
        raise SemanifoldError(f"Layers {info.layers[0]}:{info.layers[1]} do not fit a moving part of shape {tuple(shape)}.")
    return shape[-1] if shared else math.prod(shape)
