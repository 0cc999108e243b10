"""A 3 x 3 convolution of many channels on a CPU with a quarter of the multiplications.

Winograd's minimal filtering F(4 x 4, 3 x 3) (Winograd 1980; Lavin and Gray 2016, arXiv:1509.09308), in torch operators: tiles of
six by six inputs and the kernel go to 36 values each, one matrix product a value sums over the channels, and tiles of
four by four outputs come back. The interpolation points are 0, ±2/3, ±3/2 and infinity: reciprocal pairs keep the float32
error at that of the direct convolution, where the usual ±1, ±2 are three times worse.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

P, Q = 2 / 3, 3 / 2
"""The interpolation points are 0, P, -P, Q, -Q and infinity."""

ROOM = 1 << 21
"""Numbers of a strip of transformed tiles; about a quarter of the last cache."""


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
    kernels = _kernels(weight, mirrored=adjoint)
    kernels = kernels.permute(1, 0, 2) if adjoint else kernels.permute(1, 2, 0)
    n, c, h, w = x.shape
    rows, out = x.permute(0, 2, 3, 1), x.new_empty(n, h, w, kernels.shape[2])
    sample = 36 * (h // 4) * (w // 4) * max(c, kernels.shape[2])
    samples = max(1, min(n, ROOM // sample))
    tiles = max(1, min(h // 4, ROOM * (h // 4) // sample))
    padded = x.new_zeros(samples, 4 * tiles + 2, w + 2, c)  # of a strip alone, so that it is read again from the cache
    for i in range(0, n, samples):
        for top in range(0, h, 4 * tiles):
            made = out[i : i + samples, top : top + 4 * tiles]
            strip = padded[: made.shape[0], : made.shape[1] + 2]
            # a row of neighbours above and below, which beyond the picture is zero
            first, end = max(top - 1, 0), min(top + made.shape[1] + 1, h)
            place = first - top + 1
            strip[:, :place] = 0
            strip[:, place : place + end - first, 1:-1] = rows[i : i + samples, first:end]
            strip[:, place + end - first :] = 0
            _strip(strip, kernels, made)
    return out.permute(0, 3, 1, 2)


def _kernels(weight: Tensor, *, mirrored: bool) -> Tensor:
    """``G w G^T``: ``[out, in, 3, 3]`` to ``[out, 36, in]``."""
    rows = [[1 / (P * Q) ** 2, 0, 0], *[[1 / s, a / s, a * a / s] for a, s in _POINTS], [0, 0, 1]]
    g = torch.tensor(rows, dtype=torch.float64)
    g = torch.kron(g, g).to(weight)
    return (g.flip(1) if mirrored else g) @ weight.flatten(2).mT


_POINTS = [(a, 2 * b * b * (b * b - c * c)) for a, b, c in ((P, P, Q), (-P, P, Q), (Q, Q, P), (-Q, Q, P))]


def _strip(x: Tensor, kernels: Tensor, out: Tensor) -> None:
    """Convolve rows ``[n, 4t + 2, w + 2, c]`` into ``[n, 4t, w, c']``."""
    n, height, width, c = out.shape[0], out.shape[1] // 4, out.shape[2] // 4, x.shape[-1]
    columns = x.new_empty(6, n, 4 * height + 2, width, c)
    _analyse([x[:, :, k : k + 4 * width - 3 : 4] for k in range(6)], columns)
    values = x.new_empty(6, 6, n, height, width, c)
    _analyse([columns[:, :, k : k + 4 * height - 3 : 4] for k in range(6)], values)
    products = torch.bmm(values.view(36, -1, c), kernels).view(6, 6, n, height, width, -1)
    rows = x.new_empty(4, 6, n, height, width, products.shape[-1])
    _synthesise(products, rows)
    tiles = out.unflatten(2, (width, 4)).unflatten(1, (height, 4))
    for k in range(4):
        _synthesise(rows[k], [tiles[:, :, k, :, j] for j in range(4)])


def _analyse(d: Sequence[Tensor], out: Tensor) -> None:
    """``B^T d`` along one axis: six neighbours to the values at the six points."""
    p, q = P * P, Q * Q
    even, odd = torch.sub(d[4], d[2], alpha=q), torch.sub(d[3], d[1], alpha=q)
    torch.add(even, odd, alpha=P, out=out[1])
    torch.sub(even, odd, alpha=P, out=out[2])
    torch.sub(d[4], d[2], alpha=p, out=even)
    torch.sub(d[3], d[1], alpha=p, out=odd)
    torch.add(even, odd, alpha=Q, out=out[3])
    torch.sub(even, odd, alpha=Q, out=out[4])
    torch.sub(d[4], d[2], alpha=p + q, out=out[0]).add_(d[0], alpha=p * q)
    torch.sub(d[5], d[3], alpha=p + q, out=out[5]).add_(d[1], alpha=p * q)


def _synthesise(m: Sequence[Tensor] | Tensor, out: Sequence[Tensor] | Tensor) -> None:
    """``A^T m`` along one axis: the values at the six points to four neighbours."""
    near, far = torch.add(m[1], m[2]), torch.add(m[3], m[4])
    torch.add(near, far, out=out[0]).add_(m[0])
    torch.add(near, far, alpha=(Q / P) ** 2, out=out[2]).mul_(P * P)
    torch.sub(m[1], m[2], out=near)
    torch.sub(m[3], m[4], out=far)
    torch.add(near, far, alpha=Q / P, out=out[1]).mul_(P)
    torch.add(near, far, alpha=(Q / P) ** 3, out=out[3]).mul_(P**3).add_(m[5])
