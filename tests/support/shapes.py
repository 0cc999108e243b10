"""Checks the shapes in signatures at every call of the tests, by beartype through the import hook of jaxtyping.

Only shapes: other annotations are pyright's business. Where a test expects that a wrong value is refused in a sentence, it must
reach the code that refuses it: inside of ``pytest.raises(SemanifoldError)`` a function is called first, and its arguments and
its result are checked once it has returned.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from types import FunctionType, NoneType
from typing import Any, get_args

import jaxtyping
import pytest
from beartype import beartype
from support.places import ROOT

SOURCE = ROOT / "src"
SHAPES = "from semanifold.core.shapes import"
REFUSALS: list[object] = []
"""What each open ``pytest.raises(SemanifoldError)`` expects."""


def install() -> None:
    """Check the modules that name shapes, wherever they are imported from now on."""
    files = (path for path in (SOURCE / "semanifold").rglob("*.py") if SHAPES in path.read_text(encoding="utf-8"))
    modules = [".".join(path.relative_to(SOURCE).with_suffix("").parts) for path in files]
    jaxtyping.install_import_hook(modules, "support.shapes.shapes_only")
    jaxtyping.jaxtyped = _patient(jaxtyping.jaxtyped)
    pytest.raises = _raises(pytest.raises)


def shapes_only(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let beartype check what is a shape, or a choice of shapes."""
    signature = inspect.signature(function)
    kept = {name: kind for name, kind in function.__annotations__.items() if _is_shape(kind)}
    if not kept:
        return function
    function.__annotations__ = kept
    function.__signature__ = signature.replace(
        parameters=[p.replace(annotation=kept.get(p.name, inspect.Parameter.empty)) for p in signature.parameters.values()],
        return_annotation=kept.get("return", inspect.Signature.empty),
    )
    return beartype(function)


def _is_shape(kind: object) -> bool:
    """Whether it is a shape, or a choice of shapes and None."""
    if isinstance(kind, type):
        return issubclass(kind, jaxtyping.AbstractArray)
    arms = get_args(kind)
    return any(map(_is_shape, arms)) and all(arm is NoneType or _is_shape(arm) for arm in arms)


def _patient(real: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``jaxtyped`` with two differences: an open refusal lets the function go first, and no shape means no check."""

    def jaxtyped(*, typechecker: Any) -> Callable[[Any], Any]:
        def decorated(function: Any) -> Any:
            if dataclasses.is_dataclass(function) and "__init__" in vars(function):
                function.__init__ = decorated(function.__init__)  # type: ignore[misc]
            if not isinstance(function, FunctionType):
                return function if isinstance(function, type) else real(function, typechecker=typechecker)
            _name_shapes(function)
            if not any(map(_is_shape, function.__annotations__.values())):
                return function
            results: list[Any] = []

            @wraps(function)
            def known(*_: Any, **__: Any) -> Any:
                return results.pop()

            first, afterwards = (real(each, typechecker=typechecker) for each in (function, known))

            @wraps(function)
            def called(*values: Any, **named: Any) -> Any:
                if not REFUSALS:
                    return first(*values, **named)
                results.append(function(*values, **named))
                return afterwards(*values, **named)

            return called

        return decorated

    return jaxtyped


def _name_shapes(function: FunctionType) -> None:
    """Put the shapes in the place of their names, also where a module that must not load torch imports them for checkers only."""
    from semanifold.core import shapes

    names = vars(shapes) | function.__globals__
    for name, kind in function.__annotations__.items():
        if isinstance(kind, str):
            try:
                shape = eval(kind, names)
            except (NameError, TypeError, AttributeError):
                continue
            if _is_shape(shape):
                function.__annotations__[name] = shape


def _raises(real: Callable[..., Any]) -> Callable[..., Any]:
    from semanifold.core.errors import SemanifoldError

    @contextmanager
    def refused(*values: Any, **options: Any) -> Iterator[Any]:
        REFUSALS.append(values)
        try:
            with real(*values, **options) as raised:
                yield raised
        finally:
            REFUSALS.pop()

    def raises(expected: Any, *values: Any, **options: Any) -> Any:
        return (refused if expected is SemanifoldError and not values else real)(expected, *values, **options)

    return raises
