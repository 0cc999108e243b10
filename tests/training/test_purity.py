"""The purity of paths: what it costs to be mixed, and that paths from random starts become the axes when it counts."""

from __future__ import annotations

import pytest
import torch
from support.small_training import quick, straight, warped, world
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config
from semanifold.generators.wrapped import wrap
from semanifold.paths.base import LatentPaths
from semanifold.paths.linear import linear_paths
from semanifold.paths.warped import warped_paths
from semanifold.paths.weight_methods import weight_paths
from semanifold.training.purity import Purity, purity_of
from semanifold.training.reconstructor import make_reconstructor
from semanifold.training.settings import Prior
from semanifold.training.trainer import train_paths

TURN = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(3)))[0]


def turned_world(z: Tensor) -> Tensor:
    """Four hidden numbers behind a rotation, each lighting up a quarter of the picture along a wave."""
    lit = torch.sin(1.5 * z @ TURN)[:, :, None].expand(-1, -1, 256)
    return lit.reshape(-1, 1, 32, 32)


def moved_by(paths: LatentPaths, code: Tensor) -> Tensor:
    """The displacements ``[K, d]`` of all paths at one code."""
    count = len(paths)
    return paths.shift(code.expand(count, -1), torch.arange(count), torch.ones(count)).detach()


def test_mixing_is_the_plain_formula() -> None:
    draw = torch.Generator().manual_seed(0)
    root = torch.randn(3, 2, 2, generator=draw)
    strengths = root + root.mT
    basis = torch.linalg.qr(torch.randn(4, 2, generator=draw))[0].T  # two of four dimensions are visible
    natural = torch.randn(4, 4, generator=draw)
    purity = Purity(torch.randn(3, 4, generator=draw), strengths, natural, basis)
    paths = warped(3).requires_grad_(False)
    expected = 0.0
    for n in range(3):
        moved = torch.nn.functional.normalize(moved_by(paths, purity.codes[n : n + 1]) @ natural, dim=1)
        seen = moved @ basis.T
        for i in range(3):
            for j in range(3):
                if i != j:
                    expected += 3 * (seen[i] @ strengths[n] @ seen[j]) ** 2 / 9
                    expected += (moved[i] @ moved[j]) ** 2 / 9
            expected += 4 * (1 - seen[i].square().sum()) / 9
    assert purity.of(paths) == pytest.approx(float(expected), rel=1e-4)


def test_the_axes_are_not_mixed_and_a_rotation_of_them_is() -> None:
    generator = wrap(turned_world, (4,))
    paths = linear_paths(generator, "z", 4, "random")
    purity = purity_of(generator, paths, samples=24, progress=False)
    along = linear_paths(generator, "z", 4, "projective")
    with torch.no_grad():
        along.get_parameter("linear.weight").copy_(TURN)
    assert purity.of(along) < 1e-3
    assert purity.of(paths) > 0.3


def test_paths_from_random_starts_become_the_axes() -> None:
    generator = wrap(turned_world, (4,))
    made = linear_paths(generator, "z", 4, "projective")
    purity = purity_of(generator, made, samples=24, progress=False)
    before = purity.of(made)
    settings = quick(iterations=150, batch=2, paths_lr=0.02, decay=0.5, lambda_pure=1.0, lambda_cls=0.0, lambda_reg=0.0)
    train_paths(generator, made, make_reconstructor("lenet", 4, 1), settings, purity=purity, progress=False)
    assert purity.of(made) < 0.1 * before
    cosines = torch.stack([torch.nn.functional.normalize(moved_by(made, code[None]), dim=1) @ TURN for code in purity.codes])
    assert (cosines.abs().amax(1).mean(0) > 0.9).all()  # every axis has its path


def test_codes_are_drawn_with_the_rest_so_that_a_training_goes_on_bit_for_bit(tmp_path) -> None:
    generator, ends = world(), []
    for stops in ((12,), (7, 12)):
        paths, network = warped(), make_reconstructor("lenet", 4, 1, seed=1)
        purity = purity_of(generator, paths, samples=12, progress=False)
        folder = tmp_path / str(len(stops))
        folder.mkdir()
        for stop in stops:
            count = iter(range(stop - 1))
            train_paths(
                generator, paths, network, quick(lambda_pure=0.5), purity=purity, folder=folder, progress=False,
                stop=lambda count=count: next(count, None) is None,
            )  # fmt: skip
            paths, network = (paths, network) if stop == stops[-1] else (warped(), make_reconstructor("lenet", 4, 1, seed=1))
        ends.append(torch.cat([value.detach().flatten() for value in paths.parameters()]))
    assert torch.equal(*ends)


def test_what_cannot_be_measured_is_refused() -> None:
    small = StyleGAN2(StyleGAN2Config(size=16, z_dim=8, w_dim=8, channels=(6, 5, 4)))
    for paths in (weight_paths(small, "svd", layers="convs.0", k=2), linear_paths(small, "w+", 2, "random")):
        with pytest.raises(SemanifoldError, match="for paths of z and w only; leave lambda_pure= out"):
            purity_of(small, paths)
    for settings, purity in (
        (quick(lambda_pure=1.0), None),
        (quick(), purity_of(world(), straight(), samples=2, progress=False)),
    ):
        with pytest.raises(SemanifoldError, match="lambda-pure belong together"):
            train_paths(world(), straight(), make_reconstructor("lenet", 4, 1), settings, purity=purity)


def test_the_space_is_that_of_the_paths() -> None:
    small = StyleGAN2(StyleGAN2Config(size=32, z_dim=8, w_dim=8, channels=(6, 5, 4, 4)))
    paths = linear_paths(small, "w", 3, "projective")
    purity = purity_of(small, paths, samples=4, progress=False)
    before = purity.of(paths)
    settings = quick(iterations=30, batch=2, paths_lr=0.02, lambda_pure=1.0, prior=Prior("w"))
    train_paths(small, paths, make_reconstructor("lenet", 3, 3), settings, purity=purity, progress=False)
    assert purity.of(paths) < 0.7 * before


@pytest.mark.parametrize("kind", ["warped", "projective"])
def test_paths_are_unmixed_before_a_training_without_a_picture(kind: str) -> None:
    generator = wrap(turned_world, (4,))
    made = (
        warped_paths(generator, "z", 4, 4, init="spread") if kind == "warped" else linear_paths(generator, "z", 4, "projective")
    )
    purity, told = purity_of(generator, made, samples=24, progress=False), []
    before = purity.of(made)
    purity.unmix(made, steps=400, progress=told.append)
    assert purity.of(made) < 0.03 * before
    cosines = torch.stack([torch.nn.functional.normalize(moved_by(made, code[None]), dim=1) @ TURN for code in purity.codes])
    assert (cosines.abs().amax(1).mean(0) > 0.95).all()  # every axis has its path
    assert (told[0]["step"], told[-1]["step"], told[-1]["steps"]) == (1, 400, 400)
    assert all(value.grad is None for value in made.parameters())  # nothing is left for the training's own first step


def test_paths_that_do_not_learn_stay() -> None:
    paths = linear_paths(world(), "z", 4, "random")
    purity_of(world(), paths, samples=2, progress=False).unmix(paths, progress=False)
    assert torch.equal(paths.directions(), linear_paths(world(), "z", 4, "random").directions())
