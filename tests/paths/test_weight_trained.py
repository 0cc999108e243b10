"""Combinations of directions in weights that are to be trained, and files of directions that are taken up again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from semanifold.core.errors import SemanifoldError
from semanifold.generators.base import Generator
from semanifold.generators.wrapped import wrap
from semanifold.paths.files import save_paths
from semanifold.paths.weight_axes import joint_weight_paths
from semanifold.paths.weight_trained import measured_in, read_basis, weight_paths_to_train

LAYER = "network.2"


def small(channels: int = 2) -> Generator:
    """z [3] -> ``channels`` of 4 x 4 -> pictures."""
    torch.manual_seed(0)
    return wrap(nn.Sequential(nn.Linear(3, 16 * channels), nn.Unflatten(1, (channels, 4, 4)), nn.Conv2d(channels, 3, 1)), 3)


def test_a_file_of_measured_directions_is_taken_up_if_it_is_the_same_search(tmp_path: Path) -> None:
    generator, file = small(), tmp_path / "axes.safetensors"
    assert measured_in(file, generator, (LAYER,), 2) is None
    axes = joint_weight_paths(generator, [LAYER], 2, samples=2, progress=False)
    save_paths(axes, file)
    assert measured_in(file, generator, (LAYER,), 2) is None, "how even they are has not been measured"
    save_paths(axes.with_info(measured={**axes.info.measured, "evenness": (1.0, 1.0)}), file)
    again = measured_in(file, generator, (LAYER,), 2)
    assert again is not None
    assert torch.equal(again.direction(1)[LAYER], axes.direction(1)[LAYER])
    assert measured_in(file, generator, (LAYER,), 3) is None
    assert measured_in(file, generator, ("network.0",), 2) is None
    other = generator.with_weights({LAYER: torch.ones(3, 2, 1, 1)})
    assert measured_in(file, other, (LAYER,), 2) is None


def test_a_basis_of_other_layers_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "axes.safetensors"
    save_paths(joint_weight_paths(small(), [LAYER], 2, samples=2, progress=False), file)
    said: list[str] = []
    assert read_basis(file, small(), said.append).layers == {LAYER: (3, 2, 1, 1)}
    assert said == []
    with pytest.raises(SemanifoldError, match=r"network\.2"):
        read_basis(file, small(3), said.append)


def test_combinations_of_singular_vectors_can_be_learned_unwatched() -> None:
    made = weight_paths_to_train(small(), "weights-svd", (LAYER,), 2, 0)
    assert made.coefficients.shape == (2, 2)
    assert made.coefficients.requires_grad
