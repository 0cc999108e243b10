"""Pools: named by content, read from three kinds of places, and refused where they do not fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from support.reference import REAL, needs_real

from semanifold.app.cli import main
from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.generators.pools import POOL, Pool, pool_of, read_pool, save_pool
from semanifold.generators.wrapped import wrap

CODE = ("directions", "warpedganspace_proggan_latent_code.pt")


def toy(size: int = 5, bias: float = 0.0, name: str = "toy"):
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("weight", torch.linspace(-1, 1, size * 3 * 16).reshape(size, 3, 4, 4) + bias)

        def forward(self, z):
            return torch.tanh(torch.einsum("nk,kchw->nchw", z, self.weight))

    return wrap(Net(), (size,), name=name)


def published(folder: Path, codes: torch.Tensor, classes: list[int] | None = None) -> Path:
    for i, code in enumerate(codes):
        (folder / f"{i:040x}").mkdir(parents=True)
        torch.save(code[None], folder / f"{i:040x}" / "latent_code.pt")
    (folder / "args.json").write_text(json.dumps({"gan_type": "ProgGAN", "biggan_target_classes": classes}))
    return folder


def test_a_pool_survives_its_file_and_keeps_its_names(tmp_path):
    generator = toy()
    pool = pool_of(generator.sample([3, 1, 4]), generator, (3, 1, 4))
    save_pool(pool, tmp_path / POOL)
    again = read_pool(tmp_path, generator)
    assert torch.equal(again.codes.values, pool.codes.values)
    assert (again.hash, again.names, again.seeds) == (pool.hash, pool.names, (3, 1, 4))
    assert again.fingerprint == generator.fingerprint
    assert torch.equal(read_pool(tmp_path / POOL, generator).codes.values, pool.codes.values)


def test_inspect_counts_the_codes_of_a_published_pool(tmp_path, capsys):
    assert main(["inspect", str(published(tmp_path / "ProgGAN_3", torch.ones(3, 5)))]) == 0
    said = capsys.readouterr().out
    assert "a pool of 3 codes" in said
    assert "ProgGAN\n" in said


def test_names_depend_on_the_code_its_space_and_label_and_on_nothing_else():
    values = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    whole = Pool(Latents(values, "z"))
    assert Pool(Latents(values[1:2].double(), "z")).names == whole.names[1:2], "a name depends on neighbours or precision"
    assert len(set(whole.names)) == 3
    assert Pool(Latents(values, "w")).hash != whole.hash
    assert Pool(Latents(values, "z", torch.eye(3))).names[0] != whole.names[0]
    assert Pool(Latents(values.flip(0), "z")).hash != whole.hash


def test_published_pools_are_read_and_classes_go_round(tmp_path):
    codes = torch.randn(3, 5, generator=torch.Generator().manual_seed(1))
    generator = toy()
    pool = read_pool(published(tmp_path / "p", codes), generator)
    assert torch.equal(pool.codes.values, codes)
    assert pool.codes.space == "z"
    assert torch.equal(pool.codes_for(generator, "z").values, codes)
    generator.classes = 4
    labels = read_pool(published(tmp_path / "q", codes, [2, 0]), generator).codes.labels
    assert labels is not None
    assert labels.argmax(1).tolist() == [2, 0, 2]


@needs_real(*CODE)
def test_a_real_published_code_is_read(tmp_path):
    (tmp_path / "p" / "0a").mkdir(parents=True)
    (tmp_path / "p" / "0a" / "latent_code.pt").write_bytes(REAL.joinpath(*CODE).read_bytes())
    assert read_pool(tmp_path / "p", toy(512)).codes.values.shape == (1, 512)


def test_a_plain_file_of_codes_is_a_pool_too(tmp_path):
    save_file({"w": torch.ones(2, 5)}, tmp_path / "codes.safetensors")
    assert read_pool(tmp_path / "codes.safetensors", toy()).codes.values.shape == (2, 5)


def test_codes_of_other_weights_name_both_generators(tmp_path):
    ours, other = toy(), toy(bias=0.5, name="another")
    pool = pool_of(ours.sample([0]), ours)
    with pytest.raises(SemanifoldError) as caught:
        pool.codes_for(other, "z")
    assert all(word in str(caught.value) for word in ("toy", "another", ours.fingerprint, other.fingerprint))


def test_codes_of_another_space_or_shape_name_both():
    generator = toy()
    with pytest.raises(SemanifoldError, match=r"codes in w, but toy has only the spaces z"):
        Pool(Latents(torch.zeros(1, 5), "w")).codes_for(generator, "z")
    with pytest.raises(SemanifoldError, match=r"shape \(7,\).* have \(5,\)"):
        Pool(Latents(torch.zeros(1, 7), "z")).codes_for(generator, "z")


def test_half_written_and_damaged_pools_are_refused(tmp_path):
    generator = toy()
    with pytest.raises(SemanifoldError, match="There is no pool"):
        read_pool(tmp_path / "gone", generator)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SemanifoldError, match="half-written"):
        read_pool(tmp_path / "empty", generator)
    half = published(tmp_path / "half", torch.zeros(2, 5))
    (half / f"{1:040x}" / "latent_code.pt").unlink()
    with pytest.raises(SemanifoldError, match="half-written"):
        read_pool(half, generator)
    torn = published(tmp_path / "torn", torch.zeros(2, 5))
    file = torn / f"{1:040x}" / "latent_code.pt"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(SemanifoldError, match=r"latent_code.pt of a pool is damaged"):
        read_pool(torn, generator)


def test_a_pool_whose_codes_are_not_those_of_its_hash_is_refused(tmp_path):
    generator = toy()
    save_pool(pool_of(generator.sample([0, 1]), generator), tmp_path / POOL)
    whole = (tmp_path / POOL).read_bytes()
    (tmp_path / POOL).write_bytes(whole[:-4] + b"\0\0\0\0")
    with pytest.raises(SemanifoldError, match="damaged"):
        read_pool(tmp_path, generator)
    (tmp_path / POOL).write_bytes(whole[:50])
    with pytest.raises(SemanifoldError, match="damaged"):
        read_pool(tmp_path, generator)


def test_texts_of_a_header_cannot_steer_a_terminal(tmp_path: Path) -> None:
    generator = toy()
    pool = pool_of(generator.sample([0, 1]), generator, (0, 1))
    save_pool(Pool(pool.codes, "\x1b[2J", "\u202eno", (0, 1)), tmp_path / "x.safetensors")
    with pytest.raises(SemanifoldError, match="draw a new pool") as caught:
        read_pool(tmp_path / "x.safetensors", generator).codes_for(generator, "z")
    assert str(caught.value).isprintable()
