"""``semanifold traverse``, ``measure`` and ``rank``: from a set of paths to the page that says what each of them changes."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
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
from semanifold.commands.terminal import ProgressLine, remark, say, show
from semanifold.errors import SemanifoldError
from semanifold.files import replacing, write_text
from semanifold.generators.base import Generator
from semanifold.latents import Latents
from semanifold.paths.base import PathSet
from semanifold.pools import POOL, Pool, pool_of, read_pool, save_pool
from semanifold.ranking.groups import find_group
from semanifold.ranking.measures import METRICS, Measures, columns_of, mask_locality, measure_frames, read_measures, save_measures
from semanifold.ranking.names import merged_names, name_paths
from semanifold.ranking.page import page
from semanifold.ranking.reports import TABLES, Group, as_json, file_word, write_group
from semanifold.ranking.scores import Array, order, score
from semanifold.runs import CHECKPOINT, Run, begin_run, read_record, working
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
    small_film,
    walk,
    write_codes,
    write_films,
    write_path,
)

MEASURE, RANKING, PAGE, GIFS = "measure", "ranking.json", "ranking.html", "gifs"
EVERY = 10.0
"""Seconds between two checkpoints of a measurement."""
MOST_BYTES = 16 * 2**20
"""Bytes of gifs that go into one page."""


@dataclass(frozen=True)
class Codes:
    """Where the paths begin.

    Attributes:
        pool: codes of a folder that semanifold sample wrote, of a pool of WarpedGANSpace, or of a file; instead of --seeds.
        seeds: numbers of the pictures to begin at, and ranges such as 0-15.
        truncation: pull the codes towards the mean: 1 leaves them, 0 gives the mean picture; with --seeds only.
        label: class, for a class-conditional generator; with --seeds only.
    """

    pool: Annotated[Path | None, arg(metavar="FOLDER")] = None
    seeds: Annotated[tuple[int, ...], SEEDS] = (0, 1, 2)
    truncation: Annotated[float, arg(metavar="PSI")] = 1.0
    label: Annotated[int | None, arg(metavar="N")] = None

    def read(self, generator: Generator) -> Pool:
        """Return the pool."""
        if self.pool is not None:
            return read_pool(self.pool, generator)
        if not self.seeds:
            raise SemanifoldError("There is no seed; give at least one number after --seeds, or a --pool.")
        return pool_of(sample(generator, self.seeds, self.truncation, self.label), generator, self.seeds)

    @property
    def word(self) -> str:
        """What to call the pool in file names."""
        return self.pool.stem if self.pool else f"seeds-{self.seeds[0]}-{self.seeds[-1]}" if self.seeds else "none"


@dataclass(frozen=True)
class Traverse(Command):
    """Walk the paths of a set both ways from every code of a pool: codes, pictures without loss, and films.

    Attributes:
        path_set: a file of paths, a training run, an experiment of WarpedGANSpace, or a file of directions.
        paths: walk these only, by number or name, such as 3 smile; all when left out.
        steps: Euler steps either way; as many as the set says when left out.
        eps: length of a step in the latent space; as the set says when left out.
        leap: keep every how many steps a picture.
        jpeg: write JPEG pictures of this quality, 1 to 95, in place of PNG, which loses nothing.
        films: make a video and two gifs of every path.
        batch: pictures made at a time.
        codes: Where the paths begin.
        model: Which generator makes the pictures.
        film: What the films look like; size is that of one picture in them.
        output: Where the results go.
    """

    path_set: Positional[Annotated[Path, arg(metavar="PATHS")]]
    paths: Annotated[tuple[str, ...], arg(metavar="N|NAME ...")] = ()
    steps: Annotated[int | None, arg(metavar="N")] = None
    eps: Annotated[float | None, arg(metavar="LENGTH")] = None
    leap: Annotated[int, arg(metavar="N")] = 1
    jpeg: Annotated[int | None, arg(metavar="QUALITY")] = None
    films: bool = True
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
        paths = self.stretched(load_paths(self.path_set))
        paths.check_generator(generator)
        chosen = sorted({paths.find(word) for word in self.paths}) if self.paths else list(range(len(paths)))
        if paths.info.fingerprint not in ("unknown", generator.fingerprint):
            remark(
                f"semanifold: the paths were found on {paths.info.generator} with other weights; they may do other things here."
            )
        pool = self.codes.read(generator)
        codes = pool.codes_for(generator, paths.info.space)
        rows = {name: i for i, name in reversed(list(enumerate(pool.names)))}
        facts = facts_of(generator) | {"path_set_fingerprint": fingerprint_of(paths), "pool": pool.hash}
        folder = self.output.folder("traverse", self.path_set.stem, self.codes.word)
        run = begin_run(folder, "traverse", to_arguments(self), facts, overwrite=self.output.overwrite)
        if run.finished:
            say(f"{folder} is finished already; --overwrite does it again.")
        else:
            with working(run):
                save_pool(pool, run.path(POOL))
                self.walk(run, generator, paths, chosen, {name: codes[i] for name, i in sorted(rows.items(), key=lambda r: r[1])})
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
            if not list(place.glob(f"{ORIGINAL}.*[gp]")):
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
        attributes: what to read: faces (the factors of the bundled faces), and others as docs/attributes.md lists.
        mask: also measure how much each path changes outside of this mask; written as for semanifold discover.
        device: cpu, cuda, mps; the first GPU there is, or else the CPU, when left out.
        batch: pictures read at a time.
        output: Where the results go; measure/ in the folder of the traversal when left out.
    """

    traversal: Positional[Annotated[Path, arg(metavar="TRAVERSAL")]]
    attributes: Annotated[tuple[str, ...], arg(metavar="NAME ...")] = ("faces",)
    mask: Annotated[str | None, arg(metavar="MASK")] = None
    device: Annotated[str | None, arg(metavar="NAME")] = None
    batch: Annotated[int, arg(metavar="N")] = 16
    output: Output = field(default_factory=Output)

    def run(self) -> int:
        """Read every frame."""
        if self.batch < 1:
            raise SemanifoldError(f"batch is the number of pictures read at a time, at least 1, but it is {self.batch}.")
        traversal = read_traversal(self.traversal)
        readers = readers_of(self.attributes, self.device or ("cuda" if torch.cuda.is_available() else "cpu"))
        attributes = columns_of(readers)
        masks = self.masks(traversal)
        facts = {"walk": {key: traversal.record["facts"][key] for key in ("fingerprint", "path_set_fingerprint", "pool")}}
        facts |= {"attribute_names": [attribute.name for attribute in attributes], "frames": traversal.t}
        folder = self.output.out or self.traversal / MEASURE
        run = begin_run(folder, "measure", to_arguments(self), facts, overwrite=self.output.overwrite)
        if run.finished:
            say(f"{folder} is finished already; --overwrite does it again.")
        else:
            with working(run):
                values, locality = self.read(run, traversal, readers, len(attributes), masks)
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

    def masks(self, traversal: Traversal) -> dict[str, Tensor]:
        """Return the mask ``[1, 1, h, w]`` of every code; regions of the bundled faces lie elsewhere on every face."""
        if self.mask is None:
            return {}
        model = from_arguments(Model, traversal.record["arguments"]["model"])
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
        self, run: Run, traversal: Traversal, readers: Sequence[AttributeReader], width: int, masks: dict[str, Tensor]
    ) -> tuple[Array, Array | None]:
        """Return the arrays of :class:`Measures`, going on from a checkpoint where there is one."""
        device = self.device or ("cuda" if torch.cuda.is_available() else "cpu")
        channels = int(traversal.facts["channels"])
        middle = traversal.t.index(0.0)
        state = begin(run.folder / CHECKPOINT, (len(traversal.codes), len(traversal.paths), len(traversal.t)), width)
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
                    readers,
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


def readers_of(words: Sequence[str], device: str) -> list[AttributeReader]:
    """Return the readers of these names."""
    from semanifold.attributes.base import Attribute
    from semanifold.faces.attribute_network import attribute_network
    from semanifold.faces.factors import factor_names

    class Faces(AttributeReader):
        attributes = tuple(Attribute(n) for n in factor_names())

        def read(self, images: Tensor, reference: Tensor) -> Tensor:
            return attribute_network(str(images.device), images.dtype)(images.clamp(-1, 1))

    return [Faces()]


@dataclass(frozen=True)
class Rank(Command):
    """Rank the paths of a measured traversal by what they change, and by how little else.

    Attributes:
        measured: folder of a traversal that has been measured, or of a semanifold measure.
        group: attributes to look at together: all, a group of WarpedGANSpace's such as Smiling-AU12 or Rotation, or your own as
            smile=smile,mouth_width,identity.
        top: paths an attribute on the markdown page, and films in the HTML page.
        name: write the paths with the names that they deserve into this file, so that --path smile finds them.
        least_pearson: absolute correlation that a path needs to be named after an attribute.
        level: root mean square change inside the mask at which localities are compared; chosen when left out.
        gifs: put small films of the paths into the pages.
        output: Where the results go; rank/ in the folder of the measurement when left out.
    """

    measured: Positional[Annotated[Path, arg(metavar="MEASURED")]]
    group: Annotated[tuple[str, ...], arg(metavar="GROUP ...")] = ("all",)
    top: Annotated[int, arg(metavar="N")] = 3
    name: Annotated[Path | None, arg(metavar="FILE")] = None
    least_pearson: Annotated[float, arg(metavar="R")] = 0.8
    level: Annotated[float | None, arg(metavar="RMS")] = None
    gifs: bool = True
    output: Output = field(default_factory=Output)

    def run(self) -> int:
        """Score, name, and write everything."""
        measured = self.measured / MEASURE if (self.measured / MEASURE).is_dir() else self.measured
        measures = self.finished(measured)
        groups = self.groups(measures)
        everything = score(measures.values, measures.attributes, measures.t)
        found = name_paths(everything, measures.attributes, measures.paths, pearson=self.least_pearson)
        locality, level = mask_locality(measures, self.level) if measures.locality is not None else (None, 0.0)
        named = self.named(measures, found) if self.name is not None else None
        folder = self.output.out or self.measured / "rank"
        facts = {"measured": hashlib.sha256(measures.values.tobytes()).hexdigest()[:16]}
        run = begin_run(folder, "rank", to_arguments(self), facts, overwrite=self.output.overwrite)
        if run.finished:
            say(f"{folder} is finished already; --overwrite does it again.")
        else:
            with working(run):
                films = self.films(run, measures, groups, found) if self.gifs else {}
                links = {k: f"../{GIFS}/{folder_name(k)}.gif" for k in films}
                for group in groups:
                    write_group(run.path(f"Group_{file_word(group.name)}"), group, measures, self.top, links)
                write_text(run.path(RANKING), as_json(measures, groups, found, locality, level))
                write_text(run.path(PAGE), page(measures, everything, groups, found, films, locality, level))
        if named is not None:
            from semanifold.paths.files import save_paths  # noqa: PLC0415  (only needed here)

            save_paths(named, self.name or "")
        self.tell(measures, found, locality)
        show(folder / PAGE)
        return 0

    def finished(self, folder: Path) -> Measures:
        """Return the measures of a finished run."""
        record = read_record(folder)
        if record["command"] != "measure":
            raise SemanifoldError(f"{folder} was written by semanifold {record['command']}; run semanifold measure on it first.")
        if record.get("status") != "finished":
            raise SemanifoldError(f"The measurement {folder} is half-written; run the same semanifold measure again first.")
        return read_measures(folder)

    def groups(self, measures: Measures) -> list[Group]:
        """Return the groups that were asked for, scored."""
        if self.top < 1:
            raise SemanifoldError(f"top is the number of paths shown for an attribute, at least 1, but it is {self.top}.")
        if not self.group:
            raise SemanifoldError("There is no group; give a name after --group, such as all.")
        if not 0 <= self.least_pearson <= 1:
            raise SemanifoldError(f"least-pearson is a correlation of 0 to 1, but it is {self.least_pearson:g}.")
        names = [attribute.name for attribute in measures.attributes]
        everything = score(measures.values, measures.attributes, measures.t)
        found = [find_group(word, names) for word in dict.fromkeys(self.group)]
        return [Group(name, members, everything.columns([names.index(a) for a in members])) for name, members in found]

    def named(self, measures: Measures, found: dict[int, str]) -> PathSet:
        """Return the set that was walked, with the names that its paths deserve."""
        from semanifold.paths.files import load_paths  # noqa: PLC0415  (only needed here)

        source = Path(str(measures.facts.get("path_set")))
        if not source.exists():
            raise SemanifoldError(f"The paths {source} that were walked are gone; put the file back to give them names.")
        paths = load_paths(source)
        if fingerprint_of(paths) != measures.facts.get("path_set_fingerprint"):
            raise SemanifoldError(f"The paths in {source} are not those that were walked; walk and measure them again first.")
        assert self.name is not None
        if self.name.is_dir() or not self.name.parent.is_dir():
            raise SemanifoldError(f"{self.name} cannot be written; give a file in a folder that exists after --name.")
        return paths.with_info(names=merged_names(paths.info.names, found))

    def films(self, run: Run, measures: Measures, groups: Sequence[Group], found: dict[int, str]) -> dict[int, bytes]:
        """Write small gifs of the paths that the pages show, those with a name first, until the page would grow too large."""
        traversal = read_traversal(str(measures.facts.get("folder")))
        if traversal.facts["path_set_fingerprint"] != measures.facts.get("path_set_fingerprint"):
            raise SemanifoldError(
                f"{traversal.folder} shows other paths by now than those measured; measure them, or use --no-gifs."
            )
        wanted = list(found)
        for rank in range(self.top):
            for group in groups:
                for table in TABLES:
                    wanted += [measures.paths[row[rank]] for row in order(group.table(table)) if rank < len(row)]
        place = run.path(GIFS)
        place.mkdir(exist_ok=True)
        films: dict[int, bytes] = {}
        for k in dict.fromkeys(wanted):
            file = place / f"{folder_name(k)}.gif"
            small_film([traversal.pictures(name, k) for name in measures.codes], file)
            films[k] = file.read_bytes()
            if sum(map(len, films.values())) > MOST_BYTES:
                break
        return films

    def tell(self, measures: Measures, found: dict[int, str], locality: Array | None) -> None:
        """Print what was found."""
        if not found:
            say("No path changes one attribute more than all others, and evenly enough to be named after it.")
        for k, name in sorted(found.items()):
            say(f"path {k:<4} {name}")
        if self.name is not None and found:
            first = min(found.values()).removesuffix(" +").removesuffix(" -")
            say(f"{self.name} knows these names:  semanifold traverse {self.name} --paths {first}")
        if locality is not None and not np.isnan(locality).all():
            best = int(np.nanargmin(locality))
            say(f"Most local in {measures.mask}: {measures.names[best]}, outside / inside {locality[best]:.2g}")
