"""ONNX files and their descriptions: what goes in, what comes out, and the two real networks beside the checkout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from support import real_generators
from support.onnx_writing import write_onnx
from support.reference import REAL, needs_real
from torch import Tensor

from semanifold.analysis.attributes.onnx_descriptions import Description, parse_description, read_description
from semanifold.analysis.attributes.onnx_files import decoded, onnx_reader, prepared, surest_box
from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents

pytest.importorskip("onnxruntime")

real_models = needs_real("attributes")
THREE = [{"name": name, "low": -1, "high": 2} for name in ("red", "green", "blue")]


def colours() -> Tensor:
    """Five pictures of one colour each."""
    return (torch.arange(15).view(5, 3, 1, 1) / 7.5 - 1).expand(5, 3, 12, 10)


def described(folder: Path, shape: list[int | str], outputs: dict[str, tuple[str, int]], **table: Any) -> Path:
    path = write_onnx(folder / "mine.onnx", shape, outputs)
    path.with_suffix(".json").write_text(json.dumps(table))
    return path


@pytest.mark.parametrize("batch", [1, 2, "n"])
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_the_mean_of_every_channel(tmp_path: Path, batch: int | str, layout: str) -> None:
    """A network that takes one, two or any number of pictures at once gives the same; so do both layouts and colour orders."""
    one = layout == "nhwc"
    shape: list[int | str] = [batch, 1, 1, 3] if one else [batch, 3, 8, 9]
    operator = "Flatten" if one else "GlobalAveragePool"
    path = described(
        tmp_path,
        shape,
        {"out": (operator, 2 if one else 4)},
        size=[1, 1] if one else [8, 9],
        layout=layout,
        colours="bgr",
        mean=[1, 2, 3],
        scale=[2, 4, 8],
        attributes=THREE,
    )
    reader = onnx_reader(path)
    values = reader.read(colours(), colours()[:1])
    pixels = (colours()[:, :, 0, 0] + 1) * 127.5
    expected = (pixels.flip(1) - torch.tensor([1.0, 2, 3])) / torch.tensor([2.0, 4, 8])
    assert torch.allclose(values, expected, rtol=1e-5)
    assert [(a.name, a.low, a.high) for a in reader.attributes] == [(row["name"], -1, 2) for row in THREE]


def test_toml_grey_columns_and_averaged_models(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_onnx(tmp_path / f"{name}.onnx", ["n", 1, 2, 2], {"a": ("Relu", 4), "b": ("Sqrt", 4)})
    text = 'size = [2, 2]\ncolours = "grey"\nmodels = ["first.onnx", "second.onnx"]\noutput = "b"\ncolumns = [3, 0]\n'
    text += '[[attributes]]\nname = "last"\n[[attributes]]\nname = "first"\nunit = "levels"\n'
    (tmp_path / "both.toml").write_text(text)
    reader = onnx_reader(tmp_path / "both.toml")
    image = torch.tensor([[[1.0, 0], [-1, -1]], [[1, 0], [-1, 0]], [[1, 0], [-1, 1]]])[None]
    levels = torch.tensor([0.299 * 0 + 0.587 * 127.5 + 0.114 * 255, 255]).sqrt()
    assert torch.allclose(reader.read(image, image), levels[None], rtol=1e-5)
    assert reader.attributes[1].unit == "levels"


def test_decodings() -> None:
    described_by = {
        "softmax": torch.tensor([[0.0, 1, 2], [3, 0, 0]]).softmax(1)[:, [2, 0]],
        "sigmoid": torch.tensor([[0.0, 1, 2], [3, 0, 0]]).sigmoid()[:, [2, 0]],
        "columns": torch.tensor([[2.0, 0], [0, 3]]),
    }
    two = {"size": [4, 4], "attributes": [{"name": "a"}, {"name": "b"}], "columns": [2, 0]}
    for name, expected in described_by.items():
        description = parse_description(two | {"decode": name})
        assert torch.allclose(decoded({"o": torch.tensor([[0.0, 1, 2], [3, 0, 0]])}, description), expected)
    sharp = torch.zeros(2, 2, 3)
    sharp[0, 0, 1], sharp[0, 1, 2], sharp[1, :, 0] = 99, 99, 99
    for values, expected in (([], [[1.0, 2], [0, 0]]), ([-1, 5, 7], [[5.0, 7], [-1, -1]])):
        table = {"size": [4, 4], "attributes": [{"name": "a"}, {"name": "b"}], "decode": "expectation", "values": values}
        assert torch.allclose(decoded({"o": sharp}, parse_description(table)), torch.tensor(expected))


def test_the_surest_box() -> None:
    boxes = torch.tensor([[[0.1, 0.2, 0.3, 0.6], [0.5, 0.5, 0.9, 0.7]]]).repeat(2, 1, 1)
    scores = torch.tensor([[[0.4, 0.6], [0.1, 0.9]], [[0.9, 0.1], [0.8, 0.2]]])
    found = surest_box(boxes, scores, 0.5)
    assert torch.allclose(found[0], torch.tensor([0.4, 0.2, 0.7, 0.6]))
    assert found[1].isnan().all()
    assert torch.allclose(surest_box(boxes, scores[..., 1], 0.1)[1], found[0])
    with pytest.raises(SemanifoldError, match="2 boxes"):
        surest_box(boxes, scores[:, :1], 0.5)


def test_pictures_are_stretched_without_aliasing() -> None:
    fine = torch.ones(1, 3, 64, 64)
    fine[..., ::2] = -1
    found = prepared(fine, Description(size=(16, 16)))
    assert (found - 127.5).abs().max() < 10
    assert prepared(fine, Description(size=(5, 7), layout="nhwc")).shape == (1, 5, 7, 3)


def test_mistakes(tmp_path: Path) -> None:
    good: dict[str, Any] = {"size": [8, 9], "attributes": THREE}
    shape: list[int | str] = ["n", 3, 8, 9]
    out = {"out": ("GlobalAveragePool", 4)}
    image = colours()
    cases: list[tuple[dict[str, Any], str]] = [
        ({"attributes": THREE}, "at least the size"),
        (good | {"sise": 3}, "no key 'sise': did you mean 'size'"),
        (good | {"size": [8, 8]}, r"wants pictures \[3, 8, 9\], but its description says \[3, 8, 8\]"),
        (good | {"size": [0, 9]}, "height and width"),
        (good | {"colours": "rbg"}, "no colours 'rbg': did you mean"),
        (good | {"colours": "grey"}, r"says \[1, 8, 9\]"),
        (good | {"decode": "column"}, "did you mean 'columns'"),
        (good | {"output": "uot"}, "no output 'uot': did you mean 'out'"),
        (good | {"mean": "high"}, "mean must be numbers"),
        (good | {"scale": [1, 2]}, "one number or 3, but got 2"),
        (good | {"scale": 0}, "must not be 0"),
        (good | {"models": ["other.onnx"]}, "no file .*other.onnx"),
        (good | {"attributes": []}, "must be a list"),
        (good | {"attributes": [{"name": "a", "low": 2}]}, "a low below its high"),
        (good | {"attributes": [THREE[0]] * 2}, "two attributes have the same name"),
        (good | {"decode": "box"}, "two outputs"),
        (good | {"columns": [1]}, "one number from 0 per attribute"),
        (good | {"columns": [0, 1, 9]}, "has 3 columns"),
        (good | {"attributes": THREE[:2]}, "has 3 columns, but 2 attributes"),
        (good | {"decode": "expectation"}, "3 attributes of 1 classes"),
    ]
    for table, words in cases:
        path = described(tmp_path, shape, out, **table)
        with pytest.raises(SemanifoldError, match=words) as raised:
            onnx_reader(path).read(image, image[:1])
        assert "\n" not in str(raised.value)
    path = described(tmp_path, shape, {"a": ("Relu", 4), "b": ("Relu", 4)}, **good)
    with pytest.raises(SemanifoldError, match="has the outputs a, b"):
        onnx_reader(path)
    path.write_bytes(b"nothing")
    with pytest.raises(SemanifoldError, match="cannot be opened as an ONNX network"):
        onnx_reader(path)
    path.with_suffix(".json").write_text("{")
    with pytest.raises(SemanifoldError, match="cannot be read as JSON"):
        onnx_reader(path)
    path.with_suffix(".json").unlink()
    with pytest.raises(SemanifoldError, match=r"no description mine.json beside .*mine.onnx"):
        onnx_reader(path)
    with pytest.raises(SemanifoldError, match=r"no file .*none.json"):
        onnx_reader(tmp_path / "none.json")
    (tmp_path / "list.toml").write_text("size = [4, 4]\nattributes = 3\n")
    with pytest.raises(SemanifoldError, match="list of tables"):
        read_description(tmp_path / "list.toml")


@real_models
@needs_real("generators")
def test_head_pose_of_a_real_generator(tmp_path: Path) -> None:
    """Two networks averaged; the axes of the generator that turn the head turn it, steadily and by many degrees."""
    table = {
        "size": [64, 64],
        "colours": "bgr",
        "mean": 127.5,
        "scale": 128,
        "models": [str(REAL / "attributes" / f"fsanet-{kind}-iter-688590.onnx") for kind in ("1x1", "var")],
        "attributes": [{"name": n, "low": -60, "high": 60, "unit": "degrees"} for n in ("yaw", "pitch", "roll")],
    }
    (tmp_path / "pose.json").write_text(json.dumps(table))
    reader = onnx_reader(tmp_path / "pose.json")
    generator = real_generators.celeba64()
    codes = torch.zeros(3, 11, 10)
    for row, axis in enumerate((0, 1, 5)):
        codes[row, :, axis] = torch.linspace(-2.5, 2.5, 11)
    images = generator.images(Latents(codes.flatten(0, 1), "z"))
    yaw = reader.read(images, images[:1])[:, 0].unflatten(0, (3, 11))
    assert (yaw[:2].diff(dim=1) > 0).all()
    assert ((yaw[:2, -1] - yaw[:2, 0]) > 30).all()
    assert yaw[2].max() - yaw[2].min() < 13
    assert yaw[:, 5].abs().max() < 5


@real_models
@needs_real("generators")
def test_face_boxes_of_a_real_generator(tmp_path: Path) -> None:
    table = {"size": [240, 320], "mean": 127, "scale": 128, "models": [str(REAL / "attributes" / "ultraface_rfb320.onnx")]}
    table |= {"decode": "box", "output": "boxes", "scores": "scores"}
    (tmp_path / "faces.json").write_text(json.dumps(table))
    reader = onnx_reader(tmp_path / "faces.json")
    generator = real_generators.celeba64()
    images = generator.images(generator.sample(range(8)))
    values = reader.read(torch.cat([images, torch.zeros_like(images[:1])]), images[:1])
    assert [a.name for a in reader.attributes] == ["face_width", "face_height", "face_x", "face_y"]
    assert values[8].isnan().all()
    found = values[:8][values[:8, 0].isfinite()]
    assert len(found) >= 6
    assert ((found[:, :2] > 0.35) & (found[:, :2] < 0.9)).all()
    assert ((found[:, 2:] - 0.5).abs() < 0.15).all()


HOSTILE = [
    {"size": [10**9, 10**9]},
    {"size": [10**400, 4]},
    {"size": ["x" * 10_000, 4]},
    {"mean": 10**400},
    {"scale": float("inf")},
    {"values": [1e999]},
    {"decode": ["columns"]},
    {"decode": "\x1b[2J" * 1000},
    {"models": ["a\x00b"]},
    {"output": {"a": "b" * 10_000}},
    {"attributes": [{"name": "a\u202eb"}]},
    {"attributes": [{"name": "x" * 201}]},
    {"attributes": [{"name": "a", "low": 10**400}]},
    {"attributes": [{"name": f"a{i}"} for i in range(10_001)]},
    {"\x1b[2J" * 1000: 1},
]


@pytest.mark.parametrize("changes", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_descriptions_give_one_sentence(tmp_path: Path, changes: dict) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"size": [4, 4], "attributes": [{"name": "a"}]} | changes))
    with pytest.raises(SemanifoldError) as caught:
        read_description(file)
    assert len(str(caught.value)) < 600
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"), [("a.json", "[" * 100_000), ("a.toml", "a = " + "[" * 100_000), ("a.toml", "a = 1" + "0" * 9000)]
)
def test_nested_and_long_descriptions_give_one_sentence(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(SemanifoldError, match=r"cannot be read as|needs at least the size"):
        read_description(tmp_path / name)


def test_a_range_that_nobody_declares_is_left_to_the_readings() -> None:
    rows = [{"name": "a"}, {"name": "b", "high": 2}]
    assert [a.declared for a in parse_description({"size": [4, 4], "attributes": rows}).attributes] == [False, True]
    shares = parse_description({"size": [4, 4], "attributes": rows, "decode": "sigmoid"}).attributes
    assert [a.declared for a in shares] == [True, True]
