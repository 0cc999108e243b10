"""How the arguments of a command are typed, read, shown in its help, and carried to ``run.json`` and back.

A command is a frozen dataclass; each field is an argument, its help is the field's line under ``Attributes:``. The parser is
cyclopts, whose complaints are exceptions with a sentence each.
"""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import MISSING, dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

from cyclopts import App, ArgumentCollection, CycloptsError, Group, Parameter
from cyclopts.exceptions import CoercionError, MissingArgumentError, UnknownOptionError, UnusedCliTokensError

from semanifold.app.commands.values import (
    MOST_BITS,
    layer_range,
    layers_text,
    numbers_text,
    seed_numbers,
    spring_weights,
    springs_text,
)
from semanifold.core.errors import SemanifoldError, near_names, shown
from semanifold.core.plain import Json, JsonObject
from semanifold.storage.records import checked

T = TypeVar("T")

NARROWEST, WIDEST = 40, 100
"""Columns of the help."""

# Groups of the help, in their order. The first one holds the few arguments that a user needs.
HIDDEN = Parameter(parse=False)
"""Of a field that is no argument."""
MAIN = Group("Options", sort_key=1)
GENERATOR = Group("Which generator makes the pictures", sort_key=2)
START = Group("Which picture to start from", sort_key=3)
PLACE = Group("Where the results go", sort_key=4)
FILM = Group("What the film looks like", sort_key=5)
SEARCH = Group("How to search", sort_key=6)
KIND = Group("Which paths to learn", sort_key=7)
TRAINING = Group("How to train", sort_key=8)


def option(
    metavar: str | None = None,
    *,
    name: str | tuple[str, ...] | None = None,
    off: str | None = None,
    read: Callable[[list[str]], Any] | None = None,
    write: Callable[[Any], str] | None = None,
    many: bool = False,
    group: Group | None = None,
    text: str | None = None,
) -> Parameter:
    """Return how one argument is typed.

    Args:
        metavar: what stands for its value in the help.
        name: how it is spelled, where the field is called otherwise: ``"--class"``.
        off: of a switch that is on by default: what turns it off, such as ``"--no-films"``.
        read: makes the value of the words that were typed; raises ValueError with a sentence.
        write: shows the default in the help.
        many: whether :func:`read` takes all words up to the next option, or one.
        group: another place in the help than its neighbours.
        text: the help, where it is not that of the field.
    """
    described: dict[str, Any] = {"metavar": metavar, "name": name, "group": group, "help": text}
    if off is not None:
        described["negative"] = off
    if read is not None:
        described |= {"converter": lambda _, tokens: read([token.value for token in tokens]), "n_tokens": -1 if many else 1}
    if write is not None:
        described["show_default"] = lambda value: "" if value is None else write(value)
    return Parameter(**{key: value for key, value in described.items() if value is not None})


def flat(group: Group) -> Parameter:
    """Return how a group of arguments is typed: each under its own name, together in the help."""
    return Parameter(name="*", group=group)


def seed_numbers_option(group: Group | None = None, name: str | tuple[str, ...] | None = None) -> Parameter:
    """Return how seeds are typed: numbers and ranges."""
    return option("N|N-N ...", name=name, read=seed_numbers, write=numbers_text, many=True, group=group)


LAYERS = option("FIRST-LAST", read=layer_range, write=layers_text)
SPRINGS = option("ORDER:WEIGHT,...", read=spring_weights, write=springs_text)


def parse(kind: type[T], name: str, words: Sequence[str]) -> T | None:
    """Return the command that words ask for; None if they ask for help, which is then printed.

    Args:
        kind: a dataclass; its positional arguments are those fields that are not keyword-only.
        name: of the command.
        words: the words after it.

    Raises:
        SemanifoldError: for an unknown argument, or a value that makes no sense.
    """
    refuse_unknown(kind, name, words)
    refuse_both(kind, name, words)
    refuse_empty(kind, name, words)
    app = parser(kind, name)
    if any(word in ("--help", "-h") for word in words):
        print_help(app)
        return None
    try:
        make, bound, _ = app.parse_args(list(words), exit_on_error=False, print_error=False)
        request = make(*bound.args, **bound.kwargs)
        return kind() if request is None else request
    except CycloptsError as error:
        raise SemanifoldError(f"{complaint(error, name)}; see semanifold {name} --help.") from None


FORMER = {
    "--steps": ("--iterations",),
    "--chunk": ("--batch",),
    "--eps": ("--step",),
    "--noise-seed": ("--draw-seed",),
    "--label": ("--class",),
    "--classes": ("--class",),
    "--paths": ("--kind",),
    "--level": ("--inside",),
    "--masks": ("--mask",),
    "--paper-steps": ("--paper-iterations",),
}
"""What options of version 0.1.0 are called now, in commands that have them."""


@cache
def known_options(kind: type[Any], name: str) -> tuple[str, ...]:
    """Return what the options of a command may be called."""
    return tuple(word for argument in parser(kind, name).assemble_argument_collection() for word in argument.names)


def refuse_unknown(kind: type[Any], name: str, words: Sequence[str]) -> None:
    """Refuse options that a command does not have, before anything else that may be wrong with its words."""
    known = known_options(kind, name)
    for word in itertools.takewhile(lambda word: word != "--", words):
        called = word.partition("=")[0]
        if re.match(r"--[A-Za-z]", called) and called not in (*known, "--help"):
            near = [now for now in FORMER.get(called, ()) if now in known]
            near = near or difflib.get_close_matches(called[:100], known, n=2, cutoff=0.6)
            meant = f"; did you mean {' or '.join(near)}? See" if near else "; see"
            raise SemanifoldError(f"{name} has no option {shown(called, 40)}{meant} semanifold {name} --help.")


def refuse_both(kind: type[Any], name: str, words: Sequence[str]) -> None:
    """Refuse an option beside the one that turns it off, of which the parser would take the last without a word."""
    known = known_options(kind, name)
    called = {word.partition("=")[0] for word in itertools.takewhile(lambda word: word != "--", words)}
    for on in sorted(called.intersection(known)):
        if (off := f"--no-{on[2:]}") in called:
            raise SemanifoldError(f"{on} and {off} are opposites; give one of them.")


def refuse_empty(kind: type[Any], name: str, words: Sequence[str]) -> None:
    """Refuse options of several values without any, of which the parser would take the default without a word."""
    arguments = parser(kind, name).assemble_argument_collection()
    several = {word for argument in arguments if takes_several(argument.hint) for word in argument.names}
    for word, following in itertools.pairwise([*itertools.takewhile(lambda word: word != "--", words), "--"]):
        if word in several and re.match(r"--|-[A-Za-z]", following):
            raise SemanifoldError(f"{word} takes a value; see semanifold {name} --help.")


def takes_several(hint: Any) -> bool:
    """Whether the value of an argument of this type is any number of words."""
    return any(get_origin(kind) is tuple and Ellipsis in get_args(kind) for kind in (hint, *get_args(hint)))


class Parser(App):
    """A parser that lays out its arguments once; cyclopts does so at every call, for two thirds of the time of parsing."""

    @cached_property
    def _laid_out(self) -> ArgumentCollection:
        return super().assemble_argument_collection()

    def assemble_argument_collection(self, **options: Any) -> ArgumentCollection:
        """Return the arguments, without what was typed before."""
        if options:
            return super().assemble_argument_collection(**options)
        copies = {id(argument): copy(argument) for argument in self._laid_out}
        for argument in copies.values():
            argument.tokens = []
            argument.children = ArgumentCollection(copies[id(child)] for child in argument.children)
        return ArgumentCollection(copies.values())


@cache
def parser(kind: type[Any], name: str) -> App:
    """Return the parser of a command."""
    resolve_hints(kind)

    fields = dataclasses.fields(kind)
    optional = all(field.default is not MISSING or field.default_factory is not MISSING for field in fields)
    # words without an option's name have a place only in a command with positional arguments
    command: Any = (lambda *, request: request) if all(field.kw_only for field in fields) else (lambda request: request)
    if optional:
        command.__defaults__, command.__kwdefaults__ = (
            ((None,), None) if command.__code__.co_argcount else (None, {"request": None})
        )
    wanted: Any = kind | None if optional else kind
    command.__annotations__ = {"request": Annotated[wanted, Parameter(name="*", group=MAIN)]}
    summary = (kind.__doc__ or "").partition("Attributes:")[0].strip()
    app = Parser(
        name=f"semanifold {name}",
        help=" ".join(summary.split()),
        help_flags=("--help", "-h"),
        version_flags=(),
        group_commands=Group("Help", sort_key=99),
        group_arguments=Group("Arguments", sort_key=0),
        group_parameters=MAIN,
        default_parameter=Parameter(negative=(), consume_multiple=True, allow_repeating=True, show_default=default_text),
        exit_on_error=False,
        print_error=False,
    )
    app.default(command)
    return app


def resolve_hints(kind: type[Any]) -> None:
    """Complete the types of a dataclass, and of those inside of it, for the parser.

    Names of types become types, for inherited fields name those of other modules; what stands for a value in the help follows
    from the type; whole numbers are read strictly; defaults that say nothing are not shown.
    """
    hints = get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        inside = get_args(hint)[0] if get_origin(hint) is Annotated else hint
        if dataclasses.is_dataclass(inside) and isinstance(inside, type):
            resolve_hints(inside)
            continue
        types = {inside, *get_args(inside)}
        own = {key: value for part in get_args(hint)[1:] if isinstance(part, Parameter) for key, value in said_by(part).items()}
        added: dict[str, Any] = {}
        if "metavar" not in own and get_origin(inside) is not Literal:
            added["metavar"] = next((word for base, word in ((int, "N"), (float, "X"), (str, "NAME")) if base in types), None)
        if int in types and "converter" not in own and get_origin(inside) is not Literal:
            added["converter"] = whole_numbers if get_origin(inside) is tuple else whole_number
        if field.default in (None, False, (), ""):
            added["show_default"] = False
        if added:
            hints[field.name] = Annotated[hint, Parameter(**added)]
    kind.__annotations__ = hints
    kind.__init__.__annotations__ = hints | {"return": None}


def option_names(kind: type[Any]) -> dict[str, str]:
    """Return what the options of a command are called whose fields are called otherwise, ``{"steps": "iterations"}``."""
    names: dict[str, str] = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        inside, *parts = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        if dataclasses.is_dataclass(inside) and isinstance(inside, type):
            names |= option_names(inside)
        called = [word for part in parts if isinstance(part, Parameter) for word in part.name or () if word != "*"]
        if called and f"--{name}" not in called:
            names[name] = called[0].removeprefix("--")
    return names


def said_by(parameter: Parameter) -> dict[str, Any]:
    """Return what a parameter says, without what it leaves open."""
    return {key: getattr(parameter, key) for key in ("metavar", "converter") if getattr(parameter, key) is not None}


def whole_numbers(_: Any, tokens: Sequence[Any]) -> tuple[int, ...]:
    """Read whole numbers; the parser's own way would round 4.5."""
    for token in tokens:
        if not re.fullmatch(r"[+-]?\d{1,25}", token.value):
            raise ValueError(f"{shown(token.value, 40)!r} is not a whole number")
        if abs(int(token.value)) >= MOST_BITS:
            raise ValueError(f"{token.value} is not a whole number of 64 bits")
    return tuple(int(token.value) for token in tokens)


def whole_number(kind: Any, tokens: Sequence[Any]) -> int:
    """Read one whole number."""
    return whole_numbers(kind, tokens)[0]


def default_text(value: Any) -> str:
    """Return a default for the help."""
    if isinstance(value, tuple | list):
        return " ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def print_help(app: App) -> None:
    """Print the help of a command, :data:`NARROWEST` to :data:`WIDEST` columns wide, as the terminal is."""
    from rich.console import Console  # noqa: PLC0415  (only help is drawn)

    console = Console(file=sys.stdout)
    app.help_print([], console=Console(file=sys.stdout, width=max(NARROWEST, min(console.width, WIDEST))))


def complaint(error: CycloptsError, name: str) -> str:
    """Return what is wrong with the words of a command, without a full stop."""
    words = str(error)
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        called = called_by(error.argument)
        typed = error.keyword or next((token.keyword for token in error.argument.tokens if token.keyword), None)
        words = f"{typed} takes a value" if typed else f"{name} needs {called}"
    elif isinstance(error, CoercionError) and error.argument is not None:
        words = coercion(error, called_by(error.argument).split()[0])
    elif isinstance(error, UnusedCliTokensError):
        words = f"{name} has no use for {', '.join(map(repr, (error.unused_tokens or [])[:3]))}"
    elif isinstance(error, UnknownOptionError):
        words = words.replace(". Did you mean ", "; did you mean ")
    return shown(" ".join(words.split()).rstrip(". "), 300)


def coercion(error: CoercionError, called: str) -> str:
    """Return what is wrong with a value."""
    typed = shown(error.token.value, 40) if error.token is not None and error.token.value else ""
    whole = "a whole number of 64 bits" if re.fullmatch(r"[+-]?\d+", typed) else "a whole number"
    wanted = {int: whole, float: "a number"}.get(error.target_type) if error.target_type else None
    if wanted and typed:
        return f"{called}: {typed!r} is not {wanted}"
    if get_origin(error.target_type) is Literal:
        return f"{called}: there is no {typed!r}: {near_names(typed, map(str, get_args(error.target_type)))}"
    words = re.sub(r"^Invalid value (for )?", "", str(error))
    return f"{called}: {re.sub(r'^--[a-z-]+: ', '', words)}"


def called_by(argument: Any) -> str:
    """Return an argument as its help writes it: ``--mask MASK``, or ``RUN`` for one without a name."""
    metavar = argument.parameter.metavar or ""
    positional = argument.field_info.kind is argument.field_info.POSITIONAL_OR_KEYWORD
    return metavar.split()[0] if positional and metavar else f"{argument.name} {metavar}".strip()


def to_arguments(command: Any) -> JsonObject:
    """Return the arguments of a command as JSON-ready values; fields that do not count in comparisons are left out."""
    return {field.name: _plain(getattr(command, field.name)) for field in dataclasses.fields(command) if field.compare}


def _plain(value: Any) -> Json:
    if dataclasses.is_dataclass(value):
        return to_arguments(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def from_arguments(
    kind: type[T], value: Mapping[str, Json], what: str = "The record", *, wrong: str = "is damaged", remedy: str = ""
) -> T:
    """Return the value of a type that :func:`to_arguments` made ``value`` of.

    Raises:
        SemanifoldError: naming the first argument that does not fit.
    """

    def made(wanted: type, text: Any) -> Any:
        if wanted is Path and isinstance(text, str):
            return Path(text)
        raise TypeError(f"expected {wanted.__name__}")

    return checked(value, kind, what, made, wrong=wrong, remedy=remedy)


def with_defaults(kind: type[T], instance: T) -> type[T]:
    """Return the same dataclass with the values of an instance as its defaults."""
    names = [field.name for field in dataclasses.fields(cast(Any, kind))]
    hints = get_type_hints(kind, include_extras=True)
    body: dict[str, Any] = {"__annotations__": {name: hints[name] for name in names}, "__doc__": kind.__doc__}
    for name in names:
        value = getattr(instance, name)
        body[name] = dataclasses.field(default_factory=lambda value=value: value)
    made: Any = type(kind.__name__, (kind,), body | {"__module__": kind.__module__})
    return dataclass(frozen=True, kw_only=True)(made)
