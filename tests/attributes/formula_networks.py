"""The six attribute networks of the parity fixture: weights and pictures by an integer formula, and the numbers expected."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from semanifold.attributes.published import MEASURES

FIXTURE = Path(__file__).resolve().parents[2] / ".." / "shared" / "reference" / "attribute_networks"
needs_fixture = pytest.mark.skipif(
    not FIXTURE.with_suffix(".json").exists(), reason="the reference numbers are not beside the checkout"
)

NAMES = {"face": "s3fd", "identity": "arcface", "fairface": "fairface", "pose": "hopenet", "au": "fan_au", "celeba": "celeba5"}
"""What the fixture calls the networks of our measures."""

RULES = {
    "bn_weight": (0.35, 0.7),
    "bn_bias": (-0.2, 0.4),
    "bn_mean": (-0.1, 0.2),
    "bn_var": (0.5, 1.0),
    "linear_bias": (-0.1, 0.2),
    "conv_bias": (-0.1, 0.2),
    "bn_bias_low": (-0.35, 0.5),
    "conv_bias_low": (-0.4, 0.5),
    "prelu_weight": (0.1, 0.3),
    "l2norm_weight": (0.8, 0.4),
}


PIECE = 1 << 15


@cache
def description() -> dict[str, Any]:
    return json.loads(FIXTURE.with_suffix(".json").read_text(encoding="utf-8"))


@cache
def numbers() -> dict[str, Tensor]:
    return load_file(FIXTURE.with_suffix(".safetensors"))


def formula(seed: int, index: int, count: int) -> Tensor:
    """The fixture's integer formula: u in [0, 1), float64; made in pieces that fit into the cache, for there are 139 million."""
    start = np.uint64((seed * 1000003 + index) * 0x9E3779B97F4A7C15 % 2**64)
    made = np.empty(count)
    for first in range(0, count, PIECE):
        x = np.arange(first + 1, min(first + PIECE, count) + 1, dtype=np.uint64)
        x *= np.uint64(0xD1B54A32D192ED03)
        x += start
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            x ^= x >> np.uint64(shift)
            x *= np.uint64(factor)
        x ^= x >> np.uint64(31)
        np.multiply(x >> np.uint64(40), 2.0**-24, out=made[first : first + PIECE])
    return torch.from_numpy(made)


def tensor(seed: int, entry: dict[str, Any]) -> Tensor:
    if entry["rule"] == "zero":
        return torch.zeros(entry["shape"], dtype=torch.int64)
    if entry["rule"] == "listed":
        return torch.tensor(entry["values"], dtype=torch.float64).float().reshape(entry["shape"])
    u = formula(seed, entry["index"], int(torch.tensor(entry["shape"]).prod()))
    value = (2 * u - 1) * entry["bound"] if entry["rule"] in ("conv_weight", "linear_weight") else None
    if value is None:
        low, spread = RULES[entry["rule"]]
        value = (low + spread * u) * entry.get("scale", 1.0)
    return value.float().reshape(entry["shape"])


@cache
def state(name: str) -> dict[str, Tensor]:
    """State dict of a network in the published layout, by the name of our measure."""
    table = description()["config"]["networks"][NAMES[name]]
    made = {key: tensor(table["formula_seed"], entry) for key, entry in table["state_dict"].items()}
    for key, entry in table["state_dict"].items():
        assert float(made[key].double().sum()) == pytest.approx(entry["sum"], rel=1e-9, abs=1e-6), key
    return made


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
    """The pictures ``[2, 3, h, w]`` in 0..255 that the raw outputs of a network belong to."""
    made = []
    for row in description()["config"]["pictures"]["network_level"][NAMES[name]]:
        made.append(picture(row["index"], row["height"], row["width"]))
        assert int(made[-1].double().sum()) == row["sum"]
    return torch.stack(made)


def paths() -> list[Tensor]:
    """The frames ``[3, 3, h, w]`` in 0..255 of the paths that the whole script was run on."""
    made = []
    frames = description()["config"]["pipeline"]["frames"]
    for row in description()["config"]["pipeline"]["paths"]:
        step = row["step"]
        wide = picture(row["index"], row["height"], row["width"] + (frames - 1) * step)
        made.append(torch.stack([wide[:, :, t * step : t * step + row["width"]] for t in range(frames)]))
        assert [int(frame.double().sum()) for frame in made[-1]] == row["sum"]
    return made


def close(found: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= tolerance * float(expected.abs().max())
