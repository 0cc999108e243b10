"""Edits as files: safetensors with a JSON header, never a pickle."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from semanifold.edits.base import Edit, EditInfo
from semanifold.edits.flow import Flow
from semanifold.edits.lattice import Lattice
from semanifold.errors import SemanifoldError
from semanifold.storage.files import replacing

FORMAT = "semanifold-edit-1"
KINDS: dict[str, type[Edit]] = {leaf.kind: leaf for leaf in (Lattice, Flow)}


def save_edit(edit: Edit, path: str | os.PathLike[str]) -> None:
    """Write an edit as safetensors with a JSON header, to a temporary name first.

    The header stands under the key ``semanifold`` of the safetensors metadata: format, kind, and the fields of :class:`EditInfo`.
    """
    header = json.dumps({"format": FORMAT, "kind": edit.kind, **asdict(edit.info)})
    tensors = {k: v.detach().cpu().contiguous() for k, v in edit.tensors().items()}
    with replacing(path) as part:
        save_file(tensors, part, metadata={"semanifold": header})


def load_edit(path: str | os.PathLike[str]) -> Edit:
    """Read an edit; the file cannot run code.

    Raises:
        SemanifoldError: if the file is missing, is not an edit, or was written by a newer semanifold.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header: dict[str, Any] = json.loads((file.metadata() or {}).get("semanifold", "{}"))
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise SemanifoldError(f"There is no file {path}; give the edit.safetensors of a run folder.") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise SemanifoldError(f"{path} is not an edit of semanifold: {error}.") from error
    if header.pop("format", None) != FORMAT or header.get("kind") not in KINDS:
        raise SemanifoldError(f"{path} is not an edit that this version of semanifold reads; give the edit.safetensors of a run.")
    leaf = KINDS[header.pop("kind")]
    tuples: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in header.items()}
    try:
        return leaf.from_tensors(tensors, EditInfo(**tuples))
    except (KeyError, TypeError) as error:
        raise SemanifoldError(f"The edit {path} is damaged: {error}.") from error
