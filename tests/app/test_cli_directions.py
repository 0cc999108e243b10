"""``semanifold directions`` as a person uses it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from semanifold.app import cli
from semanifold.app.actions import directions as actions
from semanifold.app.actions.directions import FACES, OTHERS, draw, first_words, told_apart
from semanifold.app.answers import NOBODY
from semanifold.generators.loading import load_generator
from semanifold.generators.wrapped import wrap
from semanifold.images import media
from semanifold.paths.closed_form import local_paths, principal_paths
from semanifold.paths.files import load_paths
from semanifold.worlds.faces.changes import describe_change, describe_usual_change

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


def test_joint_axes_say_how_certain_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert directions("joint", "--k", "3", "--out", "d") == 0
    assert "Sure, as far as pictures decide: 3 of 3 axes (axes.json)." in capsys.readouterr().out
    told = json.loads(Path("d/axes.json").read_text())
    assert (told["sure"], told["planes"], told["dead"]) == ([0, 1, 2], [], [])
    assert len(told["contrast"]) == len(told["spread"]) == 3
    with Image.open("d/axes.png") as picture:
        assert picture.width > picture.height
    assert {"axes.json", "axes.png"} <= set(json.loads(Path("d/run.json").read_text())["files"])


def test_a_plane_is_said_with_a_pad_of_it_that_can_be_made(capsys: pytest.CaptureFixture[str]) -> None:
    Path("toy.py").write_text(
        TOY.replace("return (upper", "return (0 * upper")
        .replace("+ lower", "+ 0 * lower")
        .replace("0.3 * a[2] * (x > 0.8)", "0.3 * z[:, 0, None, None] * (x > 0.8) + 0.3 * z[:, 1, None, None] * (x < -0.8)")
    )
    assert directions("joint", "--k", "3", "--out", "d") == 0
    said = capsys.readouterr().out
    assert "Axes 0 and 1 cannot be told apart" in said
    assert "Dead, pictures do not change: 2." in said
    assert cli.main(["combine", "d:0", "d:1", "--pad", "--out", "pad", "--generator", "toy.py:toy", "--device", "cpu"]) == 0


def test_local_directions_move_what_lies_in_the_mask() -> None:
    assert directions("local", "--mask", "box:0,0.5,0.75,1", "--k", "1", "--out", "d") == 0
    toy = load_generator("toy.py:toy", device="cpu")
    seed = toy.sample([0])
    change = (load_paths("d")[0].images(toy, seed, 0.2) - toy.images(seed)).square()
    assert change[..., :16, :].mean() < 0.01 * change[..., 16:, :].mean()


def test_directions_inside_a_mask_are_shown_on_several_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    assert directions("mask", "--mask", "box:0,0.5,0.75,1", "--k", "2", "--out", "d") == 0
    said = capsys.readouterr().out
    assert "4 pictures that did not decide change" in said
    assert re.search(r"(none|\d) of \d paths? so much that it is seen\.", said)
    paths = load_paths("d")
    assert (len(paths), paths.info.mask) == (2, "box:0,0.5,0.75,1")
    with Image.open("d/pictures.png") as picture:
        assert picture.width >= 12 * 96
    assert picture.height >= 2 * 96


def test_the_first_paths_that_have_words_are_said_with_them() -> None:
    words = {0: "the mouth opens", 2: "", 3: "the hair darkens", 4: "the smile grows", 6: "the head bows", 7: "the eyes close"}
    assert first_words(words) == (
        "What they change: 0 the mouth opens; 3 the hair darkens; 4 the smile grows; 6 the head bows; 1 more is in paths.png.",
    )
    assert first_words({0: "the mouth opens"}) == ("What they change: 0 the mouth opens.",)
    assert first_words({0: ""}) == ()


def test_paths_of_which_the_same_would_be_said_are_told_apart_by_what_else_they_change() -> None:
    words = {
        0: "the mouth opens (+50 % of its range), the mouth widens (+22 %), the lips redden (+30 %)",
        1: "the mouth opens (+41 % of its range), the mouth widens (+30 %), the smile fades (-25 %)",
        2: "the mouth opens (+21 % of its range)",
        4: "the mouth opens (+20 % of its range), the lips grow fuller (+42 %), the smile fades (-25 %)",
        5: "the head turns left (-86 % of its range), the skin darkens (+30 %)",
        6: "",
    }
    assert told_apart(words) == {
        0: words[0],
        1: words[1],
        2: words[2],
        4: "the mouth opens (+20 % of its range), the lips grow fuller (+42 %)",
        5: "the head turns left (-86 % of its range)",
        6: "",
    }
    assert told_apart({}) == {}


def test_a_path_is_told_by_its_mean_change_on_several_faces() -> None:
    faces = load_generator("faces", device="cpu")
    paths, start = principal_paths(faces, "w", 2), faces.sample([7], "w")
    shown = draw(faces, paths, start, Path("sheet.png"), NOBODY)
    k = 1
    starts = [start, *(faces.sample([seed], "w") for seed in range(OTHERS, OTHERS + FACES - 1))]
    low, high = paths.info.usable(k)
    ends = torch.stack([paths[k].images(faces, each, torch.tensor([low, high])) for each in starts])
    assert shown[k] == describe_usual_change(ends[:, 1], ends[:, 0], most=1)
    assert draw(faces, paths, start, Path("sheet.png"), NOBODY, faces=1)[k] == describe_change(ends[0, 1:], ends[0, :1], most=1)


def test_a_path_without_words_is_shown_unless_it_can_hardly_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hair that turns from grey to orange changes a hundredth of what a background does that turns from black to white."""
    toy = wrap(lambda z: (torch.tensor([0.5, 0.04, 0.002]) * z)[:, :, None, None].expand(-1, -1, 32, 32), (3,), name="toy")
    paths = local_paths(toy, torch.eye(3), "z")
    titles: list[str] = []
    monkeypatch.setattr(actions, "shows_faces", lambda _: True)
    monkeypatch.setattr(actions, "changes_between", lambda *_, **__: "")
    stack_rows = media.stack_rows
    monkeypatch.setattr(
        media, "stack_rows", lambda rows, names, columns: titles.extend(names) or stack_rows(rows, names, columns)
    )
    start = toy.sample([7])
    assert draw(toy, paths, start, Path("sheet.png"), NOBODY, faces=1) == {0: "", 1: ""}
    assert titles == ["0  no attribute names this change", "1  no attribute names this change"]
    faint = local_paths(toy, torch.eye(3)[2:], "z")
    assert list(draw(toy, faint, start, Path("sheet.png"), NOBODY, faces=1)) == [0], "the strongest is always shown"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["local"], "needs a --mask"),
        (["mask"], "needs a --mask"),
        (["joint", "--mask", "box:0,0,1,0.5"], "leave --mask out"),
        (["joint", "--k", "4"], "1 to 3 such directions, not 4"),
        (["joint", "--k", "0"], "1 to 3 such directions, not 0"),
        (["sefa", "--k", "2"], "has no layers"),
        (["pca", "--space", "w"], "space"),
        (["joint", "--layers", "0-1"], "w+"),
        (["local", "--mask", "mouth"], "no face is found in the picture of toy"),
        (["jiont"], "'jiont'"),
        ([], "directions needs joint|pca|sefa|local|mask"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert directions(*words) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert says in said[-1]
    assert not list(Path().glob("out/*/*"))
