"""Only storage reads, writes, renames, hashes or parses files: the rule, and the exceptions with their reasons."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import semanifold

SOURCE = Path(semanifold.__file__).parent

MODULES = {"csv", "hashlib", "pickle", "shutil", "tarfile", "tempfile", "zipfile"}
"""Whose every use is counted."""
METHODS = {"open", "read_bytes", "read_text", "rename", "write_bytes", "write_text"}
"""Of paths; the functions of ``storage.files`` that are called so are called by their bare name."""
FUNCTIONS = {
    "json": {"load", "loads", "dump"},
    "np": {"fromfile", "load", "memmap", "save", "savez", "savez_compressed"},
    "os": {"fdopen", "link", "open", "rename", "replace"},
    "torch": {"load", "save"},
}
SAFETENSORS = {"load_file", "safe_open", "save_file"}

ALLOWED = {
    "analysis/ranking/reports.py": ({"csv.writer": 1}, "the text of a table, which storage writes"),
    "app/cli.py": ({"open": 2, "os.open": 1}, "the streams of a process that nobody reads any more"),
    "app/showing.py": ({"TemporaryDirectory": 1}, "ffmpeg writes files only, and a notebook wants the bytes of one"),
    "app/terminal.py": ({"open": 1}, "the streams of a process that nobody reads any more"),
    "core/notebook.py": ({"().save": 1}, "a picture in memory, below storage"),
    "generators/seeds.py": ({"hashlib.shake_256": 1}, "random numbers, no digest"),
}
"""File: its calls, and why they are not in storage."""


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "()"


def file_calls(tree: ast.AST) -> Iterator[str]:
    """Yield the calls of a module that touch files, or could."""
    places: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            places |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        first, _, rest = _dotted(node.func).partition(".")
        name = places.get(first, first) + (f".{rest}" if rest else "")
        owner, _, method = name.rpartition(".")
        if (
            name == "open"
            or name.split(".")[0] in MODULES
            or (isinstance(node.func, ast.Attribute) and method in METHODS)
            or method in FUNCTIONS.get(owner, ())
            or (owner.startswith("safetensors") and method in SAFETENSORS)
            or (owner == "np.lib.format")
            or (method == "save" and any(keyword.arg == "format" for keyword in node.keywords))  # of a picture
        ):
            yield _dotted(node.func)


def all_calls() -> dict[str, Counter[str]]:
    """Return the calls of every file outside of storage."""
    files = [path for path in sorted(SOURCE.rglob("*.py")) if path.relative_to(SOURCE).parts[0] != "storage"]
    found = {path.relative_to(SOURCE).as_posix(): Counter(file_calls(ast.parse(path.read_bytes()))) for path in files}
    return {file: calls for file, calls in found.items() if calls}


def test_only_storage_touches_files() -> None:
    assert all_calls() == {file: Counter(calls) for file, (calls, _) in ALLOWED.items()}


@pytest.mark.parametrize(
    "text",
    [
        "open('x')",
        "import numpy as np\nnp.save(file, x)",
        "import torch\ntorch.load(path, weights_only=True)",
        "from safetensors.torch import save_file as write\nwrite(x, y)",
        "from hashlib import sha256\nsha256(x)",
        "from os import replace\nreplace(x, y)",
        "import json\njson.loads(text)",
        "Path(x).read_text()",
        "picture.save(file, format='PNG')",
        "from PIL import Image\nImage.open(x)",
    ],
)
def test_calls_that_touch_files_are_found_whatever_they_are_called(text: str) -> None:
    assert len(list(file_calls(ast.parse(text)))) == 1
    assert not list(file_calls(ast.parse("write_text(x, y)\nread_bytes(x)\ntext.replace(a, b)\ntraining.save(folder)")))
