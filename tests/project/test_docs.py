"""Every command and every snippet of README and docs runs, in the order of its page; so do the examples.

Shortened where it must be (``docs_pages.SHORTER``), and with small stand-ins for the files that a reader brings; as written
otherwise. What several pages type word for word does its work on the first of them, and is found finished on the others.
"""

from __future__ import annotations

import json
import runpy
import shutil
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from support import docs_pages
from support.docs_pages import PAGES, ROOT, Block, blocks, shortened
from support.docs_world import NAMES, bring_files, coarse_faces, less_work, prelude

from semanifold.app import cli
from semanifold.paths.files import load_paths, save_paths

KINDS = {"sh", "python", "toml", "json", "sketch", "text"}
SHARED = {
    ("semanifold", "discover", "--mask", "mouth", "--seed", "7"): "faces-mouth-7",
    ("semanifold", "weights", "mask", "--mask", "mouth", "--k", "6", "--seed", "7"): "weights-faces-mask-mouth",
    ("semanifold", "train", "--quick"): "train-faces-quick",
}
"""The longest of the commands that several pages type, and their folders in ``out/``."""

FINE = ("discover", "edit", "invert", "sample")
"""Commands whose pictures are as fine as ever on pages where faces are to be found in them."""

EDITABLE = 16
"""Pixels of pictures that the weights of ``convs.4`` change."""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that keeps the results of the commands that several pages share."""
    return tmp_path_factory.mktemp("done")


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)])
def test_a_page_runs_as_it_is_written(page: str, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    every = blocks(page)
    less_work(monkeypatch)
    text = "".join(block.text for block in every)
    fine = FINE if "semanifold edit" in text else ()
    monkeypatch.setattr(cli, "main", partial(typed, cli.main, fine))
    if not fine:
        coarse_faces(monkeypatch, EDITABLE if "convs.4" in text else 4)
    bring_files(tmp_path, text)
    torch.manual_seed(0)
    names = prelude(page)
    for block in every:
        assert block.kind in KINDS, f"{page}:{block.line}: no fences of {block.kind!r}"
        if block.kind == "python":
            exec(compile("\n" * (block.line - 1) + block.text, page, "exec"), names)
        elif block.kind == "sh":
            run_commands(block, done)
        elif block.kind in ("toml", "json"):
            (tomllib if block.kind == "toml" else json).loads(block.text)
            if block.name:
                (tmp_path / block.name).write_text(block.text, encoding="utf-8")


def typed(main: Callable[[list[str]], int], fine: tuple[str, ...], words: list[str]) -> int:
    """Run a command with the options that make it quick, whether a fence of commands or a snippet types it."""
    with pytest.MonkeyPatch.context() as patch:
        if fine and words[0] not in fine:
            coarse_faces(patch, EDITABLE if words[0] == "weights" else 4)
        return main(shortened(["semanifold", *words]))


def run_commands(block: Block, done: Path) -> None:
    for words in block.commands():
        assert words[0] == "semanifold", f"{block.page}:{block.line}: {words[0]} is no command that a test knows"
        kept = done / SHARED[tuple(words)] if tuple(words) in SHARED else None
        target = Path("out", kept.name) if kept else None
        if kept and target and kept.exists() and not target.exists():
            shutil.copytree(kept, target)
        code = cli.main(words[1:])
        assert code == 0, f"{block.page}:{block.line}: {' '.join(words)}"
        if kept and target and not kept.exists():
            shutil.copytree(target, kept)
        if "--name" in words:
            give_names(Path(words[words.index("--name") + 1]))


def give_names(file: Path) -> None:
    """Trained for two steps, no path earns a name: give those that the docs speak of."""
    paths = load_paths(file)
    save_paths(paths.with_info(names=dict(enumerate(NAMES[: len(paths)]))), file)


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_an_example_runs(example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    coarse_faces(monkeypatch, EDITABLE)
    runpy.run_path(str(example), run_name="__main__")


def test_fences_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command, sketch, file = "semanifold x --a '# b' \\\n  --c # d\nmake demo", "boom", "x = 1"
    fences = [f"```\n{command}\n```", f"<!-- sketch -->\n```python\n{sketch}\n```", f"```toml a.toml\n{file}\n```"]
    (tmp_path / "p.md").write_text("a\n" + "\n".join(fences) + "\n")
    monkeypatch.setattr(docs_pages, "ROOT", tmp_path)
    first, second, third = blocks("p.md")
    assert first.commands() == [["semanifold", "x", "--a", "# b", "--c"]]
    assert (first.line, second.kind, third.kind, third.name, third.text) == (3, "sketch", "toml", "a.toml", "x = 1\n")
