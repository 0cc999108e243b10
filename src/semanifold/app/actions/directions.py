"""What ``semanifold directions`` does."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch.nn.functional import adaptive_avg_pool2d

from semanifold.app.actions.base import facts_of, load, read_mask, start_code, worked
from semanifold.app.actions.seen import changes_between, leak, shows_faces
from semanifold.app.answers import NOBODY, Answer, Caller, typed
from semanifold.app.commands.directions import Directions
from semanifold.core.errors import SemanifoldError, counted
from semanifold.core.latents import Latents
from semanifold.core.shapes import Frames
from semanifold.generators.base import Generator
from semanifold.generators.coordinates import natural_coordinates
from semanifold.images import media
from semanifold.images.plots import pair_map
from semanifold.manifolds.directions import local_directions, moving_shape
from semanifold.paths.base import PathSet
from semanifold.paths.certainty import FIRM, Certainty
from semanifold.paths.channels import channel_paths
from semanifold.paths.closed_form import local_paths, principal_paths, sefa_paths
from semanifold.paths.files import PATHS, save_paths
from semanifold.paths.joint import joint_axes, joint_paths
from semanifold.paths.linear import LinearPaths
from semanifold.paths.masked import leaks, masked_paths
from semanifold.storage.files import is_file
from semanifold.storage.records import write_json
from semanifold.storage.runs import CHECKPOINT, Run

SHEET = "paths.png"
CERTAINTY, PAIRS = "axes.json", "axes.png"
"""How certain joint axes are: their record, and the picture of all pairs."""
ELSEWHERE = "pictures.png"
"""Directions inside a mask on several pictures."""
FACES = 4
"""How many, and on how many the change is told in words."""
OTHERS = 1000
"""Seed of the first of those that are not shown, but count for the words."""
FRAMES, CELL = 7, 96
SAID = 4
"""Paths whose words are said beside the sheet."""
ENDS = "in words: the change from the left end to the right end"
"""What the words of a sheet's rows tell."""
INDEPENDENCE = 0.2
"""How freely layers of w+ may part in local directions, as in a search for a masked manifold."""
JOINT_CODES = 128
"""Codes that decide joint axes."""
FAINT = 0.002
"""A path is left out of the sheet if a picture changes less than this where it changes most: 5 or 6 of 256 levels."""
PATCHES = 16
"""How many patches a side a picture has for that: a mouth is a small part of it."""
NAMELESS = "no attribute names this change"
"""What a row says that is seen to change, but not by what the reader of attributes knows."""


def find_directions(command: Directions, caller: Caller) -> Answer:
    """Find the paths, write them, and draw the sheet."""
    generator = load(command.model, caller)
    drawn = start_code(command.start, generator, caller)
    space = "s" if command.method == "channels" else command.space or ("w+" if command.layers else generator.path_space)
    generator.check_space(space)
    code = generator.convert(drawn, space)
    folder = command.folder

    def work(run: Run) -> Answer:
        if is_file(run.folder / CHECKPOINT):
            caller.remark("The search goes on where it was interrupted.")
        if command.method == "joint":
            with caller.watching("directions at one code after the other") as line:
                paths, certainty = joint_axes(
                    generator, code.space, command.k, command.layers, checkpoint=run.folder / CHECKPOINT, progress=line
                )
            write_json(run.path(CERTAINTY), certainty.json())
            pair_map(certainty.contrast.cpu().numpy(), certainty.spread.cpu().numpy(), certainty.planes, run.path(PAIRS))
            sentences, more = words_of(certainty, folder), (folder / PAIRS,)
        elif command.method == "mask":
            assert command.mask is not None
            with caller.watching("directions on all pictures") as line:
                paths = masked_paths(
                    generator, command.mask, command.k, code.space, command.layers,
                    checkpoint=run.folder / CHECKPOINT, progress=line,
                )  # fmt: skip
            first = command.start.seed
            others = generator.convert(generator.example(range(first, first + FACES), drawn.space), code.space)
            sentences = (compare(generator, paths, command.mask, others, run.path(ELSEWHERE)),)
            more = (folder / ELSEWHERE,)
        else:
            paths, sentences, more = find(command, generator, code, drawn, caller), (), ()
        save_paths(paths, run.path(PATHS))
        faces = 1 if command.method == "local" else FACES  # local directions are those of one picture
        shown = draw(generator, paths, code, run.path(SHEET), caller, faces=faces)
        faint = len(paths) - len(shown)
        left_out = f"; the sheet leaves out {faint} that can hardly be seen" if faint else ""
        many = counted(len(paths), "path").capitalize()
        said = f"{many} in {space} of {generator.name}, by {paths.info.method}{left_out}."
        return Answer(said=(said, *first_words(shown), *sentences), files=more)

    answer = worked(command, caller, "directions", folder, facts_of(generator), work, inputs=command.inputs)
    return replace(answer, files=(folder / SHEET, *answer.files), next=typed(*command.then))


def compare(generator: Generator, paths: LinearPaths, mask: str, codes: Latents, path: Path) -> str:
    """Draw every path both ways on several pictures, and return how much they change outside of their masks."""
    leaking = leaks(generator, paths, mask, codes)
    mean = leaking.ratios.mean((1, 2))
    sheets = [
        media.contact_sheet(media.to_uint8(rows.flatten(0, 1).cpu()), columns=3 * len(codes), size=CELL)
        for rows in leaking.pictures
    ]
    titles = [f"{k}  outside/inside {', '.join(f'{x:.2g}' for x in ratio.mean(1))}" for k, ratio in enumerate(leaking.ratios)]
    media.save_png(media.stack_rows(sheets, titles), path)
    return (
        f"Outside of their masks {counted(len(codes), 'picture')} that did not decide change {float(mean.min()):.2g} to "
        f"{float(mean.max()):.2g} times as much as inside (mean squares; {path.name}); "
        f"{sum(map(leak, mean.tolist())) or 'none'} of {counted(len(mean), 'path')} so much that it is seen."
    )


def words_of(certainty: Certainty, folder: Path) -> tuple[str, ...]:
    """Return what is to be said of joint axes: how many are sure, which planes have no axes of their own, which are dead."""
    said = [f"Sure, as far as pictures decide: {len(certainty.sure)} of {len(certainty.spread)} axes ({CERTAINTY})."]
    if certainty.planes:
        p, q = certainty.planes[0]
        pairs = counted(len(certainty.planes), "pair")
        said.append(
            f"Axes {p} and {q} cannot be told apart, any two directions of their plane would do ({pairs} in all): "
            f"combine {folder}:{p} and {folder}:{q} as a pad."
        )
    if certainty.loose:
        axes = ", ".join(map(str, certainty.loose))
        said.append(
            f"Not sure, for other codes would turn them by more than {FIRM:g} degrees, or mix them with weaker ones: {axes}."
        )
    if certainty.dead:
        said.append(f"Dead, pictures do not change: {', '.join(map(str, certainty.dead))}.")
    return tuple(said)


def find(command: Directions, generator: Generator, code: Latents, drawn: Latents, caller: Caller) -> PathSet:
    """Return the set of any method but joint; ``code`` is the picture's code in the space, ``drawn`` what it comes from."""
    if command.method == "local":
        assert command.mask is not None
        mask = read_mask(command.mask, generator, drawn)
        moving = moving_shape(code, command.layers)
        natural = natural_coordinates(generator, code, moving, INDEPENDENCE)
        local = local_directions(generator, code, mask, command.k, layers=command.layers, coordinates=natural)
        if len(local) < command.k:
            raise SemanifoldError(f"There are {len(local)} local directions here, but k is {command.k}; give a smaller k=.")
        return local_paths(generator, local.vectors, code.space, command.layers)
    if command.method == "channels":
        with caller.watching("channels at one picture after the other") as line:
            return channel_paths(generator, command.channels, command.k, mask=command.mask, progress=line)
    return closed_paths(command.method, generator, code.space, command.k, command.layers, caller=caller)


def closed_paths(
    method: str,
    generator: Generator,
    space: str,
    k: int,
    layers: tuple[int, int] | None,
    codes: int = JOINT_CODES,
    caller: Caller = NOBODY,
) -> LinearPaths:
    """Return a set of one of the :data:`CLOSED` forms; ``codes`` decide joint axes, which take long."""
    if method == "pca":
        return principal_paths(generator, space, k, layers)
    if method == "sefa":
        return sefa_paths(generator, k, layers, space=space)
    with caller.watching("directions at one code after the other") as line:
        return joint_paths(generator, space, k, layers, samples=codes, progress=line)


def told_apart(words: Mapping[int, str]) -> dict[int, str]:
    """Return of each path the first change that is said of it, and as many more as tell it from the others, if any do.

    Args:
        words: by path, such as ``"the mouth opens (+50 % of its range), the mouth widens (+22 %)"``.
    """
    changes = {k: re.split(r"(?<=\)), ", text) for k, text in words.items()}

    def said(k: int, count: int) -> tuple[str, ...]:
        return tuple(change.partition(" (")[0] for change in changes[k][:count])

    counts = dict.fromkeys(changes, 1)
    for count in range(1, max(map(len, changes.values()), default=1)):
        alike = Counter(said(k, counts[k]) for k in changes)
        counts = {k: count + 1 if counts[k] == count and alike[said(k, count)] > 1 else counts[k] for k in changes}
    return {k: ", ".join(changes[k][: counts[k]]) for k in changes}


def first_words(shown: Mapping[int, str]) -> tuple[str, ...]:
    """Return the first paths of a sheet that have words, with them, as one sentence; nothing without any."""
    named = [f"{k} {text}" for k, text in shown.items() if text]
    if not named:
        return ()
    rest = len(named) - SAID
    more = f"; {rest} more {'is' if rest == 1 else 'are'} in {SHEET}" if rest > 0 else ""
    return (f"What they change: {'; '.join(named[:SAID])}{more}.",)


@torch.no_grad()
def draw(
    generator: Generator, paths: PathSet, code: Latents, path: Path, caller: Caller, region: str = "", faces: int = FACES
) -> dict[int, str]:
    """Draw a row of pictures for every path, from one end through the unedited picture to the other, without faint paths.

    Words for a path are those of its mean change on so many faces, the one that is drawn among them, as ``semanifold rank`` names
    it by several codes; of paths of which the same would be said, also what else they change (:func:`told_apart`). Paths that
    move nothing outside of a named region of the face are told in words of that region alone.

    Returns the paths that are shown, each with what changes from one end to the other in words, which are also the titles of the
    rows; empty if that cannot be read from the pictures, or no attribute names it.
    """
    t, pictures, words = torch.linspace(-1, 1, FRAMES), [], {}
    readable = shows_faces(generator)
    others = [generator.example(seed, code.space) for seed in range(OTHERS, OTHERS + faces - 1)] if readable else []
    with caller.watching("drawing the paths") as line:
        for k in range(len(paths)):
            low, high = paths.info.usable(k)
            pictures.append(paths[k].images(generator, code, torch.where(t < 0, -low * t, high * t)).cpu())
            if readable:
                ends = [paths[k].images(generator, other, torch.tensor([low, high])).cpu() for other in others]
                before, after = torch.stack([pictures[k][[0, -1]], *ends]).unbind(1)
                words[k] = changes_between(generator, after, before, region=region)
            line({"step": k + 1, "steps": len(paths)})
    words = told_apart(words)
    change = [largest_change(p[:1], p[-1:]) for p in pictures]
    shown = {k: words.get(k, "") for k in range(len(paths)) if words.get(k) or change[k] >= min(FAINT, max(change))}
    sheets = [media.contact_sheet(media.to_uint8(pictures[k]), columns=FRAMES, size=CELL) for k in shown]
    nameless = NAMELESS if readable else ""
    titles = [f"{k}  {text or nameless}".rstrip() for k, text in shown.items()]
    sheet = media.stack_rows(sheets, titles, columns_of(paths, list(shown)))
    title = ENDS + (f", on average over {faces} faces" if faces > 1 else "")
    media.save_png(media.titled(sheet, title) if any(shown.values()) else sheet, path)
    return shown


def largest_change(before: Frames, after: Frames) -> float:
    """Return the mean square by which pictures ``[n, c, h, w]`` in [-1, 1] change in the patch where they change most."""
    change = (after - before).square().mean(1, keepdim=True)
    return float(adaptive_avg_pool2d(change, PATCHES).max())


def columns_of(paths: PathSet, shown: Sequence[int]) -> list[str]:
    """Return what to write below the columns of a sheet: t at both ends, where it is the same for all of these paths."""
    ends = {paths.info.usable(k) for k in shown}
    low, high = (f"t = {end:g}" for end in ends.pop()) if len(ends) == 1 else ("lowest t", "highest t")
    between = [""] * (FRAMES // 2 - 1)
    return [low, *between, "unedited", *between, high]
