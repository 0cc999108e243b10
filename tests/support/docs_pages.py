"""Reads the pages of the docs: their fenced commands, snippets and files, in order, and the table of how a test shortens them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from support.places import ROOT

PAGES = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]
SKETCH = "<!-- sketch -->"
"""On the line before a fence: an outline, not to be run. A fence of ``text`` is never run either."""

ELSEWHERE = ("make", "git", "pip", "uv", "cd", "python3", "docker")
"""Commands that .ci/run tries, in a clone of its own."""

SHORTER = {
    "sample": "--seeds 0-1",
    "discover": "--frames 3 --iterations 2 --size 32 --seconds 0.1",
    "invert": "--starts 2 --tries 1 --iterations 2 --no-consistency",
    "edit": "--size 64 --seconds 0.1",
    "transfer": "--seeds 1 --frames 3 --size 32 --seconds 0.1",
    "combine": "--frames 3 --size 32 --seconds 0.1",
    "render": "--frames 3 --size 32 --seconds 0.1",
    "play": "--size 32 --fps 4",
    "directions": "--k 2",
    "weights": "--k 1 --samples 2",
    "encoder": "--iterations 2 --batch 2",
    "train": "--k 2 --iterations 2 --batch 2 --save-every 2 --log-every 1 --test-draws 4 --reconstructor lenet",
    "traverse": "--seeds 0 --steps 1 --size 32 --seconds 0.1",
    "bench": "--seeds 0 --methods random --top 1",
}
"""Options that a test adds to a command, so that it takes seconds; of an option given twice, the last holds."""

LISTS = ("--seeds", "--methods")
"""Options of many values: given twice, they would add up, so the page's own go."""


@dataclass(frozen=True)
class Block:
    """One fence of a page.

    Attributes:
        page: path from the root of the repository.
        line: number of its first line.
        kind: its language, ``sketch`` if it is one.
        name: the file that it is, if the fence gives a name after the language.
        text: what lies between the fences.
    """

    page: str
    line: int
    kind: str
    name: str
    text: str

    def commands(self) -> list[list[str]]:
        """The words of every command of ours in it, comments left out."""
        lines = re.sub(r"\\\n\s*", " ", self.text).splitlines()
        words = [shlex.split(line.removeprefix("$ "), comments=True) for line in lines]
        return [row for row in words if row and row[0] not in ELSEWHERE]


def blocks(page: str) -> list[Block]:
    """All fences of a page."""
    found: list[Block] = []
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    start = 0
    for i, line in enumerate(lines):
        if not line.startswith("```"):
            continue
        if not start:
            start = i + 1
            continue
        kind, _, name = lines[start - 1].removeprefix("```").partition(" ")
        kind = "sketch" if start > 1 and lines[start - 2].strip() == SKETCH else kind or "sh"
        found.append(Block(page, start + 1, kind, name.strip(), "\n".join(lines[start:i]) + "\n"))
        start = 0
    return found


def shortened(words: list[str]) -> list[str]:
    """A command of ours, without its first word, with the options that make it quick."""
    short = shlex.split(SHORTER.get(words[1], ""))
    if "--pool" in words or "test_label" in words or (words[1] == "sample" and "--seeds" not in words):
        short = short[2:]  # codes and label maps of a page's own, no numbers
    if words[-2:] == ["--out", "pool"]:
        short = ["--seeds", "0"]  # 29 paths are walked from each
    for option in LISTS:
        if option in short and option in words:
            start = words.index(option)
            end = next((i for i in range(start + 1, len(words)) if words[i].startswith("--")), len(words))
            words = words[:start] + words[end:]
    if "--tune" in words:
        short += ["--tune", "1"]
    if words[1] == "train" and "--kind" not in words:
        short += ["--dipoles", "2"]
    return [*words[1:], *short]
