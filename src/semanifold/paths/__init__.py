"""Path sets: many paths that belong together, learned or in closed form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semanifold.core.lazy import lazy_exports

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
    "warped": (
        "WarpedPaths",
        "warped_paths",
    ),
}
__getattr__ = lazy_exports(__name__, _HOMES)
