"""Paths in weights that are trained: combinations of directions that were found (arXiv:2011.13786, sections 3.1 and 3.3)."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import torch

from semanifold.core.errors import SemanifoldError, shown
from semanifold.core.progress import Progress
from semanifold.generators.base import UNKNOWN, Generator, origin
from semanifold.generators.editing import check_layers, editable_layers
from semanifold.paths.files import load_paths
from semanifold.paths.kinds import NewPaths
from semanifold.paths.weight_hessian import hessian_paths
from semanifold.paths.weight_methods import SAMPLES, middle_layer
from semanifold.paths.weight_ranges import calibrated
from semanifold.paths.weights import WeightPaths, svd_paths
from semanifold.storage.files import is_file

TERMS, STEPS = 64, 16
Watching = Callable[[str], AbstractContextManager[Progress]]


def unwatched(_: str) -> AbstractContextManager[Progress]:
    """Show nothing of long work."""
    return nullcontext(lambda _: None)


def new_paths(generator: Generator, new: NewPaths) -> WeightPaths:
    """Return a set to be trained; see :class:`~semanifold.paths.kinds.Kind`."""
    basis = None if new.basis is None else read_basis(new.basis, generator, new.remark)
    return weight_paths_to_train(generator, new.kind, new.layer, new.k, new.seed, basis=basis, far=new.far, watching=new.watching)


def weight_paths_to_train(
    generator: Generator,
    kind: str,
    layers: tuple[str, ...],
    k: int,
    seed: int,
    *,
    basis: WeightPaths | None = None,
    far: float | None = None,
    watching: Watching = unwatched,
) -> WeightPaths:
    """Return K random combinations of singular vectors, or of the 64 (or K) leading eigenvectors of the Hessian, to be trained.

    Args:
        generator: whose weights move.
        kind: ``weights-svd`` or ``weights-hessian``.
        layers: whose weights they are; the convolution in the middle if empty.
        k: K.
        seed: of the combinations.
        basis: directions to combine in place of the eigenvectors.
        far: norm of the change at ``t = 1``; a magnitude is a norm then, and else 1 where a change is seen at once.
        watching: gives the callback of long work by its title.
    """
    if basis is None:
        basis = basis_to_combine(generator, kind, layers or (middle_layer(generator),), k, watching)
    draw = torch.Generator().manual_seed(seed)
    coefficients = torch.randn(k, len(basis), generator=draw)
    info = replace(basis.info, method=f"trained {kind}", step=(far or 1) / STEPS, count=STEPS, mask="", names={}, measured={})
    if basis.form == "svd":
        made = WeightPaths.from_svd(basis.u, basis.vh, basis.layers, info, coefficients=coefficients)
    else:
        vectors = basis.coefficients @ basis.basis
        vectors = vectors / vectors.norm(dim=1, keepdim=True)
        made = WeightPaths.from_vectors(vectors, basis.layers, info, coefficients=coefficients)
    made = made.to(generator.device)
    if far is None:
        with watching("finding how far each may go") as line:
            made = calibrated(made, generator, samples=3, progress=line).with_info(measured={})
    made.coefficients.requires_grad_()
    return made


def basis_to_combine(generator: Generator, kind: str, layers: tuple[str, ...], k: int, watching: Watching) -> WeightPaths:
    """Return the singular vectors of a layer's weight, or the leading eigenvectors of the Hessian."""
    if kind == "weights-svd":
        if len(layers) != 1:
            raise SemanifoldError("Singular vectors are those of one layer; name one layer=.")
        return svd_paths(generator, layers[0])
    check_layers(generator, layers)
    terms = min(max(k, TERMS), sum(math.prod(editable_layers(generator)[layer]) for layer in layers))
    with watching("finding eigenvectors of the Hessian") as line:
        return hessian_paths(generator, layers, terms, samples=SAMPLES, progress=line)


def read_basis(file: Path, generator: Generator, remark: Callable[[str], None]) -> WeightPaths:
    """Return the directions whose combinations are learned."""
    basis = load_paths(file)
    if not isinstance(basis, WeightPaths) or basis.form != "basis":
        raise SemanifoldError(
            f"{shown(str(file), 200)} holds no directions in weights that can be combined; semanifold weights hessian "
            "(or joint, mask) writes such a set."
        )
    basis.check_generator(generator)
    if basis.info.fingerprint not in (UNKNOWN, generator.fingerprint):
        remark(
            f"{shown(str(file), 200)} was found on {origin(basis.info.generator)}, a generator with the same layers; "
            f"it may mean less on {generator.name}."
        )
    return basis.with_info(generator=generator.name, fingerprint=generator.fingerprint).to(generator.device)


def measured_in(file: Path, generator: Generator, layers: tuple[str, ...], k: int) -> WeightPaths | None:
    """Return the measured directions in a file, if they are k in the weights of these layers of this generator; else None.

    Raises:
        SemanifoldError: if the file is damaged, or does not fit the generator.
    """
    paths = load_paths(file) if is_file(file) else None
    if not isinstance(paths, WeightPaths) or "evenness" not in paths.info.measured:
        return None
    paths.check_generator(generator)
    same = (paths.info.fingerprint, tuple(paths.layers), len(paths)) == (generator.fingerprint, layers, k)
    return paths.to(generator.device) if same else None
