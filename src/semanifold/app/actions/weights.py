"""What ``semanifold weights`` and ``bake`` do."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import torch

from semanifold.app.actions.base import beyond, facts_of, fitting, load, named_generator, start_code, worked
from semanifold.app.actions.directions import SHEET, draw
from semanifold.app.actions.results import find_edit
from semanifold.app.answers import NOBODY, Answer, Caller, typed
from semanifold.app.commands.early import MAPS
from semanifold.app.commands.places import model_for
from semanifold.app.commands.weights import Bake, Weights
from semanifold.core.errors import SemanifoldError
from semanifold.edits.baking import bake, full_strength
from semanifold.generators.base import Generator
from semanifold.generators.editing import check_layers, editable_layers
from semanifold.images.distances import distance_by_name
from semanifold.paths.files import PATHS, load_paths, save_paths
from semanifold.paths.weight_hessian import hessian_paths
from semanifold.paths.weight_masked import REFINEMENT
from semanifold.paths.weight_methods import SAMPLES, middle_layer, weight_paths
from semanifold.paths.weight_ranges import calibrated
from semanifold.paths.weights import WeightPaths, svd_paths
from semanifold.storage.files import is_file
from semanifold.storage.runs import CHECKPOINT, Run

TERMS, STEPS = 64, 16


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
        paths = found_before(run.folder / PATHS, generator, layers, command.k, caller)
        if paths is None:
            paths = find(command, generator, layers, run.folder / CHECKPOINT, caller)
            save_paths(paths, run.path(PATHS))
        draw(generator, paths, code, run.path(SHEET), caller, command.mask or "")
        what = f"{len(paths)} directions in {paths.what_moves} of {generator.name}, by {paths.info.method}."
        return Answer(said=(what, *ranges(paths)), facts=paths.info.measured)

    answer = worked(command, caller, "weights", folder, facts_of(generator), work, given=command.inputs)
    return replace(answer, files=(folder / SHEET,), next=typed(*command.then))


def find(command: Weights, generator: Generator, layers: tuple[str, ...], checkpoint: Path, caller: Caller) -> WeightPaths:
    """Return the set."""
    assert command.method != "layers"
    with caller.watching(f"directions in {', '.join(layers)}") as line:
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


def found_before(file: Path, generator: Generator, layers: tuple[str, ...], k: int, caller: Caller) -> WeightPaths | None:
    """Return the directions that an earlier run of the same command has found, measured and written; None if there are none."""
    try:
        held = load_paths(file) if is_file(file) else None
        if not isinstance(held, WeightPaths) or "evenness" not in held.info.measured:
            return None
        held.check_generator(generator)
    except SemanifoldError as error:
        caller.remark(f"{str(error).rstrip('.')}; the directions are found again.")
        return None
    expected = (generator.fingerprint, layers, k)
    return held.to(generator.device) if (held.info.fingerprint, tuple(held.layers), len(held)) == expected else None


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


def weight_paths_to_train(
    generator: Generator,
    kind: str,
    layers: tuple[str, ...],
    k: int,
    seed: int,
    *,
    basis: WeightPaths | None = None,
    far: float | None = None,
    caller: Caller = NOBODY,
) -> WeightPaths:
    """Return K random combinations of singular vectors, or of the 64 (or K) leading eigenvectors of the Hessian, to be trained.

    Args:
        generator: whose weights move.
        kind: ``weights-svd`` or ``weights-hessian``.
        layers: whose weights they are; the convolution in the middle if empty.
        k: K.
        seed: of the combinations.
        basis: directions to combine in place of the eigenvectors.
        far: norm of the change at ``t = 1``; a magnitude is a norm then, and else 1 where a change is seen at once.
        caller: hears how far it is.
    """
    if basis is None:
        basis = basis_to_combine(generator, kind, layers or (middle_layer(generator),), k, caller)
    draw = torch.Generator().manual_seed(seed)
    coefficients = torch.randn(k, len(basis), generator=draw)
    info = replace(basis.info, method=f"trained {kind}", step=(far or 1) / STEPS, count=STEPS, mask="", names={}, measured={})
    if basis.form == "svd":
        made = WeightPaths.from_svd(basis.u, basis.vh, basis.layers, info, coefficients=coefficients)
    else:
        vectors = basis.coefficients @ basis.basis
        vectors = vectors / vectors.norm(dim=1, keepdim=True)
        made = WeightPaths.from_vectors(vectors, basis.layers, info, coefficients=coefficients)
    made = made.to(generator.device)
    if far is None:
        with caller.watching("finding how far each may go") as line:
            made = calibrated(made, generator, samples=3, progress=line).with_info(measured={})
    made.coefficients.requires_grad_()
    return made


def basis_to_combine(generator: Generator, kind: str, layers: tuple[str, ...], k: int, caller: Caller) -> WeightPaths:
    """Return the singular vectors of a layer's weight, or the leading eigenvectors of the Hessian."""
    if kind == "weights-svd":
        if len(layers) != 1:
            raise SemanifoldError("Singular vectors are those of one layer; name one --layer.")
        return svd_paths(generator, layers[0])
    check_layers(generator, layers)
    terms = min(max(k, TERMS), sum(math.prod(editable_layers(generator)[layer]) for layer in layers))
    with caller.watching("finding eigenvectors of the Hessian") as line:
        return hessian_paths(generator, layers, terms, samples=SAMPLES, progress=line)


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
