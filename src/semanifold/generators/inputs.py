"""Inputs of generators that make pictures of pictures: label maps with the edges between instances, or photos, from files.

A folder of them takes the place of seeds: seed n is file n in the order of the names, and they begin again after the last.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from semanifold.core.errors import SemanifoldError, counted, shown
from semanifold.generators.states import Say
from semanifold.storage.digests import files_digest
from semanifold.storage.files import is_file, read_bytes
from semanifold.storage.input_files import input_files
from semanifold.storage.pictures import open_picture

if TYPE_CHECKING:
    from semanifold.generators.pix2pixhd import Pix2PixHDConfig

MOST_PIXELS = 1 << 23
"""Pixels of one map: 4,096 x 2,048."""
MOST_NUMBERS = 1 << 28
"""Numbers of one input, all channels: 1 GB."""
OPTIONS = "opt.txt"
"""What pix2pixHD and CycleGAN leave beside their weights: the options of the training, one per line."""
MOST_OPTIONS = 1 << 20

CITYSCAPES = (
    "unlabeled", "ego-vehicle", "rectification-border", "out-of-roi", "static", "dynamic", "ground", "road", "sidewalk",
    "parking", "rail-track", "building", "wall", "fence", "guard-rail", "bridge", "tunnel", "pole", "polegroup",
    "traffic-light", "traffic-sign", "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "caravan",
    "trailer", "train", "motorcycle", "bicycle", "license-plate",
)  # fmt: skip
"""The labels of Cityscapes (Cordts et al. 2016, arXiv:1604.01685) in the order of their numbers: 35, as pix2pixHD has them."""


class Inputs(Protocol):
    """What the seeds of a generator number."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        ...

    @property
    def digest(self) -> str:
        """What tells these inputs from others."""
        ...

    def __call__(self, seed: int) -> Tensor:
        """Return the input ``[channels, height, width]`` of a seed, float32 on the CPU."""
        ...


@dataclass(frozen=True)
class FileInputs:
    """Files that the seeds number; read when they are asked for, and never kept.

    Attributes:
        files: label maps or photos.
        instances: the map of the instances beside each; empty if there are none.
        config: what the network takes.
        size: height and width of all files.
    """

    files: tuple[Path, ...]
    instances: tuple[Path, ...]
    config: Pix2PixHDConfig
    size: tuple[int, int]

    @property
    def digest(self) -> str:
        """See :class:`Inputs`."""
        return files_digest([*self.files, *self.instances])

    def __call__(self, seed: int) -> Tensor:
        """See :class:`Inputs`.

        Raises:
            SemanifoldError: if the file cannot be read, has another size, or holds labels that the network does not know.
        """
        place = seed % len(self.files)
        if not self.config.labelled:
            parts = [_colours(self.files[place], self.config.labels, self.size)]
        else:
            labels = _whole_numbers(self.files[place], self.size)
            _check_labels(self.files[place], labels, self.config)
            parts = [one_hot(labels, self.config.labels)]
        if self.config.edges:
            file = self.instances[place] if self.instances else self.files[place]
            parts.append(edges_of(_whole_numbers(file, self.size))[None].float())
        return torch.cat(parts)


def opened_inputs(place: str | os.PathLike[str], config: Pix2PixHDConfig, say: Say) -> FileInputs:
    """Return the inputs in a folder, or in one file.

    Maps of instances lie beside the label maps, either under names with ``inst`` in them (``x_gtFine_instanceIds.png``), or in a
    folder called like that of the labels, with ``inst`` in the place of ``label`` (``train_label``, ``train_inst``).

    Args:
        place: folder or file.
        config: what the network takes.
        say: gets what was assumed.

    Raises:
        SemanifoldError: if there is nothing, the sizes do not fit, or labels and instances are not one for one.
    """
    name = shown(os.fspath(place), 200)
    files, instances = input_files(Path(place))
    if not config.edges:
        instances = []
    elif not instances:
        say(f"{name} has no maps of instances, so that edges are taken to be where the labels change")
    elif len(instances) != len(files):
        maps, labels = counted(len(instances), "map"), counted(len(files), "label map")
        raise SemanifoldError(f"{name} has {labels}, but {maps} of instances; one is needed for each.")
    with _picture(files[0]) as first:
        width, height = first.size
    if config.inputs * width * height > MOST_NUMBERS:
        raise SemanifoldError(
            f"{name}: inputs of {config.inputs} x {height} x {width} numbers take too much memory; make them smaller."
        )
    return FileInputs(tuple(files), tuple(instances), config, (height, width))


def one_hot(labels: Tensor, count: int) -> Tensor:
    """Return one channel of zeros and ones per label: ``[h, w]`` to ``[count, h, w]``."""
    channels = torch.zeros(count, *labels.shape)
    return channels.scatter_(0, labels[None], 1.0)


def edges_of(instances: Tensor) -> Tensor:
    """Return where a neighbour above, below, to the left or to the right belongs to another instance, ``[h, w]``."""
    down, across = instances[1:] != instances[:-1], instances[:, 1:] != instances[:, :-1]
    edges = torch.zeros_like(instances, dtype=torch.bool)
    edges[1:] |= down
    edges[:-1] |= down
    edges[:, 1:] |= across
    edges[:, :-1] |= across
    return edges


def label_names(config: Pix2PixHDConfig) -> dict[str, int]:
    """Return the channels of the labels by name; ``label3`` works for every label."""
    names = config.names or (CITYSCAPES if config.labels == len(CITYSCAPES) else ())
    return {name: i for i, name in enumerate(names) if name} | {f"label{i}": i for i in range(config.labels)}


def read_options(folder: Path) -> dict[str, str]:
    """Return the options beside weights, by name; nothing if there are none."""
    path = folder / OPTIONS
    if not is_file(path):
        return {}
    text = read_bytes(path, "file of options", MOST_OPTIONS).decode(errors="replace")
    pairs = (re.match(r"\s*(\w+)\s*:\s*([^\s\[]*)", line) for line in text.splitlines()[:1000])
    return {pair[1]: pair[2] for pair in pairs if pair}


def _picture(path: Path) -> Image.Image:
    return open_picture(path, "input", most_pixels=MOST_PIXELS)


def _check_picture_size(path: Path, picture: Image.Image, size: tuple[int, int]) -> None:
    if picture.size != size[::-1]:
        raise SemanifoldError(
            f"{shown(str(path), 200)} is {picture.width} x {picture.height} pixels, but the first input is {size[1]} x "
            f"{size[0]}; all inputs of a run have one size."
        )


def _whole_numbers(path: Path, size: tuple[int, int]) -> Tensor:
    """Return the numbers of a picture with one channel ``[h, w]``; of one with a palette its places there."""
    with _picture(path) as picture:
        _check_picture_size(path, picture, size)
        if picture.mode not in ("L", "P", "1", "I") and not picture.mode.startswith("I;16"):
            raise SemanifoldError(
                f"{shown(str(path), 200)} has colours ({picture.mode}), but a label map has one number per pixel; save it as a "
                "picture of grey values or with a palette, whose numbers are the labels."
            )
        return torch.from_numpy(np.asarray(picture).astype(np.int64))


def _check_labels(path: Path, labels: Tensor, config: Pix2PixHDConfig) -> None:
    least, most = int(labels.min()), int(labels.max())
    if not 0 <= least <= most < config.labels:
        wrong = least if least < 0 else most
        raise SemanifoldError(
            f"{shown(str(path), 200)} holds the label {wrong}, but the network knows the labels 0 to {config.labels - 1}."
        )


def _colours(path: Path, channels: int, size: tuple[int, int]) -> Tensor:
    """Return a photo ``[channels, h, w]`` in [-1, 1]."""
    if channels not in (1, 3):
        raise SemanifoldError(f"The network takes pictures of {channels} channels; only 1 (grey) and 3 can be read from files.")
    with _picture(path) as picture:
        _check_picture_size(path, picture, size)
        values = np.asarray(picture.convert("L" if channels == 1 else "RGB"), dtype=np.float32)
    return torch.from_numpy(values.reshape(*size, channels) / 127.5 - 1).permute(2, 0, 1).contiguous()
