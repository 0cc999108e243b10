"""Values of wrong types, from Python: one sentence each, as from the command line."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import semanifold as sm
from semanifold.core.errors import SemanifoldError
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config
from semanifold.worlds.faces.analytic import AnalyticFaces

JUNK: tuple[Any, ...] = (
    *(-1.5, 2**70, float("nan"), True, [[]], {}, object(), b"x", lambda *given: 0, int, "\x1b[2J" + "a" * 10**5),
    *(torch.zeros(0), torch.full((2, 5), float("nan")), torch.zeros(2, dtype=torch.complex64), torch.zeros(1).to_sparse()),
    *(torch.zeros(3, device="meta"), np.zeros((0,)), np.array(["a"]), np.array([object()])),
)  # fmt: skip


@pytest.fixture(scope="module")
def faces() -> sm.Generator:
    return sm.load_generator("analytic")


@pytest.fixture(scope="module")
def smile() -> sm.Edit:
    return sm.load_paths("faces")["smile"]


def calls(faces: sm.Generator, smile: sm.Edit, folder: Path) -> dict[str, Callable[[Any], object]]:
    settings = ("offset", "strength", "sigma", "springs", "frames", "dims", "distance", "method", "closed", "seed", "chunk")
    small = StyleGAN2(StyleGAN2Config(16, 6, 6, (5, 4, 4), mapping_layers=2), name="small", seed=3)
    change = sm.weight_paths(small, "svd", layers="convs.2", k=1, progress=False)[0]
    found = {"layers": "convs.2", "k": 1, "mask": "box:0,0,0.5,1", "samples": 1, "refine": 1, "progress": False}
    of_weights = ("layers", "k", "mask", "samples", "refine", "seeds", "size", "distance")
    return {
        **{f"weights {name}": lambda value, name=name: sm.weight_paths(small, **(found | {name: value})) for name in of_weights},
        "weights of": lambda value: sm.weight_paths(value, **found),
        "weights by": lambda value: sm.weight_paths(small, value, **found),
        "bake": lambda value: sm.bake(value, small, folder / "x.safetensors"),
        "bake into": lambda value: sm.bake(change, value, folder / "x.safetensors"),
        "bake to": lambda value: sm.bake(change, small, value),
        "bake layout": lambda value: sm.bake(change, small, folder / "x.safetensors", layout=value),
        "bake strength": lambda value: sm.bake(change, small, folder / "x.safetensors", strength=value),
        "bake over": lambda value: sm.bake(change, small, folder / "x.safetensors", overwrite=value),
        "bake say": lambda value: sm.bake(change, small, folder / "x.safetensors", say=value),
        "load_generator": sm.load_generator,
        "load_paths": sm.load_paths,
        "load_edit": sm.load_edit,
        "inspect": sm.inspect,
        "save": lambda value: sm.save(torch.zeros(1, 3, 8, 8), value),
        "device": lambda value: sm.load_generator("analytic", device=value),
        "sample": faces.sample,
        "space": lambda value: faces.sample(0, value),
        "size": lambda value: faces.images(faces.sample(0), size=value),
        "convert": lambda value: faces.convert(value, "z"),
        "mask": lambda value: sm.discover_manifold(faces, 0, value, progress=False),
        "generator": lambda value: sm.discover_manifold(value, 0, "mouth", progress=False),
        "combine": sm.combine,
        "reverse": sm.reverse,
        "path": lambda value: sm.load_paths("faces")[value],
        "images of": lambda value: smile.images(value, 0, 0.5),
        "moment": lambda value: smile.images(sm.load_generator("faces"), 0, value),
        "seconds": lambda value: sm.film(smile, sm.load_generator("faces"), 0, seconds=value),
        **{name: lambda value, name=name: sm.ManifoldSettings(**{name: value}) for name in settings},
    }


MEANT = {
    *(("sample", str(2**70)), ("sigma", "True"), ("closed", "True"), ("seed", str(2**70)), ("springs", "{}")),
    *(("moment", "-1.5"), ("moment", str(2**70)), ("moment", "tensor([])")),
    *(("bake strength", "-1.5"), ("bake over", "True")),
}
"""What is no junk there."""


def test_junk_is_refused_in_a_sentence(faces: sm.Generator, smile: sm.Edit, tmp_path: Path) -> None:
    for name, call in calls(faces, smile, tmp_path).items():
        for junk in JUNK:
            if (name, repr(junk)) in MEANT or (name in ("weights distance", "bake say") and callable(junk)):
                continue
            try:
                call(junk)
            except SemanifoldError as error:
                words = str(error)
                assert "\n" not in words, name
                assert len(words) < 1000, name
                assert "\x1b" not in words, name
            else:
                pytest.fail(f"{name} takes {junk!r:.60}")


LATER: dict[str, Callable[[torch.Tensor], Any]] = {
    "fails": lambda codes: 1 // 0,
    "other size": lambda codes: torch.zeros(len(codes), 3, 4, 4),
    "other channels": lambda codes: torch.zeros(len(codes), 1, 8, 8),
    "loses codes": lambda codes: torch.zeros(1, 3, 8, 8),
    "none": lambda codes: None,
    "array": lambda codes: np.zeros((len(codes), 3, 8, 8)),
    "whole numbers": lambda codes: torch.zeros(len(codes), 3, 8, 8, dtype=torch.uint8),
    "sparse": lambda codes: torch.zeros(len(codes), 3, 8, 8).to_sparse(),
    "meta": lambda codes: torch.zeros(len(codes), 3, 8, 8, device="meta"),
}


@pytest.mark.parametrize("name", LATER)
@pytest.mark.parametrize("good", [2, 4])
def test_a_function_that_goes_wrong_later(name: str, good: int) -> None:
    calls = itertools.count()

    def pictures(codes: torch.Tensor) -> Any:
        plain = codes.sum(1).reshape(-1, 1, 1, 1).expand(-1, 3, 8, 8).tanh()
        return plain if next(calls) < good else LATER[name](codes)

    def use() -> None:
        generator = sm.wrap(pictures, latent_shape=(4,))
        generator.images(generator.sample([0, 1]))

    with pytest.raises(SemanifoldError, match="pictures"):
        use()


def test_seeds_without_an_end_are_not_waited_for() -> None:
    with pytest.raises(SemanifoldError, match="At most"):
        AnalyticFaces().sample(itertools.count())  # type: ignore[arg-type]
