"""The named paths that ship with the bundled faces: they load by name and do what they are called after."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from semanifold.analysis.attributes.faces import FacesAttributes
from semanifold.core.latents import Latents
from semanifold.generators.loading import load_generator
from semanifold.paths.base import PathSet, PathSetInfo
from semanifold.paths.files import NAMED_PATHS, load_paths, save_paths
from semanifold.paths.linear import LinearPaths
from semanifold.worlds.faces import factor_index, factor_names


@pytest.fixture(scope="module")
def paths() -> PathSet:
    return load_paths("faces")


def test_there_is_one_path_for_every_factor_in_a_small_file(paths: PathSet) -> None:
    assert [paths.name_of(k) for k in range(len(paths))] == list(factor_names())
    assert os.path.getsize(NAMED_PATHS["faces"]) < 1e6
    assert [edit.info.name for edit in paths] == list(factor_names())
    generator = load_generator("faces")
    assert (paths.info.generator, paths.info.fingerprint) == ("faces", generator.fingerprint)


def test_more_of_a_path_is_more_of_its_factor_and_of_little_else(paths: PathSet) -> None:
    generator, reader = load_generator("faces"), FacesAttributes()
    both, ways = generator.sample([7, 8, 7, 8], "w"), torch.tensor([-1.0, -1.0, 1.0, 1.0])
    for name in factor_names():
        edit = paths[name]
        with torch.no_grad():
            ends = reader.read(edit.images(generator, both, ways), both.values)
        change = (ends[2:] - ends[:2]).mean(0)
        own = factor_index(name)
        assert change[own] > 0.5, name
        assert change.abs().argmax() == own, name


def test_the_bundled_name_wins_over_a_file_and_a_longer_path_reaches_the_file(
    paths: PathSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = LinearPaths.from_vectors(torch.eye(3), PathSetInfo(space="z"))
    save_paths(own, tmp_path / "faces")
    monkeypatch.chdir(tmp_path)
    assert len(load_paths("faces")) == len(load_paths(Path("faces"))) == len(paths)
    assert len(load_paths("./faces")) == len(load_paths(tmp_path / "faces")) == 3


def test_the_smile_moves_any_code_of_w(paths: PathSet) -> None:
    code = Latents(torch.zeros(1, 128), "w")
    assert torch.equal(paths["smile"].latents(code, 0.0).values, code.values)
    assert paths["smile"].latents(code, 1.0).values.norm() > 0
