"""Inversion: from a picture to a code of the generator that makes it, and to weights that come nearer still."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semanifold.core.lazy import lazy_exports

if TYPE_CHECKING:
    from semanifold.inversion.encoder import Encoder as Encoder
    from semanifold.inversion.encoder import load_encoder as load_encoder
    from semanifold.inversion.encoder import save_encoder as save_encoder
    from semanifold.inversion.encoder_training import EncoderStep as EncoderStep
    from semanifold.inversion.encoder_training import encoder_steps as encoder_steps
    from semanifold.inversion.encoder_training import train_encoder as train_encoder
    from semanifold.inversion.fitting import FittingStep as FittingStep
    from semanifold.inversion.noise import fit_noise as fit_noise
    from semanifold.inversion.noise import noise_steps as noise_steps
    from semanifold.inversion.settings import EncoderSettings as EncoderSettings
    from semanifold.inversion.settings import InversionSettings as InversionSettings
    from semanifold.inversion.settings import NoiseSettings as NoiseSettings
    from semanifold.inversion.settings import TuningSettings as TuningSettings
    from semanifold.inversion.solve import InversionStep as InversionStep
    from semanifold.inversion.solve import inversion_steps as inversion_steps
    from semanifold.inversion.solve import invert as invert
    from semanifold.inversion.tuning import tune as tune
    from semanifold.inversion.tuning import tuning_steps as tuning_steps

_HOMES = {
    "encoder": ("Encoder", "load_encoder", "save_encoder"),
    "encoder_training": ("EncoderStep", "encoder_steps", "train_encoder"),
    "noise": ("fit_noise", "noise_steps"),
    "settings": ("EncoderSettings", "InversionSettings", "NoiseSettings", "TuningSettings"),
    "solve": ("InversionStep", "inversion_steps", "invert"),
    "tuning": ("tune", "tuning_steps"),
    "fitting": ("FittingStep",),
}
__getattr__ = lazy_exports(__name__, _HOMES)
