"""Edits as files: safetensors with a JSON header, never a pickle."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar

import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError, of_type, shown
from semanifold.core.latents import PREFIX
from semanifold.core.plain import JsonObject
from semanifold.edits.base import LARGEST, Edit, EditInfo
from semanifold.edits.flow import Flow
from semanifold.edits.lattice import Lattice
from semanifold.edits.sums import Sum
from semanifold.edits.weights import WeightEdit
from semanifold.storage.records import REMEDY, checked
from semanifold.storage.tensors import read_format, write_tensors

Info = TypeVar("Info", bound=Any)

FORMAT = "semanifold-edit-1"
KINDS: dict[str, type[Edit]] = {leaf.kind: leaf for leaf in (Lattice, Flow, WeightEdit, Sum)}


def save_edit(edit: Edit, path: str | os.PathLike[str]) -> None:
    """Write an edit as safetensors with a JSON header, whole or not at all.

    The header is in the safetensors metadata, under the key ``semanifold``: format, kind, and the fields of :class:`EditInfo`.
    """
    write_tensors(path, edit.tensors(), {"format": FORMAT, "kind": edit.kind, **asdict(edit.info)})


def load_edit(path: str | os.PathLike[str]) -> Edit:
    """Read an edit; the file cannot run code.

    Raises:
        SemanifoldError: if the file is missing, is not an edit, is damaged, or was written by a newer semanifold.
    """
    of_type(path, (str, os.PathLike), "An edit is a file")
    name = shown(os.fspath(path), 200)
    header, tensors = read_format(path, FORMAT, JsonObject, "edit", "give a run folder, or the edit.safetensors in it")
    kind = header.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise SemanifoldError(f"{name} is not an edit that this version of semanifold reads; give the edit.safetensors of a run.")
    info = read_info({k: v for k, v in header.items() if k not in ("format", "kind")}, EditInfo, f"The edit {name}")
    try:
        check_numbers(tensors, ("count",))
        return KINDS[kind].from_tensors(tensors, info)
    except KeyError as error:
        raise SemanifoldError(f"The edit {name} is damaged: the tensor {error} is missing.") from error
    except (TypeError, ValueError, RuntimeError, IndexError, OverflowError) as error:
        raise SemanifoldError(f"The edit {name} is damaged: {last_line(error)}.") from error


def read_info(header: object, schema: type[Info], what: str) -> Info:
    """Return the info of a header, checked, its texts fit to be printed.

    Args:
        header: of the file.
        schema: :class:`EditInfo`, or the info of a set of paths.
        what: the file, the beginning of the messages.

    Raises:
        SemanifoldError: if a field is missing, unknown or wrong.
    """
    known = {field.name for field in fields(schema)}
    unknown = [key for key in header if key not in known] if isinstance(header, dict) else []
    if unknown:
        word = shown(unknown[0], 40)
        raise SemanifoldError(f"{what} is damaged, or of a newer semanifold: its header has an unknown field {word!r}.")
    return checked(header, schema, what, remedy=REMEDY)


def check_numbers(tensors: Mapping[str, Tensor], counters: tuple[str, ...]) -> None:
    """Refuse tensors that are empty, not of floating-point numbers, or not finite.

    Args:
        tensors: of a file; conditions of codes may hold whole numbers, such as numbers of words.
        counters: ends of the names of others that hold whole numbers.

    Raises:
        SemanifoldError: naming the tensor.
    """
    for key, value in tensors.items():
        whole = (key.endswith(counters) and value.dtype == torch.int64) or (key.startswith(PREFIX) and not value.is_complex())
        if not (value.is_floating_point() or whole) or 0 in value.shape:
            kind = str(value.dtype).removeprefix("torch.")
            raise SemanifoldError(f"its {shown(key, 40)!r} is {kind} {shown(str(list(value.shape)))}, not numbers of an edit")
        if not torch.isfinite(value).all():
            raise SemanifoldError(f"its {shown(key, 40)!r} holds NaN or infinite values")
        if value.is_floating_point() and float(value.abs().max()) > LARGEST:
            raise SemanifoldError(f"its {shown(key, 40)!r} holds values above {LARGEST:g}, whose squares no code survives")


def last_line(error: Exception) -> str:
    """Return the last line of an error's text, fit to be part of a sentence."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return shown(lines[-1].strip(), 200).removesuffix(".")
