"""What the kinds of paths say of themselves before torch is loaded."""

from __future__ import annotations

import importlib

import pytest

from semanifold.core.errors import SemanifoldError
from semanifold.paths.kinds import KINDS, kind_named


def test_kinds_in_weights_say_so_and_all_are_bounded() -> None:
    assert {name for name, kind in KINDS.items() if kind.moves_weights} == {"weights-svd", "weights-hessian"}
    bounds = {"warped": 1_048_576, "weights-svd": 1000, "weights-hessian": 1000}
    assert {name: kind.most for name, kind in KINDS.items()} == dict.fromkeys(KINDS, 10_000) | bounds


@pytest.mark.parametrize("name", KINDS)
def test_the_function_of_a_kind_is_there(name: str) -> None:
    module, _, function = kind_named(name).make.partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_another_kind_is_refused_with_the_near_names() -> None:
    with pytest.raises(SemanifoldError, match="did you mean 'linear'"):
        kind_named("linaer")


def test_closed_forms_are_starts_of_paths_with_directions_only() -> None:
    assert {name for name, kind in KINDS.items() if "joint" in kind.starts} == {"warped", "linear", "projective"}
