"""Solution: what a search found, how it ended, and the numbers of the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from semanifold.core.errors import SemanifoldError
from semanifold.core.notebook import as_html

if TYPE_CHECKING:
    from semanifold.edits.films import EditedPicture

T = TypeVar("T")
N_co = TypeVar("N_co", bound=Mapping[str, object], covariant=True)


class Result(Enum):
    """Why a search stopped; each value is a sentence for the user."""

    CONVERGED = "The objective stopped falling."
    STEPS = "All steps that it may take were used up."
    INTERRUPTED = "Interrupted; this is the best result so far."
    DIVERGED = (
        "The objective or its gradient became infinite or NaN; try a smaller offset, rest length or rate, and look at the "
        "generator's pictures."
    )

    @property
    def good(self) -> bool:
        """Whether the value can be used."""
        return self is not Result.DIVERGED


@dataclass(frozen=True, repr=False)
class Solution(Generic[T, N_co]):
    """A value, why the search stopped, and its numbers; failure is data.

    Attributes:
        value: what was found, the best so far if the search was cut short.
        result: why it stopped.
        stats: numbers of the search by their names, JSON-ready; each kind of search says which.
        subject: the value on the picture that it was found on, if there is one: what is shown and filmed. It holds the
            generator, and is left out of copies and pickles.
    """

    value: T
    result: Result
    stats: N_co = field(default_factory=lambda: cast("Any", {}))
    subject: EditedPicture | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        numbers = ", ".join(f"{key} {value:.4g}" for key, value in self.stats.items() if isinstance(value, int | float))
        return f"Solution({self.value!r}, {self.result.name}" + (f": {numbers})" if numbers else ")")

    def _repr_html_(self) -> str | None:
        """Show a notebook the filmstrip."""
        return None if self.subject is None else as_html(repr(self), self.subject.strip)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.value, self.result, self.stats)

    def thrown(self, throw: bool) -> Solution[T, N_co]:
        """Return this solution; raise if the search failed and ``throw`` is set, the default of every search."""
        if throw:
            self.unwrap()
        return self

    def unwrap(self) -> T:
        """Return the value, or raise if the search failed."""
        if not self.result.good:
            raise SemanifoldError(self.result.value)
        return self.value
