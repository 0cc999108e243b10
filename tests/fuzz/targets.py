"""One fuzz target for each reader: whatever it is given, it returns, or raises a :class:`SemanifoldError` that can be printed."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from fuzz.make_corpus import ARGS, CORPUS, tiny
from fuzz.mutations import bent_bytes, bent_json, bent_safetensors, bent_value, pickles, spelled, texts, values
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from semanifold.analysis.attributes.onnx_descriptions import read_description
from semanifold.analysis.ranking.measures import read_measures
from semanifold.analysis.traversal import read_traversal
from semanifold.app import cli
from semanifold.app.commands.arguments import from_arguments, to_arguments
from semanifold.app.commands.discover import Discover
from semanifold.app.commands.paths import Measure, Traverse
from semanifold.app.commands.play import Play
from semanifold.app.commands.timeline import timeline_of, track_of
from semanifold.app.commands.train import Train
from semanifold.app.commands.values import numbers_text, seed_numbers
from semanifold.app.inspecting import inspect
from semanifold.core.errors import SemanifoldError, shown
from semanifold.edits import load_edit
from semanifold.generators.exchange import read_codes
from semanifold.generators.loading import load_generator
from semanifold.generators.pools import read_pool
from semanifold.images.masks import box, painted, parse_mask
from semanifold.images.masks.base import Mask
from semanifold.manifolds.checkpoints import load_state
from semanifold.paths.files import load_paths
from semanifold.storage.arrays import open_arrays
from semanifold.storage.records import parse_json, read_settings
from semanifold.storage.run_records import generator_of, read_record, refuse_code
from semanifold.training.checkpoints import NEWEST, load_checkpoint
from semanifold.training.experiments import open_experiment, preset_of
from semanifold.training.presets import PRESETS
from semanifold.training.records import read_stats


@dataclass(frozen=True)
class Target:
    """A reader, and what it is given.

    Attributes:
        given: draws the input.
        read: reads it, in an empty folder.
    """

    given: SearchStrategy[Any]
    read: Callable[[Any, Path], object]


@cache
def generator() -> Any:
    """The generator that codes and paths are for."""
    return tiny()


@contextmanager
def refused() -> Iterator[None]:
    """Let sentences pass, and nothing else."""
    try:
        yield
    except SemanifoldError as error:
        words = str(error)
        assert words, "an empty sentence"
        assert len(words) < 2000, f"an endless sentence: {words[:200]}"
        assert shown(words, len(words)) == words, f"a sentence that steers: {words[:300]!a}"


def tried(*reads: Callable[[], object]) -> None:
    """Try several readers, each for itself."""
    for read in reads:
        with refused():
            read()


def files(name: str) -> list[bytes]:
    """The good files of a folder of the corpus."""
    return [file.read_bytes() for file in sorted((CORPUS / name).iterdir())]


def only(name: str, end: str) -> list[bytes]:
    """Those of one ending."""
    return [file.read_bytes() for file in sorted((CORPUS / name).iterdir()) if file.suffix == end]


def of_generators(data: bytes, place: Path) -> None:
    """Weights: said what they are, and loaded."""
    file = place / "x.pt"
    file.write_bytes(data)

    def loaded() -> None:
        made = load_generator(file)
        if made.picture_shape[1] <= 64:
            made.images(made.sample([0], labels=0 if made.classes else None))

    tried(lambda: str(inspect(file)), loaded)
    assert os.listdir(place) == ["x.pt"], "a file was left behind"


def of_arrays(data: bytes, place: Path) -> None:
    """Arrays: opened, read as codes, read as paths."""
    file = place / "x.bin"
    file.write_bytes(data)

    def opened() -> None:
        held = open_arrays(file)
        leaves = held.leaves
        held.tensors(list(leaves.values()))

    tried(
        opened,
        lambda: str(inspect(file, generator())),
        lambda: generator().images(read_codes(file, generator())[0]),
        lambda: walked(load_paths(file, generator=generator())),
        lambda: load_paths(file, "w"),
        lambda: open_experiment(file),
    )


def walked(paths: Any) -> None:
    """Walk the first path of a set."""
    edit = paths[0]
    if edit.moving_shape[-1] <= 64 and paths.info.space in generator().spaces:
        edit.latents(generator().convert(generator().sample([0]), paths.info.space), torch.tensor([0.0, 0.5]))
    for name in paths.info.names.values():
        paths.find(name)


def of_edits(data: bytes, place: Path) -> None:
    """Edits: read, moved along, and said what they are."""
    file = place / "x.safetensors"
    file.write_bytes(data)

    def moved() -> None:
        edit = load_edit(file)
        assert repr(edit).isprintable()
        if edit.info.space in generator().spaces:
            code = generator().convert(generator().sample([0]), edit.info.space)
            low, high = edit.info.usable
            edit.latents(code, torch.tensor([low, high]) if edit.dimensions == 1 else torch.zeros(1, 2))
        if edit.info.mask:
            parse_mask(edit.info.mask, regions)

    tried(moved, lambda: str(inspect(file)))


def regions(name: str) -> Mask:
    """Named regions, as those of the bundled faces."""
    if name not in ("mouth", "eyes"):
        raise SemanifoldError("There is no such region.")
    return box(0.2, 0.2, 0.8, 0.8)


def of_paths(data: bytes, place: Path) -> None:
    """Sets of paths of ours."""
    file = place / "x.safetensors"
    file.write_bytes(data)
    tried(lambda: walked(load_paths(file)), lambda: str(inspect(file)))


def of_pools(data: bytes, place: Path) -> None:
    """Pools of codes."""
    file = place / "x.safetensors"
    file.write_bytes(data)
    tried(lambda: read_pool(file, generator()).codes_for(generator(), "w"), lambda: str(inspect(file)))


def of_runs(data: bytes, place: Path) -> None:
    """``run.json``: read, and made a command again."""
    (place / "run.json").write_bytes(data)

    def again() -> None:
        record = read_record(place)
        tried(lambda: generator_of(record), lambda: refuse_code(record))
        for kind in (Discover, Traverse, Measure, Train):
            with refused():
                to_arguments(from_arguments(kind, record.arguments))

    tried(again, lambda: str(inspect(place)))


def of_walks(data: bytes, place: Path) -> None:
    """``traversal.json`` in the folder of a traversal."""
    (place / "traversal.json").write_bytes(data)
    facts = {"fingerprint": "0", "path_set_fingerprint": "0", "pool": "0"}
    record = {"format": "semanifold-run-1", "command": "traverse", "arguments": {}, "facts": facts, "status": "finished"}
    (place / "run.json").write_text(json.dumps(record))
    for path in ("path_000", "path_001"):
        for code in ("aa", "bb"):
            (place / code / "paths_images" / path).mkdir(parents=True)
    tried(lambda: read_traversal(place).pictures("aa", 0))


def of_measures(data: bytes, place: Path) -> None:
    """``measures.json`` beside its array."""
    import numpy as np

    (place / "measures.json").write_bytes(data)
    np.save(place / "attributes.npy", np.zeros((1, 2, 3, 1)))
    tried(lambda: read_measures(place).remarks)


def of_pictures(data: bytes, place: Path) -> None:
    """Painted masks."""
    file = place / "x.png"
    file.write_bytes(data)

    def drawn() -> None:
        picture = painted(file).at(8, 8)
        assert 0 <= float(picture.min()) <= float(picture.max()) <= 1

    tried(drawn)


SHAPES = [
    "mouth",
    "eyes",
    "box:0.1,0.1,0.9,0.9",
    "ellipse:0.5,0.5,0.2,0.1",
    "polygon:0,0 1,0 1,1",
    "box:1,2,3,4px",
    "x.png",
    "'a'",
]
SIGNS = [
    "|",
    "&",
    "~",
    "(",
    ")",
    " ",
    "feather:0.1(",
    "feather:",
    "box:",
    "polygon:",
    "alpha:",
    "light:",
    "'",
    '"',
    ",",
    "nan",
    "1e400",
]
typed = st.lists(st.sampled_from(SHAPES) | st.sampled_from(SIGNS) | texts, max_size=12).map("".join) | st.text(max_size=60)


def of_masks(text: str, place: Path) -> None:
    """Typed masks: drawn, and read again from the text that they give."""

    def drawn() -> None:
        mask = parse_mask(text, regions, size=(64, 64))
        mask.at(8, 8)
        parse_mask(str(mask), regions, size=(64, 64))

    tried(drawn)


def of_settings(data: bytes, place: Path) -> None:
    """JSON of other programs."""
    for name in ("args.json", "stats.json", "generator_config.json"):
        (place / name).write_bytes(data)
    tried(
        lambda: parse_json(data, "it"),
        lambda: preset_of(read_settings(place / "args.json"), PRESETS["faces"]),
        lambda: read_stats(place / "stats.json"),
        lambda: open_experiment(place),
        lambda: str(inspect(place)),
    )


def of_descriptions(data: bytes, place: Path) -> None:
    """What is said of an ONNX network."""
    for name in ("x.json", "x.toml"):
        (place / name).write_bytes(data)
    tried(lambda: read_description(place / "x.json"), lambda: read_description(place / "x.toml"))


def of_timelines(given: bytes | str, place: Path) -> None:
    """Timelines, typed or in a file."""
    if isinstance(given, str):
        tried(lambda: track_of(given))
        return
    (place / "x.toml").write_bytes(given)
    tried(lambda: timeline_of(Play(tracks=(str(place / "x.toml"),))))


def of_checkpoints(data: bytes, place: Path) -> None:
    """Where a search or a training stands."""
    (place / NEWEST).write_bytes(data)
    tried(lambda: load_state(str(place / NEWEST), "key", torch.device("cpu")), lambda: load_checkpoint(place, "key"))


@cache
def options() -> list[str]:
    """The names of all options of all commands."""
    from semanifold.app.commands.arguments import parser

    found: set[str] = set()
    for name in cli.COMMANDS:
        made = parser(cli.command_class(name).parsed_as([]), name)
        found |= {
            option for argument in made.assemble_argument_collection() for option in argument.names if option.startswith("-")
        }
    return sorted(found)


WORDS = [
    "7",
    "-1",
    "0-3",
    "1,2",
    "nan",
    "inf",
    "1e400",
    "9" * 400,
    "1:0.3",
    "2-7",
    "mouth",
    "faces",
    "faces:smile",
    "true",
    "--",
    "-",
    "=",
    "-h",
]


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """Draw the words of a command."""
    word = st.sampled_from(WORDS) | texts | st.sampled_from(options())
    joined = st.tuples(st.sampled_from(options()), word).map("=".join)
    return [draw(st.sampled_from(list(cli.COMMANDS)) | texts), *draw(st.lists(word | joined, max_size=8))]


def of_words(words: list[str], place: Path) -> None:
    """The words of a command: read, and written to ``run.json``."""

    def parsed() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            command = cli.parse(words)
        if command is not None:
            json.dumps(to_arguments(command), default=str)

    tried(parsed)
    for word in words:
        with contextlib.suppress(ValueError):
            assert seed_numbers([word]) == seed_numbers(numbers_text(seed_numbers([word])).split())


def toml(value: Any) -> bytes:
    """Return a table as TOML, or nearly so."""
    text = (
        "\n".join(f"{key} = {json.dumps(part)}" for key, part in value.items()) if isinstance(value, dict) else json.dumps(value)
    )
    return re.sub(r'"(\w+)": ', r"\1 = ", text).encode("utf-8", "surrogatepass")


TIMES = {"seed": 7, "seconds": 2.0, "ease": "smooth", "track": [{"edit": "smile", "keys": [[0, 0], [1, 1]], "ease": "step"}]}
TRACKS = st.tuples(texts, texts | st.sampled_from(["0:0,1:1", "0:0", "1e400:0", ":", ","])).map("=".join)

TARGETS: dict[str, Target] = {
    "generators": Target(
        bent_bytes(only("generators", ".pt")) | bent_safetensors(only("generators", ".safetensors")), of_generators
    ),
    "pickles": Target(pickles, of_generators),
    "arrays": Target(bent_bytes(files("arrays")) | pickles, of_arrays),
    "edits": Target(bent_safetensors(files("edits")), of_edits),
    "paths": Target(bent_safetensors(files("paths")), of_paths),
    "pools": Target(bent_safetensors(files("pools")), of_pools),
    "runs": Target(bent_json(files("runs")), of_runs),
    "walks": Target(bent_json(files("walks")), of_walks),
    "measures": Target(bent_json(files("measures")), of_measures),
    "pictures": Target(bent_bytes(files("pictures")), of_pictures),
    "masks": Target(typed, of_masks),
    "settings": Target(bent_json(files("settings")) | bent_value(ARGS).map(spelled) | values.map(spelled), of_settings),
    "descriptions": Target(bent_json(only("descriptions", ".json")) | bent_bytes(files("descriptions")), of_descriptions),
    "timelines": Target(bent_bytes(files("timelines")) | bent_value(TIMES).map(toml) | TRACKS, of_timelines),
    "checkpoints": Target(bent_safetensors(files("checkpoints")), of_checkpoints),
    "words": Target(command_lines(), of_words),
}
"""The readers, by name."""


def attempt(target: Target, given: Any) -> None:
    """Read one input in an empty folder.

    Raises:
        Exception: whatever the reader raises that is no sentence.
    """
    place = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        target.read(given, place)
    finally:
        shutil.rmtree(place, ignore_errors=True)


__all__ = ["TARGETS", "Target", "attempt"]
