"""What a person sees in Python and in a notebook: pictures, films, files, bars."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.small_world import SmallWorld

import semanifold as sm
from semanifold.app.showing import Film
from semanifold.core import progress
from semanifold.core.progress import watching
from semanifold.core.solutions import Result, Solution
from semanifold.generators.base import Generator
from semanifold.images import media
from semanifold.paths.base import info_for
from semanifold.paths.linear import LinearPaths

LOWER = "box:0,0.5,1,1"
QUICK = sm.ManifoldSettings(space="w+", layers=(0, 2), frames=5, steps=3)


@pytest.fixture(scope="module")
def world() -> Generator:
    return SmallWorld()


@pytest.fixture(scope="module")
def found(world: Generator) -> Solution[Any, Any]:
    return sm.discover_manifold(world, 4, LOWER, QUICK)


@pytest.fixture(scope="module")
def paths(world: Generator) -> LinearPaths:
    shape, info = info_for(world, "z", names={1: "smile +", 3: "yaw"})
    return LinearPaths("linear", 4, shape, info)


def test_pictures_become_pil_images(world: Generator) -> None:
    pictures = world.images(world.sample([1, 2]))
    many = sm.to_pil(pictures)
    assert [image.size for image in many] == [(16, 16)] * 2
    assert np.array_equal(np.asarray(many[1]), media.to_uint8(pictures)[1])
    assert sm.to_pil(pictures[0]).mode == "RGB"
    for odd in (pictures[0, 0], [1], None, pictures.new_zeros(2, 5, 8, 8)):
        with pytest.raises(sm.SemanifoldError, match="Pictures are"):
            sm.to_pil(odd)


def test_everything_is_shown(world: Generator, found: Solution[Any, Any], paths: LinearPaths) -> None:
    strip = sm.show(found)
    assert strip.size == (9 * 160 + 8 * media.GAP, 160 + media.CAPTION)  # the picture with its mask, then eight frames
    assert np.array_equal(np.asarray(sm.show(found.value, world)), np.asarray(strip)), "an edit knows its picture"
    assert sm.show(found.value, world, 5, count=3, size=40).size == (4 * 40 + 3 * media.GAP, 40 + media.CAPTION)
    assert sm.show(paths["smile"], world, 7).size[1] == 160 + media.CAPTION, "with t below"
    row = 64 + media.CAPTION
    assert sm.show(paths, world, 7).size[1] == 2 * row + media.GAP, "two paths have names"
    assert sm.show(paths.with_info(names={}), world, 7).size[1] == 4 * row + 3 * media.GAP
    assert sm.show([found, found]).size[1] == 2 * row + media.GAP
    assert sm.show(range(8), world).size == sm.show(list(range(8)), world).size
    assert sm.show(7, world).size == sm.show(world.sample(7), world).size == (256, 256)
    pictures = world.images(world.sample(range(5)))
    sheets = [sm.show(each) for each in (pictures, sm.to_pil(pictures), list(pictures), media.to_uint8(pictures))]
    assert len({sheet.tobytes() for sheet in sheets}) == 1
    mask = sm.parse_mask(LOWER)
    assert np.asarray(sm.show(mask))[[0, -1], 0].tolist() == [0, 255]
    assert sm.show(mask, world, 7).mode == "RGB"
    assert sm.show(world).size[0] > 4 * 128


@pytest.mark.parametrize(
    ("thing", "said"),
    [
        (7, "give it too"),
        (range(3), "give it too"),
        ("edit", "its generator and a seed"),
        ("paths", "its generator and a seed"),
        ("mouth", "of type str"),
        ([], "no picture"),
        ([1, "a"], "give it too"),
        (["a"], "of type str"),
        (None, "of type NoneType"),
        (np.zeros((4, 4)), "of type ndarray"),
        (torch.zeros(3), "Pictures are expected"),
    ],
)
def test_what_cannot_be_shown(thing: Any, said: str, paths: LinearPaths) -> None:
    given = {"edit": paths[0], "paths": paths}
    with pytest.raises(sm.SemanifoldError, match=said):
        sm.show(given.get(thing, thing) if isinstance(thing, str) else thing)


def test_a_film_loops_and_is_played_by_a_notebook(world: Generator, found: Solution[Any, Any]) -> None:
    half = sm.film(found.value.with_info(usable=(0.0, 0.5)), world, seconds=0.5, fps=20)
    assert len(half) == 10
    assert np.array_equal(half[1], half[9]), "there and back"
    film = sm.film(found, seconds=0.5, fps=20)
    assert (len(film), film.fps) == (10, 20), "the path comes back by itself"
    assert not np.array_equal(film[1], film[9])
    assert np.array_equal(film[0], media.to_uint8(world.images(world.sample([4])))[0])
    assert repr(film) == "Film(10 frames of 16 x 16, 0.5 s at 20 per second)"
    assert film._repr_html_().startswith('<video src="data:video/mp4;base64,')
    told: list[dict[str, Any]] = []
    again = sm.film(found.value, world, 4, seconds=0.5, fps=20, progress=told.append)
    assert np.array_equal(np.stack(again.frames), np.stack(film.frames))
    assert {key: value for key, value in told[-1].items() if key != "part"} == {"step": 10, "steps": 10}
    for given in ({"seconds": 0}, {"fps": -1}, {"seconds": float("nan")}):
        with pytest.raises(sm.SemanifoldError, match="A film lasts"):
            sm.film(found, **given)
    with pytest.raises(sm.SemanifoldError, match="generator and a seed"):
        sm.film(Solution(found.value.with_info(), Result.STEPS), code=4)
    with pytest.raises(sm.SemanifoldError, match="2 codes were given"):
        sm.film(found.value, world, world.sample([1, 2], "w+"))


def test_the_suffix_says_what_is_written(world: Generator, found: Solution[Any, Any], paths: LinearPaths, tmp_path: Path) -> None:
    picture = world.images(world.sample(4))
    assert sm.save(picture, tmp_path / "one.png") == tmp_path / "one.png"
    with Image.open(tmp_path / "one.png") as written:
        assert np.array_equal(np.asarray(written), media.to_uint8(picture)[0]), "one picture at its own size"
    with Image.open(sm.save(found, tmp_path / "strip.PNG")) as strip:
        assert strip.size == sm.show(found).size
    with Image.open(sm.save(sm.show(paths, world, 7), tmp_path / "paths.jpg")) as sheet:
        assert sheet.format == "JPEG"
    film = sm.film(found, seconds=0.5, fps=20)
    with Image.open(sm.save(film, tmp_path / "film.gif")) as gif:
        assert (gif.n_frames, gif.info["duration"]) == (10, 50)  # type: ignore[attr-defined]
    assert sm.save(film, tmp_path / "film.mp4").read_bytes()[4:8] == b"ftyp"
    clear = torch.cat([picture.expand(2, 3, -1, -1), -torch.ones(2, 1, 16, 16)], 1)
    for thing, says in ((clear, True), (film, False), ([Image.new("RGBA", (16, 16))], True)):
        data = sm.save(thing, tmp_path / "film.webm").read_bytes()  # type: ignore[arg-type]
        assert (b"\x53\xc0\x81\x01" in data) == says, "AlphaMode: the transparency of pictures is kept where there is any"
    assert sm.save(found.value.images(world, 4, torch.linspace(0, 1, 5)), tmp_path / "plain.mp4").stat().st_size > 0
    assert torch.equal(sm.load_edit(sm.save(found, tmp_path / "edit.safetensors")).displacements, found.value.displacements)  # type: ignore[attr-defined]
    assert len(sm.load_paths(sm.save(paths, tmp_path / "paths.safetensors"))) == 4
    before = sorted(tmp_path.iterdir())
    for thing, name, said in (
        (picture, "a.bmp", "as .png or .jpg, films as .mp4, .gif or .webm, .* not as a.bmp"),
        (picture, "a", "not as a"),
        (picture, "a.safetensors", "not a value of type Tensor"),
        (found, "nowhere/a.png", "no folder"),
        (paths[0], "a.mp4", "generator and a seed"),
        ("mouth", "a.gif", "of type str"),
        (picture[:0], "a.gif", "no picture"),
    ):
        with pytest.raises(sm.SemanifoldError, match=said):
            sm.save(thing, tmp_path / name)
    assert sorted(tmp_path.iterdir()) == before


def test_notebooks_show_pictures_and_never_fail(world: Generator, found: Solution[Any, Any]) -> None:
    for thing in (world, found, sm.parse_mask(LOWER)):
        html = thing._repr_html_()
        assert "data:image/png;base64," in html
        assert "&#x27;" in html, "what is typed in a name is escaped"
    assert "<script>" not in sm.Mask("<script>", torch.zeros)._repr_html_()  # type: ignore[operator]

    def broken(*_: Any) -> torch.Tensor:
        raise RuntimeError("no")

    assert sm.Mask("broken", broken)._repr_html_() is None
    assert Solution(1, Result.STEPS)._repr_html_() is None
    assert Film([np.zeros((2, 2), dtype=np.uint8)])._repr_html_() is None


def test_what_a_solution_shows_is_not_part_of_it(found: Solution[Any, Any]) -> None:
    plain = Solution(found.value, found.result, found.stats)
    assert plain == found
    assert repr(plain) == repr(found)
    copied = pickle.loads(pickle.dumps(found))
    assert copied.subject is None
    assert copied.stats == json.loads(json.dumps(found.stats))


def test_bars_are_drawn_where_somebody_looks(monkeypatch: pytest.MonkeyPatch, world: Generator) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    monkeypatch.setattr(sys, "stderr", screen)
    sm.discover_manifold(world, 4, LOWER, QUICK)
    assert "searching box:0,0.5,1,1" in screen.getvalue()
    with watching(None, "work") as tell:
        tell({"step": 0, "steps": 9})
        tell.bar.mininterval = 0  # type: ignore[attr-defined]
        tell({"step": 5, "steps": 9, "inside": 0.25})
    assert "5/9 [" in screen.getvalue()
    assert "inside 0.25" in screen.getvalue()
    drawn = len(screen.getvalue())
    sm.discover_manifold(world, 4, LOWER, QUICK, progress=False)
    told: list[dict[str, Any]] = []
    sm.discover_manifold(world, 4, LOWER, QUICK, progress=told.append)
    assert told
    assert len(screen.getvalue()) == drawn
    with pytest.raises(KeyError), watching(None, "work") as bar:  # noqa: PT012
        bar({"step": 1, "steps": 9})
        raise KeyError
    assert bar.bar.disable, "tqdm closed it"  # type: ignore[attr-defined]
    assert screen.getvalue().endswith("\r")
    monkeypatch.setattr(screen, "isatty", lambda: False)
    drawn = len(screen.getvalue())
    sm.discover_manifold(world, 4, LOWER, QUICK)
    assert len(screen.getvalue()) == drawn


def test_work_of_several_parts_is_shown_from_the_start_of_each():
    said: list[str] = []
    with progress.ProgressBar("directions", visible=False, lines=said.append) as bar:
        for title in ("finding", "refining"):
            with watching(bar, title) as tell:
                for step in range(1, 11):
                    tell({"step": step, "steps": 10})
    assert said[9:11] == ["directions: 10 of 10", "directions: 1 of 10, refining"]
    assert said[-1] == "directions: 10 of 10, refining"


def test_work_whose_parts_are_known_goes_up_once():
    said: list[str] = []
    with progress.ProgressBar("directions", visible=False, lines=said.append, shares=(1, 3)) as bar:
        for title, steps in (("finding", 2), ("refining", 30), ("drawing", 2)):
            with watching(bar, title) as tell:
                for step in range(1, steps + 1):
                    tell({"step": step, "steps": steps})
    assert said[:3] == ["directions: 12 %", "directions: 25 %", "directions: 30 %, refining"]
    assert said[-1] == "directions: 100 %, refining", "a part that nobody knew of changes nothing"
    assert [text.split()[1] for text in said] == sorted({text.split()[1] for text in said}, key=int)


def test_a_bar_appears_before_a_first_step_that_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(progress, "PATIENCE", 0.01)
    monkeypatch.setattr(sys, "stderr", screen)
    with progress.ProgressBar("thinking", visible=True) as bar:
        bar.appearing.join(5)
        assert "thinking" in screen.getvalue()


@pytest.mark.skipif(os.name == "nt", reason="there are no pseudo-terminals")
def test_a_terminal_without_a_size_gets_its_bars() -> None:
    code = (
        "import time; from semanifold.core import progress; progress.PATIENCE = 0.01\n"
        "with progress.ProgressBar('thinking') as bar:\n"
        "    for step in range(1, 6): bar({'step': step, 'steps': 5}); time.sleep(0.25)\n"
    )
    screen, terminal = os.openpty()  # its size is 0 x 0
    with subprocess.Popen([sys.executable, "-c", code], stderr=terminal) as child:
        assert child.wait(60) == 0
    drawn = os.read(screen, 1 << 16).decode()
    os.close(screen)
    os.close(terminal)
    assert "thinking" in drawn
    assert re.search(r"[1-5]/5 ", drawn)


def test_a_notebook_gets_its_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    class ZMQInteractiveShell:
        pass

    class Shell(ZMQInteractiveShell):  # as in Colab
        pass

    ipython = type(sys)("IPython")
    monkeypatch.setattr(ipython, "get_ipython", Shell, raising=False)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    assert progress.in_notebook()


@pytest.mark.parametrize("count", [2.5, "2", 0, -1])
def test_a_strip_of_no_number_of_frames_is_refused(count: Any, found: Solution[Any, Any]) -> None:
    for thing in (found, Film(np.zeros((3, 8, 8, 3), np.uint8))):
        with pytest.raises(sm.SemanifoldError, match="count is a whole number of frames, at least 1, but"):
            sm.show(thing, count=count)
    assert sm.show(found, count=np.int64(2)) == sm.show(found, count=2)  # pyright: ignore[reportArgumentType]
