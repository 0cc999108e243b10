"""``semanifold sample``, ``inspect`` and ``convert``: pictures and files of generators."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from semanifold.app.answers import Answer
from semanifold.app.commands import early
from semanifold.app.commands.arguments import GENERATOR, LAYERS, MAIN, PLACE, flat, option, seed_numbers_option
from semanifold.app.commands.base import Command, Model, Output
from semanifold.storage.files import check_new_file


@dataclass(frozen=True, kw_only=True)
class Sample(Command):
    """Show pictures of a generator, one per seed, and write them with their codes, a pool to walk from.

    Attributes:
        seeds: numbers of the pictures, and ranges such as 0-15; the same number gives the same picture everywhere.
        truncation: pull the codes towards the mean: 1 leaves them, 0 gives the mean picture.
        cutoff: apply --truncation to the first so many layers only.
        mix: style mixing: take some layers, --mix-layers, from the picture of this seed.
        mix_layers: first and last layer that --mix takes.
        noise: of a StyleGAN2: as stored, drawn anew for every picture (from --draw-seed), or none.
        noise_seed: number of the random draws of --noise random.
        label: classes, for a class-conditional generator: one, or several that take turns.
        space: space that the codes are written in; if left out the one that they are drawn from.
        model: Which generator makes the pictures.
        output: Where the results go.
    """

    does: ClassVar[str] = "semanifold.app.actions.files:show_samples"
    seeds: Annotated[tuple[int, ...], seed_numbers_option()] = tuple(range(24))
    truncation: Annotated[float, option("PSI")] = 1.0
    cutoff: Annotated[int | None, option("N")] = None
    mix: Annotated[int | None, option("N")] = None
    mix_layers: Annotated[tuple[int, int] | None, LAYERS] = None
    noise: Literal["const", "random", "none"] = "const"
    noise_seed: Annotated[int, option("N", name="--draw-seed")] = 0
    label: Annotated[tuple[int, ...], option("N ...", name="--class")] = ()
    space: Annotated[str | None, option("NAME")] = None
    model: Annotated[Model, flat(GENERATOR)] = field(default_factory=Model)
    output: Annotated[Output, flat(PLACE)] = field(default_factory=Output)

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.output.folder("sample", self.model.word, *[f"{self.seeds[0]}-{self.seeds[-1]}"] if self.seeds else [])

    @property
    def then(self) -> tuple[object, ...]:
        """The words of the command to type next."""
        return ("mask", "box:0.3,0.6,0.7,0.9", *self.model.words, "--seed", self.seeds[0]) if self.seeds else ()

    def settled(self) -> Answer | None:
        """See :meth:`Command.settled`."""
        early.check_generator(self.model.generator)
        return early.finished(self, "sample", self.folder, (), ("contact.png",), self.then)


@dataclass(frozen=True, kw_only=True)
class Inspect(Command):
    """Say what a file or a folder is: network, run, pool, sizes. Nothing in it is ever run.

    Attributes:
        files: any files, folders of runs, experiments and pools, and names of generators.
    """

    does: ClassVar[str] = "semanifold.app.actions.files:inspect_files"
    files: Annotated[tuple[Path, ...], option("FILE ...")] = field(kw_only=False)

    def settled(self) -> Answer | None:
        """See :meth:`Command.settled`."""
        for file in self.files:
            if not early.is_name(str(file)):
                early.check_there(file)
        return None


@dataclass(frozen=True, kw_only=True)
class Convert(Command):
    """Write a generator's weights as safetensors, which load fast and cannot run code.

    Attributes:
        source: file or address of the weights, or a name of the zoo; not your own file.py:name, which only your code can build.
        target: the new file, ending in .safetensors, or in .pt for other programs.
        half: store 16-bit numbers: half the size, and pictures that differ in the third digit.
        layout: how the tensors are called; semanifold for .safetensors and rosinality (stylegan2-pytorch) for .pt if left out;
            nvidia is the state dict of stylegan2-ada-pytorch.
        overwrite: replace the target if it is there.
    """

    does: ClassVar[str] = "semanifold.app.actions.files:convert_file"
    source: Annotated[str, option("SOURCE")] = field(kw_only=False)
    target: Annotated[Path, option("TARGET")] = field(kw_only=False)
    half: Annotated[bool, option(group=MAIN)] = False
    layout: Annotated[Literal["semanifold", "rosinality", "nvidia"] | None, option(group=MAIN)] = None
    overwrite: bool = False

    def settled(self) -> Answer | None:
        """See :meth:`Command.settled`."""
        early.check_generator(self.source)
        check_new_file(self.target, overwrite=self.overwrite)
        return None
