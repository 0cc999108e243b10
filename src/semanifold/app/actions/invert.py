"""What ``semanifold invert`` does."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Literal

import torch
from PIL import Image
from torch import Tensor

from semanifold.analysis.attributes.base import AttributeReader
from semanifold.analysis.attributes.names import attribute_reader
from semanifold.app.actions.base import facts_of, load, read_given, read_mask, worked, working_space
from semanifold.app.actions.placing import place_in
from semanifold.app.actions.results import EDIT
from semanifold.app.actions.seen import consistency_words, described, fitting_words
from semanifold.app.answers import Answer, Caller, typed
from semanifold.app.commands.invert import CODE, NO_ENCODER, PROJECTED, Inversion, Inversions
from semanifold.core.errors import SemanifoldError, shown
from semanifold.core.latents import Latents
from semanifold.core.plain import JsonObject
from semanifold.core.progress import Progress, Report
from semanifold.core.solutions import Result, Solution
from semanifold.core.spaces import EXTENDED
from semanifold.edits import load_edit, save_edit
from semanifold.edits.weights import WeightEdit
from semanifold.generators.base import Generator
from semanifold.generators.exchange import export_codes, join_projections, projection, read_codes
from semanifold.generators.pools import pool_of, save_pool
from semanifold.images import media
from semanifold.images.masks import Mask, parse_mask
from semanifold.images.masks.grammar import FEATURES, SAM, regions_in
from semanifold.images.masks.segmenting import clicked_on
from semanifold.images.photographs import fitted, read_photograph
from semanifold.images.placements import Placement
from semanifold.inversion import Encoder, InversionSettings, NoiseSettings, TuningSettings, fit_noise, invert, load_encoder, tune
from semanifold.inversion.checkpoints import InversionNumbers
from semanifold.inversion.encoder import OWN, encoder_of
from semanifold.inversion.measures import edit_consistency, style_distance
from semanifold.inversion.noise import used_maps
from semanifold.inversion.placing import refined_placement
from semanifold.landmarks.regions import face_regions
from semanifold.storage.arrays import write_torch
from semanifold.storage.credentials import check_certificate
from semanifold.storage.files import is_file
from semanifold.storage.marks import COMPOSITE
from semanifold.storage.run_records import plain
from semanifold.storage.runs import CHECKPOINT, Run

SHEET, PICTURE, PREVIEW = "comparison.png", "inverted.png", "preview.png"
FITTING = {"noise": "fitting the noise maps", "tuning": "tuning the weights"}
"""What is fitted after a code is found, in this order, and what the bar says meanwhile."""


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
    projected = [one.folder / PROJECTED for one in single]
    if many.output.out is not None and all(map(is_file, projected)):
        join_projections(projected, many.output.out / PROJECTED)
    return Answer(said=(f"--- {len(single)} photographs",), next=typed(*single[0].then), parts=tuple(parts))


def invert_photo(command: Inversion, caller: Caller) -> Answer:
    """Invert one photograph."""
    return invert_on(command, load(command.model, caller), caller)


def invert_on(
    command: Inversion, generator: Generator, caller: Caller, place: Sequence[float] | Placement | None = None
) -> Answer:
    """Invert one photograph, or the part at a place of it, with a loaded generator, and write everything."""
    # what is missing is said before anything is searched for
    check_certificate()
    settings = replace(command.search.settings(), space=working_space(generator, command.search.space))
    if command.tune_noise:
        used_maps(generator, generator.example(0, settings.space))
    named = command.attributes
    reader = None if named is None else attribute_reader(named, command.weights, generator.device)
    name = shown(command.photo.name, 80)
    photograph = read_photograph(command.photo, remark=caller.remark)
    said: list[str] = []  # of the part that is taken, which the mask may refuse
    place = place or place_in(photograph, generator, command.crop, command.face, name, replace(caller, remark=said.append))
    is_face = isinstance(place, Placement)
    target, place = fitted(photograph, generator.picture_shape, place, name=name, remark=said.append)
    start = begin_code(command, generator, caller)
    mask = mask_on(command, generator, target, start)
    for sentence in said:
        caller.remark(sentence)

    def work(run: Run) -> Answer:
        began = time.monotonic()
        seen, at, counts = target, place, mask
        if is_face:
            at = placed(command, generator, photograph, place, settings, start, caller)
            seen, _ = fitted(photograph, generator.picture_shape, at)
            with suppress(SemanifoldError):  # a neighbour may have come into the part: the regions stay where they were
                counts = mask_on(command, generator, seen, start)
        solution = search(command, generator, seen, settings, start, counts, run, caller)
        seconds = round(time.monotonic() - began, 2)
        answer = write(command, generator, seen, at, solution, settings, seconds, run, caller)
        return answer if reader is None or answer.interrupted else with_readings(answer, reader, generator, seen, run)

    answer = worked(command, caller, "invert", command.folder, facts_of(generator), work, inputs=command.inputs)
    return replace(answer, files=(command.folder / SHEET,), next=() if answer.interrupted else typed(*command.then))


def begin_code(command: Inversion, generator: Generator, caller: Caller) -> Latents | None:
    """Return the code to begin at, if one was named."""
    begin = command.begin
    if begin.latents is not None:
        return read_given(read_codes, begin.latents, generator, begin.latents_space, caller.remark)[0]
    return None if begin.seed is None else generator.sample(begin.seed, labels=begin.label)


def mask_on(command: Inversion, generator: Generator, picture: Tensor, start: Latents | None) -> Mask | None:
    """Return the mask; its names are regions of the photograph's own face, or of the picture of the code to begin at.

    Args:
        command: with the mask's text.
        generator: makes the pictures.
        picture: the part of the photograph, ``[1, c, h, w]``.
        start: the code, if one was named.
    """
    if command.mask is None:
        return None
    if start is not None or FEATURES in command.mask:
        return read_mask(command.mask, generator, start)
    height, width = picture.shape[2:]
    named = face_regions(lambda: picture[0], shown(command.photo.name, 80))

    def regions(name: str) -> Mask:
        return clicked_on(picture, name) if name.startswith(SAM) else named(name)

    mask = parse_mask(command.mask, regions, size=(height, width))
    mask.check(height, width)
    return mask


def encoder_for(command: Inversion, generator: Generator) -> Encoder | Literal["own"] | None:
    """Return the encoder that was named, or the one that comes with the generator.

    That one reads the whole picture; inside of a mask it is used if the mask is made of regions of the photograph's face.
    """
    named, begin = command.begin.encoder, command.begin
    if named is None:
        of_face = command.mask is not None and regions_in(command.mask) is not None
        return encoder_of(generator, OWN) if of_face and begin.seed is None and begin.latents is None else OWN
    return None if str(named) == NO_ENCODER else load_encoder(named, generator)


def placed(
    command: Inversion,
    generator: Generator,
    photograph: Image.Image,
    place: Placement,
    settings: InversionSettings,
    start: Latents | None,
    caller: Caller,
) -> Placement:
    """Return where a face that was found lies for the generator."""
    with caller.watching(f"placing the face of {shown(command.photo.name, 40)}") as line:
        return refined_placement(
            generator,
            photograph,
            place,
            settings,
            start=start,
            labels=command.begin.label,
            encoder=encoder_for(command, generator),
            progress=line,
        )


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
            line({key: report[key] for key in ("step", "steps", "PSNR", "starts") if key in report})
            if report["step"] % 10 == 0 and "starts" not in report:
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
    write_codes(command, generator, code, picture, run)
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
    said = [described(solution.stats, seconds, generator, code, inside=command.mask is not None)]
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
        said.append(consistency_words(kept))
    if command.tune_noise or command.tune:
        weights = fit_weights(command, generator, code, target, settings, run, caller)
        said += weights.said
        numbers |= weights.facts
        if weights.interrupted:
            caller.remark(f"semanifold: interrupted; the nearest so far is in {run.folder}; the same command goes on from there.")
            return Answer(said=tuple(said), facts=numbers, interrupted=True)
    (run.folder / CHECKPOINT).unlink(missing_ok=True)
    run.note(inversion=numbers)
    return Answer(said=tuple(said), facts=numbers)


@torch.no_grad()
def with_readings(answer: Answer, reader: AttributeReader, generator: Generator, target: torch.Tensor, run: Run) -> Answer:
    """Read attributes from the photograph and from what has come of it, and add them to what there is to say."""
    code = read_codes(run.folder / CODE, generator)
    picture = generator.images(code)
    if is_file(run.folder / EDIT):
        picture = load_edit(run.folder / EDIT).images(generator, code, 1.0)
    numbers = reader.read(torch.cat([target, picture]).clamp(-1, 1), target)
    readings: JsonObject = {}
    words = []
    for attribute, column in zip(reader.attributes, numbers.T.tolist(), strict=True):
        values = [None if math.isnan(value) else value for value in column]
        readings[attribute.name] = dict(zip(("photograph", "inverted"), values, strict=True))
        shown_values = ["none" if value is None else f"{value:.3g}" for value in values]
        words.append(f"{shown(attribute.name, 40)} {shown_values[0]}, then {shown_values[1]}")
    facts = {**answer.facts, "attributes": readings}
    run.note(inversion=facts)
    return replace(answer, said=(*answer.said, f"Read from the photograph and its inversion: {'; '.join(words)}."), facts=facts)


def write_codes(
    command: Inversion, generator: Generator, code: Latents, picture: torch.Tensor, run: Run, maps: Sequence[torch.Tensor] = ()
) -> None:
    """Write a code as other programs read it, with the noise maps that were fitted to it, if any."""
    extended = generator.spaces.get(f"{code.space}{EXTENDED}")
    export_codes(run.path, "inverted", code.values, 0 if extended is None else extended.layers, maps=maps)
    if (projected := projection(generator, code, picture)) is not None:
        write_torch(run.path(PROJECTED), {command.photo.name: projected})


def fit_weights(
    command: Inversion,
    generator: Generator,
    code: Latents,
    target: torch.Tensor,
    settings: InversionSettings,
    run: Run,
    caller: Caller,
) -> Answer:
    """Fit the noise maps and then the weights, as far as either was asked for, and write what comes of it as one edit."""
    said, facts, changes = [], JsonObject(), {}
    with torch.no_grad():
        plain_picture = generator.images(code)
    edit, fitted_generator, interrupted = None, generator, False
    for name, wanted in (("noise", command.tune_noise), ("tuning", command.tune)):
        if not wanted or interrupted:
            continue
        with caller.watching(FITTING[name]) as line:

            def progress(report: Report, line: Progress = line) -> None:
                line({"step": report["step"], "steps": report["steps"], "PSNR": report["PSNR"]})
                if report["step"] % 10 == 0:
                    media.save_png(sheet(target, plain_picture, report["picture"]), run.path(PREVIEW), source=COMPOSITE)

            how = {"progress": progress, "checkpoint": run.path(f"{name}.state"), "throw": True}
            if name == "noise":
                done = fit_noise(fitted_generator, code, target, NoiseSettings(steps=wanted), settings, **how)
            else:
                done = tune(fitted_generator, code, target, TuningSettings(steps=wanted), settings, **how)
        interrupted = done.result is Result.INTERRUPTED
        changes |= done.value.deltas
        facts[name] = {**plain(done.stats), "result": done.result.name}
        said.append(fitting_words(name, done.stats))
        edit = WeightEdit(changes, replace(done.value.info, fingerprint=generator.fingerprint), start=code)
        fitted_generator = edit.baked(generator)
        with torch.no_grad():
            nearer = edit.images(generator, code, 1.0)
        frame = media.to_uint8(nearer)[0]
        save_edit(edit, run.path(EDIT))
        media.save_png(frame, run.path(PICTURE))
        media.save_png(sheet(target, plain_picture, nearer), run.path(SHEET), source=COMPOSITE)
        if name == "noise":
            write_codes(command, fitted_generator, code, nearer, run, list(fitted_generator.noise_maps().values()))
    run.remove(PREVIEW)
    if not interrupted:
        for name in FITTING:
            run.remove(f"{name}.state")
    return Answer(said=tuple(said), facts=facts, interrupted=interrupted)


def sheet(target: torch.Tensor, picture: torch.Tensor, tuned: torch.Tensor | None = None) -> media.Image.Image:
    """Return the photograph, the generator's picture, the tuned one if any, and four times the difference, side by side."""
    pictures = [target, picture] if tuned is None else [target, picture, tuned]
    difference = (4 * (pictures[-1] - target).abs()).clamp(0, 2) - 1
    frames = media.to_uint8(torch.cat([*pictures, difference]))
    names = ["photograph", "inverted", *(["tuned"] if tuned is not None else []), "difference x 4"]
    return media.contact_sheet(frames, names, columns=len(frames), size=256)
