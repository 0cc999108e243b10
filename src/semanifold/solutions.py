"""Solution: what a search found, how it ended, and the numbers of the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Generic, TypeVar

from semanifold.errors import SemanifoldError

T = TypeVar("T")


class Result(Enum):
    """Why a search stopped; each value is a sentence for the user."""

    CONVERGED = "The objective stopped falling."
    STEPS = "The given number of steps was used up."
    INTERRUPTED = "Interrupted; this is the best result so far."
    DIVERGED = "The objective became infinite or NaN; try a shorter rest length or a smaller offset."

    @property
    def good(self) -> bool:
        """Whether the value can be used."""
        return self is not Result.DIVERGED


@dataclass(frozen=True, repr=False)
class Solution(Generic[T]):
    """A value with the way that it came about; failure is data.

    Attributes:
        value: what was found, the best so far if the search was cut short.
        result: why it stopped.
        stats: numbers of the search, JSON-ready.
    """

    value: T
    result: Result
    stats: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        numbers = ", ".join(f"{key} {value:.4g}" for key, value in self.stats.items() if isinstance(value, int | float))
        return f"Solution({self.value!r}, {self.result.name}" + (f": {numbers})" if numbers else ")")

    def thrown(self, throw: bool) -> Solution[T]:
        """Return this solution; raise if the search failed and ``throw`` is set, the default of every search."""
        if throw:
            self.unwrap()
        return self

    def unwrap(self) -> T:
        """Return the value, or raise if the search failed."""
        if not self.result.good:
            raise SemanifoldError(self.result.value)
        return self.value
