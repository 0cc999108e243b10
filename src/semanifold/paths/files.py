"""Path sets as files: safetensors with a JSON header, never a pickle."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from semanifold.errors import SemanifoldError
from semanifold.generators.base import Generator
from semanifold.paths.base import PathSet, PathSetInfo
from semanifold.paths.linear import LinearPaths
from semanifold.paths.warped import WarpedPaths
from semanifold.readings import Remark, silent
from semanifold.storage.files import replacing

FORMAT = "semanifold-paths-1"
PATHS = "paths.safetensors"
"""The file of a set in the folder of a training."""
UNFINISHED = "models/checkpoint.safetensors"
"""What a training that goes on, or broke off, has in its folder."""
NAMED_PATHS = {"faces": Path(__file__).parents[1] / "faces" / "weights" / "paths64.safetensors"}
"""Sets of named paths that ship with bundled generators, by the generator's name (``scripts/make_faces_paths.py``)."""
KINDS: dict[str, type[PathSet]] = {leaf.kind: leaf for leaf in (LinearPaths, WarpedPaths)}


def save_paths(paths: PathSet, path: str | os.PathLike[str]) -> None:
    """Write a set of paths as safetensors with a JSON header, to a temporary name first.

    The header stands under the key ``semanifold`` of the safetensors metadata: format, kind, options, and the fields of
    :class:`PathSetInfo` as ``info``.
    """
    header = {"format": FORMAT, "kind": paths.kind, "options": paths.options(), "info": asdict(paths.info)}
    tensors = {k: v.detach().cpu().contiguous() for k, v in paths.state_dict().items()}
    with replacing(path) as part:
        save_file(tensors, part, metadata={"semanifold": json.dumps(header)})


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
    path = NAMED_PATHS.get(os.fspath(path)) or Path(path)
    if (path / PATHS).is_file():
        path /= PATHS
    elif (path / UNFINISHED).is_file():
        raise SemanifoldError(f"The training {path} is half-written: it has no {PATHS} yet; run the same semanifold train again.")
    found = _read(path)
    if found is None:
        from semanifold.paths.foreign import read_directions  # noqa: PLC0415  (it builds on this module's neighbours)

        return read_directions(path, space, layers=layers, generator=generator, remark=remark)
    header, tensors = found
    if header.get("format") != FORMAT or header.get("kind") not in KINDS:
        what = f"a {header['kind']!r} of {header['format']}" if {"kind", "format"} <= header.keys() else "another kind of file"
        raise SemanifoldError(f"{path} holds {what}, not paths that this version of semanifold reads; give a file of paths.")
    try:
        info = _info(header["info"])
        with torch.device("meta"):
            paths = KINDS[header["kind"]].from_options(header["options"], info)
        paths.load_state_dict(tensors, assign=True)
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        words = str(error).strip().splitlines()[-1].strip() if str(error).strip() else type(error).__name__
        raise SemanifoldError(f"The paths {path} are damaged: {words.removesuffix('.')}.") from error
    if not all(torch.isfinite(v).all() for v in tensors.values() if v.is_floating_point()):
        raise SemanifoldError(f"The paths {path} are damaged: they hold NaN or infinite values.")
    if space is not None and space != info.space:
        raise SemanifoldError(f"The paths {path} live in space {info.space}, not in {space}; leave the space out.")
    if layers is not None and layers != info.layers:
        raise SemanifoldError(f"The file {path} says which layers its paths move; leave the layers out.")
    return paths


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """Return header and tensors of a safetensors file that semanifold wrote; None for anything else that exists."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            metadata = (file.metadata() or {}).get("semanifold")
            if metadata is None:
                return None
            header = json.loads(metadata)
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        if path.suffix == ".safetensors":
            raise SemanifoldError(f"{path} is damaged or cut short: {error}.") from error
        return None
    return (header, tensors) if isinstance(header, dict) else None


def _info(held: dict[str, Any]) -> PathSetInfo:
    """Make the info of a header again, in which JSON has turned tuples into lists and whole numbers into texts."""
    facts = dict(held)
    facts["names"] = {int(k): str(v) for k, v in facts["names"].items()}
    facts["cite"] = tuple(facts["cite"])
    facts["layers"] = tuple(facts["layers"]) if facts["layers"] is not None else None
    return PathSetInfo(**facts)
