"""What can be said of a command without torch: that a mask cannot be read, and that its run is finished already."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from semanifold.app.answers import Answer, already, typed
from semanifold.app.commands.arguments import from_arguments, to_arguments
from semanifold.app.commands.base import FACES, Command, is_bundled
from semanifold.core.errors import SemanifoldError, near_names, shown
from semanifold.core.plain import JsonObject
from semanifold.core.version import __version__
from semanifold.core.world import bundled
from semanifold.images.masks import Mask, box, files_in, parse_mask
from semanifold.images.masks.grammar import POINTS
from semanifold.storage.files import is_file, is_folder, opened
from semanifold.storage.run_records import RunRecord, differences
from semanifold.storage.runs import ANEW, RECORD, earlier_run, inputs_of, names_code, read_record

MAPS = "facemaps"
"""The bundled generator that makes pictures of label maps."""
FILES = ("edit.safetensors", "paths.safetensors")
"""What the folder of an edit or a set holds."""


def check_there(place: Path, what: str = "file") -> None:
    """Refuse what is neither a folder nor a regular file."""
    if not is_folder(place):
        with opened(place, what):
            return


def is_name(generator: str) -> bool:
    """Whether this is the name of a generator that comes with the package or lies in the zoo, and not that of a file."""
    from semanifold.storage import zoo  # noqa: PLC0415  (the bundled ones need none)

    return not os.path.exists(generator) and (is_bundled(generator) or generator in zoo.table())


def check_generator(generator: str) -> None:
    """Refuse the file of a generator if there is none."""
    if generator in bundled() or "://" in generator or names_code(generator):
        return
    from semanifold.storage import zoo  # noqa: PLC0415  (the bundled ones need none)

    if os.path.exists(generator) or generator not in zoo.table():
        zoo.check_name(generator)
        check_there(Path(generator))


def check_masks(texts: Sequence[str], generator: str) -> None:
    """Refuse masks that cannot be read, or name a region that a bundled generator does not have."""
    world = bundled().get(generator)
    known = () if world is None else world.regions
    if world is not None and generator == MAPS:
        known = (*known, *world.labels, *(f"label{i}" for i in range(len(world.labels))))

    def region(name: str) -> Mask:
        if world is not None and name not in known and not name.startswith(tuple(POINTS)):
            raise SemanifoldError(f"There is no region {shown(name, 60)!r}: {near_names(name, dict.fromkeys(known))}")
        return box(0.25, 0.25, 0.75, 0.75)

    check_generator(generator)
    for text in texts:
        if not files_in(text):
            parse_mask(text, region, size=(64, 64))


def inputs(*, masks: Sequence[str] = (), codes: Path | None = None, edits: Sequence[Path] = ()) -> list[Path]:
    """Return the files that decide the result of a command: painted masks, codes, and edits or sets."""
    files = [path for text in masks for path in files_in(text)]
    files += [codes] if codes is not None else []
    for edit in edits:
        place = Path(str(edit).rpartition(":")[0]) if not is_file(edit) and not is_folder(edit) else edit
        files += [place] if is_file(place) else [place / name for name in FILES if is_file(place / name)]
    return files


def finished(
    request: Command,
    name: str,
    folder: Path,
    read: Sequence[Path],
    main: Sequence[str],
    then: Sequence[object],
    watched: Sequence[Path] = (),
    growing: Sequence[str] = (),
) -> Answer | None:
    """Return the answer of a run that is finished already, if that is sure without loading anything.

    It is sure if the folder holds a finished run of the same arguments and the same input files, on a generator that comes with
    this version, or on a file that has not been touched since.

    Args:
        request: what is asked for.
        name: of the command.
        folder: its run folder.
        read: its input files; see :func:`inputs`.
        main: results to open, as far as they are there.
        then: words of the command to type next, if any.
        watched: files whose contents the command knows by other means; here it counts whether they have been touched.
        growing: arguments of which a larger value goes on with a finished run.
    """
    arguments = arguments_for(request, folder)
    output = arguments.get("output")
    if not is_file(folder / RECORD) or (isinstance(output, Mapping) and output.get("overwrite")):
        earlier_run(folder, name, arguments, overwrite=True)  # refuses a folder that is none before anything is loaded
        return None
    record = read_record(folder, ANEW)
    model = arguments.get("model")
    recorded = record.arguments.get("model")
    # inputs may have changed
    with_inputs = any(isinstance(named, Mapping) and named.get("inputs") for named in (model, recorded))
    if isinstance(model, dict) and model.get("generator") is None:
        model["generator"] = recorded.get("generator") if isinstance(recorded, Mapping) else None
    named = model.get("generator") if isinstance(model, dict) else FACES  # without a generator only the version counts
    if with_inputs or not isinstance(named, str) or names_code(named) or not same_generator(record, named, watched):
        return None
    earlier = earlier_run(folder, name, arguments, growing=growing)
    if earlier is None or earlier.status != "finished":
        return None
    if growing and any(differences(earlier, earlier.changed(arguments=arguments))):
        return None
    if inputs_of(arguments, list(read)).get("inputs") != earlier.facts.get("inputs"):
        return None
    files = [folder / file for file in main if (folder / file).exists()] or [folder]
    return replace(already(folder, earlier.said), files=tuple(files), next=typed(*then))


def arguments_for(request: Command, folder: Path) -> JsonObject:
    """Return the arguments of a request, in the words of the run in its folder where these mean the same.

    An earlier version may have recorded what was typed, such as the file of an edit, where requests name a folder now.
    """
    arguments = to_arguments(request)
    if not is_file(folder / RECORD):
        return arguments
    try:
        recorded = read_record(folder, ANEW).arguments
        now = to_arguments(from_arguments(type(request), recorded))
    except SemanifoldError:  # said where the two are compared
        return arguments
    meant = {key for key in recorded.keys() & now.keys() if recorded[key] != now[key] == arguments[key]}
    return arguments | {key: recorded[key] for key in meant if isinstance(recorded[key], str | list)}


def same_generator(record: RunRecord, named: str, watched: Sequence[Path] = ()) -> bool:
    """Whether the generator of a run, and other files that decide its result, are surely the same now."""
    return record.stamp is not None and record.stamp == stamp_of(named, watched)


def stamp_of(named: str, watched: Sequence[Path] = ()) -> str | None:
    """Return what changes if a generator's weights or watched files do; None if that is not known.

    That is our version, or size and time of the generator's file; and size and time of each of the others.
    """
    parts = [f"semanifold {__version__}"] if named in bundled() else []
    for file in watched if parts else [Path(named), *watched]:
        if not is_file(file) or names_code(str(file)):
            return None
        status = file.stat()
        parts.append(f"{status.st_size} {status.st_mtime_ns}")
    return " ".join(parts)
