"""The studies of what weights reach that codes do not: their directions, their measures, and their searches."""

from __future__ import annotations

import sys

import pytest
import torch
from support.places import ROOT

import semanifold as sm
from semanifold.worlds.faces.factors import FACTORS

sys.path.insert(0, str(ROOT / "benchmarks"))
import weight_factors as study
import weight_unreached as nearest


@pytest.fixture(scope="module")
def faces() -> sm.Generator:
    return sm.load_generator("faces")


@pytest.fixture(scope="module")
def face(faces: sm.Generator) -> study.Face:
    return study.Face.of(faces, faces.sample(7))


def test_a_direction_moves_its_factor_by_its_range_and_leaves_alone_what_others_depend_on(face: study.Face):
    """Factor 0 moves along the sum of two axes, all others along the second one: its direction is the first axis."""
    factors = torch.zeros(len(FACTORS), 2, dtype=torch.float64)
    factors[0], factors[1:] = torch.tensor([0.5, 0.5]), torch.tensor([0.0, 3.0])
    still = torch.zeros(2, 2, dtype=torch.float64)
    local = study.Local(factors, still.expand(len(study.REGIONS), 2, 2), 1e-6 * torch.eye(2, dtype=torch.float64))
    row = study.directions([face], [local])[0]
    assert torch.allclose(row, torch.tensor([2.0, 0.0], dtype=row.dtype), atol=2e-2)


def test_what_is_found_in_a_subspace_is_what_pictures_do(faces: sm.Generator, face: study.Face):
    """The predicted change of a factor is the one that is read after a small step, for codes and for weights."""
    for name in ("w", "colours.4"):
        place = study.place_of(faces, name)
        here = study.Study(faces, (7,)).with_codes(face, place.space)
        basis = torch.nn.functional.normalize(torch.randn(3, place.zero.shape[1], generator=torch.Generator().manual_seed(0)))
        found = study.local(place, basis, here)
        with torch.no_grad():
            pictures = place.walk(basis[0])(here.code, torch.tensor([0.02, -0.02]))
            assert torch.allclose(pictures[:1], place.pictures(here.code)(0.02 * basis[:1]), atol=1e-4)
        read = study.reader()(pictures.clamp(-1, 1))
        f = int(found.factors[:, 0].abs().argmax())
        assert float((read[0] - read[1])[f]) / 0.04 == pytest.approx(float(found.factors[f, 0]), rel=0.1)


def test_change_elsewhere_counts_pixels_outside_of_the_region_and_other_factors_but_not_the_own(face: study.Face):
    smile, width = ([factor.name for factor in FACTORS].index(name) for name in ("smile", "mouth_width"))
    read = face.read.expand(3, -1).clone()
    read[1, smile] += 0.5
    read[2, width] += 0.5
    moved = face.elsewhere(face.picture.expand(3, -1, -1, -1), read, smile)
    assert moved[:2].tolist() == [0, 0]
    assert float(moved[2]) == pytest.approx(float((0.5 - study.ERRORS[width]) * face.weights[width]), rel=1e-4)
    corner = face.picture.clone()
    corner[:, :, :8, :8] += 1
    assert float(face.elsewhere(corner, face.read[None], smile)) == pytest.approx(1 / 8, rel=1e-3)


def test_a_walk_ends_where_it_first_costs_too_much_and_counts_both_ways():
    up = {"read": [0.6, 0.8, 1.0], "elsewhere": [0.1, 0.3, 0.1]}
    down = {"read": [0.4, 0.2, 0.3], "elsewhere": [0.0, 0.1, 0.1]}
    walk = {"start": 0.5, "ways": [up, down]}
    assert study.reach(walk, "elsewhere", 0.2) == pytest.approx((0.2, 0.7))


def test_the_best_place_for_a_seed_is_chosen_on_the_others():
    tables = torch.tensor([[[0.0, 2.0, 2.0]], [[5.0, 1.0, 1.0]]])  # the second place is best by its luck on the first seed
    reached, where = study.best(tables)
    assert reached.tolist() == pytest.approx([(0.0 + 1.0 + 1.0) / 3])
    assert where.tolist() == [1]


def test_the_search_for_codes_begins_at_the_seed_and_comes_nearer_to_what_codes_make(faces: sm.Generator):
    smile = sm.load_paths("faces")["smile"]
    target = nearest.target_of(smile, faces, 7, "mouth", 1.0)
    place = study.place_of(faces, "w")
    still, nought = nearest.nearest(place, faces, 7, target, 0)
    found, way = nearest.nearest(place, faces, 7, target, 8)
    assert nought == 0 < way
    assert nearest.left(target, still) == pytest.approx(1, rel=1e-4)
    assert nearest.left(target, found) < 0.8
