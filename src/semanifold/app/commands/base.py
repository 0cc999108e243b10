"""What all commands share: the interface, and the groups of arguments.

Nothing here brings torch, so that help, refusals and "finished already" are quick; what a command does is in
:mod:`semanifold.app.actions`.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, ClassVar

from semanifold.app.answers import NOBODY, Answer, Caller
from semanifold.app.commands.arguments import HIDDEN, MAIN, from_arguments, option, to_arguments
from semanifold.core.errors import SemanifoldError
from semanifold.core.world import bundled
from semanifold.storage.digests import digest
from semanifold.storage.files import check_writable, is_file
from semanifold.storage.run_records import RECORD, names_code

FACES = "faces"
"""The generator that commands use if none is named."""


def is_bundled(generator: str) -> bool:
    """Whether this names a generator that comes with the package."""
    return generator in bundled()


def code_words(generator: str | None) -> list[str]:
    """Return the words with which a next command finds a generator that the run folder it is given may not name: own code."""
    return ["--generator", generator] if generator is not None and names_code(generator) else []


def onto_others(folder: Path, generator: str | None) -> tuple[object, ...]:
    """Return the words of the command that puts the edit of a run folder onto other pictures."""
    return ("transfer", folder, *code_words(generator), "--seeds", "1-6")


@dataclass(frozen=True)
class Command:
    """A request; its leaves are frozen dataclasses whose fields are the arguments.

    Attributes:
        does: the function that answers it, ``(request, caller) -> Answer``, as ``module:function``; imported when it is needed,
            for most bring torch.
    """

    does: ClassVar[str]

    @classmethod
    def parsed_as(cls, words: Sequence[str]) -> type[Command]:
        """Return the class whose fields and defaults read these words; a word may change the defaults of others."""
        return cls

    @classmethod
    def recorded_as(cls) -> type[Command]:
        """Return the class whose fields are in the ``run.json`` of this command."""
        return cls

    def settled(self) -> Answer | None:
        """Return the answer if everything is done already, as far as that is sure without torch.

        Raises:
            SemanifoldError: if the request can be refused without torch.
        """
        return None

    def perform(self, caller: Caller = NOBODY) -> Answer:
        """Do the work, if any is left.

        Args:
            caller: where relative paths begin, who hears how far it is, and when to stop.

        Raises:
            SemanifoldError: if the request makes no sense, or the work cannot be done.
            KeyboardInterrupt: after Ctrl-C; the same request goes on from there where it can.
        """
        # from Python any value may be in any field: a text in place of several would be taken letter by letter
        what = f"The request {type(self).__name__}"
        request: Command = from_arguments(type(self), to_arguments(self), what, wrong="does not fit")
        if caller.folder is not None:
            from semanifold.app.commands.located import located  # noqa: PLC0415  (the command line needs none of it)

            folder = Path(os.path.abspath(caller.folder))
            caller, request = replace(caller, folder=folder), located(self, folder)
        if (settled := request.settled()) is not None:
            return settled
        out = getattr(request, "out", None) or getattr(getattr(request, "output", None), "out", None)
        if out is not None and not is_file(out / RECORD):  # what is finished needs no right to write
            check_writable(out)
        module, _, function = self.does.partition(":")
        try:
            return getattr(importlib.import_module(module), function)(request, caller)
        except KeyboardInterrupt:
            if not caller.stop():
                raise
            return Answer(interrupted=True)


@dataclass(frozen=True, kw_only=True)
class Model:
    """Which generator makes the pictures.

    Attributes:
        generator: a bundled name (faces, analytic, facemaps), a name of the zoo, a file of weights, an address with its hash
            (https://...#sha256=...), or your own file.py:name, which is run.
        inputs: folder of label maps or photos, or one file, for a generator that makes pictures of them; seeds number its files.
            A folder after --seeds, or a file after --seed, means the same. facemaps: the maps of that bundled generator.
        device: cpu, cuda, cuda:1, mps; if left out the first GPU, or the CPU if there is no GPU.
    """

    generator: Annotated[str, option("NAME|FILE|URL", group=MAIN)] = FACES
    inputs: Annotated[Path | None, option("FOLDER")] = None
    device: Annotated[str | None, option("NAME")] = None

    @property
    def word(self) -> str:
        """What to call the generator, and the pictures that it is given, in file names."""
        text = self.generator.partition("#")[0]
        own = re.fullmatch(r".+\.py:(\w+)", text)
        known_end = re.fullmatch(r"(.+)\.(pt|pth|pkl|safetensors)", Path(text).name)
        word = own[1] if own else known_end[1] if known_end else Path(text).name
        return word if self.inputs is None else f"{word}-{Path(self.inputs).stem}"

    @property
    def words(self) -> list[str]:
        """The words that name this generator to another command; none for the default."""
        inputs = [] if self.inputs is None else ["--inputs", str(self.inputs)]
        return [] if self.generator == FACES else ["--generator", self.generator, *inputs]


@dataclass(frozen=True, kw_only=True)
class EditModel:
    """Which generator makes the pictures.

    Attributes:
        generator: as for discover; if left out the one that the run or the edit was made with.
        inputs: as for discover; if left out those of that run.
        force: take a generator with other weights than the edit was found with, such as a fine-tuned one.
        device: cpu, cuda, cuda:1, mps; if left out the first GPU, or the CPU if there is no GPU.
    """

    generator: Annotated[str | None, option("NAME|FILE|URL", group=MAIN)] = None
    inputs: Annotated[Path | None, option("FOLDER")] = None
    force: bool = False
    device: Annotated[str | None, option("NAME")] = None


@dataclass(frozen=True, kw_only=True)
class StartOptions:
    """Which picture to start from.

    Attributes:
        seed: number of the picture; the same number gives the same picture everywhere.
        latents: take the first code of this .npy, .npz, .pt or .safetensors file instead.
        latents_space: space of the codes in the file, if their shape leaves it open.
        truncation: pull the code towards the mean: 1 leaves it, 0 gives the mean picture.
        label: class, for a class-conditional generator.
    """

    seed: Annotated[int, option("N", group=MAIN)] = 0
    latents: Annotated[Path | None, option("FILE")] = None
    latents_space: Annotated[str | None, option("NAME")] = None
    truncation: Annotated[float, option("PSI")] = 1.0
    label: Annotated[int | None, option("N", name="--class")] = None

    @property
    def word(self) -> str:
        """What to call the start in file names."""
        if self.latents is None:
            return str(self.seed)
        # files of one name lie in every run folder: the folder says whose code it is
        return self.latents.parent.name if is_file(self.latents.parent / RECORD) else self.latents.stem


@dataclass(frozen=True, kw_only=True)
class PictureOptions:
    """Which picture to show.

    Attributes:
        seed: number of the picture; if left out the one that the edit was found on, or number 0.
        label: class, for a class-conditional generator.
    """

    seed: Annotated[int | None, option("N", group=MAIN)] = None
    label: Annotated[int | None, option("N", name="--class")] = None


@dataclass(frozen=True, kw_only=True)
class Output:
    """Where the results go.

    Attributes:
        out: the run folder; out/ and a telling name if left out.
        overwrite: remove the results of another run in this folder first.
        within: the folder that paths begin in, if it is not that of the process; no argument, and not recorded.
    """

    out: Annotated[Path | None, option("FOLDER", group=MAIN)] = None
    overwrite: bool = False
    within: Annotated[Path, HIDDEN] = field(default=Path(), compare=False)

    def folder(self, *words: object) -> Path:
        """Return the run folder, by default named after these words."""
        return self.out or self.within / "out" / slug(self.short("-".join(str(word) for word in words)))

    def short(self, text: str) -> str:
        """Return a text without the folder that paths begin in: names are those that a person there would type."""
        return text if self.within == Path() else text.replace(f"{self.within}{os.sep}", "")


@dataclass(frozen=True, kw_only=True)
class FilmOptions:
    """What the film looks like.

    Attributes:
        seconds: length of the film, from its start to its loop.
        fps: frames per second.
        loops: how often the film runs through.
        size: longer side of the film in pixels; if left out, small pictures are enlarged to 512.
        umap: add a map of the codes by UMAP to path.png; takes up to half a minute.
    """

    seconds: Annotated[float, option("S")] = 4.0
    fps: Annotated[float, option("N")] = 30.0
    loops: Annotated[int, option("N")] = 1
    size: Annotated[int | None, option("PIXELS")] = None
    umap: bool = False

    def __post_init__(self) -> None:
        """Refuse a film that no player shows."""
        if not 0.1 <= self.fps <= 240:
            raise SemanifoldError(f"fps is the number of frames per second, between 0.1 and 240, but it is {self.fps:g}.")
        if not 0 < self.seconds <= 600:
            raise SemanifoldError(f"seconds is the length of the film, above 0 and at most 600, but it is {self.seconds:g}.")
        if not 1 <= self.loops <= 1000:
            raise SemanifoldError(f"loops is how often the film runs through, 1 to 1000, but it is {self.loops}.")
        if self.size is not None and not 16 <= self.size <= 8192:
            raise SemanifoldError(f"size is the longer side of the film in pixels, 16 to 8192, but it is {self.size}.")

    @property
    def frames(self) -> int:
        """Frames of one run through the film."""
        return max(2, round(self.seconds * self.fps))


def slug(text: str) -> str:
    """Return a name that every file system takes; what joins masks is spelled out."""
    for sign, word in {"~": "-not-", "|": "-or-", "&": "-and-"}.items():
        text = text.replace(sign, word)
    text = re.sub(r"(?<=-)-(?=\d)", "minus", text)  # seed -1 is another picture than seed 1
    name = re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.")
    if len(name) > 80:  # what is cut off tells two runs apart
        name = f"{name[:71].strip('-.')}-{digest(text, digits=8)}"
    return name or "run"
