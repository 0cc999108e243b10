"""The doors ask what a set of paths, an edit or a generator can do, and never which kind it is."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import semanifold
from semanifold.edits import Edit
from semanifold.edits import files as edits
from semanifold.generators import architectures, wrapped  # noqa: F401  (all kinds have to be known)
from semanifold.generators.base import Generator
from semanifold.paths import files as paths  # noqa: F401
from semanifold.paths.base import PathSet

APP = Path(semanifold.__file__).parent / "app"


def below(kind: type) -> Iterator[str]:
    """Yield the names of all subclasses of ours."""
    for leaf in kind.__subclasses__():
        if leaf.__module__.startswith("semanifold."):
            yield leaf.__name__
        yield from below(leaf)


KINDS = {name for root in (PathSet, Edit, Generator) for name in below(root)}


def told_apart(code: str) -> list[str]:
    """Return the kinds that code asks a value for, by ``isinstance``, ``issubclass``, ``type``, its patterns or its name."""
    found: list[str] = []
    for node in ast.walk(ast.parse(code)):
        asked: list[ast.AST] = []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("isinstance", "issubclass"):
            asked = [*node.args[1:]]
        elif isinstance(node, ast.Compare):
            asked = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchClass):
            asked = [node.cls]
        names = (each for part in asked for each in ast.walk(part))
        found += [
            name
            for each in names
            if (name := each.id if isinstance(each, ast.Name) else each.attr if isinstance(each, ast.Attribute) else "") in KINDS
        ]
    return found


@pytest.mark.parametrize(
    "code",
    [
        "isinstance(paths, WarpedPaths)",
        "isinstance(edit, Flow | Lattice)",
        "issubclass(kind, (base.LatentPaths, Thing))",
        "type(generator) is StyleGAN2",
        "match edit:\n    case WeightEdit():\n        pass",
    ],
)
def test_kinds_that_are_told_apart_are_seen(code: str) -> None:
    assert told_apart(code)


def test_what_all_kinds_share_may_be_asked() -> None:
    assert {"WeightPaths", "LatentPaths", "Flow", "WeightEdit", "StyleGAN2"} <= KINDS
    assert not told_apart("isinstance(thing, PathSet | Edit | Generator); warped = WarpedPaths.create(3); paths.moves_weights")
    assert edits.KINDS  # they are imported


def test_no_door_tells_kinds_apart() -> None:
    assert {file.name: found for file in APP.rglob("*.py") if (found := told_apart(file.read_text(encoding="utf-8")))} == {}
