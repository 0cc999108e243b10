"""Tries one command on one input in a process of its own, and says what is wrong with how it ended.

Each trial is a fork of a process that has imported everything, so that hundreds of them take minutes; processor time and memory
are therefore those of the command alone.
"""

from __future__ import annotations

import io
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from semanifold.app.cli import LONGEST_SENTENCE, main
from semanifold.app.commands.arguments import known_options
from semanifold.app.commands.table import COMMANDS, command_class
from semanifold.core.errors import shown

MOST_SECONDS, MOST_BYTES = 10.0, 1 << 30
"""Processor time and additional memory that a command may take."""
PATIENCE = 240
"""Seconds of the clock after which a command is ended: the machine may be busy."""
IN, OUT, GOOD = "@in", "@out", "@good"
"""What stands in a command for the folder of the input, for that of the results, and for that of good files."""
CANARY = "canary"

Words = tuple[str, ...]


@dataclass(frozen=True)
class Hostile:
    """One hostile input, and the commands that take it.

    Attributes:
        kind: what it is.
        name: what is wrong with it.
        make: writes it into an empty folder; is given that folder and the one of good files.
        uses: commands, with :data:`IN` for the folder.
        stdout: ``""``, ``"closed"`` or ``"full"``.
    """

    kind: str
    name: str
    make: Callable[[Path, Path], object]
    uses: tuple[Words, ...]
    stdout: str = ""


@dataclass(frozen=True)
class Outcome:
    """How one command ended.

    Attributes:
        words: of the command.
        code: exit code; negative if a signal ended it.
        seconds: processor time.
        bytes: how far the memory grew.
        faults: what is wrong; empty if it held.
        stderr: its end.
    """

    words: Words
    code: int
    seconds: float
    bytes: int
    faults: tuple[str, ...]
    stderr: str = field(repr=False, default="")


def warm_up(*, training: bool = True) -> None:
    """Import what commands import when they run, and use what PyTorch loads at its first use."""
    import importlib

    import torch

    torch.set_num_threads(1)
    for name in COMMANDS:
        known_options(command_class(name), name)
    for name in (
        *(f"app.actions.{name}" for name in ("bench", "directions", "discover", "edits", "files", "masks", "paths", "play")),
        *(f"app.actions.{name}" for name in ("ranking", "rerun", "train")),
        *("paths.foreign", "training.experiments", "images.plots", "app.inspecting"),
        *("analysis.attributes.onnx_files", "analysis.attributes.names"),
    ):
        importlib.import_module(f"semanifold.{name}")
    for name in ("accelerate", "torch.utils.tensorboard") if training else ():
        importlib.import_module(name)
    from semanifold.generators import loading

    generator, others = loading.load_generator("faces"), loading._bundled
    loading._bundled = lambda name: generator if name == "faces" else others(name)  # what loading costs is not measured
    with torch.no_grad():
        generator.images(generator.sample([0]))


def try_all(hostile: Hostile, place: Path, good: Path, uses: Sequence[Words] | None = None) -> Iterator[Outcome]:
    """Make an input and try commands on it, one after the other; all of its own by default."""
    for words in hostile.uses if uses is None else uses:
        remove(place)
        (place / "in").mkdir(parents=True)
        (place / "work").mkdir()
        hostile.make(place / "in", good)
        yield attempt(words, place, good, hostile.stdout)
    remove(place)


def remove(place: Path) -> None:
    """Remove a folder, however deep."""
    if place.exists():
        subprocess.run(["rm", "-rf", place], check=True)


def attempt(words: Words, place: Path, good: Path, stdout: str = "") -> Outcome:
    """Run one command in a fork of this process and judge how it ended."""
    places = {IN: str(place / "in"), OUT: str(place / "work" / "result"), GOOD: str(good)}
    typed = [_filled(word, places) for word in words]
    before = listing(place / "in")
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        _run(typed, place, stdout)
    start = time.monotonic()
    _, status, usage = os.wait4(child, 0)
    code = os.waitstatus_to_exitcode(status)
    grown = usage.ru_maxrss * 1024 - int((place / "baseline").read_text())
    seconds = usage.ru_utime + usage.ru_stime
    out, err = ((place / name).read_bytes().decode("utf-8", "replace") for name in ("stdout", "stderr"))
    faults = [*_faults(code, out, err, stdout)]
    if time.monotonic() - start > PATIENCE:
        faults.append("waits for ever")
    if seconds > MOST_SECONDS:
        faults.append(f"takes {seconds:.1f} s")
    if grown > MOST_BYTES:
        faults.append(f"takes {grown / 2**20:.0f} MB")
    if (place / CANARY).exists():
        faults.append("runs code of the input")
    if listing(place / "in") != before:
        faults.append("changes its input")
    if code != 0 and not stdout and any((place / "work").iterdir()):
        faults.append(f"leaves {sorted(p.name for p in (place / 'work').iterdir())[:3]} behind")
    shutil.rmtree(place / "work", ignore_errors=True)
    return Outcome(words, code, seconds, max(grown, 0), tuple(faults), err[-2000:])


def _filled(word: str, places: dict[str, str]) -> str:
    for name, path in places.items():
        word = word.replace(name, path)
    return word


def _faults(code: int, out: str, err: str, stdout: str) -> Iterator[str]:
    """Yield what is wrong with an exit code and what was printed."""
    lines = err.splitlines()
    sentences = [line for line in lines if line.startswith("semanifold: ")]
    if code not in (0, 2):
        yield f"ends with {code}"
    if "Traceback" in err or "Error:" in err:
        yield "shows a traceback"
    if "Warning" in err:
        yield "shows a warning of Python"
    if code == 2 and len(sentences) != 1:
        yield f"says {len(sentences)} sentences"
    if code == 0 and sentences:
        yield "succeeds with an error"
    if any(len(line) > LONGEST_SENTENCE + 100 for line in sentences):
        yield "says an endless sentence"
    if bad := next((line for line in [*lines, *out.splitlines()] if shown(line, 10**6) != line), None):
        yield f"prints {ascii(bad)[:60]}"
    if stdout == "full" and code != 2:
        yield "does not notice that nothing can be printed"


def listing(folder: Path, most: int = 20_000) -> list[tuple[str, int, int]]:
    """Return what lies in a folder: name, size and time of its change; links are not followed."""
    found: list[tuple[str, int, int]] = []
    waiting = [str(folder)]
    while waiting and len(found) < most:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    inside = entry.is_dir(follow_symlinks=False)
                    found.append((entry.path, 0 if inside else status.st_size, status.st_mtime_ns))
                    if inside:
                        waiting.append(entry.path)
        except OSError:
            continue
    return sorted(found)


def _run(words: list[str], place: Path, stdout: str) -> None:
    """Be the process of a command: never returns."""
    code = 1
    try:
        os.chdir(place / "work")
        (place / "baseline").write_text(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))
        out = "/dev/full" if stdout == "full" else place / "stdout"
        (place / "stdout").touch()
        for number, file in ((0, os.devnull), (1, out), (2, place / "stderr")):
            handle = os.open(file, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(handle, number)
            os.close(handle)
        sys.stdout = io.TextIOWrapper(io.FileIO(1, "w"), encoding="utf-8", write_through=False)
        sys.stderr = io.TextIOWrapper(io.FileIO(2, "w"), encoding="utf-8", errors="backslashreplace", line_buffering=True)
        if stdout == "closed":
            os.close(1)
            sys.stdout = None  # type: ignore[assignment]
        _limit()
        sys.argv = ["semanifold", *words]
        code = main(words)
        if sys.stdout is not None:
            sys.stdout.flush()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        code = 1
        traceback.print_exc()
    finally:
        os._exit(code & 255)


def _limit() -> None:
    """Bound the process well above what is allowed, so that the machine survives whatever happens."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + 3 * MOST_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (int(3 * MOST_SECONDS), int(3 * MOST_SECONDS) + 5))
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 30, 4 << 30))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(PATIENCE)
