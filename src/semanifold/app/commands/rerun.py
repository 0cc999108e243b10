"""``semanifold rerun``: a run once more, from what its ``run.json`` says."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

from semanifold.app.answers import Answer
from semanifold.app.commands.arguments import option
from semanifold.app.commands.base import Command
from semanifold.storage.runs import read_record


@dataclass(frozen=True, kw_only=True)
class Rerun(Command):
    """Repeat a run from its run.json, and say whether the results are the same.

    Attributes:
        run_folder: run folder of any command.
        generator: use this generator; needed if the run used your own file.py:name, which a folder cannot name.
        attributes: use these attributes; needed if the run used your own FILE.py:NAME.
        out: where the repetition goes; the folder's name and -again if left out.
        overwrite: remove the results of another run there first.
    """

    does: ClassVar[str] = "semanifold.app.actions.rerun:rerun"
    run_folder: Annotated[Path, option("RUN")] = field(kw_only=False)
    generator: Annotated[str | None, option("NAME|FILE|URL")] = None
    attributes: Annotated[str | None, option("NAME,...")] = None
    out: Annotated[Path | None, option("FOLDER")] = None
    overwrite: bool = False

    def settled(self) -> Answer | None:
        """See :meth:`Command.settled`."""
        read_record(self.run_folder)  # refuses what is none
        return None
