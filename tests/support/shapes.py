"""Checks the shapes in signatures at every call of the tests, by beartype through the import hook of jaxtyping.

Only shapes: other annotations are pyright's business. Where a test expects that a wrong value is refused in a sentence, it must
reach the code that refuses it, so nothing is checked inside of ``pytest.raises(SemanifoldError)``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jaxtyping
import pytest
from beartype import beartype
from support.places import ROOT

SOURCE = ROOT / "src"
SHAPES = "from semanifold.core.shapes import"


def install() -> None:
    """Check the modules that name shapes, wherever they are imported from now on."""
    files = (path for path in (SOURCE / "semanifold").rglob("*.py") if SHAPES in path.read_text(encoding="utf-8"))
    modules = [".".join(path.relative_to(SOURCE).with_suffix("").parts) for path in files]
    jaxtyping.install_import_hook(modules, "support.shapes.shapes_only")
    pytest.raises = _raises(pytest.raises)


def shapes_only(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let beartype check what is a shape, or a choice of shapes."""
    signature = inspect.signature(function)
    kept = {name: kind for name, kind in function.__annotations__.items() if isinstance(kind, type) and _is_shape(kind)}
    if not kept:
        return function
    function.__annotations__ = kept
    function.__signature__ = signature.replace(
        parameters=[p.replace(annotation=kept.get(p.name, inspect.Parameter.empty)) for p in signature.parameters.values()],
        return_annotation=kept.get("return", inspect.Signature.empty),
    )
    return beartype(function)


def _is_shape(kind: type) -> bool:
    return issubclass(kind, jaxtyping.AbstractArray)


def _raises(real: Callable[..., Any]) -> Callable[..., Any]:
    from semanifold.core.errors import SemanifoldError

    @contextmanager
    def unchecked(*given: Any, **options: Any) -> Iterator[Any]:
        before = jaxtyping.config.jaxtyping_disable
        jaxtyping.config.update("jaxtyping_disable", True)
        try:
            with real(*given, **options) as raised:
                yield raised
        finally:
            jaxtyping.config.update("jaxtyping_disable", before)

    def raises(expected: Any, *given: Any, **options: Any) -> Any:
        return (unchecked if expected is SemanifoldError and not given else real)(expected, *given, **options)

    return raises
