"""Hostile inputs of all kinds, each tried through every command that takes it.

    python benchmarks/hostile_files.py --out out/hostile

An input holds if every command ends with 0, or with 2 and one sentence on stderr, prints nothing that steers a terminal, runs
nothing, changes nothing, leaves nothing behind, and takes at most 10 s of processor time and 1 GB of memory. Prints the table,
and writes ``hostile.json`` and ``hostile.md`` into the output folder; what did not hold is listed with its command.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from hostile import files_of_arrays, files_of_ours, files_pickled, folders, label_maps, masks_and_words, numbers  # noqa: E402  (behind the path)
from hostile.goods import make_goods  # noqa: E402  (behind the path)
from hostile.trials import Hostile, Outcome, Words, try_all, warm_up  # noqa: E402  (behind the path)
from support import sketches  # noqa: E402  (behind the path)

from semanifold.images import films, plots  # noqa: E402  (behind the path)


@dataclass
class Row:
    """What was found of one kind."""

    inputs: int = 0
    held: int = 0
    trials: int = 0
    seconds: float = 0.0
    megabytes: float = 0.0
    slowest: str = ""
    largest: str = ""
    failures: list[dict] = field(default_factory=list)

    def count(self, hostile: Hostile, outcomes: list[Outcome]) -> None:
        """Add one input."""
        self.inputs += 1
        self.held += not any(outcome.faults for outcome in outcomes)
        self.trials += len(outcomes)
        for outcome in outcomes:
            where = f"{hostile.name}: {' '.join(outcome.words)[:120]}"
            if outcome.seconds > self.seconds:
                self.seconds, self.slowest = outcome.seconds, where
            if outcome.bytes / 2**20 > self.megabytes:
                self.megabytes, self.largest = outcome.bytes / 2**20, where
            if outcome.faults:
                words = " ".join(outcome.words)[:200]
                self.failures.append(
                    {"input": hostile.name, "command": words, "faults": outcome.faults, "end": outcome.stderr[-600:]}
                )


def everything(good: Path) -> list[Hostile]:
    """Return all hostile inputs, in their order."""
    return [
        *files_pickled.inputs(),
        *files_of_arrays.inputs(),
        *files_of_ours.inputs(good),
        *folders.inputs(good),
        *masks_and_words.inputs(),
        *numbers.inputs(),
        *label_maps.inputs(),
    ]


def in_turn(uses: tuple[Words, ...], first: int, most: int | None) -> tuple[Words, ...]:
    """Return so many of the commands, others for every input."""
    return tuple(uses[(first + i) % len(uses)] for i in range(min(most or len(uses), len(uses))))


def fewer(inputs: list[Hostile], most: int) -> list[tuple[Hostile, tuple[Words, ...]]]:
    """Return so many inputs, of all kinds alike, with one command each, which take their turns."""
    kinds: dict[str, list[Hostile]] = defaultdict(list)
    for hostile in inputs:
        kinds[hostile.kind].append(hostile)
    chosen: list[Hostile] = []
    share = most / len(inputs)
    for group in kinds.values():
        count = max(2, round(share * len(group)))
        chosen += [group[i * len(group) // count] for i in range(min(count, len(group)))]
    return [
        (hostile, in_turn(tuple(words for words in hostile.uses if words[0] != "train"), i, 1))
        for i, hostile in enumerate(chosen)
    ]


def table(rows: dict[str, Row]) -> str:
    """Return the rows as Markdown."""
    lines = ["| kind | inputs | held | commands run | most time, s | most memory, MB |", "|---|---|---|---|---|---|"]
    for kind, row in rows.items():
        lines.append(f"| {kind} | {row.inputs} | {row.held} | {row.trials} | {row.seconds:.1f} | {row.megabytes:.0f} |")
    every = list(rows.values())
    sums = [sum(getattr(row, name) for row in every) for name in ("inputs", "held", "trials")]
    worst = max(row.seconds for row in every), max(row.megabytes for row in every)
    lines.append(f"| all | {sums[0]} | {sums[1]} | {sums[2]} | {worst[0]:.1f} | {worst[1]:.0f} |")
    return "\n".join(lines) + "\n"


def write(rows: dict[str, Row], out: Path) -> None:
    """Write what has been found so far."""
    (out / "hostile.json").write_text(json.dumps({kind: asdict(row) for kind, row in rows.items()}, indent=1))
    (out / "hostile.md").write_text(table(rows))


def main() -> None:
    """Try everything and write what was found."""
    parser = argparse.ArgumentParser(description="Hostile inputs, each tried through every command that takes it.")
    parser.add_argument("--out", type=Path, default=Path("out/hostile"))
    parser.add_argument("--most", type=int, help="so many inputs, with one command each")
    parser.add_argument("--commands", type=int, help="so many commands for each input, which take their turns; all if left out")
    parser.add_argument("--kind", nargs="*", help="these kinds only")
    parser.add_argument("--name", help="inputs whose name holds this only")
    given = parser.parse_args()
    out = given.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    if given.most is not None:  # as in other tests: what films and figures look like proves nothing
        films.VIEWABLE, plots.FINE = 64, {"dpi": 20}
        plots._heat_pictures, plots._path_figure = sketches.heat, sketches.path
    warm_up(training=given.most is None)
    make_goods(out / "good", training=given.most is None)
    inputs = [
        hostile
        for hostile in everything(out / "good")
        if (not given.kind or hostile.kind in given.kind) and (given.name or "") in hostile.name
        if given.most is None or (hostile.kind != "training" and hostile.uses[0][0] != "train")  # slow to prepare
    ]
    chosen = (
        fewer(inputs, given.most)
        if given.most
        else [(h, in_turn(h.uses, i * (given.commands or 0), given.commands)) for i, h in enumerate(inputs)]
    )
    rows: dict[str, Row] = defaultdict(Row)
    with (out / "failures.txt").open("w") as failures:
        for hostile, uses in chosen:
            outcomes = list(try_all(hostile, out / "trial", out / "good", uses))
            rows[hostile.kind].count(hostile, outcomes)
            for outcome in outcomes:
                if outcome.faults:
                    words = " ".join(outcome.words)[:160]
                    text = f"{hostile.kind} | {hostile.name} | {words!a}\n  {outcome.faults}\n  {outcome.stderr[-900:]!a}\n"
                    failures.write(text)
                    failures.flush()
            write(rows, out)
    print(table(rows))
    print(f"{time.monotonic() - start:.0f} s")
    sys.exit(any(row.failures for row in rows.values()))


if __name__ == "__main__":
    main()
