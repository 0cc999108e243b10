"""``semanifold demo``: the main job, end to end, on the bundled faces."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from semanifold.commands.base import Command, Model, Output, Start
from semanifold.commands.discover import Discover
from semanifold.commands.edits import Combine
from semanifold.commands.results import HEAT, MP4, STRIP
from semanifold.commands.terminal import say, show

MASKS = {"mouth": "mouth", "eyes": "eyes"}
"""Run folder and mask of each path."""


@dataclass(frozen=True)
class Demo(Command):
    """Make the mouth of a generated face move, then its eyes, then both; no download, two minutes.

    Attributes:
        out: folder of the three run folders mouth, eyes and both.
        overwrite: do everything again.
        seed: number of the face.
        model: Which generator makes the pictures.
    """

    out: Annotated[Path, arg(metavar="FOLDER")] = Path("out/demo")
    overwrite: bool = False
    seed: Annotated[int, arg(metavar="N")] = 4
    model: Model = field(default_factory=Model)

    def run(self) -> int:
        """Discover twice, combine, and say what to open."""
        folders = tuple(self.out / name for name in MASKS)
        steps: list[Command] = [
            Discover(mask, model=self.model, start=Start(self.seed), output=Output(folder, self.overwrite))
            for folder, mask in zip(folders, MASKS.values(), strict=True)
        ]
        steps.append(Combine(folders, output=Output(self.out / "both", self.overwrite)))
        for title, step in zip(("1/3 the mouth", "2/3 the eyes", "3/3 both together"), steps, strict=True):
            say(f"--- {title}")
            code = step.run()
            if code:
                return code
        say("--- done")
        show(*[self.out / name / file for name in (*MASKS, "both") for file in (MP4, STRIP, HEAT)])
        return 0
