"""Latents: equality, what they say of themselves, and what is no latents."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents

VALUES = torch.arange(6.0).reshape(2, 3)


def test_latents_are_equal_if_space_values_and_labels_are() -> None:
    codes = Latents(VALUES, "z")
    assert codes == Latents(VALUES.clone(), "z")
    assert codes != Latents(VALUES, "w")
    assert codes != Latents(VALUES + 1, "z")
    assert codes != Latents(VALUES[:1], "z")
    assert codes != Latents(VALUES.double(), "z")
    assert codes != Latents(VALUES, "z", torch.ones(2, 1))
    assert Latents(VALUES, "z", torch.ones(2, 1)) == Latents(VALUES, "z", torch.ones(2, 1))
    assert codes != "codes"


def test_latents_say_in_one_line_what_they_are() -> None:
    assert repr(Latents(VALUES, "w")) == "Latents(2 codes of w [3], float32 on cpu)"
    assert repr(Latents(VALUES[:1], "z", torch.ones(1, 4))) == "Latents(1 code of z [3], float32 on cpu, with labels)"


@pytest.mark.parametrize("values", ["mouth", 7, [[1.0]], None, torch.tensor(1.0)])
def test_what_is_no_batch_of_codes_is_refused(values: Any) -> None:
    with pytest.raises(SemanifoldError, match="Latents hold a tensor"):
        Latents(values, "z")


@pytest.mark.parametrize(("space", "labels"), [(7, None), (None, None), ("z", 3), ("z", [1.0])])
def test_spaces_are_names_and_labels_tensors(space: Any, labels: Any) -> None:
    with pytest.raises(SemanifoldError, match="space of latents is a name"):
        Latents(VALUES, space, labels)
