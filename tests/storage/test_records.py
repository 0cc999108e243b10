import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from semanifold.core.errors import SemanifoldError
from semanifold.storage import records
from semanifold.storage.records import checked, parse_json, read_json, read_settings, write_json


@dataclass
class Example:
    count: Annotated[int, msgspec.Meta(ge=1, le=100)]
    names: dict[int, str]
    range: tuple[float, float] = (-1.0, 1.0)


def test_a_record_becomes_what_its_schema_says() -> None:
    found = checked(json.loads('{"count": 3, "names": {"1": "smile"}, "range": [0, 2], "new": 1}'), Example, "x")
    assert found == Example(3, {1: "smile"}, (0.0, 2.0))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"count": 0, "names": {}}', "count"),
        ('{"count": "3", "names": {}}', "count"),
        ('{"count": 3}', "names"),
        ('{"count": 3, "names": {"a": "b"}}', "names"),
        ('{"count": 3, "names": {}, "range": [1]}', "range"),
        ("[]", "object"),
        ("null", "object"),
        ('{"count": 3, "names": {}, "range": [1' + "0" * 400 + ", 2]}", "range"),
    ],
)
def test_wrong_fields_are_named(text: str, words: str) -> None:
    with pytest.raises(SemanifoldError, match=words) as caught:
        checked(parse_json(text, "The record"), Example, "The record")
    assert str(caught.value).startswith("The record is damaged: ")


@pytest.mark.parametrize("text", ["[" * 100_000 + "]" * 100_000, "1" * 5000, "{", b"\xff", '"' + "\\" * 99, "[" * 65 + "]" * 65])
def test_texts_that_are_no_json_of_ours(text: str | bytes) -> None:
    with pytest.raises(SemanifoldError, match="The record"):
        parse_json(text, "The record")


def test_brackets_in_strings_do_not_count() -> None:
    deep = "[" * 1000
    assert parse_json(json.dumps({"a": deep, "b": '\\"[['}), "x") == {"a": deep, "b": '\\"[['}
    assert parse_json("[" * 64 + "]" * 64, "x")


def test_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MOST_BYTES", 10)
    (tmp_path / "a.json").write_text('{"count": 1, "names": {}}')
    with pytest.raises(SemanifoldError, match="bytes"):
        read_json(tmp_path / "a.json", Example)


def test_settings_of_other_programs(tmp_path: Path) -> None:
    assert read_settings(tmp_path / "none" / "args.json") == {}
    (tmp_path / "args.json").write_text("[1]")
    assert read_settings(tmp_path / "args.json") == {}
    (tmp_path / "args.json").write_text('{"a": NaN}')
    assert list(read_settings(tmp_path / "args.json")) == ["a"]
    (tmp_path / "args.json").write_text("{")
    with pytest.raises(SemanifoldError, match="damaged"):
        read_settings(tmp_path / "args.json")


def test_what_is_no_json_is_not_written_as_text(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="Path is not JSON"):
        write_json(tmp_path / "facts.json", {"folder": tmp_path})
    assert not list(tmp_path.iterdir())
