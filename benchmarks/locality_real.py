"""The locality benchmark on real pretrained face generators, without truth.

    python benchmarks/locality_real.py --generator celeba32 --seeds 8

The weights lie beside the checkout (see tests/support/real_generators.py). Prints the table and writes ``locality.json``,
``locality.md`` and ``locality.png`` into the output folder; a run that was cut short goes on. Masks are fixed shapes, since
these faces are aligned.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from semanifold.generators.base import Generator
from semanifold.images.masks import Mask, box, ellipse
from semanifold.locality.benchmark import LocalitySettings, run_benchmark
from semanifold.locality.methods import METHODS
from semanifold.locality.worlds import World, world_of
from semanifold.storage.files import write_text
from semanifold.storage.records import write_json

ROOT = Path(__file__).resolve().parents[1]

MASKS: dict[str, dict[str, Mask]] = {
    "celeba32": {"mouth": ellipse(0.5, 0.77, 0.2, 0.11), "eyes": box(0.22, 0.38, 0.78, 0.56), "hair": box(0, 0, 1, 0.2)},
    "celeba64": {"mouth": ellipse(0.5, 0.67, 0.14, 0.08), "eyes": box(0.3, 0.44, 0.7, 0.56), "hair": box(0.2, 0.08, 0.8, 0.34)},
}
"""Where the parts of the aligned faces lie, in fractions of the picture."""


def real_generator(name: str) -> Generator:
    """Build one of the generators of tests/support/real_generators.py."""
    sys.path.insert(0, str(ROOT / "tests"))
    from support import real_generators  # noqa: PLC0415  (beside the tests; the files may be absent)

    if not real_generators.available():
        raise SystemExit(f"There are no real models at {real_generators.FOLDER}; SEMANIFOLD_REAL names the folder above.")
    return real_generators.REAL[name]()


def world(name: str, layer: str | None) -> World:
    masks = MASKS[name] | {f"~{key}": ~mask for key, mask in MASKS[name].items()}
    return replace(world_of(real_generator(name), (), layer), masks=masks)


def main() -> None:
    parser = argparse.ArgumentParser(description="The locality benchmark on real pretrained face generators.")
    parser.add_argument("--generator", choices=sorted(MASKS), default="celeba32")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--masks", nargs="+", default=["mouth", "eyes", "hair", "~eyes"])
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--layer", help="whose weights move; the convolution in the middle if left out")
    parser.add_argument("--out", type=Path, default=None)
    arguments = parser.parse_args()
    out = arguments.out or Path("out") / f"locality-{arguments.generator}"
    settings = LocalitySettings(
        generator=arguments.generator,
        masks=tuple(arguments.masks),
        seeds=arguments.seeds,
        methods=tuple(arguments.methods),
        layer=arguments.layer,
        out=out,
    )
    with tqdm(total=0, unit="edit") as bar:

        def progress(now: dict[str, Any]) -> None:
            bar.total, bar.n = now["steps"], now["step"]
            bar.set_description(f"{now['mask']} {now['method']} seed {now['seed']}")

        report = run_benchmark(world(arguments.generator, arguments.layer), settings, METHODS, progress)
    write_text(out / "locality.md", report.markdown())
    write_json(out / "locality.json", report.numbers())
    report.figure(out / "locality.png")
    print(report.markdown())


if __name__ == "__main__":
    main()
