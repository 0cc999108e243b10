"""The attribute network reads the factors that made a picture; what the package ships stays small."""

from pathlib import Path

import torch

import semanifold
from semanifold.worlds.faces.analytic import factors_from_latents
from semanifold.worlds.faces.attribute_network import attribute_network
from semanifold.worlds.faces.factors import FACTORS
from semanifold.worlds.faces.renderer import render


def test_factors_of_unseen_faces_are_read_from_their_pictures() -> None:
    z = torch.randn(200, 32, generator=torch.Generator().manual_seed(31_415))
    factors = factors_from_latents(z)
    network = attribute_network()
    with torch.no_grad():
        read = torch.cat([network(render(part, 64)) for part in factors.split(100)])
    r2 = 1 - (read - factors).square().mean(0) / factors.var(0, unbiased=False)
    assert len(r2) == len(FACTORS)
    assert int((r2 >= 0.95).sum()) >= 20
    assert float(r2.min()) > 0.8


def test_the_weights_of_the_package_are_safetensors_of_at_most_12_megabytes() -> None:
    files = [p for p in Path(semanifold.__file__).parent.rglob("*") if p.is_file() and p.stat().st_size > 100_000]
    assert {p.suffix for p in files} == {".safetensors"}
    assert sum(p.stat().st_size for p in files) <= 12e6
