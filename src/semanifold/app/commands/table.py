"""The table of the commands; each is a class whose fields are its arguments.

Only the module of the command that was asked for is imported, so help and mistakes are quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from semanifold.core.errors import SemanifoldError, near_names, shown

if TYPE_CHECKING:
    from semanifold.app.commands.base import Command

COMMANDS = {
    "demo": ("semanifold.app.commands.demo:Demo", "make a mouth move and a head turn, with no download, into out/demo"),
    "sample": ("semanifold.app.commands.files:Sample", "show pictures of a generator, one per seed"),
    "mask": ("semanifold.app.commands.masks:ShowMask", "draw a mask on a picture, before any search"),
    "discover": (
        "semanifold.app.commands.discover:Discoveries",
        "find a smooth sequence of pictures that changes only inside a mask",
    ),
    "invert": ("semanifold.app.commands.invert:Inversions", "find the code whose picture is nearest to a photograph"),
    "encoder": ("semanifold.app.commands.encoder:TrainEncoder", "train a network that reads codes from pictures, for invert"),
    "edit": ("semanifold.app.commands.photographs:PhotoEdit", "change a photograph: find the face, edit it, put it back"),
    "transfer": ("semanifold.app.commands.edits:Transfer", "put an edit that was found on one face onto others"),
    "combine": ("semanifold.app.commands.edits:Combine", "play several edits of one face at the same time"),
    "render": ("semanifold.app.commands.edits:Render", "make the film of an edit again, with other timing or size"),
    "play": ("semanifold.app.commands.play:Play", "play several edits one after the other, over a timeline, in one film"),
    "directions": ("semanifold.app.commands.directions:Directions", "find straight paths in closed form, without training"),
    "weights": ("semanifold.app.commands.weights:Weights", "find directions in the weights of a layer, also inside a mask"),
    "train": ("semanifold.app.commands.train:Train", "learn paths through latent space without a label"),
    "traverse": ("semanifold.app.commands.paths:Traverse", "walk the paths of a set both ways from a pool of codes"),
    "measure": ("semanifold.app.commands.paths:Measure", "read attributes from every picture of a traversal"),
    "rank": ("semanifold.app.commands.ranking:Rank", "say what each path changes, in one page, and name the best"),
    "zoo": ("semanifold.app.commands.zoo:Zoo", "list and fetch the public weights that published programs use"),
    "inspect": ("semanifold.app.commands.files:Inspect", "say what a file or a folder is, without running anything in it"),
    "convert": ("semanifold.app.commands.files:Convert", "write a generator's weights as safetensors"),
    "bake": ("semanifold.app.commands.weights:Bake", "write a generator with an edit of its weights inside"),
    "rerun": ("semanifold.app.commands.rerun:Rerun", "repeat a run from its run.json, and say whether the results are the same"),
    "bench": ("semanifold.app.commands.bench:Bench", "measure how local edits are, against other methods"),
    "completion": ("semanifold.app.commands.completion:Completion", "print the script that completes words in your shell"),
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
