from __future__ import annotations

import pytest
import torch

from semanifold.core.errors import SemanifoldError
from semanifold.worlds.faces import FACTORS, REGIONS, factor_index, factor_names, factors_of, likeable_face


def test_names_are_unique_and_found_at_their_index() -> None:
    names = factor_names()
    assert len(set(names)) == len(names) == len(FACTORS)
    assert [factor_index(name) for name in names] == list(range(len(names)))


def test_unknown_names_get_near_ones() -> None:
    with pytest.raises(SemanifoldError, match="mouth_opening"):
        factor_index("mouth_openning")
    with pytest.raises(SemanifoldError, match="brows"):
        factors_of("brow")


def test_regions_divide_the_factors() -> None:
    assert sorted(f.name for region in REGIONS for f in factors_of(region)) == sorted(factor_names())
    assert all(factor.low != factor.high for factor in FACTORS)


def test_likeable_face_takes_changes_by_name() -> None:
    face = likeable_face(torch.float64, smile=0.125)
    assert face.shape == (1, len(FACTORS))
    assert face.dtype == torch.float64
    assert face[0, factor_index("smile")] == 0.125
    assert ((face >= 0) & (face <= 1)).all()
    with pytest.raises(SemanifoldError, match="smile"):
        likeable_face(smiel=1.0)
