"""What is said where a package of an extra is missing."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from support.places import ROOT

from semanifold.core import extras
from semanifold.core.errors import SemanifoldError
from semanifold.core.extras import install_command, packages_of
from semanifold.images.distances import lpips_distance
from semanifold.training.reconstructor import make_reconstructor
from semanifold.training.trainer import make_accelerator

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize(
    ("package", "extra", "needs"),
    [
        ("accelerate", "train", lambda folder: make_accelerator(None)),
        ("torchvision.models", "train", lambda folder: make_reconstructor("resnet", 3, 3)),
        ("lpips", "lpips", lambda folder: lpips_distance("alex")),
    ],
)
def test_a_missing_package_is_named_with_its_command(
    package: str, extra: str, needs: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SemanifoldError, match=f"needs the package {package.partition('.')[0]}, .*: ") as raised:
        needs(tmp_path)
    words = shlex.split(str(raised.value).rpartition("install it with: ")[2])
    assert words == install_command(packages_of(extra))
    assert Path(words[0]).is_file()


def test_the_packages_are_those_of_the_project() -> None:
    for extra in ("lpips", "umap", "train", "onnx", "clip"):
        ours, declared = packages_of(extra), PROJECT["optional-dependencies"][extra]
        assert sorted(re.split("[<>=]", line)[0] for line in ours) == sorted(re.split("[<>=]", line)[0] for line in declared)


def test_the_command_installs_beside_the_running_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By pip; by uv where it lies beside Python or there is no pip; and of torch's kind."""
    python = tmp_path / "python"
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(extras.importlib.util, "find_spec", lambda name: name)
    assert install_command(["a>=1"]) == [str(python), "-m", "pip", "install", "a>=1"]
    monkeypatch.setattr(extras.importlib.util, "find_spec", lambda name: None)
    assert install_command(["a"])[:5] == ["uv", "pip", "install", "--python", str(python)]
    (tmp_path / "uv").touch()
    assert install_command(["a"])[0] == str(tmp_path / "uv")
    monkeypatch.setattr(extras, "version", lambda name: "2.15.0+cpu")
    assert install_command(["a"])[-3:] == ["--torch-backend", "cpu", "a"]


def test_the_command_is_understood() -> None:
    command = install_command(["semanifold-is-not-looked-up"])
    assert subprocess.run([*command, "--help"], capture_output=True, check=True, timeout=60).stdout
