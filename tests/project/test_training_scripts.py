"""The script that makes the shipped generator: the same command goes on where it stopped, to the same weights."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from support.places import ROOT

SCRIPT = ROOT / "scripts" / "train_faces.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("train_faces", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["train_faces"] = module
    spec.loader.exec_module(module)
    return module


def test_a_training_of_the_generator_goes_on_bit_for_bit(script, tmp_path: Path) -> None:
    def trainer(name: str):
        return script.Trainer(script.Fit(batch=2, folder=tmp_path / name, low_precision=False))

    whole, broken = trainer("whole"), trainer("broken")
    for step in range(3):
        whole.update(1e-3)
        if step == 2:
            broken.save()
            broken = trainer("broken")
            assert broken.step == 2
        broken.update(1e-3)
    for name, part in whole.parts.items():
        if isinstance(part, torch.nn.Module):
            kept = broken.parts[name].state_dict()
            assert all(torch.equal(value, kept[key]) for key, value in part.state_dict().items()), name
