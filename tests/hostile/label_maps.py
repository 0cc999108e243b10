"""Hostile folders of label maps, options and weights of pix2pixHD, and files of directions in weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from hostile.folders import PLACES, picture_bomb
from hostile.goods import PATHS
from hostile.masks_and_words import picture, png
from hostile.trials import IN, Hostile, Words
from hostile.uses import TO, directions, generator
from hostile.values import our_header, with_our_header
from PIL import Image

from semanifold.generators.loading import save_generator
from semanifold.generators.pix2pixhd import Pix2PixHD, Pix2PixHDConfig

SMALL = Pix2PixHDConfig(inputs=5, edges=True, features=4, downsamplings=1, blocks=1, height=16, width=16)
GOOD_MAP = picture(np.arange(256, dtype=np.uint8).reshape(16, 16) % 4)
SETS: dict[str, object] = {
    "empty": {},
    "no shift": {"layer_ix": 3},
    "layer is text": {"layer_ix": "3", "shift": torch.zeros(1, 1, 4, 4, 3, 3)},
    "layer 10**9": {"layer_ix": 10**9, "shift": torch.ones(1, 1, 4, 4, 3, 3)},
    "layer -1": {"layer_ix": -1, "shift": torch.ones(1, 1, 4, 4, 3, 3)},
    "NaN": {"layer_ix": 3, "shift": torch.full((1, 1, 128, 128, 3, 3), float("nan"))},
    "zero": {"layer_ix": 3, "shift": torch.zeros(1, 1, 128, 128, 3, 3)},
    "flat": {"layer_ix": 3, "shift": torch.ones(7)},
    "one number": {"layer_ix": 3, "shift": torch.ones(())},
    "another shape": {"layer_ix": 3, "shift": torch.ones(1, 1, 128, 64, 3, 3)},
    "whole numbers": {"layer_ix": 3, "shift": torch.ones(1, 1, 128, 128, 3, 3, dtype=torch.int32)},
    "expanded": {"layer_ix": 3, "shift": torch.ones(1).expand(1, 1, 512, 512, 3, 3)},
    "nested": {"layer_ix": {"a": [3]}, "shift": [[torch.ones(2)]]},
}
"""Deformations of Navigan."""


def uses(extra: Words = ()) -> tuple[Words, ...]:
    """Commands that take label maps."""
    model = ("--generator", f"{IN}/net.safetensors", *extra)
    return (
        ("sample", *model, "--seeds", f"{IN}/maps", *TO),
        ("sample", *model, "--inputs", f"{IN}/maps", "--seeds", "0-3", *TO),
        ("mask", "label1", *model, "--inputs", f"{IN}/maps", "--seed", "1", *TO),
        ("weights", "svd", *model, "--inputs", f"{IN}/maps", "--layer", "downs.0", "--k", "1", *TO),
        ("sample", "--seeds", f"{IN}/maps", *TO),
    )


def folder_with(*files: tuple[str, Callable[[Path], object]]) -> Callable[[Path, Path], None]:
    """Write weights and a folder of maps in which some files are hostile."""

    def write(folder: Path, _: Path) -> None:
        save_generator(Pix2PixHD(SMALL), folder / "net.safetensors")
        (folder / "maps").mkdir()
        for name, make in files:
            make(folder / "maps" / name)

    return write


def data(content: bytes) -> Callable[[Path], object]:
    """Write bytes."""
    return lambda place: place.write_bytes(content)


MAPS: dict[str, tuple[tuple[str, Callable[[Path], object]], ...]] = {
    **{f"a map is {what}": (("a.png", data(GOOD_MAP)), ("b.png", make)) for what, make in PLACES.items()},
    **{f"the only map is {what}": (("a.png", make),) for what, make in PLACES.items()},
    "bomb": (("a.png", data(picture_bomb())),),
    "a map that claims 10**5 x 10**5": (("a.png", data(png(10**5, 10**5))),),
    "a map of nothing": (("a.png", data(png(0, 0))),),
    "labels beyond": (("a.png", data(picture(np.full((16, 16), 200, dtype=np.uint8)))),),
    "odd size": (("a.png", data(picture(np.zeros((15, 16), dtype=np.uint8)))),),
    "one pixel": (("a.png", data(picture(np.zeros((1, 1), dtype=np.uint8)))),),
    "floats": (("a.tif", lambda place: Image.fromarray(np.full((16, 16), np.nan, dtype=np.float32)).save(place)),),
    "negative": (("a.tif", lambda place: Image.fromarray(np.full((16, 16), -5, dtype=np.int32)).save(place)),),
    "huge numbers": (("a.tif", lambda place: Image.fromarray(np.full((16, 16), 2**31 - 1, dtype=np.int32)).save(place)),),
    "colours": (("a.png", data(picture(np.zeros((16, 16, 3), dtype=np.uint8)))),),
    "no picture": (("a.txt", data(b"no picture")),),
    "control characters": (("a\x1b[2J\n.png", data(b"\x1b]0;x\x07")),),
    "two sizes": (("a.png", data(GOOD_MAP)), ("b.png", data(picture(np.zeros((32, 32), dtype=np.uint8))))),
    "too few instances": (("a.png", data(GOOD_MAP)), ("b.png", data(GOOD_MAP)), ("b_inst.png", data(GOOD_MAP))),
    "instances alone": (("a_inst.png", data(GOOD_MAP)),),
    "20,000 files": (("a.png", data(GOOD_MAP)), *[(f"{i}.png", data(b"")) for i in range(20_000)]),
}
OPTIONS: dict[str, Callable[[Path], object]] = PLACES | {
    "labels 10**30": data(b"label_nc: 1" + b"0" * 30 + b"\n"),
    "labels negative": data(b"label_nc: -3\nno_instance: False\n"),
    "10**6 lines": data(b"label_nc: 3\n" * 80_000),
    "one long line": data(b"label_nc" * 100_000),
    "control characters": data(b"label_nc: \x1b[2J\nno_instance: \x00\n"),
}


def published(change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Callable[[Path, Path], None]:
    """Write a state dict in the published layout, changed."""

    def write(folder: Path, _: Path) -> None:
        state = {"model.1.weight": torch.ones(4, 5, 7, 7), "model.1.bias": torch.ones(4)}
        for i, shape in ((4, (8, 4, 3, 3)), (6, (8, 4, 3, 3))):
            state |= {f"model.{i}.weight": torch.ones(shape), f"model.{i}.bias": torch.ones(shape[0] if i == 4 else 4)}
        for i in (1, 5):
            state |= {f"model.5.conv_block.{i}.weight": torch.ones(8, 8, 3, 3), f"model.5.conv_block.{i}.bias": torch.ones(8)}
        torch.save(change(state), folder / "x.pth")

    return write


STATES: dict[str, Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]] = {
    "blocks without end": lambda s: {f"model.{i}.conv_block.1.weight": torch.ones(1, 1, 3, 3) for i in range(5000)} | s,
    "no first layer": lambda s: {k: v for k, v in s.items() if not k.startswith("model.1.")},
    "wrong kernel": lambda s: s | {"model.1.weight": torch.ones(4, 5, 3, 3)},
    "no channels": lambda s: s | {"model.1.weight": torch.ones(0, 0, 7, 7)},
    "complex": lambda s: s | {"model.1.weight": torch.ones(4, 5, 7, 7, dtype=torch.complex64)},
    "infinite": lambda s: s | {"model.1.weight": torch.full((4, 5, 7, 7), torch.inf)},
    "halvings without end": lambda s: s | {f"model.{4 + 3 * i}.weight": torch.ones(8 << i, 4 << i, 1, 1) for i in range(8)},
}


def inputs() -> Iterator[Hostile]:
    """Yield all of them."""
    for what, files in MAPS.items():
        yield Hostile("folder of label maps", what, folder_with(*files), uses())
    for what, make in OPTIONS.items():

        def write(folder: Path, goods: Path, make: Callable[[Path], object] = make) -> None:
            published(lambda s: s)(folder, goods)
            make(folder / "opt.txt")

        yield Hostile("pix2pixHD", f"opt.txt is {what}", write, generator("x.pth")[:3])
    for what, change in STATES.items():
        yield Hostile("pix2pixHD", what, published(change), generator("x.pth")[:3])
    for what, held in SETS.items():

        def save(folder: Path, _: Path, held: object = held) -> None:
            torch.save(held, folder / "deformation.pt")

        yield Hostile(
            "directions in weights", what, save, (("inspect", f"{IN}/deformation.pt"), *directions("deformation.pt")[:3])
        )
    yield from of_sets()


def of_sets() -> Iterator[Hostile]:
    """Yield sets of paths whose measured numbers lie."""
    for what, measured in {
        "measured: too few": {"low": [-1.0], "high": [1.0]},
        "measured: the wrong way": {"low": [1.0, 1.0], "high": [-1.0, -1.0]},
        "measured: without end": {"low": [-1e300, -1e300], "high": [1e300, 1e300]},
        "measured: text": {"low": "far", "high": [1.0, 1.0]},
        "measured: 10**5 names": {f"n{i}": [0.0, 0.0] for i in range(10**5)},
        "measured: low alone": {"low": [-1.0, -1.0]},
    }.items():

        def write(folder: Path, goods: Path, measured: object = measured) -> None:
            held = our_header(goods / PATHS)
            held["info"]["measured"] = measured
            with_our_header(goods / PATHS, folder / "x.safetensors", json.dumps(held))

        yield Hostile("directions in weights", what, write, directions("x.safetensors")[:3])
