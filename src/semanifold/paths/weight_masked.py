"""Directions in weights that change pictures inside a mask, on every picture of a generator, and leave them alone outside."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
import torch
from torch import Tensor

from semanifold.core.eigenpairs import generalised_eigenvectors
from semanifold.core.latents import Latents
from semanifold.core.progress import Progress, Watch, watching
from semanifold.generators.base import Generator
from semanifold.images.masks import Mask, as_mask
from semanifold.paths.changes import SAVE_EVERY, Gathered, Moves, changes_of, codes_for, gathered_fit, roots_of, search_key
from semanifold.paths.weight_axes import WeightSpace, made
from semanifold.paths.weight_ranges import FARTHEST, usual_changes
from semanifold.paths.weights import CITE, WeightPaths
from semanifold.storage.keeping import Keeper, KeptHeader

FORMAT = "semanifold-masked-changes-1"
DAMPING = 1e-3
"""Added to the change outside, as a share of the strongest change inside."""
REFINEMENT = 60
"""Steps of refinement per direction: locality goes on improving with more, at a cost in proportion."""
LEVEL, RATE, PAIRS, PIXELS = 0.35, 0.025, 4, 8 * 256 * 256
"""Change inside at which directions are refined, over the usual one; rate of Adam over ``sqrt(48 / N)``; pictures per step, each
changed both ways; pixels at a time."""


def masked_weight_paths(
    generator: Generator,
    layers: Sequence[str],
    mask: str | Mask,
    k: int = 8,
    *,
    samples: int = 24,
    kept: int = 48,
    size: int | None = None,
    damping: float = DAMPING,
    seed: int = 0,
    seeds: Sequence[int] | None = None,
    refine: int = REFINEMENT,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: Watch = None,
) -> WeightPaths:
    """Return directions in weights that change pictures inside a mask and leave them alone outside, the best first.

    They begin as solutions of ``A v = lambda (B + mu I) v`` with A and B the mean squared change inside and outside, averaged
    over pictures whose masks are found picture by picture; so each is one direction for all pictures, where a local direction
    of codes holds at its own picture only. These are the best to first order, in the subspace of the changes that move pictures
    most; :func:`refined` then lowers the change outside at a change inside that is seen, over all numbers of the weights.

    Args:
        generator: any with weights.
        layers: names of the layers whose weights move.
        mask: where change is welcome; a name such as ``mouth`` is another mask on every picture.
        k: number of directions.
        samples: pictures that decide.
        kept: dimensions of the subspace that is searched.
        size: height and width of the pictures; their own when None.
        damping: mu as a share of the strongest change inside.
        seed: of the pictures.
        seeds: their own numbers, instead; one alone gives directions for that picture.
        refine: steps of refinement per direction; 0 for none.
        checkpoint: file that keeps what was looked at and refined, which goes on from there, bit for bit.
        progress: called with ``step`` and ``steps``; a bar when None, nothing when False.

    Returns:
        The set; ``info.measured`` has ``outside_inside`` of every direction, the mean ratio of squared changes on those pictures.

    Raises:
        SemanifoldError: for layers that are not there, a mask that cannot be drawn, pictures that do not change, or the
            checkpoint of another search.
    """
    space = WeightSpace(generator, tuple(layers))
    codes = codes_for(generator, samples, seed, seeds)
    facts = {"size": size, "damping": damping, "seed": seed, "refine": refine, "checkpoint": checkpoint, "progress": progress}
    rows, ratios = masked_rows(space, mask, k, codes, max(kept, k), **facts)
    paths = made(space, torch.eye(len(rows)).to(rows), rows, f"changes of weights inside {mask}", CITE)
    return paths.with_info(mask=mask if isinstance(mask, str) else "", measured={"outside_inside": ratios})


def masked_rows(
    space: Moves,
    mask: str | Mask,
    k: int,
    codes: Latents,
    kept: int,
    *,
    size: int | None,
    damping: float,
    seed: int,
    refine: int,
    both: bool = False,
    farthest: float = FARTHEST,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: Watch = None,
) -> tuple[Tensor, tuple[float, ...]]:
    """Return unit rows ``[k, N]`` of what may change, and the mean outside/inside of each; see :func:`masked_weight_paths`.

    Args:
        space: what may change.
        mask: where change is welcome.
        k: number of rows.
        codes: of the pictures that decide.
        kept: dimensions of the subspace.
        size: height and width of the pictures; their own when None.
        damping: mu as a share of the strongest change inside.
        seed: of random pictures, and of the order in which pictures refine.
        refine: steps per row.
        both: whether the subspace holds what changes pictures outside as well.
        farthest: how far a picture may be moved along a row.
        checkpoint: file that keeps what was looked at and the rows that are done, which goes on from there, bit for bit.
        progress: called with ``step`` and ``steps``; a bar when None, nothing when False.
    """
    # 1. How the pictures change in a subspace, inside and outside of their own masks.
    masks = [as_mask(mask, space.generator, codes[i]) for i in range(len(codes))]
    key = search_key(space, codes, masks, k, kept, size, damping, seed, refine, both, farthest)
    keeper = Keeper(checkpoint, FORMAT, key, SAVE_EVERY)
    before, rows, ratios = read_state(keeper, space.zero(), len(codes), k, kept)

    def keep(now: Gathered) -> None:
        keeper.keep(lambda: (now.tensors(), {}))

    with watching(progress, f"finding changes of {space.what} inside {mask}") as tell:
        changes = changes_of(space, codes, masks, kept, size=size, both=both, seed=seed, before=before, keep=keep, tell=tell)
    inside, outside = changes.inside.mean(0), changes.outside.mean(0)  # [s, s] each
    top = float(torch.linalg.eigvalsh(inside)[-1])
    # 2. Most change inside per change outside, on average over pictures. The damping keeps out directions that change nothing.
    _, small = generalised_eigenvectors(inside, outside + damping * top * torch.eye(len(inside)).to(inside))
    small = small[:k] / small[:k].norm(dim=1, keepdim=True)
    strength = torch.einsum("ki,nij,kj->kn", small, changes.inside, small).sqrt()  # [k, n], per picture
    with watching(progress, f"{'refining' if refine else 'measuring'} changes of {space.what} inside {mask}") as tell:
        # 3. Refine each direction by itself: over all numbers, and at changes that are seen, not small ones.
        view = View.of(space, codes, masks, size, seed, farthest)
        starts = small.to(changes.basis) @ changes.basis
        looked = {"basis": changes.basis, "inside": changes.inside, "outside": changes.outside}
        for j in range(len(rows), len(starts)):
            better, ratio = refined(view, starts[j], strength[j], refine, seed=seed + j, tell=_part(tell, j, len(small)))
            rows.append(better)
            ratios.append(ratio)
            keeper.keep(lambda: (looked | {"rows": torch.stack(rows)}, {"ratios": list(ratios)}))
    return torch.stack(rows), tuple(ratios)


class Header(KeptHeader, frozen=True, kw_only=True):
    """The header of a checkpoint: outside/inside of every row that is done."""

    ratios: tuple[Annotated[float, msgspec.Meta(ge=0)], ...] = ()


def read_state(keeper: Keeper, like: Tensor, codes: int, k: int, kept: int) -> tuple[Gathered | None, list[Tensor], list[float]]:
    """Return what a checkpoint keeps: what was looked at, the rows that are done, and their outside/inside; none without one.

    Args:
        keeper: of the checkpoint.
        like: ``[1, N]``: size, device and precision of rows.
        codes: of the pictures that decide.
        k: rows that are wanted.
        kept: dimensions of the subspace, at most.

    Raises:
        SemanifoldError: if the file is damaged, or belongs to another search.
    """

    def fits(header: Header, tensors: dict[str, Tensor]) -> bool:
        rows = tensors.get("rows", like[:0].cpu())
        shapes = rows.shape == (len(header.ratios), like.shape[1]) and len(rows) <= k
        sound = shapes and rows.dtype == like.dtype and bool(torch.isfinite(rows).all())
        # rows are refined once all codes were looked at
        whole = not len(rows) or len(tensors.get("inside", ())) == codes
        return sound and whole and gathered_fit(tensors, like, codes, kept)

    saved = keeper.read(Header, fits)
    if saved is None:
        return None, [], []
    header, tensors = saved
    rows = tensors.pop("rows", like[:0])
    return Gathered.from_tensors(tensors, like), list(rows.to(like.device)), list(header.ratios)


@dataclass(frozen=True, eq=False)
class View:
    """What directions are refined on.

    Attributes:
        space: what moves.
        codes: n codes.
        size: height of the pictures; their own when None.
        plain: ``[n, c, h, w]`` their pictures.
        inside: ``[n, 1, h, w]`` weights of pixels inside the masks, of mean 1.
        outside: ``[n, 1, h, w]`` the same outside.
        level: ``[n]`` root mean square change inside at which directions are compared.
        farthest: how far a picture may be moved.
    """

    space: Moves
    codes: Latents
    size: int | None
    plain: Tensor
    inside: Tensor
    outside: Tensor
    level: Tensor
    farthest: float = FARTHEST

    @classmethod
    @torch.no_grad()
    def of(
        cls, space: Moves, codes: Latents, masks: Sequence[Mask], size: int | None, seed: int, farthest: float = FARTHEST
    ) -> View:
        """Look at codes with their masks."""
        roots = [roots_of(space.generator, codes[i], mask, size) for i, mask in enumerate(masks)]
        inside, outside = (torch.cat(side).square() for side in zip(*roots, strict=True))
        plain = torch.cat([space.generator.images(codes[i], size=size) for i in range(len(codes))])
        # a share of how much two pictures differ inside the mask: a change that is seen, but still of the same face
        level = LEVEL * usual_changes(space.generator, plain, inside.sqrt(), seed, size)
        return cls(space, codes, size, plain, inside, outside, level, farthest)

    def changes(self, row: Tensor, numbers: list[int], far: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean squared changes inside and outside ``[m]`` of some pictures, each moved ``far`` times along a row."""
        moved = self.space.pictures_along(row, self.codes[numbers], far, self.size)
        square = (moved - self.plain[numbers]).square()
        return (square * self.inside[numbers]).mean((1, 2, 3)), (square * self.outside[numbers]).mean((1, 2, 3))


def refined(view: View, row: Tensor, strength: Tensor, steps: int, *, seed: int, tell: Progress) -> tuple[Tensor, float]:
    """Return a direction whose change outside is lower at an equal change inside, and its mean outside/inside.

    Every step takes a few pictures, each changed both ways so far that the change inside is as wanted, and lowers the logarithm
    of their mean ratio of squared changes outside and inside, by Adam on all numbers of the direction, whose rate falls to 0.
    How far each picture has to be changed is corrected whenever it is taken. The direction is given back as it was where no
    less changes outside on all pictures together.

    Args:
        view: pictures with masks.
        row: ``[N]`` the direction, in units of each weight's norm, of norm 1.
        strength: ``[n]`` root mean square change inside per norm, to first order.
        steps: how many.
        seed: of the choice of pictures.
        tell: gets ``step`` and ``steps``.
    """
    # 1. How far to go for the wanted change, to first order; both ways, since large changes are not symmetric.
    far = (view.level / strength.to(view.level).clamp(min=1e-12)).clamp(max=view.farthest)
    far = torch.stack([far, -far], 1)  # [n, 2]
    start, start_far = row, far.clone()
    # 2. Adam on all numbers of the direction. The objective only depends on its course, hence the division by the norm.
    change = row.clone().requires_grad_()
    optimiser = torch.optim.Adam([change], lr=RATE)
    draw = torch.Generator().manual_seed(seed)
    together = max(1, min(2 * PAIRS, PIXELS // (view.plain.shape[-1] * view.plain.shape[-2])))
    for step in range(steps):
        # Every number of the unit vector is about 1/sqrt(N), so the rate falls with the square root as well; to 0 at the end.
        optimiser.param_groups[0]["lr"] = RATE * (48 / len(row)) ** 0.5 * (1 - step / steps)
        optimiser.zero_grad()
        # a few pictures per step, in chunks that fit into memory; gradients add up
        total = 0.0
        for i, way in _chunks(torch.randperm(len(far), generator=draw)[:PAIRS].tolist(), together):
            ratio = _ratios(view, change / change.norm(), i, way, far)
            ratio.sum().backward()
            total += float(ratio.detach().sum())
        assert change.grad is not None
        # d log(sum) = d sum / sum: the gradient of the logarithm is known once all chunks are through
        change.grad /= max(total, 1e-30)  # of the logarithm of the mean
        optimiser.step()
        tell({"step": step + 1, "steps": steps})
    with torch.no_grad():
        better = change / change.norm()
        # 3. Keep the better one of start and end, compared on all pictures.
        ends = ((start, start_far), (better, far))
        before, after = (float(ratios_at_level(view, direction, at, together).mean()) for direction, at in ends)
    return (better, after) if after < before else (start, before)


def _ratios(view: View, row: Tensor, numbers: list[int], ways: list[int], far: Tensor) -> Tensor:
    """Return outside/inside of some pictures, each moved one way, and correct how far these have to be moved."""
    inside, outside = view.changes(row, numbers, far[numbers, ways])  # [m] each
    # A Newton step on a logarithmic scale, where change grows about in proportion: 0.8 of it and at most a factor of 1.75, since
    # far out the relation is anything but a straight line.
    missing = (view.level[numbers] / inside.detach().sqrt().clamp(min=1e-12)).log().clamp(-0.7, 0.7)
    far[numbers, ways] = (far[numbers, ways] * (0.8 * missing).exp()).clamp(-view.farthest, view.farthest)
    return outside / inside.clamp(min=1e-12)


def ratios_at_level(view: View, row: Tensor, far: Tensor, together: int = 2 * PAIRS) -> Tensor:
    """Return outside/inside ``[n, 2]`` of all pictures both ways, as far as each has to be moved, which is put into ``far``."""
    chunks = _chunks(list(range(len(far))), together)
    # two corrections bring the change close enough to the level to compare
    for numbers, ways in 2 * chunks:
        _ratios(view, row, numbers, ways, far)
    return torch.cat([_ratios(view, row, numbers, ways, far) for numbers, ways in chunks]).reshape(-1, 2)


def _chunks(numbers: list[int], together: int) -> list[tuple[list[int], list[int]]]:
    """Return the numbers of pictures and their ways, 0 and 1, a few at a time."""
    pairs = [(number, way) for number in numbers for way in (0, 1)]
    parts = [pairs[i : i + together] for i in range(0, len(pairs), together)]
    return [([number for number, _ in part], [way for _, way in part]) for part in parts]


def _part(tell: Progress, part: int, parts: int) -> Progress:
    """Return the progress of one of several equal parts as that of the whole."""
    return lambda report: tell({"step": part * report["steps"] + report["step"], "steps": parts * report["steps"]})
