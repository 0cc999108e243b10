"""Named regions of any picture that shows a face, against those that the renderer knows."""

from __future__ import annotations

from functools import cache

import pytest
import torch

from semanifold.core.errors import SemanifoldError
from semanifold.generators.wrapped import wrap
from semanifold.images.masks import Regions, parse_mask
from semanifold.landmarks.regions import NAMES, face_regions, half_plane
from semanifold.worlds.faces.analytic import AnalyticFaces

FACES = AnalyticFaces(96)


@cache
def regions(seed: int) -> Regions:
    """Return the regions of a face, which is looked for once."""
    picture = FACES.images(FACES.sample([seed]))[0]
    return face_regions(lambda: picture, "the picture")


def found(seed: int, name: str) -> torch.Tensor:
    """Return a region as the points of the face give it."""
    return regions(seed)(name).at(64, 64)


def true(seed: int, name: str) -> torch.Tensor:
    """Return a region as the renderer knows it."""
    return parse_mask(name, FACES, seed).at(64, 64)


def overlap(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return the share that two masks have in common."""
    return float(torch.minimum(one, other).sum() / torch.maximum(one, other).sum())


@pytest.mark.parametrize(
    ("name", "least"),
    [("mouth", 0.5), ("eyes", 0.5), ("brows", 0.35), ("nose", 0.45), ("face", 0.4), ("hair", 0.4), ("background", 0.3)],
)
def test_regions_are_where_the_renderer_has_them(name: str, least: float) -> None:
    shares = [overlap(found(seed, name), true(seed, name)) for seed in (1, 7, 12)]
    assert sum(shares) / 3 > least, shares
    assert name in NAMES


def test_a_generator_of_faces_that_nobody_knows_has_named_regions() -> None:
    strange = wrap(lambda z: FACES.images(FACES.sample([7]).with_values(z)), (32,), name="strange")
    assert strange.world is None
    code = strange.sample([7]).with_values(FACES.sample([7]).values)
    mask = parse_mask("~mouth & face", strange, code)
    assert torch.equal(mask.at(64, 64), torch.minimum(1 - found(7, "mouth"), found(7, "face")))
    assert str(mask) == "~mouth&face"
    with pytest.raises(SemanifoldError, match="did you mean 'mouth'"):
        parse_mask("mouht", strange, code)
    with pytest.raises(SemanifoldError, match="say which by a seed or a code"):
        parse_mask("mouth", strange)
    two = torch.cat([FACES.images(FACES.sample([7]))] * 2, dim=3)
    pair = wrap(lambda z: two.expand(len(z), -1, -1, -1), (2,), name="pair")
    with pytest.raises(SemanifoldError, match="2 faces are found in the picture of pair"):
        parse_mask("mouth", pair, 0)


def test_a_half_plane_is_on_one_side_of_a_line() -> None:
    mask = half_plane(torch.tensor([0.5, 0.5]), torch.tensor([0.0, -1.0]), 1.0, 10, 10)
    assert mask[:5].min() == 1
    assert mask[5:].max() == 0
    wide = half_plane(torch.tensor([1.0, 0.5]), torch.tensor([1.0, 0.0]), 2.0, 10, 20)
    assert wide[:, 10:].min() > 0.999
    assert wide[:, :10].max() == 0
