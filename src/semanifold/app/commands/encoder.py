"""``semanifold encoder``: a network that reads codes from pictures, so that inversions begin near their end."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, ClassVar

from semanifold.app.answers import Answer
from semanifold.app.commands import early
from semanifold.app.commands.arguments import GENERATOR, PLACE, TRAINING, flat, option
from semanifold.app.commands.base import Command, Model, Output
from semanifold.inversion.settings import EncoderSettings

FILE, SHEET = "encoder.safetensors", "held_out.png"


@dataclass(frozen=True, kw_only=True)
class EncoderOptions(EncoderSettings):
    """The same fields; only what the command line writes in another way differs."""

    steps: Annotated[int, option("N", name="--iterations")] = EncoderSettings.steps
    seed: Annotated[int, option("N", name="--draw-seed")] = 0

    def settings(self) -> EncoderSettings:
        """Return the plain settings."""
        return EncoderSettings(**{f.name: getattr(self, f.name) for f in fields(EncoderSettings)})


EncoderOptions.__doc__ = (EncoderSettings.__doc__ or "").replace("``", "")


@dataclass(frozen=True, kw_only=True)
class TrainEncoder(Command):
    """Train an encoder, which reads the code from a picture, on a generator's own samples; no photograph is needed.

    Give it to invert by --encoder: a search that begins at what it reads needs fewer pictures. One for the bundled faces comes
    with the package.

    Attributes:
        model: Which generator makes the pictures.
        training: How to train.
        output: Where the results go.
    """

    does: ClassVar[str] = "semanifold.app.actions.encoder:train"
    model: Annotated[Model, flat(GENERATOR)] = field(default_factory=Model)
    training: Annotated[EncoderOptions, flat(TRAINING)] = field(default_factory=EncoderOptions)
    output: Annotated[Output, flat(PLACE)] = field(default_factory=Output)

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.output.folder("encoder", self.model.word)

    def settled(self) -> Answer | None:
        """See :meth:`Command.settled`."""
        early.check_generator(self.model.generator)
        return early.finished(self, "encoder", self.folder, (), (SHEET, FILE), ())
