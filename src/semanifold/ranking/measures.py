"""Measures: what attribute readers and a mask say about every frame of a traversal, and the files that hold it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semanifold.attributes.base import Attribute, AttributeReader
from semanifold.errors import SemanifoldError
from semanifold.locality.metrics import inside_change, mse_ratio, outside_change, roir, ssim_outside
from semanifold.storage.files import replacing, write_text

VALUES, LOCALITY, FACTS = "attributes.npy", "locality.npy", "measures.json"
FORMAT = "semanifold-measures-1"
METRICS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "inside": inside_change,
    "outside": outside_change,
    "mse_ratio": mse_ratio,
    "roir": roir,
    "ssim_outside": ssim_outside,
}
"""Columns of the locality array; the functions are those of :mod:`semanifold.locality.metrics`."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
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
        mask: the mask as the user wrote it.
        facts: of the traversal: generator, space, step, count and where it lies.
    """

    values: Array
    attributes: tuple[Attribute, ...]
    codes: tuple[str, ...]
    paths: tuple[int, ...]
    names: tuple[str, ...]
    t: Array
    locality: Array | None = None
    mask: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

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


def measure_frames(
    pictures: Callable[[slice], Tensor],
    count: int,
    reference: Tensor,
    reader: AttributeReader,
    mask: Tensor | None = None,
    *,
    batch: int = 16,
) -> tuple[Array, Array | None]:
    """Return the attributes ``[T, attributes]`` of the frames of one path, and their locality ``[T, metrics]``.

    Args:
        pictures: gives the frames of a slice, ``[n, c, h, w]`` in [-1, 1].
        count: T, how many frames there are.
        reference: ``[1, c, h, w]``, the unedited picture.
        reader: reads the attributes.
        mask: ``[1, 1, h, w]`` in [0, 1], or None.
        batch: frames at a time.
    """
    rows: list[Tensor] = []
    local: list[Tensor] = []
    with torch.no_grad():
        for first in range(0, count, batch):
            part = pictures(slice(first, min(first + batch, count)))
            rows.append(reader.read(part, reference).double().cpu())
            if mask is not None:
                columns = [metric(part, reference, mask) for metric in METRICS.values()]
                local.append(torch.stack(columns, dim=1).double().cpu())
    return torch.cat(rows).numpy(), torch.cat(local).numpy() if local else None


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
        raise SemanifoldError(
            "The traversal was measured without a mask; run semanifold measure with --mask to rank by locality."
        )
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
    each = ratios.transpose(1, 0, 2).reshape(len(measures.paths), -1)
    reached = ~np.isnan(each)
    logs = np.where(reached, np.log(np.maximum(each, 1e-12)), 0.0).sum(1) / np.maximum(reached.sum(1), 1)
    return np.where(reached.mean(1) >= 0.5, np.exp(logs), np.nan), level


def save_measures(measures: Measures, place: Callable[[str], Path]) -> None:
    """Write ``attributes.npy``, ``locality.npy`` where there is a mask, and ``measures.json``, which describes both.

    Args:
        measures: what to write.
        place: turns a file's name into its path, such as ``Run.path``.
    """
    _save_array(measures.values, place(VALUES))
    if measures.locality is not None:
        _save_array(measures.locality, place(LOCALITY))
    described = {
        "format": FORMAT,
        "attributes": [asdict(attribute) for attribute in measures.attributes],
        "codes": measures.codes,
        "paths": measures.paths,
        "names": measures.names,
        "t": measures.t.tolist(),
        "mask": measures.mask,
        "metrics": list(METRICS) if measures.locality is not None else [],
        "traversal": dict(measures.facts),
    }
    write_text(place(FACTS), json.dumps(described, indent=1) + "\n")


def _save_array(array: Array, path: Path) -> None:
    with replacing(path) as part, part.open("wb") as file:
        np.save(file, array)


def read_measures(folder: str | os.PathLike[str]) -> Measures:
    """Read what :func:`save_measures` wrote.

    Raises:
        SemanifoldError: if a file is missing, damaged, or does not fit the others; it names the file.
    """
    folder = Path(folder)
    described: dict[str, Any] = _load(folder / FACTS, lambda path: json.loads(path.read_text(encoding="utf-8")))
    values = _load(folder / VALUES, lambda path: np.load(path, allow_pickle=False))
    try:
        if described["format"] != FORMAT:
            raise SemanifoldError(f"{folder / FACTS} was written by another version of semanifold; run semanifold measure again.")
        local = _load(folder / LOCALITY, lambda path: np.load(path, allow_pickle=False)) if described["metrics"] else None
        return Measures(
            values=values,
            attributes=tuple(Attribute(**attribute) for attribute in described["attributes"]),
            codes=tuple(described["codes"]),
            paths=tuple(int(k) for k in described["paths"]),
            names=tuple(described["names"]),
            t=np.array(described["t"], dtype=np.float64),
            locality=local,
            mask=described["mask"],
            facts=described["traversal"],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, SemanifoldError) and str(folder) in str(error):
            raise
        raise SemanifoldError(f"{folder / FACTS} is damaged ({error}); run semanifold measure again.") from error


def _load(path: Path, reader: Callable[[Path], Any]) -> Any:
    try:
        return reader(path)
    except FileNotFoundError as error:
        raise SemanifoldError(f"There is no {path}; run semanifold measure to its end first.") from error
    except (OSError, ValueError, EOFError) as error:
        raise SemanifoldError(f"{path} is damaged ({error}); run semanifold measure again with --overwrite.") from error
