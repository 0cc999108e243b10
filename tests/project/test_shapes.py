"""Shapes in signatures are checked in the tests, and only there."""

import subprocess
import sys

import jaxtyping
import pytest
import torch

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.images.distances import l2
from semanifold.images.masks import Mask
from semanifold.images.media import to_uint8
from semanifold.images.metrics import mse_ratio


def test_a_wrong_shape_is_refused_in_the_tests() -> None:
    pictures = torch.zeros(2, 3, 8, 8)
    l2(pictures, pictures[:1])
    for wrong in (pictures[0], torch.zeros(3, 3, 8, 8), torch.zeros(2, 3, 8, 9), pictures.int()):
        with pytest.raises(jaxtyping.TypeCheckError, match="reference"):
            l2(pictures, wrong)
    with pytest.raises(jaxtyping.TypeCheckError, match="displacements"):
        Latents(torch.zeros(2, 4), "z").moved(torch.zeros(2, 4, dtype=torch.int64))


def test_what_the_library_refuses_by_itself_comes_to_its_own_sentence() -> None:
    pictures = torch.zeros(2, 3, 8, 8)
    with pytest.raises(SemanifoldError, match=r"Pictures are expected as \[n, 1, 3 or 4, height, width\]"):
        to_uint8(pictures[0])
    with pytest.raises(SemanifoldError, match="The mask of pictures"):
        mse_ratio(pictures, pictures, torch.ones(1, 1, 4, 4))


def test_what_the_library_lets_pass_is_checked_although_a_refusal_is_expected() -> None:
    with pytest.raises(jaxtyping.TypeCheckError, match="reference"), pytest.raises(SemanifoldError):
        l2(torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 8, 8).long())
    with pytest.raises(jaxtyping.TypeCheckError), pytest.raises(SemanifoldError):
        Mask("four", lambda h, w: torch.ones(1, h, w)).at(8, 8)


def test_shapes_are_checked_where_torch_is_not_loaded() -> None:
    assert Mask("all", torch.ones).at(8, 4).shape == (1, 1, 8, 4)
    with pytest.raises(jaxtyping.TypeCheckError, match="at"):
        Mask("all", lambda h, w: torch.ones(h, w, 1)).at(8, 4)


def test_shapes_hold_under_transforms() -> None:
    pictures, way = torch.rand(2, 3, 8, 8), torch.ones(2, 3, 8, 8)
    value, change = torch.func.jvp(lambda x: l2(x, pictures), (pictures + 0.5,), (way,))
    assert torch.allclose(value, torch.tensor(0.25))
    assert torch.allclose(change, torch.tensor(1.0))
    each = torch.func.vmap(lambda x: l2(x, pictures))(torch.stack([pictures, pictures + 1]))
    assert each.tolist() == [[0, 0], [1, 1]]


def test_nobody_else_pays_for_it() -> None:
    script = "import semanifold.images.distances, sys; print('beartype' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
