"""Attribute: one number of a picture, with a name and a range."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor

from semanifold.core.errors import SemanifoldError, shown
from semanifold.storage.records import settle


@dataclass(frozen=True)
class Attribute:
    """What one number of a picture is called, and between which values it usually lies.

    Attributes:
        name: such as ``"yaw"``.
        low: lower end of the usual range.
        high: upper end.
        unit: such as ``"radians"``; empty for shares and scores.
        relative: whether the number compares a picture with the unedited one (identity), so that it falls on both sides of it.
        declared: whether somebody gave the range; if nobody did, rankings take that of the readings, see
            :func:`~semanifold.analysis.ranking.ranges.fitted`.
    """

    name: str
    low: float = 0.0
    high: float = 1.0
    unit: str = ""
    relative: bool = False
    declared: bool = True

    def __post_init__(self) -> None:
        """Refuse what no file could give back."""
        settle(self)
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high and 0 < len(self.name) <= 200):
            words = "needs a short name and a finite range, the smaller end first"
            raise SemanifoldError(f"The attribute {shown(self.name)!r} {words}.")


class AttributeReader(ABC):
    """Reads one or several numbers from each picture; its leaves are networks, files and functions.

    Attributes:
        attributes: what is read, in the order of the columns of :meth:`read`.
    """

    attributes: tuple[Attribute, ...]

    @abstractmethod
    def read(self, images: Tensor, reference: Tensor) -> Tensor:
        """Return ``[n, len(attributes)]`` numbers; NaN where a picture has none, such as one without a face.

        Args:
            images: ``[n, c, h, w]`` in [-1, 1], not clamped.
            reference: ``[1, c, h, w]``, the unedited picture; only relative attributes look at it.
        """
