"""Saying what any file or folder is: :func:`inspect`, for whatever people have; nothing in it is run."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from itertools import islice
from pathlib import Path

from semanifold.core.errors import SemanifoldError, counted, of_type, shown
from semanifold.generators.base import UNKNOWN, Generator
from semanifold.generators.inspecting import Inspection, inspect_file
from semanifold.generators.loading import weights_file
from semanifold.generators.pools import PUBLISHED
from semanifold.paths.base import PathSet, PathSetInfo
from semanifold.paths.files import load_paths
from semanifold.paths.navigan import REACH
from semanifold.storage.arrays import open_arrays
from semanifold.storage.files import is_folder
from semanifold.storage.readings import code_words, codes_in, reading_of_codes
from semanifold.storage.records import read_settings
from semanifold.storage.runs import RECORD, read_record
from semanifold.training.experiments import open_experiment
from semanifold.training.records import ARGS, MODELS

MOST_FILES = 10_000
"""Files of a folder that are counted."""


def inspect(path: str | os.PathLike[str], generator: Generator | None = None) -> Inspection:
    """Say what a file or a folder is: network, codes, directions, edit, pool, run or experiment.

    Arrays are described as the readers of codes and of paths read them.

    Args:
        path: any file or folder, or the name of a generator that comes with the package or was fetched.
        generator: what arrays are for, if it is known: its spaces decide between two readings.

    Raises:
        SemanifoldError: if there is nothing of that name, it cannot be read, or it is a folder of other things.
    """
    of_type(path, (str, os.PathLike), "A file or a folder is looked into")
    if is_folder(path):
        return inspect_folder(Path(path))
    file = weights_file(os.fspath(path))
    report = inspect_file(file)
    if file != Path(path):  # a name
        return replace(report, advice=report.advice.replace(str(file), os.fspath(path)))
    if not report.usable:
        return _with_readings(report, generator) if report.tensors else report
    return _with_directions(report) if any(mark in words for words in report.notes.values() for mark in REACH) else report


def _with_directions(report: Inspection) -> Inspection:
    """Return what is said of a generator that comes with directions in its weights, as a training of Navigan's writes it."""
    paths, _, words = _as_paths(Path(report.path), None)
    if paths is None:
        return replace(report, notes=dict(report.notes) | {"as paths": words})
    return replace(
        report,
        holds=f"{report.holds}, with {counted(len(paths), 'path')} in {paths.what_moves}",
        advice=f"{report.advice}; its paths: semanifold render {report.path}:0 --generator {report.path}",
    )


def _with_readings(report: Inspection, generator: Generator | None) -> Inspection:
    """Return what is said of a file of arrays, with the codes or paths that it holds, if any."""
    path = Path(report.path)
    named = path.stem.endswith("_boundary")  # as InterFaceGAN calls its directions
    codes = "" if report.architecture or named else _as_codes(path, generator)
    paths, option, words = _as_paths(path, generator)
    notes = dict(report.notes) | {name: text for name, text in (("as codes", codes), ("as paths", words)) if codes and text}
    if paths is not None:
        holds = "codes, or directions of " if codes and paths.kind == "linear" else ""
        notes |= {name: shown(text, 400) for name, text in _set_notes(paths.info) if text}
        if paths.moves_weights:
            model = "" if paths.info.fingerprint != UNKNOWN else " --generator FILE"
            holds = f"{counted(len(paths), 'path')} in {paths.what_moves}"
            return replace(report, holds=holds, advice=f"As paths: semanifold render {report.path}:0{model}", notes=notes)
        space = "a space that it does not name" if option else paths.info.space
        holds += f"{len(paths)} {paths.kind} path{'s' * (len(paths) != 1)} in {space}"
        return replace(report, holds=holds, advice=f"As paths: semanifold traverse {report.path}{option}", notes=notes)
    if codes:
        advice = f"As codes: semanifold discover --mask MASK --latents {report.path}"
        return replace(report, holds=codes.partition(";")[0], advice=advice, notes=notes)
    return report


def _set_notes(info: PathSetInfo) -> list[tuple[str, str]]:
    """Return what the header of a file of paths says of them that a user asks for."""
    ends = zip(info.measured.get("low", ()), info.measured.get("high", ()))
    made_for = "" if info.generator == UNKNOWN else info.generator
    return [
        ("method", "" if info.method == UNKNOWN else info.method),
        ("generator", f"{made_for} ({info.fingerprint})" if made_for and info.fingerprint != UNKNOWN else made_for),
        ("mask", info.mask),
        ("names", ", ".join(info.names.values())),
        ("range of t", ", ".join(f"{low:.2g} to {high:.2g}" for low, high in ends)),
        ("outside/in", ", ".join(f"{ratio:.2g}" for ratio in info.measured.get("outside_inside", ()))),
    ]


def _as_codes(path: Path, generator: Generator | None) -> str:
    """Say how a file reads as codes; empty if it does not, or is a file of semanifold's own."""
    try:
        arrays = open_arrays(path)
        codes = None if arrays.header else codes_in(arrays)
        if codes is None or not codes.values[0].dtype.is_floating_point:
            return ""
        if generator is not None:
            return reading_of_codes(codes, arrays, generator.shapes).words
        return code_words(codes.shape, len(codes.values))
    except SemanifoldError:
        return ""


def _as_paths(path: Path, generator: Generator | None) -> tuple[PathSet | None, str, str]:
    """Return the paths of a file, if any, the option that names their space, and the sentence that their reader says."""
    said: list[str] = []
    try:
        return load_paths(path, generator=generator, remark=said.append), "", "".join(said)
    except SemanifoldError as error:
        words = str(error)
    try:
        return load_paths(path, "w"), " --space z|w|w+|s", words
    except SemanifoldError:
        return None, "", words


def inspect_folder(path: Path) -> Inspection:
    """Say what a folder is: a run of semanifold, an experiment of WarpedGANSpace, or its pool of codes.

    Raises:
        SemanifoldError: if it is none of them, or its run.json or args.json is damaged.
    """
    codes, notes = list(islice(path.glob(f"*/{PUBLISHED}"), MOST_FILES)), dict[str, str]()
    if (path / RECORD).exists():
        record = read_record(path)
        holds = f"a run of semanifold {record.command}, {record.status}"
        ended = record.status == "finished"
        advice = f"Do it again: semanifold rerun {path}" if ended else "The same command goes on where it stopped."
        notes["command"] = shlex.join(record.command_line)
        notes["results"] = ", ".join(name for name in record.files if (path / name).exists())
    elif codes:
        holds = f"a pool of {counted(len(codes), 'code')} of WarpedGANSpace"
        advice = f"Walk from them: semanifold traverse PATHS --pool {path}"
    elif (path / ARGS).is_file() or (path / MODELS).is_dir():
        holds, advice = "an experiment of training", "It holds no paths that can be walked."
    else:
        raise SemanifoldError(
            f"{path} is a folder, but no run, experiment or pool; give the file of weights inside of it, or another folder."
        )
    if (path / ARGS).is_file():
        notes["generator"] = str(read_settings(path / ARGS).get("gan_type", ""))
    if (path / MODELS).is_dir():
        try:
            experiment = open_experiment(path)
            names = ", ".join(experiment.paths.info.names.values())
            notes["paths"] = (
                f"{len(experiment.paths)} {experiment.paths.kind} in {experiment.paths.info.space} {names and f'({names})'}"
            )
            notes["iterations"] = str(experiment.iteration)
            advice = f"Walk its paths: semanifold traverse {path}"
        except SemanifoldError as error:
            notes["paths"] = str(error)
    files = [file for file in islice(path.rglob("*"), MOST_FILES) if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    words = {name: shown(text.strip(), 400) for name, text in notes.items() if text}
    return Inspection(
        shown(str(path), 200), f"folder of {counted(len(files), 'file')}", size, "", holds, False, advice, notes=words
    )
