"""Directions and paths in the files that people exchange, read without running anything in them."""

from __future__ import annotations

import io
import math
import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor

from semanifold.errors import SemanifoldError
from semanifold.generators import containers
from semanifold.generators.inert import ArrayRecord, TensorRecord, UnreadableError
from semanifold.paths.base import PathSetInfo
from semanifold.paths.closed_form import GANSPACE, REACH, STEPS
from semanifold.paths.linear import CITE as LINEAR
from semanifold.paths.linear import Form, LinearPaths
from semanifold.paths.warped import CITE as WARPED
from semanifold.paths.warped import WarpedPaths
from semanifold.storage.files import replacing
from semanifold.storage.records import read_settings

KNOWN = (
    "directions as .npy [k, d] or as a tensor .pt, GANSpace's .npz or dict, deformator_*.pt, support_sets.pt, and experiments of "
    "WarpedGANSpace"
)
"""What is read, for error messages."""

SCALE = 6.0
"""Length to which Voynov & Babenko train and show their directions."""


@dataclass(frozen=True)
class _Request:
    """What is asked for: a file, and what the caller knows of it."""

    path: Path
    space: str | None
    layers: tuple[int, int] | None
    shape: tuple[int, ...] | None

    def info(self, inferred: str | None, *, flat: bool = True, **facts: Any) -> PathSetInfo:
        """Return the info of a set, once it is clear which space it lives in, and which layers ``flat`` directions move."""
        space = self.space or ("w+" if self.layers else inferred)
        if space is None:
            raise SemanifoldError(
                f'{self.path} does not say which latent space its paths live in; name it by --space w, or space="w" in Python.'
            )
        if self.layers and space != "w+":
            raise SemanifoldError(
                f"Layers can be chosen in the space w+ only, not in {space}; leave the space or the layers out."
            )
        if flat and space == "w+" and self.layers is None:
            raise SemanifoldError(
                f"{self.path} holds paths without layers; say which layers of w+ they move, or take the space w."
            )
        return PathSetInfo(space=space, layers=self.layers, **facts)

    def moving(self, size: int) -> tuple[int, ...]:
        """Return the shape of the part of a code that directions of this size move."""
        return (self.layers[1] - self.layers[0], size) if self.layers else (self.shape or (size,))


def read_directions(
    path: str | os.PathLike[str],
    space: str | None = None,
    *,
    layers: tuple[int, int] | None = None,
    shape: Sequence[int] | None = None,
) -> LinearPaths | WarpedPaths:
    """Read paths that other programs wrote.

    Known are the boundaries of InterFaceGAN and the directions of SeFa, ReSeFa and LowRankGAN (``.npy``, ``[k, d]`` or ``[d]``;
    also ``[k, layers, d]``), GANSpace's component files (``.npz``) and the dicts and tensors that e4e ships (``.pt``), the
    ``deformator_*.pt`` of Voynov & Babenko, the ``support_sets.pt`` of WarpedGANSpace and its whole experiment folders.
    A direction goes three of its lengths to ``t = 1``, a principal component three standard deviations.

    Args:
        path: file, or folder of an experiment.
        space: latent space of the paths; needed where neither the format, the file's name nor an ``args.json`` beside it tells.
        layers: layers ``(first, last + 1)`` of ``w+`` that paths of ``w`` shall move alike, or that directions
            ``[k, layers, d]`` are cut down to.
        shape: of a code; needed only where a deformator fills codes up with zeros, or moves codes such as ``(100, 1, 1)``.

    Raises:
        SemanifoldError: if there is no such file, it is damaged, holds something else, or its space is unknown.
    """
    wanted = _Request(Path(path), space, layers, tuple(shape) if shape else None)
    if not wanted.path.exists():
        raise SemanifoldError(f"There is no file {path}; give a file of paths: {KNOWN}.")
    if layers is not None and not 0 <= layers[0] < layers[1]:
        raise SemanifoldError(f"Layers are given as the first and the last plus one, such as 4:8, not {layers[0]}:{layers[1]}.")
    if wanted.path.is_dir():
        return read_directions(_newest(wanted.path), space, layers=layers, shape=shape)
    held = _held(wanted.path)
    if isinstance(held, Mapping):
        inner = held.get("support_sets")  # a checkpoint of the training has it
        tensors = _tensors(inner if isinstance(inner, Mapping) else held, wanted.path)
        if "SUPPORT_SETS" in tensors:
            return _warped(tensors, wanted)
        form = _form_of(tensors, wanted.path)
        if form is not None:
            return _deformator(form, tensors, wanted)
        if {"lat_comp", "act_comp", "comp"} & tensors.keys():
            return _components(tensors, wanted)
        if len(tensors) != 1:
            raise SemanifoldError(f"{path} holds {len(tensors)} arrays, but no paths that semanifold knows: {KNOWN}.")
        held = next(iter(tensors.values()))
    return _vectors(_tensor(held, wanted.path), wanted)


def _newest(folder: Path) -> Path:
    """Return the paths of an experiment of WarpedGANSpace or of Voynov & Babenko.

    A run of WarpedGANSpace that is not finished has the newest ``support_sets-<iteration>.pt``, or a ``checkpoint.pt``.
    """
    models = folder / "models" if (folder / "models").is_dir() else folder
    found = [(re.fullmatch(r"(?:support_sets-|deformator_)(\d+)\.pt", file.name), file) for file in models.glob("*.pt")]
    numbered = sorted(((int(name[1]), file) for name, file in found if name), reverse=True)
    for place in (models / "support_sets.pt", *(file for _, file in numbered), models / "checkpoint.pt"):
        if place.is_file():
            return place
    raise SemanifoldError(
        f"{folder} is no experiment that semanifold knows: neither it nor its folder models holds a support_sets.pt, a "
        "deformator_*.pt or a checkpoint.pt."
    )


def _held(path: Path) -> Any:
    """Return the array, tensor or dict of a file."""
    try:
        with path.open("rb") as file:
            start = file.read(6)
        if start == b"\x93NUMPY":
            return np.load(path, allow_pickle=False)
        if start[:2] == b"PK" and path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                return {key: archive[key] for key in archive.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise SemanifoldError(f"{path} cannot be read as plain arrays: it is damaged, or holds Python objects.") from error
    contents = containers.read(path)
    if contents.problem:
        raise SemanifoldError(f"{path} {contents.problem}.")
    return contents.tree


def _tensors(held: Mapping[Any, Any], path: Path) -> dict[str, Tensor]:
    """Return the arrays in a dict, by their names."""
    kinds = (Tensor, np.ndarray, TensorRecord, ArrayRecord)
    return {str(key): _tensor(value, path) for key, value in held.items() if isinstance(value, kinds)}


def _tensor(held: Any, path: Path) -> Tensor:
    """Return an array of numbers as a tensor."""
    try:
        if isinstance(held, TensorRecord | ArrayRecord):
            held = held.tensor()
    except UnreadableError as error:
        raise SemanifoldError(f"{path} is damaged: it {error}.") from error
    if isinstance(held, np.ndarray) and held.dtype.kind in "fiu":
        held = torch.from_numpy(np.ascontiguousarray(held.astype(held.dtype.newbyteorder("="))))
    if not isinstance(held, Tensor):
        raise SemanifoldError(f"{path} holds no array of numbers, but {type(held).__name__}; semanifold reads {KNOWN}.")
    return held.detach()


def _vectors(vectors: Tensor, wanted: _Request) -> LinearPaths:
    """Make a set of the directions of a file: ``[d]``, ``[k, d]`` or ``[k, layers, d]``."""
    if not vectors.is_floating_point() or vectors.ndim not in (1, 2, 3) or 0 in vectors.shape:
        kind = str(vectors.dtype).removeprefix("torch.")
        raise SemanifoldError(
            f"{wanted.path} holds {kind} numbers {list(vectors.shape)}, but directions are expected as [k, d] or [k, layers, d]."
        )
    vectors = vectors.float() if vectors.ndim > 1 else vectors.float()[None]
    vectors = vectors[:, 0] if vectors.ndim == 3 and vectors.shape[1] == 1 else vectors
    flat = vectors.ndim == 2
    # InterFaceGAN's names: ..._w_boundary is of w, any other boundary of z
    named = re.search(r"(_w)?_boundary$", wanted.path.stem)
    inferred = ("w" if named[1] else "z") if named else None
    info = wanted.info(inferred if flat else "w+", flat=flat, method=f"directions of {wanted.path.name}")
    return _linear(vectors, info, vectors.flatten(1).norm(dim=1), wanted)


def _components(tensors: Mapping[str, Tensor], wanted: _Request) -> LinearPaths:
    """GANSpace: ``lat_comp`` and ``lat_stdev`` in its own files, ``comp`` and ``std`` where e4e keeps them.

    GANSpace measures the deviations of latents in w only; elsewhere it writes 1 for all of them, which says that this is z.
    """
    own = "comp" not in tensors
    components, deviations = tensors.get("lat_comp" if own else "comp"), tensors.get("lat_stdev" if own else "std")
    if components is None:
        raise SemanifoldError(
            f"{wanted.path} holds components of activations only; paths need those of latents (lat_comp), which GANSpace's "
            "decomposition writes beside them."
        )
    if components.ndim < 2 or 0 in components.shape or deviations is None or deviations.numel() != len(components):
        raise SemanifoldError(f"{wanted.path} holds components {list(components.shape)} without a deviation for each.")
    lengths = deviations.float().reshape(-1)
    info = wanted.info("z" if (lengths == 1).all() else "w", method="GANSpace", cite=GANSPACE)
    return _linear(components.float().flatten(1), info, lengths, wanted)


def _linear(vectors: Tensor, info: PathSetInfo, lengths: Tensor, wanted: _Request) -> LinearPaths:
    """Make a set whose paths go :data:`REACH` times the given lengths ``[k]``, moving layers alike where vectors have none."""
    largest = float(lengths.max())
    if not (lengths > 0).all() or not largest < math.inf:
        raise SemanifoldError(f"{wanted.path} holds directions that are zero or not finite; get a fresh copy.")
    info, scale = replace(info, step=REACH * largest / STEPS, count=STEPS), lengths / largest
    if info.layers is None:
        return LinearPaths.from_vectors(vectors, info, scale=scale)
    first, last = info.layers
    if vectors.ndim == 2:
        return LinearPaths.from_vectors(vectors, info, scale=scale, layers=last - first)
    if last > vectors.shape[1]:
        raise SemanifoldError(f"There are no layers {first}:{last}: the directions of {wanted.path} have 0:{vectors.shape[1]}.")
    return LinearPaths.from_vectors(vectors[:, first:last], info, scale=scale)


def _form_of(tensors: Mapping[str, Tensor], path: Path) -> Form | None:
    """Return which deformator a state dict is; ``linear`` and ``projective`` look alike and are told apart by ``args.json``."""
    if "log_mat_half" in tensors:
        return "ortho"
    if {"fc1.weight", "fc4.weight", "bn1.running_mean"} <= tensors.keys():
        return "fc"
    if "linear.weight" in tensors and tensors.keys() <= {"linear.weight", "linear.bias"}:
        return "projective" if _arguments(path).get("deformator") == "proj" else "linear"
    return None


def _deformator(form: Form, tensors: Mapping[str, Tensor], wanted: _Request) -> LinearPaths:
    """Voynov & Babenko's ``deformator_<step>.pt``."""
    arguments = _arguments(wanted.path)
    model = str(arguments.get("gan_type", "unknown"))
    inferred = ("w" if "StyleGAN2" in model and arguments.get("w_shift", True) else "z") if arguments else None
    facts = {"generator": model, "cite": LINEAR, "step": SCALE / STEPS, "count": STEPS, "names": _annotation(wanted.path)}
    info = wanted.info(inferred, method=f"linear paths ({form})", **facts)
    keys = {"ortho": ("log_mat_half",) * 2, "fc": ("fc1.weight", "fc4.weight")}.get(form, ("linear.weight",) * 2)
    first, last = (tensors[key] for key in keys)
    if first.ndim != 2 or last.ndim != 2:
        raise SemanifoldError(f"{wanted.path} is no deformator: its weights are not matrices.")
    made = LinearPaths(
        form,
        first.shape[1],
        wanted.moving(len(last)),
        info,
        bias="linear.bias" in tensors,
        inner=len(first) if form == "fc" else 1,
        outputs=len(last),
        shared=info.layers is not None,
        seed=None,
    )
    try:
        made.load_state_dict(dict(tensors) | {"scale": torch.ones(len(made))})
    except RuntimeError as error:
        raise SemanifoldError(f"{wanted.path} is no whole deformator; its tensors do not fit one another.") from error
    if not all(torch.isfinite(v).all() for v in made.state_dict().values()):
        raise SemanifoldError(f"{wanted.path} is damaged: it holds NaN or infinite values.")
    return made.eval()


def _annotation(path: Path) -> dict[int, str]:
    """Return the names of paths in the ``human_annotation.txt`` of an experiment, lines such as ``12: smile``."""
    file = path.parent.parent / "human_annotation.txt"
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
    return {int(found[1]): found[2].strip() for line in lines if (found := re.fullmatch(r"\s*(\d+):\s*(\S.*)", line))}


def _arguments(path: Path) -> dict[str, Any]:
    """Return the ``args.json`` beside a file, or beside the folder ``models`` that it lies in; empty where there is none."""
    file = next((f for f in (path.parent / "args.json", path.parent.parent / "args.json") if f.is_file()), None)
    return read_settings(file) if file else {}


def _is_length(value: Any) -> TypeGuard[float]:
    """Whether a value of an ``args.json`` is a number above 0."""
    return isinstance(value, int | float) and 0 < value < math.inf


def _warped(tensors: Mapping[str, Tensor], wanted: _Request) -> WarpedPaths:
    """WarpedGANSpace: ``SUPPORT_SETS [K, 2N d]``, ``ALPHAS [K, 2N]`` and ``LOGGAMMA [K, 1]``.

    Where gammas were not learned, the published code takes that of ``args.json``, or ``1 / d``, and not that of the file.
    """
    arguments = _arguments(wanted.path)
    support, alphas, log_gamma = (tensors.get(key, torch.zeros(())).float() for key in ("SUPPORT_SETS", "ALPHAS", "LOGGAMMA"))
    fits = support.ndim == alphas.ndim == 2 and 0 not in (*support.shape, *alphas.shape)
    if not fits or support.shape[1] % alphas.shape[1] or not len(support) == len(alphas) == log_gamma.numel():
        raise SemanifoldError(f"{wanted.path} holds no whole support sets: SUPPORT_SETS, ALPHAS and LOGGAMMA do not fit.")
    if not all(torch.isfinite(v).all() for v in (support, alphas, log_gamma)):
        raise SemanifoldError(f"{wanted.path} is damaged: its support sets hold NaN or infinite values.")
    size = support.shape[1] // alphas.shape[1]
    learned, gamma = bool(arguments.get("learn_gammas", True)), arguments.get("gamma")
    if not learned:
        log_gamma = torch.full((len(support),), gamma if _is_length(gamma) else 1 / size).log()
    low, high = (arguments.get(f"{which}_shift_magnitude") for which in ("min", "max"))
    step = (low + high) / 2 if _is_length(low) and _is_length(high) else 0.2
    inferred = ("w" if arguments.get("shift_in_w_space") else "z") if arguments else None
    model = str(arguments.get("gan_type", "unknown"))
    info = wanted.info(inferred, method="warped paths", generator=model, step=step, count=STEPS, cite=WARPED)
    return WarpedPaths(
        support.reshape(*alphas.shape, size),
        alphas,
        log_gamma.reshape(-1),
        wanted.moving(size),
        info,
        learn_alphas=bool(arguments.get("learn_alphas", False)),
        learn_gammas=learned,
        shared=info.layers is not None,
    )


def save_support_sets(paths: WarpedPaths, path: str | os.PathLike[str]) -> None:
    """Write warped paths as WarpedGANSpace's ``support_sets.pt``, a state dict that its own code loads.

    Where its ``args.json`` says that gammas are not learned, that code takes gamma from there. It knows no lengths of single
    paths (``scale``); the directions are the same without.

    Args:
        paths: any; the published code takes all of them for flat codes.
        path: the file.
    """
    state = {
        "SUPPORT_SETS": (paths.unit * paths.support.detach()).flatten(1),
        "ALPHAS": paths.alphas.detach(),
        "LOGGAMMA": paths.log_gamma.detach().reshape(-1, 1),
    }
    buffer = io.BytesIO()  # torch's own file writer hides what the operating system says
    torch.save({key: value.cpu().float().clone() for key, value in state.items()}, buffer)
    with replacing(path) as part:
        part.write_bytes(buffer.getvalue())
