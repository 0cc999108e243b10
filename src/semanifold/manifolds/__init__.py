"""Masked manifolds: smooth sequences of pictures that differ inside a mask only (Yang et al. 2020, arXiv:2105.07273)."""

from semanifold.manifolds.directions import LocalDirections, local_directions
from semanifold.manifolds.settings import ManifoldSettings, paper_settings
from semanifold.manifolds.solve import discover_manifold, discover_manifolds

__all__ = [
    "LocalDirections",
    "ManifoldSettings",
    "discover_manifold",
    "discover_manifolds",
    "local_directions",
    "paper_settings",
]
