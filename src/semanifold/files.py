"""Writing files so that nobody ever sees half of one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from semanifold.errors import SemanifoldError

PART = ".part"


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary name beside ``path``; rename it to ``path`` at the end, remove it if anything goes wrong.

    Args:
        path: the file to write; its folder must exist.

    Yields:
        The name to write to, ``path`` with ``.part`` after it.
    """
    path = Path(path)
    part = path.with_name(path.name + PART)
    try:
        part.touch()
        usual = part.stat().st_mode
        yield part
        part.chmod(usual)  # safetensors makes files that nobody else may read
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 text file whole or not at all."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def read_settings(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the object in a JSON file; empty where there is no such file, or it holds something else.

    Raises:
        SemanifoldError: if the file is damaged.
    """
    try:
        held = json.loads(Path(path).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise SemanifoldError(f"{path} is damaged: {error}.") from error
    return held if isinstance(held, dict) else {}
