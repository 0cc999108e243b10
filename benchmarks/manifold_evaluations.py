"""How many pictures until the paper's objective is as low as the paper's own procedure gets it?

Both procedures minimise the same function: Yang et al. 2020 (arXiv:2105.07273), Eqs. 1-3, with the published weights, on the
same seed, box, frames, c and sigma. The published one starts from 0.001 of noise and takes L-BFGS steps of length one; ours
starts along the local directions with room for the springs, tightens the kink, and searches each line. An evaluation is one
picture made and differentiated, of any size; one that is only made counts half. Those of our start count. Prints one line a
world and mask; ``--out`` writes JSON.

    python benchmarks/manifold_evaluations.py --worlds analytic faces celeba32
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from semanifold.core.latents import Latents
from semanifold.edits import Lattice
from semanifold.generators.base import Generator
from semanifold.generators.loading import load_generator
from semanifold.images.distances import l2
from semanifold.images.masks import Mask, box
from semanifold.manifolds import ManifoldSettings, discover_manifold, paper_settings
from semanifold.manifolds.layout import layout_of
from semanifold.manifolds.objective import Objective, cropped_parts, kinked_valley

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
BOXES = {"mouth": box(0.3, 0.62, 0.7, 0.85), "eyes": box(0.2, 0.38, 0.8, 0.6)}


def world(name: str) -> Generator:
    if name in ("analytic", "faces"):
        return load_generator(name)
    from support import real_generators  # noqa: PLC0415  (beside the tests; the files may be absent)

    return real_generators.REAL[name]()


def exact(generator: Generator, seed: Latents, mask: Mask, settings: ManifoldSettings) -> Objective:
    """Return the paper's objective at full size and number of frames."""
    assert settings.offset is not None
    assert settings.sigma is not None
    with torch.no_grad():
        reference = generator.images(seed)
    parts = cropped_parts(mask.rectangle(*reference.shape[2:]), reference, l2)
    layout = layout_of(settings, settings.frames)
    return Objective(
        generator, seed, None, layout, parts, settings.offset, settings.sigma, settings.alpha, settings.outside_of(0.0),
        valley=kinked_valley, width=0.0,
    )  # fmt: skip


def frames_of(edit: Lattice, n: int) -> Tensor:
    """Return the offsets of n frames of a path whose first knot is the seed and no frame."""
    return edit.displacement(torch.linspace(1 / (len(edit.knots[0]) - 1), 1, n))


def race(generator: Generator, seed: Latents, mask: Mask, settings: ManifoldSettings, until: float | None) -> dict[str, Any]:
    """Run one procedure; return its objective against pictures and seconds, and where it first was below ``until``."""
    measure: Callable[[Tensor], Any] = exact(generator, seed, mask, settings)
    spent, curve = 0.0, []
    begun = time.perf_counter()

    def watch(now: dict[str, Any]) -> None:
        nonlocal spent
        paused = time.perf_counter()
        value = now["objective"] if settings.method == "paper" else measure(frames_of(now["edit"], settings.frames)).value
        spent += time.perf_counter() - paused
        curve.append((now["evaluations"], time.perf_counter() - begun - spent, value))
        if until is not None and value <= until:
            raise KeyboardInterrupt

    solution = discover_manifold(generator, seed, mask, settings, progress=watch)
    last = curve[-1]
    tail = [value for _, _, value in curve[len(curve) * 3 // 4 :]]
    return {
        "evaluations": last[0], "seconds": last[1], "end": last[2], "best": min(v for *_, v in curve),
        "late": (min(tail), max(tail)), "ratio": solution.stats["ratio"], "reached": until is None or last[2] <= until,
    }  # fmt: skip


def compare(name: str, mask_name: str, *, seed: int, frames: int, steps: int) -> dict[str, Any]:
    generator, mask = world(name), BOXES[mask_name]
    space = "w+" if "w+" in generator.spaces else generator.first_space
    latents = generator.convert(generator.sample([seed]), space)
    # c and sigma come from a glance of ours (one step), so that the task is neither trivial nor out of reach in any world. The
    # paper's springs measure codes, not our natural coordinates, so sigma is the spacing of the glance's codes.
    ours = ManifoldSettings(space=space, frames=frames, schedule="constant", ends="free")
    glance = discover_manifold(generator, latents, mask, replace(ours, steps=1))
    codes = frames_of(glance.value, frames).flatten(1)
    offset, sigma = glance.stats["offset"], float((codes[1:] - codes[:-1]).norm(dim=1).mean())
    task = {"space": space, "layers": None, "distance": "l2", "frames": frames, "offset": offset, "sigma": sigma}
    published = race(generator, latents, mask, paper_settings(**task, steps=steps), None)
    staged = paper_settings(**task, method="staged", coarse=True, tolerance=1e-4, steps=200)
    row: dict[str, Any] = {"world": name, "mask": mask_name, "frames": frames, "c": offset, "sigma": sigma}
    row["paper"] = published
    for goal in ("end", "best"):
        row[f"ours_to_{goal}"] = race(generator, latents, mask, staged, published[goal])
    row["ours"] = race(generator, latents, mask, staged, None)
    return row


def line(row: dict[str, Any]) -> str:
    paper, ours = row["paper"], row["ours"]
    parts = [f"{row['world']:9s} {row['mask']:6s} c {row['c']:.3f} sigma {row['sigma']:.2f}"]
    low, high = paper["late"]
    parts.append(
        f"paper ends {paper['end']:.4f} (late {low:.3f}-{high:.3f}, best {paper['best']:.4f}) after {paper['evaluations']}"
    )
    for goal in ("end", "best"):
        found = row[f"ours_to_{goal}"]
        fewer, faster = paper["evaluations"] / found["evaluations"], paper["seconds"] / found["seconds"]
        parts.append(
            f"ours to its {goal}: {found['evaluations']} ({fewer:.0f}x fewer, {faster:.0f}x faster)"
            if found["reached"]
            else "never"
        )
    parts.append(
        f"ours ends {ours['end']:.4f} after {ours['evaluations']}; outside/inside {paper['ratio']:.4f} -> {ours['ratio']:.4f}"
    )
    return "; ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", nargs="+", default=["analytic", "faces"])
    parser.add_argument("--masks", nargs="+", default=["mouth", "eyes"], choices=BOXES)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument(
        "--steps", type=int, default=400, help="evaluations per frame of the published procedure, which takes 4000"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    rows = []
    for name in given.worlds:
        for mask in given.masks:
            rows.append(compare(name, mask, seed=given.seed, frames=given.frames, steps=given.steps))
            print(line(rows[-1]), flush=True)
            if given.out:
                given.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
