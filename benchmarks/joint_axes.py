"""Which axes of real decoders come back from behind a rotation, and which of those that are called sure?

    python benchmarks/joint_axes.py             # three decoders, three rotations and draws of codes each
    python benchmarks/joint_axes.py --draws 5

An axis of the decoder is found if a path has a |cosine| of at least 0.9 with it. Dead axes (``paths/certainty.py``) do not count.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.generators.base import Generator
from semanifold.paths.closed_form import principal_paths, sefa_paths
from semanifold.paths.joint import joint_axes
from semanifold.paths.linear import LinearPaths

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
DECODERS = {
    "btcvae_celeba64.pt": (3, 10),
    "../decoders/factor_celeba64.pt": (3, 10),
    "../decoders/btcvae_dsprites64.pt": (1, 5),
}
"""Channels of the pictures, and axes that are alive."""
FOUND = 0.9
BASELINES: dict[str, Callable[[Generator], LinearPaths]] = {
    "PCA (GANSpace)": lambda generator: principal_paths(generator, k=10),
    "SeFa": lambda generator: sefa_paths(generator, k=10),
}


def nearest(paths: LinearPaths, rotation: Tensor) -> Tensor:
    """Return the |cosine| ``[k, 10]`` of each path with each axis of the decoder."""
    return (paths.directions().flatten(1) @ rotation).abs()


def rows_of(file: str, draws: int) -> list[str]:
    """Return the rows of one decoder."""
    from support.real_generators import turned_decoder  # noqa: PLC0415  (beside the tests; the files may be absent)

    channels, alive = DECODERS[file]
    found: dict[str, list[str]] = {name: [] for name in (*BASELINES, "joint")}
    sure, seconds = [], 0.0
    for draw in range(draws):
        rotation = torch.linalg.qr(torch.randn(10, 10, generator=torch.Generator().manual_seed(2718 + draw)))[0]
        generator = turned_decoder(file, rotation, channels)
        began = time.process_time()
        paths, certainty = joint_axes(generator, k=10, seed=draw, progress=False)
        seconds += time.process_time() - began
        # an axis that is alive is one that is found among the paths that are: dead ones are as good as any other of their space
        living = [k for k in range(10) if k not in certainty.dead]
        cosines = nearest(paths, rotation)
        axes = cosines[living].square().sum(0).argsort(descending=True)[:alive]
        found["joint"].append(str(int((cosines[living][:, axes].amax(0) >= FOUND).sum())))
        right = sum(float(cosines[k].max()) >= FOUND for k in certainty.sure)
        sure.append(f"{right}/{len(certainty.sure)}")
        for name, make in BASELINES.items():
            found[name].append(str(int((nearest(make(generator), rotation)[:, axes].amax(0) >= FOUND).sum())))
    name = file.rsplit("/", maxsplit=1)[-1].removesuffix(".pt")
    rows = [f"| {name} | {method} | {', '.join(counts)} of {alive} | |" for method, counts in found.items() if method != "joint"]
    return [*rows, f"| {name} | joint | {', '.join(found['joint'])} of {alive} | {', '.join(sure)} | {seconds / draws:.1f} CPU s"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=3)
    given = parser.parse_args()
    from support.real_generators import available  # noqa: PLC0415  (beside the tests; the files may be absent)

    if not available():
        raise SemanifoldError("The real generators are not here; this study needs them.")
    print("| decoder | method | axes found, by draw | of those called sure: right / all |")
    print("|---|---|---|---|")
    for file in DECODERS:
        print("\n".join(rows_of(file, given.draws)), flush=True)


if __name__ == "__main__":
    main()
