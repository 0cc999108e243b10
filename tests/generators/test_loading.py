"""Files of every kind become generators with the published pictures; conversion, inspection, names and the user's own code."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.checkpoint_files import (
    CANARY,
    CONDITIONAL,
    PLAIN,
    UNCLAMPED,
    VARIANTS,
    ada_state,
    clamp_of,
    write_nvidia,
    write_tensorflow,
    write_whole_rosinality,
)
from support.reference import REAL, REFERENCE, full_size, needs_real, numbers
from support.reference import agree as equal

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.generators.inspecting import inspect_file
from semanifold.generators.loading import convert, load_generator, save_generator
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config

ROSINALITY = REFERENCE / "stylegan2_rosinality" / "generator.pt"
USABLE = {"stylegan2_ada", "stylegan2_rosinality", "biggan", "proggan", "sngan_mnist", "sngan_anime", "pix2pixhd"} | {
    "stylegan3_t",
    "stylegan3_r",
}
SMALL = StyleGAN2Config(size=8, z_dim=4, w_dim=4, channels=(4, 4), mapping_layers=2)


def agree(generator: StyleGAN2, variant: str) -> None:
    expected = numbers("stylegan2_ada", variant)
    equal(generator.images(Latents(expected["z"], "z", expected.get("c"))), expected["img_const"])


def small() -> StyleGAN2:
    return StyleGAN2(SMALL, name="small", licence="CC0", seed=3)


def agree_rosinality(generator: StyleGAN2) -> None:
    expected = numbers("stylegan2_rosinality")
    equal(generator.images(Latents(expected["z"], "z")), expected["img_z_buffers"])
    assert torch.equal(generator.w_avg, expected["latent_avg"])


@pytest.mark.parametrize("old", [False, True])
def test_rosinality(tmp_path: Path, old: bool) -> None:
    path = ROSINALITY
    if old:
        path = tmp_path / "old.pt"
        torch.save(torch.load(ROSINALITY, weights_only=True), path, _use_new_zipfile_serialization=False)
    generator = load_generator(path)
    agree_rosinality(generator)
    assert not any(value.requires_grad for value in generator.parameters())


def test_training_checkpoint_and_whole_module(tmp_path: Path) -> None:
    """Checkpoints of a training run also hold the options of its command line; whole modules come without the mean w."""
    from argparse import Namespace

    file = torch.load(ROSINALITY, weights_only=True)
    torch.save({**file, "g": {}, "d": {}, "args": Namespace(size=64, path="x")}, tmp_path / "run.pt")
    agree_rosinality(load_generator(tmp_path / "run.pt"))
    torch.save({f"module.{key}": value for key, value in file["g_ema"].items()}, tmp_path / "parallel.pth")
    write_whole_rosinality(tmp_path / "whole.pt")
    bare, whole = load_generator(tmp_path / "parallel.pth"), load_generator(tmp_path / "whole.pt")
    assert bare.fingerprint == whole.fingerprint


@pytest.mark.parametrize("variant", UNCLAMPED)
def test_nvidia_and_tensorflow(tmp_path: Path, variant: str) -> None:
    state = ada_state(variant)
    write_nvidia(tmp_path / "snapshot.pkl", state)
    write_tensorflow(tmp_path / "tf.pkl", state)
    assert "torch_utils" not in sys.modules
    assert "dnnlib" not in sys.modules
    for name in ("snapshot.pkl", "tf.pkl"):
        agree(load_generator(tmp_path / name), variant)
    assert not (tmp_path / CANARY).exists()


def test_other_forms_of_nvidia_files(tmp_path: Path) -> None:
    state = ada_state(PLAIN)
    write_nvidia(tmp_path / "whole.pt", state, whole=True)
    write_nvidia(tmp_path / "ema.pkl", state, only="G_ema")
    write_tensorflow(tmp_path / "bare.pkl", state, bare=True)
    save_file(state, tmp_path / "state.safetensors")
    torch.save(state, tmp_path / "state.pt")
    for name in ("whole.pt", "ema.pkl", "bare.pkl", "state.safetensors", "state.pt"):
        agree(load_generator(tmp_path / name), PLAIN)
    assert not (tmp_path / CANARY).exists()


@pytest.mark.parametrize("variant", sorted(VARIANTS.keys() - UNCLAMPED))
def test_clamp_comes_from_the_records(tmp_path: Path, variant: str) -> None:
    """The weights do not tell conv_clamp; the attributes of the pickled layers do."""
    write_nvidia(tmp_path / "snapshot.pkl", ada_state(variant), clamp=clamp_of(variant))
    generator = load_generator(tmp_path / "snapshot.pkl")
    assert generator.config.clamp == clamp_of(variant)
    agree(generator, variant)


@pytest.mark.parametrize("form", ["rosinality", "nvidia", "tensorflow"])
def test_conversion_is_exact(tmp_path: Path, form: str) -> None:
    source = {"rosinality": ROSINALITY}.get(form, tmp_path / "source.pkl")
    if form == "nvidia":
        write_nvidia(source, ada_state(CONDITIONAL[0]), clamp=256)
    elif form == "tensorflow":
        write_tensorflow(source, ada_state(CONDITIONAL[0]))
    target = tmp_path / "ours.safetensors"
    converted = convert(source, target)
    before, after = load_generator(source), load_generator(target)
    codes = before.sample([1, 2], labels=1 if before.classes else None)
    assert torch.equal(before.images(codes), after.images(codes))
    assert before.config == after.config
    assert before.fingerprint == after.fingerprint == converted.fingerprint
    rounded = convert(source, tmp_path / "half.safetensors", half=True)
    assert rounded.fingerprint == load_generator(tmp_path / "half.safetensors").fingerprint != before.fingerprint
    assert after.source == str(source)
    assert inspect_file(source).sha256 in target.read_bytes().decode("latin-1")
    with pytest.raises(SemanifoldError, match="exists already"):
        convert(source, target)
    convert(target, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == target.read_bytes()


def test_half_precision_storage(tmp_path: Path) -> None:
    generator = small()
    save_generator(generator, tmp_path / "full.safetensors")
    save_generator(generator, tmp_path / "half.safetensors", half=True)
    loaded = load_generator(tmp_path / "half.safetensors")
    assert loaded.dtype == torch.float32
    assert loaded.licence == "CC0"
    codes = generator.sample([0])
    pictures, rounded = generator.images(codes), loaded.images(codes)
    assert 0 < (pictures - rounded).abs().max() < 0.01 * pictures.abs().max()
    sizes = [
        sum(value.numel() * value.element_size() for value in load_file(tmp_path / f"{name}.safetensors").values())
        for name in ("full", "half")
    ]
    assert sizes[1] * 2 == sizes[0]
    with torch.no_grad():
        huge = small().requires_grad_(False)
        huge.const.mul_(1e6)
    with pytest.raises(SemanifoldError, match="const"):
        save_generator(huge, tmp_path / "huge.safetensors", half=True)
    assert not list(tmp_path.glob("huge*"))


def test_targets_that_cannot_be_written(tmp_path: Path) -> None:
    for target, words in [("x.pkl", "must end in"), ("no/x.safetensors", "no folder"), (".", "must end in")]:
        with pytest.raises(SemanifoldError, match=words):
            save_generator(small(), tmp_path / target)
    (tmp_path / "taken.safetensors").mkdir()
    with pytest.raises(SemanifoldError, match="is a folder"):
        save_generator(small(), tmp_path / "taken.safetensors", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["taken.safetensors"]


def test_device_precision_and_hash(tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    save_generator(small(), path)
    digest = inspect_file(path).sha256
    generator = load_generator(path, dtype=torch.float64, sha256=digest.upper())
    assert generator.images(generator.sample([0])).dtype == torch.float64
    with pytest.raises(SemanifoldError, match=f"{digest}.*{'0' * 64}"):
        load_generator(path, sha256="0" * 64)
    for device in ("cuda:77", "meta", "nowhere"):
        with pytest.raises(SemanifoldError, match="cannot be moved"):
            load_generator(path, device=device)


def test_names(tmp_path: Path) -> None:
    assert load_generator("analytic").picture_shape[0] == 3
    with pytest.raises(SemanifoldError, match="did you mean 'faces'"):
        load_generator("face")
    with pytest.raises(SemanifoldError, match="There is no file"):
        load_generator(tmp_path / "missing.pt")
    with pytest.raises(SemanifoldError, match="folder"):
        load_generator(tmp_path)
    with pytest.raises(SemanifoldError, match="SHA-256 belongs to"):
        load_generator("faces", sha256="0" * 64)


def test_own_code(tmp_path: Path) -> None:
    (tmp_path / "neighbour.py").write_text("SIZE = 4\n")
    (tmp_path / "mine.py").write_text(
        "import torch\nfrom dataclasses import dataclass\nfrom neighbour import SIZE\n"
        "from semanifold.generators.wrapped import wrap\n"
        "@dataclass\nclass Settings:\n    size: int = SIZE\n"
        "def paint(z):\n    return z.tanh()[:, :, None, None].expand(-1, 3, 4, 4)\n"
        "ready = wrap(paint, (3,))\n"
        "def factory():\n    return ready\n"
        "network = torch.nn.Linear(2, 2)\n"
        "def broken():\n    raise KeyError('x')\n"
    )
    assert load_generator(f"{tmp_path}/mine.py:ready").picture_shape == (3, 4, 4)
    assert load_generator(f"{tmp_path}/mine.py:factory").name == "paint"
    for name, words in [
        ("network", "is a torch module of the class Linear, not a generator of semanifold; write network = semanifold.wrap"),
        ("broken", "KeyError"),
        ("reddy", "did you mean 'ready'"),
        ("paint", "failed"),
    ]:
        with pytest.raises(SemanifoldError, match=words):
            load_generator(f"{tmp_path}/mine.py:{name}")
    with pytest.raises(SemanifoldError, match="no file"):
        load_generator(f"{tmp_path}/other.py:ready")


def test_inspection_of_generators(tmp_path: Path) -> None:
    write_nvidia(tmp_path / "snapshot.pkl", ada_state(CONDITIONAL[0]))
    said = inspect_file(tmp_path / "snapshot.pkl")
    config = VARIANTS[CONDITIONAL[0]]
    asked, channels = config["init_kwargs"], config["channels"]
    size, colours, w = asked["img_resolution"], asked["img_channels"], asked["w_dim"]
    assert (said.architecture, said.resolution, said.channels) == ("StyleGAN2 generator", size, colours)
    assert said.classes == asked["c_dim"]
    assert said.latents == {"z": (asked["z_dim"],), "w": (w,), "w+": (config["num_ws"], w), "s": said.latents["s"]}
    assert said.usable
    assert said.fingerprint == load_generator(tmp_path / "snapshot.pkl").fingerprint
    assert ("synthesis.b4.const", (channels["4"], 4, 4), "float32") in said.tensors
    text = str(said)
    for words in (
        "StyleGAN2",
        "stylegan2-ada-pytorch",
        "G_ema",
        f"{colours} x {size} x {size}",
        said.sha256,
        said.fingerprint or "-",
        "generator=",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("folder", "known"),
    [
        (
            REFERENCE,
            {
                "biggan/G_": "BigGAN",
                "proggan/": "Progressive",
                "sngan_": "SN-GAN",
                "pix2pixhd/": "pix2pixHD",
                "/support_sets.pt": "support sets",
            },
        ),
        pytest.param(REAL, {"resefa": "512 latent", "smile.pt": "512 latent"}, marks=needs_real()),
    ],
)
def test_inspection_of_everything_else(folder: Path, known: dict[str, str]) -> None:
    """Every file of the reference and real folders gets a description, and none is taken for what it is not."""
    seen = set()
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        said = inspect_file(path)
        trained = path.parent.name == "weight_deformation" and path.name.startswith("checkpoint_")  # with its generator inside
        whole = USABLE & {path.parent.name, path.parent.parent.name}
        assert said.usable == bool(trained or (path.suffix != ".json" and whole)), path
        assert str(said)
        for mark, words in known.items():
            if mark in str(path.relative_to(folder)) and path.suffix in (".pt", ".pth", ".npy"):
                assert words in said.holds, path
                seen.add(mark)
    assert seen == set(known)


def test_inspection_of_edits_and_arrays(tmp_path: Path) -> None:
    import numpy as np

    from semanifold.edits import EditInfo, Lattice, save_edit

    save_edit(Lattice(torch.zeros(2, 4), [torch.tensor([0.0, 1.0])], EditInfo(name="mouth")), tmp_path / "edit.safetensors")
    said = inspect_file(tmp_path / "edit.safetensors")
    assert "edit of semanifold, 'mouth'" in said.holds
    assert said.notes["method"] == "unknown"
    with pytest.raises(SemanifoldError, match="edit"):
        load_generator(tmp_path / "edit.safetensors")
    np.savez(tmp_path / "projected_w.npz", w=np.zeros((1, 18, 512), np.float32))
    assert inspect_file(tmp_path / "projected_w.npz").tensors == (("w", (1, 18, 512), "float32"),)
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    assert not inspect_file(tmp_path / "objects.npy").usable


@pytest.mark.slow
def test_a_1024_pixel_snapshot_loads_in_seconds(tmp_path: Path) -> None:
    from semanifold.generators.stylegan2.layouts import recognise

    table = full_size("stylegan2_ada_1024")
    row = torch.outer(*[torch.tensor([1.0, 3, 3, 1]) / 8] * 2)
    state = {key: row if key.endswith("resample_filter") else torch.full(shape, 0.01) for key, shape in table.items()}
    assert recognise(state) == "ada"
    write_nvidia(tmp_path / "big.pkl", state)
    save_generator(small(), tmp_path / "small.safetensors")
    load_generator(tmp_path / "small.safetensors")  # PyTorch imports what it needs at its first use
    start = time.perf_counter()
    generator = load_generator(tmp_path / "big.pkl")
    assert time.perf_counter() - start < 30
    assert generator.picture_shape == (3, 1024, 1024)


def test_a_python_file_without_a_name_is_asked_for_one(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("g = 3\n")
    with pytest.raises(SemanifoldError, match=r"mine\.py is Python code; say which generator in it: .*mine\.py:NAME"):
        load_generator(tmp_path / "mine.py")
