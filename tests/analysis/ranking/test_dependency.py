import numpy as np
import pytest

from semanifold.analysis.ranking.dependency import dependencies

T = np.linspace(-1, 1, 9)


def paths(*slopes):
    """Attributes ``[1 code, 1 path, 9 frames, n]`` that grow by these slopes along t."""
    return np.stack([slope * T for slope in slopes], axis=1)[None, None]


def test_others_are_measured_where_the_target_has_changed_by_the_amount():
    found = dependencies(paths(4.0, 2.0, -1.0), T, np.ones(3), amount=1.0)
    # where the first has changed by 1 (t = 1/4), the others have by 1/2 and 1/4
    assert found[0, 0] == pytest.approx((0.5 + 0.25) / 2)
    assert found[0, 1] == pytest.approx((2.0 + 0.5) / 2)


def test_the_place_between_two_frames_is_interpolated():
    coarse = np.linspace(-1, 1, 3)
    values = np.stack([4.0 * coarse, 2.0 * coarse], axis=1)[None, None]
    assert dependencies(values, coarse, np.ones(2))[0, 0] == pytest.approx(0.5)


def test_changes_count_in_units_of_the_spread():
    found = dependencies(paths(4.0, 2.0), T, np.array([2.0, 0.5]), amount=1.0)
    assert found[0, 0] == pytest.approx(2.0)  # target slope 2, other slope 4, in their units


def test_a_path_that_does_not_reach_the_amount_has_no_value():
    found = dependencies(paths(0.5, 4.0), T, np.ones(2), amount=1.0)
    assert np.isnan(found[0, 0])
    assert found[0, 1] == pytest.approx(0.125)


def test_a_path_that_reaches_it_on_half_of_the_sides_has_one():
    one_sided = np.stack([np.maximum(4.0 * T, 0), 2.0 * T], axis=1)[None, None]
    assert dependencies(one_sided, T, np.ones(2), amount=1.0)[0, 0] == pytest.approx(0.5)
