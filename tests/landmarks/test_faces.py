"""Finding faces in photographs."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image

from semanifold.core.errors import SemanifoldError
from semanifold.images.media import to_uint8
from semanifold.landmarks.faces import Face, find_faces, overlap, tiles, turned_back
from semanifold.worlds.faces.analytic import AnalyticFaces


@cache
def face(seed: int, size: int) -> Image.Image:
    """Return a drawn face; to the networks it is one."""
    generator = AnalyticFaces(size)
    return Image.fromarray(to_uint8(generator.images(generator.sample([seed])))[0])


def scene(*faces: tuple[int, int, tuple[int, int]], size: tuple[int, int] = (640, 420)) -> Image.Image:
    """Return a photograph of several faces: seed, side and place of each."""
    noise = np.random.default_rng(0).integers(60, 200, (7, 10, 3), dtype=np.uint8)
    photograph = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
    for seed, side, place in faces:
        photograph.paste(face(seed, side), place)
    return photograph


def middle(found: Face) -> tuple[float, float]:
    """Return the point between eyes and mouth."""
    x, y = found.main.mean(0).tolist()
    return x, y


def test_faces_are_found_largest_first_and_where_they_are() -> None:
    photograph = scene((3, 90, (500, 60)), (7, 260, (60, 120)))
    faces = find_faces(photograph)
    assert len(faces) == 2
    sizes = [found.box[2] - found.box[0] for found in faces]
    assert sizes[0] > 2 * sizes[1] > 40
    for found, (left, top, side) in zip(faces, [(60, 120, 260), (500, 60, 90)]):
        x, y = middle(found)
        assert left + 0.3 * side < x < left + 0.7 * side
        assert top + 0.4 * side < y < top + 0.75 * side
        eye_a, eye_b, mouth_a, mouth_b = found.main
        assert eye_a[0] < eye_b[0]
        assert mouth_a[0] < mouth_b[0]
        assert max(eye_a[1], eye_b[1]) < min(mouth_a[1], mouth_b[1])
    # the same as a picture of a generator
    picture = torch.from_numpy(np.array(photograph, dtype=np.float32)).permute(2, 0, 1) / 127.5 - 1
    again = find_faces(picture)
    torch.testing.assert_close(again[0].points, faces[0].points)


def test_a_grey_picture_has_faces_too() -> None:
    grey = torch.from_numpy(np.array(face(7, 128).convert("L"), dtype=np.float32))[None] / 127.5 - 1
    assert len(find_faces(grey)) == 1


@cache
def upright_face() -> tuple[Image.Image, Face]:
    """Return a photograph of a face, and the face."""
    upright = scene((7, 200, (60, 120)))
    return upright, find_faces(upright)[0]


@pytest.mark.parametrize("degrees", [90, 180, 270, 40])
def test_a_turned_face_is_found_as_it_lies(degrees: int) -> None:
    upright, own = upright_face()
    (turned,) = find_faces(upright.rotate(degrees, expand=True))
    assert (turned.roll + degrees - own.roll + 180) % 360 - 180 == pytest.approx(0, abs=6)
    if degrees % 90 == 0:
        x, y = middle(own)
        width, height = upright.size
        places = {90: (y, width - x), 180: (width - x, height - y), 270: (height - y, x)}
        assert math.dist(middle(turned), places[degrees]) < 6


def test_small_faces_in_wide_photographs_and_hanging_ones_beside_upright_ones_are_found() -> None:
    wide = scene((7, 90, (2300, 120)), (3, 110, (300, 60)), size=(3000, 400))
    assert [round(middle(found)[0], -3) for found in find_faces(wide)] == [0, 2000]
    both = scene((7, 180, (60, 120)))
    both.paste(face(3, 180).rotate(180), (380, 120))
    assert sorted(abs(found.roll) > 90 for found in find_faces(both)) == [False, True]


@pytest.mark.parametrize("kind", ["noise", "plain", "stripes", "tiny"])
def test_where_there_is_no_face_none_is_found(kind: str) -> None:
    rng = np.random.default_rng(1)
    pictures = {
        "noise": rng.integers(0, 256, (200, 300, 3), dtype=np.uint8),
        "plain": np.full((200, 300, 3), 120, dtype=np.uint8),
        "stripes": np.repeat((np.arange(300) // 9 % 2 * 255).astype(np.uint8)[None, :, None], 200, 0).repeat(3, 2),
        "tiny": rng.integers(0, 256, (3, 2, 3), dtype=np.uint8),
    }
    assert find_faces(Image.fromarray(pictures[kind])) == []


def test_a_picture_that_holds_nan_is_refused() -> None:
    with pytest.raises(SemanifoldError, match="hold NaN"):
        find_faces(torch.full((3, 64, 64), math.nan))


def test_a_face_at_the_border_is_found_or_not_but_never_breaks() -> None:
    cut = scene((7, 240, (-90, 60)))
    for found in find_faces(cut):
        assert found.points.isfinite().all()


def test_tiles_cover_the_photograph_at_every_size() -> None:
    for width, height in ((640, 420), (100, 2000), (2048, 2048), (96, 96)):
        parts = tiles(width, height, 8)
        assert parts[0][2] == max(width, height)
        for side in {part[2] for part in parts[1:]}:
            covered = np.zeros((height, width), dtype=bool)
            for left, top, length in parts:
                if length == side:
                    covered[max(0, int(top)) : math.ceil(top + length), max(0, int(left)) : math.ceil(left + length)] = True
            assert covered.all()
            assert side >= 96
    assert len(tiles(100, 50, 8)) == 1


def test_what_two_boxes_share_counts_against_the_smaller() -> None:
    assert overlap((0, 0, 10, 10), (0, 0, 5, 10)) == 1
    assert overlap((0, 0, 10, 10), (5, 5, 15, 15)) == 0.25
    assert overlap((0, 0, 10, 10), (20, 0, 30, 10)) == 0


def test_candidates_of_a_turned_photograph_lie_in_the_photograph() -> None:
    place = torch.tensor([[10.0, 20.0], [4.0, 6.0], [11.0, 19.0]])
    assert torch.equal(turned_back(place, 0, (50, 40)), place)
    assert turned_back(place, 1, (50, 40)).tolist() == [[30, 10], [6, 4], [31, 11]]
    assert turned_back(place, 2, (50, 40)).tolist() == [[40, 20], [4, 6], [39, 21]]
    assert turned_back(place, 3, (50, 40)).tolist() == [[20, 30], [6, 4], [19, 29]]
