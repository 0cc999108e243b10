"""Masked manifolds: smooth sequences of pictures that differ inside a mask only (Yang et al. 2020, arXiv:2105.07273)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from semanifold.manifolds.directions import LocalDirections as LocalDirections
    from semanifold.manifolds.directions import local_directions as local_directions
    from semanifold.manifolds.settings import ManifoldSettings as ManifoldSettings
    from semanifold.manifolds.settings import paper_settings as paper_settings
    from semanifold.manifolds.solve import discover_manifold as discover_manifold
    from semanifold.manifolds.solve import discover_manifolds as discover_manifolds
    from semanifold.manifolds.steps import jump as jump
    from semanifold.manifolds.steps import picture_steps as picture_steps
    from semanifold.manifolds.works import combine as combine
    from semanifold.manifolds.works import extrapolate as extrapolate
    from semanifold.manifolds.works import retime as retime
    from semanifold.manifolds.works import reverse as reverse
    from semanifold.manifolds.works import transfer as transfer
    from semanifold.manifolds.works import trim as trim

_HOMES = {
    "directions": ("LocalDirections", "local_directions"),
    "settings": ("ManifoldSettings", "paper_settings"),
    "solve": ("discover_manifold", "discover_manifolds"),
    "steps": ("jump", "picture_steps"),
    "works": ("combine", "extrapolate", "retime", "reverse", "transfer", "trim"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used (PEP 562): the settings are read without torch."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
