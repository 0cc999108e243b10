"""The checkpoint of a search that keeps what it has done."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from semanifold.core.errors import SemanifoldError
from semanifold.storage import keeping
from semanifold.storage.keeping import Keeper, KeptHeader

FORM = "semanifold-test-1"


def test_it_is_written_not_too_often_and_read_by_the_same_search_alone(tmp_path: Path) -> None:
    path, made = tmp_path / "kept.safetensors", []

    def state() -> tuple[dict[str, torch.Tensor], dict[str, int]]:
        made.append(1)
        return {"x": torch.arange(3.0)}, {}

    Keeper(path, FORM, "a", 1e9).keep(state)
    Keeper(None, FORM, "a", 0.0).keep(state)
    assert not made
    assert Keeper(path, FORM, "a", 0.0).read(KeptHeader, lambda *_: True) is None, "there is none"
    assert Keeper(None, FORM, "a", 0.0).read(KeptHeader, lambda *_: True) is None
    keeper = Keeper(path, FORM, "a", 0.0, saved=0.0)
    keeper.keep(state)
    assert keeper.saved > 0
    saved = keeper.read(KeptHeader, lambda header, tensors: header.key == "a" and len(tensors["x"]) == 3)
    assert saved is not None
    assert torch.equal(saved[1]["x"], torch.arange(3.0))
    for key, fits in (("b", True), ("a", False)):
        with pytest.raises(SemanifoldError, match=r"kept\.safetensors is damaged, or of another search; remove the checkpoint"):
            Keeper(path, FORM, key, 0.0).read(KeptHeader, lambda *_, fits=fits: fits)


def test_a_folder_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(SemanifoldError, match="cannot be written"):
        Keeper(tmp_path / "none" / "kept.safetensors", FORM, "a", 0.0).keep(lambda: ({"x": torch.ones(1)}, {}))


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keeping, "write_tensors", full)
    with pytest.raises(SemanifoldError, match=r"The disk is full: .*kept\.safetensors could not be written; make room"):
        Keeper(tmp_path / "kept.safetensors", FORM, "a", 0.0).keep(lambda: ({"x": torch.ones(1)}, {}))


def test_it_is_written_every_so_many_seconds_and_less_often_where_that_takes_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the beginning of each writing and, where it was due, its end
    now = iter([110.0, 131.0, 131.5, 150.0, 162.0, 165.0, 254.0, 255.0, 255.0])
    monkeypatch.setattr(keeping.time, "monotonic", lambda: next(now))
    file, written = tmp_path / "state", []
    keeper = Keeper(file, FORM, "key", 30.0, saved=100.0)
    for _ in range(6):
        keeper.keep(lambda: ({"x": torch.ones(1)}, {}))
        written.append(file.exists())
        file.unlink(missing_ok=True)
    assert written == [False, True, False, True, False, True], (
        "the second took three seconds: it is three times as long to the next"
    )
