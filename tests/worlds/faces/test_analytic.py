from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.func import jvp

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.worlds.faces import FACTORS, LATENT_SIZE, AnalyticFaces, factors_from_latents, render

FIRST_FACTORS = [
    [0.487491, 0.402382, 0.238606, 0.708822, 0.618695],
    [0.93493, 0.336083, 0.06816, 0.73708, 0.11222],
    [0.008287, 0.609789, 0.51348, 0.605398, 0.638681],
]


def normal(n: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(n, LATENT_SIZE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def test_marginals_are_nearly_uniform_and_uncorrelated() -> None:
    n = 30_000
    factors = factors_from_latents(normal(n))
    assert factors.std(0).min() > 0.27
    assert (factors.mean(0) - 0.5).abs().max() < 0.03
    uniform = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    assert (factors.sort(0).values - uniform[:, None]).abs().max() < 0.06
    correlation = torch.corrcoef(factors.T) - torch.eye(len(FACTORS), dtype=torch.float64)
    assert correlation.abs().max() < 0.05


def test_the_map_is_curved_and_entangled() -> None:
    latents = normal(20_000)
    factors = factors_from_latents(latents)
    design = torch.cat([latents, torch.ones(len(latents), 1, dtype=torch.float64)], 1)
    residual = factors - design @ torch.linalg.lstsq(design, factors).solution
    explained = 1 - residual.var(0) / factors.var(0)
    assert explained.max() < 0.8, "a linear map would do"
    assert explained.min() > 0.4, "nothing linear is left"
    correlation = torch.corrcoef(torch.cat([latents, factors], 1).T)[:LATENT_SIZE, LATENT_SIZE:]
    assert correlation.abs().max() < 0.8, "a factor has a latent coordinate of its own"


def test_the_length_of_a_latent_says_nothing() -> None:
    latents = normal(4)
    torch.testing.assert_close(factors_from_latents(3 * latents), factors_from_latents(latents), rtol=0, atol=1e-6)


def test_the_map_never_changes() -> None:
    count = torch.arange(3 * LATENT_SIZE, dtype=torch.float64).view(3, LATENT_SIZE)
    factors = factors_from_latents(torch.sin(1.7 * count + 0.3))
    expected = torch.tensor(FIRST_FACTORS, dtype=torch.float64)
    torch.testing.assert_close(factors[:, ::7], expected, rtol=0, atol=1e-5)


def test_precisions_agree() -> None:
    latents = normal(16)
    torch.testing.assert_close(factors_from_latents(latents.float()).double(), factors_from_latents(latents), rtol=0, atol=1e-5)


def test_the_map_is_differentiable() -> None:
    latents = normal(2).requires_grad_()
    assert torch.autograd.gradcheck(factors_from_latents, latents)
    _, slope = jvp(factors_from_latents, (latents.detach(),), (torch.ones_like(latents),))
    assert slope.isfinite().all()
    origin = torch.zeros_like(latents, requires_grad=True)
    (at_origin,) = torch.autograd.grad(factors_from_latents(origin).sum(), origin)
    assert at_origin.isfinite().all()


def test_wrong_latents_are_refused() -> None:
    with pytest.raises(SemanifoldError, match=r"\[n, 32\]"):
        factors_from_latents(torch.zeros(2, 31))


def test_generator_equals_its_parts() -> None:
    generator = AnalyticFaces()
    latents = generator.sample([3, 4])
    factors = generator.convert(latents, "factors")
    assert latents.space == "z"
    assert factors.space == "factors"
    torch.testing.assert_close(factors.values, factors_from_latents(latents.values))
    pictures = generator.images(latents)
    assert pictures.shape == (2, *generator.picture_shape)
    torch.testing.assert_close(pictures, render(factors.values))
    torch.testing.assert_close(generator.images(factors), pictures)


def test_generator_offers_other_sizes_and_precisions() -> None:
    generator = AnalyticFaces(size=48).double()
    latents = generator.sample([0])
    assert latents.values.dtype == torch.float64
    assert generator.images(latents).shape == (1, 3, 48, 48)
    assert generator.images(latents, size=24).shape == (1, 3, 24, 24)
    torch.testing.assert_close(generator.convert(latents, "factors").values, factors_from_latents(latents.values))


def test_the_size_is_no_part_of_the_fingerprint() -> None:
    generator = AnalyticFaces()
    assert generator.fingerprint == AnalyticFaces(size=128).double().fingerprint


def test_there_is_no_way_back() -> None:
    generator = AnalyticFaces()
    factors = generator.convert(generator.sample([0]), "factors")
    with pytest.raises(SemanifoldError, match="no way"):
        generator.convert(factors, "z")
    with pytest.raises(SemanifoldError, match="expects codes"):
        generator.images(Latents(torch.zeros(1, 5), "z"))
