"""Directions and paths in the files that people exchange, read without running anything in them."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError, shown
from semanifold.core.plain import JsonObject
from semanifold.generators.base import UNKNOWN, Generator
from semanifold.paths.base import PathSet, PathSetInfo
from semanifold.paths.closed_form import GANSPACE, REACH, SEFA, STEPS
from semanifold.paths.kinds import Form
from semanifold.paths.linear import CITE as LINEAR
from semanifold.paths.linear import LinearPaths
from semanifold.paths.navigan import read_navigan
from semanifold.paths.warped import CITE as WARPED
from semanifold.paths.warped import WarpedPaths
from semanifold.paths.weights import WeightPaths
from semanifold.storage.arrays import Arrays, open_arrays, spelled, write_torch
from semanifold.storage.checkpoints import Value
from semanifold.storage.files import is_file, is_folder, read_bytes
from semanifold.storage.readings import Remark, Spaces, direction_reading, directions_in, silent
from semanifold.storage.records import read_settings
from semanifold.storage.runs import RECORD

KNOWN = (
    "directions as .npy [k, d] or as a tensor .pt, GANSpace's .npz or dict, deformator_*.pt, support_sets.pt, experiments of "
    "WarpedGANSpace, and deformations, eigenvectors and checkpoints of Navigan"
)
"""What is read, for error messages."""

LONGEST = 1e6
"""Lengths of an ``args.json`` below it are believed."""
MOST_ANNOTATIONS = 1 << 20
"""Bytes of a ``human_annotation.txt``."""
SCALE = 6.0
"""Length to which Voynov & Babenko train and show their directions."""


@dataclass(frozen=True)
class _Request:
    """What is asked for: a file, and what the caller knows of it."""

    path: Path
    space: str | None
    layers: tuple[int, int] | None
    shape: tuple[int, ...] | None
    spaces: Spaces | None
    remark: Remark

    @property
    def name(self) -> str:
        """The file, fit to be printed."""
        return shown(str(self.path), 200)

    def info(self, inferred: str | None, *, flat: bool = True, **facts: Any) -> PathSetInfo:
        """Return the info of a set, once it is clear which space it lives in, and which layers ``flat`` directions move."""
        space = self.space or ("w+" if self.layers else inferred)
        if space is None:
            raise SemanifoldError(f'{self.name} does not say which latent space its paths live in; name it by space="w".')
        if self.layers and space != "w+":
            raise SemanifoldError(f"Layers can be chosen in the space w+ only, not in {space}; leave space= or layers= out.")
        if flat and space == "w+" and self.layers is None:
            raise SemanifoldError(
                f"{self.name} holds paths without layers; say which layers= of w+ they move, or take space='w'."
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
    generator: Generator | None = None,
    remark: Remark = silent,
) -> LinearPaths | WarpedPaths | WeightPaths:
    """Read paths that other programs wrote.

    Known are the boundaries of InterFaceGAN and the directions of SeFa, ReSeFa and LowRankGAN (``[k, d]`` or ``[d]``; also
    ``[k, layers, d]``, and ``[layers, d]`` for one path), the same in a dictionary of names, the ``factor.pt`` of rosinality's
    closed form, GANSpace's component files (``.npz``) and the dicts and tensors that e4e ships (``.pt``), the ``deformator_*.pt``
    of Voynov & Babenko, the ``support_sets.pt`` of WarpedGANSpace and its whole experiment folders, and the deformations,
    eigenvectors and checkpoints of Navigan. What a file is called does not matter but for eigenvectors. A direction goes three
    of its lengths to ``t = 1``, a principal component three standard deviations.

    Args:
        path: file, or folder of an experiment.
        space: latent space of the paths; needed where neither the format, the file's name nor an ``args.json`` beside it tells.
        layers: layers ``(first, last + 1)`` of ``w+`` that paths of ``w`` shall move alike, or that directions
            ``[k, layers, d]`` are cut down to.
        shape: of a code; needed only where a deformator fills codes up with zeros, or moves codes such as ``(100, 1, 1)``.
        generator: what the paths are for; its spaces decide whether ``[n, d]`` is one path of n layers or n paths.
        remark: is given the sentence that says how an array was read.

    Raises:
        SemanifoldError: if there is no such file, it is damaged, holds something else, its space is unknown, or two readings fit.
    """
    spaces = generator.shapes if generator is not None else None
    request = _Request(Path(path), space, layers, tuple(shape) if shape else None, spaces, remark)
    if layers is not None and not 0 <= layers[0] < layers[1]:
        raise SemanifoldError(f"Layers are given as the first and the last plus one, such as 4:8, not {layers[0]}:{layers[1]}.")
    if is_folder(request.path):
        request = replace(request, path=_newest(request.path))
    arrays = open_arrays(request.path, "file of paths")
    tree = arrays.tree
    if (of_weights := read_navigan(arrays, request.path)) is not None:
        return of_weights
    if isinstance(tree, Mapping):
        inner = tree.get("support_sets")  # a checkpoint of the training has it
        inner = inner if isinstance(inner, Mapping) else tree
        names = {key for key, value in inner.items() if isinstance(value, Value)}
        if "SUPPORT_SETS" in names:
            return _warped(_tensors(arrays, inner, "SUPPORT_SETS", "ALPHAS", "LOGGAMMA"), request)
        form = _form_of(names, request.path)
        if form is not None:
            return _deformator(form, _tensors(arrays, inner, *names), request)
        if {"lat_comp", "act_comp", "comp"} & names:
            return _components(_tensors(arrays, inner, "lat_comp", "lat_stdev", "comp", "std"), request)
        if "eigvec" in names:
            return _factors(_tensors(arrays, inner, "eigvec")["eigvec"], request)
    return _vectors(arrays, request)


def _newest(folder: Path) -> Path:
    """Return the paths of an experiment of WarpedGANSpace or of Voynov & Babenko.

    A run of WarpedGANSpace that is not finished has the newest ``support_sets-<iteration>.pt``, or a ``checkpoint.pt``.
    """
    models = folder / "models" if (folder / "models").is_dir() else folder
    matches = [(re.fullmatch(r"(?:support_sets-|deformator_)(\d+)\.pt", file.name), file) for file in models.glob("*.pt")]
    numbered = sorted(((int(name[1]), file) for name, file in matches if name), reverse=True)
    for place in (models / "support_sets.pt", *(file for _, file in numbered), models / "checkpoint.pt"):
        if place.is_file():
            return place
    if runs := sorted(record.parent.name for record in islice(folder.glob(f"*/{RECORD}"), 20)):
        raise SemanifoldError(
            f"{shown(str(folder), 200)} is a folder of runs; give one that holds paths: {shown(', '.join(runs), 200)}."
        )
    raise SemanifoldError(
        f"{folder} is no experiment that semanifold knows: neither it nor its folder models holds a support_sets.pt, a "
        "deformator_*.pt or a checkpoint.pt."
    )


def _tensors(arrays: Arrays, tree: Mapping[Any, Any], *names: str) -> dict[str, Tensor]:
    """Return those of a file's arrays that are there, by their names."""
    values = {name: tree[name] for name in names if isinstance(tree.get(name), Value)}
    return dict(zip(values, arrays.tensors(values.values()), strict=True))


def _vectors(arrays: Arrays, request: _Request) -> LinearPaths:
    """Make a set of the directions of a file; see :func:`~semanifold.storage.readings.direction_reading` for their shapes."""
    directions = directions_in(arrays)
    if directions is None:
        count = len(arrays.leaves)
        content = (
            f"{count} arrays, but no paths that semanifold knows: {KNOWN}" if count else f"no array of numbers; give {KNOWN}"
        )
        raise SemanifoldError(f"{request.name} holds {content}.")
    kinds = {value.dtype for value in directions.values}
    if not all(kind.is_floating_point for kind in kinds) or len(directions.shape) not in (1, 2, 3) or 0 in directions.shape:
        kind = str(kinds.pop()).removeprefix("torch.")
        raise SemanifoldError(
            f"{request.name} holds {kind} numbers {list(directions.shape)}, but directions are expected as [k, d] or "
            "[k, layers, d]."
        )
    # InterFaceGAN's names: ..._w_boundary is of w, any other boundary of z
    match = re.search(r"(_w)?_boundary$", request.path.stem)
    named = ("w" if match[1] else "z") if match else None
    known = {"space": request.space, "layers": request.layers, "spaces": request.spaces, "named": named}
    reading = direction_reading(directions.shape, request.name, **known)
    names: dict[int, str] = {}
    vectors = torch.cat([t.float().reshape(reading.shape) for t in arrays.tensors(directions.values)])
    words = reading.words
    if len(directions.values) > 1:
        if reading.shape[0] > 1:
            raise SemanifoldError(
                f"{request.name} holds {len(directions.values)} arrays of shape {list(directions.shape)}, but each of several is "
                "to be one direction."
            )
        names = {i: shown(spelled(place), 60) for i, place in enumerate(arrays.leaves) if place and isinstance(place[-1], str)}
        words = f"{len(directions.values)} paths, each {words}"
    flat = vectors.ndim == 2
    if request.layers and not flat:
        first, last = request.layers
        if last > vectors.shape[1]:
            raise SemanifoldError(
                f"There are no layers {first}:{last}: the directions of {request.name} have 0:{vectors.shape[1]}."
            )
        vectors, words = vectors[:, first:last], f"{words}; layers {first} to {last - 1} are taken"
    request.remark(f"{request.name} is read as {words}.")
    info = request.info(reading.space, flat=flat, method=f"directions of {shown(request.path.name)}", names=names)
    return _linear(vectors, info, vectors.flatten(1).norm(dim=1), request)


def _factors(vectors: Tensor, request: _Request) -> LinearPaths:
    """The columns of ``eigvec`` ``[d, n]`` of rosinality's ``closed_form_factorization`` are SeFa's directions of w."""
    if vectors.ndim != 2 or 0 in vectors.shape or not vectors.is_floating_point():
        raise SemanifoldError(
            f"{request.name} holds factors {list(vectors.shape)}, but a matrix is expected, a direction a column."
        )
    rows = vectors.float().T.contiguous()
    request.remark(f"{request.name} is read as {len(rows)} directions of SeFa, the columns of its matrix.")
    return _linear(rows, request.info("w", method="SeFa", cite=SEFA), rows.norm(dim=1), request)


def _components(tensors: Mapping[str, Tensor], request: _Request) -> LinearPaths:
    """GANSpace: ``lat_comp`` and ``lat_stdev`` in its own files, ``comp`` and ``std`` where e4e keeps them.

    GANSpace measures the deviations of latents in w only; elsewhere it writes 1 for all of them, which says that this is z.
    """
    own = "comp" not in tensors
    components, deviations = tensors.get("lat_comp" if own else "comp"), tensors.get("lat_stdev" if own else "std")
    if components is None:
        raise SemanifoldError(
            f"{request.name} holds components of activations only; paths need those of latents (lat_comp), which GANSpace's "
            "decomposition writes beside them."
        )
    if components.ndim < 2 or 0 in components.shape or deviations is None or deviations.numel() != len(components):
        raise SemanifoldError(f"{request.name} holds components {list(components.shape)} without a deviation for each.")
    lengths = deviations.float().reshape(-1)
    info = request.info("z" if (lengths == 1).all() else "w", method="GANSpace", cite=GANSPACE)
    return _linear(components.float().flatten(1), info, lengths, request)


def _linear(vectors: Tensor, info: PathSetInfo, lengths: Tensor, request: _Request) -> LinearPaths:
    """Make a set whose paths go :data:`REACH` times the given lengths ``[k]``, moving layers alike where vectors have none."""
    largest = float(lengths.max())
    if not (lengths > 0).all() or not largest < math.inf:
        raise SemanifoldError(f"{request.name} holds directions that are zero or not finite; get a fresh copy.")
    info, scale = replace(info, step=REACH * largest / STEPS, count=STEPS), lengths / largest
    if info.layers is None:
        return LinearPaths.from_vectors(vectors, info, scale=scale)
    first, last = info.layers
    if vectors.ndim == 2:
        return LinearPaths.from_vectors(vectors, info, scale=scale, layers=last - first)
    return LinearPaths.from_vectors(vectors, info, scale=scale)


def _form_of(tensors: Set[str], path: Path) -> Form | None:
    """Return which deformator a state dict is; ``linear`` and ``projective`` look alike and are told apart by ``args.json``."""
    if "log_mat_half" in tensors:
        return "ortho"
    if {"fc1.weight", "fc4.weight", "bn1.running_mean"} <= tensors:
        return "fc"
    if "linear.weight" in tensors and tensors <= {"linear.weight", "linear.bias"}:
        return "projective" if _arguments(path).get("deformator") == "proj" else "linear"
    return None


def _deformator(form: Form, tensors: Mapping[str, Tensor], request: _Request) -> LinearPaths:
    """Voynov & Babenko's ``deformator_<step>.pt``."""
    arguments = _arguments(request.path)
    model = shown(str(arguments.get("gan_type", UNKNOWN)))
    inferred = ("w" if "StyleGAN2" in model and arguments.get("w_shift", True) else "z") if arguments else None
    facts = {"generator": model, "cite": LINEAR, "step": SCALE / STEPS, "count": STEPS, "names": _annotation(request.path)}
    info = request.info(inferred, method=f"linear paths ({form})", **facts)
    keys = {"ortho": ("log_mat_half",) * 2, "fc": ("fc1.weight", "fc4.weight")}.get(form, ("linear.weight",) * 2)
    first, last = (tensors[key] for key in keys)
    if first.ndim != 2 or last.ndim != 2:
        raise SemanifoldError(f"{request.name} is no deformator: its weights are not matrices.")
    made = LinearPaths(
        form,
        first.shape[1],
        request.moving(len(last)),
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
        raise SemanifoldError(f"{request.name} is no whole deformator; its tensors do not fit one another.") from error
    if not all(torch.isfinite(v).all() for v in made.state_dict().values()):
        raise SemanifoldError(f"{request.name} is damaged: it holds NaN or infinite values.")
    return made.eval()


def _annotation(path: Path) -> dict[int, str]:
    """Return the names of paths in the ``human_annotation.txt`` of an experiment, lines such as ``12: smile``."""
    file = path.parent.parent / "human_annotation.txt"
    data = read_bytes(file, "list of names", MOST_ANNOTATIONS) if is_file(file) else b""
    matches = (re.fullmatch(r"\s*(\d{1,9}):\s*(\S.*)", line) for line in data.decode("utf-8", "replace").splitlines())
    return {int(line[1]): shown(line[2].strip()) for line in matches if line}


def _arguments(path: Path) -> JsonObject:
    """Return the ``args.json`` beside a file, or beside the folder ``models`` that it lies in; empty if there is none."""
    file = next((f for f in (path.parent / "args.json", path.parent.parent / "args.json") if is_file(f)), None)
    return read_settings(file) if file else {}


def _is_length(value: Any) -> TypeGuard[float]:
    """Whether a value of an ``args.json`` is a number above 0."""
    return isinstance(value, int | float) and 0 < value < LONGEST


def _warped(tensors: Mapping[str, Tensor], request: _Request) -> WarpedPaths:
    """WarpedGANSpace: ``SUPPORT_SETS [K, 2N d]``, ``ALPHAS [K, 2N]`` and ``LOGGAMMA [K, 1]``.

    Where gammas were not learned, the published code takes that of ``args.json``, or ``1 / d``, and not that of the file.
    """
    arguments = _arguments(request.path)
    support, alphas, log_gamma = (tensors.get(key, torch.zeros(())).float() for key in ("SUPPORT_SETS", "ALPHAS", "LOGGAMMA"))
    fits = support.ndim == alphas.ndim == 2 and 0 not in (*support.shape, *alphas.shape)
    if not fits or support.shape[1] % alphas.shape[1] or not len(support) == len(alphas) == log_gamma.numel():
        raise SemanifoldError(f"{request.name} holds no whole support sets: SUPPORT_SETS, ALPHAS and LOGGAMMA do not fit.")
    if not all(torch.isfinite(v).all() for v in (support, alphas, log_gamma)):
        raise SemanifoldError(f"{request.name} is damaged: its support sets hold NaN or infinite values.")
    size = support.shape[1] // alphas.shape[1]
    learned, gamma = bool(arguments.get("learn_gammas", True)), arguments.get("gamma")
    if not learned:
        log_gamma = torch.full((len(support),), gamma if _is_length(gamma) else 1 / size).log()
    low, high = (arguments.get(f"{which}_shift_magnitude") for which in ("min", "max"))
    step = (low + high) / 2 if _is_length(low) and _is_length(high) else 0.2
    inferred = ("w" if arguments.get("shift_in_w_space") else "z") if arguments else None
    model = shown(str(arguments.get("gan_type", UNKNOWN)))
    info = request.info(inferred, method="warped paths", generator=model, step=step, count=STEPS, cite=WARPED)
    return WarpedPaths(
        support.reshape(*alphas.shape, size),
        alphas,
        log_gamma.reshape(-1),
        request.moving(size),
        info,
        learn_alphas=bool(arguments.get("learn_alphas", False)),
        learn_gammas=learned,
        shared=info.layers is not None,
    )


def save_support_sets(paths: PathSet, path: str | os.PathLike[str]) -> None:
    """Write warped paths as WarpedGANSpace's ``support_sets.pt``, a state dict that its own code loads.

    Where its ``args.json`` says that gammas are not learned, that code takes gamma from there. It knows no lengths of single
    paths (``scale``); the directions are the same without.

    Args:
        paths: warped ones; the published code takes all of them for flat codes.
        path: the file.

    Raises:
        SemanifoldError: if such a file cannot hold them.
    """
    state = paths.support_sets()
    if not state:
        raise SemanifoldError(f"A {os.path.basename(path)} holds warped paths whose layers do not move alike, not {paths!r}.")
    write_torch(path, state)
