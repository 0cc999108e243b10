"""What ``semanifold zoo`` does."""

from __future__ import annotations

import itertools
from dataclasses import asdict

from semanifold.app.answers import Answer, Caller, typed
from semanifold.app.commands.zoo import Zoo
from semanifold.core.errors import SemanifoldError
from semanifold.storage import zoo


def zoo_entries(command: Zoo, caller: Caller) -> Answer:
    """Return the table, or download."""
    words = command.words
    if command.action == "list":
        return Answer(said=(details(zoo.entry(words[0])),)) if len(words) == 1 and words[0] in zoo.table() else rows(words)
    parts: list[Answer] = []
    for row in [zoo.entry(name) for name in words]:
        parts.append(fetch(row, caller))
        caller.hear(parts[-1])
    return Answer(parts=tuple(parts))


def fetch(row: zoo.Entry, caller: Caller) -> Answer:
    """Download an entry, and return where it is; whose it is, and whether its hash was known, is remarked."""
    known = row.sha256 or (zoo.recorded(row.name) is not None)
    caller.remark(f"{row.name}: {row.about}; licence: {row.licence}")
    path = zoo.fetch(row.name)
    record = zoo.recorded(row.name)
    if record and not known:
        caller.remark(
            f"Nobody published a SHA-256 of it; the one of this download, {record.sha256}, has to be the same from now on."
        )
    return Answer(said=(str(path),), next=typed("inspect", path))


def rows(words: tuple[str, ...]) -> Answer:
    """Return the table of the rows that match."""
    entries = zoo.matching(words)
    if not entries:
        raise SemanifoldError(f"Nothing in the zoo matches {' '.join(words)!r}; 'semanifold zoo list' shows everything.")
    width = max(len(row.name) for row in entries)
    kinds = max(len(row.kind) for row in entries)
    lines = [f"  {'NAME':<{width}}  {'KIND':<{kinds}}  LOADS  HASH        HERE"]
    for (about, licence), group in itertools.groupby(entries, key=lambda row: (row.about, row.licence)):
        lines += ["", f"{about} ({licence})"]
        for row in group:
            pinned = "by hand" if row.by_hand is not None else "published" if row.sha256 else "first seen"
            here = "yes" if zoo.here(row.name) else ""
            loads = "yes" if row.loads else "no" if row.kind == "generator" else ""
            lines.append(f"  {row.name:<{width}}  {row.kind:<{kinds}}  {loads:<5}  {pinned:<10}  {here}".rstrip())
    return Answer(said=("\n".join(lines),), facts={"entries": [asdict(entry) for entry in entries]})


def details(row: zoo.Entry) -> str:
    """Return all that is known about an entry."""
    record = zoo.recorded(row.name)
    sha256 = row.sha256 or (f"{record.sha256} (not published; of the first download)" if record else "not published")
    pairs = [
        ("name", row.name),
        ("kind", row.kind),
        ("what", row.about),
        ("loads", "yes" if row.loads else f"no: {row.note}" if row.note else "not as a generator"),
        ("address", row.address),
        ("SHA-256", sha256),
        ("licence", row.licence),
        ("paper", row.paper),
        ("taken out", ", ".join(row.members) or "(no archive)"),
        ("here", str(zoo.located(row.name)) if zoo.here(row.name) else f"no; {_way(row)}"),
    ]
    return "\n".join(f"{key:<10} {value}" for key, value in pairs)


def _way(row: zoo.Entry) -> str:
    if row.by_hand is None:
        return f"semanifold zoo fetch {row.name}"
    return f"save {row.by_hand} from the page at the address" if row.by_hand else "nobody published it"
