"""Plain functions, files of one's own, and several readers as one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from semanifold.analysis.attributes.functions import CombinedAttributes, function_reader, user_reader
from semanifold.core.errors import SemanifoldError

IMAGES = torch.linspace(-1, 1, 3 * 12).view(3, 3, 2, 2)


def brightness(images: Tensor) -> Tensor:
    return images.mean((1, 2, 3))


def means(images: Tensor) -> Tensor:
    return images.mean((2, 3))


def test_one_number_and_several() -> None:
    one = function_reader(brightness, "brightness", [(-1, 1)])
    assert (one.attributes[0].name, one.attributes[0].low, one.attributes[0].high) == ("brightness", -1, 1)
    assert torch.equal(one.read(IMAGES, IMAGES[:1]), brightness(IMAGES)[:, None])
    three = function_reader(means, ["r", "g", "b"])
    assert torch.equal(three.read(IMAGES.double().requires_grad_(), IMAGES[:1]), means(IMAGES.double()).float())
    both = CombinedAttributes([three, one])
    assert [a.name for a in both.attributes] == ["r", "g", "b", "brightness"]
    assert torch.equal(both.read(IMAGES, IMAGES[:1]), torch.cat([means(IMAGES), brightness(IMAGES)[:, None]], 1))


def test_mistakes() -> None:
    cases = [
        (lambda: function_reader(brightness, []), "different names"),
        (lambda: function_reader(means, ["r", "r"]), "different names"),
        (lambda: function_reader(means, ["r", "g"], [(0, 1)]), "one range each"),
        (lambda: function_reader(brightness, "b", [(1, 0)]), "the smaller first"),
        (lambda: function_reader(means, "r").read(IMAGES, IMAGES), r"must return a tensor \[3, 1\].*it returned \[3, 3\]"),
        (lambda: function_reader(lambda x: x, "r").read(IMAGES, IMAGES), r"returned \[3, 3, 2, 2\]"),
        (lambda: function_reader(len, "n").read(IMAGES, IMAGES), "returned int"),  # type: ignore[arg-type]
        (lambda: function_reader(lambda x: x[9], "r").read(IMAGES, IMAGES), r"r failed on pictures \[3, 3, 2, 2\]: IndexError"),
        (lambda: CombinedAttributes([function_reader(brightness, "b")] * 2), "same name, b"),
    ]
    for call, words in cases:
        with pytest.raises(SemanifoldError, match=words):
            call()


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("LEVEL = 2.0\n")
    text = """
import torch
from helper import LEVEL
from semanifold.analysis.attributes.functions import function_reader

def level(images):
    return images.mean((1, 2, 3)) * LEVEL

double = function_reader(level, "twice", [(-2, 2)])

def made():
    return double

class Level(torch.nn.Module):
    def forward(self, images):
        return level(images)

module = Level()

def fails():
    raise RuntimeError("not today")

number = 3
"""
    file = tmp_path / "mine.py"
    file.write_text(text)
    for name, attribute in (("level", "level"), ("double", "twice"), ("made", "twice"), ("module", "module")):
        reader = user_reader(file, name)
        assert [a.name for a in reader.attributes] == [attribute]
        assert torch.allclose(reader.read(IMAGES, IMAGES[:1]), 2 * brightness(IMAGES)[:, None])
    cases = [
        (file, "levle", "has no 'levle': did you mean 'level'"),
        (file, "number", "is a int, not a reader"),
        (file, "fails", "RuntimeError: not today"),
        (tmp_path / "none.py", "level", "no file"),
    ]
    for path, name, words in cases:
        with pytest.raises(SemanifoldError, match=words):
            user_reader(path, name)
