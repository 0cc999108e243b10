"""What can be done with paths that were found; ``t = 0`` stays the unedited picture throughout."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from semanifold.core.errors import SemanifoldError, of_type
from semanifold.core.latents import Latents
from semanifold.core.solutions import Solution
from semanifold.core.spaces import Space, is_extended, single
from semanifold.edits.base import Edit, EditInfo
from semanifold.edits.lattice import Lattice
from semanifold.edits.steps import path_start, picture_steps
from semanifold.edits.sums import Sum
from semanifold.edits.weights import WeightEdit
from semanifold.generators.base import Generator, as_latents
from semanifold.images.distances import Distance, l2

MOST_EDITS = 1000
SAMPLES = 4
"""Pictures per frame that a path is measured with."""


Path = Edit | Solution[Lattice, Mapping[str, object]]
"""A path, or the solution that holds it."""


def combine(edits: Sequence[Path], *, pad: bool = False) -> Lattice | Sum:
    """Put the results of several masks on one face (Yang et al. 2020, section 4): displacements add up, and changes of weights.

    Args:
        edits: at least two paths of codes of one space (beside paths of w+, those of w move all layers alike) or of weights.
        pad: give two paths an axis each, ``displacement(s, t) = a(s) + b(t)``, instead of running all at the same ``t``.

    Raises:
        SemanifoldError: if there are too few or too many, or they do not live in one space.
    """
    if isinstance(edits, Edit | Solution):
        raise SemanifoldError("Combining takes a list of paths, combine([a, b]); got one.")
    of_type(edits, Iterable, "Combining takes a list of paths, combine([a, b])")
    members = [path_of(edit) for edit in itertools.islice(edits, MOST_EDITS)]
    paths = [leaf for edit in members for leaf in edit.leaves]
    of_codes = [edit for edit in paths if isinstance(edit, Lattice)]
    of_weights = [edit for edit in paths if isinstance(edit, WeightEdit)]
    if not of_weights or len(members) < 2:
        return _combined_codes(of_codes, pad=pad)
    if pad:
        raise SemanifoldError("A pad is made of two paths of codes; edits of weights are combined without it.")
    parts = [_combined_codes(of_codes, pad=False)] if len(of_codes) > 1 else of_codes
    start = next((edit.start for edit in members if edit.start is not None), None)
    return Sum([*parts, *of_weights], _joint_info([edit.info for edit in members]), start=start)


def _combined_codes(edits: list[Lattice], *, pad: bool) -> Lattice:
    """Return the sum of paths of codes, or the pad of two."""
    if len(edits) < 2 or (pad and len(edits) != 2):
        raise SemanifoldError(
            f"{'A pad takes exactly 2 paths' if pad else 'Combining takes at least 2 paths'}; got {len(edits)}."
        )
    spaces = {edit.info.space for edit in edits}
    extended = next((name for name in spaces if is_extended(name) and spaces == {name, single(name)}), None)
    if extended:
        edits = [edit.whole() for edit in edits]
        (shape, *others) = {edit.moving_shape for edit in edits if edit.info.space == extended}
        edits = edits if others else [edit.embedded(Space(extended, shape)) for edit in edits]
    shapes = {(edit.info.space, tuple(edit.displacements.shape[edit.dimensions :]), edit.dimensions) for edit in edits}
    if len(shapes) != 1 or edits[0].dimensions != 1:
        kinds = [
            f"{edit.info.name!r} is a {'pad' if edit.dimensions == 2 else 'path'} in {space} {list(shape)}"
            for edit, (space, shape) in zip(edits, [(e.info.space, e.displacements.shape[e.dimensions :]) for e in edits])
        ]
        raise SemanifoldError(
            f"Only paths of one dimension in the same space of the same generator can be combined, but {', '.join(kinds)}."
        )
    info = _joint_info([edit.info for edit in edits])
    start = next((edit.start for edit in edits if edit.start is not None), None)
    if pad:
        first, second = edits
        return Lattice(
            first.displacements[:, None] + second.displacements[None], (first.knots[0], second.knots[0]), info, start=start
        )
    knots = torch.unique(torch.cat([edit.knots[0] for edit in edits]))
    low, high = (pick(edit.knots[0][end].item() for edit in edits) for pick, end in ((max, 0), (min, -1)))
    knots = knots[(knots >= low) & (knots <= high)]
    return Lattice(torch.stack([edit.displacement(knots) for edit in edits]).sum(0), (knots,), info, start=start)


def path_of(edit: object) -> Lattice | WeightEdit | Sum:
    """Return a path that can be combined and timed, or that of a solution.

    Raises:
        SemanifoldError: if it is none, or the search failed.
    """
    edit = edit.unwrap() if isinstance(edit, Solution) else edit
    if not isinstance(edit, Lattice | WeightEdit | Sum):  # the leaves that say where they are at a t without a code
        raise SemanifoldError(
            f"A path of displacements is expected, but got a value of type {type(edit).__name__}; other edits become one "
            "by traced(edit, code)."
        )
    return edit


def lattice_of(edit: object) -> Lattice:
    """Return a path of codes, or that of a solution.

    Raises:
        SemanifoldError: if it is none, or the search failed.
    """
    path = path_of(edit)
    if not isinstance(path, Lattice):
        raise SemanifoldError(f"{path.info.name} changes weights, the same on every picture; use it as it is.")
    return path


def transfer(edit: Path, latents: Latents | int, generator: Generator | None = None) -> Lattice:
    """Carry a path over to another face: the same displacements from another code (Yang et al. 2020, section 4).

    Args:
        edit: what was found on one face.
        latents: one code in the edit's space; or its seed, which needs the generator.
        generator: makes the code of a seed.

    Raises:
        SemanifoldError: if the code does not fit the edit, or there is not exactly one.
    """
    edit = lattice_of(edit)
    latents = as_latents(latents, generator, edit.info.space)
    if len(latents) != 1:
        raise SemanifoldError(f"An edit is carried to one code at a time, but {len(latents)} were given.")
    edit.latents(latents, torch.zeros(edit.dimensions))
    return Lattice(edit.displacements, edit.knots, edit.info, start=latents)


def retime(
    generator: Generator, edit: Path, *, frames: int | None = None, distance: Distance = l2, size: int | None = None
) -> Lattice | WeightEdit | Sum:
    """Walk the same way in steps that look even: equal distance between consecutive pictures.

    Each side of the start is timed on its own, so that ``t = 0`` stays where it is.

    Args:
        generator: the generator of the edit.
        edit: a path that knows its start.
        frames: number of knots; as many as it has when None.
        distance: between pictures.
        size: height and width of the pictures.
    """
    edit = path_of(edit)
    knots = edit.knots[0].double()
    count = frames or len(knots)
    if count < 3:
        raise SemanifoldError(f"A path needs at least 3 frames, but got {count}.")
    new_knots, places = [torch.zeros(1, dtype=torch.float64)], [torch.zeros(1, dtype=torch.float64)]
    for end in (float(knots[0]), float(knots[-1])):
        if end == 0:
            continue
        side = max(1, round((count - 1) * abs(end) / float(knots[-1] - knots[0])))
        fine = torch.linspace(0, end, SAMPLES * side + 1, dtype=torch.float64)
        steps = picture_steps(generator, edit, fine.to(edit.knots[0]), distance=distance, size=size).double().cpu()
        # A little of plain time keeps the inverse defined where the picture does not change.
        steps = steps + 1e-3 * steps.mean().clamp(min=1e-12)
        way = torch.cat([torch.zeros(1, dtype=torch.float64), steps.cumsum(0)])
        even = torch.linspace(0, 1, side + 1, dtype=torch.float64)[1:]
        places.append(torch.from_numpy(np.interp(even.numpy(), (way / way[-1]).numpy(), fine.abs().numpy())) * np.sign(end))
        new_knots.append(even * end)
    order = torch.cat(new_knots).argsort()
    return edit.along(torch.cat(places)[order], torch.cat(new_knots)[order])


def trim(generator: Generator, edit: Path, *, share: float = 0.1, size: int | None = None) -> Lattice | WeightEdit | Sum:
    """Cut a path where the picture saturates: ends whose steps are shorter than a share of the longest one go.

    Args:
        generator: the generator of the edit.
        edit: a path that knows its start.
        share: of the longest step between consecutive pictures.
        size: height and width of the pictures.
    """
    edit = path_of(edit)
    knots = edit.knots[0]
    steps = picture_steps(generator, edit, knots, size=size)
    alive = (steps >= share * steps.max()).nonzero().flatten().tolist()
    zero = int((knots == 0).nonzero()[0])
    first, last = min(alive[0], zero), max(alive[-1] + 1, zero)
    kept = slice(first, last + 1)
    return edit.along(knots[kept], knots[kept])


def extrapolate(edit: Path, to: float) -> Lattice | WeightEdit | Sum:
    """Lengthen a path in the direction of its last step, at its last spacing, until ``t`` reaches ``to``.

    A ``to`` below the first knot lengthens the other end.
    """
    edit = path_of(edit)
    path_start(edit)
    knots = edit.knots[0]
    ahead = to > float(knots[-1])
    if not ahead and to >= float(knots[0]):
        raise SemanifoldError(
            f"The path already runs from {float(knots[0]):g} to {float(knots[-1]):g}; give a t beyond that, not {to:g}."
        )
    step = float(knots[-1] - knots[-2]) if ahead else float(knots[1] - knots[0])
    edge = float(knots[-1] if ahead else knots[0])
    count = max(1, round(abs(to - edge) / step))
    more = torch.linspace(edge, to, count + 1).to(knots)[1:]
    places = torch.cat([knots, more]) if ahead else torch.cat([more.flip(0), knots])
    return edit.along(places, places)


def amplified(edit: Path, factor: float) -> Lattice | WeightEdit | Sum:
    """Make a path go so many times as far at every ``t``: for one that comes back to its start, where no ``t`` leads farther.

    Args:
        edit: a path.
        factor: below 0 for the opposite way.
    """
    edit = path_of(edit)
    if isinstance(edit, Sum):
        return Sum([_amplified_part(part, factor) for part in edit.parts], edit.info, start=edit.start)
    return _amplified_part(edit, factor)


def _amplified_part(edit: Lattice | WeightEdit, factor: float) -> Lattice | WeightEdit:
    if isinstance(edit, Lattice):
        return Lattice(factor * edit.displacements, edit.knots, edit.info, start=edit.start)
    course = Lattice(factor * edit.course.displacements, edit.course.knots, edit.course.info)
    return WeightEdit(edit.deltas, edit.info, course=course, start=edit.start)


def reverse(edit: Path) -> Lattice | WeightEdit | Sum:
    """Run a path backwards: one that returns to the start from its other end, any other towards negative ``t``."""
    edit = path_of(edit)
    path_start(edit)
    knots = edit.knots[0]
    returns = float(edit.way(knots[-1:]).abs().max()) == 0 and float(knots[0]) == 0
    turned = (knots[-1] - knots if returns else -knots).flip(0)
    start, end = edit.info.usable
    usable = (float(knots[-1]) - end, float(knots[-1]) - start) if returns else (-end, -start)
    return edit.along(knots.flip(0), turned + 0.0).with_info(usable=usable)


def out_and_back(edit: Path, *, frames: int = 33) -> Lattice | WeightEdit | Sum:
    """Run a path from the start to its far end and back again within the same ``t``, as masked manifolds do by default.

    Beside a manifold that opens a mouth and closes it again, a head that is turned so is farthest when the mouth is.

    Args:
        edit: a path; what it does at negative ``t`` is left out.
        frames: number of knots.

    Raises:
        SemanifoldError: if there is nothing of the path above ``t = 0``, or too few frames.
    """
    edit = path_of(edit)
    path_start(edit)
    end = float(edit.knots[0][-1])
    if frames < 3 or end <= 0:
        raise SemanifoldError(
            f"To go out and back takes at least 3 frames and an end above t = 0, but got {frames} frames and the end {end:g}."
        )
    turn = torch.linspace(0, 1, frames, dtype=torch.float64)
    places = end * (1 - (2 * torch.pi * turn).cos()) / 2  # rises and falls like sin²(πt), the schedule out-and-back
    places[-1] = 0
    return edit.along(places, turn * end)


def _joint_info(infos: Sequence[EditInfo]) -> EditInfo:
    # an edit without a mask may change anything, and so may the sum
    masks = [info.mask for info in infos] if all(info.mask for info in infos) else []
    return replace(
        infos[0],
        name=" + ".join(info.name for info in infos),
        mask="|".join(masks),
        layers=infos[0].layers if len({info.layers for info in infos}) == 1 else None,
        usable=(max(info.usable[0] for info in infos), min(info.usable[1] for info in infos)),
        locality={},
    )
