"""One process per folder: a lock of the operating system, which a crash releases.

Our own: ``filelock`` does not say who holds a lock, and leaves its file in the folder.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from semanifold.core.errors import SemanifoldError, shown

LOCK = ".lock"
"""The file that is locked; it says who works in the folder, and is removed with the lock."""
FAR = 1 << 30
"""Windows locks bytes and forbids reading them: this one lies behind the text."""
BUSY = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK)
WITHOUT = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK, errno.EINVAL)
"""What file systems answer that know no locks; there the folder is used without one."""


@dataclass
class FolderLock:
    """The right to write into a folder, held until :meth:`release` or the end of the process.

    Attributes:
        folder: the folder.
        file: the open lock file; None once released. A lock that is dropped is released with it.
    """

    folder: Path
    file: BinaryIO | None = field(repr=False)

    def release(self) -> None:
        """Let others in; the second call does nothing."""
        if self.file is None:
            return
        file, self.file = self.file, None
        if sys.platform == "win32":  # there an open file cannot be removed
            file.close()
        with suppress(OSError):
            (self.folder / LOCK).unlink()  # while still locked: who has opened the same file sees that it is gone
        file.close()


def lock_folder(folder: Path) -> FolderLock:
    """Lock a folder for this process, or rather this caller: another thread is refused as well.

    Raises:
        SemanifoldError: if somebody else holds the lock.
        OSError: if the folder cannot be written.
    """
    while True:
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        file = os.fdopen(os.open(folder / LOCK, flags, 0o666), "r+b", buffering=0)
        try:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError(errno.EINVAL, f"{LOCK} is no regular file")
            if not _locked(file):
                raise SemanifoldError(
                    f"Another process is working in {shown(str(folder), 200)}{_holder(file)}; wait until it has ended, or give "
                    "another out=."
                )
            # The holder before may have removed the file between its opening here and its locking: then it locks nothing.
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), os.stat(folder / LOCK, follow_symlinks=False)):
                    return _signed(FolderLock(folder, file))
        except BaseException:
            file.close()
            raise
        file.close()


def _signed(lock: FolderLock) -> FolderLock:
    """Say in the file of a lock who holds it; where the disk is full no file is left."""
    assert lock.file is not None
    try:
        lock.file.truncate(0)
        lock.file.write(f"process {os.getpid()} since {datetime.now(UTC).isoformat(timespec='seconds')}".encode())
    except OSError:
        lock.release()
        raise
    return lock


def _holder(file: BinaryIO) -> str:
    with suppress(OSError):
        if words := file.read(100).decode("utf-8", "replace"):
            return f" ({shown(words)})"
    return ""


def _locked(file: BinaryIO) -> bool:
    """Lock an open file at once, or say that somebody else has."""
    try:
        if sys.platform == "win32":
            import msvcrt  # noqa: PLC0415  (there is none elsewhere)

            file.seek(FAR)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            file.seek(0)
        else:
            import fcntl  # noqa: PLC0415  (there is none on Windows)

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in BUSY:
            file.seek(0)
            return False
        if error.errno not in WITHOUT:
            raise
    return True
