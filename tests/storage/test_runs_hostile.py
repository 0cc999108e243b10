"""Run folders of strangers, of two processes at once, and runs that are made longer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from semanifold.core.errors import SemanifoldError
from semanifold.storage.files import write_text
from semanifold.storage.locks import LOCK, lock_folder
from semanifold.storage.runs import (
    RECORD,
    Run,
    begin_run,
    earlier_run,
    generator_of,
    inputs_of,
    names_code,
    read_record,
    refuse_code,
    result_files,
    working,
)

WORK = {"mask": "mouth", "model": {"generator": "faces"}, "training": {"iterations": None, "batch": 8}}
GROWING = ("iterations",)


def begin(folder: Path, *, work: dict[str, Any] | None = None, iterations: int = 100, **options: Any) -> Run:
    return begin_run(folder, "train", work or WORK, {"settings": {"iterations": iterations}}, **options)


def finish(folder: Path, **options: Any) -> None:
    with working(begin(folder, **options)) as run:
        write_text(run.path("result.txt"), "done")


def forge(folder: Path, **changes: Any) -> None:
    """Write a record as a stranger may have."""
    folder.mkdir(exist_ok=True)
    known = {"format": "semanifold-run-1", "command": "train", "arguments": WORK, "facts": {}, "status": "finished", "files": []}
    (folder / RECORD).write_text(json.dumps(known | changes))


# ---------------------------------------------------------------------------------------------------------- the record


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"facts": "text"}, "facts"),
        ({"facts": None}, "facts"),
        ({"command": 3}, "command"),
        ({"command": "x" * 10_000}, "command"),
        ({"arguments": []}, "arguments"),
        ({"status": ["finished"]}, "status"),
        ({"files": {"a": 1}}, "files"),
        ({"files": ["../precious"]}, "files"),
        ({"files": ["half of a pair \ud800"]}, "files"),
        ({"files": ["/etc/passwd"]}, "files"),
        ({"files": ["a\x1b[2J"]}, "files"),
        ({"environment": {"torch": 2}}, "environment"),
        ({"environment": None}, "environment"),
        ({"directory": ["/"]}, "directory"),
        ({"command_line": "semanifold"}, "command_line"),
        ({"searches": [1]}, "searches"),
        ({"facts": {"a": 10**400}}, "bits"),
        ({"arguments": {"seed": [1, {"x": -(10**30)}]}}, "bits"),
    ],
)
def test_fields_of_the_wrong_kind_give_one_sentence(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    forge(tmp_path, **changes)
    for opened in (lambda: read_record(tmp_path), lambda: begin(tmp_path), lambda: begin(tmp_path, overwrite=True)):
        with pytest.raises(SemanifoldError, match=words) as caught:
            opened()
        assert len(str(caught.value)) < 500
        assert "\x1b" not in str(caught.value)


def write_deep(path: Path) -> None:
    path.write_text('{"format": "semanifold-run-1", "arguments": ' + "[" * 100_000)


def write_large(path: Path) -> None:
    path.write_bytes(b" " * (17 << 20))


@pytest.mark.parametrize(
    "write", [write_deep, write_large, lambda p: p.mkdir(), os.mkfifo, lambda p: p.write_bytes(b"\xff\xfe{")]
)
def test_a_record_that_cannot_be_read_is_refused_at_once(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path / RECORD)
    for _ in range(2):
        with pytest.raises(SemanifoldError, match=r"run\.json"):
            read_record(tmp_path)
        with pytest.raises(SemanifoldError, match=r"run\.json"):
            begin(tmp_path, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == [RECORD]


def test_fields_that_nobody_knows_are_kept_and_missing_ones_are_filled(tmp_path: Path) -> None:
    known = {"format": "semanifold-run-1", "command": "discover", "arguments": {}, "later": {"a": [1.5, None]}}
    (tmp_path / RECORD).write_text(json.dumps(known))
    record = read_record(tmp_path)
    assert record.others["later"] == {"a": [1.5, None]}
    assert (record.facts, record.files, record.environment, record.status) == ({}, (), {}, "running")


def test_a_record_of_the_first_version_still_opens(tmp_path: Path) -> None:
    written = {
        "files": ["edit.safetensors", "mouth_latents.pt"],
        "format": "semanifold-run-1",
        "command": "discover",
        "arguments": {"mask": "mouth", "model": {"generator": "faces", "device": None}, "search": {"layers": [0, 8]}},
        "facts": {"generator": "faces", "fingerprint": "0123456789abcdef", "source": "bundled"},
        "status": "finished",
        "command_line": ["semanifold", "discover", "--mask", "mouth"],
        "directory": "/home/somebody",
        "started": "2026-01-01T00:00:00+00:00",
        "environment": {"semanifold": "0.1.0", "torch": "2.6.0"},
        "searches": [{"offset": 1.0, "result": "converged"}],
        "ended": "2026-01-01T00:01:00+00:00",
    }
    (tmp_path / RECORD).write_text(json.dumps(written))
    assert read_record(tmp_path).json() == written | {"stamp": None}
    assert generator_of(read_record(tmp_path)) == "faces"


# ------------------------------------------------------------------------------------------------------------ code


@pytest.mark.parametrize(
    "text", ["gen.py:g", "a/b c.py:make", "faces,x.py:f", "x.py:f,faces", "gen.PY:g", "gen.py :g", "gen.py", r"C:\a\gen.py:g"]
)
def test_code_is_recognised(text: str) -> None:
    assert names_code(text)


@pytest.mark.parametrize("text", ["faces:smile", "a.pt", "a.pyramid:x", "https://a.b/c.pt#sha256=00", "clip:a cat|an animal"])
def test_names_and_files_of_weights_are_no_code(text: str) -> None:
    assert not names_code(text)


def test_a_record_never_names_code_to_run(tmp_path: Path) -> None:
    forge(tmp_path, arguments={"model": {"generator": "gen.py:g"}})
    with pytest.raises(SemanifoldError, match=r"names code to run as its generator, gen\.py:g; .* yourself with generator="):
        generator_of(read_record(tmp_path))
    for arguments in (
        {"model": {"generator": "gen.py:g"}},
        {"attributes": "faces,x.py:f"},
        {"masks": ["mouth", "x.py:f"]},
    ):
        forge(tmp_path, arguments=arguments)
        with pytest.raises(SemanifoldError, match="names code to run as its"):
            refuse_code(read_record(tmp_path))
    forge(tmp_path)
    refuse_code(read_record(tmp_path))


@pytest.mark.parametrize("arguments", [{}, {"model": None}, {"model": {"generator": 3}}, {"model": {"generator": ""}}])
def test_a_record_without_a_generator_says_so(tmp_path: Path, arguments: dict[str, Any]) -> None:
    forge(tmp_path, arguments=arguments)
    with pytest.raises(SemanifoldError, match="names no generator; name it with generator="):
        generator_of(read_record(tmp_path))


# ----------------------------------------------------------------------------------------------------------- the lock


def test_a_folder_is_one_process_s_and_another_thread_s_neither(tmp_path: Path) -> None:
    caught: list[BaseException] = []

    def other() -> None:
        try:
            begin(tmp_path)
        except SemanifoldError as error:
            caught.append(error)

    with working(begin(tmp_path)) as run:
        for _ in range(2):
            with pytest.raises(SemanifoldError, match=rf"Another process is working in .*\(process {os.getpid()} since 2.*\)"):
                begin(tmp_path)
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        write_text(run.path("result.txt"), "done")
    assert len(caught) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["result.txt", RECORD]
    assert begin(tmp_path).finished
    assert begin(tmp_path).lock is None, "a finished run is nobody's"


CHILD = """
import sys, time
from pathlib import Path
from semanifold.storage.locks import lock_folder
lock = lock_folder(Path(sys.argv[1]))
print("locked", flush=True)
time.sleep(60)
"""


def test_a_killed_process_gives_its_folder_back(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD, tmp_path], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "locked\n"
        with pytest.raises(SemanifoldError, match=f"process {child.pid} since"):
            begin(tmp_path)
        assert [p.name for p in tmp_path.iterdir()] == [LOCK], "the refused process wrote something"
    finally:
        child.kill()
        child.wait()
    finish(tmp_path)
    assert not (tmp_path / LOCK).exists()


def test_whoever_waits_for_a_lock_never_shares_it(tmp_path: Path) -> None:
    inside, most, done = [0], [0], [0]
    patience = time.monotonic() + 30  # a busy machine may need some of it

    def work() -> None:
        while done[0] < 100 and time.monotonic() < patience:
            try:
                lock = lock_folder(tmp_path)
            except SemanifoldError:
                continue
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.0005)
            inside[0] -= 1
            done[0] += 1
            lock.release()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done[0] >= 100
    assert most[0] == 1


def test_failures_give_the_folder_back(tmp_path: Path) -> None:
    for error in (KeyboardInterrupt, SemanifoldError("no")):
        with pytest.raises((KeyboardInterrupt, SemanifoldError)), working(begin(tmp_path / "a")):
            raise error
    forge(tmp_path / "b", status="running", facts={"settings": {"iterations": 100}}, arguments=WORK | {"mask": "eyes"})
    with pytest.raises(SemanifoldError, match="mask eyes instead of mouth"):
        begin(tmp_path / "b")
    assert not list(tmp_path.rglob(LOCK))


# ------------------------------------------------------------------------------------------------------- links and trees


def test_results_are_never_written_through_links(tmp_path: Path) -> None:
    folder, home = tmp_path / "run", tmp_path / "home"
    home.mkdir()
    (home / "precious.txt").write_text("mine")
    forge(folder, status="running", facts={"settings": {"iterations": 100}})
    (folder / "frames").symlink_to(home)
    (folder / "film.mp4").symlink_to(home / "precious.txt")
    (folder / "gone.txt").symlink_to(home / "new.txt")
    (folder / "Group_all").mkdir()
    (folder / "Group_all" / "corr").symlink_to(home)
    run = begin(folder)
    for name in ("frames", "film.mp4", "gone.txt", "Group_all"):
        with pytest.raises(SemanifoldError, match="is a link to another place"):
            run.path(name)
    for name in ("..", ".", "a/b", "", RECORD, LOCK, "a\x00b"):
        with pytest.raises(SemanifoldError, match="cannot be called"):
            run.path(name)
    assert [p.name for p in home.iterdir()] == ["precious.txt"]


def test_a_record_or_a_lock_that_is_a_link_changes_nothing_elsewhere(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    folder = tmp_path / "run"
    forge(folder, status="running", facts={"settings": {"iterations": 100}})
    (folder / LOCK).symlink_to(victim)
    with pytest.raises(SemanifoldError, match="could not be written"):
        begin(folder)
    (folder / LOCK).unlink()
    (folder / f".{RECORD}.part").symlink_to(victim)
    (folder / RECORD).rename(tmp_path / "other.json")
    (folder / RECORD).symlink_to(tmp_path / "other.json")
    before = (tmp_path / "other.json").read_text()
    with working(begin(folder)):
        pass
    assert victim.read_text() == "mine"
    assert (tmp_path / "other.json").read_text() == before


def test_overwrite_removes_links_and_not_what_they_lead_to(tmp_path: Path) -> None:
    folder, home = tmp_path / "run", tmp_path / "home"
    home.mkdir()
    (home / "precious.txt").write_text("mine")
    forge(folder, files=["frames", "film.mp4", "deep"])
    (folder / "frames").symlink_to(home)
    (folder / "film.mp4").symlink_to(home / "precious.txt")
    (folder / "deep").mkdir()
    (folder / "deep" / "link").symlink_to(home)
    finish(folder, overwrite=True)
    assert sorted(p.name for p in folder.iterdir()) == ["result.txt", RECORD]
    assert (home / "precious.txt").read_text() == "mine"


def test_a_link_in_a_stranger_s_folder_is_not_taken_for_a_run_folder(tmp_path: Path) -> None:
    forge(tmp_path / "walk")
    (tmp_path / "home").mkdir()
    (tmp_path / "walk" / "measure").symlink_to(tmp_path / "home")
    with pytest.raises(SemanifoldError, match="is a link in a run folder"):
        begin(tmp_path / "walk" / "measure")
    (tmp_path / "disk").symlink_to(tmp_path / "home")
    finish(tmp_path / "disk")
    assert (tmp_path / "home" / RECORD).is_file(), "one's own links are followed"


def test_only_temporary_files_of_ours_are_removed_and_none_of_a_run_inside(tmp_path: Path) -> None:
    forge(tmp_path, status="running", facts={"settings": {"iterations": 100}})
    ours = tmp_path / "models" / ".a.bin.0123456789abcdef.part"
    theirs = tmp_path / "big.zip.part"
    inside = tmp_path / "measure" / ".a.npy.0123456789abcdef.part"
    for path in (ours, theirs, inside):
        path.parent.mkdir(exist_ok=True)
        path.write_text("half")
    forge(tmp_path / "measure")
    with working(begin(tmp_path)):
        assert not ours.exists()
    assert theirs.exists()
    assert inside.exists()


def test_deep_trees_end(tmp_path: Path) -> None:
    forge(tmp_path / "run", files=["deep"], facts={"settings": {"iterations": 100}}, status="running")
    here = os.open(tmp_path / "run", os.O_RDONLY)
    for name in ("deep", *(["d"] * 1100)):
        os.mkdir(name, dir_fd=here)
        inner = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    assert result_files(tmp_path / "run", ["deep", "..", "/"]) == []
    with pytest.raises(KeyboardInterrupt), working(begin(tmp_path / "run")):
        raise KeyboardInterrupt
    with pytest.raises(SemanifoldError, match=r"could not be written \(.*too deeply"):
        begin(tmp_path / "run", overwrite=True)
    subprocess.run(["rm", "-rf", tmp_path / "run"], check=True)


def test_results_are_listed_without_links(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name in ("a/x.png", "a/b/y.png", "z.npy", "other.txt"):
        (tmp_path / name).write_text("")
    (tmp_path / "a" / "link").symlink_to("/")
    (tmp_path / "top").symlink_to("/")
    found = result_files(tmp_path, ["a", "z.npy", "top", "../a", "none"])
    assert [str(p.relative_to(tmp_path)) for p in found] == ["a/b/y.png", "a/x.png", "z.npy"]


# --------------------------------------------------------------------------------------- what differs, and what may grow


def test_a_fact_and_an_argument_of_one_name_are_told_apart(tmp_path: Path) -> None:
    with working(begin_run(tmp_path, "rank", {"measured": "walk"}, {"measured": "old"})) as run:
        write_text(run.path("ranking.html"), "page")
    with pytest.raises(SemanifoldError, match=r"\(the measurement has changed since\).*overwrite=True"):
        begin_run(tmp_path, "rank", {"measured": "walk"}, {"measured": "new"})
    with pytest.raises(SemanifoldError, match=r"\(measured walk instead of other\)"):
        begin_run(tmp_path, "rank", {"measured": "other"}, {"measured": "old"})


def test_a_reason_is_never_empty(tmp_path: Path) -> None:
    sides: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"a": {}}, {"a": None}),
        ({"a": {"b": 1}}, {"a": {}}),
        ({"a": [1]}, {"a": [1, 2]}),
        ({}, {"x": {"y": {"z": "\x1b[31m" * 100}}}),
        ({"a": 1}, {"a": "1"}),
    ]
    for number, (before, after) in enumerate(sides):
        folder = tmp_path / str(number)
        with working(begin_run(folder, "rank", {}, before)) as run:
            run.path("x")
        with pytest.raises(SemanifoldError, match=r"holds another run \(.+\)") as caught:
            begin_run(folder, "rank", {}, after)
        assert len(str(caught.value)) < 600
        assert "\x1b" not in str(caught.value)


def test_a_finished_training_is_made_longer(tmp_path: Path) -> None:
    finish(tmp_path, iterations=100, growing=GROWING)
    assert begin(tmp_path, iterations=100, growing=GROWING).finished
    longer = WORK | {"training": {"iterations": 150, "batch": 8}}
    assert earlier_run(tmp_path, "train", longer, growing=GROWING) is not None
    run = begin(tmp_path, work=longer, iterations=150, growing=GROWING)
    assert run.resumed
    assert not run.finished
    with working(run):
        assert read_record(tmp_path).arguments["training"]["iterations"] == 150
        assert (tmp_path / "result.txt").exists()
    assert begin(tmp_path, work=longer, iterations=150, growing=GROWING).finished
    for work, iterations, growing in ((WORK, 100, GROWING), (longer, 120, GROWING), (longer, 200, ())):
        with pytest.raises(SemanifoldError, match="iterations 150 instead of"):
            begin(tmp_path, work=work, iterations=iterations, growing=growing)
    other = WORK | {"training": {"iterations": 200, "batch": 9}}
    with pytest.raises(SemanifoldError, match=r"\(batch 8 instead of 9\)"):
        begin(tmp_path, work=other, iterations=200, growing=GROWING)


def test_inputs_may_be_named_and_are_looked_for_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("mask (1).png", "a.png", "b.png"):
        Path(name).write_text(name)
    os.mkfifo("pipe")
    assert list(inputs_of({"search": {"mask": "a.png|~b.png"}})["inputs"]) == ["a.png", "b.png"]
    assert list(inputs_of({"mask": "'mask (1).png'|mouth"}, ["mask (1).png", "pipe", "none"])["inputs"]) == ["mask (1).png"]
    assert inputs_of({"mask": "pipe", "latents": "x" * 5000}) == {}
    with working(begin(tmp_path / "run", inputs=["mask (1).png"])) as run:
        run.path("x")
    Path("mask (1).png").write_text("painted over")
    with pytest.raises(SemanifoldError, match=r"\(mask \(1\)\.png has changed since\)"):
        begin(tmp_path / "run", inputs=["mask (1).png"])


def test_a_folder_cannot_be_called_by_a_zero_byte(tmp_path: Path) -> None:
    with pytest.raises(SemanifoldError, match="cannot be the name of a folder"):
        begin(tmp_path / "a\0b")
