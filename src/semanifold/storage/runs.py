"""Run folders: ``run.json`` first, then the results; the same command again resumes, another one does not destroy them."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError

from semanifold.core.errors import SemanifoldError, shown
from semanifold.core.plain import Json
from semanifold.storage.files import PART, disk_is_full, is_file
from semanifold.storage.locks import LOCK, FolderLock, lock_folder
from semanifold.storage.marks import CODES, GENERATED, marking
from semanifold.storage.records import write_json
from semanifold.storage.run_records import (
    RECORD,
    RunRecord,
    differences,
    environment,
    generator_of,
    grown,
    inputs_of,
    is_plain_name,
    names_code,
    plain,
    read_record,
    refuse_code,
)

__all__ = [
    "CHECKPOINT",
    "RECORD",
    "Run",
    "begin_run",
    "carry_out",
    "earlier_run",
    "environment",
    "generator_of",
    "inputs_of",
    "names_code",
    "read_record",
    "refuse_code",
    "result_files",
    "working",
]

CHECKPOINT = "checkpoint.safetensors"
ANEW = "give another out=, or remove this folder, for nothing says any more which files in it are results"
"""What to do if the record of a folder that a run is to use is damaged."""
T = TypeVar("T")
STALE = re.compile(r"\..*\.[0-9a-f]{16}" + re.escape(PART), re.DOTALL)
"""Names that :func:`~semanifold.storage.files.replacing` gives."""
DEEPEST, MOST = 8, 2_000_000
"""Levels of folders and number of files that are looked through in a run folder."""


@dataclass
class Run:
    """A run folder that belongs to the running process; what its record says changes with the work.

    Attributes:
        folder: the folder.
        record: what ``run.json`` says now; change it with :meth:`note` only.
        finished: whether an earlier process has done all the work already.
        resumed: whether an earlier process has begun it.
        made: folders that did not exist before, the innermost first.
        lock: keeps other processes out; None for a finished run.
    """

    folder: Path
    record: RunRecord
    finished: bool = False
    resumed: bool = False
    made: tuple[Path, ...] = field(default=())
    lock: FolderLock | None = field(default=None, compare=False)

    def path(self, name: str) -> Path:
        """Return the path of a result that is about to be written, once its name is in ``run.json``.

        Raises:
            SemanifoldError: if the name leads out of the folder, or a link there does, which a stranger may have left.
        """
        if not is_plain_name(name) or name in (RECORD, LOCK):
            raise SemanifoldError(f"A result cannot be called {shown(name)!r}; give a name of a file that is not taken.")
        for place in self._within(name):
            if place.is_symlink():
                raise SemanifoldError(
                    f"{shown(str(place), 200)} is a link to another place, where no results are written; remove it, or give "
                    "another out=."
                )
        if name not in self.record.files:
            self.note(files=(*self.record.files, name))
        return self.folder / name

    def _within(self, name: str) -> list[Path]:
        """Return a result and, if it is a folder, what lies directly in it."""
        place = self.folder / name
        return [place] if place.is_symlink() or not place.is_dir() else [place, *place.iterdir()]

    def remove(self, name: str) -> None:
        """Remove a result that was of use during the work only."""
        (self.folder / name).unlink(missing_ok=True)
        self.note(files=tuple(other for other in self.record.files if other != name))

    def note(self, **changes: Json) -> None:
        """Change fields of ``run.json``, on disk as well."""
        self.record = self.record.changed(**changes)
        write_json(self.folder / RECORD, self.record.json(), 2)

    @property
    def has_results(self) -> bool:
        """Whether anything but ``run.json`` has been written, by this run or by one in a folder within."""
        written = any((self.folder / name).exists() for name in [*self.record.files, CHECKPOINT])
        return written or any(self.folder.glob(f"*/{RECORD}"))


def earlier_run(
    folder: str | os.PathLike[str],
    command: str,
    arguments: Mapping[str, Json],
    *,
    overwrite: bool = False,
    growing: Sequence[str] = (),
) -> RunRecord | None:
    """Return the record of a run of the same command in a folder; None if a new run may begin there.

    What :func:`begin_run` asks first; a command whose facts take long to find can ask before it.

    Raises:
        SemanifoldError: if the folder is a file or belongs to something else.
    """
    folder = Path(folder)
    name = shown(str(folder), 200)
    try:
        there = folder.exists()
    except OSError as error:
        raise SemanifoldError(f"{name} cannot be a folder: {error.strerror}; give another out=.") from error
    if there and not folder.is_dir():
        raise SemanifoldError(f"{name} is a file, but the results need a folder; give another out=.")
    if folder.is_symlink() and is_file(folder.parent / RECORD):  # a link of one's own may lead to another disk
        raise SemanifoldError(f"{name} is a link in a run folder; remove the link, or give another out=.")
    if os.path.lexists(folder / RECORD):
        earlier = read_record(folder, ANEW)
        if overwrite:
            return None
        _check_same(folder, earlier, RunRecord(command=command, arguments=plain(arguments), facts=earlier.facts), growing)
        return earlier
    if there and any(entry.name != LOCK for entry in folder.iterdir()):
        raise SemanifoldError(f"{name} holds files that are not a run's; give another out=.")
    return None


def begin_run(
    folder: str | os.PathLike[str],
    command: str,
    arguments: Mapping[str, Json],
    facts: Mapping[str, Json],
    *,
    overwrite: bool = False,
    growing: Sequence[str] = (),
    inputs: Iterable[str | os.PathLike[str]] | None = None,
    stamp: str | None = None,
    command_line: Sequence[str] = (),
    directory: str = "",
) -> Run:
    """Take a folder for a run, lock it and write its ``run.json``, before any work is done; :func:`working` gives it back.

    Args:
        folder: made if it is not there; an existing one must be empty, or hold the same run.
        command: name of the command.
        arguments: JSON-ready arguments of the command.
        facts: JSON-ready facts that decide the result besides the arguments, such as the generator's fingerprint; a ``licence``
            among them is recorded, and decides nothing.
        overwrite: whether another run's results may be removed first; files that no run wrote are never touched.
        growing: names of numbers among arguments and facts, such as ``iterations``, of which a larger value continues the
            earlier run even if it is finished. An argument that may be left out needs a fact of the same name.
        inputs: files that decide the result; None looks for them in the arguments, see :func:`inputs_of`.
        stamp: what changes if the generator does, so that a finished run can be known without loading that.
        command_line: words of the shell, for the record; none if it was not a shell.
        directory: folder that paths among the arguments begin in, for the record.

    Returns:
        The run. If the same run is in the folder it is ``finished`` or ``resumed``.

    Raises:
        SemanifoldError: if the folder is a file, cannot be written, belongs to something else or is being worked in.
    """
    facts = dict(facts)
    licence = facts.pop("licence", None)
    folder = Path(folder)
    if "\0" in str(folder):
        raise SemanifoldError(f"{shown(str(folder), 200)} cannot be the name of a folder; give another out=.")
    facts = plain({**facts, **inputs_of(arguments, inputs)})
    work = RunRecord(command=command, arguments=plain(arguments), facts=facts)

    def before() -> tuple[RunRecord | None, bool]:
        earlier = earlier_run(folder, command, arguments, overwrite=overwrite, growing=growing)
        if earlier is None:
            return None, False
        _check_same(folder, earlier, work, growing)
        return earlier, earlier.status == "finished" and not grown(earlier, work, growing)

    earlier, finished = before()
    if earlier is not None and finished:  # needs no lock, and no right to write
        return Run(folder, earlier, finished=True, resumed=True)
    made = tuple(p for p in (folder, *folder.parents) if not p.exists())
    with _sentences(Run(folder, work, made=made)):
        folder.mkdir(parents=True, exist_ok=True)
        lock = lock_folder(folder)
    try:
        earlier, finished = before()  # once more, now that nobody else can change it
        if earlier is not None and finished:
            lock.release()
            return Run(folder, earlier, finished=True, resumed=True)
        record = (work if earlier is None else earlier).changed(
            arguments=work.arguments,
            facts=work.facts,
            status="running",
            started=_now(),
            ended="",
            reason="",
            environment=environment(),
            command_line=tuple(command_line),
            directory=directory,
            stamp=stamp,
        )
        if (mark := marking(GENERATED)) is not None:
            record = record.changed(digital_source_type=CODES + mark)
        if licence is not None:
            record = record.changed(licence=licence)
        run = Run(folder, record, resumed=earlier is not None, made=made, lock=lock)
        if overwrite and os.path.lexists(folder / RECORD):
            with _sentences(replace(run, lock=None)):  # a record stays until all that it names is gone
                _remove_results(folder)
        with _sentences(run):
            run.note()
            _clear(run)  # what a process that was killed left half-written
    except BaseException:
        lock.release()
        raise
    return run


def _check_same(folder: Path, earlier: RunRecord, work: RunRecord, growing: Sequence[str]) -> None:
    others = list(differences(earlier, work, growing))
    if others:
        raise SemanifoldError(
            f"{shown(str(folder), 200)} holds another run ({', '.join(others[:3])}); give another out=, or "
            "overwrite=True to do it again."
        )


def carry_out(run: Run, work: Callable[[Run], T]) -> T | None:
    """Do some work in a run folder: the one way in which all commands resume, finish and fail.

    Args:
        run: what :func:`begin_run` returned.
        work: writes the results, to :meth:`Run.path`; if the run is ``resumed`` it goes on from what is there.

    Returns:
        What the work returned; None if the run was finished before, for then nothing is done.

    Raises:
        SemanifoldError: as of :func:`working`.
    """
    if run.finished:
        return None
    with working(run):
        return work(run)


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
            if run.record.status == "running":
                run.note(status="finished", ended=_now())
                (run.folder / CHECKPOINT).unlink(missing_ok=True)
    except KeyboardInterrupt:
        _clear(run)
        with suppress(OSError):
            run.note(status="interrupted", ended=_now())
        raise
    finally:
        if run.lock is not None:
            run.lock.release()


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
    if disk_is_full(error):
        return (
            f"The disk is full: {folder} could not be written; make room or give another out=, then run the same command again."
        )
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"{folder} could not be written ({why}); give another out=."


def _give_up(run: Run, reason: str) -> None:
    _clear(run)
    if run.resumed or run.has_results:
        with suppress(OSError):  # on a full disk the record stays as it was, and the same command goes on from there
            run.note(status="failed", reason=reason, ended=_now())
        return
    with suppress(OSError):
        if run.lock is not None:
            (run.folder / RECORD).unlink(missing_ok=True)
            run.lock.release()  # its file would keep the folder
        for folder in run.made:
            folder.rmdir()


def _clear(run: Run) -> None:
    """Remove temporary files, which are this process's or nobody's, for the folder is locked; and empty folders."""
    if run.lock is None:
        return
    with suppress(OSError):
        for place in _walk(run.folder):
            if STALE.fullmatch(place.name):
                _remove(place)
        for folder in [p for p in run.folder.iterdir() if p.is_dir() and not p.is_symlink()]:
            with suppress(OSError):
                folder.rmdir()  # an empty folder is no result; a filled one stays


def _walk(folder: Path) -> Iterator[Path]:
    """Yield what lies in a folder and below, but not in run folders within: links as what they are, and not without end."""
    waiting, seen = [(folder, 0)], 0
    while waiting:
        at, depth = waiting.pop()
        with suppress(OSError), os.scandir(at) as entries:  # gone or closed meanwhile
            for entry in entries:
                seen += 1
                if seen > MOST:
                    return
                yield Path(entry.path)
                inside = depth < DEEPEST and entry.is_dir(follow_symlinks=False)
                if inside and not os.path.lexists(os.path.join(entry.path, RECORD)):
                    waiting.append((Path(entry.path), depth + 1))


def result_files(folder: str | os.PathLike[str], names: Iterable[str]) -> list[Path]:
    """Return the regular files among results of a run and in their folders, sorted; links are left out.

    Args:
        folder: run folder.
        names: of files and folders in it; those that lead out of it are left out.
    """
    tops = [Path(folder) / name for name in names if is_plain_name(name)]
    places = [place for top in tops if not top.is_symlink() for place in (top, *_walk(top))]
    return sorted(place for place in places if not place.is_symlink() and place.is_file())


def _remove(place: Path) -> None:
    """Remove a file, a link or a folder with all that is in it; links are not followed."""
    if place.is_symlink() or not place.is_dir():
        place.unlink(missing_ok=True)
        return
    try:
        shutil.rmtree(place)
    except RecursionError as error:
        raise OSError(errno.ENAMETOOLONG, f"{shown(place.name)} is nested too deeply to be removed") from error


def _remove_results(folder: Path) -> None:
    """Remove what an earlier run wrote; names come from its record, which :func:`read_record` has checked."""
    for name in [*read_record(folder).files, CHECKPOINT, RECORD]:
        _remove(folder / name)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
