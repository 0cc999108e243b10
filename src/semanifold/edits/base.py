"""Edit: a path of pictures that starts at an unedited one.

``edit.images(generator, latents, t)`` is all that rendering, measuring, the command line and the studio know of an edit.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, fields, replace
from numbers import Real
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError, of_type, shown
from semanifold.core.latents import Latents
from semanifold.core.shapes import EditTimes, Pictures, Times, Way
from semanifold.core.spaces import Space
from semanifold.generators.base import Generator, as_latents, origin
from semanifold.storage.records import settle


@dataclass(frozen=True)
class EditInfo:
    """What an edit's file says about it: where it lives, what it was made with, how far it may be driven.

    Attributes:
        name: short name for people, such as ``"mouth"``.
        method: how it was found, such as ``"masked manifold"``.
        space: latent space of the codes; :data:`WEIGHTS` for an edit of weights, which takes codes of any space.
        layers: ``(first, last + 1)`` layers of ``w+`` that move, or None for all.
        generator: name of the generator.
        fingerprint: fingerprint of its weights.
        mask: the mask as the user wrote it.
        usable: range of ``t`` in which the pictures keep changing and stay good.
        locality: measured locality scores, by name.
        cite: papers to cite.
    """

    name: str = "edit"
    method: str = "unknown"
    space: str = "w+"
    layers: tuple[int, int] | None = None
    generator: str = "unknown"
    fingerprint: str = "unknown"
    mask: str = ""
    usable: tuple[float, float] = (0.0, 1.0)
    locality: dict[str, float] = field(default_factory=dict)
    cite: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no file could give back."""
        settle(self)
        settle_texts(self)
        check_layer_range(self.layers)
        low, high = self.usable
        if not -LARGEST <= low <= high <= LARGEST:
            raise SemanifoldError(f"A usable range of t goes from a number to a larger one, but this from {low:g} to {high:g}.")


def settle_texts(info: Any) -> None:
    """Make the texts of a frozen info fit to be printed and short enough for a file, from its ``__post_init__``.

    Raises:
        SemanifoldError: if the mask is too long for one, for a part of it would be another mask.
    """
    if len(info.mask) > LONGEST_MASK:
        raise SemanifoldError(f"A mask is written in at most {LONGEST_MASK:,} letters, but this one has {len(info.mask):,}.")
    for name in [entry.name for entry in fields(info)]:
        if isinstance(value := getattr(info, name), str):
            object.__setattr__(info, name, shown(value, LONGEST_MASK if name == "mask" else LONGEST_NAME))
    object.__setattr__(info, "cite", tuple(shown(text, 2 * LONGEST_NAME) for text in info.cite))


def check_layer_range(layers: tuple[int, int] | None) -> None:
    """Refuse a range ``(first, last + 1)`` that holds no layer, or too many.

    Raises:
        SemanifoldError: naming it.
    """
    if layers is not None and not 0 <= layers[0] < layers[1] <= MOST_LAYERS:
        raise SemanifoldError(f"Layers are given as (first, last + 1), but there are no layers {shown(str(list(layers)))}.")


WEIGHTS = "weights"
"""What the info of an edit that moves no codes says of their space."""
LONGEST_NAME, LONGEST_MASK = 200, 100_000
"""Letters of a text in a file, and of a mask."""
MOST_FRAMES = 100_000
MOST_LAYERS = 10_000
LARGEST = 1e15
"""Absolute value of a number in a file."""
NEAR = 0.05
"""How near its start a film must end to loop, as a share of how far the edit goes."""


class Edit(ABC):
    """A path of pictures; ``t = 0`` is the unedited picture.

    Attributes:
        info: what the file says about the edit.
        dimensions: number of coordinates of ``t``: 1 for a path, 2 for a pad.
        kind: what files call this leaf.
        knots: moments ``t`` between which the edit goes on evenly: one increasing tensor per dimension, which holds 0.
        start: the code that the edit was found on, or is looked at on, if any.
    """

    kind: ClassVar[str]
    info: EditInfo
    knots: tuple[Tensor, ...]
    dimensions: int = 1
    start: Latents | None = None

    @abstractmethod
    def applied(self, generator: Generator, latents: Latents, t: EditTimes) -> tuple[Generator, Latents]:
        """Return the generator and the codes that make the edited pictures; neither of the given ones is changed.

        An edit of codes leaves the generator alone, an edit of weights the codes.

        Args:
            generator: makes the unedited pictures, or has been through other edits already.
            latents: n codes, or one for all values of ``t``.
            t: ``[n]``, or ``[n, 2]`` for an edit of two dimensions.

        Raises:
            SemanifoldError: if the edit does not fit the generator, or the codes are of another space or shape.
        """

    @property
    @abstractmethod
    def what_moves(self) -> str:
        """What moves and where, for people, such as ``"w+ [12, 128]"``."""

    @property
    def leaves(self) -> tuple[Edit, ...]:
        """The edits that this one is made of, none of which is a sum."""
        return (self,)

    @abstractmethod
    def check(self, generator: Generator) -> None:
        """Refuse a generator that has no such codes, or no such weights, as the edit moves.

        Raises:
            SemanifoldError: naming the space, or the layer, or both shapes.
        """

    def way(self, t: EditTimes) -> Way:
        """Return how far the edit has gone at ``t``, as ``[n, m]`` numbers whose distances say how far apart two moments are.

        Raises:
            SemanifoldError: for an edit that goes another way from every code; trace it from one first.
        """
        raise SemanifoldError(f"{self.info.name} goes another way from every code; trace it from one: traced(edit, code).")

    def along(self, places: Times, knots: Times) -> Self:
        """Return the same way walked in another time: at ``knots[i]`` it is where it was at ``places[i]``; both ``[n]``.

        Raises:
            SemanifoldError: as :meth:`way`.
        """
        raise SemanifoldError(f"{self.info.name} goes another way from every code; trace it from one: traced(edit, code).")

    def space(self, generator: Generator) -> str:
        """Return the space of the codes that the edit takes."""
        return self.info.space

    @property
    def moves_codes(self) -> bool:
        """Whether codes move, in the space that the edit's info names."""
        return False

    def check_code(self, latents: Latents) -> None:  # noqa: B027  (an edit that moves none takes all)
        """Refuse codes that the edit could not move; codes of any space will do for an edit that moves none.

        Raises:
            SemanifoldError: naming the space, or both shapes.
        """

    def is_traced(self, latents: Latents) -> bool:
        """Whether the edit does to codes what it does to all others: then it can be timed, added to others and carried over."""
        return True

    def embedded(self, space: Space, generator: Generator | None = None) -> Edit:
        """Return the same edit as one of codes of another space, of which its own is a part; itself if it moves no codes.

        A displacement of w is the same one of all layers of w+, and those of w and of w+ are some of the styles s that are
        right at every code, since styles are affine in them. Now the edit can start at any code of that space, and be added to
        other edits there.

        Args:
            space: such as ``generator.spaces["w+"]``.
            generator: whose maps lead there; an extended space such as w+ needs none.

        Raises:
            SemanifoldError: if no affine map leads there, or the edit goes another way from every code.
        """
        return self

    def baked(self, generator: Generator, t: float = 1.0) -> Generator:
        """Return the generator whose own pictures are the edited ones at a ``t``; the given one is not changed.

        Raises:
            SemanifoldError: for an edit that moves codes, or does not fit the generator.
        """
        raise SemanifoldError(f"{self.info.name} moves codes; only an edit of weights can become a part of a generator.")

    def times(self, count: int | None = None) -> EditTimes:
        """Return the values of ``t`` of a film: ``[n]`` evenly over the usable range, or ``[n, 2]`` around a pad.

        The walk on a pad begins and ends at the start, and sees both coordinates: a figure of eight where the start is in the
        middle, once out and back on the first and twice on the second where it is a corner.

        Args:
            count: how many; by default one for each knot, eight on a pad.

        Raises:
            SemanifoldError: for a number that makes no film.
        """
        if count is not None and not 2 <= count <= MOST_FRAMES:
            raise SemanifoldError(f"A film has 2 to {MOST_FRAMES:,} frames, but {count} were asked for.")
        if self.dimensions == 1:
            return torch.linspace(*self.info.usable, count or len(self.knots[0]))
        turn = torch.linspace(0, 2 * math.pi, count or 8 * len(self.knots[0]))
        return torch.stack([_swing(knots, laps * turn) for laps, knots in enumerate(self.knots, 1)], dim=1)

    @property
    def loops(self) -> bool:
        """Whether its film ends where it begins, so that it can be played in a loop as it is."""
        way = self.way(self.times())
        return bool((way[-1] - way[0]).norm() <= NEAR * way.norm(dim=1).max())

    def images(
        self, generator: Generator, latents: Latents | int | Sequence[int], t: EditTimes | float | Sequence[float]
    ) -> Pictures:
        """Return the edited pictures ``[n, c, h, w]``.

        Args:
            generator: the generator that the edit was made for, or one with the same spaces.
            latents: n codes or seeds, or one for all values of ``t``.
            t: one number, ``[n]`` numbers, or ``[n, 2]`` for an edit of two dimensions.
        """
        codes = self.codes(generator, latents)
        moments = self.moments(t, codes)
        other, moved = self.applied(generator, codes, moments)
        pictures = other.images(moved)
        if len(pictures) == 1:  # of one code that meets none of the weights that change, such as a code of w those of the mapping
            pictures = pictures.expand(max(len(codes), len(moments)), *pictures.shape[1:])
        return pictures

    def codes(self, generator: Generator, latents: Latents | int | Sequence[int]) -> Latents:
        """Return codes or seeds as codes for this edit, on the generator's device and in its precision.

        Raises:
            SemanifoldError: if they are neither, or there is no generator.
        """
        of_type(generator, Generator, "A generator is expected, as by load_generator or wrap")
        return as_latents(latents, generator, self.space(generator))

    def moments(self, t: EditTimes | float | Sequence[float], codes: Latents) -> EditTimes:
        """Return values of ``t`` as ``[n]``, or ``[n, 2]`` for an edit of two dimensions, beside these codes.

        Raises:
            SemanifoldError: if they are no plain numbers.
        """
        of_type(t, (Real, Sequence, Tensor), "t is a number, or several")
        try:
            moments = torch.as_tensor(t)
            if moments.is_meta or moments.layout != torch.strided or moments.is_complex():
                raise ValueError("it does not hold plain numbers")
            moments = moments.to(codes.values)
            return moments.reshape(-1, 2) if self.dimensions == 2 else moments.reshape(-1)
        except (TypeError, ValueError, RuntimeError) as error:
            raise SemanifoldError(f"t is a number, or several, but {shown(repr(t), 40)} was given.") from error

    def __repr__(self) -> str:
        low, high = self.info.usable
        kind = "pad" if self.dimensions == 2 else "path"
        made_for, name = shown(origin(self.info.generator), 40), shown(self.info.name, 40)
        return f"{type(self).__name__}({name!r}: {kind} in {self.what_moves} of {made_for}, t from {low:g} to {high:g})"

    def with_info(self, **changes: Any) -> Self:
        """Return the same path with other fields of its :class:`EditInfo`."""
        other = copy(self)
        other.info = replace(self.info, **changes)
        return other

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Return what the file must hold for :func:`load_edit` to make the edit again."""

    @classmethod
    @abstractmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], info: EditInfo) -> Self:
        """Make the edit of a file's tensors again; ``KeyError`` if one is missing."""


class LatentEdit(Edit):
    """An edit that moves codes."""

    @abstractmethod
    def latents(self, latents: Latents, t: EditTimes | float) -> Latents:
        """Return the edited codes; one code serves all values of ``t``.

        Args:
            latents: n codes in the edit's space, or one code for all values of ``t``.
            t: one number, ``[n]`` numbers, or ``[n, 2]`` for an edit of two dimensions.

        Raises:
            SemanifoldError: if the codes are of another space or shape.
        """

    @property
    @abstractmethod
    def moving_shape(self) -> tuple[int, ...]:
        """Shape of the part of one code that moves."""

    def check(self, generator: Generator) -> None:
        """See :meth:`Edit.check`."""
        generator.check_space(self.info.space)

    @property
    def moves_codes(self) -> bool:
        """See :attr:`Edit.moves_codes`."""
        return True

    def check_code(self, latents: Latents) -> None:
        """See :meth:`Edit.check_code`."""
        self.latents(latents, torch.zeros(self.dimensions))

    def is_traced(self, latents: Latents) -> bool:
        """See :meth:`Edit.is_traced`: displacements of whole codes are the same from all (Yang et al. 2020, section 4)."""
        return self.moving_shape == tuple(latents.values.shape[1:])

    @abstractmethod
    def embedded(self, space: Space, generator: Generator | None = None) -> LatentEdit:
        """See :meth:`Edit.embedded`."""

    def applied(self, generator: Generator, latents: Latents, t: EditTimes) -> tuple[Generator, Latents]:
        """See :meth:`Edit.applied`."""
        return generator, self.latents(latents, t)

    @property
    def what_moves(self) -> str:
        """See :attr:`Edit.what_moves`."""
        return f"{self.info.space} {list(self.moving_shape)}"


def _swing(knots: Tensor, angle: Tensor) -> Tensor:
    """Return where a swing over an axis of a pad is at angles: about 0 if that is inside, else from the first knot on."""
    low, high = float(knots[0]), float(knots[-1])
    if low < 0 < high:
        return (low + high) / 2 + (high - low) / 2 * angle.sin()
    return low + (high - low) / 2 * (1 - angle.cos())


def check_counts(codes: int, moments: int) -> None:
    """Refuse codes and values of ``t`` of which neither is one for all of the other.

    Raises:
        SemanifoldError: naming both numbers.
    """
    if not codes or not moments:
        raise SemanifoldError(f"An edit takes at least one code and one t, but got {codes} and {moments}.")
    if codes != moments and 1 not in (codes, moments):
        raise SemanifoldError(f"{codes} codes take one t, or {codes} of them, but got {moments}.")
