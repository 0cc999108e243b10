"""Commands in odd places: closed and full outputs, narrow windows, folders that are gone or hold settings of others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from support import forks

from semanifold.app import cli
from semanifold.images.plots import Filmed, heat_pictures, path_plot, plane

SEMANIFOLD = f"{sys.executable} -m semanifold"


def typed(words: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the words of a shell."""
    found = {**os.environ, **environment}
    return subprocess.run(
        ["bash", "-c", words.replace("semanifold", SEMANIFOLD)],
        cwd=folder, env=found, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("columns", ["0", "1", "12", "-5", "x", "1000000000"])
def test_help_in_a_window_of_any_width(columns: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert cli.main(["discover", "--help"]) == 0
    said = capsys.readouterr().out
    assert "--mask" in said
    assert max(map(len, said.splitlines())) <= 100


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("semanifold sample --seeds x 2>&-", 2),
        ("semanifold sample --seeds x 2>/dev/full", 2),
        ("semanifold sample --seeds x >&- 2>&- <&-", 2),
        ("semanifold zoo list --json 2>&-", 0),
        ("PYTHONIOENCODING=ascii:strict semanifold zoo list", 0),
        ("PYTHONIOENCODING=ascii:strict semanifold inspect ー.pt", 2),
        ("mkdir gone; cd gone; rmdir ../gone; semanifold sample", 2),
    ],
)
def test_odd_outputs(words: str, code: int, tmp_path: Path) -> None:
    said = typed(words, tmp_path)
    assert said.returncode == code, said.stderr
    assert "Traceback" not in said.stderr
    assert said.stderr.count("\n") <= 1


def test_work_goes_on_without_an_error_output(tmp_path: Path) -> None:
    said = typed("semanifold sample --generator analytic --seeds 0-1 --out a 2>/dev/full", tmp_path)
    assert (said.returncode, (tmp_path / "a" / "contact.png").is_file()) == (0, True)


def test_no_memory_is_said_in_a_sentence(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def raising(error: Exception) -> int:
        raise error

    for error in (MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")):
        monkeypatch.setattr(cli, "parse", lambda words, error=error: type("C", (), {"perform": lambda *_: raising(error)})())
        assert cli.main(["sample"]) == 2
        assert "not enough memory" in capsys.readouterr().err
    monkeypatch.setattr(cli, "parse", lambda words: raising(RuntimeError("a fault of ours")))
    with pytest.raises(RuntimeError):
        cli.main(["sample"])


DRAWING = """
import sys
assert "matplotlib" not in sys.modules, "it would have read its settings already"
import numpy as np
from semanifold.images.plots import Filmed, heat_pictures
frames = np.random.default_rng(0).integers(0, 255, (3, 16, 16, 3), np.uint8)
print(heat_pictures([Filmed(frames, frames[0], None)]).sum())
"""


EVIL = "text.usetex: True\nsavefig.dpi: 100000\nfont.size: 1e6\nbackend: module://evil"


@pytest.mark.parametrize("settings", [EVIL, None])
def test_settings_of_matplotlib_in_the_folder_are_not_read(
    settings: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil.py").write_text("open('canary', 'w')")
    if settings is None:
        os.mkfifo(tmp_path / "matplotlibrc")
    else:
        (tmp_path / "matplotlibrc").write_text(settings)
    monkeypatch.chdir(tmp_path)
    out, err = tmp_path / "out.txt", tmp_path / "err.txt"
    code = forks.finish(forks.start(DRAWING, out=out, err=err, MPLBACKEND="nonsense"), seconds=60)
    assert code == 0, err.read_text()
    frames = np.random.default_rng(0).integers(0, 255, (3, 16, 16, 3), np.uint8)
    assert out.read_text().split() == [str(heat_pictures([Filmed(frames, frames[0], None)]).sum())]
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("settings", [True, False])
def test_settings_of_numba_in_the_folder_are_not_read(settings: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places: list[str] = []

    class UMAP:
        def __init__(self, **options: object) -> None:
            places.append(os.getcwd())

        def fit_transform(self, codes: np.ndarray) -> np.ndarray:
            places.append(os.getcwd())
            return codes[:, :2]

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=UMAP))
    monkeypatch.chdir(tmp_path)
    if settings:
        (tmp_path / ".numba_config.yaml").write_text("cache_dir: .")
    assert plane(np.eye(9)) is not None
    assert (str(tmp_path) in places) is not settings
    assert os.getcwd() == str(tmp_path)


def test_settings_of_the_caller_are_left_alone(tmp_path: Path) -> None:
    import matplotlib as mpl

    with mpl.rc_context({"font.size": 1e6}):
        path_plot([np.random.default_rng(0).normal(size=(9, 4))], np.linspace(0, 1, 9), tmp_path / "a.png")
        assert mpl.rcParams["font.size"] == 1e6
