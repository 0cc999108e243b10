"""The locality benchmark: every method's edit of the same faces under the same masks, at equal change inside the mask."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from semanifold.core.latents import Latents
from semanifold.core.progress import Progress, Watch, watching
from semanifold.core.version import __version__
from semanifold.edits import Edit
from semanifold.generators.base import Generator
from semanifold.generators.loading import load_generator
from semanifold.images import metrics
from semanifold.locality.baselines import layer_features, typical_distance
from semanifold.locality.matching import Candidate, match, of_sides, side_images
from semanifold.locality.methods import LAYERED, METHODS, Problem
from semanifold.locality.report import LocalityReport
from semanifold.locality.rows import ROWS, Row, append_row, packed, read_rows
from semanifold.locality.settings import LocalitySettings
from semanifold.locality.truth import own_factors, pixel_weights, truth_share
from semanifold.locality.worlds import World, world_of
from semanifold.manifolds.settings import ManifoldSettings
from semanifold.storage.digests import digest

ROUNDING = 1e-5
"""Features that change by less than this share of their norm do not change; their last digits depend on the size of a batch."""


QUICK = LocalitySettings(
    generator="analytic",
    masks=("mouth",),
    seeds=1,
    top=5,
    manifold=ManifoldSettings(frames=5, steps=40),
    paper_steps=20,
    out=Path("out/locality-quick"),
)
"""One mask on one analytic face: seconds, for tests and a first look; far from the methods' best."""


def locality_benchmark(settings: LocalitySettings | None = None, progress: Watch = None) -> LocalityReport:
    """Run the benchmark, or go on with one that was cut short.

    Call it as ``locality_benchmark(LocalitySettings(seeds=8), progress)``; print ``report.markdown()``, keep ``report.numbers()``
    and ``report.figure(path)``. Each row is appended to ``settings.out / "locality.jsonl"`` as soon as it is measured; rows of
    the same weights and settings that lie there already are not measured again, so the same call resumes.

    Args:
        settings: what to measure; the full benchmark on the bundled faces when None.
        progress: called with ``step``, ``steps``, ``mask``, ``seed``, ``method``, and after a row ``mse_ratio`` and ``misses``.
            A bar when None, nothing when False.
    """
    settings = settings or LocalitySettings()
    world = world_of(load_generator(settings.generator), settings.masks, settings.layer)
    with watching(progress, "measuring locality") as tell:
        return run_benchmark(world, settings, METHODS, tell)


def run_benchmark(
    world: World,
    settings: LocalitySettings,
    methods: Mapping[str, Callable[[Problem], list[Candidate]]],
    progress: Progress | None = None,
) -> LocalityReport:
    """Run the benchmark on any generator; see :func:`locality_benchmark`.

    Args:
        world: the generator with its masks and, if known, its truth.
        settings: what to measure; ``generator`` is only a name here.
        methods: functions by name, of which ``settings.methods`` are run.
        progress: as in :func:`locality_benchmark`.
    """
    settings.out.mkdir(parents=True, exist_ok=True)
    path, keys = settings.out / ROWS, {method: _key(world, settings, method) for method in settings.methods}
    rows = read_rows(path, keys)
    # each once, however often it was named
    tasks = list(dict.fromkeys((m, s, n) for m in settings.masks for s in settings.faces for n in settings.methods))
    reach = typical_distance(world.generator, world.space)
    problem: Problem | None = None
    for step, (mask, number, method) in enumerate(tasks):
        if progress:
            progress({"step": step, "steps": len(tasks), "mask": mask, "seed": number, "method": method})
        if (mask, number, method) in rows:
            continue
        if problem is None or (problem.mask, problem.number) != (mask, number):
            problem = make_problem(world, settings, mask, number, reach)
        nothing = Row(
            key=keys[method], mask=mask, seed=number, method=method, candidates=0, sides=0, misses=0, mse_ratio=None, seconds=0.0
        )
        row = rows[mask, number, method] = measure_method(world, problem, methods[method], nothing)
        append_row(path, row)
        if progress:
            reached = {"mse_ratio": row.mse_ratio, "misses": row.misses}
            progress({"step": step + 1, "steps": len(tasks), "mask": mask, "seed": number, "method": method, **reached})
    about = {**asdict(settings), "out": str(settings.out), "generator": world.generator.name}
    about |= {"top": min(settings.top, _most_components(world.generator))}
    notes = {"perceptual": world.perceptual_name, "truth": world.truth.source if world.truth else "none"}
    return LocalityReport([rows[task] for task in tasks], about | notes)


def make_problem(world: World, settings: LocalitySettings, mask: str, number: int, reach: float) -> Problem:
    """Return one face under one mask with the level that its edits are compared at."""
    generator = world.generator
    start = generator.sample([number], world.space)
    shape = world.mask(start, mask)
    height, width = generator.picture_shape[1:]
    shape.check(height, width)
    picture = shape.at(height, width).to(generator.device, generator.dtype)
    with torch.no_grad():
        own = generator.images(start)
        others = generator.images(generator.sample(range(10_000, 10_064), world.space))
    level = settings.level * float(metrics.inside_change(others, own, picture).square().mean().sqrt())
    return Problem(
        world,
        start,
        number,
        mask,
        shape,
        picture,
        reach,
        level,
        min(settings.top, _most_components(generator)),
        settings.manifold,
        settings.paper_steps,
        settings.layer,
    )


def _most_components(generator: Generator) -> int:
    return math.prod(generator.spaces[generator.first_space].shape)


def measure_method(world: World, problem: Problem, method: Callable[[Problem], list[Candidate]], row: Row) -> Row:
    """Find a method's edits, bring them to equal inside change, choose the best candidate and measure it.

    A method with several candidates is given an oracle: the one of the smallest outside/inside ratio counts, among those that
    miss the level on the fewest sides.

    Args:
        world: what the method runs on.
        problem: one face under one mask.
        method: the function.
        row: says whose row it is, and nothing else yet.
    """
    started = time.perf_counter()
    candidates = method(problem)
    if not candidates:
        return row
    sides = [side for candidate in candidates for side in candidate.sides]
    t = match(world.generator, problem.start, sides, problem.picture, problem.level)
    ratios = _ratios(world, problem, sides, t)
    parts = [len(candidate.sides) for candidate in candidates]
    scores = [(int(r.isnan().sum()), float(r.nanmean().nan_to_num(torch.inf))) for r in ratios.split(parts)]
    best = min(range(len(candidates)), key=scores.__getitem__)
    chosen, steps = candidates[best], t.split(parts)[best]
    row = msgspec.structs.replace(
        measure(world, problem, chosen, steps, row),
        candidate=chosen.name,
        candidates=len(candidates),
        sides=len(chosen.sides),
        misses=int(steps.isnan().sum()),
        level=problem.level,
        t=[None if step.isnan() else float(step) for step in steps],
    )
    return msgspec.structs.replace(row, seconds=round(time.perf_counter() - started, 2))


def measure(world: World, problem: Problem, candidate: Candidate, t: Tensor, row: Row) -> Row:
    """Return a row with every metric of one candidate, each the mean over the sides that reach the level."""
    reached = ~t.isnan()
    if not reached.any():
        return row
    sides = [side for side, ok in zip(candidate.sides, reached.tolist(), strict=True) if ok]
    pictures = side_images(world.generator, problem.start, sides, t[reached])
    reference, mask = problem.plain, problem.picture
    pair = pictures, reference
    layers = _layer_scores(world, problem, sides, t[reached])
    scores = [score for score in layers.values() if score is not None]
    perceptual = None if world.perceptual is None else metrics.perceptual_outside(*pair, mask, world.perceptual)
    truth, changes = _truth(world, problem, sides, t[reached], pictures)
    triple = torch.cat([reference, pictures[:1], 2 * mask.expand_as(reference) - 1])
    return msgspec.structs.replace(
        row,
        mse_ratio=_mean(metrics.mse_ratio(*pair, mask)),
        roir=_mean(metrics.roir(*pair, mask)),
        perceptual=_mean(perceptual),
        localization=sum(scores) / len(scores) if scores else None,
        ssim=_mean(metrics.ssim_outside(*pair, mask)),
        truth=_mean(truth),
        localization_layers=layers,
        changes=changes,
        picture=packed(triple) if problem.number == 0 else None,
    )


def _ratios(world: World, problem: Problem, sides: Sequence[Edit], t: Tensor) -> Tensor:
    reached = ~t.isnan()
    ratios = torch.full_like(t, torch.nan)
    if reached.any():
        kept = [side for side, ok in zip(sides, reached.tolist(), strict=True) if ok]
        pictures = side_images(world.generator, problem.start, kept, t[reached])
        ratios[reached] = metrics.mse_ratio(pictures, problem.plain, problem.picture).to(ratios)
    return ratios


def _layer_scores(world: World, problem: Problem, sides: Sequence[Edit], t: Tensor) -> dict[str, float | None]:
    """Return the localization score of the last map of every height; None where the edits change nothing but rounding."""
    plain = layer_features(world.generator, problem.start)
    if not plain:
        return {}

    def scores(generator: Generator, codes: Latents, _rows: list[int]) -> Tensor:
        edited, columns = layer_features(generator, codes), []
        for size, before in plain.items():
            changed = (edited[size] - before).flatten(1).norm(dim=1) > ROUNDING * before.norm()
            score = metrics.localization_score(edited[size], before, problem.picture)
            columns.append(score.masked_fill(~changed, torch.nan))
        return torch.stack(columns, 1)

    by_side = of_sides(world.generator, problem.start, sides, t, scores)
    return {str(size): _mean(column) for size, column in zip(plain, by_side.unbind(1), strict=True)}


def _truth(
    world: World, problem: Problem, sides: Sequence[Edit], t: Tensor, pictures: Tensor
) -> tuple[Tensor | None, list[float]]:
    """Return the truth share ``[n]`` and the mean weighted change of every factor."""
    truth = world.truth
    if truth is None:
        return None, []
    before, effects = problem.known
    own, weights = own_factors(problem.mask, problem.picture, effects), pixel_weights(effects)
    after = of_sides(world.generator, problem.start, sides, t, lambda _, codes, rows: truth.factors(codes, pictures[rows]))
    change = after - before
    return truth_share(change, weights, own, truth.noise), ((change.abs() * weights).mean(0)).tolist()


def _mean(values: Tensor | None) -> float | None:
    if values is None or not values.isfinite().any():
        return None
    return float(values[values.isfinite()].mean())


def _key(world: World, settings: LocalitySettings, method: str) -> str:
    """Name the weights and the settings that a row depends on, so that a changed run does not reuse old rows."""
    free = asdict(replace(settings, masks=("mouth",), seeds=1, methods=("random",), out=Path())) | {"out": ""}
    if free["layer"] is None or method not in LAYERED:
        del free["layer"]
    text = json.dumps([__version__, world.generator.fingerprint, world.space, free], default=str, sort_keys=True)
    return digest(text, digits=12)
