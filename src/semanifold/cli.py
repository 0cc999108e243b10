"""The command line: one table of commands; each is a class whose fields are its arguments.

Only the module of the command that was asked for is imported, so help and mistakes are quick.
"""

from __future__ import annotations

import codecs
import contextlib
import importlib
import io
import os
import re
import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from semanifold import __version__
from semanifold.errors import SemanifoldError, near_names

if TYPE_CHECKING:
    from semanifold.commands.base import Command

COMMANDS = {
    "demo": ("semanifold.commands.demo:Demo", "make a mouth and a pair of eyes move, with no download, into out/demo"),
    "sample": ("semanifold.commands.files:Sample", "show pictures of a generator, one per seed"),
    "discover": ("semanifold.commands.discover:Discover", "find a smooth sequence of pictures that changes inside a mask only"),
    "transfer": ("semanifold.commands.edits:Transfer", "put an edit that was found on one face onto others"),
    "combine": ("semanifold.commands.edits:Combine", "play several edits of one face at the same time"),
    "render": ("semanifold.commands.edits:Render", "make the film of an edit again, with other timing or size"),
    "directions": ("semanifold.commands.directions:Directions", "find straight paths in closed form, without training"),
    "train": ("semanifold.commands.train:Train", "learn paths through latent space without a label"),
    "traverse": ("semanifold.commands.paths:Traverse", "walk the paths of a set both ways from a pool of codes"),
    "measure": ("semanifold.commands.paths:Measure", "read attributes from every picture of a traversal"),
    "rank": ("semanifold.commands.ranking:Rank", "say what each path changes, in one page, and name the best"),
    "zoo": ("semanifold.commands.zoo:Zoo", "list and fetch the public weights that published programs use"),
    "inspect": ("semanifold.commands.files:Inspect", "say what a file or a folder is, without running anything in it"),
    "convert": ("semanifold.commands.files:Convert", "write a generator's weights as safetensors"),
    "rerun": ("semanifold.commands.rerun:Rerun", "repeat a run from its run.json, and say whether the same came out"),
    "bench": ("semanifold.commands.bench:Bench", "measure how local edits are, against other methods"),
}
"""Command, where it lives, what it does."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the words after ``semanifold``; those of the process when None.

    Returns:
        The exit code: 0, 2 for a mistake in the input (one line on stderr says what to do), 130 after Ctrl-C.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.")  # torch's talk to itself
    try:
        if not argv or argv[0] in ("-h", "--help", "help"):
            print(overview())
            return 0
        if argv[0] in ("-V", "--version"):
            print(f"semanifold {__version__}")
            return 0
        return parse(argv).run()
    except SemanifoldError as error:
        print(f"semanifold: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("semanifold: interrupted; the same command goes on from here where it can.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output, such as head, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def overview() -> str:
    """Return the text of ``semanifold --help``."""
    lines = [f"  {name:<11} {summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: semanifold COMMAND ...",
            "",
            "Find the meaningful ways in which the pictures of a pretrained generator can change.",
            "",
            *lines,
            "",
            "Begin with:  semanifold demo",
            "Then try:    semanifold discover --mask mouth --seed 7",
            "The arguments of a command:  semanifold COMMAND --help",
        ]
    )


def command_class(name: str) -> type[Command]:
    """Return the class of a command.

    Raises:
        SemanifoldError: for an unknown command, with the near names.
    """
    if name not in COMMANDS:
        raise SemanifoldError(f"There is no command {name!r}: {near_names(name, COMMANDS)}")
    module, _, kind = COMMANDS[name][0].partition(":")
    return getattr(importlib.import_module(module), kind)


def parse(argv: Sequence[str]) -> Command:
    """Return the command that these words ask for.

    Raises:
        SemanifoldError: for an unknown command or argument, or a value that makes no sense.
        SystemExit: with code 0 after ``--help``.
    """
    import tyro  # noqa: PLC0415  (not needed for the overview)

    name, *words = argv
    kind = command_class(name)
    started: Any = kind.defaults(words)
    encoding = codecs.lookup(sys.stdout.encoding or "ascii").name  # the parser draws its boxes with what the terminal can show
    help_text, complaint = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
    try:
        with contextlib.redirect_stdout(help_text), contextlib.redirect_stderr(complaint):
            return tyro.cli(
                kind,
                args=words,
                **({} if started is None else {"default": started}),
                prog=f"semanifold {name}",
                config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff, tyro.conf.DisallowNone),
            )
    except SystemExit as end:
        if end.code in (0, None):
            print(without_empty_defaults(written(help_text)), end="")
            raise
        raise SemanifoldError(one_line(written(complaint), name)) from None


def written(stream: io.TextIOWrapper) -> str:
    """Return all that was written to a stream in memory."""
    stream.seek(0)
    return stream.read()


def without_empty_defaults(text: str) -> str:
    """Return a help text without the defaults that say nothing; the boxes stay as wide as they are."""
    pattern = r"\(default:((?: *│\n│)? *)(?:None|False|True)?\)"
    return re.sub(pattern, lambda found: re.sub(r"[^│\n]", " ", found[0]), text)


def one_line(boxed: str, command: str) -> str:
    """Return what the parser says in a box as one sentence."""
    rows = [re.sub(r"\x1b\[[0-9;]*m", "", row).strip("│| ") for row in boxed.splitlines()]
    parts: list[list[str]] = [[]]
    for row in rows:
        if re.fullmatch(r"[─-]+", row):
            parts.append([])
        elif row and row[0] not in "╭╰+":
            parts[-1].append(row)
    parts = parts if "╭" in boxed else parts[1:]  # without box characters the title has a line of its own
    message = re.sub(r"^Error parsing [\w.-]+: ", "", " ".join(parts[0])).rstrip(".")
    message = re.sub(r"invalid literal for int\(\) with base 10: ('.*?')", r"\1 is not a whole number", message)
    message = re.sub(r"could not convert string to float: ('.*?')", r"\1 is not a number", message)
    message = re.sub(r"no type matching .* could be instantiated from .*? Got errors: - <class '\w+'>: ", "", message)
    message = re.sub(r"Could not find valid parse for arguments: \[(.*)\]", r"\1 cannot be read", message)
    message = re.sub(r"Missing value for argument '(\S+)'\. Expected 1 values", r"\1 takes a value", message)
    missing = re.match(r"Missing from semanifold \w+: ((?:--\S+ )?\S+)", message)
    near = [row.split()[0].rstrip(",") for part in parts[1:] for row in part if row.startswith("--")]
    if missing:
        message = f"{command} needs {missing[1]}"
    elif near and any("Perhaps you meant" in row for part in parts for row in part):
        message = f"{message}; perhaps {' or '.join(near[:2])} was meant"
    elif near:
        message = f"{near[0]}: {message}"
    return f"{message}; see semanifold {command} --help."
