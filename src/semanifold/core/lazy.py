"""Imports that wait until they are needed, so that help, refusals and what is finished already do without torch."""

from __future__ import annotations

import importlib
import operator
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any


class LazyModule:
    """A module that is imported when something of it is first used."""

    def __init__(self, name: str) -> None:
        """Keep the name of the module."""
        self._name = name

    def __getattr__(self, key: str) -> Any:
        return getattr(importlib.import_module(self._name), key)


def lazy_exports(package: str, homes: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package (PEP 562) whose public names are imported when they are first used.

    Args:
        package: ``__name__`` of the package.
        homes: public names by the module of the package that defines them.
    """
    home = {name: module for module, names in homes.items() for name in names}

    def find(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{home[name]}"), name)

    return find


def is_torch(value: object, kind: str) -> bool:
    """Whether a value is of a type of torch such as ``"Tensor"`` or ``"nn.Module"``; nothing is before torch is loaded."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, operator.attrgetter(kind)(torch))
