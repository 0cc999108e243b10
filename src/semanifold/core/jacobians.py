"""Products with the Jacobian of the pictures, which is never formed: pulled back, pushed forward, and compared."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

PictureFunction = Callable[[Tensor], Tensor]
"""Displacements ``[n, moving dimensions]`` from a code, or from one code each, to pictures ``[n, c, h, w]``."""


def pull_back(pictures: PictureFunction, zero: Tensor, root: Tensor, probes: int, chunk: int, seed: int) -> Tensor:
    """Return ``[probes, d]`` rows ``(root omega)^T J`` for random pictures omega, one backward pass for each chunk of them."""
    draws = torch.Generator().manual_seed(seed)
    rows = []
    leaf, images = zero, zero[:0]
    for count in _chunks(probes, chunk):
        # all are pulled back from the same picture, which is made anew only where the last chunk is shorter
        if len(images) != count:
            leaf = zero.expand(count, -1).detach().requires_grad_()
            images = pictures(leaf)
        if not images.requires_grad:  # small pictures do not depend on late layers
            rows.append(torch.zeros_like(leaf))
            continue
        omega = torch.randn(images.shape, generator=draws).to(images)
        # of a sum: a gradient that is handed in makes torch import its symbolic shapes first, a third of a second
        rows.append(torch.autograd.grad((images * (root * omega)).sum(), leaf, retain_graph=True)[0])
    return torch.cat(rows)


@torch.no_grad()
def push_forward(pictures: PictureFunction, zero: Tensor, basis: Tensor, chunk: int, *, central: bool = True) -> Tensor:
    """Return ``J v`` as ``[m, c, h, w]`` for each unit row v of the basis ``[m, d]``, by central differences, or forward ones.

    Central differences cost two pictures, work with every operator, and err by about 1e-4 in single precision; forward ones cost
    one, and one more in all, and err by some 1e-3. Forward-mode differentiation would be exact, but costs as much as three
    pictures, and its first use makes torch import its decompositions: seconds that a person waits for.
    """
    eps = torch.finfo(basis.dtype).eps
    step = eps ** (1 / 3) if central else 4 * eps**0.5  # pictures are rounded by some eps
    if not central:
        # the picture that all others are compared with goes with the first of them: a batch of its own would take longer
        made = torch.cat([pictures(zero + step * rows) for rows in torch.cat([torch.zeros_like(zero), basis]).split(chunk + 1)])
        return (made[1:] - made[:1]) / step
    pushed = [(pictures(zero + step * rows) - pictures(zero - step * rows)) / (2 * step) for rows in basis.split(chunk)]
    return torch.cat(pushed)


def mean_products(pushed: Tensor) -> Tensor:
    """Return the mean product ``[m, m]`` over pixels and channels, in double precision."""
    flat = pushed.flatten(1).double()
    return flat @ flat.T / flat.shape[1]


def _chunks(total: int, chunk: int) -> list[int]:
    return [min(chunk, total - start) for start in range(0, total, chunk)]
