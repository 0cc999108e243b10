"""The one exception that a user's mistake raises, and what its messages are made of: near names, text that is safe to show."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable
from typing import Any


class SemanifoldError(ValueError):
    """Something about the input is wrong; the message is one sentence that says what was expected, what was found and what to do.

    The command line prints the message and exits with code 2.
    """


def of_type(value: Any, kinds: type | tuple[type, ...], what: str) -> None:
    """Refuse a value of a wrong type, a truth value in place of a number among them.

    Args:
        value: what a caller gave.
        kinds: types that it may have.
        what: what is expected, as the beginning of a sentence: ``"A path is the name of a file"``.

    Raises:
        SemanifoldError: if it has none of them.
    """
    if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
        raise SemanifoldError(f"{what}, but a value of type {shown(type(value).__name__, 40)} was given.")


def whole_number(value: Any, least: int, most: int, what: str) -> None:
    """Refuse what is not a whole number of a range.

    Args:
        value: what a caller gave.
        least: smallest number that is allowed.
        most: largest one.
        what: what the number is, as the beginning of a sentence: ``"k, the number of paths,"``.

    Raises:
        SemanifoldError: if it is something else.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise SemanifoldError(f"{what} is a whole number from {least:,} to {most:,}, but {shown(repr(value), 40)} was given.")


def near_names(name: Any, names: Iterable[str]) -> str:
    """Return ``"did you mean 'a' or 'b'? "`` for close names, and always the list of all names.

    Args:
        name: what the user wrote.
        names: what there is.

    Returns:
        A hint to append to an error message, such as ``"did you mean 'mouth'? There are: eyes, mouth."``.
    """
    every = list(names)
    close = difflib.get_close_matches(str(name)[:200], every, n=2, cutoff=0.6)
    begin = f"did you mean {' or '.join(map(repr, close))}? There" if close else "there"
    return f"{begin} are: {', '.join(every)}."


def counted(count: int, word: str) -> str:
    """Return ``"one path"`` or ``"7 paths"``."""
    return f"one {word}" if count == 1 else f"{count} {word}s"


def shown(text: str, most: int = 80) -> str:
    """Return text of a stranger, fit to be printed: on one line, not too long, and without characters that steer a terminal.

    Args:
        text: from a file, a folder or an argument.
        most: letters that are shown; the end of a longer text is left out.
    """
    text = "".join(letter if _harmless(letter) else ascii(letter)[1:-1] for letter in text[: most + 1])[: most + 1]
    return text if len(text) <= most else text[: most - 1] + "…"


def _harmless(letter: str) -> bool:
    """Whether a character only shows itself: no control, no change of direction, no half of a pair, nothing unknown."""
    return letter == " " or unicodedata.category(letter) not in ("Cc", "Cf", "Cn", "Cs", "Co", "Zl", "Zp")


def first_line(error: BaseException) -> str:
    """The first line of PyTorch's sometimes long messages; the kind of the error where it says nothing."""
    return shown(str(error).strip().partition("\n")[0].rstrip("."), 200) or type(error).__name__
