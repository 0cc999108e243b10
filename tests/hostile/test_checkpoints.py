"""Checkpoints of strangers: the right key, and contents that no search or training writes."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from semanifold.app import cli
from semanifold.core.errors import SemanifoldError
from semanifold.core.minimise import Descent, Evaluation
from semanifold.manifolds import checkpoints
from semanifold.storage.tensors import read_tensors
from semanifold.training import checkpoints as training_checkpoints
from semanifold.training.checkpoints import check_tensors

NAN = math.nan
X = torch.ones(3, 2, 4)


def state(**changes: object) -> checkpoints.SearchState:
    terms = {"inside": 0.1, "outside": 0.1, "spring": 0.1, "objective": 0.3}
    metric = checkpoints.Metric(torch.ones(2, 8), torch.ones(2), torch.ones(1, 8))
    descent = Descent(X, Evaluation(0.3, X, terms), (X,), (X,), False)
    made = checkpoints.SearchState(0, 3, 5, 9, 0.1, 0.2, 400.0, descent, (0.5, 0.3), X, 0.3, metric, 0)
    return replace(made, **changes)


def check(made: checkpoints.SearchState, place: Path) -> None:
    checkpoints.save_state(made, str(place), "key")
    read = checkpoints.load_state(str(place), "key", torch.device("cpu"))
    assert read is not None
    checkpoints.check_state(read, str(place), [tuple(X.shape)] * 2, X)


def told(**terms: float) -> Descent:
    return Descent(X, Evaluation(0.3, X, {"inside": 0.1, "outside": 0.1, **terms}), (X,), (X,), False)


def test_a_state_of_a_search_is_taken_up(tmp_path: Path) -> None:
    check(state(), tmp_path / "a")
    check(state(metric=None), tmp_path / "b")
    check(state(outside=0.0), tmp_path / "c")  # where the outside does not count


@pytest.mark.parametrize(
    "changes",
    [
        {"stage": 7},
        {"offset": 1e-300},
        {"offset": NAN},
        {"sigma": 1e-300},
        {"sigma": 1e300},
        {"outside": NAN},
        {"outside": -1.0},
        {"shrunk": 1 << 52},
        {"recent": ()},
        {"best": X * NAN},
        {"descent": told()},
        {"descent": told(spring=0.1, objective=0.3, step=NAN)},
        {"descent": told(spring=0.1, objective=0.3, edit=1.0, steps=0.0)},
        {"metric": checkpoints.Metric(torch.ones(2, 8) * NAN, torch.ones(2), torch.ones(1, 8))},
        {"metric": checkpoints.Metric(torch.ones(0, 8), torch.ones(0), torch.ones(1, 8))},
        {"metric": checkpoints.Metric(torch.ones(2, 8).double(), torch.ones(2).double(), torch.ones(1, 8).double())},
    ],
)
def test_forged_states_of_a_search_are_refused(changes: dict, tmp_path: Path) -> None:
    with pytest.raises(SemanifoldError, match="delete it to begin anew"):
        check(state(**changes), tmp_path / "a")


MUST = {"sums": torch.ones(6), "history": torch.ones(1, 6).double(), "paths.a": torch.ones(3), "reconstructor.b": torch.ones(2)}
MAY = {f"optimiser.paths.0.{name}": torch.ones(()) for name in ("exp_avg", "exp_avg_sq", "step")}
FORGERIES: dict[str, Callable[[dict[str, Tensor]], dict[str, Tensor]]] = {
    "history": lambda held: held | {"history": held["history"] * NAN},
    "history of other columns": lambda held: held | {"history": held["history"][:, :2]},
    "history before the first iteration": lambda held: held | {"history": -held["history"]},
    "sums": lambda held: held | {"sums": -held["sums"]},
    "sums of nothing": lambda held: held | {"sums": held["sums"] * NAN},
    "paths.evil": lambda held: held | {"paths.evil": torch.ones(3)},
    "reconstructor.evil": lambda held: held | {"reconstructor.evil": torch.ones(3)},
    "optimiser.paths.9.step": lambda held: held | {"optimiser.paths.9.step": torch.ones(())},
    "optimiser.paths.0.step": lambda held: {key: value for key, value in held.items() if not key.endswith("step")},
    "optimiser.paths.0.exp_avg_sq": lambda held: {key: value for key, value in held.items() if not key.endswith("sq")},
    "paths.a": lambda held: held | {"paths.a": torch.ones(3).double()},
    "reconstructor.b": lambda held: {key: value for key, value in held.items() if "reconstructor" not in key},
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forged_tensors_of_a_training_are_refused(name: str, tmp_path: Path) -> None:
    check_tensors(MUST | MAY, MUST, MAY, tmp_path)
    check_tensors(MUST | {"history": torch.ones(4, 6).double()}, MUST, MAY, tmp_path)
    with pytest.raises(SemanifoldError, match=f"its tensor {name.partition(' ')[0]} is"):
        check_tensors(FORGERIES[name](MUST | MAY), MUST, MAY, tmp_path)


TRAIN = (
    *("train", "--iterations", "3", "--generator", "analytic", "--k", "2", "--batch", "2"),
    *("--reconstructor", "lenet", "--test-draws", "2", "--log-every", "1", "--kind", "ortho"),
)  # fmt: skip


def test_a_training_beyond_its_end_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*TRAIN, "--out", str(tmp_path / "run")]) == 0
    models = tmp_path / "run" / "models"
    held = training_checkpoints.load_checkpoint(models)
    assert held is not None
    key = read_tensors(models / training_checkpoints.NEWEST).header["key"]
    training_checkpoints.save_checkpoint(models, replace(held, iteration=10**15), key)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps(record | {"status": "interrupted"}))
    capsys.readouterr()
    assert cli.main([*TRAIN, "--out", str(tmp_path / "run")]) == 2
    assert "beyond the last one" in capsys.readouterr().err


SEARCH = (
    *("discover", "--mask", "box:0.3,0.6,0.7,0.9", "--generator", "analytic", "--space", "z", "--method", "paper"),
    *("--objective", "paper", "--offset", "0.05", "--sigma", "1", "--iterations", "1", "--frames", "3", "--seconds", "0.1"),
)  # fmt: skip


def test_forged_statistics_of_a_search_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, folder = tmp_path / "good", tmp_path / "run"
    assert cli.main([*SEARCH, "--out", str(good)]) == 0
    record = json.loads((good / "run.json").read_text())
    for changes in ({"result": "evil"}, {"result": "DIVERGED"}, {"offset": NAN}, {"steps": "x"}, {"seconds": None}):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(good, folder)
        forged = record | {"status": "interrupted", "searches": [record["searches"][0] | changes]}
        (folder / "run.json").write_text(json.dumps(forged))
        capsys.readouterr()
        assert cli.main([*SEARCH, "--out", str(folder)]) == 2
        assert "is damaged" in capsys.readouterr().err
