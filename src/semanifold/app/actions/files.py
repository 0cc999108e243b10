"""What ``semanifold sample``, ``inspect`` and ``convert`` do."""

from __future__ import annotations

from dataclasses import asdict, replace

import torch

from semanifold.app.actions.base import facts_of, load, sample, truncated, worked
from semanifold.app.actions.results import FRAMES
from semanifold.app.answers import Answer, Caller, typed
from semanifold.app.commands.files import Convert, Inspect, Sample
from semanifold.app.inspecting import inspect
from semanifold.core.errors import SemanifoldError, counted, shown
from semanifold.core.latents import Latents
from semanifold.edits.films import CHUNK
from semanifold.generators.base import Generator
from semanifold.generators.exchange import export_codes
from semanifold.generators.loading import convert
from semanifold.generators.pools import POOL, pool_of, save_pool
from semanifold.images import media
from semanifold.storage.containers import DAMAGED, EMPTY, UNKNOWN
from semanifold.storage.runs import Run

SHEET = "contact.png"


def show_samples(command: Sample, caller: Caller) -> Answer:
    """Write the pictures, a contact sheet and the codes."""
    if not command.seeds:
        raise SemanifoldError("There is no seed; give at least one number after seeds=.")
    generator = load(command.model, caller)
    codes = sampled_codes(command, generator)
    generator = generator.with_noise(command.noise, command.noise_seed)
    codes = generator.convert(codes, command.space) if command.space else codes

    def work(run: Run) -> Answer:
        frames = run.path(FRAMES)
        with torch.no_grad(), caller.watching("pictures") as line:
            for first in range(0, len(codes), CHUNK):
                part = generator.images(codes[first : first + CHUNK])
                media.save_frames(media.to_pixels(part), frames, first=first)
                line({"step": first + len(part), "steps": len(codes)})
        sheet = media.contact_sheet(media.FrameFolder(frames), [str(seed) for seed in command.seeds])
        media.save_png(sheet, run.path(SHEET))
        export_codes(run.path, "sample", codes.values, layers=0)
        save_pool(pool_of(codes, generator, command.seeds), run.path(POOL))
        return Answer(said=(f"{counted(len(codes), 'picture')} of {generator.name}, each with its number below it.",))

    answer = worked(command, caller, "sample", command.folder, facts_of(generator), work)
    return replace(answer, files=(command.folder / SHEET,), next=typed(*command.then))


def sampled_codes(command: Sample, generator: Generator) -> Latents:
    """Return the codes, truncated and mixed."""
    if (command.mix is None) != (command.mix_layers is None):
        raise SemanifoldError("Style mixing takes the number of a picture and layers: give mix= and mix_layers= together.")
    if command.cutoff is not None and (command.truncation == 1 or command.cutoff < 1):
        raise SemanifoldError("cutoff is how many layers are truncated, at least 1; give truncation= below 1 with it.")
    codes = sample(generator, command.seeds, label=command.label)
    codes = truncated(generator, codes, command.truncation, command.cutoff)
    if command.mix is not None and command.mix_layers is not None:
        other = truncated(generator, sample(generator, (command.mix,), label=command.label), command.truncation, command.cutoff)
        codes = generator.mix(codes, other, command.mix_layers)
    return codes


def inspect_files(command: Inspect, caller: Caller) -> Answer:
    """Return what files and folders are.

    Raises:
        SemanifoldError: if a file is of no kind that is known, or so damaged that nothing in it can be named.
    """
    reports = [inspect(path) for path in command.files]
    for report in reports:
        if report.format.startswith((*UNKNOWN, EMPTY)):
            raise SemanifoldError(f"{shown(report.path, 200)} is {report.format}.")
        if not report.usable and not report.tensors and DAMAGED in report.advice:
            raise SemanifoldError(f"{shown(report.path, 200)}: {report.advice}")
    said = "\n\n".join(str(report) for report in reports)
    return Answer(said=(said,), facts={"reports": [asdict(report) for report in reports]})


def convert_file(command: Convert, caller: Caller) -> Answer:
    """Write the new file."""
    how = {"half": command.half, "layout": command.layout, "overwrite": command.overwrite}
    generator = convert(command.source, command.target, **how, say=caller.remark)
    words = f"{generator.name}, {generator.picture_shape[1]} pixels, {command.target.stat().st_size / 2**20:.1f} MB"
    return Answer(
        said=(f"{command.target}: {words}, fingerprint {generator.fingerprint}",),
        next=typed("sample", "--generator", command.target),
        facts={"fingerprint": generator.fingerprint, "target": str(command.target)},
    )
