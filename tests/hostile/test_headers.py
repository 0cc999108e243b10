"""Edits, sets of paths and pools with damaged or hostile headers or tensors: one sentence each, and nothing large."""

from __future__ import annotations

import json
import resource
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from semanifold.app.inspecting import inspect
from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.edits import EditInfo, Flow, Lattice, load_edit, save_edit
from semanifold.generators.pools import Pool, read_pool, save_pool
from semanifold.generators.wrapped import wrap
from semanifold.paths.base import PathSetInfo
from semanifold.paths.files import load_paths, save_paths
from semanifold.paths.linear import LinearPaths
from semanifold.paths.warped import WarpedPaths

GENERATOR = wrap(lambda z: z.reshape(-1, 4, 1, 1)[:, :3].expand(-1, 3, 4, 4), (4,), name="toy")
KNOTS = [torch.tensor([0.0, 1.0])]


def make(kind: str, path: Path) -> Callable[[Path], object]:
    """Write a good file of a kind, and return its reader."""
    if kind == "lattice":
        seed = Latents(torch.ones(1, 4), "z", torch.ones(1, 2))
        save_edit(Lattice(torch.zeros(2, 4), KNOTS, EditInfo(space="z"), start=seed), path)
        return load_edit
    if kind == "flow":
        save_edit(Flow(torch.ones(2, 4), torch.ones(2), torch.tensor(1.0), 0.2, 3, EditInfo(space="z")), path)
        return load_edit
    if kind == "linear":
        save_paths(LinearPaths.from_vectors(torch.eye(4)[:3], PathSetInfo(names={0: "smile"})), path)
    elif kind == "id":
        save_paths(LinearPaths("id", 3, (4,), PathSetInfo()), path)
    elif kind == "warped":
        save_paths(WarpedPaths.create(3, 2, (4,), PathSetInfo()), path)
    else:
        save_pool(Pool(Latents(torch.ones(2, 4), "z"), "toy", "0123", (1, 2)), path)
        return lambda place: read_pool(place, GENERATOR)
    return load_paths


def parts_of(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["semanifold"]), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


def check(path: Path, read: Callable[[Path], object]) -> str:
    """Check that a file is refused in one sentence, quickly and in little memory; return the sentence."""
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(SemanifoldError) as raised:
        read(path)
    report = str(inspect(path))
    assert time.process_time() - start < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000
    sentence = str(raised.value)
    assert sentence.isprintable(), sentence
    assert len(sentence) < 600
    assert report.replace("\n", "").isprintable()
    return sentence


KINDS = ["lattice", "flow", "linear", "warped", "pool"]
FIELDS = {
    "lattice": ["name", "method", "space", "layers", "generator", "fingerprint", "mask", "usable", "locality", "cite", "kind"],
    "flow": ["kind", "usable", "cite"],
    "linear": ["kind", "info", "options"]
    + [f"info.{key}" for key in ("method", "space", "layers", "fingerprint", "step", "count", "names", "cite")]
    + [f"options.{key}" for key in ("form", "count", "shape", "bias", "inner", "outputs", "shared")],
    "warped": [f"options.{key}" for key in ("count", "vectors", "shape", "learn_alphas", "shared", "unit")],
    "pool": ["format", "space", "generator", "fingerprint", "seeds", "hash"],
}
VALUES: list[Any] = [[], {}, True, 10**400, float("nan"), float("inf"), -1, [[[]]], {"a": {"b": []}}, [1, "x", None], 10**15]

HARMLESS = {("cite", "[]"), ("names", "{}"), ("locality", "{}"), ("seeds", "[]"), ("step", str(10**15)), ("unit", str(10**15))}
HARMLESS |= {("info", "{}")} | {(name, "true") for name in ("bias", "shared", "learn_alphas")}


@pytest.mark.parametrize("kind", FIELDS)
def test_every_field_of_every_header_is_checked(tmp_path: Path, kind: str) -> None:
    read = make(kind, tmp_path / "good.safetensors")
    header, tensors = parts_of(tmp_path / "good.safetensors")
    tried = 0
    for name in FIELDS[kind]:
        *outer, last = name.split(".")
        for value in VALUES:
            changed = json.loads(json.dumps(header))
            inner = changed
            for part in outer:
                inner = inner[part]
            inner[last] = value
            bad = tmp_path / "bad.safetensors"
            save_file(tensors, bad, metadata={"semanifold": json.dumps(changed)})
            try:
                read(bad)
            except SemanifoldError:
                check(bad, read)
                tried += 1
            else:
                assert (last, json.dumps(value)) in HARMLESS, (name, value)
    assert tried > 8 * len(FIELDS[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_headers_that_are_no_headers(tmp_path: Path, kind: str) -> None:
    read = make(kind, tmp_path / "good.safetensors")
    data = (tmp_path / "good.safetensors").read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    outer = json.loads(data[8 : 8 + size])
    deep = "[" * 100_000 + "]" * 100_000
    texts = [json.dumps(outer | {"__metadata__": value}) for value in ([], 3, {"semanifold": 3}, "x")]
    texts += [json.dumps(outer | {"__metadata__": {"semanifold": value}}) for value in ("[]", "null", "{", "3", deep, "9" * 5000)]
    texts += ["[]", "{}", "null", deep, json.dumps(outer | {"x": deep}), json.dumps(outer)[:-1]]
    bad = tmp_path / "bad.safetensors"
    for text in texts:
        bad.write_bytes(struct.pack("<Q", len(text)) + text.encode() + data[8 + size :])
        check(bad, read)
    for cut in (0, 4, 8, 9, size, len(data) - 1):
        bad.write_bytes(data[:cut])
        check(bad, read)
    bad.write_bytes(struct.pack("<Q", 1 << 62) + data[8:])
    check(bad, read)


@pytest.mark.parametrize("kind", KINDS)
def test_tensors_that_make_no_sense(tmp_path: Path, kind: str) -> None:
    read = make(kind, tmp_path / "good.safetensors")
    header, tensors = parts_of(tmp_path / "good.safetensors")
    bad = tmp_path / "bad.safetensors"
    others = [torch.zeros(0), torch.ones(3, 5, 7), torch.ones(2, 4, dtype=torch.int64), torch.full((2, 4), torch.nan)]
    others += [torch.ones(2, 4, dtype=torch.complex64), torch.tensor(True), torch.ones(1, 1, 1, 1)]
    for name in tensors:
        for value in others:
            save_file(tensors | {name: value}, bad, metadata={"semanifold": json.dumps(header)})
            if not (kind == "flow" and name in ("gamma", "step", "count")):
                check(bad, read)
        if name not in ("seed", "labels"):
            save_file({k: v for k, v in tensors.items() if k != name}, bad, metadata={"semanifold": json.dumps(header)})
            check(bad, read)


def test_counts_that_take_gigabytes_are_refused(tmp_path: Path) -> None:
    bad = tmp_path / "bad.safetensors"
    for kind, changes in {
        "linear": {"info.count": 10**7},
        "warped": {"info.count": 10_001},
        "id": {"options.shape": [10_000_000]},
    }.items():
        read = make(kind, bad)
        header, tensors = parts_of(bad)
        for name, value in changes.items():
            outer, last = name.split(".")
            header[outer][last] = value
        save_file(tensors, bad, metadata={"semanifold": json.dumps(header)})
        check(bad, read)
    read = make("flow", bad)
    header, tensors = parts_of(bad)
    save_file(tensors | {"count": torch.tensor(10**9)}, bad, metadata={"semanifold": json.dumps(header)})
    assert "for ever" in check(bad, read)


def test_impossible_shapes_in_safetensors(tmp_path: Path) -> None:
    shape = [2**47, 2**47, 0]
    header = json.dumps({"w": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}).encode()
    (tmp_path / "bad.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    for read in (load_edit, load_paths, lambda path: read_pool(path, GENERATOR)):
        check(tmp_path / "bad.safetensors", read)


def test_texts_of_strangers_are_made_printable(tmp_path: Path) -> None:
    path = tmp_path / "edit.safetensors"
    info = EditInfo(name="a\x1b[2J" + "b" * 500, space="z", generator="\u202eg", cite=("\x07" * 9,), mask="mouth")
    save_edit(Lattice(torch.zeros(2, 4), KNOTS, info), path)
    found = load_edit(path).info
    assert "".join((found.name, found.generator, *found.cite)).isprintable()
    assert len(found.name) <= 200
    save_paths(LinearPaths.from_vectors(torch.eye(4)[:3], PathSetInfo(names={0: "x\x1b" * 200}, space="\r")), path)
    read = load_paths(path).info
    assert (read.names[0] + read.space).isprintable()
    assert "\x1b" not in str(inspect(path))


def test_no_message_says_unknown() -> None:
    code = Latents(torch.ones(1, 7), "z")
    edits = [Lattice(torch.zeros(2, 4), KNOTS, EditInfo(space="z"))]
    edits.append(Flow(torch.ones(2, 4), torch.ones(2), torch.tensor(1.0), 0.2, 3, EditInfo(space="z")))  # type: ignore[arg-type]
    for edit in edits:
        with pytest.raises(SemanifoldError, match="another generator"):
            edit.latents(code, 0.5)
    paths = LinearPaths.from_vectors(torch.eye(4), PathSetInfo(space="w"))
    with pytest.raises(SemanifoldError, match="another generator"):
        paths.check_generator(GENERATOR)
    with pytest.raises(SemanifoldError, match="another generator"):
        Pool(Latents(torch.ones(1, 4), "z"), "unknown", "0123").codes_for(GENERATOR, "z")
