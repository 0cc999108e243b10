"""The checkpoint of a search or a training: written whole and not too often, and taken up by the same one alone."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import msgspec
from safetensors import SafetensorError
from torch import Tensor

from semanifold.core.errors import SemanifoldError, shown
from semanifold.core.plain import Json
from semanifold.storage.files import disk_is_full
from semanifold.storage.tensors import read_format, write_tensors


class KeptHeader(msgspec.Struct, frozen=True, kw_only=True):
    """The header of such a file: what it belongs to, and the checksum of its tensors, which those of 0.1.0 lack."""

    key: str = ""
    crc32: int | None = None


H = TypeVar("H", bound=KeptHeader)


class SearchKind(NamedTuple):
    """How messages speak of what is kept.

    Attributes:
        name: of it, with its article.
        other: what is said of the file of another one.
        advice: what to do then.
    """

    name: str
    other: str
    advice: str


SEARCH = SearchKind("this search", "is damaged, or of another search", "remove the checkpoint to begin again")


@dataclass(eq=False)
class Keeper:
    """The file that keeps what has been done.

    Attributes:
        path: the file, a safetensors; None keeps nothing.
        form: the ``format`` that its header names.
        key: digest of everything that decides what it holds.
        every: seconds between two writings; so many times as long as the last one took, if that was more than a second.
        kind: words for messages.
        saved: when it was written.
        cost: seconds that this took.
    """

    path: str | os.PathLike[str] | None
    form: str
    key: str
    every: float = 0.0
    kind: SearchKind = SEARCH
    saved: float = field(default_factory=time.monotonic)
    cost: float = 0.0

    def read(
        self, schema: type[H], fits: Callable[[H, dict[str, Tensor]], bool] | None = None
    ) -> tuple[H, dict[str, Tensor]] | None:
        """Return the header and the tensors of the file; None if there is none.

        Args:
            schema: of the header.
            fits: whether the tensors are such as this search has; not asked when None.

        Raises:
            SemanifoldError: if the file is damaged, or belongs to another search.
        """
        if self.path is None or not os.path.lexists(self.path):
            return None
        what = f"checkpoint of {self.kind.name}"
        header, tensors = read_format(self.path, self.form, schema, what, self.kind.advice)
        if header.key != self.key or (fits is not None and not fits(header, tensors)):
            raise self.refused(self.kind.other)
        return header, tensors

    def refused(self, why: str) -> SemanifoldError:
        """Return the error that says what is wrong with the file, and what to do."""
        return SemanifoldError(f"The checkpoint {self._name} {why}; {self.kind.advice}.")

    def keep(self, made: Callable[[], tuple[Mapping[str, Tensor], Mapping[str, Json]]]) -> None:
        """Write the file, but not too often.

        Args:
            made: returns the tensors and the fields of the header.

        Raises:
            SemanifoldError: if it cannot be written.
        """
        begun = time.monotonic()
        if self.path is None or begun - self.saved < self.every * max(1.0, self.cost):
            return
        self.write(*made())
        self.saved = time.monotonic()
        self.cost = self.saved - begun

    def write(self, tensors: Mapping[str, Tensor], header: Mapping[str, Json]) -> None:
        """Write the file, whole or not at all; nothing without a path.

        Raises:
            SemanifoldError: if it cannot be written.
        """
        if self.path is None:
            return
        try:
            write_tensors(self.path, tensors, {"format": self.form, "key": self.key, **header}, crc=True)
        except (OSError, ValueError, SafetensorError) as error:
            if disk_is_full(error):
                why = f"The disk is full: {self._name} could not be written; make room and begin again; what was kept stays."
            else:
                why = f"The checkpoint {self._name} cannot be written ({shown(str(error), 80)})."
            raise SemanifoldError(why) from error

    @property
    def _name(self) -> str:
        return shown(os.fspath(self.path or ""), 200)
