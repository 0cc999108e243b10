"""``semanifold directions`` as a person uses it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from semanifold.app import cli
from semanifold.generators.loading import load_generator
from semanifold.paths.files import load_paths

TOY = """
import torch
from semanifold.generators.wrapped import wrap

def blob(z):
    y, x = torch.meshgrid(torch.linspace(-1, 1, 32).to(z), torch.linspace(-1, 1, 32).to(z), indexing="ij")
    a = [torch.tanh(column)[:, None, None] for column in z.T]
    upper = torch.exp(-((x - 0.6 * a[0]) ** 2 + (y + 0.5) ** 2) / 0.05)
    lower = torch.exp(-((x - 0.6 * a[1]) ** 2 + (y - 0.5) ** 2) / 0.05)
    return (upper + lower + 0.3 * a[2] * (x > 0.8))[:, None] - 1

toy = wrap(blob, (3,), name="toy")
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("toy.py").write_text(TOY)


def directions(*words: str) -> int:
    return cli.main(["directions", *words, "--generator", "toy.py:toy", "--device", "cpu"])


@pytest.mark.parametrize(
    ("words", "method"),
    [
        (["joint", "--k", "3"], "joint diagonalisation"),
        (["pca", "--k", "3"], "principal components"),
        (["local", "--mask", "box:0,0.5,1,1", "--k", "2"], "local directions"),
    ],
)
def test_a_set_is_written_shown_and_can_be_walked(words: list[str], method: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert directions(*words, "--out", "d") == 0
    assert f"by {method}" in capsys.readouterr().out
    paths = load_paths("d")
    assert (len(paths), paths.info.method) == (int(words[-1]), method)
    with Image.open("d/paths.png") as sheet:
        assert sheet.width > 7 * 90
        assert sheet.height > len(paths) * 90
    assert cli.main(["rerun", "d", "--generator", "toy.py:toy", "--out", "again"]) == 0
    assert torch.equal(load_paths("again")[0].knots[0], paths[0].knots[0])
    walk = ["d", "--seeds", "1", "--steps", "2", "--out", "t", "--generator", "toy.py:toy", "--device", "cpu"]
    assert cli.main(["traverse", *walk]) == 0
    assert directions(*words, "--out", "d") == 0
    assert "finished already" in capsys.readouterr().out


def test_local_directions_move_what_lies_in_the_mask() -> None:
    assert directions("local", "--mask", "box:0,0.5,0.75,1", "--k", "1", "--out", "d") == 0
    toy = load_generator("toy.py:toy", device="cpu")
    seed = toy.sample([0])
    change = (load_paths("d")[0].images(toy, seed, 0.2) - toy.images(seed)).square()
    assert change[..., :16, :].mean() < 0.01 * change[..., 16:, :].mean()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["local"], "need a --mask"),
        (["joint", "--mask", "box:0,0,1,0.5"], "leave --mask out"),
        (["joint", "--k", "4"], "1 to 3 such directions, not 4"),
        (["joint", "--k", "0"], "1 to 3 such directions, not 0"),
        (["sefa", "--k", "2"], "has no layers"),
        (["pca", "--space", "w"], "space"),
        (["joint", "--layers", "0-1"], "w+"),
        (["local", "--mask", "mouth"], "no face is found in the picture of toy"),
        (["jiont"], "'jiont'"),
        ([], "directions needs joint|pca|sefa|local"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert directions(*words) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert says in said[-1]
    assert not list(Path().glob("out/*/*"))
