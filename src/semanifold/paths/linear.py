"""Linear paths: the direction matrices ("deformators") of Voynov & Babenko 2020 (arXiv:2002.03754), and given directions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Self, cast

import torch
from torch import Tensor, nn

from semanifold.core.errors import SemanifoldError, near_names
from semanifold.core.plain import JsonObject
from semanifold.core.shapes import Codes, EachCode, Paths
from semanifold.edits import EditInfo, Lattice
from semanifold.generators.base import Generator
from semanifold.paths.base import LatentPaths, PathSetInfo, SetOptions, Shape, Size, info_for, moving_size
from semanifold.paths.kinds import FORMS, Form, NewPaths

CITE = ("Voynov, Babenko 2020, Unsupervised Discovery of Interpretable Directions, arXiv:2002.03754",)


MOST_TURNED = 4096
"""Dimensions of a space that is turned as a whole, by a square matrix of them."""


class LinearOptions(SetOptions):
    """The options of linear paths; see :class:`LinearPaths`."""

    form: Form
    shape: Shape
    bias: bool
    inner: Size
    outputs: Size
    shared: bool

    @property
    def size(self) -> int:
        """See :attr:`SetOptions.size`."""
        return math.prod(self.shape)


class LinearPaths(LatentPaths):
    """K directions, the same at every code: ``shift = D(magnitude * e_k)`` for a map D that may be trained.

    | form | D(x) | learned |
    |---|---|---|
    | ``linear`` | ``W x + b``, or ``W x`` | W, b |
    | ``ortho`` | ``expm(A - A^T) x``: columns stay orthonormal | A |
    | ``projective`` | ``W x + b``, scaled to the norm of x | W, b |
    | ``fc`` | four layers with batch normalisation and ELU | all |
    | ``id`` | x: the coordinate axes | nothing |
    | ``random`` | a fixed orthogonal matrix times x | nothing |

    Parameters are called as in the published code, so its ``deformator_*.pt`` files load directly. A result shorter than the
    code is filled up with zeros, a longer one is cut.

    Attributes:
        scale: ``[K]`` length of a step of each path over its magnitude: 1, or for the closed forms in proportion to the standard
            deviation of the codes along it.
    """

    kind: ClassVar[str] = "linear"
    schema = LinearOptions

    def __init__(
        self,
        form: Form,
        count: int,
        shape: tuple[int, ...],
        info: PathSetInfo,
        *,
        bias: bool = True,
        inner: int = 1024,
        outputs: int | None = None,
        shared: bool = False,
        random_init: bool = False,
        seed: int | None = 0,
    ) -> None:
        """Draw a new set.

        Args:
            form: which D.
            count: K, number of directions.
            shape: of the part of one code that moves.
            info: what the file says about the set.
            bias: whether ``linear`` and ``projective`` have one.
            inner: width of the hidden layers of ``fc``.
            outputs: numbers that D gives; those of a direction when None.
            shared: whether all layers of ``shape`` ``(layers, d)`` move alike, as in ``w``.
            random_init: start ``linear`` and ``projective`` from small random numbers and ``ortho`` from a random rotation,
                instead of (almost) the coordinate axes.
            seed: of the draw; None leaves random numbers unset, for a file to fill.

        Raises:
            SemanifoldError: if there is no such form or a size does not fit it.
        """
        super().__init__()
        if form not in FORMS:
            raise SemanifoldError(f"There is no form {form!r} of linear paths: {near_names(form, FORMS)}")
        self.size = moving_size(shape, info, shared=shared)
        self.form: Form = form
        self.count, self.outputs, self.inner, self.bias = count, outputs or self.size, inner, bias
        self.shape, self.info, self.shared = tuple(shape), info.of(count), shared
        if count < 1 or self.outputs < 1 or inner < 1:
            raise SemanifoldError(f"A set needs at least 1 path, but {count} were asked for.")
        if form in ("id", "ortho", "random") and count > self.outputs:
            raise SemanifoldError(
                f"Directions of the form {form} are orthogonal: at most {self.outputs} fit here, but {count} were asked for."
            )
        if form == "ortho" and self.outputs > MOST_TURNED:
            raise SemanifoldError(
                f"Paths of the form ortho turn a space of {MOST_TURNED} dimensions at most, but here it has {self.outputs}; take "
                "the form linear or random."
            )
        self._make(seed, random_init=random_init)
        self.scale: Tensor
        self.register_buffer("scale", torch.ones(count))

    def _make(self, seed: int | None, *, random_init: bool) -> None:
        """Make the parameters, named as in the published code; without a seed by no more than ``torch.empty``.

        Sets are made on the meta device before their file fills them, where arithmetic makes torch import for seconds.
        """
        draw = None if seed is None else torch.Generator().manual_seed(seed)

        def normal(rows: int, columns: int, scale: float = 1.0) -> Tensor:
            return torch.empty(rows, columns) if draw is None else scale * torch.randn(rows, columns, generator=draw)

        count, outputs = self.count, self.outputs
        if self.form in ("linear", "projective"):
            drawn = random_init or draw is None
            self.linear = _Affine(normal(outputs, count, 0.1) if drawn else torch.eye(outputs, count), bias=self.bias)
        elif self.form == "ortho":
            self.log_mat_half = nn.Parameter(normal(outputs, outputs, 1.0 if random_init else 0.001))
        elif self.form == "random":
            self.matrix: Tensor
            matrix = normal(outputs, count)
            self.register_buffer("matrix", matrix if draw is None else torch.linalg.qr(matrix)[0])
        elif self.form == "fc":
            sizes = (count, self.inner, self.inner, self.inner, outputs)
            for i in range(4):
                self.add_module(f"fc{i + 1}", _Affine(normal(sizes[i + 1], sizes[i], (3 * sizes[i]) ** -0.5)))
            for i in range(3):
                self.add_module(f"bn{i + 1}", nn.BatchNorm1d(self.inner))

    @classmethod
    def from_vectors(
        cls,
        vectors: Tensor,
        info: PathSetInfo,
        *,
        scale: Tensor | None = None,
        layers: int | None = None,
    ) -> Self:
        """Make a set of given directions.

        Args:
            vectors: ``[K, *shape]``; each is scaled to unit length.
            info: what the file says about the set.
            scale: ``[K]`` how far each goes at ``t = 1``, in units of ``info.step * info.count``; 1 when None.
            layers: number of layers of ``w+`` that all move by vectors ``[K, d]``; None where these have the shape of codes.

        Raises:
            SemanifoldError: if a vector is zero or not finite, or sizes disagree.
        """
        if vectors.ndim < 2 or not len(vectors):
            raise SemanifoldError(f"Directions are expected as [K, ...], at least one, but got {list(vectors.shape)}.")
        flat = vectors.detach().flatten(1).float()
        lengths = flat.norm(dim=1)
        if not torch.isfinite(flat).all() or not (lengths > 0).all():
            raise SemanifoldError("Directions must be finite and not zero; check where they come from.")
        shape = tuple(vectors.shape[1:]) if layers is None else (layers, *vectors.shape[1:])
        made = cls("linear", len(flat), shape, info, bias=False, shared=layers is not None)
        with torch.no_grad():
            made.linear.weight.copy_((flat / lengths[:, None]).T)
            if scale is not None:
                if tuple(scale.shape) != (len(flat),) or not (torch.isfinite(scale).all() and (scale > 0).all()):
                    raise SemanifoldError(f"A scale above 0 is expected for each of {len(flat)} directions.")
                made.scale.copy_(scale)
        return made

    def __len__(self) -> int:
        return self.count

    def deform(self, x: Tensor) -> Tensor:
        """Return ``D(x)``: ``[n, K]`` coordinates to shifts ``[n, *shape]``; the fit to the code is by zeros or by a cut."""
        if self.form in ("linear", "projective"):
            out = self.linear(x)
            # the length of the coordinates is kept; a result of 0 has no direction and stays 0
            if self.form == "projective":
                length = torch.linalg.vector_norm(out, dim=1, keepdim=True)
                out = out * (torch.linalg.vector_norm(x, dim=1, keepdim=True) / torch.where(length > 0, length, 1))
        elif self.form == "fc":
            # the network is a correction of the coordinate axes
            out = self._fully_connected(x) + nn.functional.pad(x, (0, self.outputs - self.count))
        elif self.form == "id":
            out = nn.functional.pad(x, (0, self.outputs - self.count))
        else:
            out = x @ self.columns().T
        # fewer numbers than the code has: the rest does not move; more are cut
        out = nn.functional.pad(out, (0, self.size - self.outputs))
        if self.shared:
            return out[:, None].expand(-1, *self.shape)
        return out.reshape(-1, *self.shape)

    @torch.no_grad()
    def directions(self) -> Tensor:
        """Return ``D(e_k) - D(0)`` of every path ``[K, *shape]``, of unit length: what learned paths can start along."""
        training = self.training
        # batch normalisation would mix the directions with each other, hence eval
        made = self.eval().deform(torch.eye(self.count).to(self.scale)) - self.deform(self.scale.new_zeros(1, self.count))
        self.train(training)
        return nn.functional.normalize(made.flatten(1), dim=1).reshape(-1, *self.shape)

    def _fully_connected(self, x: Tensor) -> Tensor:
        """Three hidden layers, each of which also sees the sum of all before it, and a last one."""
        total, now = x.new_zeros(()), x
        for i in (1, 2, 3):
            total = total + self.get_submodule(f"fc{i}")(now)  # [n, inner]
            now = nn.functional.elu(self.get_submodule(f"bn{i}")(total))
        return self.get_submodule("fc4")(now)

    def columns(self) -> Tensor:
        """Return the matrix ``[outputs, K]`` of the forms ``ortho`` and ``random``."""
        if self.form == "random":
            return self.matrix
        # the exponential of a skew matrix is a rotation, so columns stay orthonormal whatever is learned
        skew = self.log_mat_half - self.log_mat_half.T
        # torch's derivative of the exponential errs by 1e-4 in single precision; MPS has no other
        precise = skew if skew.device.type == "mps" else skew.double()
        return torch.matrix_exp(precise).to(skew)[:, : self.count]

    def shift(self, moving: Codes, index: Paths, magnitude: EachCode) -> Codes:
        """See :meth:`LatentPaths.shift`; the codes themselves do not matter."""
        magnitude = (magnitude.to(self.scale) * self.scale[index]).reshape(-1, 1)
        x = magnitude.new_zeros(len(index), self.count).scatter(1, index[:, None], magnitude)  # [n, K], m e_k in each row
        return self.deform(x).to(moving)

    @torch.no_grad()
    def edit(self, index: int, info: EditInfo) -> Lattice:
        """See :meth:`PathSet.edit`; displacements ``D(m e_k) - D(0)``, so that ``t = 0`` is the unedited picture.

        ``D(0)`` is the same for all paths: the bias, which a reconstructor cannot tell paths apart by.
        """
        step, count = self.info.step, self.info.count
        # t from -1 to 1 in steps of one magnitude
        knots = (torch.arange(-count, count + 1) / count).to(self.scale)
        x = self.scale.new_zeros(len(knots), self.count)  # [2 count + 1, K]
        x[:, index] = knots * (step * count * self.scale[index])
        training = self.training
        shifts = self.eval().deform(x)
        self.train(training)
        return Lattice((shifts - shifts[count]).contiguous(), (knots,), info)

    def options(self) -> JsonObject:
        """See :meth:`PathSet.options`."""
        return {
            "form": self.form,
            "count": self.count,
            "shape": list(self.shape),
            "bias": self.bias,
            "inner": self.inner,
            "outputs": self.outputs,
            "shared": self.shared,
        }

    @classmethod
    def from_options(cls, options: Mapping[str, Any], info: PathSetInfo) -> Self:
        """See :meth:`PathSet.from_options`."""
        sizes = {key: int(options[key]) for key in ("count", "inner", "outputs")}
        flags = {key: bool(options[key]) for key in ("bias", "shared")}
        return cls(options["form"], shape=tuple(map(int, options["shape"])), info=info, seed=None, **sizes, **flags)


class _Affine(nn.Module):
    """A linear layer of these weights ``[out, in]`` and a bias of 0; torch's own would draw random numbers first."""

    def __init__(self, weight: Tensor, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(len(weight))) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight, self.bias)


def linear_paths(
    generator: Generator,
    space: str | None,
    count: int,
    form: Form = "ortho",
    *,
    layers: tuple[int, int] | None = None,
    shared: bool = False,
    bias: bool = True,
    random_init: bool = True,
    along: LinearPaths | None = None,
    step: float = 0.2,
    steps: int = 16,
    seed: int = 0,
) -> LinearPaths:
    """Draw a new set of linear paths for a generator.

    Args:
        generator: whose codes move.
        space: of the codes; ``w`` if there is one, else the first, when None.
        count: K, number of paths.
        form: see :class:`LinearPaths`.
        layers: layers ``(first, last + 1)`` of ``w+`` that move; all when None.
        shared: whether these layers move alike, as in ``w``.
        bias: whether ``linear`` and ``projective`` have one.
        random_init: start from random directions instead of the coordinate axes.
        along: set, such as a closed form, whose directions to start along instead, and whose scales to keep; for the forms
            ``linear`` and ``projective``, which then have no bias.
        step: length of a step in the latent space.
        steps: steps from ``t = 0`` to ``t = 1``.
        seed: of the draw.

    Raises:
        SemanifoldError: if the generator has no such space or layers, or a number makes no sense.
    """
    shape, info = info_for(generator, space, layers, method=f"linear paths ({form})", step=step, count=steps, cite=CITE)
    bias = bias and along is None
    made = LinearPaths(form, count, shape, info, bias=bias, shared=shared, random_init=random_init, seed=seed)
    if along is not None:
        if form not in ("linear", "projective"):
            raise SemanifoldError(f"Paths of the form {form} cannot start from given directions; linear and projective ones can.")
        with torch.no_grad():
            made.linear.weight.copy_(flat_directions(along, count, shape, shared=shared).T)
            made.scale.copy_(along.scale)
    return made.to(generator.device, generator.dtype)


def flat_directions(along: LinearPaths, count: int, shape: tuple[int, ...], *, shared: bool) -> Tensor:
    """Return the directions of a set as unit rows ``[K, d]``, those of one layer where all are to move alike.

    Raises:
        SemanifoldError: if there are not as many, of that shape.
    """
    if (len(along), *along.shape) != (count, *shape):
        shapes = f"{len(along)} of {list(along.shape)}"
        raise SemanifoldError(f"{count} directions of shape {list(shape)} to start along are expected, but got {shapes}.")
    rows = along.directions().cpu().float()
    return nn.functional.normalize(rows.mean(1) if shared else rows.flatten(1), dim=1)


def new_paths(generator: Generator, new: NewPaths) -> LinearPaths:
    """Return a set to be trained; see :class:`~semanifold.paths.kinds.Kind`."""
    return linear_paths(
        generator,
        new.space,
        new.k,
        cast("Form", new.kind),
        layers=new.layers,
        shared=new.shared,
        along=new.along,
        step=new.step,
        steps=new.steps,
        seed=new.seed,
    )
