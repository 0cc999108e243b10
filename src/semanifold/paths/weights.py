"""Paths in the weights of a generator: K directions in the weights of one layer or several (arXiv:2011.13786)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import msgspec
import torch
from torch import Tensor, nn

from semanifold.core.errors import SemanifoldError, shown
from semanifold.core.latents import Latents
from semanifold.core.plain import JsonObject
from semanifold.core.shapes import EachCode, Paths, Pictures
from semanifold.edits import EditInfo, WeightEdit
from semanifold.edits.base import WEIGHTS
from semanifold.edits.weights import first_kernel
from semanifold.generators.base import Generator
from semanifold.generators.editing import check_layers, moved, weight_of
from semanifold.generators.mixed_weight import MixedWeight, whole_numbers
from semanifold.paths.base import PathSet, PathSetInfo, SetOptions, Size

Form = Literal["basis", "svd"]
FORMS = ("basis", "svd")
Shapes = Mapping[str, tuple[int, ...]]
CITE = ("Cherepkov, Voynov, Babenko 2021, Navigating the GAN Parameter Space for Semantic Image Editing, CVPR, arXiv:2011.13786",)


WeightShape = Annotated[list[Size], msgspec.Meta(min_length=2, max_length=5)]


class WeightOptions(SetOptions):
    """The options of paths in weights; see :class:`WeightPaths`. Directions are as large as their file."""

    form: Form
    terms: Size
    weights: Annotated[
        list[tuple[Annotated[str, msgspec.Meta(max_length=255)], WeightShape]], msgspec.Meta(min_length=1, max_length=1000)
    ]


class WeightPaths(PathSet):
    """K directions in the weights of layers, of unit norm: ``W + magnitude * scale_k * D_k``.

    | form | D_k before it is brought to unit norm | learned |
    |---|---|---|
    | ``basis`` | ``sum_j c_kj b_j``, of given vectors ``b`` | c |
    | ``svd`` | ``U diag(d_k) V^T``, of the singular vectors of the weight | d |

    The vectors of a basis run through all layers one after the other, each flattened; coefficients of the identity give the
    vectors themselves. The matrix of ``svd`` is the weight ``[out, in, k, k]`` as ``[k k in, out]``.

    Attributes:
        layers: shape of the weight by the name of the layer.
        scale: ``[K]`` norm of a step of each path over its magnitude.
    """

    kind: ClassVar[str] = "weights"
    schema = WeightOptions
    moves_weights: ClassVar[bool] = True

    def __init__(self, form: Form, count: int, terms: int, layers: Shapes, info: PathSetInfo) -> None:
        """Make a set whose numbers are about to be filled in.

        Args:
            form: see above.
            count: K.
            terms: number of vectors of the basis, or of singular values.
            layers: shape of the weight by the name of the layer; one layer for ``svd``.
            info: what the file says about the set.

        Raises:
            SemanifoldError: if sizes make no sense together.
        """
        super().__init__()
        self.form: Form = form
        self.count, self.terms, self.info = count, terms, info.of(count)
        self.layers = {name: tuple(shape) for name, shape in layers.items()}
        if count < 1 or terms < 1 or not layers:
            raise SemanifoldError(f"A set has at least 1 path in 1 layer, but {count} in {len(layers)} were asked for.")
        if form == "svd" and len(layers) != 1:
            raise SemanifoldError(f"Singular vectors are those of one layer, but {len(layers)} were given.")
        self.coefficients = nn.Parameter(torch.empty(count, terms))
        self.register_buffer("scale", torch.ones(count))
        if form == "basis":
            self.register_buffer("basis", torch.empty(terms, sum(math.prod(shape) for shape in layers.values())))
        else:
            rows, columns = matrix_shape(next(iter(layers.values())))
            self.register_buffer("u", torch.empty(rows, terms))
            self.register_buffer("vh", torch.empty(terms, columns))

    scale: Tensor
    basis: Tensor
    u: Tensor
    vh: Tensor

    @classmethod
    def from_vectors(cls, vectors: Tensor, layers: Shapes, info: PathSetInfo, *, coefficients: Tensor | None = None) -> Self:
        """Make a set of a basis.

        Args:
            vectors: ``[B, N]``, N the numbers of all weights; none of them zero.
            layers: shape of the weight by the name of the layer.
            info: what the file says about the set.
            coefficients: ``[K, B]``; the identity, each vector a path, when None.

        Raises:
            SemanifoldError: if sizes disagree, or a vector is zero or not finite.
        """
        size = sum(math.prod(shape) for shape in layers.values())
        if vectors.ndim != 2 or vectors.shape[1] != size:
            raise SemanifoldError(f"Vectors [B, {size}] are expected for {_words(layers)}, but these are {list(vectors.shape)}.")
        if not torch.isfinite(vectors).all() or not (vectors.norm(dim=1) > 0).all():
            raise SemanifoldError("The vectors of a basis must be finite and not zero; check where they come from.")
        coefficients = torch.eye(len(vectors)) if coefficients is None else coefficients
        return cls._filled("basis", coefficients, layers, info, basis=vectors)

    @classmethod
    def from_svd(cls, u: Tensor, vh: Tensor, layers: Shapes, info: PathSetInfo, *, coefficients: Tensor | None = None) -> Self:
        """Make a set of the singular vectors ``[k k in, r]`` and ``[r, out]`` of a layer's weight.

        Args:
            u: left singular vectors, in columns.
            vh: right singular vectors, in rows.
            layers: the layer and the shape of its weight.
            info: what the file says about the set.
            coefficients: ``[K, r]``; the identity, one pair of vectors a path, when None.

        Raises:
            SemanifoldError: if sizes disagree, or numbers are not finite.
        """
        shape = next(iter(layers.values()), ())
        rows, columns = matrix_shape(shape) if len(shape) > 1 else (0, 0)
        if u.ndim != 2 or vh.ndim != 2 or (u.shape[0], vh.shape[1]) != (rows, columns) or u.shape[1] != vh.shape[0]:
            raise SemanifoldError(
                f"Singular vectors [{rows}, r] and [r, {columns}] are expected for {_words(layers)}, but these are "
                f"{list(u.shape)} and {list(vh.shape)}."
            )
        coefficients = torch.eye(len(vh)) if coefficients is None else coefficients
        return cls._filled("svd", coefficients, layers, info, u=u, vh=vh)

    @classmethod
    def _filled(cls, form: Form, coefficients: Tensor, layers: Shapes, info: PathSetInfo, **buffers: Tensor) -> Self:
        terms = len(next(iter(buffers.values()))) if form == "basis" else len(buffers["vh"])
        if coefficients.ndim != 2 or coefficients.shape[1] != terms or not torch.isfinite(coefficients).all():
            raise SemanifoldError(f"Finite coefficients [K, {terms}] are expected, but these are {list(coefficients.shape)}.")
        if not (coefficients.norm(dim=1) > 0).all():
            raise SemanifoldError("A path whose coefficients are all zero goes nowhere; leave it out.")
        with torch.device("meta"):
            made = cls(form, len(coefficients), terms, layers, info)
        tensors = {"coefficients": coefficients, "scale": torch.ones(len(coefficients)), **buffers}
        made.load_state_dict({key: value.detach().float().contiguous() for key, value in tensors.items()}, assign=True)
        return made.requires_grad_(False)

    def __len__(self) -> int:
        return self.count

    def directions(self, numbers: Sequence[int]) -> list[dict[str, Tensor]]:
        """Return ``D_k`` of unit norm by layer, for some k; differentiable in the coefficients.

        A basis may be larger than all else, so that it is gone through once for all of them.
        """
        chosen = self.coefficients[list(numbers)]
        if self.form == "basis":
            rows = (chosen @ self.basis).unbind()
        else:
            shape = next(iter(self.layers.values()))
            rows = [unmatrix((self.u * values) @ self.vh, shape).flatten() for values in chosen]
        lengths = [math.prod(shape) for shape in self.layers.values()]
        return [
            {layer: part.reshape(shape) for (layer, shape), part in zip(self.layers.items(), (row / row.norm()).split(lengths))}
            for row in rows
        ]

    def direction(self, k: int) -> dict[str, Tensor]:
        """Return ``D_k`` of unit norm by layer; differentiable in the coefficients."""
        return self.directions([k])[0]

    def moved_images(self, generator: Generator, latents: Latents, index: Paths, magnitude: EachCode) -> Pictures:
        """See :meth:`PathSet.moved_images`; each direction is made once, however many samples take it."""
        self.check_generator(generator)
        far = (magnitude * self.scale.to(magnitude)[index])[:, None]
        numbers = whole_numbers(torch.unique(index))
        made = dict(zip(numbers, self.directions(numbers), strict=True))
        changes = {
            layer: MixedWeight.along(first_kernel(generator, layer), lambda k, layer=layer: made[k][layer], index[:, None], far)
            for layer in self.layers
        }
        return moved(generator, changes).images(latents)

    @torch.no_grad()
    def edit(self, index: int, info: EditInfo) -> WeightEdit:
        """See :meth:`PathSet.edit`."""
        reach = self.info.step * self.info.count * self.scale[index]
        return WeightEdit({layer: (reach * part).cpu() for layer, part in self.direction(index).items()}, info)

    def check_generator(self, generator: Generator) -> None:
        """See :meth:`PathSet.check_generator`."""
        check_layers(generator, list(self.layers))
        for layer, shape in self.layers.items():
            actual = tuple(weight_of(generator, layer).shape)
            if actual != shape:
                raise SemanifoldError(
                    f"The paths change weights {list(shape)} in {shown(layer, 60)}, but those of {generator.name} are "
                    f"{list(actual)}; they were made for {self.info.generator}."
                )

    @property
    def what_moves(self) -> str:
        """See :attr:`PathSet.what_moves`."""
        return _words(self.layers)

    def space(self, generator: Generator) -> str:
        """See :meth:`PathSet.space`; codes of any space will do, and the first is drawn from."""
        return generator.first_space

    def options(self) -> JsonObject:
        """See :meth:`PathSet.options`."""
        layers = [[name, list(shape)] for name, shape in self.layers.items()]
        return {"form": self.form, "count": self.count, "terms": self.terms, "weights": layers}

    @classmethod
    def from_options(cls, options: Mapping[str, Any], info: PathSetInfo) -> Self:
        """See :meth:`PathSet.from_options`."""
        layers = {str(name): tuple(map(int, shape)) for name, shape in options["weights"]}
        return cls(options["form"], int(options["count"]), int(options["terms"]), layers, info)


def matrix_shape(shape: Sequence[int]) -> tuple[int, int]:
    """Return the sizes of :func:`matrix` of a weight: ``(k k in, out)``."""
    return math.prod(shape[1:]), shape[0]


def matrix(weight: Tensor) -> Tensor:
    """Return a weight ``[out, in, k, k]`` (or ``[out, in]``) as the matrix ``[k k in, out]`` of arXiv:2011.13786, section 3.1."""
    return weight.permute(*range(2, weight.ndim), 1, 0).flatten(0, -2)


def unmatrix(rows: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the weight ``[out, in, k, k]`` of a :func:`matrix`."""
    apart = rows.unflatten(0, (*shape[2:], shape[1]))
    return apart.permute(apart.ndim - 1, apart.ndim - 2, *range(apart.ndim - 2))


def info_of(generator: Generator, **facts: Any) -> PathSetInfo:
    """Return what the file of a new set in the weights of a generator says."""
    known = {"space": WEIGHTS, "generator": generator.name, "fingerprint": generator.fingerprint, "cite": CITE}
    return PathSetInfo(**(known | facts))


@torch.no_grad()
def svd_paths(
    generator: Generator, layer: str, count: int | None = None, *, step: float | None = None, steps: int = 16
) -> WeightPaths:
    """Return the pairs of singular vectors of a layer's weight as paths, the largest singular values first.

    Args:
        generator: whose weight it is.
        layer: its name, such as ``"convs.4"``.
        count: K; all pairs when None.
        step: norm of a step; such that ``t = 1`` adds half of the weight's own norm when None.
        steps: steps from ``t = 0`` to ``t = 1``.

    Raises:
        SemanifoldError: if there is no such layer, or it has fewer singular vectors.
    """
    weight = weight_of(generator, layer).float().cpu()
    u, s, vh = torch.linalg.svd(matrix(weight).double(), full_matrices=False)
    if count is not None and not 1 <= count <= len(s):
        raise SemanifoldError(
            f"The weight of {shown(layer, 60)} has {len(s)} singular vectors, but {count} paths were asked for."
        )
    step = float(weight.norm()) / 2 / steps if step is None else step
    info = info_of(generator, method=f"singular vectors of {layer}", step=step, count=steps)
    coefficients = torch.eye(count or len(s), len(s))
    return WeightPaths.from_svd(u, vh, {layer: tuple(weight.shape)}, info, coefficients=coefficients).to(generator.device)


def _words(layers: Shapes) -> str:
    return "the weights of " + ", ".join(f"{shown(name, 40)} {list(shape)}" for name, shape in layers.items())
