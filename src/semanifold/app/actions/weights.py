"""What ``semanifold weights`` and ``bake`` do."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from semanifold.app.actions.base import beyond, facts_of, fitting, load, named_generator, start_code, worked
from semanifold.app.actions.directions import FACES, SHEET, draw, first_words
from semanifold.app.actions.results import find_edit
from semanifold.app.answers import Answer, Caller, typed
from semanifold.app.commands.early import MAPS
from semanifold.app.commands.places import model_for
from semanifold.app.commands.weights import Bake, Weights
from semanifold.core.errors import SemanifoldError
from semanifold.edits.baking import bake, full_strength
from semanifold.generators.base import Generator
from semanifold.generators.editing import check_layers, editable_layers
from semanifold.images.distances import distance_by_name
from semanifold.paths.files import PATHS, save_paths
from semanifold.paths.weight_masked import REFINEMENT
from semanifold.paths.weight_methods import SAMPLES, middle_layer, weight_paths
from semanifold.paths.weight_trained import measured_in
from semanifold.paths.weights import WeightPaths
from semanifold.storage.files import is_file
from semanifold.storage.runs import CHECKPOINT, Run

SHARES = {"mask": (2, 6, 1), "hessian": (9, 1), "joint": (9, 1)}
"""How much of the time of a method its parts take, about: looking at pictures, refining, measuring how far each may go."""


def find_weights(command: Weights, caller: Caller) -> Answer:
    """Find the directions, write them, and draw the sheet."""
    generator = load(command.model, caller)
    if command.method == "layers":
        return list_layers(generator)
    layers = command.layer or (middle_layer(generator),)
    check_layers(generator, layers)
    code = start_code(command.start, generator, caller)
    folder = command.folder

    def work(run: Run) -> Answer:
        # the search may have been done when the sheet was not
        try:
            paths = measured_in(run.folder / PATHS, generator, layers, command.k)
        except SemanifoldError as error:
            caller.remark(f"{str(error).rstrip('.')}; the directions are found again.")
            paths = None
        if paths is None:
            if is_file(run.folder / CHECKPOINT):
                caller.remark("The search goes on where it was interrupted.")
            paths = find(command, generator, layers, run.folder / CHECKPOINT, caller)
            save_paths(paths, run.path(PATHS))
        shown = draw(generator, paths, code, run.path(SHEET), caller, command.mask or "", 1 if command.one else FACES)
        what = f"{len(paths)} directions in {paths.what_moves} of {generator.name}, by {paths.info.method}."
        return Answer(said=(what, *first_words(shown), *ranges(paths)), facts=paths.info.measured)

    answer = worked(command, caller, "weights", folder, facts_of(generator), work, inputs=command.inputs)
    return replace(answer, files=(folder / SHEET,), next=typed(*command.then))


def find(command: Weights, generator: Generator, layers: tuple[str, ...], checkpoint: Path, caller: Caller) -> WeightPaths:
    """Return the set."""
    assert command.method != "layers"
    with caller.watching(f"directions in {', '.join(layers)}", SHARES.get(command.method, ())) as line:
        return weight_paths(
            generator,
            command.method,
            layers=layers,
            k=command.k,
            mask=command.mask,
            samples=command.samples or SAMPLES,
            seeds=[command.start.seed] if command.one else None,
            refine=REFINEMENT if command.refine is None else command.refine,
            distance=distance_by_name(command.distance),
            size=command.size,
            checkpoint=checkpoint,
            progress=line,
        )


def ranges(paths: WeightPaths) -> list[str]:
    """Return in sentences how far the directions may go, and how evenly pictures change along them."""
    measured, said = paths.info.measured, []
    if ratios := measured.get("outside_inside"):
        span = f"{min(ratios):.2g} to {max(ratios):.2g}"
        said.append(f"Outside of the mask, the pictures that decide change {span} times as much as inside (mean squares).")
    even = sorted(measured["evenness"])
    low, high = (f"{min(measured[end]):.2g} to {max(measured[end]):.2g}" for end in ("low", "high"))
    said.append(f"They may be used down to t = {low} and up to {high}; evenness {even[0]:.2g} to {even[-1]:.2g} (1 is even).")
    return said


def list_layers(generator: Generator) -> Answer:
    """Return which layers have weights that can be edited."""
    known = editable_layers(generator)
    said = (f"{layer:<24} {' x '.join(map(str, shape)):<20} {math.prod(shape):,} numbers" for layer, shape in known.items())
    return Answer(said=tuple(said), facts={"layers": {layer: list(shape) for layer, shape in known.items()}})


def bake_edit(command: Bake, caller: Caller) -> Answer:
    """Write the generator with the edit inside."""
    named = named_generator(command.model, caller)
    edit = find_edit(command.edit, generator=named, remark=caller.remark)
    model = model_for(command.model, command.edit, edit.info.generator)
    generator = named or load(model, caller)
    (edit,) = fitting(generator, [edit], caller, force=command.model.force)
    strength = full_strength(edit) if command.strength is None else command.strength
    how = {"layout": command.layout, "overwrite": command.overwrite, "say": caller.remark}
    baked = bake(edit, generator, command.target, strength=strength, **how)
    beyond(caller, edit, strength)
    maps = ["--inputs", model.inputs or MAPS] if generator.inputs is not None else []
    return Answer(
        said=(f"{command.target}: {generator.name} with {edit.info.name} inside, at strength {strength:.3g}.",),
        next=typed("sample", "--generator", command.target, *maps),
        facts={"fingerprint": baked.fingerprint, "target": str(command.target)},
    )
