"""The state of a descent in a file, beside whatever else a search or a training keeps there; it is read back bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeVar

import msgspec
import torch
from torch import Tensor

from semanifold.core.minimise import Descent, Evaluation
from semanifold.core.plain import Json
from semanifold.storage.keeping import Keeper, KeptHeader

Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]
UNFIT = "holds tensors that do not fit together"


class DescentHeader(KeptHeader, frozen=True, kw_only=True):
    """The header of the checkpoint of any search: how far it is, the minimiser's numbers, and what search it belongs to."""

    step: Count
    evaluations: Count
    recent: tuple[float, ...]
    value: float
    terms: dict[str, float]
    stalled: bool


H = TypeVar("H", bound=DescentHeader)


def write_descent(keeper: Keeper, descent: Descent, tensors: Mapping[str, Tensor], header: Mapping[str, Json]) -> None:
    """Write the state of a descent, whole or not at all.

    Args:
        keeper: of the file.
        descent: the minimiser's state.
        tensors: others, by name.
        header: the other fields of the :class:`DescentHeader` of this search.

    Raises:
        SemanifoldError: if it cannot be written.
    """
    points = {"x": descent.x, "gradient": descent.at.gradient, **tensors}
    for name, stack in (("moves", descent.moves), ("turns", descent.turns)):
        points |= {f"{name}.{i:03d}": tensor for i, tensor in enumerate(stack)}
    keeper.write(points, {**header, "value": descent.at.value, "terms": descent.at.terms, "stalled": descent.stalled})


def read_descent(keeper: Keeper, schema: type[H], device: torch.device) -> tuple[H, Descent, dict[str, Tensor]] | None:
    """Read what :func:`write_descent` wrote; None if there is no such file.

    Args:
        keeper: of the file.
        schema: of the header.
        device: where the tensors go.

    Returns:
        The header, the minimiser's state, whose points have one shape and one type of number, and all other tensors.

    Raises:
        SemanifoldError: if the file is no such checkpoint, is damaged, or belongs to another search.
    """
    read = keeper.read(schema)
    if read is None:
        return None
    header = read[0]
    tensors = {name: tensor.to(device) for name, tensor in read[1].items()}
    moves, turns = (tuple(tensors.pop(k) for k in sorted(tensors) if k.startswith(word)) for word in ("moves.", "turns."))
    x, gradient = tensors.pop("x", None), tensors.pop("gradient", None)
    if (
        x is None
        or gradient is None
        or len(moves) != len(turns)
        or len({(t.shape, t.dtype) for t in (x, gradient, *moves, *turns)}) > 1
    ):
        raise keeper.refused(UNFIT)
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
