"""``semanifold weights`` and ``bake``: directions in the weights of a generator, and generators with an edit inside."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from semanifold.app.answers import Answer
from semanifold.app.commands import early
from semanifold.app.commands.arguments import GENERATOR, MAIN, PLACE, START, flat, option
from semanifold.app.commands.base import Command, EditModel, Model, Output, StartOptions, code_words
from semanifold.core.errors import SemanifoldError
from semanifold.storage.files import check_new_file


@dataclass(frozen=True, kw_only=True)
class Weights(Command):
    """Find K directions in the weights of a generator's layers, and show each in a row of pictures.

    Attributes:
        method: svd (singular vectors of the weight), hessian (what changes pictures most), joint (axes along which the picture
            changes in ways of its own, at many pictures at once), mask (most change inside a mask for the least outside, on all
            pictures), or layers, which lists the layers and does nothing else.
        layer: layers whose weights move; a convolution in the middle if left out.
        k: number of directions.
        mask: where change is wanted, for the method mask; written as for semanifold discover.
        distance: how pictures are compared, for the method hessian: l2, faces, lpips-alex, lpips-vgg or lpips-squeeze.
        samples: pictures that decide; 24 if left out.
        size: height of these pictures, for all methods but svd; their own if left out (64 for joint).
        refine: steps that lower what a direction changes outside of the mask; 60 if left out, 0 for none, more are better.
        one: find directions for the picture that the sheet shows, and no other.
        start: Which picture the sheet shows.
        model: Which generator makes the pictures.
        output: Where the results go.
    """

    does: ClassVar[str] = "semanifold.app.actions.weights:find_weights"
    method: Annotated[Literal["svd", "hessian", "joint", "mask", "layers"], option("METHOD")] = field(kw_only=False)
    layer: Annotated[tuple[str, ...], option("NAME ...", group=MAIN)] = ()
    k: Annotated[int, option("K")] = 16
    mask: Annotated[str | None, option("MASK")] = None
    samples: Annotated[int | None, option("N")] = None
    size: Annotated[int | None, option("PIXELS")] = None
    refine: Annotated[int | None, option("STEPS")] = None
    distance: Annotated[str, option("NAME")] = "l2"
    one: bool = False
    start: Annotated[StartOptions, flat(START)] = field(default_factory=StartOptions)
    model: Annotated[Model, flat(GENERATOR)] = field(default_factory=Model)
    output: Annotated[Output, flat(PLACE)] = field(default_factory=Output)

    def __post_init__(self) -> None:
        """Refuse a mask that means nothing, or is missing, and numbers that make no sense."""
        if (self.mask is None) == (self.method == "mask"):
            raise SemanifoldError(
                "Directions inside a mask need a --mask, such as --mask mouth or --mask box:0.3,0.6,0.7,0.9."
                if self.mask is None
                else f"A mask means nothing to the method {self.method}; leave --mask out, or take the method mask."
            )
        if self.one and self.method != "mask":
            raise SemanifoldError("Only directions inside a mask are found for one picture; leave --one out.")
        if self.method == "svd" and len(self.layer) > 1:
            raise SemanifoldError("Singular vectors are those of one layer; name one --layer.")
        if self.one and self.start.latents is not None:
            raise SemanifoldError("Directions for one picture are found for that of a --seed; leave --latents out.")
        if self.distance != "l2" and self.method != "hessian":
            raise SemanifoldError(f"A distance means nothing to the method {self.method}; leave --distance out.")
        if self.size is not None and self.method in ("svd", "layers"):
            raise SemanifoldError(f"No pictures decide for the method {self.method}; leave --size out.")
        if self.refine is not None and (self.method != "mask" or not 0 <= self.refine <= 100_000):
            raise SemanifoldError("Directions inside a mask are refined, by 0 to 100,000 steps each; leave --refine out.")
        if not 1 <= self.k <= 1000 or (self.samples is not None and not 1 <= self.samples <= 10_000):
            raise SemanifoldError("k is 1 to 1,000 directions, and samples are 1 to 10,000 pictures.")

    @property
    def folder(self) -> Path:
        """The run folder."""
        words = [*self.layer, *([self.mask] if self.mask else []), *([self.start.seed] if self.one else [])]
        return self.output.folder("weights", self.model.word, self.method, *words)

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
        if self.method == "layers":
            return None
        return early.finished(self, "weights", self.folder, self.inputs, ("paths.png",), self.then)


@dataclass(frozen=True, kw_only=True)
class Bake(Command):
    """Write a generator whose own pictures are the edited ones.

    Attributes:
        edit: run folder or edit.safetensors of an edit of weights, or one path of a set, such as set.safetensors:3.
        target: the new file, ending in .safetensors, or in .pt for other programs.
        strength: the t of the edit; if left out 1, or the end of its usable range if it is nearer.
        layout: how the tensors are called, as for convert.
        overwrite: replace the target if it is there.
        model: Which generator the edit goes into.
    """

    does: ClassVar[str] = "semanifold.app.actions.weights:bake_edit"
    edit: Annotated[Path, option("EDIT")] = field(kw_only=False)
    target: Annotated[Path, option("TARGET")] = field(kw_only=False)
    strength: Annotated[float | None, option("X", group=MAIN)] = None
    layout: Annotated[Literal["semanifold", "rosinality", "nvidia"] | None, option(group=MAIN)] = None
    overwrite: bool = False
    model: Annotated[EditModel, flat(GENERATOR)] = field(default_factory=EditModel)

    def settled(self) -> Answer | None:
        """See :meth:`Command.settled`."""
        check_new_file(self.target, overwrite=self.overwrite)
        return None
