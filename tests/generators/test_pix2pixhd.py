"""pix2pixHD: the published pictures, sizes from the file, and label maps in the place of seeds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.published_generators import gradient, shapes
from support.reference import GRADIENTS, REFERENCE, agree, numbers, settings
from torch import Tensor

from semanifold.app.cli import main
from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.generators.inputs import edges_of, label_names, one_hot
from semanifold.generators.loading import load_generator, save_generator
from semanifold.generators.pix2pixhd import SPACE, Pix2PixHD, Pix2PixHDConfig, from_published
from semanifold.generators.states import assembled
from semanifold.manifolds import discover_manifold
from semanifold.worlds.faces.world import FACES

VARIANTS = sorted(path.parent.name for path in (REFERENCE / "pix2pixhd").glob("*/latest_net_G.pth"))
SMALL = Pix2PixHDConfig(
    inputs=6, features=4, downsamplings=1, blocks=1, enhancers=1, enhancer_blocks=1, height=16, width=24, names=tuple("abcde")
)


def edged(variant: str) -> bool:
    """Whether a variant takes the edges of instances."""
    config = settings("pix2pixhd")
    return config["variants"][variant]["define_G"]["input_nc"] > config["label_nc"]


def published(variant: str, folder: Path) -> Path:
    """Write the maps of the fixture as pix2pixHD keeps them, and weights with their options; return the folder of the maps."""
    expected = numbers("pix2pixhd")
    for kind in ("label", "inst"):
        (folder / f"test_{kind}").mkdir(parents=True)
    for i, (labels, instances) in enumerate(zip(expected["label_map"], expected["instance_map"])):
        Image.fromarray(labels[0].to(torch.uint8).numpy()).save(folder / "test_label" / f"{i}.png")
        Image.fromarray(instances[0].numpy().astype(np.uint16)).save(folder / "test_inst" / f"{i}.png")
    shutil.copy(REFERENCE / "pix2pixhd" / variant / "latest_net_G.pth", folder)
    labels = settings("pix2pixhd")["label_nc"]
    (folder / "opt.txt").write_text(f"--- Options ---\n  label_nc: {labels}\t[default: 35]\nno_instance: {not edged(variant)}\n")
    return folder / "test_label"


@pytest.mark.parametrize("variant", VARIANTS)
def test_published_pictures(variant: str, tmp_path: Path) -> None:
    maps, expected, config = published(variant, tmp_path), numbers("pix2pixhd"), settings("pix2pixhd")
    generator = load_generator(tmp_path / "latest_net_G.pth", inputs=maps)
    assert isinstance(generator, Pix2PixHD)
    made = config["variants"][variant]["define_G"]
    assert generator.config.inputs == made["input_nc"]
    assert generator.config.blocks == made["n_blocks_global"]
    assert generator.config.features == made["ngf"] << made.get("n_local_enhancers", 0)
    assert generator.picture_shape == (made["output_nc"], config["height"], config["width"])
    codes = generator.sample(range(len(expected["label_map"])))
    assert torch.equal(codes.values[:, : config["label_nc"]].argmax(1), expected["label_map"][:, 0].long())
    if edged(variant):
        assert torch.equal(codes.values[:, -1:], expected["edges"])
    agree(generator.images(codes), expected[f"{variant}/img"])
    assert torch.equal(generator.sample(maps).values, codes.values)
    assert torch.equal(generator.sample([len(codes)]).values, codes.values[:1])  # they begin again after the last
    if f"{variant}/grad_input" in expected:
        agree(gradient(generator, codes), expected[f"{variant}/grad_input"], GRADIENTS)


@pytest.mark.parametrize(("model", "enhancers"), [("pix2pixhd_global", 0), ("pix2pixhd_local", 1)])
def test_the_real_models_are_understood(model: str, enhancers: int) -> None:
    state, said = shapes(model), list[str]()
    config, ours = from_published(state, say=said.append)
    assert (config.inputs, config.edges, config.features, config.downsamplings, config.blocks) == (36, True, 64, 4, 9)
    assert config.enhancers == enhancers
    assert config.enhancer_blocks == 3
    assert "35 labels and the edges" in said[0]
    generator = assembled(lambda: Pix2PixHD(config), ours, "pix2pixHD")
    assert sum(v.numel() for v in generator.state_dict().values()) == sum(v.numel() for v in state.values())
    assert label_names(config)["car"] == 26
    assert label_names(config)["label26"] == 26
    with pytest.raises(SemanifoldError, match=r"lacks the tensor model\.16\.conv_block"):
        from_published({key: value for key, value in state.items() if "model.16.conv_block.5" not in key})
    with pytest.raises(SemanifoldError, match="belong to no pix2pixHD"):
        from_published(state | {"model.2.weight": torch.zeros(64)})  # batch normalisation


def test_photos_to_photos(tmp_path: Path) -> None:
    """The residual generator of CycleGAN is the same network on colours."""
    config = Pix2PixHDConfig(inputs=3, labelled=False, edges=False, features=4, downsamplings=2, blocks=2, height=16, width=16)
    model = Pix2PixHD(config, seed=1)
    state = {f"module.{key}": value for key, value in as_published(model).items()}
    torch.save(state | {"module.model.2.running_mean": torch.zeros(4)}, tmp_path / "latest_net_G_A.pth")
    pixels = np.random.default_rng(0).integers(0, 256, (24, 16, 3), dtype=np.uint8)
    (tmp_path / "photos").mkdir()
    Image.fromarray(pixels).save(tmp_path / "photos" / "horse.png")
    generator = load_generator(tmp_path / "latest_net_G_A.pth", inputs=tmp_path / "photos")
    assert generator.picture_shape == (3, 24, 16)
    with pytest.raises(SemanifoldError, match="no face is found"):
        generator.regions(0)("mouth")
    code = generator.sample(0)
    torch.testing.assert_close(code.values[0], torch.from_numpy(pixels).permute(2, 0, 1) / 127.5 - 1)
    assert generator.inputs is not None
    torch.testing.assert_close(generator.images(code), model.with_inputs(generator.inputs).images(code))


def as_published(model: Pix2PixHD) -> dict[str, Tensor]:
    """The state of a global network as the published programs write it."""
    config, out = model.config, dict[str, Tensor]()
    start = 4 + 3 * config.downsamplings
    names = {"first": "model.1", "colours": f"model.{start + config.blocks + 3 * config.downsamplings + 1}"}
    for i in range(config.downsamplings):
        names |= {f"downs.{i}": f"model.{4 + 3 * i}", f"ups.{i}": f"model.{start + config.blocks + 3 * i}"}
    for i in range(config.blocks):
        names |= {f"blocks.{i}.conv{n}": f"model.{start + i}.conv_block.{4 * n - 3}" for n in (1, 2)}
    for key, value in model.state_dict().items():
        layer, _, part = key.rpartition(".")
        out[f"{names[layer]}.{part}"] = value
    return out


def test_the_textbook_network() -> None:
    """Every layer by torch's own modules in double precision."""
    model: Any = Pix2PixHD(SMALL, seed=1).double()
    x = torch.rand(2, 6, 16, 24, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def layer(module: Any, x: Tensor, kind: str = "keep") -> Tensor:
        weight, bias = module.weight, module.bias
        if kind == "double":
            return torch.nn.functional.conv_transpose2d(x, weight, bias, 2, 1, 1)
        if kind == "halve":
            return torch.nn.functional.conv2d(x, weight, bias, 2, 1)
        return torch.nn.functional.conv2d(torch.nn.ReflectionPad2d(weight.shape[-1] // 2)(x), weight, bias)

    def norm(x: Tensor) -> Tensor:
        return torch.nn.functional.instance_norm(x)

    def block(module: Any, x: Tensor) -> Tensor:
        return x + norm(layer(module.conv2, torch.relu(norm(layer(module.conv1, x)))))

    low = torch.nn.AvgPool2d(3, 2, 1, count_include_pad=False)(x)
    h = torch.relu(norm(layer(model.first, low)))
    h = torch.relu(norm(layer(model.downs[0], h, "halve")))
    h = torch.relu(norm(layer(model.ups[0], block(model.blocks[0], h), "double")))
    local = model.enhancers[0]
    y = torch.relu(norm(layer(local.first, x)))
    y = torch.relu(norm(layer(local.down, y, "halve"))) + h
    y = torch.relu(norm(layer(local.up, block(local.blocks[0], y), "double")))
    torch.testing.assert_close(model.images(Latents(x, SPACE)), layer(model.colours, y).tanh())


def test_edges() -> None:
    instances = torch.tensor([[1, 1, 2], [1, 1, 2], [3, 3, 3]])
    assert edges_of(instances).tolist() == [[False, True, True], [True, True, True], [True, True, True]]
    assert one_hot(torch.tensor([[0, 2]]), 3)[:, 0].tolist() == [[1, 0], [0, 0], [0, 1]]


def maps(folder: Path, count: int = 3, *, most: int = 5, size: tuple[int, int] = (16, 24)) -> Path:
    folder.mkdir()
    for i in range(count):
        labels = np.random.default_rng(i).integers(0, most, (4, 6)).repeat(4, 0).repeat(4, 1)[: size[0], : size[1]]
        Image.fromarray(labels.astype(np.uint8)).save(folder / f"street {i}.png")
    return folder


@pytest.fixture(name="weights")
def _weights(tmp_path: Path) -> Path:
    save_generator(Pix2PixHD(SMALL, name="streets", seed=1), tmp_path / "streets.safetensors")
    return tmp_path / "streets.safetensors"


def test_round_trip_and_regions(weights: Path, tmp_path: Path) -> None:
    said: list[str] = []
    generator = load_generator(weights, inputs=maps(tmp_path / "maps"), say=said.append)
    assert "edges are taken to be where the labels change" in said[0]
    assert isinstance(generator, Pix2PixHD)
    assert generator.config.names == tuple("abcde")
    code = generator.sample(1)
    regions = generator.regions(code)
    assert regions is not None
    assert torch.equal(regions("b").at(16, 24)[0, 0], code.values[0, 1])
    assert torch.equal(regions("label1").at(16, 24), regions("b").at(16, 24))
    for name, words in (("f", "has no label 'f'"), ("label5", "has no label")):
        with pytest.raises(SemanifoldError, match=words):
            regions(name)
    other = generator.with_weights({"colours": torch.zeros(3, 2, 7, 7)})
    assert torch.equal(other.sample(1).values, code.values)
    assert generator.images(code).std() > 0.01


def test_inputs_that_do_not_fit(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    good = maps(tmp_path / "good")
    maps(tmp_path / "unknown", most=9)
    maps(tmp_path / "odd", size=(13, 24))
    mixed = maps(tmp_path / "mixed")
    Image.new("L", (24, 32)).save(mixed / "tall.png")
    coloured = maps(tmp_path / "coloured")
    Image.new("RGB", (24, 16)).save(coloured / "a.png")
    few = maps(tmp_path / "a_label")
    shutil.copytree(few, tmp_path / "a_inst")
    (tmp_path / "a_inst" / "street 0.png").unlink()
    damaged = maps(tmp_path / "damaged", 1)
    (damaged / "street 0.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    for place, words in (
        ("empty", "holds no pictures"), ("missing", "no folder or file"), ("unknown", "holds the label 8.*labels 0 to 4"),
        ("odd", "multiples of 4"), ("mixed", "24 x 32 pixels.*24 x 16"), ("coloured", "one number per pixel"),
        ("a_label", "3 label maps, but 2 maps of instances"), ("damaged", "cannot be read as an image"),
    ):  # fmt: skip
        with pytest.raises(SemanifoldError, match=words):
            load_generator(weights, inputs=tmp_path / place).sample(range(8))
    bare = load_generator(weights)
    with pytest.raises(SemanifoldError, match="give a folder of them"):
        bare.sample(0)
    small = maps(tmp_path / "small", size=(8, 12))
    with pytest.raises(SemanifoldError, match="was loaded for inputs of 24 x 16 pixels, but these are 12 x 8"):
        bare.sample(small)
    with pytest.raises(SemanifoldError, match="takes no inputs"):
        load_generator("faces", inputs=good)
    with pytest.raises(SemanifoldError, match="draws its pictures from seeds"):
        load_generator("faces").sample(str(good))


def run(*words: object) -> None:
    assert main([str(word) for word in words]) == 0


def test_on_the_command_line(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder of label maps where seeds are typed: pictures, directions of weights in a label's region, films."""
    monkeypatch.chdir(tmp_path)
    maps(tmp_path / "my maps")
    run("sample", "--generator", weights, "--seeds", "my maps")
    found = json.loads(Path("out/sample-streets-my-maps-0-2/run.json").read_text())["arguments"]
    assert found["model"]["inputs"] == "my maps"
    assert found["seeds"] == [0, 1, 2]
    words = ("--generator", weights, "--layer", "enhancers.0.up", "--k", 2, "--samples", 2, "--inputs", "my maps", "--mask", "a")
    run("weights", "mask", *words, "--out", "found")
    capsys.readouterr()
    run("render", "found:0", "--seed", tmp_path / "my maps" / "street 1.png", "--seconds", 0.4, "--fps", 10)
    assert "has no maps of instances" in capsys.readouterr().err
    run("transfer", "found:1", "--seeds", "my maps", "--seconds", 0.4, "--fps", 10, "--out", "onto")
    assert json.loads(Path("onto/run.json").read_text())["arguments"]["model"]["inputs"] == "my maps"
    run("traverse", "found", "--seeds", "my maps", "--steps", 1, "--no-films", "--out", "walk")
    (tmp_path / "light.py").write_text("def light(images):\n    return images.mean((1, 2, 3))\n")
    measure = ("measure", "walk", "--mask", "a", "--attributes", "light.py:light")
    run(*measure, "--out", "measured")
    run(*measure, "--generator", weights, "--out", "measured again")  # whose inputs are those of the walk
    run("bake", "found:0", "baked.safetensors")
    assert isinstance(load_generator("baked.safetensors"), Pix2PixHD)
    assert main(["sample", "--generator", str(weights), "--seeds", "0-3"]) == 2
    assert "give a folder of them: --inputs FOLDER" in capsys.readouterr().err
    assert main(["sample", "--seeds", "my maps"]) == 2
    assert "takes no inputs" in capsys.readouterr().err


def test_the_bundled_one() -> None:
    """The shipped weights draw faces that are close to the renderer's, from maps that a seed decides."""
    from semanifold.generators.seeds import normal
    from semanifold.worlds.faces.analytic import factors_from_latents
    from semanifold.worlds.faces.label_maps import LABELS, plain_colours
    from semanifold.worlds.faces.renderer import render

    generator = load_generator("facemaps")
    code = generator.sample(range(8))
    assert code.values.shape == (8, len(LABELS), 64, 64)
    assert torch.equal(code.values.sum(1), torch.ones(8, 64, 64))
    truth = render(plain_colours(factors_from_latents(torch.stack([normal(seed, (32,)) for seed in range(8)]))), 64)
    error = (generator.images(code) - truth).square().mean()
    assert error < 0.02, error
    assert generator.world is FACES


def test_the_bundled_maps_serve_another_generator_of_their_labels(tmp_path):
    faces = load_generator("facemaps")
    save_generator(faces, tmp_path / "mine.safetensors")
    with pytest.raises(SemanifoldError, match="inputs=FOLDER"):
        load_generator(tmp_path / "mine.safetensors").sample(0)
    mine = load_generator(tmp_path / "mine.safetensors", inputs="facemaps")
    torch.testing.assert_close(mine.images(mine.sample(3)), faces.images(faces.sample(3)))


def test_label_maps_have_no_paths_to_search(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SemanifoldError, match="find directions in its weights"):
        discover_manifold(load_generator("facemaps"), 0, "mouth", progress=False)
    assert main(["mask", "mouth", "--generator", "facemaps", "--seed", "3"]) == 0
    assert "Next: semanifold weights mask --mask mouth --generator facemaps --seed 3" in capsys.readouterr().out
