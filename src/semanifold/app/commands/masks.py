"""``semanifold mask``: a mask on a picture, before any search."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

from semanifold.app.answers import Answer
from semanifold.app.commands import early
from semanifold.app.commands.arguments import GENERATOR, PLACE, START, flat, option
from semanifold.app.commands.base import Command, Model, Output, StartOptions, is_bundled


@dataclass(frozen=True, kw_only=True)
class ShowMask(Command):
    """Draw masks on a picture, with a grid of its coordinates and the named regions, if it has any.

    Attributes:
        masks: masks, written as for discover; without one the grid and the regions are drawn.
        start: Which picture to draw on.
        model: Which generator makes the picture.
        output: Where the results go.
    """

    does: ClassVar[str] = "semanifold.app.actions.masks:show_masks"
    masks: Annotated[tuple[str, ...], option("MASK ...")] = field(kw_only=False, default=())
    start: Annotated[StartOptions, flat(START)] = field(default_factory=StartOptions)
    model: Annotated[Model, flat(GENERATOR)] = field(default_factory=Model)
    output: Annotated[Output, flat(PLACE)] = field(default_factory=Output)

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.output.folder("mask", self.model.word, *self.masks, self.start.word)

    @property
    def then(self) -> tuple[object, ...]:
        """The words of the command to type next."""
        mask = self.masks[0] if self.masks else "mouth" if is_bundled(self.model.generator) else "box:0.3,0.6,0.7,0.9"
        start, begin = self.start, []
        if start.latents is not None:
            begin += [
                "--latents",
                start.latents,
                *([] if start.latents_space is None else ["--latents-space", start.latents_space]),
            ]
        else:
            begin += ["--seed", start.seed]
        begin += [] if start.truncation == 1 else ["--truncation", f"{start.truncation:g}"]
        begin += [] if start.label is None else ["--class", start.label]
        of_pictures = self.model.generator == early.MAPS or self.model.inputs is not None  # there are no codes to search
        return (
            *(["weights", "mask"] if of_pictures else ["discover"]),
            "--mask",
            mask,
            *self.model.words,
            *begin,
        )

    @property
    def inputs(self) -> list[Path]:
        """The files that decide the result."""
        return early.inputs(masks=self.masks, codes=self.start.latents)

    def settled(self) -> Answer | None:
        """See :meth:`Command.settled`."""
        early.check_masks(self.masks, self.model.generator)
        return early.finished(self, "mask", self.folder, self.inputs, ("masks.png",), self.then)
