"""A world so small that a hundred iterations take a second: blobs of 32 pixels that four numbers move."""

from pathlib import Path

import torch
from torch import Tensor

from semanifold.generators.base import Generator
from semanifold.generators.wrapped import wrap
from semanifold.paths.base import PathSetInfo
from semanifold.paths.linear import LinearPaths
from semanifold.paths.warped import WarpedPaths
from semanifold.training.reconstructor import make_reconstructor
from semanifold.training.settings import TrainingSettings
from semanifold.training.trainer import train_paths


def blob(z: Tensor) -> Tensor:
    """A blob whose place, size and brightness are the four numbers."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 32).to(z), torch.linspace(-1, 1, 32).to(z), indexing="ij")
    a = [torch.tanh(column)[:, None, None] for column in z.T]
    size = 0.15 + 0.1 * (a[2] + 1)
    return ((1 + 0.5 * a[3]) * torch.exp(-((x - 0.6 * a[0]) ** 2 + (y - 0.6 * a[1]) ** 2) / size))[:, None] - 1


def world() -> Generator:
    return wrap(blob, (4,), name="blob")


def warped(count: int = 4, seed: int = 0) -> WarpedPaths:
    return WarpedPaths.create(count, 3, (4,), PathSetInfo(method="warped paths", generator="blob"), seed=seed)


def straight(count: int = 4) -> LinearPaths:
    return LinearPaths("ortho", count, (4,), PathSetInfo(method="linear paths", generator="blob"))


def quick(**changes: object) -> TrainingSettings:
    given = {
        "min_magnitude": 0.3,
        "max_magnitude": 0.9,
        "iterations": 12,
        "batch": 16,
        "log_every": 2,
        "save_every": 5,
        "paths_lr": 1e-3,
        "reconstructor_lr": 1e-3,
    }
    return TrainingSettings(**(given | changes))  # type: ignore[arg-type]


def curves(folder: Path, **options: object) -> dict[str, list]:
    """Loss curves, running statistics and paths of a warped and of a linear training of twelve iterations."""
    found: dict[str, list] = {}
    for name, make in (("warped", warped), ("straight", straight)):
        (folder / name).mkdir(exist_ok=True)
        paths, network = make(), make_reconstructor("lenet", 4, 1, seed=1)
        done = train_paths(world(), paths, network, quick(log_every=1), folder=folder / name, **options)  # type: ignore[arg-type]
        found[f"{name} curve"] = done.history.tolist()
        found[f"{name} statistics"] = torch.cat(
            [v.flatten() for k, v in network.state_dict().items() if "running_var" in k]
        ).tolist()
        found[f"{name} paths"] = torch.cat([v.detach().flatten() for v in paths.parameters()]).tolist()
    return found
