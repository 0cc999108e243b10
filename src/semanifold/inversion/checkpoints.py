"""The state of an inversion, as a value that can be written to a file and read back bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated, TypedDict

import msgspec
import torch

from semanifold.core.latents import Latents, condition_tensors, conditions_in
from semanifold.core.minimise import Descent
from semanifold.generators.base import Generator
from semanifold.inversion.curvature import MOST_ROWS, Curvature
from semanifold.inversion.objective import Likeness, Objective
from semanifold.inversion.settings import InversionSettings
from semanifold.storage.descents import DescentHeader, read_descent, write_descent
from semanifold.storage.digests import digest
from semanifold.storage.keeping import Keeper, SearchKind

FORMAT = "semanifold-inversion-1"
KIND = SearchKind(
    "an inversion",
    "belongs to an inversion with another generator, picture or settings",
    "give another file, or delete it to begin anew",
)
TERMS = {"pixels", "perceptual", "nature"}
MOST_STARTS = 1000


@dataclass(frozen=True, eq=False)
class InversionState:
    """The state of an inversion between two steps.

    Attributes:
        objective: what falls; it knows the start.
        descent: the minimiser's state; its point is ``[1, *code]``, natural coordinates.
        curvature: in natural coordinates; None for a descent without.
        start_name: what it began from.
        starts: the objective of every start after a few steps, by its name.
        recent: latest values of the objective, oldest first.
        step: steps taken.
        evaluations: pictures made so far, most of them differentiated as well.
    """

    objective: Objective
    descent: Descent
    curvature: Curvature | None
    start_name: str
    starts: tuple[tuple[str, float], ...]
    recent: tuple[float, ...]
    step: int
    evaluations: int


class InversionNumbers(TypedDict):
    """What is said of an inversion at its end.

    Attributes:
        psnr: peak signal-to-noise ratio against the picture, in dB.
        distance: perceptual distance.
        nature: mean square of the natural coordinates.
        objective: its value.
        start: name of the start that was best.
        starts: objective of every start that was tried, after a few steps.
        steps: taken.
        evaluations: pictures made.
    """

    psnr: float
    distance: float
    nature: float
    objective: float
    start: str
    starts: dict[str, float]
    steps: int
    evaluations: int


def inversion_key(
    generator: Generator, space: str, likeness: Likeness, settings: InversionSettings, distance: str, codes: Latents
) -> str:
    """Return a digest of everything that decides an inversion; a checkpoint of another one is refused.

    The codes are the start, or two of those that are drawn to find one: they tell the class that was asked for.
    """
    begun = (codes.values, *(codes.conditions[name] for name in sorted(codes.conditions)))
    texts = json.dumps(asdict(settings), sort_keys=True), f"{generator.fingerprint}{space}{distance}"
    return digest(*texts, likeness.target, likeness.mask, *begun, digits=32, double=True)


def save_state(state: InversionState, path: str, key: str) -> None:
    """Write a state as safetensors with a JSON header, whole or not at all."""
    start = state.objective.start
    names = ("start_name", "starts", "recent", "step", "evaluations")
    header = {name: getattr(state, name) for name in names} | {"space": start.space}
    tensors = {"start": start.values}
    if state.curvature is not None:
        tensors["rows"], header["damping"] = state.curvature.rows, state.curvature.damping
    keeper = Keeper(path, FORMAT, key, kind=KIND)
    write_descent(keeper, state.descent, tensors | condition_tensors(start), header)


class Header(DescentHeader, frozen=True, kw_only=True):
    """The header of a checkpoint: the fields of :class:`InversionState` in it."""

    start_name: Annotated[str, msgspec.Meta(max_length=200)]
    starts: Annotated[tuple[tuple[str, float], ...], msgspec.Meta(max_length=MOST_STARTS)]
    space: str
    damping: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1


def load_state(path: str, key: str, objective: Callable[[Latents], Objective], generator: Generator) -> InversionState | None:
    """Read a state; None if there is no such file.

    Args:
        path: the file.
        key: of this inversion.
        objective: makes the objective of a start.
        generator: that the start is a code of.

    Raises:
        SemanifoldError: if the file is no checkpoint, is damaged, or belongs to another inversion.
    """
    keeper = Keeper(path, FORMAT, key, kind=KIND)
    read = read_descent(keeper, Header, generator.device)
    if read is None:
        return None
    header, descent, tensors = read
    shape = (1, *generator.spaces[header.space].shape) if header.space in generator.spaces else ()
    points = [descent.x, descent.at.gradient, tensors.get("start"), *descent.moves, *descent.turns]
    rows = tensors.pop("rows", None)
    fits = (
        all(t is not None and tuple(t.shape) == shape and t.dtype == generator.dtype for t in points)
        and all(bool(torch.isfinite(t).all()) for t in points if t is not None)
        and (rows is None or (tuple(rows.shape[1:]) == shape[1:] and rows.dtype == generator.dtype and len(rows) > 0))
        and (rows is None or (len(rows) <= MOST_ROWS and Curvature(rows, header.damping).inverts))
        and header.terms.keys() == TERMS
        and bool(header.recent)
    )
    if not fits:
        raise keeper.refused("does not fit this inversion")
    start = Latents(tensors["start"], header.space, conditions_in(tensors, 1))
    curvature = None if rows is None else Curvature(rows, header.damping)
    return InversionState(
        objective(start), descent, curvature, header.start_name, header.starts, header.recent, header.step, header.evaluations
    )
