"""``semanifold completion``: the script that completes commands and options in a shell."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from semanifold.app.commands.arguments import option
from semanifold.app.commands.base import Command


@dataclass(frozen=True, kw_only=True)
class Completion(Command):
    """Print the script that completes commands and options in your shell: ``eval "$(semanifold completion bash)"``.

    Attributes:
        shell: bash, zsh or fish.
    """

    does: ClassVar[str] = "semanifold.app.actions.completion:script"
    shell: Annotated[Literal["bash", "zsh", "fish"], option("bash|zsh|fish")] = field(kw_only=False)
