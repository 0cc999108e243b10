"""What ``semanifold weights`` and ``bake`` do."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import torch

from semanifold.app.actions.base import beyond, facts_of, fitting, load, named_generator, start_code, start_run
from semanifold.app.actions.directions import SHEET, draw
from semanifold.app.actions.results import find_edit
from semanifold.app.commands.early import MAPS
from semanifold.app.commands.places import model_for
from semanifold.app.commands.weights import Bake, Weights
from semanifold.app.terminal import facts, hint, progress_line, remark, say, show
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
from semanifold.storage.runs import CHECKPOINT, working

TERMS, STEPS = 64, 16


def find_weights(command: Weights) -> int:
    """Find the directions, write them, and draw the sheet."""
    generator = load(command.model)
    if command.method == "layers":
        return list_layers(generator)
    layers = command.layer or (middle_layer(generator),)
    check_layers(generator, layers)
    code = start_code(command.start, generator)
    folder = command.folder
    run = start_run(command, "weights", folder, facts_of(generator), command.inputs)
    if run.finished:
        say(f"{folder} is finished already; --overwrite does it again.")
    else:
        with working(run):
            # the search may have been done when the sheet was not
            paths = found_before(run.folder / PATHS, generator, layers, command.k)
            if paths is None:
                paths = find(command, generator, layers, run.folder / CHECKPOINT)
                save_paths(paths, run.path(PATHS))
            draw(generator, paths, code, run.path(SHEET), command.mask or "")
            say(f"{len(paths)} directions in {paths.what_moves} of {generator.name}, by {paths.info.method}.")
            tell_ranges(paths)
    show(folder / SHEET)
    hint(*command.then)
    return 0


def find(command: Weights, generator: Generator, layers: tuple[str, ...], checkpoint: Path) -> WeightPaths:
    """Return the set."""
    assert command.method != "layers"
    with progress_line(f"directions in {', '.join(layers)}") as line:
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


def found_before(file: Path, generator: Generator, layers: tuple[str, ...], k: int) -> WeightPaths | None:
    """Return the directions that an earlier run of the same command has found, measured and written; None if there are none."""
    try:
        held = load_paths(file) if is_file(file) else None
        if not isinstance(held, WeightPaths) or "evenness" not in held.info.measured:
            return None
        held.check_generator(generator)
    except SemanifoldError as error:
        remark(f"{str(error).rstrip('.')}; the directions are found again.")
        return None
    expected = (generator.fingerprint, layers, k)
    return held.to(generator.device) if (held.info.fingerprint, tuple(held.layers), len(held)) == expected else None


def tell_ranges(paths: WeightPaths) -> None:
    """Say how far the directions may go, and how evenly pictures change along them."""
    measured = paths.info.measured
    facts(**measured)
    if ratios := measured.get("outside_inside"):
        span = f"{min(ratios):.2g} to {max(ratios):.2g}"
        say(f"Outside of the mask, the pictures that decide change {span} times as much as inside (mean squares).")
    even = sorted(measured["evenness"])
    low, high = (f"{min(measured[end]):.2g} to {max(measured[end]):.2g}" for end in ("low", "high"))
    say(f"They may be used down to t = {low} and up to {high}; evenness {even[0]:.2g} to {even[-1]:.2g} (1 is even).")


def weight_paths_to_train(
    generator: Generator,
    kind: str,
    layers: tuple[str, ...],
    k: int,
    seed: int,
    *,
    basis: WeightPaths | None = None,
    far: float | None = None,
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
    """
    if basis is None:
        basis = basis_to_combine(generator, kind, layers or (middle_layer(generator),), k)
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
        with progress_line("finding how far each may go") as line:
            made = calibrated(made, generator, samples=3, progress=line).with_info(measured={})
    made.coefficients.requires_grad_()
    return made


def basis_to_combine(generator: Generator, kind: str, layers: tuple[str, ...], k: int) -> WeightPaths:
    """Return the singular vectors of a layer's weight, or the leading eigenvectors of the Hessian."""
    if kind == "weights-svd":
        if len(layers) != 1:
            raise SemanifoldError("Singular vectors are those of one layer; name one --layer.")
        return svd_paths(generator, layers[0])
    check_layers(generator, layers)
    terms = min(max(k, TERMS), sum(math.prod(editable_layers(generator)[layer]) for layer in layers))
    with progress_line("finding eigenvectors of the Hessian") as line:
        return hessian_paths(generator, layers, terms, samples=SAMPLES, progress=line)


def list_layers(generator: Generator) -> int:
    """Say which layers have weights that can be edited."""
    known = editable_layers(generator)
    facts(layers={layer: list(shape) for layer, shape in known.items()})
    for layer, shape in known.items():
        say(f"{layer:<24} {' x '.join(map(str, shape)):<20} {math.prod(shape):,} numbers")
    return 0


def bake_edit(command: Bake) -> int:
    """Write the generator with the edit inside."""
    named = named_generator(command.model)
    edit = find_edit(command.edit, generator=named)
    model = model_for(command.model, command.edit, edit.info.generator)
    generator = named or load(model)
    (edit,) = fitting(generator, [edit], force=command.model.force)
    strength = full_strength(edit) if command.strength is None else command.strength
    baked = bake(
        edit, generator, command.target, strength=strength, layout=command.layout, overwrite=command.overwrite, say=remark
    )
    beyond(edit, strength)
    facts(fingerprint=baked.fingerprint, target=str(command.target))
    say(f"{command.target}: {generator.name} with {edit.info.name} inside, at strength {strength:.3g}.")
    maps = ["--inputs", model.inputs or MAPS] if generator.inputs is not None else []
    hint("sample", "--generator", command.target, *maps)
    return 0
