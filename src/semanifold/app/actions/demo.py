"""What ``semanifold demo`` does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from semanifold.app.actions.discover import discover
from semanifold.app.actions.edits import combine_edits, render_edit
from semanifold.app.actions.results import MP4, STRIP
from semanifold.app.answers import Answer, Caller, typed
from semanifold.app.commands.base import EditModel, Model, Output, PictureOptions, StartOptions
from semanifold.app.commands.demo import Demo
from semanifold.app.commands.discover import Discover, Search
from semanifold.app.commands.edits import Combine, Render

MASK, PATH = "mouth", Path("faces:yaw")
FRAMES = 12
"""Frames of the search, half of the usual number; the film has as many as always."""


def demo(command: Demo, caller: Caller) -> Answer:
    """Find a movement of the mouth, take a ready path, play both at once, and say what to open."""
    mouth, ready, both = (command.out / name for name in ("mouth", "yaw", "both"))
    output = Output(out=mouth, overwrite=command.overwrite)
    picture = PictureOptions(seed=command.seed)
    bundled = Model(device=command.device)
    model = EditModel(generator=bundled.generator, device=command.device)
    start = StartOptions(seed=command.seed)
    search = Discover(mask=MASK, model=bundled, start=start, search=Search(frames=FRAMES), output=output)
    turn = Render(edit=PATH, picture=picture, model=model, output=replace(output, out=ready))
    together = Combine(edits=(mouth, PATH), picture=picture, model=model, output=replace(output, out=both))
    steps: list[tuple[str, Callable[[], Answer]]] = [
        ("1/3  Search: what can this mouth do while everything else stays the same?", lambda: discover(search, caller)),
        ("2/3  A path that comes with the generator: the head turns.", lambda: render_edit(turn, caller)),
        ("3/3  Both at once.", lambda: combine_edits(together, caller)),
    ]
    parts: list[Answer] = []
    for title, step in steps:
        caller.hear(Answer(said=(f"--- {title}",)))
        parts.append(step())
        caller.hear(replace(parts[-1], files=(), next=()))  # at the end all is said at once
        if parts[-1].interrupted:
            return Answer(interrupted=True, parts=tuple(parts))
    files = tuple(folder / file for folder in (mouth, ready, both) for file in (MP4, STRIP))
    then = typed("discover", "--mask", "eyes", "--seed", 7)
    return Answer(folder=command.out, said=("--- Done.",), files=files, next=then, parts=tuple(parts))
