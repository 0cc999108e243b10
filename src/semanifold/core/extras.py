"""Packages of others: what is said where one is missing, and how one is kept from what lies in a stranger's folder."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager, nullcontext, suppress
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from semanifold.core.errors import SemanifoldError


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


@contextmanager
def apart_from(file: str, package: str) -> Iterator[None]:
    """Work in the folder of a package if the current one, which may be a stranger's, holds settings that it would read.

    The package reads them while it is imported, and takes no other place for them: so the folder of the process is changed for
    that time, and only if such a file lies there.
    """
    spec = importlib.util.find_spec(package) if os.path.lexists(file) else None
    with chdir(os.path.dirname(spec.origin)) if spec is not None and spec.origin is not None else nullcontext():
        yield


@contextmanager
def torch_threads_kept() -> Iterator[None]:
    """Leave PyTorch as many threads as before.

    numba's parallel loops set the number of threads of the OpenMP library, which PyTorch shares: to all cores, whatever
    OMP_NUM_THREADS or the caller said. Pictures would cost several times as much afterwards, and differ in their last bits.
    """
    torch = sys.modules.get("torch")  # where it is not loaded yet, there is nothing to keep
    threads = torch.get_num_threads() if torch else 0
    try:
        yield
    finally:
        if torch:
            torch.set_num_threads(threads)


@contextmanager
def drawing() -> Iterator[None]:
    """Draw inside of this context as matplotlib does by default, whatever its settings are.

    They would come from a file in the current folder, which may be a stranger's, and from the environment, and may name a size of
    any height, or programs. They still hold for what a caller draws by itself.
    """
    if "matplotlib" not in sys.modules:
        with apart_from("matplotlibrc", "matplotlib"):
            _import_matplotlib()
    import matplotlib as mpl  # noqa: PLC0415  (slow to import)

    with mpl.rc_context():
        mpl.rcdefaults()
        yield


def _import_matplotlib() -> None:
    """Import matplotlib, with the backend that the environment names only if there is one of this name.

    The import fails if there is none, and reads it from the environment only.
    """
    backend = os.environ.pop("MPLBACKEND", None)
    mpl = importlib.import_module("matplotlib")
    if backend is not None:
        os.environ["MPLBACKEND"] = backend
        with suppress(ValueError):
            mpl.rcParams["backend"] = backend
