"""Directions of codes inside a mask, on pictures of which is known what every number of a code does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.small_world import SmallWorld
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.generators.base import Generator
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config
from semanifold.generators.wrapped import wrap
from semanifold.images import metrics
from semanifold.images.masks import box
from semanifold.paths.base import info_for
from semanifold.paths.changes import codes_for
from semanifold.paths.closed_form import SAMPLES
from semanifold.paths.linear import LinearPaths
from semanifold.paths.masked import leaks, masked_paths
from semanifold.paths.weight_ranges import usual_changes

LEFT = box(0, 0, 0.5, 1)


def halves() -> Generator:
    """Pictures of 4 x 4: number 0 of a code and a fifth of number 2 move the left half, 1 and 2 the right one, 3 neither."""

    def pictures(z: Tensor) -> Tensor:
        left = (z[:, 0] + 0.2 * z[:, 2] + 0.1 * z[:, 0] * z[:, 1]).reshape(-1, 1, 1, 1).expand(-1, 3, 4, 2)
        right = (z[:, 1] + z[:, 2] + 0.02 * z[:, 0]).reshape(-1, 1, 1, 1).expand(-1, 3, 4, 2)
        return torch.cat([left, right], 3)

    return wrap(pictures, 4)


def test_the_best_direction_changes_the_inside_alone_and_is_measured_on_other_pictures() -> None:
    generator = halves()
    paths = masked_paths(generator, LEFT, 2, samples=8, progress=False)
    best = paths.directions()[0]
    # what moves the right half, 1 and 2 and a little of 0, cancels
    assert abs(float(best[1] + best[2] + 0.02 * best[0])) < 0.05 * abs(float(best[0] + 0.2 * best[2]))
    assert paths.info.measured["outside_inside"][0] < 0.02
    assert paths.info.mask == ""
    codes = generator.sample(range(5))
    found = leaks(generator, paths, LEFT, codes)
    assert found.ratios.shape == (2, 5, 2)
    inside, plain = LEFT.at(4, 4), generator.images(codes)
    for k in range(2):
        for way, place in ((0, 0), (1, 2)):
            moved = found.pictures[k, :, place]
            torch.testing.assert_close(found.ratios[k, :, way], metrics.mse_ratio(moved, plain, inside), rtol=0.05, atol=1e-6)
    assert torch.equal(found.pictures[0, :, 1], plain)
    changes = [metrics.inside_change(found.pictures[0, :, place], plain, inside) for place in (0, 2)]
    torch.testing.assert_close(changes[0], changes[1], rtol=0.05, atol=0)
    # each way as far as 0.35 of what two faces usually differ by inside
    roots = (inside / inside.mean()).sqrt().expand(len(codes), -1, -1, -1)
    torch.testing.assert_close(changes[0], 0.35 * usual_changes(generator, plain, roots, 0, None), rtol=0.05, atol=0)


def test_more_damping_prefers_what_is_strong() -> None:
    generator = halves()
    clean, strong = (
        masked_paths(generator, LEFT, 1, samples=8, damping=damping, progress=False).info.measured["outside_inside"][0]
        for damping in (1e-4, 100.0)
    )
    assert clean < strong


def barely() -> Generator:
    """Pictures of 4 x 4: number 1 moves the left half and far more the right one, number 0 the left one by next to nothing."""

    def pictures(z: Tensor) -> Tensor:
        left = (z[:, 1] + 1e-3 * z[:, 0]).reshape(-1, 1, 1, 1).expand(-1, 3, 4, 2)
        right = (100 * z[:, 1] + 1e-2 * z[:, 0].square()).reshape(-1, 1, 1, 1).expand(-1, 3, 4, 2)
        return torch.cat([left, right], 3)

    return wrap(pictures, 3)


def test_what_hardly_changes_the_inside_is_measured_no_further_out_than_codes_are() -> None:
    generator = barely().double()
    paths = masked_paths(generator, LEFT, 1, samples=8, progress=False)
    # twice the usual length of a code of three numbers, both ways
    row = paths.directions()[0].to(torch.float64)
    codes = codes_for(generator, 8, 0, None)
    moved = [generator.images(codes.moved(far * row / row.norm())) for far in (6**0.5, -(6**0.5))]
    ratio = torch.stack([metrics.mse_ratio(pictures, generator.images(codes), LEFT.at(4, 4)) for pictures in moved]).mean()
    assert paths.info.measured["outside_inside"][0] == pytest.approx(float(ratio), rel=0.05)
    # no further than two codes that are twice as far apart as usual
    codes = generator.sample(range(4))
    pictures = leaks(generator, paths, LEFT, codes).pictures[0, :, :, 0, 0, 0]
    spread = generator.sample(range(SAMPLES)).values.var(0).sum()
    far = (pictures[:, 2] - pictures[:, 1]) / (row[1] + 1e-3 * row[0]) * row.norm()
    torch.testing.assert_close(far, (2 * (2 * spread) ** 0.5).expand(4), rtol=0.02, atol=0)
    torch.testing.assert_close(pictures[:, 0] - pictures[:, 1], pictures[:, 1] - pictures[:, 2])


def test_a_path_that_changes_nothing_inside_is_measured_as_far_as_it_may_go() -> None:
    generator = barely()
    paths = LinearPaths.from_vectors(torch.eye(3)[2:], info_for(generator, None)[1])
    found = leaks(generator, paths, LEFT, generator.sample(range(4)))
    assert torch.equal(found.pictures[:, :, 0], found.pictures[:, :, 2])
    assert not found.ratios.any()


@pytest.mark.parametrize(("space", "layers"), [("w", None), ("w+", (1, 3)), ("s", None)])
def test_codes_of_every_space_move_as_the_paths_say(space: str, layers: tuple[int, int] | None) -> None:
    network = StyleGAN2(StyleGAN2Config(size=8, z_dim=4, w_dim=4, channels=(4, 4), mapping_layers=1))
    paths = masked_paths(network, LEFT, 1, space, layers, samples=4, progress=False)
    codes = network.sample(range(3), space)
    ratio = leaks(network, paths, LEFT, codes).ratios.mean()
    drawn = masked_paths(network, LEFT, 1, space, layers, samples=4, damping=1e6, progress=False)
    assert ratio < leaks(network, drawn, LEFT, codes).ratios.mean()


def test_more_directions_than_there_are_and_empty_masks_are_refused() -> None:
    with pytest.raises(SemanifoldError, match="1 to 4 such directions, not 5"):
        masked_paths(halves(), LEFT, 5, progress=False)
    with pytest.raises(SemanifoldError, match="nothing or everything"):
        masked_paths(halves(), box(-1, -1, 2, 2), 1, progress=False)


def test_a_search_goes_on_where_it_broke_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit; that of other layers is another one."""
    monkeypatch.setattr("semanifold.paths.weight_masked.SAVE_EVERY", 0.0)
    world, checkpoint = SmallWorld(), tmp_path / "checkpoint.safetensors"

    def stop(now: dict[str, Any]) -> None:
        if now["step"] == 6:
            raise KeyboardInterrupt

    def found(layers: tuple[int, int] | None, **how: Any) -> LinearPaths:
        return masked_paths(world, "box:0,0,1,0.5", 1, "w+", layers, samples=4, **how)

    with pytest.raises(KeyboardInterrupt):
        found((0, 2), checkpoint=checkpoint, progress=stop)
    said: list[int] = []
    paths = found((0, 2), checkpoint=checkpoint, progress=lambda now: said.append(now["step"]))
    assert said[:6] == [1, 2, 3, 4, 7, 8], "two of four were pulled back"
    whole = found((0, 2), progress=False)
    torch.testing.assert_close(dict(paths.state_dict()), dict(whole.state_dict()), rtol=0, atol=0)
    for layers in ((1, 3), None):
        with pytest.raises(SemanifoldError, match="of another search"):
            found(layers, checkpoint=checkpoint, progress=False)
