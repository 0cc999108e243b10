"""``semanifold bench``: measurements against other methods."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from tyro.conf import Positional, Suppress, arg

from semanifold.commands.base import Command, for_help
from semanifold.commands.terminal import ProgressLine, say, show
from semanifold.files import write_text
from semanifold.locality.benchmark import LocalitySettings, locality_benchmark
from semanifold.manifolds import ManifoldSettings


@dataclass(frozen=True)
class Locality(LocalitySettings):
    """The same fields, with help for the command line; the manifolds are measured as everybody gets them."""

    manifold: Suppress[ManifoldSettings] = field(default_factory=ManifoldSettings)


Locality.__doc__ = for_help(LocalitySettings.__doc__)


@dataclass(frozen=True)
class Bench(Command):
    """Measure how local edits of the bundled faces are, against other methods, at equal inside change.

    Attributes:
        what: locality, the only one so far.
        settings: What to measure.
    """

    what: Positional[Annotated[Literal["locality"], arg(metavar="locality")]]
    settings: Locality = field(default_factory=Locality)

    def run(self) -> int:
        """Print the table, and write it with its figure."""
        line = ProgressLine(self.what)
        report = locality_benchmark(self.settings, line)
        line.close()
        out = self.settings.out
        write_text(out / "locality.md", report.markdown() + "\n")
        write_text(out / "locality.json", report.json() + "\n")
        report.figure(out / "locality.png")
        say(report.markdown())
        show(out / "locality.png", out / "locality.md")
        return 0
