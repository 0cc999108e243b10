"""A few inputs for every fuzz target; ``make fuzz`` tries many."""

from __future__ import annotations

from typing import Any

import pytest
from fuzz.targets import TARGETS, attempt
from hypothesis import HealthCheck, Phase, given, settings

FEW = settings(
    max_examples=25,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate,),
)


@pytest.mark.parametrize("name", TARGETS)
def test_readers_return_or_raise_a_sentence(name: str) -> None:
    @FEW
    @given(TARGETS[name].given)
    def check(data: Any) -> None:
        attempt(TARGETS[name], data)

    check()
