"""Weights of the published networks that are too large to store: the fixtures give them by a formula, exact in integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

RULES = {
    "bn_weight": (0.35, 0.7),
    "bn_bias": (-0.2, 0.4),
    "bn_mean": (-0.1, 0.2),
    "bn_var": (0.5, 1.0),
    "linear_bias": (-0.1, 0.2),
    "conv_bias": (-0.1, 0.2),
    "bias": (-0.1, 0.2),
    "bn_bias_low": (-0.35, 0.5),
    "conv_bias_low": (-0.4, 0.5),
    "prelu_weight": (0.1, 0.3),
    "l2norm_weight": (0.8, 0.4),
    "lin_weight": (0.0, 1.0),
}
"""Smallest value and range of a rule without a bound."""

PIECE = 1 << 15


def formula(seed: int, index: int, count: int) -> Tensor:
    """The fixtures' integer formula: u in [0, 1), float64; made in pieces that fit into the cache, for there are 139 million."""
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


def formula_tensor(seed: int, entry: dict[str, Any]) -> Tensor:
    """One tensor of a network, from its entry in the fixture's table."""
    if entry["rule"] == "zero":
        return torch.zeros(entry.get("shape", []), dtype=torch.int64)
    if entry["rule"] == "listed":
        return torch.tensor(entry["values"], dtype=torch.float64).float().reshape(entry["shape"])
    u = formula(seed, entry["index"], int(torch.tensor(entry["shape"]).prod()))
    if entry["rule"] in ("conv_weight", "linear_weight"):
        return ((2 * u - 1) * entry["bound"]).float().reshape(entry["shape"])
    low, spread = RULES[entry["rule"]]
    return ((low + spread * u) * entry.get("scale", 1.0)).float().reshape(entry["shape"])


def formula_state(table: dict[str, Any]) -> dict[str, Tensor]:
    """The state dict that a table of a fixture describes, in its order; the sums given there are checked."""
    made = {key: formula_tensor(table["formula_seed"], entry) for key, entry in table["state_dict"].items()}
    for key, entry in table["state_dict"].items():
        assert float(made[key].double().sum()) == pytest.approx(entry.get("sum", 0), rel=1e-9, abs=1e-6), key
    return made


def random_lpips(net: str, *, pretrained: bool = True) -> nn.Module:
    """LPIPS of the published package, its network with random weights; its classifier, thrown away, is not drawn."""
    lpips = pytest.importorskip("lpips")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.Linear, "reset_parameters", lambda self: None)  # a hundred million numbers
        patch.setattr(nn.init, "normal_", lambda tensor, *_, **__: tensor)
        return lpips.LPIPS(net=net, pretrained=pretrained, pnet_rand=True, verbose=False)


def lpips_with_formula_weights(net: str, table: dict[str, Any]) -> nn.Module:
    """LPIPS of the published package, with the weights of a fixture."""
    model = random_lpips(net, pretrained=False)
    model.load_state_dict(model.state_dict() | formula_state(table))
    return model
