"""Programs that tests run in a process of their own, to interrupt or kill it: forks of one that has imported PyTorch and no more.

That import takes longer than what they do.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

IMPORTED = (
    "pytest",
    "torch",
    "torch._dynamo",
    *(f"semanifold.app.actions.{name}" for name in ("discover", "invert", "paths", "train")),
)
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([*IMPORTED, "semanifold.app.cli", "semanifold.images.plots"])


def start(code: str, *words: str, out: Path | str = os.devnull, err: Path | str = os.devnull, **environment: str) -> BaseProcess:
    """Start ``python -c code words`` in the current folder, on one thread, and let it write its outputs to files."""
    process = FORKS.Process(target=_work, args=(code, words, os.getcwd(), str(out), str(err), environment))
    process.start()
    return process


def finish(process: BaseProcess, seconds: float = 120) -> int | None:
    """Wait for the end of a process and return its exit code; None if it takes too long, and is killed."""
    process.join(seconds)
    code = process.exitcode
    process.kill()
    process.join()
    return code


def _work(code: str, words: Sequence[str], folder: str, out: str, err: str, environment: dict[str, str]) -> None:
    """Run a program as a new interpreter would."""
    import torch  # imported already; those who only wait for the process need none

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    torch.set_num_threads(1)
    os.chdir(folder)
    os.environ.update(environment)
    for number, file in ((1, out), (2, err)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
    sys.argv = ["-c", *words]
    sys.path.insert(0, "")
    exec(compile(code, "<program>", "exec"), {"__name__": "__main__"})
