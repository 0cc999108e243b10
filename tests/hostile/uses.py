"""Which commands take which files."""

from __future__ import annotations

from hostile.trials import GOOD, IN, OUT, Words

SHORT = ("--seconds", "0.1", "--fps", "20", "--size", "64")
"""A film that takes no time, should a file turn out to be good."""
TO = ("--out", OUT)
TINY = ("--batch", "2", "--test-draws", "4", "--log-every", "1", "--reconstructor", "lenet")
"""A training that takes no time."""
SOON = (
    *("--method", "paper", "--objective", "paper", "--offset", "0.05"),
    *("--sigma", "1", "--iterations", "1", "--frames", "3"),
)
"""A search that takes little."""


def generator(name: str) -> tuple[Words, ...]:
    """Commands that take a generator's weights."""
    file = f"{IN}/{name}"
    return (
        ("inspect", file),
        ("sample", "--generator", file, "--seeds", "0", *TO),
        ("convert", file, f"{OUT}.safetensors"),
        ("mask", "box:0,0,1,1", "--generator", file, *TO),
        ("discover", "--generator", file, "--mask", "box:0.3,0.3,0.7,0.7", *SOON, *SHORT, *TO),
        ("bench", "locality", "--generator", file, "--seeds", "0", "--mask", "nowhere", *TO),
    )


def codes(name: str) -> tuple[Words, ...]:
    """Commands that take latent codes."""
    file = f"{IN}/{name}"
    return (
        ("mask", "mouth", "--latents", file, *TO),
        ("discover", "--mask", "box:0.3,0.3,0.7,0.7", "--latents", file, *SOON, *SHORT, *TO),
        ("transfer", "faces:smile", "--latents", file, "--frames", "2", *SHORT, *TO),
        ("traverse", "faces", "--pool", file, "--paths", "0", "--steps", "1", "--no-films", *TO),
    )


def directions(name: str) -> tuple[Words, ...]:
    """Commands that take directions or sets of paths."""
    file = f"{IN}/{name}"
    return (
        ("traverse", file, "--generator", "faces", "--paths", "0", "--steps", "1", "--seeds", "0", "--no-films", *TO),
        ("render", file, "--path", "0", "--generator", "faces", "--seed", "0", "--frames", "2", *SHORT, *TO),
        ("transfer", file, "--path", "0", "--generator", "faces", "--seeds", "0", "--frames", "2", *SHORT, *TO),
        ("combine", f"{file}:0", "faces:smile", "--generator", "faces", "--seed", "0", "--frames", "2", *SHORT, *TO),
        ("play", f"{file}:0=0:0,0.1:1", "--generator", "faces", *SHORT, *TO),
        ("train", "--start-from", file, "--iterations", "1", *TINY, *TO),
    )


def arrays(name: str) -> tuple[Words, ...]:
    """Commands that take codes or directions."""
    return (*codes(name), *directions(name))


def edit(name: str) -> tuple[Words, ...]:
    """Commands that take an edit or the folder of one."""
    file = f"{IN}/{name}"
    return (
        ("inspect", file),
        ("render", file, "--frames", "2", *SHORT, *TO),
        ("render", file, "--even", "--trim", "--reverse", "--until", "2", "--frames", "2", *SHORT, *TO),
        ("transfer", file, "--seeds", "1", "--frames", "2", *SHORT, *TO),
        ("combine", file, "faces:smile", "--frames", "2", *SHORT, *TO),
        ("play", f"{file}=0:0,0.1:1", *SHORT, *TO),
    )


def run(name: str = "run") -> tuple[Words, ...]:
    """Commands that take a run folder."""
    folder = f"{IN}/{name}"
    return (
        *edit(name),
        ("rerun", folder, *TO),
        ("traverse", folder, "--paths", "0", "--steps", "1", "--seeds", "0", "--no-films", *TO),
        ("measure", folder, *TO),
        ("measure", folder, "--mask", "mouth", *TO),
        ("rank", folder, "--name", f"{OUT}.safetensors", *TO),
        ("train", "--start-from", folder, "--iterations", "3", *TINY, *TO),
        ("discover", "--mask", "mouth", "--out", folder),
        ("sample", "--seeds", "0", "--out", folder),
    )


def walk(name: str = "walk") -> tuple[Words, ...]:
    """Commands that take the folder of a traversal, or of its measurement."""
    folder = f"{IN}/{name}"
    return (
        ("inspect", folder),
        ("measure", folder, *TO),
        ("measure", folder, "--mask", "box:0,0,1,1", *TO),
        ("rank", folder, "--name", f"{OUT}.safetensors", *TO),
        ("rank", folder, "--no-gifs", *TO),
        ("rerun", folder, *TO),
    )


def mask(text: str) -> tuple[Words, ...]:
    """Commands that take a mask."""
    tiny = ("--generator", "analytic", "--space", "z")
    return (
        ("mask", text, *TO),
        ("discover", "--mask", text, *SOON, *SHORT, *TO),
        ("directions", "local", "--mask", text, "--k", "1", *tiny, *TO),
        ("render", "faces:smile", "--seed", "0", "--mask", text, "--frames", "2", *SHORT, *TO),
        ("measure", f"{GOOD}/walk", "--mask", text, *TO),
        ("train", "--mask", text, "--iterations", "1", "--kind", "ortho", "--k", "2", *TINY, *TO),
    )
