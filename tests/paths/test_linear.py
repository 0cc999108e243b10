"""Linear paths against the published deformators, and as edits."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from support.reference import GRADIENTS, REFERENCE, agree, numbers, settings
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config
from semanifold.paths.base import PathSetInfo
from semanifold.paths.foreign import read_directions
from semanifold.paths.kinds import Form
from semanifold.paths.linear import LinearPaths, linear_paths

VARIANTS = settings("latent_deformator")["variants"]
FORMS: tuple[Form, ...] = get_args(Form)


def published(variant: str) -> tuple[LinearPaths, dict[str, Tensor]]:
    """The deformator of a fixture, and its numbers."""
    told, expected = VARIANTS[variant], numbers("latent_deformator", variant)
    form, shape = told["kwargs"]["type"], told["kwargs"]["shift_dim"]
    shape = shape if isinstance(shape, list) else [shape]
    if form not in ("ID", "RANDOM"):
        paths = read_directions(REFERENCE / "latent_deformator" / variant, "z", shape=shape)
        assert isinstance(paths, LinearPaths)
        return paths, expected
    made = LinearPaths("id" if form == "ID" else "random", told["input_dim"], tuple(shape), PathSetInfo())
    if form == "RANDOM":
        made.matrix.copy_(expected["matrix"])
    return made, expected


@pytest.mark.parametrize("variant", VARIANTS)
def test_published_numbers(variant: str) -> None:
    """Shifts and gradients of every deformator, read from the files of the published code."""
    paths, expected = published(variant)
    if VARIANTS[variant]["kwargs"]["type"] == "PROJECTIVE":  # it looks like a linear one; only the args.json of a run tells
        paths = as_projective(paths)
    x = expected["input"].requires_grad_()
    out = paths.deform(x)
    agree(out, expected["output"])
    parameters = {key: value for key, value in paths.named_parameters() if f"grad.{key}" in expected}
    found = torch.autograd.grad((out**3).sum(), [x, *parameters.values()])
    agree(found[0], expected["grad_input"], GRADIENTS)
    for key, gradient in zip(parameters, found[1:], strict=True):
        agree(gradient, expected[f"grad.{key}"], GRADIENTS)
    if "matrix" in expected:
        agree(paths.columns(), expected["matrix"])


def as_projective(paths: LinearPaths) -> LinearPaths:
    made = LinearPaths("projective", len(paths), paths.shape, paths.info)
    made.load_state_dict(paths.state_dict())
    return made


def test_a_step_is_what_the_deformator_makes_of_one_coordinate() -> None:
    paths, expected = published("linear")
    index = int(expected["input"][0].argmax())
    shift = paths.shift(torch.zeros(1, *paths.shape), torch.tensor([index]), expected["input"][0, index].reshape(1))
    agree(shift, expected["output"][:1])


def small(form: Form, **options: object) -> LinearPaths:
    given: dict = {"random_init": True, "inner": 8} | options
    return LinearPaths(form, 5, (7,), PathSetInfo(step=0.5, count=4), **given).eval()


@pytest.mark.parametrize("form", FORMS)
def test_an_edit_is_the_same_everywhere_and_begins_at_the_unedited_picture(form: Form) -> None:
    paths = small(form)
    codes = Latents(torch.randn(3, 7, generator=torch.Generator().manual_seed(0)), "z")
    edit = paths[2]
    assert torch.equal(edit.latents(codes, 0.0).values, codes.values)
    moved = edit.latents(codes, 0.75).values - codes.values
    assert torch.allclose(moved, moved[:1].expand_as(moved), atol=1e-6)
    index, zero = torch.tensor([2]), torch.zeros(1)
    step = paths.shift(codes.values[:1], index, torch.tensor([1.5])) - paths.shift(codes.values[:1], index, zero)
    assert torch.allclose(moved[:1], step, atol=1e-5)


@pytest.mark.parametrize("form", ["ortho", "random", "id"])
def test_orthogonal_forms_stay_orthonormal(form: Form) -> None:
    paths = small(form).double()
    columns = torch.stack([paths.shift(torch.zeros(1, 7), torch.tensor([k]), torch.ones(1)).flatten() for k in range(5)])
    assert torch.allclose(columns @ columns.T, torch.eye(5), atol=1e-6)


def test_projective_steps_have_their_magnitude_and_no_nan_at_zero() -> None:
    paths = small("projective", bias=False)
    magnitude = torch.tensor([0.3, -2.0, 0.0]).requires_grad_()
    shift = paths.shift(torch.zeros(3, 7), torch.tensor([0, 1, 2]), magnitude)
    assert torch.allclose(shift.norm(dim=1), magnitude.abs(), atol=1e-6)
    shift.sum().backward()
    assert magnitude.grad is not None
    assert torch.isfinite(magnitude.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in paths.parameters() if p.grad is not None)


def test_given_vectors_keep_direction_and_reach() -> None:
    vectors = torch.tensor([[3.0, 0.0], [0.0, 0.5]])
    info = PathSetInfo(step=0.5, count=4)
    paths = LinearPaths.from_vectors(vectors, info, scale=torch.tensor([1.0, 0.25]))
    shift = paths.shift(torch.zeros(2, 2), torch.arange(2), torch.tensor([0.7, 0.7]))
    assert torch.allclose(shift, torch.tensor([[0.7, 0.0], [0.0, 0.7 * 0.25]]))
    code = Latents(torch.zeros(1, 2), "z")
    assert torch.allclose(paths[0].latents(code, 1.0).values, torch.tensor([[2.0, 0.0]]))
    assert torch.allclose(paths[1].latents(code, -1.0).values, torch.tensor([[0.0, -0.5]]))
    longer = paths.with_info(step=1.0)
    assert torch.allclose(longer[1].latents(code, 1.0).values, torch.tensor([[0.0, 1.0]]))


def test_layers_that_move_alike() -> None:
    generator = StyleGAN2(StyleGAN2Config(size=16, z_dim=8, w_dim=8, channels=(6, 5, 4)))
    paths = linear_paths(generator, "w+", 3, "ortho", layers=(1, 3), shared=True)
    seed = generator.sample([0, 1], "w+")
    moved = paths.shifted(seed, torch.tensor([0, 2]), torch.tensor([0.5, 0.5])).values - seed.values
    assert torch.allclose(moved[:, 1:3].norm(dim=-1), torch.full((2, 2), 0.5), atol=1e-6)
    assert moved[:, [0, *range(3, moved.shape[1])]].abs().max() == 0
    assert torch.allclose(moved[:, 1], moved[:, 2], atol=1e-6)


def test_training_mode_survives_an_edit() -> None:
    paths = small("fc").train()
    _ = paths[0]
    assert paths.training
    assert paths.get_submodule("bn1").training
    assert paths.with_info(step=1.0).training


def test_mistakes() -> None:
    info = PathSetInfo()
    cases = [
        (lambda: LinearPaths("orto", 3, (7,), info), "did you mean 'ortho'"),  # type: ignore[arg-type]
        (lambda: LinearPaths("ortho", 8, (7,), info), "at most 7 fit"),
        (lambda: LinearPaths("linear", 0, (7,), info), "at least 1 path"),
        (lambda: LinearPaths.from_vectors(torch.zeros(2, 3), info), "not zero"),
        (lambda: LinearPaths.from_vectors(torch.full((2, 3), torch.nan), info), "finite"),
        (lambda: LinearPaths.from_vectors(torch.ones(3), info), r"got \[3\]"),
        (lambda: LinearPaths.from_vectors(torch.ones(2, 3), info, scale=torch.ones(3)), "each of 2"),
    ]
    for call, words in cases:
        with pytest.raises(SemanifoldError, match=words) as raised:
            call()
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("form", ["linear", "projective"])
def test_a_start_along_directions_is_them(form: Form) -> None:
    made = StyleGAN2(StyleGAN2Config(size=16, z_dim=8, w_dim=8, channels=(6, 5, 4)))
    vectors = torch.randn(3, 8, generator=torch.Generator().manual_seed(3))
    scale = torch.tensor([1.0, 0.5, 0.25])
    given = LinearPaths.from_vectors(vectors, PathSetInfo(space="w"), scale=scale)
    paths = linear_paths(made, "w", 3, form, along=given, step=0.1, steps=4)
    codes = made.sample(range(3), "w")
    magnitude = torch.tensor([0.5, -0.25, 1.0])
    moved = paths.shifted(codes, torch.arange(3), magnitude).values - codes.values
    unit = vectors / vectors.norm(dim=1, keepdim=True)
    assert torch.allclose(moved, unit * (magnitude * scale)[:, None], atol=1e-6)
    assert torch.allclose(paths.directions(), unit, atol=1e-6)
    for k in range(3):
        offset = paths[k].latents(codes[0], 1.0).values[0] - codes.values[0]
        assert torch.allclose(offset, 0.4 * scale[k] * unit[k], atol=1e-5)
    wide = LinearPaths.from_vectors(vectors, PathSetInfo(space="w+", layers=(1, 4)), layers=3)
    shared = linear_paths(made, "w+", 3, form, layers=(1, 4), along=wide, shared=True)
    assert torch.allclose(shared.directions()[:, 2], unit / 3**0.5, atol=1e-6)
    apart = linear_paths(made, "w+", 3, form, layers=(1, 4), along=wide)
    assert torch.allclose(apart.directions(), wide.directions(), atol=1e-6)


def test_directions_leave_out_what_all_paths_share() -> None:
    paths = LinearPaths("linear", 2, (4,), PathSetInfo(), random_init=True)
    with torch.no_grad():
        paths.linear.bias.fill_(5.0)
    weight = paths.linear.weight.detach().T
    assert torch.allclose(paths.directions(), weight / weight.norm(dim=1, keepdim=True), atol=1e-5)
    for training in (True, False):
        paths.train(training).directions()
        assert paths.training is training


def test_starts_that_do_not_fit() -> None:
    made = StyleGAN2(StyleGAN2Config(size=16, z_dim=8, w_dim=8, channels=(6, 5, 4)))
    given = LinearPaths("id", 3, (8,), PathSetInfo(space="w"))
    with pytest.raises(SemanifoldError, match="form ortho cannot start"):
        linear_paths(made, "w", 3, "ortho", along=given)
    with pytest.raises(SemanifoldError, match=r"2 directions of shape \[8\] to start along are expected, but got 3 of \[8\]"):
        linear_paths(made, "w", 2, "linear", along=given)


def test_layers_of_fc_start_with_the_spread_of_torchs_own() -> None:
    """Uniform in +-1/sqrt(n) has the variance 1 / (3 n)."""
    paths = LinearPaths("fc", 20, (400,), PathSetInfo(), inner=300)
    for name, inputs in (("fc1", 20), ("fc2", 300), ("fc3", 300), ("fc4", 300)):
        weight = paths.get_submodule(name).weight
        assert isinstance(weight, Tensor)
        assert float(weight.std()) == pytest.approx((3 * inputs) ** -0.5, rel=0.03)


def test_the_start_of_ortho_is_the_axes_or_any_rotation() -> None:
    close = LinearPaths("ortho", 6, (6,), PathSetInfo()).columns()
    far = LinearPaths("ortho", 6, (6,), PathSetInfo(), random_init=True).columns()
    torch.testing.assert_close(close, torch.eye(6), rtol=0, atol=0.02)
    assert (far - torch.eye(6)).abs().max() > 0.3
    for columns in (close, far):
        torch.testing.assert_close(columns.T @ columns, torch.eye(6), rtol=0, atol=1e-5)
