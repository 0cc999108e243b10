"""How good the bundled face generator is: Fréchet distance, coverage of every factor, and a sheet of samples.

    python benchmarks/faces_quality.py --sheet docs/pictures/faces_samples.png

Distances are taken between Gaussians fitted to the attribute network's embedding (Heusel et al. 2017, arXiv:1706.08500, eq. 6,
with our network in the place of Inception), against fresh renders; the floor is the distance between two sets of renders.
Coverage is the standard deviation of each factor, read from the pictures, over that of renders read in the same way.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cyclopts
import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from semanifold.generators.base import Generator
from semanifold.generators.loading import load_generator
from semanifold.images.media import contact_sheet, save_png, to_uint8
from semanifold.worlds.faces.analytic import factors_from_latents
from semanifold.worlds.faces.attribute_network import attribute_network
from semanifold.worlds.faces.factors import FACTORS
from semanifold.worlds.faces.renderer import render


@cyclopts.Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Settings:
    """What to measure.

    Attributes:
        generator: name or file.
        samples: pictures in each of the sets.
        sheet: PNG of the first 64 samples, if any.
        out: JSON file, if any.
    """

    generator: str = "faces"
    samples: int = 2000
    sheet: Path | None = None
    out: Path | None = None


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """Return the Fréchet distance between Gaussians fitted to two sets ``[n, d]`` (arXiv:1706.08500, eq. 6)."""
    a, b = first.double().numpy(), second.double().numpy()
    covariance_a, covariance_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = np.real(np.asarray(scipy.linalg.sqrtm(covariance_a @ covariance_b)))
    means = np.square(a.mean(0) - b.mean(0)).sum()
    return float(means + np.trace(covariance_a + covariance_b - 2 * root))


@torch.no_grad()
def read(pictures: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return embeddings ``[n, d]`` and factors ``[n, F]`` of batches of pictures."""
    network = attribute_network()
    embedded = torch.cat([network.embed(batch.clamp(-1, 1)) for batch in pictures])
    return embedded, network.head(embedded)


def renders(n: int, seed: int) -> list[Tensor]:
    """Return ``n`` fresh renders in batches of 100."""
    z = torch.randn(n, 32, generator=torch.Generator().manual_seed(seed))
    return [render(factors_from_latents(chunk), 64) for chunk in z.split(100)]


def samples(generator: Generator, n: int) -> list[Tensor]:
    """Return the pictures of seeds 0..n-1 in batches of 100."""
    return [generator.images(generator.sample(range(i, min(i + 100, n)))) for i in range(0, n, 100)]


@torch.no_grad()
def main(*, settings: Settings = Settings()) -> None:
    """Measure and print."""
    generator = load_generator(settings.generator)
    drawn = samples(generator, settings.samples)
    embedded, factors = read(drawn)
    reference, truth = read(renders(settings.samples, 1))
    other, _ = read(renders(settings.samples, 2))
    scale = reference.std(0).mean()
    distance = frechet_distance(embedded / scale, reference / scale)
    floor = frechet_distance(other / scale, reference / scale)
    coverage = (factors.std(0) / truth.std(0)).tolist()
    print(
        f"Fréchet distance to renders: {distance:.3f} (floor, renders to renders: {floor:.3f}; {settings.samples} pictures each)"
    )
    print("\n| factor | coverage |\n|---|---|")
    for factor, share in zip(FACTORS, coverage):
        print(f"| {factor.name} | {share:.2f} |")
    if settings.sheet:
        save_png(contact_sheet(to_uint8(torch.cat(drawn)[:64]), columns=8, size=96), settings.sheet)
    if settings.out:
        record = {"frechet": distance, "floor": floor, "coverage": {f.name: c for f, c in zip(FACTORS, coverage)}}
        settings.out.write_text(json.dumps(record, indent=2))


if __name__ == "__main__":
    cyclopts.run(main)
