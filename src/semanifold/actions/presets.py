"""What ``semanifold train --presets`` does."""

from __future__ import annotations

from dataclasses import asdict

from semanifold.actions.terminal import facts, say
from semanifold.paths.presets import PRESETS


def list_presets() -> int:
    """Print the presets with what they set."""
    names = ("paths", "k", "dipoles", "init", "space", "batch", "iterations", "min_magnitude", "max_magnitude", "reconstructor")
    facts(presets={name: asdict(preset) for name, preset in PRESETS.items()})
    for name, preset in PRESETS.items():
        say(f"{name:<13} {preset.about}")
        say(" " * 14 + ", ".join(f"{key.replace('_', ' ')} {getattr(preset, key)}" for key in names))
    return 0
