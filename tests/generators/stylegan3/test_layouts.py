"""Files of StyleGAN3: NVIDIA's pickles and state dicts, ours, and what a damaged file is told."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support.checkpoint_files import CANARY, write_nvidia
from support.instances import made
from support.reference import REFERENCE, agree, full_size, numbers
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.generators.architecture import ForeignState
from semanifold.generators.inspecting import inspect_file
from semanifold.generators.loading import convert, load_generator
from semanifold.generators.states import silent
from semanifold.generators.stylegan3.layouts import STYLEGAN3, as_nvidia, from_nvidia, recognise
from semanifold.generators.stylegan3.network import StyleGAN3

both = pytest.mark.parametrize("fixture", ["stylegan3_t", "stylegan3_r"])


def state_of(fixture: str) -> dict[str, Tensor]:
    return load_file(REFERENCE / fixture / "G.state.safetensors")


def translated(state: dict[str, Tensor], settings: dict[str, object] | None = None):
    return from_nvidia(ForeignState("nvidia", state, None, settings or {}, Path(), silent))


@pytest.mark.parametrize("classes", [False, True])
def test_a_stylegan_xl_is_named(classes: bool, tmp_path: Path) -> None:
    """Its mapping network always holds an embedding without a bias, and projects it where a class is asked for."""
    state = state_of("stylegan3_t") | {"mapping.embed.weight": torch.zeros(10, 5)}
    state |= {"mapping.embed_proj.weight": torch.zeros(8, 5), "mapping.embed_proj.bias": torch.zeros(8)} if classes else {}
    write_nvidia(tmp_path / "imagenet16.pkl", state)
    with pytest.raises(SemanifoldError, match="It holds a StyleGAN-XL generator, which semanifold does not load yet"):
        load_generator(tmp_path / "imagenet16.pkl")
    (tmp_path / "imagenet16.pkl").rename(tmp_path / "stylegan_human_v2_512.pkl")
    said = inspect_file(tmp_path / "stylegan_human_v2_512.pkl")
    assert not said.usable
    assert "non-commercial" in said.notes["licence"], "of what cannot be loaded as well"


@both
def test_a_pickle_a_state_dict_and_our_own_file_are_one_generator(fixture: str, tmp_path: Path) -> None:
    state, expected = state_of(fixture), numbers(fixture)
    write_nvidia(tmp_path / "G.pkl", state)
    torch.save(state, tmp_path / "G.pt")
    convert(tmp_path / "G.pkl", tmp_path / "ours.safetensors")
    for file in ("G.pkl", "G.pt", "ours.safetensors"):
        generator = load_generator(tmp_path / file)
        assert isinstance(generator, StyleGAN3)
        agree(generator.images(Latents(expected["z"], "z", expected.get("c"))), expected["img_z"])
        assert inspect_file(tmp_path / file).usable
    assert load_generator(tmp_path / "G.pkl").fingerprint == load_generator(tmp_path / "ours.safetensors").fingerprint
    assert not (tmp_path / CANARY).exists(), "nothing in the pickle has run"


@both
def test_the_way_back_is_the_file_that_came(fixture: str, tmp_path: Path) -> None:
    state = state_of(fixture)
    state["synthesis.input.transform"] = numbers(fixture)["transform"]
    torch.save(state, tmp_path / "G.pt")
    heard: list[str] = []
    written, _ = as_nvidia(load_generator(tmp_path / "G.pt"), heard.append)
    assert written.keys() == state.keys()
    for key, value in state.items():
        torch.testing.assert_close(written[key], value, rtol=0, atol=2e-7 if key.endswith("transform") else 0)
    assert "must have the channels" in heard[0]
    expected = numbers(fixture)
    agree(load_generator(tmp_path / "G.pt").images(Latents(expected["z"], "z", expected.get("c"))), expected["img_z_transform"])


@pytest.mark.parametrize(("model", "kernel"), [("stylegan3_t_1024", 3), ("stylegan3_r_1024", 1)])
def test_the_real_models_are_understood(model: str, kernel: int) -> None:
    state = {key: torch.empty(shape, device="meta") for key, shape in full_size(model).items()}
    assert recognise(state) == "nvidia"
    config, ours = translated(state)
    assert (config.size, config.kernel, config.radial, config.num_ws) == (1024, kernel, kernel == 1, 16)
    with torch.device("meta"):
        expected = StyleGAN3(config).state_dict()
    assert {key: value.shape for key, value in ours.items()} == {key: value.shape for key, value in expected.items()}


def test_settings_of_a_pickle_say_what_the_tensors_do_not() -> None:
    state = state_of("stylegan3_t")
    settings: dict[str, object] = {"synthesis.L0_36_16.conv_clamp": None, "synthesis.output_scale": 0.5}
    config, _ = translated(state, settings)
    assert (config.clamp, config.scale) == (None, 0.5)
    plain, _ = translated(state)
    assert (plain.clamp, plain.scale, plain.margin) == (256, 0.25, 10)
    with pytest.raises(SemanifoldError, match="output_scale is 'wide'"):
        translated(state, {"synthesis.output_scale": "wide"})
    with pytest.raises(SemanifoldError, match="36 samples, but 44 follow"):
        translated(state, {"synthesis.margin_size": 14})


KERNEL = "synthesis.L3_36_16.weight"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop(KERNEL), "holds the layers|hold the layers"),
        (lambda s: s.pop("synthesis.L3_36_16.bias"), "lacks the tensor synthesis.L3_36_16.bias"),
        (lambda s: s.update({KERNEL: s[KERNEL] * torch.nan}), "L3_36_16.weight holds NaN"),
        (lambda s: s.update({"synthesis.L3_36_16.odd_weight": torch.ones(2)}), "belong to no StyleGAN3"),
        (lambda s: s.update({"synthesis.L4_36_16.up_filter": torch.ones(12) / 12}), "up_filter of L4_36_16 is not that"),
        (lambda s: s.update({"synthesis.input.transform": torch.diag(torch.tensor([2.0, 1, 1]))}), "stretches or mirrors"),
        (lambda s: s.update({"mapping.fc0.weight": torch.ones(32, 64)}), "embedding of its classes is missing"),
    ],
)
def test_damage_is_named(change, words: str) -> None:
    state = state_of("stylegan3_t")
    change(state)
    with pytest.raises(SemanifoldError, match=words):
        translated(state)


def test_our_layout_without_its_header_is_refused(tmp_path: Path) -> None:
    torch.save(made("stylegan3-t").state_dict(), tmp_path / "bare.pt")
    assert STYLEGAN3.recognise(made("stylegan3-t").state_dict()) == "semanifold"
    with pytest.raises(SemanifoldError, match="without their configuration"):
        load_generator(tmp_path / "bare.pt")
