"""Folders of pictures that take the place of seeds: label maps, the maps of instances beside them, photos."""

from __future__ import annotations

import os
import re
from pathlib import Path

from semanifold.core.errors import SemanifoldError, shown
from semanifold.storage.files import is_file, is_folder

MOST_FILES = 100_000
ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".gif"})
INSTANCES = re.compile(r"(^|[_-])inst(ance)?(s|ids)?([_-]|$)", re.IGNORECASE)
"""What the names of instance maps and of their folders contain: ``train_inst``, ``x_gtFine_instanceIds``."""


def input_files(place: Path) -> tuple[list[Path], list[Path]]:
    """Return the inputs in a folder, or the one file, in the order of their names, and the maps of instances beside them.

    Raises:
        SemanifoldError: if there is no such folder or file, or no picture in it.
    """
    name = shown(str(place), 200)
    if is_file(place):
        beside = place.with_name(instances_name(place.name))
        if beside == place:
            beside = place.parent.with_name(instances_name(place.parent.name)) / place.name
        return [place], [beside] if beside != place and is_file(beside) else []
    if not is_folder(place):
        raise SemanifoldError(f"There is no folder or file {name} of inputs; check the spelling.")
    every = pictures_in(place)
    files = [path for path in every if not INSTANCES.search(path.stem)]
    instances = [path for path in every if INSTANCES.search(path.stem)]
    if not files:  # a folder of nothing but instances was named
        files, instances = every, []
    beside = place.with_name(instances_name(place.name)) if place.name else place
    if not instances and beside != place and is_folder(beside):
        instances = pictures_in(beside)
    if not files:
        raise SemanifoldError(
            f"{name} holds no pictures (.png, .tif, .jpg, ...) to take as inputs; give the folder that they are in."
        )
    return files, instances


def pictures_in(folder: Path) -> list[Path]:
    """Return the pictures in a folder, in the order of their names."""
    try:
        with os.scandir(folder) as entries:
            pictures = []
            for entry in entries:
                if Path(entry.name).suffix.lower() in ENDINGS and not entry.name.startswith("."):
                    pictures.append(folder / entry.name)
                if len(pictures) > MOST_FILES:
                    raise SemanifoldError(f"{shown(str(folder), 200)} holds more than {MOST_FILES:,} pictures; give fewer.")
    except OSError as error:
        raise SemanifoldError(f"The folder {shown(str(folder), 200)} cannot be read: {error.strerror}.") from error
    return sorted(pictures)


def instances_name(name: str) -> str:
    """Return what the map of instances beside a label map is called, or the folder beside a folder."""
    return re.sub(r"label(s?)(Ids)?(?=[._-]|$)", lambda match: "instanceIds" if match[2] else f"inst{match[1]}", name, count=1)
