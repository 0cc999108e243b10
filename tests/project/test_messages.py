"""Rooms below the command line, and the actions, say nothing of its options: their messages name arguments as Python does."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import semanifold
from semanifold.app.commands.arguments import parser
from semanifold.app.commands.table import COMMANDS, command_class
from semanifold.app.terminal import ARGUMENTS, CALLED

SOURCE = Path(semanifold.__file__).parent
DOORS = ("app/commands/", "app/cli.py", "app/terminal.py", "app/process.py")
"""What only the command line has; everything else is for a server and a notebook as well."""
OTHERS = {"app/inspecting.py": "whole commands, to type next"}


def texts(tree: ast.AST) -> Iterator[str]:
    """Yield the strings of a module, pieces of f-strings among them, without its docstrings."""
    prose = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in prose:
            yield node.value


@cache
def below() -> dict[str, list[str]]:
    """Return the strings of every module that answers not only the command line."""
    names = [path.relative_to(SOURCE).as_posix() for path in sorted(SOURCE.rglob("*.py"))]
    names = [name for name in names if not name.startswith(DOORS)]
    return {name: list(texts(ast.parse((SOURCE / name).read_text(encoding="utf-8")))) for name in names}


def test_no_room_below_the_command_line_names_an_option() -> None:
    """A string that is nothing but an option is a word of a command, as in ``Answer.next``, and no sentence."""
    option, word = re.compile(r"(^|\W)--[a-z]"), re.compile(r"--[a-z-]+")
    found = {name: [text for text in said if option.search(text) and not word.fullmatch(text)] for name, said in below().items()}
    assert {name for name, said in found.items() if said} == set(OTHERS), {
        n: s for n, s in found.items() if s and n not in OTHERS
    }


def test_what_the_command_line_translates_is_said_and_is_an_option() -> None:
    every = "\n".join(text for said in below().values() for text in said)
    assert [name for name in ARGUMENTS if not re.search(rf"\b{name}=", every)] == []
    options = {
        name
        for command in COMMANDS
        for argument in parser(command_class(command), command).assemble_argument_collection()
        for name in argument.names
    }
    assert {f"--{CALLED.get(name, name).replace('_', '-')}" for name in ARGUMENTS} <= options
    assert "--no-gifs" in options


def test_what_to_leave_out_is_named_as_an_argument() -> None:
    options = "|".join(name for name in (*ARGUMENTS, *(name.replace("_", " ") for name in ARGUMENTS)))
    prose = re.compile(rf"\bleave (?:the )?(?:{options})(?: and \w+| or (?:the )?\w+)? out\b")
    assert {name: found for name, said in below().items() if (found := [text for text in said if prose.search(text)])} == {}


def test_arguments_of_messages_that_are_options_are_translated() -> None:
    options = {
        name.removeprefix("--").replace("-", "_")
        for command in COMMANDS
        for argument in parser(command_class(command), command).assemble_argument_collection()
        for name in argument.names
    }
    named = {name for said in below().values() for text in said for name in re.findall(r"(?<= )([a-z_]+)=(?=[\s.,;]|$)", text)}
    assert sorted((named & options) - set(ARGUMENTS)) == []
