"""StyleGAN2 whose constant is not 4 x 4: pictures of other proportions, from files in every layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from support.checkpoint_files import write_nvidia, write_tensorflow
from support.dialects import ada, genforce, made, rosinality, saved
from support.small_stylegan2 import codes, make, plain_pictures

from semanifold.app import cli
from semanifold.core.errors import SemanifoldError
from semanifold.generators.inspecting import inspect_file
from semanifold.generators.loading import convert, load_generator, save_generator
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config
from semanifold.manifolds.settings import ManifoldSettings
from semanifold.manifolds.solve import discover_manifold

SHAPES = [(4, 8), (8, 4), (4, 2), (3, 5)]


def generator_of(const: tuple[int, int]) -> StyleGAN2:
    return made(size=const[0] * 4, const=const)


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
@pytest.mark.parametrize("const", SHAPES)
def test_equals_the_plain_version(const: tuple[int, int], architecture: str) -> None:
    generator = make(architecture, size=const[0] * 8, const=const)
    latents = codes(generator, 2)
    pictures = generator.images(latents)
    assert tuple(pictures.shape[1:]) == generator.picture_shape == (3, const[0] * 8, const[1] * 8)
    torch.testing.assert_close(pictures, plain_pictures(generator, latents.values), rtol=1e-7, atol=1e-7)
    assert torch.equal(generator.images(generator.convert(latents, "s")), pictures)
    small = generator.images(latents, size=const[0] * 2)
    assert tuple(small.shape[2:]) == (const[0] * 2, const[1] * 2)
    drawn = generator.draw_noise(1)
    assert [tuple(map_.shape) for map_ in drawn[:3]] == [const, (2 * const[0], 2 * const[1]), (2 * const[0], 2 * const[1])]
    for noise in (drawn, "none", torch.Generator()):
        assert torch.isfinite(generator.images(latents, noise=noise)).all()
    with pytest.raises(SemanifoldError, match=f"{const[0]}, {2 * const[0]}, ... {8 * const[0]} pixels, not 7"):
        generator.images(latents, size=7)


def test_wide_pictures_by_fast_convolutions() -> None:
    config = StyleGAN2Config(64, 8, 8, (16, 16, 16, 128, 128), mapping_layers=2, const=(4, 8))
    generator = StyleGAN2(config)
    latents = codes(generator, 2)
    expected = plain_pictures(generator.double(), latents.values.double())
    torch.testing.assert_close(generator.float().images(latents).double(), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("const", SHAPES)
def test_files_in_every_layout(const: tuple[int, int], tmp_path: Path) -> None:
    generator = generator_of(const)
    latents = generator.sample([1, 2])
    state, mean = rosinality(generator)
    files = {
        "rosinality": saved(tmp_path / "r.pt", {"g_ema": state, "latent_avg": mean}),
        "ada": saved(tmp_path / "a.pt", {"G_ema": ada(generator)}),
        "genforce": saved(tmp_path / "g.pth", {"generator_smooth": genforce(generator)}),
        "tensorflow": tmp_path / "t.pkl",
    }
    write_tensorflow(files["tensorflow"], ada(generator))
    for layout, path in files.items():
        read: Any = load_generator(path)
        assert read.config.const == const, layout
        torch.testing.assert_close(read.images(latents), generator.images(latents), rtol=1e-5, atol=1e-5)
        said = inspect_file(path)
        assert (said.resolution, said.width) == (4 * const[0], 4 * const[1])
        assert f"3 x {4 * const[0]} x {4 * const[1]}" in str(said)
        own: Any = convert(path, path.with_suffix(".safetensors"))
        assert torch.equal(own.images(latents), read.images(latents))
        assert load_generator(path.with_suffix(".safetensors")).fingerprint == read.fingerprint


def test_a_pickle_of_stylegan_human_loads_and_says_whose_it_is(tmp_path: Path) -> None:
    """Its constant is 4 x 2, its noise maps half as wide as high, under the keys of stylegan2-ada-pytorch."""
    generator, said = generator_of((4, 2)), []
    write_nvidia(path := tmp_path / "stylegan_human_v2_512.pkl", ada(generator))
    read, codes = load_generator(path, say=said.append), generator.sample([1, 2])
    assert read.picture_shape == (3, 16, 8)
    torch.testing.assert_close(read.images(codes), generator.images(codes), rtol=1e-5, atol=1e-5)
    assert said == [
        "The weights of stylegan_human_v2_512 may be for non-commercial use: "
        "not stated; its photographs, SHHQ, are non-commercial (by the name of the file)."
    ]


@pytest.mark.parametrize("layout", ["rosinality", "nvidia"])
def test_files_are_written_in_other_layouts(layout: str, tmp_path: Path) -> None:
    generator, said = generator_of((4, 8)), []
    save_generator(generator, tmp_path / "own.safetensors")
    convert(tmp_path / "own.safetensors", tmp_path / "theirs.pt", layout=layout, say=said.append)
    assert "size=16" in said[0] or "img_resolution=16" in said[0]
    assert "starts from 4 x 8" in said[0]
    codes = generator.sample([1, 2])
    read = load_generator(tmp_path / "theirs.pt")
    torch.testing.assert_close(read.images(codes), generator.images(codes), rtol=1e-5, atol=1e-5)


def test_noise_maps_of_another_shape_are_refused(tmp_path: Path) -> None:
    state = ada(generator_of((4, 8)))
    state["synthesis.b8.conv0.noise_const"] = torch.zeros(8, 8)
    with pytest.raises(SemanifoldError, match=r"noise_const has shape \(8, 8\)"):
        load_generator(saved(tmp_path / "x.pt", {"G_ema": state}))


def test_missing_noise_maps_are_drawn_in_proportion(tmp_path: Path) -> None:
    state = {key: value for key, value in ada(generator_of((8, 4))).items() if not key.endswith("noise_const")}
    read = load_generator(saved(tmp_path / "x.pt", {"G_ema": state}))
    assert tuple(read.get_buffer("convs.3.noise").shape) == (32, 16)


@pytest.mark.parametrize("changes", [{"const": (0, 4)}, {"const": (4, 100)}, {"const": (3, 4)}, {"const": (4, 4, 4)}])
def test_constants_that_cannot_be(changes: dict[str, Any]) -> None:
    with pytest.raises(SemanifoldError, match="StyleGAN2"):
        StyleGAN2Config(16, 6, 6, (5, 4, 3), **changes)


def test_a_hostile_constant(tmp_path: Path) -> None:
    for const in (torch.zeros(5, 0, 4), torch.zeros(5, 4, 3000)):
        state = ada(generator_of((4, 8))) | {"synthesis.b4.const": const}
        with pytest.raises(SemanifoldError):
            load_generator(saved(tmp_path / "x.pt", {"G_ema": state}))


@pytest.mark.parametrize("const", [(4, 8), (5, 3)])
def test_masked_manifolds_on_wide_and_tall_pictures(const: tuple[int, int]) -> None:
    generator = make(double=False, size=const[0] * 16, const=const, channels=(8, 8, 6, 4, 4))
    settings = ManifoldSettings(frames=3, steps=2)
    solution = discover_manifold(generator, 3, "box:0.2,0.2,0.6,0.6", settings, progress=False, throw=False)
    frames = solution.value.images(generator, generator.sample(3, "w+"), torch.linspace(0, 1, 3))
    assert tuple(frames.shape[1:]) == generator.picture_shape


def test_the_command_line_shows_wide_and_transparent_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_generator(make(double=False, size=16, const=(4, 8), channels=(8, 6, 4), colours=4), "wide.safetensors")
    where = ["--generator", "wide.safetensors", "--device", "cpu"]
    search = ["discover", "--mask", "box:0.2,0.2,0.5,0.8", "--seed", "1", "--iterations", "4", "--frames", "5", "--space", "s"]
    assert cli.main([*search, *where, "--seconds", "0.2", "--out", "d"]) == 0
    with Image.open("d/film.gif") as film:
        assert film.width == 2 * film.height
    assert b"\x53\xc0\x81\x01" in Path("d/film.webm").read_bytes(), "AlphaMode: the film keeps its transparency"
    assert cli.main(["sample", "--seeds", "0", *where, "--out", "s"]) == 0
    with Image.open(next(Path("s").rglob("*0.png"))) as picture:
        assert picture.width == 2 * picture.height
        assert picture.mode == "RGBA"
