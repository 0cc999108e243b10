"""``semanifold traverse`` and ``measure``: from a set of paths to pictures, films and the attributes of every frame."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

from semanifold.app.answers import Answer
from semanifold.app.commands import early
from semanifold.app.commands.arguments import (
    FILM,
    GENERATOR,
    LAYERS,
    MAIN,
    PLACE,
    START,
    Group,
    flat,
    option,
    seed_numbers_option,
)
from semanifold.app.commands.base import Command, EditModel, FilmOptions, Output
from semanifold.app.commands.places import split_path
from semanifold.core.errors import SemanifoldError, shown
from semanifold.paths.finding import FILE as PATHS
from semanifold.paths.finding import NAMED_PATHS
from semanifold.storage.files import is_file, is_folder, read_bytes
from semanifold.storage.records import MOST_BYTES, parse_json
from semanifold.storage.runs import RECORD, read_record

OVERVIEW, CHANGES = "paths.png", "changes.png"
"""All paths of a traversal in one picture, and what of the attributes each of them changes."""
FIRST = (OVERVIEW, "paths_gifs", "paths_films")
"""What is to be looked at first, in the folder of a traversal."""
FACTS, POOL = "traversal.json", "pool.safetensors"
"""What a traversal says of itself, and the codes that it begins at."""
MEASURE = "measure"
"""Where a measurement is in the folder of its traversal."""

USUAL = (0, 1, 2)
"""Seeds to begin at if nobody says others."""
MOST_PICTURES = 10_000
"""Pictures at a time: more is a typo."""
WALK = Group("How to walk", sort_key=3)


@dataclass(frozen=True, kw_only=True)
class Codes:
    """Where the paths begin.

    Attributes:
        pool: codes of a folder that semanifold sample wrote, of a pool of WarpedGANSpace, or of a file; instead of --seeds.
        latents_space: space of the codes of a pool's file, if their shape leaves it open.
        seeds: numbers of the pictures to begin at, and ranges such as 0-15.
        truncation: pull the codes towards the mean: 1 leaves them, 0 gives the mean picture; with --seeds only.
        label: classes, for a class-conditional generator: one, or several that take turns; with --seeds only.
    """

    pool: Annotated[Path | None, option("FOLDER")] = None
    latents_space: Annotated[str | None, option("NAME")] = None
    seeds: Annotated[tuple[int, ...], seed_numbers_option(MAIN)] = USUAL
    truncation: Annotated[float, option("PSI")] = 1.0
    label: Annotated[tuple[int, ...], option("N ...", name="--class")] = ()

    @property
    def word(self) -> str:
        """What to call the pool in file names."""
        return self.pool.stem if self.pool else f"seeds-{self.seeds[0]}-{self.seeds[-1]}" if self.seeds else "none"


@dataclass(frozen=True, kw_only=True)
class Traverse(Command):
    """Walk the paths of a set both ways from every code of a pool: codes, pictures and films.

    Attributes:
        path_set: a file of paths, a training run, the bundled set (faces), an experiment of WarpedGANSpace, or a file of
            directions.
        paths: walk these only, by number or name, such as 3 smile; all if left out.
        space: latent space of the paths, if their file leaves it open.
        layers: first and last layer of w+ that directions of a file move, if it leaves that open.
        steps: Euler steps either way; as many as the set says if left out.
        eps: length of a step in the latent space; as the set says if left out.
        leap: keep one picture per so many steps.
        jpeg: write JPEG pictures of this quality, 1 to 95, instead of PNG, which is lossless.
        films: make videos and gifs of the paths.
        batch: pictures made at a time.
        codes: Where the paths begin.
        model: Which generator makes the pictures.
        film: What the films look like; size is that of one picture in them.
        output: Where the results go.
    """

    does: ClassVar[str] = "semanifold.app.actions.paths:traverse"
    path_set: Annotated[Path, option("PATHS")] = field(kw_only=False)
    paths: Annotated[tuple[str, ...], option("N|NAME ...")] = ()
    space: Annotated[str | None, option("NAME", group=WALK)] = None
    layers: Annotated[tuple[int, int] | None, LAYERS, option(group=WALK)] = None
    steps: Annotated[int | None, option("N", group=WALK)] = None
    eps: Annotated[float | None, option("LENGTH", name="--step", group=WALK)] = None
    leap: Annotated[int, option("N", group=WALK)] = 1
    jpeg: Annotated[int | None, option("QUALITY", group=FILM)] = None
    films: Annotated[bool, option(off="--no-films", group=FILM)] = True
    batch: Annotated[int, option("N", group=WALK)] = 8
    codes: Annotated[Codes, flat(START)] = field(default_factory=Codes)
    model: Annotated[EditModel, flat(GENERATOR)] = field(default_factory=EditModel)
    film: Annotated[FilmOptions, flat(FILM)] = field(default_factory=FilmOptions)
    output: Annotated[Output, flat(PLACE)] = field(default_factory=Output)

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense."""
        if self.jpeg is not None and not 1 <= self.jpeg <= 95:
            raise SemanifoldError(f"jpeg is a quality of 1 to 95, but it is {self.jpeg}; leave it out for pictures without loss.")
        if not 1 <= self.batch <= MOST_PICTURES:
            raise SemanifoldError(
                f"batch is the number of pictures made at a time, at least 1 and at most {MOST_PICTURES}, but it is {self.batch}."
            )
        if self.film.umap and not self.films:
            raise SemanifoldError("--umap draws its maps beside the films; leave out --no-films.")

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.output.folder("traverse", self.path_set.stem, self.codes.word)

    @property
    def watched(self) -> list[Path] | None:
        """The files that decide the result besides the generator's; None if they are more than are known here."""
        files: list[Path] = []
        for place, name in ((self.path_set, PATHS), (self.codes.pool, POOL)):
            if place is None or str(place) in NAMED_PATHS:
                continue
            file = place / name if is_folder(place) else place
            if not is_file(file):
                return None
            files.append(file)
        return files

    def then(self, *, faces: bool) -> tuple[object, ...]:
        """Return the words of the command to type next: what the faces do can be read, of others a path can be looked at."""
        if faces:
            return ("measure", self.folder)
        path = self.paths[0] if self.paths else "0"
        words: list[object] = ["render", self.path_set, "--path", path]
        words += ["--space", self.space] if self.space else []
        words += ["--layers", f"{self.layers[0]}-{self.layers[1] - 1}"] if self.layers else []
        words += ["--generator", self.model.generator] if self.model.generator else []
        return (*words, "--seed", self.codes.seeds[0] if self.codes.seeds and self.codes.pool is None else 0)

    @property
    def shows_faces(self) -> bool:
        """Whether the pictures of the finished run are bundled faces."""
        try:
            facts = parse_json(read_bytes(self.folder / FACTS, FACTS, MOST_BYTES), FACTS)
        except SemanifoldError:
            return False
        return isinstance(facts, dict) and facts.get("faces") is True

    def settled(self) -> Answer | None:
        """See :meth:`Command.settled`."""
        place, named = split_path(self.path_set)
        if named is not None:
            raise SemanifoldError(
                f"A traversal walks a set of paths; give {shown(str(place), 200)} --paths {shown(named, 60)} to walk one of them."
            )
        if str(self.path_set) not in NAMED_PATHS:
            early.check_there(self.path_set, "file of paths")
        if self.model.generator is not None:
            early.check_generator(self.model.generator)
        watched = self.watched
        if watched is None:
            return None
        then = self.then(faces=self.shows_faces)
        return early.finished(self, "traverse", self.folder, (), FIRST, then, watched)


@dataclass(frozen=True, kw_only=True)
class Measure(Command):
    """Read attributes from every picture of a traversal, and measure how local its paths are in a mask.

    Attributes:
        traversal: folder of a finished semanifold traverse.
        attributes: what to read, with commas: faces (all factors of the bundled faces), faces:smile, published or one of its
            networks such as pose or age, FILE.onnx, clip:PROMPT|AGAINST, or your own FILE.py:NAME, which is run. If left out,
            faces for pictures of the bundled faces.
        weights: folder of the published networks' weights; if left out where semanifold zoo puts them.
        mask: also measure how much each path changes outside this mask; written as for semanifold discover.
        generator: of the pictures, which a --mask needs; if left out the one that the traversal was made with.
        device: cpu, cuda, mps; if left out the first GPU, or the CPU if there is no GPU.
        batch: pictures read at a time.
        output: Where the results go; measure/ in the folder of the traversal if left out.
    """

    does: ClassVar[str] = "semanifold.app.actions.paths:measure"
    traversal: Annotated[Path, option("TRAVERSAL")] = field(kw_only=False)
    attributes: Annotated[str | None, option("NAME,...")] = None
    weights: Annotated[Path | None, option("FOLDER")] = None
    mask: Annotated[str | None, option("MASK")] = None
    generator: Annotated[str | None, option("NAME|FILE|URL")] = None
    device: Annotated[str | None, option("NAME")] = None
    batch: Annotated[int, option("N")] = 16
    output: Annotated[Output, flat(PLACE)] = field(default_factory=Output)

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense."""
        if not 1 <= self.batch <= MOST_PICTURES:
            raise SemanifoldError(
                f"batch is the number of pictures read at a time, at least 1 and at most {MOST_PICTURES}, but it is {self.batch}."
            )

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.output.out or self.traversal / MEASURE

    @property
    def then(self) -> tuple[object, ...]:
        """The words of the command to type next."""
        return ("rank", self.folder if self.output.out else self.traversal, "--name", "named.safetensors")

    def settled(self) -> Answer | None:
        """See :meth:`Command.settled`."""
        record = read_record(self.traversal)
        watched = [self.traversal / RECORD]
        known = self.attributes is None or re.fullmatch(r"faces(:\w+)?", self.attributes)
        if known and record.command == "traverse":
            inputs = early.inputs(masks=[self.mask] if self.mask else [])
            done = early.finished(self, "measure", self.folder, inputs, (CHANGES,), self.then, watched)
            return done if done is not None and len(done.said) > 1 else None  # records of before say nothing of the results
        return None
