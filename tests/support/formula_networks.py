"""The six attribute networks of the parity fixture: weights and pictures by an integer formula, and the numbers expected."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from support import reference
from support.formula_weights import formula, formula_state
from torch import Tensor, nn

from semanifold.analysis.attributes.published import MEASURES

NAMES = {"face": "s3fd", "identity": "arcface", "fairface": "fairface", "pose": "hopenet", "au": "fan_au", "celeba": "celeba5"}
"""What the fixture calls the networks of our measures."""


@cache
def description() -> dict[str, Any]:
    return reference.described("attribute_networks")


@cache
def numbers() -> dict[str, Tensor]:
    return reference.numbers("attribute_networks")


@cache
def state(name: str) -> dict[str, Tensor]:
    """State dict of a network in the published layout, by the name of our measure."""
    return formula_state(description()["config"]["networks"][NAMES[name]])


@cache
def network(name: str) -> nn.Module:
    with torch.device("meta"):
        made = MEASURES[name].make(description()["config"]["networks"][NAMES[name]]["file"])
    made.load_state_dict(state(name), assign=True)  # strictly: the layout is the published one
    return made.eval().requires_grad_(False)


def picture(index: int, height: int, width: int) -> Tensor:
    """An 8-bit picture ``[3, height, width]`` of the formula, as float 0..255."""
    seed, total = description()["seeds"]["pictures"], torch.zeros(3, height, width, dtype=torch.int64)
    for level, (cell, weight) in enumerate(((32, 5), (8, 2), (1, 1))):
        h, w = -(-height // cell), -(-width // cell)
        coarse = (256 * formula(seed, 3 * index + level, 3 * h * w)).long().reshape(3, h, w)
        total += weight * coarse.repeat_interleave(cell, 1).repeat_interleave(cell, 2)[:, :height, :width]
    return (total // 8).float()


def pictures(name: str) -> Tensor:
    """The pictures ``[n, 3, h, w]`` in 0..255 that the raw outputs of a network belong to."""
    made = []
    for row in description()["config"]["pictures"]["network_level"][NAMES[name]]:
        made.append(picture(row["index"], row["height"], row["width"]))
        assert int(made[-1].double().sum()) == row["sum"]
    return torch.stack(made)


@cache
def paths() -> list[Tensor]:
    """The frames ``[T, 3, h, w]`` in 0..255 of the paths that the whole script was run on."""
    made = []
    frames = description()["config"]["pipeline"]["frames"]
    for row in description()["config"]["pipeline"]["paths"]:
        step = row["step"]
        wide = picture(row["index"], row["height"], row["width"] + (frames - 1) * step)
        made.append(torch.stack([wide[:, :, t * step : t * step + row["width"]] for t in range(frames)]))
        assert [int(frame.double().sum()) for frame in made[-1]] == row["sum"]
    return made
