"""What belongs to a whole process, and is changed by the command line only: its threads, its memory, and who hears Ctrl-C.

No action and nothing below ``app/`` changes or asks any of it, so that a server or a notebook can search and train in threads of
its own (``tests/project/test_global_state.py`` holds the rule and its few exceptions).
"""

from __future__ import annotations

import ctypes
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1
"""Numbers of glibc's ``mallopt``."""


def keep_memory() -> None:
    """Keep memory that is freed for what comes next, where the C library is glibc.

    It would give large tensors back to the system, which clears their pages when the next ones are made: a fifth of the time of a
    generator of 256 pixels, against a tenth more memory.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library, or another system
        return
    # older ones take nothing above 32 MB for the first
    if not mallopt(MMAP_THRESHOLD, 1 << 30):
        mallopt(MMAP_THRESHOLD, 1 << 25)
    mallopt(TRIM_THRESHOLD, (1 << 31) - 1)


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
    import torch  # noqa: PLC0415  (slow to import)

    threads = torch.get_num_threads()
    torch.set_num_threads(max(threads - others, 1))
    try:
        yield
    finally:
        torch.set_num_threads(threads)
