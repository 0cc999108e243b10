"""Kinds of sets of paths that a training begins with, by their names; known without torch."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from semanifold.core.errors import SemanifoldError, near_names, shown
from semanifold.core.progress import Progress

if TYPE_CHECKING:
    from semanifold.paths.linear import LinearPaths

Form = Literal["fc", "linear", "id", "ortho", "projective", "random"]
FORMS = ("fc", "linear", "id", "ortho", "projective", "random")
CLOSED = ("joint", "pca", "sefa")
"""Methods that need nothing but a generator."""
MOST_WEIGHT_PATHS = 1000
"""Paths of a set in weights."""
LEARNED = ("space", "layers", "init", "shared", "step", "steps")
"""Options of paths of codes that are drawn, not measured."""


@dataclass(frozen=True, kw_only=True)
class NewPaths:
    """What the paths of a training are made from; a kind looks at the options that it takes.

    Attributes:
        kind: one of :data:`KINDS`.
        space: of the codes.
        k: number of paths.
        layers: first and last + 1 layer of ``w+`` that move; None for all.
        shared: whether all these layers move alike.
        init: one of the starts of the kind.
        along: the directions of that start, or of a closed form; None for other starts.
        dipoles: pairs of support vectors of each path.
        gamma: width of all potentials; None for that of the start.
        learn_gammas: whether the widths are learned.
        learn_alphas: whether the weights of the support vectors are.
        step: length of a step.
        steps: steps from ``t = 0`` to ``t = 1``.
        layer: layers whose weights move.
        basis: file of the directions in weights whose combinations are learned.
        far: norm of what is added to the weights at ``t = 1``; 1 is a change that is seen at once when None.
        seed: of the draw.
        watching: gives the callback of long work by its title.
        remark: hears sentences beside the result.
    """

    kind: str
    space: str
    k: int
    layers: tuple[int, int] | None
    shared: bool
    init: str
    along: LinearPaths | None
    dipoles: int
    gamma: float | None
    learn_gammas: bool
    learn_alphas: bool
    step: float
    steps: int
    layer: tuple[str, ...]
    basis: Path | None
    far: float | None
    seed: int
    watching: Callable[[str], AbstractContextManager[Progress]]
    remark: Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What a kind of paths says of itself to whoever begins a training.

    Attributes:
        make: ``module:function`` of ``(generator, NewPaths) -> PathSet``.
        takes: options that mean something to it, beside the number of paths, as ``semanifold train`` calls them.
        starts: names that the option ``init`` may have, the usual one first.
        most: paths of one set.
        moves_weights: whether weights move, and not codes.
    """

    make: str
    takes: tuple[str, ...]
    starts: tuple[str, ...] = ("random",)
    most: int = 10_000
    moves_weights: bool = False


def _linear(*starts: str) -> Kind:
    return Kind(make="semanifold.paths.linear:new_paths", takes=LEARNED, starts=("random", *starts))


KINDS: dict[str, Kind] = {
    "warped": Kind(
        make="semanifold.paths.warped:new_paths",
        takes=(*LEARNED, "dipoles", "gamma", "fixed_gammas", "learn_alphas"),
        starts=("reference", "spread", *CLOSED),
        most=1 << 20,
    ),
    **{form: _linear(*(CLOSED if form in ("linear", "projective") else ())) for form in FORMS},
    # combinations of directions in weights (arXiv:2011.13786, sections 3.1 and 3.3)
    **{
        name: Kind(make="semanifold.paths.weight_trained:new_paths", takes=takes, most=MOST_WEIGHT_PATHS, moves_weights=True)
        for name, takes in (("weights-svd", ("layer",)), ("weights-hessian", ("layer", "basis")))
    },
    **{form: Kind(make="semanifold.paths.closed_form:new_paths", takes=("space", "layers")) for form in CLOSED},
}
"""What a training can learn, or measure."""


def kind_named(name: str) -> Kind:
    """Return what a kind says of itself.

    Raises:
        SemanifoldError: if it is none of :data:`KINDS`, with the near names.
    """
    if name not in KINDS:
        raise SemanifoldError(f"There is no kind of paths {shown(name, 40)!r}: {near_names(name, list(KINDS))}")
    return KINDS[name]
