"""What ``semanifold train --presets`` does."""

from __future__ import annotations

from dataclasses import asdict

from semanifold.actions.terminal import facts, say
from semanifold.paths.kinds import WEIGHT_KINDS
from semanifold.paths.presets import PRESETS


def list_presets() -> int:
    """Print the presets with what they set."""
    where = ("dipoles", "init", "space")
    how = ("batch", "iterations", "min_magnitude", "max_magnitude", "reconstructor")
    facts(presets={name: asdict(preset) for name, preset in PRESETS.items()})
    for name, preset in PRESETS.items():
        names = ("paths", "k", *(("layer",) if preset.paths in WEIGHT_KINDS else where), *how)
        say(f"{name:<16} {preset.about}")
        say(" " * 17 + ", ".join(f"{key.replace('_', ' ')} {getattr(preset, key)}" for key in names))
    return 0
