"""Warped paths against the published code's numbers, their own potential, and each other."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from support.reference import GRADIENTS, REFERENCE, agree, numbers, settings
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.edits.flow import Flow, rbf_direction, rbf_potential
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config
from semanifold.paths.base import LatentPaths, PathSetInfo
from semanifold.paths.files import load_paths, save_paths
from semanifold.paths.linear import LinearPaths
from semanifold.paths.warped import WarpedPaths, reference_support, spread_support, warped_paths

VARIANTS = sorted(path.name for path in (REFERENCE / "warped_support_sets").iterdir())


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def small(**options: object) -> WarpedPaths:
    given: dict = {"init": "spread", "learn_alphas": True} | options
    return WarpedPaths.create(5, 3, (7,), PathSetInfo(), **given)


@pytest.mark.parametrize("variant", VARIANTS)
def test_published_numbers(variant: str) -> None:
    """Directions, all gradients, and Euler paths both ways, read from the experiment folder of the published code."""
    expected, config = numbers("warped_support_sets"), settings("warped_support_sets")
    paths = load_paths(REFERENCE / "warped_support_sets" / variant)
    assert isinstance(paths, WarpedPaths)
    assert (paths.learn_alphas, paths.learn_gammas) == ("learn_alphas" in variant, "learn_gammas" in variant)
    moving = expected["z"].requires_grad_()
    index, magnitude = expected["index"], expected["magnitude"]
    direction = paths.shift(moving, index, torch.ones_like(magnitude))
    agree(direction, expected[f"{variant}/direction"])
    agree(paths.shift(moving, index, magnitude), expected[f"{variant}/shift"])
    wanted = {"SUPPORT_SETS": paths.support, "ALPHAS": paths.alphas, "LOGGAMMA": paths.log_gamma}
    wanted = {key: value for key, value in wanted.items() if value.requires_grad} | {"z": moving}
    found = torch.autograd.grad((direction * expected["v"]).sum(), list(wanted.values()))
    for key, gradient in zip(wanted, found, strict=True):
        theirs = expected[f"{variant}/grad_{key}"]
        agree(gradient.reshape(theirs.shape), theirs, GRADIENTS)
    count = config["shift_steps"]
    paths = paths.with_info(step=config["eps"], count=count)
    t = torch.arange(-count, count + 1) / count
    for start in range(len(expected["z0"])):
        for k in range(len(paths)):
            codes = paths[k].latents(Latents(expected["z0"][start : start + 1], paths.info.space), t).values
            agree(codes, expected[f"{variant}/path_codes"][start, k])


def test_reference_start_is_the_published_one() -> None:
    config = settings("warped_support_sets")
    k, dipoles, size = (config[key] for key in ("num_support_sets", "num_support_dipoles", "support_vectors_dim"))
    expected = numbers("warped_support_sets")["init_example"].reshape(k, 2 * dipoles, size)
    support, gammas = reference_support(k, dipoles, size, 0)
    assert torch.allclose(support.norm(dim=-1), expected.norm(dim=-1), atol=1e-5)
    assert torch.equal(support[:, 0::2], -support[:, 1::2])
    assert torch.allclose(gammas, torch.full((k,), 1 / size))


@pytest.mark.parametrize("init", ["reference", "spread"])
def test_direction_is_the_unit_gradient_of_the_potential(init: str) -> None:
    paths = small(init=init).double()
    with torch.no_grad():
        paths.alphas.copy_(drawn(5, 6, seed=1))
    codes = drawn(9, 7, dtype=torch.float64).requires_grad_()
    index = torch.arange(9) % 5
    support, gamma = (paths.unit * paths.support)[index], paths.log_gamma.exp()[index]
    value = rbf_potential(codes, support, paths.alphas[index], gamma).sum()
    gradient = torch.autograd.grad(value, codes)[0]
    shift = paths.shift(codes, index, torch.ones(9, dtype=torch.float64))
    assert torch.allclose(shift, gradient / gradient.norm(dim=1, keepdim=True), atol=1e-10)


def test_shift_can_be_differentiated() -> None:
    """The gradients of a step in codes, support vectors, weights and widths, against differences."""
    paths = small().double()
    codes, index = drawn(4, 7, dtype=torch.float64).requires_grad_(), torch.tensor([1, 3, 3, 0])
    magnitude = torch.tensor([0.2, -0.3, 0.1, 0.4], dtype=torch.float64)

    def step(codes: Tensor, support: Tensor, alphas: Tensor, log_gamma: Tensor) -> Tensor:
        held = {"support": support, "alphas": alphas, "log_gamma": log_gamma}
        return torch.func.functional_call(paths, held, (codes,))

    paths.forward = lambda codes: paths.shift(codes, index, magnitude)
    parts = [p.detach().clone().requires_grad_() for p in (paths.support, paths.alphas, paths.log_gamma)]
    assert torch.autograd.gradcheck(step, (codes, *parts))


def test_only_the_sets_of_the_batch_have_gradients() -> None:
    paths = small()
    paths.shift(drawn(3, 7), torch.tensor([1, 4, 1]), torch.ones(3)).square().sum().backward()
    paths.shift(drawn(3, 7), torch.tensor([1, 4, 1]), torch.ones(3))[:, 0].sum().backward()
    assert paths.support.grad is not None
    touched = paths.support.grad.abs().amax((1, 2)) > 0
    assert touched.tolist() == [False, True, False, False, True]


def test_a_step_depends_on_its_own_code_alone() -> None:
    paths, codes = small(), drawn(8, 7)
    index, magnitude = torch.arange(8) % 5, drawn(8, seed=2)
    together = paths.shift(codes, index, magnitude)
    alone = torch.cat([paths.shift(codes[i : i + 1], index[i : i + 1], magnitude[i : i + 1]) for i in range(8)])
    assert torch.allclose(together, alone, atol=1e-6)
    assert torch.allclose(together.norm(dim=1), magnitude.abs(), atol=1e-6)


@pytest.mark.parametrize("shared", [False, True])
def test_steps_along_all_paths_at_once_are_those_along_each(shared: bool) -> None:
    info = PathSetInfo("w+") if shared else PathSetInfo()
    paths = WarpedPaths.create(5, 3, (2, 7) if shared else (7,), info, init="spread", shared=shared)
    paths.scale.copy_(torch.arange(1.0, 6))
    codes = drawn(4, *paths.shape)
    every = paths.shifts(codes)
    assert every.shape == (4, 5, *paths.shape)
    for k in range(5):
        torch.testing.assert_close(every[:, k], paths.shift(codes, torch.full((4,), k), torch.ones(4)))
    torch.testing.assert_close(every, LatentPaths.shifts(paths, codes))


@pytest.mark.parametrize("far", [30.0, 1e3, 1e6])
def test_far_from_everything_the_direction_is_that_of_the_nearest_vector(far: float) -> None:
    """Where the published code divides 0 by 0."""
    support, alphas = drawn(6, 7), torch.tensor([1.0, -1.0, 2.0, 0.0, -1.0, 1.0])
    code = far * torch.nn.functional.normalize(drawn(1, 7, seed=3))
    gamma = torch.tensor([5.0])
    squares = (code - support).double().square().sum(1)
    squares[3] = math.inf  # it has no weight
    nearest = int(squares.argmin())
    expected = torch.nn.functional.normalize(alphas[nearest].sign() * (support[nearest] - code[0]), dim=0)
    assert torch.allclose(rbf_direction(code, support, alphas, gamma)[0], expected, atol=1e-5)


def test_where_nothing_pulls_the_direction_is_zero_and_so_is_its_gradient() -> None:
    support, zero = torch.zeros(2, 3, requires_grad=True), torch.zeros(1, 3, requires_grad=True)
    direction = rbf_direction(zero, support, torch.tensor([1.0, -1.0]), torch.tensor([1.0]))
    assert direction.abs().max() == 0
    direction.sum().backward()
    assert zero.grad is not None
    assert support.grad is not None
    assert torch.isfinite(zero.grad).all()
    assert torch.isfinite(support.grad).all()
    nothing = rbf_direction(drawn(1, 3), drawn(2, 3), torch.zeros(2), torch.tensor([1.0]))
    assert nothing.abs().max() == 0


def mean_cosine(paths: WarpedPaths, codes: Tensor) -> Tensor:
    """Mean cosine ``[K]`` of the directions at different codes."""
    found = []
    for k in range(len(paths)):
        directions = paths.shift(codes, torch.full((len(codes),), k), torch.ones(len(codes))).detach()
        total = (directions @ directions.T).sum() - len(codes)
        found.append(total / (len(codes) * (len(codes) - 1)))
    return torch.stack(found)


def test_the_published_start_is_almost_linear_and_the_spread_one_is_not() -> None:
    codes = drawn(64, 128, seed=100)
    published = mean_cosine(WarpedPaths.create(6, 128, (128,), PathSetInfo()), codes)
    spread = mean_cosine(WarpedPaths.create(6, 128, (128,), PathSetInfo(), init="spread"), codes)
    assert published.min() > 0.93
    assert spread.max() < 0.88
    assert spread.mean() < 0.75
    assert spread.min() > 0.3  # and still one path, not one for every code
    assert spread[0] > spread[-1]


def test_the_spread_start_hardly_moves_along_the_radius() -> None:
    codes = drawn(64, 64, seed=100)
    paths = WarpedPaths.create(4, 64, (64,), PathSetInfo(), init="spread")
    directions = paths.shift(codes, torch.arange(64) % 4, torch.ones(64))
    assert (directions * torch.nn.functional.normalize(codes)).sum(1).square().mean() < 0.04


def test_the_spread_start_follows_the_codes() -> None:
    """The field of shifted and stretched codes is the shifted and stretched field."""
    codes = drawn(500, 6, seed=5)
    support, gammas = spread_support(3, 4, 6, 0, codes)
    other, widths = spread_support(3, 4, 6, 0, 10 + 2 * codes)
    assert torch.allclose(other, 10 + 2 * support, atol=1e-4)
    assert torch.allclose(widths, gammas / 4, rtol=1e-4)


def along(count: int, size: int, seed: int = 9) -> LinearPaths:
    return LinearPaths.from_vectors(drawn(count, size, seed=seed), PathSetInfo(), scale=torch.linspace(0.25, 1, count))


def test_a_start_along_directions_keeps_to_them_and_still_bends() -> None:
    given = along(4, 32)
    paths = WarpedPaths.create(4, 32, (32,), PathSetInfo(step=0.1, count=3), init="spread", along=given)
    codes = drawn(64, 32, seed=100)
    for k in range(4):
        directions = paths.shift(codes, torch.full((64,), k), torch.ones(64)).detach()
        assert torch.allclose(directions.norm(dim=1), given.scale[k].expand(64), rtol=1e-4)
        cosines = directions @ given.directions()[k] / given.scale[k]
        assert cosines.min() > 0.85
        assert cosines.mean() > 0.95
        assert cosines.max() < 0.9999
        assert directions.std(0).max() > 0.01 * given.scale[k]


def test_lengths_of_paths_hold_for_edits_and_files(tmp_path: Path) -> None:
    paths = WarpedPaths.create(3, 4, (6,), PathSetInfo(step=0.2, count=5), init="spread", along=along(3, 6))
    save_paths(paths, tmp_path / "set.safetensors")
    again = load_paths(tmp_path / "set.safetensors")
    code = Latents(drawn(1, 6), "z")
    for k, scale in enumerate((0.25, 0.625, 1.0)):
        for some in (paths, again):
            steps = some[k].latents(code, torch.arange(6) / 5).values.diff(dim=0).norm(dim=1)
            assert torch.allclose(steps, torch.full((5,), 0.2 * scale), rtol=1e-4)


def test_both_starts_are_stored_at_the_same_length() -> None:
    """So that one learning rate suits both."""
    published, spread = (WarpedPaths.create(6, 8, (32,), PathSetInfo(), init=i) for i in ("reference", "spread"))
    lengths = [float((p.support[:, 0::2] - p.support[:, 1::2]).detach().norm(dim=-1).mean()) for p in (published, spread)]
    assert lengths[1] == pytest.approx(lengths[0], rel=0.15)
    assert spread.unit > 5 > published.unit == 1


def test_what_is_learned_is_a_parameter_and_nothing_else() -> None:
    names = {
        (alphas, gammas): {n for n, _ in small(learn_alphas=alphas, learn_gammas=gammas).named_parameters()}
        for alphas in (False, True)
        for gammas in (False, True)
    }
    assert names[False, False] == {"support"}
    assert names[True, False] == {"support", "alphas"}
    assert names[False, True] == {"support", "log_gamma"}
    assert names[True, True] == {"support", "alphas", "log_gamma"}


def test_same_seed_same_set() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    assert torch.equal(small(seed=3).support, small(seed=3).support)
    assert not torch.equal(small(seed=3).support, small(seed=4).support)
    assert torch.equal(torch.get_rng_state(), before)


def generator() -> StyleGAN2:
    return StyleGAN2(StyleGAN2Config(size=16, z_dim=8, w_dim=8, channels=(6, 5, 4)))


def test_layers_of_w_plus_move_and_no_others() -> None:
    made = generator()
    paths = warped_paths(made, "w+", 4, 3, layers=(1, 4), init="spread")
    assert paths.shape == (3, 8)
    seeds = made.sample(range(6), "w+")
    moved = paths.shifted(seeds, torch.arange(6) % 4, torch.full((6,), 0.3)).values - seeds.values
    assert moved[:, [0, *range(4, moved.shape[1])]].abs().max() == 0
    assert torch.allclose(moved.flatten(1).norm(dim=1), torch.full((6,), 0.3), atol=1e-6)
    along = paths[2].latents(seeds[0], 1.0).values - seeds[0].values
    assert along[:, [0, *range(4, along.shape[1])]].abs().max() == 0


def test_layers_that_move_alike_move_as_in_w() -> None:
    made = generator()
    narrow, wide = (warped_paths(made, "w", 4, 3), warped_paths(made, "w+", 4, 3, layers=(2, 5), shared=True))
    assert torch.equal(narrow.support, wide.support)
    seed, index, magnitude = list(range(3)), torch.tensor([0, 3, 1]), torch.tensor([0.2, -0.1, 0.3])
    expected = narrow.shift(made.sample(seed, "w").values, index, magnitude)
    found = wide.shifted(made.sample(seed, "w+"), index, magnitude).values - made.sample(seed, "w+").values
    for layer in range(found.shape[1]):
        assert torch.allclose(found[:, layer], expected if 2 <= layer < 5 else torch.zeros(3, 8), atol=1e-6)
    t = torch.tensor([-1.0, -0.3, 0.5, 1.0])
    path = narrow[1].latents(made.sample([4], "w"), t).values
    spread = wide[1].latents(made.sample([4], "w+"), t).values
    assert torch.allclose(spread[:, 2:5], path[:, None].expand(-1, 3, -1), atol=1e-6)


def test_an_edit_takes_the_steps_of_its_set() -> None:
    paths = small().with_info(step=0.3, count=5)
    edit = paths[2]
    assert isinstance(edit, Flow)
    assert not any(part.requires_grad for part in (edit.support, edit.alphas, edit.gamma)), "an edit is not learned"
    code = drawn(1, 7)
    now = code
    for _ in range(5):
        now = now - paths.shift(now, torch.tensor([2]), torch.tensor([-0.3])).mul(-1).detach()
    assert torch.allclose(paths[2].latents(Latents(code, "z"), -1.0).values, now, atol=1e-5)


def test_mistakes() -> None:
    made = generator()
    paths = small().with_info(names={1: "smile +"})
    cases = [
        (lambda: WarpedPaths.create(0, 4, (8,), PathSetInfo()), "at least 1 path"),
        (lambda: WarpedPaths.create(4, 0, (8,), PathSetInfo()), "at least 1 dipole|1 dipole"),
        (lambda: WarpedPaths.create(4, 4, (8,), PathSetInfo(), init="spred"), "did you mean 'spread'"),  # type: ignore[arg-type]
        (lambda: WarpedPaths.create(4, 4, (8,), PathSetInfo(), gamma=0.0), "above 0"),
        (lambda: WarpedPaths.create(4, 4, (8,), PathSetInfo(), shared=True), "Only layers of w"),
        (lambda: WarpedPaths.create(4, 4, (8,), PathSetInfo(), init="spread", codes=torch.ones(9, 8)), "all alike"),
        (lambda: WarpedPaths.create(4, 4, (8,), PathSetInfo(), init="spread", along=along(3, 8)), "4 directions .* but got 3 of"),
        (lambda: WarpedPaths.create(3, 4, (8,), PathSetInfo(), along=along(3, 8)), 'have the start "spread"'),
        (lambda: WarpedPaths(drawn(4, 6, 7), drawn(4, 6), drawn(4), (7,), PathSetInfo(), scale=torch.ones(3)), "each of 4 paths"),
        (lambda: WarpedPaths(drawn(4, 6, 7), drawn(4, 5), drawn(4), (7,), PathSetInfo()), r"\[4, 5\]"),
        (lambda: warped_paths(made, "v", 4, 4), "no latent space 'v'"),
        (lambda: warped_paths(made, "w", 4, 4, layers=(0, 2)), "w\\+ only"),
        (lambda: paths["smyle"], "did you mean 'smile \\+'"),
        (lambda: paths[5], "no path 5: the set has 5"),
        (lambda: paths["path 9"], "no path 9"),
        (lambda: paths.shifted(Latents(drawn(1, 7), "w"), torch.tensor([0]), torch.ones(1)), "space z.*in w"),
        (lambda: paths.shifted(Latents(drawn(1, 6), "z"), torch.tensor([0]), torch.ones(1)), r"\(7,\).*\(6,\)"),
        (lambda: paths.check_generator(made), r"\(7,\)"),
    ]
    for call, words in cases:
        with pytest.raises(SemanifoldError, match=words) as raised:
            call()
        assert "\n" not in str(raised.value)


def test_paths_are_found_by_index_and_by_name() -> None:
    paths = small().with_info(names={1: "smile +", 3: "smile -", 4: "yaw"})
    assert [paths.find(w) for w in (-1, "2", "smile", "smile -", "yaw", "path 0", "path 3")] == [4, 2, 1, 3, 4, 0, 3]
    assert (paths[3].info.name, paths[0].info.name) == ("smile -", "path 0")


def test_exponents_of_the_spread_start_vary_over_codes_that_no_vector_points_to() -> None:
    """As many dimensions as codes: the own code of a vector would count as much as all others together."""
    codes, fresh = drawn(64, 64, seed=1), drawn(4000, 64, seed=2)
    support, gammas = spread_support(3, 40, 64, 0, codes)
    mean = codes.mean(0)
    exponents = 2 * gammas[:, None, None] * ((support[:, ::2] - mean) @ (fresh - mean).T)
    wanted = torch.tensor([0.75 + 0.5 * (k + 0.5) / 3 for k in range(3)])
    torch.testing.assert_close(exponents.square().mean((1, 2)).sqrt(), wanted, rtol=0.08, atol=0)


def test_the_spread_start_has_no_unit_of_its_own() -> None:
    codes = 3 + drawn(50, 5)
    support, gammas = spread_support(2, 4, 5, 0, codes)
    for scale in (1e-3, 1e3):
        other, widths = spread_support(2, 4, 5, 0, scale * codes)
        torch.testing.assert_close(other, scale * support, rtol=1e-4, atol=1e-4 * scale)
        torch.testing.assert_close(widths, gammas / scale**2, rtol=1e-4, atol=0)
    radius = (support[:, ::2] - codes.mean(0)).norm(dim=-1)
    usual = (codes - codes.mean(0)).norm(dim=1).square().mean().sqrt()
    torch.testing.assert_close(radius, 4 * usual.expand_as(radius))
    spread_support(2, 4, 5, 0, codes[:4])
    for bad in (codes[:3], codes[:, :4], codes[:1].expand(8, -1), codes * math.inf):
        with pytest.raises(SemanifoldError):
            spread_support(2, 4, 5, 0, bad)


def test_layers_that_move_alike_start_from_their_mean() -> None:
    codes = drawn(40, 3, 7)
    alike = WarpedPaths.create(2, 3, (3, 7), PathSetInfo(space="w+"), init="spread", codes=codes, shared=True)
    plain = WarpedPaths.create(2, 3, (7,), PathSetInfo(), init="spread", codes=codes.mean(1))
    torch.testing.assert_close(alike.support, plain.support)
    torch.testing.assert_close(alike.log_gamma, plain.log_gamma)
    moved = alike.shift(codes[:2], torch.tensor([0, 1]), torch.ones(2))
    torch.testing.assert_close(
        moved, plain.shift(codes[:2].mean(1), torch.tensor([0, 1]), torch.ones(2))[:, None].expand(-1, 3, -1)
    )
    parted = WarpedPaths.create(2, 3, (3, 7), PathSetInfo(space="w+"), init="spread", codes=codes)
    assert parted.support.shape[-1] == 21


def test_the_unit_of_vectors_is_that_of_the_published_start_and_changes_no_path() -> None:
    codes = 5 * drawn(40, 7)
    made = WarpedPaths.create(3, 2, (7,), PathSetInfo(), init="spread", codes=codes)
    ways = made.support[:, ::2] - made.support[:, 1::2]
    torch.testing.assert_close(ways.norm(dim=-1) / 2, torch.full((3, 2), 2.5))
    plain = WarpedPaths(
        made.unit * made.support.detach(), made.alphas, made.log_gamma.detach(), (7,), PathSetInfo(), scale=made.scale
    )
    index = torch.tensor([0, 1, 2])
    torch.testing.assert_close(made.shift(codes[:3], index, torch.ones(3)), plain.shift(codes[:3], index, torch.ones(3)))
    torch.testing.assert_close(made.unit, 4 * float((codes - codes.mean(0)).norm(dim=1).square().mean().sqrt()) / 2.5)
    for gamma in (1e-9, 1e9):
        assert WarpedPaths.create(1, 1, (2,), PathSetInfo(), gamma=gamma).log_gamma.exp().item() == pytest.approx(gamma, rel=1e-4)
    for gamma in (0.9e-9, 1.1e9, math.nan):
        with pytest.raises(SemanifoldError, match="Gamma"):
            WarpedPaths.create(1, 1, (2,), PathSetInfo(), gamma=gamma)


def test_what_is_learned_unless_a_person_says_otherwise() -> None:
    """As published: vectors and widths, not the weights."""
    paths = warped_paths(StyleGAN2(StyleGAN2Config(size=16, z_dim=4, w_dim=4, channels=(4, 4, 4))), "z", 2, 1)
    assert [name for name, _ in paths.named_parameters()] == ["support", "log_gamma"]
    assert (paths.learn_alphas, paths.learn_gammas) == (False, True)
