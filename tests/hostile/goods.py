"""Good files, made by the commands themselves, that hostile ones are made of."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from hostile.uses import SHORT, SOON, TINY

from semanifold.app.cli import main

EDIT, PATHS, POOL = "edit/edit.safetensors", "paths/paths.safetensors", "pool/pool.safetensors"
FEW = ("--k", "2", "--dipoles", "2", "--init", "reference", "--save-every", "1")


def make_goods(folder: Path, *, training: bool = True) -> None:
    """Write an edit, a set, a pool, a measured traversal and a training of the bundled faces."""
    folder.mkdir(parents=True, exist_ok=True)
    for words in (
        ["discover", "--mask", "box:0.3,0.6,0.7,0.9", "--seed", "7", *SOON, *SHORT, "--out", f"{folder}/edit"],
        ["directions", "pca", "--k", "2", "--out", f"{folder}/paths"],
        ["sample", "--seeds", "0-1", "--out", f"{folder}/pool"],
        ["traverse", "faces", "--paths", "0", "1", "--seeds", "0", "1", "--steps", "1", "--no-films", "--out", f"{folder}/walk"],
        ["measure", f"{folder}/walk", "--attributes", "faces:smile,faces:yaw"],
        ["train", "--iterations", "2", *FEW, *TINY, "--out", f"{folder}/training"],
        ["convert", "faces", f"{folder}/faces.safetensors"],
    ):
        if Path(words[-1]).exists() or (words[0] == "train" and not training):
            continue
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = main(words)
        if code != 0:
            raise RuntimeError(f"semanifold {' '.join(words)}: {said.getvalue()}")
