"""Hostile folders: runs, traversals, measurements, trainings and experiments of strangers."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hostile.files_pickled import calls, saved
from hostile.trials import CANARY, IN, OUT, Hostile
from hostile.uses import TINY, TO, arrays, run, walk
from hostile.values import WRONG, places_of, text_with, text_without, turns

RECORD = "run.json"
Make = Callable[[Path, Path], object]


def evil(folder: Path) -> None:
    """Code that leaves the canary, under every name that Python might import from a folder."""
    code = f"open({str(folder.with_name(CANARY))!r}, 'w')\ng = None\n"
    for name in ("evil", "gen", "torch", "numpy", "sitecustomize", "matplotlib", "umap", "lpips", "onnxruntime", "accelerate"):
        for place in (folder, folder / "run"):
            if place.is_dir():
                (place / f"{name}.py").write_text(code)


def copied(source: str, name: str, change: Callable[[Path], object] = lambda folder: None) -> Make:
    """Copy a good folder, then change it."""

    def write(folder: Path, good: Path) -> None:
        shutil.copytree(good / source, folder / name, symlinks=True)
        change(folder / name)

    return write


def record_with(source: str, name: str, place: tuple[str, ...], value: str, file: str = RECORD) -> Make:
    """Copy a good folder and replace, or leave out, one field of a record in it."""

    def change(folder: Path) -> None:
        held = json.loads((folder / file).read_text())
        text = text_with(held, place, WRONG[value]) if value else text_without(held, place)
        (folder / file).write_text(text)

    return copied(source, name, change)


def says(**changes: Any) -> Callable[[Path], None]:
    """Change fields of ``run.json``."""

    def change(folder: Path) -> None:
        held = json.loads((folder / RECORD).read_text())
        (folder / RECORD).write_text(json.dumps(held | changes))
        evil(folder.parent)

    return change


def instead(file: str, write: Callable[[Path], object]) -> Callable[[Path], None]:
    """Put something else in the place of a file."""

    def change(folder: Path) -> None:
        place = folder / file
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        elif os.path.lexists(place):
            place.unlink()
        write(place)

    return change


def link(target: str) -> Callable[[Path], None]:
    return lambda place: place.symlink_to(target)


def text(words: str | bytes) -> Callable[[Path], object]:
    return lambda place: place.write_bytes(words if isinstance(words, bytes) else words.encode("utf-8", "surrogatepass"))


def deep(levels: int) -> Callable[[Path], None]:
    """A folder of so many levels."""

    def write(place: Path) -> None:
        here = os.open(place.parent, os.O_RDONLY)
        for name in (place.name, *["d"] * levels):
            os.mkdir(name, dir_fd=here)
            inner = os.open(name, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = inner
        os.close(here)

    return write


def many(count: int) -> Callable[[Path], None]:
    """A folder of so many files."""

    def write(place: Path) -> None:
        place.mkdir(exist_ok=True)
        for i in range(count):
            (place / f"{i:06}.png").touch()

    return write


PLACES: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a folder": lambda place: place.mkdir(),
    "a link to /etc/passwd": link("/etc/passwd"),
    "a link to itself": lambda place: place.symlink_to(place),
    "a link to /dev/zero": link("/dev/zero"),
    "empty": text(""),
    "zeros": text(bytes(1 << 20)),
    "17 MB of spaces": text(b" " * (17 << 20)),
    "10**5 levels": text("[" * 10**5),
    "invalid UTF-8": text(b'{"format": "\xff\xfe"}'),
    "UTF-16": text('{"format": "semanifold-run-1"}'.encode("utf-16")),
    "null": text("null"),
    "a list": text("[]"),
    "a dead link": link("/nowhere/at/all"),
    "a pickle": text(calls("os system", "true")),
}
"""What may be where a file is expected."""

LITTLE: dict[str, Any] = {"mask": "mouth", "search": {"frames": 3, "steps": 2}, "film": {"seconds": 0.1, "size": 64}}
"""Arguments of a search that takes little, should it be done."""
CODE: dict[str, dict[str, Any]] = {
    "generator": {"arguments": {"model": {"generator": "@in@/evil.py:g"}}},
    "generator, capitals": {"arguments": {"model": {"generator": "@in@/evil.PY:g"}}},
    "generator, blank": {"arguments": {"model": {"generator": "@in@/evil.py :g"}}},
    "attributes": {"command": "measure", "arguments": {"attributes": "@in@/evil.py:g", "traversal": "@in@"}},
    "several attributes": {"command": "measure", "arguments": {"attributes": "faces,@in@/evil.py:g", "traversal": "@in@"}},
    "command": {"command": "evil"},
    "command_line": {"command_line": ["sh", "-c", "touch canary; $(touch canary) `touch canary`"]},
    "directory": {"directory": "@in@"},
    "directory of modules": {"directory": "@in@", "command": "sample", "arguments": {"seeds": [0]}},
    "output": {"arguments": LITTLE | {"output": {"out": "@in@/elsewhere", "overwrite": True}}},
    "mask": {"arguments": {"mask": "@in@/evil.py"}},
    "an address": {"arguments": {"mask": "mouth", "model": {"generator": "http://127.0.0.1:9/x.pt#sha256=" + "0" * 64}}},
    "another command's arguments": {"command": "sample"},
    "rerun of itself": {"command": "rerun", "arguments": {"run_folder": "@in@/run"}},
    "completion": {"command": "completion", "arguments": {"shell": "bash"}},
    "zoo": {"command": "zoo", "arguments": {"what": "fetch", "names": ["ada-ffhq"]}},
    "inspect": {"command": "inspect", "arguments": {"files": ["/etc/passwd"]}},
    "convert": {"command": "convert", "arguments": {"source": "faces", "target": "@in@/x.safetensors"}},
    "finished, without results": {"status": "finished", "files": ["nothing.png", "edit.safetensors"]},
    "results that lead out": {"files": ["../../x", "/etc/passwd"]},
    "10**5 results": {"files": [f"{i}" for i in range(10**5)]},
    "environment that steers": {"environment": {"\x1b[2J\u202etorch": "\x1b[2J", "torch": "\u202e" + "9" * 4000}},
    "environment of 10**5": {"environment": {f"package{i}": "1" for i in range(10**5)}},
    "10**9 frames": {"arguments": {"mask": "mouth", "search": {"frames": 10**9}}},
    "film of a year": {"arguments": {"mask": "mouth", "film": {"seconds": 3e7}}},
    "unknown arguments": {"arguments": LITTLE | {"evil": {"deep": [1]}}},
    "iterations 10**18": {"arguments": LITTLE | {"search": {"frames": 3, "steps": 10**18}}},
}  # fmt: skip


POINTS = "checkpoint.safetensors"
LARGE_ARRAY = b"\x93NUMPY\x01\x00\x46\x00{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,)}    \n"


def code_writer(changes: dict[str, Any]) -> Make:
    """Copy a good run and let its record name code, or lie."""

    def write(folder: Path, good: Path) -> None:
        filled = json.loads(json.dumps(changes).replace("@in@", str(folder)))
        copied("edit", "run", says(**filled))(folder, good)

    return write


WALKS: dict[str, Callable[[Path], object]] = {
    "no frames": lambda walk: [shutil.rmtree(place) for place in walk.glob("*/paths_images/*")],
    "frame is a pipe": lambda walk: instead(_frame(walk), os.mkfifo)(walk),
    "frame is a bomb": lambda walk: instead(_frame(walk), lambda place: place.write_bytes(picture_bomb()))(walk),
    "frame is a link": lambda walk: instead(_frame(walk), link("/etc/passwd"))(walk),
    "frame is text": lambda walk: instead(_frame(walk), text("no picture"))(walk),
    "frame of another size": lambda walk: instead(_frame(walk), lambda place: place.write_bytes(small_picture()))(walk),
    "10,000 more frames": lambda walk: many(10_000)((walk / _frame(walk)).parent),
    "pool is a pipe": instead("pool.safetensors", os.mkfifo),
    "pool is gone": lambda walk: (walk / "pool.safetensors").unlink(),
    "measure is a link": instead("measure", link("/usr")),
    "measure is a file": instead("measure", text("")),
    "temporary name is a link": lambda walk: [
        (walk / "measure" / name).symlink_to("/nowhere/at/all") for name in (".run.json.part", "run.json.part", POINTS)
    ],
    "lock is a link": lambda walk: (walk / "measure" / ".lock").symlink_to("/nowhere/at/all"),
    "lock is a pipe": lambda walk: os.mkfifo(walk / ".lock"),
    "values are a bomb": instead("measure/attributes.npy", text(LARGE_ARRAY)),
    "values are NaN": lambda walk: _numbers(walk / "measure" / "attributes.npy", b"\x00\x00\x00\x00\x00\x00\xf8\x7f"),
    "values are infinite": lambda walk: _numbers(walk / "measure" / "attributes.npy", b"\x00\x00\x00\x00\x00\x00\xf0\x7f"),
    "values are all alike": lambda walk: _numbers(walk / "measure" / "attributes.npy", bytes(8)),
    "values are cut short": lambda walk: _cut(walk / "measure" / "attributes.npy"),
    "values are a pipe": instead("measure/attributes.npy", os.mkfifo),
}  # fmt: skip


def _frame(walk: Path) -> str:
    """Name of a frame, from the folder of the traversal on."""
    return str(sorted(walk.glob("*/paths_images/*/*"))[0].relative_to(walk))


def _numbers(path: Path, number: bytes) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:128] + number * ((len(data) - 128) // 8))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def picture_bomb() -> bytes:
    """A PNG of 13,000 x 13,000 pixels in some kilobytes."""
    if not _bomb:
        import io

        from PIL import Image

        buffer = io.BytesIO()
        Image.new("L", (13_000, 13_000)).save(buffer, "PNG")
        _bomb.append(buffer.getvalue())
    return _bomb[0]


_bomb: list[bytes] = []


def small_picture() -> bytes:
    """A PNG of 1 x 1 pixels."""
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, "PNG")
    return buffer.getvalue()


def experiment(files: dict[str, bytes]) -> Make:
    """An experiment of WarpedGANSpace of some files, beside code that nobody is to import."""

    def write(folder: Path, good: Path) -> None:
        for name, data in files.items():
            place = folder / "run" / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        evil(folder)

    return write


def support_sets(k: int = 2, vectors: int = 4, d: int = 64) -> dict:
    """What ``support_sets.pt`` holds."""
    import torch

    return {
        "SUPPORT_SETS": torch.zeros(k, vectors * d) + 1,
        "ALPHAS": torch.ones(k, vectors),
        "LOGGAMMA": torch.zeros(k, 1),
    }


SETS, POINT = "models/support_sets.pt", "models/checkpoint.pt"
EXPERIMENTS: dict[str, Callable[[], dict[str, bytes]]] = {
    "args.json is a list": lambda: {"args.json": b"[1]", SETS: saved(support_sets())},
    "args.json is deep": lambda: {"args.json": b"[" * 10**5, SETS: saved(support_sets())},
    "args.json of wrong types": lambda: {
        "args.json": b'{"gan_type": 3, "num_support_sets": "x", "batch_size": [], "max_iter": NaN, "z_truncation": 1e400}',
        SETS: saved(support_sets()),
    },
    "args.json that steers": lambda: {"args.json": b'{"gan_type": "\\u001b[2J\\u202e"}', SETS: saved(support_sets())},
    "batch of 10**11": lambda: {"args.json": b'{"batch_size": 100000000000}', SETS: saved(support_sets())},
    "paths that are NaN": lambda: {SETS: saved({k: v * float("nan") for k, v in support_sets().items()})},
    "huge gammas": lambda: {SETS: saved(support_sets() | {"LOGGAMMA": support_sets()["LOGGAMMA"] + 1e30})},
    "no vectors": lambda: {SETS: saved(support_sets(2, 0))},
    "odd vectors": lambda: {SETS: saved(support_sets(2, 3))},
    "other sizes": lambda: {SETS: saved(support_sets() | {"ALPHAS": support_sets(7)["ALPHAS"]})},
    "iterations are text": lambda: {POINT: saved({"iter": "many", "support_sets": support_sets(), "reconstructor": 3})},
    "iterations are 10**400": lambda: {POINT: saved({"iter": 10**400, "support_sets": support_sets(), "reconstructor": {}})},
    "reconstructor of wrong types": lambda: {
        SETS: saved(support_sets()),
        "models/reconstructor.pt": saved({"conv1.weight": "x", "fc.weight": None}),
    },
    "reconstructor that runs code": lambda: {SETS: saved(support_sets()), "models/reconstructor.pt": calls("os system", "true")},
    "stats.json of wrong types": lambda: {
        "stats.json": b'{"1": [1], "a": {"accuracy": "x"}, "1e9": null}',
        SETS: saved(support_sets()),
    },
    "stats.json is deep": lambda: {"stats.json": b"[" * 10**5, SETS: saved(support_sets())},
    "generator_config.json of wrong types": lambda: {"generator_config.json": b'{"size": "x", "layers": 1e400}', SETS: b""},
    "human_annotation.txt that steers": lambda: {
        SETS: saved(support_sets()),
        "human_annotation.txt": b"0: \x1b[2J\n1: smile\n999999999999: x\nx" + b"y" * 10**6,
    },
    "human_annotation.txt of invalid UTF-8": lambda: {SETS: saved(support_sets()), "human_annotation.txt": b"0: \xff\xfe\n"},
    "no models": lambda: {"args.json": b"{}"},
    "many checkpoints": lambda: {f"models/reconstructor-{i}.pt": b"" for i in range(3000)} | {SETS: saved(support_sets())},
}
"""Folders of other programs."""


def pool_folder(write: Callable[[Path], object]) -> Make:
    """A pool of WarpedGANSpace of one code."""

    def make(folder: Path, good: Path) -> None:
        (folder / "x" / "aaaa").mkdir(parents=True)
        write(folder / "x" / "aaaa" / "latent_code.pt")

    return make


def inputs(good: Path) -> Iterator[Hostile]:
    """Yield all hostile folders."""
    record = json.loads((good / "edit" / RECORD).read_text())
    places = places_of(record, ("arguments", "facts"))
    for place, value in turns(places, 1):
        yield Hostile("run folder", f"{'.'.join(place)} = {value}", record_with("edit", "run", place, value), run())
    for place in places_of(record):
        yield Hostile("run folder", f"no {'.'.join(place)}", record_with("edit", "run", place, ""), run())
    for what, changes in CODE.items():
        yield Hostile("run folder that lies", what, code_writer(changes), run())
    for file, step in ((RECORD, 1), ("edit.safetensors", 2)):
        for what, write in list(PLACES.items())[::step]:
            yield Hostile("run folder", f"{file} is {what}", copied("edit", "run", instead(file, write)), run())
    for what, change in {
        "deep tree": instead("frames", deep(900)),
        "30,000 files": instead("frames", many(30_000)),
        "result is a link out": instead("frames", link("/usr")),
    }.items():
        yield Hostile("run folder", what, copied("edit", "run", change), run())
    yield from of_walks(good)
    for what, made in EXPERIMENTS.items():

        def write(folder: Path, good: Path, made: Callable[[], dict[str, bytes]] = made) -> None:
            experiment(made())(folder, good)

        own = (("inspect", f"{IN}/run"), *arrays("run")[4:])
        yield Hostile("experiment", what, write, own)
    for what in ("a pipe", "empty", "zeros", "a pickle", "a link to /dev/zero"):
        own = (("inspect", f"{IN}/x"), ("traverse", "faces", "--pool", f"{IN}/x", "--paths", "0", "--no-films", *TO))
        yield Hostile("pool of WarpedGANSpace", what, pool_folder(PLACES[what]), own)
    yield from of_trainings(good)


def of_walks(good: Path) -> Iterator[Hostile]:
    """Yield hostile traversals and measurements."""
    facts = json.loads((good / "walk" / "traversal.json").read_text())
    for place, value in turns(places_of(facts), 1, first=3):
        make = record_with("walk", "walk", place, value, "traversal.json")
        yield Hostile("traversal", f"{'.'.join(place)} = {value}", make, walk())
    measures = json.loads((good / "walk" / "measure" / "measures.json").read_text())
    for place, value in turns(places_of(measures, ("traversal",)), 1, first=9):
        make = record_with("walk", "walk", place, value, "measure/measures.json")
        yield Hostile("measurement", f"{'.'.join(place)} = {value}", make, walk())
    for what, change in WALKS.items():
        yield Hostile("traversal", what, copied("walk", "walk", change), walk())
    for number, file in enumerate(("traversal.json", "measure/run.json", "measure/measures.json")):
        for what, write in list(PLACES.items())[number::3]:
            yield Hostile("traversal", f"{file} is {what}", copied("walk", "walk", instead(file, write)), walk())


def of_trainings(good: Path) -> Iterator[Hostile]:
    """Yield hostile folders of trainings."""
    folder = f"{IN}/run"
    uses = (
        ("inspect", folder),
        ("traverse", folder, "--paths", "0", "--steps", "1", "--seeds", "0", "--no-films", *TO),
        ("train", "--start-from", folder, "--iterations", "3", *TINY, *TO),
        ("play", f"{folder}:0=0:0,0.1:1", "--seconds", "0.1", "--size", "64", *TO),
    )
    for number, file in enumerate(("paths.safetensors", "models/reconstructor.pt", "stats.json", RECORD)):
        for what, write in list(PLACES.items())[number::3]:
            yield Hostile("training", f"{file} is {what}", copied("training", "run", instead(file, write)), uses)


__all__ = ["OUT", "inputs"]
