"""A path that was found on one face, carried to others, and adapted to them: how local, how alike, and at what cost.

    python benchmarks/transfer_adapt.py                          # all cases: a quarter of an hour on one core
    python benchmarks/transfer_adapt.py --cases mouth32 eyes32   # seconds
    python benchmarks/transfer_adapt.py --out out/adapted        # and a sheet of pictures of each case

Every row is a mean over the faces: outside/inside (mean squares) of the path at its own face, carried, adapted, and searched
anew; the change inside (root mean square), carried and adapted, over that at its own face; the cosine of the changes inside
(carried with adapted); the truth share, and the cosine of what the factors change with what they change at the path's own face
(bundled faces only); pictures and CPU seconds of adapting and of a new search. Real generators are skipped where their files
are absent.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from locality_real import real_generator
from torch import Tensor

from semanifold.core.latents import Latents
from semanifold.edits import Edit, Lattice
from semanifold.edits.films import EditedPicture
from semanifold.edits.operations import transfer
from semanifold.generators.base import Generator
from semanifold.generators.loading import load_generator
from semanifold.images import media
from semanifold.images.masks import as_mask
from semanifold.locality.truth import own_factors, pixel_effects, pixel_weights, truth_share
from semanifold.locality.worlds import World, world_of
from semanifold.manifolds import ManifoldSettings, adapt, discover_manifold
from semanifold.manifolds.adapting import changes

CASES = {
    "mouth": ("faces", "mouth", 1),
    "eyes": ("faces", "eyes", 2),
    "hair": ("faces", "hair", 5),
    "mouth32": ("celeba32", "ellipse:0.5,0.77,0.2,0.11", 3),
    "eyes32": ("celeba32", "box:0.22,0.38,0.78,0.56", 3),
    "hair32": ("celeba32", "box:0,0,1,0.2", 3),
    "upper28": ("mnist28", "box:0,0,1,0.5", 3),
}
"""Generator, mask and the seed that the path is found on."""
FIRST = 100
SETTINGS = ManifoldSettings(frames=16)


@dataclass(frozen=True)
class Case:
    """A path on its own face.

    Attributes:
        generator: makes the pictures.
        mask: as it is typed.
        edit: the path.
        world: the generator with its truth, if it has any.
    """

    generator: Generator
    mask: str
    edit: Lattice
    world: World | None

    def ratio(self, edit: Edit, code: Latents) -> tuple[float, float]:
        """Return outside/inside and the mean squared change inside."""
        inside, outside = changes(self.generator, edit, self.edit.knots[0], as_mask(self.mask, self.generator, code))
        return outside / inside, inside

    def farthest(self, edit: Edit, code: Latents) -> tuple[Tensor, Tensor, Tensor]:
        """Return the unedited picture, that at the middle of the path, and what it changes inside."""
        with torch.no_grad():
            before, after = self.generator.images(code), edit.images(self.generator, code, 0.5)
        return before, after, ((after - before) * as_mask(self.mask, self.generator, code).at(*before.shape[2:])).flatten()

    def factors(self, edit: Edit, code: Latents) -> tuple[float, Tensor]:
        """Return the truth share, and what each factor changes, weighted by the pixels that it moves, less the reading error."""
        assert self.world is not None
        assert self.world.truth is not None
        truth, (before, after, _) = self.world.truth, self.farthest(edit, code)
        read = truth.factors(code, before)
        effects = pixel_effects(read, truth.render)
        own = own_factors(self.mask, as_mask(self.mask, self.generator, code).at(*before.shape[2:]), effects)
        change = truth.factors(code, after) - read
        weights = pixel_weights(effects)
        beyond = change.sign() * (change.abs() - truth.noise).clamp(min=0)
        return float(truth_share(change, weights, own, truth.noise)), (beyond * weights)[0]


def case_of(name: str) -> Case:
    """Search on the path's own face."""
    kind, mask, seed = CASES[name]
    bundled = kind == "faces"
    generator = load_generator(kind) if bundled else real_generator(kind)
    found = discover_manifold(generator, seed, mask, SETTINGS, progress=False).unwrap()
    return Case(generator, mask, found, world_of(generator, (mask,)) if bundled else None)


def measured(case: Case, seed: int, *, again: bool) -> tuple[dict[str, float], dict[str, Edit]]:
    """Return the numbers of one other face, and its paths."""
    code = case.generator.convert(case.generator.sample([seed]), case.edit.info.space)
    own_code = case.edit.start
    assert own_code is not None
    carried = transfer(case.edit, code)
    began = time.process_time()
    solution = adapt(case.generator, case.edit, code, case.mask, progress=False)
    seconds = time.process_time() - began
    paths: dict[str, Edit] = {"carried": carried, "adapted": solution.unwrap()}
    own, amount = case.ratio(case.edit, own_code)
    numbers = {"own": own, "pictures": solution.stats["evaluations"], "seconds": seconds}
    for name, path in paths.items():
        ratio, inside = case.ratio(path, code)
        numbers |= {name: ratio, f"{name} inside": (inside / amount) ** 0.5}
    alike = [case.farthest(path, code)[2] for path in paths.values()]
    numbers["cosine"] = float(torch.cosine_similarity(alike[0], alike[1], dim=0))
    there = torch.zeros(0)
    if case.world is not None:
        numbers["own truth"], there = case.factors(case.edit, own_code)
        for name, path in paths.items():
            share, factors = case.factors(path, code)
            numbers |= {f"{name} truth": share, f"{name} factors": float(torch.cosine_similarity(there, factors, dim=0))}
    if again:
        began = time.process_time()
        anew = discover_manifold(case.generator, code, case.mask, SETTINGS, progress=False, throw=False)
        numbers |= {"new seconds": time.process_time() - began, "new pictures": anew.stats["evaluations"]}
        numbers["new"] = case.ratio(anew.value, code)[0]
        if case.world is not None:
            numbers["new factors"] = float(torch.cosine_similarity(there, case.factors(anew.value, code)[1], dim=0))
    return numbers, paths


def table_row(name: str, rows: list[dict[str, float]]) -> str:
    """Return a row of the table; means of the faces."""

    def mean(key: str) -> float:
        values = [row[key] for row in rows if key in row]
        return sum(values) / len(values) if values else float("nan")

    own = mean("own")
    cells = [
        name, f"{own:.4f}", f"{mean('carried'):.4f} ({mean('carried') / own:.1f}x)",
        f"{mean('adapted'):.4f} ({mean('adapted') / own:.1f}x)", f"{mean('new'):.4f}",
        f"{mean('carried inside'):.2f} → {mean('adapted inside'):.2f}", f"{mean('cosine'):.2f}",
        f"{mean('own truth'):.2f}; {mean('carried truth'):.2f} → {mean('adapted truth'):.2f}",
        f"{mean('carried factors'):.2f} → {mean('adapted factors'):.2f}; {mean('new factors'):.2f}",
        f"{mean('pictures'):.0f} / {mean('new pictures'):.0f} = {mean('pictures') / mean('new pictures'):.2f}",
        f"{mean('seconds'):.2f} / {mean('new seconds'):.2f} = {mean('seconds') / mean('new seconds'):.2f}",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=sorted(CASES), default=list(CASES))
    parser.add_argument("--faces", type=int, default=8)
    parser.add_argument("--anew", type=int, help="on how many of these to search anew; all if left out")
    parser.add_argument("--out", type=Path, help="folder for sheets of pictures")
    given = parser.parse_args()
    columns = "inside over own, carried → adapted | cosine | truth: own; carried → adapted | factors: carried → adapted; new"
    print(f"| case | own face | carried | adapted | new search | {columns} | pictures | CPU s |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for name in given.cases:
        try:
            case = case_of(name)
        except SystemExit as reason:
            print(f"{name} is skipped: {reason}")
            continue
        rows, strips, labels = [], [], []
        for number, seed in enumerate(range(FIRST, FIRST + given.faces)):
            numbers, paths = measured(case, seed, again=given.anew is None or number < given.anew)
            rows.append(numbers)
            for kind, path in paths.items():
                assert path.start is not None
                mask = as_mask(case.mask, case.generator, path.start)
                strips.append(EditedPicture(case.generator, path.start, path, mask).strip(size=96))
                labels.append(f"{seed} {kind} {numbers[kind]:.3g}")
        if given.out is not None:
            given.out.mkdir(parents=True, exist_ok=True)
            media.save_png(media.stack_rows(strips, labels), given.out / f"{name}.png")
        print(table_row(name, rows), flush=True)


if __name__ == "__main__":
    main()
