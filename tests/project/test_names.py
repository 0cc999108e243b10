"""Names say what a value is: not that it was found, held or given, which every value is."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from semanifold import __file__ as package

EMPTY = {"each", "few", "found", "given", "held", "some", "told", "works"}


def named(tree: ast.AST) -> Iterator[str]:
    """Yield the names of functions, classes and parameters, and those that are assigned."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def empty(source: str) -> set[str]:
    return {name for name in named(ast.parse(source)) if name.strip("_").lower() in EMPTY}


def test_no_name_says_no_more_than_that_there_is_something() -> None:
    bad = {str(path): names for path in Path(package).parent.rglob("*.py") if (names := empty(path.read_text()))}
    assert not bad, "call it by the noun of what it is"


@pytest.mark.parametrize(
    "source",
    [
        "found = 1",
        "def f(given): ...",
        "class Found: ...",
        "lambda each: each",
        "[some for some in x]",
        "if (held := 1): ...",
        "x.few = 1",
    ],
)
def test_every_kind_of_name_is_seen(source: str) -> None:
    assert empty(source)


def test_nouns_and_prose_are_free() -> None:
    assert not empty("founded, path = 'found', 1  # found")
