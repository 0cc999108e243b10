"""The files of Navigan (arXiv:2011.13786): saved deformations, eigenvectors of the Hessian, checkpoints of trained directions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from semanifold.core.errors import SemanifoldError, shown
from semanifold.edits.base import WEIGHTS
from semanifold.edits.files import check_numbers
from semanifold.generators.base import UNKNOWN
from semanifold.paths.base import PathSetInfo
from semanifold.paths.weights import CITE, WeightPaths
from semanifold.storage.arrays import Arrays, open_arrays, write_torch
from semanifold.storage.checkpoints import Value
from semanifold.storage.files import is_file

HESSIAN, SVD = "direction_to_basis_coefs", "direction_to_eigenvalues_delta"
REACH = {HESSIAN: 60.0, SVD: 3500.0}
"""Norms that the published recipes train and show with."""
STEPS = 16
MOST_LAYERS = 100
_DIRECTIONS = re.compile(rf"(?:style_gan2\.)?convs\.(\d{{1,3}})\.conv\.({HESSIAN}|{SVD})")
_EIGENVECTORS = re.compile(r"eigenvectors_layer(\d{1,3})_")


def layer_name(index: int) -> str:
    """Return what semanifold calls the layer of Navigan's ``layer_ix``, which counts the convolutions after the first one."""
    return f"convs.{index + 1}"


def layer_index(layer: str) -> int:
    """Return Navigan's ``layer_ix`` of a layer.

    Raises:
        SemanifoldError: for a layer that Navigan does not reach.
    """
    match = re.fullmatch(r"convs\.([1-9]\d{0,2})", layer)
    if match is None:
        raise SemanifoldError(f"Navigan edits the convolutions convs.1, convs.2, ... of a StyleGAN2, not {shown(layer, 60)}.")
    return int(match[1]) - 1


def read_navigan(arrays: Arrays, path: Path) -> WeightPaths | None:
    """Return the directions of a file of Navigan's, or None if it is none.

    Known are ``{"layer_ix", "shift"}`` (one direction, as long as its norm), ``eigenvectors_layer3_NAME.pt`` ``[n, 1, out, in, k,
    k]``, and a training's ``checkpoint.pt``. That of a basis of eigenvectors does not hold them; they are read from a file of
    that name in the same folder.

    Raises:
        SemanifoldError: if something is missing or makes no sense.
    """
    tree, name = arrays.tree, shown(str(path), 200)
    if isinstance(tree, Mapping) and isinstance(tree.get("shift"), Value) and "layer_ix" in tree:
        (shift,) = arrays.tensors([tree["shift"]])
        vectors = _vectors(shift, name)
        norm = float(vectors.norm())
        return _basis(vectors, _layer(tree["layer_ix"], name), _shape(shift), "saved deformation of Navigan", norm)
    if isinstance(tree, Value) and len(tree.shape) == 6 and tree.shape[1] == 1:
        match = _EIGENVECTORS.match(path.name)
        if match is None:
            raise SemanifoldError(
                f"{name} looks like Navigan's eigenvectors, whose layer is told by their name; "
                "call it eigenvectors_layer3_NAME.pt."
            )
        (vectors,) = arrays.tensors([tree])
        return _basis(_vectors(vectors, name), int(match[1]), _shape(vectors), "eigenvectors of the Hessian", REACH[HESSIAN])
    if isinstance(tree, Mapping) and isinstance(inner := tree.get("generator"), Mapping):
        for key, value in inner.items():
            if isinstance(key, str) and isinstance(value, Value) and (match := _DIRECTIONS.fullmatch(key)):
                return _trained(arrays, inner, key.removesuffix(match[2]), int(match[1]), match[2], path)
    return None


def _trained(arrays: Arrays, tree: Mapping[Any, Any], prefix: str, index: int, kind: str, path: Path) -> WeightPaths:
    """Return the directions of a checkpoint."""
    name = shown(str(path), 200)
    (coefficients,) = arrays.tensors([tree[prefix + kind]])
    _check({kind: coefficients}, name)
    if kind == SVD:
        if missing := [part for part in ("u", "vh", "weight") if not isinstance(tree.get(prefix + part), Value)]:
            raise SemanifoldError(f"{name} holds trained singular values, but lacks {prefix}{missing[0]}.")
        u, vh = arrays.tensors([tree[prefix + "u"], tree[prefix + "vh"]])
        _check({"u": u, "vh": vh}, name)
        layers = {layer_name(index): tuple(tree[prefix + "weight"].shape)[1:]}
        return WeightPaths.from_svd(u, vh, layers, _info("trained singular values", REACH[SVD]), coefficients=coefficients)
    beside = sorted(p for p in path.parent.glob(f"eigenvectors_layer{index}_*.pt") if is_file(p))[:MOST_LAYERS]
    if len(beside) != 1:
        raise SemanifoldError(
            f"{name} holds coefficients of eigenvectors, but not these; put the one file eigenvectors_layer{index}_NAME.pt that "
            f"it was trained with into its folder, which holds {len(beside)} of that name."
        )
    basis = read_navigan(open_arrays(beside[0], "file of eigenvectors"), beside[0])
    if basis is None or basis.form != "basis":
        raise SemanifoldError(f"{shown(str(beside[0]), 200)} holds no eigenvectors; they are expected as [n, 1, out, in, k, k].")
    info = _info("trained combinations of eigenvectors", REACH[HESSIAN])
    return WeightPaths.from_vectors(basis.basis, basis.layers, info, coefficients=coefficients)


def write_deformation(paths: WeightPaths, which: int | str, path: Path) -> None:
    """Write one path as Navigan's ``{"layer_ix", "shift"}``, whose norm is what ``t = 1`` adds.

    Raises:
        SemanifoldError: for a path in several layers, or in one that Navigan does not reach.
    """
    edit = paths[which]
    (layer,) = paths.layers if len(paths.layers) == 1 else ("several layers",)
    index = layer_index(layer)
    write_torch(path, {"layer_ix": index, "shift": edit.tensors()[f"delta.{layer}"][None, None]})


def _layer(index: object, name: str) -> int:
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < MOST_LAYERS:
        raise SemanifoldError(f"{name} is damaged: its layer_ix is {shown(str(index), 20)}, not the number of a layer.")
    return index


def _shape(vectors: Tensor) -> tuple[int, ...]:
    return tuple(vectors.shape[2:])


def _vectors(vectors: Tensor, name: str) -> Tensor:
    if vectors.ndim != 6 or vectors.shape[1] != 1 or not vectors.is_floating_point() or 0 in vectors.shape:
        raise SemanifoldError(
            f"{name} holds {list(vectors.shape)}, but changes of a weight are expected as [n, 1, out, in, k, k]."
        )
    _check({"changes": vectors}, name)
    return vectors.float().flatten(1)


def _check(tensors: Mapping[str, Tensor], name: str) -> None:
    """Refuse tensors that hold no finite numbers of a usual size."""
    try:
        check_numbers(tensors, ())
    except SemanifoldError as error:
        raise SemanifoldError(f"{name} is damaged: {error}; get a fresh copy.") from error


def _basis(vectors: Tensor, index: int, shape: tuple[int, ...], method: str, reach: float) -> WeightPaths:
    return WeightPaths.from_vectors(vectors, {layer_name(index): shape}, _info(method, reach))


def _info(method: str, reach: float) -> PathSetInfo:
    return PathSetInfo(
        method=method, space=WEIGHTS, generator=UNKNOWN, fingerprint=UNKNOWN, step=reach / STEPS, count=STEPS, cite=CITE
    )
