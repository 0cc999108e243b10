"""``semanifold invert`` as a person uses it."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from PIL import Image
from support.docs_world import looked_at_once
from support.small_stylegan2 import make

from semanifold.analysis.attributes.names import attribute_reader
from semanifold.app import cli
from semanifold.app.actions import invert as invert_action
from semanifold.core.progress import Progress, Report
from semanifold.edits import load_edit
from semanifold.generators.exchange import read_codes, read_noise
from semanifold.generators.loading import load_generator, save_generator
from semanifold.images.media import to_uint8
from semanifold.inversion.checkpoints import InversionNumbers
from semanifold.inversion.solve import decibels
from semanifold.storage.run_records import read_record

QUICK = ("--starts", "4", "--tries", "1", "--iterations", "4", "--device", "cpu")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photographs, of another size and shape than the generator's pictures."""
    folder = tmp_path_factory.mktemp("photographs")
    faces = load_generator("faces")
    for name, seed in (("ann", 7), ("bob", 9)):
        face = Image.fromarray(to_uint8(faces.images(faces.sample([seed])))[0]).resize((128, 128), Image.Resampling.LANCZOS)
        wide = Image.new("RGB", (200, 128), (90, 90, 90))
        wide.paste(face, (36, 0))
        wide.save(folder / f"{name}.png")
    return folder


@pytest.fixture(autouse=True)
def _elsewhere(photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the photographs lie here."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(photographs, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr("semanifold.app.actions.placing.LOOKED_AT", 2)
    monkeypatch.setattr("semanifold.landmarks.faces.FINEST", 2)  # the faces are large
    looked_at_once(monkeypatch)


def test_a_photograph_becomes_a_code_that_other_commands_take(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["invert", "ann.png", *QUICK]) == 0
    heard = capsys.readouterr()
    assert "The face in the middle of ann.png lies as those of faces do." in heard.err
    assert "ann.png, 200 x 128 pixels, is cut to 128 x 128 in its middle." in heard.err
    assert "Next: semanifold discover --mask mouth --latents out/invert-faces-ann/code.safetensors" in heard.out
    record = read_record("out/invert-faces-ann")
    numbers = record.others["inversion"]
    assert record.status == "finished"
    assert numbers["place"] == [[36, 0], [36, 128], [164, 128], [164, 0]]
    assert {"psnr", "distance", "nature", "sncd", "usual_sncd", "starts", "seconds"} <= numbers.keys()
    assert numbers["consistency"]["psnr"] > numbers["consistency"]["edited"]
    # the picture in the folder is that of the code in all of its files, and as near as is said
    faces = load_generator("faces")
    files = ["code.safetensors", "latents.npy", "projected_w.npz", "inverted_latents.pt"]
    codes = [read_codes(f"out/invert-faces-ann/{file}", faces) for file in files]
    assert all(torch.equal(code.values, codes[0].values) for code in codes)
    picture = np.asarray(Image.open("out/invert-faces-ann/inverted.png"))
    assert np.array_equal(picture, to_uint8(faces.images(codes[0]))[0])
    middle = Image.open("ann.png").crop((36, 0, 164, 128)).resize((64, 64), Image.Resampling.LANCZOS)
    off = (picture.astype(float) - np.asarray(middle)) / 127.5
    assert decibels(float((off**2).mean())) == pytest.approx(numbers["psnr"], abs=0.2)
    assert numbers["psnr"] > 25
    with Image.open("out/invert-faces-ann/comparison.png") as sheet:
        assert sheet.width > 3 * 250
    # done is done, until the photograph is another
    assert cli.main(["invert", "ann.png", *QUICK]) == 0
    assert "finished already" in capsys.readouterr().out
    shutil.copy("bob.png", "ann.png")
    assert cli.main(["invert", "ann.png", *QUICK]) == 2
    assert "--overwrite" in capsys.readouterr().err
    # and the code is where a search begins
    assert cli.main(["mask", "mouth", "--latents", "out/invert-faces-ann/code.safetensors"]) == 0
    assert "Next: semanifold discover --mask mouth --latents out/invert-faces-ann/code.safetensors" in capsys.readouterr().out
    assert Path("out/mask-faces-mouth-invert-faces-ann").is_dir(), "another photograph's code has a folder of its own"


def test_several_photographs_have_a_folder_each(capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "invert",
        "ann.png",
        "bob.png",
        *QUICK,
        "--no-consistency",
        "--space",
        "w",
        "--out",
        "all",
        "--crop",
        "0.18,0,0.82,1",
    ]
    assert cli.main(words) == 0
    assert [read_record(f"all/{name}").others["inversion"]["place"][::2] for name in ("ann", "bob")] == [
        [[36, 0], [164, 128]]
    ] * 2
    assert capsys.readouterr().out.count("Next:") == 1
    codes, repeated = np.load("all/ann/latents.npy"), np.load("all/ann/projected_w.npz")["w"]
    assert np.array_equal(repeated, np.broadcast_to(codes[:, None], (1, 10, 128))), "as many layers as w+ has"
    assert cli.main(["rerun", "all/ann", "--out", "again"]) == 0
    assert Path("again/latents.npy").read_bytes() == Path("all/ann/latents.npy").read_bytes()


def test_weights_are_tuned_and_baked(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        cli.main(
            ["invert", "ann.png", *QUICK, "--iterations", "2", "--no-consistency", "--tune", "3", "--attributes", "faces:smile"]
        )
        == 0
    )
    said = capsys.readouterr().out
    assert "Tuned weights" in said
    read = read_record("out/invert-faces-ann").others["inversion"]["attributes"]
    assert list(read) == ["smile"]
    numbers = read_record("out/invert-faces-ann").others["inversion"]["tuning"]
    edit = load_edit("out/invert-faces-ann/edit.safetensors")
    assert edit.info.method == "pivotal tuning"
    faces = load_generator("faces")
    code = read_codes("out/invert-faces-ann/code.safetensors", faces)
    picture = np.asarray(Image.open("out/invert-faces-ann/inverted.png"))
    assert np.array_equal(picture, to_uint8(edit.images(faces, code, 1.0))[0])
    smile = attribute_reader("faces:smile").read(edit.images(faces, code, 1.0).clamp(-1, 1), faces.images(code))
    assert read["smile"]["inverted"] == pytest.approx(float(smile), abs=1e-5)
    assert read["smile"]["inverted"] != read["smile"]["photograph"]
    assert numbers["steps"] == 3
    hint = next(line for line in said.splitlines() if line.startswith("Next:"))
    assert cli.main(hint.removeprefix("Next: semanifold ").split()) == 0


def test_noise_maps_are_found_before_the_weights_and_ctrl_c_keeps_the_nearest(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semanifold.inversion.fitting.CHECKPOINT_EVERY", 5)
    generator = make(double=False)
    save_generator(generator, "small.safetensors")
    words = ["invert", "ann.png", "bob.png", *QUICK, "--generator", "small.safetensors", "--face", "0", "--no-consistency"]
    words += ["--tune-noise", "4", "--tune", "6", "--out", "both"]
    fit, interrupted = invert_action.tune, []

    def stopped(*args: object, progress: Progress, **options: object) -> object:
        def watch(report: Report) -> None:
            progress(report)
            if report["step"] == 6 and not interrupted:
                interrupted.append(report)
                raise KeyboardInterrupt

        return fit(*args, progress=watch, **options)

    monkeypatch.setattr(invert_action, "tune", stopped)
    assert cli.main(words) == 130
    heard = capsys.readouterr()
    assert "the nearest so far is in both/ann" in heard.err
    assert Path("both/ann/tuning.state").is_file()
    with Image.open("both/ann/comparison.png") as sheet:
        assert sheet.width > 4 * 250, "with the tuned picture"
    assert cli.main(words) == 0
    said = capsys.readouterr().out
    assert said.count("Fitted noise makes") == said.count("Tuned weights make") == 2
    for name in ("ann", "bob"):
        numbers = read_record(f"both/{name}").others["inversion"]
        assert numbers["noise"]["psnr"] >= numbers["noise"]["before"]
        assert numbers["tuning"]["before"] == pytest.approx(numbers["noise"]["psnr"], abs=1e-3)
        assert not list(Path(f"both/{name}").glob("*.state"))
        assert not Path(f"both/{name}/preview.png").exists()
        edit = load_edit(f"both/{name}/edit.safetensors")
        assert {"convs.3", "convs.3.noise"} <= set(edit.layers)
        code = read_codes(f"both/{name}/code.safetensors", generator)
        picture = np.asarray(Image.open(f"both/{name}/inverted.png"))
        assert np.array_equal(picture, to_uint8(edit.images(generator, code, 1.0))[0])
    # the maps are in the files of other programs, all photographs in one
    every = read_noise("both/projected.pt", generator)
    assert len(every) == len(read_codes("both/projected.pt", generator)) == 2
    with np.load("both/bob/projected_w.npz") as arrays:
        assert np.allclose(arrays["noise3"], every[1]["convs.3.noise"])
    assert cli.main(["bake", "both/ann", "baked.safetensors"]) == 0


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "needs PHOTO"),
        (["none.png"], "none.png"),
        (["."], "is a folder"),
        (["text.png"], "cannot be read as an image"),
        (["ann.png", "--mask", "moth"], "did you mean 'mouth'"),
        (["ann.png", "--crop", "1,2"], "a crop is left,top,right,bottom"),
        (["ann.png", "--crop", "0.5,0,0.4,1"], "A crop is left"),
        (["ann.png", "--space", "q"], "no latent space"),
        (["ann.png", "--distance", "l3"], "There is no distance 'l3'"),
        (["ann.png", "--pixels", "nan"], "pixels"),
        (["ann.png", "--tune", "-1"], "tune"),
        (["ann.png", "--generator", "analytic", "--tune-noise", "5"], "depend on no noise maps"),
        (["ann.png", "--attributes", "identity", "--weights", "sub"], "arcface"),
        (["ann.png", "--seed", "1", "--latents", "none.npy"], "--seed or --latents"),
        (["ann.png", "--generator", "facemaps"], "nothing to invert"),
        (["ann.png", "sub/ann.png"], "share a folder"),
    ],
)
def test_bad_input_is_refused_in_a_sentence_and_nothing_is_written(
    words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("text.png").write_text("no picture")
    Path("sub").mkdir()
    shutil.copy("ann.png", "sub/ann.png")
    assert cli.main(["invert", *words]) == 2
    assert complaint in capsys.readouterr().err
    assert not Path("out").exists()


def test_ctrl_c_keeps_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["invert", "ann.png", "--iterations", "2000", "--tolerance", "0", "--enough", "200", "--no-consistency"]
    folder, drawn = Path("out/invert-faces-ann"), invert_action.sheet

    def interrupted(*pictures: torch.Tensor) -> Image.Image:
        """While the tenth step is shown."""
        monkeypatch.setattr(invert_action, "sheet", drawn)
        assert (folder / "checkpoint.safetensors").exists()
        os.kill(os.getpid(), signal.SIGINT)
        return drawn(*pictures)

    monkeypatch.setattr(invert_action, "sheet", interrupted)
    assert cli.main([*words, "--device", "cpu"]) == 130
    assert json.loads((folder / "run.json").read_text())["status"] == "interrupted"
    assert (folder / "checkpoint.safetensors").exists()
    assert (folder / "code.safetensors").exists()
    assert (folder / "comparison.png").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["ann.png", "--mask", "at:0.5,0.5"], "say whose"),
        (["grey.png", "--mask", "mouth"], "no face is found in grey.png"),
    ],
)
def test_a_mask_that_needs_a_picture_or_a_face_is_refused_without(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (64, 64), "grey").save("grey.png")
    assert cli.main(["invert", *words, *QUICK]) == 2
    heard = capsys.readouterr().err
    assert says in heard
    assert "is taken" not in heard
    assert not Path("out").exists()


@pytest.mark.parametrize("command", [["invert"], ["edit", "--edit", "faces:smile"]])
def test_a_certificate_that_cannot_sign_is_said_before_a_face_is_looked_for(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEMANIFOLD_C2PA_CERTIFICATE", "nowhere.pem")
    monkeypatch.setattr("semanifold.app.actions.placing.find_faces", lambda *_: pytest.fail("it looks for faces"))
    monkeypatch.setattr("semanifold.app.actions.photograph_parts.find_faces", lambda *_: pytest.fail("it looks for faces"))
    Image.new("RGB", (90, 80), "grey").save("wide.png")
    assert cli.main([command[0], "wide.png", *command[1:], "--device", "cpu"]) == 2
    assert "C2PA" in capsys.readouterr().err
    if command == ["invert"]:
        monkeypatch.delenv("SEMANIFOLD_C2PA_CERTIFICATE")
        assert cli.main(["invert", "wide.png", "--attributes", "identity", "--weights", "sub", *QUICK]) == 2
        assert "There is no folder sub" in capsys.readouterr().err


def test_regions_are_those_of_the_photographs_own_face_and_all_else_is_free(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--mask", "face"]):
        assert cli.main(["invert", "ann.png", *words, *QUICK, "--no-consistency", "--out", "-".join(["out", *words[1:]])]) == 0
        assert ("the photograph inside of the mask (" in capsys.readouterr().out) is bool(words)
    whole, face = (json.loads(Path(folder, "run.json").read_text())["inversion"] for folder in ("out", "out-face"))
    assert face["start"] == whole["start"] == "the encoder's code", "the whole picture is there to be read"
    assert face["psnr"] != whole["psnr"]


def test_codes_that_are_too_far_out_for_edits_are_said() -> None:
    generator = load_generator("analytic")
    code = generator.sample([0])
    for nature, far in ((1.0, False), (4.0, True)):
        numbers = cast("InversionNumbers", {"psnr": 20.0, "steps": 3, "evaluations": 9, "nature": nature})
        assert ("edits may do something else" in invert_action.described(numbers, 1.0, generator, code)) is far
