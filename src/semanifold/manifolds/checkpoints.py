"""The state of a search, as a value that can be written to a file and read back bit for bit."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TypedDict

import torch
from torch import Tensor

from semanifold.core.latents import Latents
from semanifold.core.minimise import Descent
from semanifold.generators.base import Generator
from semanifold.images.masks import Mask
from semanifold.manifolds.metric import Metric, Secants
from semanifold.manifolds.seen import Seen
from semanifold.manifolds.settings import LEAST, MOST, ManifoldSettings
from semanifold.storage.descents import UNFIT, Count, DescentHeader, read_descent, write_descent
from semanifold.storage.digests import digest
from semanifold.storage.keeping import Keeper, SearchKind

FORMAT = "semanifold-search-2"
KIND = SearchKind(
    "a search",
    "belongs to a search with another generator, seed, mask or settings",
    "give another file, or delete it to begin anew",
)
TERMS = {"inside", "outside", "spring", "objective"}
"""What :class:`~semanifold.manifolds.objective.Objective` tells."""
MOST_SHRUNK = 100


@dataclass(frozen=True, eq=False)
class SearchState:
    """The state of a search between two steps.

    Attributes:
        stage: index of the stage.
        within: steps taken in it.
        step: steps taken in all.
        evaluations: pictures made so far.
        offset: c.
        sigma: rest length at the full number of frames.
        outside: weight of the outside in this stage.
        descent: the minimiser's state; its point is ``[f, *moving]``, the free frames in coordinates.
        recent: latest values of the objective in this stage, oldest first.
        best: the lowest point of this stage.
        best_value: the objective there.
        metric: stiffness of the pictures at the start; None for the paper's method.
        shrunk: how often c was made smaller.
        folded: whether the way back was replaced by the way out, or the other way round.
        secants: what the steps taught of the metric; None where all frames are searched.
        seen: the frames between the knots, at the end of a stage; not in files, since they can be made again.
    """

    stage: int
    within: int
    step: int
    evaluations: int
    offset: float
    sigma: float
    outside: float
    descent: Descent
    recent: tuple[float, ...]
    best: Tensor
    best_value: float
    metric: Metric | None
    shrunk: int
    folded: bool = False
    secants: Secants | None = None
    seen: Seen | None = None


class SearchNumbers(TypedDict):
    """What is said of a search at its end.

    Attributes:
        steps: taken in all.
        evaluations: pictures made and differentiated.
        objective: its lowest value.
        offset: c.
        sigma: rest length.
        inside: distance of every frame inside of the mask.
        outside: that outside of it.
        ratio: sum of the distances outside over that inside.
    """

    steps: int
    evaluations: int
    objective: float
    offset: float
    sigma: float
    inside: list[float]
    outside: list[float]
    ratio: float


def search_key(generator: Generator, start: Latents, mask: Mask, settings: ManifoldSettings, distance: str) -> str:
    """Return a digest of everything that decides a search; a checkpoint of another one is refused."""
    said = asdict(settings) | {"knots": settings.searched}
    if not settings.searched:
        del said["knots"]  # as it was before there were knots
    texts = json.dumps(said, sort_keys=True), f"{generator.fingerprint}{start.space}{mask}{distance}"
    return digest(
        *texts,
        start.values,
        *(start.conditions[name] for name in sorted(start.conditions)),
        mask.at(64, 64),
        digits=32,
        double=True,
    )


def save_state(state: SearchState, path: str, key: str) -> None:
    """Write a state as safetensors with a JSON header, whole or not at all."""
    tensors = {"best": state.best}
    if state.metric is not None:
        tensors |= {"axes": state.metric.axes, "stiffness": state.metric.stiffness, "barred": state.metric.barred}
    if state.secants is not None:
        tensors |= {"secant_moves": state.secants.moves, "secant_turns": state.secants.turns}
    names = ("stage", "within", "step", "evaluations", "offset", "sigma", "outside", "recent", "best_value", "shrunk", "folded")
    write_descent(_keeper(path, key), state.descent, tensors, {name: getattr(state, name) for name in names})


def _keeper(path: str, key: str = "") -> Keeper:
    return Keeper(path, FORMAT, key, kind=KIND)


class Header(DescentHeader, frozen=True, kw_only=True):
    """The header of a checkpoint: the fields of :class:`SearchState` in it."""

    stage: Count
    within: Count
    shrunk: Count
    offset: float
    sigma: float
    outside: float
    best_value: float
    folded: bool = False


def load_state(path: str, key: str, device: torch.device) -> SearchState | None:
    """Read a state; None if there is no such file.

    Raises:
        SemanifoldError: if the file is no checkpoint, or belongs to another search.
    """
    keeper = _keeper(path, key)
    read = read_descent(keeper, Header, device)
    if read is None:
        return None
    header, descent, tensors = read
    if not _fit(descent.x, tensors):
        raise keeper.refused(UNFIT)
    metric = Metric(tensors["axes"], tensors["stiffness"], tensors["barred"]) if "axes" in tensors else None
    return SearchState(
        stage=header.stage,
        within=header.within,
        step=header.step,
        evaluations=header.evaluations,
        offset=header.offset,
        sigma=header.sigma,
        outside=header.outside,
        descent=descent,
        recent=header.recent,
        best=tensors["best"],
        best_value=header.best_value,
        metric=metric,
        shrunk=header.shrunk,
        folded=header.folded,
        secants=Secants(tensors["secant_moves"], tensors["secant_turns"]) if "secant_moves" in tensors else None,
    )


def check_state(state: SearchState, path: str, points: Sequence[tuple[int, ...]], like: Tensor) -> None:
    """Refuse a state that is not one of this search, whatever its key says.

    Args:
        state: as read.
        path: where from.
        points: shape of the points of every stage.
        like: has the type of number of the points.

    Raises:
        SemanifoldError: if it has another stage, shape or type, or numbers that no search has.
    """
    best, metric = state.best, state.metric
    tensors = [best, state.descent.x, state.descent.at.gradient, *state.descent.moves, *state.descent.turns]
    measured = [] if metric is None else [metric.axes, metric.stiffness, metric.barred]
    measured += [] if state.secants is None else [state.secants.moves, state.secants.turns]
    tensors += measured
    sizes = (state.offset, state.sigma)
    fits = (
        state.stage < len(points)
        and tuple(best.shape) == tuple(points[state.stage])
        and all(tensor.dtype == like.dtype for tensor in tensors)
        and all(bool(torch.isfinite(tensor).all()) for tensor in (best, *measured))
        and all(LEAST <= size <= MOST for size in sizes)
        and state.descent.at.terms.keys() == TERMS
        and 0 <= state.outside < math.inf
        and state.shrunk <= MOST_SHRUNK
        and bool(state.recent)
    )
    if not fits:
        raise _keeper(path).refused("does not fit this search")


def _fit(x: Tensor, tensors: Mapping[str, Tensor]) -> bool:
    """Whether the tensors beside the descent, whose point is x, are all there, and of the shapes of one search."""
    if (
        "best" not in tensors
        or (tensors["best"].shape, tensors["best"].dtype) != (x.shape, x.dtype)
        or x.ndim < 2
        or not x.numel()
    ):
        return False
    metric = [tensors[name] for name in ("axes", "stiffness", "barred") if name in tensors]
    if len(metric) not in (0, 3) or not all(t.is_floating_point() for t in (x, *tensors.values())):
        return False
    width = x[0].numel()
    secants = [tensors[name].shape for name in ("secant_moves", "secant_turns") if name in tensors]
    if secants and (len(secants) != 2 or secants[0] != secants[1] or len(secants[0]) != 2 or secants[0][1] != width):
        return False
    if not metric:
        return True
    axes, stiffness, barred = metric
    shapes = [t.ndim for t in metric] == [2, 1, 2] and axes.shape == (len(stiffness), width) and barred.shape[1] == width
    return shapes and len(stiffness) > 0
