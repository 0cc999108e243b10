"""``semanifold rank``: what each path of a measured traversal changes, as tables, pages and names."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

from semanifold.app.answers import Answer
from semanifold.app.commands.arguments import PLACE, flat, option
from semanifold.app.commands.base import Command, Output
from semanifold.app.commands.paths import MEASURE
from semanifold.core.errors import SemanifoldError
from semanifold.storage.files import check_writable, is_folder
from semanifold.storage.runs import read_record


@dataclass(frozen=True, kw_only=True)
class Rank(Command):
    """Rank the paths of a measured traversal by what they change, and by how little else.

    Attributes:
        measured: folder of a traversal that has been measured, or of a semanifold measure.
        group: attributes to look at together: all, a group of WarpedGANSpace's such as Smiling-AU12 or Rotation, or your own as
            smile=smile,mouth_width,identity.
        top: paths per attribute on the markdown page, and films in the HTML page.
        name: write the set to this file, with names for paths that clearly change one attribute, so that --paths smile finds
            them.
        least_pearson: absolute correlation that a path needs to be named after an attribute of the groups.
        least_lead: how many times as steeply a path must change its attribute as any other of the groups, to be named after it.
        level: root mean square change inside the mask at which localities are compared; chosen if left out.
        gifs: put films into the pages.
        output: Where the results go; rank/ in the folder that is ranked if left out.
    """

    does: ClassVar[str] = "semanifold.app.actions.ranking:rank"
    measured: Annotated[Path, option("MEASURED")] = field(kw_only=False)
    group: Annotated[tuple[str, ...], option("GROUP ...")] = ("all",)
    top: Annotated[int, option("N")] = 3
    name: Annotated[Path | None, option("FILE")] = None
    least_pearson: Annotated[float, option("R")] = 0.8
    least_lead: Annotated[float, option("TIMES")] = 1.25
    level: Annotated[float | None, option("RMS", name="--inside")] = None
    gifs: Annotated[bool, option(off="--no-gifs")] = True
    output: Annotated[Output, flat(PLACE)] = field(default_factory=Output)

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense."""
        if self.top < 1:
            raise SemanifoldError(f"top is the number of paths shown for an attribute, at least 1, but it is {self.top}.")
        if not self.group:
            raise SemanifoldError("There is no group; give a name after --group, such as all.")
        if not 0 <= self.least_pearson <= 1:
            raise SemanifoldError(f"least-pearson is a correlation of 0 to 1, but it is {self.least_pearson:g}.")
        if not self.least_lead >= 1:
            raise SemanifoldError(f"least-lead is a factor of at least 1, but it is {self.least_lead:g}.")

        if self.level is not None and not 0 < self.level <= 2:
            raise SemanifoldError(
                f"inside is a root mean square change of pictures in -1..1, above 0 and at most 2, but it is {self.level:g}."
            )

    def settled(self) -> Answer | None:
        """See :meth:`Command.settled`."""
        if (name := self.name) is not None:
            if name.suffix != ".safetensors" or name.is_dir() or not name.parent.is_dir():
                raise SemanifoldError(f"{name} cannot be written; give a .safetensors file in a folder that exists after name=.")
            check_writable(name.parent, "give another file after name=")
        folder = self.measured / MEASURE
        read_record(folder if is_folder(folder) else self.measured)  # refuses what is none
        return None
