"""Cutting a part out of a photograph, and putting an edited one back."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

from semanifold.core.errors import SemanifoldError
from semanifold.images.placements import Inlay, Placement, cut_out


def turned(centre: tuple[float, float], side: float, degrees: float) -> Placement:
    """Return a square around a centre."""
    angle = math.radians(degrees)
    across = np.array([math.cos(angle), math.sin(angle)]) * side / 2
    down = np.array([-math.sin(angle), math.cos(angle)]) * side / 2
    middle = np.array(centre)
    corners = [middle - across - down, middle - across + down, middle + across + down, middle + across - down]
    return Placement.of(torch.tensor(np.stack(corners)))


def waves(height: int, width: int) -> np.ndarray:
    """Return a smooth photograph of which every point has a colour of its own."""
    y, x = np.mgrid[0.5:height, 0.5:width]
    channels = [x / width, y / height, 0.5 + 0.4 * np.sin(x / 23) * np.cos(y / 31)]
    return (255 * np.stack(channels, axis=-1)).round().astype(np.uint8)


def as_picture(photograph: Image.Image) -> torch.Tensor:
    """Return a photograph as a picture in [-1, 1]."""
    return torch.from_numpy(np.array(photograph, dtype=np.float32)).permute(2, 0, 1)[None] / 127.5 - 1


def test_a_part_is_cut_out_where_its_corners_say() -> None:
    photograph = waves(200, 300)
    place = turned((140, 90), 80, 30)
    out = np.asarray(cut_out(Image.fromarray(photograph), place, 40, 40)).astype(float) / 255
    for row, column in ((0, 0), (0, 39), (39, 0), (20, 11)):
        u, v = (column + 0.5) / 40, (row + 0.5) / 40
        origin, down, _, across = (np.array(corner) for corner in place.quad)
        x, y = origin + u * (across - origin) + v * (down - origin)
        assert out[row, column, 0] == pytest.approx(x / 300, abs=0.006)
        assert out[row, column, 1] == pytest.approx(y / 200, abs=0.006)
        back = place.fractions(torch.tensor(x), torch.tensor(y))
        assert (float(back[0]), float(back[1])) == pytest.approx((u, v))
    # an upright box is the same cut as any other, but for the filter
    box = Placement.box(60, 50, 140, 130)
    assert box.upright
    assert not place.upright
    assert not Placement(((9, 0), (9, 9), (0, 9), (0, 0))).upright, "mirrored"
    plain = np.asarray(cut_out(Image.fromarray(photograph), box, 40, 40)).astype(float)
    tilted = np.asarray(cut_out(Image.fromarray(photograph), turned((100, 90), 80, 0.001), 40, 40)).astype(float)
    assert np.abs(plain - tilted).max() <= 3


def test_what_lies_outside_of_the_photograph_is_its_mirror_image() -> None:
    photograph = waves(60, 60)
    out = np.asarray(cut_out(Image.fromarray(photograph), Placement.box(-20, 0, 40, 60), 60, 60))
    assert np.abs(out[:, :20].astype(int) - out[:, 20:40][:, ::-1]).max() <= 2
    assert np.abs(out[:, 20:].astype(int) - photograph[:, :40]).max() <= 1
    with pytest.raises(SemanifoldError, match="outside of the photograph"):
        cut_out(Image.fromarray(photograph), Placement.box(100, 0, 160, 60), 60, 60)


def test_a_small_part_is_a_mean_and_not_a_sample() -> None:
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (400, 400, 3), dtype=np.uint8))
    out = np.asarray(cut_out(noise, turned((200, 200), 320, 10), 32, 32)).astype(float)
    assert out.std() < 20, "each pixel is the mean of a hundred"


@pytest.mark.parametrize(
    "quad",
    [
        ((0, 0), (0, 9), (9, 9), (9, 3)),
        ((0, 0), (0, 9), (0, 9), (0, 0)),
        ((0, 0), (0, math.nan), (9, 9), (9, 0)),
        ((0, 0), (0, 1e9), (1e9, 1e9), (1e9, 0)),
        ((0, 0), (9, 9)),
    ],
)
def test_what_is_no_placement_is_refused(quad: object) -> None:
    with pytest.raises(SemanifoldError, match=r"placement"):
        Placement(quad)  # type: ignore[arg-type]


@pytest.mark.parametrize("place", [Placement.box(30, 20, 110, 100), turned((80, 60), 90, 25), turned((10, 15), 70, -40)])
def test_a_photograph_stays_where_nothing_is_edited(place: Placement) -> None:
    photograph = waves(120, 160)
    rng = torch.Generator().manual_seed(0)
    unedited = torch.rand(1, 3, 32, 32, generator=rng) * 2 - 1
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., 12:20, 8:24] = 1
    inlay = Inlay(photograph, place, unedited, mask)
    assert np.array_equal(inlay.onto(unedited), photograph), "the edit is none, whatever the inversion missed"
    edited = (unedited + 0.5 * mask).clamp(-1, 1)
    everywhere = (unedited * -1).clamp(-1, 1)
    for picture in (edited, everywhere):
        out = inlay.onto(picture)
        v, u = torch.meshgrid(torch.arange(120) + 0.5, torch.arange(160) + 0.5, indexing="ij")
        u, v = place.fractions(u.double(), v.double())
        near = ((u > 6 / 32) & (u < 26 / 32) & (v > 10 / 32) & (v < 22 / 32)).numpy()
        assert np.array_equal(out[~near], photograph[~near]), "bit for bit outside of the mask"
        assert (out[near] != photograph[near]).any()
    other = np.full_like(photograph, 7)
    assert np.array_equal(inlay.onto(unedited, other), other)
    assert (photograph == waves(120, 160)).all(), "the photograph itself is left alone"


def patterned(picture: torch.Tensor) -> np.ndarray:
    """Return a photograph of which a picture is the small, dark likeness: four times as large, lighter, with a fine pattern."""
    side = 4 * picture.shape[-1]
    pattern = 0.06 * (-1.0) ** torch.arange(side).add(torch.arange(side)[:, None])
    large = torch.nn.functional.interpolate(picture, (side, side), mode="bicubic", antialias=True)
    return (((large + 0.2 + pattern).clamp(-1, 1) + 1) * 127.5).round().byte()[0].permute(1, 2, 0).numpy()


def test_what_appears_is_seen_in_the_tones_of_the_photograph_and_without_its_details() -> None:
    smooth = as_picture(Image.fromarray(waves(64, 64))) * 0.5
    photograph = patterned(smooth)
    edited = smooth.clone()
    edited[..., 20:44, 20:44] = torch.where((torch.arange(24) // 4) % 2 == 0, 0.6, -0.6)
    inlay = Inlay(photograph, Placement.box(0, 0, 256, 256), smooth)
    out = as_picture(Image.fromarray(inlay.onto(edited)))
    patch, still = out[0, :, 112:144, 112:144], out[0, :, 220:, 220:]
    wanted = inlay.sampled(edited + 0.2)[0, :, 112:144, 112:144]
    assert (patch - wanted).abs().mean() < 0.025
    assert torch.equal(still, as_picture(Image.fromarray(photograph))[0, :, 220:, 220:]), "they are kept elsewhere"
    plain = inlay.sampled(edited - smooth) + inlay.own
    assert (plain[0, :, 112:144, 112:144] - wanted).abs().mean() > 2 * (patch - wanted).abs().mean(), "the difference keeps it"


def test_what_appears_is_as_sharp_as_sharpening_brings_the_picture_to_the_photograph() -> None:
    """The photograph has sharp edges where the picture has soft ones; in the other one it is as soft as that."""
    places = (torch.arange(256) // 32 % 2 * 1.2 - 0.6)[None, None, None].expand(1, 3, 256, 256)
    small = torch.nn.functional.interpolate(places, (64, 64), mode="bicubic", antialias=True)
    small = torch.nn.functional.avg_pool2d(torch.nn.functional.pad(small, (1, 1, 1, 1), mode="replicate"), 3, 1)
    soft = torch.nn.functional.interpolate(small, (256, 256), mode="bicubic")
    edited = small.transpose(2, 3)
    slopes, plain = {}, 0.0
    for name, picture in {"sharp": places, "soft": soft}.items():
        photograph = ((picture[0] + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
        inlay = Inlay(photograph, Placement.box(0, 0, 256, 256), small)
        sharp = inlay.sharpened(edited)
        assert float(sharp.min()) > -0.8
        assert float(sharp.max()) < 0.8, "no overshoot"
        slopes[name] = float(sharp.diff(dim=2).abs().amax(2).mean())
        plain = float(inlay.sampled(edited).diff(dim=2).abs().amax(2).mean())
    assert slopes["sharp"] > 1.3 * slopes["soft"]
    assert slopes["soft"] < 1.1 * plain


@pytest.mark.parametrize("degrees", [0, 90, 30])
def test_details_go_where_the_edit_moves_what_they_lie_on(degrees: float) -> None:
    """The photograph has a thin dark line that the generator cannot make, on a blob that the edit moves."""
    place = turned((128, 128), 200, degrees)
    v, u = torch.meshgrid((torch.arange(64) + 0.5) / 64, (torch.arange(64) + 0.5) / 64, indexing="ij")
    y, x = torch.meshgrid(torch.arange(256) + 0.5, torch.arange(256) + 0.5, indexing="ij")
    there = place.fractions(x.double(), y.double())

    def blob(u: torch.Tensor, v: torch.Tensor, at: float) -> torch.Tensor:
        return (torch.exp(-((u - at) ** 2 + (v - 0.5) ** 2) / 0.02) - 0.5).expand(1, 3, *u.shape)

    def line(at: float) -> torch.Tensor:
        return (((there[0] - at).abs() < 0.006) & ((there[1] - 0.5).abs() < 0.08)).float()

    def photograph(at: float) -> np.ndarray:
        return ((blob(*there, at)[0].float() - 0.5 * line(at) + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()

    inlay = Inlay(photograph(0.5), place, blob(u, v, 0.5))
    out, truth = inlay.onto(blob(u, v, 0.56)).astype(float), photograph(0.56).astype(float)
    moved, old = line(0.56).bool().numpy(), (line(0.5).bool() & ~line(0.56).bool()).numpy()
    assert np.abs(out - truth)[moved].mean() < 22, "of the 64 levels that the line is deep"
    assert np.abs(out - truth)[old].mean() < 6, "it is gone from where it was"


def test_only_the_surroundings_of_the_mask_are_worked_on() -> None:
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 40:50, 20:40] = 1
    picture = torch.zeros(1, 3, 64, 64)
    for place in (Placement.box(10, 20, 210, 220), turned((120, 120), 150, 30)):
        inlay = Inlay(waves(240, 240), place, picture, mask)
        left, top, right, bottom = inlay.box
        assert (right - left) * (bottom - top) < 0.5 * 200 * 200
        whole = Inlay(waves(240, 240), place, picture)
        weight = torch.zeros(240, 240)
        weight[top:bottom, left:right] = inlay.weight[0, 0]
        left, top, right, bottom = whole.box
        torch.testing.assert_close(weight[top:bottom, left:right], whole.weight[0, 0] * whole.sampled(mask)[0, 0].clamp(0, 1))
    nothing = Inlay(waves(240, 240), Placement.box(10, 20, 210, 220), picture, torch.zeros(1, 1, 64, 64))
    assert np.array_equal(nothing.onto(picture + 0.5), waves(240, 240))


def test_edges_fade_inside_of_a_photograph_and_not_at_its_own_edges() -> None:
    photograph = np.full((100, 100, 3), 128, dtype=np.uint8)
    unedited, edited = torch.zeros(1, 1, 16, 16), torch.ones(1, 1, 16, 16) * 0.5
    whole = Inlay(photograph, Placement.box(0, 0, 100, 100), unedited).onto(edited)
    assert (whole == whole[50, 50]).all()
    assert whole[0, 0, 0] == pytest.approx(128 + 0.5 * 127.5, abs=1)
    part = Inlay(photograph, Placement.box(0, 0, 50, 50), unedited).onto(edited)[..., 0].astype(int)
    assert part[0, 0] == part[20, 20] > 180
    assert part[20, 49] < 128 + 0.2 * 64, "the seam is not seen"
    assert (np.diff(part[20, 40:50]) <= 0).all()
    with pytest.raises(SemanifoldError, match="outside of the photograph"):
        Inlay(photograph, Placement.box(200, 0, 300, 100), unedited)
