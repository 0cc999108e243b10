"""Where a search stands, as a value that can be written to a file and read back bit for bit."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from semanifold.errors import SemanifoldError
from semanifold.generators.base import Generator
from semanifold.latents import Latents
from semanifold.manifolds.metric import Metric
from semanifold.manifolds.settings import ManifoldSettings
from semanifold.masks import Mask
from semanifold.minimise import Descent, Evaluation
from semanifold.storage.files import replacing

FORMAT = "semanifold-search-2"


@dataclass(frozen=True)
class Standing:
    """Where a search stands between two steps.

    Attributes:
        stage: index of the stage.
        within: steps taken in it.
        step: steps taken in all.
        evaluations: pictures made so far.
        offset: c.
        sigma: rest length at the full number of frames.
        outside: weight of the outside in this stage.
        descent: the minimiser's state; its point is ``[f, *moving]``, the offsets of the free frames.
        recent: latest values of the objective in this stage, oldest first.
        best: the lowest point of this stage.
        best_value: the objective there.
        metric: stiffness of the pictures at the seed; None for the paper's method.
        shrunk: how often c was made smaller.
    """

    stage: int
    within: int
    step: int
    evaluations: int
    offset: float
    sigma: float
    outside: float
    descent: Descent
    recent: tuple[float, ...]
    best: Tensor
    best_value: float
    metric: Metric | None
    shrunk: int


def search_key(generator: Generator, seed: Latents, mask: Mask, settings: ManifoldSettings, distance: str) -> str:
    """Return a digest of everything that decides a search; a checkpoint of another one is refused."""
    digest = hashlib.sha256(json.dumps(asdict(settings), sort_keys=True).encode())
    digest.update(f"{generator.fingerprint}{seed.space}{mask}{distance}".encode())
    for tensor in (seed.values, seed.labels, mask.at(64, 64)):
        if tensor is not None:
            digest.update(tensor.detach().cpu().double().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


def save_standing(standing: Standing, path: str, key: str) -> None:
    """Write a standing as safetensors with a JSON header, whole or not at all."""
    descent = standing.descent
    tensors = {"x": descent.x, "gradient": descent.at.gradient, "best": standing.best}
    if standing.metric is not None:
        tensors |= {"axes": standing.metric.axes, "stiffness": standing.metric.stiffness, "barred": standing.metric.barred}
    for name, stack in (("moves", descent.moves), ("turns", descent.turns)):
        tensors |= {f"{name}.{i:03d}": tensor for i, tensor in enumerate(stack)}
    names = ("stage", "within", "step", "evaluations", "offset", "sigma", "outside", "recent", "best_value", "shrunk")
    header = {name: getattr(standing, name) for name in names}
    header |= {"value": descent.at.value, "terms": descent.at.terms, "stalled": descent.stalled, "format": FORMAT, "key": key}
    with replacing(path) as part:
        save_file(
            {k: v.detach().cpu().clone(memory_format=torch.contiguous_format) for k, v in tensors.items()},
            part,
            metadata={"semanifold": json.dumps(header)},
        )


def load_standing(path: str, key: str, device: torch.device) -> Standing | None:
    """Read a standing; None if there is no such file.

    Raises:
        SemanifoldError: if the file is no checkpoint, or belongs to another search.
    """
    if not os.path.exists(path):
        return None
    try:
        with safe_open(path, framework="pt") as file:
            header: dict[str, Any] = json.loads((file.metadata() or {}).get("semanifold", "{}"))
            # Copied into memory of their own: a file's tensors may be badly aligned, and BLAS then rounds otherwise.
            tensors = {name: file.get_tensor(name).clone().to(device) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise SemanifoldError(f"{path} is not the checkpoint of a search ({error}); delete it to begin anew.") from error
    if header.pop("format", None) != FORMAT:
        raise SemanifoldError(f"{path} is not the checkpoint of a search that this version reads; delete it to begin anew.")
    if header.pop("key") != key:
        raise SemanifoldError(
            f"The checkpoint {path} belongs to a search with another generator, seed, mask or settings; give another file, "
            "or delete it to begin anew."
        )
    moves, turns = (tuple(tensors[k] for k in sorted(tensors) if k.startswith(name)) for name in ("moves.", "turns."))
    at = Evaluation(header.pop("value"), tensors["gradient"], header.pop("terms"))
    descent = Descent(tensors["x"], at, moves, turns, header.pop("stalled"))
    metric = Metric(tensors["axes"], tensors["stiffness"], tensors["barred"]) if "axes" in tensors else None
    return Standing(descent=descent, best=tensors["best"], metric=metric, **{**header, "recent": tuple(header["recent"])})
