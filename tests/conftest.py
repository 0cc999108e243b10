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


def pytest_report_header() -> list[str]:
    """Say which numbers are compared with."""
    return [f"published numbers: {REFERENCE}", f"real models: {REAL if REAL.is_dir() else f'none at {REAL}'}"]
