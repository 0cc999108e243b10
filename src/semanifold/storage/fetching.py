"""Downloads: to a temporary name, resumed, verified by their SHA-256, renamed, and kept.

Our own, on ``urllib``: ``pooch`` does not resume, and ``huggingface_hub`` knows one site only.
"""

from __future__ import annotations

import http.client
import os
import re
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from semanifold.core.errors import SemanifoldError, shown
from semanifold.storage.digests import file_digest
from semanifold.storage.files import PART, is_file, read_bytes, write_text

CHUNK = 1 << 20
TIMEOUT = 30.0
"""Seconds without a byte after which a download is given up; it can be resumed."""
SLOWEST, WINDOW = 1024, 60.0
"""Bytes per second, over so many seconds, below which a download is given up as well."""
MOST_BYTES, MOST_UNTOLD = 1 << 36, 1 << 33
"""Bytes of a file whose length is known before, and of one whose length is not: no weights are larger."""
MARK = ".mark"
"""What the file beside an unfinished download is called; it names the version that the download began with."""
LONGEST_MARK = 4096


def is_url(text: str) -> bool:
    """Whether this is an address and not a path."""
    return re.match(r"https?://", text) is not None


def cache_folder() -> Path:
    """Where downloads are kept: ``$SEMANIFOLD_CACHE``, else ``~/.cache/semanifold``."""
    return Path(os.environ.get("SEMANIFOLD_CACHE") or Path.home() / ".cache" / "semanifold")


def fetch(address: str, sha256: str | None = None) -> tuple[Path, str]:
    """Download a file once and return where it lies, and its SHA-256.

    A cut-off download leaves a ``.part`` file and goes on from there at the next call. The cached file is not verified again.

    Args:
        address: ``https://...``, with ``#sha256=HEX`` at its end or without.
        sha256: the SHA-256, if the address does not carry it.

    Raises:
        SemanifoldError: without a hash, when the download fails, or when the file has another hash (it is deleted then).
    """
    url, expected = _split(address, sha256)
    path = cache_folder() / f"{expected[:16]}-{file_name(url)}"
    if not path.exists():
        download(url, path, expected)
    return path, expected


def file_name(url: str) -> str:
    """Return what the file behind an address is called, in characters that every file system takes."""
    name = urllib.parse.unquote(url.partition("?")[0].rstrip("/").rpartition("/")[2])
    return re.sub(r"[^\w.-]", "_", name)[-80:] or "weights"


def download(url: str, path: Path, sha256: str | None = None) -> str:
    """Download a file to ``path`` and return its SHA-256; the folder is made if it is missing.

    What has come of a cut-off download stays as ``.part`` and the next call goes on from there: for a file without a known hash
    only if the server says that it is still the same version.

    Args:
        url: the address.
        path: where the file shall lie; it appears there whole or not at all, in place of what was there.
        sha256: the hash that it must have; any hash is right when None.

    Raises:
        SemanifoldError: when the download fails, the answer is a web page, or the file has another hash (it is deleted then).
    """
    part = path.with_name(path.name + PART)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _download(url, part, trusting=sha256 is None)
        actual = file_digest(part)
        if sha256 not in (None, actual):
            _forget(part)
            raise SemanifoldError(
                f"{shown(url, 200)} has the SHA-256 {actual}, but {sha256} was expected: the file there was changed or the hash "
                "is wrong; the download was deleted."
            )
        os.replace(part, path)
        _forget(part)
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, SemanifoldError):
            raise
        raise SemanifoldError(
            f"{shown(url, 200)} could not be downloaded to {path.parent}: {shown(' '.join(str(error).split()), 200)}; check "
            "address and network, and try again (it resumes)."
        ) from error
    return actual


def _split(address: str, sha256: str | None) -> tuple[str, str]:
    url, _, fragment = address.partition("#")
    text = shown(url, 200)
    hashes = [text.lower() for text in (fragment.removeprefix("sha256=") if fragment else None, sha256) if text]
    if not hashes:
        raise SemanifoldError(f"The address {text} needs a hash, so that you get what you expect: add #sha256=HEX to it.")
    if len(set(hashes)) > 1:
        raise SemanifoldError(
            f"Two different hashes were given for {text}: {shown(hashes[0])} and {shown(hashes[1])}; leave the wrong one out."
        )
    if not re.fullmatch(r"[0-9a-f]{64}", hashes[0]):
        raise SemanifoldError(f"{shown(hashes[0])!r} is no SHA-256; it has 64 hexadecimal digits, as in {text}#sha256=0123...")
    return url, hashes[0]


def _download(url: str, part: Path, trusting: bool) -> None:
    """Write the file to ``part``, going on from what is there if the server can.

    Args:
        url: the address.
        part: where to write, and what has come before.
        trusting: whether no hash will tell afterwards that the two halves belong to different versions of the file.
    """
    mark = part.with_name(part.name + MARK)
    version = _version(mark)
    have = part.stat().st_size if part.exists() and (version or not trusting) else 0
    headers = {"User-Agent": "semanifold"} | ({"Range": f"bytes={have}-"} if have else {})
    headers |= {"If-Range": version} if have and version else {}
    try:
        opener = urllib.request.build_opener(_WebOnly)
        answer: Any = opener.open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        if not trusting:  # nothing is left to send, and the hash will tell whether this is right
            return
        _forget(part)
        return _download(url, part, trusting)
    with answer:
        if answer.headers.get_content_type() == "text/html":
            raise SemanifoldError(
                f"{shown(url, 200)} answers with a web page instead of the file; open it in a browser to see what it says."
            )
        resumed = answer.status == 206
        have = have if resumed else 0
        if not resumed:
            _remember(mark, answer.headers)
        total = _total(answer.headers, have)
        if total is not None and total - have > shutil.disk_usage(part.parent).free:
            raise SemanifoldError(
                f"{shown(url, 200)} has {total:,} bytes, for which there is no room in {part.parent}; make room, or set "
                "SEMANIFOLD_CACHE to a folder on another disk."
            )
        with open(part, "ab" if resumed else "wb", opener=_through_no_link) as file:
            ended = _copy(answer.read1, file.write, have, total, file_name(url))
        if not ended:
            _forget(part)
            raise SemanifoldError(f"{shown(url, 200)} does not end after {MOST_UNTOLD:,} bytes, so it was given up; check it.")
        if total is not None and part.stat().st_size != total:
            raise http.client.IncompleteRead(b"", total - part.stat().st_size)


class _WebOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirections to http and https only."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """See the parent."""
        if not is_url(newurl):
            raise urllib.error.HTTPError(newurl, code, "it leads to an address that is not of the web", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _total(headers: Any, have: int) -> int | None:
    """Return how many bytes the whole file has; None if the answer does not say it.

    Args:
        headers: of the answer.
        have: bytes that are there already, after which the answer goes on.

    Raises:
        ValueError: if what it says makes no sense.
    """
    part = re.match(r"bytes (\d+)-", headers.get("Content-Range", ""))
    if part and int(part[1][:20]) != have:
        raise ValueError("the answer is another part of the file than the one that was asked for")
    length = headers.get("Content-Length")
    if not length:
        return None
    if not re.fullmatch(r"[0-9]{1,15}", length) or have + int(length) > MOST_BYTES:
        raise ValueError(f"the answer has a length that makes no sense: {length}")
    return have + int(length)


def _version(mark: Path) -> str:
    """Return the version that an unfinished download began with; empty if it is unknown, or the mark is damaged."""
    if not is_file(mark):
        return ""
    version = read_bytes(mark, "mark of a download", LONGEST_MARK).decode("latin-1")
    return version if version.isascii() and version.isprintable() else ""


def _through_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _copy(read: Callable[[int], bytes], write: Callable[[bytes], object], have: int, total: int | None, title: str) -> bool:
    """Write what is read, with a bar, and return whether it has an end.

    Raises:
        TimeoutError: if it is sent too slowly.
    """
    come, begun, before = have, time.monotonic(), have
    with tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=title, leave=False) as bar:
        while chunk := read(CHUNK):
            come += len(chunk)
            if total is None and come > MOST_UNTOLD:
                return False
            write(chunk)
            bar.update(len(chunk))
            if (now := time.monotonic()) - begun > WINDOW:
                if come - before < SLOWEST * WINDOW:
                    raise TimeoutError(f"less than {SLOWEST} bytes per second arrive")
                begun, before = now, come
    return True


def _remember(mark: Path, headers: Any) -> None:
    """Keep what names this version of the file: its entity tag, or else its date."""
    tag = headers.get("ETag", "")
    version = headers.get("Last-Modified", "") if tag.startswith("W/") else tag or headers.get("Last-Modified", "")
    if version:
        write_text(mark, version)
    else:
        mark.unlink(missing_ok=True)


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    part.with_name(part.name + MARK).unlink(missing_ok=True)
