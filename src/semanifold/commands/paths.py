"""``semanifold traverse`` and ``measure``: from a set of paths to pictures, films and the attributes of every frame."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from tyro.conf import Positional, arg

from semanifold import media
from semanifold.attributes.base import AttributeReader
from semanifold.commands.base import (
    SEEDS,
    Command,
    Film,
    Model,
    Output,
    facts_of,
    from_arguments,
    read_mask,
    sample,
    to_arguments,
)
from semanifold.commands.discover import LAYERS
from semanifold.commands.terminal import ProgressLine, remark, say, show
from semanifold.errors import SemanifoldError
from semanifold.generators.base import Generator
from semanifold.latents import Latents
from semanifold.paths.base import PathSet
from semanifold.pools import POOL, Pool, pool_of, read_pool, save_pool
from semanifold.ranking.measures import METRICS, Measures, measure_frames, save_measures
from semanifold.ranking.scores import Array
from semanifold.storage.files import replacing, write_text
from semanifold.storage.runs import CHECKPOINT, Run, begin_run, working
from semanifold.traversal import (
    FACTS,
    FILMS,
    IMAGES,
    ORIGINAL,
    SUMMARIES,
    Traversal,
    fingerprint_of,
    folder_name,
    moments,
    read_traversal,
    save_picture,
    walk,
    write_codes,
    write_films,
    write_path,
)

MEASURE = "measure"
"""Where a measurement lies in the folder of its traversal."""
USUAL = (0, 1, 2)
"""Seeds to begin at where nobody says others."""
EVERY = 10.0
"""Seconds between two checkpoints of a measurement."""


@dataclass(frozen=True)
class Codes:
    """Where the paths begin.

    Attributes:
        pool: codes of a folder that semanifold sample wrote, of a pool of WarpedGANSpace, or of a file; instead of --seeds.
        latents_space: space of the codes of a pool's file, where their shape leaves it open.
        seeds: numbers of the pictures to begin at, and ranges such as 0-15.
        truncation: pull the codes towards the mean: 1 leaves them, 0 gives the mean picture; with --seeds only.
        label: classes, for a class-conditional generator: one, or one picture of each in turn; with --seeds only.
    """

    pool: Annotated[Path | None, arg(metavar="FOLDER")] = None
    latents_space: Annotated[str | None, arg(metavar="NAME")] = None
    seeds: Annotated[tuple[int, ...], SEEDS] = USUAL
    truncation: Annotated[float, arg(metavar="PSI")] = 1.0
    label: Annotated[tuple[int, ...], arg(metavar="N ...")] = ()

    def read(self, generator: Generator) -> Pool:
        """Return the pool."""
        if self.pool is not None:
            if self.seeds != USUAL or self.truncation != 1 or self.label:
                raise SemanifoldError("A --pool brings its own codes; leave --seeds, --truncation and --label out.")
            return read_pool(self.pool, generator, self.latents_space)
        if not self.seeds:
            raise SemanifoldError("There is no seed; give at least one number after --seeds, or a --pool.")
        return pool_of(sample(generator, self.seeds, self.truncation, self.label), generator, self.seeds)

    @property
    def word(self) -> str:
        """What to call the pool in file names."""
        return self.pool.stem if self.pool else f"seeds-{self.seeds[0]}-{self.seeds[-1]}" if self.seeds else "none"


@dataclass(frozen=True)
class Traverse(Command):
    """Walk the paths of a set both ways from every code of a pool: codes, pictures and films.

    Attributes:
        path_set: a file of paths, a training run, an experiment of WarpedGANSpace, or a file of directions.
        paths: walk these only, by number or name, such as 3 smile; all when left out.
        space: latent space of the paths, where their file leaves it open.
        layers: first and last layer of w+ that directions of a file move, where it leaves that open.
        steps: Euler steps either way; as many as the set says when left out.
        eps: length of a step in the latent space; as the set says when left out.
        leap: keep every how many steps a picture.
        jpeg: write JPEG pictures of this quality, 1 to 95, in place of PNG, which loses nothing.
        batch: pictures made at a time.
        codes: Where the paths begin.
        model: Which generator makes the pictures.
        film: What the films look like; size is that of one picture in them.
        output: Where the results go.
    """

    path_set: Positional[Annotated[Path, arg(metavar="PATHS")]]
    paths: Annotated[tuple[str, ...], arg(metavar="N|NAME ...")] = ()
    space: Annotated[str | None, arg(metavar="NAME")] = None
    layers: Annotated[tuple[int, int] | None, LAYERS] = None
    steps: Annotated[int | None, arg(metavar="N")] = None
    eps: Annotated[float | None, arg(metavar="LENGTH")] = None
    leap: Annotated[int, arg(metavar="N")] = 1
    jpeg: Annotated[int | None, arg(metavar="QUALITY")] = None
    films: Annotated[bool, arg(help="make no video and gifs of the paths.")] = True
    batch: Annotated[int, arg(metavar="N")] = 8
    codes: Codes = field(default_factory=Codes)
    model: Model = field(default_factory=Model)
    film: Film = field(default_factory=Film)
    output: Output = field(default_factory=Output)

    def run(self) -> int:
        """Walk every path from every code, then make the films."""
        from semanifold.paths.files import load_paths  # noqa: PLC0415  (help needs no file formats)

        self.check()
        generator = self.model.load()
        paths = self.stretched(load_paths(self.path_set, self.space, layers=self.layers))
        paths.check_generator(generator)
        chosen = sorted({paths.find(word) for word in self.paths}) if self.paths else list(range(len(paths)))
        if paths.info.fingerprint not in ("unknown", generator.fingerprint):
            remark(
                f"semanifold: the paths were found on {paths.info.generator} with other weights; they may do other things here."
            )
        pool = self.codes.read(generator)
        codes = pool.codes_for(generator, paths.info.space)
        starts: dict[str, Latents] = {}
        for i, name in enumerate(pool.names):
            starts.setdefault(name, codes[i])
        facts = facts_of(generator) | {"path_set_fingerprint": fingerprint_of(paths), "pool": pool.hash}
        facts |= {"step": paths.info.step, "count": paths.info.count}
        folder = self.output.folder("traverse", self.path_set.stem, self.codes.word)
        run = begin_run(folder, "traverse", to_arguments(self), facts, overwrite=self.output.overwrite)
        if run.finished:
            say(f"{folder} is finished already; --overwrite does it again.")
        else:
            with working(run):
                save_pool(pool, run.path(POOL))
                self.walk(run, generator, paths, chosen, starts)
        show(*[p for p in (folder / SUMMARIES, folder / FILMS) if p.is_dir()] or [folder])
        say(f"Then:  semanifold measure {folder}")
        return 0

    def check(self) -> None:
        """Refuse numbers that make no sense."""
        if self.jpeg is not None and not 1 <= self.jpeg <= 95:
            raise SemanifoldError(f"jpeg is a quality of 1 to 95, but it is {self.jpeg}; leave it out for pictures without loss.")
        if self.batch < 1:
            raise SemanifoldError(f"batch is the number of pictures made at a time, at least 1, but it is {self.batch}.")

    def stretched(self, paths: PathSet) -> PathSet:
        """Return the set with the steps that were asked for."""
        steps = paths.info.count if self.steps is None else self.steps
        eps = paths.info.step if self.eps is None else self.eps
        if steps < 1 or not 0 < eps < float("inf"):
            raise SemanifoldError(f"A path takes at least 1 step of a length above 0, but {steps} steps of {eps:g} came.")
        moments(steps, self.leap)
        return paths if (steps, eps) == (paths.info.count, paths.info.step) else paths.with_info(step=eps, count=steps)

    def walk(self, run: Run, generator: Generator, paths: PathSet, chosen: Sequence[int], codes: dict[str, Latents]) -> None:
        """Write all codes, pictures and films; what stands there already is kept."""
        t = moments(paths.info.count, self.leap)
        edits = {k: paths[k] for k in chosen}
        line, done = ProgressLine("traverse"), 0
        steps = len(codes) * len(chosen) + (len(chosen) if self.films else 0)
        for name, code in codes.items():
            place = run.path(name)
            (place / IMAGES).mkdir(parents=True, exist_ok=True)
            with torch.no_grad():
                save_picture(media.to_uint8(generator.images(code))[0], place / ORIGINAL, self.jpeg)
            for k, edit in edits.items():
                write_path(place / IMAGES / folder_name(k), walk(edit, generator, code, t, batch=self.batch), self.jpeg)
                done += 1
                line({"step": done, "steps": steps, "path": paths.name_of(k)})
            write_codes(place, list(edits.values()), code, t, batch=self.batch)
        described = {
            "codes": list(codes),
            "paths": list(chosen),
            "names": [paths.name_of(k) for k in chosen],
            "t": t.tolist(),
            "step": paths.info.step,
            "count": paths.info.count,
            "leap": self.leap,
            "space": paths.info.space,
            "method": paths.info.method,
            "generator": generator.name,
            "fingerprint": generator.fingerprint,
            "channels": generator.picture_shape[0],
            "path_set": str(self.path_set.resolve()),
            "path_set_fingerprint": run.record["facts"]["path_set_fingerprint"],
        }
        write_text(run.path(FACTS), json.dumps(described, indent=1) + "\n")
        if self.films:
            traversal = Traversal(run.folder, described, run.record)
            for place in (FILMS, SUMMARIES):
                run.path(place).mkdir(exist_ok=True)
            for k in chosen:
                films = [traversal.pictures(name, k) for name in codes]
                write_films(run.folder, folder_name(k), films, fps=self.film.fps, cell=self.film.size)
                done += 1
                line({"step": done, "steps": steps, "film": paths.name_of(k)})
        line.close()


@dataclass(frozen=True)
class Measure(Command):
    """Read attributes from every picture of a traversal, and measure how local its paths are in a mask.

    Attributes:
        traversal: folder of a finished semanifold traverse.
        attributes: what to read, with commas: faces (all factors of the bundled faces), faces:smile, published or one of its
            networks such as pose or age, FILE.onnx, clip:PROMPT|AGAINST, or your own FILE.py:NAME, which is run.
        weights: folder of the published networks' weights; where semanifold zoo puts them when left out.
        mask: also measure how much each path changes outside of this mask; written as for semanifold discover.
        device: cpu, cuda, mps; the first GPU there is, or else the CPU, when left out.
        batch: pictures read at a time.
        output: Where the results go; measure/ in the folder of the traversal when left out.
    """

    traversal: Positional[Annotated[Path, arg(metavar="TRAVERSAL")]]
    attributes: Annotated[str, arg(metavar="NAME,...")] = "faces"
    weights: Annotated[Path | None, arg(metavar="FOLDER")] = None
    mask: Annotated[str | None, arg(metavar="MASK")] = None
    device: Annotated[str | None, arg(metavar="NAME")] = None
    batch: Annotated[int, arg(metavar="N")] = 16
    output: Output = field(default_factory=Output)

    def run(self) -> int:
        """Read every frame."""
        from semanifold.attributes.names import attribute_reader  # noqa: PLC0415  (help needs no networks)

        if self.batch < 1:
            raise SemanifoldError(f"batch is the number of pictures read at a time, at least 1, but it is {self.batch}.")
        traversal = read_traversal(self.traversal)
        reader = attribute_reader(self.attributes, self.weights, self.where)
        attributes = reader.attributes
        masks = self.masks(traversal)
        facts = {"walk": {key: traversal.record["facts"][key] for key in ("fingerprint", "path_set_fingerprint", "pool")}}
        facts |= {key: traversal.facts[key] for key in ("paths", "step", "count", "leap")}
        facts |= {"attribute_names": [attribute.name for attribute in attributes]}
        folder = self.output.out or self.traversal / MEASURE
        run = begin_run(folder, "measure", to_arguments(self), facts, overwrite=self.output.overwrite)
        if run.finished:
            say(f"{folder} is finished already; --overwrite does it again.")
        else:
            with working(run):
                values, locality = self.read(run, traversal, reader, masks)
                where = {**traversal.facts, "folder": str(self.traversal.resolve())}
                measures = Measures(
                    values=values,
                    attributes=attributes,
                    codes=traversal.codes,
                    paths=traversal.paths,
                    names=tuple(traversal.facts["names"]),
                    t=np.array(traversal.t),
                    locality=locality,
                    mask=self.mask or "",
                    facts={key: value for key, value in where.items() if key not in ("codes", "paths", "names", "t")},
                )
                save_measures(measures, run.path)
        say(f"{len(attributes)} attributes of {len(traversal.paths)} paths from {len(traversal.codes)} codes: {folder}")
        say(f"Then:  semanifold rank {folder if self.output.out else self.traversal}")
        return 0

    @property
    def where(self) -> str:
        """The device to work on."""
        return self.device or ("cuda" if torch.cuda.is_available() else "cpu")

    def masks(self, traversal: Traversal) -> dict[str, Tensor]:
        """Return the mask ``[1, 1, h, w]`` of every code; regions of the bundled faces lie elsewhere on every face."""
        if self.mask is None:
            return {}
        model = replace(from_arguments(Model, traversal.record["arguments"]["model"]), device=self.device)
        generator = model.load()
        if generator.fingerprint != traversal.facts["fingerprint"]:
            raise SemanifoldError(
                f"{model.generator} is {generator.name} ({generator.fingerprint}) now, but {traversal.folder} shows "
                f"{traversal.facts['generator']} ({traversal.facts['fingerprint']}); put the weights back, or walk again."
            )
        pool = read_pool(traversal.folder / POOL, generator)
        codes = pool.codes_for(generator, traversal.facts["space"])
        rows = {name: i for i, name in enumerate(pool.names)}
        size = generator.picture_shape[1:]
        return {name: read_mask(self.mask, generator, codes[rows[name]]).at(*size).float().cpu() for name in traversal.codes}

    def read(
        self, run: Run, traversal: Traversal, reader: AttributeReader, masks: dict[str, Tensor]
    ) -> tuple[Array, Array | None]:
        """Return the arrays of :class:`Measures`, going on from a checkpoint where there is one."""
        device = self.where
        channels = int(traversal.facts["channels"])
        middle = traversal.t.index(0.0)
        state = begin(
            run.folder / CHECKPOINT, (len(traversal.codes), len(traversal.paths), len(traversal.t)), len(reader.attributes)
        )
        line, saved = ProgressLine("measure"), time.monotonic()
        units = [(c, k) for c in range(len(traversal.codes)) for k in range(len(traversal.paths))]
        for number, (c, k) in enumerate(units):
            if not state["done"][c, k]:
                code = traversal.codes[c]
                files = traversal.pictures(code, traversal.paths[k])
                reference = files.tensor(slice(middle, middle + 1), channels).to(device)
                mask = masks[code].to(device) if masks else None
                found, local = measure_frames(
                    lambda rows, files=files: files.tensor(rows, channels).to(device),
                    len(files),
                    reference,
                    reader,
                    mask,
                    batch=self.batch,
                )
                state["values"][c, k] = torch.from_numpy(found)
                if local is not None:
                    state["locality"][c, k] = torch.from_numpy(local)
                state["done"][c, k] = True
            if time.monotonic() - saved > EVERY:
                saved = time.monotonic()
                with replacing(run.folder / CHECKPOINT) as part:
                    save_file(state, part)
            line({"step": number + 1, "steps": len(units), "path": traversal.facts["names"][k]})
        line.close()
        return state["values"].numpy(), state["locality"].numpy() if masks else None


def begin(path: Path, sizes: tuple[int, int, int], width: int) -> dict[str, Tensor]:
    """Return the state of a measurement: that of its checkpoint, or empty where there is none that can be read."""
    fresh = {
        "values": torch.full((*sizes, width), torch.nan, dtype=torch.float64),
        "locality": torch.full((*sizes, len(METRICS)), torch.nan, dtype=torch.float64),
        "done": torch.zeros(sizes[:2], dtype=torch.bool),
    }
    if path.is_file():
        try:
            held = load_file(path)
        except (SafetensorError, OSError) as error:
            remark(f"semanifold: {path} is damaged ({error}); everything is measured again.")
            return fresh
        if {key: value.shape for key, value in held.items()} == {key: value.shape for key, value in fresh.items()}:
            return held
    return fresh
