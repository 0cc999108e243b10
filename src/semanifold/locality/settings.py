"""What the locality benchmark measures; read without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from semanifold.core.errors import SemanifoldError, near_names
from semanifold.manifolds.settings import ManifoldSettings

METHOD_NAMES = (
    "random", "ganspace", "sefa", "weights-plain", "eigen-other", "mask", "weights", "rbe", "localdiff", "eigen", "paper", "ours",
)  # fmt: skip
"""The methods of :mod:`semanifold.locality.methods`, which brings torch."""
MOST_SEEDS = 10_000


@dataclass(frozen=True, kw_only=True)
class LocalitySettings:
    """What the benchmark measures.

    Attributes:
        generator: ``faces`` (the bundled StyleGAN2), ``analytic`` (the exact renderer behind random factors), or what else
            :func:`~semanifold.generators.loading.load_generator` takes, without truth.
        masks: named regions of the bundled faces, their complement with a ``~``, or any other mask.
        seeds: which faces; a single number n means seeds 0 to n - 1.
        methods: which methods, by name.
        level: the inside change at which edits are compared, as a share of the usual one between the face and other faces. On the
            bundled faces a mouth drawn anew changes the inside of its mask by 0.4 of that, so 0.35 is within its own reach.
        top: components that the oracle of a component method may choose from.
        manifold: settings of our manifolds, by default what everybody gets; the benchmark sets space, schedule and c. The
            published algorithm is given as many frames.
        paper_steps: L-BFGS iterations of the published algorithm; its own code takes 4000.
        layer: layer whose weights the methods weights and weights-plain move; convs.5 of the bundled faces, and the convolution
            in the middle of another generator, when None. Without a convolution these methods are left out.
        out: folder of the results; a run that was cut short goes on from there.
    """

    generator: str = "faces"
    masks: tuple[str, ...] = ("mouth", "eyes", "hair", "~eyes")
    seeds: int | tuple[int, ...] = 8
    methods: tuple[str, ...] = METHOD_NAMES
    level: float = 0.35
    top: int = 20
    manifold: ManifoldSettings = field(default_factory=ManifoldSettings)
    paper_steps: int = 400
    layer: str | None = None
    out: Path = Path("out/locality")

    def __post_init__(self) -> None:
        for method in self.methods:
            if method not in METHOD_NAMES:
                raise SemanifoldError(f"There is no method {method!r}: {near_names(method, METHOD_NAMES)}")
        if not self.faces or not self.masks or not self.methods:
            raise SemanifoldError("A benchmark needs at least one seed, one mask and one method.")
        if len(self.faces) > MOST_SEEDS or self.top < 1 or self.paper_steps < 1:
            raise SemanifoldError("A benchmark needs at most 10,000 seeds, a direction and a step of the published search.")
        if not 0 < self.level < 2:
            raise SemanifoldError(
                f"The level is a share of the usual change between faces, above 0 and below 2, not {self.level}."
            )

    @property
    def faces(self) -> Sequence[int]:
        """The seeds of the faces, each once."""
        return range(self.seeds) if isinstance(self.seeds, int) else tuple(dict.fromkeys(self.seeds))
