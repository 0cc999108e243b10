"""What moves from one picture to another."""

from __future__ import annotations

import math

import pytest
import torch

from semanifold.images.motion import SIDE, gaussian, motion_between, moved, smoothed


def bumps(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return a picture of waves of which no two places are alike, at points in pixels."""
    channels = [torch.sin(0.31 * x + 0.13 * y), torch.cos(0.17 * x - 0.29 * y), torch.sin(0.05 * x * (1 + 0.004 * y))]
    return 0.4 * torch.stack(channels)[None]


def grid(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return x and y of the pixels."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return x, y


@pytest.mark.parametrize(("height", "width"), [(64, 64), (48, 96), (200, 150)])
def test_what_moved_is_found_with_its_way(height: int, width: int) -> None:
    x, y = grid(height, width)
    scale = 64 / min(height, width)
    u, v = (2 + torch.sin(y * scale / 20)) / scale, (-1.5 + x * scale / 50) / scale
    before, after = bumps(x * scale, y * scale), bumps((x + u) * scale, (y + v) * scale)
    motion = motion_between(before, after)
    shift, trust = motion.shift * motion.moves, motion.trust
    assert min(shift.shape[2:]) == SIDE
    true = torch.nn.functional.interpolate(torch.stack([u / width, v / height])[None], shift.shape[2:], mode="bilinear")
    error = ((shift - true) * torch.tensor([width, height]).reshape(1, 2, 1, 1) * scale).square().sum(1).sqrt()
    inside = error[:, 16:-16, 16:-16]
    assert float(inside.mean()) < 0.15, "pixels of 64, of shifts of two to four"
    assert float(trust[..., 16:-16, 16:-16].mean()) > 0.9
    # light and colour are no motion
    lighter = motion_between(before, after + 0.2 + 0.3 * y / height)
    torch.testing.assert_close(
        (lighter.shift * lighter.moves)[..., 16:-16, 16:-16], shift[..., 16:-16, 16:-16], atol=0.006, rtol=0
    )


def test_nothing_moves_between_equal_pictures() -> None:
    picture = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    motion = motion_between(picture, picture)
    assert not motion.moves.any()
    assert (motion.trust == 1).all()


def test_what_lies_still_is_not_drawn_along() -> None:
    """A pattern moves by three pixels below a frame that stays, as an iris does below its lids."""
    x, y = grid(64, 64)
    frame = ((x - 32).abs() > 12) | ((y - 32).abs() > 12)
    before, after = (torch.where(frame, bumps(x, y + 40), bumps(x + u, y)) for u in (0, 3))
    motion = motion_between(before, after)
    assert float(motion.moves[..., 48:80, 48:80].mean()) > 0.8
    shift = (64 * motion.shift)[..., 48:80, 48:80].mean((2, 3)).flatten()
    torch.testing.assert_close(shift, torch.tensor([3.0, 0.0]), atol=0.3, rtol=0)
    near = frame & ((x - 32).abs() < 18) & ((y - 32).abs() < 18)
    along = (64 * motion.shift * motion.moves).norm(dim=1, keepdim=True)
    dragged = torch.nn.functional.interpolate(along, (64, 64), mode="area")[0, 0][near]
    assert float(dragged.mean()) < 0.22, "of three pixels; without telling them apart, .31"


def test_what_appears_is_not_trusted() -> None:
    x, y = grid(64, 64)
    before = bumps(x, y)
    after = before.clone()
    after[..., 24:40, 24:40] = torch.where((x[24:40, 24:40] // 3) % 2 == 0, 1.0, -1.0)
    trust = motion_between(before, after).trust
    assert float(trust[..., 52:76, 52:76].mean()) < 0.2
    assert float(trust[..., :30, :].mean()) > 0.95


def test_pictures_are_read_beside_their_pixels() -> None:
    x, y = grid(6, 9)
    picture = torch.stack([x, y])[None]
    shift = torch.tensor([1.5, -2.0]).reshape(1, 2, 1, 1).expand(1, 2, 6, 9)
    read = moved(picture, shift)
    torch.testing.assert_close(read[0, 0], (x + 1.5).clamp(max=8.5))
    torch.testing.assert_close(read[0, 1], (y - 2).clamp(min=0.5))


def test_smoothing_keeps_means_and_constants() -> None:
    pictures = torch.full((2, 3, 20, 30), 0.3)
    torch.testing.assert_close(smoothed(pictures, 0.1), pictures)
    point = torch.zeros(1, 1, 41, 41)
    point[..., 20, 20] = 1
    blurred = smoothed(point, 0.05)
    assert float(blurred.sum()) == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(blurred, blurred.transpose(2, 3))
    places = torch.arange(41) - 20.0
    assert float((blurred[0, 0].sum(0) * places.square()).sum()) == pytest.approx((0.05 * 41) ** 2, rel=0.05)
    assert smoothed(point[..., :1, :1], 0.1).shape == (1, 1, 1, 1)


def test_smoothing_is_a_sum_over_the_mirrored_picture() -> None:
    picture = torch.rand(1, 2, 7, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weights = [math.exp(-(place**2) / (2 * 1.2**2)) for place in range(-4, 5)]
    mirrored = torch.nn.functional.pad(picture, (4, 4, 4, 4), mode="reflect")
    plain = torch.zeros_like(picture)
    for down, one in enumerate(weights):
        for right, other in enumerate(weights):
            plain += one * other * mirrored[..., down : down + 7, right : right + 9] / sum(weights) ** 2
    torch.testing.assert_close(gaussian(picture, 1.2), plain, atol=1e-6, rtol=0)
