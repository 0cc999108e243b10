"""Servers that lie, loop, never end or trickle: one sentence each, and nothing is kept that is not what was asked for."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from semanifold.core.errors import SemanifoldError
from semanifold.storage import fetching

OK = b"HTTP/1.1 200 OK\r\n"
FOUND = b"HTTP/1.1 302 Found\r\nLocation: "
ANSWERS = {
    "negative length": (OK + b"Content-Length: -5\r\n\r\nabc", "length that makes no sense"),
    "length in words": (OK + b"Content-Length: abc\r\n\r\nabc", "length that makes no sense"),
    "length of 400 digits": (OK + b"Content-Length: " + b"9" * 400 + b"\r\n\r\nabc", "length that makes no sense"),
    "length of a petabyte": (OK + b"Content-Length: 999999999999999\r\n\r\nabc", "length that makes no sense"),
    "cut short": (OK + b"Content-Length: 30\r\n\r\nabc", "IncompleteRead"),
    "another part": (b"HTTP/1.1 206 x\r\nContent-Range: bytes 5-7/8\r\nContent-Length: 3\r\n\r\nabc", "another part of the file"),
    "words that steer": (b"HTTP/1.1 404 \x1b[2J evil\r\n\r\n", r"404: \\x1b\[2J evil"),
    "no answer of the web": (b"\0\x01\r\nsemanifold: all is well\r\n\r\n", r"\\x00\\x01"),
    "endless header": (OK + b"X: " + b"a" * 100_000 + b"\r\n\r\n", "header line"),
    "broken chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n", "IncompleteRead"),
    "circle": (FOUND + b"/again\r\n\r\n", "infinite loop"),
    "to a file": (FOUND + b"file:///etc/passwd\r\n\r\n", "not allowed"),
    "to another protocol": (FOUND + b"ftp://127.0.0.1:9/x\r\n\r\n", "not of the web"),
    "to nowhere": (FOUND + b"http://[::1\r\n\r\n", "Invalid IPv6"),
}  # fmt: skip


@contextmanager
def server(answer: Callable[[socket.socket], object]) -> Iterator[str]:
    """Answer every connection in the same way; yield the address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    try:
                        connection.recv(1 << 16)
                        answer(connection)
                    except OSError:
                        continue

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/x"
        listening.shutdown(socket.SHUT_RDWR)


def refusal(url: str, folder: Path, sha256: str | None = None) -> str:
    with pytest.raises(SemanifoldError) as raised:
        fetching.download(url, folder / "file", sha256)
    words = str(raised.value)
    assert "\n" not in words
    assert words.isprintable()
    assert len(words) < 700
    assert not (folder / "file").exists()
    return words


@pytest.mark.parametrize("name", ANSWERS)
def test_lies(name: str, tmp_path: Path) -> None:
    data, expected = ANSWERS[name]
    with server(lambda connection: connection.sendall(data)) as url, pytest.raises(SemanifoldError, match=expected):
        raise SemanifoldError(refusal(url, tmp_path))


def test_endless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pour(connection: socket.socket) -> None:
        connection.sendall(OK + b"\r\n")
        while True:
            connection.sendall(bytes(1 << 16))

    monkeypatch.setattr(fetching, "MOST_UNTOLD", 1 << 20)
    with server(pour) as url:
        assert "does not end" in refusal(url, tmp_path)
    assert not list(tmp_path.iterdir())


def test_trickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def trickle(connection: socket.socket) -> None:
        connection.sendall(OK + b"Content-Length: 1000\r\n\r\n")
        for _ in range(1000):
            connection.sendall(b"x")
            time.sleep(0.02)

    monkeypatch.setattr(fetching, "WINDOW", 0.2)
    start = time.monotonic()
    with server(trickle) as url:
        assert "per second" in refusal(url, tmp_path)
    assert time.monotonic() - start < 5


def test_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))  # type: ignore[attr-defined]
    with server(lambda connection: connection.sendall(OK + b"Content-Length: 3\r\n\r\nabc")) as url:
        assert "no room" in refusal(url, tmp_path)
    assert not list(tmp_path.iterdir())
