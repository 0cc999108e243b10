"""Masked manifolds: smooth sequences of pictures that differ inside a mask only (Yang et al. 2020, arXiv:2105.07273)."""

from semanifold.manifolds.directions import LocalDirections, local_directions
from semanifold.manifolds.settings import ManifoldSettings, paper_settings
from semanifold.manifolds.solve import discover_manifold, discover_manifolds
from semanifold.manifolds.steps import jump, picture_steps
from semanifold.manifolds.works import combine, extrapolate, retime, reverse, transfer, trim

__all__ = [
    "LocalDirections",
    "ManifoldSettings",
    "combine",
    "discover_manifold",
    "discover_manifolds",
    "extrapolate",
    "jump",
    "local_directions",
    "paper_settings",
    "picture_steps",
    "retime",
    "reverse",
    "transfer",
    "trim",
]
