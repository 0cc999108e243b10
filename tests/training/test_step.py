"""One iteration: against the numbers of the published code, what is kept in the graph, the mask term, the draws."""

import math

import pytest
import torch
from support.formula_weights import formula_state
from support.reference import GRADIENTS, REFERENCE, agree, described, numbers
from support.small_training import quick, straight, warped, world
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.generators.loading import load_generator
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config
from semanifold.generators.wrapped import wrap
from semanifold.images.masks import box
from semanifold.paths.base import PathSetInfo
from semanifold.paths.warped import WarpedPaths
from semanifold.training.draws import Draw, check_prior, cut_normal, draw_step, prior_codes
from semanifold.training.reconstructor import make_reconstructor
from semanifold.training.settings import Prior, TrainingSettings
from semanifold.training.state import adam
from semanifold.training.step import TrainingStep, change_outside, run_step


def test_one_iteration_equals_the_published_one() -> None:
    config, expected = described("warped_train_step")["config"], numbers("warped_train_step")
    generator = load_generator(REFERENCE / config["generator"].split()[0])
    start = torch.load(REFERENCE / "warped_train_step" / "support_sets_init.pt", weights_only=True)
    sets, size = config["num_support_sets"], config["support_vectors_dim"]
    paths = WarpedPaths(
        start["SUPPORT_SETS"].reshape(sets, -1, size),
        start["ALPHAS"],
        start["LOGGAMMA"].reshape(-1),
        (size,),
        PathSetInfo(),
        learn_alphas=config["learn_alphas"],
        learn_gammas=config["learn_gammas"],
    )
    table = config["reconstructor"]
    reconstructor = make_reconstructor(table["type"], table["dim"], table["channels"])
    assert list(reconstructor.state_dict()) == list(table["state_dict"])
    reconstructor.load_state_dict(formula_state(table))
    reconstructor.train()

    rate = config["adam_lr"]
    settings = TrainingSettings(lambda_cls=config["lambda_cls"], lambda_reg=config["lambda_reg"])
    z = Latents(expected["z"], "z")
    draw = Draw(z, expected["index"], expected["magnitude_target"])
    agree(paths.shift(z.values, draw.index, draw.magnitude), expected["shift"])
    agree(paths.shifted_images(generator, z, draw.index, draw.magnitude)[:1], expected["img_shifted_first"])

    loss, row = run_step(TrainingStep(generator, paths, reconstructor, settings), draw)
    agree(row[[1, 2, 4]], expected["losses"])
    loss.backward()
    gradients = dict(reconstructor.named_parameters())
    learned = {"SUPPORT_SETS": paths.support, "ALPHAS": paths.alphas, "LOGGAMMA": paths.log_gamma}
    learned = {key: value for key, value in learned.items() if value.requires_grad}
    for key, value in learned.items():
        theirs = expected[f"grad_{key}"]
        agree(grad(value).reshape(theirs.shape), theirs, GRADIENTS)
    agree(grad(gradients["feature_extractor.0.weight"]), expected["grad_R_conv0"], GRADIENTS)
    agree(grad(gradients["path_indices.3.weight"]), expected["grad_R_path_head"], GRADIENTS)
    agree(grad(gradients["shift_magnitudes.3.weight"]), expected["grad_R_shift_head"], GRADIENTS)
    agree(reconstructor.state_dict()["feature_extractor.1.running_mean"], expected["bn0_running_mean_after"])
    optimiser = adam(paths, rate)
    assert optimiser is not None
    optimiser.step()
    for key, value in learned.items():
        slope, after = expected[f"grad_{key}"].abs(), expected[f"{key}_after"]
        apart = (value.detach().reshape(after.shape) - after).abs()
        assert apart[slope > 1e-3 * slope.max()].max() <= 1e-6
        assert apart.max() <= 2 * rate


def grad(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


# ------------------------------------------------------------------------------------------------- the graph


class Counting(torch.nn.Module):
    """A network that notes whether each call keeps a graph."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(32 * 32, 4, generator=torch.Generator().manual_seed(0)))
        self.calls: list[bool] = []

    def forward(self, z: Tensor) -> Tensor:
        picture = (z @ self.weight.T).reshape(-1, 1, 32, 32).tanh()
        self.calls.append(picture.requires_grad)
        return picture


def test_the_unshifted_picture_keeps_no_graph_and_the_generator_no_gradient() -> None:
    generator = wrap(Counting(), (4,))
    network = generator.network  # type: ignore[attr-defined]
    network.calls.clear()
    step = TrainingStep(generator, warped(), make_reconstructor("lenet", 4, 1), quick())
    loss, row = run_step(step, draw_step(generator, Prior(), 4, (0.3, 0.9), 8, torch.Generator().manual_seed(0)))
    loss.backward()
    assert network.calls == [False, True]
    assert network.weight.grad is None
    assert not row.requires_grad
    assert grad(step.paths.support).abs().max() > 0  # type: ignore[arg-type]
    assert not any("frozen" in name or "network" in name for name, _ in step.named_parameters())


def test_pairs_that_share_a_code_have_its_picture_once_and_one_graph() -> None:
    generator = wrap(Counting(), (4,))
    network = generator.network  # type: ignore[attr-defined]
    draw = draw_step(generator, Prior(), 4, (0.3, 0.9), 8, torch.Generator().manual_seed(0), 4)
    assert len(draw.latents.values.unique(dim=0)) == 2
    assert all(torch.equal(draw.latents.values[i], draw.latents.values[i // 4 * 4]) for i in range(8))
    assert len(draw.magnitude.unique()) == 8
    parts = warped(), make_reconstructor("lenet", 4, 1)
    _, each = run_step(TrainingStep(generator, *parts, quick()), draw)
    network.calls.clear()
    _, row = run_step(TrainingStep(generator, *parts, quick(pairs_per_code=4)), draw)
    assert network.calls == [True, False]
    assert torch.allclose(row, each, atol=1e-5)


def test_one_picture_of_a_code_stands_for_all_of_them() -> None:
    """The mean of the paths' gradients, each of the pairs being the first in turn, is that of all; the reconstructor has all."""
    generator, paths, reconstructor = world(), warped(), make_reconstructor("lenet", 4, 1)
    draw = draw_step(generator, Prior(), 4, (0.3, 0.9), 12, torch.Generator().manual_seed(0), 3)

    def gradients(each: int, turn: int) -> tuple[Tensor, Tensor]:
        paths.zero_grad()
        reconstructor.zero_grad()
        order = torch.arange(12).reshape(-1, 3).roll(turn, 1).flatten()
        turned = Draw(draw.latents[order], draw.index[order], draw.magnitude[order])
        run_step(TrainingStep(generator, paths, reconstructor, quick(pairs_per_code=each)), turned)[0].backward()
        return grad(paths.support).clone(), grad(reconstructor.stem.weight).clone()

    whole, parts = gradients(0, 0), [gradients(3, turn) for turn in range(3)]
    agree(torch.stack([support for support, _ in parts]).mean(0), whole[0], GRADIENTS)
    assert not torch.allclose(parts[0][0], whole[0], rtol=0.1)
    for _, stem in parts:
        agree(stem, whole[1], GRADIENTS)


# ------------------------------------------------------------------------------------------------- the mask


def test_change_outside_is_the_share_of_squared_change() -> None:
    before, after = torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 8, 8)
    after[0, :, :, :4] = 1.0  # all inside
    after[1, :, :, 2:6] = 2.0  # half of it inside
    outside = 1 - box(0, 0, 0.5, 1).at(8, 8)
    assert float(change_outside(before, after, outside)) == pytest.approx((0 + 0.5) / 2, abs=1e-6)
    assert float(change_outside(before, before, outside)) == 0


@pytest.mark.parametrize("make", [warped, straight])
def test_the_mask_term_leads_paths_into_the_mask(make) -> None:
    generator, mask = world(), box(0, 0, 1, 0.5)
    paths, reconstructor = make(), make_reconstructor("lenet", 4, 1, seed=1)
    settings = quick(lambda_cls=0, lambda_reg=0, lambda_mask=1.0)
    step, optimiser = TrainingStep(generator, paths, reconstructor, settings, mask), adam(paths, 0.02)
    assert optimiser is not None
    draw = torch.Generator().manual_seed(0)
    strays = []
    for _ in range(30):
        loss, row = run_step(step, draw_step(generator, Prior(), 4, (0.3, 0.9), 64, draw))
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        assert float(loss.detach()) == pytest.approx(float(row[3]))
        strays.append(float(row[3]))
    assert sum(strays[-5:]) < 0.9 * sum(strays[:5])


# ------------------------------------------------------------------------------------------------- the draws


def test_signs_are_fair_and_lengths_and_paths_uniform() -> None:
    some = draw_step(world(), Prior(), 5, (0.2, 0.6), 40_000, torch.Generator().manual_seed(3))
    n = len(some)
    assert float((some.magnitude > 0).float().mean()) == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(n))
    lengths = some.magnitude.abs()
    assert 0.2 <= float(lengths.min()) < 0.201
    assert 0.599 < float(lengths.max()) <= 0.6
    assert float(lengths.mean()) == pytest.approx(0.4, abs=0.003)
    assert torch.bincount(some.index, minlength=5).float().div(n).sub(0.2).abs().max() < 0.01
    assert torch.stack([(some.magnitude[some.index == k] > 0).float().mean() for k in range(5)]).sub(0.5).abs().max() < 0.03


def test_draws_follow_the_generator_of_randomness_alone() -> None:
    before = torch.get_rng_state()
    one, same = (draw_step(world(), Prior(), 4, (0.2, 0.6), 8, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one.latents.values, same.latents.values)
    assert torch.equal(one.magnitude, same.magnitude)
    assert torch.equal(torch.get_rng_state(), before)
    parts = [one.part(i, 4) for i in range(4)]
    assert torch.equal(torch.cat([part.index for part in parts]), one.index)
    assert torch.equal(torch.cat([part.latents.values for part in parts]), one.latents.values)


def test_a_generator_keeps_its_own_prior() -> None:
    uniform = wrap(lambda z: z[:, :1, None, None].expand(-1, 1, 32, 32), (4,), prior="uniform")
    codes = prior_codes(Prior(), uniform, 2000, torch.Generator().manual_seed(0)).values
    assert 0.99 < float(codes.abs().max()) <= 1
    assert float(codes.std()) == pytest.approx(3**-0.5, abs=0.02)


def test_cut_codes_are_a_cut_normal_distribution() -> None:
    values = cut_normal((200_000,), 0.7, torch.Generator().manual_seed(0))
    assert float(values.abs().max()) <= 0.7
    # variance of a normal cut to [-t, t]: 1 - 2 t phi(t) / (2 Phi(t) - 1)
    phi, mass = math.exp(-0.245) / math.sqrt(2 * math.pi), math.erf(0.7 / math.sqrt(2))
    assert float(values.var()) == pytest.approx(1 - 2 * 0.7 * phi / mass, rel=0.01)
    codes = prior_codes(Prior(z_truncation=0.5), world(), 100, torch.Generator().manual_seed(0)).values
    assert float(codes.abs().max()) <= 0.5


@pytest.fixture(scope="module")
def conditional() -> StyleGAN2:
    return StyleGAN2(StyleGAN2Config(8, 6, 5, (4, 4), mapping_layers=2, classes=3))


def test_classes_stay_with_their_samples(conditional: StyleGAN2) -> None:
    draw = torch.Generator().manual_seed(0)
    codes = prior_codes(Prior("z", classes=(0, 2)), conditional, 400, draw)
    assert codes.labels is not None
    counts = codes.labels.sum(0)
    assert counts[1] == 0
    assert abs(float(counts[0]) - 200) < 45
    everything = prior_codes(Prior("z"), conditional, 60, draw)
    assert everything.labels is not None
    assert (everything.labels.sum(0) > 0).all()
    paths = WarpedPaths.create(2, 2, (6,), PathSetInfo())
    moved = paths.shifted(codes, torch.zeros(400, dtype=torch.long), torch.ones(400))
    assert moved.labels is not None
    assert torch.equal(moved.labels, codes.labels)


def test_psi_pulls_codes_of_w(conditional: StyleGAN2) -> None:
    free = prior_codes(Prior("w"), conditional, 8, torch.Generator().manual_seed(0)).values
    pulled = prior_codes(Prior("w", psi=0.7), conditional, 8, torch.Generator().manual_seed(0)).values
    assert torch.allclose(pulled, conditional.w_avg + 0.7 * (free - conditional.w_avg), atol=1e-6)
    wide = prior_codes(Prior("w+", psi=0.7), conditional, 8, torch.Generator().manual_seed(0)).values
    assert torch.allclose(wide, pulled[:, None].expand_as(wide), atol=1e-6)
    assert not free.requires_grad


@pytest.mark.parametrize(
    ("prior", "says"),
    [
        (Prior("w"), "no latent space 'w'"),
        (Prior(psi=0.7), "no mean to truncate"),
        (Prior(z_truncation=0.0), "above 0"),
        (Prior(classes=(1,)), "not class-conditional"),
    ],
)
def test_a_prior_that_does_not_fit_is_refused(prior: Prior, says: str) -> None:
    with pytest.raises(SemanifoldError, match=says):
        check_prior(prior, world())


def test_priors_that_a_conditional_generator_refuses(conditional: StyleGAN2) -> None:
    for prior, says in ((Prior(classes=(3,)), "no class 3"), (Prior("z", psi=0.7), "codes of w"), (Prior("w", psi=9.0), "psi")):
        with pytest.raises(SemanifoldError, match=says):
            check_prior(prior, conditional)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"min_magnitude": 0.5, "max_magnitude": 0.2}, "got 0.5 to 0.2"),
        ({"min_magnitude": -0.1}, "-0.1 to"),
        ({"min_magnitude": 0.0, "max_magnitude": 0.0}, "got 0 to 0"),
        ({"batch": 0}, "batch must be at least 1"),
        ({"batch": 10**9}, r"at most 1,048,576 \(samples"),
        ({"iterations": 0}, "iterations must be at least 1"),
        ({"lambda_mask": -1.0}, "lambda_mask must be at least 0"),
        ({"precision": "fp16"}, "float32 or bf16"),
        ({"decay": 2.0}, "share of the iterations"),
        ({"seed": -(2**63)}, "seed"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes: dict, says: str) -> None:
    with pytest.raises(SemanifoldError, match=says):
        quick(**changes)


def test_a_batch_is_divided_evenly_or_not_at_all() -> None:
    assert quick(batch=24, accumulate=3).share(2) == 4
    for settings, processes in ((quick(batch=10), 4), (quick(batch=6, accumulate=4), 1), (quick(batch=1), 1)):
        with pytest.raises(SemanifoldError, match="cannot be divided"):
            settings.share(processes)
    with pytest.raises(SemanifoldError, match="4 pairs share a code, but 6 of a batch are worked on at a time"):
        quick(batch=24, accumulate=2, pairs_per_code=4).share(2)


def test_the_rates_fall_at_the_end_only() -> None:
    settings = quick(iterations=100, decay=0.25)
    assert [settings.rate(i) for i in (0, 75)] == [1.0, 1.0]
    assert settings.rate(99) == pytest.approx(0.04)
    assert quick().rate(11) == 1.0
