"""Ready-made path sets: GANSpace's, SeFa's and given directions, sized by the codes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.generators.features import early_features, first_weights, layer_features
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config
from semanifold.generators.wrapped import wrap
from semanifold.paths.base import PathSetInfo
from semanifold.paths.closed_form import (
    directions_before,
    leading_rows,
    local_paths,
    principal_directions,
    principal_paths,
    regressed_directions,
    sefa_directions,
    sefa_paths,
    sized,
)
from semanifold.paths.files import save_paths
from semanifold.paths.linear import LinearPaths
from semanifold.paths.warped import WarpedPaths

SMALL = StyleGAN2Config(size=16, z_dim=8, w_dim=8, channels=(6, 5, 4))


def conv() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Unflatten(1, (6, 1, 1)), nn.ConvTranspose2d(6, 8, 4), nn.ReLU(), nn.ConvTranspose2d(8, 3, 4, 2, 1)
        )


def unit_columns(paths: LinearPaths) -> Tensor:
    return paths.shift(torch.zeros(len(paths), *paths.shape), torch.arange(len(paths)), 1 / paths.scale)


def test_principal_paths_of_w_reach_three_deviations() -> None:
    generator = StyleGAN2(SMALL)
    paths = principal_paths(generator, k=4)
    assert (paths.info.space, paths.shape, len(paths)) == ("w", (8,), 4)
    assert (paths.info.generator, paths.info.fingerprint) == (generator.name, generator.fingerprint)
    codes = generator.sample(range(4000), "w").values
    expected = principal_directions(codes, 4)
    found = unit_columns(paths).detach()
    assert (found * expected).sum(1).abs().min() > 0.97
    ends = torch.cat([paths[k].latents(generator.sample([0], "w"), 1.0).values for k in range(4)])
    lengths = (ends - generator.sample([0], "w").values).norm(dim=1)
    assert torch.allclose(lengths, 3 * (codes @ found.T).std(0), rtol=0.05)
    assert lengths[0] > lengths[3]


def test_principal_paths_of_some_layers_move_these_alike() -> None:
    generator = StyleGAN2(SMALL)
    paths, wide = principal_paths(generator, "w+", 3, (1, 3)), principal_paths(generator, "w", 3)
    seed = generator.sample([5], "w+")
    moved = paths[1].latents(seed, 1.0).values - seed.values
    assert moved[:, [0, *range(3, seed.values.shape[1])]].abs().max() == 0
    alone = wide[1].latents(generator.sample([5], "w"), 1.0).values - generator.sample([5], "w").values
    assert torch.allclose(moved[0, 1], alone[0], atol=1e-6)
    assert torch.allclose(moved[0, 1], moved[0, 2], atol=1e-6)


def test_regression_finds_what_the_first_layer_sees() -> None:
    """A first layer that stretches two axes of z most: GANSpace's rule for generators without w finds these axes."""
    layer = nn.Linear(5, 2 * 2 * 4)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[0, 3], layer.weight[7, 1], layer.weight[9, 0] = 5.0, 3.0, 0.2
    network = nn.Sequential(layer, nn.Unflatten(1, (4, 2, 2)), nn.Conv2d(4, 3, 1))
    generator = wrap(network, (5,))
    found = unit_columns(principal_paths(generator, k=2)).detach().abs()
    assert torch.allclose(found, torch.eye(5)[[3, 1]], atol=0.15)


def test_sefa_of_a_stylegan2_takes_the_affines_of_the_layers_that_move() -> None:
    generator = StyleGAN2(SMALL)
    paths = sefa_paths(generator, 3, (1, 3))
    assert (paths.info.space, paths.info.layers, paths.shape) == ("w+", (1, 3), (2, 8))
    expected = sefa_directions(generator.affine_maps("w+", (1, 3)), 3)
    assert torch.allclose(unit_columns(paths)[:, 0], expected, atol=1e-5)
    whole = sefa_paths(generator, 3)
    assert whole.info.space == "w"
    every = sefa_directions(generator.affine_maps("w+"), 3)
    assert torch.allclose(unit_columns(whole), every, atol=1e-5)


def test_first_weights_are_those_of_the_layer_itself() -> None:
    generator = wrap(conv(), (6,))
    weight = next(p for p in generator.parameters() if p.ndim == 4)
    assert torch.allclose(first_weights(generator, "z"), weight.flatten(1).T, atol=1e-6)
    found = unit_columns(sefa_paths(generator, 2))
    assert torch.allclose(found, sefa_directions([weight.flatten(1).T], 2), atol=1e-5)
    assert not any(m._forward_pre_hooks for m in generator.modules())


def test_local_paths_keep_given_directions_and_their_layers() -> None:
    generator = StyleGAN2(SMALL)
    layers = generator.shapes["w+"][0]
    vectors = torch.zeros(2, layers, 8)
    vectors[0, 1, 3], vectors[1, 2, 5] = 2.0, -1.0
    paths = local_paths(generator, vectors, "w+", (1, 3))
    assert "Region-Based Semantic Factorization" in paths.info.cite[0]
    assert local_paths(generator, vectors, "w+", method="by hand").info.cite == ()
    seed = generator.sample([1], "w+")
    moved = (paths[1].latents(seed, 1.0).values - seed.values)[0]
    spread = generator.sample(range(3000), "w").values[:, 5].std()
    assert float(moved[2, 5]) == pytest.approx(-3 * float(spread), rel=0.1)
    moved[2, 5] = 0
    assert moved.abs().max() == 0


def test_mistakes() -> None:
    generator = wrap(conv(), (6,))
    plain = wrap(lambda z: z[:, :, None, None].expand(-1, 3, 8, 8), (3,))
    half = wrap(Half(), (6,))
    cases = [
        (lambda: principal_paths(generator, k=7), "1 to 6 such directions, not 7"),
        (lambda: principal_paths(generator), "1 to 6 such directions, not 20"),
        (lambda: sefa_paths(generator), "1 to 6 such directions, not 20"),
        (lambda: principal_paths(generator, k=0), "1 to 6 such directions, not 0"),
        (lambda: principal_paths(generator, "w"), "no latent space 'w'"),
        (lambda: principal_paths(generator, "z", 2, (0, 1)), "in the space w\\+ only"),
        (lambda: principal_paths(StyleGAN2(SMALL), "w+", 2, (3, 99)), "no layers 3:99"),
        (lambda: sefa_paths(plain, 2), "no layers with weights"),
        (lambda: sefa_paths(half, 2), "takes 3"),
        (lambda: local_paths(generator, torch.ones(2, 5), "z"), r"got \[2, 5\]"),
    ]
    for call, words in cases:
        with pytest.raises(SemanifoldError, match=words) as raised:
            call()
        assert "\n" not in str(raised.value)


class Half(nn.Module):
    """A network whose first layer sees half of the code."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3 * 4)

    def forward(self, z: Tensor) -> Tensor:
        return self.layer(z[:, :3]).reshape(-1, 3, 2, 2) + z[:, 3:, None, None]


def test_conditional_codes_of_another_space_are_refused() -> None:
    paths = principal_paths(StyleGAN2(SMALL), k=2)
    with pytest.raises(SemanifoldError, match="space w"):
        paths[0].latents(Latents(torch.zeros(1, 8), "z"), 0.5)


@pytest.mark.parametrize("size", [(9, 5), (5, 9), (6, 6)])
def test_leading_rows_are_the_eigenvectors_of_the_dense_product(size: tuple[int, int]) -> None:
    rows = torch.randn(size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = leading_rows(rows.float(), 3)
    assert found.dtype == torch.float64
    _, strengths, axes = torch.linalg.svd(rows)
    torch.testing.assert_close((found @ axes[:3].T).abs(), torch.eye(3).double(), rtol=0, atol=1e-6)
    torch.testing.assert_close((rows @ found.T).norm(dim=0), strengths[:3], rtol=1e-6, atol=0)


def test_principal_components_and_regressions_are_those_about_the_mean() -> None:
    draw = torch.Generator().manual_seed(1)
    codes = torch.randn(40, 4, generator=draw, dtype=torch.float64) @ torch.diag(torch.tensor([1.0, 3.0, 2.0, 0.5]).double()) + 20
    centred = codes - codes.mean(0)
    axes = torch.linalg.svd(centred)[2]
    torch.testing.assert_close((principal_directions(codes, 2) @ axes[:2].T).abs(), torch.eye(2).double())
    features = 7 + torch.tanh(centred) @ torch.randn(4, 6, generator=draw, dtype=torch.float64)
    spread = features - features.mean(0)
    coordinates = spread @ torch.linalg.svd(spread)[2][:3].T
    solved = torch.linalg.solve(coordinates.T @ coordinates, coordinates.T @ centred)
    wanted = solved / solved.norm(dim=1, keepdim=True)
    found = regressed_directions(codes, features, 3)
    torch.testing.assert_close(found * (found * wanted).sum(1, keepdim=True).sign(), wanted)


def test_rows_of_affine_maps_count_alike_however_long() -> None:
    draw = torch.Generator().manual_seed(2)
    weights = [torch.randn(5, 4, generator=draw), torch.cat([torch.randn(3, 4, generator=draw), torch.zeros(1, 4)])]
    longer = [weights[0] * torch.tensor([1.0, 9.0, 0.1, 2.0, 5.0])[:, None], weights[1]]
    torch.testing.assert_close(sefa_directions(longer, 3), sefa_directions(weights, 3))
    units = torch.nn.functional.normalize(torch.cat(weights), dim=1)
    torch.testing.assert_close(
        (sefa_directions(weights, 4) @ torch.linalg.svd(units)[2].T).abs(), torch.eye(4), rtol=0, atol=1e-5
    )


def test_features_are_the_last_ones_of_every_height_and_no_pictures() -> None:
    generator = wrap(conv(), (6,))
    features = layer_features(generator, generator.sample([0, 1]))
    assert {height: tuple(maps.shape) for height, maps in features.items()} == {4: (2, 8, 4, 4)}
    assert (features[4] >= 0).all(), "rectified: the last of its height"
    wide = wrap(nn.Sequential(nn.Unflatten(1, (6, 1, 1)), nn.ConvTranspose2d(6, 8, (32, 48)), nn.Conv2d(8, 3, 1)), (6,))
    assert tuple(early_features(wide, wide.sample([0])).shape) == (1, 8 * 16 * 16)
    plain = wrap(lambda z: z[:, :, None, None].expand(-1, -1, 4, 5), 3)
    assert early_features(plain, plain.sample([0, 1])).shape == (2, 3 * 4 * 5)


def test_a_conditional_generator_has_principal_paths_of_its_first_class() -> None:
    generator = wrap(lambda z, y: (z * y[:, :1])[:, :, None, None].expand(-1, 3, 4, 4), 3, classes=2, name="two")
    assert len(principal_paths(generator, k=2, samples=64)) == 2


def test_paths_go_three_deviations_of_the_codes_whatever_the_length_of_their_vectors() -> None:
    codes = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 2.0, 1e-9]) + 5
    for length in (1, 7):
        paths = sized(length * torch.eye(3), codes, PathSetInfo())
        reach = paths.info.step * paths.info.count * paths.scale
        torch.testing.assert_close(reach[:2], 3 * codes.std(0)[:2], rtol=1e-4, atol=0)
        assert float(reach[2] / reach[1]) == pytest.approx(1e-3), "codes never move there: a thousandth of the longest"
    layered = torch.stack([codes, 3 * codes], 1)
    both = sized(torch.tensor([[[1.0, 0, 0], [1.0, 0, 0]]]), layered, PathSetInfo(space="w+"))
    wanted = 3 * float((layered[:, :, 0] / 2**0.5).var(0).sum().sqrt())
    assert float(both.info.step * both.info.count * both.scale[0]) == pytest.approx(wanted, rel=1e-4)


def test_no_more_directions_than_rows_or_columns() -> None:
    narrow = wrap(nn.Sequential(nn.Linear(8, 3), nn.Unflatten(1, (3, 1, 1)), nn.Upsample(4)), 8)
    assert len(sefa_paths(narrow, 3)) == 3
    with pytest.raises(SemanifoldError, match="1 to 3 such directions"):
        sefa_paths(narrow, 4)
    assert len(principal_paths(narrow, k=3, samples=16)) == 3
    with pytest.raises(SemanifoldError, match="vary in 3 ways only, but 4 directions"):
        principal_paths(narrow, k=4, samples=16)
    with pytest.raises(SemanifoldError, match="1 to 2 such directions"):
        principal_paths(narrow, k=3, samples=3)


def test_principal_paths_of_s_are_the_components_of_its_codes() -> None:
    generator = StyleGAN2(SMALL)
    found = unit_columns(principal_paths(generator, "s", 3, samples=256)).detach()
    codes = generator.convert(generator.example(range(4000), "w"), "s").values
    wanted = principal_directions(codes, 3)
    assert (found * wanted).sum(1).abs().min() > 0.9
    assert len(principal_paths(generator, "s", 1, samples=16)) == 1


def test_directions_are_taken_again_only_if_they_are_straight_and_of_this_generator(tmp_path: Path) -> None:
    generator = wrap(conv(), (6,))
    file, paths = tmp_path / "paths.safetensors", principal_paths(generator, k=2, samples=64)
    assert directions_before(file, generator) is None
    save_paths(paths, file)
    again = directions_before(file, generator)
    assert again is not None
    assert torch.equal(unit_columns(again), unit_columns(paths))
    assert directions_before(file, StyleGAN2(SMALL)) is None
    save_paths(WarpedPaths.create(2, 2, (6,), paths.info), file)
    assert directions_before(file, generator) is None


def test_leading_rows_of_rows_that_repeat_are_finite() -> None:
    rows = torch.tensor([[1.0, 2.0, 0.0, 0.0], [1.0, 2.0, 0.0, 0.0], [3.0, 6.0, 0.0, 0.0]])
    found = leading_rows(rows, 3)
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found[0].abs(), torch.tensor([1.0, 2.0, 0.0, 0.0]).double() / 5**0.5)
