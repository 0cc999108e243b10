"""The one door to directions in weights: what is refused, and what each method is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.toy import LEFT, ToyConv, ToyWeights

from semanifold.core.errors import SemanifoldError
from semanifold.images.distances import l2
from semanifold.paths import weight_methods
from semanifold.paths.weight_methods import METHODS, MOST_SIDE, middle_layer, weight_paths


class Asked:
    """Keeps what the functions behind the door are asked for, and finds nothing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.of: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {}
        for name in ("svd_paths", "joint_weight_paths", "hessian_paths", "masked_weight_paths", "calibrated"):
            monkeypatch.setattr(weight_methods, name, lambda *a, name=name, **k: self.keep(name, a, k))

    def keep(self, name: str, words: tuple[Any, ...], named: dict[str, Any]) -> str:
        self.of[name] = words, named
        return name


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(monkeypatch)


def test_the_middle_is_the_middle_convolution() -> None:
    assert middle_layer(ToyConv()) == "second"
    with pytest.raises(SemanifoldError, match="has no convolution"):
        middle_layer(ToyWeights())


def test_each_method_is_asked_for_what_was_given(asked: Asked) -> None:
    generator = ToyConv()
    for method, function in zip(
        METHODS, ("svd_paths", "hessian_paths", "joint_weight_paths", "masked_weight_paths"), strict=True
    ):
        mask = LEFT if method == "mask" else None
        assert weight_paths(generator, method, k=2, mask=mask, seeds=[3]) == "calibrated"  # type: ignore[arg-type]
        words, named = asked.of.pop("calibrated")
        assert words == (function, generator, mask)
        assert named == {"seeds": [3], "progress": None}
        words, named = asked.of.pop(function)
        assert not asked.of
        layers = "second" if method == "svd" else ["second"]
        assert words == (generator, layers, *([LEFT] if mask else []), 2)
        assert (
            named
            == {
                "svd": {},
                "joint": {"samples": 24, "size": 64, "checkpoint": None, "progress": None},
                "hessian": {"distance": l2, "samples": 24, "size": None, "checkpoint": None, "progress": None},
                "mask": {"samples": 24, "size": None, "seeds": [3], "refine": 60, "checkpoint": None, "progress": None},
            }[method]
        )


def test_sizes_samples_and_layers_are_passed_on(asked: Asked) -> None:
    generator = ToyConv()
    weight_paths(generator, "joint", layers=["first", "last"], size=8)
    assert asked.of["joint_weight_paths"][0] == (generator, ["first", "last"], 16)
    assert asked.of["joint_weight_paths"][1]["size"] == 8
    for method, function in (("joint", "joint_weight_paths"), ("hessian", "hessian_paths"), ("mask", "masked_weight_paths")):
        weight_paths(generator, method, k=2, mask=LEFT if method == "mask" else None, checkpoint="kept")
        assert asked.of[function][1]["checkpoint"] == "kept"
    for size, made in ((8, 8), (16, None), (MOST_SIDE, None)):
        weight_paths(generator, "mask", mask=LEFT, size=size, samples=5, refine=0)
        named = asked.of["masked_weight_paths"][1]
        assert (named["size"], named["samples"], named["refine"]) == (generator.coarse_size(size), 5, 0)
        assert named["size"] == made
    weight_paths(generator, "hessian", k=1000, size=9)
    assert asked.of["hessian_paths"][1]["size"] == 9


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"method": "pca"}, "There is no way 'pca'"),
        ({"method": 3}, "A method is a name"),
        ({"generator": LEFT}, "Directions are found in the weights of a generator"),
        ({"mask": LEFT}, "and no other takes"),
        ({"method": "mask"}, "A mask is what the method 'mask' needs"),
        ({"method": "svd", "layers": ["first", "second"]}, "name one of these"),
        ({"k": 0}, "k, the number"),
        ({"k": 1001}, "k, the number"),
        ({"layers": "last", "k": 385}, "k, for the weights of last"),
        ({"samples": 0}, "The number of samples"),
        ({"samples": 10_001}, "The number of samples"),
        ({"refine": -1}, "refine"),
        ({"refine": 100_001}, "refine"),
        ({"layers": "none"}, "has no layer 'none'"),
        ({"layers": 3}, "Layers are a name"),
        ({"seeds": "3"}, "Seeds are a list"),
        ({"size": 0}, "size, the height"),
        ({"size": 4097}, "size, the height"),
        ({"distance": "l2"}, "A distance is a function"),
        ({"checkpoint": 3}, "A checkpoint is the name"),
        ({"checkpoint": "no/state"}, "A checkpoint is a file in a folder"),
        ({"checkpoint": "."}, "A checkpoint is a file in a folder"),
    ],
)
def test_mistakes_are_refused_before_anything_is_asked_for(
    given: dict[str, Any], words: str, asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SemanifoldError, match=words):
        weight_paths(**({"generator": ToyConv(), "method": "joint", "k": 2} | given))
    assert not asked.of


def test_the_ends_of_all_ranges_are_taken(asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    weight_paths(ToyConv(), "hessian", layers="last", k=384, samples=10_000, refine=100_000, size=4096, checkpoint="state")
    assert asked.of["hessian_paths"][1]["checkpoint"] == "state"
    weight_paths(ToyConv(), "hessian", k=1, samples=1, refine=0, size=1, checkpoint=tmp_path / "state")
    assert asked.of["hessian_paths"][0][2] == 1
