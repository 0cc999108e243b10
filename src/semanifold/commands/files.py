"""``semanifold sample``, ``inspect`` and ``convert``: pictures and files of generators."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from tyro.conf import Positional, arg

from semanifold import media
from semanifold.commands.base import SEEDS, Command, Model, Output, facts_of, sample, to_arguments, truncated
from semanifold.commands.discover import LAYERS
from semanifold.commands.results import CHUNK, FRAMES
from semanifold.commands.terminal import say, show
from semanifold.errors import SemanifoldError
from semanifold.exchange import export_codes
from semanifold.generators.base import Generator
from semanifold.generators.loading import convert
from semanifold.generators.stylegan2 import StyleGAN2
from semanifold.inspecting import inspect
from semanifold.latents import Latents
from semanifold.pools import POOL, pool_of, save_pool
from semanifold.storage.runs import begin_run, working

SHEET = "contact.png"


@dataclass(frozen=True)
class Sample(Command):
    """Show pictures of a generator, one per seed, and write them with their codes, a pool to walk from.

    Attributes:
        seeds: numbers of the pictures, and ranges such as 0-15; the same number gives the same picture everywhere.
        truncation: pull the codes towards the mean: 1 leaves them, 0 gives the mean picture.
        cutoff: pull the first so many layers only.
        mix: style mixing: take the layers of --mix-layers from the picture of this number.
        mix_layers: first and last of these layers.
        noise: of a StyleGAN2: as stored, drawn anew for every picture (from --noise-seed), or none.
        noise_seed: of drawn noise.
        label: classes, for a class-conditional generator: one, or one picture of each in turn.
        space: space that the codes are written in; the one that they are drawn from when left out.
        model: Which generator makes the pictures.
        output: Where the results go.
    """

    seeds: Annotated[tuple[int, ...], SEEDS] = tuple(range(24))
    truncation: Annotated[float, arg(metavar="PSI")] = 1.0
    cutoff: Annotated[int | None, arg(metavar="N")] = None
    mix: Annotated[int | None, arg(metavar="N")] = None
    mix_layers: Annotated[tuple[int, int] | None, LAYERS] = None
    noise: Literal["const", "random", "none"] = "const"
    noise_seed: Annotated[int, arg(metavar="N")] = 0
    label: Annotated[tuple[int, ...], arg(metavar="N ...")] = ()
    space: Annotated[str | None, arg(metavar="NAME")] = None
    model: Model = field(default_factory=Model)
    output: Output = field(default_factory=Output)

    def run(self) -> int:
        """Write the pictures, a contact sheet and the codes."""
        if not self.seeds:
            raise SemanifoldError("There is no seed; give at least one number after --seeds.")
        generator = self.model.load()
        codes = self.codes(generator)
        options: dict[str, Any] = {} if self.noise == "const" else {"noise": self.noise}
        codes = generator.convert(codes, self.space) if self.space else codes
        folder = self.output.folder("sample", generator.name)
        run = begin_run(folder, "sample", to_arguments(self), facts_of(generator), overwrite=self.output.overwrite)
        if run.finished:
            say(f"{folder} is finished already; --overwrite does it again.")
        else:
            with working(run), torch.no_grad():
                torch.manual_seed(self.noise_seed)
                frames = run.path(FRAMES)
                for first in range(0, len(codes), CHUNK):
                    part = generator.images(codes[first : first + CHUNK], **options)
                    media.save_frames(media.to_uint8(part), frames, first=first)
                sheet = media.contact_sheet(media.FrameFolder(frames), [str(seed) for seed in self.seeds])
                media.save_png(sheet, run.path(SHEET))
                export_codes(run.path, "sample", codes.values, layers=0)
                save_pool(pool_of(codes, generator, self.seeds), run.path(POOL))
        show(folder / SHEET)
        return 0

    def codes(self, generator: Generator) -> Latents:
        """Return the codes, truncated and mixed."""
        given = [("--cutoff", self.cutoff), ("--mix", self.mix), ("--noise", None if self.noise == "const" else self.noise)]
        asked = [name for name, value in given if value is not None]
        if not isinstance(generator, StyleGAN2):
            if asked:
                raise SemanifoldError(f"{' and '.join(asked)} means something to a StyleGAN2 only, not to {generator.name}.")
            return sample(generator, self.seeds, self.truncation, self.label)
        if (self.mix is None) != (self.mix_layers is None):
            raise SemanifoldError("Style mixing takes the number of a picture and layers: give --mix and --mix-layers together.")
        if self.cutoff is not None and (self.truncation == 1 or self.cutoff < 1):
            raise SemanifoldError("cutoff is how many layers are truncated, at least 1; give --truncation below 1 with it.")
        codes = sample(generator, self.seeds, label=self.label)
        codes = truncated(generator, codes, self.truncation, self.cutoff)
        if self.mix is not None and self.mix_layers is not None:
            other = truncated(generator, sample(generator, (self.mix,), label=self.label), self.truncation, self.cutoff)
            codes = generator.mix(codes, other, self.mix_layers)
        return codes


@dataclass(frozen=True)
class Inspect(Command):
    """Say what a file or a folder is: network, run, pool, sizes. Nothing in it is ever run.

    Attributes:
        files: any files, and folders of runs, experiments and pools.
        json: print everything that is known as JSON.
    """

    files: Positional[Annotated[tuple[Path, ...], arg(metavar="FILE ...")]]
    json: bool = False

    def run(self) -> int:
        """Print what the files are."""
        if not self.files:
            raise SemanifoldError("There is no file to inspect; give at least one.")
        reports = [inspect(path) for path in self.files]
        say(json.dumps([asdict(r) for r in reports], indent=2) if self.json else "\n\n".join(str(r) for r in reports))
        return 0


@dataclass(frozen=True)
class Convert(Command):
    """Write a generator's weights as safetensors, which load fast and cannot run code.

    Attributes:
        source: file or address of the weights, or a name of the zoo; not your own file.py:name, which only your code can build.
        target: the new file, ending in .safetensors.
        half: store 16-bit numbers: half the size, and pictures that differ in the third digit.
        overwrite: replace the target if it is there.
    """

    source: Positional[Annotated[str, arg(metavar="SOURCE")]]
    target: Positional[Annotated[Path, arg(metavar="TARGET")]]
    half: bool = False
    overwrite: bool = False

    def run(self) -> int:
        """Write the new file."""
        generator = convert(self.source, self.target, half=self.half, overwrite=self.overwrite)
        words = f"{generator.name}, {generator.picture_shape[1]} pixels, {self.target.stat().st_size / 2**20:.1f} MB"
        say(f"{self.target}: {words}, fingerprint {generator.fingerprint}")
        say(f"Use it with: --generator {self.target}")
        return 0
