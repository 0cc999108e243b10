"""Every metric on pictures whose answer can be written down."""

from __future__ import annotations

import pytest
import torch

from semanifold.core.errors import SemanifoldError
from semanifold.images import metrics


@pytest.fixture(params=[1, 3])
def plain(request: pytest.FixtureRequest) -> torch.Tensor:
    return torch.linspace(-0.5, 0.5, request.param * 256, dtype=torch.float64).reshape(1, request.param, 16, 16)


@pytest.fixture
def mask() -> torch.Tensor:
    mask = torch.zeros(1, 1, 16, 16, dtype=torch.float64)
    mask[..., 4:12, 4:8] = 1
    return mask


def changed(plain: torch.Tensor, mask: torch.Tensor, inside: float, outside: float) -> torch.Tensor:
    return plain + inside * mask + outside * (1 - mask)


def test_changes_are_root_mean_squares_of_their_own_area(plain: torch.Tensor, mask: torch.Tensor) -> None:
    images = changed(plain, mask, 0.3, -0.1)
    assert metrics.inside_change(images, plain, mask).item() == pytest.approx(0.3)
    assert metrics.outside_change(images, plain, mask).item() == pytest.approx(0.1)
    assert metrics.mse_ratio(images, plain, mask).item() == pytest.approx(1 / 9)
    assert metrics.roir(images, plain, mask).item() == pytest.approx((1 / 9 * (256 - 32) / 32) ** 0.5)


def test_ratio_of_an_even_change_is_one_under_any_mask(plain: torch.Tensor) -> None:
    soft = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert metrics.mse_ratio(plain + 0.2, plain, soft).item() == pytest.approx(1)


def test_squares_of_the_map_of_ratios_outside_average_to_the_ratio_of_the_film() -> None:
    generator = torch.Generator().manual_seed(3)
    plain, change = torch.rand(1, 3, 6, 6, generator=generator), torch.randn(4, 3, 6, 6, generator=generator)
    mask = torch.rand(1, 1, 6, 6, generator=generator)
    film = plain + change * torch.tensor([0.0, 0.05, 0.5, 1.0])[:, None, None, None]  # two of them hardly move
    drawn = metrics.ratio_map(film, plain, mask).square()
    ratio = metrics.mse_ratio(film[2:], plain, mask).mean()
    assert torch.allclose((drawn * (1 - mask[0, 0])).sum() / (1 - mask).sum(), ratio)
    assert metrics.ratio_map(plain.expand(2, -1, -1, -1), plain, mask).abs().max() == 0


def test_only_inside_only_outside_and_nothing(plain: torch.Tensor, mask: torch.Tensor) -> None:
    inside, outside = changed(plain, mask, 0.3, 0), changed(plain, mask, 0, 0.3)
    for ratio in (metrics.mse_ratio, metrics.roir):
        assert ratio(inside, plain, mask).item() == 0
        assert ratio(outside, plain, mask).item() == torch.inf
        assert ratio(plain, plain, mask).isnan().item()
    assert metrics.localization_score(inside, plain, mask).item() == 1
    assert metrics.localization_score(outside, plain, mask).item() == 0
    assert metrics.localization_score(plain, plain, mask).isnan().item()
    assert metrics.ssim_outside(inside, plain, mask).item() == pytest.approx(1)
    assert metrics.ssim_outside(outside, plain, mask).item() < 0.99


def test_soft_masks_weight_the_squared_change(plain: torch.Tensor) -> None:
    soft = torch.full((1, 1, 16, 16), 0.25, dtype=torch.float64)
    images = plain.clone()
    images[..., :8, :] += 0.4
    assert metrics.inside_change(images, plain, soft).item() == pytest.approx(0.4 / 2**0.5)
    assert metrics.mse_ratio(images, plain, soft).item() == pytest.approx(1)
    assert metrics.roir(images, plain, soft).item() == pytest.approx(3**0.5)
    assert metrics.localization_score(images, plain, soft).item() == pytest.approx(0.25)


def test_localization_score_of_a_smaller_layer_uses_the_share_of_each_cell(mask: torch.Tensor) -> None:
    features = torch.zeros(1, 5, 2, 2)
    edited = features.clone()
    edited[:, 2, 0, 0] = 3.0
    # The cell covers 8 x 8 pixels, of which the mask holds 4 x 4.
    assert metrics.localization_score(edited, features, mask).item() == pytest.approx(16 / 64)


def test_batches_are_measured_picture_by_picture(plain: torch.Tensor, mask: torch.Tensor) -> None:
    batch = torch.cat([changed(plain, mask, a, b) for a, b in ((0.3, 0.1), (0.2, 0.0), (0.1, 0.4))])
    for metric in (metrics.mse_ratio, metrics.roir, metrics.ssim_outside, metrics.inside_change):
        alone = torch.cat([metric(row[None], plain, mask) for row in batch])
        assert torch.allclose(metric(batch, plain, mask), alone)


def test_perceptual_outside_is_a_weighted_mean_of_the_map(plain: torch.Tensor, mask: torch.Tensor) -> None:
    def halves(images: torch.Tensor, _reference: torch.Tensor) -> torch.Tensor:
        flat = torch.zeros(len(images), 1, 4, 4, dtype=images.dtype)
        flat[..., :2] = 2.0
        return flat

    # At 4 x 4 the mask is 1 in rows 1 and 2 of column 1: 14 cells outside, 6 of them on the left.
    assert metrics.perceptual_outside(plain, plain, mask, halves).item() == pytest.approx(2.0 * 6 / 14)


def test_feature_map_distance_is_zero_where_nothing_changes_and_blind_to_scale(mask: torch.Tensor) -> None:
    plain = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.1
    change = metrics.feature_change_map(lambda x: [x, torch.nn.functional.avg_pool2d(x, 4)])
    assert change(2 * plain, plain).abs().max() < 1e-12
    other = plain.clone()
    other[:, 0, :4, :4] += 1
    there = change(other, plain)
    assert there.shape == (1, 1, 16, 16)
    assert there[..., :2, :2].min() > 1e-3
    assert there[..., 8:, 8:].max() < 1e-12


def test_ssim_map_equals_scikit_image() -> None:
    # Numbers of skimage.metrics.structural_similarity 0.26.0 (gaussian_weights, sigma 1.5, population covariance, full=True).
    i = torch.arange(24 * 20, dtype=torch.float64).reshape(1, 1, 24, 20)
    a, b = torch.sin(i * 0.37), torch.sin(i * 0.37 + 0.3 * torch.cos(i * 0.05)) * 0.9
    similar = metrics.ssim_map(a, b)[0, 0]
    found = [similar.mean(), similar[0, 0], similar[12, 7], similar[23, 19], similar[5, 0]]
    known = [0.6504824172640143, 0.9171397409083629, 0.6634922374660315, 0.9427801800528348, 0.06726413336857166]
    assert torch.allclose(torch.stack(found), torch.tensor(known, dtype=torch.float64), atol=1e-12)


@pytest.mark.parametrize("fill", [0.0, 1.0])
def test_empty_and_full_masks_are_refused(fill: float) -> None:
    picture = torch.zeros(1, 3, 8, 8)
    with pytest.raises(SemanifoldError, match="an inside and an outside"):
        metrics.mse_ratio(picture + 1, picture, torch.full((1, 1, 8, 8), fill))


def test_pictures_and_masks_that_do_not_fit_are_refused() -> None:
    picture = torch.zeros(2, 3, 8, 8)
    with pytest.raises(SemanifoldError, match="one shape"):
        metrics.roir(picture, torch.zeros(2, 3, 8, 7), torch.full((1, 1, 8, 8), 0.5))
    with pytest.raises(SemanifoldError, match=r"Mask\.at"):
        metrics.roir(picture, picture, torch.full((1, 1, 4, 4), 0.5))
    with pytest.raises(SemanifoldError, match=r"\[0, 1\]"):
        metrics.roir(picture, picture, torch.full((1, 1, 8, 8), 1.5))
