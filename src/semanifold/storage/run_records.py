"""``run.json``: what it holds, checked when it is read, and what of it a command may use."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from semanifold.core.errors import SemanifoldError, shown
from semanifold.core.plain import Json, JsonObject
from semanifold.core.version import __version__
from semanifold.storage.digests import file_digest
from semanifold.storage.files import is_file, read_bytes
from semanifold.storage.records import MOST_BYTES, checked, parse_json

RECORD = "run.json"
FORMAT = "semanifold-run-1"
UNREADABLE = "give another folder, or remove this one and give the command that wrote it again"
"""What to do if what is known of a run cannot be read."""
NOT_THE_WORK = ("output", "out", "overwrite")
"""Arguments that do not change what comes out."""
CODE = re.compile(r"\.pyw?\s*(:|,|$)", re.IGNORECASE)

Line = Annotated[str, msgspec.Meta(max_length=4096)]


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What ``run.json`` says.

    Attributes:
        files: names of the results in the folder.
        format: of the file.
        command: name of the command.
        arguments: of the command, by its groups.
        facts: what decides the result besides the arguments, such as the generator's fingerprint.
        status: how far it is.
        started: ISO time.
        environment: versions and platform.
        command_line: words of the shell.
        directory: where the command was given.
        stamp: what changes if the generator does; nothing else than that is known of it.
        digital_source_type: what the pictures are marked as, an address of the IPTC; nothing if they are not.
        searches: statistics of each search of a discover.
        said: sentences about its results.
        ended: ISO time.
        reason: of a failure.
        others: fields that one command writes, or another version; they are kept as they are.
    """

    files: tuple[Annotated[str, msgspec.Meta(max_length=255)], ...] = ()
    format: Literal["semanifold-run-1"] = FORMAT
    command: Annotated[str, msgspec.Meta(max_length=100)]
    arguments: JsonObject
    facts: JsonObject = {}
    status: Literal["running", "finished", "interrupted", "failed"] = "running"
    started: Line = ""
    environment: dict[str, Line] = {}
    command_line: tuple[Annotated[str, msgspec.Meta(max_length=1 << 17)], ...] = ()
    directory: Line = ""
    stamp: Json = None
    digital_source_type: str = ""
    searches: tuple[JsonObject, ...] = ()
    said: tuple[Annotated[str, msgspec.Meta(max_length=1 << 14)], ...] = ()
    ended: Line = ""
    reason: str = ""
    others: JsonObject = {}

    def __post_init__(self) -> None:
        """Refuse names that lead out of the folder, and numbers that break whoever calculates with them."""
        for name in self.files:
            if not is_plain_name(name):
                raise ValueError(f"'files' holds {shown(name)!r}, which is no name of a file in the folder")
        _check_numbers([self.arguments, self.facts, *self.searches])

    def changed(self, **changes: Json) -> RunRecord:
        """Return the record with other values of some fields; names that are none of its fields are among its others."""
        own = {name: value for name, value in changes.items() if name in OWN}
        others = {name: value for name, value in changes.items() if name not in OWN}
        return msgspec.structs.replace(self, **own, others={**self.others, **others})

    def json(self) -> JsonObject:
        """Return what the file holds."""
        own: JsonObject = {name: getattr(self, name) for name in OWN}
        own |= {name: list(value) for name, value in own.items() if isinstance(value, tuple)}
        for name in ("digital_source_type", "searches", "said", "ended", "reason"):
            if not own[name]:
                del own[name]
        return own | self.others


OWN = tuple(name for name in RunRecord.__struct_fields__ if name != "others")


def _check_numbers(value: Json) -> None:
    """Refuse whole numbers of more than 64 bits anywhere in a value."""
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise ValueError(f"a whole number has {value.bit_length()} bits, more than 64")
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            _check_numbers(part)


def is_plain_name(name: str) -> bool:
    """Whether a text is the name of a file in a folder, and not a way out of it."""
    halves = r"\ud800-\udc7f\udd00-\udfff"  # of pairs, which no file system has in a name; the others stand for odd bytes
    return bool(name) and name not in (".", "..") and not re.search(rf"[\x00-\x1f/\\:{halves}]", name)


def read_record(folder: str | os.PathLike[str], remedy: str = UNREADABLE) -> RunRecord:
    """Return what the ``run.json`` of a run folder says.

    Args:
        folder: the run folder.
        remedy: what to do if the record is damaged, the end of the messages.

    Raises:
        SemanifoldError: if there is none, or it is not one of ours.
    """
    path, name = Path(folder) / RECORD, shown(os.fspath(folder), 200)
    if not os.path.lexists(path):
        raise SemanifoldError(f"{name} is not a run folder: there is no {RECORD} in it; give the folder that a command wrote.")
    what = f"{name}/{RECORD}"
    record = parse_json(read_bytes(path, "run.json", MOST_BYTES), what, remedy=remedy)
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise SemanifoldError(f"{what} was not written by this version of semanifold; {remedy}.")
    others = {name: value for name, value in record.items() if name not in OWN}
    return msgspec.structs.replace(checked(record, RunRecord, what, remedy=remedy), others=others)


def names_code(text: str) -> bool:
    """Whether a text, or a part of it between commas, names a Python file to run, as ``file.py:name`` does."""
    return CODE.search(text) is not None


def generator_of(record: RunRecord) -> str:
    """Return the generator that a record of a run names: never code, for a record may be a stranger's.

    Raises:
        SemanifoldError: if it names none, or a Python file; the user may name that, a record may not.
    """
    model = record.arguments.get("model")
    name = model.get("generator") if isinstance(model, Mapping) else None
    if not isinstance(name, str) or not name:
        raise SemanifoldError("The run.json names no generator; name it with generator=.")
    if names_code(name):
        raise SemanifoldError(
            f"The run.json names code to run as its generator, {shown(name)}; if you trust that file, name it yourself with "
            "generator=."
        )
    return name


def refuse_code(record: RunRecord) -> None:
    """Refuse a record of which any argument names code to run.

    Raises:
        SemanifoldError: naming the argument.
    """
    for place, value in flat(record.arguments).items():
        texts = value if isinstance(value, list) else [value]
        if code := [text for text in texts if isinstance(text, str) and names_code(text)]:
            raise SemanifoldError(
                f"The run.json names code to run as its {last(place)}, {shown(code[0])}; if you trust that file, "
                f"give the command yourself: semanifold {shown(record.command, 20)}."
            )


def inputs_of(arguments: Mapping[str, Json], inputs: Iterable[str | os.PathLike[str]] | None = None) -> JsonObject:
    """Return ``{"inputs": {file: digest}}`` of the painted masks and codes among arguments; nothing if there are none.

    So a mask that was painted over is another run, although it is called the same.

    Args:
        arguments: of a command.
        inputs: the files, if the caller knows them; else they are looked for in the arguments ``mask`` and ``latents``.
    """
    if inputs is None:
        every = flat(arguments).items()
        texts = [str(value) for place, value in every if last(place) in ("mask", "latents") and value]
        inputs = {part.strip() for text in texts for part in (text, *re.split(r"[|&~()]", text))} - {""}
    files = sorted(name for name in (os.fspath(place) for place in inputs) if is_file(name))
    digests = {name: file_digest(name, "mask or file of codes", 16) for name in files}
    return {"inputs": digests} if digests else {}


def plain(arguments: Mapping[str, object]) -> JsonObject:
    """Return arguments as they are after a way through JSON."""
    return json.loads(json.dumps(arguments))


def work(arguments: Mapping[str, Json]) -> JsonObject:
    """Return the arguments that decide what comes out, as they are after a way through JSON."""
    return {key: value for key, value in plain(arguments).items() if key not in NOT_THE_WORK}


def flat(fields: Mapping[str, Json], prefix: str = "") -> JsonObject:
    """Return the innermost fields by their place, such as ``search.layers``."""
    leaves: JsonObject = {}
    for key, value in fields.items():
        leaves |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) and value else {f"{prefix}{key}": value}
    return leaves


def differences(before: RunRecord, after: RunRecord, growing: Sequence[str] = ()) -> Iterator[str]:
    """Yield in words what two runs differ in: the arguments first, then the facts.

    Args:
        before: the record of the earlier run.
        after: that of the run to be.
        growing: names of numbers that may be larger in the later run.
    """
    if before.command != after.command:
        yield f"of {shown(before.command)}"
        return
    for place, one, other in _changes(work(before.arguments), work(after.arguments)):
        if not (last(place) in growing and (one is None or other is None or _less(one, other))):  # None: the facts have its value
            yield f"{shown(last(place)).replace('_', '-')} {_said(one)} instead of {_said(other)}"
    for place, one, other in _changes(before.facts, after.facts):
        if place.startswith("inputs."):
            yield f"{shown(place.removeprefix('inputs.'), 200)} has changed since"
        elif place == "measured":
            yield "the measurement has changed since"
        elif not (last(place) in growing and _less(one, other)):
            yield f"{shown(last(place))} {_said(one)} instead of {_said(other)}"


def _said(value: Json) -> str:
    if value is None or isinstance(value, bool):
        return {None: "left out", True: "yes", False: "no"}[value]
    return shown(str(value))


def grown(before: RunRecord, after: RunRecord, growing: Sequence[str]) -> bool:
    """Whether a number of those that may grow is larger in the arguments or facts of the later run."""
    changes = [*_changes(before.arguments, after.arguments), *_changes(before.facts, after.facts)]
    return any(last(place) in growing and _less(one, other) for place, one, other in changes)


def last(place: str) -> str:
    """Return the name of a field at a place, without those of its groups."""
    return place.rpartition(".")[2]


def _changes(before: Mapping[str, Json], after: Mapping[str, Json]) -> Iterator[tuple[str, Json, Json]]:
    """Yield place, earlier and later value of the innermost fields that differ; None for one that is not there.

    A field that is not in the earlier record, for an earlier version had none, is as nothing there: false, 0 or empty.
    """
    old, new = flat(before), flat(after)
    for place in sorted(old.keys() | new.keys()):
        if old.get(place) != new.get(place) and (place in old or new[place]):
            yield place, old.get(place), new.get(place)


def _less(before: Json, after: Json) -> bool:
    return isinstance(before, int | float) and isinstance(after, int | float) and before < after


@cache
def _installed() -> dict[str, str]:
    """Return the versions of packages; finding them in their folders takes as long as a small picture."""
    versions: dict[str, str] = {}
    for name in ("torch", "numpy", "safetensors", "lpips", "umap-learn"):
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def environment() -> dict[str, str]:
    """Return the versions and the platform that a result may depend on."""
    versions = {"semanifold": __version__, "python": platform.python_version(), "platform": platform.platform()}
    versions |= _installed()
    if loaded := sys.modules.get("torch"):
        versions["torch"] = str(loaded.__version__)  # which also says for which device it was built
    return versions
