"""Run folders: the record comes first, nothing is destroyed, nothing is half-written."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.core.spaces import Space, named
from semanifold.generators.base import Generator
from semanifold.generators.exchange import export_codes, read_codes
from semanifold.storage.files import replacing, write_text
from semanifold.storage.runs import CHECKPOINT, RECORD, Run, begin_run, read_record, working

WORK = {"mask": "mouth", "seed": 7, "out": "anywhere", "overwrite": False, "search": {"springs": {"1": 0.3}, "layers": (2, 8)}}
FACTS = {"fingerprint": "abc"}

HALF = ".film.mp4.0123456789abcdef.part"
"""A temporary name, as :func:`replacing` gives it."""


def killed(run: Run) -> None:
    """Leave a run as a process does that is killed: the operating system gives the lock back."""
    assert run.lock is not None
    run.lock.release()


def listing(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b"" for p in sorted(folder.rglob("*"))}


def finish(folder: Path, **changes) -> None:
    run = begin_run(folder, "discover", WORK | changes, FACTS)
    with working(run):
        write_text(run.path("result.txt"), "done")


def work(run: Run, *names: str, ends: BaseException | None = None, half: str | None = None) -> None:
    """Do a run: write whole files, begin a half one, and end like this."""
    with working(run):
        for name in names:
            (run.path(name) if name != CHECKPOINT else run.folder / name).write_text("whole")
        if half:
            (run.folder / half).parent.mkdir(exist_ok=True)
            (run.folder / half).write_text("half")
        if ends:
            raise ends


def test_the_record_is_written_before_the_work(tmp_path):
    run = begin_run(tmp_path / "a" / "b", "discover", WORK, FACTS)
    record = json.loads((run.folder / RECORD).read_text())
    assert record["status"] == "running"
    assert record["arguments"]["search"]["layers"] == [2, 8]
    assert record["facts"] == FACTS
    assert record["environment"]["torch"] == torch.__version__
    assert set(record["environment"]) >= {"semanifold", "python", "platform", "numpy"}
    with working(run):
        assert read_record(run.folder).status == "running"
    record = read_record(run.folder)
    assert record.status == "finished"
    assert record.started <= record.ended


def test_the_same_run_is_recognised_and_another_one_refused(tmp_path):
    finish(tmp_path)
    before = listing(tmp_path)
    again = begin_run(tmp_path, "discover", WORK | {"out": "elsewhere", "overwrite": False}, FACTS)
    assert again.finished
    with pytest.raises(SemanifoldError, match="seed 7 instead of 8"):
        begin_run(tmp_path, "discover", WORK | {"seed": 8}, FACTS)
    with pytest.raises(SemanifoldError, match=r"\(layers \[2, 8\] instead of \[2, 9\]\)"):
        begin_run(tmp_path, "discover", WORK | {"search": {**WORK["search"], "layers": (2, 9)}}, FACTS)
    with pytest.raises(SemanifoldError, match="fingerprint abc instead of xyz"):
        begin_run(tmp_path, "discover", WORK, {"fingerprint": "xyz"})
    with pytest.raises(SemanifoldError, match="of discover"):
        begin_run(tmp_path, "transfer", WORK, FACTS)
    assert listing(tmp_path) == before


@pytest.mark.parametrize("value", [None, False, 0.0, (), ""])
def test_an_option_that_an_earlier_version_had_not_is_nothing_there(tmp_path, value):
    finish(tmp_path)
    newer = WORK | {"search": {**WORK["search"], "warm": value}}
    assert begin_run(tmp_path, "discover", newer, {**FACTS, "settings": {"warm": value}}).finished
    with pytest.raises(SemanifoldError, match="warm left out instead of"):
        begin_run(tmp_path, "discover", WORK | {"search": {**WORK["search"], "warm": 0.5}}, FACTS)
    finish(tmp_path / "newer", search={**WORK["search"], "warm": 0.5})
    with pytest.raises(SemanifoldError, match=r"warm 0\.5 instead of"):
        begin_run(tmp_path / "newer", "discover", newer, FACTS)


def test_overwrite_removes_what_the_earlier_run_wrote_and_nothing_else(tmp_path):
    run = begin_run(tmp_path, "discover", WORK, FACTS)
    with working(run):
        run.path("frames").mkdir()
        (tmp_path / "frames" / "frame_0000.png").write_text("old")
        write_text(run.path("result.txt"), "old")
    (tmp_path / "mine.txt").write_text("keep")
    killed(begin_run(tmp_path, "discover", WORK | {"seed": 8}, FACTS, overwrite=True))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.txt", RECORD]


def test_overwrite_never_leaves_the_folder(tmp_path):
    folder, precious = tmp_path / "run", tmp_path / "precious.txt"
    precious.write_text("keep")
    finish(folder)
    record = read_record(folder).json() | {"files": ["../precious.txt", str(precious), ".", "..", 3]}
    (folder / RECORD).write_text(json.dumps(record))
    with pytest.raises(SemanifoldError, match=r"run\.json is damaged: .*files.*; give another out=, or remove this folder"):
        begin_run(folder, "discover", WORK, FACTS, overwrite=True)
    assert precious.read_text() == "keep"


@pytest.mark.parametrize("text", ["{", '{"format": 9}', '{"format": "semanifold-run-1"}', "[" * 99])
def test_a_damaged_record_says_what_to_do(tmp_path, text):
    (tmp_path / RECORD).write_text(text)
    with pytest.raises(SemanifoldError, match="; give another folder, or remove this one and give the command that wrote it"):
        read_record(tmp_path)
    for overwrite in (False, True):
        with pytest.raises(SemanifoldError, match="; give another out=, or remove this folder"):
            begin_run(tmp_path, "discover", WORK, FACTS, overwrite=overwrite)


def test_foreign_files_are_refused_even_with_overwrite(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    before = listing(tmp_path)
    for overwrite in (False, True):
        with pytest.raises(SemanifoldError, match="not a run's"):
            begin_run(tmp_path, "discover", WORK, FACTS, overwrite=overwrite)
    with pytest.raises(SemanifoldError, match="is a file"):
        begin_run(tmp_path / "thesis.tex", "discover", WORK, FACTS)
    with pytest.raises(SemanifoldError, match="could not be written"):
        begin_run(tmp_path / "thesis.tex" / "run", "discover", WORK, FACTS)
    assert listing(tmp_path) == before


@pytest.mark.parametrize("text", ["", "[]", '{"format": "other"}', "\x00\x01", '{"format": "semanifold-run-1"}'])
def test_a_record_that_is_none(tmp_path, text):
    (tmp_path / RECORD).write_text(text)
    with pytest.raises(SemanifoldError, match=r"run\.json"):
        begin_run(tmp_path, "discover", WORK, FACTS)


def test_a_killed_run_is_resumed(tmp_path):
    first = begin_run(tmp_path, "discover", WORK, FACTS)
    first.note(searches=[{"offset": 1.0}])
    write_text(first.path("half.txt"), "kept")
    killed(first)
    second = begin_run(tmp_path, "discover", WORK, FACTS)
    assert second.resumed
    assert not second.finished
    assert second.record.searches == ({"offset": 1.0},)
    assert (tmp_path / "half.txt").exists()


def test_ctrl_c_is_recorded_and_keeps_the_checkpoint(tmp_path):
    run = begin_run(tmp_path, "discover", WORK, FACTS)
    with pytest.raises(KeyboardInterrupt):
        work(run, CHECKPOINT, half=HALF, ends=KeyboardInterrupt())
    assert read_record(tmp_path).status == "interrupted"
    assert sorted(p.name for p in tmp_path.iterdir()) == [CHECKPOINT, RECORD]
    work(begin_run(tmp_path, "discover", WORK, FACTS))
    assert [p.name for p in tmp_path.iterdir()] == [RECORD], "a finished run keeps no checkpoint"


def test_a_run_that_fails_before_any_result_leaves_nothing(tmp_path):
    folder = tmp_path / "new" / "run"
    run = begin_run(folder, "discover", WORK, FACTS)
    with pytest.raises(SemanifoldError, match="too short"):
        work(run, half=f"frames/{HALF}", ends=SemanifoldError("The path is too short."))
    assert not list(tmp_path.iterdir())


def test_a_run_that_fails_later_keeps_what_is_whole(tmp_path):
    run = begin_run(tmp_path, "discover", WORK, FACTS)
    with pytest.raises(SemanifoldError, match="disk is full"):
        work(run, "edit.txt", half=HALF, ends=OSError(28, "No space left on device"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["edit.txt", RECORD]
    record = read_record(tmp_path)
    assert record.status == "failed"
    assert "disk is full" in record.reason


def test_a_run_that_fails_around_a_run_within_goes_on(tmp_path):
    run = begin_run(tmp_path / "run", "edit", WORK, FACTS)
    work(begin_run(tmp_path / "run" / "within", "invert", WORK, FACTS), "code.txt")
    with pytest.raises(SemanifoldError, match="too short"):
        work(run, ends=SemanifoldError("The path is too short."))
    assert read_record(tmp_path / "run").status == "failed"
    assert begin_run(tmp_path / "run", "edit", WORK, FACTS).resumed


def test_a_lock_that_a_full_disk_has_no_room_for_is_gone(tmp_path, monkeypatch):
    def full() -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("semanifold.storage.locks.os.getpid", full)  # its number is the first thing that is written
    with pytest.raises(SemanifoldError, match="The disk is full"):
        begin_run(tmp_path / "run", "discover", WORK, FACTS)
    assert not list(tmp_path.iterdir())


def export_in_a_run(folder: Path) -> None:
    with working(begin_run(folder, "discover", WORK, FACTS)) as run:
        export_codes(run.path, "mouth", torch.zeros(50, 10, 128), layers=0)


def test_a_really_full_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        with (
            pytest.raises(SemanifoldError, match="The disk is full"),
            working(begin_run(disk / "run", "discover", WORK, FACTS)) as run,
        ):
            export_codes(run.path, "mouth", torch.zeros(50, 10, 128), layers=0)
        assert not list(disk.iterdir())
        (disk / "ballast").write_bytes(bytes(60 * 1024))
        with pytest.raises(SemanifoldError, match="The disk is full"):
            begin_run(disk / "run", "discover", WORK | {"note": "x" * 9000}, FACTS)
        assert [p.name for p in disk.iterdir()] == ["ballast"]
    finally:
        subprocess.run(["umount", disk], check=True)


def test_replacing_is_all_or_nothing(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(TypeError), replacing(path) as part:
        part.write_text(len("half"))  # type: ignore[arg-type]
    assert listing(tmp_path) == {"a.txt": b"old"}


class Flat(Generator):
    """Nothing but spaces."""

    name = "flat"
    spaces = named(Space("z", (4,)), Space("w", (4,)), Space("w+", (3, 4)))
    picture_shape = (1, 2, 2)

    def images(self, latents: Latents, *, size: int | None = None) -> torch.Tensor:
        raise NotImplementedError


CODES = torch.arange(24.0).reshape(2, 3, 4)


def test_codes_come_back_from_every_format(tmp_path):
    generator = Flat()
    export_codes(tmp_path.joinpath, "mouth", CODES, layers=0)
    assert {p.name for p in tmp_path.iterdir()} == {"mouth_latents.pt", "latents.npy", "projected_w.npz"}
    for name in ("mouth_latents.pt", "latents.npy"):
        codes = read_codes(tmp_path / name, generator)
        assert codes.space == "w+"
        assert torch.equal(codes.values, CODES)
    assert torch.equal(read_codes(tmp_path / "projected_w.npz", generator).values, CODES[-1:])
    assert np.load(tmp_path / "projected_w.npz")["w"].shape == (1, 3, 4)


def test_codes_of_w_are_exported_for_all_layers(tmp_path):
    export_codes(tmp_path.joinpath, "mouth", CODES[:, 0], layers=3)
    w = np.load(tmp_path / "projected_w.npz")["w"]
    assert w.shape == (1, 3, 4)
    assert (w == CODES[1, 0].numpy()).all()


def test_the_space_of_codes_is_asked_for_where_their_shape_leaves_it_open(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((5, 4), np.float64))
    with pytest.raises(SemanifoldError, match="z and w; say which with space="):
        read_codes(tmp_path / "a.npy", Flat())
    assert read_codes(tmp_path / "a.npy", Flat(), "w").space == "w"
    with pytest.raises(SemanifoldError, match=r"\[5, 4\].*\[3, 4\] in w\+"):
        read_codes(tmp_path / "a.npy", Flat(), "w+")
    with pytest.raises(SemanifoldError, match="no latent space 'ww'"):
        read_codes(tmp_path / "a.npy", Flat(), "ww")
    np.save(tmp_path / "one.npy", np.zeros((3, 4), ">f4"))
    assert read_codes(tmp_path / "one.npy", Flat(), "w+").values.shape == (1, 3, 4)


class Trap:
    def __reduce__(self):
        return (Path("trap-was-run").touch, ())


def bad_files(folder: Path) -> dict[str, Path]:
    torch.save(Trap(), folder / "trap.pt")
    np.save(folder / "trap.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    torch.save({"a": torch.zeros(1, 4), "b": torch.zeros(1, 4)}, folder / "two.pt")
    torch.save(torch.zeros(1, 3, 4, dtype=torch.int64), folder / "whole.pt")
    np.save(folder / "text.npy", np.array(["a"]))
    np.save(folder / "nan.npy", np.full((1, 3, 4), np.nan))
    np.save(folder / "none.npy", np.zeros((0, 3, 4)))
    np.save(folder / "wide.npy", np.zeros((1, 3, 5)))
    for name in ("junk.pt", "junk.npy", "junk.npz", "junk.safetensors"):
        (folder / name).write_bytes(b"\x80\x02junk" * 9)
        (folder / f"empty-{name}").write_bytes(b"")
    (folder / "codes.txt").write_text("1 2 3")
    return {p.name: p for p in sorted(folder.iterdir())} | {"missing": folder / "missing.npy", "folder": folder}


def test_files_that_hold_no_codes_give_one_sentence_and_run_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, path in bad_files(tmp_path).items():
        with pytest.raises(SemanifoldError) as caught:
            read_codes(path, Flat())
        assert len(str(caught.value)) < 400, name
    assert not (tmp_path / "trap-was-run").exists()
