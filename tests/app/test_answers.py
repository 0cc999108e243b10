"""Actions as a server and a notebook call them: nothing is printed, no folder of the process counts, and a value comes back."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from support.docs_world import less_work

from semanifold.app import cli
from semanifold.app.answers import Answer, Caller
from semanifold.app.commands.base import Command, Output
from semanifold.app.commands.discover import Discover, Discoveries
from semanifold.app.commands.edits import Combine, Render
from semanifold.app.commands.files import Inspect, Sample
from semanifold.app.commands.located import located
from semanifold.app.commands.photographs import PhotoEdit
from semanifold.app.commands.play import Play
from semanifold.app.commands.table import COMMANDS
from semanifold.core.errors import SemanifoldError
from semanifold.images.masks import parse_mask
from semanifold.images.masks.grammar import in_folder
from semanifold.storage.pictures import write_picture
from semanifold.storage.runs import Run, begin_run, carry_out, read_record

TOY = """
import torch
from semanifold.generators.wrapped import wrap

def picture(z):
    ramp = torch.linspace(-1, 1, 16).to(z)
    low, high = z[:, :1, None, None].tanh(), z[:, 1:2, None, None].tanh()
    return torch.where(ramp[:, None] > 0, low, high).expand(-1, 3, 16, 16) * (1 + 0.1 * z[:, 2:3, None, None].tanh() * ramp)

toy = wrap(picture, (4,), name="toy")
"""
LOWER = "box:0,0.5,1,1"
FILM = ("--seconds", "0.5", "--fps", "8")
SEARCH = ("--frames", "4", "--iterations", "4", *FILM)
MODEL = ("--generator", "toy.py:toy")
REQUESTS = {
    "sample": ("--seeds", "0-2", *MODEL, "--out", "sampled"),
    "mask": (LOWER, *MODEL),
    "discover": ("--mask", "mask.png", "--seed", "1", "2", *SEARCH, *MODEL),
    "invert": ("sampled/frames/frame_0001.png", "--iterations", "3", "--starts", "4", "--no-consistency", *MODEL),
    "encoder": ("--iterations", "2", "--batch", "2", *MODEL),
    "edit": ("sampled/frames/frame_0001.png", "--edit", "axes:0", "--inversion", "out/invert-toy-frame-0001", *FILM, *MODEL),
    "render": ("out/toy-mask.png-1", *FILM, *MODEL),
    "transfer": ("out/toy-mask.png-1", "--seeds", "3", *FILM, *MODEL),
    "combine": ("out/toy-mask.png-1", "axes:0", "--seed", "1", *FILM, *MODEL),
    "play": ("out/toy-mask.png-1=0:0,0.3:1", "--fps", "8", *MODEL),
    "traverse": ("axes", "--seeds", "0", "--steps", "2", "--no-films", "--out", "walk", *MODEL),
    "measure": ("walk", "--mask", "mask.png", "--attributes", "faces:smile", *MODEL),
    "rank": ("walk", "--name", "named.safetensors"),
    "directions": ("pca", "--k", "2", "--out", "axes", *MODEL),
    "weights": ("svd", "--k", "2", "--layer", "convs.0", "--generator", "faces", "--out", "kernels"),
    "bake": ("kernels:0", "baked.safetensors"),
    "train": ("--k", "2", "--dipoles", "2", "--iterations", "2", "--batch", "2", "--test-draws", "4", "--out", "learned", *MODEL),
    "inspect": ("mask.png", "sampled"),
    "convert": ("faces", "faces.safetensors"),
    "rerun": ("sampled", "--generator", "toy.py:toy"),
    "zoo": ("list", "ffhq"),
    "completion": ("bash",),
    "bench": ("locality", "--mask", LOWER, "--seeds", "0", "--methods", "eigen", *MODEL),
    "demo": (),
}
"""Words of a quick request of each command."""
ORDER = ("sample", "directions", "discover", "invert", "weights", "traverse", "measure")
"""What others need."""


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        (Sample, {"seeds": 3}, "The request Sample does not fit: Expected 'array', got 'int' in 'seeds'."),
        (Sample, {"output": Output(out=cast(Any, 3))}, "output.out"),
        (Discoveries, {"mask": "mouth"}, "got 'str' in 'mask'"),
        (Discoveries, {"mask": ("mouth",), "start": {"seed": [7, "a"]}}, "start.seed"),
        (Inspect, {"files": (object(),)}, "files"),
        (Render, {"edit": 5}, "The request Render does not fit: expected Path in 'edit'"),
        (Combine, {"edits": 5}, "got 'int' in 'edits'"),
        (Combine, {"edits": (Path("a"), 5)}, "expected Path in 'edits"),
        (PhotoEdit, {"photo": Path("p.png"), "edit": 5}, "expected Path in 'edit'"),
        (Play, {"tracks": (5,)}, "got 'int' in 'tracks"),
        (Play, {"tracks": None}, "in 'tracks'"),
        (Play, {"tracks": "smile=0:0"}, "got 'str' in 'tracks'"),
        (Discover, {"mask": "mouth", "offset": 5}, "got 'int' in 'offset'"),
    ],
)
def test_a_value_of_a_wrong_type_in_a_request_is_refused_in_a_sentence(
    kind: type[Command], fields: Mapping[str, Any], words: str
) -> None:
    request = kind(**fields)
    with pytest.raises(SemanifoldError, match=words):
        request.perform()


def test_edits_may_be_texts_in_a_request() -> None:
    text, texts = cast(Any, "faces:smile"), cast(Any, ["a", "b"])
    assert Render(edit=text) == Render(edit=Path("faces:smile"))
    assert Combine(edits=texts) == Combine(edits=(Path("a"), Path("b")))


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in; that of the process is another one, and empty."""
    less_work(monkeypatch)
    (tmp_path / "process").mkdir()
    monkeypatch.chdir(tmp_path / "process")
    monkeypatch.setattr("semanifold.images.plots.plane", lambda codes: (codes[:, :2], "a test"))  # UMAP compiles for ten seconds
    return work_in(tmp_path / "work")


def work_in(folder: Path) -> Path:
    from PIL import Image

    folder.mkdir()
    (folder / "toy.py").write_text(TOY)
    picture = Image.new("L", (16, 16))
    picture.paste(255, (0, 8, 16, 16))
    write_picture(picture, folder / "mask.png")
    return folder


def request(name: str, *words: str) -> Command:
    found = cli.parse([name, *(words or REQUESTS[name])])
    assert found is not None
    return found


def test_every_action_prints_nothing_and_returns_its_answer(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    part = Answer(folder=elsewhere, files=(elsewhere,))
    for name in ("discover", "render_edit", "combine_edits"):  # what the demo asks for is asked for below by itself
        monkeypatch.setattr(f"semanifold.app.actions.demo.{name}", lambda request, caller: part)
    assert REQUESTS.keys() == COMMANDS.keys()
    steps: list[dict[str, Any]] = []
    for name in sorted(COMMANDS, key=lambda name: (name not in ORDER, ORDER.index(name) if name in ORDER else 0)):
        answer = request(name).perform(Caller(folder=elsewhere, progress=steps.append))
        assert answer.fresh, name
        assert answer.said or answer.files, name
        assert all(file.is_absolute() for file in answer.files), name
        assert all(file.exists() for file in answer.files) or name == "demo", name
        assert answer.folder is None or answer.folder.is_relative_to(elsewhere), name
        assert isinstance(json.dumps(answer.facts), str), name
        again = answer if answer.folder is None or name in ("demo", "rerun") else request(name).perform(Caller(folder=elsewhere))
        assert again.files == answer.files, name
        assert capfd.readouterr() == ("", ""), name
    assert not list(Path.cwd().iterdir())
    assert {"part", "step", "steps"} <= steps[0].keys()
    assert (elsewhere / "out/toy-mask.png-1/film.mp4").is_file(), "folders are called as if the names were typed there"
    record = read_record(elsewhere / "sampled-again")
    assert record.directory == str(elsewhere)
    assert "within" not in record.arguments["output"]


def test_two_threads_in_two_folders_do_not_disturb_each_other(
    elsewhere: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """As the requests of two people are answered by one server."""
    folders, answers, begun = (elsewhere, work_in(tmp_path / "other")), {}, threading.Barrier(2)
    (folders[1] / "toy.py").write_text(TOY.replace('name="toy"', 'name="their toy"'))

    def work(folder: Path, seed: str) -> None:
        begun.wait()
        asked = request("discover", "--mask", "mask.png", "--seed", seed, *SEARCH, *MODEL)
        answers[folder] = asked.perform(Caller(folder=folder))

    threads = [threading.Thread(target=work, args=(folder, seed)) for folder, seed in zip(folders, ("1", "2"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for folder, seed, name in zip(folders, ("1", "2"), ("toy", "their toy")):
        assert answers[folder].folder == folder / f"out/toy-mask.png-{seed}"
        assert answers[folder].said[0].startswith(f"mask.png on {name}: ")
        assert [path.name for path in (folder / "out").iterdir()] == [f"toy-mask.png-{seed}"]
    assert not list(Path.cwd().iterdir())
    assert capfd.readouterr() == ("", "")


def test_a_caller_stops_an_action_and_the_same_request_goes_on(elsewhere: Path) -> None:
    asked, steps = request("discover", "--mask", LOWER, *SEARCH, *MODEL), []
    caller = Caller(folder=elsewhere, progress=steps.append, stop=lambda: len(steps) > 1)
    stopped = asked.perform(caller)
    assert stopped.interrupted
    assert stopped.next == ()
    assert [file.name for file in stopped.files if file.suffix == ".mp4"] == ["film.mp4"], "the best so far is filmed"
    assert stopped.folder is not None
    assert read_record(stopped.folder).status == "interrupted"
    done = asked.perform(Caller(folder=elsewhere))
    assert (done.folder, done.interrupted, done.fresh) == (stopped.folder, False, True)
    assert done.next[0] == "transfer"
    assert not asked.perform(Caller(folder=elsewhere)).fresh


def test_a_run_folder_is_worked_in_once(tmp_path: Path) -> None:
    def fails(run: Run) -> str:
        (run.path("half.txt")).write_text("half")
        raise KeyboardInterrupt

    def writes(run: Run) -> str:
        assert run.resumed
        (run.path("half.txt")).write_text("whole")
        return "done"

    with pytest.raises(KeyboardInterrupt):
        carry_out(begin_run(tmp_path, "x", {}, {}), fails)
    assert read_record(tmp_path).status == "interrupted"
    assert carry_out(begin_run(tmp_path, "x", {}, {}), writes) == "done"
    assert read_record(tmp_path).status == "finished"
    run = begin_run(tmp_path, "x", {}, {})
    assert (run.finished, carry_out(run, lambda _: pytest.fail("worked once more"))) == (True, None)


@pytest.mark.parametrize("name", ["sample", "train"])
def test_work_that_reports_is_stopped_there(name: str, elsewhere: Path) -> None:
    assert request(name).perform(Caller(folder=elsewhere, stop=lambda: True)).interrupted
    assert request(name).perform(Caller(folder=elsewhere)).fresh


def test_remarks_and_parts_are_heard_as_they_come(elsewhere: Path) -> None:
    heard: list[Any] = []
    words = ("--mask", LOWER, "--seeds", "1-2", *SEARCH, *MODEL, "--out", "both")
    answer = request("discover", *words).perform(Caller(folder=elsewhere, hear=heard.append, remark=heard.append))
    assert [one.said[0][:10] for one in heard if isinstance(one, Answer)][::2] == ["--- 1 of 2", "--- 2 of 2"]
    assert [one for one in heard if one in answer.parts] == list(answer.parts)
    assert answer.files == (elsewhere / "both/comparison.png",)
    with pytest.raises(SemanifoldError, match="There is no"):
        request("render", "nothing").perform(Caller(folder=elsewhere))


def test_paths_of_a_request_begin_in_a_folder(elsewhere: Path) -> None:
    at = str(elsewhere)
    for text, expected in {
        "mask.png": f"{at}/mask.png",
        "~mask.png|mouth": f"~'{at}/mask.png'|mouth",
        "light:mask.png": f"light:'{at}/mask.png'",
        "feather:0.1(mask.png)": f"feather:0.1('{at}/mask.png')",
        "mouth": "mouth",
        LOWER: LOWER,
    }.items():
        assert in_folder(text, elsewhere) == expected
    (elsewhere / "it's.png").write_bytes((elsewhere / "mask.png").read_bytes())
    mask = parse_mask(in_folder("box:0,0,1,1&'it''s.png'", elsewhere))
    assert float(mask.at(16, 16).mean()) == pytest.approx(0.5)
    tracks = Play(tracks=("smile=0:1", "faces:yaw=0:1", "made=0:1", "film.toml"))
    (elsewhere / "made").mkdir()
    assert located(tracks, elsewhere).tracks == ("smile=0:1", "faces:yaw=0:1", f"{at}/made=0:1", f"{at}/film.toml")
    measured = located(request("measure", "/walk", "--attributes", "pose,own.py:red, a.onnx", "--generator", "w.pt"), elsewhere)
    assert (measured.traversal, measured.generator) == (Path("/walk"), f"{at}/w.pt")
    assert measured.attributes == f"pose,{at}/own.py:red,{at}/a.onnx"
    for text in ("faces", "https://example.org/w.pt", "ffhq-1024"):
        assert located(request("sample", "--generator", text), elsewhere).model.generator in (text, f"{at}/{text}")
    assert located(request("render", "faces:yaw"), elsewhere).edit == Path("faces:yaw")
    sampled = located(request("sample", "--inputs", "facemaps", "--out", "faces"), elsewhere)
    assert (sampled.output.out, sampled.model.inputs) == (elsewhere / "faces", Path("facemaps")), "nothing is written elsewhere"
    assert located(request("rank", "walk", "--name", "faces"), elsewhere).name == elsewhere / "faces"
    (elsewhere / "faces").mkdir()
    assert located(request("render", "faces:yaw"), elsewhere).edit == elsewhere / "faces:yaw"


def test_a_rerun_changes_no_folder(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Command] = []
    request("sample").perform(Caller(folder=elsewhere))
    moved: Callable[..., Any] = os.chdir
    monkeypatch.setattr(os, "chdir", lambda place: asked.append(moved(place)))
    again = cli.main(["rerun", str(elsewhere / "sampled"), "--generator", str(elsewhere / "toy.py:toy")])
    assert (again, asked) == (0, [])
    assert (elsewhere / "sampled-again/contact.png").is_file()
