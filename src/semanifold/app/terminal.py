"""What commands say: results on stdout, progress and remarks on stderr, or everything as one JSON object.

How it is said (:func:`speaking`) is chosen by the command line for the whole process; nothing else depends on it.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from semanifold.core.errors import shown
from semanifold.core.progress import ProgressBar

LONGEST_LINE = 20_000


@dataclass
class Speech:
    """What has been said by one command, and how.

    Attributes:
        quiet: leave out progress, remarks and hints.
        as_json: print nothing but one JSON object at the end.
        muted: leave out files and hints for now.
        said: sentences.
        files: what to open.
        next: commands to type next.
        facts: numbers and texts for programs.
    """

    quiet: bool = False
    as_json: bool = False
    muted: bool = False
    said: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    next: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


_speech = Speech()


@contextmanager
def speaking(*, quiet: bool = False, as_json: bool = False) -> Iterator[Speech]:
    """Say things in a certain way inside of this context, and print the JSON object at its end if there is one."""
    global _speech
    before, _speech = _speech, Speech(quiet, as_json)
    try:
        yield _speech
    finally:
        spoken, _speech = _speech, before
        if as_json:
            held = {key: getattr(spoken, key) for key in ("said", "remarks", "files", "next")}
            print(json.dumps(spoken.facts | held, indent=2, default=str), flush=True)


@contextmanager
def muted() -> Iterator[None]:
    """Leave out what to open and to type next inside of this context: the command goes on, and says it at its end."""
    before, _speech.muted = _speech.muted, True
    try:
        yield
    finally:
        _speech.muted = before


def harmless(text: str) -> str:
    """Return lines that cannot steer a terminal, whatever file their words come from."""
    return "\n".join(shown(line, LONGEST_LINE) for line in text.split("\n"))


def say(text: str) -> None:
    """Print a sentence of the result."""
    _speech.said.append(text)
    if not _speech.as_json:
        print(harmless(text), flush=True)


def remark(text: str) -> None:
    """Print a line that is not the result, on stderr."""
    _speech.remarks.append(text)
    if not (_speech.quiet or _speech.as_json):
        aside(harmless(text))


def aside(line: str) -> None:
    """Print a line on stderr; one that is closed or full ends no work."""
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115  (what is in its buffer would fail once more at the end)


def show(*paths: Path) -> None:
    """Say what to open."""
    if _speech.muted:
        return
    _speech.files += [str(path) for path in paths]
    if not _speech.as_json:
        print(harmless("Open: " + "\n      ".join(str(path) for path in paths)), flush=True)


def hint(*words: object) -> None:
    """Say which command to type next: its words, quoted as a shell needs them."""
    command = shlex.join(["semanifold", *map(str, words)])
    if _speech.muted:
        return
    _speech.next.append(command)
    if not (_speech.quiet or _speech.as_json):
        print(harmless(f"Next: {command}"), flush=True)


def facts(**values: Any) -> None:
    """Keep numbers and texts of the result for ``--json``."""
    _speech.facts.update(values)


def progress_line(title: str) -> ProgressBar:
    """Return a progress callback that speaks as the command does: a bar on a terminal, else a line per tenth of the way."""
    silent = _speech.quiet or _speech.as_json
    return ProgressBar(title, visible=False if silent else None, lines=None if silent else remark)
