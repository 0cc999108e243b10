"""``semanifold bench``: measurements against other methods."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, Suppress, arg

from semanifold.commands.base import Command, Model, Output, facts_of, for_help, to_arguments
from semanifold.commands.terminal import ProgressLine, say, show
from semanifold.locality.benchmark import ROWS, LocalitySettings, run_benchmark
from semanifold.locality.methods import METHODS
from semanifold.locality.worlds import world_of
from semanifold.manifolds import ManifoldSettings
from semanifold.storage.files import write_text
from semanifold.storage.runs import begin_run, working

TABLE, NUMBERS, FIGURE = "locality.md", "locality.json", "locality.png"


@dataclass(frozen=True)
class Locality(LocalitySettings):
    """The same fields, with help for the command line; the manifolds are measured as everybody gets them."""

    generator: Suppress[str] = "faces"
    manifold: Suppress[ManifoldSettings] = field(default_factory=ManifoldSettings)
    out: Suppress[Path] = Path("out/locality")


Locality.__doc__ = for_help(LocalitySettings.__doc__)


@dataclass(frozen=True)
class Bench(Command):
    """Measure how local edits of a generator are, against other methods, at equal inside change.

    Attributes:
        what: locality, the only one so far.
        settings: What to measure.
        model: Which generator makes the pictures.
        output: Where the results go.
    """

    what: Positional[Annotated[Literal["locality"], arg(metavar="locality")]]
    settings: Locality = field(default_factory=Locality)
    model: Model = field(default_factory=Model)
    output: Output = field(default_factory=Output)

    def run(self) -> int:
        """Print the table, and write it with its figure."""
        generator = self.model.load()
        world = world_of(generator, self.settings.masks)
        folder = self.output.folder("locality", *([] if generator.name == Model().generator else [generator.name]))
        run = begin_run(folder, "bench", to_arguments(self), facts_of(generator), overwrite=self.output.overwrite)
        if run.finished:
            say(f"{folder} is finished already; --overwrite does it again.")
        else:
            line = ProgressLine(self.what)
            with working(run):
                run.path(ROWS)
                settings = replace(self.settings, generator=generator.name, out=folder)
                try:
                    report = run_benchmark(world, settings, METHODS, line)
                finally:
                    line.close()
                write_text(run.path(TABLE), report.markdown() + "\n")
                write_text(run.path(NUMBERS), report.json() + "\n")
                report.figure(run.path(FIGURE))
                say(report.markdown())
        show(folder / FIGURE, folder / TABLE)
        return 0
