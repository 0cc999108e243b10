"""What every set of paths keeps to, whatever its kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.instances import check_derivatives, codes, drawn, made, nothing_random, untouched
from torch import Tensor

import semanifold as sm
from semanifold.core.errors import SemanifoldError
from semanifold.edits import Edit
from semanifold.generators.base import Generator
from semanifold.paths.base import LatentPaths, PathSet, info_for
from semanifold.paths.files import load_paths, save_paths
from semanifold.paths.kinds import FORMS
from semanifold.paths.linear import LinearPaths, linear_paths
from semanifold.paths.warped import warped_paths
from semanifold.paths.weights import WeightPaths, info_of, svd_paths

STEPS = 4


def of_a_basis(generator: Generator) -> WeightPaths:
    layers = {name: tuple(generator.get_submodule(name).weight.shape) for name in ("convs.1", "convs.2")}  # type: ignore[union-attr]
    size = sum(generator.get_submodule(name).weight.numel() for name in layers)  # type: ignore[union-attr, operator]
    info = info_of(generator, method="a basis", step=2.0, count=STEPS)
    mixed = drawn(3, 4, seed=9)
    return WeightPaths.from_vectors(drawn(4, size, seed=8), layers, info, coefficients=mixed).to(generator.dtype)


def of_vectors(generator: Generator) -> LinearPaths:
    _, info = info_for(generator, "w+", (1, 3), method="by hand", step=0.2, count=STEPS)
    return LinearPaths.from_vectors(drawn(3, 6, seed=7), info, scale=torch.tensor([1.0, 0.5, 0.25]), layers=2)


def spread(generator: Generator) -> PathSet:
    return warped_paths(generator, None, 3, 4, init="spread", learn_alphas=True, learn_gammas=False, steps=STEPS)


SETS: dict[str, tuple[str, Callable[[Generator], PathSet]]] = {
    **{form: ("skip", lambda g, form=form: linear_paths(g, "w", 3, form, steps=STEPS)) for form in FORMS},
    "linear of layers": ("skip", lambda g: linear_paths(g, "w+", 3, "random", layers=(1, 3), shared=True, steps=STEPS)),
    "linear of maps": ("pix2pixhd", lambda g: linear_paths(g, None, 3, "linear", bias=False, steps=STEPS)),
    "given, of three lengths": ("skip", of_vectors),
    "warped": ("biggan", lambda g: warped_paths(g, None, 3, 4, steps=STEPS)),
    "warped, spread": (
        "function",
        lambda g: warped_paths(g, None, 3, 4, init="spread", learn_alphas=True, learn_gammas=False, steps=STEPS),
    ),
    "warped of layers": ("resnet", lambda g: warped_paths(g, "w+", 3, 4, layers=(0, 2), steps=STEPS)),
    "warped, all layers alike": ("resnet", lambda g: warped_paths(g, "w+", 3, 4, shared=True, steps=STEPS)),
    "svd": ("skip", lambda g: svd_paths(g, "convs.2", 3, steps=STEPS)),
    "svd of a module": ("module", lambda g: svd_paths(g, "network.5", 3, steps=STEPS)),
    "basis": ("skip", of_a_basis),
}
"""By name: the generator that it is for, and the set of three paths."""

every = pytest.mark.parametrize("name", SETS)


def given(name: str, dtype: torch.dtype = torch.float32) -> tuple[Generator, PathSet, sm.Latents]:
    generator = made(SETS[name][0], dtype)
    paths = SETS[name][1](generator).to(dtype).eval()
    return generator, paths, codes(generator, 3, paths.space(generator))


@every
def test_paths_are_edits_of_the_same_step(name: str) -> None:
    generator, paths, latents = given(name, torch.float64)
    assert len(paths) == len(list(paths)) == 3
    still = paths.shifted_images(generator, latents, 0, 0.0)
    if name not in ("fc",):  # a network without training moves a little even where it is asked not to
        torch.testing.assert_close(still, generator.images(latents))
    for k, edit in enumerate(paths):
        assert isinstance(edit, Edit)
        assert (edit.info.name, edit.info.space, edit.info.fingerprint) == (f"path {k}", paths.info.space, generator.fingerprint)
        assert edit.info.usable == (-1.0, 1.0)
        torch.testing.assert_close(edit.images(generator, latents, 0.0), generator.images(latents))
        if name == "fc":
            continue
        for sign in (1, -1):
            step = paths.shifted_images(generator, latents, k, sign * paths.info.step)
            torch.testing.assert_close(edit.images(generator, latents, sign / STEPS), step, rtol=1e-4, atol=1e-5)
            assert (step - still).abs().max() > 1e-4


@every
def test_a_sample_does_not_depend_on_its_batch(name: str) -> None:
    generator, paths, latents = given(name, torch.float64)
    index, far = torch.tensor([2, 0, 2]), torch.tensor([0.5, -0.3, 0.0]).double()
    pictures = paths.shifted_images(generator, latents, index, far)
    for i in range(3):
        alone = paths.shifted_images(generator, latents[i], int(index[i]), float(far[i]))
        torch.testing.assert_close(alone, pictures[i : i + 1], rtol=1e-5, atol=1e-6)
    again = paths.shifted_images(generator, latents, index.tolist(), far.tolist())
    assert torch.equal(again, pictures)


@every
def test_pictures_follow_the_precision_of_the_generator(name: str) -> None:
    single, paths, latents = given(name)
    double, precise, exact = given(name, torch.float64)
    pictures = paths.shifted_images(single, latents, 1, 0.4)
    assert pictures.dtype == torch.float32
    for held in (precise, paths):
        found = held.shifted_images(double, exact, 1, 0.4)
        assert found.dtype == torch.float64
        torch.testing.assert_close(pictures.double(), found, rtol=1e-3, atol=1e-3)


@every
def test_derivatives_in_parameters_and_magnitudes(name: str) -> None:
    generator, paths, latents = given(name, torch.float64)
    index, far = torch.tensor([2, 0, 1]), torch.tensor([0.5, -0.3, 0.2]).double()
    check_derivatives(lambda m: paths.shifted_images(generator, latents, index, m), far)
    check_derivatives(lambda values: paths.shifted_images(generator, latents.with_values(values), index, far), latents.values)
    held = dict(paths.named_parameters())
    for key in [key for key in held if "bias" not in key][:1]:

        def shifted(value: Tensor, key: str = key) -> Tensor:
            return torch.func.functional_call(_Shifting(paths, generator, latents), {f"paths.{key}": value}, (index, far))

        check_derivatives(shifted, held[key].detach().clone())


class _Shifting(torch.nn.Module):
    """The pictures of a set as a module, so that its parameters can be put in from outside."""

    def __init__(self, paths: PathSet, generator: Generator, latents: sm.Latents) -> None:
        super().__init__()
        self.paths, self.given = paths, (generator, latents)

    def forward(self, index: Tensor, far: Tensor) -> Tensor:
        return self.paths.shifted_images(*self.given, index, far)


@every
def test_sets_are_made_of_their_seed_alone_and_change_nothing(name: str) -> None:
    generator, paths, latents = given(name)
    values = latents.values.clone()
    with nothing_random(), untouched(generator, paths):
        again = SETS[name][1](generator).to(generator.dtype).eval()
        paths.shifted_images(generator, latents, 0, 0.5)
        edit = paths[0]
        edit.images(generator, latents, 0.5)
        named = paths.with_info(names={1: "smile +"})
        assert paths.training is False
    assert torch.equal(latents.values, values)
    assert all(torch.equal(again.state_dict()[key], value) for key, value in paths.state_dict().items())
    assert (dict(paths.info.names), named.find("smile"), named.name_of(1)) == ({}, 1, "smile +")
    first = next(iter(paths.state_dict()))
    assert named.state_dict()[first].data_ptr() == paths.state_dict()[first].data_ptr(), "parameters are shared"
    trained = {key: value.requires_grad for key, value in paths.named_parameters()}
    assert {key: value.requires_grad for key, value in named.named_parameters()} == trained
    held = {key: value.clone() for key, value in edit.tensors().items()}
    with torch.no_grad():
        for value in again.state_dict().values():
            value.add_(1)
    assert all(torch.equal(value, held[key]) for key, value in edit.tensors().items())


@every
def test_files_give_the_same_paths_again(name: str, tmp_path: Path) -> None:
    generator, paths, latents = given(name)
    paths = paths.with_info(names={1: "smile +"}, measured={"low": (-1.0, -0.5, 0.0), "high": (1.0, 0.5, 2.0)})
    save_paths(paths, tmp_path / "paths.safetensors")
    again = load_paths(tmp_path / "paths.safetensors").eval()
    assert type(again) is type(paths)
    assert (again.info, again.options(), repr(again)) == (paths.info, paths.options(), repr(paths))
    assert again["smile"].info.usable == (-0.5, 0.5)
    state = again.state_dict()
    assert list(state) == list(paths.state_dict())
    assert list(dict(again.named_parameters())) == list(dict(paths.named_parameters()))
    assert all(torch.equal(state[key], value) for key, value in paths.state_dict().items())
    index = torch.tensor([2, 0, 1])
    assert torch.equal(again.shifted_images(generator, latents, index, 0.4), paths.shifted_images(generator, latents, index, 0.4))
    t = [-0.7, 0.0, 0.3]
    assert torch.equal(again[2].images(generator, latents, t), paths[2].images(generator, latents, t))


@every
def test_what_does_not_fit_is_refused(name: str) -> None:
    generator, paths, latents = given(name)
    paths = paths.with_info(names={1: "smile +"})
    for which in (3, -4, "smlie", "", 1.5, None, True, [0]):
        with pytest.raises(SemanifoldError):
            paths[which]  # type: ignore[index]
    stranger = made("proggan") if SETS[name][0] != "biggan" else made("faces")
    if name != "warped":  # codes of ProgGAN and of BigGAN look alike
        with pytest.raises(SemanifoldError):
            paths.check_generator(stranger)
    wrong: list[tuple[Any, ...]] = [
        *((thing, latents, 0, 0.5) for thing in (None, "faces", 3, paths)),
        *((generator, thing, 0, 0.5) for thing in (None, 1.5, [], {}, torch.zeros(1, 6), latents[:0])),
        *((generator, latents, thing, 0.5) for thing in (3, -4, "smlie", 1.5, None, [0, 1, 3], [0, 1], torch.tensor([0, -4, 0]))),
        *((generator, latents, 0, thing) for thing in (None, "far", [0.5, 0.5], {}, object())),
    ]
    for things in wrong:
        with pytest.raises(SemanifoldError) as error:
            paths.shifted_images(*things)
        assert "\n" not in str(error.value)
    if isinstance(paths, LatentPaths):
        for codes_ in (sm.Latents(latents.values, "nowhere"), latents.with_values(latents.values[..., :-1])):
            with pytest.raises(SemanifoldError):
                paths.shifted_images(generator, codes_, 0, 0.5)
