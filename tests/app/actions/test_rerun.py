"""What a stranger's run folder can do to the one who repeats it: nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from semanifold.app import cli
from semanifold.app.actions.rerun import comparison, file_comparison, from_here
from semanifold.storage.tensors import write_tensors


def forged(folder: Path, **changes: object) -> Path:
    folder.mkdir()
    held = {"format": "semanifold-run-1", "command": "sample", "arguments": {"seeds": [0]}, "status": "finished", "files": []}
    (folder / "run.json").write_text(json.dumps(held | changes))
    return folder


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("inspect", {"files": ["x"]}),
        ("convert", {"source": "faces", "target": "x.safetensors"}),
        ("completion", {"shell": "bash"}),
        ("rerun", {"run_folder": "x"}),
    ],
)
def test_a_record_of_a_command_without_a_run_folder(
    command: str, arguments: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = forged(tmp_path / "run", command=command, arguments=arguments)
    assert cli.main(["rerun", str(run), "--out", str(tmp_path / "again")]) == 2
    assert f"semanifold {command} writes no run folder" in capsys.readouterr().err


def test_code_that_the_user_names_is_the_user_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record's folder holds a file of the same name."""
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    for folder in (mine, theirs):
        folder.mkdir()
        (folder / "gen.py").write_text(f"open({str(folder / 'canary')!r}, 'w')\nraise ValueError('enough')\n")
    model = {"generator": "gen.py:g", "device": None}
    run = forged(tmp_path / "run", arguments={"seeds": [0], "model": model}, directory=str(theirs))
    monkeypatch.chdir(mine)
    assert cli.main(["rerun", str(run), "--generator", "gen.py:g", "--out", str(tmp_path / "again")]) == 2
    assert (mine / "canary").exists()
    assert not (theirs / "canary").exists()
    assert from_here("gen.py:g,faces:smile") == f"{mine}/gen.py:g,faces:smile"


def test_a_link_to_itself_is_no_folder_for_results(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run, loop = forged(tmp_path / "run"), tmp_path / "loop"
    loop.symlink_to(loop)
    for words in (["rerun", str(run), "--out", str(loop)], ["mask", "mouth", "--out", str(loop / "inside")]):
        assert cli.main(words) == 2
        assert capsys.readouterr().err.count("semanifold: ") == 1


def test_texts_of_a_record_cannot_steer_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run = forged(tmp_path / "run", environment={"torch": "\x1b[2J\u202e", "\x1b[2J": "1"}, directory="a\0b", arguments={})
    cli.main(["rerun", str(run), "--generator", "none", "--out", str(tmp_path / "again")])
    said = capsys.readouterr()
    assert all(line.isprintable() for line in (said.out + said.err).splitlines())


def test_comparing_follows_no_links_and_reads_damaged_files(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        (folder / "frames").mkdir(parents=True)
        (folder / "frames" / "a.png").write_text("same")
    (one / "frames" / "more").symlink_to(one)
    (one / "frames" / "b.png").symlink_to("/dev/zero")
    os.mkfifo(one / "c.png")
    (one / "d.safetensors").write_text("damaged")
    (other / "d.safetensors").write_text("damaged")
    assert file_comparison(one, other, ["frames", "c.png"]) == "All 1 files of numbers and pictures are equal."
    assert "1 are different: d.safetensors" in file_comparison(one, other, ["d.safetensors"])
    assert "cannot be read" in comparison(one / "d.safetensors", other / "d.safetensors")
    write_tensors(one / "e.safetensors", {"a": torch.zeros(3, dtype=torch.int32)}, {})
    write_tensors(other / "e.safetensors", {"a": torch.ones(3, dtype=torch.int32)}, {})
    assert "at most 1," in comparison(one / "e.safetensors", other / "e.safetensors")
