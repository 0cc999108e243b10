"""The checkpoint of a search that keeps what it has done: written not too often, and taken up by the same search alone."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
from safetensors import SafetensorError
from torch import Tensor

from semanifold.core.errors import SemanifoldError, shown
from semanifold.core.plain import Json
from semanifold.storage.files import is_file
from semanifold.storage.tensors import read_format, write_tensors


class KeptHeader(msgspec.Struct, frozen=True, kw_only=True):
    """The header of such a file: what search it belongs to, and the checksum of its tensors."""

    key: str
    crc32: int


H = TypeVar("H", bound=KeptHeader)


@dataclass(eq=False)
class Keeper:
    """The file that keeps what a search has done.

    Attributes:
        path: the file, a safetensors; None keeps nothing.
        form: the ``format`` that its header names.
        key: digest of everything that decides what it holds.
        every: seconds between two writings.
        saved: when it was written.
    """

    path: str | os.PathLike[str] | None
    form: str
    key: str
    every: float
    saved: float = field(default_factory=time.monotonic)

    def read(self, schema: type[H], fits: Callable[[H, dict[str, Tensor]], bool]) -> tuple[H, dict[str, Tensor]] | None:
        """Return the header and the tensors of the file; None if there is none.

        Args:
            schema: of the header.
            fits: whether the tensors are such as this search has.

        Raises:
            SemanifoldError: if the file is damaged, or belongs to another search.
        """
        if self.path is None or not is_file(self.path):
            return None
        advice = "remove the checkpoint to begin again"
        header, tensors = read_format(self.path, self.form, schema, "checkpoint of this search", advice)
        if header.key != self.key or not fits(header, tensors):
            name = shown(os.fspath(self.path), 200)
            raise SemanifoldError(f"The checkpoint {name} is damaged, or of another search; {advice}.")
        return header, tensors

    def keep(self, made: Callable[[], tuple[Mapping[str, Tensor], Mapping[str, Json]]]) -> None:
        """Write the file, whole or not at all, but not too often.

        Args:
            made: returns the tensors and the fields of the header.

        Raises:
            SemanifoldError: if it cannot be written.
        """
        if self.path is None or time.monotonic() - self.saved < self.every:
            return
        tensors, header = made()
        try:
            write_tensors(self.path, tensors, {"format": self.form, "key": self.key, **header}, crc=True)
        except (OSError, ValueError, SafetensorError) as error:
            name = shown(os.fspath(self.path), 200)
            raise SemanifoldError(f"The checkpoint {name} cannot be written ({shown(str(error), 80)}).") from error
        self.saved = time.monotonic()
