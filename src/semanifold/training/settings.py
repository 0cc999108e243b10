"""The settings of a training: the records that the trainer reads, and from which all else that names them follows.

A setting is a field here, its help a line under ``Attributes:``, its check and its other names an annotation, :class:`Setting`.
The options of ``semanifold train``, its ``args.json``, the values of presets and the facts in ``run.json`` are read from this.
Nothing here loads torch.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

import msgspec

from semanifold.core.errors import SemanifoldError, shown

R = TypeVar("R")

MOST_SAMPLES, MOST_ITERATIONS = 1 << 20, 100_000_000
"""Samples of a batch, and steps: a typo would otherwise end without memory, after a minute, or never."""
MOST_WEIGHT, MOST_RATE = 1e6, 10.0
"""Largest weight and length, whose squares have to fit into float32, and largest learning rate."""
MOST_DRAWS = 1_000_000
"""Pairs of pictures of a test."""


@dataclass(frozen=True)
class Setting:
    """What is known of a setting besides its name, type, default and help.

    Attributes:
        word: stands for the value in the help.
        least: smallest value of a number.
        most: largest one.
        option: name of the argument of the command, if it differs; empty if it is no argument of its own.
        typed: how a person spells the argument, if it is not called like its field.
        published: its key in the ``args.json`` of WarpedGANSpace's programs.
        preset: whether an argument that is left out takes the preset's value; else it takes the default.
        main: whether the help shows it among the few options that a user needs.
    """

    word: str | None = None
    least: float | None = None
    most: float | None = None
    option: str | None = None
    typed: str | None = None
    published: str | None = None
    preset: bool = False
    main: bool = False


@dataclass(frozen=True)
class Prior:
    """Where codes are drawn from.

    Attributes:
        space: the space that they are carried over into.
        z_truncation: cut the coordinates of z to plus or minus this number.
        psi: pull codes of w towards the mean: 1 leaves them, 0 gives the mean.
        classes: classes to draw from, for a class-conditional generator; all if left out.
    """

    space: str = "z"
    z_truncation: Annotated[float | None, Setting("T", None, MOST_WEIGHT, published="z_truncation", preset=True)] = None
    psi: Annotated[float, Setting("PSI", option="truncation")] = 1.0
    classes: Annotated[tuple[int, ...], Setting("N ...", typed="class", published="biggan_target_classes", preset=True)] = ()

    def __post_init__(self) -> None:
        """Refuse what makes no sense; :func:`~semanifold.training.draws.check_prior` asks the generator."""
        check(self)


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How to train paths; the defaults are those of the published code (WarpedGANSpace, arXiv:2109.13357).

    Attributes:
        iterations: steps of the optimisers.
        batch: samples per iteration, of all processes together.
        accumulate: parts that a batch is worked through in, to save memory.
        pairs_per_code: pairs in a row that share a code; its picture is made once, and the paths learn from the first of them. 0
            for a code a pair.
        min_magnitude: smallest length of a step, in units of the latent space; of sets with scales twice the preset's.
        max_magnitude: greatest length of a step, in the same units; of sets with scales twice the preset's.
        paths_lr: learning rate of the paths; of those that start along directions 0.15 times the preset's.
        reconstructor_lr: learning rate of the reconstructor.
        decay: last share of the iterations, in which both rates fall to 0.
        lambda_cls: weight of naming the path.
        lambda_reg: weight of measuring the magnitude.
        lambda_mask: weight of change outside the mask, as a share of all squared change.
        lambda_pure: weight of what paths share with one another, at codes whose pictures are looked at before the training; above
            0 they are unmixed before it as well.
        precision: float32, or bf16 for the networks.
        prior: where codes are drawn from.
        log_every: iterations that one entry of the log is averaged over.
        save_every: iterations between two checkpoints.
        seed: number of the random draws of the training.
    """

    iterations: Annotated[int, Setting("N", 1, MOST_ITERATIONS, published="max_iter", preset=True, main=True)] = 100_000
    batch: Annotated[int, Setting("N", 1, MOST_SAMPLES, published="batch_size", preset=True)] = 32
    accumulate: Annotated[int, Setting("N", 1)] = 1
    pairs_per_code: Annotated[int, Setting("N", 0, MOST_SAMPLES, preset=True)] = 0
    min_magnitude: Annotated[float, Setting("LENGTH", published="min_shift_magnitude", preset=True)] = 0.25
    max_magnitude: Annotated[float, Setting("LENGTH", published="max_shift_magnitude", preset=True)] = 0.45
    paths_lr: Annotated[float, Setting("RATE", 0, MOST_RATE, published="support_set_lr", preset=True)] = 1e-4
    reconstructor_lr: Annotated[float, Setting("RATE", 0, MOST_RATE, published="reconstructor_lr", preset=True)] = 1e-4
    decay: Annotated[float, Setting("SHARE", 0, 1, preset=True)] = 0.0
    lambda_cls: Annotated[float, Setting("X", 0, MOST_WEIGHT, published="lambda_cls")] = 1.0
    lambda_reg: Annotated[float, Setting("X", 0, MOST_WEIGHT, published="lambda_reg", preset=True)] = 0.25
    lambda_mask: Annotated[float, Setting("X", 0, MOST_WEIGHT, option="")] = 0.0
    lambda_pure: Annotated[float, Setting("X", 0, MOST_WEIGHT)] = 0.0
    precision: Annotated[Literal["float32", "bf16"], Setting()] = "float32"
    prior: Prior = field(default_factory=Prior)
    log_every: Annotated[int, Setting("N", 1, published="log_freq")] = 10
    save_every: Annotated[int, Setting("N", 1, published="ckp_freq", preset=True)] = 1000
    seed: Annotated[int, Setting("N", -(2**62), 2**62 - 1, option="draw_seed")] = 0

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            SemanifoldError: naming the field, what was given and what is expected.
        """
        check(self)
        # 0 to 0 would leave nothing to tell apart
        if not 0 <= self.min_magnitude <= self.max_magnitude <= MOST_WEIGHT or self.max_magnitude == 0:
            raise SemanifoldError(
                f"Magnitudes range from a smallest length of 0 or more to a larger one, at most {MOST_WEIGHT:,.0f}, but got "
                f"{self.min_magnitude:g} to {self.max_magnitude:g}."
            )

    @property
    def sharing(self) -> int:
        """Number of pairs in a row that have the same code, at least 1."""
        return max(self.pairs_per_code, 1)

    def share(self, processes: int) -> int:
        """Return how many samples one process works on at a time.

        Raises:
            SemanifoldError: if the batch cannot be divided evenly, or a part is too small for batch normalisation.
        """
        size, rest = divmod(self.batch, processes * self.accumulate)
        if not rest and size % self.sharing:
            raise SemanifoldError(
                f"{self.sharing} pairs share a code, but {size} of a batch are worked on at a time, not a multiple of it; give "
                "another pairs_per_code= or batch=."
            )
        # batch normalisation has no variance with one sample
        if rest or size * processes < 2:
            raise SemanifoldError(
                f"A batch of {self.batch} cannot be divided among {processes} processes and {self.accumulate} parts each; every "
                "part needs the same number of samples, and at least 2 over all processes."
            )
        return size

    def rate(self, iteration: int) -> float:
        """Return the factor of the learning rates in an iteration, counted from 0."""
        # 1 until the last share of the iterations, then along a straight line to 0
        left = (self.iterations - iteration) / self.iterations
        return 1.0 if left >= self.decay else left / self.decay


@dataclass(frozen=True, kw_only=True)
class ReconstructorSettings:
    """Which network learns to tell the paths apart.

    Attributes:
        reconstructor: lenet or resnet.
        reconstructor_size: height and width that pictures are brought to before the reconstructor.
        differences: begin with one that sees the difference of the two pictures.
    """

    reconstructor: Annotated[str, Setting("NAME", published="reconstructor_type", preset=True)] = "resnet"
    reconstructor_size: Annotated[int | None, Setting("PIXELS", preset=True)] = None
    differences: bool = False


@dataclass(frozen=True, kw_only=True)
class ReportSettings:
    """What a run folder shows of a training.

    Attributes:
        pictures_every: iterations between two sheets of pictures in TensorBoard.
        test_draws: pairs of pictures of the final test.
    """

    pictures_every: Annotated[int, Setting("N", 1)] = 500
    test_draws: Annotated[int, Setting("N", 1, MOST_DRAWS)] = 1024

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        check(self)


# ------------------------------------------------------------------------------------------- reading the records


@dataclass(frozen=True)
class Described:
    """A setting as its record declares it.

    Attributes:
        name: of the field.
        type: of its values.
        default: its default.
        help: its line under ``Attributes:``.
        setting: its annotation.
    """

    name: str
    type: Any
    default: Any
    help: str
    setting: Setting

    @property
    def option(self) -> str:
        """Name of the argument of the command; empty if it is none."""
        return self.name if self.setting.option is None else self.setting.option

    def check(self, value: Any, name: str = "") -> None:
        """Refuse a number out of its range, or a word that is none of a choice, by the field's name or another."""
        name = name or self.name
        least, most = self.setting.least, self.setting.most
        choices = get_args(self.type) if get_origin(self.type) is Literal else ()
        if choices and value not in choices:
            raise SemanifoldError(f"{name} is {' or '.join(choices)}, not {shown(repr(value), 40)}.")
        if value is None or (least is None and most is None):
            return
        # written so that NaN is refused as well
        if not ((least is None or value >= least) and (most is None or value <= most)):
            limits = (("least", least), ("most", most))
            bounds = [f"at {end} {limit:,}".removesuffix(".0") for end, limit in limits if limit is not None]
            number = f"{value:g}" if isinstance(value, float) else str(value)
            meant = f"{name} must be {' and '.join(bounds)} ({self.help.rstrip('.')})"
            raise SemanifoldError(f"{meant}, but got {shown(number, 40)}.")


@cache
def described(record: type) -> Mapping[str, Described]:
    """Return the settings among the fields of a dataclass, by their names."""
    text = "\n".join(inspect.cleandoc(kind.__doc__ or "") for kind in reversed(record.__mro__))  # with those of inherited fields
    lines = dict(re.findall(r"^ {4}(\w+): (.+(?:\n {5,}.+)*)", text, re.MULTILINE))
    hints, known = get_type_hints(record, include_extras=True), {}
    for item in fields(record):
        settings = [part for part in get_args(hints[item.name])[1:] if isinstance(part, Setting)]
        if settings:
            words = " ".join(lines[item.name].split())
            known[item.name] = Described(item.name, get_args(hints[item.name])[0], item.default, words, settings[0])
    return known


def options_in(record: type) -> Iterator[Described]:
    """Yield the settings that are arguments of the command, those of records inside of the record among them, in their order."""
    known, hints = described(record), get_type_hints(record)
    for item in fields(record):
        if is_dataclass(hints[item.name]):
            yield from options_in(cast(type, hints[item.name]))
        elif item.name in known and known[item.name].option:
            yield known[item.name]


def check(record: Any) -> None:
    """Refuse numbers out of their range, and words that are none of a choice.

    Raises:
        SemanifoldError: naming the field, what was given and what is expected.
    """
    for name, entry in described(type(record)).items():
        entry.check(getattr(record, name))


def with_options(record: R, arguments: Mapping[str, object]) -> R:
    """Return a record, and the records inside of it, with the arguments that are given: not None, and not empty.

    Args:
        record: a dataclass with settings, or with records of such.
        arguments: values by the names of arguments (:attr:`Described.option`).
    """
    changes: dict[str, Any] = {}
    known = described(type(record))
    for item in fields(cast(Any, record)):
        value = getattr(record, item.name)
        if is_dataclass(value):
            changes[item.name] = with_options(value, arguments)
        elif item.name in known and arguments.get(known[item.name].option) not in (None, ()):
            changes[item.name] = arguments[known[item.name].option]
    return replace(cast(Any, record), **changes)


def option_values(record: object) -> dict[str, Any]:
    """Return the values of a record, and of the records inside of it, by the names of arguments."""
    return {entry.option: value for entry, value in _values(record) if entry.option}


def published_values(record: object) -> dict[str, object]:
    """Return the values of a record by their keys in an ``args.json``, for which nothing is None."""
    values = {entry.setting.published: value for entry, value in _values(record) if entry.setting.published}
    return {key: (list(value) or None) if isinstance(value, tuple) else value for key, value in values.items()}


def with_published(record: R, arguments: Mapping[str, object]) -> R:
    """Return a record with what an ``args.json`` says; what it does not say stays.

    Raises:
        SemanifoldError: if a value is not of the type that belongs there, or out of range.
    """
    options: dict[str, object] = {}
    for entry, _ in _values(record):
        value = arguments.get(entry.setting.published) if entry.setting.published else None
        if value is None:
            continue
        try:
            options[entry.option] = msgspec.convert(value, entry.type)
        except (msgspec.ValidationError, OverflowError) as error:
            raise SemanifoldError(
                f"args.json says {entry.option} = {shown(repr(value))}, which makes no sense; mend it, or give the preset."
            ) from error
    return with_options(record, options)


def _values(record: Any) -> Iterator[tuple[Described, Any]]:
    known = described(type(record))
    for item in fields(record):
        value = getattr(record, item.name)
        if is_dataclass(value):
            yield from _values(value)
        elif item.name in known:
            yield known[item.name], value
