"""Records that hold tensors do not compare field by field: two tensors have no single truth."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import semanifold

ROOM = Path(semanifold.__file__).parent
TENSORS = re.compile(r"\b(Tensor|ndarray|NDArray|Array)\b")


def generated(node: ast.ClassDef) -> bool:
    """Whether a class gets its ``__eq__`` by ``dataclass``."""
    own = any(isinstance(part, ast.FunctionDef) and part.name == "__eq__" for part in node.body)
    made = [ast.unparse(decorator) for decorator in node.decorator_list]
    return not own and any(text.startswith("dataclass") and "eq=False" not in text for text in made)


def holds_tensors(node: ast.ClassDef) -> bool:
    """Whether a field of a class is a tensor or an array, or holds some."""
    fields = [ast.unparse(part.annotation) for part in node.body if isinstance(part, ast.AnnAssign)]
    return any(TENSORS.search(field) and "Callable" not in field for field in fields)


def test_no_record_of_tensors_compares_its_fields() -> None:
    """Comparing them would end in torch's error about the truth of a tensor; such records are equal to themselves only."""
    wrong = [
        f"{file.relative_to(ROOM)}: {node.name}"
        for file in sorted(ROOM.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ClassDef) and generated(node) and holds_tensors(node)
    ]
    assert not wrong, f"write @dataclass(..., eq=False), or an __eq__ of their own: {wrong}"
