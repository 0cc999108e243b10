"""What ``semanifold traverse`` and ``measure`` do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from semanifold.analysis.attributes.base import AttributeReader
from semanifold.analysis.ranking.measures import METRICS, Measures, WalkRecord, measure_frames, save_measures
from semanifold.analysis.ranking.ranges import fitted
from semanifold.analysis.ranking.scores import Array, changes, mean, rescale
from semanifold.analysis.traversal import (
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
from semanifold.analysis.traversal.records import TraversalRecord
from semanifold.app.actions.base import (
    device_of,
    existing,
    facts_of,
    fitting,
    load,
    named_generator,
    read_given,
    read_mask,
    sample,
    worked,
)
from semanifold.app.actions.seen import shows_faces
from semanifold.app.answers import Answer, Caller, typed
from semanifold.app.commands.base import Model
from semanifold.app.commands.paths import CHANGES, OVERVIEW, USUAL, Codes, Measure, Traverse
from semanifold.app.commands.places import model_for, recorded_inputs, recorded_model
from semanifold.core.errors import SemanifoldError, counted, shown
from semanifold.core.latents import Latents
from semanifold.core.shapes import Mask1
from semanifold.edits.base import WEIGHTS
from semanifold.generators.base import Generator
from semanifold.generators.pools import POOL, Pool, pool_of, read_pool, save_pool
from semanifold.images import media
from semanifold.images.plots import change_map
from semanifold.paths.base import PathSet
from semanifold.storage.records import checked, write_json
from semanifold.storage.runs import CHECKPOINT, RECORD, Run
from semanifold.storage.tensors import read_tensors, write_tensors
from semanifold.worlds.faces.changes import CHANGES as WORDS

EVERY = 10.0
"""Seconds between two checkpoints of a measurement."""
TRIED = 3
"""Paths that are looked at if they were found with other weights."""
BUNDLED_READER = "faces"
COLUMNS, CELL = 7, 96
"""Pictures of a path in the sheet of all paths, and their longer side."""
FILMS_AT_A_TIME = 2
"""Paths whose films are made at the same time, each by a process of its own."""


# ------------------------------------------------------------------------------------------------------------- traverse


def traverse(command: Traverse, caller: Caller) -> Answer:
    """Walk every path from every code, then make the films."""
    from semanifold.paths.files import load_paths  # noqa: PLC0415  (measuring needs no file formats)

    named = named_generator(command.model, caller)
    paths = load_paths(command.path_set, command.space, layers=command.layers, generator=named, remark=caller.remark)
    paths = stretched(command, paths)
    model = model_for(command.model, command.path_set, paths.info.generator)
    asked = command
    command = replace(command, model=replace(command.model, generator=model.generator))
    generator = named or load(model, caller)
    paths.check_generator(generator)
    chosen = sorted({paths.find(word) for word in command.paths}) if command.paths else list(range(len(paths)))
    fitting(generator, [paths[k] for k in chosen[:TRIED]], caller, force=command.model.force)
    if command.model.force:
        paths = paths.with_info(generator=generator.name, fingerprint=generator.fingerprint)
    pool = read_codes_of(command.codes, generator, caller)
    codes = pool.codes_for(generator, paths.space(generator))
    starts: dict[str, Latents] = {}
    for i, name in enumerate(pool.names):
        starts.setdefault(name, codes[i])
    decisive = facts_of(generator) | {"path_set_fingerprint": fingerprint_of(paths), "pool": pool.hash}
    decisive |= {"step": paths.info.step, "count": paths.info.count}
    folder = command.folder

    def work(run: Run) -> Answer:
        save_pool(pool, run.path(POOL))
        write_traversal(command, run, generator, paths, chosen, starts, caller)
        walked, pictures = counted(len(chosen), "path").capitalize(), counted(len(starts), "picture")
        said = f"{walked} of {generator.name}, walked both ways from {pictures}."
        return Answer(said=(said,), facts={"paths": len(chosen), "codes": len(starts)})

    answer = worked(command, caller, "traverse", folder, decisive, work, watched=command.watched)
    faces = shows_faces(generator)
    if not faces:
        caller.remark(f"To name the paths, read attributes: measure {folder} with attributes=NAME|FILE.onnx|FILE.py:NAME.")
    return replace(answer, files=existing(folder, OVERVIEW, SUMMARIES, FILMS) or (folder,), next=typed(*asked.then(faces=faces)))


def read_codes_of(codes: Codes, generator: Generator, caller: Caller) -> Pool:
    """Return the pool to begin at."""
    if codes.pool is not None:
        if codes.seeds != USUAL or codes.truncation != 1 or codes.label:
            raise SemanifoldError("A pool= brings its own codes; leave seeds=, truncation= and label= out.")
        return read_given(read_pool, codes.pool, generator, codes.latents_space, caller.remark)
    if not codes.seeds:
        raise SemanifoldError("There is no seed; give at least one number after seeds=, or a pool=.")
    return pool_of(sample(generator, codes.seeds, codes.truncation, codes.label), generator, codes.seeds)


def stretched(command: Traverse, paths: PathSet) -> PathSet:
    """Return the set with the steps that were asked for."""
    steps = paths.info.count if command.steps is None else command.steps
    eps = paths.info.step if command.eps is None else command.eps
    paths = paths if (steps, eps) == (paths.info.count, paths.info.step) else paths.with_info(step=eps, count=steps)
    moments(steps, command.leap)
    return paths


def write_traversal(
    command: Traverse,
    run: Run,
    generator: Generator,
    paths: PathSet,
    chosen: Sequence[int],
    codes: dict[str, Latents],
    caller: Caller,
) -> None:
    """Write all codes, pictures and films; what is there already is kept."""
    t = moments(paths.info.count, command.leap)
    edits = {k: paths[k] for k in chosen}
    for name, code in codes.items():
        place = run.path(name)
        (place / IMAGES).mkdir(parents=True, exist_ok=True)
        with torch.no_grad():
            save_picture(media.to_uint8(generator.images(code))[0], place / ORIGINAL, command.jpeg)
        write_codes(place, generator, list(edits.values()), code, t, batch=command.batch)
    described = {
        "codes": list(codes),
        "paths": list(chosen),
        "names": [paths.name_of(k) for k in chosen],
        "t": t.tolist(),
        "step": paths.info.step,
        "count": paths.info.count,
        "leap": command.leap,
        "space": paths.info.space,
        "method": paths.info.method,
        "generator": generator.name,
        "fingerprint": generator.fingerprint,
        "channels": generator.picture_shape[0],
        "faces": shows_faces(generator),
        "path_set": str(command.path_set.resolve() if command.path_set.exists() else command.path_set),
        "path_set_fingerprint": run.record.facts["path_set_fingerprint"],
    }
    write_json(run.path(FACTS), described, 1)
    traversal = Traversal(run.folder, checked(described, TraversalRecord, str(run.folder / FACTS)), run.record)
    for place in (FILMS, SUMMARIES) if command.films else ():
        run.path(place).mkdir(exist_ok=True)
    with films_beside(command, caller) as make, caller.watching("walking the paths") as line:
        for i, (k, edit) in enumerate(edits.items()):
            for j, (name, code) in enumerate(codes.items()):
                place = run.folder / name / IMAGES / folder_name(k)
                write_path(place, walk(edit, generator, code, t, batch=command.batch), command.jpeg)
                line({"step": i * len(codes) + j + 1, "steps": len(edits) * len(codes), "path": paths.name_of(k)})
            make(traversal, k)
    start = "the first code of the pool" if command.codes.pool is not None else f"seed {command.codes.seeds[0]}"
    if len(codes) > 1:
        start += f" of the {len(codes)} that were walked" + (f"; more in {FILMS}" if command.films else "")
    media.save_png(media.titled(overview(traversal), start), run.path(OVERVIEW))


def overview(traversal: Traversal) -> Image.Image:
    """Return a row of pictures for every path, from one end to the other, all of the first picture that was walked from."""
    pictures = [traversal.pictures(traversal.codes[0], k) for k in traversal.paths]
    fit = media.fitting(pictures[0][0], CELL, COLUMNS)
    count = fit - 1 + fit % 2  # an odd number: the unedited picture is in the middle
    places = media.evenly(len(traversal.t), count)
    below = [
        f"t = {traversal.t[places[0]]:g}",
        *("unedited" if traversal.t[i] == 0 else f"{traversal.t[i]:+.2g}" for i in places[1:]),
    ]
    strips = [media.filmstrip(walked, walked[0], count=count, size=CELL) for walked in pictures]
    named = zip(traversal.paths, traversal.facts.names, strict=True)
    names = [str(k) if name in (str(k), f"path {k}") else f"{k}  {shown(name, 40)}" for k, name in named]
    return media.stack_rows(strips, names, below)


@contextmanager
def films_beside(command: Traverse, caller: Caller) -> Iterator[Callable[[Traversal, int], None]]:
    """Give what makes the films of a path that has been walked, beside the walks of the next ones; wait for all at the end."""
    films: list[Future[None]] = []

    def make(traversal: Traversal, k: int) -> None:
        if not command.films:
            return
        walked = [traversal.pictures(name, k) for name in traversal.codes]
        look = {"fps": film_rate(command, len(traversal.t)), "cell": command.film.size}
        films.append(pool.submit(write_films, traversal.folder, folder_name(k), walked, **look))
        for film in films:
            if film.done():
                film.result()  # raises what went wrong there, such as a full disk

    busy = caller.sparing(FILMS_AT_A_TIME) if command.films else nullcontext()  # ffmpeg needs the others
    with ThreadPoolExecutor(FILMS_AT_A_TIME) as pool, busy:
        try:
            yield make
            with caller.watching("making the films") as line:
                for i, film in enumerate(films):
                    film.result()
                    line({"step": i + 1, "steps": len(films)})
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def film_rate(command: Traverse, frames: int) -> float:
    """Return the frames per second at which a film of so many frames, played back and forth, has the length asked for."""
    return min(command.film.fps, max(2 * frames / command.film.seconds, 1.0))


# -------------------------------------------------------------------------------------------------------------- measure


def measure(command: Measure, caller: Caller) -> Answer:
    """Read every frame."""
    from semanifold.analysis.attributes.names import attribute_reader  # noqa: PLC0415  (walking needs no networks)

    traversal = read_traversal(command.traversal)
    reader = attribute_reader(attributes_for(command, traversal), command.weights, device_of(command.device))
    attributes = reader.attributes
    masks = masks_of(command, traversal, caller)
    decisive = {"walk": {key: traversal.record.facts[key] for key in ("fingerprint", "path_set_fingerprint", "pool")}}
    decisive |= {key: getattr(traversal.facts, key) for key in ("paths", "step", "count", "leap")}
    decisive |= {"attribute_names": [attribute.name for attribute in attributes]}

    what, paths = counted(len(attributes), "attribute"), counted(len(traversal.paths), "path")
    summary = f"{what.capitalize()} of {paths}, read along the walks from {counted(len(traversal.codes), 'picture')}."

    def work(run: Run) -> Answer:
        values, locality, evenness = read_frames(command, run, traversal, reader, masks, caller)
        where = msgspec.convert(traversal.facts, WalkRecord, from_attributes=True)
        measures = Measures(
            values=values,
            attributes=attributes,
            codes=traversal.codes,
            paths=traversal.paths,
            names=tuple(traversal.facts.names),
            t=np.array(traversal.t),
            locality=locality,
            evenness=evenness,
            mask=command.mask or "",
            facts=msgspec.structs.replace(where, folder=str(command.traversal.resolve())),
        )
        save_measures(measures, run.path)
        draw_changes(values, measures, run.path(CHANGES))
        for sentence in measures.remarks:
            caller.remark(sentence)
        return Answer(said=(summary,))

    watched = [command.traversal / RECORD]
    answer = worked(command, caller, "measure", command.folder, decisive, work, inputs=None, watched=watched)
    said = answer.said if summary in answer.said else (*answer.said, summary)  # records of before do not hold it
    return replace(answer, said=said, files=existing(command.folder, CHANGES) or (command.folder,), next=typed(*command.then))


def attributes_for(command: Measure, traversal: Traversal) -> str:
    """Return what to read: what was asked for, or the factors of the bundled faces if these are faces.

    Raises:
        SemanifoldError: if nothing was asked for, and the pictures are no bundled faces.
    """
    if command.attributes is not None:
        return command.attributes
    named = traversal.facts.generator in ("faces", "analytic")  # all that an earlier version knows
    if named if traversal.facts.faces is None else traversal.facts.faces:
        return BUNDLED_READER
    raise SemanifoldError(
        f"The pictures of {traversal.facts.generator} are no bundled faces, so say what to read with attributes=: published "
        "(six face networks) or one of them such as pose, FILE.onnx, clip:PROMPT|AGAINST, or FILE.py:NAME."
    )


def draw_changes(values: Array, measures: Measures, path: Path) -> None:
    """Draw what each path changes on average, under the words of sentences where these are of the bundled faces."""
    attributes = fitted(values, measures.attributes)
    moved = mean(changes(rescale(values, attributes), attributes, measures.t))
    names, count = [attribute.name for attribute in attributes], len(measures.codes)
    title, what = "what each path changes, from one end to the other", "pictures"
    if all(name in WORDS for name in names):
        names, what = [WORDS[name].either for name in names], "faces"
        title += " (+ the first verb, - the second)"
    title += f"; mean over {count} {what}" if count > 1 else ""
    change_map(moved, measures.names, [name.replace("_", " ") for name in names], path, title)


def masks_of(command: Measure, traversal: Traversal, caller: Caller) -> dict[str, Mask1]:
    """Return the mask ``[1, 1, h, w]`` of every code; regions of the bundled faces are elsewhere on every face."""
    if command.mask is None:
        return {}
    named, inputs = command.generator, recorded_inputs(traversal.folder)
    if named is None and (made_with := recorded_model(traversal.folder)):
        named = made_with.generator
    if named is None:
        raise SemanifoldError(f"{traversal.folder} does not say which generator it shows; name it with generator=.")
    generator = load(Model(generator=named, inputs=inputs, device=command.device), caller)
    if generator.fingerprint != traversal.facts.fingerprint:
        raise SemanifoldError(
            f"{named} is {generator.name} ({generator.fingerprint}) now, but {traversal.folder} shows "
            f"{traversal.facts.generator} ({traversal.facts.fingerprint}); put the weights back, or walk again."
        )
    pool = read_pool(traversal.folder / POOL, generator)
    space = traversal.facts.space
    codes = pool.codes_for(generator, generator.first_space if space == WEIGHTS else space)
    rows = {name: i for i, name in enumerate(pool.names)}
    size = generator.picture_shape[1:]
    return {name: read_mask(command.mask, generator, codes[rows[name]]).at(*size).float().cpu() for name in traversal.codes}


def read_frames(
    command: Measure, run: Run, traversal: Traversal, reader: AttributeReader, masks: dict[str, Tensor], caller: Caller
) -> tuple[Array, Array | None, Array]:
    """Return the arrays of :class:`Measures`, going on from a checkpoint if there is one."""
    device = device_of(command.device)
    channels = int(traversal.facts.channels)
    middle = traversal.t.index(0.0)
    sizes = (len(traversal.codes), len(traversal.paths), len(traversal.t))
    state = begin(run.folder / CHECKPOINT, sizes, len(reader.attributes), caller)
    saved = time.monotonic()
    units = [(c, k) for c in range(len(traversal.codes)) for k in range(len(traversal.paths))]
    with caller.watching("reading the pictures") as line:
        for number, (c, k) in enumerate(units):
            if not state["done"][c, k]:
                code = traversal.codes[c]
                files = traversal.pictures(code, traversal.paths[k])
                reference = files.tensor(slice(middle, middle + 1), channels).to(device)
                mask = masks[code].to(device) if masks else None
                values, local, even = measure_frames(
                    lambda rows, files=files: files.tensor(rows, channels).to(device),
                    len(files),
                    reference,
                    reader,
                    mask,
                    batch=command.batch,
                )
                state["values"][c, k] = torch.from_numpy(values)
                if local is not None:
                    state["locality"][c, k] = torch.from_numpy(local)
                state["evenness"][c, k] = even
                state["done"][c, k] = True
            if time.monotonic() - saved > EVERY:
                saved = time.monotonic()
                write_tensors(run.folder / CHECKPOINT, state)
            line({"step": number + 1, "steps": len(units), "path": traversal.facts.names[k]})
    return state["values"].numpy(), state["locality"].numpy() if masks else None, state["evenness"].numpy()


def begin(path: Path, sizes: tuple[int, int, int], width: int, caller: Caller) -> dict[str, Tensor]:
    """Return the state of a measurement: that of its checkpoint, or empty if there is none that can be read."""
    fresh = {
        "values": torch.full((*sizes, width), torch.nan, dtype=torch.float64),
        "locality": torch.full((*sizes, len(METRICS)), torch.nan, dtype=torch.float64),
        "evenness": torch.full(sizes[:2], torch.nan, dtype=torch.float64),
        "done": torch.zeros(sizes[:2], dtype=torch.bool),
    }
    if path.is_file():
        try:
            earlier = read_tensors(path, "checkpoint").tensors
        except SemanifoldError as error:
            caller.remark(f"{error} Everything is measured again.")
            return fresh
        if {key: (v.shape, v.dtype) for key, v in earlier.items()} == {key: (v.shape, v.dtype) for key, v in fresh.items()}:
            return earlier
    return fresh
