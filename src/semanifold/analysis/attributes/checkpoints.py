"""The published weights of attribute networks: where they lie, and how they get into a network. No code from a file runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from semanifold.core.errors import SemanifoldError, shown
from semanifold.generators.states import first_keys
from semanifold.storage import zoo
from semanifold.storage.checkpoints import find_state, materialised
from semanifold.storage.containers import read
from semanifold.storage.inert import UnreadableError

COUNTERS = "num_batches_tracked"
"""Ending of tensors that evaluation does not need, and that older files lack."""

Network = TypeVar("Network", bound=nn.Module)


def find_checkpoint(entry: str, files: Sequence[str], folder: str | os.PathLike[str] | None = None) -> Path:
    """Return where the weights of a network lie: in the folder, in a folder inside it, or where the zoo put them.

    Args:
        entry: what the zoo calls them.
        files: their usual file names, the first the published program's.
        folder: where to look first, such as WarpedGANSpace's ``models/pretrained``.

    Raises:
        SemanifoldError: if they are nowhere; it says how to get them.
    """
    if folder is not None:
        if not Path(folder).is_dir():
            raise SemanifoldError(f"There is no folder {folder} of attribute networks; leave it out to use those of the zoo.")
        for pattern in ("", "*/"):
            matches = [path for file in files for path in sorted(Path(folder).glob(pattern + file)) if path.is_file()]
            if matches:
                return matches[0]
    if entry in zoo.table() and zoo.here(entry):
        return zoo.located_file(entry)
    where = "on this machine" if folder is None else f"in {folder}"
    raise SemanifoldError(
        f"The attribute network {entry} ({files[0]}) is not {where}; get it with 'semanifold zoo fetch {entry}', or name the "
        "folder that holds the file."
    )


def loaded(make: Callable[[], Network], path: Path) -> Network:
    """Return a network with the weights of a file, frozen, float32 on the CPU.

    Args:
        make: makes the network with any weights.
        path: a state dict, bare or under a key such as ``state_dict``, in any container that
            :func:`semanifold.storage.containers.read` opens.

    Raises:
        SemanifoldError: if the file is no such thing, lacks tensors, has others, or holds NaN.
    """
    with torch.device("meta"):
        network = make()
    kind = type(network).__name__
    contents = read(path)
    if contents.tree is None:
        raise SemanifoldError(f"{path} {contents.problem}; the weights of {kind} are expected.")
    try:
        expected = {key: tuple(value.shape) for key, value in network.state_dict().items()}
        tensors = find_state(contents.tree, expected).state
        _check(path, kind, {key: tuple(value.shape) for key, value in tensors.items()}, expected)
        state = materialised(tensors, contents)
    except UnreadableError as error:
        raise SemanifoldError(f"{path} ({contents.format}) {error}; get a fresh copy.") from error
    counters = {key: torch.zeros((), dtype=torch.int64) for key in expected if key.endswith(COUNTERS)}
    floats = {key: value.float() for key, value in state.items() if key not in counters}
    if bad := [key for key, value in floats.items() if not torch.isfinite(value).all()]:
        raise SemanifoldError(f"{path}: {first_keys(bad)} hold NaN or infinite values; the file is damaged, take another copy.")
    network.load_state_dict(counters | floats, assign=True)
    return network.eval().requires_grad_(False)


def _check(path: Path, kind: str, shapes: dict[str, tuple[int, ...]], expected: dict[str, tuple[int, ...]]) -> None:
    """Refuse tensors that are missing, left over or of another shape."""
    missing = [key for key in expected if key not in shapes and not key.endswith(COUNTERS)]
    extra = [shown(key) for key in shapes if key not in expected]
    for keys, problem in ((missing, "lacks"), (extra, "holds")):
        if keys:
            words = "which it needs" if problem == "lacks" else "which it does not have"
            raise SemanifoldError(f"{path} is no {kind}: it {problem} {first_keys(keys)}, {words}; give the published file.")
    for key, shape in shapes.items():
        if shape != expected[key]:
            raise SemanifoldError(f"{path} is no {kind}: {key} has shape {shape}, but {expected[key]} is expected.")
