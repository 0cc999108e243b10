"""Finding the generator in the contents of a file: which of its parts are the weights."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from semanifold.errors import SemanifoldError
from semanifold.generators.containers import Contents
from semanifold.generators.inert import ArrayRecord, Record, TensorRecord, UnreadableError
from semanifold.generators.unpickling import Budget

HEADER = "semanifold"

Value = Tensor | TensorRecord | ArrayRecord

PARTS = ("G_ema", "g_ema", "Gs", "params_ema", "ema", "G", "g", "generator", "state_dict", "model", "D", "d")
"""Names under which files keep networks, the best first: averaged weights make the better pictures."""


@dataclass(frozen=True)
class Weights:
    """A state dict as a file holds it.

    Attributes:
        state: tensors by name; the values may not have been read yet.
        part: the key of the file under which it stood, or empty.
        latent_avg: mean w beside it (rosinality).
        settings: attributes of NVIDIA's modules by ``path.attribute``, which say what the tensors do not.
    """

    state: dict[str, Value]
    part: str = ""
    latent_avg: Value | None = None
    settings: dict[str, object] = field(default_factory=dict)


MOST_ENTRIES = 200_000
LONGEST_NAME = 1_000


def find_weights(tree: object) -> Weights | None:
    """Return the best generator-like state dict in the contents of a file, or None.

    Raises:
        UnreadableError: if the contents go round in a ring, or hold far more names than any network.
    """
    return _find(tree, Budget(MOST_ENTRIES), levels=2)


def _find(tree: object, room: Budget, levels: int) -> Weights | None:
    if isinstance(tree, Record):
        return _of_record(tree, room)
    if isinstance(tree, tuple | list) and tree and isinstance(tree[-1], Record):
        # the original StyleGAN2 keeps (G, D, Gs): Gs is the averaged generator
        found = _of_record(tree[-1], room)
        return found and dataclasses.replace(found, part="Gs")
    if not isinstance(tree, Mapping):
        return None
    for part in PARTS if levels else ():
        found = _find(tree[part], room, levels - 1) if isinstance(tree.get(part), Record | Mapping) else None
        if found:
            average = tree.get("latent_avg")
            return dataclasses.replace(found, part=part, latent_avg=average if isinstance(average, Value) else None)
    state = {key: value for key, value in _entries(tree, room) if isinstance(value, Value)}
    if state and all(key.startswith("module.") for key in state):  # saved from DataParallel
        state = {key.removeprefix("module."): value for key, value in state.items()}
    return Weights(state) if state else None


def _entries(value: object, room: Budget, prefix: str = "") -> list[tuple[str, Any]]:
    """Return the entries of a dictionary under their full names; none of anything else."""
    if not isinstance(value, dict):
        return []
    room.spend(len(value))
    named = [(f"{prefix}{key}", item) for key, item in value.items() if isinstance(key, str)]
    if any(len(name) > LONGEST_NAME for name, _ in named):
        raise UnreadableError(f"holds a name of more than {LONGEST_NAME} letters, or modules inside of modules without end")
    return named


def _walk(record: Record, children: str, room: Budget) -> Iterator[tuple[str, dict[Any, Any]]]:
    """Yield the path and the state of a record and of all records below it; records may point to one another in a ring."""
    todo: list[tuple[str, Record]] = [("", record)]
    while todo:
        room.spend()
        prefix, record = todo.pop()
        if isinstance(record.state, dict):
            yield prefix, record.state
            below = _entries(record.state.get(children), room, prefix)
            todo += [(f"{name}.", value) for name, value in reversed(below) if isinstance(value, Record)]


def _of_record(record: Record, room: Budget) -> Weights | None:
    if not isinstance(record.state, dict):
        return None
    found = _variables(record, room) if "variables" in record.state else _module(record, room)
    return found if found.state else None


def _module(record: Record, room: Budget) -> Weights:
    """Collect the tensors of a pickled ``nn.Module`` as ``state_dict()`` would."""
    found = Weights({})
    for prefix, parts in _walk(record, "_modules", room):
        hidden = parts.get("_non_persistent_buffers_set")
        hidden = hidden if isinstance(hidden, list) else []
        room.spend(len(hidden))
        dropped = {f"{prefix}{name}" for name in hidden}
        for name, value in _entries(parts.get("_parameters"), room, prefix) + _entries(parts.get("_buffers"), room, prefix):
            if isinstance(value, Value) and name not in dropped:
                found.state[name] = value
        found.settings.update({f"{prefix}{key}": parts.get(key) for key in ("conv_clamp", "bias_gain", "activation")})
    return found


def _variables(record: Record, room: Budget) -> Weights:
    """Collect the variables of a pickled TensorFlow network and of its components."""
    found = Weights({})
    for _, parts in _walk(record, "components", room):
        variables = parts.get("variables")
        variables = variables if isinstance(variables, list) else []
        room.spend(len(variables))
        pairs = [pair for pair in variables if isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[0], str)]
        found.state.update(_entries({name: value for name, value in pairs if isinstance(value, Value)}, room))
        found.settings.update(_entries(parts.get("static_kwargs"), room))
    return found


def tensor_bytes(value: Value) -> int:
    """Size of the values in memory."""
    return math.prod(value.shape) * value.dtype.itemsize


def materialise(value: Value) -> Tensor:
    """Return the values of a tensor of a file."""
    return value if isinstance(value, Tensor) else value.tensor()


def read_header(contents: Contents) -> dict[str, Any]:
    """Return what the header of a semanifold safetensors file says, or an empty dict if the file is none.

    Raises:
        SemanifoldError: if the header is damaged or of another version.
    """
    if HEADER not in contents.metadata:
        return {}
    try:
        header = json.loads(contents.metadata[HEADER])
    except (ValueError, RecursionError) as error:
        raise SemanifoldError("Its header is damaged; get a fresh copy.") from error
    if not isinstance(header, dict) or not isinstance(header.get("format"), str):
        raise SemanifoldError("Its header is damaged; get a fresh copy.")
    return header
