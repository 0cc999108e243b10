"""Files of SN-GAN, BigGAN and Progressive GAN: loaded, described, converted, and refused in one sentence."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save, save_file
from support.damage import damaged, refused
from support.published_generators import FILES, SMALL, as_published, labels_for
from support.reference import settings
from torch import Tensor

from semanifold.app import cli
from semanifold.core.errors import SemanifoldError
from semanifold.generators.inspecting import inspect_file
from semanifold.generators.loading import convert, load_generator, save_generator

every_file = pytest.mark.parametrize("name", FILES)
every_kind = pytest.mark.parametrize("kind", SMALL)


def told_of(name: str) -> tuple:
    """Architecture, resolution, channels, classes and latent spaces that a published file has."""
    config = settings(name)
    if name == "biggan":
        return "BigGAN generator", config["resolution"], 3, config["n_classes"], {"z": (config["dim_z"],)}
    if name == "proggan":
        return "Progressive GAN generator", config["resolution"], 3, 0, {"z": (config["latent_dim"],)}
    return "SN-GAN generator", config["img_size"], config["image_channels"], 0, {"z": (config["latent_dim"],)}


def state_of(name: str) -> dict[str, Tensor]:
    return torch.load(FILES[name], weights_only=True)


@every_file
def test_inspection(name: str) -> None:
    said = inspect_file(FILES[name])
    assert (said.architecture, said.resolution, said.channels, said.classes, dict(said.latents)) == told_of(name)
    assert said.usable
    assert said.fingerprint == load_generator(FILES[name]).fingerprint
    assert ("of the old form" in said.format) == (name == "proggan")
    assert said.architecture.removesuffix(" generator") in str(said)


@every_file
def test_every_prefix(name: str, tmp_path: Path) -> None:
    """The generator is found behind any prefix, averaged weights first, beside a network that has keys of its own."""
    shutil.copy(FILES[name], tmp_path / "bare.pt")  # without the arguments that lie beside a BigGAN
    expected, state = load_generator(tmp_path / "bare.pt").fingerprint, state_of(name)
    named = {f"module.netG_ema.{key}": value for key, value in state.items()}
    worse = {f"module.netG.{key}": value.clone() for key, value in state.items()}
    for tree in (
        {"state_dict": {**worse, **named, "module.netD.0.weight": torch.zeros(2, 2)}, "epoch": 3},
        {"nets": {"generator": {f"_orig_mod.{key}": value for key, value in state.items()}}, "surprise": torch.zeros(2)},
    ):
        torch.save(tree, tmp_path / "x.pt")
        assert load_generator(tmp_path / "x.pt").fingerprint == expected
    remarks: list[str] = []
    torch.save(state | {"surprise": torch.zeros(2)}, tmp_path / "x.pt")
    assert load_generator(tmp_path / "x.pt", say=remarks.append).fingerprint == expected
    assert "left out surprise" in remarks[0]


@every_file
def test_conversion_is_exact(name: str, tmp_path: Path) -> None:
    target = tmp_path / "ours.safetensors"
    converted = convert(FILES[name], target)
    before, after = load_generator(FILES[name]), load_generator(target)
    codes = before.sample([1, 2], labels=labels_for(before, 2))
    assert torch.equal(before.images(codes), after.images(codes))
    assert before.fingerprint == after.fingerprint == converted.fingerprint
    assert type(after) is type(before)
    assert "of semanifold" in inspect_file(target).holds
    convert(target, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == target.read_bytes()
    rounded = convert(FILES[name], tmp_path / "half.safetensors", half=True)
    pictures, coarse = before.images(codes), rounded.images(codes)
    assert 0 < (pictures - coarse).abs().max() < 0.05 * pictures.abs().max()


@every_file
def test_other_containers(name: str, tmp_path: Path) -> None:
    state, known = state_of(name), load_generator(FILES[name]).fingerprint
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    torch.save({f"module.{key}": value for key, value in state.items()}, tmp_path / "parallel.pth")
    torch.save({"G_ema": state, "epoch": 3}, tmp_path / "run.pt")
    save_file({key: value.clone() for key, value in state.items()}, tmp_path / "plain.safetensors")
    for path in tmp_path.iterdir():
        assert load_generator(path).fingerprint == known, path.name


def test_either_name_of_a_convolution_will_do(tmp_path: Path) -> None:
    state, known = state_of("sngan_anime"), load_generator(FILES["sngan_anime"]).fingerprint
    last = max(int(key.split(".")[1]) for key in state if ".conv1." in key)
    for dropped in (".conv1.", ".conv2.", ".model.3.", ".model.6.", "num_batches_tracked"):
        torch.save({key: value for key, value in state.items() if dropped not in key}, tmp_path / "x.pt")
        assert load_generator(tmp_path / "x.pt").fingerprint == known
    torch.save({key: value for key, value in state.items() if "conv1" not in key and ".model.3." not in key}, tmp_path / "x.pt")
    refused(tmp_path / "x.pt", "lacks the tensor model.2.conv1.weight")
    alias = f"model.{last}.model.6.bias"
    torch.save(state | {alias: state[alias] + 1}, tmp_path / "x.pt")
    refused(tmp_path / "x.pt", f"model.{last}.conv2.bias and {alias} are one tensor")


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("sngan_mnist", r"model\.3\.model\.0\.weight"),
        ("sngan_mnist", r"model\.\d+\.bias"),
        ("sngan_anime", r"model\.\d+\.bypass\.1\.weight"),
        ("proggan", r"features\.4\.conv\.weight"),
        ("proggan", r"output\.wscale\.b"),
        ("biggan", r"blocks\.1\.0\.bn1\.gain\.u0"),
        ("biggan", r"blocks\.\d+\.1\.theta\.weight"),
        ("biggan", r"linear\.weight"),
    ],
)
def test_damage_is_named(name: str, pattern: str, tmp_path: Path) -> None:
    state = state_of(name)
    key = [key for key in state if re.fullmatch(pattern, key)][-1]
    wrong = {
        f"lacks the tensor {key}": {k: v for k, v in state.items() if k != key},
        f"{key} holds NaN": state | {key: state[key] * torch.nan},
        "has shape|is expected": state | {key: torch.cat([state[key], state[key]])},
        "tensors that belong to no .*: surprise.weight": state | {"surprise.weight": torch.zeros(2)},
    }
    for words, broken in wrong.items():
        torch.save(broken, tmp_path / "x.pt")
        assert str(tmp_path / "x.pt") in refused(tmp_path / "x.pt", words)
        assert "that cannot be loaded" in inspect_file(tmp_path / "x.pt").holds


def written(folder: Path, arguments: object) -> Path:
    """A small BigGAN as its own program writes it, with arguments beside it."""
    folder.mkdir(exist_ok=True)
    torch.save(as_published(SMALL["biggan"]().state_dict()), folder / "G_ema.pth")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    (folder / "generator_config.json").write_text(text)
    return folder / "G_ema.pth"


def test_arguments_beside_a_biggan(tmp_path: Path) -> None:
    original = SMALL["biggan"]()
    path = written(tmp_path, {"BN_eps": 1e-5, "G_nl": "inplace_relu", "hier": True, "shared_dim": 3})
    usual = load_generator(path)
    assert usual.fingerprint == original.fingerprint
    codes = usual.sample([0, 1], labels=labels_for(usual, 2))
    assert torch.equal(usual.images(codes), original.images(codes))
    (tmp_path / "generator_config.json").unlink()
    assert torch.equal(load_generator(path).images(codes), usual.images(codes))
    other = load_generator(written(tmp_path, {"BN_eps": 0.5}))
    assert (other.images(codes) - usual.images(codes)).abs().max() > 1e-3
    convert(path, tmp_path / "ours.safetensors")
    (tmp_path / "generator_config.json").unlink()
    assert torch.equal(load_generator(tmp_path / "ours.safetensors").images(codes), other.images(codes))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("{", "is damaged"),
        ("[" * 100_000, "levels deep"),
        ([], "'object'"),
        ({"G_nl": "leaky_relu"}, "G_nl = .*leaky_relu.*only relu or inplace_relu"),
        ({"norm_style": "in"}, "norm_style"),
        ({"num_G_SV_itrs": 2}, "num_G_SV_itrs = 2"),
        ({"G_nl": ["relu"]}, "G_nl"),
        ({"shared_dim": 128}, "shared_dim = 128, but the weights say 3"),
        ({"hier": False}, "hier = false"),
        ({"BN_eps": "small"}, "BN_eps"),
        ({"BN_eps": -1}, "BN_eps"),
    ],
)
def test_arguments_that_cannot_be_used(arguments: object, words: str, tmp_path: Path) -> None:
    refused(written(tmp_path, arguments), words)


def test_networks_that_are_close(tmp_path: Path) -> None:
    state = as_published(SMALL["biggan"]().state_dict())
    deep = state | {"blocks.0.0.conv4.weight": torch.zeros(2, 2, 1, 1)}
    for extra, words in (
        (deep, "BigGAN-deep"),
        ({"embed.u0": torch.zeros(1, 2), "linear.weight": torch.zeros(2)}, "BigGAN disc"),
    ):
        torch.save(extra, tmp_path / "x.pth")
        refused(tmp_path / "x.pth", f"{words}.*not load yet")
        assert words in inspect_file(tmp_path / "x.pth").holds


Change = Callable[[dict], object]


@every_kind
def test_hostile_headers_of_our_own_format(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_generator(SMALL[kind](), path)  # type: ignore[arg-type]
    state = load_file(path)
    size = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(json.loads(path.read_bytes()[8 : 8 + size])["__metadata__"]["semanifold"])
    changes: list[tuple[Change, str]] = [
        (lambda h: h.update(architecture="bigan"), "names the architecture 'bigan'.*There are: stylegan2, stylegan3, biggan"),
        (lambda h: h.update(architecture=7), "names the architecture '7'"),
        (lambda h: h["config"].update(surprise=1), "surprise"),
        (lambda h: h["config"].update(channels=[10**9] * 4), "."),
        (lambda h: h["config"].update(channels=[4] * 500), "."),
        (lambda h: h["config"].update(channels=["4"] * 4), "channels"),
        (lambda h: h["config"].update(channels=4), "."),
        (lambda h: h["config"].update(z_dim="8"), "."),
        (lambda h: h["config"].update(z_dim=2**20), "has shape|cut into"),
        (lambda h: h["config"].update(colours=None), "."),
        (lambda h: h.update(config=None), "The configuration"),
        (lambda h: h["config"].update({name: 0 for name in h["config"] if name != "channels"}), "."),
        (lambda h: h["config"].update(z_dim=0), "of the sizes that this file claims|has shape|cut into"),
    ]
    for change, words in changes:
        hostile = json.loads(json.dumps(header))
        change(hostile)
        path.write_bytes(save(state, metadata={"semanifold": json.dumps(hostile)}))
        refused(path, words)
    key = next(iter(state))
    path.write_bytes(save(state | {key: state[key] * torch.nan}, metadata={"semanifold": json.dumps(header)}))
    refused(path, "NaN")


def test_random_damage(tmp_path: Path) -> None:
    """Damaged at random, a file is refused with a sentence or loads, and nothing else happens."""
    (tmp_path / "good").mkdir()
    for kind, make in SMALL.items():
        save_generator(make(), tmp_path / "good" / f"{kind}.safetensors")  # type: ignore[arg-type]
    torch.save(as_published(SMALL["biggan"]().state_dict()), tmp_path / "good" / "G_ema.pth")
    for name in ("sngan_mnist", "proggan"):
        shutil.copy(FILES[name], tmp_path / "good" / f"{name}.pt")
    outcomes = {"loaded": 0, "refused": 0}
    bad = tmp_path / "bad"
    for path in sorted((tmp_path / "good").iterdir()):
        data = path.read_bytes()
        for seed in range(25):
            bad.write_bytes(damaged(data, random.Random(seed)))
            try:
                load_generator(bad)
                outcomes["loaded"] += 1
            except SemanifoldError:
                outcomes["refused"] += 1
    assert min(outcomes.values()) > 10


def test_only_known_generators_are_saved(tmp_path: Path) -> None:
    with pytest.raises(
        SemanifoldError, match=r"AnalyticFaces cannot be saved.*StyleGAN2, StyleGAN3, BigGAN, Progressive GAN, SN-GAN"
    ):
        save_generator(load_generator("analytic"), tmp_path / "x.safetensors")  # type: ignore[arg-type]


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "biggan", {})
    assert cli.main(["convert", str(path), str(tmp_path / "ours.safetensors")]) == 0
    assert cli.main(["inspect", str(path), str(tmp_path / "ours.safetensors")]) == 0
    said = capsys.readouterr().out
    fingerprint = SMALL["biggan"]().fingerprint
    assert said.count(fingerprint) == 3
    assert said.count("classes      5") == 2
    ours = ["--generator", str(tmp_path / "ours.safetensors"), "--seeds", "0", "1", "--out", str(tmp_path / "run")]
    assert cli.main(["sample", *ours]) == 2
    assert "5 classes" in capsys.readouterr().err
    assert cli.main(["sample", *ours, "--class", "3"]) == 0
    assert (tmp_path / "run" / "contact.png").exists()
