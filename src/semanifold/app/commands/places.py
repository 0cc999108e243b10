"""Where edits and sets of paths are, what they are called, and which generator they are for: from names and headers alone."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from semanifold.app.commands.base import EditModel, Model, slug
from semanifold.app.commands.early import check_there
from semanifold.core.errors import SemanifoldError, near_names, shown
from semanifold.core.world import bundled
from semanifold.paths.finding import FILE as PATHS
from semanifold.paths.finding import NAMED_PATHS, find_path, path_name, unsigned
from semanifold.storage.files import is_file, is_folder
from semanifold.storage.runs import RECORD, generator_of, read_record
from semanifold.storage.tensors import read_header

SHOWN = (".mp4", ".gif", ".webm", ".webp", ".png", ".jpg", ".jpeg")
"""Films and pictures, which people take for the edit."""
EDIT = "edit.safetensors"
"""The file of an edit in its run folder."""


@dataclass(frozen=True)
class Place:
    """What the header of an edit, or of one path of a set, says.

    Attributes:
        name: of the edit.
        generator: name of the generator that it was made for; empty if it does not say.
        fingerprint: of that generator's weights; empty if it does not say.
        own: whether it was found on one picture, as manifolds are, and not paths of a set.
    """

    name: str
    generator: str
    fingerprint: str
    own: bool = False


def described(where: Path, path: str | None = None) -> Place | None:
    """Return what a file of ours says about an edit or one path of a set; None if only a reader of the whole file can say it.

    Args:
        where: as it was typed: run folder, file, ``SET:NAME``, or a pose.
        path: number or name of the path, if it was named apart.

    Raises:
        SemanifoldError: if there is no such file or no such path, or it takes a path and none is named.
    """
    if numbers := pose_of(where):
        return Place(f"pose {','.join(f'{number:g}' for number in numbers)}", "", "")
    place, named = split_path(where)
    path = named if path is None else path
    place = NAMED_PATHS.get(str(place), place) if path is not None else place
    if path is None:
        check_edit(place)
    check_there(place, "file of paths")
    file = place / (EDIT if path is None else PATHS) if is_folder(place) else place
    try:
        header = read_header(file)
    except SemanifoldError:  # damaged, or another program's: who reads all of it can say more
        return None
    if path is None:
        own = header.get("kind") != "flow"
        return Place(_text(header, "name"), _text(header, "generator"), _text(header, "fingerprint"), own)
    info, options = header.get("info"), header.get("options")
    about, count = (info, options.get("count")) if isinstance(info, dict) and isinstance(options, dict) else ({}, None)
    names = about.get("names")
    if not isinstance(count, int) or not isinstance(names, dict):
        return None
    known = {int(key): shown(str(name), 100) for key, name in names.items() if key.isdecimal() and len(key) < 10}
    name = path_name(find_path(path, count, known), known)
    return Place(name, _text(about, "generator"), _text(about, "fingerprint"))


def pose_of(where: Path) -> tuple[float, ...] | None:
    """Return degrees, right and down of a text such as ``pose:20,0.1,0``; None for anything else, and for what exists.

    Raises:
        SemanifoldError: if these are not one to three numbers.
    """
    head, colon, rest = str(where).partition(":")
    if head != "pose" or not colon or exists(where):
        return None
    parts = rest.split(",")
    try:
        numbers = tuple(float(part) for part in parts)
    except ValueError:
        numbers = ()
    if not 1 <= len(numbers) <= 3:
        raise SemanifoldError(
            f"A pose is degrees and, if wanted, ways to the right and down in pictures, such as pose:20 or pose:0,0.1,0, but "
            f"{shown(str(where), 60)} was given."
        )
    return numbers


def _text(header: Mapping[str, object], key: str) -> str:
    value = header.get(key)
    return shown(value, 200) if isinstance(value, str) else ""


class Origin(Protocol):
    """What an edit, or its header, says about the generator that it was found on."""

    @property
    def generator(self) -> str:
        """Its name."""
        ...

    @property
    def fingerprint(self) -> str:
        """Of its weights."""
        ...


def check_one_generator(where: Sequence[Path], origins: Sequence[Origin]) -> None:
    """Refuse edits of several generators, if nobody says on which they are to be played.

    Args:
        where: the edits, as they were typed.
        origins: of each.

    Raises:
        SemanifoldError: naming two of them.
    """
    known = [(place, info) for place, info in zip(where, origins, strict=True) if info.fingerprint not in ("", "unknown")]
    for place, info in known[1:]:
        if info.fingerprint != known[0][1].fingerprint:
            raise SemanifoldError(
                f"{known[0][0]} was found on {known[0][1].generator} ({known[0][1].fingerprint}), but {place} on "
                f"{info.generator} ({info.fingerprint}); combine edits of one generator, or name one with --generator."
            )


def check_edit(place: Path) -> None:
    """Refuse what is no file, a folder without an edit, and a set of which no path is named.

    Raises:
        SemanifoldError: saying what to give instead.
    """
    name = shown(str(place), 200)
    if str(place) in NAMED_PATHS and not exists(place):
        raise SemanifoldError(f"{name} is a set of paths; say which one, such as {name}:smile.")
    try:
        check_there(place)
    except SemanifoldError as error:
        raise SemanifoldError(f"{str(error).rstrip('.')}; give a run folder, or the edit.safetensors in it.") from error
    if place.suffix.lower() in SHOWN:
        raise SemanifoldError(f"{name} is what an edit looks like, and no edit; give the run folder that it is in.")
    if is_folder(place) and not is_file(place / EDIT):
        if is_file(place / PATHS):
            raise SemanifoldError(f"The folder {name} holds a set of paths; say which one: {name}:NAME.")
        inside = sorted(p.parent.name for p in itertools.islice(place.glob(f"*/{EDIT}"), 20))
        if inside:
            raise SemanifoldError(f"{name} is a folder of runs; give one of them, such as {shown(str(place / inside[0]), 200)}.")
        raise SemanifoldError(f"The folder {name} holds no {EDIT}; give the folder of a finished discover, combine or transfer.")
    if is_file(place) and holds_paths(place):
        raise SemanifoldError(f"{name} is a set of paths; say which one: {name}:NAME.")


def holds_paths(file: Path) -> bool:
    """Whether a file is a set of paths of ours."""
    try:
        return str(read_header(file).get("format", "")).startswith("semanifold-paths")
    except SemanifoldError:
        return False


def split_path(where: Path) -> tuple[Path, str | None]:
    """Return file, folder or bundled set and, if a path of it is named after a colon, that name."""
    head, colon, name = str(where).rpartition(":")
    if colon and name and not exists(where) and (exists(head) or head in bundled()):
        return Path(head), name
    return where, None


def exists(path: Path | str) -> bool:
    """Whether there is a file or folder of this name."""
    return is_file(path) or is_folder(path)


def word_of(where: Path, path: str | None, name: str) -> str:
    """Return what to call an edit in file names: its name, or for a path that has none the set and its number.

    Args:
        where: the edit or the set, as it was typed.
        path: number or name of the path, if it was named apart.
        name: of the edit, or of the path.
    """
    place, _ = split_path(where)
    is_path = path is not None or split_path(where)[1] is not None
    return f"{place.stem}-{name}" if is_path and re.fullmatch(r"path \d+", name) else name


def run_word(where: Path, name: str, generator: str) -> str:
    """Return what to call an edit beside others in the name of a folder: edits of one name are found in many runs.

    Args:
        where: the edit, as it was typed.
        name: of the edit, or of the path.
        generator: what the folder's name calls the generator, and need not say twice.
    """
    named, folder = split_path(where)[1], folder_of(where)
    if not is_file(folder / RECORD):
        return word_of(where, None, name)
    said = folder.resolve().name.removeprefix(f"{generator}-")
    return said if named is None else f"{said}-{name}"


def whole_run(where: Any) -> Any:
    """Return the folder of a run in place of what is in its edit's file: the same edit, whose results go to one place.

    Args:
        where: a path or several; what Python may pass besides is returned as it is, and refused where requests are checked.
    """
    if isinstance(where, tuple | list):
        return tuple(map(whole_run, where))
    if not isinstance(where, str | Path):
        return where
    where = Path(where)
    head, colon, name = str(where).rpartition(":")
    file, path = (Path(head), colon + name) if Path(head).name == PATHS else (where, "")
    return Path(f"{file.parent}{path}") if file.name == (PATHS if path else EDIT) and is_file(file.parent / RECORD) else where


def name_once(request: Any) -> None:
    """Call the edit of a request by its run's folder, and a path of a set ``SET:NAME`` however it was named, in one way each.

    Args:
        request: a frozen dataclass with ``edit`` and ``path``, of any type; both are set.
    """
    edit, path = whole_run(request.edit), request.path
    if isinstance(edit, Path) and isinstance(path, str) and split_path(Path(f"{edit}:{path}")) == (edit, path):
        edit, path = Path(f"{edit}:{path}"), None
    object.__setattr__(request, "edit", edit)
    object.__setattr__(request, "path", path)


def folder_of(where: Path) -> Path:
    """Return the folder of an edit or a set: the run folder, or the one that its file is in."""
    place, _ = split_path(where)
    return place if is_folder(place) else place.parent


def seed_of(where: Path) -> int | None:
    """Return the seed of the picture that the edit of a run folder was searched for on, or put on first; None if unknown."""
    folder = folder_of(where)
    if (folder != where and where.name != EDIT) or not is_file(folder / RECORD):
        return None
    record = read_record(folder)
    start = record.arguments.get("start") if record.command == "discover" else record.arguments
    if not isinstance(start, dict) or start.get("latents") is not None:
        return None
    seeds = start.get("seeds") if record.command == "transfer" else [start.get("seed")]
    first = seeds[0] if isinstance(seeds, list) and seeds else None
    return first if isinstance(first, int) else None


def result_folder(where: Path, verb: str, *words: object) -> Path:
    """Return where the results of a command on an edit go if nobody says it: beside its run folder, or into ``out``."""
    folder, (place, _) = folder_of(where), split_path(where)
    if is_file(folder / RECORD):
        resolved = folder.resolve()
        beside = resolved.parent / slug("-".join([resolved.name, verb, *map(str, words)]))
        return beside if folder.is_absolute() else Path(os.path.relpath(beside))
    return Path("out") / slug("-".join([verb, place.stem, *map(str, words)]))


def place_of(text: str, generator: str | None) -> Path:
    """Return where an edit is: what exists, ``SET:NAME``, a pose, or a path that comes with the generator by its name.

    Raises:
        SemanifoldError: if it is none of these.
    """
    if exists(text) or split_path(Path(text))[1] is not None or pose_of(Path(text)):
        return Path(text)
    bundled = generator or "faces"
    if ":" not in text and "/" not in text and bundled in NAMED_PATHS:
        info = read_header(NAMED_PATHS[bundled]).get("info")
        names = info.get("names") if isinstance(info, Mapping) else None
        names = [unsigned(str(name)) for name in names.values()] if isinstance(names, Mapping) else []
        if text in names:
            return Path(f"{bundled}:{text}")
        raise SemanifoldError(
            f"There is no edit {shown(text, 60)!r}, neither a file nor a path of {bundled}: {near_names(text, names)}"
        )
    raise SemanifoldError(f"There is no edit {shown(text, 100)!r}; give a run folder, an edit file or SET:NAME.")


def recorded_model(folder: Path) -> Model | None:
    """Return the generator that a run folder was made with and its inputs; None if it is no run folder, or takes none.

    Raises:
        SemanifoldError: if the record names a Python file: a folder never says which code is run.
    """
    if not is_file(folder / RECORD):
        return None
    record = read_record(folder)
    model = record.arguments.get("model")
    if not isinstance(model, dict) or model.get("generator") is None:
        return None
    return Model(generator=generator_of(record), inputs=recorded_inputs(folder))


def recorded_inputs(folder: Path) -> Path | None:
    """Return the inputs of the generator that a run folder was made with, whatever generator that was; None if it had none."""
    model = read_record(folder).arguments.get("model") if is_file(folder / RECORD) else None
    inputs = model.get("inputs") if isinstance(model, dict) else None
    return Path(inputs) if isinstance(inputs, str) else None


def model_for(asked: EditModel, where: Path, made_with: str | None = None) -> Model:
    """Return the generator to use for an edit or a set: the one asked for, or else the one of its run.

    Args:
        asked: what was asked for.
        where: the edit or the set, as it was typed.
        made_with: name of the generator that it names itself; counts if it is a bundled one.

    Raises:
        SemanifoldError: if nothing says which generator it was.
    """
    if asked.generator is not None:
        return Model(generator=asked.generator, inputs=asked.inputs, device=asked.device)
    recorded = recorded_model(folder_of(where))
    if recorded is not None:
        return replace(recorded, inputs=asked.inputs or recorded.inputs, device=asked.device)
    name = made_with if made_with in bundled() else None
    if name is None:
        unknown = made_with in (None, "", "unknown")
        known = "does not say for which generator it is" if unknown else f"was made for {made_with}"
        raise SemanifoldError(f"{shown(str(where), 200)} {known}; name the generator's file with --generator.")
    return Model(generator=name, inputs=asked.inputs, device=asked.device)
