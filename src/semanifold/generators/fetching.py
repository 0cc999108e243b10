"""Downloads: to a temporary name, resumed, verified by their SHA-256, renamed, and kept."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from tqdm import tqdm

from semanifold.errors import SemanifoldError

CHUNK = 1 << 20
TIMEOUT = 30.0
"""Seconds without a byte after which a download is given up; it can be resumed."""


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
    name = url.partition("?")[0].rstrip("/").rpartition("/")[2]
    name = re.sub(r"[^\w.-]", "_", urllib.parse.unquote(name)) or "weights"
    path = cache_folder() / f"{expected[:16]}-{name[-80:]}"
    if path.exists():
        return path, expected
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _download(url, part)
        found = _digest(part)
        if found != expected:
            part.unlink()
            raise SemanifoldError(
                f"{url} has the SHA-256 {found}, but {expected} was expected: the file there was changed or the hash is wrong; "
                "the download was deleted."
            )
        os.replace(part, path)
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, SemanifoldError):
            raise
        raise SemanifoldError(
            f"{url} could not be downloaded to {path.parent}: {error}; check address and network, and try again (it resumes)."
        ) from error
    return path, expected


def _split(address: str, sha256: str | None) -> tuple[str, str]:
    url, _, fragment = address.partition("#")
    given = [text.lower() for text in (fragment.removeprefix("sha256=") if fragment else None, sha256) if text]
    if not given:
        raise SemanifoldError(f"The address {url} needs a hash, so that you get what you expect: add #sha256=HEX to it.")
    if len(set(given)) > 1:
        raise SemanifoldError(f"Two different hashes were given for {url}: {given[0]} and {given[1]}; leave the wrong one out.")
    if not re.fullmatch(r"[0-9a-f]{64}", given[0]):
        raise SemanifoldError(f"{given[0]!r} is no SHA-256; it has 64 hexadecimal digits, as in {url}#sha256=0123...")
    return url, given[0]


def _download(url: str, part: Path) -> None:
    """Write the file to ``part``, going on from what is there if the server can."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "semanifold"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        answer: Any = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing is left to send
            return
        raise
    with answer:
        resumed = answer.status == 206
        have = have if resumed else 0
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else None
        with (
            part.open("ab" if resumed else "wb") as file,
            tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=part.stem[17:], leave=False) as bar,
        ):
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
        if total is not None and part.stat().st_size < total:
            raise http.client.IncompleteRead(b"", total - part.stat().st_size)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
