"""The state of a training, in files that can be read back bit for bit; the one before is kept."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import torch
from torch import Tensor
from torch.optim import Optimizer

from semanifold.core.errors import SemanifoldError, shown
from semanifold.storage.digests import digest
from semanifold.storage.tensors import read_format, write_tensors

FORMAT = "semanifold-training-1"
NEWEST = "checkpoint.safetensors"
PREVIOUS = "checkpoint.previous.safetensors"


@dataclass(frozen=True, eq=False)
class SavedTraining:
    """The state of a training between two iterations.

    Attributes:
        iteration: iterations done.
        tensors: weights, optimisers, the state of the random draws, sums since the last log, and the log itself.
        damaged: the sentence to tell if the newest checkpoint could not be used.
    """

    iteration: int
    tensors: dict[str, Tensor]
    damaged: str = ""


def training_key(facts: Mapping[str, object]) -> str:
    """Return a digest of everything that decides a training; a checkpoint of another one is refused."""
    return digest(json.dumps(facts, sort_keys=True, default=str), digits=32)


def save_checkpoint(folder: Path, saved: SavedTraining, key: str) -> None:
    """Write ``checkpoint.safetensors`` whole or not at all; the one that was there becomes the previous one."""
    header = {"format": FORMAT, "key": key, "iteration": saved.iteration}
    write_tensors(folder / NEWEST, saved.tensors, header, crc=True, previous=folder / PREVIOUS)


def load_checkpoint(folder: Path, key: str | None = None) -> SavedTraining | None:
    """Read the newest good checkpoint; None if there is none at all.

    Args:
        folder: where the two files lie.
        key: of the training; None takes the weights of any.

    Raises:
        SemanifoldError: if they belong to another training, or both are damaged.
    """
    problems: list[str] = []
    for name in (NEWEST, PREVIOUS):
        if not os.path.lexists(folder / name):
            continue
        place = shown(str(folder / name), 200)
        try:
            header, tensors = read_format(folder / name, FORMAT, Header, "checkpoint of a training", "delete it")
        except SemanifoldError as error:
            problems.append(f"{place} is damaged ({str(error).rstrip('.')})")
            continue
        if key is not None and header.key != key:
            raise SemanifoldError(
                f"The checkpoint {place} belongs to a training with another generator, paths or settings; give another "
                "out=, or overwrite=True."
            )
        said = f"{problems[0]}; going on from the previous one, iteration {header.iteration}." if problems else ""
        return SavedTraining(header.iteration, tensors, said)
    if problems:
        raise SemanifoldError(f"{' and '.join(problems)}; delete the checkpoints to begin anew, or give another out=.")
    return None


def check_tensors(tensors: Mapping[str, Tensor], must: Mapping[str, Tensor], may: Mapping[str, Tensor], folder: Path) -> None:
    """Refuse the tensors of a checkpoint that are not those of a training, whatever its key says.

    Args:
        tensors: as read.
        must: tensors of the same names, shapes and types that it must hold; of ``history`` only the columns count.
        may: those that it may hold besides: all moments of a parameter, or none.
        folder: where from.

    Raises:
        SemanifoldError: naming a tensor that is missing, different or unknown, or a log that makes no sense.
    """
    begun = {key.rpartition(".")[0] for key in tensors if key in may}
    expected = dict(must) | {key: value for key, value in may.items() if key.rpartition(".")[0] in begun}
    wrong = [key for key, value in expected.items() if key not in tensors or not _alike(tensors[key], value, key == "history")]
    wrong += [key for key in tensors if key not in expected]
    if not wrong:
        numbers = torch.cat([tensors["history"][:, 0], tensors["sums"][-1:].double()])  # iterations
        if not bool(((numbers >= 0) & (numbers < 1 << 53)).all()) or not bool(torch.isfinite(tensors["history"]).all()):
            wrong = ["history" if numbers[-1] >= 0 else "sums"]
    if wrong:
        raise SemanifoldError(
            f"The checkpoint in {shown(str(folder), 200)} does not fit this training (its tensor {shown(wrong[0], 60)} is "
            "missing or different); delete it to begin anew, or give another out=."
        )


def _alike(saved: Tensor, value: Tensor, any_length: bool) -> bool:
    """Whether a tensor has the type and shape of another one, but for its length if that may be any."""
    first = int(any_length)
    return saved.dtype == value.dtype and saved.ndim == value.ndim and saved.shape[first:] == value.shape[first:]


def moments_of(optimisers: Mapping[str, Optimizer | None]) -> dict[str, Tensor]:
    """Return tensors of the shapes that Adam keeps for each parameter, once it has taken a step; None learns nothing."""
    kept: dict[str, Tensor] = {}
    for name, optimiser in optimisers.items():
        for number, parameter in enumerate(optimiser.param_groups[0]["params"] if optimiser is not None else ()):
            place = f"optimiser.{name}.{number}."
            kept |= {f"{place}exp_avg": parameter, f"{place}exp_avg_sq": parameter, f"{place}step": torch.zeros(())}
    return kept


class Header(msgspec.Struct, frozen=True):
    """The header of a checkpoint: which training it belongs to, and the checksum of its tensors."""

    key: str
    iteration: Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]
    crc32: int
