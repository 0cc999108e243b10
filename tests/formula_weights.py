"""LPIPS with the weights of the parity fixtures, which are given by an integer formula because they are too large to store."""

import pytest
import torch
from torch import Tensor, nn

MASK64 = (1 << 64) - 1


def formula(seed: int, index: int, count: int) -> Tensor:
    """The fixture's integer formula: u in [0, 1), float64."""
    start = ((seed * 1000003 + index) * 0x9E3779B97F4A7C15) & MASK64
    x = torch.arange(1, count + 1, dtype=torch.int64) * _signed(0xD1B54A32D192ED03) + _signed(start)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ _shifted(x, shift)) * _signed(factor)
    x = x ^ _shifted(x, 31)
    return _shifted(x, 40).double() / 2**24


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _shifted(x: Tensor, n: int) -> Tensor:
    return (x >> n) & ((1 << (64 - n)) - 1)


def lpips_with_formula_weights(net: str, table: dict) -> nn.Module:
    lpips = pytest.importorskip("lpips")
    model = lpips.LPIPS(net=net, pretrained=False, pnet_rand=True, verbose=False)
    state = model.state_dict()
    for key, entry in table["state_dict"].items():
        u = formula(table["formula_seed"], entry["index"], int(torch.tensor(entry["shape"]).prod()))
        value = {"conv_weight": lambda u, e=entry: (2 * u - 1) * e["bound"], "bias": lambda u: -0.1 + 0.2 * u}.get(
            entry["rule"], lambda u: u
        )(u)
        assert float(value.float().double().sum()) == pytest.approx(entry["sum"], rel=1e-9, abs=1e-6)
        state[key] = value.float().reshape(entry["shape"])
    model.load_state_dict(state)
    return model
