"""The types of what JSON can hold: any value, and an object of names and values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
else:
    Json = Any  # msgspec, which reads schemas when the program runs, cannot follow a type into itself
"""Any value of JSON; a text is one, and not a sequence of letters."""

JsonObject: TypeAlias = dict[str, Json]
"""An object of JSON whose names are not known beforehand."""
