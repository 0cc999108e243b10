"""``semanifold directions``: a set of straight paths in closed form, in seconds and without any training."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from semanifold.app.answers import Answer
from semanifold.app.commands import early
from semanifold.app.commands.arguments import GENERATOR, LAYERS, MAIN, PLACE, START, flat, option
from semanifold.app.commands.base import Command, Model, Output, StartOptions, code_words
from semanifold.core.errors import SemanifoldError


@dataclass(frozen=True, kw_only=True)
class Directions(Command):
    """Find K straight paths without any training, and show each in a row of pictures.

    Attributes:
        method: joint (axes along which the picture changes in ways of its own, at many codes at once), pca (GANSpace), sefa,
            local (most change inside a mask for the least outside, at one picture), mask (the same on all pictures, each with its
            own mask), or channels (single channels of the styles, StyleSpace).
        k: number of paths.
        space: latent space in which the paths live; w if the generator has it.
        layers: first and last layer of w+ that move.
        mask: where change is wanted, for the methods local, mask and channels; written as for semanifold discover.
        channels: which ones, for the method channels: layer and number, such as 6_12; those that change pictures most if left
            out.
        start: Which picture the sheet shows, and the local directions belong to.
        model: Which generator makes the pictures.
        output: Where the results go.
    """

    does: ClassVar[str] = "semanifold.app.actions.directions:find_directions"
    method: Annotated[
        Literal["joint", "pca", "sefa", "local", "mask", "channels"], option("joint|pca|sefa|local|mask|channels")
    ] = field(kw_only=False)
    k: Annotated[int, option("K")] = 20
    space: Annotated[str | None, option("NAME")] = None
    layers: Annotated[tuple[int, int] | None, LAYERS] = None
    mask: Annotated[str | None, option("MASK")] = None
    channels: Annotated[tuple[str, ...], option("LAYER_NUMBER ...", group=MAIN)] = ()
    start: Annotated[StartOptions, flat(START)] = field(default_factory=StartOptions)
    model: Annotated[Model, flat(GENERATOR)] = field(default_factory=Model)
    output: Annotated[Output, flat(PLACE)] = field(default_factory=Output)

    def __post_init__(self) -> None:
        """Refuse a mask that means nothing, or is missing, and channels where there are none to choose."""
        if self.method == "channels":
            if self.space not in (None, "s") or self.layers is not None:
                raise SemanifoldError("Channels are those of the space s, all its layers; leave --space and --layers out.")
            if self.channels and self.mask is not None:
                raise SemanifoldError("A mask chooses channels by what they change; leave --mask or --channels out.")
            return
        if self.channels:
            raise SemanifoldError(f"Channels mean nothing to {self.method} directions; leave --channels out, or take channels.")
        if (self.mask is None) == (self.method in ("local", "mask")):
            raise SemanifoldError(
                f"The method {self.method} needs a --mask, such as --mask box:0.3,0.6,0.7,0.9."
                if self.mask is None
                else f"A mask means nothing to {self.method} directions; leave --mask out, or take the method mask."
            )

    @property
    def folder(self) -> Path:
        """The run folder."""
        words = [*([self.mask] if self.mask else []), *self.channels[:3]]
        return self.output.folder("directions", self.model.word, self.method, *words)

    @property
    def then(self) -> tuple[object, ...]:
        """The words of the command to type next."""
        return ("render", f"{self.folder}:0", *code_words(self.model.generator), "--seed", self.start.seed)

    @property
    def inputs(self) -> list[Path]:
        """The files that decide the result."""
        return early.inputs(masks=[self.mask] if self.mask else [], codes=self.start.latents)

    def settled(self) -> Answer | None:
        """See :meth:`Command.settled`."""
        early.check_masks([self.mask] if self.mask else [], self.model.generator)
        return early.finished(self, "directions", self.folder, self.inputs, ("paths.png", "axes.png", "pictures.png"), self.then)
