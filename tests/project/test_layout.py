"""Tests lie as what they test: ``tests/room/test_module_aspect.py`` is about ``room/module.py``, or the folder of that name."""

from pathlib import Path

import pytest
from support.places import ROOT, TESTS

APART = {
    "project": "rules of the whole project",
    "contracts": "what all generators, edits, sets of paths, readers and distances keep to",
    "hostile": "files of strangers, for every reader",
    "fuzz": "odd inputs, for every reader",
}
"""Folders of tests that are about several rooms."""


def subject(test: Path) -> Path | None:
    """The module or folder that a file of tests is named after, if any: the one with the longest name."""
    folder, words = ROOT / "src/semanifold" / test.parent, test.stem.removeprefix("test_").split("_")
    names = ("_".join(words[:n]) for n in range(len(words), 0, -1))
    return next((place for name in names for place in (folder / f"{name}.py", folder / name) if place.exists()), None)


def test_tests_mirror_the_rooms() -> None:
    found = [path.relative_to(TESTS) for path in TESTS.rglob("test_*.py")]
    assert len(found) > 100
    assert [str(path) for path in found if path.parts[0] not in APART and subject(path) is None] == []
    assert {path.parts[0] for path in found} >= APART.keys()


@pytest.mark.parametrize(
    ("test", "module"),
    [
        ("paths/test_weight_hessian.py", "paths/weight_hessian.py"),
        ("generators/test_loading_bounds.py", "generators/loading.py"),
        ("images/test_masks.py", "images/masks"),
        ("paths/test_hessians.py", None),
        ("test_warped.py", None),
    ],
)
def test_the_rule(test: str, module: str | None) -> None:
    place = subject(Path(test))
    assert (place and place.relative_to(ROOT / "src/semanifold").as_posix()) == module
