"""``semanifold edit`` as a person uses it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from app.test_cli import TOY
from PIL import Image
from support.docs_world import looked_at_once, usually
from support.small_stylegan2 import make

from semanifold.app import cli
from semanifold.app.answers import typed
from semanifold.app.commands.base import Output
from semanifold.app.commands.invert import InversionOptions
from semanifold.app.commands.photographs import PhotoEdit
from semanifold.edits import EditInfo, Lattice, WeightEdit, load_edit, save_edit
from semanifold.generators.loading import load_generator, save_generator
from semanifold.images.media import VIEWABLE, from_uint8, to_uint8
from semanifold.images.placements import Inlay, Placement
from semanifold.inversion import placing
from semanifold.paths.files import load_paths
from semanifold.storage.run_records import read_record
from semanifold.worlds.faces.analytic import AnalyticFaces
from semanifold.worlds.faces.attribute_network import attribute_network
from semanifold.worlds.faces.factors import FACTORS

SHORT = ("--seconds", "0.4", "--fps", "10", "--size", "64", "--device", "cpu")
QUICK = ("--starts", "2", "--tries", "1", "--iterations", "4", "--no-consistency", "--device", "cpu")


def drawn(seed: int, side: int) -> Image.Image:
    """Return a drawn face."""
    generator = AnalyticFaces(side)
    return Image.fromarray(to_uint8(generator.images(generator.sample([seed])))[0])


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph of two faces on a coloured ground, and one of none."""
    folder = tmp_path_factory.mktemp("photographs")
    ground = np.random.default_rng(0).integers(60, 200, (7, 10, 3), dtype=np.uint8)
    party = Image.fromarray(ground).resize((520, 340), Image.Resampling.BICUBIC)
    party.save(folder / "nobody.png")
    party.paste(drawn(7, 200), (40, 90))
    party.paste(drawn(3, 110), (370, 60))
    party.save(folder / "party.png")
    return folder


@pytest.fixture(autouse=True)
def _elsewhere(photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the photographs lie here."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(photographs, tmp_path, dirs_exist_ok=True)
    usually(monkeypatch, InversionOptions.__init__, starts=2, tries=1, steps=4)  # how near a code comes is not the matter here
    monkeypatch.setattr(placing, "STEPS", 2)
    monkeypatch.setattr("semanifold.app.actions.placing.LOOKED_AT", 2)
    monkeypatch.setattr("semanifold.app.actions.seen.LOOKED_AT", 3)
    monkeypatch.setattr("semanifold.landmarks.faces.FINEST", 4)  # the faces are large
    looked_at_once(monkeypatch)


def pixels(file: str) -> np.ndarray:
    """Return a picture's levels."""
    return np.asarray(Image.open(file).convert("RGB")).astype(int)


def smile_in(file: str) -> float:
    """Return how much the larger face smiles, as the bundled network reads it."""
    left = Image.open(file).convert("RGB").crop((40, 90, 240, 290)).resize((64, 64), Image.Resampling.LANCZOS)
    return float(attribute_network()(from_uint8(left))[0, [factor.name for factor in FACTORS].index("smile")])


def test_the_largest_face_is_edited_and_all_else_stays(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["edit", "party.png", "--edit", "faces:smile", "--mask", "mouth", *SHORT]
    assert cli.main(words) == 0
    heard = capsys.readouterr()
    folder = "out/edit-faces-party-faces-smile-mouth"
    assert "shows 2 faces; the largest is edited" in heard.err
    assert "the photograph's film: 3 of 3" in heard.err
    assert "of the photograph's pixels change, all others stay exactly as they are" in heard.out
    before, after = pixels("party.png"), pixels(f"{folder}/edited.png")
    assert after.shape == before.shape
    changed = (before != after).any(-1)
    assert 20 < changed.sum() < 4000
    y, x = np.nonzero(changed)
    assert 40 + 0.25 * 200 < x.min() <= x.max() < 40 + 0.8 * 200, "only the mouth of the larger face"
    assert 90 + 0.55 * 200 < y.min() <= y.max() < 90 + 0.95 * 200
    for name in ("film.mp4", "film.gif", "before_after.png", "parts.png", "edit.safetensors", "frames/frame_0000.png"):
        assert Path(folder, name).stat().st_size > 0
    numbers = read_record(folder).others["photograph"]
    assert numbers["changed"] == pytest.approx(changed.mean())
    (corners,) = numbers["parts"]
    left, top, right, bottom = Placement(tuple(map(tuple, corners))).corners
    assert abs(left - 40) + abs(top - 90) + abs(right - 240) + abs(bottom - 290) < 100
    (line,) = [line for line in heard.out.splitlines() if line.startswith("Next: ")]
    assert line.endswith(f" edit party.png --edit {folder} --inversion {folder}/inversion --strength 0.5 --out {folder}-half")
    assert cli.main([*line.removeprefix("Next: semanifold ").split(), *SHORT]) == 0
    assert (pixels(f"{folder}-half/edited.png") != after).any()
    whole, shorter = (load_edit(f"{name}/edit.safetensors").info.usable for name in (folder, f"{folder}-half"))
    assert shorter == pytest.approx([end / 2 for end in whole]), "other faces get half of it as well"
    half = capsys.readouterr()
    assert f"Next: semanifold transfer {folder}-half --seeds 1-6" in half.out, "no name grows with every hint"
    assert "inverting" not in half.err, "nothing is searched for again"
    record = Path(folder, "run.json")
    record.write_text(record.read_text().replace('"finished"', '"interrupted"'))
    assert cli.main(words) == 0
    assert "finished already" not in capsys.readouterr().out, (
        "of an edit that goes on the inversion is, but nobody asked for that"
    )
    assert cli.main(words) == 0
    assert "finished already" in capsys.readouterr().out
    # the same code serves other edits; a smile fades farther than it grows on some faces, but its still is not that of a frown
    fading = ["--edit", "faces:smile", "--strength", "-1", "--inversion", f"{folder}/inversion"]
    assert cli.main(["edit", "party.png", *fading, "--out", "fades", *SHORT]) == 0
    assert smile_in("fades/edited.png") < smile_in("party.png") - 0.1
    assert cli.main(["edit", "nobody.png", *fading, "--out", "nobody"]) == 2
    assert "the inversion of another photograph" in capsys.readouterr().err


def test_every_face_is_edited(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    put, onto = [], Inlay.onto
    monkeypatch.setattr(Inlay, "onto", lambda inlay, *values: put.append(inlay) or onto(inlay, *values))
    assert cli.main(["edit", "party.png", "--edit", "faces:smile", "--all-faces", "--out", "all", *SHORT]) == 0
    assert len(put) == 2 * (len(list(Path("all").glob("frames/*.png"))) + 1), "each frame once for all films, and the still"
    changed = (pixels("party.png") != pixels("all/edited.png")).any(-1)
    assert changed[:, :280].sum() > 50
    assert changed[:, 340:].sum() > 20
    assert Path("all/edit-2.safetensors").exists()
    assert smile_in("all/edited.png") > smile_in("party.png") + 0.1
    assert cli.main(["edit", "party.png", "--edit", "faces:smile", "--all-faces", "--out", "all", *SHORT]) == 0
    said = capsys.readouterr().out
    assert "all is finished already" in said
    again = "edit party.png --edit faces:smile --all-faces --strength 0.5 --out all-half"
    assert said.count(f"Next: semanifold {again}") == 2


def test_face_0_takes_the_middle_of_a_photograph_that_shows_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("placing", "photograph_parts"):
        monkeypatch.setattr(f"semanifold.app.actions.{module}.find_faces", lambda _: pytest.fail("looked for"))
    assert cli.main(["edit", "party.png", "--edit", "faces:smile", "--face", "0", "--out", "middle", *SHORT]) == 0
    photograph: Any = read_record("middle").others["photograph"]
    (corners,) = photograph["parts"]
    assert Placement(tuple(map(tuple, corners))).corners == pytest.approx((90, 0, 430, 340))
    changed = (pixels("party.png") != pixels("middle/edited.png")).any(-1)
    assert changed[:, 90:430].any()
    assert not changed[:, :90].any()
    assert not changed[:, 430:].any()


def test_an_edit_of_an_inverted_face_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["invert", "party.png", *QUICK, "--out", "me"]) == 0
    words = ["edit", "party.png", "--edit", "faces:smile", "--inversion", "me", "--out", "on", *SHORT]
    assert cli.main(words) == 0
    edited, record = pixels("on/edited.png"), Path("on/run.json")
    assert not (pixels("party.png") != edited)[:, 300:].any(), "the larger face is the inverted one"
    record.write_text(record.read_text().replace('"finished"', '"interrupted"'))
    Path("on/edited.png").unlink()
    capsys.readouterr()
    assert cli.main(words) == 0
    heard = capsys.readouterr()
    assert "finished already" not in heard.out
    assert "inverting" not in heard.err
    assert np.array_equal(pixels("on/edited.png"), edited)


def test_an_edit_of_another_generator_is_refused_with_what_helps(capsys: pytest.CaptureFixture[str]) -> None:
    smile = load_paths("faces")[0].with_info(fingerprint="0123456789abcdef", generator="others")
    save_edit(smile, "theirs.safetensors")
    assert cli.main(["edit", "party.png", "--edit", "theirs.safetensors", "--out", "theirs"]) == 2
    said = capsys.readouterr().err
    assert "was found on others" in said
    assert "name that with --generator" in said
    assert "--force" not in said


def test_what_was_found_for_the_first_of_several_faces_can_be_used_again() -> None:
    edit = PhotoEdit(Path("party.png"), mask="mouth", face=(2, 1), strength=0.5, output=Output(out=Path("both")))
    assert typed(*edit.then) == typed(
        *("edit", "party.png", "--edit", "both/search", "--inversion", "both/inversion", "--strength", "-1"),
        *("--out", "both-backwards"),
    )
    again = PhotoEdit(Path("party.png"), edit=Path("faces:smile"), face=(2, 1), strength=0.5, output=Output(out=Path("half")))
    assert typed(*again.then) == typed("transfer", "half", "--seeds", "1-6")


def test_a_change_is_searched_for_with_any_generator(capsys: pytest.CaptureFixture[str]) -> None:
    Path("toy.py").write_text(TOY)
    words = ["edit", "party.png", "--generator", "toy.py:toy", "--crop", "0.1,0.1,0.5,0.7", "--mask", "box:0.2,0.6,0.8,0.9"]
    assert cli.main([*words, "--out", "toyed", *SHORT]) == 0
    changed = (pixels("party.png") != pixels("toyed/edited.png")).any(-1)
    inside = np.zeros_like(changed)
    inside[34 + 115 : 34 + 192, 52 + 35 : 52 + 175] = True  # the box in the crop, and a pixel of the generator's around it
    assert changed[inside].any()
    assert not changed[~inside].any()
    for file in ("inversion/code.safetensors", "search/film.mp4", "edit.safetensors", "film.mp4"):
        assert Path("toyed", file).exists()
    heard = capsys.readouterr().out
    (line,) = [line for line in heard.splitlines() if line.startswith("Next: ")]
    assert line.endswith("--edit toyed --inversion toyed/inversion --strength 0.5 --out toyed-half")
    # the path comes back to its start, so that the opposite of it is found at no t
    words = line.removeprefix("Next: semanifold ").replace("0.5", "-1").replace("toyed-half", "opposite").split()
    assert cli.main([*words, *SHORT]) == 0
    far, opposite = (np.abs(pixels(f"{folder}/edited.png") - pixels("party.png")).sum() for folder in ("toyed", "opposite"))
    assert opposite > 0.5 * far
    assert cli.main(["edit", "party.png", "--edit", "toyed", "--inversion", "toyed"]) == 2
    assert "toyed holds no code.safetensors; toyed/inversion does." in capsys.readouterr().err


def test_a_part_that_is_no_face_and_what_is_made_of_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["edit", "nobody.png", "--edit", "faces:smile", *SHORT]) == 2
    said = capsys.readouterr().err
    assert "No face was found in nobody.png; name a part by --crop left,top,right,bottom, or take its middle by --face 0." in said
    assert not Path("out").exists(), "nothing half-written"
    words = ["edit", "nobody.png", "--edit", "faces:smile", "--crop", "0.1,0.1,0.6,0.85", "--out", "cropped", "--json", *SHORT]
    assert cli.main(words) == 0
    facts = json.loads(capsys.readouterr().out)
    changed = (pixels("nobody.png") != pixels("cropped/edited.png")).any(-1)
    assert facts["changed"] == pytest.approx(changed.mean())
    assert changed[34:289, 52:312].any()
    changed[34:289, 52:312] = False
    assert not changed.any()
    said = {name: Image.open(f"cropped/{name}").info.get("XML:com.adobe.xmp", "") for name in ("edited.png", "before_after.png")}
    assert all("compositeWithTrainedAlgorithmicMedia" in text for text in said.values())
    assert "XML:com.adobe.xmp" not in Image.open("cropped/parts.png").info, "it is the photograph"
    assert "/trainedAlgorithmicMedia" in Image.open("cropped/frames/frame_0000.png").info["XML:com.adobe.xmp"]
    assert b"compositeWithTrainedAlgorithmicMedia" in Path("cropped/film.mp4").read_bytes()
    assert read_record("cropped").digital_source_type.endswith("/compositeWithTrainedAlgorithmicMedia")
    assert read_record("cropped/inversion").digital_source_type.endswith("/trainedAlgorithmicMedia")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "Say what to change"),
        (["--path", "smile", "--mask", "mouth"], "--path names a path"),
        (["--mask", "mouth", "--strength", "0"], "strength is above 0"),
        (["--mask", "mouth", "--strength", "-1"], "strength is above 0"),
        (["--mask", "muoth"], "There is no region 'muoth'"),
        (["--mask", "mouth", "--face", "3"], "There is no face 3 in party.png: 2 faces were found"),
        (["--mask", "mouth", "--face", "1", "1"], "Each face is named once"),
        (["--mask", "mouth", "--face", "2", "--crop", "0,0,1,1"], "give --face or --crop"),
        (["--mask", "mouth", "--all-faces", "--crop", "0,0,1,1"], "give --face or --crop"),
        (["--mask", "mouth", "--crop", "nan,0,1,1"], "A crop is left, top, right and bottom as fractions"),
        (["--mask", "mouth", "--crop", "0.5,0.5,0.4,0.6"], "but 0.5,0.5,0.4,0.6 was given"),
        (["--mask", "mouth", "--crop", "0,0,0.001,0.001"], "a photograph has at least 8 a side"),
        (["--mask", "mouth", "--all-faces", "--face", "2"], "Give --face or --all-faces"),
        (["--mask", "mouth", "--all-faces", "--face", "1"], "Give --face or --all-faces"),
        (["--mask", "mouth", "--face=1", "--all-faces=true"], "Give --face or --all-faces"),
        (["--mask", "mouth", "--inversion", "nowhere"], "nowhere holds no code.safetensors"),
        (["--mask", "mouth", "--inversion", "nowhere", "--tune", "3"], "its own part of the photograph"),
        (["--mask", "mouth", "--inversion", "nowhere", "--tune-noise", "3"], "its own part of the photograph"),
        (["--mask", "mouth", "--tune-noise", "-1"], "tune-noise, the number of steps, is a whole number from 0"),
        (["--edit", "faces:smiel"], "smiel"),
        (["--edit", "nowhere"], "nowhere"),
    ],
)
def test_what_makes_no_sense_is_refused(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["edit", "party.png", *words, *SHORT]) == 2
    assert sentence in capsys.readouterr().err
    assert not Path("out").exists()


def test_weights_for_non_commercial_use_are_flagged(capsys: pytest.CaptureFixture[str]) -> None:
    faces = load_generator("faces")
    faces.licence = "unknown"
    save_generator(faces, Path("stylegan2-ffhq-256x256.safetensors"))
    Path("stylegan2-ffhq-256x256.safetensors").rename("stylegan2-ffhq-256x256.pkl")
    assert cli.main(["sample", "--generator", "stylegan2-ffhq-256x256.pkl", "--seeds", "1", "--out", "flagged"]) == 0
    assert "are for non-commercial use: NVIDIA, non-commercial (by the name of the file)." in capsys.readouterr().err
    assert read_record("flagged").others["licence"] == "NVIDIA, non-commercial (by the name of the file)"
    assert cli.main(["inspect", "stylegan2-ffhq-256x256.pkl"]) == 0
    assert "non-commercial" in capsys.readouterr().out
    assert cli.main(["sample", "--seeds", "1", "--out", "ours"]) == 0
    assert "non-commercial" not in capsys.readouterr().err
    assert read_record("ours").others["licence"] == "Apache-2.0"


@pytest.fixture
def small() -> tuple[str, ...]:
    """The words for a small StyleGAN2, of which there is an edit of w."""
    generator = make(double=False)
    save_generator(generator, "small.safetensors")
    info = EditInfo(name="line", space="w", generator=generator.name, fingerprint=generator.fingerprint)
    save_edit(Lattice(torch.tensor([0.0, 1.0])[:, None].expand(2, 6), [torch.tensor([0.0, 1.0])], info), "line.safetensors")
    return ("--generator", "small.safetensors")


def test_noise_maps_that_were_fitted_to_a_photograph_belong_to_its_code(
    small: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    drawn(7, 64).save("face.png")
    assert cli.main(["invert", "face.png", *QUICK, *small, "--face", "0", "--tune-noise", "1", "--out", "me"]) == 0
    words = ["edit", "face.png", "--edit", "line.safetensors", *small, *SHORT]
    assert cli.main([*words, "--face", "0", "--tune-noise", "1", "--out", "now"]) == 0
    assert read_record("now/inversion").others["inversion"]["noise"]["steps"] == 1  # type: ignore[index]
    Path("me/edit.safetensors").unlink()
    capsys.readouterr()
    assert cli.main([*words, "--inversion", "me"]) == 2
    assert "There is no edit me/edit.safetensors" in capsys.readouterr().err


def test_a_damaged_inversion_is_refused_before_anything_is_written(
    small: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    drawn(7, 64).save("face.png")
    assert cli.main(["invert", "face.png", *QUICK, *small, "--face", "0", "--tune", "1", "--out", "me"]) == 0
    words = ["edit", "face.png", "--edit", "line.safetensors", "--inversion", "me", *small, *SHORT]
    whole = {name: Path("me", name).read_bytes() for name in ("code.safetensors", "edit.safetensors")}
    for name, data in whole.items():
        Path("me", name).write_bytes(data[:300])
        assert cli.main([*words, "--out", "new"]) == 2
        Path("me", name).write_bytes(data)
    # weights serve codes of every space; codes of z are not found from those of w+
    tuned = load_edit("me/edit.safetensors")
    assert isinstance(tuned, WeightEdit)
    save_edit(WeightEdit(tuned.deltas, tuned.info), "weights.safetensors")
    assert (
        cli.main(["edit", "face.png", "--edit", "weights.safetensors", "--inversion", "me", "--out", "heavy", *small, *SHORT])
        == 0
    )
    assert (pixels("heavy/edited.png") != pixels("face.png")).any()
    assert "changes nothing" not in capsys.readouterr().err
    # of the mapping network codes of w+ see nothing
    layer = "mapping.layers.1"
    weight = load_generator("small.safetensors").state_dict()[f"{layer}.weight"]
    save_edit(WeightEdit({layer: torch.ones_like(weight)}, replace(tuned.info, name="early", space="")), "early.safetensors")
    assert (
        cli.main(["edit", "face.png", "--edit", "early.safetensors", "--inversion", "me", "--out", "same", *small, *SHORT]) == 0
    )
    assert "early changes nothing here: it moves the weights of mapping.layers.1" in capsys.readouterr().err
    moved = ["transfer", "early.safetensors", *small, *SHORT]
    assert cli.main([*moved, "--latents", "me/code.safetensors", "--out", "moved"]) == 0
    assert "make no picture of a code of w+; it needs codes of z" in capsys.readouterr().err
    assert cli.main([*moved, "--seeds", "1", "--out", "seeded"]) == 0
    assert "changes nothing" not in capsys.readouterr().err
    of_z = Lattice(torch.tensor([0.0, 1.0])[:, None].expand(2, 7), [torch.tensor([0.0, 1.0])], replace(tuned.info, space="z"))
    save_edit(of_z, "z.safetensors")
    assert cli.main(["edit", "nobody.png", "--face", "0", "--edit", "z.safetensors", "--out", "new", *small]) == 2
    assert "The edit moves codes of z, which one of w+ cannot become; invert" in capsys.readouterr().err
    Path("me/edit.safetensors").unlink()
    assert cli.main([*words, "--out", "new"]) == 2, "the code belongs to tuned weights"
    assert "There is no edit me/edit.safetensors" in capsys.readouterr().err
    assert not Path("new").exists()
    assert cli.main(["edit", "nobody.png", "--edit", "faces:smile", "--out", "party.png"]) == 2
    assert "party.png is a file" in capsys.readouterr().err, "said before a face is looked for"


def test_a_small_photograph_is_shown_enlarged_and_written_at_its_size(
    small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semanifold.images.films.VIEWABLE", VIEWABLE)
    Image.open("party.png").crop((30, 80, 250, 300)).resize((64, 64)).save("small.png")
    words = [*SHORT[: SHORT.index("--size")], "--crop", "0,0,1,1", "--out", "small", *small]
    assert cli.main(["edit", "small.png", "--edit", "line.safetensors", *words]) == 0
    folder = Path("small")
    sizes = {name: Image.open(folder / name).size for name in ("film.gif", "parts.png", "edited.png")}
    assert sizes == {"film.gif": (256, 256), "parts.png": (512, 512), "edited.png": (64, 64)}
