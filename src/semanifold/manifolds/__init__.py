"""Masked manifolds: smooth sequences of pictures that differ inside a mask only (Yang et al. 2020, arXiv:2105.07273)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semanifold.core.lazy import lazy_exports

if TYPE_CHECKING:
    from semanifold.manifolds.directions import LocalDirections as LocalDirections
    from semanifold.manifolds.directions import local_directions as local_directions
    from semanifold.manifolds.settings import ManifoldSettings as ManifoldSettings
    from semanifold.manifolds.settings import paper_settings as paper_settings
    from semanifold.manifolds.solve import SearchStep as SearchStep
    from semanifold.manifolds.solve import discover_manifold as discover_manifold
    from semanifold.manifolds.solve import discover_manifolds as discover_manifolds
    from semanifold.manifolds.solve import search as search
    from semanifold.manifolds.steps import jump as jump
    from semanifold.manifolds.steps import picture_steps as picture_steps
    from semanifold.manifolds.works import combine as combine
    from semanifold.manifolds.works import extrapolate as extrapolate
    from semanifold.manifolds.works import out_and_back as out_and_back
    from semanifold.manifolds.works import retime as retime
    from semanifold.manifolds.works import reverse as reverse
    from semanifold.manifolds.works import transfer as transfer
    from semanifold.manifolds.works import trim as trim

_HOMES = {
    "directions": ("LocalDirections", "local_directions"),
    "settings": ("ManifoldSettings", "paper_settings"),
    "solve": ("SearchStep", "discover_manifold", "discover_manifolds", "search"),
    "steps": ("jump", "picture_steps"),
    "works": ("combine", "extrapolate", "out_and_back", "retime", "reverse", "transfer", "trim"),
}
__getattr__ = lazy_exports(__name__, _HOMES)
