"""Some of the hostile inputs of ``benchmarks/hostile_files.py``, of every kind, with one command each; the rest is run there."""

from __future__ import annotations

import json

import pytest
from support import forks
from support.places import ROOT

from semanifold.analysis.traversal import moments
from semanifold.app.actions.train_arguments import place_of
from semanifold.app.commands.train import Kind
from semanifold.core.errors import SemanifoldError
from semanifold.generators.loading import load_generator
from semanifold.manifolds.settings import ManifoldSettings
from semanifold.training.presets import PRESETS

SCRIPT = ROOT / "benchmarks" / "hostile_files.py"
MOST, KINDS = 30, 30


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """What the benchmark says of a few inputs; it forks, which a process that has run much else had better not."""
    out = tmp_path_factory.mktemp("hostile")
    program = f"import runpy; runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    forks.finish(forks.start(program, "--out", str(out), "--most", str(MOST), err=out / "said"), 600)
    assert (out / "hostile.json").exists(), (out / "said").read_text()
    return json.loads((out / "hostile.json").read_text())


def test_every_command_refuses_hostile_inputs_in_a_sentence(found: dict[str, dict]) -> None:
    failures = [failure for row in found.values() for failure in row["failures"]]
    assert failures == []
    assert sum(row["inputs"] for row in found.values()) >= MOST
    assert len(found) == KINDS


def test_what_is_asked_for_is_bounded_before_memory_is_taken() -> None:
    for ask in (
        lambda: ManifoldSettings(frames=10**9),
        lambda: ManifoldSettings(frames=1001, dims=2),
        lambda: moments(10**9),
        lambda: place_of(Kind(dipoles=10**9), load_generator("faces"), PRESETS["faces"]),
        lambda: place_of(Kind(k=10**9), load_generator("faces"), PRESETS["faces"]),
    ):
        with pytest.raises(SemanifoldError, match="at most"):
            ask()
