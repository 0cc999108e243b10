"""The state of a descent in a file, beside whatever else a search or a training keeps there; it is read back bit for bit."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, NamedTuple, TypeVar

import msgspec
import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError, shown
from semanifold.core.minimise import Descent, Evaluation
from semanifold.core.plain import Json
from semanifold.storage.tensors import read_format, write_tensors

Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]


class DescentHeader(msgspec.Struct, frozen=True, kw_only=True):
    """The header of the checkpoint of any search: how far it is, the minimiser's numbers, and what search it belongs to."""

    step: Count
    evaluations: Count
    recent: tuple[float, ...]
    value: float
    terms: dict[str, float]
    stalled: bool
    key: str = ""


H = TypeVar("H", bound=DescentHeader)


class SearchKind(NamedTuple):
    """How messages speak of a kind of search.

    Attributes:
        name: with its article, such as ``"a search"``.
        key: what its key is made of, such as ``"generator, seed, mask or settings"``.
    """

    name: str
    key: str


def write_descent(path: str, descent: Descent, tensors: Mapping[str, Tensor], header: Mapping[str, Json]) -> None:
    """Write the state of a descent as safetensors with a JSON header, whole or not at all.

    Args:
        path: the file.
        descent: the minimiser's state.
        tensors: others, by name.
        header: the other fields of the :class:`DescentHeader` of this search, and its ``format``.
    """
    points = {"x": descent.x, "gradient": descent.at.gradient, **tensors}
    for name, stack in (("moves", descent.moves), ("turns", descent.turns)):
        points |= {f"{name}.{i:03d}": tensor for i, tensor in enumerate(stack)}
    write_tensors(path, points, {**header, "value": descent.at.value, "terms": descent.at.terms, "stalled": descent.stalled})


def read_descent(
    path: str, form: str, schema: type[H], kind: SearchKind, key: str, device: torch.device
) -> tuple[H, Descent, dict[str, Tensor]] | None:
    """Read what :func:`write_descent` wrote; None if there is no such file.

    Args:
        path: the file.
        form: the ``format`` that its header must name.
        schema: of the header.
        kind: of the search.
        key: of this search.
        device: where the tensors go.

    Returns:
        The header, the minimiser's state, whose points have one shape and one type of number, and all other tensors.

    Raises:
        SemanifoldError: if the file is no such checkpoint, is damaged, or belongs to another search.
    """
    if not os.path.lexists(path):
        return None
    name = shown(path, 200)
    header, read = read_format(path, form, schema, f"checkpoint of {kind.name}", "delete it to begin anew")
    if header.key != key:
        words = f"belongs to {kind.name} with another {kind.key}"
        raise SemanifoldError(f"The checkpoint {name} {words}; give another file, or delete it to begin anew.")
    tensors = {name: tensor.to(device) for name, tensor in read.items()}
    moves, turns = (tuple(tensors.pop(k) for k in sorted(tensors) if k.startswith(word)) for word in ("moves.", "turns."))
    x, gradient = tensors.pop("x", None), tensors.pop("gradient", None)
    if (
        x is None
        or gradient is None
        or len(moves) != len(turns)
        or len({(t.shape, t.dtype) for t in (x, gradient, *moves, *turns)}) > 1
    ):
        raise SemanifoldError(f"The tensors of the checkpoint {name} do not fit together; delete it to begin anew.")
    return header, Descent(x, Evaluation(header.value, gradient, header.terms), moves, turns, header.stalled), tensors


def adam_tensors(adam: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the moments of Adam as a file holds them."""
    states = adam.state_dict()["state"].items()
    return {f"adam.{index}.{name}": torch.as_tensor(value) for index, state in states for name, value in state.items()}


def restore_adam(adam: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put the moments of a file into Adam; other tensors are left alone.

    Raises:
        ValueError: if they are not those of its parameters.
    """
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        if key.startswith("adam."):
            _, index, name = key.split(".")
            state.setdefault(int(index), {})[name] = tensor
    parameters = [parameter for group in adam.param_groups for parameter in group["params"]]
    for index, moments in state.items():
        fits = index < len(parameters) and moments.keys() == {"step", "exp_avg", "exp_avg_sq"}
        if not fits or any(moments[name].shape != parameters[index].shape for name in ("exp_avg", "exp_avg_sq")):
            raise ValueError(f"no moments of the parameter {index}")
    adam.load_state_dict({**adam.state_dict(), "state": state})
