"""Packages that only some commands need, and what is said where one is missing."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from semanifold.errors import SemanifoldError


def missing_package(what: str, package: str, extra: str, otherwise: str = "") -> SemanifoldError:
    """Return the error that says that a package is missing, and the command that installs it.

    The command installs the packages themselves, so it works from a clone as well as from a wheel, in any folder.

    Args:
        what: what needs it, as the beginning of a sentence: ``"Training"``.
        package: the one that could not be imported.
        extra: the optional dependencies of ours that it belongs to.
        otherwise: what can be done without it, if anything: ``"take a lenet"``.
    """
    instead = f" (or {otherwise})" if otherwise else ""
    command = shlex.join(install_command(packages_of(extra) or [package]))
    return SemanifoldError(f"{what} needs the package {package}, which is not installed{instead}; install it with: {command}")


def packages_of(extra: str) -> list[str]:
    """The packages of an extra with their lowest versions, as our own metadata names them; none if we are not installed."""
    try:
        every = requires("semanifold") or []
    except PackageNotFoundError:
        return []
    marks = [line.partition(";") for line in every]
    return [name.strip() for name, _, mark in marks if re.search(rf"extra == ['\"]{re.escape(extra)}['\"]", mark)]


def install_command(packages: list[str]) -> list[str]:
    """The words of the command that installs packages beside the running Python.

    With uv if it lies there (as in the environment that make sets up) or if there is no pip, and otherwise with pip. A CPU build
    of torch needs a torchvision of the same kind, which uv finds.
    """
    python = sys.executable or "python"
    uv = Path(python).with_name("uv")
    if not uv.is_file() and importlib.util.find_spec("pip"):
        return [python, "-m", "pip", "install", *packages]
    backend = ["--torch-backend", "cpu"] if version("torch").endswith("+cpu") else []
    return [str(uv) if uv.is_file() else "uv", "pip", "install", "--python", python, *backend, *packages]
