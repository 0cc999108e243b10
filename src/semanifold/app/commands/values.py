"""How the values of options are typed, and shown as they are typed: seeds, layers, springs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from semanifold.core.errors import shown
from semanifold.storage.files import is_file, is_folder
from semanifold.storage.input_files import input_files

MOST_SEEDS = 10_000
SEED = r"(-?\d{1,25})(?:-(\d{1,25}))?"
"""A seed, or the first and the last of several."""
MOST_BITS = 2**63
"""Records hold whole numbers below this."""


def seed_numbers(words: Sequence[str]) -> tuple[int, ...]:
    """Return the numbers of ``["0-3", "8,9"]``."""
    parts = [part for word in words for part in word.split(",")]
    matches = [re.fullmatch(SEED, part) for part in parts]
    if not all(matches):
        wrong = next(part for part, match in zip(parts, matches) if not match)
        raise ValueError(f"seeds are numbers and ranges, such as 7 or 0-15, but got {shown(wrong, 30)!r}")
    if back := next((part for part, f in zip(parts, matches) if f and f[2] and int(f[2]) < int(f[1])), None):
        raise ValueError(f"a range of seeds begins with the smaller number, but got {shown(back, 30)!r}")
    ranges = [range(int(f[1]), int(f[2] or f[1]) + 1) for f in matches if f]
    if any(abs(end) >= MOST_BITS for r in ranges for end in (r.start, r.stop)):
        raise ValueError(f"seeds are whole numbers of 64 bits, but got {shown(' '.join(words), 60)!r}")
    if sum(len(r) if r.stop - r.start <= MOST_SEEDS else MOST_SEEDS + 1 for r in ranges) > MOST_SEEDS:
        raise ValueError(f"at most {MOST_SEEDS} seeds fit into one run, but got {shown(' '.join(words), 60)!r}")
    return tuple(seed for numbers in ranges for seed in numbers)


def inputs_for_seeds(words: Sequence[str]) -> list[str]:
    """Return words in which a file or folder after ``--seed(s)`` has become ``--inputs`` and the numbers of its files.

    Raises:
        SemanifoldError: if the folder holds no picture.
    """
    end = words.index("--") if "--" in words else len(words)
    typed: list[str] = []
    rest = iter(words[:end])
    for word in rest:
        option, equals, value = word.partition("=")
        value = value if equals else next(rest, None) if option in ("--seed", "--seeds") else None
        if (
            option not in ("--seed", "--seeds")
            or not value  # no text is no name of the folder that one is in
            or re.fullmatch(SEED, value)
            or not (is_file(value) or is_folder(value))
        ):
            typed += [word] if equals or value is None else [word, value]
            continue
        files, _ = input_files(Path(value))
        numbers = numbers_text(tuple(range(len(files)))) if option == "--seeds" else "0"
        typed += ["--inputs", value, option, numbers]
    return [*typed, *words[end:]]


def numbers_text(numbers: tuple[int, ...]) -> str:
    """Return seeds as a person types them: the way back of :func:`seed_numbers`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1 and number > 0:
            runs[-1].append(number)
        else:
            runs.append([number])
    return " ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def layer_range(words: list[str]) -> tuple[int, int]:
    """Return ``(first, last + 1)`` of ``"2-7"``, or of ``"3"`` for one layer."""
    match = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", words[0])
    if not match:
        raise ValueError(f"layers are given as first-last, such as 2-7, but got {shown(words[0], 30)!r}")
    return int(match[1]), int(match[2] or match[1]) + 1


def layers_text(layers: tuple[int, int]) -> str:
    """Return layers as a person types them."""
    return f"{layers[0]}-{layers[1] - 1}"


def spring_weights(words: list[str]) -> Mapping[int, float]:
    """Return the weights by order of ``"1:0.3,2:0.1"``."""
    try:
        return {int(order): float(weight) for order, weight in (pair.split(":") for pair in words[0].split(","))}
    except ValueError:
        raise ValueError(f"springs are given as order:weight, such as 1:0.3,2:0.1, but got {shown(words[0], 30)!r}") from None


def springs_text(springs: Mapping[int, float]) -> str:
    """Return springs as a person types them."""
    return ",".join(f"{order}:{weight:g}" for order, weight in springs.items())
