"""Finding the generator in the contents of a file: which of its parts are the weights, and which architecture they belong to."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from semanifold.errors import SemanifoldError
from semanifold.generators.containers import Contents, shown
from semanifold.generators.inert import ArrayRecord, Record, TensorRecord, UnreadableError
from semanifold.generators.stylegan2_layouts import (
    Translated,
    config_from_json,
    from_ada,
    from_rosinality,
    from_tensorflow,
    recognise,
)
from semanifold.generators.unpickling import Budget

FORMAT = "semanifold-generator-1"
HEADER = "semanifold"

Value = Tensor | TensorRecord | ArrayRecord

PARTS = ("G_ema", "g_ema", "Gs", "params_ema", "ema", "G", "g", "generator", "state_dict", "model", "D", "d")
"""Names under which files keep networks, the best first: averaged weights make the better pictures."""

LAYOUTS = {
    "rosinality": "rosinality/stylegan2-pytorch",
    "ada": "NVIDIA stylegan2-ada-pytorch or stylegan3",
    "tensorflow": "NVIDIA stylegan2 (TensorFlow)",
    "semanifold": "semanifold",
}

OTHERS = [
    ("a StyleGAN3 generator", r"synthesis\.input\.freqs"),
    ("a BigGAN generator", r"blocks\.\d+\.\d+\.bn1\.(gain\.weight|stored_mean)"),
    ("a Progressive GAN generator", r"features\.\d+\.wscale\.(b|scale)"),
    ("an SN-GAN generator", r"model\.\d+\.model\.\d+\.running_mean"),
    ("a pix2pixHD generator", r"model(\d+_\d+)?\.\d+\.conv_block\.\d+\.weight"),
    ("a StyleGAN1 generator", r"(.*/)?\d+x\d+/(\w+/)?StyleMod/weight"),
    ("a StyleGAN2 discriminator", r"b4\.out\.weight|final_linear\.\d+\.weight|.*4x4/MinibatchStddev.*|Output/weight"),
    ("support sets of WarpedGANSpace", r"SUPPORT_SETS"),
    ("a reconstructor of paths", r"(path_indices|shift_magnitudes|type_estimator|shift_estimator|fc_logits)\..*"),
]
"""Other networks that people have files of, each known by one key of its state dict."""

STYLEGAN2 = "a StyleGAN2 generator"


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


def architecture(weights: Weights) -> str | None:
    """Name the network that a state dict belongs to, such as ``"a BigGAN generator"``; None if it is not known."""
    if recognise(weights.state):
        return STYLEGAN2
    return next((name for name, pattern in OTHERS if any(re.fullmatch(pattern, key) for key in weights.state)), None)


def tensor_bytes(value: Value) -> int:
    """Size of the values in memory."""
    return math.prod(value.shape) * value.dtype.itemsize


def materialise(value: Value) -> Tensor:
    """Return the values of a tensor of a file."""
    return value if isinstance(value, Tensor) else value.tensor()


def _only(settings: Mapping[str, object], pattern: str) -> object:
    """Return the one value that all settings of a kind agree on."""
    values = {str(value)[:80]: value for key, value in settings.items() if re.fullmatch(pattern, key)}
    if len(values) > 1:
        raise SemanifoldError(f"Its layers have different settings ({', '.join(map(shown, values))}), which is not supported.")
    return next(iter(values.values()), None)


def _number(value: object, what: str) -> float | None:
    if value is None or (isinstance(value, int | float) and 0 < value < 1e9):
        return value
    raise SemanifoldError(f"Its {what} is {shown(str(value)[:80])!r}, where a positive number is expected.")


def translate(weights: Weights, contents: Contents) -> Translated:
    """Turn a file's StyleGAN2 into our configuration and state.

    Raises:
        SemanifoldError: if tensors are missing, left over, of the wrong shape or not finite.
        UnreadableError: if the file is damaged.
    """
    if sum(map(tensor_bytes, weights.state.values())) > 4 * contents.size:
        raise UnreadableError("claims to hold far more numbers than fit into it")
    state = {key: materialise(value) for key, value in weights.state.items()}
    header = read_header(contents)
    if header:
        return _own(header, state)
    settings = weights.settings
    match recognise(state):
        case "rosinality":
            return from_rosinality(state, None if weights.latent_avg is None else materialise(weights.latent_avg))
        case "tensorflow":
            config, ours = from_tensorflow(state)
            return dataclasses.replace(config, clamp=_number(settings.get("conv_clamp"), "conv_clamp")), ours
        case "ada":
            clamp = _number(_only(settings, r"synthesis\.b\d+\.(conv[01]|torgb)\.conv_clamp"), "conv_clamp")
            if (kind := _only(settings, r"synthesis\.b\d+\.conv[01]\.activation")) not in (None, "lrelu"):
                raise SemanifoldError(f"It uses the activation {shown(str(kind)[:80])!r}; only 'lrelu' is supported.")
            config, ours = from_ada(state, clamp=clamp)
            gain = _number(_only(settings, r"mapping\.fc\d+\.bias_gain"), "learning rate of the mapping network")
            return dataclasses.replace(config, mapping_lr=gain or config.mapping_lr), ours
    raise SemanifoldError("It holds tensors of semanifold without their configuration; convert the original file again.")


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


def _own(header: Mapping[str, Any], state: dict[str, Tensor]) -> Translated:
    if header["format"] != FORMAT:
        raise SemanifoldError(
            f"It is of the format {shown(header['format'])!r}, not a generator that this version reads ({FORMAT})."
        )
    config = config_from_json(json.dumps(header.get("config")))
    # a hostile configuration must not make a network of a billion layers
    if config.mapping_layers + len(config.channels) > len(state):
        raise SemanifoldError("Its configuration does not belong to its tensors; get a fresh copy.")
    for key, value in state.items():
        if not torch.isfinite(value).all():
            raise SemanifoldError(f"{shown(key)} holds NaN or infinite values; the file is damaged, take another copy.")
    return config, {key: value.to(torch.promote_types(value.dtype, torch.float32)) for key, value in state.items()}
