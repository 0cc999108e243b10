"""How faces are laid."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from semanifold.landmarks.alignment import UsualFace, ffhq_quad, quad_like, usual_face
from semanifold.landmarks.faces import LEFT_EYE, MOUTH_CORNERS, RIGHT_EYE, Face
from semanifold.worlds.faces.analytic import AnalyticFaces


def face_of(eye_a: complex, eye_b: complex, mouth_a: complex, mouth_b: complex) -> Face:
    """Return a face whose points are known where it counts."""
    points = torch.zeros(468, 2)
    for indices, place in ((RIGHT_EYE, eye_a), (LEFT_EYE, eye_b), (MOUTH_CORNERS[:1], mouth_a), (MOUTH_CORNERS[1:], mouth_b)):
        points[list(indices)] = torch.tensor([place.real, place.imag])
    return Face(points, 30.0)


def test_the_part_that_ffhq_shows() -> None:
    """Worked out by hand: eyes 40 apart, the mouth 50 below them: half the side is 1.8 x 50 = 90, around 5 below the eyes."""
    quad = ffhq_quad(face_of(80 + 100j, 120 + 100j, 85 + 150j, 115 + 150j))
    torch.testing.assert_close(quad, torch.tensor([[10.0, 15.0], [10.0, 195.0], [190.0, 195.0], [190.0, 15.0]]))
    # wide eyes: twice their distance
    quad = ffhq_quad(face_of(50 + 100j, 150 + 100j, 85 + 150j, 115 + 150j))
    torch.testing.assert_close(quad[0], torch.tensor([100.0 - 200, 105.0 - 200]))
    # it turns with the face
    turn = complex(math.cos(0.5), math.sin(0.5))
    plain = (80 + 100j, 120 + 100j, 85 + 150j, 115 + 150j)
    turned = ffhq_quad(face_of(*(turn * place for place in plain)))
    expected = [turn * complex(x, y) for x, y in ((10, 15), (10, 195), (190, 195), (190, 15))]
    torch.testing.assert_close(turned, torch.tensor([[z.real, z.imag] for z in expected]), atol=1e-3, rtol=0)


def test_a_face_is_laid_as_usual() -> None:
    rng = torch.Generator().manual_seed(0)
    usual = UsualFace(40 + 20 * torch.rand(468, 2, generator=rng), torch.ones(468), (100, 80))
    turn = 3 * complex(math.cos(-0.7), math.sin(-0.7))
    places = [turn * complex(x, y) + (200 + 50j) for x, y in usual.points.tolist()]
    face = Face(torch.tensor([[z.real, z.imag] for z in places]), 30.0)
    corners = [turn * complex(x, y) + (200 + 50j) for x, y in ((0, 0), (0, 80), (100, 80), (100, 0))]
    torch.testing.assert_close(
        quad_like(face, usual), torch.tensor([[z.real, z.imag] for z in corners], dtype=torch.float64), atol=1e-3, rtol=0
    )
    # points that do not count may lie anywhere
    weights = torch.ones(468)
    weights[:100] = 1e-9
    points = face.points.clone()
    points[:100] += 50
    other = quad_like(Face(points, 30.0), UsualFace(usual.points, weights, usual.size))
    torch.testing.assert_close(other, quad_like(face, usual), atol=1e-2, rtol=0)


def test_a_generator_of_faces_says_where_they_lie_and_others_do_not() -> None:
    generator = AnalyticFaces(64)
    pictures = generator.images(generator.sample(range(6)))
    usual = usual_face(pictures)
    assert usual is not None
    assert usual.size == (64, 64)
    eyes = usual.points[list(RIGHT_EYE + LEFT_EYE)].mean(0)
    assert eyes[0] == pytest.approx(32, abs=6)
    assert 20 < float(eyes[1]) < 40
    assert float(usual.weights.max()) <= 1 / 0.64**2 + 1e-6
    noise = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (4, 3, 64, 64)).astype(np.float32))
    assert usual_face(noise) is None
    assert usual_face(torch.cat([noise, pictures[:3]])) is None, "most show none"
    assert usual_face([]) is None
