"""The table of the commands; each is a class whose fields are its arguments.

Only the module of the command that was asked for is imported, so help and mistakes are quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from semanifold.errors import SemanifoldError, near_names, shown

if TYPE_CHECKING:
    from semanifold.commands.base import Command

COMMANDS = {
    "demo": ("semanifold.commands.demo:Demo", "make a mouth move and a head turn, with no download, into out/demo"),
    "sample": ("semanifold.commands.files:Sample", "show pictures of a generator, one per seed"),
    "mask": ("semanifold.commands.masks:ShowMask", "draw a mask on a picture, before any search"),
    "discover": (
        "semanifold.commands.discover:Discoveries",
        "find a smooth sequence of pictures that changes only inside a mask",
    ),
    "transfer": ("semanifold.commands.edits:Transfer", "put an edit that was found on one face onto others"),
    "combine": ("semanifold.commands.edits:Combine", "play several edits of one face at the same time"),
    "render": ("semanifold.commands.edits:Render", "make the film of an edit again, with other timing or size"),
    "play": ("semanifold.commands.play:Play", "play several edits one after the other, over a timeline, in one film"),
    "directions": ("semanifold.commands.directions:Directions", "find straight paths in closed form, without training"),
    "weights": ("semanifold.commands.weights:Weights", "find directions in the weights of a layer, also inside a mask"),
    "train": ("semanifold.commands.train:Train", "learn paths through latent space without a label"),
    "traverse": ("semanifold.commands.paths:Traverse", "walk the paths of a set both ways from a pool of codes"),
    "measure": ("semanifold.commands.paths:Measure", "read attributes from every picture of a traversal"),
    "rank": ("semanifold.commands.ranking:Rank", "say what each path changes, in one page, and name the best"),
    "zoo": ("semanifold.commands.zoo:Zoo", "list and fetch the public weights that published programs use"),
    "inspect": ("semanifold.commands.files:Inspect", "say what a file or a folder is, without running anything in it"),
    "convert": ("semanifold.commands.files:Convert", "write a generator's weights as safetensors"),
    "bake": ("semanifold.commands.weights:Bake", "write a generator with an edit of its weights inside"),
    "rerun": ("semanifold.commands.rerun:Rerun", "repeat a run from its run.json, and say whether the results are the same"),
    "bench": ("semanifold.commands.bench:Bench", "measure how local edits are, against other methods"),
    "completion": ("semanifold.commands.completion:Completion", "print the script that completes words in your shell"),
}
"""Command, where it lives, what it does."""

QUIET, JSON = ("--quiet", "-q"), "--json"
"""What every command understands."""


def command_class(name: str) -> type[Command]:
    """Return the class of a command.

    Raises:
        SemanifoldError: for an unknown command, with the near names.
    """
    if name not in COMMANDS:
        raise SemanifoldError(f"There is no command {shown(name, 40)!r}: {near_names(name, COMMANDS)}")
    module, _, kind = COMMANDS[name][0].partition(":")
    return getattr(importlib.import_module(module), kind)
