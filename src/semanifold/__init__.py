"""semanifold finds the meaningful ways in which the pictures of a generator can change, and lets a person steer them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from semanifold.core.version import __version__

if TYPE_CHECKING:
    from semanifold.analysis.attributes.names import attribute_reader as attribute_reader
    from semanifold.app.inspecting import inspect as inspect
    from semanifold.app.showing import film as film
    from semanifold.app.showing import save as save
    from semanifold.app.showing import show as show
    from semanifold.app.showing import to_pil as to_pil
    from semanifold.core.errors import SemanifoldError as SemanifoldError
    from semanifold.core.latents import Latents as Latents
    from semanifold.core.solutions import Result as Result
    from semanifold.core.solutions import Solution as Solution
    from semanifold.edits import Edit as Edit
    from semanifold.edits import Lattice as Lattice
    from semanifold.edits import load_edit as load_edit
    from semanifold.edits import traced as traced
    from semanifold.edits.baking import bake as bake
    from semanifold.edits.operations import combine as combine
    from semanifold.edits.operations import extrapolate as extrapolate
    from semanifold.edits.operations import retime as retime
    from semanifold.edits.operations import reverse as reverse
    from semanifold.edits.operations import transfer as transfer
    from semanifold.edits.operations import trim as trim
    from semanifold.generators.base import Generator as Generator
    from semanifold.generators.loading import convert as convert
    from semanifold.generators.loading import load_generator as load_generator
    from semanifold.generators.wrapped import wrap as wrap
    from semanifold.images.masks import Mask as Mask
    from semanifold.images.masks import box as box
    from semanifold.images.masks import ellipse as ellipse
    from semanifold.images.masks import painted as painted
    from semanifold.images.masks import parse_mask as parse_mask
    from semanifold.images.masks import polygon as polygon
    from semanifold.manifolds import ManifoldSettings as ManifoldSettings
    from semanifold.manifolds import discover_manifold as discover_manifold
    from semanifold.manifolds import discover_manifolds as discover_manifolds
    from semanifold.manifolds import local_directions as local_directions
    from semanifold.manifolds import paper_settings as paper_settings
    from semanifold.paths.base import PathSet as PathSet
    from semanifold.paths.files import load_paths as load_paths
    from semanifold.paths.joint import joint_paths as joint_paths
    from semanifold.paths.weight_methods import weight_paths as weight_paths
    from semanifold.training.trainer import train_paths as train_paths

_HOMES = {
    "analysis.attributes.names": ("attribute_reader",),
    "edits.baking": ("bake",),
    "edits.operations": ("combine", "extrapolate", "retime", "reverse", "transfer", "trim"),
    "edits": ("Edit", "Lattice", "load_edit", "traced"),
    "core.errors": ("SemanifoldError",),
    "generators.base": ("Generator",),
    "generators.loading": ("convert", "load_generator"),
    "generators.wrapped": ("wrap",),
    "app.inspecting": ("inspect",),
    "core.latents": ("Latents",),
    "manifolds": (
        "ManifoldSettings",
        "discover_manifold",
        "discover_manifolds",
        "local_directions",
        "paper_settings",
    ),
    "images.masks": ("Mask", "box", "ellipse", "painted", "parse_mask", "polygon"),
    "paths.base": ("PathSet",),
    "paths.files": ("load_paths",),
    "paths.joint": ("joint_paths",),
    "training.trainer": ("train_paths",),
    "paths.weight_methods": ("weight_paths",),
    "app.showing": ("film", "save", "show", "to_pil"),
    "core.solutions": ("Result", "Solution"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Edit",
    "Generator",
    "Latents",
    "Lattice",
    "ManifoldSettings",
    "Mask",
    "PathSet",
    "Result",
    "SemanifoldError",
    "Solution",
    "__version__",
    "attribute_reader",
    "bake",
    "box",
    "combine",
    "convert",
    "discover_manifold",
    "discover_manifolds",
    "ellipse",
    "extrapolate",
    "film",
    "inspect",
    "joint_paths",
    "load_edit",
    "load_generator",
    "load_paths",
    "local_directions",
    "painted",
    "paper_settings",
    "parse_mask",
    "polygon",
    "retime",
    "reverse",
    "save",
    "show",
    "to_pil",
    "traced",
    "train_paths",
    "transfer",
    "trim",
    "weight_paths",
    "wrap",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562), so that ``import semanifold`` is quick."""
    if name not in _HOME:
        raise AttributeError(f"module 'semanifold' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"semanifold.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
