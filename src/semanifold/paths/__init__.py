"""Path sets: many paths that belong together, learned or in closed form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semanifold.lazy import lazy_exports

if TYPE_CHECKING:
    from semanifold.paths.base import PathSet as PathSet
    from semanifold.paths.base import PathSetInfo as PathSetInfo
    from semanifold.paths.channels import channel_paths as channel_paths
    from semanifold.paths.closed_form import local_paths as local_paths
    from semanifold.paths.closed_form import principal_paths as principal_paths
    from semanifold.paths.closed_form import sefa_paths as sefa_paths
    from semanifold.paths.files import load_paths as load_paths
    from semanifold.paths.files import save_paths as save_paths
    from semanifold.paths.joint import joint_paths as joint_paths
    from semanifold.paths.linear import LinearPaths as LinearPaths
    from semanifold.paths.reconstructor import make_reconstructor as make_reconstructor
    from semanifold.paths.training import held_out_scores as held_out_scores
    from semanifold.paths.training import train_paths as train_paths
    from semanifold.paths.training_draws import Prior as Prior
    from semanifold.paths.training_step import TrainingSettings as TrainingSettings
    from semanifold.paths.warped import WarpedPaths as WarpedPaths
    from semanifold.paths.warped import warped_paths as warped_paths

_HOMES = {
    "base": (
        "PathSet",
        "PathSetInfo",
    ),
    "channels": ("channel_paths",),
    "closed_form": (
        "local_paths",
        "principal_paths",
        "sefa_paths",
    ),
    "files": (
        "load_paths",
        "save_paths",
    ),
    "joint": ("joint_paths",),
    "linear": ("LinearPaths",),
    "reconstructor": ("make_reconstructor",),
    "training": (
        "held_out_scores",
        "train_paths",
    ),
    "training_draws": ("Prior",),
    "training_step": ("TrainingSettings",),
    "warped": (
        "WarpedPaths",
        "warped_paths",
    ),
}
__getattr__ = lazy_exports(__name__, _HOMES)
