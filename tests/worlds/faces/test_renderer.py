from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.func import jvp, vmap
from torch.nn.functional import avg_pool2d

from semanifold.core.errors import SemanifoldError
from semanifold.worlds.faces import FACTORS, factor_index, factor_names, likeable_face, render

NAMES = factor_names()


def random_faces(n: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(n, len(FACTORS), generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [8, 33, 64, 130])
def test_shape_type_and_range(size: int, dtype: torch.dtype) -> None:
    pictures = render(random_faces(3, dtype=dtype), size)
    assert pictures.shape == (3, 3, size, size)
    assert pictures.dtype == dtype
    assert pictures.isfinite().all()
    assert pictures.abs().max() <= 1


def test_extreme_faces_stay_in_range() -> None:
    pictures = render(random_faces(200, seed=1).round(), 32)
    assert pictures.isfinite().all()
    assert pictures.abs().max() <= 1


def test_wrong_input_is_refused_in_a_sentence() -> None:
    with pytest.raises(SemanifoldError, match=r"\[n, 29\]"):
        render(torch.rand(2, 5))
    with pytest.raises(SemanifoldError, match="floating"):
        render(torch.ones(2, len(FACTORS), dtype=torch.int64))
    with pytest.raises(SemanifoldError, match="at least 8"):
        render(random_faces(1), 4)


def test_no_faces_make_no_pictures() -> None:
    assert render(random_faces(0), 16).shape == (0, 3, 16, 16)


def test_same_layout_at_every_size() -> None:
    faces = random_faces(4)
    difference = (render(faces, 64) - avg_pool2d(render(faces, 256), 4)).abs()
    assert difference.mean() < 0.012
    assert difference.flatten(1).quantile(0.99, dim=1).max() < 0.2


def test_batch_size_does_not_matter() -> None:
    faces = random_faces(5)
    alone = torch.cat([render(face) for face in faces.split(1)])
    torch.testing.assert_close(alone, render(faces), rtol=0, atol=2e-5)


def test_vmap_equals_the_batch() -> None:
    faces = random_faces(3, dtype=torch.float64)
    mapped = vmap(lambda face: render(face[None], 24)[0])(faces)
    torch.testing.assert_close(mapped, render(faces, 24))


def test_the_input_is_left_alone() -> None:
    faces = random_faces(2)
    before = faces.clone()
    render(faces, 16)
    assert torch.equal(faces, before)


def test_jvp_equals_finite_differences_for_every_factor() -> None:
    count = len(FACTORS)
    faces = 0.02 + 0.96 * random_faces(2, seed=2, dtype=torch.float64).repeat_interleave(count, 0)
    one_each = torch.eye(count, dtype=torch.float64).repeat(2, 1)
    step = 1e-6
    _, slope = jvp(lambda f: render(f, 40), (faces,), (one_each,))
    secant = (render(faces + step * one_each, 40) - render(faces - step * one_each, 40)) / (2 * step)
    assert slope.isfinite().all()
    error = (slope - secant).abs().amax((1, 2, 3)).view(2, count).amax(0)
    worst = {name: float(value) for name, value in zip(NAMES, error, strict=True) if value > 1e-4}
    assert not worst


def test_gradient_equals_jvp() -> None:
    generator = torch.Generator().manual_seed(0)
    faces = random_faces(2, seed=3, dtype=torch.float64).requires_grad_()
    weights = torch.randn(2, 3, 40, 40, generator=generator, dtype=torch.float64)
    direction = torch.randn(faces.shape, generator=generator, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((render(faces, 40) * weights).sum(), faces)
    assert gradient.isfinite().all()
    _, slope = jvp(lambda f: render(f, 40), (faces.detach(),), (direction,))
    torch.testing.assert_close((slope * weights).sum((1, 2, 3)), (gradient * direction).sum(1))


def test_gradients_are_finite_at_the_corners() -> None:
    faces = random_faces(8, seed=4).round().requires_grad_()
    (gradient,) = torch.autograd.grad(render(faces, 32).square().sum(), faces)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_every_factor_shows_and_moves_steadily(name: str) -> None:
    steps = 9
    face = likeable_face(torch.float64).repeat(steps, 1)
    face[:, factor_index(name)] = torch.linspace(0, 1, steps, dtype=torch.float64)
    pictures = render(face)
    from_start = (pictures - pictures[:1]).square().mean((1, 2, 3)).sqrt()
    neighbours = (pictures[1:] - pictures[:-1]).square().mean((1, 2, 3)).sqrt()
    changed = (pictures[-1] - pictures[0]).abs().amax(0) > 0.15
    assert changed.sum() >= 20, "too few pixels change for a person to see it"
    assert from_start[-1] > 0.015
    # A small stroke that has moved farther than its width cannot differ more: the distance may level off, but not turn back much.
    assert (from_start[1:] - from_start[:-1]).min() > -0.12 * from_start.max()
    assert neighbours.max() < 6 * neighbours.min()


def test_pictures_stay_what_they_are() -> None:
    """The bundled weights were trained on these pictures; whoever changes them has to train again."""
    picture = render(likeable_face(torch.float64), 16)[0]
    coarse = avg_pool2d(picture, 4)
    expected = torch.tensor(EXPECTED, dtype=torch.float64)
    torch.testing.assert_close(coarse, expected, rtol=0, atol=2e-4)


EXPECTED = [
    [
        [-0.3552, -0.2072, -0.2697, -0.3875],
        [-0.3427, 0.4314, 0.2286, -0.3794],
        [-0.3619, 0.6388, 0.5094, -0.4387],
        [-0.4719, -0.0105, -0.087, -0.51],
    ],
    [
        [0.0116, -0.2404, -0.2912, -0.0399],
        [-0.1991, 0.1134, -0.0685, -0.2545],
        [-0.2858, 0.2193, 0.112, -0.3635],
        [-0.1896, -0.1582, -0.2348, -0.2522],
    ],
    [
        [0.0299, -0.3762, -0.4108, -0.0221],
        [-0.2589, -0.1492, -0.3001, -0.3071],
        [-0.3618, -0.0483, -0.1165, -0.4175],
        [-0.1584, -0.2194, -0.2775, -0.2221],
    ],
]
