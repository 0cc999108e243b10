"""What ``semanifold bench`` does."""

from __future__ import annotations

from dataclasses import replace

from semanifold.app.actions.base import facts_of, load, start_run
from semanifold.app.commands import early
from semanifold.app.commands.base import FACES, code_words
from semanifold.app.commands.bench import Bench
from semanifold.app.terminal import facts, hint, progress_line, say, show
from semanifold.locality.benchmark import ROWS, run_benchmark
from semanifold.locality.methods import METHODS
from semanifold.locality.worlds import world_of
from semanifold.storage.files import write_text
from semanifold.storage.records import write_json
from semanifold.storage.runs import working

TABLE, NUMBERS, FIGURE = "locality.md", "locality.json", "locality.png"


def bench(command: Bench) -> int:
    """Print the table, and write it with its figure."""
    generator = load(command.model)
    world = world_of(generator, command.settings.masks, command.settings.layer)
    folder = command.output.folder("locality", *([] if command.model.generator == FACES else [command.model.word]))
    run = start_run(command, "bench", folder, facts_of(generator), early.inputs(masks=command.settings.masks))
    if run.finished:
        say(f"{folder} is finished already; --overwrite does it again.")
    else:
        with working(run), progress_line(command.what) as line:
            run.path(ROWS)
            settings = replace(command.settings, generator=generator.name, out=folder)
            report = run_benchmark(world, settings, METHODS, line)
            write_text(run.path(TABLE), report.markdown() + "\n")
            write_json(run.path(NUMBERS), report.numbers(), 1)
            report.figure(run.path(FIGURE))
            facts(report=report.numbers())
            say(report.markdown())
    show(folder / FIGURE, folder / TABLE)
    hint(
        "discover",
        "--mask",
        command.settings.masks[0],
        *code_words(command.model.generator),
        "--seeds",
        command.settings.faces[0],
    )
    return 0
