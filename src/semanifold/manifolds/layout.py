"""Layout: which frames there are, where their knots lie, what distance each should have, and which springs join them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from semanifold.manifolds.settings import ManifoldSettings, Schedule


@dataclass(frozen=True, eq=False)
class Springs:
    """Springs between frames: ``energy = sum_m weight_m (||z_a - z_b|| - order_m sigma)^2``.

    Attributes:
        pairs: ``[m, 2]`` indices of the frames that each spring joins.
        orders: ``[m]`` rest lengths in units of sigma.
        weights: ``[m]``.
    """

    pairs: Tensor
    orders: Tensor
    weights: Tensor


@dataclass(frozen=True, eq=False)
class Layout:
    """The frames of a manifold on a line, a loop or a sheet.

    Attributes:
        shape: number of frames along each axis.
        targets: ``[n]`` wanted distance inside as a share of c, frames in row-major order.
        fixed: ``[n]`` whether a frame is the start's own code and does not move.
        springs: what joins the frames.
        centred: whether the start is in the middle.
        lead: whether the start comes before the first frame and is none of them.
    """

    shape: tuple[int, ...]
    targets: Tensor
    fixed: Tensor
    springs: Springs
    centred: bool
    lead: bool

    @property
    def free(self) -> Tensor:
        """Indices ``[f]`` of the frames that move."""
        return (~self.fixed).nonzero().flatten()

    def spread(self, free: Tensor) -> Tensor:
        """Return what all frames ``[n, ...]`` have from what the free ones ``[f, ...]`` have; fixed ones have zero."""
        frames = free.new_zeros(self.fixed.numel(), *free.shape[1:])
        frames[self.free.to(free.device)] = free
        return frames

    def lattice(self, displacements: Tensor, closed: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return displacements ``[*knots, *code]`` and knots of an edit whose ``t = 0`` is the start."""
        grid = displacements.reshape(*self.shape, *displacements.shape[1:])
        if closed and not torch.equal(grid[0], grid[-1]):
            grid = torch.cat([grid, grid[:1]])
        if self.lead:
            grid = torch.cat([torch.zeros_like(grid[:1]), grid])
        lowest = -1.0 if self.centred else 0.0
        knots = tuple(torch.linspace(lowest, 1.0, n) for n in grid.shape[: len(self.shape)])
        middle = [n // 2 for n in self.shape]
        if self.centred:
            for knot, at in zip(knots, middle):
                knot[at] = 0.0
        return grid, knots


def layout_of(settings: ManifoldSettings, frames: int) -> Layout:
    """Return the layout of a search with this many frames along each axis."""
    shape = (frames,) * settings.dims
    if settings.centred:
        axis = torch.linspace(-1, 1, frames)
        targets = torch.stack(torch.meshgrid(*[axis.square()] * settings.dims, indexing="ij")).sum(0).flatten()
        # exact, where linspace may leave rounding
        targets[len(targets) // 2] = 0
        fixed = torch.arange(len(targets)) == len(targets) // 2
    else:
        targets = schedule_targets(settings.schedule, frames, closed=settings.closed)
        fixed = torch.zeros(frames, dtype=torch.bool)
        # the start is a frame of its own at the beginning, unless all frames keep their distance from it
        fixed[0] = settings.schedule != "constant" or settings.ends == "seed"
        returns = settings.schedule == "out-and-back" and not settings.closed
        # and at the end, where a line comes back; a closed path comes back to its first frame
        fixed[-1] = settings.ends == "seed" and (returns or (settings.schedule == "constant" and not settings.closed))
        targets[fixed] = 0
    springs = springs_of(shape, settings.springs, closed=settings.closed)
    return Layout(shape, targets, fixed, springs, settings.centred, lead=not bool(fixed.any()))


def schedule_targets(schedule: Schedule, frames: int, *, closed: bool = False) -> Tensor:
    """Return the distance wanted at each frame ``[frames]``, as a share of c.

    Distances between pictures grow with the square of a small step, so that an even walk out follows ``s^2``; a walk around a
    circle through the start is at ``sin^2`` of half the angle.
    """
    if schedule == "constant":
        return torch.ones(frames)
    # a closed path does not repeat its first frame
    s = torch.arange(frames) / (frames if closed else frames - 1)
    return s.square() if schedule == "out" else torch.sin(torch.pi * s).square()


def springs_of(shape: tuple[int, ...], weights: Mapping[int, float], *, closed: bool = False) -> Springs:
    """Join frames k apart along every axis, for each order k of ``weights``; ``closed`` joins the end of a line to its start."""
    index = torch.arange(int(torch.tensor(shape).prod())).reshape(shape)
    pairs, orders, strengths = [], [], []
    for order, weight in weights.items():
        for axis, n in enumerate(shape):
            # frames that have a partner k further on; on a ring all have
            ring = torch.arange(n if closed else max(0, n - order))
            if not weight or not len(ring):
                continue
            ends = index.index_select(axis, ring), index.index_select(axis, (ring + order) % n)
            pairs.append(torch.stack([end.flatten() for end in ends], 1))
            orders.append(torch.full((len(pairs[-1]),), float(order)))
            strengths.append(torch.full((len(pairs[-1]),), float(weight)))
    if not pairs:
        return Springs(torch.zeros(0, 2, dtype=torch.long), torch.zeros(0), torch.zeros(0))
    return Springs(torch.cat(pairs), torch.cat(orders), torch.cat(strengths))


def refine(path: Tensor, old: tuple[int, ...], new: tuple[int, ...], *, closed: bool = False, smooth: bool = False) -> Tensor:
    """Carry a path ``[n, *code]`` over to another number of frames by straight lines, or smoothly by cubic splines."""
    if old == new:
        return path
    code = path.shape[1:]
    grid = path.reshape(*old, -1)
    if smooth:
        for axis, (coarse, many) in enumerate(zip(old, new)):
            weights = spline(coarse, many, closed=closed).to(path)
            grid = torch.einsum("mn,n...->m...", weights, grid.movedim(axis, 0)).movedim(0, axis)
        return grid.reshape(-1, *code)
    # on a ring the first frame follows the last, and goes again after the resampling
    if closed:
        grid = torch.cat([grid, grid[:1]])
        return _resample(grid, new[0] + 1)[:-1].reshape(-1, *code)
    for axis, n in enumerate(new):
        grid = _resample(grid.movedim(axis, 0), n).movedim(0, axis)
    return grid.reshape(-1, *code)


def _resample(grid: Tensor, n: int) -> Tensor:
    flat = grid.reshape(len(grid), -1).T[None]
    return interpolate(flat, n, mode="linear", align_corners=True)[0].T.reshape(n, *grid.shape[1:])


def spline(old: int, new: int, *, closed: bool = False) -> Tensor:
    """Return the weights ``[new, old]``, in double precision, of evenly spaced knots in the values of their cubic spline.

    The second and the last knot but one of a line are "not a knot" (de Boor, A Practical Guide to Splines, 1978, chapter IV): a
    cubic is given back as it is. Three knots of a line have their parabola.

    Args:
        old: number of knots, three or more.
        new: number of values, from the first knot to the last; around the ring if it is closed.
        closed: whether the first knot follows the last.
    """
    # 1. Second derivatives from values, knots one apart: M[i - 1] + 4 M[i] + M[i + 1] = 6 (y[i - 1] - 2 y[i] + y[i + 1]).
    unit = torch.eye(old, dtype=torch.float64)
    left, right = unit.roll(-1, 0).T, unit.roll(1, 0).T  # rows that pick the neighbours around a ring
    system, sides = left + 4 * unit + right, 6 * (left - 2 * unit + right)
    # 2. Ends of a line: the third derivative goes on through the knot beside them; with three knots it is none.
    if not closed:
        ends = torch.tensor([1.0, -1.0, 0.0] if old == 3 else [1.0, -2.0, 1.0], dtype=torch.float64)
        system[[0, -1]], sides[[0, -1]] = 0, 0
        system[0, :3], system[-1, -3:] = ends, ends.flip(0)
    bend = torch.linalg.solve(system, sides)
    # 3. Every value lies between two knots, or exactly at one.
    cells, steps = (old, new) if closed else (old - 1, new - 1)
    place = torch.arange(new) * cells
    low = (place // steps).clamp(max=cells - 1)
    high = (low + 1) % old
    u = (place - low * steps).double()[:, None] / steps
    straight = (1 - u) * unit[low] + u * unit[high]
    return straight + (((1 - u) ** 3 - (1 - u)) * bend[low] + (u**3 - u) * bend[high]) / 6


def natural_spline(knots: Tensor, at: Tensor) -> Tensor:
    """Return the weights ``[n, k]``, in double precision, of values at knots ``[k]`` in a natural cubic spline through them.

    Its second derivative is none at both ends (de Boor, A Practical Guide to Splines, 1978, chapter IV).

    Args:
        knots: increasing, two or more, as far apart as they like.
        at: ``[n]`` between the first knot and the last.
    """
    # 1. Second derivatives: h[i - 1] M[i - 1] + 2 (h[i - 1] + h[i]) M[i] + h[i] M[i + 1] = 6 (s[i] - s[i - 1]), s the slopes.
    x, t = knots.cpu().double(), at.cpu().double()
    unit, h, last = torch.eye(len(x), dtype=torch.float64), x.diff(), len(x) - 1
    system, sides = unit.clone(), torch.zeros_like(unit)
    for i in range(1, last):
        system[i, i - 1 : i + 2] = torch.stack([h[i - 1], 2 * (h[i - 1] + h[i]), h[i]])
        sides[i] = 6 * ((unit[i + 1] - unit[i]) / h[i] - (unit[i] - unit[i - 1]) / h[i - 1])
    bend = torch.linalg.solve(system, sides)
    # 2. Every value lies between two knots.
    low = (torch.searchsorted(x, t, right=True) - 1).clamp(0, last - 1)
    u = ((t - x[low]) / h[low])[:, None]
    bends = ((1 - u) ** 3 - (1 - u)) * bend[low] + (u**3 - u) * bend[low + 1]
    return (1 - u) * unit[low] + u * unit[low + 1] + h[low, None] ** 2 / 6 * bends
