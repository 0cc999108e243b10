"""Winograd's convolution against the direct one in float64."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from semanifold.generators.stylegan2 import winograd


def error(got: Tensor, expected: Tensor) -> float:
    return float((got - expected).norm() / expected.norm())


@pytest.mark.parametrize(("n", "inputs", "outputs", "height", "width"), [(3, 5, 7, 8, 12), (1, 4, 2, 4, 4), (2, 160, 130, 8, 8)])
@pytest.mark.parametrize("tiles", [1, 5, 256])  # single rows of tiles, some rows or samples, everything at once
def test_equals_the_direct_convolution(
    n: int, inputs: int, outputs: int, height: int, width: int, tiles: int, monkeypatch
) -> None:
    monkeypatch.setattr(winograd, "TILES", tiles)
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(n, inputs, height, width, generator=draw, dtype=torch.float64)
    g = torch.randn(n, outputs, height, width, generator=draw, dtype=torch.float64)
    weight = torch.randn(outputs, inputs, 3, 3, generator=draw, dtype=torch.float64)
    torch.testing.assert_close(winograd.convolve(x, weight), F.conv2d(x, weight, padding=1))
    torch.testing.assert_close(winograd.convolve(g, weight, adjoint=True), F.conv_transpose2d(g, weight, padding=1))


def test_float32_is_as_exact_as_the_direct_convolution() -> None:
    draw = torch.Generator().manual_seed(1)
    x, weight = torch.randn(1, 256, 48, 48, generator=draw), torch.randn(128, 256, 3, 3, generator=draw)
    assert winograd.worthwhile(x, weight)
    expected = F.conv2d(x.double(), weight.double(), padding=1)
    x = x.to(memory_format=torch.channels_last)
    assert error(winograd.convolve(x, weight), expected) < 2 * error(F.conv2d(x, weight, padding=1), expected)
    assert not winograd.worthwhile(x.double(), weight.double())
    assert not winograd.worthwhile(x[:, :, 1:], weight)
    assert not winograd.worthwhile(x[:, :64], weight[:, :64])
