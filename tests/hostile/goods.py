"""Good files, made by the commands themselves, that hostile ones are made of."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from semanifold.cli import main

EDIT, PATHS, POOL = "edit/edit.safetensors", "paths/paths.safetensors", "pool/pool.safetensors"
FILM = ("--seconds", "0.1", "--fps", "20", "--size", "64")
TINY = [
    "--k",
    "2",
    "--dipoles",
    "2",
    "--batch",
    "2",
    "--init",
    "reference",
    "--test-draws",
    "4",
    "--log-every",
    "1",
    "--save-every",
    "1",
]


def make_goods(folder: Path) -> None:
    """Write an edit, a set, a pool, a measured traversal and a training of the bundled faces."""
    folder.mkdir(parents=True, exist_ok=True)
    for words in (
        ["discover", "--mask", "mouth", "--seed", "7", "--iterations", "2", "--frames", "3", *FILM, "--out", f"{folder}/edit"],
        ["directions", "pca", "--k", "2", "--out", f"{folder}/paths"],
        ["sample", "--seeds", "0-1", "--out", f"{folder}/pool"],
        ["traverse", "faces", "--paths", "0", "1", "--seeds", "0", "1", "--steps", "1", "--no-films", "--out", f"{folder}/walk"],
        ["measure", f"{folder}/walk", "--attributes", "faces:smile,faces:yaw"],
        ["train", "--iterations", "2", *TINY, "--out", f"{folder}/training"],
        ["convert", "faces", f"{folder}/faces.safetensors"],
    ):
        if (folder / words[-1]).exists():
            continue
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = main(words)
        if code != 0:
            raise RuntimeError(f"semanifold {' '.join(words)}: {said.getvalue()}")
