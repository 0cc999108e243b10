"""The space of styles: the same pictures as the codes that it is made of, its numbering, and its natural coordinates."""

from __future__ import annotations

import pytest
import torch
from support.small_stylegan2 import ARCHITECTURES, codes, make
from torch.func import jvp, vjp

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.generators.coordinates import affine_root, natural_coordinates, spread_rows
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_pictures_of_styles_are_those_of_their_codes(architecture: str, double: bool) -> None:
    for generator in (make(architecture, double=double), make(architecture, double=double, clamp=0.8).requires_grad_(True)):
        latents = codes(generator, 3)
        styles = generator.convert(latents, "s")
        assert styles.values.shape[1:] == generator.shapes["s"]
        for size in (4, 16, 32):
            assert torch.equal(generator.images(styles, size=size), generator.images(latents, size=size))
    w = generator.sample([3, 4], "w")
    torch.testing.assert_close(generator.images(generator.convert(w, "s")), generator.images(w))
    assert generator.sample([3, 4], "s") == generator.convert(w, "s")


def test_fast_convolutions_take_styles() -> None:
    generator = StyleGAN2(
        StyleGAN2Config(64, 8, 8, (16, 16, 16, 128, 128), mapping_layers=2)
    )  # float32, wide enough for Winograd
    latents = codes(generator, 2)
    assert torch.equal(generator.images(generator.convert(latents, "s")), generator.images(latents))


def test_derivatives() -> None:
    generator = make()
    styles = generator.convert(codes(generator, 1), "s").values
    step = torch.randn(styles.shape, dtype=styles.dtype, generator=torch.Generator().manual_seed(2))

    def pictures(values: torch.Tensor) -> torch.Tensor:
        return generator.images(Latents(values, "s"))

    _, forward = jvp(pictures, (styles,), (step,))
    numeric = (pictures(styles + 1e-5 * step) - pictures(styles - 1e-5 * step)) / 2e-5
    torch.testing.assert_close(forward, numeric, rtol=1e-5, atol=1e-6)
    toward = torch.randn_like(forward)
    (back,) = vjp(pictures, styles)[1](toward)
    torch.testing.assert_close((back * step).sum(), (forward * toward).sum())


def test_channels_are_numbered_as_layers_are_computed() -> None:
    generator = make()  # channels 10, 8, 6, 4
    assert [layer.channels for layer in generator.layers] == [10, 10, 10, 8, 8, 8, 6, 6, 6, 4, 4]
    assert [layer.kind for layer in generator.layers[:5]] == ["conv", "colour", "up", "conv", "colour"]
    assert generator.channel_index("0_0") == 0
    assert generator.channel_index("3_2") == 32
    (total,) = generator.shapes["s"]
    names = [generator.channel_name(index) for index in range(total)]
    assert [generator.channel_index(name) for name in names] == list(range(total))
    assert (names[0], names[32], names[-1]) == ("0_0", "3_2", "10_3")
    styles = generator.convert(codes(generator, 1), "s")
    for name, first in (("1_4", 4), ("3_2", 8), ("6_1", 16), ("10_3", 32)):
        moved = styles.with_values(styles.values.clone())
        moved.values[:, generator.channel_index(name)] += 1
        differs = [
            not torch.equal(generator.images(moved, size=size), generator.images(styles, size=size)) for size in (4, 8, 16, 32)
        ]
        assert differs == [size >= first for size in (4, 8, 16, 32)]


@pytest.mark.parametrize(
    ("name", "words"),
    [("11_0", r"layers 0\.\.10"), ("3_8", "channels 3_0 to 3_7"), ("mouth", "such as 6_12"), ("-1_0", "such as 6_12")],
)
def test_channels_that_are_not_there(name: str, words: str) -> None:
    with pytest.raises(SemanifoldError, match=words):
        make().channel_index(name)


def test_places_that_are_not_there() -> None:
    for index in (-1, 80):
        with pytest.raises(SemanifoldError, match=r"places 0\.\.79"):
            make().channel_name(index)


def test_truncation_of_styles_is_that_of_codes() -> None:
    generator = make()
    latents = codes(generator, 2)
    for cutoff in (None, 3):
        expected = generator.convert(generator.truncate(latents, 0.3, cutoff), "s").values
        torch.testing.assert_close(generator.truncate(generator.convert(latents, "s"), 0.3, cutoff).values, expected)
    torch.testing.assert_close(
        generator.sample([5], "s", truncation=0.5).values,
        generator.convert(generator.sample([5], truncation=0.5), "s").values,
    )


def test_nothing_leads_back_from_styles() -> None:
    generator = make(classes=3)
    styles = generator.sample([1], "s", labels=2)
    assert styles.labels is not None
    for space in ("z", "w", "w+"):
        with pytest.raises(SemanifoldError, match=f"no way from space s to {space}"):
            generator.convert(styles, space)
    assert generator.search_space == "w+"


def test_a_change_of_the_affine_maps_leaves_pictures_of_styles() -> None:
    generator = make()
    styles = generator.convert(codes(generator, 1), "s")
    other = generator.with_weights({"convs.1.affine": generator.state_dict()["convs.1.affine.weight"] * 2})
    assert torch.equal(other.images(styles), generator.images(styles))
    assert not torch.equal(other.convert(codes(generator, 1), "s").values, styles.values)


@pytest.mark.parametrize("independence", [0.0, 0.2, 1.0])
def test_natural_coordinates_equal_the_dense_root(independence: float) -> None:
    generator = make()
    w = generator.sample(range(500), "w").values
    rows = spread_rows(generator, "s", w)
    covariance = torch.cov(generator.convert(Latents(w, "w"), "s").values.T)
    torch.testing.assert_close(rows.T @ rows, covariance, rtol=1e-6, atol=1e-9)
    root = affine_root(generator, "s", w, independence)
    matrix = root.times(torch.eye(len(covariance), dtype=torch.float64))
    spread = torch.diag(covariance).sqrt()
    expected = (1 - independence) * covariance + independence * torch.diag(spread**2)
    torch.testing.assert_close(matrix.T @ matrix, expected, rtol=1e-6, atol=1e-9)
    offsets = root.times(torch.randn(3, len(covariance), dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(root.times(root.solved(offsets)), offsets)
    shortest = root.solved(offsets)
    torch.testing.assert_close(shortest, offsets @ torch.linalg.pinv(matrix, rtol=1e-9), rtol=1e-5, atol=1e-6)


def test_random_codes_are_about_standard_normal_in_natural_coordinates() -> None:
    generator = make()
    seed = generator.sample([1], "s")
    natural = natural_coordinates(generator, seed, tuple(generator.shapes["s"]), 0.0)
    many = generator.sample(range(5000, 7000), "s").values
    u = natural.inverse(many - many.mean(0))
    rank = generator.config.w_dim
    assert float(u.square().sum(1).mean()) == pytest.approx(rank, rel=0.15)
