"""Writing a StyleGAN2 as other programs keep theirs: the published files come back as they were."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file as load_tensors
from support.checkpoint_files import CONDITIONAL, VARIANTS, ada_state, clamp_of
from support.reference import REFERENCE

import semanifold as sm
from semanifold.app.cli import main
from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.edits import save_edit
from semanifold.generators.loading import convert, load_generator, save_generator
from semanifold.generators.stylegan2.export import as_nvidia, as_rosinality
from semanifold.generators.stylegan2.layouts import from_ada, from_rosinality
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config

ROSINALITY = REFERENCE / "stylegan2_rosinality" / "generator.pt"


def test_rosinality_comes_back(tmp_path: Path) -> None:
    """Every tensor of the published program's own file, under its name, bit for bit."""
    said: list[str] = []
    convert(ROSINALITY, tmp_path / "again.pt", say=said.append)
    before, after = (torch.load(path, weights_only=True) for path in (ROSINALITY, tmp_path / "again.pt"))
    assert before["g_ema"].keys() == after["g_ema"].keys()
    for key, value in before["g_ema"].items():
        assert torch.equal(value, after["g_ema"][key]), key
    assert torch.equal(before["latent_avg"], after["latent_avg"])
    assert "must have the channels" in said[-1]


@pytest.mark.parametrize("variant", VARIANTS)
def test_nvidia_comes_back(variant: str, tmp_path: Path) -> None:
    before = ada_state(variant)
    config, state = from_ada(before, clamp=clamp_of(variant))
    generator, said = StyleGAN2.from_state(config, state), list[str]()
    save_generator(generator, tmp_path / "again.safetensors", layout="nvidia", say=said.append)
    after = load_tensors(tmp_path / "again.safetensors")
    assert before.keys() == after.keys()
    for key, value in before.items():
        torch.testing.assert_close(value, after[key], msg=key)
    assert f"c_dim={config.classes}" in said[0]
    assert f"conv_clamp={'None' if config.clamp is None else f'{config.clamp:g}'}" in said[0]
    if variant in CONDITIONAL:
        with pytest.raises(SemanifoldError, match="classes, which rosinality's StyleGAN2 does not know"):
            as_rosinality(generator)


def test_another_learning_rate_is_scaled(tmp_path: Path) -> None:
    """The other programs have one learning rate multiplier of the mapping network; pictures stay the same."""
    config = StyleGAN2Config(size=16, z_dim=8, w_dim=8, channels=(8, 6, 4), mapping_layers=2, mapping_lr=1.0)
    generator = StyleGAN2(config, seed=3)
    codes = generator.sample([1, 2])
    for name, layout in (("a.pt", None), ("b.pt", "nvidia"), ("c.safetensors", "nvidia")):
        save_generator(generator, tmp_path / name, layout=layout)
        again = load_generator(tmp_path / name)
        torch.testing.assert_close(again.images(codes), generator.images(codes), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"architecture": "resnet"}, "the architecture resnet"),
        ({"z_dim": 4}, "4 numbers in z and 8 in w"),
        ({"mapping_width": 16}, "one width"),
        ({"clamp": 20.0}, "clamps its features at 20"),
    ],
)
def test_what_rosinality_lacks(changes: dict, words: str) -> None:
    config = replace(StyleGAN2Config(size=16, z_dim=8, w_dim=8, channels=(8, 6, 4), mapping_layers=2), **changes)
    with pytest.raises(SemanifoldError, match=words):
        as_rosinality(StyleGAN2(config))
    state = as_nvidia(StyleGAN2(config, seed=2))
    found, ours = from_ada(state, clamp=config.clamp, z_dim=config.z_dim)
    codes = Latents(torch.randn(2, 8, generator=torch.Generator().manual_seed(0)), "w")
    torch.testing.assert_close(StyleGAN2.from_state(found, ours).images(codes), StyleGAN2(config, seed=2).images(codes))


def test_what_nvidia_lacks() -> None:
    config = StyleGAN2Config(size=16, z_dim=8, w_dim=8, channels=(8, 6, 4), classes=3, joint_norm=True)
    with pytest.raises(SemanifoldError, match="normalises z and the class together"):
        as_nvidia(StyleGAN2(config))


def test_wrong_targets(tmp_path: Path) -> None:
    generator = StyleGAN2(StyleGAN2Config(size=8, z_dim=4, w_dim=4, channels=(4, 4)))
    for name, layout, words in (
        ("a.pt", "semanifold", "end in .safetensors"), ("a.safetensors", "rosinality", "end in .pt"),
        ("a.pkl", None, "must end in"), ("a.pt", "genforce", "no layout"),
    ):  # fmt: skip
        with pytest.raises(SemanifoldError, match=words):
            save_generator(generator, tmp_path / name, layout=layout)
    with pytest.raises(SemanifoldError, match="only a StyleGAN2 can be written"):
        convert(REFERENCE / "proggan" / "generator.pth", tmp_path / "x.pt")
    assert not list(tmp_path.iterdir())


def test_a_baked_checkpoint_for_other_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``bake`` into rosinality's file: its own reader draws the edited pictures."""
    generator = load_generator(ROSINALITY)
    edit = sm.weight_paths(generator, "svd", layers="convs.2", k=2)[1]
    save_edit(edit, tmp_path / "edit.safetensors")
    words = ["bake", str(tmp_path / "edit.safetensors"), str(tmp_path / "baked.pt"), "--generator", str(ROSINALITY)]
    assert main([*words, "--strength", "0.5"]) == 0
    state = torch.load(tmp_path / "baked.pt", weights_only=True)
    config, ours = from_rosinality(state["g_ema"], state["latent_avg"])
    codes = generator.sample([3])
    torch.testing.assert_close(
        StyleGAN2.from_state(config, ours).images(codes), edit.images(generator, codes, 0.5), atol=1e-5, rtol=1e-4
    )
    assert main([*words, "--overwrite", "--layout", "nvidia"]) == 0
    assert load_generator(tmp_path / "baked.pt").images(codes).shape == edit.images(generator, codes, 0).shape
    assert "NVIDIA's Generator needs" in capsys.readouterr().err
    assert main([*words, "--layout", "nvidia"]) == 2
