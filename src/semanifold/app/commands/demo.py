"""``semanifold demo``: the main job, end to end, on the bundled faces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from semanifold.app.commands.arguments import option
from semanifold.app.commands.base import Command


@dataclass(frozen=True, kw_only=True)
class Demo(Command):
    """Make the mouth of a generated face move, turn its head, and both; no download, half a minute.

    Attributes:
        out: folder of the three run folders mouth, yaw and both.
        overwrite: do everything again.
        seed: number of the face.
        device: cpu, cuda, cuda:1, mps; if left out the first GPU, or the CPU if there is no GPU.
    """

    does: ClassVar[str] = "semanifold.app.actions.demo:demo"
    out: Annotated[Path, option("FOLDER")] = Path("out/demo")
    overwrite: bool = False
    seed: Annotated[int, option("N")] = 4
    device: Annotated[str | None, option("NAME")] = None
