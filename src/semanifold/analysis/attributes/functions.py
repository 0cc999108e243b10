"""Attributes that a person's own function reads, and several readers as one."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from semanifold.analysis.attributes.base import Attribute, AttributeReader
from semanifold.analysis.attributes.sampling import check_pictures
from semanifold.core.errors import SemanifoldError, first_line
from semanifold.storage.own_files import from_own_file

Function = Callable[[Tensor], Tensor]
"""``images [n, c, h, w] in [-1, 1] -> [n]`` or ``[n, m]`` numbers."""


class FunctionAttributes(AttributeReader):
    """The reader that :func:`function_reader` makes."""

    def __init__(self, function: Function, attributes: Sequence[Attribute]) -> None:
        """Make the reader of a function that returns one column an attribute."""
        self.function, self.attributes = function, tuple(attributes)

    @torch.no_grad()
    def read(self, images: Tensor, reference: Tensor) -> Tensor:
        """See :meth:`AttributeReader.read`.

        Raises:
            SemanifoldError: if these are no pictures, or the function fails or returns anything but one number per attribute and
                picture.
        """
        check_pictures(images)
        try:
            values = self.function(images)
        except Exception as error:
            raise SemanifoldError(
                f"The function of the attributes {', '.join(a.name for a in self.attributes)} failed on pictures "
                f"{list(images.shape)}: {type(error).__name__}: {first_line(error)}."
            ) from error
        expected = (len(images), len(self.attributes))
        shape = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        if isinstance(values, Tensor) and (shape == expected or (shape == expected[:1] and expected[1] == 1)):
            return values.reshape(expected).float().to(images.device)
        raise SemanifoldError(
            f"The function of the attributes {', '.join(a.name for a in self.attributes)} must return a tensor {list(expected)} "
            f"for {expected[0]} pictures, but it returned {list(shape) if isinstance(shape, tuple) else shape}."
        )


def function_reader(
    function: Function,
    names: str | Sequence[str],
    ranges: Sequence[tuple[float, float]] | None = None,
) -> AttributeReader:
    """Return a reader of a plain function of pictures.

    Args:
        function: ``images [n, c, h, w]`` in [-1, 1], not clamped, to ``[n, len(names)]`` numbers, or ``[n]`` for a single name.
        names: what the numbers are called.
        ranges: between which values each usually lies; when None, rankings take the range of the readings.

    Raises:
        SemanifoldError: if names and ranges do not fit together.
    """
    names, declared = [names] if isinstance(names, str) else list(names), ranges is not None
    ranges = [(0.0, 1.0)] * len(names) if ranges is None else list(ranges)
    if not names or not all(names) or len(set(names)) < len(names) or len(ranges) != len(names):
        raise SemanifoldError(
            f"Attributes of a function need different names and one range each, but got {names} and {len(ranges)} ranges."
        )
    for name, (low, high) in zip(names, ranges, strict=True):
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise SemanifoldError(f"The range of {name} must be two finite numbers, the smaller first, but got {low}, {high}.")
    rows = zip(names, ranges, strict=True)
    return FunctionAttributes(function, [Attribute(name, low, high, declared=declared) for name, (low, high) in rows])


def user_reader(file: Path, name: str) -> AttributeReader:
    """Run the user's own file and take a reader from it.

    Args:
        file: a Python file. It is run.
        name: in it, a reader, a function without arguments that returns one, or a function or module of pictures that returns
            one number each; that attribute is called like the function.

    Raises:
        SemanifoldError: if there is no such file or name, if it fails, or if it is none of these.
    """

    def reader(value: Any) -> Any:
        if not callable(value) or isinstance(value, AttributeReader):
            return value
        return function_reader(cast(Function, value), name) if inspect.signature(value).parameters else value()

    made = from_own_file(file, name, "a function of pictures or a reader", reader)
    if not isinstance(made, AttributeReader):
        raise SemanifoldError(
            f"{file}:{name} is a {type(made).__name__}, not a reader of attributes; write a function of pictures that returns "
            f"one number each, or {name} = function_reader(function, names)."
        )
    return made


class CombinedAttributes(AttributeReader):
    """Several readers side by side."""

    def __init__(self, readers: Sequence[AttributeReader]) -> None:
        """Put readers side by side.

        Raises:
            SemanifoldError: if two attributes have the same name.
        """
        self.readers = tuple(readers)
        self.attributes = tuple(attribute for reader in readers for attribute in reader.attributes)
        names = [attribute.name for attribute in self.attributes]
        if double := sorted({name for name in names if names.count(name) > 1}):
            raise SemanifoldError(
                f"Two readers have attributes of the same name, {', '.join(double)}; name single ones, such as faces:smile, "
                "instead of all that a reader has."
            )

    def read(self, images: Tensor, reference: Tensor) -> Tensor:
        """See :meth:`AttributeReader.read`."""
        return torch.cat([reader.read(images, reference) for reader in self.readers], 1)
