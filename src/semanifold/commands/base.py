"""What all commands share: the interface, the groups of arguments, and their way to ``run.json`` and back."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from tyro.conf import arg
from tyro.constructors import PrimitiveConstructorSpec

from semanifold.errors import SemanifoldError
from semanifold.exchange import read_codes
from semanifold.faces.reading import face_regions
from semanifold.generators.base import Generator
from semanifold.generators.loading import load_generator
from semanifold.generators.stylegan2 import StyleGAN2
from semanifold.latents import Latents
from semanifold.masks import Mask, parse_mask

MOST_SEEDS = 10_000


def for_help(docstring: str | None) -> str:
    """Return a docstring without the marks that only a page of documentation needs."""
    return (docstring or "").replace("``", "")


class Command(ABC):
    """One command; its leaves are frozen dataclasses whose fields are the arguments."""

    @classmethod
    def defaults(cls, words: Sequence[str]) -> Command | None:
        """Return what these words of the command line change in all other defaults; None where they change nothing."""
        return None

    @abstractmethod
    def run(self) -> int:
        """Do the work and return the exit code."""


@dataclass(frozen=True)
class Model:
    """Which generator makes the pictures.

    Attributes:
        generator: a bundled name (faces, analytic), a name of the zoo, a file of weights, an address with its hash
            (https://...#sha256=...), or your own file.py:name, which is run.
        device: cpu, cuda, cuda:1, mps; the first GPU there is, or else the CPU, when left out.
    """

    generator: Annotated[str, arg(metavar="NAME|FILE|URL")] = "faces"
    device: Annotated[str | None, arg(metavar="NAME")] = None

    def load(self) -> Generator:
        """Return the generator on its device."""
        generator = load_generator(self.generator, device=self.device or ("cuda" if torch.cuda.is_available() else "cpu"))
        channels = generator.picture_shape[0]
        if channels not in (1, 3):
            raise SemanifoldError(f"{generator.name} has pictures of {channels} channels; only 1 (grey) and 3 can be shown.")
        return generator


@dataclass(frozen=True)
class Start:
    """Which picture to start from.

    Attributes:
        seed: number of the picture; the same number gives the same picture everywhere.
        latents: take the first code of this .npy, .npz, .pt or .safetensors file instead.
        latents_space: space of the codes in the file, where their shape leaves it open.
        truncation: pull the code towards the mean: 1 leaves it, 0 gives the mean picture.
        label: class, for a class-conditional generator.
    """

    seed: Annotated[int, arg(metavar="N")] = 0
    latents: Annotated[Path | None, arg(metavar="FILE")] = None
    latents_space: Annotated[str | None, arg(metavar="NAME")] = None
    truncation: Annotated[float, arg(metavar="PSI")] = 1.0
    label: Annotated[int | None, arg(metavar="N")] = None

    def code(self, generator: Generator) -> Latents:
        """Return the one code to start from."""
        if self.latents is None:
            return sample(generator, (self.seed,), self.truncation, self.label)
        codes = read_codes(self.latents, generator, self.latents_space)[0]
        if self.label is not None or (generator.classes and codes.space == next(iter(generator.spaces))):
            codes = Latents(codes.values, codes.space, generator.sample([0], labels=self.label).labels)
        return truncated(generator, codes, self.truncation)

    @property
    def word(self) -> str:
        """What to call the start in file names."""
        return str(self.seed) if self.latents is None else self.latents.stem


@dataclass(frozen=True)
class Output:
    """Where the results go.

    Attributes:
        out: the run folder; out/ and a telling name when left out.
        overwrite: remove the results of another run in this folder first.
    """

    out: Annotated[Path | None, arg(metavar="FOLDER")] = None
    overwrite: bool = False

    def folder(self, *words: object) -> Path:
        """Return the run folder, by default named after these words."""
        return self.out or Path("out") / slug("-".join(str(word) for word in words))


@dataclass(frozen=True)
class Film:
    """What the film looks like.

    Attributes:
        fps: frames a second.
        size: longer side of the film in pixels; when left out, small pictures are enlarged to 512.
    """

    fps: Annotated[float, arg(metavar="N")] = 15.0
    size: Annotated[int | None, arg(metavar="PIXELS")] = None

    def __post_init__(self) -> None:
        """Refuse a film that no player shows."""
        if not 0 < self.fps <= 240:
            raise SemanifoldError(f"fps is the number of frames a second, between 0 and 240, but it is {self.fps:g}.")
        if self.size is not None and not 16 <= self.size <= 8192:
            raise SemanifoldError(f"size is the longer side of the film in pixels, 16 to 8192, but it is {self.size}.")


def sample(
    generator: Generator, seeds: tuple[int, ...], truncation: float = 1.0, label: int | tuple[int, ...] | None = None
) -> Latents:
    """Return one code per seed; of several classes each has its turn."""
    if any(not -(2**63) <= seed < 2**63 for seed in seeds):
        raise SemanifoldError("A seed is a whole number of at most 63 bits; choose a smaller one.")
    classes = (label,) if isinstance(label, int) else label or ()
    labels = torch.tensor([classes[i % len(classes)] for i in range(len(seeds))]) if classes else None
    return truncated(generator, generator.sample(seeds, labels=labels), truncation)


def truncated(generator: Generator, codes: Latents, truncation: float, cutoff: int | None = None) -> Latents:
    """Return the codes pulled towards the mean, in the first ``cutoff`` layers only if so many are named."""
    if truncation == 1:
        return codes
    if not isinstance(generator, StyleGAN2):
        raise SemanifoldError(f"{generator.name} has no mean to truncate towards; leave --truncation out.")
    if not -2 <= truncation <= 2:
        raise SemanifoldError(f"truncation is between 0 (the mean picture) and 1 (no change), but it is {truncation:g}.")
    return generator.truncate(codes, truncation, cutoff)


def working_space(generator: Generator, space: str | None) -> str:
    """Return the space to search in: the one asked for, or the generator's richest one that is a latent space."""
    if space is not None:
        generator.check_space(space)
        return space
    return [name for name in generator.spaces if name != "factors"][-1]


def read_mask(text: str, generator: Generator, code: Latents) -> Mask:
    """Return the mask that a person typed, checked at the size of the generator's pictures."""
    size = (generator.picture_shape[1], generator.picture_shape[2])
    mask = parse_mask(text, face_regions(generator, code), size=size)
    mask.check(*size)
    return mask


def seed_numbers(words: list[str]) -> tuple[int, ...]:
    """Return the numbers of ``["0-3", "8,9"]``."""
    parts = [part for word in words for part in word.split(",")]
    found = [re.fullmatch(r"(-?\d+)(?:-(\d+))?", part) for part in parts]
    if not all(found):
        raise ValueError(f"seeds are numbers and ranges, such as 7 or 0-15, but {' '.join(words)!r} came")
    ranges = [range(int(f[1]), int(f[2] or f[1]) + 1) for f in found if f]
    if sum(map(len, ranges)) > MOST_SEEDS:
        raise ValueError(f"at most {MOST_SEEDS} seeds fit into one run, but {' '.join(words)!r} came")
    return tuple(seed for numbers in ranges for seed in numbers)


SEEDS = PrimitiveConstructorSpec[tuple[int, ...]](
    nargs="*",
    metavar="N|N-N ...",
    instance_from_str=seed_numbers,
    is_instance=lambda value: isinstance(value, tuple),
    str_from_instance=lambda value: [f"{value[0]}-{value[-1]}"],  # the defaults are ranges
)
"""How seeds are typed: numbers and ranges."""


def slug(text: str) -> str:
    """Return a name that every file system takes; what joins masks is spelled out."""
    for sign, word in {"~": "-not-", "|": "-or-", "&": "-and-"}.items():
        text = text.replace(sign, word)
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.")[:80] or "run"


def facts_of(generator: Generator) -> dict[str, Any]:
    """Return the facts about a generator that decide a result."""
    return {"generator": generator.name, "fingerprint": generator.fingerprint, "source": generator.source}


def to_arguments(command: Command) -> dict[str, Any]:
    """Return the arguments of a command as JSON-ready values."""
    assert dataclasses.is_dataclass(command)
    return _plain(dataclasses.asdict(command))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def from_arguments(kind: Any, value: Any) -> Any:
    """Return the value of a type that :func:`to_arguments` made ``value`` of."""
    if typing.get_origin(kind) is Annotated:
        return from_arguments(typing.get_args(kind)[0], value)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return None if value is None else from_arguments(next(a for a in arguments if a is not types.NoneType), value)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind, include_extras=True)
        names = {f.name for f in dataclasses.fields(kind)}
        return kind(**{name: from_arguments(hints[name], item) for name, item in value.items() if name in names})
    if origin is tuple:
        return tuple(from_arguments(arguments[0], item) for item in value)
    if origin is Mapping:
        return {arguments[0](key): item for key, item in value.items()}
    return Path(value) if kind is Path else value
