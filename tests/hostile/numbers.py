"""Numbers at the edge of what makes sense, for every option that takes one."""

from __future__ import annotations

from collections.abc import Iterator

from hostile.trials import GOOD, Hostile, Words
from hostile.uses import SHORT, SOON, TINY, TO

EDGES = ("0", "-1", "1e308", "1e-308", "nan", "inf", "10000000000000000000", "0.3", "999999", "", "1_0", "0x10")
FEW_FRAMES = ("--frames", "2", *SHORT)
FILM = ("seconds", "fps", "loops", "size")
OPTIONS: tuple[tuple[Words, tuple[str, ...]], ...] = (
    (("sample", "--seeds", "0", *TO), ("seeds", "truncation", "cutoff", "mix", "draw-seed", "class")),
    (("sample", "--seeds", "0", "--mix", "1", *TO), ("mix-layers",)),
    (("mask", "mouth", *TO), ("seed", "truncation", "class")),
    (
        ("discover", "--mask", "box:0.3,0.6,0.7,0.9", *SOON, *SHORT, *TO),
        (
            *("seed", "directions", "offset", "strength", "sigma", "springs", "alpha", "outside", "independence", "damping"),
            *("tolerance", "batch", "draw-seed", "frames", "dims", "layers", "truncation", "class", *FILM),
        ),
    ),
    (("discover", "--mask", "box:0.3,0.6,0.7,0.9", "--frames", "5", *SHORT, *TO), ("iterations",)),
    (("transfer", f"{GOOD}/edit", "--seeds", "1", *FEW_FRAMES, *TO), ("seeds", "truncation", "class", "frames", *FILM)),
    (("transfer", "faces:smile", "--seeds", "1", *FEW_FRAMES, *TO), ("path", "layers")),
    (("combine", f"{GOOD}/edit", "faces:smile", *FEW_FRAMES, *TO), ("seed", "class", "frames", *FILM)),
    (("combine", f"{GOOD}/edit", "faces:smile", "--pad", *FEW_FRAMES, *TO), ("frames", "size", "seconds")),
    (("render", "faces:smile", "--seed", "0", *FEW_FRAMES, *TO), ("seed", "class", "frames", "until", "path", *FILM)),
    (("render", f"{GOOD}/edit", *FEW_FRAMES, *TO), ("until", "frames")),
    (("play", "smile=0:0,0.1:1", *SHORT, *TO), ("seed", "class", *FILM)),
    (("directions", "pca", "--k", "2", *TO), ("k", "layers", "seed", "truncation", "class")),
    (("directions", "sefa", "--k", "2", *TO), ("k", "layers")),
    (("directions", "local", "--mask", "mouth", "--generator", "analytic", "--k", "2", *TO), ("k", "layers")),
    (
        ("train", "--iterations", "1", *TINY, "--k", "2", "--dipoles", "2", "--init", "reference", *TO),
        (
            *("k", "dipoles", "layers", "gamma", "step", "steps", "batch", "accumulate", "min-magnitude", "max-magnitude"),
            *("reconstructor-size", "paths-lr", "reconstructor-lr", "decay", "lambda-cls", "lambda-reg", "truncation"),
            *("z-truncation", "classes", "log-every", "save-every", "pictures-every", "draw-seed"),
        ),
    ),
    (
        ("traverse", "faces", "--paths", "0", "--steps", "1", "--seeds", "0", *SHORT, *TO),
        ("paths", "steps", "step", "leap", "jpeg", "batch", "seeds", "truncation", "class", "layers", *FILM),
    ),
    (("measure", f"{GOOD}/walk", "--attributes", "faces:smile", *TO), ("batch",)),
    (("rank", f"{GOOD}/walk", "--no-gifs", *TO), ("top", "least-pearson", "least-lead", "inside")),
)  # fmt: skip
"""Commands that take little, and their options that take numbers."""
LONG = {("train", "batch", "999999"), ("train", "iterations", "999999"), ("discover", "iterations", "999999")}
"""Asked for, and therefore done: for hours."""


def with_value(words: Words, option: str, value: str) -> Words:
    """Return a command with another value of an option."""
    kept: list[str] = []
    skipping = False
    for word in words:
        skipping = word == f"--{option}" or (skipping and not word.startswith("--"))
        if not skipping:
            kept.append(word)
    return (*kept, f"--{option}={'1:' if option == 'springs' else ''}{value}")


def inputs() -> Iterator[Hostile]:
    """Yield one input per option and value."""
    for words, options in OPTIONS:
        for option in options:
            for value in EDGES:
                if (words[0], option, value) not in LONG:
                    name = f"{words[0]} --{option}={value}"
                    yield Hostile("number", name, lambda folder, good: None, (with_value(words, option, value),))
