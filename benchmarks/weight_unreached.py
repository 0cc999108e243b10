"""Edits in weights that no code reaches: the nearest pictures that codes make of the same seed.

``python benchmarks/weight_unreached.py out/weights-faces-mask-eyes:4=-2 faces:eye_size=1 --mask eyes --seed 7`` searches the
codes of ``w`` and of ``w+``, from the seed's own on, for what an edit makes of the seed at t = -2 inside the mask, with the
unedited picture outside. It prints what is left of the edit's change there, how much the search has changed outside, as a
share of the edit's change, and how far it went: the root mean square of its way in coordinates in which codes are about
standard normal, so that two random codes are 1.4 apart. Codes may go anywhere, however unusual. An edit of codes, such as
the second one, is a control. ``--draw`` draws frames of each edit from the seed to its t, and the nearest pictures that
codes make; with ``--on 1 2 3`` only the edits on these faces, a row each.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from weight_factors import Place, place_of

from semanifold.app.actions.results import find_edit
from semanifold.core.minimise import Evaluation, begin, lbfgs_step
from semanifold.edits import Edit
from semanifold.generators.base import Generator
from semanifold.generators.loading import load_generator
from semanifold.images import media
from semanifold.images.masks import as_mask
from semanifold.images.metrics import inside_change, outside_change, squared_change

STEPS = 150
"""Of L-BFGS."""
FRAMES, CELL, SHOWN = 6, 96, 112
SPACES = ("w", "w+")


@dataclass(frozen=True)
class Target:
    """A picture that is looked for.

    Attributes:
        plain: ``[1, 3, h, w]`` the unedited picture.
        picture: ``[1, 3, h, w]`` the edited one.
        mask: ``[1, 1, h, w]`` where these are wanted; elsewhere it is the unedited one.
    """

    plain: Tensor
    picture: Tensor
    mask: Tensor

    def miss(self, picture: Tensor) -> Tensor:
        """Return the mean squared difference from the edited picture inside the mask, plus from the plain one outside."""
        inside = squared_change(picture, self.picture, self.mask) / self.mask.sum()
        outside = squared_change(picture, self.plain, 1 - self.mask) / (1 - self.mask).sum()
        return (inside + outside).sum() / picture.shape[1]


def nearest(place: Place, generator: Generator, seed: int, target: Target, steps: int = STEPS) -> tuple[Tensor, float]:
    """Return the picture ``[1, 3, h, w]`` nearest to the target that codes make, and the way of its code from the seed's."""
    pictures = place.pictures(generator.sample(seed, place.space))
    unit = float(target.miss(target.plain))

    def miss(change: Tensor) -> Evaluation:
        leaf = change.detach().requires_grad_()
        value = target.miss(pictures(leaf)) / unit
        return Evaluation(float(value.detach()), torch.autograd.grad(value, leaf)[0], {})

    state = begin(miss, place.zero)
    for _ in range(steps):
        state = lbfgs_step(miss, state)
        if state.stalled:
            break
    with torch.no_grad():
        return pictures(state.x), float(state.x.square().mean().sqrt())


@torch.no_grad()
def film(edit: Edit, generator: Generator, seed: int, t: Sequence[float]) -> Tensor:
    """Return what an edit makes of a seed."""
    return edit.images(generator, generator.sample(seed, edit.space(generator)), t)


@torch.no_grad()
def target_of(edit: Edit, generator: Generator, seed: int, mask: str, t: float) -> Target:
    """Return what an edit makes of a seed at one t."""
    code = generator.sample(seed)
    drawn = as_mask(mask, generator, code).at(*generator.picture_shape[1:])
    return Target(generator.images(code), film(edit, generator, seed, [t]), drawn)


def left(target: Target, picture: Tensor) -> float:
    """Return what a picture leaves of the edit's change inside the mask, as a share of it: 0 where reached."""
    change = inside_change(target.picture, target.plain, target.mask)
    return float(inside_change(picture, target.picture, target.mask) / change)


def row_of(edit: Edit, generator: Generator, seed: int, t: float, found: Mapping[str, Tensor]) -> Image.Image:
    """Return a row of frames of an edit from the seed to t, and the nearest pictures of codes."""
    moments = torch.linspace(0, t, FRAMES).tolist()
    pictures = torch.cat([film(edit, generator, seed, moments), *found.values()])
    labels = [f"t = {moment:.2g}" for moment in moments] + [f"nearest of {space}" for space in found]
    return media.contact_sheet(media.to_uint8(pictures), labels, columns=len(labels), size=CELL)


def sheet_of(edits: Sequence[tuple[Edit, float]], generator: Generator, seeds: Sequence[int]) -> Image.Image:
    """Return rows of one face each: as it is, and as each edit makes it."""
    rows = []
    for seed in seeds:
        pictures = [film(edit, generator, seed, [t]) for edit, t in edits]
        plain = generator.images(generator.sample(seed))
        rows.append(media.contact_sheet(media.to_uint8(torch.cat([plain, *pictures])), columns=len(edits) + 1, size=SHOWN))
    return media.stack_rows(rows, [""] * len(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("edits", nargs="+", metavar="EDIT=T", help="an edit, or a set and the number of a path, and a t")
    parser.add_argument("--mask", default="mouth", help="where the edit is looked for")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--spaces", nargs="+", default=list(SPACES), help="of codes")
    parser.add_argument("--steps", type=int, default=STEPS, help="of a search")
    parser.add_argument("--draw", type=Path, help="file for the pictures")
    parser.add_argument("--on", nargs="+", type=int, metavar="SEED", help="only draw what the edits make of these faces")
    given = parser.parse_args()
    generator = load_generator("faces")
    if given.on and given.draw:
        edits = [(find_edit(Path(name)), float(t)) for name, _, t in (word.rpartition("=") for word in given.edits)]
        media.save_png(sheet_of(edits, generator, given.on), given.draw)
        return
    spaces, rows = {space: place_of(generator, space) for space in given.spaces}, []
    print(f"| edit | t | mask | {' | '.join(f'left by {space} | outside | way' for space in spaces)} |")
    print("|---|---:|---|" + "---:|" * 3 * len(spaces))
    for word in given.edits:
        name, _, t = word.rpartition("=")
        edit = find_edit(Path(name))
        target = target_of(edit, generator, given.seed, given.mask, float(t))
        far, cells, found = float(inside_change(target.picture, target.plain, target.mask)), [], {}
        for space, place in spaces.items():
            found[space], way = nearest(place, generator, given.seed, target, given.steps)
            outside = float(outside_change(found[space], target.plain, target.mask)) / far
            cells += [f"{value:.2f}" for value in (left(target, found[space]), outside, way)]
        print(f"| {name} | {float(t):g} | {given.mask} | {' | '.join(cells)} |", flush=True)
        rows.append(row_of(edit, generator, given.seed, float(t), found))
    if given.draw:
        media.save_png(media.stack_rows(rows, [""] * len(rows)), given.draw)


if __name__ == "__main__":
    main()
