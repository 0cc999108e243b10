"""How long until somebody sees the mouth move, and how much memory many frames take.

    python benchmarks/manifold_speed.py            24 frames of the mouth on the bundled generator: first preview, finished
    python benchmarks/manifold_speed.py knots      all frames against knots: masks and seeds, with truth share and smoothness
    python benchmarks/manifold_speed.py cost       how the cost grows with frames, layers, dimensions and pixels
    python benchmarks/manifold_speed.py memory     peak memory of a search with 256 frames against one with 16

Seconds are wall time with all cores; processor seconds stand beside them, for machines that are busy with other things.
"""

from __future__ import annotations

import argparse
import math
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from stylegan2_speed import convolution_peak
from torch.utils.flop_counter import FlopCounterMode

import semanifold as sm
from semanifold.edits.steps import jump
from semanifold.generators.base import Generator
from semanifold.generators.loading import load_generator
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config
from semanifold.images.masks import box
from semanifold.locality.baselines import typical_distance
from semanifold.locality.benchmark import make_problem, measure
from semanifold.locality.matching import Candidate, match
from semanifold.locality.methods import Problem, out_and_back
from semanifold.locality.rows import Row
from semanifold.locality.settings import LocalitySettings
from semanifold.locality.worlds import world_of
from semanifold.manifolds import ManifoldSettings, discover_manifold

ROW = ("mask", "seed", "knots")
MOUTH = box(0.3, 0.62, 0.7, 0.85)


def speed(name: str, seed: int) -> None:
    wall, busy = time.perf_counter(), time.process_time()
    generator = load_generator(name)
    first: list[tuple[float, float]] = []

    def watch(now: dict[str, Any]) -> None:
        if not first:
            # A preview is a picture, not only a path.
            generator.images(now["edit"].latents(now["edit"].start, 0.5))
            first.append((time.perf_counter() - wall, time.process_time() - busy))

    solution = discover_manifold(generator, generator.sample([seed]), MOUTH, ManifoldSettings(), progress=watch)
    print(
        f"{name}, seed {seed}, 24 frames: preview {first[0][0]:.1f} s ({first[0][1]:.1f} s of processor), finished "
        f"{time.perf_counter() - wall:.1f} s ({time.process_time() - busy:.1f}); {solution.stats['evaluations']} pictures, "
        f"outside/inside {solution.stats['ratio']:.4f}, longest step / mean {jump(generator, solution.value):.2f}"
    )


def knots(name: str, masks: list[str], seeds: list[int], choices: list[int], out: Path | None) -> None:
    """Print a row for every mask, seed and number of knots, and the means of every mask.

    The truth share is that of the locality benchmark, at its level, the mean of the way out and the way back.
    """
    settings = LocalitySettings(masks=tuple(masks))
    world = world_of(load_generator(name), LocalitySettings().masks)
    reach, rows = typical_distance(world.generator, world.space), []
    for mask in masks:
        for seed in seeds:
            problem = make_problem(world, settings, mask, seed, reach)
            for count in choices:
                row = {"mask": mask, "seed": seed, "knots": count, **searched(problem, ManifoldSettings(knots=count), out)}
                rows.append(row)
                print(", ".join(f"{key} {value:.5g}" if key not in ROW else f"{value}" for key, value in row.items()), flush=True)
    for mask in masks:
        for count in choices:
            those = [row for row in rows if (row["mask"], row["knots"]) == (mask, count)]
            means = {key: statistics.mean(row[key] for row in those) for key in those[0] if key not in ROW}
            print(f"mean of {mask}, knots {count}: " + ", ".join(f"{key} {value:.5g}" for key, value in means.items()))


def searched(problem: Problem, settings: ManifoldSettings, out: Path | None) -> dict[str, float]:
    """Return what one search costs and reaches; its film goes into a folder, if any."""
    generator, start = problem.world.generator, problem.start
    busy = time.process_time()
    solution = discover_manifold(generator, start, problem.shape, settings, progress=False)
    seconds = time.process_time() - busy
    candidate = Candidate("ours", out_and_back(solution.value))
    t = match(generator, start, candidate.sides, problem.picture, problem.level)
    nothing = Row(key="", mask=problem.mask, seed=0, method="", candidates=1, sides=2, misses=0, mse_ratio=None, seconds=0.0)
    level = measure(problem.world, problem, candidate, t, nothing)
    if out:
        sm.save(solution, out / f"{problem.mask.replace('~', 'not-')}-{problem.number}-knots-{settings.knots}.png")
    return {
        "seconds": seconds,
        "pictures": solution.stats["evaluations"],
        "offset": solution.stats["offset"],
        "ratio": solution.stats["ratio"],
        "jump": jump(generator, solution.value),
        "truth": math.nan if level.truth is None else level.truth,
        "ratio_at_level": math.nan if level.mse_ratio is None else level.mse_ratio,
    }


def cost(name: str, seed: int) -> None:
    """Print what searches at the mouth cost, with the share of the machine's convolution peak that their pictures reach.

    The work of a picture is that of its convolutions and matrix products, twice for one that is differentiated.
    """
    generator, size = load_generator(name), 128
    larger = StyleGAN2(StyleGAN2Config(size, 128, 128, (128, 128, 128, 64, 32, 16))).eval().requires_grad_(False)
    plain, pad = ManifoldSettings(), {"dims": 2, "frames": 9}
    rows: list[tuple[str, Generator, ManifoldSettings]] = [
        *((f"{n} frames", generator, replace(plain, frames=n)) for n in (12, 24, 48, 96, 192)),
        *((f"24 frames, layers 0 to {n - 1}", generator, replace(plain, layers=(0, n))) for n in (2, 5)),
        ("pad of 9 x 9", generator, replace(plain, **pad)),
        (f"24 frames, random StyleGAN2 of {size} px", larger, plain),
    ]
    now = time.process_time
    best = max(convolution_peak(torch.device("cpu"), 4, now) for _ in range(3))
    print(f"convolution peak of {torch.get_num_threads()} threads: {best / 1e9:.0f} Gflop/s of processor time\n")
    print("| search | first path, CPU s | end, CPU s | pictures | outside/inside | share of the peak |")
    print("|---|---:|---:|---:|---:|---:|")
    for title, made_by, settings in rows:
        code = made_by.sample([seed])
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            made_by.images(code)
        begun, said = now(), []
        stats = discover_manifold(made_by, code, MOUTH, settings, progress=lambda _, said=said: said.append(now())).stats
        seconds = now() - begun
        share = 2 * counter.get_total_flops() * stats["evaluations"] / seconds / best
        print(
            f"| {title} | {said[0] - begun:.1f} | {seconds:.1f} | {stats['evaluations']} | {stats['ratio']:.5f} | {share:.0%} |",
            flush=True,
        )


def peak(name: str, frames: int) -> float:
    """Return the peak memory in MB of a short search in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "peak", "--generator", name, "--frames", str(frames)],
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", default="speed", choices=["speed", "knots", "cost", "memory", "peak"])
    parser.add_argument("--generator", default="faces")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--masks", nargs="+", default=["mouth", "eyes", "hair"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--knots", type=int, nargs="+", default=[0, 9])
    parser.add_argument("--out", type=Path, help="a folder for the films of knots, as strips of pictures")
    given = parser.parse_args()
    if given.what == "speed":
        speed(given.generator, given.seed)
    elif given.what == "knots":
        knots(given.generator, given.masks, given.seeds, given.knots, given.out)
    elif given.what == "cost":
        cost(given.generator, given.seed)
    elif given.what == "memory":
        few, many = peak(given.generator, 16), peak(given.generator, 256)
        print(f"{given.generator}: peak {few:.0f} MB with 16 frames, {many:.0f} MB with 256: {many / few:.2f} times")
    else:
        generator = load_generator(given.generator)
        settings = ManifoldSettings(frames=given.frames, coarse=False, steps=25, tolerance=0.0)
        discover_manifold(generator, generator.sample([given.seed]), MOUTH, settings)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main()
