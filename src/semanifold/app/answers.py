"""What an action gets beside its request, and what it returns: values, the same for a command line, a server and a notebook.

Nothing here, and nothing in :mod:`semanifold.app.actions`, prints, asks a terminal or changes the process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from semanifold.core.plain import Json
from semanifold.core.progress import Progress, Report


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What an action has done.

    Attributes:
        folder: the run folder, if it wrote one.
        said: sentences of the result.
        files: what to open.
        next: the words of the command to type next, after ``semanifold``; none if nothing follows.
        facts: numbers and texts of the result, ready for JSON. No edit, set or report is among them: a run that was finished
            before is answered without loading one, so that all are opened from the folder (``load_edit``, ``load_paths``).
        fresh: whether anything had to be done; a run may have been finished before.
        interrupted: whether it was stopped; the same request goes on from there where it can.
        parts: answers of the requests that it consists of; the caller has heard them.
    """

    folder: Path | None = None
    said: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    next: tuple[str, ...] = ()
    facts: Mapping[str, Json] = field(default_factory=dict)
    fresh: bool = True
    interrupted: bool = False
    parts: tuple[Answer, ...] = ()


def already(folder: Path, results: Sequence[str] = (), again: str = "overwrite=True does it again.") -> Answer:
    """Return the answer if a run was finished before.

    Args:
        folder: of the run.
        results: what was said of them then.
        again: how to have it done once more.
    """
    return Answer(folder=folder, said=(f"{folder} is finished already; {again}", *results), fresh=False)


def typed(*words: object) -> tuple[str, ...]:
    """Return the words of a command as :attr:`Answer.next` has them."""
    return tuple(map(str, words))


def ignored(_: object) -> None:
    """Hear nothing."""


def never() -> bool:
    """Stop nothing."""
    return False


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who asks: where the relative paths of a request begin, who hears how far it is, and when to stop.

    Attributes:
        folder: that relative paths begin in; the one of the process when None.
        progress: called with the numbers of each step of long work, and its title as ``part``.
        hear: called with each part of an answer as soon as it is there.
        remark: called with each sentence that is not the result, such as a warning.
        stop: whether to stop; what is kept then is what Ctrl-C keeps.
        command_line: for ``run.json``, the words of the shell, if it was one.
        directory: for ``run.json``, the folder that paths begin in, if :attr:`folder` does not say it.
    """

    folder: Path | None = None
    progress: Progress = ignored
    hear: Callable[[Answer], None] = ignored
    remark: Callable[[str], None] = ignored
    stop: Callable[[], bool] = never
    command_line: tuple[str, ...] = ()
    directory: str = ""

    def watching(self, title: str, shares: Sequence[float] = ()) -> AbstractContextManager[Progress]:
        """Give the callback that long work reports to; it raises :class:`KeyboardInterrupt`, as Ctrl-C does, to stop it.

        Args:
            title: what is being done.
            shares: how much of the whole each part is of work that tells of several parts, for whoever draws a bar.
        """

        def report(numbers: Report) -> None:
            self.progress({"part": title, **numbers})
            if self.stop():
                raise KeyboardInterrupt

        return nullcontext(report)

    def stopping(self) -> AbstractContextManager[Callable[[], bool]]:
        """Give what work asks that stops at a good place by itself."""
        return nullcontext(self.stop)

    def sparing(self, cores: int) -> AbstractContextManager[None]:
        """Leave cores to programs that an action starts; they belong to the process, which is the caller's, so nothing here."""
        return nullcontext()


NOBODY = Caller()
"""Hears nothing, and stops nothing."""
