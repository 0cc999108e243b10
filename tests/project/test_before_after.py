"""The benchmark that compares two versions: work is done, what it gives is told apart, and every case can be read."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from support.places import ROOT

SCRIPT = ROOT / "benchmarks/before_after.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("before_after", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_results_are_kept_and_told_apart(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = [
        {"prepare": "n = 2", "time": "result = {'x': [1.0, n], 'name': 'a', 'seconds': 3}"},
        {"time": "result = {'x': [1.0, 2.5], 'name': 'b', 'more': 0}"},
        {"time": "from pathlib import Path; Path('a.json').write_text('{\"x\": 1}'); Path('run.json').write_text('{\"x\": 2}')"},
        {"time": "1 / 0"},
    ]
    monkeypatch.setattr(script, "CASES", cases)
    monkeypatch.setattr(sys, "path", [*sys.path])
    files = [tmp_path / f"{i}.npz" for i in range(4)]
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{i} {file}\n" for i, file in enumerate(files)) + "0 -\n"))
    answers = sys.stdout
    script.worker(tmp_path)
    monkeypatch.setattr(sys, "stdout", answers)
    took = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert took[3] == "ZeroDivisionError: division by zero"
    assert [len(took[i]) for i in (0, 1, 2, 4)] == [3, 3, 3, 3]
    assert np.load(files[2])["/a.json/x"] == 1
    assert dict(np.load(files[0])).keys() == {"/x/0", "/x/1", "/name"}, "times are left out, whose numbers always differ"
    assert script.compared([files[0], files[0]]) == "same"
    assert script.compared(files[:2]) == "3 of 3 differ: /more: of one only; /name: a and b; /x/1: 2e-01"


def test_cases_are_of_pages_that_exist_and_can_be_read(script: ModuleType) -> None:
    for case in script.CASES:
        assert (ROOT / "docs" / f"{case['page']}.md").is_file(), case["page"]
        for part in ("prepare", "time"):
            compile(case.get(part, ""), case["work"], "exec")
    table = (ROOT / "docs/measured-redesign.md").read_text(encoding="utf-8")
    assert [case["work"] for case in script.CASES if f"| {case['work']} |" not in table] == []
