import pytest

from semanifold.core.errors import SemanifoldError
from semanifold.inversion import InversionSettings, TuningSettings


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        (InversionSettings, {"space": 3}, "space is given by its name"),
        (InversionSettings, {"distance": "lpips"}, "did you mean 'lpips-"),
        (InversionSettings, {"pixels": -1}, "pixels is a number from 0"),
        (InversionSettings, {"perceptual": float("nan")}, "perceptual is a number"),
        (InversionSettings, {"naturalness": "1"}, "naturalness is a number"),
        (InversionSettings, {"independence": 1.5}, "independence is a number from 0 to 1"),
        (InversionSettings, {"tolerance": True}, "tolerance is a number"),
        (InversionSettings, {"enough": 1e9}, "enough is a number from 0 to 200"),
        (InversionSettings, {"starts": -1}, "starts is a whole number"),
        (InversionSettings, {"tries": 0}, "tries is a whole number from 1"),
        (InversionSettings, {"steps": 0.5}, "steps is a whole number"),
        (InversionSettings, {"seed": 1 << 64}, "seed is a whole number"),
        (InversionSettings, {"pixels": 0, "distance": "l2"}, "nothing pulls"),
        (InversionSettings, {"pixels": 0, "perceptual": 0}, "nothing pulls"),
        (TuningSettings, {"steps": 0}, "steps is a whole number"),
        (TuningSettings, {"rate": 2}, "rate is a number from 0 to 1"),
        (TuningSettings, {"locality": -1}, "locality is a number"),
        (TuningSettings, {"enough": None}, "enough is a number"),
        (TuningSettings, {"seed": "0"}, "seed is a whole number"),
    ],
)
def test_settings_that_make_no_sense_are_refused(kind, changes, words):
    with pytest.raises(SemanifoldError, match=words):
        kind(**changes)
