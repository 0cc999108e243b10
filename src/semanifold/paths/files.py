"""Path sets as files: safetensors with a JSON header, never a pickle."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError, of_type, shown
from semanifold.edits.files import check_numbers, last_line, read_info
from semanifold.generators.base import Generator
from semanifold.paths.base import PathSet, PathSetInfo
from semanifold.paths.finding import FILE as PATHS
from semanifold.paths.finding import NAMED_PATHS
from semanifold.paths.linear import LinearPaths
from semanifold.paths.warped import WarpedPaths
from semanifold.paths.weights import WeightPaths
from semanifold.storage.files import is_file
from semanifold.storage.readings import Remark, silent
from semanifold.storage.records import REMEDY, checked
from semanifold.storage.tensors import read_format, read_header, write_tensors

FORMAT = "semanifold-paths-1"
UNFINISHED = "models/checkpoint.safetensors"
"""What a training that goes on, or broke off, has in its folder."""
KINDS: dict[str, type[PathSet]] = {leaf.kind: leaf for leaf in (LinearPaths, WarpedPaths, WeightPaths)}
"""Every leaf that files hold; a new one is one more name here."""
MOST_NUMBERS = 1 << 26
"""Numbers of all directions of a set at one code, or of all codes along one path."""


class _Header(msgspec.Struct):
    """The header of a file of paths; the options and the info are checked once the kind is known."""

    kind: str
    options: Any
    info: Any


def save_paths(paths: PathSet, path: str | os.PathLike[str]) -> None:
    """Write a set of paths as safetensors with a JSON header, whole or not at all.

    The header is in the safetensors metadata, under the key ``semanifold``: format, kind, options, and the fields of
    :class:`PathSetInfo` as ``info``.
    """
    header = {"format": FORMAT, "kind": paths.kind, "options": paths.options(), "info": asdict(paths.info)}
    write_tensors(path, paths.state_dict(), header)


def load_paths(
    path: str | os.PathLike[str],
    space: str | None = None,
    *,
    layers: tuple[int, int] | None = None,
    generator: Generator | None = None,
    remark: Remark = silent,
) -> PathSet:
    """Read a set of paths: our own file, or one of those that :func:`~semanifold.paths.foreign.read_directions` knows.

    Args:
        path: file or folder; it cannot run code. Of a training's folder the ``paths.safetensors`` is read, which knows more than
            the ``support_sets.pt`` beside it: steps, names, and the generator's fingerprint. A name of :data:`NAMED_PATHS`, such
            as ``"faces"``, is the set that ships with that generator, even where a file or folder is called so, as for
            :func:`~semanifold.generators.loading.load_generator`; the absolute path reaches that one.
        space: latent space of the paths; only files of other programs may need it.
        layers: layers ``(first, last + 1)`` of ``w+`` that they move; as for the space.
        generator: what the paths are for; it decides how the arrays of other programs are read.
        remark: is given the sentence that says how such an array was read.

    Raises:
        SemanifoldError: if there is no such file, it is damaged, holds no paths, or two readings fit.
    """
    of_type(path, (str, os.PathLike), "A set of paths is a file, a folder or the name of a generator")
    path = NAMED_PATHS.get(os.fspath(path)) or Path(path)
    if is_file(path / PATHS):
        path /= PATHS
    elif is_file(path / UNFINISHED):
        raise SemanifoldError(f"The training {path} is half-written: it has no {PATHS} yet; run the same semanifold train again.")
    if not _is_ours(path):
        from semanifold.paths.foreign import read_directions  # noqa: PLC0415  (it builds on this module's neighbours)

        return read_directions(path, space, layers=layers, generator=generator, remark=remark)
    name = shown(str(path), 200)
    paths = _made(*read_format(path, FORMAT, _Header, "set of paths", "give a file of paths"), name)
    if space is not None and space != paths.info.space:
        raise SemanifoldError(f"The paths {name} live in space {paths.info.space}, not in {shown(space)}; leave space= out.")
    if layers is not None and layers != paths.info.layers:
        raise SemanifoldError(f"The file {name} says which layers its paths move; leave layers= out.")
    return paths


def _is_ours(path: Path) -> bool:
    """Whether semanifold wrote a file; anything else that exists is left to other readers."""
    try:
        return bool(read_header(path))
    except SemanifoldError:
        if path.suffix == ".safetensors" and is_file(path):
            raise
        return False


def _made(header: _Header, tensors: dict[str, Tensor], name: str) -> PathSet:
    """Return the set of a file of ours.

    Raises:
        SemanifoldError: if it is damaged, holds something else, or claims more than can be walked.
    """
    what, kind = f"The set of paths {name}", header.kind
    if kind not in KINDS:
        raise SemanifoldError(
            f"{what} is of a kind {shown(kind, 40)!r} that this version of semanifold does not know; update it."
        )
    info = read_info(header.info, PathSetInfo, what)
    options = checked(header.options, KINDS[kind].schema, what, remedy=REMEDY)
    count, size = options.count, options.size
    if max(count * size, (2 * info.count + 1) * (count + size)) > MOST_NUMBERS:
        raise SemanifoldError(
            f"{what} is damaged: {count:,} paths of {size:,} numbers and {info.count:,} steps do not fit into memory."
        )
    try:
        check_numbers(tensors, ("num_batches_tracked",))
        with torch.device("meta"):
            paths = KINDS[kind].from_options(msgspec.structs.asdict(options), info)
        plain = {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}
        paths.load_state_dict(plain, assign=True)
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, OverflowError) as error:
        raise SemanifoldError(f"{what} is damaged: {last_line(error)}.") from error
    return paths
