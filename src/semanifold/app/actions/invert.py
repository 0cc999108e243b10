"""What ``semanifold invert`` does."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Literal

import torch

from semanifold.app.actions.base import facts_of, load, read_given, read_mask, worked, working_space
from semanifold.app.actions.placing import place_in
from semanifold.app.actions.results import EDIT
from semanifold.app.answers import Answer, Caller, typed
from semanifold.app.commands.invert import CODE, NO_ENCODER, Inversion, Inversions
from semanifold.core.errors import shown
from semanifold.core.latents import Latents
from semanifold.core.plain import JsonObject
from semanifold.core.progress import Report
from semanifold.core.solutions import Result, Solution
from semanifold.core.spaces import EXTENDED
from semanifold.edits import save_edit
from semanifold.edits.weights import WeightEdit
from semanifold.generators.base import Generator
from semanifold.generators.exchange import export_codes, read_codes
from semanifold.generators.pools import pool_of, save_pool
from semanifold.images import media
from semanifold.images.masks import Mask
from semanifold.images.photographs import fitted, read_photograph
from semanifold.images.placements import Placement
from semanifold.inversion import Encoder, InversionSettings, TuningSettings, invert, load_encoder, tune
from semanifold.inversion.checkpoints import InversionNumbers
from semanifold.inversion.encoder import OWN
from semanifold.inversion.measures import edit_consistency, style_distance
from semanifold.inversion.tuning import TuningNumbers
from semanifold.storage.marks import COMPOSITE
from semanifold.storage.run_records import plain
from semanifold.storage.runs import CHECKPOINT, Run

SHEET, PICTURE, PREVIEW = "comparison.png", "inverted.png", "preview.png"


def invert_all(many: Inversions, caller: Caller) -> Answer:
    """Invert one photograph after the other; the generator is loaded once."""
    single = many.single
    generator = load(many.model, caller)
    if len(single) == 1:
        return invert_on(single[0], generator, caller)
    parts: list[Answer] = []
    for number, one in enumerate(single, 1):
        caller.hear(Answer(said=(f"--- {number} of {len(single)}: {one.photo.name}",)))
        part = invert_on(one, generator, caller)
        parts.append(replace(part, next=()))
        caller.hear(parts[-1])
        if part.interrupted:
            return Answer(interrupted=True, parts=tuple(parts))
    return Answer(said=(f"--- {len(single)} photographs",), next=typed(*single[0].then), parts=tuple(parts))


def invert_photo(command: Inversion, caller: Caller) -> Answer:
    """Invert one photograph."""
    return invert_on(command, load(command.model, caller), caller)


def invert_on(
    command: Inversion, generator: Generator, caller: Caller, place: Sequence[float] | Placement | None = None
) -> Answer:
    """Invert one photograph, or the part at a place of it, with a loaded generator, and write everything."""
    settings = replace(command.search.settings(), space=working_space(generator, command.search.space))
    name = shown(command.photo.name, 80)
    photograph = read_photograph(command.photo, remark=caller.remark)
    place = place or place_in(photograph, generator, command.crop, command.face, name, caller)
    target, place = fitted(photograph, generator.picture_shape, place, name=name, remark=caller.remark)
    start = begin_code(command, generator, caller)
    mask = None if command.mask is None else read_mask(command.mask, generator, start)

    def work(run: Run) -> Answer:
        began = time.monotonic()
        solution = search(command, generator, target, settings, start, mask, run, caller)
        seconds = round(time.monotonic() - began, 2)
        return write(command, generator, target, place, solution, settings, seconds, run, caller)

    answer = worked(command, caller, "invert", command.folder, facts_of(generator), work, inputs=command.inputs)
    return replace(answer, files=(command.folder / SHEET,), next=() if answer.interrupted else typed(*command.then))


def begin_code(command: Inversion, generator: Generator, caller: Caller) -> Latents | None:
    """Return the code to begin at, if one was named."""
    begin = command.begin
    if begin.latents is not None:
        return read_given(read_codes, begin.latents, generator, begin.latents_space, caller.remark)[0]
    return None if begin.seed is None else generator.sample(begin.seed, labels=begin.label)


def encoder_for(command: Inversion, generator: Generator) -> Encoder | Literal["own"] | None:
    """Return the encoder that was named, or what stands for the one that comes with the generator."""
    named = command.begin.encoder
    if named is None:
        return OWN
    return None if str(named) == NO_ENCODER else load_encoder(named, generator)


def search(
    command: Inversion,
    generator: Generator,
    target: torch.Tensor,
    settings: InversionSettings,
    start: Latents | None,
    mask: Mask | None,
    run: Run,
    caller: Caller,
) -> Solution[Latents, InversionNumbers]:
    """Search, and show the picture as it stands every ten steps."""
    with caller.watching(f"inverting {shown(command.photo.name, 40)}") as line:

        def progress(report: Report) -> None:
            line({"step": report["step"], "steps": report["steps"], "PSNR": report["PSNR"]})
            if report["step"] % 10 == 0:
                with torch.no_grad():
                    media.save_png(sheet(target, generator.images(report["code"])), run.path(PREVIEW), source=COMPOSITE)

        return invert(
            generator,
            target,
            settings,
            mask=mask,
            start=start,
            labels=command.begin.label,
            encoder=encoder_for(command, generator),
            progress=progress,
            checkpoint=run.folder / CHECKPOINT,
            throw=False,
        )


def write(
    command: Inversion,
    generator: Generator,
    target: torch.Tensor,
    place: Placement,
    solution: Solution[Latents, InversionNumbers],
    settings: InversionSettings,
    seconds: float,
    run: Run,
    caller: Caller,
) -> Answer:
    """Write code, pictures and numbers, and return what there is to say of them."""
    if not solution.result.good:  # taking it up again would fail in the same way
        (run.folder / CHECKPOINT).unlink(missing_ok=True)
        run.remove(PREVIEW)
    code = solution.unwrap()
    with torch.no_grad():
        picture = generator.images(code)
    frame = media.to_uint8(picture)[0]
    save_pool(pool_of(code, generator), run.path(CODE))
    extended = generator.spaces.get(f"{code.space}{EXTENDED}")
    export_codes(run.path, "inverted", code.values, 0 if extended is None else extended.layers)
    media.save_png(frame, run.path(PICTURE))
    media.save_png(sheet(target, picture), run.path(SHEET), source=COMPOSITE)
    run.remove(PREVIEW)
    numbers: JsonObject = {
        **plain(solution.stats),
        "result": solution.result.name,
        "seconds": seconds,
        "place": [list(corner) for corner in place.quad],
    }
    if (styles := style_distance(generator, code)) is not None:
        numbers |= dict(zip(("sncd", "usual_sncd"), styles, strict=True))
    said = [described(solution.stats, seconds, generator, code)]
    if solution.result is Result.INTERRUPTED:
        caller.remark(
            f"semanifold: interrupted; the best so far is kept in {run.folder}, and the same command goes on from there."
        )
        return Answer(said=tuple(said), facts=numbers, interrupted=True)
    if command.consistency:
        with caller.watching("editing, inverting again, undoing") as line:

            def progress(report: Report) -> None:
                line({"step": report["step"], "steps": report["steps"], "PSNR": report["PSNR"]})

            kept = edit_consistency(generator, code, settings, encoder=encoder_for(command, generator), progress=progress)
        numbers["consistency"] = asdict(kept)
        said.append(
            f"An edit ({kept.edited:.1f} dB away), inverted again and undone, comes back to {kept.psnr:.1f} dB of the picture; "
            f"the code is off by {kept.code:.0%} of the edit."
        )
    if command.tune:
        tuned = tuning(command, generator, code, target, settings, caller)
        numbers["tuning"] = {**plain(tuned.stats), "result": tuned.result.name}
        with torch.no_grad():
            nearer = tuned.value.images(generator, code, 1.0)
        frame = media.to_uint8(nearer)[0]
        save_edit(tuned.value, run.path(EDIT))
        media.save_png(frame, run.path(PICTURE))
        media.save_png(sheet(target, picture, nearer), run.path(SHEET), source=COMPOSITE)
        said.append(
            f"Tuned weights: {tuned.stats['psnr']:.1f} dB after {tuned.stats['steps']} steps; pictures of other codes are "
            f"{tuned.stats['others']:.1f} dB from what they were."
        )
        if tuned.result is Result.INTERRUPTED:
            caller.remark(f"semanifold: interrupted; the tuning so far is kept in {run.folder}; the same command tunes anew.")
            return Answer(said=tuple(said), facts=numbers, interrupted=True)
    (run.folder / CHECKPOINT).unlink(missing_ok=True)
    run.note(inversion=numbers)
    return Answer(said=tuple(said), facts=numbers)


def tuning(
    command: Inversion,
    generator: Generator,
    code: Latents,
    target: torch.Tensor,
    settings: InversionSettings,
    caller: Caller,
) -> Solution[WeightEdit, TuningNumbers]:
    """Tune the weights to the photograph."""
    with caller.watching("tuning the weights") as line:

        def progress(report: Report) -> None:
            line({"step": report["step"], "steps": report["steps"], "PSNR": report["PSNR"]})

        return tune(generator, code, target, TuningSettings(steps=command.tune), settings, progress=progress)


def described(numbers: InversionNumbers, seconds: float, generator: Generator, code: Latents) -> str:
    """Return in words how good an inversion is."""
    words = f"{numbers['psnr']:.1f} dB after {numbers['steps']} steps, {numbers['evaluations']} pictures, {seconds:.1f} s"
    usual = f"its code lies {numbers['nature'] ** 0.5:.2f} times as far from the mean as a usual one"
    return f"{generator.name}, {code.space}: {words}; {usual}."


def sheet(target: torch.Tensor, picture: torch.Tensor, tuned: torch.Tensor | None = None) -> media.Image.Image:
    """Return the photograph, the generator's picture, the tuned one if any, and four times the difference, side by side."""
    pictures = [target, picture] if tuned is None else [target, picture, tuned]
    difference = (4 * (pictures[-1] - target).abs()).clamp(0, 2) - 1
    frames = media.to_uint8(torch.cat([*pictures, difference]))
    names = ["photograph", "inverted", *(["tuned"] if tuned is not None else []), "difference x 4"]
    return media.contact_sheet(frames, names, columns=len(frames), size=256)
