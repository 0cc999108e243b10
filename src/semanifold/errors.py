"""The one exception that a user's mistake raises, and the near-name hint that its messages give."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SemanifoldError(ValueError):
    """Something about the input is wrong; the message is one sentence that says what came, what was expected and what to do.

    The command line prints the message and exits with code 2.
    """


def near_names(name: str, names: Iterable[str]) -> str:
    """Return ``"did you mean 'a' or 'b'? "`` for close names, and always the list of all names.

    Args:
        name: what the user wrote.
        names: what there is.

    Returns:
        A hint to append to an error message, such as ``"did you mean 'mouth'? There are: eyes, mouth."``.
    """
    every = list(names)
    close = difflib.get_close_matches(name, every, n=2, cutoff=0.6)
    hint = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
    return f"{hint}There are: {', '.join(every)}."
