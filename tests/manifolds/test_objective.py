"""Springs, valleys, masks and the whole objective: theorems, the plain version, and the published code's numbers."""

from dataclasses import replace

import pytest
import torch
from support.formula_weights import lpips_with_formula_weights
from support.reference import GRADIENTS, REFERENCE, described, numbers
from support.reference import agree as close
from support.small_world import SmallWorld
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.core.minimise import begin, lbfgs_step
from semanifold.generators.loading import load_generator
from semanifold.images.distances import l2, lpips_from
from semanifold.images.masks import box
from semanifold.images.metrics import inside_change, outside_change
from semanifold.manifolds import ManifoldSettings, paper_settings
from semanifold.manifolds.layout import layout_of, springs_of
from semanifold.manifolds.objective import Objective, cropped_parts, kinked_valley, pasted_parts, round_valley, spring_energy

CONFIG = described("masked_manifold")["config"]


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    return numbers("masked_manifold")


def objective(n: int = 7, *, seed: int = 0, **changes) -> tuple[Objective, Tensor]:
    """A float64 objective in the small world, and offsets of its free frames."""
    world = SmallWorld(torch.float64)
    settings = ManifoldSettings(frames=n, **changes.pop("settings", {}))
    start = Latents(world.sample([seed]).values.double(), "z")
    with torch.no_grad():
        reference = world.images(start)
    parts = pasted_parts(box(0, 0.5, 1, 1).at(16, 16), reference, l2)
    made = Objective(
        world, start, None, layout_of(settings, n), parts, 0.05, 0.2, 1.0, 4.0, image_unit=0.05, spring_unit=0.04, width=0.005
    )
    free = 0.3 * torch.randn(len(made.layout.free), 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return replace(made, **changes), free


def test_springs_are_at_rest_on_an_even_straight_line() -> None:
    line = torch.arange(6, dtype=torch.float64)[:, None] * torch.tensor([0.6, 0.8], dtype=torch.float64)
    assert spring_energy(line, springs_of((6,), {1: 1.0, 2: 1.0, 3: 1.0}), 1.0).max() < 1e-20
    sheet = torch.cartesian_prod(torch.arange(4.0), torch.arange(4.0))
    assert spring_energy(sheet, springs_of((4, 4), {1: 1.0, 2: 1.0}), 1.0).max() < 1e-12


def test_springs_do_not_see_a_translation_or_a_rotation() -> None:
    codes, springs = torch.randn(8, 5, dtype=torch.float64), springs_of((8,), {1: 0.3, 2: 0.1}, closed=True)
    turn = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64))[0]
    energy = spring_energy(codes, springs, 0.7)
    torch.testing.assert_close(spring_energy(codes + torch.randn(5), springs, 0.7), energy)
    torch.testing.assert_close(spring_energy(codes @ turn, springs, 0.7), energy)


def test_springs_are_the_plain_sum() -> None:
    codes = torch.randn(5, 3)
    plain = sum(0.3 * ((codes[i + 1] - codes[i]).norm() - 2) ** 2 for i in range(4))
    plain = plain + sum(0.1 * ((codes[i + 2] - codes[i]).norm() - 4) ** 2 for i in range(3))
    torch.testing.assert_close(spring_energy(codes, springs_of((5,), {1: 0.3, 2: 0.1}), 2.0).sum(), plain)
    closed = spring_energy(codes, springs_of((5,), {1: 1.0}, closed=True), 2.0)
    torch.testing.assert_close(closed[-1], ((codes[0] - codes[4]).norm() - 2) ** 2)


def test_gradients_are_finite_where_the_published_ones_are_not() -> None:
    codes = torch.zeros(4, 3, requires_grad=True)
    spring_energy(codes, springs_of((4,), {1: 1.0, 2: 1.0}), 1.0).sum().backward()
    distance = torch.tensor([0.25, 0.5], requires_grad=True)
    kinked_valley(distance, 0.25, 0.0).sum().backward()
    assert codes.grad is not None
    assert distance.grad is not None
    assert torch.isfinite(codes.grad).all()
    assert distance.grad.tolist() == [0.0, 1.0]


def test_the_rounded_kink_approaches_the_kink() -> None:
    distance = torch.linspace(0, 1, 11, dtype=torch.float64)
    for kink in (1e-1, 1e-3, 1e-6):
        assert (kinked_valley(distance, 0.3, kink) - (distance - 0.3).abs()).abs().max() <= kink
    inner = torch.linspace(0.29, 0.31, 11, dtype=torch.float64)
    torch.testing.assert_close(round_valley(inner, 0.3, 0.1), kinked_valley(inner, 0.3, 0.1), rtol=1e-2, atol=1e-9)


def test_pasting_splits_the_mean_square_of_a_hard_mask() -> None:
    reference, images = torch.rand(1, 3, 8, 8), torch.rand(4, 3, 8, 8)
    mask = box(0.25, 0.5, 0.75, 1).at(8, 8)
    inside, outside = pasted_parts(mask, reference, l2)(images)
    area = float(mask.mean())
    torch.testing.assert_close(area * inside + (1 - area) * outside, l2(images, reference))
    torch.testing.assert_close(inside, (images - reference)[..., 4:, 2:6].square().mean((1, 2, 3)))


def test_a_soft_pixel_counts_on_both_sides_by_its_share() -> None:
    reference, images = torch.rand(1, 3, 8, 8), torch.rand(4, 3, 8, 8)
    mask = torch.linspace(0, 1, 64).reshape(1, 1, 8, 8)
    inside, outside = pasted_parts(mask, reference, l2)(images)
    torch.testing.assert_close(inside.sqrt(), inside_change(images, reference, mask))
    torch.testing.assert_close(outside.sqrt(), outside_change(images, reference, mask))


def test_what_is_pasted_is_the_picture_and_not_its_mirror_image() -> None:
    """A distance that tells brighter from darker, as mean squares do not."""
    reference = torch.rand(1, 3, 8, 8)
    brighter = reference + torch.tensor([0.1, 0.3])[:, None, None, None]
    parts = pasted_parts(box(0.25, 0.5, 0.75, 1).at(8, 8), reference, lambda images, other: (images - other).mean((1, 2, 3)))
    for side in parts(brighter):
        torch.testing.assert_close(side, torch.tensor([0.1, 0.3]))


def test_crops_and_pastes_agree_for_mean_squares() -> None:
    reference, images = torch.rand(1, 3, 8, 8), torch.rand(4, 3, 8, 8)
    mask = box(0.25, 0.5, 0.75, 1)
    for found, expected in zip(
        cropped_parts(mask.rectangle(8, 8), reference, l2)(images), pasted_parts(mask.at(8, 8), reference, l2)(images)
    ):
        assert torch.isfinite(found).all(), "a box at the border is NaN in the published code"
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("valley", [round_valley, kinked_valley])
@pytest.mark.parametrize("schedule", ["out", "constant"])
def test_the_gradient_is_that_of_finite_differences(valley, schedule: str) -> None:
    function, free = objective(settings={"schedule": schedule}, valley=valley)
    gradient, step = function(free).gradient, 1e-6
    direction = torch.randn(free.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    difference = (function(free + step * direction).value - function(free - step * direction).value) / (2 * step)
    assert difference == pytest.approx(float((gradient * direction).sum()), rel=1e-6)


@pytest.mark.parametrize("chunk", [1, 3, 5])
def test_chunks_change_nothing(chunk: int) -> None:
    whole, free = objective(chunk=100)
    parts = replace(whole, chunk=chunk)(free)
    assert parts.value == pytest.approx(whole(free).value, rel=1e-12)
    torch.testing.assert_close(parts.gradient, whole(free).gradient)


@pytest.mark.parametrize("case", CONFIG["springs"]["cases"])
def test_springs_equal_the_published_ones(case: str, published: dict[str, Tensor]) -> None:
    config = CONFIG["springs"]
    layers = slice(config["cases"][case]["layer_start"], config["cases"][case]["layer_end"])
    codes = published[case.rsplit("/", 1)[0]].clone().requires_grad_()
    springs = springs_of((config["n"],), {1: config["alpha"], 2: config["beta"]})
    energies = spring_energy(codes[:, layers], springs, config["sigma"])
    close(torch.stack([energies[springs.orders == k].sum() for k in (1, 2)]).detach(), published[f"{case}/energies"])
    close(torch.autograd.grad(energies.sum(), codes)[0], published[f"{case}/grad"], GRADIENTS)


@pytest.mark.parametrize("case", CONFIG["mask_loss"]["cases"])
def test_regions_equal_the_published_ones(case: str, published: dict[str, Tensor]) -> None:
    config, family = CONFIG["mask_loss"]["cases"][case], case.split("/", maxsplit=1)[0]
    distance = raw_lpips(family.removeprefix("lpips_")) if family.startswith("lpips_") else l2
    image = published[f"{family}/image"].clone().requires_grad_()
    inside, outside = cropped_parts(tuple(config["rect"]), published[f"{family}/target"], distance)(image)
    terms = torch.cat([config["gamma"] * outside, config["gamma"] * kinked_valley(inside, config["offset"], 0.0)])
    close(terms.detach(), published[f"{case}/losses"])
    close(inside.detach()[0], published[f"{case}/raw"][0])
    close(torch.autograd.grad(terms[0], image, retain_graph=True)[0], published[f"{case}/grad_unmask"], GRADIENTS)
    close(torch.autograd.grad(terms[1], image)[0], published[f"{case}/grad_mask"], GRADIENTS)


def raw_lpips(net: str):
    """LPIPS on crops as they are: the published code does not enlarge small ones."""
    model = lpips_with_formula_weights(net, CONFIG["lpips"]["nets"][net]).eval().requires_grad_(False)
    lpips_from(model)
    return lambda images, reference: model(images, reference).flatten()


def test_the_whole_objective_and_its_descent_equal_the_published_ones(published: dict[str, Tensor]) -> None:
    config = CONFIG["objective"]
    generator = load_generator(REFERENCE / config["generator"])
    layers = (config["layer_start"], config["layer_end"])
    settings = paper_settings(
        frames=config["n"], layers=layers, springs={1: config["alpha"], 2: config["beta"]}, alpha=config["gamma"]
    )
    layout = layout_of(settings, config["n"])
    seed = Latents(published["objective/latent_in"], "w+")
    reference = generator.images(seed)
    close(reference, published["objective/target"])
    function = Objective(
        generator, seed, layers, layout, cropped_parts(tuple(config["rect"]), reference, l2), config["offset"], config["sigma"],
        settings.alpha, settings.outside, valley=kinked_valley, width=0.0,
    )  # fmt: skip
    free = (published["objective/latents"] - published["objective/latent_in"])[:, slice(*layers)]
    at = function(free)
    assert at.value == pytest.approx(float(published["objective/loss"]), rel=1e-5)
    close(at.gradient, published["objective/grad"][:, slice(*layers)], GRADIENTS)
    terms = function.images(free)
    per_code = torch.stack([config["gamma"] * terms[3], terms[0] - config["gamma"] * terms[3]], dim=1)
    close(per_code, published["objective/per_code"])
    springs = spring_energy(free, layout.springs, config["sigma"])
    sums = [springs[layout.springs.orders == k].sum() for k in (1, 2)]
    close(torch.stack([*sums, *per_code.sum(0)]), published["objective/terms"])
    state = begin(function, free)
    for _ in range(8):
        state = lbfgs_step(function, state, line_search=False)
    assert state.at.value == pytest.approx(float(published["objective/loss_after"]), rel=1e-3)
    after = (published["objective/latents_after"] - published["objective/latent_in"])[:, slice(*layers)]
    assert (state.x - after).abs().max() <= 1e-3 * published["objective/latents_after"].abs().max()


def test_the_paper_split_refuses_a_box_without_an_outside() -> None:
    with pytest.raises(SemanifoldError, match="nothing inside or nothing outside"):
        cropped_parts((0, 8, 0, 8), torch.zeros(1, 3, 8, 8), l2)


@pytest.mark.parametrize("rectangle", [(3, 3, 0, 4), (0, 4, 5, 5), (4, 3, 0, 4)])
def test_the_paper_split_refuses_an_empty_box(rectangle: tuple[int, int, int, int]) -> None:
    with pytest.raises(SemanifoldError, match="nothing inside"):
        cropped_parts(rectangle, torch.zeros(1, 3, 8, 8), l2)
    inside, outside = cropped_parts((2, 3, 4, 5), torch.zeros(1, 3, 8, 8), l2)(torch.ones(1, 3, 8, 8))
    assert (float(inside), float(outside)) == pytest.approx((1, 1)), "one pixel is a box"


@pytest.mark.parametrize("valley", [round_valley, kinked_valley])
def test_the_value_is_the_formula_with_its_weights_and_units(valley) -> None:
    function, free = objective(
        4, valley=valley, alpha=0.5, outside=3.0, offset=0.07, width=0.02, sigma=0.3, image_unit=0.4, spring_unit=0.09
    )
    pictures = function.generator.images(function.start.moved(free))
    inside, outside = function.parts(pictures)
    wanted = 0.07 * function.layout.targets[function.layout.free]
    off = inside - wanted
    floor = off.square() / (2 * 0.02) if valley is round_valley else (off.square() + 0.02**2).sqrt() - 0.02
    springs = function.layout.springs
    codes = function.layout.spread(free)
    lengths = torch.stack([(codes[a] - codes[b]).norm() for a, b in springs.pairs.tolist()])
    energy = float((springs.weights * (lengths - springs.orders * 0.3).square()).sum() / 0.09)
    image = float((0.5 * (floor + 3.0 * outside) / 0.4).sum())
    found = function(free)
    assert found.value == pytest.approx(image + energy, rel=1e-6)
    assert found.terms == pytest.approx(
        {"inside": float(inside.mean()), "outside": float(outside.mean()), "spring": energy, "objective": found.value}, rel=1e-6
    )
