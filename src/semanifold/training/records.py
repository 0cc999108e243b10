"""What a training writes for people, under WarpedGANSpace's names: ``args.json``, ``command.sh``, ``stats.json``, TensorBoard."""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError, shown
from semanifold.core.extras import missing_package
from semanifold.core.latents import Latents
from semanifold.generators.architectures import row_of
from semanifold.generators.base import Generator
from semanifold.paths.base import PathSet
from semanifold.storage.files import read_bytes, write_text
from semanifold.storage.records import checked, parse_json
from semanifold.training.state import TrainingReport
from semanifold.training.step import STATS

ARGS, COMMAND, STATISTICS, BOARD, MODELS = "args.json", "command.sh", "stats.json", "tensorboard", "models"
MOST_STATISTICS = 1 << 26
"""Bytes of a stats.json: one row of 150 bytes for each of 400,000 reports."""
PATIENCE = 2.0
"""Seconds between two writings of stats.json, which grows as the training goes on."""


def write_command(path: Path, words: Sequence[str]) -> None:
    """Write a shell script that repeats a command, with every word quoted as the shell needs it."""
    write_text(path, f"#!/usr/bin/env bash\n{shlex.join(words)}\n")


def stats_text(history: Tensor, masked: bool) -> str:
    """Return ``{"<iteration>": {"accuracy": ..., "classification_loss": ..., ...}}`` of a history ``[m, 6]``."""
    kept = [(place, name) for place, name in enumerate(STATS, 1) if masked or name != "mask_loss"]
    return json.dumps({str(int(row[0])): {name: row[place] for place, name in kept} for row in history.tolist()}) + "\n"


def history_of(stats: Mapping[int, Mapping[str, float]]) -> Tensor:
    """Return the history ``[m, 6]`` float64 that a ``stats.json`` tells, in order; what a row does not say is 0."""
    rows = [[float(iteration), *(stats[iteration].get(name, 0.0) for name in STATS)] for iteration in sorted(stats)]
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, 1 + len(STATS))


def read_stats(path: str | os.PathLike[str]) -> dict[int, dict[str, float]]:
    """Read the ``stats.json`` of a run, ours or WarpedGANSpace's.

    Raises:
        SemanifoldError: if the file is missing, damaged or holds something else.
    """
    name = shown(os.fspath(path), 200)
    if not os.path.lexists(path):
        raise SemanifoldError(f"There is no file {name}; give the stats.json of a training.")
    statistics = parse_json(read_bytes(path, "stats.json", MOST_STATISTICS), name, MOST_STATISTICS)
    return checked(statistics, dict[Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)], dict[str, float]], name)


class Records:
    """Keeps ``stats.json`` and TensorBoard up to date while a training goes on."""

    def __init__(self, folder: Path, generator: Generator, paths: PathSet, *, masked: bool, pictures_every: int) -> None:
        """Make ready.

        Args:
            folder: the run folder.
            generator: makes the pictures.
            paths: what is being trained.
            masked: whether there is a mask term to report.
            pictures_every: iterations between two sheets of pictures.

        Raises:
            SemanifoldError: if tensorboard is not installed.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  (slow to import)
        except ImportError as error:
            raise missing_package("Training", "tensorboard", "train") from error
        self.open_board, self.board = SummaryWriter, None
        self.folder, self.generator, self.paths, self.masked = folder, generator, paths, masked
        self.every, self.shown, self.written = pictures_every, -1, 0.0
        self.start = generator.example([0])

    def __call__(self, report: TrainingReport) -> None:
        """Write one report; the first one of a process wipes out what a process that broke off had shown beyond it."""
        fresh = report.history[-1:]
        if self.board is None:
            if not (self.folder / BOARD).is_dir() or not any((self.folder / BOARD).iterdir()):
                fresh = report.history  # with the log that a training goes on from
            self.board = self.open_board(str(self.folder / BOARD), purge_step=report.iteration)
        for iteration, *values in fresh.tolist():
            for name, value in zip(STATS, values):
                if self.masked or name != "mask_loss":
                    self.board.add_scalar(name, value, int(iteration))
        if report.iteration // self.every > self.shown or report.iteration == report.iterations:
            self.shown = report.iteration // self.every
            self.board.add_image("traversals", traversal_sheet(self.generator, self.paths, self.start), report.iteration)
        if time.monotonic() - self.written > PATIENCE:
            self.keep(report.history)

    def keep(self, history: Tensor) -> None:
        """Write ``stats.json``."""
        write_text(self.folder / STATISTICS, stats_text(history, self.masked))
        self.written = time.monotonic()

    def close(self) -> None:
        """End TensorBoard's file."""
        if self.board is not None:
            self.board.close()


@torch.no_grad()
def traversal_sheet(generator: Generator, paths: PathSet, start: Latents, *, most: int = 8, frames: int = 7) -> Tensor:
    """Return a sheet ``[3, rows h, frames w]`` in [0, 1]: one row a path, ``t`` from -1 to 1, of the first few paths."""
    codes = generator.convert(start, paths.space(generator))
    t = torch.linspace(-1, 1, frames)
    rows = [torch.cat(list(paths[k].images(generator, codes, t)), -1) for k in range(min(most, len(paths)))]
    sheet = torch.cat(rows, -2).float().clamp(-1, 1).cpu() / 2 + 0.5
    return sheet[:3] if sheet.shape[0] >= 3 else sheet[:1].expand(3, -1, -1)


def published_arguments(arguments: Mapping[str, object]) -> dict[str, object]:
    """Return an ``args.json`` with all keys that WarpedGANSpace's programs read, and no other."""
    return {key: arguments.get(key) for key in PUBLISHED_KEYS}


def published_name(generator: Generator) -> str:
    """Return the ``gan_type`` under which WarpedGANSpace's programs know such a generator, else the generator's own name."""
    row = row_of(generator)
    return (row and row.published(generator)) or generator.name


PUBLISHED_KEYS = (
    "gan_type",
    "z_truncation",
    "biggan_target_classes",
    "stylegan2_resolution",
    "shift_in_w_space",
    "num_support_sets",
    "num_support_dipoles",
    "learn_alphas",
    "learn_gammas",
    "gamma",
    "support_set_lr",
    "reconstructor_type",
    "min_shift_magnitude",
    "max_shift_magnitude",
    "reconstructor_lr",
    "max_iter",
    "batch_size",
    "lambda_cls",
    "lambda_reg",
    "log_freq",
    "ckp_freq",
    "tensorboard",
    "cuda",
)
