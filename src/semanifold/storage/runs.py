"""Run folders: ``run.json`` first, then the results; the same command again resumes, another one does not destroy them."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from semanifold import __version__
from semanifold.errors import SemanifoldError
from semanifold.storage.files import PART, write_text

RECORD = "run.json"
CHECKPOINT = "checkpoint.safetensors"
FORMAT = "semanifold-run-1"
NOT_THE_WORK = ("output", "out", "overwrite")
"""Arguments that do not change what comes out."""


@dataclass(frozen=True)
class Run:
    """A run folder that belongs to the running process.

    Attributes:
        folder: the folder.
        record: what ``run.json`` says; change it with :meth:`note` only.
        finished: whether an earlier process has done all the work already.
        resumed: whether an earlier process has begun it.
        made: folders that did not exist before, the innermost first.
    """

    folder: Path
    record: dict[str, Any]
    finished: bool = False
    resumed: bool = False
    made: tuple[Path, ...] = field(default=())

    def path(self, name: str) -> Path:
        """Return the path of a result that is about to be written, once its name stands in ``run.json``."""
        if name not in self.record["files"]:
            self.note(files=[*self.record["files"], name])
        return self.folder / name

    def remove(self, name: str) -> None:
        """Remove a result that was of use during the work only."""
        (self.folder / name).unlink(missing_ok=True)
        self.note(files=[other for other in self.record["files"] if other != name])

    def note(self, **changes: Any) -> None:
        """Change fields of ``run.json``, on disk as well."""
        self.record.update(changes)
        write_text(self.folder / RECORD, json.dumps(self.record, indent=2, default=str) + "\n")

    @property
    def has_results(self) -> bool:
        """Whether anything but ``run.json`` has been written."""
        return any((self.folder / name).exists() for name in [*self.record["files"], CHECKPOINT])


def read_record(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what the ``run.json`` of a run folder says.

    Raises:
        SemanifoldError: if there is none, or it is not one of ours.
    """
    path = Path(folder) / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SemanifoldError(
            f"{folder} is not a run folder: there is no {path}; give the folder that a command wrote."
        ) from error
    except (OSError, ValueError) as error:
        raise SemanifoldError(f"{path} cannot be read: {error}.") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT or not isinstance(record.get("arguments"), dict):
        raise SemanifoldError(f"{path} was not written by this version of semanifold; give the folder that a command wrote.")
    return record


def earlier_run(
    folder: str | os.PathLike[str], command: str, arguments: Mapping[str, Any], *, overwrite: bool = False
) -> dict[str, Any] | None:
    """Return the record of a run of the same command that stands in a folder, None where a new run may begin.

    What :func:`begin_run` asks first; a command whose facts take long to find can ask before it.

    Raises:
        SemanifoldError: if the folder is a file or belongs to something else.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise SemanifoldError(f"{folder} is a file, but the results need a folder; give another --out.")
    if (folder / RECORD).exists():
        if overwrite:
            return None
        earlier = read_record(folder)
        work = {"command": command, "arguments": _work(arguments), "facts": earlier["facts"]}
        if (earlier["command"], _work(earlier["arguments"])) != (command, work["arguments"]):
            raise _another(folder, earlier, work)
        return earlier
    if folder.exists() and any(folder.iterdir()):
        raise SemanifoldError(f"{folder} holds files that are not a run's; give another --out.")
    return None


def begin_run(
    folder: str | os.PathLike[str],
    command: str,
    arguments: Mapping[str, Any],
    facts: Mapping[str, Any],
    *,
    overwrite: bool = False,
) -> Run:
    """Take a folder for a run and write its ``run.json``, before any work is done.

    Args:
        folder: made if it is not there; an existing one must be empty, or hold the same run.
        command: name of the command.
        arguments: JSON-ready arguments of the command.
        facts: JSON-ready facts that decide the result besides the arguments, such as the generator's fingerprint.
        overwrite: whether another run's results may be removed first; files that no run wrote are never touched.

    Returns:
        The run. If the same run stands in the folder it is ``finished`` or ``resumed``.

    Raises:
        SemanifoldError: if the folder is a file, cannot be written or belongs to something else.
    """
    folder = Path(folder)
    earlier = earlier_run(folder, command, arguments, overwrite=overwrite)
    facts = {**facts, **inputs_of(arguments)}
    work = {"command": command, "arguments": _work(arguments), "facts": json.loads(json.dumps(facts))}
    if earlier is not None:
        if earlier["facts"] != work["facts"]:
            raise _another(folder, earlier, work)
        if earlier["status"] == "finished":
            return Run(folder, earlier, finished=True, resumed=True)
    made = tuple(p for p in (folder, *folder.parents) if not p.exists())
    kept = {key: value for key, value in (earlier or {"files": []}).items() if key not in ("ended", "reason")}
    record = {**kept, "format": FORMAT, **work, "arguments": json.loads(json.dumps(arguments, default=str)), "status": "running"}
    record |= {"command_line": ["semanifold", *sys.argv[1:]], "directory": os.getcwd(), "started": _now()}
    record["environment"] = environment()
    run = Run(folder, record, resumed=earlier is not None, made=made)
    with _sentences(run):
        if overwrite and not made:
            _remove_results(folder)
        folder.mkdir(parents=True, exist_ok=True)
        run.note()
    return run


@contextmanager
def working(run: Run) -> Iterator[Run]:
    """Do the work of a run inside of this context: its end is written to ``run.json``, however it comes.

    Whatever goes wrong, temporary files are removed. A run that fails before it has a result leaves nothing at all. Ctrl-C
    inside marks the run as interrupted and goes on as :class:`KeyboardInterrupt`.

    Raises:
        SemanifoldError: for a full or unwritable disk.
    """
    try:
        with _sentences(run):
            yield run
            if run.record["status"] == "running":
                run.note(status="finished", ended=_now())
                (run.folder / CHECKPOINT).unlink(missing_ok=True)
    except KeyboardInterrupt:
        _clear(run)
        with suppress(OSError):
            run.note(status="interrupted", ended=_now())
        raise


@contextmanager
def _sentences(run: Run) -> Iterator[None]:
    """Turn what the operating system says into one sentence, and leave nothing half-written."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = _sentence(error, run.folder)
        _give_up(run, reason)
        raise SemanifoldError(reason) from error
    except Exception as error:
        _give_up(run, str(error))
        raise


def _sentence(error: Exception, folder: Path) -> str:
    full = (
        "os error 28" in str(error)
        or "No space left" in str(error)
        or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
    )
    if full:
        return (
            f"The disk is full: {folder} could not be written; make room or give another --out, then run the same command again."
        )
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"{folder} could not be written ({why}); give another --out."


def _give_up(run: Run, reason: str) -> None:
    _clear(run)
    if run.resumed or run.has_results:
        with suppress(OSError):  # on a full disk the record stays as it was, and the same command goes on from there
            run.note(status="failed", reason=reason, ended=_now())
        return
    with suppress(OSError):
        (run.folder / RECORD).unlink(missing_ok=True)
        for folder in run.made:
            folder.rmdir()


def _clear(run: Run) -> None:
    with suppress(OSError):
        for part in run.folder.rglob(f"*{PART}"):
            part.unlink(missing_ok=True)
        for folder in [p for p in run.folder.iterdir() if p.is_dir()]:
            with suppress(OSError):
                folder.rmdir()  # an empty folder is no result; a filled one stays


def _remove_results(folder: Path) -> None:
    """Remove what an earlier run wrote; names come from its record, and only plain names inside the folder count."""
    earlier = read_record(folder)
    for name in [*earlier.get("files", []), CHECKPOINT, RECORD]:
        if not isinstance(name, str) or Path(name).name != name or name in (".", ".."):
            continue
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def inputs_of(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``{"inputs": {file: digest}}`` of the painted masks and codes among arguments, nothing where there are none.

    So a mask that was painted over is another run, although it is called the same.
    """
    texts = [str(value) for key, value in _flat(arguments).items() if key in ("mask", "latents") and value]
    names = sorted({part.strip() for text in texts for part in (text, *re.split(r"[|&~()]", text))})
    files = [name for name in names if name and len(name) < 1024 and Path(name).is_file()]
    digests = {name: hashlib.sha256(Path(name).read_bytes()).hexdigest()[:16] for name in files}
    return {"inputs": digests} if digests else {}


def _another(folder: Path, earlier: Mapping[str, Any], work: Mapping[str, Any]) -> SemanifoldError:
    return SemanifoldError(f"{folder} holds another run ({_difference(earlier, work)}); give another --out, or --overwrite.")


def _work(arguments: Mapping[str, Any]) -> dict[str, Any]:
    plain = json.loads(json.dumps(arguments, default=str))
    return {key: value for key, value in plain.items() if key not in NOT_THE_WORK}


def _difference(earlier: Mapping[str, Any], work: Mapping[str, Any]) -> str:
    if earlier["command"] != work["command"]:
        return f"of {earlier['command']}"
    before, after = (_flat({**side["facts"], **_work(side["arguments"])}) for side in (earlier, work))
    keys = [key for key in sorted(before | after) if before.get(key) != after.get(key)]
    return ", ".join(f"{key} {before.get(key)} instead of {after.get(key)}" for key in keys[:3])


def _flat(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the innermost fields, under their own names."""
    return {k: v for key, value in fields.items() for k, v in (_flat(value) if isinstance(value, dict) else {key: value}).items()}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def environment() -> dict[str, str]:
    """Return the versions and the platform that a result may depend on."""
    versions = {"semanifold": __version__, "python": platform.python_version(), "platform": platform.platform()}
    versions["torch"] = torch.__version__
    for name in ("numpy", "safetensors", "lpips", "umap-learn"):
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions
