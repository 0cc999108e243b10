"""Attributes named by text, with a tiny CLIP of random weights on disk; nothing is downloaded."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import Tensor

from semanifold.analysis.attributes.clip_texts import MEAN, SPREAD, ClipAttributes, Prompts
from semanifold.analysis.attributes.names import attribute_reader
from semanifold.core.errors import SemanifoldError

pytestmark = pytest.mark.skipif(find_spec("transformers") is None, reason="CLIP needs the extra clip")

SMILE = Prompts("a photo of a smiling person", "a photo of a person")
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``clip`` inside: vocabulary of single letters, 32-pixel pictures, random weights."""
    import transformers

    path = tmp_path_factory.mktemp("models") / "clip"
    path.mkdir()
    words = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
    (path / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    (path / "merges.txt").write_text("#version: 0.2\n")
    (path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": 40}))
    ends = {"bos_token_id": len(words) - 2, "eos_token_id": len(words) - 1, "pad_token_id": len(words) - 1}
    shared = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "projection_dim": 8}
    text = {**shared, **ends, "vocab_size": len(words), "max_position_embeddings": 40}
    config = transformers.CLIPConfig(
        text_config=text, vision_config={**shared, "image_size": 32, "patch_size": 8}, projection_dim=8
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.CLIPModel(config).save_pretrained(path)
    return path.parent


def pictures() -> Tensor:
    return torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(2)) * 2 - 1


def test_probabilities_are_clips_own(folder: Path) -> None:
    """The softmax of the whole model's logits over the two texts, as the library computes it."""
    import transformers

    reader = ClipAttributes([SMILE, Prompts("a cat", "an animal")], folder / "clip")
    values = reader.read(pictures(), pictures()[:1])
    model = transformers.CLIPModel.from_pretrained(folder / "clip", local_files_only=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "clip", local_files_only=True)
    pixels = ((pictures() + 1) / 2 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(SPREAD).view(3, 1, 1)
    for column, pair in enumerate((SMILE, Prompts("a cat", "an animal"))):
        tokens = tokenizer([pair.text, pair.against], padding=True, return_tensors="pt")
        with torch.no_grad():
            logits = model(**tokens, pixel_values=pixels).logits_per_image
        assert torch.allclose(values[:, column], logits.softmax(1)[:, 0], atol=1e-5)
    assert values.std(0).min() > 0
    assert not values.requires_grad


def test_other_sizes_grey_and_batches(folder: Path) -> None:
    reader = ClipAttributes([SMILE], folder / "clip")
    whole = reader.read(pictures(), pictures()[:1])
    assert torch.allclose(reader.read(pictures()[3:4], pictures()[:1]), whole[3:4], atol=1e-5)
    for shape in ((5, 1, 32, 32), (5, 3, 20, 48), (5, 3, 100, 64)):
        assert reader.read(torch.zeros(shape), torch.zeros(shape)[:1]).shape == (5, 1)


def test_swapped_texts_add_up_to_one(folder: Path) -> None:
    reader = ClipAttributes([SMILE, Prompts(SMILE.against, SMILE.text)], folder / "clip")
    values = reader.read(pictures(), pictures()[:1])
    assert torch.allclose(values.sum(1), torch.ones(5), atol=1e-5)


def test_by_name(folder: Path) -> None:
    text = f"clip:{SMILE.text}|{SMILE.against},clip:an old man|a man"
    reader = attribute_reader(text, folder)
    assert isinstance(reader, ClipAttributes)  # one model for both
    assert [a.name for a in reader.attributes] == ["clip_smiling", "clip_an_old"]
    assert Prompts("a person", "a person, smiling").name == "clip_a_person"


def test_a_missing_model_says_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text(json.dumps({"model_type": "bert"}))
    for place in (tmp_path / "empty", tmp_path / "other", "nobody/such-a-clip"):
        with pytest.raises(SemanifoldError, match=r"There is no CLIP model .* download it once with 'hf download") as raised:
            ClipAttributes([SMILE], place)
        assert "\n" not in str(raised.value)


def test_prompts_come_in_pairs() -> None:
    assert Prompts.parse(" a cat |an animal") == Prompts("a cat", "an animal")
    for text in ("a cat", "a|b|c", "|b", "a|a"):
        with pytest.raises(SemanifoldError, match="PROMPT"):
            Prompts.parse(text)
