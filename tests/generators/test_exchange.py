"""Projected pictures in one file, codes and noise maps, as rosinality's projector keeps them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from support.small_stylegan2 import codes, make
from support.small_world import SmallWorld

from semanifold.core.errors import SemanifoldError
from semanifold.generators.exchange import export_codes, join_projections, projection, read_codes, read_noise
from semanifold.inversion.noise import noise_edit
from semanifold.storage.arrays import write_torch

W_PLUS, W = codes(make(double=False), 1), codes(make(double=False), 1).with_values(torch.ones(1, 6), "w")


def test_several_projected_pictures_become_one_file_that_reads_as_all_of_them(tmp_path: Path) -> None:
    generator = make(double=False)
    edited = noise_edit(generator, W_PLUS, dict(zip(generator.noise_maps(), generator.draw_noise(9), strict=True))).baked(
        generator
    )
    for name, network, code in (("a", generator, W_PLUS), ("b", edited, W)):
        write_torch(tmp_path / f"{name}.pt", {f"{name}.png": projection(network, code, network.images(code))})
    join_projections([tmp_path / "a.pt", tmp_path / "b.pt"], tmp_path / "both.pt")
    plain = torch.load(tmp_path / "both.pt", weights_only=True)
    assert {name: plain[name]["latent"].shape for name in plain} == {"a.png": W_PLUS.values.shape[1:], "b.png": (6,)}
    assert [noise.shape[-1] for noise in plain["b.png"]["noise"]] == [4, 8, 8, 16, 16, 32, 32]
    said: list[str] = []
    read = read_codes(tmp_path / "both.pt", generator, remark=said.append)
    assert "2 codes of w+" in said[0]
    assert said[0].endswith("those of w are repeated.")
    assert torch.equal(read.values[:1], W_PLUS.values)
    assert torch.equal(read.values[1], torch.ones_like(read.values[1]))
    first, second = read_noise(tmp_path / "both.pt", generator)
    assert all(torch.equal(noise, first[name]) for name, noise in generator.noise_maps().items())
    again = noise_edit(generator, W, second).images(generator, W, 1.0)
    torch.testing.assert_close(again[0], plain["b.png"]["img"], atol=1e-5, rtol=1e-5)
    with pytest.raises(SemanifoldError, match="2 codes of different shapes"):
        read_codes(tmp_path / "both.pt", generator, "w")


def test_noise_maps_lie_beside_the_code_in_projected_w(tmp_path: Path) -> None:
    generator = make(double=False)
    maps = generator.draw_noise(9)
    export_codes(tmp_path.joinpath, "x", W_PLUS.values, 0, maps=maps)
    with np.load(tmp_path / "projected_w.npz") as arrays:
        assert list(arrays) == ["w", *(f"noise{i}" for i in range(7))]
    assert torch.equal(read_codes(tmp_path / "projected_w.npz", generator).values, W_PLUS.values)
    (read,) = read_noise(tmp_path / "projected_w.npz", generator)
    assert all(torch.equal(a, b) for a, b in zip(read.values(), maps, strict=True))


def test_what_is_no_noise_of_the_generator_is_refused(tmp_path: Path) -> None:
    generator = make(double=False)
    assert projection(generator, codes(generator, 1).with_values(torch.zeros(1, 7), "z"), torch.zeros(1, 3, 32, 32)) is None
    write_torch(tmp_path / "none.pt", {"a.png": {"latent": torch.zeros(6)}})
    with pytest.raises(SemanifoldError, match="holds no noise maps"):
        read_noise(tmp_path / "none.pt", generator)
    maps = [noise[None, None] for noise in generator.draw_noise(1)]
    for noise, words in ((maps[:-1], "but those of small are"), ([*maps[:-1], maps[-1] * float("nan")], "NaN or infinite")):
        write_torch(tmp_path / "bad.pt", {"a.png": {"latent": torch.zeros(6), "noise": noise}})
        with pytest.raises(SemanifoldError, match=words):
            read_noise(tmp_path / "bad.pt", generator)
    with pytest.raises(SemanifoldError, match="but those of"):
        read_noise(tmp_path / "bad.pt", SmallWorld())
