"""Masked manifolds: smooth sequences of pictures that differ inside a mask only (Yang et al. 2020, arXiv:2105.07273)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semanifold.core.lazy import lazy_exports

if TYPE_CHECKING:
    from semanifold.manifolds.adapting import adapt as adapt
    from semanifold.manifolds.directions import LocalDirections as LocalDirections
    from semanifold.manifolds.directions import local_directions as local_directions
    from semanifold.manifolds.settings import ManifoldSettings as ManifoldSettings
    from semanifold.manifolds.settings import paper_settings as paper_settings
    from semanifold.manifolds.solve import SearchStep as SearchStep
    from semanifold.manifolds.solve import discover_manifold as discover_manifold
    from semanifold.manifolds.solve import discover_manifolds as discover_manifolds
    from semanifold.manifolds.solve import search as search

_HOMES = {
    "adapting": ("adapt",),
    "directions": ("LocalDirections", "local_directions"),
    "settings": ("ManifoldSettings", "paper_settings"),
    "solve": ("SearchStep", "discover_manifold", "discover_manifolds", "search"),
}
__getattr__ = lazy_exports(__name__, _HOMES)
