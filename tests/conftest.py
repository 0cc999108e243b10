"""What all tests share."""

from __future__ import annotations

import pytest
from reference import REAL, REFERENCE


def pytest_configure() -> None:
    """Without the published numbers there is nothing to compare with: stop, rather than skip most of the tests."""
    if not (REFERENCE / "full_size_layouts.json").is_file():
        raise pytest.UsageError(
            f"The numbers of the published code are expected in {REFERENCE}: unset SEMANIFOLD_REFERENCE, or let it name a folder "
            "like tests/data/reference."
        )


LONGEST = ("test_docs.py", "test_hostile_files.py", "test_cli_weights.py", "test_cli_train.py", "test_cli.py")
"""Modules that take a minute or more, the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest modules: a module stays in one process, and the last one should not run alone."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


def pytest_report_header() -> list[str]:
    """Say which numbers are compared with."""
    return [f"published numbers: {REFERENCE}", f"real models: {REAL if REAL.is_dir() else f'none at {REAL}'}"]
