"""What ``invert``, ``edit`` and ``encoder`` say of no gradients, of NaN and of a full disk, and what they leave."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.docs_world import usually

from semanifold.app import cli
from semanifold.app.commands.discover import Search
from semanifold.app.commands.invert import InversionOptions
from semanifold.core.errors import SemanifoldError
from semanifold.storage.run_records import read_record

OWN = '''
import torch
from torch import nn
from semanifold import wrap


class Waves(nn.Module):
    """z [4] -> 3 x 16 x 16, and what is wrong with it."""

    def __init__(self, wrong=""):
        super().__init__()
        self.wrong, self.dense = wrong, nn.Linear(4, 3 * 16 * 16)
        draw = torch.Generator().manual_seed(0)
        self.dense.weight.data = 0.4 * torch.randn(3 * 16 * 16, 4, generator=draw)
        self.dense.bias.data.zero_()

    def forward(self, z):
        picture = torch.tanh(self.dense(z)).reshape(-1, 3, 16, 16)
        if self.wrong == "gradient":
            return picture + 0 * (picture - picture).sqrt()
        return picture.detach() if self.wrong == "detached" else picture


def waves():
    return wrap(Waves(), 4, name="waves")


def detached():
    return wrap(Waves("detached"), 4, name="detached")


def gradient():
    return wrap(Waves("gradient"), 4, name="gradient")
'''
COMMANDS = {
    "invert": ("invert", "a.png", "--starts", "2", "--iterations", "3", "--no-consistency"),
    "edit": ("edit", "a.png", "--mask", "box:0.2,0.2,0.7,0.7", "--seconds", "0.1", "--face", "0"),
    "encoder": ("encoder", "--iterations", "4", "--batch", "2"),
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A photograph that shows no face, and generators of one's own."""
    monkeypatch.chdir(tmp_path)
    usually(monkeypatch, InversionOptions.__init__, starts=2, tries=1, steps=4)
    usually(monkeypatch, Search.__init__, frames=5, steps=2)
    Path("own.py").write_text(OWN)
    Image.fromarray(np.random.default_rng(0).integers(60, 200, (20, 24, 3), dtype=np.uint8)).save("a.png")


def refused(command: str, generator: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that fails, and return its one sentence."""
    capsys.readouterr()
    assert cli.main([*COMMANDS[command], "--generator", f"own.py:{generator}", "--device", "cpu"]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("semanifold: ")]
    assert len(said) == 1
    assert not list(Path().rglob("*.part")), "nothing is half-written"
    return said[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_generator_without_gradients(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "The pictures of detached cannot be differentiated" in refused(command, "detached", capsys)
    assert not Path("out").exists()


def test_codes_alone_need_no_gradients(capsys: pytest.CaptureFixture[str]) -> None:
    assert refused("encoder", "detached", capsys).endswith("or let codes alone count (--pictures 0).")
    assert cli.main([*COMMANDS["encoder"], "--generator", "own.py:detached", "--pictures", "0", "--device", "cpu"]) == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_a_gradient_of_nan_is_no_end(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The objective itself stays finite, so that it would pass for one that stopped falling."""
    assert "The objective or its gradient became infinite or NaN" in refused(command, "gradient", capsys)
    assert not Path("out").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk(command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first file of tensors on, which is in the middle of the work; the same command then goes on."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("safetensors.torch.save_file", full)
        assert "The disk is full" in refused(command, "waves", capsys)
    assert not Path("out").exists()
    if command == "edit":  # it begins with an inversion; the rest is as in other runs
        return
    with monkeypatch.context() as patch:
        patch.setattr("semanifold.images.media.save_png", full)
        assert "The disk is full" in refused(command, "waves", capsys)
    words = [*COMMANDS[command], "--generator", "own.py:waves", "--device", "cpu"]
    assert cli.main(words) == 0
    (folder,) = Path("out").iterdir()
    assert read_record(folder).status == "finished"


def test_a_photograph_without_a_face_is_edited_in_its_middle(capsys: pytest.CaptureFixture[str]) -> None:
    """Also where nobody said ``--face 0``: the generator shows no faces."""
    assert cli.main([*COMMANDS["edit"][:-2], "--generator", "own.py:waves", "--device", "cpu"]) == 0
    assert "cut to 20 x 20 in its middle" in capsys.readouterr().err
    before, after = (
        np.asarray(Image.open(file)).astype(int) for file in ("a.png", "out/edit-waves-a-box-0.2-0.2-0.7-0.7/edited.png")
    )
    assert (before != after).any()
    assert np.array_equal(before[:, :4], after[:, :4])


def test_what_was_typed_before_is_forgotten() -> None:
    """Commands of one process, as of a server; what was refused too."""
    for _ in range(2):
        with pytest.raises(SemanifoldError, match="--frames"):
            cli.parse(["discover", "--mask", "eyes", "--seed", "3", "--frames", "x"])
        assert vars(cli.parse(["discover", "--mask", "mouth"]))["start"].seed != 3
        asked = cli.parse(["discover", "--mask", "nose", "--seed", "3", "--frames", "4"])
        assert asked == cli.parse(["discover", "--mask", "nose", "--seed", "3", "--frames", "4"])
        assert asked != cli.parse(["discover", "--mask", "nose"])
