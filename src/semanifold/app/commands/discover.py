"""``semanifold discover``: from pictures and masks to run folders."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, get_type_hints

from cyclopts import Parameter

from semanifold.app.answers import Answer
from semanifold.app.commands import early
from semanifold.app.commands.arguments import (
    FILM,
    GENERATOR,
    LAYERS,
    MAIN,
    PLACE,
    SEARCH,
    SPRINGS,
    START,
    flat,
    option,
    seed_numbers_option,
    with_defaults,
)
from semanifold.app.commands.base import Command, FilmOptions, Model, Output, StartOptions, onto_others
from semanifold.core.errors import SemanifoldError
from semanifold.manifolds.settings import ManifoldSettings, paper_settings
from semanifold.storage.files import is_file
from semanifold.storage.runs import ANEW, RECORD, read_record

MOST_SEARCHES = 1000
FIRST = ("film.mp4", "filmstrip.png", "offsets.png", "pad.png", "heatmap.png")
"""What to open first."""


@dataclass(frozen=True, kw_only=True)
class Search(ManifoldSettings):
    """The same fields; only what the command line writes in another way differs."""

    layers: Annotated[tuple[int, int] | None, LAYERS] = None
    springs: Annotated[Mapping[int, float], SPRINGS] = field(default_factory=lambda: ManifoldSettings().springs)
    offset: Annotated[float | None, Parameter(parse=False)] = None
    direction: Annotated[int, Parameter(parse=False)] = 0
    strength: Annotated[float, option("X", group=MAIN)] = ManifoldSettings.strength
    coarse: Annotated[bool, option(off="--no-coarse")] = True
    steps: Annotated[int, option("N", name="--iterations")] = ManifoldSettings.steps
    chunk: Annotated[int, option("N", name="--batch")] = ManifoldSettings.chunk
    seed: Annotated[int, option("N", name="--draw-seed")] = 0

    def settings(self, space: str, offset: float | None) -> ManifoldSettings:
        """Return the plain settings."""
        values: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(ManifoldSettings)}
        values |= {"space": space} | ({} if offset is None else {"offset": offset})
        return ManifoldSettings(**values)


Search.__doc__ = (
    (ManifoldSettings.__doc__ or "")
    .replace("``", "")
    .replace("(first, last + 1) layers", "first and last layer")
    .replace(" (None)", "")
)


@dataclass(frozen=True, kw_only=True)
class Discover(Command):
    """One search; what its ``run.json`` records.

    Attributes:
        mask: what is to change.
        offset: distances c wanted inside; one row each.
        paper: whether the settings began as those of the published code.
        model: which generator.
        start: which picture.
        search: how to search.
        film: what the film looks like.
        output: where the results go.
    """

    does: ClassVar[str] = "semanifold.app.actions.discover:discover"
    mask: str
    offset: tuple[float, ...] = ()
    paper: bool = False
    model: Model = field(default_factory=Model)
    start: StartOptions = field(default_factory=StartOptions)
    search: Search = field(default_factory=Search)
    film: FilmOptions = field(default_factory=FilmOptions)
    output: Output = field(default_factory=Output)

    def __post_init__(self) -> None:
        """Take what is named twice once."""
        with suppress(TypeError):  # what Python may pass besides numbers is refused where requests are checked
            object.__setattr__(self, "offset", tuple(sorted(set(self.offset))))

    @property
    def folder(self) -> Path:
        """The run folder."""
        other = [f"direction{self.search.direction}"] if self.search.direction else []
        other += ["flip"] if self.search.flip else []
        other += [f"strength{self.search.strength:g}"] if self.search.strength != ManifoldSettings.strength else []
        other += ["c" + "-".join(f"{offset:g}" for offset in self.offset)] if self.offset else []
        return self.output.folder(self.model.word, self.mask, self.start.word, *other)

    @property
    def then(self) -> tuple[object, ...]:
        """The words of the command to type next."""
        return onto_others(self.folder, self.model.generator)

    @property
    def inputs(self) -> list[Path]:
        """The files that decide the result."""
        return early.inputs(masks=[self.mask], codes=self.start.latents)

    @property
    def earlier_outside(self) -> float | None:
        """The weight of the outside that an earlier run in its folder names, if this one leaves it open.

        The default was a number once, which for most masks is the one that follows from the mask now.
        """
        if self.search.outside is not None or self.output.overwrite or not is_file(self.folder / RECORD):
            return None
        search = read_record(self.folder, ANEW).arguments.get("search")
        weight = search.get("outside") if isinstance(search, Mapping) else None
        return weight if isinstance(weight, float) else None

    def settled(self) -> Answer | None:
        """See :meth:`Command.settled`."""
        early.check_masks([self.mask], self.model.generator)
        if self.earlier_outside is not None:  # whether it is the same is known with the mask
            return None
        return early.finished(self, "discover", self.folder, self.inputs, FIRST, self.then)


@dataclass(frozen=True, kw_only=True)
class Several:
    """Which pictures to start from.

    Attributes:
        seed: numbers of the pictures, and ranges such as 0-7, one search each; a number gives the same picture everywhere.
        latents: take the first code of this .npy, .npz, .pt or .safetensors file instead.
        latents_space: space of the codes in the file, if their shape leaves it open.
        truncation: pull the codes towards the mean: 1 leaves them, 0 gives the mean picture.
        label: class, for a class-conditional generator.
    """

    seed: Annotated[tuple[int, ...], seed_numbers_option(MAIN, ("--seeds", "--seed"))] = (0,)
    latents: Annotated[Path | None, option("FILE")] = None
    latents_space: Annotated[str | None, option("NAME")] = None
    truncation: Annotated[float, option("PSI")] = 1.0
    label: Annotated[int | None, option("N", name="--class")] = None


@dataclass(frozen=True, kw_only=True)
class Discoveries(Command):
    """Find a smooth sequence of pictures of one seed that changes inside a mask and stays the same outside.

    Several seeds, masks or directions make one run folder each, and one sheet that compares them.

    Attributes:
        mask: what is to change: a region of a face (mouth, eyes, hair, ...), box:0.3,0.6,0.7,0.9 (left, top,
            right, bottom), ellipse:0.5,0.7,0.2,0.1, polygon:..., at:0.5,0.7 (what belongs together at this point), sam:0.5,0.7
            (the same by Segment Anything), or a picture file; ~ means all but, | either, & both,
            feather:0.02(...) soft edges. Several masks are searched one after the other.
        directions: which local directions to start along, 0 for the strongest; numbers and ranges such as 0-3.
        offset: how far the inside is to change, c; several values give a sheet with one row each. Chosen if left out.
        paper: begin from the settings of the published code (Yang et al. 2020: LPIPS, 36 frames, c = 0.25, sigma = 4, ...).
        model: Which generator makes the pictures.
        start: Which pictures to start from.
        search: How to search.
        film: What the film looks like.
        output: Where the results go.
    """

    does: ClassVar[str] = "semanifold.app.actions.discover:discover_all"
    mask: Annotated[tuple[str, ...], option("MASK ...")]
    directions: Annotated[tuple[int, ...], seed_numbers_option(MAIN, ("--directions", "--direction"))] = (0,)
    offset: Annotated[tuple[float, ...], option("C ...", group=SEARCH)] = ()
    paper: Annotated[bool, option(group=SEARCH)] = False
    model: Annotated[Model, flat(GENERATOR)] = field(default_factory=Model)
    start: Annotated[Several, flat(START)] = field(default_factory=Several)
    search: Annotated[Search, flat(SEARCH)] = field(default_factory=Search)
    film: Annotated[FilmOptions, flat(FILM)] = field(default_factory=FilmOptions)
    output: Annotated[Output, flat(PLACE)] = field(default_factory=Output)

    @classmethod
    def parsed_as(cls, words: Sequence[str]) -> type[Command]:
        """See :meth:`Command.parsed_as`; with --paper the defaults are those of the published code."""
        if "--paper" not in words:
            return cls
        published = paper_settings()
        search = with_defaults(Search, Search(**{f.name: getattr(published, f.name) for f in fields(ManifoldSettings)}))
        hints = get_type_hints(cls, include_extras=True) | {"search": Annotated[search, flat(SEARCH)]}
        body = {"__annotations__": hints, "__doc__": cls.__doc__, "__module__": cls.__module__}
        # a field has one of the two, the other is MISSING
        body |= {f.name: field(default=f.default, default_factory=f.default_factory) for f in fields(cls) if f.name != "mask"}  # type: ignore[call-overload]
        return dataclass(frozen=True, kw_only=True)(type(cls.__name__, (cls,), body | {"search": field(default_factory=search)}))

    @classmethod
    def recorded_as(cls) -> type[Command]:
        """See :meth:`Command.recorded_as`."""
        return Discover

    @property
    def searches(self) -> list[Discover]:
        """The single searches, each with the folder it goes to; what is named twice is searched for once."""
        start: dict[str, Any] = {f.name: getattr(self.start, f.name) for f in fields(StartOptions)}
        search: dict[str, Any] = {f.name: getattr(self.search, f.name) for f in fields(Search)}
        seeds = self.start.seed if self.start.latents is None else (0,)
        single = []
        for mask, seed, direction in dict.fromkeys(itertools.product(self.mask, seeds, self.directions)):
            one = Discover(
                mask=mask,
                offset=self.offset,
                paper=self.paper,
                model=self.model,
                start=StartOptions(**{**start, "seed": seed}),
                search=Search(**{**search, "direction": direction}),
                film=self.film,
                output=self.output,
            )
            single.append(one)
        if len(single) == 1 or self.output.out is None:
            return single
        return [replace(one, output=replace(self.output, out=self.output.out / inner(one))) for one in single]

    def settled(self) -> Answer | None:
        """See :meth:`Command.settled`."""
        if not self.mask:
            raise SemanifoldError("--mask takes a value; see semanifold discover --help.")
        count = len(self.mask) * len(self.start.seed) * len(self.directions)
        if not count:
            raise SemanifoldError("There is nothing to search for; give at least one seed and one direction.")
        if count > MOST_SEARCHES:
            raise SemanifoldError(f"{count} searches are more than one command makes ({MOST_SEARCHES}); give fewer seeds.")
        early.check_masks(self.mask, self.model.generator)
        searches = self.searches
        return searches[0].settled() if len(searches) == 1 else None


def inner(one: Discover) -> str:
    """Return the name of a search's folder among others in one folder."""
    output = Output(within=one.output.within)
    return Discover(mask=one.mask, model=one.model, start=one.start, search=one.search, output=output).folder.name


def sheet_folder(many: Discoveries) -> Path:
    """Return where the comparison of several searches goes."""
    return many.output.folder(many.model.word, *many.mask, "sheet")
