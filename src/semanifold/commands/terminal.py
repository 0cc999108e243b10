"""What commands say: results on stdout, progress on stderr."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm


def say(text: str) -> None:
    """Print a line of the result."""
    print(text, flush=True)


def remark(text: str) -> None:
    """Print a line that is not the result, on stderr."""
    print(text, file=sys.stderr, flush=True)


def show(*paths: Path) -> None:
    """End a command: say what to open."""
    say("Open: " + "\n      ".join(str(path) for path in paths))


class ProgressLine:
    """A progress callback: a bar on a terminal, a line for each tenth of the way elsewhere."""

    def __init__(self, title: str) -> None:
        """Start at nothing.

        Args:
            title: what is being done.
        """
        self.title, self.tenth = title, -1
        self.bar = tqdm(desc=title, leave=False, disable=not sys.stderr.isatty())

    def __call__(self, report: dict[str, Any]) -> None:
        """Show one step: ``step`` of ``steps``, and the words and numbers that came with it."""
        step, steps = report["step"], max(report["steps"], 1)
        words = [value for value in report.values() if isinstance(value, str)]
        words += [f"{key} {value:.4g}" for key, value in report.items() if isinstance(value, float)]
        words += [f"{report['evaluations']} evaluations"] if "evaluations" in report else []
        numbers = ", ".join(words)
        if not self.bar.disable:
            self.bar.total, self.bar.n = steps, step
            self.bar.set_postfix_str(numbers)
        elif 10 * step // steps > self.tenth:
            self.tenth = 10 * step // steps
            remark(f"{self.title}: step {step} of {steps}{numbers and ', ' + numbers}")

    def close(self) -> None:
        """Take the bar away."""
        self.bar.close()
