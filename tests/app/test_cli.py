"""What a person does on the command line, and what they get when the input makes no sense."""

import ast
import importlib
import io
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar, get_type_hints

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from support import forks
from support.sketches import sketched

import semanifold
from semanifold.app import cli
from semanifold.app.actions import results, transfer
from semanifold.app.answers import Answer, Caller
from semanifold.app.commands.arguments import from_arguments, to_arguments
from semanifold.app.commands.base import Command, slug
from semanifold.app.commands.discover import Discover, Search
from semanifold.app.commands.edits import Transfer
from semanifold.app.commands.files import Sample
from semanifold.app.commands.table import COMMANDS, command_class
from semanifold.app.commands.values import seed_numbers
from semanifold.core.solutions import Result
from semanifold.edits import Lattice, load_edit, save_edit
from semanifold.generators.loading import save_generator
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config
from semanifold.images import media, plots
from semanifold.manifolds import adapt
from semanifold.paths.base import PathSetInfo
from semanifold.paths.files import save_paths
from semanifold.paths.linear import LinearPaths
from semanifold.storage.runs import CHECKPOINT, RECORD, read_record

SRC = Path(semanifold.__file__).parent

TOY = """
import time

import torch
from semanifold.generators.wrapped import wrap

def picture(z):
    # a face of six numbers: brightness, mouth height, mouth width, eye size, tilt, hue
    y, x = torch.meshgrid(torch.linspace(-1, 1, 24), torch.linspace(-1, 1, 24), indexing="ij")
    y, x = y.to(z), x.to(z)
    a = [torch.tanh(column)[:, None, None] for column in z.T]
    head = torch.sigmoid((0.8 - torch.sqrt(x**2 + y**2)) * 8) * (0.7 + 0.2 * a[0])
    mouth = torch.sigmoid((1 - (x / (0.3 + 0.1 * a[2])) ** 2 - ((y - 0.45) / (0.12 + 0.08 * a[1])) ** 2) * 3)
    far = [torch.sqrt((x - s) ** 2 + (y + 0.25 + 0.1 * s * a[4]) ** 2) for s in (-0.35, 0.35)]
    eyes = sum(torch.sigmoid((0.15 + 0.05 * a[3] - d) * 20) for d in far)
    grey = head * (1 - 0.8 * mouth) * (1 - 0.9 * eyes)
    return torch.stack([grey, grey * (0.8 + 0.1 * a[5]), grey * 0.7], 1) * 2 - 1

def slowly(z):
    time.sleep(0.03)
    return picture(z)

toy = wrap(picture, (6,), name="toy")
still = wrap(torch.no_grad()(picture), (6,), name="still")
five = wrap(lambda z: torch.cat([picture(z), picture(z)[:, :2]], 1), (6,), name="five")
slow = wrap(slowly, (6,), name="slow")
broken = 7
"""
MOUTH = "box:0.25,0.6,0.75,0.85"


DRAWN = ("test_transfer_shows_every_face", "test_two_edits_make_a_pad", "test_a_pad_has_a_sheet_and_a_film")
"""Tests whose figures matplotlib draws, as for the runs of the module."""


@pytest.fixture(autouse=True)
def _elsewhere(request, tmp_path, monkeypatch):
    if request.node.originalname not in DRAWN:
        sketched(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("semanifold.images.plots.plane", lambda codes: (codes[:, :2], "a test"))  # UMAP compiles for ten seconds
    (tmp_path / "toy.py").write_text(TOY)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Two finished runs on one face, one with two offsets."""
    folder = tmp_path_factory.mktemp("found")
    (folder / "toy.py").write_text(TOY)
    before = Path.cwd()
    os.chdir(folder)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("semanifold.images.plots.plane", lambda codes: (codes[:, :2], "a test"))
            assert run("discover", "--mask", MOUTH, "--offset", "0.001", "0.004", "--out", "mouth") == 0
            assert run("discover", "--mask", "box:0.1,0.1,0.9,0.5", "--out", "eyes") == 0
    finally:
        os.chdir(before)
    return folder


def run(command: str, *words: object, toy: bool = True) -> int:
    """Run a command on the toy generator, quickly; a film has four frames."""
    given = [str(word) for word in words]
    model = ["--generator", "toy.py:toy"] if toy and command != "inspect" and "--generator" not in given else []
    quick = {"--frames": "5", "--iterations": "12"} if command == "discover" else {}
    quick |= {"--seconds": "0.5", "--fps": "8"} if command in ("discover", "transfer", "combine", "render") else {}
    more = [part for name, value in quick.items() if name not in given for part in (name, value)]
    return cli.main([command, *given, *model, *more])


def listing(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b"" for p in sorted(folder.rglob("*"))}


# ------------------------------------------------------------------------------------------------- the main job


def test_discover_writes_the_whole_run_folder(found, capsys):
    folder = found / "mouth"
    names = {p.name for p in folder.iterdir()}
    pictures = {results.MP4, results.GIF, results.STRIP, results.HEAT, results.PLOT, results.OFFSETS, results.FRAMES}
    codes = {"edit-c0.001.safetensors", "edit-c0.004.safetensors", "latents.npy", "box-0.25-0.6-0.75-0.85_latents.pt"}
    assert names == {RECORD, results.EDIT, results.METRICS} | pictures | codes
    record = read_record(folder)
    assert record.status == "finished"
    assert set(record.files) == names - {RECORD}
    assert record.arguments["offset"] == [0.001, 0.004]
    assert len(record.facts["fingerprint"]) == 16
    edit = load_edit(folder / results.EDIT)
    metrics = json.loads((folder / results.METRICS).read_text())
    assert edit.info.locality == metrics["change"]
    assert metrics["change"]["mse_ratio"] < 0.3, "the mouth's box does not hold the change"
    assert [search["offset"] for search in metrics["search"]] == [0.001, 0.004]
    frames = media.FrameFolder(folder / results.FRAMES)
    assert len(frames) == 4, "out and back: the last of five frames is the first again"
    moved = np.abs(frames[2].astype(int) - frames[0]).sum(-1)
    assert moved[14:20].mean() > moved[:12].mean()


def test_another_direction_has_a_folder_of_its_own(tmp_path):
    for words in ((), ("--direction", "1"), ("--direction", "1", "--flip")):
        assert run("discover", "--mask", MOUTH, *words) == 0
    search = Discover(mask="mouth", search=Search(strength=2.0))
    assert [replace(search, offset=offsets).folder.name for offsets in ((), (0.5, 2.0))] == [
        "faces-mouth-0-strength2",
        "faces-mouth-0-strength2-c0.5-2",
    ], "as have another strength and other offsets"
    names = ("", "-direction1", "-direction1-flip")
    edits = [load_edit(next((tmp_path / "out").glob(f"*-0{name}")) / results.EDIT) for name in names]
    assert not torch.equal(edits[0].displacements, edits[1].displacements)
    assert not torch.equal(edits[1].displacements, edits[2].displacements)


def test_the_strongest_offset_is_filmed(found):
    weak, strong = json.loads((found / "mouth" / results.METRICS).read_text())["search"]
    assert max(strong["inside"]) > 2 * max(weak["inside"])
    filmed, kept = (load_file(found / "mouth" / name)["offsets"] for name in (results.EDIT, "edit-c0.004.safetensors"))
    assert torch.equal(filmed, kept)


def test_exports_are_the_codes_of_the_path(found):
    edit = load_edit(found / "mouth" / results.EDIT)
    codes = torch.load(found / "mouth" / "box-0.25-0.6-0.75-0.85_latents.pt", weights_only=True)
    t = edit.times()
    assert torch.equal(codes, edit.latents(edit.start, t).values)
    assert np.array_equal(np.load(found / "mouth" / "latents.npy"), codes.numpy())


def test_the_same_command_again_says_that_it_is_done(found, monkeypatch, capsys):
    monkeypatch.chdir(found)
    before = listing(found / "mouth")
    assert run("discover", "--mask", MOUTH, "--offset", "0.001", "0.004", "--out", "mouth") == 0
    said = capsys.readouterr()
    assert "finished already" in said.out
    assert str(Path("mouth") / results.MP4) in said.out
    assert listing(found / "mouth") == before


def test_another_command_does_not_destroy_a_run(found, monkeypatch, capsys):
    monkeypatch.chdir(found)
    before = listing(found / "mouth")
    assert run("discover", "--mask", MOUTH, "--seed", "8", "--out", "mouth") == 2
    assert "holds another run" in capsys.readouterr().err
    assert listing(found / "mouth") == before


def test_rerun_comes_out_equal(found, monkeypatch, capsys):
    monkeypatch.chdir(found)
    assert run("rerun", "eyes") == 0
    assert "equal, bit for bit" in capsys.readouterr().out
    assert (found / "eyes-again" / results.MP4).exists()
    assert run("rerun", "eyes", "--out", "eyes") == 2


def test_transfer_shows_every_face(found, monkeypatch, capsys):
    monkeypatch.chdir(found)
    assert run("transfer", "mouth", "--seeds", "1-2", "5", "--out", "others") == 0
    metrics = json.loads((found / "others" / results.METRICS).read_text())
    assert list(metrics["change"]) == ["seed 1", "seed 2", "seed 5"]
    with Image.open(found / "others" / results.STRIP) as strip:
        assert strip.height == 3 * 128 + 3 * media.GAP + media.CAPTION, "with t below the columns"
    assert (found / "others" / results.MP4).exists()


def test_what_transfer_writes_belongs_to_the_new_faces(found, monkeypatch):
    monkeypatch.chdir(found)
    assert run("transfer", "mouth", "--seeds", "1-2", "--out", "two") == 0
    edit = load_edit(found / "two" / results.EDIT)
    assert edit.info.locality == json.loads((found / "two" / results.METRICS).read_text())["change"]["seed 1"]
    assert edit.info.locality != load_edit(found / "mouth" / results.EDIT).info.locality
    codes = np.load(found / "two" / "latents.npy")
    assert codes.shape == (10, 6)
    assert np.allclose(codes[:5], edit.latents(edit.start, edit.times()).values)
    assert (found / "two" / results.HEAT).exists()
    assert (found / "two" / results.PLOT).exists()


def save_leaky(found):
    mouth, eyes = (load_edit(found / name / results.EDIT) for name in ("mouth", "eyes"))
    both = Lattice(mouth.displacements + eyes.displacements, mouth.knots, mouth.info, start=mouth.start)
    save_edit(both.with_info(locality={"mse_ratio": 1e-4}), found / "leaky.safetensors")


def test_where_a_carried_path_leaks_it_is_adapted(found, monkeypatch, capsys):
    monkeypatch.chdir(found)
    save_leaky(found)
    assert run("transfer", "leaky.safetensors", "--seeds", "1-2", "--no-adapt", "--out", "carried") == 0
    assert "--adapt bends it there" in capsys.readouterr().err
    assert not (found / "carried" / "adapted.png").exists()
    tops, columns, outside_map, stack_rows = [], [], plots.outside_map, media.stack_rows
    monkeypatch.setattr(transfer, "outside_map", lambda *given: tops.append(given[2]) or outside_map(*given))
    monkeypatch.setattr(media, "stack_rows", lambda *given: columns.extend(given[2:]) or stack_rows(*given))
    monkeypatch.setattr(transfer, "what_changed", lambda subject, t: "it opens")
    assert run("transfer", "leaky.safetensors", "--seeds", "1-2", "--out", "bent") == 0
    assert len(tops) == 4
    assert len(set(tops)) == 1, "maps of all faces have one scale"
    assert columns[0][-1] == f"change outside,\nbrightest = {tops[0]:.2g} of\nrms change inside"
    said = capsys.readouterr().out
    assert "Adapted to 2 of 2 pictures (" in said
    assert "Next: semanifold render bent" in said
    record = read_record(found / "bent").others["adapted"]
    before, after = (json.loads((found / name / results.METRICS).read_text())["change"] for name in ("carried", "bent"))
    assert list(record) == list(before) == ["seed 1", "seed 2"]
    assert " on seed 1, the first of 2 pictures: it opens.\n" in said
    (said_of,) = [line for line in said.splitlines() if "seed 1 " in line]
    assert said_of.startswith(
        "Change outside of the mask, as a share of the change inside (mean squares; carried -> adapted): seed 1 "
    ), "numbers are said once"
    for name, row in record.items():
        assert f"{name} {before[name]['mse_ratio']:.2g} -> {after[name]['mse_ratio']:.2g}" in said_of, "as plain transfer says it"
        assert row["ratio"] < 0.1 * row["carried"]
        assert after[name]["mse_ratio"] < 0.1 * before[name]["mse_ratio"]
        edit = load_edit(found / "bent" / f"edit-{name.replace(' ', '-')}.safetensors")
        assert edit.info.method == "masked manifold, adapted"
    with Image.open(found / "bent" / "adapted.png") as sheet:
        assert sheet.height == 4 * 128 + 4 * media.GAP + 3 * media.CAPTION, "with what the brightest is"
        maps = np.asarray(sheet.crop((sheet.width - 128, 0, sheet.width, sheet.height))).astype(int)
    carried, adapted = (maps[top : top + 60].sum() for top in (0, 128 + media.GAP))
    assert carried > 1.5 * adapted, "one sees what adapting gains"


def test_a_transfer_that_broke_off_goes_on_behind_the_faces_that_are_done(found, monkeypatch, capsys):
    monkeypatch.chdir(found)
    save_leaky(found)
    words, calls = ("transfer", "leaky.safetensors", "--seeds", "1-3", "--out", "broken"), []

    def adapted(generator, edit, code, *args, **more):
        calls.append(code)
        if len(calls) == 2:
            raise RuntimeError("power cut")
        if len(calls) == 4:  # Ctrl-C in the middle of the third
            return replace(adapt(generator, edit, code, *args, **more), result=Result.INTERRUPTED)
        return adapt(generator, edit, code, *args, **more)

    monkeypatch.setattr("semanifold.app.actions.transfer.adapt", adapted)
    with pytest.raises(RuntimeError, match="power cut"):
        run(*words)
    first = (found / "broken" / "edit-seed-1.safetensors").read_bytes()
    assert list(read_record(found / "broken").others["adapted"]) == ["seed 1"]
    # the second again, not the first; the third is broken off, and is not among those that are done
    assert run(*words) == 130
    assert len(calls) == 4
    assert list(read_record(found / "broken").others["adapted"]) == ["seed 1", "seed 2"]
    assert "Adapted to 3 of 3 pictures" in capsys.readouterr().out
    # a damaged row is done again, and so is a file that is not the one that was written
    (found / "broken" / "edit-seed-1.safetensors").write_bytes(first[:-1] + b"?")
    record = json.loads((found / "broken" / "run.json").read_text())
    record["adapted"]["seed 2"]["ratio"] = "none"
    (found / "broken" / "run.json").write_text(json.dumps(record))
    assert run(*words) == 0
    assert len(calls) == 7
    assert (found / "broken" / "edit-seed-1.safetensors").read_bytes() == first
    assert list(read_record(found / "broken").others["adapted"]) == ["seed 1", "seed 2", "seed 3"]
    assert run("transfer", "leaky.safetensors", "--seeds", "1", "1", "--out", "twice") == 0
    assert len(calls) == 8, "once for a seed that is named twice"


def test_edits_of_one_name_have_folders_of_their_own_when_they_are_transferred(found, tmp_path, capsys):
    for name in ("mouth-7", "photo"):
        shutil.copytree(found / "mouth", tmp_path / "out" / name)
    for edit in ("out/mouth-7", "out/photo", "out/photo/edit-c0.001.safetensors"):
        assert run("transfer", edit, "--seeds", "1", "--no-adapt") == 0
    names = {path.name for path in (tmp_path / "out").glob("*-transfer-*")}
    assert names == {"mouth-7-transfer-1-carried", "photo-transfer-1-carried", "photo-transfer-edit-c0.001-1-carried"}
    # the picture is called by its seed: the one it is put on, it was found on, or is asked for
    for edit, more, seed in (("out/photo-transfer-1-carried", (), 1), ("out/photo", (), 0), ("out/mouth-7", ("--seed", "3"), 3)):
        assert run("render", edit, *more) == 0
        assert f" on seed {seed} of toy: " in capsys.readouterr().out
    assert run("render", "out/photo/edit-c0.001.safetensors", "--out", "weak") == 0
    assert " on toy: " in capsys.readouterr().out


def test_opposites_are_not_both_given(capsys):
    assert run("transfer", "leaky.safetensors", "--adapt", "--no-adapt") == 2
    assert "--adapt and --no-adapt are opposites; give one of them." in capsys.readouterr().err


def test_a_carried_path_that_stays_inside_is_adapted_on_request_only(found, monkeypatch, capsys):
    monkeypatch.chdir(found)
    assert run("transfer", "mouth", "--seeds", "1", "--out", "as-it-is") == 0
    assert "adapted" not in read_record(found / "as-it-is").others
    assert run("transfer", "mouth", "--seeds", "1", "--adapt", "--out", "anyway") == 0
    assert list(read_record(found / "anyway").others["adapted"]) == ["seed 1"]
    folders = [Transfer(edit=Path("mouth"), adapt=adapt).others for adapt in (None, True, False)]
    assert folders == [(), ("adapted",), ("carried",)], "a folder of its own for each"
    capsys.readouterr()
    assert run("transfer", "mouth", "--seeds", "0-1", "--adapt", "--out", "its-own") == 0
    said = capsys.readouterr()
    assert "Adapted to 1 of 2 pictures (" in said.out
    assert re.search(r"carried -> adapted\): seed 0 \S+, seed 1 \S+ -> \S+;", said.out), "it was found on seed 0"
    assert "The path was found on seed 0, where there is nothing to adapt." in said.err


def test_what_has_no_mask_or_moves_no_codes_is_not_adapted(capsys):
    assert run("transfer", "faces:smile", "--adapt", "--generator", "faces") == 2
    assert "has no mask" in capsys.readouterr().err
    assert not Path("out").exists()


def test_transfer_to_codes_of_a_file(found, monkeypatch):
    monkeypatch.chdir(found)
    assert run("transfer", "mouth", "--latents", "mouth/latents.npy", "--out", "codes") == 0
    assert len(json.loads((found / "codes" / results.METRICS).read_text())["change"]) == 5


def test_combine_adds_the_edits(found, monkeypatch):
    monkeypatch.chdir(found)
    assert run("combine", "mouth", "eyes", "--out", "both") == 0
    both, mouth, eyes = (load_edit(found / name / results.EDIT) for name in ("both", "mouth", "eyes"))
    for t in (0.3, 0.5):
        assert torch.allclose(both.displacement(t), mouth.displacement(t) + eyes.displacement(t), atol=1e-6)


def test_two_edits_make_a_pad(found, monkeypatch):
    monkeypatch.chdir(found)
    assert run("combine", "mouth", "eyes", "--pad", "--out", "both-pad") == 0
    pad, mouth, eyes = (load_edit(found / name / results.EDIT) for name in ("both-pad", "mouth", "eyes"))
    assert torch.allclose(
        pad.displacement(torch.tensor([0.5, 0.25])), mouth.displacement(0.5) + eyes.displacement(0.25), atol=1e-5
    )
    walk = pad.times()
    assert torch.allclose(walk[[0, -1]], torch.zeros(2, 2), atol=1e-6), "it begins and ends at the seed, a corner"
    assert torch.allclose(walk.amin(0), torch.zeros(2), atol=1e-6)
    assert torch.allclose(walk.amax(0), torch.ones(2), atol=0.05)
    seed = media.FrameFolder(found / "both-pad" / results.FRAMES)[0]
    alone = media.contact_sheet(np.repeat(seed[None], 49, 0), columns=7, size=96)
    with Image.open(found / "both-pad" / results.PAD) as sheet:
        assert sheet.size == (alone.width, alone.height + media.CAPTION)
        shown, expected = (0, media.CAPTION, 96, 96 + media.CAPTION), (0, 0, 96, 96)
        assert np.array_equal(np.asarray(sheet.crop(shown).convert("RGB")), np.asarray(alone.crop(expected).convert("RGB")))


def test_edits_of_other_generators_or_faces_are_not_combined_in_silence(found, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(found)
    eyes = load_edit(found / "eyes" / results.EDIT)
    save_edit(eyes.with_info(fingerprint="unknown"), tmp_path / "foreign.safetensors")
    assert run("combine", "mouth", tmp_path / "foreign.safetensors", "--out", tmp_path / "foreign") == 0
    save_edit(eyes.with_info(fingerprint="0123456789abcdef", generator="other"), tmp_path / "other.safetensors")
    assert run("combine", "mouth", tmp_path / "other.safetensors", "--out", tmp_path / "no", toy=False) == 2
    assert "other (0123456789abcdef)" in capsys.readouterr().err
    moved = Lattice(eyes.displacements, eyes.knots, eyes.info, start=eyes.start.with_values(eyes.start.values + 1))
    save_edit(moved, tmp_path / "moved.safetensors")
    assert run("combine", "mouth", tmp_path / "moved.safetensors", "--out", tmp_path / "no") == 2
    assert "were found on different pictures; say with --seed" in capsys.readouterr().err
    assert run("combine", "mouth", tmp_path / "moved.safetensors", "--seed", "3", "--out", tmp_path / "yes") == 0


def test_a_mask_that_was_painted_over_is_another_run(tmp_path, capsys):
    paint = np.zeros((24, 24), np.uint8)
    paint[14:20, 6:18] = 255
    Image.fromarray(paint).save(tmp_path / "mask.png")
    assert run("discover", "--mask", "mask.png", "--out", "r") == 0
    Image.fromarray(paint.T.copy()).save(tmp_path / "mask.png")
    assert run("discover", "--mask", "mask.png", "--out", "r") == 2
    assert "holds another run (mask.png" in capsys.readouterr().err


def test_a_run_is_repeated_from_another_folder(found, tmp_path, capsys):
    assert run("rerun", found / "eyes", "--out", "again") == 0
    assert "equal, bit for bit" in capsys.readouterr().out
    assert (tmp_path / "again" / results.MP4).exists()


def test_a_class_conditional_stylegan2_from_its_class_on(tmp_path):
    config = StyleGAN2Config(16, 6, 6, (6, 5, 4), mapping_layers=2, classes=3)
    save_generator(StyleGAN2(config), tmp_path / "classes.safetensors")
    words = ["discover", "--generator", "classes.safetensors", "--mask", "box:0,0,0.5,1", "--frames", "5", "--iterations", "3"]
    words += ["--size", "32", "--seconds", "0.2"]
    assert cli.main([*words, "--class", "1", "--out", "one"]) == 0
    edit = load_edit(tmp_path / "one" / results.EDIT)
    assert edit.info.space == "w+"
    assert edit.start.labels.tolist() == [[0, 1, 0]]
    codes, farthest = np.load(tmp_path / "one" / "latents.npy"), np.load(tmp_path / "one" / "projected_w.npz")["w"]
    assert np.array_equal(farthest[0], codes[np.abs(codes - codes[0]).reshape(len(codes), -1).sum(1).argmax()])
    assert not np.array_equal(farthest[0], codes[0])
    assert cli.main([*words, "--latents", "one/projected_w.npz", "--out", "two"]) == 0, "a code of w+ without a class"
    assert cli.main(["sample", "--generator", "classes.safetensors", "--seeds", "0-4", "--class", "2", "0", "--out", "s"]) == 0
    assert load_file(tmp_path / "s" / "pool.safetensors")["labels"].argmax(1).tolist() == [2, 0, 2, 0, 2]


def test_sample_mixes_styles_cuts_the_truncation_off_and_draws_noise(tmp_path):
    generator = StyleGAN2(StyleGAN2Config(16, 6, 6, (6, 5, 4), mapping_layers=2))
    for conv in generator.convs:
        conv.noise_strength.data.fill_(0.5)
    save_generator(generator, tmp_path / "g.safetensors")
    words = ["sample", "--generator", "g.safetensors", "--space", "w+", "--out"]

    def codes(name: str, *more: str, seeds: str = "0-1") -> np.ndarray:
        assert cli.main([*words, name, "--seeds", seeds, *more]) == 0
        return np.load(tmp_path / name / "latents.npy")

    plain, other = codes("plain"), codes("other", seeds="7")
    mixed, cut = codes("mixed", "--mix", "7", "--mix-layers", "2-3"), codes("cut", "--truncation", "0", "--cutoff", "2")
    assert np.array_equal(mixed[:, 2:4], np.repeat(other[:, 2:4], 2, 0))
    assert np.array_equal(mixed[:, :2], plain[:, :2])
    assert np.array_equal(cut[:, 2:], plain[:, 2:])
    assert np.array_equal(cut[0, :2], cut[1, :2])
    assert cli.main([*words, "no", "--cutoff", "2"]) == 2
    assert np.array_equal(codes("noisy", "--noise", "random"), plain)
    codes("other noise", "--noise", "random", "--draw-seed", "1")
    pictures = [media.FrameFolder(tmp_path / name / results.FRAMES)[0] for name in ("plain", "noisy", "other noise")]
    assert not any(np.array_equal(a, b) for a, b in itertools.combinations(pictures, 2))
    assert cli.main(["rerun", "noisy"]) == 0
    assert np.array_equal(media.FrameFolder(tmp_path / "noisy-again" / results.FRAMES)[0], pictures[1])


def test_the_benchmark_is_a_run_that_can_be_repeated(tmp_path, capsys):
    words = ["bench", "locality", "--generator", "toy.py:toy", "--mask", MOUTH, "--seeds", "0", "--methods", "eigen", "ganspace"]
    assert cli.main([*words, "--out", "b"]) == 0
    assert "generalised eigenproblem" in capsys.readouterr().out
    assert set(read_record(tmp_path / "b").files) == {f"locality.{end}" for end in ("jsonl", "md", "json", "png")}
    assert cli.main([*words, "--out", "b"]) == 0
    assert "finished already" in capsys.readouterr().out
    assert cli.main([*words, "--inside", "0.3", "--out", "b"]) == 2
    assert "(inside 0.35 instead of 0.3)" in capsys.readouterr().err, "called as the option is"
    assert run("rerun", "b") == 0
    before, after = (json.loads((tmp_path / name / "locality.json").read_text())["means"][MOUTH] for name in ("b", "b-again"))
    for method in ("eigen", "ganspace"):  # rounding may depend on where arrays lie in memory
        assert after[method]["mse_ratio"] == pytest.approx(before[method]["mse_ratio"], rel=0.05, abs=1e-5)


@pytest.mark.parametrize(
    ("words", "frames"),
    [(["--frames", "9", "--play", "once"], 8), (["--reverse"], 4), (["--even", "--trim", "--until", "1.5"], None)],
)
def test_render_changes_the_timing(found, tmp_path, monkeypatch, words, frames):
    monkeypatch.chdir(found)
    assert run("render", "mouth", "--out", tmp_path / "film", *words) == 0
    held = media.FrameFolder(tmp_path / "film" / results.FRAMES)
    assert frames is None or len(held) == frames


def test_sample_writes_pictures_and_codes(tmp_path, capsys):
    assert run("sample", "--seeds", "0-3", "7", "--out", "s") == 0
    assert np.load(tmp_path / "s" / "latents.npy").shape == (5, 6)
    assert len(media.FrameFolder(tmp_path / "s" / results.FRAMES)) == 5
    assert "s/contact.png" in capsys.readouterr().out


def test_a_pad_has_a_sheet_and_a_film(tmp_path):
    assert run("discover", "--mask", MOUTH, "--dims", "2", "--frames", "3", "--iterations", "6", "--out", "pad") == 0
    assert (tmp_path / "pad" / results.PAD).exists()
    assert load_edit(tmp_path / "pad" / results.EDIT).dimensions == 2


def test_demo_ends_by_saying_what_to_open_and_to_type(tmp_path, monkeypatch, capsys):
    asked = []
    for name in ("discover", "render_edit", "combine_edits"):
        monkeypatch.setattr(
            f"semanifold.app.actions.demo.{name}", lambda command, _: asked.append(command) or Answer(next=("x",))
        )
    assert cli.main(["demo", "--seed", "5"]) == 0
    said = capsys.readouterr().out
    search, turn, both = asked
    assert (search.start.seed, turn.picture.seed, both.picture.seed) == (5, 5, 5)
    assert both.edits == (search.output.out, turn.edit)
    assert str(both.output.out / results.MP4) in said.split("Open:")[-1]
    assert said.splitlines()[-1] == "Next: semanifold discover --mask eyes --seed 7"


def test_inspect_and_convert_of_a_file_of_weights(tmp_path, capsys):
    save_file({"a": torch.zeros(2, 3)}, tmp_path / "a.safetensors")
    assert cli.main(["inspect", "a.safetensors", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["reports"][0]["usable"] is False
    assert cli.main(["inspect", "facemaps"]) == 0, "names are inspected as well"
    said = capsys.readouterr().out
    assert "a pix2pixHD generator" in said
    assert said.endswith("Use it with --generator facemaps\n")
    assert cli.main(["inspect", "analytic"]) == 2
    assert "a formula" in capsys.readouterr().err


# ----------------------------------------------------------------------------------------- Ctrl-C, kill and resumption


def long_search(folder: Path) -> BaseProcess:
    words = [
        "discover",
        "--mask",
        MOUTH,
        "--generator",
        "toy.py:slow",
        "--frames",
        "24",
        "--iterations",
        "5000",
        "--tolerance",
        "0",
    ]
    process = forks.start("import semanifold.__main__", *words, "--out", "r", err=folder / "complaint.txt")
    deadline = time.monotonic() + 120
    while not (folder / "r" / CHECKPOINT).exists() and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.05)
    return process


def test_ctrl_c_keeps_the_best_so_far(tmp_path):
    process = long_search(tmp_path)
    os.kill(process.pid, signal.SIGINT)
    assert forks.finish(process) == 130
    complaint = (tmp_path / "complaint.txt").read_text()
    assert "the best so far is kept in r" in complaint
    assert "Traceback" not in complaint
    assert read_record(tmp_path / "r").status == "interrupted"
    assert load_edit(tmp_path / "r" / results.EDIT)
    assert (tmp_path / "r" / results.MP4).exists()
    assert not list((tmp_path / "r").rglob("*.part"))


# --------------------------------------------------------------------------------------------------------- bad input


def discover(*words: str) -> list[str]:
    given = ["discover", "--generator", "toy.py:toy", "--out", "r", "--frames", "5", "--iterations", "3"]
    mask = [] if "--mask" in words else ["--mask", MOUTH]
    return [*given, *mask, *words]


BAD = {
    "unknown command": ["discovr"],
    "unknown option": discover("--ofset", "1"),
    "no mask": ["discover"],
    "not a number": discover("--seed", "x"),
    "not a choice": discover("--schedule", "aut"),
    "unknown generator": ["sample", "--generator", "facs", "--out", "r"],
    "missing generator": ["sample", "--generator", "gone.pt", "--out", "r"],
    "folder as generator": ["sample", "--generator", "folder", "--out", "r"],
    "hostile generator": ["sample", "--generator", "trap.pkl", "--out", "r"],
    "empty generator": ["sample", "--generator", "empty.pkl", "--out", "r"],
    "no such name in the user's file": ["sample", "--generator", "toy.py:tooy", "--out", "r"],
    "not a generator in the user's file": ["sample", "--generator", "toy.py:broken", "--out", "r"],
    "unknown device": ["sample", "--generator", "toy.py:toy", "--device", "gpu", "--out", "r"],
    "no seed": ["sample", "--generator", "toy.py:toy", "--seeds", "--out", "r"],
    "endless seed": ["sample", "--generator", "toy.py:toy", "--seeds", "9" * 30, "--out", "r"],
    "label without classes": ["sample", "--generator", "toy.py:toy", "--class", "3", "--out", "r"],
    "truncation without a mean": discover("--truncation", "0.7"),
    "unknown region": discover("--mask", "mouht"),
    "empty mask": discover("--mask", "box:0.5,0.5,0.5,0.5"),
    "full mask": discover("--mask", "box:0,0,1,1"),
    "mask off the picture": discover("--mask", "box:1.2,1.2,1.5,1.5"),
    "mask without sense": discover("--mask", "box:a,b"),
    "missing mask picture": discover("--mask", "gone.png"),
    "unreadable mask picture": discover("--mask", "junk.png"),
    "one frame": discover("--frames", "1"),
    "negative frames": discover("--frames", "-4"),
    "negative sigma": discover("--sigma", "-1"),
    "sigma that is NaN": discover("--sigma", "nan"),
    "offset of zero": discover("--offset", "0"),
    "infinite offset": discover("--offset", "inf"),
    "unknown space": discover("--space", "w"),
    "layers of a space without": discover("--layers", "0-3"),
    "layers that are no range": discover("--layers", "a-b"),
    "unknown distance": discover("--distance", "lpips-alx"),
    "springs that are none": discover("--springs", "1=2"),
    "missing latents": discover("--latents", "gone.npy"),
    "latents with NaN": discover("--latents", "nan.npy"),
    "latents of the wrong width": discover("--latents", "wide.npy"),
    "hostile latents": discover("--latents", "trap.pkl.npy"),
    "no frames a second": discover("--fps", "0"),
    "a film of no size": discover("--size", "0"),
    "out is a file": discover("--out", "toy.py"),
    "out below a file": discover("--out", "toy.py/r"),
    "out holds foreign files": discover("--out", "folder"),
    "out holds foreign files, overwrite": discover("--out", "folder", "--overwrite"),
    "out cannot be made": discover("--out", "/proc/semanifold"),
    "transfer of nothing": ["transfer", "gone"],
    "transfer of a folder that is no run": ["transfer", "folder"],
    "transfer of a file that is no edit": ["transfer", "toy.py"],
    "combine one": ["combine", "folder"],
    "combine what is not there": ["combine", "gone", "folder"],
    "render what is not there": ["render", "gone"],
    "render to nowhere": ["render", "gone", "--until", "x"],
    "rerun of a folder that is no run": ["rerun", "folder"],
    "rerun of nothing": ["rerun", "gone"],
    "inspect of nothing": ["inspect", "gone.pkl"],
    "inspect of a folder of other things": ["inspect", "folder"],
    "convert to another format": ["convert", "empty.pkl", "new.pt"],
    "convert what is hostile": ["convert", "trap.pkl", "new.safetensors"],
    "a generator without derivatives": ["discover", "--generator", "toy.py:still", "--mask", MOUTH],
    "pictures of five channels": ["discover", "--generator", "toy.py:five", "--mask", MOUTH],
    "noise of what has none": ["sample", "--generator", "toy.py:toy", "--noise", "random"],
    "an infinite weight": discover("--outside", "inf"),
    "convert one's own code": ["convert", "toy.py:toy", "new.safetensors"],
    "benchmark that is none": ["bench", "speed"],
    "benchmark of a region that is none": ["bench", "locality", "--generator", "toy.py:toy", "--mask", "mouht"],
    "benchmark of no component": ["bench", "locality", "--generator", "toy.py:toy", "--mask", MOUTH, "--top", "0"],
    "benchmark of a layer that is none": [
        "bench",
        "locality",
        "--generator",
        "toy.py:toy",
        "--mask",
        MOUTH,
        "--layer",
        "nowhere",
    ],
    "benchmark into a file": ["bench", "locality", "--generator", "toy.py:toy", "--mask", MOUTH, "--out", "toy.py"],
    "benchmark among foreign files": ["bench", "locality", "--generator", "toy.py:toy", "--mask", MOUTH, "--out", "folder"],
}


class Trap:
    def __reduce__(self):
        return (os.mkdir, ("trap-was-run",))


@pytest.fixture
def nonsense(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_text("years of work")
    (tmp_path / "empty.pkl").write_bytes(b"")
    (tmp_path / "junk.png").write_bytes(b"\x89PNG junk")
    torch.save(Trap(), tmp_path / "trap.pkl")
    np.save(tmp_path / "trap.pkl.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    np.save(tmp_path / "nan.npy", np.full((1, 6), np.nan))
    np.save(tmp_path / "wide.npy", np.zeros((1, 512)))
    return tmp_path


@pytest.mark.parametrize("words", BAD.values(), ids=BAD.keys())
def test_bad_input_gives_one_sentence_and_writes_nothing(nonsense, capfd, words):
    before = listing(nonsense)
    assert cli.main(words) == 2
    said = capfd.readouterr()
    lines = [line for line in said.err.splitlines() if line]
    assert len(lines) == 1, said.err
    assert lines[0].startswith("semanifold: ")
    assert 30 < len(lines[0]) < 500
    assert not said.out
    after = listing(nonsense)
    assert {k: v for k, v in after.items() if "__pycache__" not in k} == before


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["discovr"], "discover"),
        (discover("--ofset", "1"), "--offset"),
        (["sample", "--generator", "facs"], "faces"),
        (["discover"], "discover needs --mask MASK;"),
        (["train", "--k", "4.5"], "--k: '4.5' is not a whole number;"),
        (["train", "--lambda-mask", "much"], "--lambda-mask: 'much' is not a number;"),
        (["discover", "--mask", "mouth", "--offset", "1", "b"], "--offset: 'b' is not a number;"),
        (["discover", "--mask"], "--mask takes a value;"),
        (["render", "faces:smile", "--amplitudes"], "--amplitudes takes a value;"),
        (["traverse", "faces", "--paths", "--seeds", "0"], "--paths takes a value;"),
        (["train", "--layer", "--", "x"], "--layer takes a value;"),
        (["bench", "locality", "--seeds", "--quiet"], "--seeds takes a value;"),
        (["traverse", "faces", "--paths", "-1"], "There is no path -1: the set has 29 paths, 0..28."),
        (["render", "faces:-1"], "There is no path -1: the set has 29 paths, 0..28."),
        (["discover", "--mask", "mouth", "--class", "3"], "leave --class out."),
        (["sample", "--generator", "analytic", "--truncation", "2.5"], "semanifold: --truncation is from -2 to 2"),
        (discover("--seed", "x"), "--seeds: seeds are numbers and ranges, such as 7 or 0-15, but got 'x';"),
        (["discover", "--steps", "3"], "discover has no option --steps; did you mean --iterations? See semanifold discover"),
        (["train", "--paths", "3"], "train has no option --paths; did you mean --kind?"),
        (["sample", "--label", "3"], "sample has no option --label; did you mean --class?"),
        (["discover", "--quux", "3"], "discover has no option --quux; see semanifold discover --help."),
        (["discover", "--sed", "3"], "discover has no option --sed; did you mean --seed or --seeds?"),
        (["discover", "mouth", "--mask", "mouth"], "discover has no use for 'mouth';"),
        (["discover", "--mask", "mouth", "--frames", "4.5"], "--frames: '4.5' is not a whole number;"),
        (["transfer"], "transfer needs RUN;"),
        (discover("--layers", "a-b"), "--layers: layers are given as first-last"),
        (["sample", "--seeds", "0-99999999"], "at most 10000 seeds"),
        (["sample", "--seeds", "9223372036854775808"], "seeds are whole numbers of 64 bits"),
        (["mask", "--seed", "-9223372036854775809"], "--seed: '-9223372036854775809' is not a whole number of 64 bits"),
        (["train", "--draw-seed", "4800000000000000000"], "semanifold: --draw-seed must be at least -4,611"),
        (["inspect", "junk.bin"], "junk.bin is a text file, not a file of weights."),
        (["convert", "faces", "nowhere/f.safetensors"], "There is no folder nowhere to write"),
        (["bake", "no-edit-yet", "nowhere/f.safetensors"], "There is no folder nowhere to write"),
        (["rank", "no-run-yet", "--name", "nowhere/f.safetensors"], "nowhere/f.safetensors cannot be written;"),
        (["encoder", "--iterations", "0"], "semanifold: --iterations is a whole number from 1 to"),
        (["invert", "toy.py", "--iterations", "0"], "semanifold: --iterations is a whole number from 1 to"),
        (discover("--iterations", "0"), "semanifold: --iterations must be at least 1"),
        (discover("--batch", "0"), "semanifold: --batch must be at least 1"),
        (["invert", "toy.py", "--crop", "-1,0,1,1"], "0.2,0.1,0.8,0.7, but -1,0,1,1 was given."),
        (["invert", "toy.py", "--crop=-1,0,1,1"], "0.2,0.1,0.8,0.7, but -1,0,1,1 was given."),
        (["sample", "--seeds", "-3--1"], "seeds are numbers and ranges, such as 7 or 0-15, but got '-3--1'"),
        (["render", "faces:smile", "--until", "-1x"], "--until: '-1x' is not a number"),
        (["discover", "--mask", "mouth", "--offset", "-1,2"], "--offset: '-1,2' is not a number"),
        (discover("--layers", "-1-2"), "--layers: layers are given as first-last, such as 2-7, but got '-1-2'"),
        (["sample", "--seeds", ""], "seeds are numbers and ranges, such as 7 or 0-15, but got ''"),
        (discover("--distance", "lpips-alx"), "lpips-alex"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_sentence_names_what_was_meant(capsys, monkeypatch, words, near, encoding):
    Path("junk.bin").write_text("junk")
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))  # boxes need Unicode
    assert cli.main(words) == 2
    assert near in capsys.readouterr().err


@pytest.mark.parametrize("words", [("3", "-3,4"), ("3", "-3-4"), ("-3,4", "-1"), ("0", "-3", "-2,1")])
def test_seeds_below_zero_come_after_others(words: tuple[str, ...]) -> None:
    request = cli.parse(["sample", "--seeds", *words, "--truncation", "0.5"])
    assert isinstance(request, Sample)
    assert request.seeds == seed_numbers(words)


def test_ctrl_c_before_a_command_has_begun(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "spoken", interrupted)
    assert cli.main(["sample"]) == 130
    assert capsys.readouterr().err == "semanifold: interrupted.\n"


def test_a_full_disk_in_the_middle_of_a_run(tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("semanifold.images.plots.heat_map", full)
    assert run("discover", "--mask", MOUTH, "--out", "r") == 2
    complaint = capsys.readouterr().err.strip().splitlines()[-1]
    assert complaint.startswith("semanifold: The disk is full")
    assert read_record(tmp_path / "r").status == "failed"
    assert not list(tmp_path.rglob("*.part"))
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("semanifold.images.plots.plane", lambda codes: (codes[:, :2], "a test"))
    monkeypatch.setattr("semanifold.app.actions.discover.discover_manifold", lambda *_, **__: pytest.fail("searched again"))
    assert run("discover", "--mask", MOUTH, "--out", "r") == 0
    assert read_record(tmp_path / "r").status == "finished"


# -------------------------------------------------------------------------------------------------------- help and imports


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_has_help_that_names_each_argument(command, capsys):
    assert cli.main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"Usage: semanifold {command}" in text
    assert "``" not in text
    assert "MISSING" not in text
    assert max(map(len, text.splitlines())) <= 100


def test_the_overview_lists_every_command(capsys):
    assert cli.main([]) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text for name in COMMANDS)
    assert cli.main(["--version"]) == 0
    assert semanifold.__version__ in capsys.readouterr().out


def test_arguments_survive_the_way_through_json():
    words = [
        "--mask",
        "mouth",
        "--offset",
        "1",
        "2",
        "--layers",
        "2-7",
        "--springs",
        "1:0.5,3:0.2",
        "--latents",
        "a.npy",
        "--seed",
        "4",
    ]
    command = cli.parse(["discover", *words])
    arguments = json.loads(json.dumps(to_arguments(command)))
    assert arguments["search"]["layers"] == [2, 8]
    assert from_arguments(type(command), arguments) == command


def test_seeds_are_numbers_and_ranges():
    assert seed_numbers(["0-3", "8,10"]) == (0, 1, 2, 3, 8, 10)


def test_a_mask_and_its_complement_go_to_different_folders():
    names = [slug(f"faces-{mask}-7") for mask in ("mouth", "~mouth", "mouth|eyes", "mouth&eyes", "~(mouth|eyes)")]
    assert len(set(names)) == len(names)
    assert names[1] == "faces-not-mouth-7"


@pytest.mark.parametrize(
    "words",
    [
        ["edit", "face.png", "--edit", "faces:smile"],
        ["invert", "face.png"],
        ["sample", "--seeds", "1"],
        ["discover", "--mask", "mouth", "eyes"],
        ["traverse", "faces", "--seeds", "1"],
        ["train", "--quick"],
        ["encoder"],
        ["demo"],
        ["bench", "locality"],
    ],
    ids=lambda words: words[0],
)
@pytest.mark.parametrize("out", ["/proc/semanifold/within", "toy.py/within"])
def test_a_folder_that_cannot_be_written_is_refused_before_any_work(monkeypatch, capsys, words, out):
    def work(name):
        raise AssertionError(f"{name} is imported")

    Image.new("RGB", (64, 64)).save("face.png")
    monkeypatch.setattr("semanifold.app.commands.base.importlib", SimpleNamespace(import_module=work))
    assert cli.main([*words, "--out", out]) == 2
    assert f"{out} could not be written" in capsys.readouterr().err
    assert not Path("out").exists()


def test_negative_seeds_are_seeds_of_their_own():
    assert cli.main(["sample", "--generator", "toy.py:toy", "--seeds", "-1"]) == 0
    assert cli.main(["sample", "--generator", "toy.py:toy", "--seeds", "1"]) == 0
    first, second = (Path(f"out/sample-toy-{name}/frames/frame_0000.png") for name in ("minus1-minus1", "1-1"))
    assert first.read_bytes() != second.read_bytes()


def test_long_masks_go_to_different_folders():
    corners = [f"0.{i},0.{i + 1}" for i in range(100, 140)]
    names = [slug(f"faces-polygon:{' '.join(points)}-{seed}") for points in (corners, corners[:-1]) for seed in (1, 2)]
    assert len(set(names)) == 4
    assert max(map(len, names)) <= 80


def test_a_name_that_is_too_long_for_a_folder_is_refused(capsys):
    assert cli.main(["sample", "--seeds", "0", "--out", "a" * 300]) == 2
    assert "cannot be a folder" in capsys.readouterr().err


def test_importing_semanifold_is_quick_and_light():
    code = (
        "import time; began = time.process_time(); import semanifold, semanifold.app.cli; spent = time.process_time() - began\n"
        "import sys; semanifold.app.cli.overview()\n"
        "heavy = {'torch', 'matplotlib', 'lpips', 'umap', 'jinja2', 'cyclopts', 'numpy', 'PIL', 'tqdm', 'imageio_ffmpeg'}\n"
        "print(spent, heavy & set(sys.modules))"
    )
    spent, heavy = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split(
        maxsplit=1
    )
    assert heavy.strip() == "set()"
    assert float(spent) < 0.2


def test_commands_leave_plotting_and_metrics_until_they_are_needed():
    code = (
        "import sys, semanifold.app.commands.discover, semanifold.app.commands.edits, semanifold.app.commands.files\n"
        "print({'matplotlib', 'lpips', 'umap', 'torchvision', 'scipy', 'sklearn', 'imageio_ffmpeg'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "set()"


def test_public_names_are_few_and_all_there():
    assert len(semanifold.__all__) <= 42
    for name in semanifold.__all__:
        assert getattr(semanifold, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        semanifold.nothing  # noqa: B018


ROOMS = [
    {"core"},
    {"storage"},
    {"images"},
    {"landmarks"},
    {"generators"},
    {"worlds", "edits"},
    {"manifolds", "paths", "inversion"},
    {"training"},
    {"analysis", "locality"},
    {"app"},
    {"__main__", "__init__"},
]
"""DESIGN, section 2: a module imports its own floor and the floors below."""
APART = [{"manifolds", "paths", "inversion"}, {"worlds", "edits"}]
"""Rooms of one floor that do not know each other."""
DOORS = [{"answers", "showing", "inspecting"}, {"commands"}, {"actions"}, {"process", "terminal"}, {"cli"}]
"""The floors inside of app: requests (commands) name their actions, and import none; no action speaks or changes the process."""


def imports(path: Path) -> set[str]:
    """Every room that a module imports, and of app every room inside, wherever in the file, but not for the type checker only."""
    found, nodes = set(), [ast.parse(path.read_text())]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        nodes += [inner for inner in ast.iter_child_nodes(node) if not isinstance(inner, ast.expr)]
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "semanifold":
            found |= {f"{node.module}.{a.name}" for a in node.names}
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names if a.name.startswith("semanifold.")}
    return {room_of(name.split(".")[1:]) for name in found}


def room_of(parts: list[str]) -> str:
    return f"app.{parts[1]}" if parts[0] == "app" and len(parts) > 1 else parts[0]


def test_imports_go_one_way_between_the_rooms():
    floor = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}
    inside = {f"app.{room}": floor["app"] + (level + 1) / 10 for level, rooms in enumerate(DOORS) for room in rooms}
    floor |= inside
    for path in SRC.rglob("*.py"):
        own = room_of([part.removesuffix(".py") for part in path.relative_to(SRC).parts if part != "__init__.py"] or ["__init__"])
        assert own in floor, f"{own} has no floor: give it one here and in the design"
        for other in imports(path) - {own}:
            assert floor[other] <= floor[own], f"{path.relative_to(SRC)} imports {other}, which lies above it"
            assert not any({own, other} <= rooms for rooms in APART), f"{path.relative_to(SRC)} imports {other}, a room apart"


@pytest.mark.parametrize("command", [*COMMANDS, "one search"])
def test_every_command_is_a_request_that_names_its_action(command):
    kind = command_class("discover").recorded_as() if command == "one search" else command_class(command)
    assert kind.perform is Command.perform
    module, _, function = kind.does.partition(":")
    answer = getattr(importlib.import_module(module), function)
    assert answer.__module__.startswith("semanifold.app.actions.")
    assert list(get_type_hints(answer).values()) == [kind, Caller, Answer]


def test_a_request_that_is_settled_asks_for_no_action():
    @dataclass(frozen=True)
    class Asked(Command):
        does: ClassVar[str] = "semanifold.nowhere:answer"
        done: bool

        def settled(self) -> Answer | None:
            return Answer(said=("done",)) if self.done else None

    assert Asked(True).perform().said == ("done",)
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        Asked(False).perform()


@pytest.fixture
def set_of_paths(tmp_path):
    """Three directions of the toy's codes, two of them with a name, in a file."""
    info = PathSetInfo(generator="toy", space="z", step=0.25, count=4, names={1: "mouth height +", 2: "width"})
    paths = LinearPaths.from_vectors(torch.eye(6)[:3], info)
    save_paths(paths, tmp_path / "paths.safetensors")
    return "paths.safetensors"


def test_a_path_of_a_set_is_rendered_from_any_picture_and_measured_in_a_mask(set_of_paths):
    base = ["--generator", "toy.py:toy", "--seed", "3", "--mask", MOUTH]
    assert cli.main(["render", set_of_paths, "--path", "mouth height", *base, "--out", "a"]) == 0
    assert cli.main(["render", f"{set_of_paths}:1", *base, "--out", "b"]) == 0
    edit = load_edit("a/edit.safetensors")
    assert edit.info.name == "mouth height +"
    assert edit.info.mask == MOUTH
    assert 0 < edit.info.locality["mse_ratio"] < 1
    assert torch.equal(edit.displacement(1.0), torch.eye(6)[1:2])
    assert Path("a/film.mp4").stat().st_size == Path("b/film.mp4").stat().st_size
    assert Path("a/path.png").exists()


def test_a_path_is_combined_with_a_manifold_on_the_manifolds_face(set_of_paths, found):
    run, edit = str(found / "mouth"), load_edit(found / "mouth" / "edit.safetensors")
    assert cli.main(["combine", run, f"{set_of_paths}:width", "--generator", "toy.py:toy", "--out", "both"]) == 0
    both = load_edit("both/edit.safetensors")
    assert torch.equal(both.start.values, edit.start.values)
    path = torch.eye(6)[2:3]  # the manifold comes back to the face, and the path with it
    assert torch.allclose(both.displacement(0.5), edit.displacement(0.5) + path, atol=1e-6)
    assert torch.allclose(both.displacement(1.0), torch.zeros(1, 6), atol=1e-6)


def test_a_path_is_put_onto_other_pictures(set_of_paths):
    words = [
        "transfer",
        set_of_paths,
        "--path",
        "2",
        "--seeds",
        "4-5",
        "--generator",
        "toy.py:toy",
        "--mask",
        MOUTH,
        "--frames",
        "9",
        "--out",
        "t",
    ]
    assert cli.main(words) == 0
    change = json.loads(Path("t/metrics.json").read_text())["change"]
    assert set(change) == {"seed 4", "seed 5"}
    assert len(list(Path("t/frames").iterdir())) == 9


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["render", "paths.safetensors:smile"], "There is no path 'smile'"),
        (["render", "paths.safetensors", "--path", "7"], "0..2"),
        (["transfer", "nothing.safetensors", "--path", "1"], "nothing.safetensors"),
        (["render", "paths.safetensors", "--path", "1", "--mask", "box:2,2,3,3"], "mask"),
    ],
)
def test_a_path_or_mask_that_is_not_there(set_of_paths, capfd, words, said):
    assert cli.main([*words, "--generator", "toy.py:toy", "--out", "r"]) == 2
    assert said in capfd.readouterr().err
    assert not Path("r").exists()


def test_paper_begins_from_the_published_settings_and_takes_any_other_value(tmp_path):
    command = cli.parse(["discover", "--mask", MOUTH, "--paper", "--distance", "l2", "--frames", "24"])
    settings = command.search.settings("w+", None)
    assert (settings.distance, settings.frames) == ("l2", 24)  # the defaults of ours, asked for
    assert (settings.offset, settings.sigma, settings.method, settings.layers) == (0.25, 4.0, "paper", (2, 8))
    assert cli.parse(["discover", "--mask", MOUTH]).search.settings("w+", None).method == "staged"
