"""Two versions of semanifold at the same small work, in turns: are results the same, and which is faster and takes less memory?

    OMP_NUM_THREADS=1 python benchmarks/before_after.py ../before . --pairs 5 --only measured-weights

Each version is a process of its own, which imports the ``src`` and ``benchmarks`` of its checkout. Both do a piece of work
(``before_after.toml``) once, to compare all numbers that come of it, and then in turns. The table says whether they are the same
bit for bit, else which differ by how much of their largest value; and the median and range of after / before in seconds of the
processor (with children), in seconds of wall time, and in peak memory (Linux). ``SEMANIFOLD_REAL`` names the real models.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import resource
import runpy
import shlex
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image
from safetensors.numpy import load_file

CASES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())["case"]
UNTIMED = re.compile(r"second|wall|_s$|date|version|memory|megabytes|slowest|largest|peak|folder")
READERS: dict[str, Any] = {
    ".safetensors": load_file,
    ".png": lambda path: np.asarray(Image.open(path)),
    ".json": lambda path: json.loads(path.read_text()) if path.name not in ("run.json", "args.json") else {},
}


def spent() -> list[float]:
    """Return seconds of the processor, of children too, of wall time, and the peak of memory in MB."""
    parts = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return [sum(part.ru_utime + part.ru_stime for part in parts), time.perf_counter(), parts[0].ru_maxrss / 1024]


def run(words: str) -> None:
    """Run a command of semanifold in this process."""
    sys.argv = ["semanifold", *shlex.split(words)]
    try:
        runpy.run_module("semanifold", run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise RuntimeError(f"{words}: {end.code}") from end


def script(name: str, words: str, **constants: Any) -> str:
    """Run ``main`` of a script of benchmarks with other constants, and return what it prints."""
    module = __import__(name)
    vars(module).update(constants)
    sys.argv = [name, *shlex.split(words)]
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
        module.main()
    return printed.getvalue()


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """Return the arrays and texts of nested results by their places, without those that say how long it took."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else None
    if parts is None:
        array = np.asarray(getattr(value, "detach", lambda: value)())
        return {name: np.asarray(str(value)) if array.dtype == object else array}
    kept = [flat(part, f"{name}/{key}") for key, part in parts if not UNTIMED.search(str(key))]
    return {place: array for each in kept for place, array in each.items()}


def worker(folder: Path) -> None:
    """Do the cases whose numbers come in, each in a folder of its own; print times, and write results where it is asked."""
    sys.path[:0] = [str(folder / "benchmarks"), str(folder / "tests")]
    answers, sys.stdout = sys.stdout, io.StringIO()
    prepared: dict[str, dict[str, Any]] = {}
    for number, place in map(str.split, sys.stdin):
        with tempfile.TemporaryDirectory() as out, contextlib.chdir(out):
            try:
                if number not in prepared:
                    prepared[number] = {"run": run, "script": script, "folder": folder}
                    exec(CASES[int(number)].get("prepare", ""), prepared[number])
                Path("/proc/self/clear_refs").write_text("5")  # the peak of memory begins anew
                start = spent()
                exec(CASES[int(number)]["time"], names := prepared[number])
                took: Any = [end - begin for begin, end in zip([*start[:2], 0], spent(), strict=True)]
                if place != "-":
                    files = [path for path in sorted(Path().rglob("*")) if path.suffix in READERS and path.is_file()]
                    np.savez(place, **flat(names.get("result", {str(path): READERS[path.suffix](path) for path in files})))
            except Exception as error:
                took = f"{type(error).__name__}: {error}"
        print(json.dumps(took), file=answers, flush=True)


def compared(places: list[str]) -> str:
    """Say whether two files of results hold the same."""
    one, two = (np.load(place) for place in places)
    words = [f"{name}: of one only" for name in sorted(set(one) ^ set(two))]
    for name in sorted(set(one) & set(two)):
        a, b = one[name], two[name]
        if a.shape != b.shape or a.dtype.kind not in "fiub":
            words += [] if np.array_equal(a, b) else [f"{name}: {a} and {b}" if a.size == 1 else f"{name}: other shape"]
        elif not np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
            words.append(f"{name}: {np.abs(a.astype(float) - b).max() / np.abs(a.astype(float)).max():.0e}")
    return f"{len(words)} of {len(one)} differ: " + "; ".join(words[:4]) if words else "same"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=lambda word: Path(word).resolve(), nargs="+", help="two checkouts")
    parser.add_argument("--pairs", type=int, default=3, help="how often each is timed")
    parser.add_argument("--only", default="", help="cases whose page and words fit this regular expression")
    given = parser.parse_args()
    if len(folders := given.folders) == 1:
        sys.exit(worker(folders[0]))
    places = [os.environ | {"PYTHONPATH": str(folder / "src"), "TQDM_DISABLE": "1"} for folder in folders]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    workers = [subprocess.Popen([sys.executable, __file__, str(f)], env=e, **pipes) for f, e in zip(folders, places, strict=True)]

    def asked(process: Any, number: int, place: str = "-") -> Any:
        print(number, place, file=process.stdin, flush=True)
        return json.loads(process.stdout.readline())

    print("| page | work | results | s before | processor, after / before | wall | memory |\n|---|---|---|---:|---|---|---|")
    chosen = [i for i, case in enumerate(CASES) if re.search(given.only, f"{case['page']} {case['work']}")]
    for number, case in ((i, CASES[i]) for i in chosen):
        with tempfile.TemporaryDirectory() as folder:
            files = [f"{folder}/{which}.npz" for which in range(2)]
            faults = [took for pair in zip(workers, files) if isinstance(took := asked(pair[0], number, pair[1]), str)]
            cells = [case["page"], case["work"], "; ".join(faults) or compared(files)]
        count = 0 if faults else min(given.pairs, case.get("pairs", given.pairs))
        pairs = [[asked(process, number) for process in workers] for _ in range(count)]
        if pairs:
            cells.append(f"{median(pair[0][0] for pair in pairs):.1f}")
            for ratios in ([after[i] / before[i] for before, after in pairs] for i in range(3)):
                cells.append(f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
        print(f"| {' | '.join([*cells, *['–'] * (7 - len(cells))])} |", flush=True)


if __name__ == "__main__":
    main()
