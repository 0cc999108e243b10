"""Progress of long work: one protocol for searches, trainings and films, and a bar that shows it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from semanifold.errors import shown

Progress = Callable[[dict[str, Any]], None]
"""Called per step with its numbers, such as ``step``, ``steps``, ``inside``, ``outside``, ``objective``, ``evaluations``."""

PATIENCE = 1.0
"""Seconds of work before a bar appears."""


def in_notebook() -> bool:
    """Whether this is a notebook, whose output can show a bar although it is no terminal."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


class ProgressBar:
    """A :data:`Progress` callback: a bar with the time that is left on a terminal or in a notebook.

    Elsewhere it can say a line per tenth of the way.
    """

    def __init__(self, title: str, *, visible: bool | None = None, lines: Callable[[str], None] | None = None) -> None:
        """Start at nothing; the bar appears after :data:`PATIENCE` seconds.

        Args:
            title: what is being done.
            visible: whether the bar may be drawn; on terminals and in notebooks only when None.
            lines: prints a line where no bar is drawn; nothing is printed when None.
        """
        from tqdm.auto import tqdm  # noqa: PLC0415  (what needs no bar should start quickly)

        self.title, self.lines, self.tenth = shown(title, 60), lines, 0
        visible = (sys.stderr.isatty() or in_notebook()) if visible is None else visible
        self.bar = tqdm(desc=self.title, leave=False, disable=not visible, delay=PATIENCE, dynamic_ncols=True, mininterval=0.2)

    def __call__(self, report: Mapping[str, Any]) -> None:
        """Show one step: ``step`` of ``steps``, and the words and numbers of the report."""
        step, steps = int(report["step"]), max(int(report["steps"]), 1)
        words = [value for value in report.values() if isinstance(value, str)]
        words += [f"{key} {value:.3g}" for key, value in report.items() if isinstance(value, float)]
        numbers = shown(", ".join(words), 120)
        if not self.bar.disable:
            self.bar.total = steps
            self.bar.set_postfix_str(numbers, refresh=False)
            self.bar.update(max(step - self.bar.n, 0))
        elif self.lines is not None and 10 * step // steps > self.tenth:
            self.tenth = 10 * step // steps
            self.lines(f"{self.title}: {step} of {steps}{numbers and ', ' + numbers}")

    def close(self) -> None:
        """Take the bar away."""
        self.bar.close()

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
