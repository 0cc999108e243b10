"""Only storage reads, writes, renames, hashes or parses files: the rule, and the exceptions with their reasons."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

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

ALLOWED = {}
"""File: calls, and why they are not in storage."""


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
