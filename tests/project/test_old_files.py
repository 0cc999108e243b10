"""Files that version 0.1.0 wrote open and give what they gave then; ``expected.json`` holds its own numbers."""

from __future__ import annotations

import json

import pytest
import torch
from support.places import TESTS

from semanifold.app.inspecting import inspect
from semanifold.core.latents import Latents
from semanifold.edits import load_edit
from semanifold.generators.pools import read_pool
from semanifold.generators.wrapped import wrap
from semanifold.paths.files import load_paths

OLD = TESTS / "data" / "v0_1_0"
EXPECTED = json.loads((OLD / "expected.json").read_text())


def seed_of(name: str) -> Latents:
    seed = getattr(load_edit(OLD / f"{name}.safetensors"), "start", None)
    assert seed is not None
    return seed


def same(name: str, values: torch.Tensor) -> None:
    assert torch.allclose(values.detach().flatten(), torch.tensor(EXPECTED[name]), atol=2e-5), name


def test_edits() -> None:
    edit = load_edit(OLD / "lattice.safetensors")
    same("lattice", edit.latents(seed_of("lattice"), 0.75).values)
    assert (edit.info.name, edit.info.layers, edit.info.usable) == ("mouth", (1, 3), (-0.5, 1.0))
    assert (edit.info.mask, edit.info.locality["roir"], edit.info.cite) == ("mouth | box:0.1,0.2,0.3,0.4", 0.25, ("Yang 2020",))
    pad, z = load_edit(OLD / "pad.safetensors"), seed_of("pad")
    assert z.labels is not None
    assert z.labels.tolist() == [[0.0, 1.0]]
    same("pad", pad.latents(z, torch.tensor([[0.25, -0.5]])).values)
    same("flow", load_edit(OLD / "flow.safetensors").latents(z, -0.7).values)


@pytest.mark.parametrize("form", ["linear", "ortho", "fc"])
def test_linear_paths(form: str) -> None:
    paths = load_paths(OLD / f"{form}.safetensors")
    assert (paths.info.names, paths.info.layers, paths.info.cite) == ({0: "smile +", 2: "yaw -"}, (1, 3), ("Voynov 2020",))
    same(form, paths[2].latents(seed_of("lattice"), 0.6).values)


def test_warped_paths_and_a_pool() -> None:
    same("warped", load_paths(OLD / "warped.safetensors")[1].latents(seed_of("pad"), 0.6).values)
    generator = wrap(lambda z: z.reshape(-1, 3, 1, 1).expand(-1, 3, 4, 4), (3,), name="any")
    pool = read_pool(OLD / "pool.safetensors", generator)
    assert (pool.seeds, pool.generator, len(pool.codes)) == ((3, 7), "faces", 2)


def test_inspect_knows_them_all() -> None:
    holds = {path.stem: inspect(path).holds for path in OLD.glob("*.safetensors")}
    assert len(holds) == 8
    assert "edit of semanifold, 'mouth'" in holds["lattice"]
    assert "3 warped paths in z" in holds["warped"]
    assert "semanifold pool" in holds["pool"]
