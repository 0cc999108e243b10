"""``semanifold bench``: measurements against other methods."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from semanifold.app.answers import Answer
from semanifold.app.commands import early
from semanifold.app.commands.arguments import GENERATOR, HIDDEN, MAIN, PLACE, Group, flat, option
from semanifold.app.commands.base import Command, Model, Output
from semanifold.app.commands.values import numbers_text, seed_numbers
from semanifold.locality.settings import LocalitySettings
from semanifold.manifolds.settings import ManifoldSettings

WHAT = Group("What to measure", sort_key=3)


def faces_text(seeds: int | tuple[int, ...]) -> str:
    """Return seeds as a person types them."""
    return numbers_text(tuple(range(seeds)) if isinstance(seeds, int) else seeds)


SEEDS = option(
    "N|N-N ...",
    read=seed_numbers,
    write=faces_text,
    many=True,
    group=MAIN,
    text="numbers of the pictures, and ranges such as 0-7",
)


@dataclass(frozen=True, kw_only=True)
class Locality(LocalitySettings):
    """The same fields; the manifolds are measured as everybody gets them."""

    masks: Annotated[tuple[str, ...], option("MASK ...", name="--mask", group=MAIN)] = LocalitySettings.masks
    seeds: Annotated[int | tuple[int, ...], SEEDS] = 8
    methods: Annotated[tuple[str, ...], option("NAME ...")] = LocalitySettings.methods
    level: Annotated[float, option("SHARE", name="--inside")] = LocalitySettings.level
    paper_steps: Annotated[int, option("N", name="--paper-iterations")] = LocalitySettings.paper_steps
    layer: Annotated[str | None, option("NAME")] = None
    generator: Annotated[str, HIDDEN] = "faces"
    manifold: Annotated[ManifoldSettings, HIDDEN] = field(default_factory=ManifoldSettings)
    out: Annotated[Path, HIDDEN] = Path("out/locality")


Locality.__doc__ = (LocalitySettings.__doc__ or "").replace("``", "")


@dataclass(frozen=True, kw_only=True)
class Bench(Command):
    """Measure how local edits of a generator are, against other methods, at equal inside change.

    Attributes:
        what: locality, the only one so far.
        settings: What to measure.
        model: Which generator makes the pictures.
        output: Where the results go.
    """

    does: ClassVar[str] = "semanifold.app.actions.bench:bench"
    what: Annotated[Literal["locality"], option("locality")] = field(kw_only=False)
    settings: Annotated[Locality, flat(WHAT)] = field(default_factory=Locality)
    model: Annotated[Model, flat(GENERATOR)] = field(default_factory=Model)
    output: Annotated[Output, flat(PLACE)] = field(default_factory=Output)

    def settled(self) -> Answer | None:
        """See :meth:`Command.settled`."""
        early.check_masks(self.settings.masks, self.model.generator)
        return None
