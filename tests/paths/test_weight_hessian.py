"""Where the textbook's search for eigenvectors of a Hessian breaks down, and ours does not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

import semanifold as sm
from semanifold.generators.editing import weight_of
from semanifold.images.distances import l2
from semanifold.paths.weight_hessian import hessian_product, leading

LAYER = "network.conv"


class Linear(nn.Module):
    """Pictures that are linear in a kernel of 144 weights of unit size; the leading eigenvalue is twice the next one."""

    def __init__(self, strength: float) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        self.conv = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.conv.weight.data = torch.randn(4, 4, 3, 3, generator=draw)
        self.register_buffer("mix", torch.randn(8, 4, 1, 1, generator=draw) + 0.3 * torch.randn(8, 4, 8, 8, generator=draw))
        self.register_buffer("gain", strength * torch.tensor([1.0, 0.7, 0.5, 0.3])[:, None, None])

    def forward(self, z: Tensor) -> Tensor:
        return self.conv(torch.einsum("nz,zchw->nchw", z, self.mix)) * self.gain


def images(generator: sm.Generator, codes: sm.Latents, weight: Tensor) -> Tensor:
    return functional_call(generator, {f"{LAYER}.weight": weight}, (codes,))


def power_iteration(generator: sm.Generator, codes: sm.Latents, *, normalised: bool) -> Tensor:
    """Return the vector after 20 products by central differences of gradients (arXiv:2011.13786, in our words).

    The step is a tenth of the vector, whose norm tends to the eigenvalue; with ``normalised``, a tenth of the weight's norm.
    """
    weight, plain = weight_of(generator, LAYER), generator.images(codes)
    vector = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))

    def gradient(change: Tensor) -> Tensor:
        moved = (weight + change).requires_grad_()
        return torch.autograd.grad(l2(images(generator, codes, moved), plain).mean(), moved)[0]

    for _ in range(20):
        step = 0.1 * (weight.norm() * vector / vector.norm() if normalised else vector)
        vector = (gradient(step) - gradient(-step)) / (2 * step.norm())
    return vector.flatten()


@pytest.mark.parametrize(("strength", "works"), [(1e-2, True), (1e-4, False)])
def test_the_iteration_that_is_not_normalised_breaks_down_in_single_precision_and_ours_does_not(strength, works):
    """At an eigenvalue of 7e-7 its steps are below the rounding of the weights; the cause is the step, not the precision."""
    generator = sm.wrap(Linear(strength), 8)
    codes, weight = generator.sample(range(2)), weight_of(generator, LAYER).detach()
    rows = torch.autograd.functional.jacobian(lambda changed: images(generator, codes, changed), weight)
    jacobian = rows.reshape(-1, weight.numel()).double()
    values, vectors = torch.linalg.eigh(2 / len(jacobian) * jacobian.T @ jacobian)

    def finds(vector: Tensor) -> bool:
        return abs(float(vectors[:, -1] @ vector.double())) > 0.999 * float(vector.double().norm())

    product = hessian_product(generator, [LAYER], codes)
    ours = leading(product, weight.numel(), 1, weight.new_zeros(1), tolerance=1e-3, progress=False)
    assert finds(ours.vectors[0])
    assert float(ours.values[0]) == pytest.approx(float(values[-1]), rel=1e-4)
    assert finds(power_iteration(generator, codes, normalised=True))
    assert finds(power_iteration(generator, codes, normalised=False)) == works


def test_a_search_that_finds_nothing_ends_after_some_products() -> None:
    matrix = torch.randn(300, 300, generator=torch.Generator().manual_seed(0))
    found = leading(lambda rows: rows @ matrix @ matrix.T, 300, 4, torch.zeros(1, 300), tolerance=0.0, progress=False)
    assert 8 * 4 + 40 <= found.products < 8 * 4 + 40 + 8, "the first block of eight with which there are 8 k + 40"
