"""Sets of paths as files: nothing is lost, and a bad file is refused in a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.edits import load_edit, save_edit
from semanifold.paths.base import PathSet, PathSetInfo
from semanifold.paths.files import PATHS, load_paths, save_paths
from semanifold.paths.foreign import save_support_sets
from semanifold.paths.kinds import Form
from semanifold.paths.linear import LinearPaths
from semanifold.paths.warped import WarpedPaths

INFO = PathSetInfo(
    method="warped paths",
    space="w+",
    layers=(2, 5),
    generator="faces",
    fingerprint="0123",
    step=0.3,
    count=7,
    names={2: "smile +", 0: "yaw"},
    cite=("a", "b"),
)


def sets() -> list[PathSet]:
    shape, info = (3, 4), INFO
    linear = [LinearPaths(form, 3, shape, info, inner=6, random_init=True).eval() for form in get_args(Form)]
    given = LinearPaths.from_vectors(torch.eye(4)[:3], info, scale=torch.tensor([1.0, 0.5, 0.25]), layers=3)
    warped = [
        WarpedPaths.create(3, 2, shape, info, init="spread", learn_alphas=True),
        WarpedPaths.create(3, 2, shape, info, learn_gammas=False, shared=True),
    ]
    return [*linear, given, *warped]


def test_the_folder_of_a_training_is_read_with_all_that_it_knows(tmp_path: Path) -> None:
    warped = WarpedPaths.create(3, 2, (4,), PathSetInfo(generator="faces", fingerprint="0123", step=0.3, names={1: "smile +"}))
    (tmp_path / "models").mkdir()
    save_support_sets(warped, tmp_path / "models" / "support_sets.pt")  # which knows none of it
    save_paths(warped, tmp_path / PATHS)
    assert load_paths(tmp_path).info == warped.info
    (tmp_path / PATHS).unlink()
    assert load_paths(tmp_path, "z").info.names == {}


def test_the_header_is_readable_json(tmp_path: Path) -> None:
    save_paths(sets()[-1], tmp_path / "paths.safetensors")
    with safe_open(tmp_path / "paths.safetensors", "pt") as file:
        header = json.loads(file.metadata()["semanifold"])
    assert (header["format"], header["kind"]) == ("semanifold-paths-1", "warped")
    assert header["info"]["names"] == {"2": "smile +", "0": "yaw"}
    assert not list(tmp_path.glob("*.part"))


def test_names_can_be_changed_and_stored(tmp_path: Path) -> None:
    paths = sets()[0].with_info(names={1: "bangs -"})
    save_paths(paths, tmp_path / "paths.safetensors")
    found = load_paths(tmp_path / "paths.safetensors")
    assert found.find("bangs") == 1
    assert found.info.names == {1: "bangs -"}


def test_a_renamed_set_shares_its_parameters() -> None:
    paths = sets()[-2]
    other = paths.with_info(names={0: "x"})
    with torch.no_grad():
        next(iter(paths.parameters())).add_(1)
    assert all(torch.equal(a, b) for a, b in zip(paths.parameters(), other.parameters(), strict=True))
    assert paths.info.names != other.info.names
    frozen = paths.requires_grad_(False).with_info(step=1.0)
    assert not any(p.requires_grad for p in frozen.parameters())


@pytest.mark.parametrize("number", [3, 6, 7, 8])
def test_every_path_can_be_saved_as_an_edit(number: int, tmp_path: Path) -> None:
    edit = sets()[number][2]
    save_edit(edit, tmp_path / "edit.safetensors")
    found = load_edit(tmp_path / "edit.safetensors")
    codes = Latents(torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0)), "w+")
    assert (found.info.name, found.info.layers) == ("smile +", (2, 5))
    assert torch.equal(found.latents(codes, -0.6).values, edit.latents(codes, -0.6).values)


def rewritten(path: Path, changes: dict[str, object] | None = None, drop: str = "", nan: str = "") -> None:
    """Save a good file with something wrong in it."""
    save_paths(sets()[-2], path)
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["semanifold"])
        tensors = {key: file.get_tensor(key) for key in file.keys() if key != drop}  # noqa: SIM118
    for key, value in (changes or {}).items():
        held = header
        *inner, last = key.split(".")
        for part in inner:
            held = held[part]
        held[last] = value
    if nan:
        tensors[nan].view(-1)[0] = float("nan")
    save_file(tensors, path, metadata={"semanifold": json.dumps(header)})


def test_damaged_and_foreign_files(tmp_path: Path) -> None:
    path = tmp_path / "paths.safetensors"
    cases: list[tuple[dict, str]] = [
        ({"changes": {"format": "semanifold-paths-9"}}, "'semanifold-paths-9', no set of paths that this version"),
        ({"changes": {"kind": "wavy"}}, "'wavy'"),
        ({"changes": {"options.count": 10**15}}, "damaged"),
        ({"changes": {"options.shape": "x"}}, "damaged"),
        ({"changes": {"options": None}}, "damaged"),
        ({"changes": {"info.names": {"x": "y"}}}, "damaged"),
        ({"changes": {"info.what": 1}}, "damaged.*what"),
        ({"changes": {"info.measured": {"reach": [1.0]}}}, "damaged: What was measured"),
        ({"drop": "support"}, "damaged"),
        ({"nan": "alphas"}, "NaN"),
    ]
    for how, words in cases:
        rewritten(path, **how)
        with pytest.raises(SemanifoldError, match=words) as raised:
            load_paths(path)
        assert "\n" not in str(raised.value)
    rewritten(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(SemanifoldError, match="damaged"):
        load_paths(path)
    rewritten(path)
    with pytest.raises(SemanifoldError, match="live in space w\\+, not in z"):
        load_paths(path, "z")
    with pytest.raises(SemanifoldError, match="leave layers= out"):
        load_paths(path, layers=(0, 1))
    with pytest.raises(SemanifoldError, match="is a file, a folder or the name of a generator"):
        load_paths(7)  # type: ignore[arg-type]
    with pytest.raises(SemanifoldError, match="no file"):
        load_paths(tmp_path / "none.safetensors")
    save_edit(sets()[-2][0], path)
    with pytest.raises(SemanifoldError, match="edit"):
        load_paths(path)
