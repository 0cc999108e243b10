"""Which axes of real decoders come back from behind a rotation, which of those called sure, and how pure are those of GANs?

    python benchmarks/joint_axes.py             # three decoders, three rotations and draws of codes each
    python benchmarks/joint_axes.py --draws 5
    python benchmarks/joint_axes.py --gans      # generators without known axes: how alike two paths change pictures
    python benchmarks/joint_axes.py --faces     # the same for the bundled faces, in w, by layers of w+ and in s; some minutes

An axis of the decoder is found if a path has a |cosine| of at least 0.9 with it. Dead axes (``paths/certainty.py``) do not count.
Baselines that need the pictures' Jacobians get the same metrics of 64 codes, those that need pictures the same 1,024 of them.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.jacobians import push_forward
from semanifold.core.latents import Latents
from semanifold.core.spaces import is_extended
from semanifold.generators.base import Generator
from semanifold.generators.loading import load_generator
from semanifold.paths.certainty import Certainty
from semanifold.paths.closed_form import leading_rows, principal_paths, sefa_paths
from semanifold.paths.joint import LocalMetrics, joint_axes, joint_diagonal, local_metrics
from semanifold.paths.linear import LinearPaths

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
CODES, PICTURES = 64, 1024
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


def likeness(generator: Generator, directions: Tensor, local: LocalMetrics, space: str, layers: tuple[int, int] | None) -> float:
    """Return the mean |cosine| between the changes of pictures along two of the directions ``[k, d]``, at 16 codes held out."""
    codes, total = generator.sample(range(HELD_OUT, HELD_OUT + 16), space), 0.0
    directions, shape = directions.float(), local.codes.shape[1:]
    for i in range(len(codes)):

        def pictures(u: Tensor, code: Latents = codes[i : i + 1]) -> Tensor:
            moved = local.coordinates.displacements(u)
            moved = moved[:, None] if is_extended(space) else moved.reshape(-1, *shape)
            start = code.with_values(code.values.expand(len(u), *code.values.shape[1:]))
            return generator.images(start.moved(moved, layers), size=generator.coarse_size(64))

        pushed = push_forward(pictures, directions.new_zeros(1, directions.shape[1]), directions, 32).flatten(1)
        unit = torch.nn.functional.normalize(pushed, dim=1)
        k = len(unit)
        total += float(((unit @ unit.T).abs().sum() - k) / (k * (k - 1)))
    return total / len(codes)


def words_of(certainty: Certainty) -> str:
    return f"{len(certainty.sure)} sure, {len(certainty.planes)} planes, {len(certainty.loose)} loose, {len(certainty.dead)} dead"


def pure_rows(generator: Generator, space: str, layers: tuple[int, int] | None, k: int, samples: int) -> list[str]:
    """Return the rows of one generator in one space: how alike two paths of each set change pictures."""
    began = time.process_time()
    paths, certainty = joint_axes(generator, space, k, layers, progress=False)
    seconds = time.process_time() - began
    local = local_metrics(generator, space, k, layers, samples=samples, progress=False)
    layered = is_extended(space)
    sets = {
        "PCA (GANSpace)": codes_of(principal_paths(generator, space, k, layers), local, layered),
        "SeFa": codes_of(sefa_paths(generator, k, layers, space=space), local, layered),
    }
    for name, frame in of_metrics(local, k).items():
        sets[name] = (frame[0] if frame.ndim == 3 else frame).to(local.basis) @ local.basis
    if space == generator.first_space:
        sets |= of_pictures(generator, k)
    sets[JOINT] = codes_of(paths, local, layered)
    where = space if layers is None else f"{space} {layers[0]} to {layers[1] - 1}"
    said = {JOINT: f"{words_of(certainty)} | {seconds:.0f}"}
    rows = []
    for name, directions in sets.items():
        alike = likeness(generator, directions, local, space, layers)
        rows.append(f"| {generator.name}, {where} | {name} | {alike:.3f} | {said.get(name, ' | ')} |")
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--gans", action="store_true", help="GANs without known axes")
    parser.add_argument("--faces", action="store_true", help="the bundled faces")
    given = parser.parse_args()
    from support.real_generators import REAL, available  # noqa: PLC0415  (beside the tests; the files may be absent)

    if not available() and not given.faces:
        raise SemanifoldError("The real generators are not here; this study needs them.")
    if given.gans or given.faces:
        print("| generator, space | method | mean cosine of two changes | axes | CPU s |")
        print("|---|---|---:|---|---:|")
        if given.gans:
            for name in GANS:
                print("\n".join(pure_rows(REAL[name](), "z", None, 16, CODES)), flush=True)
        if given.faces:
            for space, layers in FACES:
                print("\n".join(pure_rows(load_generator("faces"), space, layers, 32, 16)), flush=True)
        return
    print("| decoder | method | axes found, by draw | of those called sure: right / all |")
    print("|---|---|---|---|")
    for file in DECODERS:
        print("\n".join(rows_of(file, given.draws)), flush=True)


if __name__ == "__main__":
    main()
