"""Warped paths: K curved paths, each along the gradient of a radial potential (WarpedGANSpace, ICCV 2021, arXiv:2109.13357)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, cast

import torch
from torch import Tensor, nn

from semanifold.core.errors import SemanifoldError, near_names
from semanifold.core.plain import JsonObject
from semanifold.core.shapes import Codes, EachCode, Paths
from semanifold.edits import EditInfo, Flow
from semanifold.edits.flow import rbf_direction
from semanifold.generators.base import Generator
from semanifold.paths.base import APART, LatentPaths, PathSetInfo, SetOptions, Shape, Size, info_for, moving_codes, moving_size
from semanifold.paths.kinds import NewPaths
from semanifold.paths.linear import LinearPaths, flat_directions

Init = Literal["reference", "spread"]
INITS = ("reference", "spread")

CITE = ("Tzelepis, Tzimiropoulos, Patras 2021, WarpedGANSpace, arXiv:2109.13357",)

FAR = 4
"""Distance of the support vectors of the start ``"spread"`` from the mean code, in usual distances of a code."""

TURNS = (0.75, 1.25)
"""How strongly the first and the last set of that start bend: standard deviation of the exponents over random codes."""

ASIDE = 0.25
"""How far the support vectors of a path that begins along a direction lie to the side of it, over how far along it."""

PUBLISHED_LENGTH = 2.5
"""Mean length of the support vectors of the published start."""


class WarpedOptions(SetOptions):
    """The options of warped paths; see :class:`WarpedPaths`."""

    vectors: Size
    shape: Shape
    learn_alphas: bool
    learn_gammas: bool
    shared: bool
    unit: float

    @property
    def size(self) -> int:
        """See :attr:`SetOptions.size`."""
        return math.prod(self.shape)


class WarpedPaths(LatentPaths):
    """K potentials of N pairs of support vectors each; a path follows the unit gradient of its potential.

    ``f_k(z) = sum_i a_ki exp(-g_k ||z - s_ki||^2)``; ``shift = scale_k * magnitude * grad f_k / ||grad f_k||`` (arXiv:2109.13357,
    Eq. 1-3, where all scales are 1).
    The sets of a batch are gathered by their index, so a step's memory grows with the batch and not with K.

    Attributes:
        support: ``[K, 2N, d]`` support vectors s over :attr:`unit`, d the flattened size of the part of a code that moves.
        alphas: ``[K, 2N]`` weights a: a parameter where they are learned, else a buffer.
        log_gamma: ``[K]`` logarithm of g: likewise.
        scale: ``[K]`` length of a step of each path over its magnitude; never learned.
        unit: length in the latent space that support vectors are stored in units of. Adam moves every number by its learning rate
            whatever its size; with the unit the same rate turns long support vectors as fast as short ones.
    """

    kind: ClassVar[str] = "warped"
    schema = WarpedOptions

    def __init__(
        self,
        support: Tensor,
        alphas: Tensor,
        log_gamma: Tensor,
        shape: tuple[int, ...],
        info: PathSetInfo,
        *,
        learn_alphas: bool = False,
        learn_gammas: bool = True,
        shared: bool = False,
        unit: float = 1.0,
        scale: Tensor | None = None,
    ) -> None:
        """Make a set of given vectors; :meth:`create` draws new ones.

        Args:
            support: ``[K, 2N, d]`` support vectors over ``unit``.
            alphas: ``[K, 2N]``.
            log_gamma: ``[K]``.
            shape: of the part of one code that moves.
            info: what the file says about the set.
            learn_alphas: whether training changes the weights.
            learn_gammas: whether training changes the widths.
            shared: whether all layers of ``shape`` ``(layers, d)`` move alike, as in ``w``; the direction is taken at their mean.
            unit: of the support vectors.
            scale: ``[K]`` above 0; 1 when None.

        Raises:
            SemanifoldError: if sizes disagree.
        """
        super().__init__()
        size = moving_size(shape, info, shared=shared)
        sizes = [list(support.shape), list(alphas.shape), list(log_gamma.shape)]
        if support.ndim != 3 or 0 in support.shape or sizes[1:] != [sizes[0][:2], sizes[0][:1]] or sizes[0][2] != size:
            raise SemanifoldError(
                f"Warped paths need support vectors [K, 2N, {size}], weights [K, 2N] and gammas [K], but got {sizes[0]}, "
                f"{sizes[1]} and {sizes[2]}; check K, N and the space."
            )
        if not 0 < unit < math.inf:
            raise SemanifoldError(f"The unit of support vectors is a length above 0, but got {unit:g}.")
        if scale is not None and tuple(scale.shape) != (len(support),):
            raise SemanifoldError(f"A scale is expected for each of {len(support)} paths, but got {list(scale.shape)}.")
        self.shape, self.info, self.shared, self.unit = tuple(shape), info.of(len(support)), shared, unit
        self.learn_alphas, self.learn_gammas = learn_alphas, learn_gammas
        self.support = nn.Parameter(support)
        self.alphas: Tensor
        self.log_gamma: Tensor
        for name, value, learned in (("alphas", alphas, learn_alphas), ("log_gamma", log_gamma, learn_gammas)):
            if learned:
                self.register_parameter(name, nn.Parameter(value))
            else:
                self.register_buffer(name, value)
        self.scale: Tensor
        self.register_buffer("scale", torch.ones(len(support)) if scale is None else scale)

    @classmethod
    def create(
        cls,
        count: int,
        dipoles: int,
        shape: tuple[int, ...],
        info: PathSetInfo,
        *,
        init: Init = "reference",
        codes: Tensor | None = None,
        along: LinearPaths | None = None,
        gamma: float | None = None,
        learn_alphas: bool = False,
        learn_gammas: bool = True,
        shared: bool = False,
        seed: int = 0,
    ) -> Self:
        """Draw a new set.

        Args:
            count: K, number of paths.
            dipoles: N, pairs of support vectors per path.
            shape: of the part of one code that moves.
            info: what the file says about the set.
            init: ``"reference"`` as published, which is nearly linear at the start, or ``"spread"``: see :func:`spread_support`.
            codes: ``[n, *shape]`` random codes of the space; only ``"spread"`` looks at them, and takes standard normal ones
                when None.
            along: K straight paths that those of ``"spread"`` begin along, and whose scales they keep; None lets codes decide.
            gamma: width of all potentials, one over a squared length; the initialisation's own when None.
            learn_alphas: whether training changes the weights.
            learn_gammas: whether training changes the widths.
            shared: whether all layers move alike.
            seed: of the draw.

        Raises:
            SemanifoldError: if a number makes no sense.
        """
        if count < 1 or dipoles < 1:
            raise SemanifoldError(f"A set needs at least 1 path of at least 1 dipole, but {count} of {dipoles} were asked for.")
        if init not in INITS:
            raise SemanifoldError(f"There is no initialisation {init!r}: {near_names(init, INITS)}")
        if along is not None and init != "spread":
            raise SemanifoldError(f'Paths that begin along directions have the start "spread", not {init!r}.')
        if gamma is not None and not 1e-9 <= gamma <= 1e9:
            raise SemanifoldError(f"Gamma is one over a squared length, above 0 (from 1e-9 to 1e9), but got {gamma:g}.")
        size = moving_size(shape, info, shared=shared)
        unit = 1.0
        if init == "reference":
            support, gammas = reference_support(count, dipoles, size, seed)
        else:
            flat = None if codes is None else (codes.mean(1) if shared and codes.ndim == 3 else codes.flatten(1))
            rows = None if along is None else flat_directions(along, count, shape, shared=shared)
            support, gammas = spread_support(count, dipoles, size, seed, flat, rows)
            # half a dipole is one support vector's length: stored ones are then as long as the published ones on average
            unit = float((support[0, 0] - support[0, 1]).norm()) / 2 / PUBLISHED_LENGTH
        log_gamma = (gammas if gamma is None else torch.full((count,), gamma)).log()
        # a dipole: the same vector with the weights 1 and -1, at s and -s
        alphas = torch.tensor([1.0, -1.0]).repeat(count, dipoles)
        scale = None if along is None else along.scale.cpu().float().clone()
        return cls(
            support / unit, alphas, log_gamma, shape, info,
            learn_alphas=learn_alphas, learn_gammas=learn_gammas, shared=shared, unit=unit, scale=scale,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.support)

    @property
    def dipoles(self) -> int:
        """N, pairs of support vectors per path."""
        return self.support.shape[1] // 2

    def shift(self, moving: Codes, index: Paths, magnitude: EachCode) -> Codes:
        """See :meth:`LatentPaths.shift`; steps have the length ``scale * magnitude`` (in each layer, where layers move alike)."""
        # one set per sample: [n, 2N, d], [n, 2N] and [n]
        support, alphas, gamma = (v.index_select(0, index) for v in (self.support, self.alphas, self.log_gamma))
        codes = (moving.mean(1) if self.shared else moving.flatten(1)).to(support) / self.unit
        lengths = magnitude.reshape(-1, 1) * self.scale.index_select(0, index)[:, None].to(magnitude)
        # in units: codes over the unit, so g ||z - s||^2 keeps its value only if g is multiplied by its square
        steps = lengths * rbf_direction(codes, support, alphas, gamma.exp() * self.unit**2).to(moving)
        return steps[:, None].expand_as(moving) if self.shared else steps.reshape(moving.shape)

    def shifts(self, moving: Codes) -> Tensor:
        """See :meth:`LatentPaths.shifts`; all codes meet a set of support vectors at once, so that none is gathered twice."""
        codes = (moving.mean(1) if self.shared else moving.flatten(1)).to(self.support) / self.unit
        every = torch.vmap(rbf_direction, in_dims=(None, 0, 0, 0))
        steps = every(codes, self.support, self.alphas, self.log_gamma.exp() * self.unit**2).transpose(0, 1)  # [n, K, d]
        steps = (self.scale[:, None] * steps).to(moving)
        shape = (len(moving), len(self), *self.shape)
        return steps[:, :, None].expand(shape) if self.shared else steps.reshape(shape)

    def edit(self, index: int, info: EditInfo) -> Flow:
        """See :meth:`PathSet.edit`."""
        support, alphas, gamma = (v[index].detach().clone() for v in (self.support, self.alphas, self.log_gamma.exp()))
        moving = (1, *self.shape[1:]) if self.shared else self.shape
        step = self.info.step * float(self.scale[index])
        return Flow(self.unit * support.reshape(-1, *moving), alphas, gamma, step, self.info.count, info)

    def published_options(self) -> dict[str, object]:
        """See :meth:`PathSet.published_options`."""
        # gammas that differ stand in the file only, which the published programs read where they think them learned
        listed = self.learn_gammas or bool((self.log_gamma != self.log_gamma[0]).any())
        return super().published_options() | {
            "num_support_dipoles": self.dipoles,
            "learn_alphas": self.learn_alphas,
            "learn_gammas": listed,
            "gamma": None if listed else float(self.log_gamma[0].exp()),
        }

    def support_sets(self) -> dict[str, Tensor]:
        """See :meth:`PathSet.support_sets`; they know no layers that move alike."""
        state = {
            "SUPPORT_SETS": (self.unit * self.support.detach()).flatten(1),
            "ALPHAS": self.alphas.detach(),
            "LOGGAMMA": self.log_gamma.detach().reshape(-1, 1),
        }
        return {} if self.shared else {key: value.cpu().float().clone() for key, value in state.items()}

    def options(self) -> JsonObject:
        """See :meth:`PathSet.options`."""
        return {
            "count": len(self),
            "vectors": self.support.shape[1],
            "shape": list(self.shape),
            "learn_alphas": self.learn_alphas,
            "learn_gammas": self.learn_gammas,
            "shared": self.shared,
            "unit": self.unit,
        }

    @classmethod
    def from_options(cls, options: Mapping[str, Any], info: PathSetInfo) -> Self:
        """See :meth:`PathSet.from_options`."""
        shape, count, vectors = tuple(map(int, options["shape"])), int(options["count"]), int(options["vectors"])
        size = moving_size(shape, info, shared=bool(options["shared"]))
        learned: dict[str, Any] = {key: bool(options[key]) for key in ("learn_alphas", "learn_gammas", "shared")}
        support, alphas, log_gamma = (torch.empty(sizes) for sizes in ((count, vectors, size), (count, vectors), (count,)))
        return cls(support, alphas, log_gamma, shape, info, unit=float(options["unit"]), **learned)


def reference_support(count: int, dipoles: int, size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return the published start: support vectors ``[K, 2N, d]`` and gammas ``[K]``.

    Antipodal pairs ``s, -s`` one after the other, in random directions, at radius ``1 + 3 k / K`` in set k; gamma is ``1 / d``
    (Tzelepis et al. 2021, arXiv:2109.13357, section 3.2, and its code). The gradient is then nearly the same at all codes.
    """
    radii = torch.arange(count) * (3 / count) + 1
    drawn = torch.randn(count, dipoles, size, generator=torch.Generator().manual_seed(seed))
    vectors = drawn / drawn.norm(dim=-1, keepdim=True) * radii[:, None, None]
    return torch.stack([vectors, -vectors], 2).flatten(1, 2), torch.full((count,), 1 / size)


def spread_support(
    count: int, dipoles: int, size: int, seed: int, codes: Tensor | None = None, along: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return a start whose paths bend: support vectors ``[K, 2N, d]`` and gammas ``[K]``.

    The pairs lie at ``mean +- R x``, x the unit vector towards a random code and R four times the usual distance of a code from
    the mean. Gamma is such that the exponents ``2 g (z - mean).(s - mean)`` have over random codes z the standard deviation c,
    in set k ``c = 0.75 + 0.5 (k + 1/2) / K``. Then each code is drawn by support vectors of its own: for standard normal codes
    the directions at two codes have a mean cosine of about ``2 exp(c^2) / (exp(2 c^2) + 1 + (exp(2 c^2) - 1) / 16)``, 0.62 for
    c = 1 in any number of dimensions, where the published start has 0.96 to 0.99. Vectors at the distance of the codes
    themselves would bend as much, but a quarter of their gradient would point along the radius, which many generators ignore.

    Args:
        count: K.
        dipoles: N.
        size: d.
        seed: of the draw.
        codes: ``[n, d]`` random codes, at least four, other than those that the paths are to be used on; standard normal ones
            when None.
        along: ``[K, d]`` a unit vector for each path: x then points along it, and only :data:`ASIDE` times as far towards a code.
    """
    # 1. The codes, whose mean and usual distance from it give the scales.
    draw = torch.Generator().manual_seed(APART + seed)
    if codes is None:
        codes = torch.randn(1024, size, generator=draw)
    if len(codes) < 4 or codes.shape[1:] != (size,):
        raise SemanifoldError(f"The start needs random codes [n, {size}], at least 4, but got {list(codes.shape)}.")
    codes = codes.detach().cpu().float()
    mean = codes.mean(0)
    centred = codes - mean
    distance = centred.norm(dim=1).square().mean().sqrt()  # root mean square
    if not 0 < float(distance) < math.inf:
        raise SemanifoldError("The codes that the start is made of are all alike or not finite; check the generator.")
    # 2. The unit vectors x [K N, d], towards random codes, or along given directions and a little towards codes, so that the
    # N dipoles of one path differ.
    chosen = centred[torch.randint(len(codes), (count * dipoles,), generator=draw)]
    lengths = chosen.norm(dim=1, keepdim=True)
    ways = chosen / lengths
    if along is not None:
        ways = torch.nn.functional.normalize(along.repeat_interleave(dipoles, 0) + ASIDE * ways, dim=1)
    # The code that a vector points to would count as one of n and look further away than any other; some vectors stand for all.
    own = 0 if along is not None else lengths[:1024, 0].square()
    # 3. How much codes vary along x: the variance of the exponent 2 g (z - mean).(s - mean) is (2 g R)^2 times that.
    squares = (centred @ ways[:1024].T).square().sum(0) - own
    spread = (squares.clamp(min=0) / (len(codes) - 1)).mean().sqrt()
    # 4. The pairs, antipodal about the mean code.
    radius = FAR * distance
    pairs = (radius * ways).reshape(count, dipoles, size)  # [K, N, d]
    # 5. Gamma from 2 g R spread = c.
    turns = TURNS[0] + (TURNS[1] - TURNS[0]) * (torch.arange(count) + 0.5) / count
    return torch.stack([mean + pairs, mean - pairs], 2).flatten(1, 2), turns / (2 * radius * spread)


def warped_paths(
    generator: Generator,
    space: str | None,
    count: int,
    dipoles: int,
    *,
    layers: tuple[int, int] | None = None,
    shared: bool = False,
    init: Init = "reference",
    along: LinearPaths | None = None,
    gamma: float | None = None,
    learn_alphas: bool = False,
    learn_gammas: bool = True,
    step: float = 0.2,
    steps: int = 16,
    seed: int = 0,
) -> WarpedPaths:
    """Draw a new set of warped paths for a generator.

    Args:
        generator: whose codes move.
        space: of the codes; ``w`` if there is one, else the first, when None.
        count: K, number of paths.
        dipoles: N, pairs of support vectors per path.
        layers: layers ``(first, last + 1)`` of ``w+`` that move; all when None.
        shared: whether these layers move alike, as in ``w``.
        init: see :meth:`WarpedPaths.create`.
        along: set of straight paths to begin along, for ``init="spread"``.
        gamma: width of all potentials; the initialisation's own when None.
        learn_alphas: whether training changes the weights.
        learn_gammas: whether training changes the widths.
        step: length of a step in the latent space.
        steps: steps from ``t = 0`` to ``t = 1``.
        seed: of the draw.

    Raises:
        SemanifoldError: if the generator has no such space or layers, or a number makes no sense.
    """
    shape, info = info_for(generator, space, layers, method="warped paths", step=step, count=steps, cite=CITE)
    codes = moving_codes(generator, info, 1024, seed=seed) if init == "spread" else None
    options = {"init": init, "codes": codes, "along": along, "gamma": gamma, "shared": shared, "seed": seed}
    made = WarpedPaths.create(count, dipoles, shape, info, learn_alphas=learn_alphas, learn_gammas=learn_gammas, **options)
    return made.to(generator.device, generator.dtype)


def new_paths(generator: Generator, new: NewPaths) -> WarpedPaths:
    """Return a set to be trained; see :class:`~semanifold.paths.kinds.Kind`. One that begins along directions is spread."""
    return warped_paths(
        generator,
        new.space,
        new.k,
        new.dipoles,
        layers=new.layers,
        shared=new.shared,
        init=cast("Init", new.init if new.init in INITS else "spread"),
        along=new.along,
        gamma=new.gamma,
        learn_alphas=new.learn_alphas,
        learn_gammas=new.learn_gammas,
        step=new.step,
        steps=new.steps,
        seed=new.seed,
    )
