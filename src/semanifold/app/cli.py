"""The command line: from words to a command, and from its mistakes to a sentence and an exit code."""

from __future__ import annotations

import io
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from semanifold.app.commands.table import COMMANDS, JSON, QUIET, command_class
from semanifold.core.errors import SemanifoldError, shown
from semanifold.core.version import __version__

if TYPE_CHECKING:
    from semanifold.app.commands.base import Command
    from semanifold.app.terminal import Speech

LONGEST_SENTENCE = 1000
NO_MEMORY = "There is not enough memory for this; take smaller or fewer pictures, or a smaller --batch if the command has one."


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the words after ``semanifold``; those of the process when None.

    Returns:
        The exit code: 0, 2 for a mistake in the input (one line on stderr says what to do), 130 after Ctrl-C.
    """
    try:
        from semanifold.app.terminal import speaking  # noqa: PLC0415  (the overview needs none of it)

        words, quiet, as_json = spoken(sys.argv[1:] if argv is None else argv)
        prepare_streams()
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.")  # torch's remarks about itself
        if not words or words[0] in ("-h", "--help", "help", "-V", "--version"):
            print(f"semanifold {__version__}" if words and words[0] in ("-V", "--version") else overview(), flush=True)
            return 0
        with speaking(quiet=quiet, as_json=as_json) as speech:
            return run(words, speech)
    except KeyboardInterrupt:  # before the command has begun
        sys.stderr.write("semanifold: interrupted.\n")
        return 130
    except BrokenPipeError:  # the reader of our output, such as head, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # no output at all: a closed or full one
        return no_output(error)


def run(words: Sequence[str], speech: Speech) -> int:
    """Run the command that words ask for, and say in a sentence what is wrong with them."""
    from semanifold.app.process import keep_memory  # noqa: PLC0415  (the overview needs none of it)
    from semanifold.app.terminal import as_options, aside, at_terminal  # noqa: PLC0415  (the overview needs none of it)

    speech.facts["command"] = words[0]
    try:
        command = parse(words)
        if command is None:
            return 0
        check_current_folder()
        keep_memory()
        with as_typed(type(command)):
            answer = command.perform(at_terminal(speech))
        speech.tell(answer)
        return 130 if answer.interrupted else 0
    except (SemanifoldError, MemoryError, RuntimeError) as error:
        if not isinstance(error, SemanifoldError) and not is_out_of_memory(error):
            raise
        words = as_options(str(error)) if isinstance(error, SemanifoldError) else NO_MEMORY
        sentence = shown(" ".join(words.split()), LONGEST_SENTENCE)
        speech.facts["error"] = sentence
        aside(f"semanifold: {sentence}")
        return 2
    except KeyboardInterrupt:
        speech.remark("semanifold: interrupted; the same command goes on from here where it can.")
        return 130


def check_current_folder() -> None:
    """Refuse to work in a folder that is gone: libraries behind PyTorch would end the process with words of their own."""
    try:
        os.getcwd()
    except OSError as error:
        raise SemanifoldError("The current folder was deleted or is closed to you; change to another one, as by cd ~.") from error


def is_out_of_memory(error: Exception) -> bool:
    """Whether Python or PyTorch, on any device, found no memory."""
    return (
        isinstance(error, MemoryError)
        or re.search("out of memory|can't allocate memory|not enough memory", str(error)) is not None
    )


def prepare_streams() -> None:
    """Make sure that printing fails for no letter, and that there is a stderr."""
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115  (as long as the process)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def no_output(error: OSError) -> int:
    """Say on stderr, if that is open, that the results cannot be printed."""
    from semanifold.app.terminal import aside  # noqa: PLC0415  (the overview needs none of it)

    sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (what is in its buffer would fail once more at the end)
    aside(f"semanifold: the output cannot be written ({error.strerror or error}); give it another place.")
    return 2


def spoken(words: Sequence[str]) -> tuple[list[str], bool, bool]:
    """Take the options that every command understands out of its words.

    Returns:
        The other words, whether to be quiet, and whether to print JSON.
    """
    end = list(words).index("--") if "--" in words else len(words)
    head, tail = list(words[:end]), list(words[end:])
    rest = [word for word in head if word not in (*QUIET, JSON)]
    return rest + tail, any(word in QUIET for word in head), JSON in head


def overview() -> str:
    """Return the text of ``semanifold --help``."""
    lines = [f"  {name:<11} {summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(
        [
            "Usage: semanifold COMMAND ...",
            "",
            "Find the meaningful ways in which the pictures of a pretrained generator can change.",
            "",
            *lines,
            "",
            "Every command takes --quiet (results only) and --json (results for programs).",
            "Begin with:  semanifold demo",
            "Then try:    semanifold discover --mask mouth --seed 7",
            "The arguments of a command:  semanifold COMMAND --help",
        ]
    )


def parse(words: Sequence[str]) -> Command | None:
    """Return the command that these words ask for; None after they asked for help.

    Raises:
        SemanifoldError: for an unknown command or argument, or a value that makes no sense.
    """
    from semanifold.app.commands import arguments, values  # noqa: PLC0415  (not needed for the overview)

    name, *rest = words or ["help"]
    rest = values.inputs_for_seeds(joined(rest))
    kind = command_class(name).parsed_as(rest)
    with as_typed(kind):
        return arguments.parse(kind, name, rest)


def joined(words: Sequence[str]) -> list[str]:
    """Return words with ``--crop=-1,0,1,1`` for ``--crop -1,0,1,1``, whose value the parser would take for an option.

    ``--seeds 3 -3,4`` becomes ``--seeds 3,-3,4`` for the same reason.
    """
    whole: list[str] = []
    option = ""
    end = words.index("--") if "--" in words else len(words)
    for word in words[:end]:
        number = re.fullmatch(r"-[\d.]+(e[+-]?\d+)?", word, re.IGNORECASE)
        negative = re.match(r"-[\d.]", word) and (option == "--seeds" or not number)
        if negative and whole and re.fullmatch(r"--[a-z-]+", whole[-1]):
            whole[-1] += f"={word}"
        elif negative and option == "--seeds":
            whole[-1] += f",{word}"
        else:
            whole.append(word)
        option = word.partition("=")[0] if word.startswith("--") else option
    return [*whole, *words[end:]]


@contextmanager
def as_typed(kind: type[Command]) -> Iterator[None]:
    """Let sentences call fields as their options are called: ``steps`` is ``--iterations``.

    So where a sentence begins with a field, ``steps is``, or says what another run has in one that is no option, ``(steps 5
    instead of 9)``.
    """
    try:
        yield
    except SemanifoldError as error:
        from semanifold.app.commands.arguments import known_options, option_names  # noqa: PLC0415  (not needed for the overview)

        names = option_names(kind)
        known = known_options(kind, "")
        name, space, rest = str(error).partition(" ")
        name = names.get(name, name)
        # a folder may be called as an option is: out is not a run folder
        option = f"--{name.replace('_', '-')}"
        if option.removesuffix(",") in known and re.search(r", but (it is|got|[^ ]+ was given)", rest):
            name = option
        if " instead of " in rest:
            hidden = {field.replace("_", "-"): option for field, option in names.items()}
            fields = "|".join(field for field in hidden if f"--{field}" not in known)
            rest = re.sub(rf"(?:(?<=\()|(?<=, ))({fields or '(?!)'})(?= )", lambda field: hidden[field[0]], rest)
        raise SemanifoldError(f"{name}{space}{rest}") from error
