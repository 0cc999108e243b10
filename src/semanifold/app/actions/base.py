"""From the arguments that commands share to generators, codes and masks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from semanifold.app.answers import Answer, Caller, already
from semanifold.app.commands.base import EditModel, Model, PictureOptions, StartOptions
from semanifold.app.commands.early import arguments_for, stamp_of
from semanifold.app.commands.located import located
from semanifold.core.errors import SemanifoldError, first_line, shown
from semanifold.core.latents import Latents
from semanifold.core.plain import Json, JsonObject
from semanifold.core.spaces import single
from semanifold.edits import Edit
from semanifold.generators.base import Generator, origin
from semanifold.generators.exchange import read_codes
from semanifold.generators.loading import load_generator
from semanifold.generators.pools import Pool
from semanifold.images.masks import Mask, parse_mask
from semanifold.paths.carried import carried
from semanifold.storage.credentials import check_certificate
from semanifold.storage.runs import Run, begin_run, carry_out

Codes = TypeVar("Codes", Latents, Pool)
ROUNDING = 1e-4
"""A t that lies outside of a range by less than this is at its end."""


def device_of(name: str | None) -> str:
    """Return the device that was asked for, or the best one there is.

    Raises:
        SemanifoldError: if it is not there.
    """
    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        if torch.empty(0, device=name).is_meta:
            raise RuntimeError("it holds no numbers")
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = shown(first_line(error), 200)
        raise SemanifoldError(f"There is no device {shown(name)} to work on: {reason}; give cpu, or none.") from error
    return name


def load(model: Model, caller: Caller) -> Generator:
    """Return the generator that was asked for, on its device."""
    model = model if caller.folder is None else located(model, caller.folder)  # a run.json may have named it
    generator = load_generator(model.generator, device=device_of(model.device), inputs=model.inputs, say=caller.remark)
    channels = generator.picture_shape[0]
    if channels not in (1, 3, 4):
        raise SemanifoldError(
            f"{generator.name} has pictures of {channels} channels; only 1 (grey), 3, and 4 with transparency can be shown."
        )
    return generator


def named_generator(asked: EditModel, caller: Caller) -> Generator | None:
    """Return the generator if it was named; what is to be edited may then be read with its help."""
    if asked.generator is None:
        return None
    return load(Model(generator=asked.generator, inputs=asked.inputs, device=asked.device), caller)


def fitting(generator: Generator, edits: Sequence[Edit], caller: Caller, *, force: bool | None = None) -> list[Edit]:
    """Return edits as those of a generator; refuse what was found with other weights, or with ``force`` say what it does here.

    ``force`` is None where nobody can give it.

    Raises:
        SemanifoldError: if an edit changes weights that are not there, or was found with other weights, naming both generators.
    """
    return [_fitting(generator, edit, caller, force=force) for edit in edits]


def _fitting(generator: Generator, edit: Edit, caller: Caller, *, force: bool | None) -> Edit:
    """See :func:`fitting`."""
    if edit.info.fingerprint in ("", "unknown", generator.fingerprint):
        edit.check(generator)
        return edit
    both = f"{origin(edit.info.generator)} ({edit.info.fingerprint}), not on {generator.name} ({generator.fingerprint})"
    name = edit.info.name or "The edit"
    try:
        edit.check(generator)
    except SemanifoldError as error:
        raise SemanifoldError(f"{name} was found on {both}, which it does not fit: {error}") from error
    if not force:
        way = "name that with generator=" if force is None else "force=True takes it all the same, and says what it does there"
        raise SemanifoldError(f"{name} was found on {both}; {way}.")
    caller.remark(f"{name} was found on {both}: {carried(edit, generator).words}.")
    return edit.with_info(generator=generator.name, fingerprint=generator.fingerprint)


def beyond(caller: Caller, edit: Edit, *moments: float) -> None:
    """Say so if some ``t`` of a film lie outside of the range in which an edit's pictures stay good."""
    low, high = edit.info.usable
    outside = [t for t in moments if math.isfinite(t) and not low - ROUNDING <= t <= high + ROUNDING]
    if outside:
        range_ = f"the usable range of {edit.info.name}, {low:.2g} to {high:.2g}"
        caller.remark(f"t = {max(outside, key=abs):.3g} lies outside of {range_}; pictures may break.")


def read_given(
    read: Callable[..., Codes], place: Path, generator: Generator, latents_space: str | None, remark: Callable[[str], object]
) -> Codes:
    """Read codes by a function of a room below, whose messages call ``space`` what a request calls ``latents_space``."""

    def renamed(sentence: str) -> str:
        return sentence.replace("space=", "latents_space=")

    try:
        return read(place, generator, latents_space, remark=lambda sentence: remark(renamed(sentence)))
    except SemanifoldError as error:
        raise SemanifoldError(renamed(str(error))) from error


def start_code(start: StartOptions, generator: Generator, caller: Caller) -> Latents:
    """Return the one code to start from."""
    if start.latents is None:
        return sample(generator, (start.seed,), start.truncation, start.label)
    codes = read_given(read_codes, start.latents, generator, start.latents_space, caller.remark)[0]
    if start.label is not None or (generator.classes and codes.space == generator.first_space):
        codes = Latents(codes.values, codes.space, generator.sample([0], labels=start.label).conditions)
    return truncated(generator, codes, start.truncation)


def own_code(edits: Sequence[Edit]) -> Latents | None:
    """Return the code that the first of some edits was found on, if any was found on one."""
    return next((edit.start for edit in edits if edit.start is not None), None)


def common_space(edits: Sequence[Edit], generator: Generator) -> str:
    """Return the space of a code that all edits can be played on: that of the codes that move, if any."""
    return next((edit.space(generator) for edit in edits if edit.moves_codes), edits[0].space(generator))


def code_for(edit: Edit, generator: Generator, codes: Latents) -> Latents:
    """Return codes in the space that an edit moves.

    Codes of w+ stay there for an edit of w, which moves all layers alike; those of photographs for an edit that moves none.
    """
    space = edit.space(generator)
    if not edit.moves_codes and codes.space != generator.first_space:
        return codes
    return codes if codes.space != space == single(codes.space) else generator.convert(codes, space)


def picture_code(picture: PictureOptions, edits: Sequence[Edit], generator: Generator, space: str) -> Latents:
    """Return the code of the picture that was asked for, or the first that one of the edits was found on."""
    own = own_code(edits)
    if picture.seed is None and own is not None:
        code = own.to(generator.device, generator.dtype)
    else:
        code = sample(generator, (picture.seed or 0,), label=picture.label)
    code = generator.convert(code, space)
    generator.check(code)
    return code


def sample(
    generator: Generator, seeds: tuple[int, ...], truncation: float = 1.0, label: int | tuple[int, ...] | None = None
) -> Latents:
    """Return one code per seed; several classes take turns."""
    if not seeds:
        raise SemanifoldError("There is no seed; give at least one number after seeds=.")
    classes = (label,) if isinstance(label, int) else label or ()
    labels = [classes[i % len(classes)] for i in range(len(seeds))] if classes else None
    return truncated(generator, generator.sample(seeds, labels=labels), truncation)


def truncated(generator: Generator, codes: Latents, truncation: float, cutoff: int | None = None) -> Latents:
    """Return the codes pulled towards the mean, in the first ``cutoff`` layers only if so many are named."""
    if truncation == 1:
        return codes
    if not -2 <= truncation <= 2:
        raise SemanifoldError(
            f"truncation is from -2 to 2 (0 is the mean picture, 1 leaves the picture as it is), but it is {truncation:g}."
        )
    return generator.truncate(codes, truncation, cutoff)


def working_space(generator: Generator, space: str | None) -> str:
    """Return the space to search in: the one asked for, or the generator's own choice."""
    if space is None:
        return generator.search_space
    generator.check_space(space)
    return space


def read_mask(text: str, generator: Generator, code: Latents | None, caller: Caller | None = None) -> Mask:
    """Return the mask that a person typed, checked at the size of the generator's pictures; what points select takes a while."""
    with nullcontext() if caller is None else caller.watching("reading the mask"):
        mask = parse_mask(text, generator, code)
        mask.check(*generator.picture_shape[1:])
    return mask


def worked(
    command: Any,
    caller: Caller,
    name: str,
    folder: Path,
    facts: Mapping[str, Json],
    work: Callable[[Run], Answer],
    *,
    inputs: Sequence[Path] | None = (),
    growing: Sequence[str] = (),
    watched: Sequence[Path] | None = (),
) -> Answer:
    """Do the work of a command in its run folder, if it is not finished already.

    Args:
        command: its arguments, with ``output``.
        caller: who asks.
        name: of the command.
        folder: the run folder.
        facts: what decides the result besides arguments and input files.
        work: writes the results, and returns what there is to say of them; an ``interrupted`` run goes on another time.
        inputs: input files; None looks for them in the arguments.
        growing: arguments that may grow.
        watched: other files that decide the result, and whose contents are among the facts; None if they are not known.

    Returns:
        What the work returned, with the folder; or that the run was finished before, and what was said of it then.
    """

    def done(run: Run) -> Answer:
        answer = work(run)
        if answer.interrupted:
            run.note(status="interrupted")
        elif answer.said:
            run.note(said=answer.said)  # for whoever repeats the command
        return answer

    check_certificate()
    model = getattr(command, "model", None) or Model()  # without a generator only the version counts
    run = begin_run(
        folder,
        name,
        arguments_for(command, folder),
        facts,
        overwrite=command.output.overwrite,
        growing=growing,
        inputs=inputs,
        stamp=None if watched is None else stamp_of(model.generator, watched),
        command_line=caller.command_line,
        directory=caller.directory if caller.folder is None else str(caller.folder),
    )
    answer = carry_out(run, done)
    return already(folder, run.record.said) if answer is None else replace(answer, folder=run.folder)


def existing(folder: Path, *names: str) -> tuple[Path, ...]:
    """Return those results that are there."""
    return tuple(folder / name for name in names if (folder / name).exists())


def facts_of(generator: Generator) -> JsonObject:
    """Return the facts about a generator that decide a result."""
    facts: JsonObject = {"generator": generator.name, "fingerprint": generator.fingerprint, "source": generator.source}
    facts["licence"] = generator.licence
    return facts | ({} if generator.inputs is None else {"inputs_of_generator": generator.inputs.digest})
