"""Any network or function as a generator; the three real ones."""

from __future__ import annotations

import pytest
import torch
from real_generators import REAL
from reference import needs_real
from torch import Tensor, nn

from semanifold.errors import SemanifoldError
from semanifold.generators.base import Generator
from semanifold.generators.wrapped import wrap
from semanifold.latents import Latents

real_models = needs_real("generators")


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Unflatten(1, (6, 1, 1)),
            nn.ConvTranspose2d(6, 8, 4),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.ConvTranspose2d(8, 3, (4, 6), 2),
        )


def squares(z: Tensor) -> Tensor:
    return z[:, :, None, None].sigmoid().expand(-1, 3, 8, 8)


def circles(z: Tensor) -> Tensor:
    return 1 - z[:, :, None, None].sigmoid().expand(-1, 3, 8, 8)


def test_the_callers_network_is_left_alone() -> None:
    mine = network().train()
    before = {key: value.clone() for key, value in mine.state_dict().items()}
    generator = wrap(mine, (6,))
    pictures = generator.images(generator.sample([0, 1, 2]))
    assert mine.training
    assert all(value.requires_grad for value in mine.parameters())
    assert all(torch.equal(value, before[key]) for key, value in mine.state_dict().items())
    with torch.no_grad():
        next(mine.parameters()).add_(1)
    assert torch.equal(generator.images(generator.sample([0, 1, 2])), pictures)
    assert not any(value.requires_grad for value in generator.parameters())


def test_pictures_do_not_depend_on_the_batch() -> None:
    generator = wrap(network(), (6,))
    codes = generator.sample(range(4))
    assert generator.picture_shape == (3, 10, 12)
    assert torch.allclose(generator.images(codes)[2:3], generator.images(codes[2]), atol=1e-6)
    assert torch.equal(generator.sample([2]).values, codes[2].values)


def test_smaller_pictures_are_area_averages() -> None:
    generator = wrap(network(), (6,))
    codes = generator.sample([0])
    full, small = generator.images(codes), generator.images(codes, size=5)
    assert small.shape == (1, 3, 5, 6)
    assert torch.allclose(small, full.unflatten(2, (5, 2)).unflatten(4, (6, 2)).mean((3, 5)), atol=1e-6)
    assert torch.equal(generator.images(codes, size=10), full)
    for size in (0, 11):
        with pytest.raises(SemanifoldError, match="height 1 to 10"):
            generator.images(codes, size=size)


def test_pixel_range_and_prior() -> None:
    generator = wrap(squares, (3,), pixel_range=(0, 1), prior="uniform")
    codes = generator.sample(range(200))
    assert -1 <= codes.values.min() < -0.9
    assert 0.9 < codes.values.max() <= 1
    zero = Latents(torch.zeros(1, 3), "z")
    assert generator.images(zero).abs().max() == 0
    assert torch.allclose(generator.images(codes), 2 * squares(codes.values) - 1)


def test_derivatives() -> None:
    """Reverse and forward mode and vmap agree; small pictures included."""
    generator = wrap(network().double(), (6,))
    code = generator.sample([3]).values
    assert code.dtype == torch.float64
    for size in (None, 4):

        def picture(z: Tensor, size: int | None = size) -> Tensor:
            return generator.images(Latents(z, "z"), size=size)

        direction = torch.ones_like(code)
        forward = torch.func.jvp(picture, (code,), (direction,))[1]
        jacobian = torch.autograd.functional.jacobian(picture, code)
        assert torch.allclose(forward, (jacobian * direction).sum((-1, -2)))
    batch = torch.func.vmap(lambda z: generator.images(Latents(z[None], "z"))[0])(generator.sample([0, 1]).values)
    assert torch.allclose(batch, generator.images(generator.sample([0, 1])))


def test_other_weights_by_functional_call() -> None:
    generator = wrap(network(), (6,))
    codes = generator.sample([0])
    key = next(key for key in generator.state_dict() if key.endswith("4.bias"))
    other = torch.func.functional_call(generator, {key: generator.state_dict()[key] + 1}, (codes,))
    assert torch.allclose(other, generator.images(codes) + 1, atol=1e-6)


def test_fingerprints() -> None:
    assert wrap(network(), (6,)).fingerprint == wrap(network(), (6,), name="other").fingerprint
    changed = network()
    with torch.no_grad():
        next(changed.parameters()).add_(1)
    assert wrap(changed, (6,)).fingerprint != wrap(network(), (6,)).fingerprint
    assert wrap(squares, (3,)).fingerprint == wrap(squares, (3,)).fingerprint != wrap(circles, (3,)).fingerprint


def test_precision_of_a_function() -> None:
    generator = wrap(squares, (3,)).to(torch.float64)
    assert generator.images(generator.sample([0])).dtype == torch.float64


def test_mistakes() -> None:
    generator = wrap(network(), (6,), space="code", name="mine")
    assert list(generator.spaces) == ["code"]
    cases = [
        (lambda: wrap(generator, (6,)), "mine is a generator already"),
        (lambda: wrap(network(), (7,)), r"does not take codes \[1, 7\]"),
        (lambda: wrap(network(), ()), "latent shape"),
        (lambda: wrap(network(), (6,), prior="gamma"), "no prior 'gamma'"),  # type: ignore[arg-type]
        (lambda: wrap(network(), (6,), pixel_range=(1, 0)), "pixel range"),
        (lambda: wrap(nn.Linear(6, 3), (6,)), r"must return pictures.*\[1, 3\]"),
        (lambda: wrap(lambda z: (z,), (6,)), "must return pictures.*tuple"),
        (lambda: wrap(lambda z: z[:, :, None, None] / 0, (6,)), "NaN or infinite"),
        (lambda: generator.images(Latents(torch.zeros(1, 5), "code")), "expects codes"),
        (lambda: generator.images(Latents(torch.zeros(1, 6), "z")), "no latent space 'z'"),
    ]
    for call, words in cases:
        with pytest.raises(SemanifoldError, match=words) as raised:
            call()
        assert "\n" not in str(raised.value)


@real_models
@pytest.mark.parametrize("name", REAL)
def test_real_generators(name: str) -> None:
    """Each makes pictures as it was trained to: in range, different from one another, and mostly smooth."""
    generator: Generator = REAL[name]()
    pictures = generator.images(generator.sample(range(64)))
    assert pictures.shape == (64, *generator.picture_shape)
    assert pictures.abs().max() <= 1
    assert pictures.std(0).mean() > 0.15
    smooth = (pictures[..., 1:] - pictures[..., :-1]).abs().mean() / pictures.std()
    assert smooth < 0.4
    assert (
        generator.images(generator.sample([0]), size=generator.picture_shape[1] // 2).shape[-1] == generator.picture_shape[2] // 2
    )


@real_models
def test_digits_are_dark_outside() -> None:
    generator = REAL["mnist28"]()
    pictures = generator.images(generator.sample(range(32)))
    assert pictures[:, :, :2].mean() < -0.9
    assert pictures[:, :, 8:20, 8:20].mean() > -0.6
