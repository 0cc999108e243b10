"""The changes that move pictures most, of weights or of codes: the subspace in which directions are looked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.jacobians import PictureFunction, mean_products, pull_back, push_forward
from semanifold.core.latents import Latents
from semanifold.core.progress import Progress
from semanifold.generators.base import Generator
from semanifold.images.masks import Mask
from semanifold.paths.base import APART
from semanifold.storage.digests import digest

SAVE_EVERY = 5.0
"""Seconds between two writings of a checkpoint."""
PROBES, CHUNK = 6, 16


class Moves(Protocol):
    """What can be changed in a generator, as one vector of numbers: weights of layers, or codes of a space."""

    @property
    def generator(self) -> Generator:
        """Whose pictures change."""
        ...

    @property
    def what(self) -> str:
        """What changes, in words."""
        ...

    @property
    def size(self) -> int:
        """How many numbers."""
        ...

    def zero(self) -> Tensor:
        """Return ``[1, N]`` no change."""
        ...

    def pictures_of(self, code: Latents, size: int | None) -> PictureFunction:
        """Return the function from changes ``[n, N]`` to the pictures of one code."""
        ...

    def pictures_along(self, change: Tensor, codes: Latents, far: Tensor, size: int | None = None) -> Tensor:
        """Return the pictures of n codes, moved ``far`` times ``[n]`` along one change ``[N]``; differentiable in the change."""
        ...


@dataclass(frozen=True, eq=False)
class Changes:
    """How pictures change in a subspace of weights.

    Attributes:
        basis: ``[s, N]`` orthonormal rows.
        inside: ``[n, s, s]`` mean products of the pictures that the rows push to, per code, inside its mask (or everywhere).
        outside: ``[n, s, s]`` the same outside; zero without masks.
    """

    basis: Tensor
    inside: Tensor
    outside: Tensor


@dataclass(eq=False)
class Gathered:
    """How far :func:`changes_of` is, and all that it needs to go on from there, bit for bit.

    Attributes:
        pulled: rows ``[p, N]`` of each code that was pulled back; none once there is a basis.
        basis: ``[s, N]`` orthonormal rows; None before all codes were pulled back.
        inside: ``[s, s]`` of each code that the basis was pushed forward at, see :class:`Changes`.
        outside: ``[s, s]`` the same outside.
    """

    pulled: list[Tensor] = field(default_factory=list)
    basis: Tensor | None = None
    inside: list[Tensor] = field(default_factory=list)
    outside: list[Tensor] = field(default_factory=list)

    def tensors(self) -> dict[str, Tensor]:
        """Return them as a file holds them; parts that are empty are left out."""
        stacks = {"pulled": self.pulled, "inside": self.inside, "outside": self.outside}
        written = {name: torch.stack(parts) for name, parts in stacks.items() if parts}
        return written if self.basis is None else written | {"basis": self.basis}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], like: Tensor) -> Gathered:
        """Return what :meth:`tensors` said, on the device of another tensor."""
        here = {name: tensor.to(like.device) for name, tensor in tensors.items()}
        pulled, inside, outside = (list(here.get(name, ())) for name in ("pulled", "inside", "outside"))
        return cls(pulled, here.get("basis"), inside, outside)


def search_key(space: Moves, codes: Latents, masks: Sequence[Mask] | None, *facts: object) -> str:
    """Return a digest of everything that decides a search for changes; a checkpoint of another one is refused.

    Args:
        space: what may change.
        codes: of the pictures that decide.
        masks: one per code, if any.
        facts: all other numbers.
    """
    conditions = (codes.conditions[name] for name in sorted(codes.conditions))
    seen = (mask.at(64, 64) for mask in masks or ())
    return digest(repr([space.generator.fingerprint, space.what, *facts]), codes.values, *conditions, *seen, digits=32)


def gathered_fit(tensors: Mapping[str, Tensor], like: Tensor, codes: int, kept: int) -> bool:
    """Whether tensors can be those of a :class:`Gathered`.

    Args:
        tensors: as read.
        like: ``[1, N]``: size and precision of rows.
        codes: most codes.
        kept: most rows of the basis.
    """
    rows = [tensors[name] for name in ("pulled", "basis") if name in tensors]
    squares = [tensors[name] for name in ("inside", "outside") if name in tensors]
    # 1. Rows are pulled back, or there is a basis; whole changes are those in a basis.
    if len(rows) > 1 or len(squares) == 1 or (squares and "basis" not in tensors):
        return False
    # 2. Their sizes, types and numbers.
    if any(part.shape[-1:] != like.shape[1:] or part.dtype != like.dtype or not part.numel() for part in rows):
        return False
    if "pulled" in tensors and (tensors["pulled"].ndim != 3 or len(tensors["pulled"]) > codes):
        return False
    if "basis" in tensors and (tensors["basis"].ndim != 2 or len(tensors["basis"]) > kept):
        return False
    shapes = {(tuple(part.shape), part.dtype) for part in squares}
    side = len(tensors["basis"]) if squares else 0
    known = {((count, side, side), torch.float64) for count in range(1, codes + 1)}
    return len(shapes) <= 1 and shapes <= known and all(bool(torch.isfinite(part).all()) for part in (*rows, *squares))


def changes_of(
    space: Moves,
    codes: Latents,
    masks: Sequence[Mask] | None,
    kept: int,
    *,
    size: int | None = None,
    both: bool = False,
    probes: int = PROBES,
    chunk: int = CHUNK,
    seed: int = 0,
    before: Gathered | None = None,
    keep: Callable[[Gathered], None] | None = None,
    tell: Progress,
) -> Changes:
    """Find the changes that move pictures most (inside their masks, if any), and how they move each picture.

    Random pictures are pulled back from every code to the changes (vjp; Halko et al. 2011, arXiv:0909.4061); the leading
    singular vectors of these rows span the subspace. Each of them is then pushed forward (jvp, by central differences) at every
    code.

    Args:
        space: what may change.
        codes: n codes.
        masks: one per code; None for the whole picture.
        kept: s, dimensions of the subspace.
        size: height and width of the pictures; their own when None.
        both: look at what moves pictures outside of their masks as well, where there are masks.
        probes: random pictures per code; more where ``kept`` asks for them.
        chunk: pictures at a time.
        seed: of the random pictures.
        before: where an earlier search broke off; it is carried on, bit for bit.
        keep: gets how far it is after every code.
        tell: gets ``step`` and ``steps``.

    Raises:
        SemanifoldError: if pictures do not change, or by infinite amounts.
    """
    # The subspace needs twice as many random pictures as dimensions to be sure of the leading ones (Halko et al. 2011).
    n, zero, kept = len(codes), space.zero(), min(kept, space.size)
    probes = max(probes, math.ceil(2 * kept / n))
    now, roots = before or Gathered(), []

    def done(step: int) -> None:
        """Keep the result of a step, and tell that it was taken."""
        if keep is not None and step > n:
            keep(now)
        tell({"step": step, "steps": 3 * n})

    # 1. Roots of the weights of pixels, from the mask of each picture.
    for i in range(n):
        roots.append(roots_of(space.generator, codes[i], None if masks is None else masks[i], size))
        done(i + 1)
    if now.basis is None:
        # 2. Random pictures inside the mask, pulled back to the weights of the layers.
        for i in range(len(now.pulled), n):
            sides = roots[i] if both else roots[i][:1]
            pulled = [pull_back(space.pictures_of(codes[i], size), zero, root, probes, chunk, seed + i) for root in sides]
            now.pulled.append(torch.cat(pulled))
            done(n + i + 1)
        rows = torch.cat(now.pulled)  # [n probes, N]
        if not (torch.isfinite(rows).all() and rows.any()):
            raise SemanifoldError(
                f"Pictures of {space.generator.name} do not change with {space.what}, or by infinite amounts; choose another "
                "layer or mask, or larger pictures."
            )
        # 3. The subspace in which weights move pictures most, on average over the codes.
        now.basis, now.pulled = _leading_rows(rows, min(kept, n * probes)), []
    # 4. Push its axes forward at every code: J^T J of each picture in the subspace, inside and outside.
    for i in range(len(now.inside), n):
        pushed = push_forward(space.pictures_of(codes[i], size), zero, now.basis, chunk)
        now.inside.append(mean_products(pushed * roots[i][0]))
        now.outside.append(mean_products(pushed * roots[i][1]))
        done(2 * n + i + 1)
    return Changes(now.basis, torch.stack(now.inside), torch.stack(now.outside))


def codes_for(generator: Generator, samples: int, seed: int, seeds: Sequence[int] | None) -> Latents:
    """Return the codes that decide: those of seeds that people name, or random ones that nobody shows."""
    numbers = list(seeds) if seeds is not None else [(APART + 7_000_000 + seed * samples + i) % 2**32 for i in range(samples)]
    if not numbers:
        raise SemanifoldError("At least one picture is needed to find directions; give one or more samples.")
    return generator.example(numbers, in_turn=True)


def roots_of(generator: Generator, code: Latents, mask: Mask | None, size: int | None) -> tuple[Tensor, Tensor]:
    """Return the square roots of the weights of pixels inside and outside, each of mean 1."""
    height, width = generator.picture_shape[1:]
    if size is not None:
        height, width = size, max(1, round(width * size / height))
    if mask is None:
        one = code.values.new_ones(1, 1, height, width)
        return one, torch.zeros_like(one)
    weight = mask.at(height, width).to(code.values)
    if not 0 < float(weight.mean()) < 1:
        raise SemanifoldError("The mask covers nothing or everything of a picture; nothing can be told apart by it.")
    # the root of a weight, since changes are squared after it; of mean 1, so that small masks count as much as large ones
    return (weight / weight.mean()).sqrt(), ((1 - weight) / (1 - weight).mean()).sqrt()


def _leading_rows(rows: Tensor, kept: int) -> Tensor:
    """Return the leading right singular vectors ``[kept, N]`` of rows ``[m, N]``, by the small product of the rows.

    In their own precision, since each is as long as all weights of some layers.
    """
    # N may be millions, m is some hundreds: eigenvectors u of the small product give those of the large one, rows^T u / sigma
    products = (rows @ rows.T).double()
    values, vectors = torch.linalg.eigh(products)
    values, vectors = values.flip(0)[:kept], vectors.flip(1)[:, :kept]
    # random pictures may pull back to fewer independent rows than asked for; the others would be noise over 0
    sound = values > 1e-10 * values[0]
    basis = ((vectors[:, sound] / values[sound].sqrt()).T.to(rows)) @ rows
    # single precision leaves them not quite orthogonal
    return torch.linalg.qr(basis.T)[0].T
