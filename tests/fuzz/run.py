"""Fuzzes readers, a while each.

    python tests/fuzz/run.py                      every target for FUZZ_SECONDS (60)
    python tests/fuzz/run.py masks words          these
    python tests/fuzz/run.py --seconds 600 pickles
    python tests/fuzz/run.py --again out/fuzz/masks-1.repr

Good files come from ``tests/data/corpus``; an input that fails, made as small as it goes, is written to ``out/fuzz``.
"""

from __future__ import annotations

import argparse
import ast
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fuzz.targets import TARGETS, attempt

BATCH = 200
"""Inputs between two looks at the clock."""


def fuzz(name: str, seconds: float, out: Path) -> tuple[int, str]:
    """Fuzz one reader.

    Returns:
        How many inputs were tried, and the end of the traceback of the one that failed, if any.
    """
    target, last = TARGETS[name], [None]
    tried, end, number = 0, time.monotonic() + seconds, 0

    def check(data: Any) -> None:
        nonlocal tried
        tried += 1
        last[0] = data
        attempt(target, data)

    while time.monotonic() < end:
        number += 1
        plain = settings(
            max_examples=BATCH, deadline=None, database=None, suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink), print_blob=False,
        )  # fmt: skip
        try:
            seed(number)(plain(given(target.given)(check)))()
        except Exception:
            out.mkdir(parents=True, exist_ok=True)
            (out / f"{name}-{number}.repr").write_text(repr(last[0]))
            return tried, traceback.format_exc()[-3000:]
    return tried, ""


def main() -> int:
    """Fuzz the readers that were asked for, and say how many inputs were tried."""
    parser = argparse.ArgumentParser(description="Fuzz the readers, a while each.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"all if left out: {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("FUZZ_SECONDS", "60")))
    parser.add_argument("--out", type=Path, default=Path("out/fuzz"))
    parser.add_argument("--again", type=Path, help="try one input that was written here once more")
    asked = parser.parse_args()
    if asked.again:
        attempt(TARGETS[asked.again.stem.rpartition("-")[0]], ast.literal_eval(asked.again.read_text()))
        return 0
    failed = []
    for name in asked.targets or TARGETS:
        tried, words = fuzz(name, asked.seconds, asked.out)
        print(f"{name:<13} {tried:>7} inputs  {'FAILED' if words else 'held'}", flush=True)
        if words:
            failed.append(name)
            print(words, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
