"""Joint diagonalisation of the metrics of many codes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from semanifold.core.errors import SemanifoldError
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config
from semanifold.generators.wrapped import wrap
from semanifold.paths.closed_form import principal_paths
from semanifold.paths.joint import joint_diagonal, joint_paths
from semanifold.paths.linear import LinearPaths

SMALL = StyleGAN2Config(size=16, z_dim=8, w_dim=8, channels=(6, 5, 4))


def rotation(d: int, seed: int = 0) -> Tensor:
    return torch.linalg.qr(torch.randn(d, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))[0]


def directions(paths: LinearPaths) -> Tensor:
    """Return the unit directions ``[k, d]``."""
    moved = paths.shift(torch.zeros(len(paths), *paths.shape), torch.arange(len(paths)), torch.ones(len(paths)))
    return torch.nn.functional.normalize(moved.detach().flatten(1), dim=1)


class Bumps(nn.Module):
    """Six hidden factors, each lighting up pixels of its own along a wave: equally strong on average, never at once."""

    def __init__(self, turn: Tensor) -> None:
        super().__init__()
        self.register_buffer("turn", turn)

    def forward(self, z: Tensor) -> Tensor:
        hidden = z @ self.turn
        lit = torch.sin(1.5 * hidden)[:, :, None].expand(-1, -1, 6)
        return lit.reshape(-1, 1, 6, 6).expand(-1, 3, -1, -1)


def test_a_common_frame_is_found_and_one_matrix_gives_its_eigenvectors() -> None:
    frame = rotation(7)
    spectra = torch.rand(20, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    matrices = (frame * spectra[:, None]) @ frame.T
    found = joint_diagonal(matrices)
    assert torch.allclose((found @ frame).abs().amax(1), torch.ones(7, dtype=torch.float64), atol=1e-9)
    assert torch.allclose(found @ found.T, torch.eye(7, dtype=torch.float64), atol=1e-12)
    alone = joint_diagonal(matrices[:1])
    rest = alone @ matrices[0] @ alone.T
    assert (rest - rest.diag().diag()).abs().max() < 1e-9


def test_axes_of_equal_strength_come_back_from_behind_a_rotation() -> None:
    turn = rotation(6, 3).float()
    generator = wrap(Bumps(turn), (6,))
    paths = joint_paths(generator, k=6, samples=60)
    hidden = directions(paths) @ turn
    assert hidden.abs().amax(0).min() > 0.99
    # no second-order statistic of the first layer can tell these apart
    principal = directions(principal_paths(generator, k=6)) @ turn
    assert principal.abs().amax(0).min() < 0.9


def test_wide_spaces_are_cut_to_what_pictures_show() -> None:
    """A space of 40 numbers, of which six reach the picture: these are found, by pictures pulled back."""
    turn = rotation(6, 3).float()
    generator = wrap(nn.Sequential(nn.Linear(40, 6, bias=False), Bumps(turn)), (40,))
    with torch.no_grad():
        generator.network[0].weight.copy_(torch.eye(40)[5:11])  # type: ignore[attr-defined]
    paths = joint_paths(generator, k=6, samples=60)
    found = directions(paths)
    assert (found[:, 5:11] @ turn).abs().amax(0).min() > 0.99


def test_layers_of_a_style_generator_move_alike_and_repeat() -> None:
    generator = StyleGAN2(SMALL)
    seen: list[dict[str, int]] = []
    paths = joint_paths(generator, "w+", 3, (1, 3), samples=6, progress=seen.append)
    whole = {"part": "finding axes of stylegan2", "step": 6, "steps": 6}
    assert (paths.info.method, paths.info.layers, seen[-1]) == ("joint diagonalisation", (1, 3), whole)
    code = generator.sample([5], "w+")
    moved = paths[1].latents(code, 1.0).values - code.values
    assert torch.equal(moved[0, 1], moved[0, 2])
    assert moved[0, 1].abs().max() > 0
    assert moved[:, [0, *range(3, code.values.shape[1])]].abs().max() == 0
    again = joint_paths(generator, "w+", 3, (1, 3), samples=6)
    assert torch.equal(directions(again), directions(paths))


def test_too_many_and_pictures_that_stand_still_are_refused() -> None:
    with pytest.raises(SemanifoldError, match="1 to 8 such directions, not 9"):
        joint_paths(StyleGAN2(SMALL), k=9)
    with pytest.raises(SemanifoldError, match="do not change"):
        joint_paths(wrap(lambda z: z[:, :1, None, None].expand(-1, 3, 8, 8) * 0, (4,)), k=2, samples=4)
