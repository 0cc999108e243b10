"""What every edit keeps to, whatever its kind and whatever it moves."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.instances import check_derivatives, codes, drawn, made, nothing_random, untouched
from torch import Tensor

import semanifold as sm
from semanifold.core.errors import SemanifoldError
from semanifold.edits import Edit, EditInfo, Flow, Lattice, Sum, WeightEdit, load_edit, save_edit
from semanifold.edits.poses import pose_edit
from semanifold.generators.base import Generator
from semanifold.generators.editing import weight_of

LINE = torch.tensor([-1.0, -0.4, 0.0, 0.5, 1.0])


def lattice(*shape: int, space: str, layers: tuple[int, int] | None = None) -> Lattice:
    offsets = 0.5 * drawn(len(LINE), *shape, seed=2, dtype=torch.float32)
    info = EditInfo(name="smile", method="by hand", space=space, layers=layers, usable=(-1.0, 1.0), cite=("nobody",))
    return Lattice(offsets - offsets[2], [LINE], info)


def pad() -> Lattice:
    offsets = 0.5 * drawn(5, 3, 6, seed=3, dtype=torch.float32)
    return Lattice(offsets - offsets[2, 1], [LINE, torch.tensor([-1.0, 0.0, 2.0])], EditInfo(name="pad", space="w"))


def flow(*shape: int, space: str, layers: tuple[int, int] | None = None) -> Flow:
    support, alphas = drawn(8, *shape, seed=4, dtype=torch.float32), drawn(8, seed=5, dtype=torch.float32)
    return Flow(2 * support, alphas, torch.tensor(0.1), 0.2, 4, EditInfo(name="flow", space=space, layers=layers))


def weights(*layers: str, of: str = "skip") -> WeightEdit:
    deltas = {layer: 0.3 * drawn(*weight_of(made(of), layer).shape, seed=6, dtype=torch.float32) for layer in layers}
    return WeightEdit(deltas, EditInfo(name="weights", space="weights", usable=(-1.0, 1.0)))


EDITS: dict[str, tuple[str, Callable[[], Edit]]] = {
    "lattice": ("skip", lambda: lattice(6, space="w")),
    "lattice of layers": ("skip", lambda: lattice(2, 6, space="w+", layers=(1, 3))),
    "lattice of maps": ("pix2pixhd", lambda: lattice(4, 16, 24, space="input")),
    "lattice of a function": ("function", lambda: lattice(4, space="z")),
    "pad": ("resnet", pad),
    "flow": ("biggan", lambda: flow(6, space="z")),
    "flow of layers": ("skip", lambda: flow(1, 6, space="w+", layers=(0, 2))),
    "weights": ("skip", lambda: weights("convs.2", "colours.1")),
    "weights of a module": ("module", lambda: weights("network.5", of="module")),
    "pose": ("stylegan3-t", lambda: pose_edit(20, 0.1, -0.05)),
    "pose and path": (
        "stylegan3-r of classes",
        lambda: Sum([lattice(6, space="w"), pose_edit(-15), pose_edit(right=0.05)], EditInfo(name="pose")),
    ),
    "sum": (
        "skip",
        lambda: Sum([lattice(6, space="w"), weights("convs.2"), weights("convs.2", "convs.1")], EditInfo(name="sum")),
    ),
}
"""By name: the generator that it is for, and the edit."""


every = pytest.mark.parametrize("name", EDITS)


def given(name: str, dtype: torch.dtype = torch.float32, n: int = 3) -> tuple[Generator, Edit, sm.Latents]:
    generator, edit = made(EDITS[name][0], dtype), EDITS[name][1]()
    return generator, edit, codes(generator, n, edit.space(generator))


def moments(edit: Edit, *values: float, dtype: torch.dtype = torch.float32) -> Tensor:
    """Values of t; on a pad the second coordinate is another one."""
    line = torch.tensor(values, dtype=dtype)
    return line if edit.dimensions == 1 else torch.stack([line, 0.7 * line], 1)


@every
def test_at_zero_is_the_unedited_picture_to_the_last_bit(name: str) -> None:
    generator, edit, latents = given(name)
    plain = generator.images(latents)
    assert torch.equal(edit.images(generator, latents, moments(edit, 0.0)), plain)
    one = edit.images(generator, latents[0], moments(edit, 0.0))
    assert torch.equal(one, generator.images(latents[0]))
    several = edit.images(generator, latents[0], moments(edit, -0.7, 0.0, 0.6))
    torch.testing.assert_close(several[1:2], one, rtol=1e-5, atol=2e-5)
    for frame in several[[0, 2]]:
        assert (frame - one[0]).abs().max() > 1e-3, "elsewhere it is edited"


@every
def test_a_picture_does_not_depend_on_its_batch(name: str) -> None:
    generator, edit, latents = given(name, torch.float64)
    t = moments(edit, 0.6, -0.3, 1.2, dtype=torch.float64)
    own = edit.images(generator, latents, t)
    for i in range(3):
        torch.testing.assert_close(edit.images(generator, latents[i], t[i : i + 1]), own[i : i + 1])
    walk = edit.images(generator, latents[1], t)
    together = edit.images(generator, latents, t[1:2])
    torch.testing.assert_close(walk[1], together[1])
    torch.testing.assert_close(walk[1], own[1])


@every
def test_pictures_follow_the_precision_of_the_generator(name: str) -> None:
    (single, edit, latents), (double, _, exact) = given(name), given(name, torch.float64)
    pictures = edit.images(single, latents, moments(edit, 0.6))
    assert pictures.dtype == torch.float32
    assert tuple(pictures.shape) == (3, *single.picture_shape)
    precise = edit.images(double, exact, moments(edit, 0.6))
    assert precise.dtype == torch.float64
    torch.testing.assert_close(pictures.double(), precise, rtol=1e-3, atol=5e-4)
    if edit.dimensions == 1:
        assert torch.equal(edit.images(single, latents, 0.6), pictures)
        assert torch.equal(edit.images(single, latents, [0.6]), pictures)
    labels = 1 if single.classes else None
    seeds = edit.images(single, single.sample([1], edit.space(single), labels=labels), moments(edit, 0.6))
    torch.testing.assert_close(seeds, pictures[1:2], rtol=1e-5, atol=2e-5)


@every
def test_derivatives_in_codes_and_in_t(name: str) -> None:
    generator, edit, latents = given(name, torch.float64, 2)
    t = moments(edit, 0.63, -0.37, dtype=torch.float64)
    check_derivatives(lambda values: edit.images(generator, latents.with_values(values), t), latents.values)
    check_derivatives(lambda t: edit.images(generator, latents, t), t)


@every
def test_nobody_is_changed(name: str) -> None:
    generator, edit, latents = given(name)
    values, tensors = latents.values.clone(), {key: value.clone() for key, value in edit.tensors().items()}
    fingerprint, info = generator.fingerprint, edit.info
    with nothing_random(), untouched(generator):
        edit.images(generator, latents, moments(edit, 0.6))
        other, moved = edit.applied(generator, latents, moments(edit, 0.6))
        renamed = edit.with_info(name="other")
    assert torch.equal(latents.values, values)
    assert all(torch.equal(value, tensors[key]) for key, value in edit.tensors().items())
    assert generator.fingerprint == fingerprint
    assert (edit.info, renamed.info.name) == (info, "other")
    moves = not torch.equal(moved.values, latents.values)
    assert (other is generator) != (isinstance(edit, WeightEdit | Sum)), "codes or weights move"
    assert moves != isinstance(edit, WeightEdit)
    again = copy.deepcopy(edit)
    assert torch.equal(again.images(generator, latents, moments(edit, 0.6)), edit.images(generator, latents, moments(edit, 0.6)))


@every
def test_files_give_the_same_edit_again(name: str, tmp_path: Path) -> None:
    generator, edit, latents = given(name)
    save_edit(edit, tmp_path / "edit.safetensors")
    again = load_edit(tmp_path / "edit.safetensors")
    assert type(again) is type(edit)
    assert (again.info, again.dimensions, again.what_moves) == (edit.info, edit.dimensions, edit.what_moves)
    assert repr(again) == repr(edit)
    assert all(torch.equal(a, b) for a, b in zip(again.knots, edit.knots, strict=True))
    t = moments(edit, 0.6, -0.3, 0.0)
    assert torch.equal(again.images(generator, latents, t), edit.images(generator, latents, t))
    assert [file.name for file in tmp_path.iterdir()] == ["edit.safetensors"]


@every
def test_the_same_way_in_another_time(name: str) -> None:
    generator, edit, latents = given(name, torch.float64)
    if edit.dimensions == 2:
        return
    places, knots = torch.tensor([0.0, 0.5, 0.2, 1.0]).double(), torch.tensor([0.0, 0.4, 0.7, 2.0]).double()
    if isinstance(edit, Flow):
        for call in (lambda: edit.way(places), lambda: edit.along(places, knots)):
            with pytest.raises(SemanifoldError, match="trace it"):
                call()
        return
    other = edit.along(places, knots)
    assert other.info.usable == (0.0, 2.0)
    for place, knot in zip(places, knots, strict=True):
        torch.testing.assert_close(
            other.images(generator, latents, knot), edit.images(generator, latents, place), rtol=1e-5, atol=1e-6
        )
    far = edit.way(places.float())
    assert far.ndim == 2
    assert far[0].abs().max() == 0
    assert (far[1] - far[2]).norm() > 0


@every
def test_what_does_not_fit_is_refused(name: str) -> None:
    generator, edit, latents = given(name)
    t = moments(edit, 0.6)
    wrong: list[tuple[Any, Any, Any]] = [
        (generator, latents, t * torch.nan),
        (generator, latents, t * torch.inf),
        (generator, latents, moments(edit, 0.1, 0.2)),
        (generator, latents[:0], t),
        (generator, latents.with_values(latents.values[..., :-1]), t),
        (generator, sm.Latents(latents.values, "nowhere", latents.labels), t),
        *((thing, latents, t) for thing in (None, "faces", 3, edit)),
        *((generator, thing, t) for thing in (None, 1.5, [], {}, torch.zeros(1, 6))),
        *((generator, latents, thing) for thing in (None, "far", {}, object())),
    ]
    for generator_, codes_, t_ in wrong:
        with pytest.raises(SemanifoldError) as error:
            edit.images(generator_, codes_, t_)
        assert "\n" not in str(error.value)
    stranger = made("proggan") if EDITS[name][0] != "biggan" else made("function")
    with pytest.raises(SemanifoldError):
        edit.images(stranger, stranger.sample(0), t)
