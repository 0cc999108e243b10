"""What the command line calls attributes, and the factors of the bundled faces."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from support import forks
from support.onnx_writing import write_onnx

from semanifold.analysis.attributes.faces import FacesAttributes
from semanifold.analysis.attributes.names import attribute_reader
from semanifold.core.errors import SemanifoldError
from semanifold.worlds.faces import factor_index, factor_names, render


def faces(count: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    factors = torch.rand(count, len(factor_names()), generator=torch.Generator().manual_seed(1))
    return factors, render(factors, 64)


def test_all_factors_are_read_back() -> None:
    factors, images = faces(48)
    values = attribute_reader("faces").read(images, images[:1])
    assert values.shape == factors.shape
    assert 0 <= values.min() <= values.max() <= 1
    together = torch.stack([values, factors]).mT
    correlations = [float(torch.corrcoef(pair)[0, 1]) for pair in together.unbind(1)]
    assert sum(r > 0.9 for r in correlations) >= 25
    assert not values.requires_grad


def test_some_factors_of_other_pictures() -> None:
    """Grey pictures, other sizes and batches."""
    _, images = faces(6)
    reader = attribute_reader("faces:smile,faces:yaw")
    columns = [factor_index("smile"), factor_index("yaw")]
    whole = FacesAttributes().read(images, images[:1])
    assert torch.equal(reader.read(images, images[:1]), whole[:, columns])
    assert torch.allclose(reader.read(images[2:3], images[:1]), whole[2:3, columns], atol=1e-5)
    assert reader.read(images.mean(1, keepdim=True), images[:1]).shape == (6, 2)
    bigger = images.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.allclose(reader.read(bigger, images[:1]), whole[:, columns], atol=1e-5)
    assert len(attribute_reader("faces:smile,faces").attributes) == len(factor_names())


def test_a_list_of_everything(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    write_onnx(tmp_path / "mean.onnx", ["n", 3, 4, 4], {"out": ("GlobalAveragePool", 4)})
    table = {"size": [4, 4], "attributes": [{"name": n, "high": 255} for n in ("red", "green", "blue")]}
    (tmp_path / "mean.json").write_text(json.dumps(table))
    (tmp_path / "mine.py").write_text("def dark(images):\n    return -images.mean((1, 2, 3))\n")
    reader = attribute_reader(f"{tmp_path}/mean.onnx, faces:smile,{tmp_path}/mine.py:dark,faces:jaw")
    assert [a.name for a in reader.attributes] == ["red", "green", "blue", "dark", "smile", "jaw"]
    images = torch.linspace(-1, 1, 15).view(5, 3, 1, 1).expand(5, 3, 16, 16)
    values = reader.read(images, images[:1])
    assert torch.allclose(values[:, :3], (images[:, :, 0, 0] + 1) * 127.5, atol=1e-3)
    assert torch.allclose(values[:, 3], -images.mean((1, 2, 3)), atol=1e-6)
    assert torch.equal(values[:, 4:], attribute_reader("faces:smile,faces:jaw").read(images, images[:1]))


def test_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMANIFOLD_CACHE", str(tmp_path))
    cases = [
        ("smile", "did you mean 'faces:smile'"),
        ("faces:smil", "did you mean 'smile'"),
        ("fairfase", "did you mean 'fairface'"),
        ("au_12", "FILE.onnx, clip:PROMPT|AGAINST, FILE.py:NAME"),
        ("faces,,pose", "attribute is missing"),
        ("", "attribute is missing"),
        ("pose", "get it with 'semanifold zoo fetch hopenet'"),
        ("yaw", "semanifold zoo fetch hopenet.* give faces:yaw"),
        ("faces,au_26_Jaw_Drop", "semanifold zoo fetch fan-au"),
        ("nowhere.onnx", "no file nowhere.onnx"),
        ("nowhere.py:reader", "no file nowhere.py"),
        ("clip:a person", "written clip:PROMPT"),
    ]
    for text, words in cases:
        with pytest.raises(SemanifoldError, match=words.replace("|", r"\|")) as raised:
            attribute_reader(text)
        assert "\n" not in str(raised.value)


def test_two_of_one_name(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def smile(images):\n    return images.mean((1, 2, 3))\n")
    with pytest.raises(SemanifoldError, match="same name, smile"):
        attribute_reader(f"faces,{tmp_path}/mine.py:smile")


def test_importing_stays_light() -> None:
    """Heavy packages come only with the readers that need them."""
    heavy = "{'onnxruntime', 'transformers', 'torchvision'}"
    code = f"import sys, semanifold.analysis.attributes.names; sys.exit(bool({heavy} & set(sys.modules)))"
    assert forks.finish(forks.start(code)) == 0
