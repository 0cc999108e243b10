"""Files that people have: a generator is found under any name, beside anything inert, with the pictures of the plain file."""

from __future__ import annotations

import argparse
import collections
import datetime
import pathlib
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.checkpoint_files import modules, tree, write_nvidia
from support.dialects import ada, genforce, made, pictures, rosinality, saved
from torch import Tensor, nn

from semanifold.core.errors import SemanifoldError
from semanifold.generators.inspecting import inspect_file
from semanifold.generators.loading import convert, load_generator

GENERATOR = made()
PLAIN = pictures(GENERATOR)
STATE, MEAN = rosinality(GENERATOR)
CRITIC = {"convs.0.0.weight": torch.zeros(3, 3, 1, 1), "final_linear.0.weight": torch.zeros(4, 4)}


def under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in state.items()}


def other(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of the same network that are not meant."""
    return {key: value if "kernel" in key or "filter" in key else value * 1.5 for key, value in state.items()}


def same(path: Path, expected: Tensor = PLAIN, tolerance: float = 1e-6) -> list[str]:
    """Check that a file loads with these pictures, and inspects and converts; return the remarks."""
    remarks: list[str] = []
    generator: Any = load_generator(path, say=remarks.append)
    assert (pictures(generator) - expected).abs().max() <= tolerance * expected.abs().max()
    said = inspect_file(path)
    assert said.usable
    assert said.notes.get("remarks", "") == " ".join(remarks)
    converted = convert(path, path.with_suffix(".safetensors"), overwrite=True)
    assert torch.equal(pictures(converted), pictures(generator))  # type: ignore[arg-type]
    return remarks


LAYOUTS = {"rosinality": STATE, "ada": ada(GENERATOR), "genforce": genforce(GENERATOR)}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_place_in_every_layout(layout: str, tmp_path: Path) -> None:
    state = LAYOUTS[layout]
    mean = {"latent_avg": MEAN} if layout == "rosinality" else {}
    places: dict[str, dict[str, Any]] = {
        "bare": {**state, **mean},
        "g_ema": {"g": other(state), "d": CRITIC, "g_ema": state, **mean},
        "smooth": {"generator": other(state), "discriminator": CRITIC, "generator_smooth": state, **mean},
        "models": {"models": {"generator": other(state), "generator_smooth": state, "discriminator": CRITIC}, **mean},
        "pSp": {"state_dict": under("decoder.", state) | under("encoder.", CRITIC), "opts": {"size": 16}, **mean},
        "twice parallel": {**under("module.module.", state), **mean},
        "compiled": {"state_dict": under("_orig_mod.", state), **mean},
        "averaged": {"n_averaged": torch.tensor(3), **under("module.", state), **mean},
        "averaged beside": {"model": other(state), "swa": {"n_averaged": torch.tensor(3), **under("module.", state)}, **mean},
        "beside": under("generator.", state) | under("discriminator.", CRITIC) | mean,
        "lightning": {"state_dict": under("G.", other(state)) | under("G_ema.", state) | under("D.", CRITIC), **mean},
        "optimised": {"epoch": 3, "params_ema": state, "optim": {"state": {0: {"step": torch.tensor(1.0)}}}, **mean},
    }
    for place, contents in places.items():
        assert same(saved(tmp_path / f"{place}.pt", contents)) == [], place
    assert "g_ema" in inspect_file(tmp_path / "g_ema.pt").holds


def test_parts_that_are_parallel_by_themselves(tmp_path: Path) -> None:
    state = {
        key.replace("mapping.", "mapping.module.").replace("synthesis.", "synthesis._orig_mod."): value
        for key, value in LAYOUTS["ada"].items()
    }
    assert same(saved(tmp_path / "x.pt", state)) == []


def test_two_generators_of_which_none_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pt", {"old": STATE, "new": other(STATE)})
    with pytest.raises(SemanifoldError, match=r"several generators \(old, new\)"):
        load_generator(path)
    assert "several generators" in str(inspect_file(path))
    same(saved(tmp_path / "y.pt", {"old": STATE, "new": STATE, "latent_avg": MEAN}))
    same(saved(tmp_path / "y.pt", {**STATE, **under("module.", STATE), "latent_avg": MEAN}))
    with pytest.raises(SemanifoldError, match="twice"):
        load_generator(saved(tmp_path / "x.pt", {**STATE, **under("module.", other(STATE))}))


@pytest.mark.parametrize("shape", [(6,), (1, 6), (6, 6), (1, 6, 6)])
def test_mean_w_of_any_shape(shape: tuple[int, ...], tmp_path: Path) -> None:
    state = {"state_dict": under("decoder.", STATE), "latent_avg": MEAN.expand(shape).contiguous()}
    assert same(saved(tmp_path / "x.pt", state)) == []


def test_mean_w_with_rows_that_differ(tmp_path: Path) -> None:
    rows = MEAN + torch.linspace(-1, 1, 6)[:, None]
    path = saved(tmp_path / "x.pt", {"state_dict": under("decoder.", STATE), "latent_avg": rows})
    assert "6 rows that differ" in same(path, tolerance=1e-5)[0]


def test_mean_w_that_cannot_be_used(tmp_path: Path) -> None:
    for mean, words in ((torch.zeros(0, 6), "no numbers"), (torch.zeros(3, 5), "w_avg has shape"), (MEAN * torch.nan, "NaN")):
        with pytest.raises(SemanifoldError, match=words):
            load_generator(saved(tmp_path / "x.pt", {"g_ema": STATE, "latent_avg": mean}))


def test_a_missing_mean_is_estimated(tmp_path: Path) -> None:
    for name, state in {"rosinality": STATE, "ada": {k: v for k, v in LAYOUTS["ada"].items() if k != "mapping.w_avg"}}.items():
        remarks: list[str] = []
        generator: Any = load_generator(saved(tmp_path / f"{name}.pt", {"g_ema": state, "latent_avg": None}), say=remarks.append)
        assert torch.equal(generator.images(generator.sample([1])), GENERATOR.images(GENERATOR.sample([1])))
        assert "no mean w" in remarks[0]
        assert (generator.w_avg - GENERATOR.sample(range(4000), "w").values.mean(0)).abs().max() < 0.05


@pytest.mark.parametrize("layout", LAYOUTS)
def test_missing_noise_maps_are_drawn(layout: str, tmp_path: Path) -> None:
    state = {
        key: value
        for key, value in LAYOUTS[layout].items()
        if not key.endswith((".noise", ".noise_const")) and "noises" not in key
    }
    path = saved(tmp_path / "x.pt", {"g_ema": state, "latent_avg": MEAN})
    remarks: list[str] = []
    first, second = load_generator(path, say=remarks.append), load_generator(path)
    assert ["noise maps" in remark for remark in remarks] == [True]
    assert first.fingerprint == second.fingerprint
    codes = GENERATOR.sample([4])
    assert torch.equal(first.images(codes, noise="none"), GENERATOR.images(codes, noise="none"))  # type: ignore[call-arg]
    noise = first.get_buffer("convs.3.noise")
    assert 0.8 < noise.std() < 1.2
    some = {
        key: value
        for key, value in LAYOUTS[layout].items()
        if "b16.conv0.noise_const" not in key and not key.endswith(("noise_3", "layer3.noise"))
    }
    with pytest.raises(SemanifoldError, match=r"lacks the tensor .*noise"):
        load_generator(saved(tmp_path / "y.pt", some))


def test_nvidia_without_noise_without_mean_with_another_buffer(tmp_path: Path) -> None:
    silent = made()
    with torch.no_grad():
        for conv in silent.convs:
            conv.get_parameter("noise_strength").zero_()
    state = {key: value for key, value in ada(silent).items() if "noise" not in key}
    write_nvidia(tmp_path / "quiet.pkl", state)
    assert same(tmp_path / "quiet.pkl", pictures(silent)) == []
    write_nvidia(tmp_path / "mean.pkl", {key: value for key, value in state.items() if "w_avg" not in key})
    assert "no mean w" in load_remarks(tmp_path / "mean.pkl")[0]
    write_nvidia(tmp_path / "buffer.pkl", ada(GENERATOR) | {"synthesis.noise_const_seen": torch.zeros(3)})
    (remark,) = same(tmp_path / "buffer.pkl")
    assert "synthesis.noise_const_seen" in remark


def load_remarks(path: Path) -> list[str]:
    remarks: list[str] = []
    load_generator(path, say=remarks.append)
    return remarks


def test_classes_without_their_embedding(tmp_path: Path) -> None:
    """A first layer of twice the width of w holds labels; any other is that of a wider z."""
    wider = made(z_dim=9)
    same(saved(tmp_path / "wider.pt", ada(wider)), pictures(wider))
    conditional = made(classes=3)
    same(saved(tmp_path / "whole.pt", ada(conditional)), pictures(conditional))
    state = {key: value for key, value in ada(conditional).items() if "embed" not in key}
    for form in ("x.pt", "x.pkl"):
        (saved if form == "x.pt" else write_nvidia)(tmp_path / form, state)
        with pytest.raises(SemanifoldError, match=r"takes 12 numbers where 6 are expected.*embedding of its classes is missing"):
            load_generator(tmp_path / form)
    joint = made(classes=3, joint_norm=True)
    with torch.no_grad():
        joint.get_parameter("mapping.embed.bias").zero_()
    same(saved(tmp_path / "genforce.pth", {"generator_smooth": genforce(joint)}), pictures(joint), 1e-5)
    with pytest.raises(SemanifoldError, match="embedding of its classes"):
        load_generator(saved(tmp_path / "y.pt", {key: value for key, value in genforce(joint).items() if "label" not in key}))


def test_a_pickle_that_says_how_wide_z_is(tmp_path: Path) -> None:
    wide = made(z_dim=12)
    write_nvidia(tmp_path / "wide.pkl", ada(wide), mapping={"z_dim": 12})
    same(tmp_path / "wide.pkl", pictures(wide))
    with pytest.raises(SemanifoldError, match="takes 12 numbers where 6"):
        load_generator(saved(tmp_path / "x.pt", ada(wide)))


INERT: dict[str, Callable[[], object]] = {
    "paths": lambda: [pathlib.PosixPath("a/b"), pathlib.PureWindowsPath("c:/d")],
    "times": lambda: [datetime.datetime(2020, 1, 2), datetime.timedelta(3), datetime.UTC],
    "counts": lambda: collections.Counter("abca"),
    "deque": lambda: collections.deque([1, 2], maxlen=3),
    "frozen": lambda: frozenset({1, 2}),
    "complex": lambda: 3 + 4j,
    "types": lambda: [torch.bfloat16, torch.float8_e4m3fn, torch.strided, np.dtype("U5"), np.dtype("complex64"), int, type(None)],
    "draws": lambda: [np.random.default_rng(3), np.random.RandomState(3), np.random.get_state()],
    "texts": lambda: np.array(["a", "bc"]),
    "objects": lambda: np.array([{"a": 1}, None], object),
    "complex numbers": lambda: [torch.zeros(2, dtype=torch.complex64), np.zeros(2, complex), np.complex64(3)],
    "numbers": lambda: [np.float64(3), np.int8(2), 10**30, float("nan"), range(3), slice(1, 2)],
    "keys": lambda: {(1, 2): 3, 0.5: 4, torch.float32: 5, pathlib.PurePath("a"): 6},
    "options": lambda: argparse.Namespace(size=16, out=pathlib.Path("x")),
    "names": lambda: types.SimpleNamespace(a=1),
    "sparse": lambda: torch.eye(3).to_sparse(),
    "quantised": lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
    "parameters": lambda: nn.Parameter(torch.ones(3)),
}


@pytest.mark.parametrize("kind", INERT)
def test_inert_things_beside_the_weights(kind: str, tmp_path: Path) -> None:
    contents = {"g_ema": STATE, "latent_avg": MEAN, "args": {"other": INERT[kind]()}}
    for new in (True, False) if kind not in ("quantised", "types") else (True,):
        torch.save(contents, tmp_path / "x.pt", _use_new_zipfile_serialization=new)
        assert same(tmp_path / "x.pt") == []


def test_objects_of_unknown_classes(tmp_path: Path) -> None:
    class Thing:
        def __init__(self, **facts: object) -> None:
            self.__dict__.update(facts)

    class Numbers(dict):
        pass

    class Row(list):
        pass

    module = type("Network", (nn.Module,), {})
    parallel = type("DataParallel", (nn.Module,), {})
    trainer = type("Trainer", (), {})
    with modules(
        elsewhere__things={"Thing": Thing, "Numbers": Numbers, "Row": Row, "Network": module, "Trainer": trainer},
        torch__nn__parallel__stand_in={"DataParallel": parallel},
    ):
        network, stale = tree(STATE, module, {}), tree(other(STATE), module, {})
        around: Any = parallel()
        around.module = network
        owner: Any = trainer()
        owner.netG, owner.g_ema, owner.latent_avg, owner.step = stale, around, MEAN, 7
        beside = {"thing": Thing(path="a", inner=Thing(x=1)), "row": Row([1, 2]), "network": module(), "numbers": Numbers(a=1)}
        files = {
            "beside": {"g_ema": STATE, "latent_avg": MEAN, **beside},
            "own dictionary": Numbers(g_ema=Numbers(STATE), latent_avg=MEAN),
            "around": {"g_ema": around, "latent_avg": MEAN},
            "parallel": {"model": around, "latent_avg": MEAN, "thing": Thing()},
            "owner": owner,
            "in a thing": Thing(args=Thing(lr=0.1), generator=network, latent_avg=MEAN),
        }
        for name, contents in files.items():
            saved(tmp_path / f"{name}.pt", contents)
    for name in files:
        assert same(tmp_path / f"{name}.pt") == [], name


def test_weights_of_an_unknown_class_are_refused(tmp_path: Path) -> None:
    quantised = torch.quantize_per_tensor(STATE["conv1.conv.weight"], 0.1, 0, torch.qint8)
    path = saved(tmp_path / "x.pt", {"g_ema": {**STATE, "conv1.conv.weight": quantised}})
    with pytest.raises(SemanifoldError, match=r"conv1.conv.weight.*(torch|kept)"):
        load_generator(path)
