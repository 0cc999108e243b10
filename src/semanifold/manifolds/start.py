"""Where a search starts: scales chosen from the generator, and a path, loop or sheet along the local directions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.generators.base import Generator
from semanifold.generators.coordinates import PLAIN, Coordinates
from semanifold.images.masks import Mask
from semanifold.manifolds.directions import local_directions
from semanifold.manifolds.layout import Layout
from semanifold.manifolds.metric import Metric, metric_of
from semanifold.manifolds.objective import Parts, kinked_valley, spring_energy
from semanifold.manifolds.settings import ManifoldSettings

STRANGERS = 8
"""Codes drawn to learn how far apart codes and pictures usually are."""
FIRST_STRANGER = 1_000_000
"""Their seeds: none that a person would choose for the face itself."""
SHARE = 1.25
"""At strength 1, c is this many times the median distance inside between the start and strangers: a change seen at once."""
REACH = 0.5
"""The walk along a local direction goes to this share of the usual distance between codes."""
TRIALS = 12
"""Places on each of these walks."""
TURN = 30.0
"""Degrees that a start for the published springs turns by from one frame to the next, about: springs of the second order are then
within 7 % of their length."""
SAMPLES = 512
"""Codes that the mean is taken of."""
LIKELY = 0.2
"""Of two ways, the one to a code whose probability is e times higher may leak more by e to this power."""
PROBES, FEWER = (32, 32), (8, 32)
"""Random pictures inside and outside that the local directions are made of; fewer for paths of knots."""


STIFF = 400.0
"""Most weight of the outside in that metric: where a path leaks, the search itself cannot give it more."""


@dataclass(frozen=True, eq=False)
class StartAxes:
    """What a search begins with.

    Attributes:
        axes: ``[2, *moving]`` first and second direction, so long that the distance inside reaches c after one unit.
        offset: c.
        sigma: rest length between neighbours at the full number of frames.
        pictures: evaluations that the start took, see :func:`evaluations`.
        metric: stiffness of the pictures at the start.
    """

    axes: Tensor
    offset: float
    sigma: float
    pictures: int
    metric: Metric | None


def find_axes(
    generator: Generator,
    start: Latents,
    mask: Mask,
    parts: Parts,
    settings: ManifoldSettings,
    layout: Layout,
    size: int | None,
    coordinates: Coordinates,
) -> StartAxes:
    """Choose directions, c and sigma.

    The first direction is the ``settings.direction``-th local one, the second the next one. Both ways along the first are walked,
    and the one that stays cleaner outside at equal change inside is taken, or, of two about as clean, the one to the likelier
    code. Without a given c it is ``strength`` times :data:`SHARE` times the usual distance inside between this picture and
    others. Without a given sigma it is the mean spacing of the starting path, so that the path is as long as c takes.

    Args:
        generator: the generator.
        start: one code.
        mask: what is to change.
        parts: distances inside and outside of the start's picture at ``size``.
        settings: of the search.
        layout: frames at full number.
        size: height and width of the pictures.
        coordinates: what directions and frames are given in.
    """
    # 1. The directions: the first moves the most inside the mask for the least outside, the second is the next best. What a later
    # direction may not change has to be known well.
    bends = settings.searched > 0 and settings.dims == 1 and settings.schedule != "constant"
    central = not bends or settings.direction > 0
    local = local_directions(
        generator, start, mask, settings.direction + 2, layers=settings.layers, size=size, damping=settings.damping,
        probes=FEWER if bends else PROBES, chunk=settings.chunk, seed=settings.seed, coordinates=coordinates,
        central=central,
    )  # fmt: skip
    pair = local.steps[settings.direction :]
    if not len(pair):
        raise SemanifoldError(f"There is no local direction {settings.direction}: {len(local.steps)} were found, counted from 0.")
    # where only one direction is left, a sheet is flat: the second is the first again
    first, second = pair[0], pair[min(1, len(pair) - 1)]
    # 2. The scales: how far apart codes are (how far to walk) and how far apart pictures are (what a visible change is).
    apart, usual = strangers(generator, start, parts, settings, size, coordinates)
    lengths = torch.linspace(0, REACH * apart, TRIALS + 1)[1:].to(start.values)  # [trials], without 0
    # 3. Walk both ways along a direction. Eigenvectors have no sign, but pictures do not change alike both ways.
    offset = settings.offset or settings.strength * SHARE * usual

    def chosen(direction: Tensor, flip: bool) -> tuple[Tensor, float]:
        ways = [sign * direction for sign in (1, -1)]
        walks = [_walk(generator, start, parts, way, lengths, settings, size, coordinates) for way in ways]
        # 4. At the place where a walk reaches c inside, the outside is what the way costs. A walk that never reaches c is charged
        # for it by a power of 4 in the shortfall, so that it loses against any that does. Of ways that are about as clean, that
        # to the more likely code costs less.
        ends = [float(_at(inside, lengths, offset)) for inside, _ in walks]
        odds = _log_odds(generator, start, torch.stack([end * way for end, way in zip(ends, ways)]), settings, coordinates)
        cost = [
            math.log(max(float(_at(inside, outside, offset, short=4.0)), 1e-30)) - LIKELY * float(likely)
            for (inside, outside), likely in zip(walks, odds)
        ]
        # "flip" asks for the dirtier way, so it turns the comparison round
        backwards = (cost[1] < cost[0]) != flip
        # 5. How far c is along the chosen way; an axis of one unit then leads to distance c.
        return direction * (-ends[1] if backwards else ends[0]), ends[backwards]

    axis, reach = chosen(first, settings.flip)
    # the second direction only bends a path of knots, whose start may be rough: as far as its share of the change inside says
    rates = local.inside[settings.direction], local.inside[settings.direction + min(1, len(pair) - 1)]
    length = min(REACH * apart, reach * float((rates[0] / rates[1].clamp(min=1e-30)).sqrt()))
    axes = torch.stack([axis, second * length if bends else chosen(second, False)[0]])
    sigma = settings.sigma or mean_spacing(starting_path(layout, axes, settings), layout)
    # 6. The pictures that this took: the walks, the strangers, two per row of the basis (one, and that of the start, where
    # differences are not central), and one pullback per row of a random basis; a basis that spans the whole space needs none.
    rows = len(local.basis)
    pushed = 2 * rows if central else 1 + rows
    made, differentiated = (2 if bends else 4) * TRIALS + STRANGERS + pushed, rows if rows < local.basis.shape[1] else 0
    # 7. The metric that preconditions the search. It bars the directions before the one asked for, since the descent would
    # otherwise slide back to the best one.
    earlier = local.steps[: settings.direction].flatten(1)
    metric = metric_of(local.basis, local.grams[0], local.grams[1], min(settings.outside_of(0.0), STIFF), earlier)
    return StartAxes(axes, offset, sigma, evaluations(made, differentiated), metric)


def evaluations(made: int, differentiated: int) -> int:
    """Return what pictures cost: one for each that is differentiated, half of one for each that is only made."""
    return differentiated + (made + 1) // 2


def starting_path(layout: Layout, axes: Tensor, settings: ManifoldSettings) -> Tensor:
    """Return the path ``[n, *moving]`` of all frames, in coordinates, along the local directions.

    A walk out is a straight line, a pad the plane of both directions, out and back a circle through the start whose far side is
    the first direction; at constant distance it is the circle around the start (closed), or half of it.
    """
    first, second = axes
    n = layout.shape[0]
    if settings.dims == 2:
        # a sheet: the start in the middle
        line = torch.linspace(-1, 1, n).to(axes)
        x, y = torch.meshgrid(line, line, indexing="ij")
    elif settings.schedule in ("out", "through"):
        # a straight line: the start at its beginning, or in its middle for "through"
        x = torch.linspace(-1 if settings.schedule == "through" else 0, 1, n).to(axes)
        y = torch.zeros_like(x)
    else:
        # Circles. A closed one leaves out its last point, which is the first again.
        s = torch.arange(n).to(axes) / (n if settings.closed else n - 1)
        if settings.schedule == "out-and-back":
            # through the start at s = 0, with the far side at the first direction (s = 1/2)
            x, y = (1 - torch.cos(2 * torch.pi * s)) / 2, torch.sin(2 * torch.pi * s) / 2
        else:
            # around the start: every frame is one unit away from it
            angle = (2 if settings.closed else 1) * torch.pi * s
            x, y = torch.cos(angle), torch.sin(angle)
    ones = [1] * (axes.ndim - 1)
    path = x.reshape(-1, *ones) * first + y.reshape(-1, *ones) * second
    # the middle of a sheet is 0 up to rounding only; the start's own frame has to be exact
    return torch.where(layout.fixed.to(axes.device).reshape(-1, *ones), torch.zeros_like(path), path)


def fitted_path(
    generator: Generator,
    start: Latents,
    parts: Parts,
    layout: Layout,
    path: Tensor,
    scales: StartAxes,
    settings: ManifoldSettings,
    size: int | None,
) -> tuple[Tensor, int]:
    """Fit a starting line to the published objective: every picture at its distance, every spring near its length.

    Two lines are tried: the one given, and that with every frame moved to or from the start, by the square root of the distance
    inside that is wanted over the one that is there. What is missing to sigma between neighbours goes around a circle in a plane
    that hardly changes the picture, since the published springs want frames far apart. The line that costs less is returned.

    Args:
        generator: makes the pictures.
        start: one code.
        parts: distances inside and outside of the start's picture at ``size``.
        layout: frames of the first stage, on a line or a loop.
        path: ``[n, *moving]`` of all frames, in coordinates.
        scales: of the start, and the stiffness of the pictures that the plane is chosen by.
        settings: of the search.
        size: height and width of the pictures.

    Returns:
        The path, and the evaluations taken.
    """
    # The published objective uses sums over frames and no preconditioner; a start near its optimum saves most of the steps.
    distances = (layout.targets * scales.offset).to(path)
    tried: list[tuple[float, Tensor]] = []
    for _ in range(2):
        # what the objective is at this line, term by term, one picture at a time
        line = _with_slack(path, layout, scales, settings)
        codes = start.moved(line, settings.layers)
        pairs = [parts(_pictures(generator, codes[i : i + 1], size)) for i in range(len(codes))]
        inside, outside = (torch.cat(column) for column in zip(*pairs))  # [n] each
        away = (kinked_valley(inside, distances, 0.0) + settings.outside_of(0.0) * outside)[layout.free.to(inside.device)]
        # sigma is for the full number of frames; fewer frames on the same path are farther apart
        springs = spring_energy(line, layout.springs, scales.sigma * (settings.frames - 1) / (len(line) - 1))
        tried.append((float(settings.alpha * away.sum() + springs.sum()), line))
        # Distances between pictures grow with the square of a small step, hence the square root.
        # Clamped: one correction of a curved relation may overshoot.
        factor = (distances / inside).sqrt().clamp(0.5, 2)
        # the start's own frame stays (0 / 0 otherwise)
        factor = torch.where(distances > 0, factor, torch.ones_like(factor))
        path = path * factor.reshape(-1, *[1] * (path.ndim - 1))
    return min(tried, key=lambda pair: pair[0])[1], evaluations(2 * len(path), 0)


def _with_slack(path: Tensor, layout: Layout, scales: StartAxes, settings: ManifoldSettings) -> Tensor:
    """Return the line bent around a circle in a quiet plane, so that neighbours are sigma apart, where they were nearer."""
    n, ones = len(path), [1] * (path.ndim - 1)
    # Chords of length `slack` in a plane orthogonal to the line make the distance of neighbours sigma:
    # slack^2 + gap^2 = sigma^2.
    sigma = scales.sigma * (settings.frames - 1) / (n - 1)
    gaps = (path[1:] - path[:-1]).flatten(1).norm(dim=1)  # [n - 1]
    slack = (sigma**2 - gaps.square()).clamp(min=0).sqrt()
    if scales.metric is None or not bool((slack > 0).any()):
        return path
    # Whole turns of about TURN degrees per frame, so that the circle begins and ends at the same place. Its radius follows from
    # chord = 2 r sin(angle between frames, halved), and is so large that the longest chord spans 74 degrees at most (2 asin 0.6).
    turns = max(1, round((n - 1) * TURN / 360))
    radius = max(float(slack.mean()) / (2 * math.sin(math.pi * turns / (n - 1))), float(slack.max()) / 1.2)
    angles = torch.cat([slack.new_zeros(1), (2 * torch.asin(slack / (2 * radius))).cumsum(0)])  # [n]
    plane = _quiet_plane(scales.metric).reshape(2, *path.shape[1:])
    circle = radius * (angles.cos().reshape(-1, *ones) * plane[0] + angles.sin().reshape(-1, *ones) * plane[1])
    # shift the circle so that it goes through the start's own frame
    fixed = layout.fixed.nonzero().flatten().tolist()
    bent = path + (circle - circle[fixed[0]] if fixed else circle)
    return torch.where(layout.fixed.to(bent.device).reshape(-1, *ones), torch.zeros_like(bent), bent)


def _quiet_plane(metric: Metric) -> Tensor:
    """Return two orthonormal directions ``[2, d]`` that hardly change the picture, as far as its stiffness is known."""
    # the axes are sorted by stiffness, smallest first
    known, d = metric.axes.shape
    if known + 2 > d:
        return metric.axes[:2]
    # what the metric knows nothing about is flat: random directions with the known axes projected out
    draws = torch.randn(2, d, generator=torch.Generator().manual_seed(0)).to(metric.axes)
    return torch.linalg.qr((draws - (draws @ metric.axes.T) @ metric.axes).T)[0].T


def paper_path(start: Latents, settings: ManifoldSettings, shape: tuple[int, ...]) -> Tensor:
    """Return the published first path ``[n, *moving]``: all codes but the first on one line, 0.001 r times a normal number."""
    # All codes on one random line through the start, and almost at it: the descent does the rest (published code).
    draws = torch.Generator().manual_seed(settings.seed)
    line = 0.001 * torch.randn(shape, generator=draws)
    places = torch.randn(settings.frames, *[1] * len(shape), generator=draws)
    places[0] = 0
    return (places * line).to(start.values)


def mean_spacing(path: Tensor, layout: Layout) -> float:
    """Return the mean distance between frames that springs of the lowest order join, divided by that order.

    Without springs it is of no consequence, and that of a straight line.
    """
    # sigma is the rest length of the spring of order 1, so a spring of order k measures k sigma
    springs = layout.springs
    if not len(springs.orders):
        return float(path.flatten(1).norm(dim=1).max()) / layout.shape[0]
    a, b = springs.pairs.unbind(1)
    lengths = (path[a] - path[b]).flatten(1).norm(dim=1) / springs.orders.to(path)
    return float(lengths[springs.orders == springs.orders.min()].mean())


def strangers(
    generator: Generator,
    start: Latents,
    parts: Parts,
    settings: ManifoldSettings,
    size: int | None,
    coordinates: Coordinates,
) -> tuple[float, float]:
    """Return the median distance to other codes (moving part) and the median distance inside to their pictures."""
    # far away from the seeds that people choose
    numbers = range(FIRST_STRANGER + settings.seed, FIRST_STRANGER + settings.seed + STRANGERS)
    others = generator.sample_like(start, numbers, start.space)
    layers = slice(*settings.layers) if settings.layers else slice(None)
    # measured in the coordinates, in which lengths of directions are given
    apart = coordinates.inverse((others.values - start.values)[:, layers]).flatten(1).norm(dim=1)
    chunks = [others[i : i + settings.chunk] for i in range(0, len(others), settings.chunk)]
    inside = torch.cat([parts(_pictures(generator, codes, size))[0] for codes in chunks])  # [strangers]
    return float(apart.median()), float(inside.median())


def _log_odds(
    generator: Generator, start: Latents, steps: Tensor, settings: ManifoldSettings, coordinates: Coordinates
) -> Tensor:
    """Return the logarithm of how much more likely codes are than the start ``[n]``, after steps ``[n, *moving]`` from it.

    Codes are about standard normal in the coordinates, so it is half of what the square of their distance from the mean falls by.
    Zero where nothing is known of how codes are distributed.
    """
    if settings.objective == "paper" or (coordinates is PLAIN and start.space != generator.first_space):
        return steps.new_zeros(len(steps))
    layers = slice(*settings.layers) if settings.layers else slice(None)
    mean = generator.sample_like(start, range(SAMPLES), start.space).values.mean(dim=0, keepdim=True)
    place = coordinates.inverse((start.values - mean)[:, layers])
    return (place.square().flatten(1).sum(1) - (place + steps).square().flatten(1).sum(1)) / 2


def _walk(
    generator: Generator,
    start: Latents,
    parts: Parts,
    direction: Tensor,
    lengths: Tensor,
    settings: ManifoldSettings,
    size: int | None,
    coordinates: Coordinates,
) -> tuple[Tensor, Tensor]:
    """Return distances inside and outside ``[trials]`` along a straight line."""
    line = lengths.reshape(-1, *[1] * direction.ndim) * direction
    codes = start.moved(coordinates.displacements(line), settings.layers)
    results = [parts(_pictures(generator, codes[i : i + settings.chunk], size)) for i in range(0, len(codes), settings.chunk)]
    return torch.cat([inside for inside, _ in results]), torch.cat([outside for _, outside in results])


@torch.no_grad()
def _pictures(generator: Generator, codes: Latents, size: int | None) -> Tensor:
    return generator.images(codes, size=size)


def _at(inside: Tensor, values: Tensor, offset: float, short: float = 1.0) -> Tensor:
    """Return ``values`` where ``inside`` first reaches c along a walk from 0, by straight lines.

    If it never does, the last value, multiplied by ``short`` for each time that c is farther than what was reached.
    """
    # the walk begins at the start, where both are 0
    inside, values = (torch.cat([v.new_zeros(1), v]) for v in (inside, values))
    # never reached: the last value, made worse by how much is missing
    beyond = (inside >= offset).nonzero().flatten()
    if not len(beyond):
        return values[-1] * short ** (offset / inside.max().clamp(min=1e-12))
    # interpolate between the last place below c and the first above it
    i = int(beyond[0])
    share = (offset - inside[i - 1]) / (inside[i] - inside[i - 1])
    return values[i - 1] + share * (values[i] - values[i - 1])
