"""Joint diagonalisation of the metrics of many codes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from semanifold.core.errors import SemanifoldError
from semanifold.core.jacobians import push_forward
from semanifold.core.latents import root_of_covariance
from semanifold.generators.coordinates import Coordinates, coordinates_of
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config
from semanifold.generators.wrapped import wrap
from semanifold.paths.base import PathSetInfo, moving_codes
from semanifold.paths.closed_form import SAMPLES, principal_paths
from semanifold.paths.joint import DAMPING, joint_axes, joint_diagonal, joint_paths, logarithms
from semanifold.paths.linear import LinearPaths
from semanifold.paths.local_metrics import INDEPENDENCE

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


def test_what_is_said_of_the_axes_goes_with_them_in_their_order() -> None:
    """Four rows of pixels, of factors of known strength; a fifth number does nothing, and the waves of two are one circle."""
    strengths = torch.tensor([1.0, 4.0, 2.0])

    def rows(z: Tensor) -> Tensor:
        apart = torch.sin(strengths * z[:, :3])
        disc = z[:, 3:5] * 0.5
        return torch.cat([apart, disc, 0 * z[:, 5:]], 1)[:, None, :, None].expand(-1, 3, -1, 6)

    paths, certainty = joint_axes(wrap(rows, (6,)), k=6, samples=60)
    found = directions(paths)
    flat = {k for k in range(6) if found[k, 3:5].norm() > 0.9}
    dead = {k for k in range(6) if found[k, 5].abs() > 0.9}
    assert certainty.planes == [tuple(sorted(flat))]
    assert set(certainty.dead) == dead
    assert set(certainty.sure) == set(range(6)) - flat - dead
    assert torch.equal(directions(joint_paths(wrap(rows, (6,)), k=6, samples=60)), found)
    few, of_two = joint_axes(wrap(rows, (6,)), k=2, samples=60)
    assert (len(few), of_two.contrast.shape) == (2, (2, 2))
    torch.testing.assert_close(of_two.spread, certainty.spread[:2])


def test_wide_spaces_are_cut_to_what_pictures_show() -> None:
    """A space of 40 numbers, of which six reach the picture: these are found, by pictures pulled back."""
    turn = rotation(6, 3).float()
    generator = wrap(nn.Sequential(nn.Linear(40, 6, bias=False), Bumps(turn)), (40,))
    with torch.no_grad():
        generator.network[0].weight.copy_(torch.eye(40)[34:])  # type: ignore[attr-defined]
    seen: list[dict[str, int]] = []
    paths = joint_paths(generator, k=6, samples=60, chunk=32, progress=seen.append)
    found = directions(paths)
    assert (found[:, 34:] @ turn).abs().amax(0).min() > 0.99
    assert seen[0]["steps"] == 2 * 40 // 32 + 1 + 32, "two random pictures for each number of a code, and two blocks of codes"
    assert [(s["step"], s["steps"]) for s in seen[-1:]] == [(35, 35)], "every axis that is alive is sure after them"


def test_codes_are_taken_until_axes_are_sure_or_all_are_used() -> None:
    """Two waves that are one circle have no axes of their own, however many codes are asked; without them fewer do."""

    def rows(z: Tensor) -> Tensor:
        return torch.cat([torch.sin(2 * z[:, :2]), 0.5 * z[:, 2:]], 1)[:, None, :, None].expand(-1, 3, -1, 6)

    def steps(latents: int, samples: int) -> list[tuple[int, int]]:
        seen: list[dict[str, int]] = []
        joint_axes(wrap(rows, (latents,)), k=latents, samples=samples, progress=seen.append)
        return [(s["step"], s["steps"]) for s in seen]

    assert steps(2, 60) == [(n + 1, 32) for n in range(32)]
    flat = steps(4, 60)
    assert [b for _, b in flat] == [32] * 31 + [48] * 16 + [60] * 13, "the end is only said to be near when it is"
    assert [a for a, _ in flat] == list(range(1, 61))
    assert steps(4, 20)[-1] == (20, 20), "no more than are asked for"


@pytest.mark.parametrize(("space", "at"), [(None, 1), (None, 30), ("s", 1), ("s", 7)])
def test_what_was_interrupted_goes_on_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, space: str | None, at: int
) -> None:
    monkeypatch.setattr("semanifold.paths.local_metrics.SAVE_EVERY", 0.0)
    generator = wrap(Bumps(rotation(6).float()), (6,)) if space is None else StyleGAN2(SMALL)
    checkpoint, samples = tmp_path / "checkpoint.safetensors", 45 if space is None else 4
    how = {"space": space, "k": 2, "samples": samples, "chunk": 16}
    seen: list[int] = []

    def stop(now: dict[str, int]) -> None:
        if now["step"] > at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        joint_axes(generator, **how, checkpoint=checkpoint, progress=stop)
    resumed, _ = joint_axes(generator, **how, checkpoint=checkpoint, progress=lambda now: seen.append(now["step"]))
    assert seen[0] == at + 2, "what was saved is not done again"
    whole: list[int] = []
    paths, _ = joint_axes(generator, **how, progress=lambda now: whole.append(now["step"]))
    assert seen == whole[at + 1 :]
    assert torch.equal(resumed.directions(), paths.directions())
    with pytest.raises(SemanifoldError, match="of another search"):
        joint_axes(generator, **(how | {"seed": 1}), checkpoint=checkpoint, progress=False)
    checkpoint.write_bytes(checkpoint.read_bytes()[:-8] + bytes(8))
    with pytest.raises(SemanifoldError, match=r"damaged.*remove the checkpoint"):
        joint_axes(generator, **how, checkpoint=checkpoint, progress=False)


def test_forward_differences_are_those_of_the_plain_formula() -> None:
    def pictures(u: Tensor) -> Tensor:
        return torch.stack([u[:, 0].sin(), u[:, 1] ** 2 + u[:, 0]], 1)[:, :, None, None]

    zero, basis = torch.tensor([[0.5, -1.0, 2.0]]), torch.eye(3)[[2, 0, 1, 0, 1]]
    slopes = torch.tensor([[0.0, 0.0], [math.cos(0.5), 1.0], [0.0, -2.0], [math.cos(0.5), 1.0], [0.0, -2.0]])
    batches: list[int] = []

    def counted(u: Tensor) -> Tensor:
        batches.append(len(u))
        return pictures(u)

    found = push_forward(counted, zero, basis, 3, central=False)[:, :, 0, 0]
    torch.testing.assert_close(found, slopes, rtol=0, atol=3e-3)
    assert batches == [4, 2], "one picture for each row, and the one that they are compared with"


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


def test_logarithms_are_those_of_the_damped_matrices() -> None:
    frame = rotation(5)
    spectra = torch.rand(3, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 0.01
    matrices = (frame * spectra[:, None]) @ frame.T
    for matrix, found in zip(matrices, logarithms(matrices), strict=True):
        damped = matrix + DAMPING * torch.linalg.eigvalsh(matrix)[-1] * torch.eye(5)
        torch.testing.assert_close(torch.matrix_exp(found), damped)
        torch.testing.assert_close(found, found.T)
    rounded = logarithms(torch.tensor([[[2.0, 0.0], [0.0, -0.01]]]))  # what rounding makes of a direction that changes nothing
    torch.testing.assert_close(rounded[0].diag().exp(), torch.tensor([2.0 + 2 * DAMPING, 2 * DAMPING]))


def test_axes_of_z_are_orthonormal_and_those_of_w_uncorrelated() -> None:
    generator = StyleGAN2(SMALL, seed=2)
    plain = directions(joint_paths(generator, "z", 8, samples=6))
    torch.testing.assert_close(plain @ plain.T, torch.eye(8), rtol=0, atol=1e-5)
    root = root_of_covariance(moving_codes(generator, joint_paths(generator, "w", 1, samples=2).info, SAMPLES))
    whitened = torch.nn.functional.normalize(
        directions(joint_paths(generator, "w", 8, samples=6)).double() @ root.inverse(), dim=1
    )
    torch.testing.assert_close(whitened @ whitened.T, torch.eye(8).double(), rtol=0, atol=1e-3)
    assert (plain.gather(1, plain.abs().argmax(1, keepdim=True)) > 0).all(), "signs are fixed"


def test_strongest_first() -> None:
    """Rows of pixels of one factor each, of known strength."""
    strengths = torch.tensor([1.0, 4.0, 2.0, 3.0])
    generator = wrap(lambda z: (0.1 * strengths * z)[:, None, :, None].expand(-1, 3, -1, 4), 4, name="rows")
    found = directions(joint_paths(generator, k=3, samples=8))
    torch.testing.assert_close(found, torch.eye(4)[[1, 3, 2]], rtol=0, atol=1e-4)


def test_every_seed_has_codes_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of them is one that people choose, or that the deviations are taken of, and all are below 2^32."""
    generator = wrap(Bumps(rotation(6).float()), (6,))
    sample, drawn = type(generator).sample, []

    def noted(self: object, seeds: object, *rest: object, **more: object) -> object:
        drawn.append(set(seeds))  # type: ignore[call-overload]
        return sample(self, seeds, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(type(generator), "sample", noted)
    for seed in (0, 1, 2):
        joint_paths(generator, k=2, samples=5, seed=seed)
    usual, own = [seeds for seeds in drawn if len(seeds) == SAMPLES], [seeds for seeds in drawn if len(seeds) == 5]
    assert len(own) == 3
    assert len(set.union(*own)) == 15
    assert not set.union(*own) & set.union(*usual)
    assert min(set.union(*own)) > 1_000_000_000
    assert max(set.union(*own)) < 2**32


def test_the_axes_of_one_code_are_the_eigenvectors_of_its_metric() -> None:
    turn = rotation(4, 5).float()
    strengths = torch.tensor([1.0, 4.0, 2.0, 3.0])
    generator = wrap(lambda z: (0.1 * strengths * (z @ turn))[:, None, :, None].expand(-1, 3, -1, 4), 4, name="rows")
    found = directions(joint_paths(generator, k=4, samples=1))
    torch.testing.assert_close((found @ turn).abs(), torch.eye(4)[[1, 3, 2, 0]], rtol=0, atol=1e-3)


def test_one_code_at_which_pictures_stand_still_is_refused() -> None:
    with pytest.raises(SemanifoldError, match="do not change"):
        joint_paths(wrap(lambda z: z[:, :1, None, None].clamp(min=0).expand(-1, 3, 8, 8), 2), k=1, samples=8)


def test_changes_are_few_and_large_or_many_and_small_but_logarithms_count_them_alike() -> None:
    """One code in eight changes a hundred times as much, along other axes: the seven outvote it."""
    frame, other = rotation(3, 1), rotation(3, 2)
    weak = (frame * torch.tensor([1.0, 2.0, 4.0]).double()) @ frame.T
    strong = 1e4 * (other * torch.tensor([1.0, 2.0, 4.0]).double()) @ other.T
    matrices = torch.stack([weak] * 7 + [strong])
    assert (joint_diagonal(logarithms(matrices)) @ frame).abs().amax(1).min() > 0.98
    assert (joint_diagonal(matrices) @ other).abs().amax(1).min() > 0.98, "without logarithms the one decides"


def test_sweeps_end_when_no_angle_is_left() -> None:
    spectra = torch.rand(5, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    matrices = (rotation(6) * spectra[:, None]) @ rotation(6).T
    rough, few, all_ = (joint_diagonal(matrices, **how) for how in ({"tolerance": 10.0}, {"sweeps": 1}, {}))
    assert torch.equal(rough, few), "one round with angles below the tolerance is the last"
    off = [
        float((f @ matrices @ f.T).square().sum() - (f @ matrices @ f.T).diagonal(dim1=1, dim2=2).square().sum())
        for f in (few, all_)
    ]
    assert off[1] < 1e-12 < off[0]
    assert torch.equal(joint_diagonal(torch.eye(3).double()[None]), torch.eye(3).double()), "what is diagonal already stays"


@pytest.mark.parametrize("space", ["w", "w+", "s"])
def test_every_space_is_whitened_by_codes_of_w(space: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of s are far too few for its own covariance."""
    generator, taken = StyleGAN2(SMALL), []

    def noted(generator: StyleGAN2, space: str, codes: Tensor, *rest: float) -> Coordinates:
        taken.append((codes, *rest))
        return coordinates_of(generator, space, codes, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("semanifold.paths.local_metrics.coordinates_of", noted)
    joint_paths(generator, space, 1, samples=2)
    ((codes, lead, independence),) = taken
    torch.testing.assert_close(codes, moving_codes(generator, PathSetInfo(space="w"), SAMPLES))
    assert (lead, independence) == (0, INDEPENDENCE)
