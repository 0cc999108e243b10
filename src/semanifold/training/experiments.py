"""Folders of trainings, ours and WarpedGANSpace's, as values: paths, reconstructor, arguments, log."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from semanifold.core.errors import SemanifoldError, shown
from semanifold.paths.base import PathSet
from semanifold.paths.files import load_paths
from semanifold.storage.arrays import open_arrays
from semanifold.storage.files import is_file, is_folder
from semanifold.storage.records import read_settings
from semanifold.training.presets import Preset
from semanifold.training.reconstructor import Reconstructor, read_reconstructor
from semanifold.training.records import ARGS, MODELS, STATISTICS, history_of, read_stats
from semanifold.training.settings import with_published

RECONSTRUCTOR = "reconstructor.pt"
CHECKPOINT = "checkpoint.pt"
MOST_ITERATIONS = 10**12


@dataclass(frozen=True, eq=False)
class Experiment:
    """What a training has written.

    Attributes:
        paths: its paths.
        reconstructor: the network trained with them; None if the folder has none.
        iteration: iterations done; 0 if nothing says it.
        arguments: what ``args.json`` says; empty if there is none.
        history: ``[m, 6]`` float64, the log up to that iteration: iteration, and ``STATS`` of the training step.
        remarks: sentences for the user, such as what is damaged and not needed.
    """

    paths: PathSet
    reconstructor: Reconstructor | None
    iteration: int
    arguments: Mapping[str, object]
    history: Tensor
    remarks: tuple[str, ...] = ()


def open_experiment(
    path: str | os.PathLike[str], *, space: str | None = None, reconstructor_size: int | None = None
) -> Experiment:
    """Open a run folder of ``semanifold train``, an experiment of WarpedGANSpace, or its ``checkpoint.pt``.

    Args:
        path: the folder, or the file.
        space: latent space of the paths, where neither the file nor an ``args.json`` tells.
        reconstructor_size: height and width that pictures were brought to before the reconstructor.

    Raises:
        SemanifoldError: if there is no such thing, or what is needed of it is damaged.
    """
    path = Path(path)
    if not is_folder(path) and not is_file(path):
        raise SemanifoldError(
            f"There is no experiment {shown(str(path), 200)}; give the folder of a training, or its checkpoint.pt."
        )
    folder = path if is_folder(path) else path.parent.parent if path.parent.name == MODELS else path.parent
    models = folder / MODELS if is_folder(folder / MODELS) else folder
    paths = load_paths(path, space)
    checkpoint = path if path.is_file() else models / CHECKPOINT
    iteration, state = _checkpoint(checkpoint) if checkpoint.is_file() else (0, None)
    finished = models / RECONSTRUCTOR
    if path.is_dir() and finished.is_file():
        reconstructor = read_reconstructor(finished, size=reconstructor_size)
    elif state is not None:
        reconstructor = read_reconstructor(state, size=reconstructor_size)
    else:
        numbered = sorted(models.glob("reconstructor-*.pt"), key=_number)
        reconstructor = read_reconstructor(numbered[-1], size=reconstructor_size) if numbered else None
    remarks: list[str] = []
    stats: Mapping[int, Mapping[str, float]] = {}
    if (folder / STATISTICS).is_file():
        try:
            stats = read_stats(folder / STATISTICS)
            iteration = max(iteration, *stats) if stats and path.is_dir() and finished.is_file() else iteration
        except SemanifoldError as error:
            remarks.append(str(error))
    history = history_of({at: row for at, row in stats.items() if at <= iteration})
    return Experiment(paths, reconstructor, iteration, read_settings(folder / ARGS), history, tuple(remarks))


def preset_of(arguments: Mapping[str, object], otherwise: Preset) -> Preset:
    """Return the settings that an ``args.json`` speaks of; what it does not say is as in ``otherwise``.

    Raises:
        SemanifoldError: if a value is not of the kind that belongs there.
    """
    # the published programs take exactly 1 for no cut
    return with_published(otherwise, {key: value for key, value in arguments.items() if (key, value) != ("z_truncation", 1)})


def _number(path: Path) -> int:
    match = re.search(r"-(\d+)\.pt$", path.name)
    return int(match[1]) if match else -1


def _checkpoint(path: Path) -> tuple[int, Mapping[str, object] | None]:
    """Return the iteration and the reconstructor's state dict of a ``checkpoint.pt``."""
    tree = open_arrays(path, "checkpoint of WarpedGANSpace").tree
    tree = tree if isinstance(tree, Mapping) else {}
    iteration, state = tree.get("iter"), tree.get("reconstructor")
    if not isinstance(iteration, int) or not 0 <= iteration < MOST_ITERATIONS:
        iteration = 0
    return iteration, (state if isinstance(state, Mapping) else None)
