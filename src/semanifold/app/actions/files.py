"""What ``semanifold sample``, ``inspect`` and ``convert`` do."""

from __future__ import annotations

from dataclasses import asdict

import torch

from semanifold.app.actions.base import facts_of, load, sample, start_run, truncated
from semanifold.app.actions.results import FRAMES
from semanifold.app.commands.files import Convert, Inspect, Sample
from semanifold.app.inspecting import inspect
from semanifold.app.terminal import facts, hint, progress_line, remark, say, show
from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.edits.films import CHUNK
from semanifold.generators.base import Generator
from semanifold.generators.exchange import export_codes
from semanifold.generators.loading import convert
from semanifold.generators.pools import POOL, pool_of, save_pool
from semanifold.images import media
from semanifold.storage.runs import working

SHEET = "contact.png"


def show_samples(command: Sample) -> int:
    """Write the pictures, a contact sheet and the codes."""
    if not command.seeds:
        raise SemanifoldError("There is no seed; give at least one number after --seeds.")
    generator = load(command.model)
    codes = sampled_codes(command, generator)
    generator = generator.with_noise(command.noise, command.noise_seed)
    codes = generator.convert(codes, command.space) if command.space else codes
    folder = command.folder
    run = start_run(command, "sample", folder, facts_of(generator))
    if run.finished:
        say(f"{folder} is finished already; --overwrite does it again.")
    else:
        with working(run), torch.no_grad(), progress_line("pictures") as line:
            frames = run.path(FRAMES)
            for first in range(0, len(codes), CHUNK):
                part = generator.images(codes[first : first + CHUNK])
                media.save_frames(media.to_uint8(part), frames, first=first)
                line({"step": first + len(part), "steps": len(codes)})
            sheet = media.contact_sheet(media.FrameFolder(frames), [str(seed) for seed in command.seeds])
            media.save_png(sheet, run.path(SHEET))
            export_codes(run.path, "sample", codes.values, layers=0)
            save_pool(pool_of(codes, generator, command.seeds), run.path(POOL))
        count = len(codes)
        say(f"{count} picture{'s' * (count != 1)} of {generator.name}, each with its number below it.")
    show(folder / SHEET)
    hint(*command.then)
    return 0


def sampled_codes(command: Sample, generator: Generator) -> Latents:
    """Return the codes, truncated and mixed."""
    if (command.mix is None) != (command.mix_layers is None):
        raise SemanifoldError("Style mixing takes the number of a picture and layers: give --mix and --mix-layers together.")
    if command.cutoff is not None and (command.truncation == 1 or command.cutoff < 1):
        raise SemanifoldError("cutoff is how many layers are truncated, at least 1; give --truncation below 1 with it.")
    codes = sample(generator, command.seeds, label=command.label)
    codes = truncated(generator, codes, command.truncation, command.cutoff)
    if command.mix is not None and command.mix_layers is not None:
        other = truncated(generator, sample(generator, (command.mix,), label=command.label), command.truncation, command.cutoff)
        codes = generator.mix(codes, other, command.mix_layers)
    return codes


def inspect_files(command: Inspect) -> int:
    """Print what files and folders are."""
    reports = [inspect(path) for path in command.files]
    facts(reports=[asdict(report) for report in reports])
    say("\n\n".join(str(report) for report in reports))
    return 0


def convert_file(command: Convert) -> int:
    """Write the new file."""
    generator = convert(
        command.source, command.target, half=command.half, layout=command.layout, overwrite=command.overwrite, say=remark
    )
    words = f"{generator.name}, {generator.picture_shape[1]} pixels, {command.target.stat().st_size / 2**20:.1f} MB"
    facts(fingerprint=generator.fingerprint, target=str(command.target))
    say(f"{command.target}: {words}, fingerprint {generator.fingerprint}")
    hint("sample", "--generator", command.target)
    return 0
