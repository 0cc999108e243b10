"""Masks by Segment Anything 2.1, with a tiny one of random weights on disk; nothing is downloaded."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from support.toy import Toy
from torch.nn.functional import interpolate

import semanifold as sm
from semanifold.app import cli
from semanifold.core.errors import SemanifoldError
from semanifold.images.masks import segmenting
from semanifold.images.media import to_uint8

STAGES = {"blocks_per_stage": [1, 2, 1, 1], "embed_dim_per_stage": [8, 16, 32, 64], "num_attention_heads_per_stage": [1, 1, 2, 2]}
WINDOWS = {
    "window_size_per_stage": [4, 4, 2, 2], "global_attention_blocks": [2], "window_positional_embedding_background_size": [4, 4]
}  # fmt: skip


@pytest.fixture(scope="module")
def transformers() -> Any:
    """The package, which takes two seconds to import."""
    return pytest.importorskip("transformers", "4.56", reason="Segment Anything needs the extra sam")


@pytest.fixture(scope="module")
def folder(transformers: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that looks at 64 pixels."""
    place = tmp_path_factory.mktemp("sam")
    backbone = {"model_type": "sam2_hiera_det_model", "image_size": [64, 64], "hidden_size": 8, **STAGES, **WINDOWS}
    sizes = {"backbone_channel_list": [64, 32, 16, 8], "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]]}
    config = transformers.Sam2Config(
        vision_config={"backbone_config": backbone, **sizes, "fpn_hidden_size": 16},
        prompt_encoder_config={"hidden_size": 16, "image_size": 64, "mask_input_channels": 4},
        mask_decoder_config={"hidden_size": 16, "mlp_dim": 16, "num_attention_heads": 2, "iou_head_hidden_dim": 16},
    )
    network, draw = transformers.Sam2Model(config), torch.Generator().manual_seed(5)
    for weight in network.parameters():
        weight.data.normal_(std=0.4, generator=draw)
    network.save_pretrained(place)
    return place


@pytest.fixture(autouse=True)
def _named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMANIFOLD_SAM", str(folder))
    segmenting._load.cache_clear()  # it goes by the folder's name, and pytest gives those again


def test_a_mask_is_what_the_librarys_own_processor_and_model_say(transformers: Any, folder: Path) -> None:
    pytest.importorskip("torchvision")
    kind = getattr(transformers, "Sam2ImageProcessor", None) or transformers.Sam2ImageProcessorFast  # the older name
    processor = transformers.Sam2Processor(kind(size={"height": 64, "width": 64}))
    picture = to_uint8(Toy().images(Toy().sample(3)))[0]
    network = transformers.Sam2Model.from_pretrained(folder).eval()
    for x, y in ((0.25, 0.75), (0.8, 0.1)):
        given = processor(images=picture, input_points=[[[[x * 16, y * 16]]]], return_tensors="pt")
        with torch.no_grad():
            answer = network(**given)
        masks = processor.post_process_masks(answer.pred_masks, given["original_sizes"])[0][0]
        best = masks[int(answer.iou_scores[0, 0].argmax())]
        assert 0 < best.float().mean() < 1
        mine = sm.parse_mask(f"sam:{x},{y}", Toy(), 3)
        assert torch.equal(mine.at(16, 16)[0, 0] > 0.5, best)


def test_a_click_is_a_mask_like_any_other_of_one_picture_of_any_generator() -> None:
    net = Toy()
    one, other = (sm.parse_mask(f"sam:{p},{p}", net, 3).at(16, 16) for p in (0.2, 0.8))
    assert torch.equal(sm.parse_mask("sam:0.2,0.2|sam:12.8,12.8px", net, 3).at(16, 16), torch.maximum(one, other))
    assert torch.equal(net.clicked(0.2, 0.2, 3, by="sam").at(16, 16), one)
    assert str(sm.parse_mask("feather:0.05(sam:0.2,0.2)", net, 3)) == "feather:0.05(sam:0.2,0.2)"
    assert not torch.equal(sm.parse_mask("sam:0.2,0.2", net, 4).at(16, 16), one)
    assert torch.equal(sm.parse_mask("sam:0.2,0.2", net, 3).at(32, 8), interpolate(one, (32, 8), mode="bilinear", antialias=True))
    for text, code, says in (
        ("sam:0.5", 3, "2 numbers"),
        ("sam:0.5,0.5", None, "say whose"),
        ("sam:0.5,2", 3, "off the pict"),
    ):
        with pytest.raises(SemanifoldError, match=says):
            sm.parse_mask(text, net, code)
    with pytest.raises(SemanifoldError, match="not by 'eye'"):
        net.clicked(0.5, 0.5, 3, by="eye")  # type: ignore[arg-type]


def test_a_picture_is_looked_at_once_for_all_its_clicks(transformers: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []
    looked = transformers.Sam2Model.get_image_features
    monkeypatch.setattr(
        transformers.Sam2Model, "get_image_features", lambda self, x, **more: seen.append(x) or looked(self, x, **more)
    )
    net = Toy()
    first = sm.parse_mask("sam:0.2,0.2|sam:0.8,0.1", net, 3).at(16, 16)
    assert len(seen) == 1
    other = sm.parse_mask("sam:0.2,0.2|sam:0.8,0.1", net, 4).at(16, 16)
    assert len(seen) == 2
    assert not torch.equal(first, other)
    # of a picture that is no generator's as well, in pixels and in shares
    picture = net.images(net.sample(3))
    for text in ("sam:0.2,0.2|sam:0.8,0.1", "sam:3.2,3.2px|sam:12.8,1.6px"):
        mine = sm.parse_mask(text, lambda token: segmenting.clicked_on(picture, token), size=(16, 16))
        assert torch.equal(mine.at(16, 16), first)
    assert len(seen) == 3


def changed(folder: Path, place: Path, **parts: object) -> Path:
    shutil.copytree(folder, place)
    config = json.loads((place / "config.json").read_text())
    for name, value in parts.items():
        config[name] = {**config[name], **value} if isinstance(value, dict) else value
    (place / "config.json").write_text(json.dumps(config))
    return place


def test_the_published_file_names_the_model_of_films_and_is_read(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = sm.parse_mask("sam:0.2,0.2", Toy(), 3).at(16, 16)
    monkeypatch.setenv("SEMANIFOLD_SAM", str(changed(folder, tmp_path / "films", model_type="sam2_video", sigmoid_scale=5000)))
    assert torch.equal(sm.parse_mask("sam:0.2,0.2", Toy(), 3).at(16, 16), mask)


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"model_type": "bert"}, "of the kind bert"),
        ({"mask_decoder_config": {"mlp_dim": 10**9}}, "the number 1e"),
        ({"mask_decoder_config": {"mlp_dim": 32}}, "SAM 2 that works"),
        ({"mask_decoder_config": {"num_hidden_layers": 3}}, "weights are missing"),
        ({"mask_decoder_config": {"num_hidden_layers": 20, "mlp_dim": 2048, "hidden_size": 2048}}, "more than any SAM 2"),
        ({"vision_config": {"fpn_top_down_levels": [0] * 5000}}, "a list of 5,000"),
        ({"vision_config": {"backbone_feature_sizes": [[16, 16], [8, 8], [4, 5]]}}, "SAM 2 that works"),
        ({"mask_decoder_config": {"num_hidden_layers": 2000}}, "the number 2000"),
        ({"vision_config": 7}, "SAM 2 that works"),
    ],
)
def test_other_and_swollen_models_are_refused(
    parts: dict[str, object], says: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEMANIFOLD_SAM", str(changed(folder, tmp_path / "other", **parts)))
    with pytest.raises(SemanifoldError, match=says):
        sm.parse_mask("sam:0.2,0.2", Toy(), 3)


def test_only_safetensors_are_read(transformers: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = changed(folder, tmp_path / "pickled")
    torch.save(transformers.Sam2Model.from_pretrained(folder).state_dict(), place / "pytorch_model.bin")
    (place / "model.safetensors").unlink()
    monkeypatch.setenv("SEMANIFOLD_SAM", str(place))
    with pytest.raises(SemanifoldError, match="download it once"):
        sm.parse_mask("sam:0.2,0.2", Toy(), 3)


def test_a_photograph_needs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(to_uint8(Toy().images(Toy().sample(3)))[0]).save("me.png")
    words = ["--generator", "analytic", "--crop", "0,0,1,1", "--iterations", "1", "--starts", "1", "--tries", "1"]
    assert cli.main(["invert", "me.png", "--mask", "sam:0.2,0.2", *words, "--no-consistency", "--out", "me"]) == 0
    assert "inside of the mask" in capsys.readouterr().out


def test_the_command_draws_it_and_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["mask", "sam:0.5,0.7|box:0,0,0.2,0.2", "--generator", "analytic", "--out"]
    assert cli.main([*words, "drawn"]) == 0
    assert list(Path("drawn").glob("*.png"))
    monkeypatch.setenv("SEMANIFOLD_SAM", str(tmp_path / "nowhere"))
    assert cli.main([*words, "none"]) == 2
    assert "hf download facebook/sam2.1-hiera-tiny" in capsys.readouterr().err
    monkeypatch.delenv("SEMANIFOLD_SAM")
    monkeypatch.setattr(segmenting, "MODEL", "nobody/such-a-sam")
    assert cli.main([*words, "none"]) == 2
    assert "(no config.json lies in a folder of this name" in capsys.readouterr().err
    segmenting._load.cache_clear()
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert cli.main([*words, "none"]) == 2
    assert "needs the package transformers" in capsys.readouterr().err
    assert not Path("none").exists()
