"""What a newcomer meets on the command line: masks drawn, several searches, a timeline, next commands, JSON, quick refusals."""

import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from support.docs_world import less_work

from semanifold.app import cli
from semanifold.app.actions import results
from semanifold.app.actions.play import at_strength, strengths, within_reach
from semanifold.app.actions.rerun import as_meant
from semanifold.app.commands.discover import Discover, Discoveries
from semanifold.app.commands.masks import ShowMask
from semanifold.app.commands.timeline import track_of
from semanifold.edits import EditInfo, Lattice, load_edit
from semanifold.generators.loading import save_generator
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config
from semanifold.images import media
from semanifold.paths.base import PathSetInfo
from semanifold.paths.files import NAMED_PATHS, save_paths
from semanifold.paths.linear import LinearPaths
from semanifold.storage.runs import RECORD, begin_run, carry_out, read_record

TOY = """
import torch
from semanifold.generators.wrapped import wrap

def picture(z):
    # three bands whose brightness is a number each
    bands = torch.tanh(z)[:, :, None, None].expand(-1, -1, 8, 24)
    return bands.reshape(len(z), 1, 24, 24).expand(-1, 3, -1, -1)

toy = wrap(picture, (3,), name="toy")
"""
TOP, MIDDLE = "box:0,0,1,0.33", "box:0,0.34,1,0.66"
QUICK = ["--frames", "5", "--iterations", "4", "--seconds", "0.5", "--fps", "8"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy.py").write_text(TOY)


def small_stylegan2() -> tuple[str, str]:
    """Write a small StyleGAN2, and return the words that name it."""
    save_generator(StyleGAN2(StyleGAN2Config(8, 4, 4, (4, 4), mapping_layers=1)), Path("g.safetensors"))
    return ("--generator", "g.safetensors")


def run(*words: object) -> int:
    return cli.main([*map(str, words), "--generator", "toy.py:toy"])


@pytest.fixture
def set_of_paths(tmp_path) -> str:
    info = PathSetInfo(generator="toy", space="z", step=0.25, count=4, names={0: "top", 1: "middle +"})
    save_paths(LinearPaths.from_vectors(torch.eye(3), info), tmp_path / "paths.safetensors")
    return "paths.safetensors"


# ------------------------------------------------------------------------------------------------------------- sessions


def test_several_masks_and_seeds_make_a_folder_each_and_one_sheet(tmp_path, capsys):
    assert run("discover", "--mask", TOP, MIDDLE, "--seeds", "0-1", "--out", "all", *QUICK) == 0
    said = capsys.readouterr().out
    folders = sorted(p.parent.name for p in (tmp_path / "all").glob(f"*/{RECORD}"))
    assert len(folders) == 4
    assert {read_record(tmp_path / "all" / name).arguments["mask"] for name in folders} == {TOP, MIDDLE}
    with Image.open(tmp_path / "all" / "comparison.png") as sheet:
        assert sheet.height >= 4 * 150
    assert said.count("Next:") == 1
    assert "Next: semanifold combine" not in said, "of one mask on two faces there is nothing to combine"
    first = read_record(tmp_path / "all" / folders[0]).arguments
    assert (first["start"]["seed"], first["offset"], first["search"]["direction"]) == (0, [], 0), "as version 0.1.0 wrote it"


def test_directions_are_a_list_too(tmp_path):
    assert run("discover", "--mask", TOP, "--directions", "0-1", "--out", "d", *QUICK) == 0
    edits = [load_edit(p) for p in sorted((tmp_path / "d").glob(f"*/{results.EDIT}"))]
    assert len(edits) == 2
    assert not torch.equal(edits[0].displacements, edits[1].displacements)


def test_what_is_named_twice_is_searched_for_once():
    words = ("--mask", "mouth", "eyes", "mouth", "--seeds", "3", "0-3", "--directions", "0", "0", "--offset", "2", "1", "2")
    many = cli.parse(["discover", *words])
    assert isinstance(many, Discoveries)
    assert [(one.mask, one.start.seed, one.offset) for one in many.searches] == [
        (mask, seed, (1.0, 2.0)) for mask in ("mouth", "eyes") for seed in (3, 0, 1, 2)
    ]


def test_a_misspelt_last_mask_costs_no_search(tmp_path, capsys):
    assert cli.main(["discover", "--mask", "mouth", "eyse", "--out", "x"]) == 2
    assert "did you mean 'eyes'" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_mask_draws_what_it_covers(tmp_path, capsys):
    assert run("mask", TOP, "--out", "m") == 0
    said = capsys.readouterr().out
    assert f"{TOP} covers 33.0% of the picture" in said
    with Image.open(tmp_path / "m" / "masks.png") as sheet:
        grid, drawn = (np.asarray(sheet)[60:400, left : left + 400].astype(int) for left in (40, sheet.width // 2 + 40))
    assert np.abs(grid - drawn).max() > 50
    assert "discover --mask box:0,0,1,0.33 --generator toy.py:toy" in said


def test_another_bundled_generator_is_not_forgotten_by_the_next_command(capsys):
    assert cli.main(["mask", "mouth", "--generator", "analytic", "--out", "m"]) == 0
    assert "Next: semanifold discover --mask mouth --generator analytic --seed 0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("start", "then"),
    [
        (["--seed", "3", "--truncation", "0.7"], "--seed 3 --truncation 0.7"),
        (["--class", "2"], "--seed 0 --class 2"),
        (["--latents", "a.npy", "--latents-space", "z"], "--latents a.npy --latents-space z"),
    ],
)
def test_the_search_after_a_mask_begins_at_the_same_picture(start, then):
    command = cli.parse(["mask", "mouth", *start])
    assert isinstance(command, ShowMask)
    assert " ".join(map(str, command.then)) == f"discover --mask mouth {then}"


@pytest.mark.parametrize(
    ("command", "file", "words"),
    [
        ("edit", "edit.safetensors", "it walks a set of paths, such as faces)."),
        ("directions", "paths.safetensors", "that of its paths is made by: semanifold traverse made)."),
    ],
)
def test_measure_says_what_makes_a_traverse(tmp_path, capsys, command, file, words):
    run_folder = tmp_path / "made"
    working_run = begin_run(run_folder, command, {}, {})
    carry_out(working_run, lambda run: run.path(file).touch())
    assert cli.main(["measure", "made"]) == 2
    said = capsys.readouterr().err
    assert f"made was written by semanifold {command}; give the folder of a semanifold traverse (" in said
    assert words in said


def test_other_seeds_have_a_folder_of_their_own(tmp_path):
    assert cli.main(["sample", "--seeds", "0-1"]) == cli.main(["sample", "--seeds", "0-2"]) == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["sample-faces-0-1", "sample-faces-0-2"]


def test_a_film_that_runs_both_ways_is_described_one_way_at_a_time(capsys):
    assert cli.main(["render", "faces:smile", "--seed", "7", "--seconds", "0.3", "--size", "32", "--out", "r"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"towards \+1 [^;]*the smile grows .*towards -1 [^;]*the smile fades", said)


@pytest.mark.parametrize(("mask", "same"), [("box:0,0,0.3,0.3", True), (TOP, False)])
def test_a_search_of_before_whose_weight_was_a_number_is_the_same_run_where_the_mask_leads_to_it(mask, same, tmp_path, capsys):
    words = ("discover", "--mask", mask, "--out", "d", *QUICK)
    assert run(*words) == 0
    record = tmp_path / "d" / "run.json"
    record.write_text(record.read_text().replace('"outside": null', '"outside": 400.0'))
    capsys.readouterr()
    assert run(*words) == (0 if same else 2)
    said = capsys.readouterr()
    assert ("d is finished already" in said.out) == same
    assert ("outside 400.0 instead of left out" in said.err) != same
    assert run(*words, "--outside", "400") == 0
    assert "finished already" in capsys.readouterr().out


def test_pictures_of_a_strip_have_their_t_below_them(tmp_path, monkeypatch):
    captions = []
    real = media.captioned
    monkeypatch.setattr(media, "captioned", lambda row, texts: (captions.append(texts), real(row, texts))[1])
    assert run("discover", "--mask", TOP, "--out", "d", *QUICK) == 0
    assert captions[-1][:2] == ["seed and mask", "t = 0"]
    assert captions[-1][2:] == ["0.25", "0.5", "0.75"]
    assert cli.main(["render", "faces:smile", "--seed", "7", "--seconds", "0.3", "--size", "32", "--out", "r"]) == 0
    assert (captions[-1][0], captions[-1][-1]) == ("t = -1", "+1")


def test_mask_without_a_mask_shows_the_grid(tmp_path, capsys):
    assert run("mask", "--out", "m") == 0
    assert "names no regions; read a box off the grid" in capsys.readouterr().out
    assert (tmp_path / "m" / "masks.png").is_file()


# ------------------------------------------------------------------------------------------------------------- timeline


def frames(folder: str) -> np.ndarray:
    held = media.FrameFolder(Path(folder) / results.FRAMES)
    return np.stack([held[i] for i in range(len(held))]).astype(int)


def test_a_timeline_moves_each_edit_at_its_time(set_of_paths):
    words = [f"{set_of_paths}:top=0:0,1:1", f"{set_of_paths}:middle=1:0,2:-1", "--seed", "3", "--fps", "10", "--ease", "linear"]
    assert run("play", *words, "--out", "p") == 0
    film = frames("p")
    assert len(film) == 21
    top, middle, low = (film[:, rows, 12, 0] for rows in (4, 12, 20))
    assert (np.diff(top[:11]) > 0).all()
    assert (top[11:] == top[10]).all()
    assert (middle[:11] == middle[0]).all()
    assert (np.diff(middle[10:]) < 0).all()
    assert (low == low[0]).all()
    edit = load_edit("p/edit.safetensors")
    assert torch.allclose(edit.displacement(0.0), torch.zeros(1, 3))


def test_a_timeline_in_a_file_says_the_same(set_of_paths, tmp_path):
    Path("dance.toml").write_text(
        f'seed = 3\nease = "linear"\n[[track]]\nedit = "{set_of_paths}:top"\nkeys = [[0, 0], [1, 1]]\n'
        f'[[track]]\nedit = "{set_of_paths}:middle"\nkeys = [[1, 0], [2, -1]]\n'
    )
    assert run("play", "dance.toml", "--fps", "10", "--out", "f") == 0
    words = [f"{set_of_paths}:top=0:0,1:1", f"{set_of_paths}:middle=1:0,2:-1", "--seed", "3", "--fps", "10", "--ease", "linear"]
    assert run("play", *words, "--out", "p") == 0
    assert np.array_equal(frames("f"), frames("p"))


def test_a_film_that_begins_with_an_edited_picture(set_of_paths):
    assert run("play", f"{set_of_paths}:top=0:1,1:0", "--fps", "10", "--out", "p") == 0
    top = frames("p")[:, 4, 12, 0]
    assert (np.diff(top) <= 0).all()
    assert top[0] > top[-1]


def test_a_timeline_keeps_its_seconds_and_runs_once_where_it_is_shown_again(set_of_paths, monkeypatch):
    """On other pictures and in a new film, also where it begins with an edited picture."""
    saved, below = [], []
    monkeypatch.setattr(results.films, "save_film", lambda frames, *_, **more: saved.append((len(frames), more["ping_pong"])))
    monkeypatch.setattr(media, "stack_rows", lambda rows, names, columns=(): below.extend(columns) or rows[0])
    for keys in ("0:0,2:1", "0:1,2:0.5"):
        assert run("play", f"{set_of_paths}:top={keys}", "--seed", "3", "--fps", "10", "--overwrite", "--out", "p") == 0
        assert run("transfer", "p", "--seeds", "3-4", "--fps", "10", "--overwrite", "--out", "o") == 0
        assert run("render", "p", "--fps", "10", "--overwrite", "--out", "r") == 0
        assert saved == [(21, False)] * 6
        assert (below[0], below[-1]) == ("0 s" if keys == "0:0,2:1" else "0.0002 s", "2 s")
        assert np.array_equal(frames("r"), frames("p"))
        saved.clear()
        below.clear()
    assert run("transfer", "p", "--seeds", "3", "--fps", "10", "--seconds", "1", "--out", "short") == 0
    assert (saved[0], below[-1]) == ((11, False), "1 s")
    saved.clear()
    record = json.loads(Path("p/run.json").read_text())
    del record["seconds"]
    Path("p/run.json").write_text(json.dumps(record))
    assert run("render", "p", "--fps", "10", "--overwrite", "--out", "r") == 0
    assert saved == [(21, False)] * 2, "records of before do not say the seconds"
    saved.clear()
    assert run("render", "p", "--play", "ping-pong", "--fps", "10", "--out", "b") == 0
    assert saved[0][1], "as it is asked for"


def test_strengths_are_eased_between_keys_and_hold_still_outside():
    times = torch.tensor([0.0, 1.0, 1.5, 2.0, 5.0], dtype=torch.float64)
    track = track_of("x=1:0,2:-1")
    assert strengths(track, times, "linear").tolist() == [0, 0, -0.5, -1, -1]
    assert strengths(track, times, "step").tolist() == [0, 0, 0, -1, -1]
    eased = strengths(track, torch.tensor([1.25, 1.5], dtype=torch.float64), "smooth").tolist()
    assert eased == [pytest.approx(-0.15625), pytest.approx(-0.5)]


def test_strength_one_is_the_farthest_point_of_a_path_that_comes_back():
    knots = torch.linspace(0, 1, 5)
    edit = Lattice(torch.tensor([0.0, 1, 2, 1, 0])[:, None], [knots], EditInfo(space="z"))
    assert edit.displacement(at_strength(edit, torch.tensor([0.0, 0.5, 1.0]))).flatten().tolist() == [0, 1, 2]
    strong, share = within_reach(edit, torch.tensor([0.0, 0.5, 1.5]))
    assert strong.way(at_strength(strong, share)).flatten().tolist() == [0, 1, 3], "no strength leads back to the start"
    both = Lattice(torch.tensor([-3.0, 0, 2])[:, None], [torch.tensor([-1.0, 0, 1])], EditInfo(space="z", usable=(-1, 1)))
    assert both.displacement(at_strength(both, torch.tensor([-1.0, 1.0]))).flatten().tolist() == [-3, 2]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["paths.safetensors:top"], "is no track"),
        (["paths.safetensors:top=0"], "is no track"),
        (["paths.safetensors:top=0:nan"], "is no track"),
        (["paths.safetensors:top=2:0,1:1"], "seconds that increase"),
        (["paths.safetensors:top=0:0,9999:1"], "seconds that increase"),
        (["paths.safetensors:top=0:0,1:50"], "from -3 to 3"),
        (["paths.safetensors:topp=0:0,1:1"], "There is no path 'topp'"),
        (["gone=0:0,1:1"], "There is no edit 'gone'"),
        (["gone.toml"], "semanifold: There is no timeline gone.toml"),
        (["bad.toml"], "bad.toml"),
        (["wrong.toml"], "keys"),
        ([], "play needs EDIT=S:X"),
    ],
)
def test_timelines_that_make_no_sense(set_of_paths, capsys, words, says):
    Path("bad.toml").write_text("[[track]\n")
    Path("wrong.toml").write_text('[[track]]\nedit = "x"\nkeys = [["a", 1]]\n')
    assert run("play", *words, "--out", "p") == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert says in said[0]
    assert not Path("p").exists()


# ----------------------------------------------------------------------------------------- what is said, and how quickly


def test_json_is_one_object_with_results_and_the_next_command(capsys):
    assert run("discover", "--mask", TOP, "--out", "r", "--json", *QUICK) == 0
    said = capsys.readouterr()
    held = json.loads(said.out)
    assert held["command"] == "discover"
    assert held["change"]["mse_ratio"] >= 0
    assert all(Path(file).exists() for file in held["files"])
    assert held["next"] == ["semanifold transfer r --generator toy.py:toy --seeds 1-6"]
    assert not said.err
    assert run("discover", "--mask", TOP, "--out", "r", "--json", "--schedule", "x") == 2
    said = capsys.readouterr()
    assert "no 'x'" in json.loads(said.out)["error"]
    assert said.err.startswith("semanifold: ")


def test_quiet_leaves_results_only(capsys):
    assert run("discover", "--mask", TOP, "--out", "r", "--quiet", *QUICK) == 0
    said = capsys.readouterr()
    assert not said.err
    assert "Next:" not in said.out
    assert "Open: r/film.mp4" in said.out


def test_every_next_command_works_as_printed_until_there_is_none(set_of_paths, capsys):
    assert run("sample", "--seeds", "0-1", "--out", "s") == 0
    done = 0
    queue = [capsys.readouterr().out]
    while queue and done < 9:
        for line in queue.pop().splitlines():
            if line.startswith("Next: semanifold "):
                words = shlex.split(line)[2:]
                extra = QUICK if words[0] == "discover" else QUICK[4:] if words[0] in ("transfer", "render") else []
                assert cli.main([*words, *extra]) == 0, line
                queue.append(capsys.readouterr().out)
                done += 1
    assert done == 4, "sample, mask, discover, transfer, render lead from one to the next, and not on for ever"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_command_and_its_options(shell, capsys):
    assert cli.main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(name in script for name in cli.COMMANDS)
    assert "iterations" in script
    if shell == "bash":
        asked = 'COMP_WORDS=(semanifold discover --iter); COMP_CWORD=2; _semanifold; echo "${COMPREPLY[@]}"'
        found = subprocess.run(["bash", "-c", f"{script}\n{asked}"], capture_output=True, text=True, check=True)
        assert found.stdout.split() == ["--iterations"]


WITHOUT_TORCH = """
import contextlib, io, json, sys
from semanifold.app import cli
answers, loaded = [], set()
for words in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main(words)
    now = {"torch", "matplotlib", "imageio_ffmpeg"} & set(sys.modules)
    answers.append({"code": code, "out": out.getvalue(), "err": err.getvalue(), "loaded": sorted(now - loaded)})
    loaded |= now
print(json.dumps(answers))
"""


@dataclass(frozen=True)
class Said:
    """What one command said, its exit code, and which large packages it was the first to load."""

    code: int
    out: str
    err: str
    loaded: list[str]


def quickly(*commands: Sequence[str]) -> list[Said]:
    """Run commands one after the other in a new process."""
    words = [sys.executable, "-c", WITHOUT_TORCH, json.dumps(commands)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [Said(**answer) for answer in json.loads(done.stdout)]


NO_TORCH = [
    (["zoo", "list"], 0),
    (["discover", "--help"], 0),
    (["discover", "--sed", "3"], 2),
    (["discover", "--mask", "mouht"], 2),
    (["discover", "--mask", "box:1,2"], 2),
    (["discover", "--mask", "mouth", "--frames", "1"], 2),
    (["directions", "joint", "--mask", "mouth"], 2),
    (["render"], 2),
    (["completion", "bash"], 0),
    (["render", "none"], 2),
    (["render", "faces:smil"], 2),
    (["transfer", "faces:smile", "--mask", "mouht"], 2),
    (["combine", "none", "faces:yaw"], 2),
    (["play", "smil=0:0,1:1"], 2),
    (["play", "none.toml"], 2),
    (["traverse", "none"], 2),
    (["traverse", "faces:smile"], 2),
    (["measure", "none"], 2),
    (["rank", "none"], 2),
    (["rerun", "none"], 2),
    (["inspect", "none"], 2),
    (["convert", "none.pt", "x.safetensors"], 2),
    (["sample", "--generator", "none.pt"], 2),
    (["discover", "--mask", "mouth", "--generator", "none"], 2),
    (["train", "--presets"], 0),
    (["train", "--preset", "none"], 2),
    (["train", "--kind", "none"], 2),
    (["train", "--batch", "0"], 2),
    (["bench", "locality", "--mask", "mouht"], 2),
]


@pytest.fixture(scope="module")
def without_torch(tmp_path_factory: pytest.TempPathFactory) -> list[Said]:
    """What these commands say, each after the others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("empty"))
        return quickly(*(words for words, _ in NO_TORCH))


@pytest.mark.parametrize("i", range(len(NO_TORCH)), ids=[" ".join(words) for words, _ in NO_TORCH])
def test_what_needs_no_torch_does_not_load_it(without_torch, i):
    said = without_torch[i]
    assert said.code == NO_TORCH[i][1], said.err
    assert said.loaded == []


LITTLE = ("--frames", "2", "--size", "32")
WALK = ("traverse", "set.safetensors", "--paths", "smile", "--seeds", "0", "--steps", "2", "--no-films", "--out", "w")
OF_A_FILE = ("sample", "--seeds", "0", "--generator", "g.safetensors", "--out", "g")
FINISHED: tuple[tuple[Sequence[str], Sequence[str]], ...] = (
    (("sample", "--seeds", "0", "--out", "s"), ("sample", "--seeds", "1", "--out", "s")),
    *(
        ((*words, *LITTLE), (*words, *LITTLE, *other, "--out", folder))
        for words, other, folder in (
            (("render", "faces:smile", "--seed", "1"), ("--reverse",), "out/render-faces-smile-1"),
            (("transfer", "faces:smile", "--seeds", "1"), ("--truncation", "0.5"), "out/transfer-faces-smile-1"),
            (("combine", "faces:smile", "faces:yaw", "--seed", "1"), ("--pad",), "out/combine-faces-smile-yaw"),
        )
    ),
    *((words, ()) for words in (("play", "smile=0:0,0.1:1", "--size", "32"), WALK, ("measure", "w"), OF_A_FILE)),
)
"""Commands, and to some of them others that name the same folder."""


def test_what_is_finished_already_is_said_without_torch_until_a_file_is_touched(capsys, monkeypatch):
    shutil.copy(NAMED_PATHS["faces"], "set.safetensors")
    small_stylegan2()
    following = []
    for words, _ in FINISHED:
        assert cli.main(words) == 0
        following.append(capsys.readouterr().out)
        assert following[-1].count("Next: ") == 1
    others = [other for _, other in FINISHED if other]
    typed = [(*words, *other[-2:]) for words, other in FINISHED[1:] if other]
    said = quickly(*(words for words, _ in FINISHED), *others, *typed)
    for words, done in zip(typed, said[-len(typed) :], strict=True):
        assert "is finished already" in done.out, (words, "its folder is the same if it is typed")
    for (words, _), before, done in zip(FINISHED, following, said):
        first, _, again = done.out.partition("\n")
        assert "is finished already" in first, words
        assert again == before, "what was found, what to open and what to type next, as the first time"
        assert done.loaded == [], words
    for words, refused in zip(others, said[len(FINISHED) :]):
        assert Path(words[-1]).is_dir(), words
        assert "holds another run" in refused.err, (words, refused)
    acted: list[str] = []

    def imported(name: str) -> ModuleType:
        acted.append(name)
        return importlib.import_module(name)

    monkeypatch.setattr("semanifold.app.commands.base.importlib", SimpleNamespace(import_module=imported))
    for words in (WALK, OF_A_FILE):
        assert cli.main(words) == 0
    assert acted == []
    for file, words in (("set.safetensors", WALK), ("g.safetensors", OF_A_FILE)):
        os.utime(file, (1, 1))
        capsys.readouterr()
        assert cli.main(words) == 0
        assert "finished already" in capsys.readouterr().out, "it is looked at again, and the same"
    assert acted == ["semanifold.app.actions.paths", "semanifold.app.actions.files"]

    file = Path("w/measure", RECORD)
    file.write_text(json.dumps({key: value for key, value in json.loads(file.read_text()).items() if key != "said"}))
    capsys.readouterr()
    assert cli.main(("measure", "w")) == 0
    assert following[-2].splitlines()[0] in capsys.readouterr().out, "also if an earlier version did not record it"


def test_a_walk_on_another_generator_ends_with_a_command_that_works(set_of_paths, capsys):
    assert run("traverse", set_of_paths, "--seeds", "0", "--steps", "2", "--no-films", "--out", "w") == 0
    said = capsys.readouterr().out
    assert "walked both ways from one picture." in said
    words = shlex.split(re.findall("Next: semanifold (.*)", said)[0])
    assert cli.main([*words, "--frames", "3", "--size", "32"]) == 0


def test_directions_without_a_generator_are_called_by_their_file(capsys):
    np.save("age.npy", np.ones((1, 128), np.float32))
    assert cli.main(["traverse", "age.npy", "--space", "w"]) == 2
    assert "age.npy does not say for which generator it is" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------- a record never names code


def test_a_strangers_run_folder_runs_no_code(tmp_path, capsys):
    assert run("discover", "--mask", TOP, "--out", "r", *QUICK) == 0
    Path("toy.py").write_text("open('was-run', 'w')\n" + TOY)
    cases = (["render", "r"], ["transfer", "r"], ["rerun", "r"], ["combine", "r", "r"], ["play", "r=0:0,1:1"])
    for words in (*cases, ["render", "r/edit.safetensors"]):
        capsys.readouterr()
        assert cli.main([*words, "--out", "x"]) == 2, words
        said = capsys.readouterr().err
        assert "code" in said
        assert "--generator" in said
        assert not Path("was-run").exists()
    assert cli.main(["render", "r", "--generator", "toy.py:toy", "--out", "x", *QUICK[4:]]) == 0
    assert Path("was-run").exists()


def on_faces(*words: object) -> int:
    return cli.main([*map(str, words)])


def test_other_edits_and_other_pictures_have_folders_of_their_own(set_of_paths, capsys):
    """Paths without a name are called by their set; other seeds are in the name of the folder."""
    for name in ("one", "two"):
        assert run("directions", "pca", "--k", 1, "--out", name) == 0
        assert run("combine", f"{name}:0", f"{set_of_paths}:top", "--seed", 7, *LITTLE) == 0
    assert Path("out/combine-toy-one-path-0-top").is_dir()
    assert Path("out/combine-toy-two-path-0-top").is_dir()
    assert run("transfer", "one:0", "--seeds", "1-2", *LITTLE) == 0
    assert run("transfer", "one:0", "--seeds", "3", *LITTLE) == 0
    assert Path("one-transfer-0-1-2").is_dir()
    assert Path("one-transfer-0-3").is_dir()
    capsys.readouterr()
    assert run("transfer", "one:0", "--seeds", "3", *LITTLE) == 0
    assert "finished already" in capsys.readouterr().out


def test_an_edit_is_the_same_by_its_folder_and_by_its_file(set_of_paths, capsys):
    assert run("render", f"{set_of_paths}:top", "--out", "top", *LITTLE) == 0
    capsys.readouterr()
    made = {}
    for edit in ("top", "top/edit.safetensors", "./top/edit.safetensors"):
        for words in (("transfer", edit, "--seeds", "1"), ("render", edit, "--seed", "1"), ("play", f"{edit}=0:0,1:1")):
            assert run(*words, "--seconds", "0.1", "--size", "32") == 0
            said = capsys.readouterr().out
            assert made.setdefault(words[0], said.split("Open:")[1]) == said.split("Open:")[1]
            assert ("finished already" in said) == (edit != "top")
    assert run("directions", "pca", "--k", 1, "--out", "one") == 0
    assert run("render", "one:0", "--seed", "1", *LITTLE) == 0
    capsys.readouterr()
    assert run("render", "one/paths.safetensors:0", "--seed", "1", *LITTLE) == 0
    assert "finished already" in capsys.readouterr().out


def record_as(folder: str, **arguments: object) -> None:
    """Let a run have other words for what it was asked for, as earlier versions recorded them."""
    file = Path(folder, RECORD)
    record = json.loads(file.read_text())
    file.write_text(json.dumps(record | {"arguments": record["arguments"] | arguments}))


def test_a_run_that_was_recorded_by_the_file_of_its_edit_is_the_same(set_of_paths, capsys):
    assert run("render", f"{set_of_paths}:top", "--out", "top", *LITTLE) == 0
    assert on_faces("render", "faces:smile", "--out", "smile", *LITTLE) == 0
    file, on_a_face = "top/edit.safetensors", "smile/edit.safetensors"
    for do, words, recorded in (
        (run, ("transfer", file, "--seeds", "1"), {"edit": file}),
        (run, ("combine", file, file), {"edits": [file, file]}),
        (run, ("play", f"{file}=0:0,0.1:1", "--size", "32"), {"tracks": [f"{file}=0:0,0.1:1"]}),
        (on_faces, ("render", on_a_face, "--seed", "1"), {"edit": on_a_face}),
    ):
        little = () if words[0] == "play" else LITTLE
        assert do(*words, *little, "--out", words[0]) == 0
        record_as(words[0], **recorded)
        capsys.readouterr()
        assert do(*words, *little, "--out", words[0]) == 0
        assert "is finished already" in capsys.readouterr().out, words
        assert do(*(str(word).replace("/edit.safetensors", "") for word in words), *little, "--out", words[0]) == 0
    record_as("render", edit="top/edit.safetensors")
    assert on_faces("render", on_a_face, "--seed", "1", *LITTLE, "--out", "render") == 2
    assert "holds another run (edit top/edit.safetensors" in capsys.readouterr().err


def test_a_path_is_the_same_after_a_colon_and_apart(set_of_paths, capsys):
    for do, edit, name in ((run, set_of_paths, "top"), (on_faces, "faces", "smile")):
        for words in (("render", "--seed", "1"), ("transfer", "--seeds", "1")):
            apart, joined = ((words[0], *named, *words[1:], *LITTLE) for named in ((edit, "--path", name), (f"{edit}:{name}",)))
            assert do(*apart) == 0
            folder = Path(re.findall("Open: (.*)", capsys.readouterr().out)[0]).parent
            assert do(*joined) == 0
            assert f"{folder} is finished already" in capsys.readouterr().out
            record_as(str(folder), edit=edit, path=name)
            for again in (apart, joined):
                assert do(*again) == 0
                assert f"{folder} is finished already" in capsys.readouterr().out, "as earlier versions recorded it"


def test_a_distance_that_is_named_twice_is_one_also_in_a_record(capsys):
    words = ("discover", "--mask", TOP, "--offset", 0.3, 0.2, 0.3, "--out", "r", *QUICK)
    assert run(*words) == 0
    assert read_record("r").arguments["offset"] == [0.2, 0.3]
    record_as("r", offset=[0.2, 0.3, 0.3])
    capsys.readouterr()
    assert run(*words) == 0
    assert "is finished already" in capsys.readouterr().out
    assert Discover(mask="mouth", offset=(3, 2, 3)).offset == (2, 3)


def test_a_path_that_a_record_counts_from_the_end_is_repeated(set_of_paths, capsys):
    assert run("render", set_of_paths, "--path", 2, "--out", "last", *LITTLE) == 0
    record_as("last", path="-1")
    capsys.readouterr()
    assert run("rerun", "last", "--out", "again") == 0
    assert "The edit is equal, bit for bit." in capsys.readouterr().out
    assert run("rerun", "again", "--out", "once more") == 0
    assert as_meant({"paths": ["0", "-2", "smile"], "edits": ["a:-1", "pose:-20"], "tracks": ["a:-3=0:-1", "a=0:-1"]}) == {
        "paths": ["0", "path -2", "smile"],
        "edits": ["a:path -1", "pose:-20"],
        "tracks": ["a:path -3=0:-1", "a=0:-1"],
    }


@pytest.mark.parametrize("track", ["=0:0,1:1", "=:"])
def test_a_track_without_an_edit_is_quoted_as_it_was_typed(track, set_of_paths, capsys, monkeypatch):
    assert run("render", f"{set_of_paths}:top", "--out", "top", *LITTLE) == 0
    monkeypatch.chdir("top")
    assert on_faces("play", track) == 2
    assert f"'{track}' is no track" in capsys.readouterr().err


def test_sums_of_edits_of_one_name_have_folders_of_their_own(set_of_paths):
    for name in ("one", "toy-two"):
        assert run("render", f"{set_of_paths}:top", "--out", name, *LITTLE) == 0
        assert run("combine", name, f"{set_of_paths}:middle", "--seed", "1", *LITTLE) == 0
    assert Path("out/combine-toy-one-middle").is_dir()
    assert Path("out/combine-toy-two-middle").is_dir(), "what it is called after its generator is not said twice"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("transfer", "faces:smile", "--seeds", "6-1"), "begins with the smaller number, but got '6-1'"),
        (("render", "faces", "--seed", 7), "faces is a set of paths; say which one, such as faces:smile"),
        (("render", "film.mp4"), "is what an edit looks like, and no edit; give the run folder"),
        (("render", "faces:smile", "--seconds", 0), "above 0 and at most 600"),
    ],
)
def test_slips_of_a_first_hour(words, says, capsys):
    Path("film.mp4").write_bytes(b"\0")
    assert on_faces(*words) == 2
    assert says in capsys.readouterr().err


def test_words_behind_two_dashes_are_left_alone():
    from semanifold.app.commands.values import inputs_for_seeds

    Path("maps").mkdir()
    words = ["mask", "--seed", "7", "--", "--seed", "maps"]
    assert inputs_for_seeds(words) == words
    Path("maps/a.png").write_bytes(b"")
    assert inputs_for_seeds(["--seeds", "maps"]) == inputs_for_seeds(["--seeds=maps"]) == ["--inputs", "maps", "--seeds", "0"]


def test_a_set_of_another_kind_is_not_taken_for_what_was_found(monkeypatch, capsys):
    """A folder may have come from anywhere: what lies there counts only if this command can have written it."""
    from semanifold.app.actions import weights

    less_work(monkeypatch)
    model = small_stylegan2()
    words = ("weights", "svd", "--layer", "convs.1", "--k", 1, "--out", "w", *model)
    with monkeypatch.context() as patch:
        patch.setattr(weights, "draw", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert on_faces(*words) == 130
    assert on_faces("directions", "pca", "--k", 1, "--out", "pca", *model) == 0
    Path("w/paths.safetensors").write_bytes(Path("pca/paths.safetensors").read_bytes())
    assert on_faces(*words) == 0
    assert "convs.1" in capsys.readouterr().out


def test_a_search_of_weights_that_is_done_is_not_done_again(monkeypatch, capsys):
    """What broke off after the search, while the sheet was drawn, goes on with the sheet."""
    from semanifold.app.actions import weights

    less_work(monkeypatch)
    words = ("weights", "svd", "--layer", "convs.1", "--k", 1, "--out", "w", *small_stylegan2())
    with monkeypatch.context() as patch:
        patch.setattr(weights, "draw", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert on_faces(*words) == 130
    first = Path("w/paths.safetensors").read_bytes()
    monkeypatch.setattr(weights, "find", lambda *_: pytest.fail("it was found already"))
    assert on_faces(*words) == 0
    assert Path("w/paths.safetensors").read_bytes() == first
    assert Path("w/paths.png").is_file()


def test_amplitudes_are_shown_side_by_side(capsys):
    """An amplitude of 2 shows at half of the way what the path itself shows at its end."""
    from PIL import Image

    words = ("render", "faces:yaw", "--seed", 3, "--frames", 3, "--size", 64, "--out", "wide")
    assert on_faces(*words, "--amplitudes", 0.5, 1, 2) == 0
    assert "amplitudes.mp4" in capsys.readouterr().out
    with Image.open("wide/amplitudes.png") as strip:
        assert strip.height > 3 * 128
    assert Path("wide/amplitudes.mp4").stat().st_size > 1000
    for wrong in (["0"], ["nan"], ["1000"], ["1"] * 17):
        assert on_faces(*words[:-1], "other", "--amplitudes", *wrong) == 2
        assert "amplitudes" in capsys.readouterr().err
    assert not Path("other").exists()
