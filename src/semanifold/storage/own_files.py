"""Things that a person defines in a Python file of their own, ``file.py:name``."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from semanifold.core.errors import SemanifoldError, first_line, near_names, shown
from semanifold.storage.files import is_file


def from_own_file(file: Path, name: str, what: str, made_of: Callable[[Any], Any]) -> Any:
    """Run a person's own file and take what a name in it stands for.

    Args:
        file: a Python file. It is run, with its folder first among those that modules are imported from.
        name: in it.
        what: what such a name should be, for the message about a missing file.
        made_of: turns the object of that name into what is wanted, such as by calling it.

    Raises:
        SemanifoldError: if there is no such file or name, or either fails.
    """
    place = shown(str(file), 200)
    if not is_file(file):
        raise SemanifoldError(f"There is no file {place}; give file.py:name, where name is {what}.")
    spec = importlib.util.spec_from_file_location(f"semanifold_user_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None  # a .py file always has one
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickle look their module up
    # As Python does for a script, so that it finds its neighbours; imports know no other place to look in, not even for a while.
    sys.path.insert(0, str(file.parent.resolve()))
    try:
        spec.loader.exec_module(module)
        if name not in vars(module):
            names = [key for key in vars(module) if not key.startswith("_")]
            raise SemanifoldError(f"{place} has no {shown(name)!r}: {near_names(name, names)}")
        return made_of(vars(module)[name])
    except SemanifoldError:
        raise
    except Exception as error:
        raise SemanifoldError(f"{place}:{shown(name)} failed: {type(error).__name__}: {first_line(error)}.") from error
    finally:
        sys.path.pop(0)
