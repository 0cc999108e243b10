"""The filters of StyleGAN3 against their designs, and the fast nonlinearity against the plain one."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from support.instances import drawn
from support.reference import REFERENCE, settings
from torch import Tensor

from semanifold.generators.stylegan3.filters import filtered_rectifier, low_pass


def plainly(x: Tensor, rise: Tensor, fall: Tensor, up: int, down: int, before: int, size: int, clamp: float | None) -> Tensor:
    """Zeros between the samples, whole convolutions, every so many-th sample of the result."""
    n, c, h, w = x.shape
    dense = x.new_zeros(n, c, h * up, w * up)
    dense[..., ::up, ::up] = x
    planes = torch.outer(fall, fall) if fall.ndim == 1 else fall
    missing = (size - 1) * down + 1 + len(rise) + planes.shape[0] - 2 - before
    dense = F.pad(dense, (before, missing - w * up, before, missing - h * up))
    for kernel in (torch.outer(rise, rise) * up * up, planes):
        dense = F.conv2d(dense, kernel.flip(0, 1).to(x).expand(c, 1, *kernel.shape), groups=c)
        if kernel is not planes:
            dense = F.leaky_relu(dense, 0.2) * math.sqrt(2)
            dense = dense if clamp is None else dense.clamp(-clamp, clamp)
    return dense[..., ::down, ::down]


@pytest.mark.parametrize(
    ("up", "down", "before", "size", "clamp", "radial"),
    [
        (2, 2, 9, 14, None, False),
        (2, 2, 10, 13, 0.5, True),
        (4, 2, -6, 12, None, False),
        (4, 2, -3, 16, 1.0, True),
        (4, 4, 17, 9, None, False),
        (4, 1, 5, 20, None, False),
        (1, 1, 2, 11, None, False),
    ],
)  # fmt: skip
def test_the_phases_are_the_plain_formula(up: int, down: int, before: int, size: int, clamp: float | None, radial: bool) -> None:
    x = drawn(2, 3, 14, 14)
    rise, fall = drawn(6 * up, seed=1), drawn(*([6 * down] * (1 + radial)), seed=2)
    expected = plainly(x, rise, fall, up, down, before, size, clamp)
    assert expected.shape == (2, 3, size, size)
    torch.testing.assert_close(filtered_rectifier(x, rise, fall, up, down, before, size, clamp), expected)


@pytest.mark.parametrize("fixture", ["stylegan3_t", "stylegan3_r"])
def test_designs_are_those_of_the_published_program(fixture: str) -> None:
    stored = load_file(REFERENCE / fixture / "G.state.safetensors")
    for layer in settings(fixture)["layers"][:-1]:
        rate = layer["tmp_sampling_rate"]
        rise = low_pass(layer["up_taps"], layer["in_cutoff"], layer["in_half_width"], rate)
        fall = low_pass(layer["down_taps"], layer["out_cutoff"], layer["out_half_width"], rate, radial=layer["down_radial"])
        for ours, name in ((rise, "up_filter"), (fall, "down_filter")):
            torch.testing.assert_close(ours, stored[f"synthesis.{layer['name']}.{name}"], rtol=0, atol=1e-7)


def test_a_radial_filter_is_the_same_in_all_directions_and_none_changes_a_plain_surface() -> None:
    radial, plain = (low_pass(24, 4.0, 2.0, 32, radial=r).double() for r in (True, False))
    assert math.isclose(radial.sum(), 1, abs_tol=1e-6)
    assert math.isclose(plain.sum(), 1, abs_tol=1e-6)
    places = (torch.arange(24).double() - 11.5) / 32

    def response(filter_: Tensor, angle: float) -> float:
        """How much of a wave of frequency 5 it lets through."""
        wave = torch.cos(2 * math.pi * 5 * (places[:, None] * math.sin(angle) + places * math.cos(angle)))
        return float((filter_ * wave).sum())

    uneven = [abs(response(kernel, 0) - response(kernel, math.pi / 4)) for kernel in (radial, torch.outer(plain, plain))]
    assert 5 * uneven[0] < uneven[1], uneven
