"""``semanifold zoo``: public weights, listed and fetched."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from semanifold.app.answers import Answer
from semanifold.app.commands.arguments import option
from semanifold.app.commands.base import Command
from semanifold.core.errors import SemanifoldError


@dataclass(frozen=True, kw_only=True)
class Zoo(Command):
    """List and fetch the public weights that published programs use; nothing in them is run.

    Attributes:
        action: list shows the table; fetch downloads from the authors, into $SEMANIFOLD_CACHE or else ~/.cache/semanifold.
        words: for list, words that must occur in a row, or one whole name for everything that is known about it;
            for fetch, the names.
    """

    does: ClassVar[str] = "semanifold.app.actions.zoo:zoo_entries"
    action: Annotated[Literal["list", "fetch"], option("list|fetch")] = field(kw_only=False)
    words: Annotated[tuple[str, ...], option("WORD|NAME ...")] = field(kw_only=False, default=())

    def settled(self) -> Answer | None:
        """See :meth:`Command.settled`."""
        if self.action == "fetch" and not self.words:
            raise SemanifoldError("There is no name to fetch; 'semanifold zoo list' shows them.")
        return None
