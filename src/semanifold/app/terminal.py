"""How the command line says an answer: results on stdout, progress and remarks on stderr, or everything as one JSON object."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from semanifold.app.answers import Answer, Caller
from semanifold.app.process import one_interrupt, threads_left
from semanifold.core.errors import shown
from semanifold.core.plain import JsonObject
from semanifold.core.progress import ProgressBar

LONGEST_LINE = 20_000
ARGUMENTS = (
    *("adapt", "all_faces", "attributes", "batch", "crop", "direction", "encoder", "face", "flip", "force"),
    *("generator", "gifs", "inputs", "inversion", "iterations", "k", "label", "lambda_pure", "latents_space"),
    *("layer", "layers", "layout", "mask", "method", "mix", "mix_layers", "name", "noise", "objective", "out"),
    *("overwrite", "pairs_per_code", "pictures", "pool", "reconstructor", "reconstructor_size", "seed", "seeds"),
    *("space", "strength", "truncation", "z_truncation"),
)
"""What messages of the actions and of the rooms below name as Python does, such as ``space="w"``, and the command line as
``--space w``."""
CALLED = {"label": "class"}
"""Those whose option has another name."""


@dataclass
class Speech:
    """What has been said by one command, and how.

    Attributes:
        quiet: leave out progress, remarks and hints.
        as_json: print nothing but one JSON object at the end.
        said: sentences.
        remarks: sentences that are not the result.
        files: what to open.
        next: commands to type next.
        facts: numbers and texts for programs.
    """

    quiet: bool = False
    as_json: bool = False
    said: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    next: list[str] = field(default_factory=list)
    facts: JsonObject = field(default_factory=dict)

    def tell(self, answer: Answer) -> None:
        """Say an answer, without the parts of it that were told before."""
        self.facts.update(answer.facts)
        said = [as_options(sentence) for sentence in answer.said]
        self.said += said
        files, hint = list(map(str, answer.files)), shlex.join(["semanifold", *answer.next]) if answer.next else ""
        self.files += files
        self.next += [hint] if hint else []
        if self.as_json:
            return
        for sentence in said:
            print(harmless(sentence), flush=True)
        if files:
            print(harmless("Open: " + "\n      ".join(files)), flush=True)
        if hint and not self.quiet:
            print(harmless(f"Next: {hint}"), flush=True)

    def remark(self, text: str) -> None:
        """Print a line that is not the result, on stderr."""
        text = as_options(text)
        self.remarks.append(text)
        if not (self.quiet or self.as_json):
            aside(harmless(text))

    def progress_line(self, title: str, shares: Sequence[float] = ()) -> ProgressBar:
        """Return a progress callback: a bar on a terminal, else a line per tenth of the way."""
        silent = self.quiet or self.as_json
        return ProgressBar(title, visible=False if silent else None, lines=None if silent else self.remark, shares=shares)


@contextmanager
def speaking(*, quiet: bool = False, as_json: bool = False) -> Iterator[Speech]:
    """Say things in a certain way inside of this context, and print the JSON object at its end if there is one."""
    speech = Speech(quiet, as_json)
    try:
        yield speech
    finally:
        if as_json:
            answer = {key: getattr(speech, key) for key in ("said", "remarks", "files", "next")}
            print(json.dumps(speech.facts | answer, indent=2), flush=True)


def as_options(text: str) -> str:
    """Return a sentence with ``--space w`` for ``space="w"``, ``--all-faces`` for ``all_faces=True``, and so on."""

    def option(argument: re.Match[str]) -> str:
        name, value, more = argument.groups()
        said = "" if value in ("True", "False") else f" {value[1:-1]}" if value else " " if more else ""
        return f"--{'no-' if value == 'False' else ''}{CALLED.get(name, name).replace('_', '-')}{said}"

    return re.sub(rf"\b({'|'.join(ARGUMENTS)})=((?:True|False)\b|\"[^\"]+\"|'[^']+')?(?=([\w/])?)", option, text)


def harmless(text: str) -> str:
    """Return lines that cannot steer a terminal, whatever file their words come from."""
    return "\n".join(shown(line, LONGEST_LINE) for line in text.split("\n"))


def aside(line: str) -> None:
    """Print a line on stderr; one that is closed or full ends no work."""
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115  (what is in its buffer would fail once more at the end)


@dataclass(frozen=True, kw_only=True)
class Person(Caller):
    """Who typed a command: sees bars, presses Ctrl-C, and owns the process.

    Attributes:
        speech: how to speak.
    """

    speech: Speech

    def watching(self, title: str, shares: Sequence[float] = ()) -> ProgressBar:
        """See :meth:`Caller.watching`."""
        return self.speech.progress_line(title, shares)

    def stopping(self) -> AbstractContextManager[Callable[[], bool]]:
        """See :meth:`Caller.stopping`: the first Ctrl-C asks to stop."""
        return one_interrupt()

    def sparing(self, cores: int) -> AbstractContextManager[None]:
        """See :meth:`Caller.sparing`."""
        return threads_left(cores)


def at_terminal(speech: Speech) -> Person:
    """Return the caller of the command line."""
    words = ("semanifold", *sys.argv[1:])
    return Person(hear=speech.tell, remark=speech.remark, command_line=words, directory=os.getcwd(), speech=speech)
