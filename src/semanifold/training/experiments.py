"""Folders of trainings, ours and WarpedGANSpace's, as values: paths, reconstructor, arguments, log."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

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

RECONSTRUCTOR = "reconstructor.pt"
CHECKPOINT = "checkpoint.pt"
MOST_ITERATIONS = 10**12


@dataclass(frozen=True)
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
    arguments: Mapping[str, Any]
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


def preset_of(arguments: Mapping[str, Any], otherwise: Preset) -> Preset:
    """Return the settings that an ``args.json`` speaks of; what it does not say is as in ``otherwise``.

    Raises:
        SemanifoldError: if a value is not of the kind that belongs there.
    """
    held = {ours: arguments[theirs] for theirs, ours in PUBLISHED.items() if arguments.get(theirs) is not None}
    for name, value in held.items():
        usual = type(getattr(otherwise, name))
        if name in NUMBERS:
            fits = isinstance(value, int | float) and abs(value) < MOST_ITERATIONS  # not NaN either
        elif name == "classes":
            fits = isinstance(value, list) and all(type(each) is int and 0 <= each < MOST_ITERATIONS for each in value)
        else:
            fits = isinstance(value, usual)
        if not fits or isinstance(value, bool):
            raise SemanifoldError(
                f"args.json says {name} = {shown(repr(value))}, which makes no sense; mend it, or give the preset."
            )
    if held.get("z_truncation") == 1:
        held.pop("z_truncation")  # the published programs take exactly 1 for none
    if "classes" in held:
        held["classes"] = tuple(held["classes"])
    return replace(otherwise, **held)


PUBLISHED = {
    "min_shift_magnitude": "min_magnitude",
    "max_shift_magnitude": "max_magnitude",
    "reconstructor_type": "reconstructor",
    "batch_size": "batch",
    "max_iter": "iterations",
    "support_set_lr": "paths_lr",
    "reconstructor_lr": "reconstructor_lr",
    "ckp_freq": "save_every",
    "z_truncation": "z_truncation",
    "biggan_target_classes": "classes",
}
"""What the published programs and :class:`Preset` call the same thing."""
NUMBERS = set(PUBLISHED.values()) - {"reconstructor", "classes"}


def _number(path: Path) -> int:
    found = re.search(r"-(\d+)\.pt$", path.name)
    return int(found[1]) if found else -1


def _checkpoint(path: Path) -> tuple[int, Mapping[str, Any] | None]:
    """Return the iteration and the reconstructor's state dict of a ``checkpoint.pt``."""
    tree = open_arrays(path, "checkpoint of WarpedGANSpace").tree
    tree = tree if isinstance(tree, Mapping) else {}
    iteration, state = tree.get("iter"), tree.get("reconstructor")
    if not isinstance(iteration, int) or not 0 <= iteration < MOST_ITERATIONS:
        iteration = 0
    return iteration, (state if isinstance(state, Mapping) else None)
