"""What directions in weights reach that codes do not, and where they are worse: 29 known factors of the bundled faces.

``python benchmarks/weight_factors.py [--places w convs.4 ...]`` finds, in every space of codes and in the weights of every layer,
the direction that moves each factor most for the least change elsewhere, walks it both ways on faces that the search has not
seen, and prints tables in Markdown. All places get the same treatment:

1. the 128 dimensions in which factors, as the bundled network reads them, and pictures change most (vjp, 12 faces decide);
2. there, how each dimension changes the factors and the pixels of every face (central differences): gradients a_f of a factor and
   the matrix B_f of all other change, the squares of the other factors' change, each as much as it moves pixels at that face, and
   of the pixels outside the region of f, and a tenth of those of the whole picture;
3. the direction that moves f most per other change, ``u = B_f^-1 a_f``;
4. its walk, both ways, on each seed, until change elsewhere reaches a budget, or the picture leaves the generator's own ones.

"Own seed" is a direction that is found on the very face that it is walked on, one for each face. What was walked is kept in
``--out`` as JSON; places that are there already are not walked again. Directions in weights are kept beside it as a set of
paths, named by their factors; from t = 0 to t = 1 a factor changes by its whole range, as predicted at the faces that decide:
``semanifold render out/weight-factors/convs.5.safetensors --path eye_size --seed 7``.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from semanifold.core.jacobians import PictureFunction, mean_products
from semanifold.core.latents import Latents, root_of_covariance
from semanifold.edits import EditInfo, WeightEdit
from semanifold.generators.base import Generator
from semanifold.generators.coordinates import affine_root
from semanifold.generators.editing import editable_layers, weight_of
from semanifold.generators.loading import load_generator
from semanifold.images.masks import as_mask
from semanifold.locality.truth import pixel_effects, pixel_weights
from semanifold.paths.base import PathSetInfo, moving_codes
from semanifold.paths.changes import codes_for
from semanifold.paths.closed_form import SAMPLES, leading_rows
from semanifold.paths.files import save_paths
from semanifold.paths.local_metrics import INDEPENDENCE
from semanifold.paths.weight_axes import WeightSpace
from semanifold.paths.weight_ranges import Look
from semanifold.paths.weights import WeightPaths, info_of
from semanifold.storage.files import write_text
from semanifold.worlds.faces.attribute_network import AttributeNetwork, attribute_network
from semanifold.worlds.faces.changes import CHANGES
from semanifold.worlds.faces.factors import FACTORS, REGIONS
from semanifold.worlds.faces.names import MASK_REGIONS
from semanifold.worlds.faces.renderer import render

KEPT, DECIDE, CHUNK = 128, 12, 16
WHOLE = 0.1
"""Weight of the change of the whole picture beside that elsewhere, so that nothing is read that is not seen."""
BUDGETS = (0.1, 0.25)
"""Change elsewhere at which a walk ends, as a share of the usual difference of two pictures."""
FAR = torch.tensor([0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0, 1.3, 1.7, 2.2, 3.0])
"""Where a walk looks, in changes of the factor over its whole range as predicted at the faces that decide."""
SEEDS = (1, 2, 3, 7)
OWN = " at own seed"
PLACES = ("w", "w+", "s", f"w+{OWN}", *(f"convs.{i}" for i in range(9)), "convs")
ERRORS = torch.tensor([CHANGES[factor.name].error for factor in FACTORS])


@dataclass(frozen=True)
class Place:
    """Where directions are looked for.

    Attributes:
        space: of the codes that it takes.
        layers: whose weights move; none where codes move.
        zero: ``[1, N]`` no change.
        pictures: of a code, the function from changes ``[n, N]`` to pictures.
        walk: of one change ``[N]``, the function from a code and ``[n]`` multiples of it to pictures.
    """

    space: str
    layers: tuple[str, ...]
    zero: Tensor
    pictures: Callable[[Latents], PictureFunction]
    walk: Callable[[Tensor], Callable[[Latents, Tensor], Tensor]]


def place_of(generator: Generator, name: str) -> Place:
    """Return the place of a name: a space of codes, a layer, or ``convs`` or ``colours`` for all of these."""
    if name in generator.spaces:
        return _codes(generator, name)
    shapes = {layer: shape for layer, shape in editable_layers(generator).items() if len(shape) == 4}
    layers = tuple(layer for layer in shapes if layer == name or layer.startswith(f"{name}.")) or (name,)
    space = WeightSpace(generator, layers)
    norms = {layer: weight_of(generator, layer).norm() for layer in layers}

    def walk(change: Tensor) -> Callable[[Latents, Tensor], Tensor]:
        parts = zip(space.shapes.items(), change.split([math.prod(shape) for shape in space.shapes.values()]), strict=True)
        edit = WeightEdit({layer: norms[layer] * part.reshape(shape) for (layer, shape), part in parts}, EditInfo())
        return lambda code, t: edit.images(generator, code, t)

    return Place(generator.first_space, layers, space.zero(), lambda code: space.pictures_of(code, None), walk)


def _codes(generator: Generator, name: str) -> Place:
    """Return a space of codes, in coordinates in which random codes are about standard normal; each layer of w+ has its own."""
    w = moving_codes(generator, PathSetInfo(space="w"), SAMPLES)
    root = root_of_covariance(w).to(w)
    shape = generator.shapes[name]
    styles = affine_root(generator, "s", w, INDEPENDENCE) if name == "s" else None

    def moved(code: Latents, changes: Tensor) -> Tensor:
        offsets = styles.times(changes) if styles else changes.unflatten(1, shape) @ root
        return generator.images(code.moved(offsets))

    def walk(change: Tensor) -> Callable[[Latents, Tensor], Tensor]:
        return lambda code, t: moved(code, t[:, None] * change)

    return Place(name, (), w.new_zeros(1, math.prod(shape)), lambda code: lambda changes: moved(code, changes), walk)


@dataclass(frozen=True)
class Face:
    """One face of the generator, and what its pictures are held against.

    Attributes:
        code: its code.
        picture: ``[1, 3, h, w]``, the unedited one.
        read: ``[F]`` its factors.
        weights: ``[F]`` how much each factor moves pixels there.
        outside: ``[R, 1, h, w]`` where the factors of each region must not change pixels: nowhere for pose and light.
    """

    code: Latents
    picture: Tensor
    read: Tensor
    weights: Tensor
    outside: Tensor

    @classmethod
    def of(cls, generator: Generator, code: Latents) -> Face:
        """Look at one code."""
        picture = generator.images(code).clamp(-1, 1)
        size = generator.picture_shape[1:]
        read = reader()(picture)[0]
        masks = [as_mask(r, generator, code).at(*size) if r in MASK_REGIONS else torch.ones(1, 1, *size) for r in REGIONS]
        weights = pixel_weights(pixel_effects(read.clamp(0, 1)[None], lambda f: render(f, size[0])))
        return cls(code, picture, read, weights, 1 - torch.cat(masks))

    def elsewhere(self, pictures: Tensor, read: Tensor, factor: int) -> Tensor:
        """Return the change elsewhere ``[n]`` of pictures whose factors are read ``[n, F]``, in picture units.

        The larger of two: the root mean square over the picture of its change outside of the factor's region, and the root of the
        sum of squares of the other factors' change, each beyond the reader's error and times what it moves pixels.
        """
        region = REGIONS.index(FACTORS[factor].region)
        outside = ((pictures - self.picture).square() * self.outside[region]).mean((1, 2, 3)).sqrt()
        others = ((read - self.read).abs() - ERRORS).clamp(min=0) * self.weights
        others[:, factor] = 0
        return torch.maximum(outside, others.norm(dim=1))


def reader() -> AttributeNetwork:
    """Return the network that reads factors, also beyond [0, 1]: there it reads too little rather than too much."""
    return attribute_network()


@dataclass(frozen=True)
class Local:
    """How the dimensions of a subspace change one face.

    Attributes:
        factors: ``[F, m]`` derivatives of the factors.
        outside: ``[R, m, m]`` mean products of the derivatives of pixels outside of each region.
        whole: ``[m, m]`` the same everywhere.
    """

    factors: Tensor
    outside: Tensor
    whole: Tensor


def subspace(place: Place, faces: Sequence[Face]) -> Tensor:
    """Return the directions ``[m, N]`` in which factors and pictures change most, from random mixtures pulled back."""
    rows, draw = [], torch.Generator().manual_seed(0)
    for face in faces:
        count = math.ceil(2 * KEPT / len(faces))
        for start in range(0, count, CHUNK):
            leaf = place.zero.expand(min(CHUNK, count - start), -1).detach().requires_grad_()
            pictures = place.pictures(face.code)(leaf)
            read = reader()(pictures.clamp(-1, 1))
            half = len(leaf) // 2
            mixed = torch.randn(half, read.shape[1], generator=draw), torch.randn(pictures[half:].shape, generator=draw)
            total = (mixed[0] * read[:half]).sum() + (mixed[1] * pictures[half:]).sum() / math.sqrt(pictures[0].numel())
            rows.append(torch.nn.functional.normalize(torch.autograd.grad(total, leaf)[0], dim=1))
    pulled = torch.cat(rows)
    return leading_rows(pulled, min(KEPT, *pulled.shape)).to(place.zero)


@torch.no_grad()
def local(place: Place, basis: Tensor, face: Face) -> Local:
    """Measure how each direction changes one face, by central differences."""
    step, pictures, factors, pixels = torch.finfo(basis.dtype).eps ** (1 / 3), place.pictures(face.code), [], []
    for rows in basis.split(CHUNK):
        up, down = pictures(step * rows), pictures(-step * rows)
        factors.append((reader()(up.clamp(-1, 1)) - reader()(down.clamp(-1, 1))) / (2 * step))
        pixels.append((up - down) / (2 * step))
    pushed = torch.cat(pixels)
    outside = torch.stack([mean_products(pushed * root) for root in face.outside.sqrt()])
    return Local(torch.cat(factors).T.double(), outside, mean_products(pushed))


def directions(faces: Sequence[Face], found: Sequence[Local]) -> Tensor:
    """Return the direction ``[F, m]`` of each factor: most of it for the least change elsewhere; t = 1 is its whole range."""
    rows = []
    weighted = [face.weights.double()[:, None] * each.factors for face, each in zip(faces, found)]
    for f, factor in enumerate(FACTORS):
        gradient = torch.stack([each.factors[f] for each in found]).mean(0)
        region = REGIONS.index(factor.region)
        other = torch.zeros_like(found[0].whole)
        for each, change in zip(found, weighted):
            other += change.T @ change - torch.outer(change[f], change[f]) + each.outside[region] + WHOLE * each.whole
        other += 1e-4 * other.diagonal().mean() * torch.eye(len(other)).to(other)
        row = torch.linalg.solve(other, gradient)
        rows.append(row / (row @ gradient))
    return torch.stack(rows)


@dataclass(frozen=True)
class Study:
    """The generator, the faces that decide, and those that are walked."""

    generator: Generator
    seeds: tuple[int, ...]

    @cached_property
    def deciding(self) -> list[Face]:
        """Faces that decide."""
        codes = codes_for(self.generator, DECIDE, 0, None)
        return [Face.of(self.generator, codes[i]) for i in range(DECIDE)]

    @cached_property
    def faces(self) -> list[Face]:
        """Faces that are walked."""
        return [Face.of(self.generator, self.generator.sample(seed)) for seed in self.seeds]

    @cached_property
    def looks(self) -> list[Look]:
        """Per region, how far pictures of the faces have left the generator's own ones inside of it."""
        codes = self.generator.sample(self.seeds)
        found = []
        for region in REGIONS:
            masks = [as_mask(region, self.generator, codes[i]) if region in MASK_REGIONS else None for i in range(len(codes))]
            found.append(Look.at(self.generator, codes, masks, 0))
        return found

    def with_codes(self, face: Face, space: str) -> Face:
        """Return the same face with its code in a space."""
        return Face(self.generator.convert(face.code, space), face.picture, face.read, face.weights, face.outside)

    @torch.no_grad()
    def walked(self, place: Place, change: Tensor, factor: int, number: int) -> list[dict[str, Any]]:
        """Walk one direction on one face: per sign, readings, change elsewhere and how far off the manifold, at every t."""
        face = self.with_codes(self.faces[number], place.space)
        look = self.looks[REGIONS.index(FACTORS[factor].region)]
        pictures = place.walk(change)(face.code, torch.cat([FAR, -FAR])).clamp(-1, 1)
        read = reader()(pictures)
        elsewhere = face.elsewhere(pictures, read, factor) / float(self.looks[REGIONS.index("pose")].usual[number])
        off = look.off(pictures, number)
        return [
            {"read": _short(read[part, factor]), "elsewhere": _short(elsewhere[part]), "off": _short(off[part])}
            for part in (slice(None, len(FAR)), slice(len(FAR), None))
        ]


def _short(values: Tensor) -> list[float]:
    return [round(value, 4) for value in values.tolist()]


def kept(study: Study, place: Place, changes: Tensor) -> WeightPaths:
    """Return directions ``[F, N]`` in weights as a set of paths."""
    space = WeightSpace(study.generator, place.layers)
    units = [weight_of(study.generator, layer).norm() for layer in place.layers]
    parts = changes.split([math.prod(shape) for shape in space.shapes.values()], 1)
    vectors = torch.cat([unit * part for unit, part in zip(units, parts, strict=True)], 1)
    names = dict(enumerate(factor.name for factor in FACTORS))
    info = info_of(study.generator, method="most change of a factor for the least elsewhere", step=1 / 16, count=16, names=names)
    paths = WeightPaths.from_vectors(vectors, space.shapes, info)
    paths.scale = vectors.norm(dim=1)
    return paths


def measure(study: Study, name: str, file: Path) -> None:
    """Write all walks of one place, by factor and seed, and its directions, if they are in weights and one for all faces."""
    _ = study.deciding, study.faces, study.looks  # all places share them, and none pays for them
    began = time.process_time()
    place = place_of(study.generator, name.removesuffix(OWN))
    own = name.endswith(OWN)
    walks: dict[str, dict[str, Any]] = {factor.name: {} for factor in FACTORS}
    changes = None
    for number, seed in enumerate(study.seeds):
        if own or changes is None:
            faces = [study.with_codes(face, place.space) for face in ([study.faces[number]] if own else study.deciding)]
            basis = subspace(place, faces)
            changes = directions(faces, [local(place, basis, face) for face in faces]).to(basis) @ basis
        for f, factor in enumerate(FACTORS):
            start = float(study.faces[number].read[f])
            walks[factor.name][str(seed)] = {"start": start, "ways": study.walked(place, changes[f], f, number)}
    if place.layers and not own and changes is not None:
        save_paths(kept(study, place, changes), file.with_name(f"{name}.safetensors"))
    write_text(file, json.dumps({"place": name, "seconds": round(time.process_time() - began), "walks": walks}))


def reach(walk: dict[str, Any], key: str, most: float) -> tuple[float, float]:
    """Return the lowest and the highest reading of a factor on a walk, either way until a value first exceeds what it may."""
    seen = [walk["start"]]
    for way in walk["ways"]:
        before, value = walk["start"], 0.0
        for read, next_value in zip(way["read"], way[key]):
            if next_value > most:
                seen.append(before + (read - before) * max(most - value, 0) / (next_value - value))
                break
            seen.append(read)
            before, value = read, next_value
    return min(seen), max(seen)


def shares(row: dict[str, Any], key: str, most: float) -> Tensor:
    """Return the share of its range that each factor goes through on each seed, ``[F, seeds]``."""
    ends = [[reach(walk, key, most) for walk in row["walks"][factor.name].values()] for factor in FACTORS]
    return torch.tensor([[high - low for low, high in each] for each in ends])


def best(tables: Tensor) -> tuple[Tensor, Tensor]:
    """Return what the best of several places reaches ``[F]``, and which it is ``[F]``, of ``[places, F, seeds]``.

    For each seed the place is the one that is best on the other seeds, so that nothing is chosen after the fact.
    """
    others = tables.sum(2, keepdim=True) - tables
    chosen = others.argmax(0, keepdim=True)
    return tables.gather(0, chosen)[0].mean(1), tables.mean(2).argmax(0)


def report(rows: Sequence[dict[str, Any]]) -> str:
    """Return the tables."""
    names = [row["place"] for row in rows]
    limits = [("elsewhere", budget) for budget in BUDGETS] + [("off", 1.0)]
    tables = [torch.stack([shares(row, *limit) for row in rows]) for limit in limits]
    codes = [i for i, name in enumerate(names) if name.removesuffix(OWN) in ("z", "w", "w+", "s")]
    weights = [i for i in range(len(rows)) if i not in codes]
    heads = [f"{budget:g} of the usual difference elsewhere" for budget in BUDGETS] + ["on the generator's own pictures"]
    lines = ["| place | " + " | ".join(heads) + " | seconds |", "|---|---:|---:|---:|---:|"]
    for i, row in enumerate(rows):
        lines.append(f"| {names[i]} | " + " | ".join(f"{float(t[i].mean()):.2f}" for t in tables) + f" | {row['seconds']} |")
    if codes and weights:
        words = " | ".join(["codes", "weights", "ratio"] * len(tables))
        lines += ["", f"| factor | {words} |", "|---|" + "---:|" * 3 * len(tables)]
        found = [(best(t[codes]), best(t[weights])) for t in tables]
        for f, factor in enumerate(FACTORS):
            cells = []
            for (code, which), (weight, where) in found:
                a, b = float(code[f]), float(weight[f])
                cells += [f"{a:.2f} ({names[codes[which[f]]]})", f"{b:.2f} ({names[weights[where[f]]]})", f"{b / a:.2f}"]
            lines.append(f"| {factor.name} | " + " | ".join(cells) + " |")
        means = [f"{float(x[0].mean()):.2f}" for pair in found for x in pair]
        ratios = [f"{float((weight / code).log().mean().exp()):.2f}" for (code, _), (weight, _) in found]
        cells = [cell for i, ratio in enumerate(ratios) for cell in (*means[2 * i : 2 * i + 2], ratio)]
        lines.append("| mean (of ratios: geometric) | " + " | ".join(cells) + " |")
    lines += ["", f"| factor, at {BUDGETS[0]:g} | {' | '.join(names)} |", "|---|" + "---:|" * len(names)]
    for f, factor in enumerate(FACTORS):
        lines.append(f"| {factor.name} | " + " | ".join(f"{float(each[f].mean()):.2f}" for each in tables[0]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--places", nargs="+", default=list(PLACES))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--out", type=Path, default=Path("out/weight-factors"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    study = Study(load_generator("faces"), tuple(given.seeds))
    given.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in given.places:
        file = given.out / f"{name}.json"
        if not file.exists():
            measure(study, name, file)
        rows.append(json.loads(file.read_text()))
    print(report(rows))


if __name__ == "__main__":
    main()
