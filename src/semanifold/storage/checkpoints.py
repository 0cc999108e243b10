"""Finding a network in the contents of a file, wherever it lies there and whatever lies beside it.

Programs keep a generator under many names: ``g_ema``, ``generator_smooth``, ``state_dict`` with ``decoder.`` before every key,
inside of a module that trains it on several GPUs, and so on. One rule serves all: every tensor of the file gets one dotted name,
and a network lies under each prefix under which the keys are found that mark its architecture.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.plain import JsonObject
from semanifold.storage.containers import Contents
from semanifold.storage.inert import ArrayRecord, InertObject, TensorRecord, UnreadableError
from semanifold.storage.tensors import header_of
from semanifold.storage.unpickling import Budget

Value = Tensor | TensorRecord | ArrayRecord

WRAPPERS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
"""Parts of names that come from training on several GPUs, from compiling and from averaging; they are left out everywhere."""

AVERAGED = frozenset({"ema", "gs", "smooth", "avg", "average", "averaged", "swa", "shadow"})
"""Words in the names of averaged weights, which make the better pictures."""
RAW = frozenset({"g", "gen", "netg", "generator", "decoder"})
"""Words in the names of the weights that were trained."""

SETTINGS = frozenset({"conv_clamp", "bias_gain", "activation", "z_dim", "c_dim", "margin_size", "output_scale", "bandwidth"})
"""Attributes of NVIDIA's modules that say what the tensors do not."""

MOST_LETTERS = 5_000_000
"""Letters in the names of all entries of a file; a checkpoint of a training has some 100,000."""
LONGEST_NAME = 400
LONGEST_LIST = 64
MOST_VISITS = 4
"""Times that a part of a file is looked at which lies in several places of it, or in itself."""
MOST_NETWORKS = 32
ALWAYS = 64 << 20
"""Bytes that the arrays of any file may have."""
GROWTH = 4
"""Times its own size that the arrays of a larger file may have: shared and well-compressed ones do, a bomb has a thousand."""


@dataclass(frozen=True)
class Weights:
    """A state dict as a file holds it.

    Attributes:
        state: tensors by name; the values may not have been read yet.
        part: where in the file it is, or empty.
        latent_avg: mean w beside it (rosinality, pSp and e4e).
        settings: attributes of NVIDIA's modules by ``path.attribute``, which say what the tensors do not.
        odd: entries that are objects of classes that semanifold does not know.
        rank: how good they are by their name: 0 averaged, 1 as they were trained, 2 unknown.
    """

    state: dict[str, Value]
    part: str = ""
    latent_avg: Value | None = None
    settings: dict[str, object] = field(default_factory=dict)
    odd: dict[str, InertObject] = field(default_factory=dict)
    rank: int = 2


@dataclass(frozen=True)
class Networks:
    """Everything in a file that may belong to a network, by dotted names.

    Attributes:
        values: tensors.
        settings: numbers and texts called as in :data:`SETTINGS`.
        odd: objects of classes that semanifold does not know.
        twice: names of several tensors, of which ``values`` has the first.
    """

    values: dict[str, Value] = field(default_factory=dict)
    settings: dict[str, object] = field(default_factory=dict)
    odd: dict[str, InertObject] = field(default_factory=dict)
    twice: set[str] = field(default_factory=set)

    def prefixes(self, mark: str) -> list[str]:
        """Return what lies before the keys that a pattern fits: ``"state_dict.decoder."``, or nothing.

        Raises:
            UnreadableError: if that is much more than any file holds.
        """
        pattern = re.compile(rf"(?P<prefix>(?:.*?\.)?)(?:{mark})", re.DOTALL)
        prefixes = dict.fromkeys(match["prefix"] for name in (*self.values, *self.odd) if (match := pattern.fullmatch(name)))
        if len(prefixes) > MOST_NETWORKS:
            raise UnreadableError("holds many more networks than any checkpoint")
        return list(prefixes)

    def network(self, prefix: str) -> Weights:
        """Return the network under a prefix."""
        state, settings, odd = (_below(prefix, table) for table in (self.values, self.settings, self.odd))
        state.pop("latent_avg", None)
        words = set(re.split(r"[._-]", prefix.lower()))
        averaged = state.pop("n_averaged", None) is not None or words & AVERAGED
        around = ("".join(re.findall(r"[^.]*\.", prefix)[:n]) for n in range(prefix.count("."), -1, -1))
        average = next((self.values[name] for place in around if (name := f"{place}latent_avg") in self.values), None)
        return Weights(state, prefix.rstrip("."), average, settings, odd, 0 if averaged else 1 if words & RAW else 2)


def _below(prefix: str, table: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in table.items() if name.startswith(prefix)}


def networks_in(tree: object) -> Networks:
    """Give everything in the contents of a file a dotted name.

    Raises:
        UnreadableError: if that is far more than any file of networks holds.
    """
    networks, room, visits = Networks(), Budget(MOST_LETTERS), dict[int, int]()
    todo: list[tuple[str, object]] = [("", tree)]
    while todo:
        path, parent = todo.pop()
        visits[id(parent)] = visits.get(id(parent), 0) + 1
        if visits[id(parent)] > MOST_VISITS:
            continue
        below: list[tuple[str, object]] = []
        for key, value in _entries(parent, room):
            name = _joined(path, key)
            room.spend(1 + len(name))
            if len(name) > LONGEST_NAME:
                continue
            if key in SETTINGS:
                networks.settings.setdefault(name, value if _is_plain(value) else "something else")
            elif isinstance(value, Value):
                if place_of(networks.values.setdefault(name, value)) != place_of(value):
                    networks.twice.add(name)
            elif isinstance(value, Mapping | list | tuple) or (isinstance(value, InertObject) and isinstance(value.state, dict)):
                below.append((name, value))
            elif isinstance(value, InertObject):
                networks.odd.setdefault(name, value)
        todo += reversed(below)
    return networks


def _joined(path: str, key: str) -> str:
    parts = [path, *(part for part in key.split(".") if part not in WRAPPERS)]
    return ".".join(part for part in parts if part)


def _entries(parent: object, room: Budget) -> Iterable[tuple[str, object]]:
    """Return what a part of a file consists of; an empty name stands for the part itself."""
    if isinstance(parent, InertObject):
        state: Any = parent.state
        if isinstance(state, dict) and "_parameters" in state:
            return _of_module(state, room)
        return _of_tensorflow(state, room) if isinstance(state, dict) and "variables" in state else _entries(state, room)
    if isinstance(parent, Mapping):
        room.spend(len(parent))
        return [(key, value) for key, value in parent.items() if isinstance(key, str)]
    if isinstance(parent, list | tuple) and len(parent) <= LONGEST_LIST:
        # the original StyleGAN2 keeps (G, D, Gs): Gs is the averaged generator
        three = len(parent) == 3 and all(isinstance(item, InertObject) for item in parent)
        return zip(("G", "D", "Gs") if three else map(str, range(len(parent))), parent)
    return []


def _of_module(state: dict[Any, Any], room: Budget) -> Iterator[tuple[str, object]]:
    """A pickled ``nn.Module``: what its ``state_dict()`` would have, and its settings."""
    hidden = state.get("_non_persistent_buffers_set")
    room.spend(len(hidden) if isinstance(hidden, list) else 0)
    hidden = {name for name in hidden if type(name) is str} if isinstance(hidden, list) else set[str]()
    buffers = {name: value for name, value in _entries(state.get("_buffers"), room) if name not in hidden}
    yield from (*_entries(state["_parameters"], room), *buffers.items(), *_entries(state.get("_modules"), room))
    yield from ((key, state[key]) for key in SETTINGS if key in state)


def _of_tensorflow(state: dict[Any, Any], room: Budget) -> Iterator[tuple[str, object]]:
    """A pickled network of TensorFlow: its variables, those of its components, and its settings."""
    pairs, components, settings = state["variables"], state.get("components"), state.get("static_kwargs")
    pairs = pairs if isinstance(pairs, list) else []
    room.spend(len(pairs))
    yield from (
        (pair[0], pair[1]) for pair in pairs if isinstance(pair, tuple | list) and len(pair) == 2 and type(pair[0]) is str
    )
    yield from (("", component) for _, component in _entries(components, room))
    yield from ((key, value) for key, value in _entries(settings, room) if key in SETTINGS)


def place_of(value: Value) -> object:
    """Return what tells one tensor of a file from another; the same for one tensor under two names."""
    return (id(value.storage), value.offset, value.shape) if isinstance(value, TensorRecord) else id(value)


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, bool | float | str) or (isinstance(value, int) and value.bit_length() < 64)


def find_state(tree: object, keys: Iterable[str]) -> Weights:
    """Return the state dict of a network whose keys are known: what lies beside one of them, in the best place.

    Raises:
        UnreadableError: if the contents are far more than any file of networks holds.
    """
    networks = networks_in(tree)
    for key in keys:
        if prefixes := networks.prefixes(re.escape(key)):
            return min(map(networks.network, prefixes), key=lambda weights: weights.rank)
    return networks.network("")


def tensor_bytes(value: Value) -> int:
    """Size of the values in memory."""
    return math.prod(value.shape) * value.dtype.itemsize


def materialise(value: Value) -> Tensor:
    """Return the values of a tensor of a file."""
    return value if isinstance(value, Tensor) else value.tensor()


def allow(claimed: int, size: int) -> None:
    """Refuse arrays that take far more memory than the file that they are in.

    Args:
        claimed: bytes of the arrays.
        size: bytes of the file.

    Raises:
        UnreadableError: if this is no honest compression.
    """
    if claimed > max(ALWAYS, GROWTH * size):
        raise UnreadableError(f"claims {claimed:,} bytes of arrays in a file of {size:,} bytes")


def materialised(values: Mapping[str, Value], contents: Contents) -> dict[str, Tensor]:
    """Return the values of tensors of a file, if they are not many times as large as the file.

    Raises:
        UnreadableError: if they are; nothing has been made then.
    """
    allow(sum(map(tensor_bytes, values.values())), contents.size)
    return {key: materialise(value) for key, value in values.items()}


def read_header(contents: Contents) -> JsonObject:
    """Return what the header of a semanifold safetensors file says, or an empty dict if the file is none.

    Raises:
        SemanifoldError: if the header is damaged or of another version.
    """
    header = header_of(contents.metadata, "the file")
    if header and not isinstance(header.get("format"), str):
        raise SemanifoldError("Its header is damaged: it does not name its format; get a fresh copy.")
    return header
