"""The table of all options in the docs is the one of the program."""

from __future__ import annotations

import runpy

import pytest
from support.places import ROOT

DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def script() -> dict[str, object]:
    return runpy.run_path(str(DOCS / "make_options_table.py"))


def test_the_table_is_up_to_date(script: dict[str, object]) -> None:
    text = (DOCS / "commands.md").read_text(encoding="utf-8")
    assert script["page"](text) == text, "run: python docs/make_options_table.py"  # type: ignore[operator]


def test_every_option_says_what_it_is_for(script: dict[str, object]) -> None:
    options = script["options"]()  # type: ignore[operator]
    assert len(options) > 80
    assert all(text for meanings in options.values() for text in meanings)


def test_no_spelling_stands_for_two_kinds_of_values(script: dict[str, object]) -> None:
    values: dict[str, set[str]] = {}
    for called in script["options"]():  # type: ignore[operator]
        spelling, _, value = called.strip("`").partition(" ")
        values.setdefault(spelling, set()).add(value.removesuffix(" ..."))
    assert {name: found for name, found in values.items() if len(found) > 1} == {"--inside": {"RMS", "SHARE"}}
