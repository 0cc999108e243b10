"""What belongs to a whole process, and is changed by the command line only: its folder, its threads, and who hears Ctrl-C.

Nothing below ``app/`` changes or asks any of it, so that a server or a notebook can search and train in threads of its own
(``tests/project/test_global_state.py`` holds the rule and its few exceptions).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any, TypedDict

import torch


class Asked(TypedDict):
    """Where and how a command was given, as ``run.json`` keeps it."""

    command_line: list[str]
    directory: str


def asked() -> Asked:
    """Return the words of this process, and the folder that the paths among them begin in."""
    return {"command_line": ["semanifold", *sys.argv[1:]], "directory": os.getcwd()}


@contextmanager
def elsewhere(place: Path) -> Iterator[None]:
    """Work in another folder, which may be a stranger's: no module is imported from there.

    For a rerun, which gives a recorded command again where it was given. With absolute paths in its arguments it would be another
    run: the arguments are compared with those of earlier runs, a mask's text is the name of its edit, and names of files follow
    from that. A server that reruns gives it a process of its own.
    """
    before = sys.path[:]
    sys.path[:] = [part for part in before if part not in ("", ".")]
    try:
        with chdir(place):
            yield
    finally:
        sys.path[:] = before


@contextmanager
def one_interrupt() -> Iterator[Callable[[], bool]]:
    """Keep the first Ctrl-C inside of this context, for work that stops at a good place; a second one is as usual.

    Yields:
        Whether there was one. In a thread, where no signals arrive, there is none.
    """
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag.is_set
        return
    before = signal.getsignal(signal.SIGINT)

    def keep(number: int, frame: Any) -> None:
        flag.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, keep)
    try:
        yield flag.is_set
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def threads_left(others: int) -> Iterator[None]:
    """Leave cores to other programs inside of this context: PyTorch takes so many threads fewer, but at least one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(max(threads - others, 1))
    try:
        yield
    finally:
        torch.set_num_threads(threads)
