"""Where the faces of a generator's pictures lie is found once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from semanifold import wrap
from semanifold.app.actions import placing
from semanifold.app.actions.placing import usual_of
from semanifold.generators.base import Generator
from semanifold.generators.loading import load_generator


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMANIFOLD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(placing, "LOOKED_AT", 2)


def kept_file() -> Path:
    (file,) = Path(os.environ["SEMANIFOLD_CACHE"], "faces").iterdir()
    return file


def test_where_faces_lie_is_found_once_and_again_if_the_file_is_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    found = usual_of(load_generator("faces"))
    assert found is not None
    whole = kept_file().read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(placing, "usual_face", lambda _: pytest.fail("looked for a second time"))
        again = usual_of(load_generator("faces"))
    assert again is not None
    assert torch.equal(again.points, found.points)
    assert torch.equal(again.weights, found.weights)
    assert again.size == found.size == (64, 64)
    kept_file().write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    third = usual_of(load_generator("faces"))
    assert third is not None
    assert torch.equal(third.points, found.points)
    assert kept_file().read_bytes() == whole


def grey() -> Generator:
    return wrap(lambda z: torch.zeros(len(z), 3, 64, 64), latent_shape=(4,))


def test_that_there_are_no_faces_is_known_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert usual_of(grey()) is None
    monkeypatch.setattr(placing, "usual_face", lambda _: pytest.fail("looked for a second time"))
    assert usual_of(grey()) is None


def test_a_folder_that_cannot_be_written_costs_time_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SEMANIFOLD_CACHE", str(tmp_path / "file"))
    assert usual_of(grey()) is None
