"""What ``semanifold bench`` does."""

from __future__ import annotations

from dataclasses import replace

from semanifold.app.actions.base import facts_of, load, worked
from semanifold.app.answers import Answer, Caller, typed
from semanifold.app.commands import early
from semanifold.app.commands.base import FACES
from semanifold.app.commands.bench import Bench
from semanifold.locality.benchmark import run_benchmark
from semanifold.locality.methods import METHODS
from semanifold.locality.rows import ROWS
from semanifold.locality.worlds import world_of
from semanifold.storage.files import write_text
from semanifold.storage.records import write_json
from semanifold.storage.runs import Run

TABLE, NUMBERS, FIGURE = "locality.md", "locality.json", "locality.png"


def bench(command: Bench, caller: Caller) -> Answer:
    """Measure the table, and write it with its figure."""
    generator = load(command.model, caller)
    world = world_of(generator, command.settings.masks, command.settings.layer)
    folder = command.output.folder("locality", *([] if command.model.generator == FACES else [command.model.word]))

    def work(run: Run) -> Answer:
        with caller.watching(command.what) as line:
            run.path(ROWS)
            settings = replace(command.settings, generator=generator.name, out=folder)
            report = run_benchmark(world, settings, METHODS, line)
        write_text(run.path(TABLE), report.markdown() + "\n")
        write_json(run.path(NUMBERS), report.numbers(), 1)
        report.figure(run.path(FIGURE))
        return Answer(said=(report.markdown(),), facts={"report": report.numbers()})

    inputs = early.inputs(masks=command.settings.masks)
    answer = worked(command, caller, "bench", folder, facts_of(generator), work, inputs=inputs)
    mask, face = command.settings.masks[0], command.settings.faces[0]
    then = typed("discover", "--mask", mask, *command.model.words, "--seeds", face)
    return replace(answer, files=(folder / FIGURE, folder / TABLE), next=then)
