"""What every reader of attributes keeps to."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from support.instances import codes, made, nothing_random
from torch import Tensor

from semanifold.analysis.attributes.base import AttributeReader
from semanifold.analysis.attributes.faces import FacesAttributes
from semanifold.analysis.attributes.functions import CombinedAttributes, function_reader
from semanifold.analysis.attributes.names import attribute_reader
from semanifold.core.errors import SemanifoldError

READERS: dict[str, Callable[[], AttributeReader]] = {
    "faces": FacesAttributes,
    "some of faces": lambda: FacesAttributes(["smile", "yaw"]),
    "by name": lambda: attribute_reader("faces:smile"),
    "function": lambda: function_reader(lambda images: images.mean((1, 2, 3)), "brightness", [(-1, 1)]),
    "function of several": lambda: function_reader(lambda images: images.square().mean((2, 3))[:, :2], ["a", "b"]),
    "combined": lambda: CombinedAttributes(
        [FacesAttributes(["smile"]), function_reader(lambda images: images.std((1, 2, 3)), "contrast")]
    ),
}

every = pytest.mark.parametrize("reader", READERS.values(), ids=READERS)


@cache
def pictures() -> Tensor:
    return made("analytic").images(codes(made("analytic"), 4))


@every
def test_one_number_per_attribute_and_picture(reader: Callable[[], AttributeReader]) -> None:
    made, images = reader(), pictures()
    found = made.read(images, images[:1])
    names = [attribute.name for attribute in made.attributes]
    assert tuple(found.shape) == (4, len(names))
    assert len(set(names)) == len(names) > 0
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    assert found.std(0).min() > 0, "pictures differ"
    assert all(attribute.low < attribute.high for attribute in made.attributes)
    declared = [attribute.declared and not attribute.relative for attribute in made.attributes]
    low, high = (torch.tensor([getattr(attribute, end) for attribute in made.attributes]) for end in ("low", "high"))
    assert ((found >= low) & (found <= high))[:, declared].all()


@every
def test_a_reading_does_not_depend_on_its_batch_or_on_the_reference(reader: Callable[[], AttributeReader]) -> None:
    made, images = reader(), pictures()
    found = made.read(images, images[:1])
    for i in range(4):
        torch.testing.assert_close(made.read(images[i : i + 1], images[:1]), found[i : i + 1], rtol=1e-5, atol=1e-6)
    absolute = [not attribute.relative for attribute in made.attributes]
    assert torch.equal(made.read(images, images[2:3])[:, absolute], found[:, absolute])
    assert torch.equal(reader().read(images, images[:1]), found)


@every
def test_pictures_of_any_precision_and_size_are_read_and_left_alone(reader: Callable[[], AttributeReader]) -> None:
    made, images = reader(), pictures()
    before = images.clone()
    with nothing_random():
        found = made.read(images, images[:1])
        exact = made.read(images.double().requires_grad_(), images[:1].double())
    assert torch.equal(images, before)
    assert exact.dtype == torch.float32
    assert not exact.requires_grad
    torch.testing.assert_close(exact, found, rtol=1e-4, atol=1e-5)
    large = images.repeat_interleave(3, 2).repeat_interleave(3, 3)
    assert made.read(large, large[:1]).shape == found.shape


@every
def test_what_is_no_batch_of_pictures_is_refused(reader: Callable[[], AttributeReader]) -> None:
    made, images = reader(), pictures()
    wrong: tuple[Any, ...] = (images[0], images.flatten(1), images[None], (images * 100).to(torch.uint8), None, 7, "faces.png")
    for thing in wrong:
        with pytest.raises(SemanifoldError) as error:
            made.read(thing, images[:1])
        assert "\n" not in str(error.value)
