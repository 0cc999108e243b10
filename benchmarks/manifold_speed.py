"""How long until somebody sees the mouth move, and how much memory many frames take.

    python benchmarks/manifold_speed.py            24 frames of the mouth on the bundled generator: first preview, finished
    python benchmarks/manifold_speed.py memory     peak memory of a search with 256 frames against one with 16

Seconds are wall time with all cores; processor seconds stand beside them, for machines that are busy with other things.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from typing import Any

from semanifold.edits.steps import jump
from semanifold.generators.loading import load_generator
from semanifold.images.masks import box
from semanifold.manifolds import ManifoldSettings, discover_manifold

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
    parser.add_argument("what", nargs="?", default="speed", choices=["speed", "memory", "peak"])
    parser.add_argument("--generator", default="faces")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--frames", type=int, default=24)
    given = parser.parse_args()
    if given.what == "speed":
        speed(given.generator, given.seed)
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
