"""Measures: what attribute readers and a mask say about every frame of a traversal, and the files that hold it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semanifold.analysis.attributes.base import Attribute, AttributeReader
from semanifold.analysis.ranking.ranges import fitted, remarks
from semanifold.analysis.ranking.scores import mean
from semanifold.core.errors import SemanifoldError, shown
from semanifold.core.shapes import Frames, Masks, Reference
from semanifold.images.metrics import inside_change, mse_ratio, outside_change, roir, ssim_outside
from semanifold.storage.arrays import open_arrays, write_numpy
from semanifold.storage.records import read_json, write_json

VALUES, LOCALITY, FACTS = "attributes.npy", "locality.npy", "measures.json"
FORMAT = "semanifold-measures-1"
METRICS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "inside": inside_change,
    "outside": outside_change,
    "mse_ratio": mse_ratio,
    "roir": roir,
    "ssim_outside": ssim_outside,
}
"""Columns of the locality array; the functions are those of :mod:`semanifold.images.metrics`."""

MOST_PIXELS = 1 << 24
"""Pixels that are read at a time: 16 pictures of 1024 x 1024."""

Array = NDArray[np.float64]


Name = Annotated[str, msgspec.Meta(max_length=1000)]
Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]


class WalkRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a ranking knows of the traversal that was measured.

    The fields are those of :class:`~semanifold.analysis.traversal.records.TraversalRecord`, and the ``folder`` of the traversal;
    what is not known has its default.
    """

    step: Annotated[float, msgspec.Meta(ge=0, lt=1e30)] = 0.0
    count: Count = 0
    leap: Count = 1
    space: Name = ""
    method: Name = ""
    generator: Name = ""
    fingerprint: Name = ""
    channels: Count = 0
    faces: bool | None = None
    path_set: str = ""
    path_set_fingerprint: Name = ""
    folder: str = ""


@dataclass(frozen=True, eq=False)
class Measures:
    """Attributes of every frame of a traversal.

    Attributes:
        values: ``[codes, paths, T, attributes]``, NaN where a picture has no value.
        attributes: the columns.
        codes: names of the codes.
        paths: indices of the paths in their set.
        names: what the paths are called, in the order of ``paths``.
        t: ``[T]`` moments.
        locality: ``[codes, paths, T, metrics]`` in the order of :data:`METRICS`, or None where no mask was given.
        evenness: ``[codes, paths]`` smallest over largest change of the picture from one frame to the next, 1 for a slider that
            changes it evenly; NaN where it does not change. None for measures of an earlier version.
        mask: the mask as the user wrote it.
        facts: of the traversal.
    """

    values: Array
    attributes: tuple[Attribute, ...]
    codes: tuple[str, ...]
    paths: tuple[int, ...]
    names: tuple[str, ...]
    t: Array
    locality: Array | None = None
    evenness: Array | None = None
    mask: str = ""
    facts: WalkRecord = field(default_factory=WalkRecord)

    def __post_init__(self) -> None:
        """Refuse sizes that do not fit together."""
        sizes = (len(self.codes), len(self.paths), len(self.t))
        if self.values.shape != (*sizes, len(self.attributes)) or len(self.names) != len(self.paths):
            raise SemanifoldError(
                f"Attributes {list(self.values.shape)} do not fit {sizes[0]} codes, {sizes[1]} paths with {len(self.names)} "
                f"names, {sizes[2]} frames and {len(self.attributes)} attributes."
            )
        if self.locality is not None and self.locality.shape != (*sizes, len(METRICS)):
            raise SemanifoldError(f"The locality array {list(self.locality.shape)} does not fit the attributes' {list(sizes)}.")
        if self.evenness is not None and self.evenness.shape != sizes[:2]:
            raise SemanifoldError(f"The evenness {list(self.evenness.shape)} does not fit the attributes' {list(sizes)}.")

    @property
    def remarks(self) -> list[str]:
        """What a user should know about the ranges of the attributes, a sentence each."""
        return remarks(self.values, self.attributes)


class FrameMeasures(NamedTuple):
    """What is measured of the frames of one path.

    Attributes:
        values: ``[T, attributes]``.
        locality: ``[T, metrics]``, or None without a mask.
        evenness: see :class:`Measures`.
    """

    values: Array
    locality: Array | None
    evenness: float


def measure_frames(
    pictures: Callable[[slice], Frames],
    count: int,
    reference: Reference,
    reader: AttributeReader,
    mask: Masks | None = None,
    *,
    batch: int = 16,
) -> FrameMeasures:
    """Return the attributes of the frames of one path, their locality, and how evenly the picture changes.

    Args:
        pictures: gives the frames of a slice, ``[n, c, h, w]`` in [-1, 1].
        count: T, how many frames there are.
        reference: ``[1, c, h, w]``, the unedited picture.
        reader: reads the attributes.
        mask: ``[1, 1, h, w]`` in [0, 1], or None.
        batch: frames at a time, fewer of large pictures.
    """
    batch = max(1, min(batch, MOST_PIXELS // (reference.shape[2] * reference.shape[3])))
    rows: list[Tensor] = []
    local: list[Tensor] = []
    steps: list[Tensor] = []
    last: Tensor | None = None
    with torch.no_grad():
        for first in range(0, count, batch):
            part = pictures(slice(first, min(first + batch, count)))
            readings = reader.read(part, reference).double().cpu()
            rows.append(readings.where(readings.isfinite(), torch.nan))
            along = part if last is None else torch.cat([last, part])
            steps.append(along.diff(dim=0).square().mean((1, 2, 3)).sqrt().double().cpu())
            last = part[-1:]
            if mask is not None:
                columns = [metric(part, reference, mask) for metric in METRICS.values()]
                local.append(torch.stack(columns, dim=1).double().cpu())
    change = torch.cat(steps)
    even = float(change.min() / change.max()) if len(change) and change.max() > 0 else math.nan
    return FrameMeasures(torch.cat(rows).numpy(), torch.cat(local).numpy() if local else None, even)


def mean_evenness(measures: Measures) -> Array | None:
    """Return the evenness of every path ``[paths]``, on average over the codes on which the picture changes."""
    return None if measures.evenness is None else mean(measures.evenness)


def mask_locality(measures: Measures, level: float | None = None) -> tuple[Array, float]:
    """Return how much each path changes outside of the mask at equal change inside ``[paths]``, and that inside change.

    On either side of every code's path the first crossing of the level is found between two frames, where the change outside is
    interpolated; ``(outside / inside)^2`` there is the ratio of Collins et al. 2020 (arXiv:2004.14367), of which the geometric
    mean over codes and sides is returned: 0 is perfect, 1 changes everything alike. NaN for a path that reaches the level on
    fewer than half of the sides: it does not change the inside enough to be compared.

    Args:
        measures: with a mask.
        level: root mean square change inside in picture units (0 to 2); half the median over sides of the largest when None.
    """
    if measures.locality is None:
        raise SemanifoldError("The traversal was measured without a mask; measure it again with mask= to rank by locality.")
    keys = list(METRICS)
    inside, outside = measures.locality[..., keys.index("inside")], measures.locality[..., keys.index("outside")]
    middle = int(np.argmin(np.abs(measures.t)))
    sides = [slice(middle, None), slice(middle, None, -1)]
    if level is None:
        level = 0.5 * float(np.median([inside[:, :, side].max(2) for side in sides]))
    if not level > 0:
        raise SemanifoldError("No path changes the inside of the mask; choose another mask, or longer paths.")
    ratios = np.full((len(measures.codes), len(measures.paths), 2), np.nan)
    for c, k, s in np.ndindex(*ratios.shape):
        a, b = inside[c, k, sides[s]], outside[c, k, sides[s]]
        over = np.flatnonzero(a >= level)
        if len(over) and over[0] > 0:
            j = over[0]
            share = (level - a[j - 1]) / (a[j] - a[j - 1])
            ratios[c, k, s] = ((b[j - 1] + share * (b[j] - b[j - 1])) / level) ** 2
    by_path = ratios.transpose(1, 0, 2).reshape(len(measures.paths), -1)
    reached = ~np.isnan(by_path)
    logs = np.where(reached, np.log(np.maximum(by_path, 1e-12)), 0.0).sum(1) / np.maximum(reached.sum(1), 1)
    return np.where(reached.mean(1) >= 0.5, np.exp(logs), np.nan), level


def save_measures(measures: Measures, place: Callable[[str], Path]) -> None:
    """Write ``attributes.npy``, ``locality.npy`` if there is a mask, and ``measures.json``, which describes both.

    Args:
        measures: what to write.
        place: turns a file's name into its path, such as ``Run.path``.
    """
    write_numpy(place(VALUES), np.ascontiguousarray(measures.values, dtype=np.float64))
    if measures.locality is not None:
        write_numpy(place(LOCALITY), np.ascontiguousarray(measures.locality, dtype=np.float64))
    described = {
        "format": FORMAT,
        "attributes": [asdict(attribute) for attribute in fitted(measures.values, measures.attributes)],
        "codes": measures.codes,
        "paths": measures.paths,
        "names": measures.names,
        "t": measures.t.tolist(),
        "mask": measures.mask,
        "metrics": list(METRICS) if measures.locality is not None else [],
        "evenness": [] if measures.evenness is None else [list(map(_or_null, row)) for row in measures.evenness.tolist()],
        "traversal": msgspec.to_builtins(measures.facts),
    }
    write_json(place(FACTS), described, 1)


def _or_null(value: float) -> float | None:
    return None if math.isnan(value) else value


class MeasuresRecord(msgspec.Struct, frozen=True):
    """What ``measures.json`` holds; the fields are those of :class:`Measures`, but for the arrays, whose sizes they give."""

    format: str
    attributes: list[Attribute]
    codes: list[Name]
    paths: list[Count]
    names: list[Name]
    t: list[Annotated[float, msgspec.Meta(ge=-1, le=1)]]
    mask: str
    metrics: list[str]
    traversal: WalkRecord
    evenness: list[list[Annotated[float, msgspec.Meta(ge=0, le=1)] | None]] = []

    def __post_init__(self) -> None:
        """Refuse what no ranking can read."""
        if self.format != FORMAT:
            raise ValueError("it was written by another version of semanifold")
        if not (self.attributes and self.codes and self.paths and self.t) or len(self.names) != len(self.paths):
            raise ValueError("it names no attribute, code, path or moment, or not every path has a name")
        if len({a.name for a in self.attributes}) < len(self.attributes) or len(set(self.paths)) < len(self.paths):
            raise ValueError("two attributes have one name, or two paths one index")
        if self.evenness and [len(row) for row in self.evenness] != [len(self.paths)] * len(self.codes):
            raise ValueError("'evenness' is a number for every path on every code")
        if self.metrics not in ([], list(METRICS)):
            raise ValueError(f"'metrics' are {list(METRICS)} or none")


def read_measures(folder: str | os.PathLike[str]) -> Measures:
    """Read what :func:`save_measures` wrote; names out of its files are made printable.

    Raises:
        SemanifoldError: if a file is missing, damaged, or does not fit the others; it names the file.
    """
    folder = Path(folder)
    file = folder / FACTS
    _check_there(file)
    try:
        record = read_json(file, MeasuresRecord, "measures.json")
    except SemanifoldError as error:
        raise SemanifoldError(f"{str(error).rstrip('.')}; measure it again with overwrite=True.") from error
    sizes = (len(record.codes), len(record.paths), len(record.t))
    words = {key: shown(getattr(record.traversal, key), 1000) for key in ("space", "method", "generator", "fingerprint")}
    return Measures(
        values=_read_array(folder / VALUES, (*sizes, len(record.attributes))),
        attributes=tuple(replace(a, name=shown(a.name, 200), unit=shown(a.unit)) for a in record.attributes),
        codes=tuple(record.codes),
        paths=tuple(record.paths),
        names=tuple(shown(name, 200) for name in record.names),
        t=np.array(record.t, dtype=np.float64),
        locality=_read_array(folder / LOCALITY, (*sizes, len(METRICS)), ratios=True) if record.metrics else None,
        evenness=np.array(record.evenness, dtype=np.float64) if record.evenness else None,
        mask=shown(record.mask, 200),
        facts=msgspec.structs.replace(record.traversal, **words),
    )


def _check_there(path: Path) -> None:
    if not os.path.lexists(path):
        raise SemanifoldError(f"There is no {shown(str(path), 200)}; run semanifold measure to its end first.")


def _read_array(path: Path, shape: tuple[int, ...], *, ratios: bool = False) -> Array:
    """Return the array of a ``.npy`` file, which must have this shape; ratios may be infinite: nothing changed inside."""
    _check_there(path)
    again = "measure it again with overwrite=True"
    try:
        arrays = open_arrays(path, "array")
        tensors = arrays.tensors(arrays.leaves.values())
        if [(value.dtype, tuple(value.shape)) for value in tensors] != [(torch.float64, shape)]:
            words = shown(", ".join(f"{value.dtype} {list(value.shape)}".removeprefix("torch.") for value in tensors), 100)
            raise SemanifoldError(f"{arrays.name} holds {words or 'no array'}, but {FACTS} describes float64 {list(shape)}")
        values = tensors[0].numpy()
        if (np.abs(values[np.isfinite(values)] if ratios else values) > 1e100).any():
            raise SemanifoldError(f"{arrays.name} is damaged: it holds infinite or immense values")
    except SemanifoldError as error:
        raise SemanifoldError(f"{str(error).rstrip('.')}; {again}.") from error
    return values
