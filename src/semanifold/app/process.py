"""What belongs to a whole process, and is changed by the command line only: its threads, and who hears Ctrl-C.

No action and nothing below ``app/`` changes or asks any of it, so that a server or a notebook can search and train in threads of
its own (``tests/project/test_global_state.py`` holds the rule and its few exceptions).
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch


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
