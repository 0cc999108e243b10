import os
from pathlib import Path

import pytest

from semanifold.core.errors import SemanifoldError, shown
from semanifold.storage.files import is_file, is_folder, opened, read_bytes, replacing, write_text


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def fail() -> None:
        with replacing(tmp_path / "a.txt") as part:
            part.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []
    write_text(tmp_path / "a.txt", "whole")
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_temporary_names_differ_and_go_through_no_link(tmp_path: Path) -> None:
    names = []
    for _ in range(2):
        with replacing(tmp_path / "a.txt") as part:
            names.append(part.name)
    assert names[0] != names[1]
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "b.txt.part").symlink_to(victim)
    (tmp_path / "b.txt").symlink_to(victim)
    write_text(tmp_path / "b.txt", "theirs")
    assert victim.read_text() == "mine"
    assert not (tmp_path / "b.txt").is_symlink()


def test_what_is_expected_is_said_as_people_say_it(tmp_path: Path) -> None:
    with pytest.raises(SemanifoldError, match="is a folder, but an encoder is expected"), opened(tmp_path, "encoder"):
        pass


def test_the_longest_names_have_temporary_names_too(tmp_path: Path) -> None:
    write_text(tmp_path / ("x" * 250), "long")
    assert (tmp_path / ("x" * 250)).read_text() == "long"


def test_pipes_folders_and_missing_files_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, words in (
        (tmp_path / "pipe", "pipe"),
        (tmp_path, "is a folder"),
        (tmp_path / "none", "There is no mask"),
        (tmp_path / ("x" * 300), "cannot be read"),
        ("a\0b", "cannot be read"),
    ):
        with pytest.raises(SemanifoldError, match=words), opened(path, "mask"):
            pass
    (tmp_path / "large").write_bytes(b"x" * 11)
    with pytest.raises(SemanifoldError, match="more than a mask ever has"):
        read_bytes(tmp_path / "large", "mask", most=10)
    assert read_bytes(tmp_path / "large", "mask", most=11) == b"x" * 11


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "none"])
def test_texts_that_name_nothing_are_no_files(name: str) -> None:
    assert not is_file(name)
    assert not is_folder(name)


def test_text_of_strangers_cannot_steer_a_terminal() -> None:
    assert shown("a\x1b[31m\u202eb\nc\udc80") == r"a\x1b[31m\u202eb\nc\udc80"
    assert shown("größe …  ok") == "größe …  ok"
    assert len(shown("x" * 10**6, 80)) == 80
