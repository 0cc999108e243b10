"""What ``semanifold encoder`` does."""

from __future__ import annotations

from dataclasses import replace

import torch

from semanifold.app.actions.base import existing, facts_of, load, worked
from semanifold.app.answers import Answer, Caller
from semanifold.app.commands.encoder import FILE, SHEET, TrainEncoder
from semanifold.core.progress import Report
from semanifold.core.solutions import Result, Solution
from semanifold.generators.base import Generator
from semanifold.images import media
from semanifold.inversion import Encoder, save_encoder, train_encoder
from semanifold.inversion.encoder_training import EncoderNumbers
from semanifold.inversion.solve import decibels
from semanifold.storage.runs import CHECKPOINT, Run

HELD_OUT = range(-16, 0)
"""Seeds of pictures that no training draws."""
SHOWN = 6


def train(command: TrainEncoder, caller: Caller) -> Answer:
    """Train, and write the encoder, its numbers and what it reads from pictures that it never saw."""
    generator = load(command.model, caller)

    def work(run: Run) -> Answer:
        solution = trained(command, generator, run, caller)
        if not solution.result.good:  # taking it up again would fail in the same way
            (run.folder / CHECKPOINT).unlink(missing_ok=True)
        encoder = solution.unwrap()
        psnr = write_sheet(encoder, generator, run)
        save_encoder(encoder, run.path(FILE))
        numbers = {**solution.stats, "psnr": psnr}
        run.note(encoder=numbers)
        size = (run.folder / FILE).stat().st_size / 1e6
        said = f"{generator.name}: pictures that it never saw come back at {psnr:.1f} dB; {size:.1f} MB."
        if solution.result is Result.INTERRUPTED:
            caller.remark(
                f"semanifold: interrupted; the encoder so far is in {run.folder}, and the same command goes on from there."
            )
            return Answer(said=(said,), facts=numbers, interrupted=True)
        (run.folder / CHECKPOINT).unlink(missing_ok=True)
        return Answer(said=(said, f"Begin inversions with it: encoder={run.folder / FILE}"), facts=numbers)

    answer = worked(command, caller, "encoder", command.folder, facts_of(generator), work)
    return replace(answer, files=existing(command.folder, SHEET, FILE))


def trained(command: TrainEncoder, generator: Generator, run: Run, caller: Caller) -> Solution[Encoder, EncoderNumbers]:
    """Train, from the checkpoint if there is one."""
    with caller.watching("training an encoder") as line:

        def progress(report: Report) -> None:
            line({"step": report["step"], "steps": report["steps"], "code error": report["code error"]})

        settings = command.training.settings()
        return train_encoder(generator, settings, progress=progress, checkpoint=run.folder / CHECKPOINT, throw=False)


@torch.no_grad()
def write_sheet(encoder: Encoder, generator: Generator, run: Run) -> float:
    """Draw held-out pictures above those of the codes that are read from them; return the mean PSNR in dB."""
    codes = generator.example(HELD_OUT, encoder.space)
    pictures = generator.images(codes).clamp(-1, 1)
    again = generator.images(codes.with_values(encoder.codes(pictures, generator).values)).clamp(-1, 1)
    rows = [media.contact_sheet(media.to_uint8(part[:SHOWN]), columns=SHOWN) for part in (pictures, again)]
    media.save_png(media.stack_rows(rows, ["pictures", "as it reads them"]), run.path(SHEET))
    return sum(decibels(float(error)) for error in (again - pictures).square().flatten(1).mean(1)) / len(pictures)
