"""Inversion: from a picture to a code of the generator that makes it."""

from semanifold.inversion.settings import InversionSettings, TuningSettings
from semanifold.inversion.solve import InversionStep, inversion_steps, invert
from semanifold.inversion.tuning import TuningStep, tune, tuning_steps

__all__ = [
    "InversionSettings",
    "InversionStep",
    "TuningSettings",
    "TuningStep",
    "inversion_steps",
    "invert",
    "tune",
    "tuning_steps",
]
