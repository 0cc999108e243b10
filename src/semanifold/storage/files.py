"""Writing files so that nobody ever sees half of one, and opening those of strangers without waiting or growing for ever.

Our own: packages for atomic writing use one temporary name that can be guessed, or are no longer kept, and none bounds reading.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from semanifold.core.errors import SemanifoldError, shown

PART = ".part"
"""How temporary names end; they begin with a dot."""
LONGEST_STEM = 100


@contextmanager
def replacing(path: str | os.PathLike[str], previous: Path | None = None) -> Iterator[Path]:
    """Give a temporary name beside ``path``; rename it to ``path`` at the end, remove it if anything goes wrong.

    The name cannot be guessed, and the file is made anew and never through a link, so that a link which a stranger left in the
    folder leads nowhere.

    Args:
        path: the file to write; its folder must exist.
        previous: name that the file that was there gets; by default it is gone.

    Yields:
        The name to write to, in the same folder: hidden, and ending in ``.part``.
    """
    path = Path(path)
    part = path.with_name(f".{path.name[:LONGEST_STEM]}.{secrets.token_hex(8)}{PART}")
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o666))
    try:
        usual = part.stat().st_mode
        yield part
        part.chmod(usual)  # safetensors makes files that nobody else may read
        if previous is not None and path.exists():
            os.replace(path, previous)
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def disk_is_full(error: Exception) -> bool:
    """Whether writing failed for lack of room; safetensors says so in words alone."""
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
    return full or "os error 28" in str(error) or "No space left" in str(error)


@contextmanager
def making_folder(path: Path) -> Iterator[Path]:
    """Give a new folder of a temporary name; rename it to ``path`` at the end, remove it if anything goes wrong."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}{PART}")
    part.mkdir(parents=True)
    try:
        yield part
        part.rename(path)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def check_new_file(path: Path, *, overwrite: bool) -> None:
    """Refuse the name of a file that cannot be written there, before the work for it.

    Raises:
        SemanifoldError: if the folder is missing or cannot be written to, or the file is there and is to stay.
    """
    name = shown(str(path), 200)
    if not is_folder(path.parent):
        raise SemanifoldError(f"There is no folder {shown(str(path.parent), 200)} to write {shown(path.name)} to; make it first.")
    if is_folder(path):
        raise SemanifoldError(f"{name} is a folder; give the name of a new file.")
    if os.path.lexists(path) and not overwrite:
        raise SemanifoldError(f"{name} exists already; choose another name, or let it be overwritten: overwrite=True.")
    check_writable(path.parent, "choose another name or folder")


def check_writable(folder: Path, instead: str = "give another out=") -> None:
    """Refuse a folder that results cannot be written to, before the work for them: one may be made where it would begin.

    Raises:
        SemanifoldError: in the words of the operating system.
    """
    place = Path(os.path.abspath(folder))
    try:
        while not os.path.lexists(place):
            place = place.parent
        trial = place / f".{secrets.token_hex(8)}{PART}"
        trial.mkdir()
        trial.rmdir()
    except OSError as error:
        raise SemanifoldError(
            f"{shown(str(folder), 200)} could not be written ({error.strerror or error}); {instead}."
        ) from error


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 text file whole or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as part:
        part.write_bytes(data)


def append_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 text behind what a file holds."""
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(text)


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether there is a regular file of this name; False, and no error, for a text that no file can be called."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # too long, or a zero byte
        return False


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether there is a folder of this name; False, and no error, for a text that no folder can be called."""
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False


@contextmanager
def opened(path: str | os.PathLike[str], what: str = "file", most: int | None = None) -> Iterator[BinaryIO]:
    """Open a regular file for reading; a named pipe or a device is refused at once instead of being waited for.

    Args:
        path: the file.
        what: what it is expected to be, for the messages, such as ``"mask"``.
        most: bytes that it may have.

    Raises:
        SemanifoldError: if there is no such file, it is none, it is too large, or it cannot be read.
    """
    name = shown(os.fspath(path), 200)
    one = f"{'an' if what[0] in 'aeiou' else 'a'} {what}"
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SemanifoldError(f"There is no {what} {name}; check the spelling.") from error
    except (OSError, ValueError) as error:
        raise SemanifoldError(f"The {what} {name} cannot be read: {_why(error)}.") from error
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a device or a pipe"
        raise SemanifoldError(f"{name} is {kind}, but {one} is expected.")
    with os.fdopen(handle, "rb") as file:
        if most is not None and status.st_size > most:
            raise SemanifoldError(f"{name} has {status.st_size:,} bytes, more than {one} ever has ({most:,}).")
        yield file


def read_bytes(path: str | os.PathLike[str], what: str = "file", most: int | None = None) -> bytes:
    """Return the bytes of a regular file; see :func:`opened`."""
    with opened(path, what, most) as file:
        try:
            return file.read()
        except (OSError, MemoryError) as error:
            raise SemanifoldError(f"The {what} {shown(os.fspath(path), 200)} cannot be read: {_why(error)}.") from error


def _why(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or "it does not fit into memory"
