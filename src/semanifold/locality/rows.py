"""Rows of the locality benchmark: one per mask, seed and method, a line of JSON each."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semanifold.core.errors import SemanifoldError, shown
from semanifold.storage.files import append_text, read_bytes, write_bytes
from semanifold.storage.records import checked, parse_json

ROWS = "locality.jsonl"
MOST_BYTES = 1 << 28
"""Bytes of the file of rows; a row with pictures of 1024 x 1024 has 13 million."""

Number = Annotated[float, msgspec.Meta(ge=-1e300, le=1e300)] | None
Size = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]


class PackedPictures(msgspec.Struct, frozen=True):
    """Three pictures as bytes of JSON: four sizes, and as many bytes in base 64."""

    shape: tuple[Size, Size, Size, Size]
    bytes: str

    def __post_init__(self) -> None:
        """Refuse sizes that are not those of the bytes."""
        if (
            self.shape[0] != 3
            or self.shape[1] not in (1, 3)
            or len(base64.b64decode(self.bytes, validate=True)) != math.prod(self.shape)
        ):
            raise ValueError("the bytes of the pictures are not as many as their shape says")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What one method reaches on one face under one mask; metrics are means over the sides that reach the level.

    Attributes:
        key: of the weights and the settings that the row depends on.
        mask: its name.
        seed: of the face.
        method: its name.
        candidate: name of the best candidate.
        candidates: how many the method has; none where the generator does not allow it.
        sides: how many the best one has.
        misses: how many of these never reach the level.
        level: change inside the mask that all edits are brought to.
        t: how far each side goes to reach it; None where it never does.
        mse_ratio: change outside over change inside; None if no side reaches the level, like all that follow.
        roir: see :func:`semanifold.images.metrics.roir`.
        perceptual: change outside by the perceptual distance.
        localization: mean of the scores by layer.
        ssim: outside.
        truth: share of the factors' change that is of the mask's own factors.
        localization_layers: localization score of the last map of every height, by height.
        changes: mean weighted change of every factor.
        picture: of the first seed: the unedited picture, the edited one, and the mask.
        seconds: that the method took.
    """

    key: str
    mask: str
    seed: int
    method: str
    candidate: str | None = None
    candidates: Size
    sides: Size
    misses: Size
    level: Number = None
    t: list[Number] = []
    mse_ratio: Number
    roir: Number = None
    perceptual: Number = None
    localization: Number = None
    ssim: Number = None
    truth: Number = None
    localization_layers: dict[str, Number] | None = None
    changes: list[Number] | None = None
    picture: PackedPictures | None = None
    seconds: Number


def packed(pictures: Tensor) -> PackedPictures:
    """Pack three pictures in [-1, 1] as bytes."""
    values = ((pictures.clamp(-1, 1) + 1) * 127.5).round().to("cpu", torch.uint8).numpy()
    three, channels, height, width = values.shape
    return PackedPictures((three, channels, height, width), base64.b64encode(np.ascontiguousarray(values).tobytes()).decode())


def unpacked(pictures: PackedPictures) -> NDArray[np.float32]:
    """Return the unedited picture, the edited one and the mask ``[3, h, w, 3]`` in [0, 1]."""
    values = np.frombuffer(base64.b64decode(pictures.bytes), np.uint8).reshape(pictures.shape)
    frames = values.transpose(0, 2, 3, 1).astype(np.float32) / np.float32(255)
    return frames.repeat(3, axis=-1) if frames.shape[-1] == 1 else frames


def append_row(path: Path, row: Row) -> None:
    """Write a row below the others."""
    append_text(path, json.dumps(msgspec.to_builtins(row)) + "\n")


def read_rows(path: Path, keys: Mapping[str, str]) -> dict[tuple[str, int, str], Row]:
    """Read the rows that are there; damaged ones are left out, and measured again, and a last line that was cut off removed.

    Args:
        path: the file, which may be missing.
        keys: of the rows that count, by method.

    Raises:
        SemanifoldError: if the file is none, or a link, through which rows would be written elsewhere.
    """
    rows: dict[tuple[str, int, str], Row] = {}
    if path.is_symlink():
        raise SemanifoldError(f"{shown(str(path), 200)} is a link; remove it, or give another folder.")
    if not path.exists():
        return rows
    written = read_bytes(path, "file of rows", MOST_BYTES)
    if written and not written.endswith(b"\n"):
        written = written[: written.rfind(b"\n") + 1]
        write_bytes(path, written)
    for line in written.splitlines():
        try:
            row = checked(parse_json(line, "The row", MOST_BYTES), Row, "The row")
        except SemanifoldError:
            continue
        if row.key == keys.get(row.method):
            rows[row.mask, row.seed, row.method] = row
    return rows
