"""Which axes of real decoders come back from behind a rotation, which of those called sure, and how pure are those of GANs?

    python benchmarks/joint_axes.py             # three decoders, three rotations and draws of codes each
    python benchmarks/joint_axes.py --draws 5
    python benchmarks/joint_axes.py --gans      # generators without known axes: how alike two paths change pictures, and how well
                                                # a reconstructor tells them apart; ten minutes
    python benchmarks/joint_axes.py --faces     # the bundled faces in w, by layers of w+, in s and in the weights of a layer:
                                                # how alike, and how much else changes with each of 29 factors; 10 minutes

An axis of the decoder is found if a path has a |cosine| of at least 0.9 with it. Dead axes (``paths/certainty.py``) do not count.
The reconstructor is the same for every set, whose paths are frozen; each goes three standard deviations of the codes to t = 1.
Baselines that need the pictures' Jacobians get the same metrics of 64 codes, those that need pictures the same 1,024 of them.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from path_sets import SHEETS
from torch import Tensor
from weight_joint import purest

from semanifold.analysis.attributes.faces import FacesAttributes
from semanifold.core.errors import SemanifoldError
from semanifold.core.jacobians import push_forward
from semanifold.core.latents import Latents
from semanifold.core.spaces import is_extended
from semanifold.generators.base import Generator
from semanifold.generators.loading import load_generator
from semanifold.paths.base import PathSet, info_for
from semanifold.paths.certainty import Certainty
from semanifold.paths.changes import changes_of, codes_for
from semanifold.paths.closed_form import leading_rows, principal_paths, sefa_paths, sized
from semanifold.paths.joint import axes_of, joint_axes, joint_diagonal
from semanifold.paths.linear import LinearPaths
from semanifold.paths.local_metrics import LocalMetrics, local_metrics
from semanifold.paths.weight_axes import WeightSpace, made
from semanifold.paths.weight_ranges import calibrated
from semanifold.training.presets import ALONG_REACH
from semanifold.training.reconstructor import make_reconstructor
from semanifold.training.settings import Prior
from semanifold.training.trainer import held_out_scores, train_paths

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
DECODERS = {
    "btcvae_celeba64.pt": (3, 10),
    "../decoders/factor_celeba64.pt": (3, 10),
    "../decoders/btcvae_dsprites64.pt": (1, 5),
}
"""Channels of the pictures, and axes that are alive."""
FOUND = 0.9
GANS = ("celeba32", "mnist28")
FACES: tuple[tuple[str, tuple[int, int] | None], ...] = (("w", None), ("w+", (0, 4)), ("w+", (4, 10)), ("s", None))
LAYER, SUBSPACE = "convs.4", 64
"""Whose weights have axes, in a subspace of so many dimensions."""
CODES, PICTURES = 64, 1024
HELD = 16
"""Codes at which changes of pictures are compared; a half of them for the faces, which take longer."""
ITERATIONS = 300
"""Of a reconstructor."""
LONG = ("PCA (GANSpace)", "SeFa", "Jacobians of all codes")
"""What joint axes of the faces are compared with in other spaces than w; every row takes a quarter of a minute."""
READ_AT, STEPS = 2, 6
"""Codes on which factors are read, and steps of a path each way."""
HELD_OUT = 900_000
"""Seed of the first of the codes at which sets are compared; no set is made from them."""
JOINT = "joint axes"


def codes_of(paths: LinearPaths, local: LocalMetrics, layered: bool) -> Tensor:
    """Return the directions of paths as unit rows ``[k, d]`` of natural coordinates."""
    directions = paths.directions()
    flat = directions.reshape(len(directions), -1, local.basis.shape[1])[:, 0] if layered else directions.flatten(1)
    return torch.nn.functional.normalize(local.coordinates.inverse(flat), dim=1)


def of_metrics(local: LocalMetrics, k: int) -> dict[str, Tensor]:
    """Return what others make of metrics of many codes: directions ``[k, m]`` in their basis, the first for each code.

    Right singular vectors of the Jacobian of each code (Ramesh et al. 2018, arXiv:1812.01161), those of all Jacobians one
    below the other, and the joint part of their leading halves (Feng et al. 2018, Angle-based joint and individual variation).
    """
    vectors = torch.linalg.eigh(local.metrics)[1].mT.flip(1)  # [n, m, m] rows, strongest first
    mean = torch.linalg.eigh((local.metrics / local.metrics.diagonal(dim1=1, dim2=2).sum(1)[:, None, None]).mean(0))[1].T.flip(0)
    half = vectors[:, : max(1, vectors.shape[1] // 2)]
    shared = torch.linalg.eigh((half.mT @ half).mean(0))[1].T.flip(0)
    return {
        "Jacobian of one code (Ramesh et al.)": vectors[:, :k],
        "Jacobians of all codes": mean[:k],
        "joint part of Jacobians": shared[:k],
    }


@torch.no_grad()
def of_pictures(generator: Generator, k: int) -> dict[str, Tensor]:
    """Return directions ``[k, d]`` of z that best explain independent and sparse components of pictures."""
    codes = generator.sample(range(HELD_OUT + 10_000, HELD_OUT + 10_000 + PICTURES))
    pictures = torch.cat([generator.images(codes[i : i + 128]).flatten(1) for i in range(0, PICTURES, 128)])
    pictures = (pictures - pictures.mean(0)).double()
    components = leading_rows(pictures, k)  # [k, pixels]
    scores = pictures @ components.T
    scores = scores / scores.std(0)
    z = codes.values.flatten(1).double()
    made = {"ICA of pictures": scores @ independent(scores).T, "sparse PCA of pictures": scores @ sparse(components).T}
    solved = {name: torch.linalg.lstsq(source, z - z.mean(0)).solution for name, source in made.items()}
    return {name: torch.nn.functional.normalize(rows, dim=1).float() for name, rows in solved.items()}


def independent(x: Tensor, rounds: int = 200) -> Tensor:
    """Return the rotation ``[k, k]`` that makes white scores ``[n, k]`` most independent (Hyvarinen 1999, FastICA, tanh)."""
    turn = torch.linalg.qr(torch.randn(x.shape[1], x.shape[1], generator=torch.Generator().manual_seed(0)).double())[0]
    for _ in range(rounds):
        y = (x @ turn.T).tanh()
        left, _, right = torch.linalg.svd(y.T @ x / len(x) - (1 - y.square()).mean(0)[:, None] * turn)
        turn = left @ right
    return turn


def sparse(components: Tensor, rounds: int = 200) -> Tensor:
    """Return the rotation ``[k, k]`` of components ``[k, pixels]`` with the largest fourth powers (Kaiser 1958, varimax)."""
    turn = torch.eye(len(components)).to(components)
    for _ in range(rounds):
        y = turn @ components
        left, _, right = torch.linalg.svd((y**3 - y * y.square().mean(1, keepdim=True)) @ components.T)
        turn = left @ right
    return turn


@torch.no_grad()
def of_hessians(generator: Generator, step: float = 1.0, codes: int = 16, probes: int = 16) -> Tensor:
    """Return the frame ``[d, d]`` of z in which second differences of pictures are most diagonal (Peebles et al. 2020).

    The optimum of the Hessian penalty (arXiv:2008.10599) over rotations: Hessians of random mixtures of pixels, together.
    """
    d = generator.spaces[generator.first_space].shape[0]
    p, q = torch.triu_indices(d, d)
    eye, draw, found = step * torch.eye(d), torch.Generator().manual_seed(0), []
    for seed in range(codes):
        code = generator.sample([seed + HELD_OUT + 20_000])
        ends = torch.cat([a * eye[p] + b * eye[q] for a in (1, -1) for b in (1, -1)])
        pictures = torch.cat([generator.images(code.with_values(code.values + part)) for part in ends.split(128)])
        plus, one, other, minus = pictures.flatten(1).chunk(4)
        second = (plus - one - other + minus) / (4 * step**2)  # [pairs, pixels]
        mixed = second @ torch.randn(second.shape[1], probes, generator=draw)
        matrices = torch.zeros(probes, d, d)
        matrices[:, p, q] = matrices[:, q, p] = mixed.T
        found.append(matrices)
    return joint_diagonal(torch.cat(found)).float()


def count(directions: Tensor, rotation: Tensor, axes: Tensor) -> float:
    """Return how many of the decoder's axes are found, the mean over sets ``[n, k, 10]`` if there are several."""
    nearest = (directions.to(rotation) @ rotation).abs()[..., axes].amax(-2)
    return float((nearest >= FOUND).sum(-1).float().mean())


def rows_of(file: str, draws: int) -> list[str]:
    """Return the rows of one decoder."""
    from support.real_generators import turned_decoder  # noqa: PLC0415  (beside the tests; the files may be absent)

    channels, alive = DECODERS[file]
    found: dict[str, list[str]] = {}
    sure, seconds = [], 0.0
    for draw in range(draws):
        rotation = torch.linalg.qr(torch.randn(10, 10, generator=torch.Generator().manual_seed(2718 + draw)))[0]
        generator = turned_decoder(file, rotation, channels)
        began = time.process_time()
        paths, certainty = joint_axes(generator, k=10, seed=draw, progress=False)
        seconds += time.process_time() - began
        # an axis that is alive is one that is found among the paths that are: dead ones are as good as any other of their space
        living = [k for k in range(10) if k not in certainty.dead]
        cosines = (paths.directions().flatten(1) @ rotation).abs()
        axes = cosines[living].square().sum(0).argsort(descending=True)[:alive]
        right = sum(float(cosines[k].max()) >= FOUND for k in certainty.sure)
        sure.append(f"{right}/{len(certainty.sure)}")
        local = local_metrics(generator, k=10, samples=CODES, seed=draw, progress=False)
        sets = {
            "PCA (GANSpace)": principal_paths(generator, k=10).directions().flatten(1),
            "SeFa": sefa_paths(generator, k=10).directions().flatten(1),
            **of_metrics(local, 10),
            "Hessian penalty's optimum": of_hessians(generator),
            **of_pictures(generator, 10),
            JOINT: paths.directions().flatten(1)[living],
        }
        for name, directions in sets.items():
            found.setdefault(name, []).append(f"{count(directions, rotation, axes):.2g}")
    name = file.rsplit("/", maxsplit=1)[-1].removesuffix(".pt")
    rows = [f"| {name} | {method} | {', '.join(counts)} of {alive} | |" for method, counts in found.items() if method != JOINT]
    return [*rows, f"| {name} | {JOINT} | {', '.join(found[JOINT])} of {alive} | {', '.join(sure)} | {seconds / draws:.1f} CPU s"]


def likeness(
    generator: Generator, directions: Tensor, local: LocalMetrics, space: str, layers: tuple[int, int] | None, held: int
) -> float:
    """Return the mean |cosine| between the changes of pictures along two of the directions ``[k, d]``, at codes held out."""
    codes, total = generator.sample(range(HELD_OUT, HELD_OUT + held), space), 0.0
    directions, shape = directions.float(), local.codes.shape[1:]
    for i in range(len(codes)):

        def pictures(u: Tensor, code: Latents = codes[i : i + 1]) -> Tensor:
            moved = local.coordinates.displacements(u)
            moved = moved[:, None] if is_extended(space) else moved.reshape(-1, *shape)
            start = code.with_values(code.values.expand(len(u), *code.values.shape[1:]))
            return generator.images(start.moved(moved, layers), size=generator.coarse_size(64))

        pushed = push_forward(pictures, directions.new_zeros(1, directions.shape[1]), directions, 32).flatten(1)
        total += alike(pushed @ pushed.T)
    return total / len(codes)


def alike(products: Tensor) -> float:
    """Return the mean |cosine| of two changes of pictures from their products ``[k, k]``."""
    lengths, k = products.diagonal().sqrt(), len(products)
    return float(((products / lengths / lengths[:, None]).abs().sum() - k) / (k * (k - 1)))


def words_of(certainty: Certainty) -> str:
    return f"{len(certainty.sure)} sure, {len(certainty.planes)} planes, {len(certainty.loose)} loose, {len(certainty.dead)} dead"


def sets_of(generator: Generator, space: str, layers: tuple[int, int] | None, k: int, local: LocalMetrics) -> dict[str, Tensor]:
    """Return what others find in a space, as unit rows ``[k, d]`` of natural coordinates."""
    layered = is_extended(space)
    sets = {"PCA (GANSpace)": codes_of(principal_paths(generator, space, k, layers), local, layered)}
    if space != "s":  # which is what SeFa's maps lead to
        sets["SeFa"] = codes_of(sefa_paths(generator, k, layers, space=space), local, layered)
    for name, frame in of_metrics(local, k).items():
        sets[name] = (frame[0] if frame.ndim == 3 else frame).to(local.basis) @ local.basis
    if space == generator.first_space:
        sets |= of_pictures(generator, k)
    d = local.basis.shape[1]
    drawn = torch.randn(d, min(k, d), generator=torch.Generator().manual_seed(0))
    return sets | {"random": torch.linalg.qr(drawn)[0].T.to(local.basis)}


def told_apart(generator: Generator, paths: PathSet) -> float:
    """Return how often a reconstructor names the path between two pictures it has not seen (RCA, arXiv:2002.03754)."""
    preset = SHEETS[generator.name]
    settings = replace(
        preset.training,
        iterations=ITERATIONS,
        min_magnitude=ALONG_REACH * preset.training.min_magnitude,
        max_magnitude=ALONG_REACH * preset.training.max_magnitude,
        prior=Prior(paths.space(generator)),
    )
    network = preset.network
    reconstructor = make_reconstructor(
        network.reconstructor,
        len(paths),
        generator.picture_shape[0],
        size=network.reconstructor_size,
        differences=network.differences,
    )
    paths.requires_grad_(False)
    train_paths(generator, paths, reconstructor, settings, progress=False)
    return held_out_scores(generator, paths, reconstructor, settings, progress=False).accuracy


def pure_rows(
    generator: Generator, space: str, layers: tuple[int, int] | None, k: int, samples: int, spread: np.ndarray | None
) -> list[str]:
    """Return the rows of one generator in one space; factors are read where their standard deviations are known."""
    began = time.process_time()
    paths, certainty = joint_axes(generator, space, k, layers, progress=False)
    seconds = time.process_time() - began
    local = local_metrics(generator, space, k, layers, samples=samples, progress=False)
    sets = sets_of(generator, space, layers, k, local) | {JOINT: codes_of(paths, local, is_extended(space))}
    where = space if layers is None else f"{space} {layers[0]} to {layers[1] - 1}"
    said = {JOINT: f"{words_of(certainty)} | {seconds:.0f}"}
    if spread is not None and space != generator.path_space:
        sets = {name: sets[name] for name in (*LONG, JOINT) if name in sets}
    rows, (shape, info) = [], info_for(generator, space, layers)
    for name, directions in sets.items():
        value = likeness(generator, directions, local, space, layers, HELD if spread is None else HELD // 2)
        moved = local.coordinates.displacements(directions.float())
        of_set = sized(moved if is_extended(space) else moved.reshape(-1, *shape), local.usual, info)
        more = f"{told_apart(generator, of_set):.3f}" if spread is None else reached(generator, of_set, spread)
        rows.append(f"| {generator.name}, {where} | {name} | {value:.3f} | {more} | {said.get(name, ' | ')} |")
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def reached(generator: Generator, paths: PathSet, spread: np.ndarray) -> str:
    """Return the mean dependency of the factors on their purest paths, and how many factors one reaches."""
    costs = purest(generator, paths, spread, READ_AT, STEPS)
    return f"{np.nanmean(costs):.3f} ({int((~np.isnan(costs)).sum())})" if not np.isnan(costs).all() else "– (0)"


def weight_rows(generator: Generator, k: int, spread: np.ndarray) -> list[str]:
    """Return the rows of the weights of a layer, all sets in the subspace whose weights move pictures most."""
    began, space = time.process_time(), WeightSpace(generator, (LAYER,))
    size = generator.coarse_size(64)
    found = changes_of(space, codes_for(generator, 48, 0, None), None, SUBSPACE, size=size, tell=lambda _: None)
    axes, certainty = axes_of(found.inside, k)
    seconds = time.process_time() - began
    codes = generator.sample(range(HELD_OUT, HELD_OUT + HELD // 2))
    pushed = [
        push_forward(space.pictures_of(codes[i], size), space.zero(), found.basis, 32).flatten(1) for i in range(len(codes))
    ]
    mean = torch.linalg.eigh(found.inside.mean(0).double())[1].T.flip(0)
    one = torch.linalg.eigh(found.inside[0].double())[1].T.flip(0)
    random = torch.linalg.qr(torch.randn(SUBSPACE, SUBSPACE, generator=torch.Generator().manual_seed(0)).double())[0]
    frames = {
        "Jacobian of one code (Ramesh et al.)": one,
        "eigenvectors of the mean metric (Hessian)": mean,
        "random, in the same subspace": random,
        JOINT: axes,
    }
    said = {JOINT: f"{words_of(certainty)} | {seconds:.0f}"}
    rows = []
    for name, frame in frames.items():
        small = frame[:k].float()
        value = sum(alike((small @ changes) @ (small @ changes).T) for changes in pushed) / len(pushed)
        paths = calibrated(made(space, small, found.basis, name, ()), generator, samples=3, progress=False)
        more = reached(generator, paths, spread)
        rows.append(f"| {generator.name}, weights of {LAYER} | {name} | {value:.3f} | {more} | {said.get(name, ' | ')} |")
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--gans", action="store_true", help="GANs without known axes")
    parser.add_argument("--faces", action="store_true", help="the bundled faces")
    parser.add_argument("--spaces", nargs="+", default=["w", "w+", "s", "weights"], help="of the faces")
    given = parser.parse_args()
    from support.real_generators import REAL, available  # noqa: PLC0415  (beside the tests; the files may be absent)

    if not available() and not given.faces:
        raise SemanifoldError("The real generators are not here; this study needs them.")
    if given.gans:
        print("| generator, space | method | mean cosine of two changes | RCA | axes | CPU s |\n|---|---|---:|---:|---|---:|")
        for name in GANS:
            print("\n".join(pure_rows(REAL[name](), "z", None, 16, CODES, None)), flush=True)
    if given.faces:
        generator, reader = load_generator("faces"), FacesAttributes()
        with torch.no_grad():
            pictures = generator.images(generator.sample(range(60_000, 60_256)))
            spread = reader.read(pictures, pictures[:1]).std(0).double().numpy()
        print("| generator, space | method | mean cosine of two changes | dependency (factors) | axes | CPU s |")
        print("|---|---|---:|---|---|---:|")
        for space, layers in (row for row in FACES if row[0] in given.spaces):
            print("\n".join(pure_rows(generator, space, layers, 32, 48, spread)), flush=True)
        if "weights" in given.spaces:
            print("\n".join(weight_rows(generator, 32, spread)), flush=True)
    if given.gans or given.faces:
        return
    print("| decoder | method | axes found, by draw | of those called sure: right / all |")
    print("|---|---|---|---|")
    for file in DECODERS:
        print("\n".join(rows_of(file, given.draws)), flush=True)


if __name__ == "__main__":
    main()
