"""What an array is: codes or directions, of which space. One rule, which says how it reads and asks where two readings fit.

A code of w+ has ``L`` layers of ``d`` numbers, one of w has ``d``. So ``[L, d]`` is one code of w+ or L codes of w, one path of
w+ or L paths of w. The names inside a file, its own name, the user and the generator decide. Where they leave it open, codes are
taken for one of w+, aloud, and directions are asked about.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError, counted, near_names, shown
from semanifold.storage.arrays import Arrays, Place, spelled
from semanifold.storage.checkpoints import Value

Spaces = Mapping[str, tuple[int, ...]]
Remark = Callable[[str], None]
"""Takes a sentence for the user, such as the one that says how an array was read."""

CODE_KEYS = ("w", "latents", "latent", "seed", "w+", "w_plus", "wp", "projected_w", "latent_code", "values", "z", "s", "styles")
"""Names under which files keep codes, the best first: ``projected_w.npz`` says ``w``, rosinality's projector ``latent``,
our edits say ``seed`` and our pools ``values``."""
SPACES_OF_KEYS = {
    **dict.fromkeys(("w", "w+", "w_plus", "wp", "projected_w"), ("w", "w+")),
    **dict.fromkeys(("s", "styles"), ("s",)),
    "z": ("z",),
}
"""Spaces that the names of codes stand for."""


def silent(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class ArrayGroup:
    """Arrays of a file that belong together.

    Attributes:
        key: the name that they are kept under; empty for one without.
        values: the arrays.
    """

    key: str
    values: tuple[Value, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the first."""
        return tuple(self.values[0].shape)


def codes_in(arrays: Arrays) -> ArrayGroup | None:
    """Return the arrays of a file that are codes by their name, or all if they are of one shape; several are a code each."""
    leaves = arrays.leaves
    named = {key: tuple(value for place, value in leaves.items() if _name(place) == key) for key in CODE_KEYS}
    key = next((key for key in CODE_KEYS if named[key]), "")
    if key:
        return ArrayGroup(key, named[key])
    return ArrayGroup("", tuple(leaves.values())) if len({tuple(value.shape) for value in leaves.values()}) == 1 else None


def _name(place: Place) -> str:
    """Return the last name on the way to an array; indices of lists have none."""
    return next((part for part in reversed(place) if isinstance(part, str)), "")


@dataclass(frozen=True)
class CodeReading:
    """How an array is read as codes.

    Attributes:
        space: of the codes.
        count: how many they are.
        words: the same as the end of a sentence, such as ``"one code of w+ (8 layers of 64 numbers)"``.
    """

    space: str
    count: int
    words: str


def code_reading(shape: Sequence[int], spaces: Spaces, what: str, *, space: str | None = None, key: str = "") -> CodeReading:
    """Say how an array ``[n, *code]``, ``[*code]``, or either with the layers in one row, reads as codes of a generator.

    ``[L, d]`` is one code of w+ where the generator has L layers, unless a space is named. Where z and w are equally wide, a name
    such as ``w`` decides.

    Args:
        shape: of the array.
        spaces: the generator's, and the shape of a code in each.
        what: the file, for the messages.
        space: the only one that counts; needed where two have the same shape.
        key: the name that the array is kept under.

    Raises:
        SemanifoldError: if the array fits no space, or two.
    """
    shape = tuple(shape)
    if space is not None and space not in spaces:
        raise SemanifoldError(f"There is no latent space {space!r}: {near_names(space, spaces)}")
    asked = {space: spaces[space]} if space else spaces
    fits = [(name, *fit) for name, code in asked.items() if (fit := _fit(shape, tuple(code)))]
    if not fits:
        expected = ", ".join(f"{list(code)} in {name}" for name, code in asked.items())
        raise SemanifoldError(f"{what} holds codes of shape {list(shape)}, but [n, ...] of {expected} is expected.")
    if len(fits) > 1 and key in SPACES_OF_KEYS:
        fits = [fit for fit in fits if fit[0] in SPACES_OF_KEYS[key]] or fits
    best = min(rank for _, rank, _ in fits)
    # layers in one row read no better than a code of s that has as many numbers
    chosen, others = ([fit for fit in fits if (fit[1] == best or best > 0) is same] for same in (True, False))
    if len(chosen) > 1:
        names = " and ".join(name for name, _, _ in chosen)
        raise SemanifoldError(f"The codes of {what} fit the spaces {names}; say which with space=.")
    name, _, count = chosen[0]
    words = _words_of(name, count, spaces[name])
    if others and best == 0:
        rows = " or ".join(other for other, _, _ in others)
        words += f"; for its {shape[0]} rows as codes of {rows}, name that space with space="
    return CodeReading(name, count, words)


def _words_of(space: str, count: int, code: Sequence[int]) -> str:
    numbers = f"{code[0]} layers of {code[1]} numbers" if len(code) == 2 else f"{math.prod(code)} numbers"
    return f"{counted(count, 'code')} of {space} ({numbers}{' each' if count > 1 else ''})"


def _fit(shape: tuple[int, ...], code: tuple[int, ...]) -> tuple[int, int] | None:
    """Return how well (0 is best) an array fits a code's shape, and how many codes it then holds; None if it does not."""
    if shape == code:
        return (0 if len(code) > 1 else 1), 1
    if shape[1:] == code or (len(code) == 1 and len(shape) == 3 and shape[1:] == (1, *code)):
        return 1, shape[0]
    if len(code) > 1 and shape[-1:] == (math.prod(code),) and len(shape) < 3:
        return 2, math.prod(shape[:-1])
    return None


def code_words(shape: Sequence[int], arrays: int = 1) -> str:
    """Say how an array reads as codes while no generator is known; empty if it does not.

    Args:
        shape: of the array.
        arrays: how many there are of this shape; each of several is one code.
    """
    shape = tuple(shape)
    if arrays > 1 and len(shape) < 3:
        shape = (arrays, *shape) if len(shape) == 2 or not shape else (arrays, 1, *shape)
    if len(shape) not in (1, 2, 3) or shape[-1] < 2 or 0 in shape:
        return ""
    numbers = f"{shape[-1]} numbers"
    if len(shape) == 3 and shape[1] > 1:
        return f"{counted(shape[0], 'code')} of w+ with {shape[1]} layers of {numbers}"
    if len(shape) == 1 or shape[0] == 1:
        return f"one code of {numbers}"
    open_question = f", or one code of w+ with {shape[0]} layers" if len(shape) == 2 else ""
    return f"{shape[0]} codes of {numbers}{open_question}"


@dataclass(frozen=True)
class DirectionReading:
    """How an array is read as directions.

    Attributes:
        space: that they live in; None if nothing says it.
        shape: ``(k, d)``, or ``(k, layers, d)`` for directions that move each layer in its own way.
        words: the same as the end of a sentence, such as ``"8 paths of w"``.
    """

    space: str | None
    shape: tuple[int, ...]
    words: str


def direction_reading(
    shape: Sequence[int],
    what: str,
    *,
    space: str | None = None,
    layers: tuple[int, int] | None = None,
    spaces: Spaces | None = None,
    named: str | None = None,
) -> DirectionReading:
    """Say how an array ``[d]``, ``[k, d]``, ``[k, 1, d]``, ``[k, L, d]``, ``[L, d]`` or ``[k, L d]`` reads as directions.

    ``[L, d]`` is one path of w+ where the generator has L layers; L paths of w are written ``[L, 1, d]``. While no generator is
    known, ``[k, d]`` is asked about unless a space is named.

    Args:
        shape: of the array, of one to three dimensions.
        what: the file, for the messages.
        space: that the user names.
        layers: of w+ that the user wants to move.
        spaces: the generator's, if it is known.
        named: the space that the file's name or format says, if any: its rows are directions then.

    Raises:
        SemanifoldError: if two readings fit, or none.
    """
    shape = tuple(shape)
    code = tuple((spaces or {}).get("w+", ()))
    full = (1,) * (3 - len(shape)) + shape if len(shape) != 2 else (shape[0], 1, shape[1])
    rows, deep, width = full
    if deep > 1:
        if code and shape[1:] != code:
            raise SemanifoldError(
                f"{what} holds directions of {deep} layers of {width} numbers, but w+ has {code[0]} of {code[1]}."
            )
        return _layered(shape)
    flat = (rows, width)
    open_question = rows > 1 and len(shape) == 2 and named is None and space in (None, "w", "w+")
    if open_question and (flat == code if spaces is not None else space != "w" and (not layers or rows >= layers[1])):
        one = f"one path of w+ that moves each of {rows} layers in its own way"
        if space == "w+" or (space is None and spaces is not None):
            return _layered((1, *flat))
        if space == "w":
            words = f'may hold {one}, or {rows} paths of w: take the first with space="w+", or save the others'
            raise SemanifoldError(f"{what} {words} as [{rows}, 1, {width}].")
        many = (
            f"save {rows} paths as [{rows}, 1, {width}]" if layers else f'{rows} paths with that of its rows, such as space="w"'
        )
        raise SemanifoldError(f'{what} does not say which latent space its paths live in: take {one} with space="w+", or {many}.')
    fits = [name for name, shape in (spaces or {}).items() if math.prod(shape) == width and name != "w+"]
    in_one_row = bool(code) and width == math.prod(code) and named is None
    if in_one_row and (space == "w+" or (space is None and not fits)):
        return _layered((rows, *code))
    if in_one_row and space is None:
        raise SemanifoldError(
            f"{what} holds directions of {width} numbers, as codes of {' and '.join([*fits, 'w+'])} have; say which with space=."
        )
    if spaces is not None and not fits and not (space or named or layers):
        known = ", ".join(f"{list(shape)} in {name}" for name, shape in spaces.items())
        raise SemanifoldError(
            f"{what} holds directions of {width} numbers, but codes have {known}; give those of this generator."
        )
    space = space or named or (fits[0] if len(fits) == 1 and not layers else None)
    home = f"w+, in layers {layers[0]} to {layers[1] - 1}" if layers else space or "a space that it does not name"
    words = f"{counted(rows, 'path')} of {home} ({width} numbers{' each' if rows > 1 else ''})"
    return DirectionReading(space, (rows, *spaces[space]) if spaces and space in fits else flat, words)


def _layered(shape: tuple[int, ...]) -> DirectionReading:
    layers = f"{shape[1]} layers of {shape[2]} numbers, each in its own way"
    return DirectionReading("w+", shape, f"{counted(shape[0], 'path')} of w+ that move{'s' * (shape[0] == 1)} {layers}")


def directions_in(arrays: Arrays) -> ArrayGroup | None:
    """Return the arrays of a file that may be directions: the only one, or all if they are of one shape, which are a path each.

    Raises:
        SemanifoldError: if they are kept under a name of codes, as those of projectors are.
    """
    codes = codes_in(arrays)
    if codes is not None and codes.key:
        raise SemanifoldError(
            f"{arrays.name} keeps {shown(str(list(codes.shape)))} under the name {codes.key!r}, as projectors keep codes, and a "
            "code is no direction: the difference of two codes is one, to be saved as an array alone."
        )
    return codes


def reading_of_codes(codes: ArrayGroup, arrays: Arrays, spaces: Spaces, space: str | None = None) -> CodeReading:
    """Say how the arrays of a file read as codes of a generator; see :func:`code_reading`, which each of several goes through.

    Raises:
        SemanifoldError: if they are no codes, or fit no space, or two.
    """
    for value in codes.values:
        if not value.dtype.is_floating_point:
            kind = str(value.dtype).removeprefix("torch.")
            raise SemanifoldError(f"{arrays.name} holds {kind} numbers, but latent codes are floating-point numbers.")
    if any(tuple(value.shape) != codes.shape for value in codes.values):
        return _reading_of_layers(codes, arrays, spaces, space)
    stated = arrays.header.get("space")
    if space is None and isinstance(stated, str) and stated in spaces and codes.key in ("seed", "values"):
        space = stated
    one, count = code_reading(codes.shape, spaces, arrays.name, space=space, key=codes.key), len(codes.values)
    if count == 1:
        return one
    if one.count != 1:
        raise SemanifoldError(
            f"{arrays.name} holds {count} arrays of shape {list(codes.shape)}, but each of several is to be one code."
        )
    return CodeReading(one.space, count, _words_of(one.space, count, spaces[one.space]))


def _reading_of_layers(codes: ArrayGroup, arrays: Arrays, spaces: Spaces, space: str | None) -> CodeReading:
    """Say how codes of w beside codes of w+ read: as codes of w+, for a code of w is one whose layers are alike.

    Raises:
        SemanifoldError: if they are other codes of different shapes.
    """
    several = SemanifoldError(f"{arrays.name} holds {len(codes.values)} codes of different shapes; give a file of one kind.")
    pair = {name: spaces[name] for name in ("w", "w+") if name in spaces}
    if len(pair) < 2 or space not in (None, "w+"):
        raise several
    if any(math.prod(value.shape) not in map(math.prod, pair.values()) for value in codes.values):
        raise several
    count = len(codes.values)
    return CodeReading("w+", count, _words_of("w+", count, spaces["w+"]) + "; those of w are repeated")


def read_codes_of(arrays: Arrays, spaces: Spaces, space: str | None, remark: Remark = silent) -> tuple[Tensor, str]:
    """Return the codes ``[n, *code]`` in a file, and their space.

    Args:
        arrays: the file.
        spaces: the generator's.
        space: of the codes; needed where two have the same shape.
        remark: is given the sentence that says how they were read.

    Raises:
        SemanifoldError: if the file holds no codes, or they fit no space, or two.
    """
    codes = codes_in(arrays)
    if codes is None:
        raise SemanifoldError(_no_codes(arrays))
    reading = reading_of_codes(codes, arrays, spaces, space)
    tensors = arrays.tensors(codes.values)
    remark(f"{arrays.name} is read as {reading.words}.")
    shape = spaces[reading.space]
    if len(tensors) == 1:
        return tensors[0].reshape(reading.count, *shape), reading.space
    parts = [tensor.float() for tensor in tensors]
    # a code of w beside codes of w+ is one whose layers are alike
    codes_alike = [part.reshape(shape if part.numel() == math.prod(shape) else (1, -1)).expand(shape) for part in parts]
    return torch.stack(codes_alike), reading.space


def _no_codes(arrays: Arrays) -> str:
    leaves = list(arrays.leaves)
    if not leaves:
        return f"{arrays.name} holds no array of numbers; give a file of latent codes (.npy, .npz, .pt or .safetensors)."
    places = ", ".join(shown(spelled(place), 40) for place in leaves[:3]) + (" ..." if len(leaves) > 3 else "")
    named = " or ".join(CODE_KEYS[:4])
    return f"{arrays.name} holds {len(leaves)} arrays of different shapes ({places}), none of them called {named}."
