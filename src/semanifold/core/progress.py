"""Progress of long work: one protocol for searches, trainings and films, and a bar that shows it."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeAlias, TypeVar

from semanifold.core.errors import shown

Report: TypeAlias = dict[str, Any]
"""What there is to say of one step: its number ``step`` of ``steps``, and by names that the function tells, numbers and words to
show, and the path or the code as it is. Any, because each kind of work tells others; the steps themselves have typed values."""

Progress = Callable[[Report], None]
"""Called per step, such as with ``step``, ``steps``, ``inside``, ``outside``, ``objective``, ``evaluations``."""

Watch = Progress | bool | None
"""What a function takes as ``progress``: a callback of one's own, False for silence, or None (or True) for a bar."""


class Step(Protocol):
    """One step of work that is done step by step: how far it is, and what there is to say of it."""

    @property
    def step(self) -> int:
        """Steps done."""
        ...

    @property
    def steps(self) -> int:
        """Most steps in all."""
        ...

    def report(self) -> Report:
        """Return what a :data:`Progress` callback gets."""
        ...


S = TypeVar("S", bound=Step)


def followed(steps: Iterator[S], progress: Progress) -> tuple[S, bool]:
    """Go through the steps of a search or a training, and report each.

    Args:
        steps: at least one.
        progress: called with the report of each.

    Returns:
        The last step that was reached, and whether Ctrl-C stopped it there.

    Raises:
        KeyboardInterrupt: after Ctrl-C before the first step.
    """
    last: S | None = None
    try:
        for last in steps:
            progress(last.report())
    except KeyboardInterrupt:
        if last is None:
            raise
        return last, True
    assert last is not None  # a search begins with a step, and so does a training
    return last, False


USUAL_SIZE = (80, 24)
PATIENCE = 1.0
"""Seconds of work before a bar appears."""


def in_notebook() -> bool:
    """Whether this is a notebook, whose output can show a bar although it is no terminal."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return any(base.__name__ == "ZMQInteractiveShell" for base in type(shell).__mro__)


def assumed_size() -> os.terminal_size | None:
    """Return the size to take for a terminal that does not say its own, as some containers do not; else None."""
    try:
        size = os.get_terminal_size(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):
        return None
    return None if all(size) else os.terminal_size((size.columns or USUAL_SIZE[0], size.lines or USUAL_SIZE[1]))


@contextmanager
def watching(progress: Watch, title: str) -> Iterator[Progress]:
    """Give the callback that a function reports to; one of the caller's own also gets the title, as ``part``.

    Args:
        progress: what the function was given.
        title: of the bar, which is drawn on terminals and in notebooks only, and taken away at the end, also after an error.
    """
    if callable(progress):
        yield lambda report: progress({"part": title, **report})
    elif progress is False:
        yield lambda report: None
    else:
        with ProgressBar(title) as bar:
            yield bar


class ProgressBar:
    """A :data:`Progress` callback: a bar with the time that is left on a terminal or in a notebook.

    Elsewhere it can say a line per tenth of the way.
    """

    def __init__(
        self,
        title: str,
        *,
        visible: bool | None = None,
        lines: Callable[[str], None] | None = None,
        shares: Sequence[float] = (),
    ) -> None:
        """Start at nothing; the bar appears after :data:`PATIENCE` seconds.

        Args:
            title: what is being done.
            visible: whether the bar may be drawn; on terminals and in notebooks only when None.
            lines: prints a line where no bar is drawn; nothing is printed when None.
            shares: how much of the whole each part is of work of several parts, one after the other; the bar then goes up once,
                in percent. Without them it begins anew with each part.
        """
        from tqdm import tqdm  # noqa: PLC0415  (what needs no bar should start quickly)

        self.title, self.lines, self.tenth = shown(title, 60), lines, 0
        self.shares, self.number = [share / sum(shares) for share in shares], 0
        self.part: object = None
        self.later = False
        notebook = in_notebook()
        visible = (notebook or sys.stderr.isatty()) if visible is None else visible
        size = None if notebook else assumed_size()
        self.bar = tqdm(
            desc=self.title,
            file=sys.stdout if notebook else sys.stderr,  # what notebooks get on stderr looks like an error
            leave=False,
            disable=not visible,
            delay=PATIENCE,
            dynamic_ncols=size is None,
            ncols=size and size.columns,
            nrows=size and size.lines,
            mininterval=0.2,
            bar_format="{desc} ...",  # until the number of steps is known
        )
        self.appearing = threading.Timer(PATIENCE, self._appear)  # the first step may take long
        self.appearing.daemon = True
        if visible:
            self.appearing.start()

    def __call__(self, report: Report) -> None:
        """Show one step: ``step`` of ``steps``, and the words and numbers of the report.

        Work of several parts, each with its own ``part``, begins anew with each unless their shares are known, and says which
        it is from the second on.
        """
        part = report.get("part", self.part)
        if part != self.part:
            self.later = self.part is not None
            self.part = part
            self.number += self.later
            if not self.shares:
                self.tenth = 0
                self.bar.reset()
        step, steps = int(report["step"]), max(int(report["steps"]), 1)
        if self.shares:
            now = min(self.number, len(self.shares) - 1)
            done = sum(self.shares[:now]) + self.shares[now] * min(step / steps, 1)
            step, steps = round(100 * done), 100
        words = [value for key, value in report.items() if isinstance(value, str) and (self.later or key != "part")]
        words += [f"{key} {value:.3g}" for key, value in report.items() if isinstance(value, float)]
        numbers = shown(", ".join(words), 120)
        if not self.bar.disable:
            self.bar.total, self.bar.bar_format = steps, None
            self.bar.set_postfix_str(numbers, refresh=False)
            self.bar.update(max(step - self.bar.n, 0))
        elif self.lines is not None and 10 * step // steps > self.tenth:
            self.tenth = 10 * step // steps
            far = f"{step} %" if self.shares else f"{step} of {steps}"
            self.lines(f"{self.title}: {far}{numbers and ', ' + numbers}")

    def _appear(self) -> None:
        if self.bar.n == 0:
            self.bar.refresh()

    def close(self) -> None:
        """Take the bar away."""
        self.appearing.cancel()
        self.bar.close()

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
