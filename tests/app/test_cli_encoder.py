"""``semanifold encoder`` as a person uses it."""

from __future__ import annotations

from pathlib import Path

import pytest
from app.test_cli import TOY

from semanifold.app import cli
from semanifold.storage.run_records import read_record

QUICK = ("--generator", "toy.py:toy", "--iterations", "6", "--batch", "4", "--device", "cpu")


def test_an_encoder_is_trained_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("toy.py").write_text(TOY)
    assert cli.main(["encoder", *QUICK]) == 0
    heard = capsys.readouterr().out
    assert "pictures that it never saw come back at" in heard
    assert "--encoder out/encoder-toy/encoder.safetensors" in heard
    assert Path("out/encoder-toy/held_out.png").stat().st_size > 0
    assert read_record("out/encoder-toy").status == "finished"
    assert cli.main(["sample", "--generator", "toy.py:toy", "--seeds", "3", "--out", "sampled"]) == 0
    words = ["invert", "sampled/frames/frame_0000.png", "--generator", "toy.py:toy", "--iterations", "3", "--no-consistency"]
    assert cli.main([*words, "--encoder", "out/encoder-toy/encoder.safetensors", "--out", "inverted"]) == 0
    capsys.readouterr()
    assert cli.main([*words, "--encoder", "none", "--starts", "4", "--out", "plain"]) == 0
    capsys.readouterr()
    for wrong, sentence in (
        (("--encoder", "nowhere.safetensors"), "nowhere.safetensors"),
        (("--encoder", "toy.py"), "toy.py"),
        (("--encoder", "none", "--seed", "1", "--latents", "x.npy"), "give --seed or --latents"),
        (("--encoder", "out/encoder-toy/encoder.safetensors", "--seed", "1"), "give --encoder, or --seed or --latents"),
    ):
        assert cli.main([*words, *wrong, "--out", "wrong"]) == 2
        assert sentence in capsys.readouterr().err
        assert not Path("wrong").exists()
    assert cli.main(["encoder", *QUICK, "--rate", "7", "--out", "wrong"]) == 2
    assert "rate is a number" in capsys.readouterr().err
