"""What every function of pictures, codes and numbers keeps to where it is given none: nothing comes back, or a sentence."""

from __future__ import annotations

from collections.abc import Callable, Sized
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.instances import made

import semanifold as sm
from semanifold.analysis.attributes.base import Attribute
from semanifold.analysis.attributes.functions import function_reader
from semanifold.analysis.ranking.scores import score
from semanifold.core.errors import SemanifoldError
from semanifold.images import distances, media, metrics, plots
from semanifold.landmarks.alignment import usual_face
from semanifold.worlds.faces.changes import describe_change, describe_usual_change
from semanifold.worlds.faces.factors import factor_names
from semanifold.worlds.faces.label_maps import label_map
from semanifold.worlds.faces.regions import region_mask
from semanifold.worlds.faces.renderer import render

NONE, ONE = torch.zeros(0, 3, 64, 64), torch.zeros(1, 3, 64, 64)
FACES = torch.rand(0, len(factor_names()))
MASK = sm.box(0.3, 0.6, 0.7, 0.9).at(64, 64)
PLAIN = media.to_uint8(ONE)[0]
MEASURES = (metrics.inside_change, metrics.outside_change, metrics.mse_ratio, metrics.roir, metrics.ssim_outside)


def codes() -> sm.Latents:
    return made("function").sample(0)[:0]


CALLS: dict[str, Callable[[], Any]] = {
    "region_mask": lambda: region_mask("mouth", FACES),
    "render": lambda: render(FACES, 16),
    "label_map": lambda: label_map(FACES, 16),
    "describe_change": lambda: describe_change(NONE, ONE),
    "describe_usual_change": lambda: describe_usual_change(NONE, NONE),
    **{f"{f.__name__} of one": lambda f=f: f(NONE, ONE, MASK) for f in MEASURES},
    **{f"{f.__name__} of none": lambda f=f: f(NONE, NONE, MASK[:0]) for f in MEASURES},
    "moving": lambda: metrics.moving(torch.zeros(0)),
    "ssim_map": lambda: metrics.ssim_map(NONE, ONE),
    "localization_score": lambda: metrics.localization_score(torch.zeros(0, 8, 4, 4), torch.zeros(1, 8, 4, 4), MASK),
    "perceptual_outside": lambda: metrics.perceptual_outside(NONE, ONE, MASK, metrics.feature_change_map(lambda x: [x])),
    "l2": lambda: distances.l2(NONE, ONE),
    "faces distance": lambda: distances.distance_by_name("faces")(NONE, ONE),
    "to_uint8": lambda: media.to_uint8(NONE),
    "from_uint8": lambda: media.from_uint8(media.to_uint8(NONE)),
    "contact_sheet": lambda: media.contact_sheet([]),
    "filmstrip": lambda: media.filmstrip([], PLAIN),
    "grid_film": lambda: media.grid_film([]),
    "grid_film of empty films": lambda: media.grid_film([media.to_uint8(NONE)]),
    "stack_rows": lambda: media.stack_rows([], []),
    "side_by_side": lambda: media.side_by_side([]),
    "captioned": lambda: media.captioned(Image.new("RGB", (4, 4)), []),
    "heat_pictures": lambda: plots.heat_pictures([]),
    "heat_pictures of an empty film": lambda: plots.heat_pictures([plots.Filmed(media.to_uint8(NONE), PLAIN, None)]),
    "to_pil": lambda: sm.to_pil(NONE),
    "usual_face": lambda: usual_face(NONE) or [],
    "images": lambda: made("function").images(codes()),
    "sample": lambda: made("function").sample([]),
    "local_directions": lambda: sm.local_directions(made("function"), codes(), "box:0.2,0.2,0.7,0.7"),
    "discover_manifold": lambda: sm.discover_manifold(made("function"), codes(), "box:0.2,0.2,0.7,0.7"),
    "discover_manifolds": lambda: sm.discover_manifolds(made("function"), 0, "box:0.2,0.2,0.7,0.7", []),
    "combine": lambda: sm.combine([]),
    "attributes of faces": lambda: sm.attribute_reader("faces").read(NONE, ONE),
    "attributes of a function": lambda: function_reader(lambda images: images.mean((1, 2, 3)), "mean").read(NONE, ONE),
    "scores of no codes": lambda: score(np.zeros((0, 2, 3, 1)), [Attribute("a")]),
    "scores of no paths": lambda: score(np.zeros((1, 0, 3, 1)), [Attribute("a")]),
    "scores of no attributes": lambda: score(np.zeros((1, 2, 3, 0)), []),
}


@pytest.mark.parametrize("name", CALLS)
def test_of_nothing_comes_nothing_or_a_sentence(name: str) -> None:
    try:
        result = CALLS[name]()
    except SemanifoldError as error:
        result = str(error).splitlines()[1:]
    assert isinstance(result, Sized)
    assert len(result) == 0


@pytest.mark.parametrize("file", ["none.png", "none.mp4", "none.gif"])
def test_no_pictures_are_not_written(file: str, tmp_path: Path) -> None:
    with pytest.raises(SemanifoldError, match="at least one"):
        sm.save(NONE, tmp_path / file)
    assert not list(tmp_path.iterdir())


def test_a_map_of_a_film_without_frames_is_empty() -> None:
    assert not metrics.ratio_map(NONE, ONE, MASK).any()
