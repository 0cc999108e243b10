"""The leading eigenvectors of the perceptual Hessian in the weights of layers (arXiv:2011.13786, section 3.2)."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, jvp, vjp

from semanifold.core.eigenpairs import Eigenpairs, Product, begin, step
from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.core.plain import Json
from semanifold.core.progress import Watch, watching
from semanifold.generators.base import Generator
from semanifold.generators.editing import weight_of
from semanifold.images.distances import Distance, l2
from semanifold.paths.changes import codes_for
from semanifold.paths.weight_axes import WeightSpace
from semanifold.paths.weights import CITE, WeightPaths, info_of
from semanifold.storage.digests import digest
from semanifold.storage.keeping import Keeper, KeptHeader

FORMAT, PARTS = "semanifold-eigenpairs-1", ("basis", "products", "ahead")
SAVE_EVERY = 30.0
"""Seconds between two writings of the state of a search."""
TOLERANCE = 1e-2
"""Residual of an eigenpair, as a share of its eigenvalue, from which it counts as found."""
BLOCK = 8


def hessian_product(
    generator: Generator,
    layers: Sequence[str],
    codes: Latents,
    distance: Distance = l2,
    *,
    size: int | None = None,
    batch: int = 8,
) -> Product:
    """Return the exact product with the Hessian at 0 of ``delta -> mean over codes of distance(G(z; W + delta), G(z; W))``.

    A distance that is least at equal pictures has no slope there, so that its Hessian is ``J^T D J``, with J the Jacobian of the
    pictures in the weights and D the Hessian of the distance in the picture: for squared differences of features ``2 J_f^T J_f``.
    Each product takes one jvp, one product with D (double backward) and one vjp per batch of codes, and no step size.

    Args:
        generator: any with weights.
        layers: names of the layers whose weights change.
        codes: n codes.
        distance: between pictures.
        size: height and width to which pictures are resized, by nearest pixels, as the published code does; none when None.
        batch: codes at a time; memory grows with it, not with n.
    """
    space = WeightSpace(generator, tuple(layers))
    shapes = space.shapes
    weights = {layer: weight_of(generator, layer) for layer in layers}
    lengths = [weight.numel() for weight in weights.values()]
    parts = [codes[list(range(i, min(i + batch, len(codes))))] for i in range(0, len(codes), batch)]

    # the function whose Jacobian is J: the pictures of some codes with delta added to the weights
    def pictures(delta: Tensor, part: Latents) -> Tensor:
        rows = zip(shapes.items(), delta.split(lengths), strict=True)
        changed = {f"{layer}.weight": weights[layer] + row.reshape(shape) for (layer, shape), row in rows}
        images = functional_call(generator, changed, (part,))
        return images if size is None else F.interpolate(images, (size, size))

    def product(vectors: Tensor) -> Tensor:
        zero = space.zero()[0]  # [N]
        total = torch.zeros_like(vectors)
        for part in parts:
            # 1. One forward pass per batch serves the vjps of all rows.
            plain, back = vjp(lambda delta, part=part: pictures(delta, part), zero)  # type: ignore[misc]  # the type of a default is not inferred
            for i, vector in enumerate(vectors):
                # 2. Per row: J v, then D (J v), then J^T (D J v).
                pushed = jvp(lambda delta, part=part: pictures(delta, part), (zero,), (vector,))[1]
                total[i] += back(_curved(distance, plain.detach(), pushed.detach()))[0]
        return total / len(codes)

    return product


def _curved(distance: Distance, plain: Tensor, direction: Tensor) -> Tensor:
    """Return the product of a direction with the Hessian of the summed distances to the pictures themselves."""
    with torch.enable_grad():
        # The distance is least at equal pictures: its gradient is 0 there, and the derivative of the gradient along a direction
        # is the Hessian's product with it (double backward).
        images = plain.clone().requires_grad_()
        distances = distance(images, plain)
        if not isinstance(distances, Tensor) or not distances.requires_grad:
            raise SemanifoldError(
                "A distance returns one number per picture that can be differentiated, as semanifold.images.distances.l2."
            )
        slope = torch.autograd.grad(distances.sum(), images, create_graph=True)[0]
        return torch.autograd.grad((slope * direction).sum(), images)[0]


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Leading eigenpairs of a Hessian.

    Attributes:
        values: ``[k]`` eigenvalues, largest first.
        vectors: ``[k, N]`` eigenvectors of unit norm.
        residuals: ``[k]`` ``|H v - lambda v| / lambda``.
        products: number of products that were taken.
    """

    values: Tensor
    vectors: Tensor
    residuals: Tensor
    products: int


def leading(
    product: Product,
    size: int,
    k: int,
    like: Tensor,
    *,
    tolerance: float = TOLERANCE,
    block: int = BLOCK,
    most_products: int | None = None,
    seed: int = 0,
    state: Eigenpairs | None = None,
    keep: Callable[[Eigenpairs], None] | None = None,
    progress: Watch = None,
) -> Spectrum:
    """Find the k leading eigenpairs of a matrix.

    Args:
        product: multiplies rows.
        size: N.
        k: eigenpairs.
        like: device and precision.
        tolerance: residual from which a pair counts as found.
        block: rows that are multiplied at a time.
        most_products: rows that are multiplied at most; ``8 k`` and 40 more when None.
        seed: of the first rows.
        state: where an earlier search broke off; it goes on bit for bit.
        keep: gets the state after every block.
        progress: called with ``step``, ``steps`` and the first eigenvalue; a bar when None, nothing when False.

    Raises:
        SemanifoldError: if there are fewer numbers than eigenpairs, or products are not finite.
    """
    if not 1 <= k <= size:
        raise SemanifoldError(f"A matrix of {size:,} rows has 1 to {size:,} eigenpairs, but {k} were asked for.")
    # Several rows at a time, restarts when the basis is full: room for the k pairs and for what converges next.
    block = min(block, size)
    # at least two more blocks than the pairs, else a restart throws away what it has just found
    most = min(size, max(3 * k, k + 3 * block))
    limit = most_products or 8 * k + 40
    state = state or begin(size, block, like, seed)
    with watching(progress, "finding eigenvectors of the Hessian") as tell:
        while True:
            if len(state.basis):  # asked before each step, so that a search that had ended goes no further
                values, vectors, residuals = state.pairs(min(k, len(state.basis)))
                converged = int((residuals <= tolerance).sum()) if len(values) == k else 0
                tell({"step": converged, "steps": k, "largest": float(values[0]), "products": f"{state.multiplied} products"})
                if converged == k or state.multiplied >= min(limit, size) or len(state.basis) + block > size:
                    return Spectrum(values, vectors, residuals, state.multiplied)
            state = step(state, product, k, most)
            if not torch.isfinite(state.products).all():
                raise SemanifoldError("The pictures change by NaN or infinite amounts with these weights; choose another layer.")
            if keep is not None:
                keep(state)


def hessian_paths(
    generator: Generator,
    layers: Sequence[str],
    k: int = 64,
    *,
    distance: Distance = l2,
    samples: int = 24,
    size: int | None = None,
    seed: int = 0,
    tolerance: float = TOLERANCE,
    batch: int = 8,
    steps: int = 16,
    checkpoint: str | os.PathLike[str] | None = None,
    every: float = SAVE_EVERY,
    progress: Watch = None,
) -> WeightPaths:
    """Return the directions in which the weights of layers change pictures most, on average over many, the strongest first.

    Args:
        generator: any with weights.
        layers: names.
        k: number of directions; 64 in the paper.
        distance: between pictures; the paper takes LPIPS.
        samples: pictures; 512 in the paper.
        size: height and width at which pictures are compared; 64 in the published code.
        seed: of the pictures.
        tolerance: residual from which an eigenpair counts as found.
        batch: pictures at a time.
        steps: steps from ``t = 0`` to ``t = 1``.
        checkpoint: file that keeps the state of the search, which goes on from there, bit for bit.
        every: seconds between two writings of it.
        progress: see :func:`leading`.

    Returns:
        The set; ``info.measured`` has the ``eigenvalue`` and the ``residual`` of every direction.

    Raises:
        SemanifoldError: for layers that are not there, pictures that do not change, or the checkpoint of another search.
    """
    space = WeightSpace(generator, tuple(layers))
    codes = codes_for(generator, samples, seed, None)
    product = hessian_product(generator, layers, codes, distance, size=size, batch=batch)
    what = [generator.fingerprint, *layers, k, samples, size, seed, tolerance, batch, getattr(distance, "__qualname__", distance)]
    key = digest(repr(what), digits=32)
    keeper = Keeper(checkpoint, FORMAT, key, every)
    before = read_state(keeper, space.zero())

    def keep(state: Eigenpairs) -> None:
        keeper.keep(lambda: state_of(state))

    spectrum = leading(
        product, space.size, k, space.zero(), tolerance=tolerance, seed=seed, state=before, keep=keep, progress=progress
    )
    measured = {"eigenvalue": tuple(spectrum.values.tolist()), "residual": tuple(spectrum.residuals.tolist())}
    method = f"eigenvectors of the Hessian (residuals up to {float(spectrum.residuals.max()):.1g} of the eigenvalue)"
    info = info_of(generator, method=method, step=space.norm / 2 / steps, count=steps, cite=CITE, measured=measured)
    return WeightPaths.from_vectors(spectrum.vectors.cpu(), space.shapes, info).to(generator.device)


class Header(KeptHeader, frozen=True, kw_only=True):
    """The header of a state: how many rows were multiplied."""

    multiplied: Annotated[int, msgspec.Meta(ge=1, lt=1 << 53)]


def state_of(state: Eigenpairs) -> tuple[dict[str, Tensor], dict[str, Json]]:
    """Return the tensors and the header of a checkpoint."""
    return {part: getattr(state, part) for part in PARTS}, {"multiplied": state.multiplied}


def read_state(keeper: Keeper, like: Tensor) -> Eigenpairs | None:
    """Read the state of a search; None if there is no such file.

    Args:
        keeper: of the file.
        like: ``[1, N]``: size, device and precision.

    Raises:
        SemanifoldError: if the file is damaged, or belongs to another search.
    """

    def fits(_: Header, tensors: dict[str, Tensor]) -> bool:
        parts = [tensors[part] for part in PARTS if part in tensors]
        rows = all(part.ndim == 2 and part.shape[1] == like.shape[1] and part.dtype == like.dtype for part in parts)
        sound = rows and len(parts) == len(PARTS) and len(parts[0]) == len(parts[1])
        return sound and all(len(part) > 0 and bool(torch.isfinite(part).all()) for part in parts)

    saved = keeper.read(Header, fits)
    if saved is None:
        return None
    header, tensors = saved
    basis, products, ahead = (tensors[part].to(like) for part in PARTS)
    return Eigenpairs(basis, products, ahead, header.multiplied)
