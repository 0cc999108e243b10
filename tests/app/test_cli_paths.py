"""``semanifold traverse``, ``measure`` and ``rank``, as a person uses them, and what they say about wrong input."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from support import forks

from semanifold.app import cli
from semanifold.app.actions.base import device_of
from semanifold.app.commands.arguments import from_arguments, to_arguments
from semanifold.core.errors import SemanifoldError
from semanifold.generators.loading import save_generator
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config
from semanifold.images import media
from semanifold.paths.base import PathSetInfo
from semanifold.paths.files import load_paths, save_paths
from semanifold.paths.linear import LinearPaths
from semanifold.storage.runs import read_record

TOY = """
import os
import time
import torch
from semanifold.generators.wrapped import wrap

def picture(z):
    # left and right half have a brightness each; the third number moves both, the fourth a small square
    a = [torch.tanh(column)[:, None, None] for column in z.T]
    x = torch.linspace(-1, 1, 16).to(z).expand(16, 16)
    left, right = (x < 0).to(z), (x > 0).to(z)
    spot = ((x + 0.6).abs() < 0.3).to(z) * ((x.T + 0.6).abs() < 0.3).to(z)
    grey = 0.6 * ((a[0] + a[2]) * left + (a[1] + a[2]) * right) / 2 + 0.4 * a[3] * spot
    return grey[:, None].expand(-1, 3, -1, -1)

def slow(z):
    time.sleep(float(os.environ.get("SNAIL", 0)))
    return picture(z)

toy = wrap(picture, (4,), name="toy")
other = wrap(picture, (4,), name="other")
snail = wrap(slow, (4,), name="toy")
wide = wrap(lambda z: picture(z[:, :4]), (5,), name="wide")

def left(images):
    return images[..., :8].mean((1, 2, 3)) / 2 + 0.5

def right(images):
    return images[..., 8:].mean((1, 2, 3)) / 2 + 0.5
"""
COMMANDS = {
    "traverse": ("semanifold.app.commands.paths:Traverse", ""),
    "measure": ("semanifold.app.commands.paths:Measure", ""),
    "rank": ("semanifold.app.commands.ranking:Rank", ""),
}
AGAIN = ["rerun", "walk/measure", "--generator", "toy.py:toy", "--attributes", "toy.py:left,toy.py:right", "--out", "again"]
VECTORS = torch.tensor([[1.0, 0, 0, 0], [0, -1.0, 0, 0], [0, 0, 1.0, 0], [0.3, 0.25, 0, 1.0]])


def prepare(folder: Path) -> None:
    (folder / "toy.py").write_text(TOY)
    info = PathSetInfo(method="by hand", space="z", generator="toy", step=0.25, count=4, names={2: "both +"})
    save_paths(LinearPaths.from_vectors(VECTORS, info), folder / "set.safetensors")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prepare(tmp_path)
    for name, entry in COMMANDS.items():
        monkeypatch.setitem(cli.COMMANDS, name, entry)


def run(command: str, *words: object) -> int:
    named = "--generator" not in words and command in ("traverse", "sample", "measure")
    model = ["--generator", "toy.py:toy"] if named else []
    reader = ["--attributes", "toy.py:left,toy.py:right"] if command == "measure" and "--attributes" not in words else []
    return cli.main([command, *map(str, words), *model, *reader])


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A traversal, measured with a mask and ranked."""
    folder = tmp_path_factory.mktemp("done")
    prepare(folder)
    before = Path.cwd()
    os.chdir(folder)
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, entry in COMMANDS.items():
                patch.setitem(cli.COMMANDS, name, entry)
            assert run("traverse", "set.safetensors", "--seeds", "0-2", "--out", "walk") == 0
            assert run("measure", "walk", "--mask", "box:0,0,0.5,1") == 0
            assert run("rank", "walk", "--name", "named.safetensors", "--group", "all", "mine=left") == 0
    finally:
        os.chdir(before)
    return folder


def listing(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {str(p.relative_to(folder)): (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.rglob("*") if p.is_file()}


# -------------------------------------------------------------------------------------------------------- the whole way


def test_traverse_writes_codes_pictures_and_films(done):
    walk = done / "walk"
    facts = json.loads((walk / "traversal.json").read_text())
    assert facts["paths"] == [0, 1, 2, 3]
    assert facts["names"] == ["path 0", "path 1", "both +", "path 3"]
    assert facts["t"] == [-1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1]
    assert len(facts["codes"]) == 3
    for code in facts["codes"]:
        codes = load_file(walk / code / "codes.safetensors")["codes"]
        assert codes.shape == (4, 9, 4)
        assert torch.equal(torch.load(walk / code / "paths_latent_codes.pt", weights_only=True), codes)
        assert torch.allclose(codes[:, 8] - codes[:, 4], VECTORS / VECTORS.norm(dim=1, keepdim=True), atol=1e-5)
        for k in range(4):
            names = [p.name for p in sorted((walk / code / "paths_images" / f"path_{k:03d}").iterdir())]
            assert names == [f"{i:06d}.png" for i in range(9)]
    assert {p.name for p in (walk / "paths_gifs").iterdir()} == {f"path_{k:03d}.gif" for k in range(4)}
    assert {p.suffix for p in (walk / "paths_films").iterdir()} == {".gif", ".mp4"}
    with Image.open(walk / "paths.png") as sheet:
        assert sheet.height == 4 * 96 + 4 * media.GAP + 2 * media.CAPTION, "a row for every path, t below, the seed above"
        ends = sheet.crop((sheet.width - 96, media.CAPTION, sheet.width, media.CAPTION + 96)).convert("RGB")
    with Image.open(walk / facts["codes"][0] / "paths_images" / "path_000" / "000008.png") as picture:
        assert np.array_equal(np.asarray(ends), np.asarray(media.enlarge(picture.convert("RGB"), 96)))
    assert set(read_record(walk).files) == {p.name for p in walk.iterdir()} - {"run.json", "measure", "rank"}


def test_measure_reads_every_frame_and_the_mask(done):
    values = np.load(done / "walk" / "measure" / "attributes.npy")
    locality = np.load(done / "walk" / "measure" / "locality.npy")
    facts = json.loads((done / "walk" / "measure" / "measures.json").read_text())
    assert values.shape == (3, 4, 9, 2)
    assert locality.shape == (3, 4, 9, 5)
    assert [a["name"] for a in facts["attributes"]] == ["left", "right"]
    code = facts["codes"][1]
    with Image.open(done / "walk" / code / "paths_images" / "path_000" / "000007.png") as picture:
        level = np.asarray(picture)[:, :8].mean() / 255
    assert values[1, 0, 7, 0] == pytest.approx(level, abs=1e-5)
    assert (done / "walk" / "measure" / "changes.png").is_file()
    assert np.abs(values[:, 0, :, 1] - values[:, 0, 4:5, 1]).max() < 1e-6, "the right half moves along the path of the left"


def test_rank_finds_the_paths_that_were_made_for_it(done):
    report = json.loads((done / "walk" / "rank" / "ranking.json").read_text())
    assert report["found_names"]["0"] == "left +"
    assert report["found_names"]["1"] == "right -"
    assert "2" not in report["found_names"], "the path that changes both is named"
    locality = report["locality"]
    assert locality["mask"] == "box:0,0,0.5,1"
    assert locality["mse_ratio"][0] == pytest.approx(0, abs=1e-6)
    assert locality["mse_ratio"][1] is None
    assert locality["mse_ratio"][2] == pytest.approx(1, abs=0.5)
    assert locality["order"][0] == 0
    assert report["groups"]["mine"]["attributes"] == ["left"]
    assert (done / "walk" / "rank" / "Group_mine" / "corr_l1" / "attr_idx_corr_l1_sorted_by_left.csv").is_file()


def test_pages_show_films_that_are_there(done):
    rank = done / "walk" / "rank"
    text = (rank / "ranking.html").read_text()
    assert text.count("data:image/gif;base64,") == len(list((rank / "gifs").iterdir()))
    assert "left +" in text
    markdown = (rank / "Group_all" / "top-3_interpretable_path_all.md").read_text()
    links = re.findall(r"\]\((.*?)\)", markdown)
    assert links
    assert all((rank / "Group_all" / link).is_file() for link in links)


def test_names_are_stored_and_the_next_command_uses_them(done, monkeypatch):
    monkeypatch.chdir(done)
    named = load_paths("named.safetensors")
    assert named.info.names == {0: "left +", 1: "right -", 2: "both +"}
    assert named.find("left") == 0
    assert torch.equal(named[0].tensors()["offsets"], load_paths("set.safetensors")[0].tensors()["offsets"])
    assert run("traverse", "named.safetensors", "--paths", "left", "3", "--out", "chosen", "--no-films", "--steps", "2") == 0
    facts = json.loads((done / "chosen" / "traversal.json").read_text())
    assert (facts["paths"], facts["names"], len(facts["t"])) == ([0, 3], ["left +", "path 3"], 5)
    assert not (done / "chosen" / "paths_gifs").exists()


def test_naming_in_place_keeps_the_traversal_valid(done, monkeypatch, capsys):
    monkeypatch.chdir(done)
    assert run("traverse", "set.safetensors", "--seeds", "0", "--out", "again", "--no-films") == 0
    assert run("measure", "again") == 0
    assert run("rank", "again", "--name", "set.safetensors", "--no-gifs") == 0
    assert load_paths("set.safetensors").find("right") == 1
    assert re.search(r"path 1 +right - +right falls along the path", capsys.readouterr().out)
    assert run("rank", "again", "--no-gifs") == 0, "names are not what makes a ranking another one"
    assert run("traverse", "set.safetensors", "--seeds", "0", "--out", "again", "--no-films") == 0
    assert "finished already" in capsys.readouterr().out
    prepare(done)


def test_the_same_commands_again_do_nothing(done, monkeypatch, capsys):
    monkeypatch.chdir(done)
    before = listing(done / "walk")
    assert run("traverse", "set.safetensors", "--seeds", "0-2", "--out", "walk") == 0
    assert run("measure", "walk", "--mask", "box:0,0,0.5,1") == 0
    assert run("rank", "walk", "--name", "named.safetensors", "--group", "all", "mine=left") == 0
    said = capsys.readouterr().out
    assert said.count("finished already") == 3
    assert re.search(r"named\.safetensors holds the paths, \d of them under these names", said)
    assert listing(done / "walk") == before


def test_other_settings_do_not_mix_with_a_walk(done, monkeypatch, capsys):
    monkeypatch.chdir(done)
    before = listing(done / "walk")
    assert run("traverse", "set.safetensors", "--seeds", "0-2", "--step", "0.1", "--out", "walk") == 2
    assert "holds another run (step left out instead of 0.1" in capsys.readouterr().err
    assert listing(done / "walk") == before


def test_a_pool_of_sample_is_walked_and_leap_and_jpeg_are_heeded(tmp_path):
    assert run("sample", "--seeds", "4-5", "--out", "pool") == 0
    words = ["--pool", "pool", "--steps", "5", "--leap", "2", "--jpeg", "90", "--no-films", "--paths", "1", "--out", "walk"]
    assert run("traverse", "set.safetensors", *words) == 0
    facts = json.loads((tmp_path / "walk" / "traversal.json").read_text())
    assert facts["t"] == pytest.approx([-0.8, -0.4, 0, 0.4, 0.8])
    pool = load_file(tmp_path / "pool" / "pool.safetensors")["values"]
    codes = load_file(tmp_path / "walk" / facts["codes"][1] / "codes.safetensors")["codes"]
    assert torch.equal(codes[0, 2], pool[1])
    assert {p.suffix for p in (tmp_path / "walk" / facts["codes"][0]).rglob("*0.*")} == {".jpg"}


def test_a_pool_brings_its_own_codes(tmp_path, capsys):
    np.save(tmp_path / "codes.npy", np.zeros((2, 4), np.float32))
    assert run("traverse", "set.safetensors", "--pool", "codes.npy", "--seeds", "5", "--out", "w") == 2
    assert "brings its own codes" in capsys.readouterr().err
    words = ("--latents-space", "z", "--paths", "0", "--steps", "1", "--no-films")
    assert run("traverse", "set.safetensors", "--pool", "codes.npy", *words, "--out", "w") == 0


def test_directions_of_w_are_put_on_layers(tmp_path):
    save_generator(StyleGAN2(StyleGAN2Config(16, 6, 6, (6, 5, 4), mapping_layers=2)), tmp_path / "g.safetensors")
    np.save(tmp_path / "smile.npy", np.ones((1, 6), np.float32))
    words = ("--generator", "g.safetensors", "--space", "w+", "--layers", "1-2")
    assert cli.main(["render", "smile.npy", "--path", "0", *words, "--frames", "3", "--seed", "0", "--out", "film"]) == 0
    codes = np.load(tmp_path / "film" / "latents.npy")
    moved = np.abs(codes[-1] - codes[0]).max(1)
    assert (moved[1:3] > 0).all()
    assert (moved[[0, 3]] == 0).all()
    assert cli.main(["traverse", "smile.npy", *words, "--seeds", "0", "--steps", "1", "--no-films", "--out", "walk"]) == 0
    assert cli.main(["traverse", "set.safetensors", *words, "--seeds", "0", "--out", "no"]) == 2


def test_inspect_says_what_paths_a_file_holds(tmp_path, capsys):
    np.save(tmp_path / "some.npy", np.ones((3, 7), np.float32))
    assert cli.main(["inspect", "set.safetensors", "some.npy"]) == 0
    said = capsys.readouterr().out
    assert "4 linear paths in z" in said
    assert re.search(r"names +both", said)
    assert "semanifold traverse set.safetensors\n" in said
    assert "codes, or directions of 3 linear paths in a space that it does not name" in said


def test_the_paths_that_come_with_a_generator_are_named_like_any_other(tmp_path):
    short = ("--paths", "smile", "--seeds", 1, "--steps", 1, "--no-films", "--out", "w")
    assert run("traverse", "faces", "--generator", "faces", *short) == 0
    assert run("measure", "w", "--attributes", "faces:smile", "--generator", "faces") == 0
    assert run("rank", "w", "--name", "named.safetensors", "--no-gifs") == 0
    assert load_paths("named.safetensors").find("smile") == load_paths("faces").find("smile")


def test_a_moved_traversal_is_still_ranked(done, tmp_path):
    import shutil

    shutil.copytree(done / "walk", tmp_path / "moved")
    shutil.rmtree(tmp_path / "moved" / "rank")
    assert run("rank", "moved") == 0
    assert (tmp_path / "moved" / "rank" / "gifs" / "path_000.gif").is_file()


# --------------------------------------------------------------------------------------------------------- resumption


def test_a_killed_walk_goes_on_and_keeps_what_is_done(tmp_path):
    words = ["traverse", "set.safetensors", "--seeds", "0-1", "--generator", "toy.py:snail", "--out", "walk", "--no-films"]
    code = f"from semanifold.app import cli; cli.COMMANDS.update({COMMANDS!r}); raise SystemExit(cli.main({words!r}))"
    process = forks.start(code, SNAIL="0.3")
    finished = []
    for _ in range(1200):
        finished = [p for p in tmp_path.glob("walk/*/paths_images/path_*") if p.suffix != ".part"]
        if len(finished) >= 2:
            break
        time.sleep(0.05)
    process.kill()
    process.join()
    assert 2 <= len(finished) < 8
    assert read_record(tmp_path / "walk").status == "running"
    assert run("measure", "walk") == 2
    kept = {p: p.stat().st_mtime_ns for place in finished for p in place.iterdir()}
    assert cli.main(words) == 0
    assert {p: p.stat().st_mtime_ns for p in kept} == kept, "done work was done again"
    assert not list((tmp_path / "walk").rglob("*.part"))
    assert run("traverse", "set.safetensors", "--seeds", "0-1", "--out", "whole", "--no-films") == 0
    for file in (tmp_path / "whole").rglob("*.png"):
        assert (tmp_path / "walk" / file.relative_to(tmp_path / "whole")).read_bytes() == file.read_bytes()


def test_an_interrupted_measurement_goes_on(tmp_path, monkeypatch):
    from semanifold.analysis.attributes.functions import FunctionAttributes
    from semanifold.app.actions import paths

    assert run("traverse", "set.safetensors", "--seeds", "0-1", "--no-films", "--out", "walk") == 0
    monkeypatch.setattr(paths, "EVERY", 0.0)
    read, calls = FunctionAttributes.read, []

    def counted(self, images, reference):
        calls.append(len(images))
        if len(calls) == 7:
            raise KeyboardInterrupt
        return read(self, images, reference)

    monkeypatch.setattr(FunctionAttributes, "read", counted)
    assert run("measure", "walk") == 130
    assert (tmp_path / "walk" / "measure" / "checkpoint.safetensors").is_file()
    before = len(calls)
    assert run("measure", "walk") == 0
    assert len(calls) - before == 2 * 8 - (before - 1) // 2 * 2, "measured paths were measured again, or some were left out"
    assert not np.isnan(np.load(tmp_path / "walk" / "measure" / "attributes.npy")).any()
    assert run("measure", "walk", "--out", "whole") == 0
    one, other = (np.load(tmp_path / name / "attributes.npy") for name in ("walk/measure", "whole"))
    assert np.array_equal(one, other)


def test_commands_survive_their_record():
    for words in (
        ["traverse", "set.safetensors", "--paths", "3", "smile", "--seeds", "1-3", "--step", "0.3"],
        ["measure", "walk", "--mask", "mouth", "--attributes", "faces,pose"],
        ["rank", "walk", "--group", "all", "x=a,b", "--name", "out.safetensors"],
    ):
        command = cli.parse(words)
        assert from_arguments(type(command), json.loads(json.dumps(to_arguments(command)))) == command


# ----------------------------------------------------------------------------------------------------------- bad input


TRAVERSE = ["traverse", "set.safetensors", "--generator", "toy.py:toy", "--out", "r"]
WRONG = {
    "no such file of paths": (["traverse", "gone.safetensors", "--generator", "toy.py:toy", "--out", "r"], "gone.safetensors"),
    "no such path": ([*TRAVERSE, "--paths", "9"], "There is no path 9: the set has 4 paths, 0..3"),
    "no such name": ([*TRAVERSE, "--paths", "bohh"], "'bohh': did you mean 'both +'"),
    "no seed": ([*TRAVERSE, "--seeds"], "--seeds takes a value"),
    "no pool": ([*TRAVERSE, "--pool", "gone"], "There is no pool gone"),
    "half a pool": ([*TRAVERSE, "--pool", "."], "half-written"),
    "a pool of other codes": ([*TRAVERSE, "--pool", "wide.safetensors"], "[4] in z is expected"),
    "no step": ([*TRAVERSE, "--steps", "0"], "at least 1 step"),
    "backward step": ([*TRAVERSE, "--step", "-0.1"], "length above 0"),
    "no length": ([*TRAVERSE, "--step", "nan"], "length above 0"),
    "leap beyond the end": ([*TRAVERSE, "--leap", "9"], "every 9th of 4"),
    "no batch": ([*TRAVERSE, "--batch", "0"], "at least 1"),
    "maps of no films": ([*TRAVERSE, "--umap", "--no-films"], "--umap draws its maps beside the films; leave out --no-films"),
    "no quality": ([*TRAVERSE, "--jpeg", "101"], "1 to 95"),
    "another generator's codes": (["traverse", "set.safetensors", "--generator", "toy.py:wide", "--out", "r"], "shape"),
    "another space": (["traverse", "w.safetensors", "--generator", "toy.py:toy", "--out", "r"], "space w of toy"),
    "measure of nothing": (["measure", "gone"], "not a run folder"),
    "unknown attribute": (["measure", "WALK", "--attributes", "faces:smiel", "--out", "r"], "did you mean 'smile'"),
    "unknown reader": (["measure", "WALK", "--attributes", "fces", "--out", "r"], "did you mean"),
    "unknown mask": (
        ["measure", "WALK", "--attributes", "faces", "--mask", "mouht", "--generator", "toy.py:toy", "--out", "r"],
        "mouht",
    ),
    "rank of a traversal's part": (["rank", "WALK/measure/attributes.npy"], "not a run folder"),
    "unknown group": (["rank", "WALK", "--group", "Bagns", "--out", "r"], "did you mean 'Bangs'"),
    "group of unmeasured attributes": (["rank", "WALK", "--group", "Bangs", "--out", "r"], "'celeba_bangs', which was not"),
    "unknown attribute in a group": (["rank", "WALK", "--group", "x=lefft", "--out", "r"], "did you mean 'left'"),
    "groups of one name": (["rank", "WALK", "--group", "x=left", "x=right", "--out", "r"], "different names"),
    "no top": (["rank", "WALK", "--top", "0", "--out", "r"], "at least 1"),
    "no correlation": (["rank", "WALK", "--least-pearson", "1.5", "--out", "r"], "0 to 1"),
    "name into another kind of file": (["rank", "WALK", "--name", "toy.py", "--out", "r"], "give a .safetensors file"),
    "name over other paths": (["rank", "WALK", "--name", "w.safetensors", "--out", "r"], "holds other paths"),
    "name over other things": (["rank", "WALK", "--name", "wide.safetensors", "--out", "r"], "wide.safetensors"),
    "name into nowhere": (["rank", "WALK", "--name", "gone/a.safetensors", "--out", "r"], "cannot be written"),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_input_is_one_sentence_and_leaves_nothing(case, done, tmp_path, capsys):
    words, expected = WRONG[case]
    save_file({"w": torch.zeros(2, 5)}, tmp_path / "wide.safetensors")
    info = PathSetInfo(space="w", generator="toy")
    save_paths(LinearPaths.from_vectors(VECTORS, info), tmp_path / "w.safetensors")
    assert cli.main([word.replace("WALK", str(done / "walk")) for word in words]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert expected in said[-1]
    assert said[-1].startswith("semanifold: ")
    assert not (tmp_path / "r").exists()


def test_codes_of_other_weights_are_refused_with_both_names(tmp_path, capsys):
    (tmp_path / "toy.py").write_text(
        TOY + "\nclass Net(torch.nn.Module):\n    def __init__(self, w):\n        super().__init__()\n"
        "        self.register_buffer('w', torch.tensor([w]))\n    def forward(self, z):\n        return picture(z * self.w)\n"
        "one, two = wrap(Net(1.0), (4,), name='one'), wrap(Net(2.0), (4,), name='two')\n"
    )
    assert run("sample", "--seeds", "0", "--generator", "toy.py:one", "--out", "pool") == 0
    assert run("traverse", "set.safetensors", "--pool", "pool", "--generator", "toy.py:two", "--out", "r") == 2
    said = capsys.readouterr().err
    assert "codes of one" in said
    assert "the generator is two" in said


@pytest.mark.parametrize("file", ["attributes.npy", "measures.json"])
def test_damaged_measures_are_named(done, tmp_path, capsys, file):
    import shutil

    shutil.copytree(done / "walk", tmp_path / "walk")
    whole = (tmp_path / "walk" / "measure" / file).read_bytes()
    (tmp_path / "walk" / "measure" / file).write_bytes(whole[: len(whole) // 2])
    assert run("rank", "walk", "--out", "r") == 2
    said = capsys.readouterr().err
    assert file in said
    assert "damaged" in said
    assert not (tmp_path / "r").exists()


def test_paths_that_have_changed_are_not_named(done, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(done)
    info = PathSetInfo(space="z", generator="toy", step=0.25, count=4)
    save_paths(LinearPaths.from_vectors(VECTORS.flip(0), info), done / "set.safetensors")
    try:
        assert run("rank", "walk", "--name", "other.safetensors", "--out", tmp_path / "r") == 2
    finally:
        prepare(done)
    assert "not those that were walked" in capsys.readouterr().err
    assert not (done / "other.safetensors").exists()


def test_a_repetition_says_whether_the_same_came_out(done, tmp_path, capsys):
    import shutil

    shutil.copytree(done / "walk", tmp_path / "walk")
    shutil.rmtree(tmp_path / "walk" / "rank")
    assert cli.main(AGAIN) == 0
    assert "All 3 files of numbers and pictures are equal." in capsys.readouterr().out
    values = np.load("walk/measure/attributes.npy")
    np.save("walk/measure/attributes.npy", values + 1)
    assert cli.main([*AGAIN, "--overwrite"]) == 0
    assert "Of 3 files of numbers and pictures 1 are different: attributes.npy." in capsys.readouterr().out


def test_other_paths_of_the_same_set_are_measured_anew(capsys):
    assert run("traverse", "set.safetensors", "--paths", "0", "--seeds", "0", "--no-films", "--out", "w") == 0
    assert run("measure", "w") == 0
    assert run("traverse", "set.safetensors", "--paths", "1", "--seeds", "0", "--no-films", "--out", "w", "--overwrite") == 0
    assert run("measure", "w") == 2
    assert "paths [0] instead of [1]" in capsys.readouterr().err


def test_a_training_that_is_not_done_has_no_paths_yet(tmp_path, capsys):
    (tmp_path / "half" / "models").mkdir(parents=True)
    (tmp_path / "half" / "models" / "checkpoint.safetensors").write_bytes(b"")
    assert run("traverse", "half", "--out", "w") == 2
    assert "The training half is half-written" in capsys.readouterr().err


def test_directions_of_another_program_are_walked_and_named_in_the_space_that_is_said(tmp_path, capsys):
    np.save("plain.npy", VECTORS.numpy())
    assert cli.main(["traverse", "plain.npy", "--seeds", "0-1", "--out", "w"]) == 2
    assert "--space" in capsys.readouterr().err
    assert run("traverse", "plain.npy", "--space", "z", "--seeds", "0-1", "--steps", "3", "--no-films", "--out", "w") == 0
    assert run("measure", "w") == 0
    assert run("rank", "w", "--name", "own.safetensors", "--no-gifs") == 0
    own = load_paths("own.safetensors")
    assert (own.info.space, own.find("right")) == ("z", 1)


@pytest.mark.parametrize("device", ["foo", "meta", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    with pytest.raises(SemanifoldError, match=f"no device {device} to work on"):
        device_of(device)
