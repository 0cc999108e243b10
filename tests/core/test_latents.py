"""Latents: equality, what they say of themselves, and what is no latents."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents, condition_tensors, conditions_in

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
    with pytest.raises(SemanifoldError, match=r"space of latents is a name|Conditions of latents are tensors"):
        Latents(VALUES, space, labels)


def test_conditions_go_where_their_codes_go() -> None:
    text = torch.arange(8.0).reshape(2, 4)
    codes = Latents(VALUES, "z", {"text": text, "labels": torch.eye(2)})
    assert torch.equal(codes[1].conditions["text"], text[1:])
    assert codes[[1, 0]][[1, 0]] == codes
    assert Latents.cat([codes[0], codes[1]]) == codes
    assert codes.to(dtype=torch.float64).conditions["text"].dtype == torch.float64
    many = codes[0].with_values(torch.zeros(3, 5), "w")
    assert (many.space, many.conditions["text"].shape, many.labels.shape) == ("w", (3, 4), (3, 2))
    assert codes != Latents(VALUES, "z", {"labels": torch.eye(2)})
    assert codes != Latents(VALUES, "z", {"text": text + 1, "labels": torch.eye(2)})
    assert repr(codes).endswith("with text, labels)")
    with pytest.raises(SemanifoldError, match="3 codes cannot share 2 text"):
        codes.with_values(torch.zeros(3, 3))
    with pytest.raises(SemanifoldError, match="other conditions, cannot be joined"):
        Latents.cat([codes, Latents(VALUES, "z")])


def test_conditions_are_found_again_in_a_file() -> None:
    codes = Latents(VALUES, "z", {"text": torch.ones(2, 4), "labels": torch.eye(2)})
    held = condition_tensors(codes)
    assert set(held) == {"labels", "condition.text"}, "labels are called as in files of older versions"
    assert Latents(VALUES, "z", conditions_in({"values": VALUES, **held}, 2)) == codes
    numbers = {"condition.text": torch.tensor([[7], [8]])}
    assert conditions_in(numbers, 2)["text"].tolist() == [[7], [8]], "words of a text are whole numbers"
    for wrong in (
        {"labels": torch.ones(2)},
        {"labels": torch.ones(3, 2)},
        {"labels": torch.ones(2, 2, dtype=torch.int64)},
        {"condition.text": torch.full((2, 1), torch.nan)},
        {"condition.text": torch.ones(2, 1, dtype=torch.complex64)},
    ):
        with pytest.raises(SemanifoldError, match="do not fit its 2 codes"):
            conditions_in(wrong, 2)
