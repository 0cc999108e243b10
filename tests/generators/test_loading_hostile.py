"""Nothing from a file ever runs, and whatever is wrong with a file is said in one sentence."""

from __future__ import annotations

import builtins
import codecs
import functools
import importlib
import io
import json
import operator
import os
import pickle
import random
import runpy
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file
from support.checkpoint_files import CONDITIONAL, PLAIN, ada_state, write_nvidia, write_tensorflow
from support.damage import damaged, refused
from support.reference import REFERENCE

from semanifold.core.errors import SemanifoldError
from semanifold.generators.inspecting import inspect_file
from semanifold.generators.loading import load_generator, save_generator
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config

ROSINALITY = REFERENCE / "stylegan2_rosinality" / "generator.pt"
SMALL = StyleGAN2Config(size=8, z_dim=4, w_dim=4, channels=(4, 4), mapping_layers=2)


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    """PyTorch imports much at its first use of some operators; the time limits below are not about that."""
    StyleGAN2.from_state(SMALL, StyleGAN2(SMALL).state_dict())


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable, *args: object) -> None:
        self.call = (function, args)

    def __reduce__(self) -> tuple:
        return self.call


def calls(canary: Path) -> dict[str, object]:
    """Pickles that would leave the canary behind, by what they abuse."""
    write = f"open({str(canary)!r}, 'w').close()"
    script = canary.with_name("script.py")
    script.write_text(write)
    return {
        "posix.system": Call(os.system, f"touch {canary}"),
        "builtins.eval": Call(builtins.eval, write),
        "builtins.exec": Call(builtins.exec, write),
        "io.open": Call(builtins.open, str(canary), "w"),
        "builtins.getattr": Call(builtins.getattr, Call(importlib.import_module, "os"), "system"),
        "importlib.import_module": [Call(importlib.import_module, "antigravity")],
        "runpy.run_path": {"a": Call(runpy.run_path, str(script))},
        "subprocess.Popen": (Call(subprocess.Popen, ["touch", str(canary)]),),
        "posix.system ": Call(functools.partial, os.system, f"touch {canary}"),
        "operator.attrgetter": Call(operator.attrgetter, "system"),
        "operator.methodcaller": Call(operator.methodcaller, "system", f"touch {canary}"),
        "_codecs.lookup": Call(codecs.lookup, "rot13"),
        "torch.hub.load": Call(torch.hub.load, "somebody/something", "model"),
        "torch.serialization.load": Call(torch.load, str(canary)),
        "numpy.load": Call(np.load, str(canary)),
        "numpy.fromfile": Call(np.fromfile, str(canary)),
        "pickle.loads": Call(pickle.loads, pickle.dumps(Call(os.system, f"touch {canary}"))),
    }


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
def test_calls_in_pickles(tmp_path: Path, protocol: int) -> None:
    canary = tmp_path / "canary"
    for name, payload in calls(canary).items():
        (tmp_path / "x.pkl").write_bytes(pickle.dumps(payload, protocol=protocol))
        sentence = refused(tmp_path / "x.pkl", "asks Python to use")
        assert name.rpartition(".")[2].strip() in sentence or protocol < 2
        assert not canary.exists()
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("old", [False, True])
def test_calls_in_checkpoints(tmp_path: Path, old: bool) -> None:
    canary = tmp_path / "canary"
    for payload in calls(canary).values():
        torch.save({"g_ema": {"x": payload}}, tmp_path / "x.pt", _use_new_zipfile_serialization=not old)
        refused(tmp_path / "x.pt", "asks Python to use")
        assert not canary.exists()


def text(value: str) -> bytes:
    return pickle.SHORT_BINUNICODE + struct.pack("<B", len(value)) + value.encode()


def name(module: str, attribute: str) -> bytes:
    return text(module) + text(attribute) + pickle.STACK_GLOBAL


ORDERED = name("collections", "OrderedDict")
RECORD = name("training.networks", "Generator")
FUNCTION = name("torch._utils", "_rebuild_tensor_v2")

HAND_MADE = {
    "alias of an allowed name": name("torch", "_utils._rebuild_tensor_v2") + b"(t" + b"R.",
    "attribute of an allowed class": name("collections", "OrderedDict.__init__.__globals__") + b".",
    "attribute of a module class": name("dnnlib.util", "EasyDict.__class__") + b".",
    "class that runs on creation": name("training.networks", "Generator") + b"(tR.",
    "module path with a trick": name("models.x\nos", "system") + b"(tR.",
    "old instance": b"(S'touch x'\nios\nsystem\n.",
    "object": b"(" + name("os", "system") + text("touch x") + b"o.",
    "extension code": b"\x82\x01.",
    "calling a dictionary": b"}(tR.",
    "calling a record": RECORD + b")\x81(tR.",
    "state for a function": FUNCTION + b"}" + text("__defaults__") + b"Nsb.",
    "state for a class": ORDERED + b"}" + text("__setstate__") + RECORD + b"sb.",
    "state that is a state": RECORD + b")\x81}" + text("__setstate__") + FUNCTION + b"sb" + text("x") + b"b.",
    "items for a record": RECORD + b")\x81" + text("x") + text("y") + b"s.",
    "persistent id": text("storage") + b"Q.",
    "huge memo index": b"}r\xff\xff\xff\x7f.",
    "huge bytes": b"\x8e" + struct.pack("<Q", 1 << 60) + b"abc.",
    "huge text": b"X\xff\xff\xff\x7f.",
    "huge array": name("numpy.core.multiarray", "_reconstruct") + name("numpy", "ndarray") + b"K\x00\x85C\x01b\x87R.",
    "empty stack": b"(((t.",
    "nothing": b".",
    "deep nesting as a key": b"}" + b")" + b"\x85" * 300_000 + b"K\x01s.",
    "deep lists": b"]" * 500_000 + b"a" * 499_999 + b".",
    "huge integer": b"\x8b" + struct.pack("<i", 60_000) + b"\xff" * 59_999 + b"\x7f.",
    "an endless number": b"I" + b"9" * 5_000 + b"\n.",
    "tensor of nothing": FUNCTION + b"(K\x01K\x02t" + b"R.",
    "unknown instructions": b"\xfe\xfd.",
    "only instructions": b"N0" * 1_000_000 + b"N.",
}


@pytest.mark.parametrize("kind", HAND_MADE)
def test_hand_made_pickles(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(b"\x80\x04" + HAND_MADE[kind])
    refused(path)


def test_pickle_inside_of_a_tensor(tmp_path: Path) -> None:
    """The bytes of a tensor in NVIDIA's files are a PyTorch file of their own; it gets no more rights."""
    canary = tmp_path / "canary"
    inner = io.BytesIO()
    torch.save(Call(os.system, f"touch {canary}"), inner, _use_new_zipfile_serialization=False)
    nested = pickle.dumps(Call(torch.storage._load_from_bytes, inner.getvalue()))
    twice = pickle.dumps(Call(torch.storage._load_from_bytes, pickle.dumps(Call(torch.storage._load_from_bytes, b"x"))))
    for data, words in [(nested, "asks Python to use 'posix.system'"), (twice, "PyTorch does not write")]:
        (tmp_path / "x.pkl").write_bytes(data)
        refused(tmp_path / "x.pkl", words)
    assert not canary.exists()


def record(*children: bytes, ring: bool = False) -> bytes:
    """A module with sub-modules; with ``ring`` it is its own."""
    parts = b"".join(text(f"m{i}") + child for i, child in enumerate(children))
    own = text("self") + b"h\x07" if ring else b""
    return RECORD + b")\x81q\x07}" + text("_modules") + b"}(" + parts + own + b"us" + b"b"


def test_modules_without_end(tmp_path: Path) -> None:
    (tmp_path / "ring.pkl").write_bytes(b"\x80\x04" + record(ring=True) + b".")
    refused(tmp_path / "ring.pkl", "no generator")
    # every level holds the one below twice: 2^60 modules in a few kilobytes
    data = record() + b"q\x010"
    for _ in range(60):
        data += record(b"h\x01", b"h\x01") + b"q\x010"
    (tmp_path / "doubling.pkl").write_bytes(b"\x80\x04" + data + b"h\x01.")
    refused(tmp_path / "doubling.pkl", "no generator")
    # dictionaries: a ring, and every level twice
    (tmp_path / "ring.pkl").write_bytes(b"\x80\x04}q\x01" + text("g_ema") + b"h\x01s.")
    refused(tmp_path / "ring.pkl")
    data = b"}q\x010"
    for _ in range(60):
        data += b"}(" + text("g_ema") + b"h\x01" + text("G") + b"h\x01uq\x010"
    (tmp_path / "doubling.pkl").write_bytes(b"\x80\x04" + data + b"h\x01.")
    refused(tmp_path / "doubling.pkl")


def test_long_lists_shared_by_many(tmp_path: Path) -> None:
    """A few bytes may name a long list again and again; going through each would take hours."""
    numbers = b"(" + b"K\x01" * 100_000 + b"lq\x010"
    pairs = numbers + b"]q\x02(" + b"h\x01" * 100_000 + b"e."
    calls = numbers + name("builtins", "set") + b"q\x030" + b"h\x03h\x01\x85R0" * 50_000 + b"N."
    modules = numbers + b"]q\x020"
    for _ in range(5_000):
        modules += RECORD + b")\x81}" + text("_non_persistent_buffers_set") + b"h\x01sb" + b"q\x040h\x02h\x04a0"
    for data in (pairs, calls, modules + b"h\x02."):
        (tmp_path / "x.pkl").write_bytes(b"\x80\x04" + data)
        refused(tmp_path / "x.pkl")


def test_text_that_would_change_the_terminal(tmp_path: Path) -> None:
    torch.save({"\x1b[31m\n": torch.zeros(2), "b": torch.zeros(3, 4)}, tmp_path / "x.pt")
    refused(tmp_path / "x.pt", "unknown network")
    torch.save({"\x1b[31m\n": 1}, tmp_path / "x.pt")
    refused(tmp_path / "x.pt", "dictionary")
    state = StyleGAN2(SMALL).state_dict() | {"\x1b[31m\n": torch.zeros(2)}
    header = {
        "format": "semanifold-generator-1",
        "config": {"size": 8, "z_dim": 4, "w_dim": 4, "channels": [4, 4], "mapping_layers": 2},
    }
    (tmp_path / "x.safetensors").write_bytes(save(dict(state), metadata={"semanifold": json.dumps(header)}))
    refused(tmp_path / "x.safetensors", "should not hold")


def zip_checkpoint(path: Path, tree: object, compression: int = zipfile.ZIP_STORED, size: int = 4) -> None:
    """A checkpoint whose storage may be of another size than claimed."""
    torch.save(tree, path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for entry, data in entries.items():
            archive.writestr(entry, data[:size] if "/data/" in entry else data)


def test_damaged_archives(tmp_path: Path) -> None:
    tree = {
        "g_ema": {
            "conv1.conv.weight": torch.zeros(1000),
            "convs.0.conv.modulation.weight": torch.zeros(3),
            "input.input": torch.ones(3),
        }
    }
    zip_checkpoint(tmp_path / "short.pt", tree)
    refused(tmp_path / "short.pt", "where it holds 4 bytes")
    zip_checkpoint(tmp_path / "bomb.pt", tree, zipfile.ZIP_DEFLATED, 10_000)
    refused(tmp_path / "bomb.pt", "compressed inside")
    for letter in ("pdf", "txt"):
        with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
            archive.writestr(f"document.{letter}", "hello")
        refused(tmp_path / "x.pt", f"zip archive that PyTorch did not write.*document.{letter}")
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "script.pt")
    refused(tmp_path / "script.pt", "TorchScript")


JUNK = {
    "empty file": b"",
    "web page": b"<!DOCTYPE html>\n<html><body>404 not found</body></html>",
    "text file": b"the weights are in the mail\n" * 10,
    "web page, ": b"  <HTML><head>",
    "text": b"conv1.weight,3,4\n",
    "picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "compressed archive": b"\x1f\x8b\x08" + bytes(100),
    "git-lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(100),
    "tar archive": b"a" * 257 + b"ustar" + bytes(300),
    "no format that semanifold knows": b"\x00\x01\x02\x03" * 50,
    "safetensors": struct.pack("<Q", 1 << 39) + b'{"a":1}',
    "cut short": b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.",
}


@pytest.mark.parametrize("kind", JUNK)
def test_junk(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "weights.pkl"
    path.write_bytes(JUNK[kind])
    assert str(path) in refused(path, kind)
    assert not inspect_file(path).usable


def test_unreadable_places(tmp_path: Path) -> None:
    refused(tmp_path, "is a folder")
    refused(tmp_path / "missing.pkl", "There is no file")
    os.mkfifo(tmp_path / "pipe.pkl")
    with pytest.raises(SemanifoldError, match="a device or a pipe"):
        load_generator(tmp_path / "pipe.pkl")


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("blocks.0.0.conv4.weight", "BigGAN-deep.*not load yet"),
        ("4x4/Dense/StyleMod/weight", "StyleGAN1.*not load yet"),
        ("synthesis.b8.convs1.0.affine.proj.weight", "StyleGAN-T generator.*not load yet"),
        ("mapping.embed_proj.weight", "StyleGAN-XL generator.*not load yet"),
    ],
)
def test_other_networks(key: str, words: str, tmp_path: Path) -> None:
    """Networks that are known by a key."""
    state = {key: torch.zeros(4, 4), "one.more.bias": torch.zeros(4)}
    torch.save(state, tmp_path / "x.pt")
    save_file(state, tmp_path / "x.safetensors")
    write_nvidia(tmp_path / "x.pkl", state)
    for file in ("x.pt", "x.safetensors", "x.pkl"):
        assert "StyleGAN2, StyleGAN3, BigGAN, Progressive GAN, SN-GAN, pix2pixHD, R3GAN, DCGAN are expected" in refused(
            tmp_path / file, words
        )


def test_a_discriminator(tmp_path: Path) -> None:
    write_nvidia(tmp_path / "d.pkl", ada_state(PLAIN), only="D")
    refused(tmp_path / "d.pkl", "discriminator")


def test_wrong_tensors(tmp_path: Path) -> None:
    good = ada_state(PLAIN)
    key = next(key for key in good if key.endswith("conv0.weight"))
    wrong = {
        f"lacks.*{key}": {k: v for k, v in good.items() if k != key},
        "belong to no StyleGAN2.*extra": good | {"synthesis.extra.weight": torch.zeros(2)},
        "NaN": good | {key: good[key] * float("nan")},
        "infinite": good | {key: good[key] / 0},
        f"{key} has shape": good | {key: good[key][:, :, :, :2].contiguous()},
        "unknown network": {"a.weight": torch.zeros(3), "b": torch.zeros(2)},
    }
    for words, state in wrong.items():
        for file in ("x.pt", "x.safetensors"):
            (torch.save if file.endswith("pt") else save_file)(state, tmp_path / file)
            refused(tmp_path / file, words)
        write_nvidia(tmp_path / "x.pkl", state, only="G_ema")
        refused(tmp_path / "x.pkl", words)
    for tree, words in [({}, "empty dictionary"), ({"epoch": 3}, "epoch"), (torch.zeros(3), "single tensor"), ([1, 2], "single")]:
        torch.save(tree, tmp_path / "x.pt")
        refused(tmp_path / "x.pt", words)
    write_nvidia(tmp_path / "mixed.pkl", good, clamp=2.0, only="G_ema")
    data = (tmp_path / "mixed.pkl").read_bytes()
    (tmp_path / "mixed.pkl").write_bytes(data.replace(struct.pack(">d", 2.0), struct.pack(">d", 3.0), 1))
    refused(tmp_path / "mixed.pkl", "different settings")


def own_file(path: Path, **changes: object) -> None:
    generator = StyleGAN2(SMALL)
    config = {"size": 8, "z_dim": 4, "w_dim": 4, "channels": [4, 4], "mapping_layers": 2} | changes.pop("config", {})
    header = {"format": "semanifold-generator-1", "config": config} | changes
    path.write_bytes(save(dict(generator.state_dict()), metadata={"semanifold": json.dumps(header)}))


def test_hostile_headers_of_our_own_format(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    own_file(path)
    assert load_generator(path).picture_shape == (3, 8, 8)
    for changes, words in [
        ({"config": {"mapping_layers": 10**6}}, "does not belong to its tensors"),
        ({"config": {"mapping_layers": 10**9}}, "mapping_layers is 1000000000"),
        ({"config": {"z_dim": 10**6}}, "has shape"),
        ({"config": {"z_dim": 10**12}}, "z_dim is"),
        ({"config": {"clamp": -1}}, "clamp is -1"),
        ({"config": {"architecture": "skipp"}}, "skipp"),
        ({"config": {"size": "8"}}, "."),
        ({"config": {"channels": 4}}, "."),
        ({"config": {"surprise": 4}}, "surprise"),
        ({"config": {"mapping_lr": None}}, "."),
        ({"format": "semanifold-generator-2"}, "semanifold-generator-2"),
        ({"format": 7}, "header is damaged"),
    ]:
        own_file(path, **changes)
        refused(path, words)
    own_file(path, name="\x1b[31mred\n", source="x" * 10_000)
    generator = load_generator(path)
    assert generator.name.isprintable()
    assert len(generator.source) <= 200
    path.write_bytes(save(dict(StyleGAN2(SMALL).state_dict()), metadata={"semanifold": "[" * 100_000}))
    refused(path, "levels deep")
    path.write_bytes(save(dict(StyleGAN2(SMALL).state_dict())))
    refused(path, "without their configuration")


def valid_files(folder: Path) -> list[Path]:
    """One small file of every kind that can be loaded."""
    save_generator(StyleGAN2(SMALL), folder / "own.safetensors")
    state = ada_state(CONDITIONAL[0])
    write_nvidia(folder / "nvidia.pkl", state, clamp=256, only="G_ema")
    write_tensorflow(folder / "tensorflow.pkl", state)
    torch.save(state, folder / "new.pt")
    torch.save({"g_ema": state}, folder / "old.pt", _use_new_zipfile_serialization=False)
    write_nvidia(folder / "whole.pt", state, whole=True)
    save_file(state, folder / "plain.safetensors")
    return sorted(folder.iterdir())


def test_random_damage(tmp_path: Path) -> None:
    """Damaged at random, a file is refused with a sentence or loads; never another error, never for long, and nothing is run."""
    (tmp_path / "good").mkdir()
    outcomes = {"loaded": 0, "refused": 0}
    bad = tmp_path / "bad"
    for path in valid_files(tmp_path / "good"):
        load_generator(path)
        data = path.read_bytes()
        for seed in range(30):
            bad.write_bytes(damaged(data, random.Random(seed)))
            start = time.perf_counter()
            try:
                load_generator(bad)
                outcomes["loaded"] += 1
            except SemanifoldError:
                outcomes["refused"] += 1
            assert time.perf_counter() - start < 10
    assert min(outcomes.values()) > 20
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["bad"]
