"""Flows: curved paths that any code can take, and what traced ones can be used for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from semanifold.app.showing import show
from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.edits import EditInfo, Flow, Lattice, traced
from semanifold.edits.flow import rbf_direction, rbf_potential
from semanifold.edits.operations import combine, extrapolate, retime, reverse, transfer, trim
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config

STEP, COUNT = 0.3, 6
SHAPE = (8,)


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def flow(space: str = "z", shape: tuple[int, ...] = SHAPE, layers: tuple[int, int] | None = None) -> Flow:
    support = 2 * drawn(10, *shape, seed=7)
    alphas = torch.tensor([1.0, -1.0]).repeat(5)
    return Flow(support, alphas, torch.tensor(0.08), STEP, COUNT, EditInfo(name="curve", space=space, layers=layers))


def generator() -> StyleGAN2:
    return StyleGAN2(StyleGAN2Config(size=16, z_dim=8, w_dim=8, channels=(6, 5, 4)))


def euler(edit: Flow, code: Tensor, steps: float) -> Tensor:
    """The stupid version: step by step, the last one in part."""
    sign = 1 if steps >= 0 else -1
    while abs(steps) > 1e-9:
        share = min(1.0, abs(steps))
        code = code + sign * share * STEP * edit.direction(code)
        steps -= sign * share
    return code


@pytest.mark.parametrize("places", [[0.0], [1.0, -1.0, 0.5, 0.0, -0.25, 0.9, 1.5], [-0.01], [-1.0, -0.5]])
def test_one_code_at_many_moments_takes_euler_steps(places: list[float]) -> None:
    edit, code = flow(), drawn(1, *SHAPE)
    found = edit.latents(Latents(code, "z"), torch.tensor(places)).values
    expected = torch.cat([euler(edit, code, t * COUNT) for t in places])
    assert torch.allclose(found, expected, atol=1e-5)
    assert torch.equal(edit.latents(Latents(code, "z"), 0.0).values, code)


def test_many_codes_at_one_moment_and_at_their_own() -> None:
    edit, codes = flow(), drawn(4, *SHAPE)
    together = edit.latents(Latents(codes, "z"), 0.7).values
    assert torch.allclose(together, euler(edit, codes, 0.7 * COUNT), atol=1e-5)
    places = torch.tensor([0.7, -1.0, 0.0, 0.2])
    own = edit.latents(Latents(codes, "z"), places).values
    alone = torch.cat([edit.latents(Latents(codes[i : i + 1], "z"), float(t)).values for i, t in enumerate(places)])
    assert torch.allclose(own, alone, atol=1e-6)


def test_every_step_has_the_same_length_and_the_way_bends() -> None:
    edit = flow()
    codes = edit.latents(Latents(drawn(1, *SHAPE), "z"), torch.arange(-COUNT, COUNT + 1) / COUNT).values
    steps = codes[1:] - codes[:-1]
    assert torch.allclose(steps.norm(dim=1), torch.full((2 * COUNT,), STEP), atol=1e-5)
    cosine = torch.nn.functional.cosine_similarity(steps[0], steps[-1], dim=0)
    assert cosine < 0.95


def test_a_small_step_climbs_the_potential() -> None:
    edit, codes = flow(), drawn(16, *SHAPE)

    def height(t: float) -> Tensor:
        moved = edit.latents(Latents(codes, "z"), t).values
        return rbf_potential(moved, edit.support, edit.alphas, edit.gamma)

    assert (height(0.02) > height(0.0)).all()
    assert (height(0.0) > height(-0.02)).all()


def test_shared_and_own_support_vectors_agree() -> None:
    codes, support = drawn(5, 6, dtype=torch.float64), drawn(9, 6, seed=1, dtype=torch.float64)
    alphas, gamma = drawn(9, seed=2, dtype=torch.float64), torch.tensor(0.3, dtype=torch.float64)
    one = rbf_direction(codes, support, alphas, gamma)
    own = rbf_direction(codes, support.expand(5, 9, 6), alphas.expand(5, 9), gamma.expand(5))
    assert torch.allclose(one, own, atol=1e-12)


def test_own_derivative_serves_second_derivatives_and_vmap() -> None:
    codes, support = drawn(3, 4, dtype=torch.float64), drawn(3, 5, 4, seed=1, dtype=torch.float64)
    alphas, gamma = drawn(3, 5, seed=2, dtype=torch.float64), torch.full((3,), 0.3, dtype=torch.float64)
    leaves = (codes.requires_grad_(), support.requires_grad_())
    assert torch.autograd.gradgradcheck(lambda c, s: rbf_direction(c, s, alphas, gamma), leaves)
    many = torch.stack([codes, codes + 1]).detach()
    found = torch.func.vmap(lambda c: rbf_direction(c, support, alphas, gamma))(many)
    assert torch.allclose(found[1], rbf_direction(many[1], support, alphas, gamma))


def test_layers_and_labels() -> None:
    edit = flow("w+", (2, 8), (1, 3))
    codes = Latents(drawn(1, 5, 8), "w+", torch.eye(3)[:1])
    moved = edit.latents(codes, torch.tensor([0.5, -0.5]))
    assert moved.labels is not None
    assert moved.labels.shape == (2, 3)
    change = moved.values - codes.values
    assert change[:, [0, 3, 4]].abs().max() == 0
    assert (change[:, 1:3].flatten(1).norm(dim=1) > 0.5 * STEP).all()


def test_a_traced_flow_is_the_flow_at_its_seed() -> None:
    edit, seed = flow(), Latents(drawn(1, *SHAPE), "z")
    lattice = traced(edit, seed)
    assert len(lattice.knots[0]) == 2 * COUNT + 1
    t = torch.cat([lattice.knots[0], torch.tensor([0.05, -0.77, 0.99])])
    assert torch.allclose(lattice.latents(seed, t).values, edit.latents(seed, t).values, atol=1e-5)
    other = Latents(seed.values + 1, "z")
    assert not torch.allclose(lattice.latents(other, 1.0).values, edit.latents(other, 1.0).values, atol=0.01)
    chosen = traced(edit, seed, torch.tensor([-0.5, 0.25, 1.0])).knots[0]
    assert torch.allclose(chosen, torch.tensor([-0.5, 0.0, 0.25, 1.0]))
    assert len(traced(edit, seed, 5).knots[0]) in (5, 6)


def made_on(seed: Latents, layers: tuple[int, int] = (0, 2)) -> Lattice:
    """What a masked manifold looks like: offsets of whole codes, zero in the layers that stand still."""
    offsets = torch.zeros(9, *seed.values.shape[1:])
    offsets[:, layers[0] : layers[1]] = 0.2 * drawn(9, layers[1] - layers[0], 8, seed=3).cumsum(0)
    offsets = offsets - offsets[4]
    return Lattice(offsets, (torch.linspace(-1, 1, 9),), EditInfo(name="mouth", space="w+", layers=layers), start=seed)


def test_a_flow_is_combined_with_a_manifold() -> None:
    faces = generator()
    seed = faces.sample([3], "w+")
    edit, manifold = flow("w+", (1, 8), (1, 4)), made_on(seed)
    both = combine([manifold, traced(edit, seed)])
    for t in (-1.0, 0.0, 0.5, 1.0):
        expected = manifold.latents(seed, t).values + edit.latents(seed, t).values - seed.values
        assert torch.allclose(both.latents(seed, t).values, expected, atol=1e-5)
    assert both.info.name == "mouth + curve"
    pad = combine([manifold, traced(edit, seed)], pad=True)
    corner = pad.latents(seed, torch.tensor([[-1.0, 1.0]])).values
    expected = manifold.latents(seed, -1.0).values + edit.latents(seed, 1.0).values - seed.values
    assert torch.allclose(corner, expected, atol=1e-5)


def test_a_path_of_w_is_traced_from_a_code_of_w_plus_and_shown_there() -> None:
    faces, edit = generator(), flow("w", (8,))
    w, wide = (faces.sample([3], space) for space in ("w", "w+"))
    lattice = traced(edit, wide)
    assert (lattice.info.space, lattice.start) == ("w+", wide)
    assert torch.allclose(lattice.latents(wide, 0.5).values, edit.latents(w, 0.5).values[:, None], atol=1e-5)
    assert combine([made_on(wide), lattice]).info.space == "w+"
    strips = [np.asarray(show(edit, faces, code)).astype(int) for code in (w, wide, 3)]
    assert max(abs(strips[0] - strip).max() for strip in strips) <= 1, "up to the rounding of a batch"


def test_a_flow_can_be_timed_trimmed_lengthened_turned_and_carried_over() -> None:
    faces = generator()
    seed = faces.sample([3], "w+")
    lattice = traced(flow("w+", (1, 8), (1, 4)), seed)
    even = retime(faces, lattice, frames=9)
    pictures = faces.images(even.latents(seed, even.knots[0]))
    steps = (pictures[1:] - pictures[:-1]).square().mean((1, 2, 3)).sqrt()
    zero = int((even.knots[0] == 0).nonzero())
    for side in (steps[:zero], steps[zero:]):
        assert side.max() / side.min() < 1.2
    assert len(trim(faces, lattice).knots[0]) >= 2
    assert float(extrapolate(lattice, 1.5).knots[0][-1]) == pytest.approx(1.5)
    assert torch.allclose(reverse(lattice).latents(seed, 0.5).values, lattice.latents(seed, -0.5).values, atol=1e-5)
    other = faces.sample([4], "w+")
    moved = transfer(lattice, other)
    assert torch.allclose(moved.latents(other, 1.0).values - other.values, lattice.displacement(1.0), atol=1e-5)


def test_offsets_of_some_layers_only_move_these() -> None:
    """A linear path of w+ knows the layers that it moves, not how many there are."""
    knots = torch.tensor([-1.0, 0.0, 1.0])
    offsets = knots[:, None, None] * drawn(2, 8)
    edit = Lattice(offsets, (knots,), EditInfo(space="w+", layers=(1, 3)))
    codes = Latents(drawn(2, 5, 8), "w+")
    moved = edit.latents(codes, torch.tensor([1.0, -0.5])).values - codes.values
    assert torch.allclose(moved[0, 1:3], offsets[2], atol=1e-6)
    assert torch.allclose(moved[1, 1:3], 0.5 * offsets[0], atol=1e-6)
    assert moved[:, [0, 3, 4]].abs().max() == 0
    one = edit.latents(codes[0], torch.tensor([1.0, -0.5])).values
    assert torch.allclose(one[1, 1:3], codes.values[0, 1:3] + 0.5 * offsets[0], atol=1e-6)
    whole = traced(edit, codes[0])
    assert whole.displacements.shape == (3, 5, 8)
    assert torch.allclose(whole.latents(codes[0], 0.3).values, edit.latents(codes[0], 0.3).values, atol=1e-6)
    with pytest.raises(SemanifoldError, match=r"\(2, 8\).*\(5, 7\)"):
        edit.latents(Latents(drawn(1, 5, 7), "w+"), 0.5)


def test_mistakes() -> None:
    edit, info = flow(), EditInfo(space="z")
    good = (drawn(4, 8), torch.ones(4), torch.tensor(0.1), STEP, COUNT)
    cases = [
        (lambda: Flow(good[0], torch.ones(3), *good[2:], info), r"\[3\]"),
        (lambda: Flow(good[0] * torch.inf, *good[1:], info), "finite"),
        (lambda: Flow(*good[:2], torch.tensor(0.0), STEP, COUNT, info), "gamma above 0"),
        (lambda: Flow(*good[:3], 0.0, COUNT, info), "above 0"),
        (lambda: Flow(*good[:3], STEP, 0, info), "at least 1 step"),
        (lambda: edit.latents(Latents(drawn(1, 8), "w"), 0.5), "space z.*in w"),
        (lambda: edit.latents(Latents(drawn(1, 7), "z"), 0.5), r"\(8,\).*\(7,\)"),
        (lambda: edit.latents(Latents(drawn(3, 8), "z"), torch.zeros(2)), "3 codes take one t"),
        (lambda: edit.latents(Latents(drawn(1, 8), "z"), float("nan")), "100 times"),
        (lambda: edit.latents(Latents(drawn(1, 8), "z"), 1e9), "100 times"),
        (lambda: traced(edit, Latents(drawn(2, 8), "z")), "one code at a time"),
        (lambda: traced(combine([made_on(Latents(drawn(1, 5, 8), "w+"))] * 2, pad=True), Latents(drawn(1, 5, 8), "w+")), "2 dim"),
    ]
    for call, words in cases:
        with pytest.raises(SemanifoldError, match=words) as raised:
            call()
        assert "\n" not in str(raised.value)
