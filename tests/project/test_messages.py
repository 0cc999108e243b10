"""Rooms below the command line say nothing of its options: their messages name arguments as Python does."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import semanifold
from semanifold.app.commands.arguments import parser
from semanifold.app.commands.table import COMMANDS, command_class
from semanifold.app.terminal import ARGUMENTS

SOURCE = Path(semanifold.__file__).parent
OTHERS = {"core/extras.py": "the options of uv, which installs"}


def texts(tree: ast.AST) -> Iterator[str]:
    """Yield the strings of a module, pieces of f-strings among them, without its docstrings."""
    prose = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in prose:
            yield node.value


def below() -> dict[str, list[str]]:
    """Return the strings of every module below ``app/``."""
    names = [path.relative_to(SOURCE).as_posix() for path in sorted(SOURCE.rglob("*.py"))]
    names = [name for name in names if not name.startswith("app/")]
    return {name: list(texts(ast.parse((SOURCE / name).read_text(encoding="utf-8")))) for name in names}


def test_no_room_below_the_command_line_names_an_option() -> None:
    found = {name: [text for text in said if re.search(r"(^|\W)--[a-z]", text)] for name, said in below().items()}
    assert {name for name, said in found.items() if said} == set(OTHERS), {
        n: s for n, s in found.items() if s and n not in OTHERS
    }


def test_what_the_command_line_translates_is_said_and_is_an_option() -> None:
    every = "\n".join(text for said in below().values() for text in said)
    said = {name for name in ARGUMENTS if re.search(rf"\b{name}=", every)}
    assert set(ARGUMENTS) - said == {"latents_space"}, "which actions/base.py puts in the place of space"
    options = {
        name
        for command in COMMANDS
        for argument in parser(command_class(command), command).assemble_argument_collection()
        for name in argument.names
    }
    assert {f"--{name.replace('_', '-')}" for name in ARGUMENTS} <= options
