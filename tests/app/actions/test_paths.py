"""The map of what paths change, as people read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from semanifold.analysis.attributes.base import Attribute
from semanifold.analysis.ranking.measures import Measures, WalkRecord
from semanifold.app.actions import paths


def drawn(monkeypatch: pytest.MonkeyPatch, names: list[str], ends: np.ndarray) -> tuple[Any, ...]:
    """Return what is drawn of attributes of some names whose readings at both ends are ``[codes, paths, 2, attributes]``."""
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(paths, "change_map", lambda *words: calls.append(words))
    codes, count = ends.shape[:2]
    measures = Measures(
        ends,
        tuple(Attribute(name) for name in names),
        tuple(map(str, range(codes))),
        tuple(range(count)),
        tuple(f"path {k}" for k in range(count)),
        np.array([-1.0, 1.0]),
        facts=WalkRecord(generator="toy", space="z", step=0.25, count=1),
    )
    paths.draw_changes(ends, measures, Path("changes.png"))
    return calls[0]


def test_a_map_of_changes_has_the_words_of_sheets(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = np.array([[[[0.5, 0.5, 0.0], [1.0, 0.2, 0.9]], [[0.5, 0.0, 0.5], [0.5, 0.9, 0.5]]]] * 2)
    moved, rows, columns, _, title = drawn(monkeypatch, ["yaw", "smile", "skin_tone"], ends)
    assert columns == ["the head turns right / turns left", "the smile grows / fades", "the skin darkens / grows paler"]
    assert rows == ("path 0", "path 1")
    assert title.endswith("(+ the first verb, - the second); mean over 2 faces")
    expected = [[0.5, -0.3, 0.9], [0, 0.9, 0]]
    assert moved == pytest.approx(np.array(expected))


def test_a_map_of_other_attributes_has_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    moved, _, columns, _, title = drawn(monkeypatch, ["yaw", "eyes_shut"], np.array([[[[0.5, 0.5], [1.0, 0.2]]]]))
    assert columns == ["yaw", "eyes shut"]
    assert title == "what each path changes, from one end to the other"
    assert moved == pytest.approx(np.array([[0.5, -0.3]]))
