"""A 3 x 3 convolution of many channels on a CPU with a quarter of the multiplications.

Winograd's minimal filtering F(4 x 4, 3 x 3) (Winograd 1980; Lavin and Gray 2016, arXiv:1509.09308), in torch operators: tiles of
six by six inputs and the kernel go to 36 values each, one matrix product a value sums over the channels, and tiles of
four by four outputs come back. The interpolation points are 0, ±2/3, ±3/2 and infinity: reciprocal pairs keep the float32
error at that of the direct convolution, where the usual ±1, ±2 are three times worse.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

P, Q = 2 / 3, 3 / 2
"""The interpolation points are 0, P, -P, Q, -Q and infinity."""

TILES = 256
"""Tiles of a strip, the rows of each matrix product: enough that kernels are seldom read again, few enough for the last cache."""


def worthwhile(x: Tensor, weight: Tensor) -> bool:
    """Whether the detour pays for ``[n, in, h, w]`` and ``[out, in, 3, 3]``: float32, channels and pixels enough."""
    n, _, h, w = x.shape
    many = min(weight.shape[:2]) >= 128 and n * h * w >= 2048
    return many and h % 4 == 0 and w % 4 == 0 and x.dtype == torch.float32 and x.device.type == "cpu"


def convolve(x: Tensor, weight: Tensor, *, adjoint: bool = False) -> Tensor:
    """``conv2d(x, weight, padding=1)``, or with ``adjoint`` its adjoint in x, ``conv_transpose2d(x, weight, padding=1)``.

    Args:
        x: ``[n, c, h, w]``, h and w multiples of four; fastest with the channels last in memory. Not differentiable.
        weight: ``[out, in, 3, 3]``.
        adjoint: whether x has ``out`` channels and the result ``in``.

    Returns:
        ``[n, c', h, w]``, channels last in memory.
    """
    points = _POINTS.flip(1) if adjoint else _POINTS
    kernels = torch.kron(points, points).to(weight) @ weight.flatten(2).mT  # [out, 36, in]
    kernels = kernels.permute(1, 0, 2) if adjoint else kernels.permute(1, 2, 0)
    analysis, synthesis = (torch.kron(line, line).to(x) for line in (_ANALYSIS, _SYNTHESIS))
    n, c, h, w = x.shape
    rows, out = x.permute(0, 2, 3, 1), x.new_empty(n, h, w, kernels.shape[2])
    samples = max(1, min(n, 16 * TILES // (h * w)))
    height = max(1, min(h // 4, 4 * TILES // w))
    # of a strip alone, so that all is read again from the cache
    padded, width, most = x.new_zeros(samples, 4 * height + 2, w + 2, c), w // 4, max(c, out.shape[3])
    one, other = x.new_empty(2, 36 * samples * height * width * most)
    for i in range(0, n, samples):
        for top in range(0, h, 4 * height):
            made = out[i : i + samples, top : top + 4 * height]
            # 1. A strip with a row of neighbours above and below, which beyond the picture is zero.
            strip = padded[: made.shape[0], : made.shape[1] + 2]
            first, end = max(top - 1, 0), min(top + made.shape[1] + 1, h)
            place = first - top + 1
            strip[:, :place] = 0
            strip[:, place : place + end - first, 1:-1] = rows[i : i + samples, first:end]
            strip[:, place + end - first :] = 0
            # 2. Overlapping tiles of it to their 36 values, by one product of matrices: sums of slices take longer.
            tiles = strip.unfold(1, 6, 4).unfold(2, 6, 4).permute(4, 5, 0, 1, 2, 3)
            inputs = _matrix(one, tiles.shape)
            inputs.copy_(tiles)
            values = torch.mm(analysis, inputs.view(36, -1), out=_matrix(other, (36, inputs[0, 0].numel())))
            # 3. Sum over the channels.
            count = inputs[0, 0].numel() // c
            products = torch.bmm(values.view(36, count, c), kernels, out=_matrix(one, (36, count, kernels.shape[2])))
            # 4. Back to four by four outputs a tile.
            results = torch.mm(synthesis, products.view(36, -1), out=_matrix(other, (16, products[0].numel())))
            places = made.unflatten(2, (width, 4)).unflatten(1, (-1, 4)).permute(2, 4, 0, 1, 3, 5)
            places.copy_(results.view(places.shape))
    return out.permute(0, 3, 1, 2)


def _matrix(room: Tensor, shape: Sequence[int]) -> Tensor:
    return room[: math.prod(shape)].view(shape)


def _rows(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


_SCALES = [(a, 2 * b * b * (b * b - c * c)) for a, b, c in ((P, P, Q), (-P, P, Q), (Q, Q, P), (-Q, Q, P))]
_POINTS = _rows([1 / (P * Q) ** 2, 0, 0], *([1 / s, a / s, a * a / s] for a, s in _SCALES), [0, 0, 1])
"""``G``: three taps to their values at the six points, ``[6, 3]``; over both axes ``G w G^T``."""
_ANALYSIS = _rows(
    [(P * Q) ** 2, 0, -P * P - Q * Q, 0, 1, 0],
    *([0, -a * b * b, -b * b, a, 1, 0] for a, b in ((P, Q), (-P, Q), (Q, P), (-Q, P))),
    [0, (P * Q) ** 2, 0, -P * P - Q * Q, 0, 1],
)
"""``B^T``: six neighbours to their values at the six points, ``[6, 6]``."""
_SYNTHESIS = _rows(*([0.0**k, P**k, (-P) ** k, Q**k, (-Q) ** k, float(k == 3)] for k in range(4)))
"""``A^T``: the values of a product at the six points to four neighbours, ``[4, 6]``."""
