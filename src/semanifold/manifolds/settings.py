"""What a search for a masked manifold can be set; the signature is the configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any, Literal

from semanifold.core.errors import SemanifoldError, near_names, of_type, shown

Schedule = Literal["out", "through", "out-and-back", "constant"]
MOST_STRENGTH = 10.0
MOST_FRAMES = 10_000
"""Pictures of a manifold."""
OUTSIDE, OUTSIDE_OF_LARGE = 400.0, 4000.0
"""Weight of the outside, and its least as a multiple of the mask's share of the picture: in a large mask there are more ways to
change that leave the rest as it is, so that what a cleaner outside costs the codes in likelihood is less."""
KNOTS, KNOTS_THERE_AND_BACK, KNOTS_OF_A_PAD = 9, 7, 5
"""How many are searched along each axis of a path, of one that comes back, and of a pad."""
MOST_COUNT = 1_000_000
"""Steps of a search, pictures held at a time, and local directions: more is a typo."""
LEAST, MOST = 1e-9, 1e9
"""Bounds of lengths and weights: their squares have to fit into float32."""
SCHEDULES = ("out", "through", "out-and-back", "constant")
DISTANCES = ("l2", "faces", "lpips-alex", "lpips-vgg", "lpips-squeeze")
"""The names of :mod:`semanifold.images.distances`, which brings torch; settings are read without it."""

TYPES: tuple[tuple[str, type, str], ...] = (
    *((name, str, "given by its name") for name in ("space", "distance", "schedule", "ends", "objective", "method")),
    *(
        (name, Real, "a number")
        for name in ("offset", "strength", "sigma", "alpha", "outside", "independence", "damping", "tolerance")
    ),
    *((name, int, "a whole number") for name in ("dims", "direction", "seed", "knots")),
    *((name, bool, "True or False") for name in ("closed", "flip", "coarse")),
    ("springs", Mapping, "given as {order: weight}"),
)
"""Types of fields, and what they are in words."""
OPEN = ("space", "offset", "sigma", "outside", "knots")
"""Fields that may be left open by None."""


@dataclass(frozen=True)
class ManifoldSettings:
    """How to look for a manifold; :func:`paper_settings` gives those of the published code.

    Attributes:
        space: latent space to move in; ``w+`` if left out (None), or the first space of a generator without w+.
        layers: ``(first, last + 1)`` layers of ``w+`` that may move; all if left out (None).
        distance: ``l2``, ``faces``, ``lpips-alex``, ``lpips-vgg`` or ``lpips-squeeze``.
        frames: number of pictures, the start included; of one side if ``dims`` is 2 (odd there, and for ``through``).
        dims: 1 for a path, 2 for a pad with the start in its centre.
        schedule: the distance wanted inside along the path: ``out`` rises from 0 to c, ``through`` falls from c to 0 and rises
            again (the start is the middle, t runs from -1 to 1; always so for a pad), ``out-and-back`` rises and falls,
            ``constant`` is c everywhere, as in the paper.
        ends: ``seed`` fixes ends that should look like the start at the start's code; ``free`` only pulls them there.
        closed: join the last frame to the first by springs.
        offset: c, the distance wanted inside, in units of the distance averaged over the mask; chosen if left out (None).
        strength: how large the change should be, from above 0 to 10, as a multiple of one that a person sees at once. Ignored
            if c is given.
        sigma: rest length of the springs between neighbours, in units of the latent space; chosen if left out (None).
        springs: weight of the springs of each order k, which join frames k apart.
        alpha: weight of the pictures against the springs.
        outside: weight of staying the same outside against changing inside. If left out (None): 400, and for a mask that is more
            than a tenth of the picture 4,000 times its share of it.
        independence: how freely layers of ``w+`` may part, from 0 (they move together, as in w) to 1 (each goes its own way).
        objective: ``smooth`` is ours, ``paper`` is Yang et al. 2020, Eqs. 1-3 as published (boxes only).
        method: ``staged`` is ours (local start, coarse to fine, kink tightened, line search); ``paper`` is the published one
            (random start, L-BFGS with steps of length one).
        direction: which local direction to start along, 0 for the strongest; what those before it change is then left alone.
        flip: start along that direction backwards.
        damping: mu of the local directions, as a share of the strongest change inside: larger prefers short ways.
        steps: most steps of the search in all; a first stage that is repeated with a smaller c comes on top.
        tolerance: the search ends when five steps lower the objective by less than this many times c per frame.
        coarse: begin with fewer frames and smaller pictures.
        knots: search this many frames along each axis, with the others on a cubic spline through them, and about twice as many
            where the pictures between are worse; 0 searches all frames. If left out (None): 7 of out-and-back, 9 if closed, of
            out and of through, 5 of a pad, 0 of constant, whose frames part too far for a spline.
        chunk: number of pictures held in memory at a time.
        seed: number of the random draws (the paper's first path; the codes that c is scaled by).
    """

    space: str | None = None
    layers: tuple[int, int] | None = None
    distance: str = "l2"
    frames: int = 24
    dims: Literal[1, 2] = 1
    schedule: Schedule = "out-and-back"
    ends: Literal["seed", "free"] = "seed"
    closed: bool = False
    offset: float | None = None
    strength: float = 1.0
    sigma: float | None = None
    springs: Mapping[int, float] = field(default_factory=lambda: {1: 0.02, 2: 0.02})
    alpha: float = 1.0
    outside: float | None = None
    independence: float = 0.2
    objective: Literal["smooth", "paper"] = "smooth"
    method: Literal["staged", "paper"] = "staged"
    direction: int = 0
    flip: bool = False
    damping: float = 1e-4
    steps: int = 80
    tolerance: float = 0.003
    coarse: bool = True
    chunk: int = 8
    seed: int = 0
    knots: int | None = None

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            SemanifoldError: naming the field, what was given and what is expected.
        """
        self._check_types()
        for name, count in (
            ("frames", self.frames),
            ("steps", self.steps),
            ("chunk", self.chunk),
            *(("the order of a spring", k) for k in self.springs),
        ):
            if not isinstance(count, int) or isinstance(count, bool):
                raise SemanifoldError(f"{name} must be a whole number, but got {shown(repr(count), 60)}.")
        if self.frames < 3:
            raise SemanifoldError(f"A manifold needs at least 3 frames, but got {self.frames}.")
        if self.frames ** (2 if self.dims == 2 else 1) > MOST_FRAMES:
            raise SemanifoldError(f"A manifold has at most {MOST_FRAMES:,} pictures, but {self.frames} frames were asked for.")
        if self.dims not in (1, 2):
            raise SemanifoldError(f"A manifold has 1 dimension (a path) or 2 (a pad), not {self.dims}.")
        if self.centred and self.frames % 2 == 0:
            raise SemanifoldError(
                f"A manifold with the start in its middle needs an odd number of frames; {self.frames} is even."
            )
        if self.centred and self.closed:
            raise SemanifoldError(
                "A manifold with the start in its middle cannot be closed; use the schedule constant or out-and-back."
            )
        if self.closed and self.schedule == "out":
            raise SemanifoldError("A path that only goes out cannot be closed; use another schedule.")
        for name, value, known in (
            ("schedule", self.schedule, SCHEDULES),
            ("ends", self.ends, ("seed", "free")),
            ("objective", self.objective, ("smooth", "paper")),
            ("method", self.method, ("staged", "paper")),
            ("distance", self.distance, DISTANCES),
        ):
            if value not in known:
                raise SemanifoldError(f"There is no {name} {shown(value, 60)!r}: {near_names(value, known)}")
        if self.method == "paper" and self.objective != "paper":
            raise SemanifoldError(
                "The published method takes the published objective only; give objective='paper' as well, or method='staged'."
            )
        if self.method == "paper" and (self.direction or self.flip):
            raise SemanifoldError(
                "The published method starts at random; leave direction= and flip= out, or give method='staged'."
            )
        self._check_numbers()

    def _check_types(self) -> None:
        for name, kinds, words in TYPES:
            value = getattr(self, name)
            if value is not None or name not in OPEN:
                of_type(value, kinds, f"{name} is {words}")

    def _check_numbers(self) -> None:
        above = {"sigma": self.sigma, "offset": self.offset, "alpha": self.alpha, "damping": self.damping}
        for name, value in above.items():
            if value is not None and not (math.isfinite(value) and value > 0):
                raise SemanifoldError(f"{name} must be a finite number above 0, but got {value}.")
            if value is not None and not LEAST <= value <= MOST:
                raise SemanifoldError(f"{name} must lie between {LEAST:g} and {MOST:g}, but got {value}.")
        if not LEAST <= self.strength <= MOST_STRENGTH:
            raise SemanifoldError(f"strength must be above 0 and at most {MOST_STRENGTH:g}, but it is {self.strength}.")
        if not 0 <= self.independence <= 1:
            raise SemanifoldError(f"independence must lie between 0 and 1, but got {self.independence}.")
        least = {"outside": (self.outside or 0, 0), "tolerance": (self.tolerance, 0), "direction": (self.direction, 0)}
        for name, (value, bound) in (least | {"steps": (self.steps, 1), "chunk": (self.chunk, 1)}).items():
            most = MOST if name in ("outside", "tolerance") else MOST_COUNT
            if not bound <= value < math.inf:
                raise SemanifoldError(f"{name} must be at least {bound} and finite, but got {value}.")
            if value > most:
                raise SemanifoldError(f"{name} must be at most {most:,.0f}, but got {value}.")
        if self.knots and not (3 <= self.knots <= MOST_FRAMES and (self.knots % 2 or not self.centred)):
            raise SemanifoldError(
                f"knots must be 0, or at least 3 and at most {MOST_FRAMES:,}, and odd for a path or pad with the start in its "
                f"middle, but got {self.knots}."
            )
        for order, weight in self.springs.items():
            if not (1 <= order < self.frames) or not 0 <= weight <= MOST:
                raise SemanifoldError(
                    f"Springs are given as order: weight with orders 1..{self.frames - 1} and weights of 0 or more, "
                    f"but got {order}: {weight}."
                )

    def outside_of(self, share: float) -> float:
        """Return the weight of the outside for a mask that is this share of the picture."""
        if self.outside is not None:
            return self.outside
        return OUTSIDE if self.objective == "paper" else max(OUTSIDE, OUTSIDE_OF_LARGE * share)

    @property
    def searched(self) -> int:
        """How many knots along each axis are searched before there are more; 0 for all frames."""
        if self.objective != "smooth" or not self.coarse:
            return 0
        if self.knots is not None:
            return self.knots
        if self.dims == 2:
            return KNOTS_OF_A_PAD
        if self.schedule == "constant":
            return 0
        return KNOTS_THERE_AND_BACK if self.schedule == "out-and-back" and not self.closed else KNOTS

    @property
    def centred(self) -> bool:
        """Whether the start is the middle, and t runs from -1 to 1."""
        return self.dims == 2 or self.schedule == "through"


def paper_settings(**changes: Any) -> ManifoldSettings:
    """Return the settings of the published code (Yang et al. 2020, arXiv:2105.07273), for 18 layers of ``w+``.

    36 codes of which layers 2..7 move, LPIPS (alex), c = 0.25, sigma = 4, springs 0.3 and 0.1, pictures 0.5, 500 steps of
    eight L-BFGS iterations each.

    Args:
        changes: fields to set otherwise.
    """
    published = ManifoldSettings(
        space="w+",
        layers=(2, 8),
        distance="lpips-alex",
        frames=36,
        schedule="constant",
        ends="free",
        offset=0.25,
        sigma=4.0,
        springs={1: 0.3, 2: 0.1},
        alpha=0.5,
        outside=1.0,
        objective="paper",
        method="paper",
        steps=4000,
        tolerance=0.0,
        coarse=False,
    )
    return replace(published, **changes)
