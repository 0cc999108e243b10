"""Any network or function as a generator; the three real ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.real_generators import REAL
from support.reference import needs_real
from torch import Tensor, nn

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.edits import load_edit, save_edit, traced
from semanifold.generators.base import Generator
from semanifold.generators.pools import Pool, pool_of, read_pool, save_pool
from semanifold.generators.wrapped import wrap
from semanifold.images.masks import parse_mask
from semanifold.manifolds import ManifoldSettings, discover_manifold
from semanifold.paths.joint import joint_paths
from semanifold.training.draws import check_prior
from semanifold.training.settings import Prior

real_models = needs_real("generators")


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Unflatten(1, (6, 1, 1)),
            nn.ConvTranspose2d(6, 8, 4),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.ConvTranspose2d(8, 3, (4, 6), 2),
        )


def squares(z: Tensor) -> Tensor:
    return z[:, :, None, None].sigmoid().expand(-1, 3, 8, 8)


def circles(z: Tensor) -> Tensor:
    return 1 - z[:, :, None, None].sigmoid().expand(-1, 3, 8, 8)


def test_the_callers_network_is_left_alone() -> None:
    mine = network().train()
    before = {key: value.clone() for key, value in mine.state_dict().items()}
    generator = wrap(mine, (6,))
    pictures = generator.images(generator.sample([0, 1, 2]))
    assert mine.training
    assert all(value.requires_grad for value in mine.parameters())
    assert all(torch.equal(value, before[key]) for key, value in mine.state_dict().items())
    with torch.no_grad():
        next(mine.parameters()).add_(1)
    assert torch.equal(generator.images(generator.sample([0, 1, 2])), pictures)
    assert not any(value.requires_grad for value in generator.parameters())


def test_smaller_pictures_are_area_averages() -> None:
    generator = wrap(network(), (6,))
    codes = generator.sample([0])
    full, small = generator.images(codes), generator.images(codes, size=5)
    assert small.shape == (1, 3, 5, 6)
    assert torch.allclose(small, full.unflatten(2, (5, 2)).unflatten(4, (6, 2)).mean((3, 5)), atol=1e-6)
    assert torch.equal(generator.images(codes, size=10), full)
    for size in (0, 11):
        with pytest.raises(SemanifoldError, match="height 1 to 10"):
            generator.images(codes, size=size)


def test_pixel_range_and_prior() -> None:
    generator = wrap(squares, (3,), pixel_range=(0, 1), prior="uniform")
    codes = generator.sample(range(200))
    assert -1 <= codes.values.min() < -0.9
    assert 0.9 < codes.values.max() <= 1
    zero = Latents(torch.zeros(1, 3), "z")
    assert generator.images(zero).abs().max() == 0
    assert torch.allclose(generator.images(codes), 2 * squares(codes.values) - 1)


def test_other_weights_by_functional_call() -> None:
    generator = wrap(network(), (6,))
    codes = generator.sample([0])
    key = next(key for key in generator.state_dict() if key.endswith("4.bias"))
    other = torch.func.functional_call(generator, {key: generator.state_dict()[key] + 1}, (codes,))
    assert torch.allclose(other, generator.images(codes) + 1, atol=1e-6)


def test_a_function_is_told_by_its_text() -> None:
    assert wrap(squares, (3,)).fingerprint == wrap(squares, (3,)).fingerprint != wrap(circles, (3,)).fingerprint


def test_precision_of_a_function() -> None:
    generator = wrap(squares, (3,)).to(torch.float64)
    assert generator.images(generator.sample([0])).dtype == torch.float64


def test_mistakes() -> None:
    generator = wrap(network(), (6,), space="code", name="mine")
    assert list(generator.spaces) == ["code"]
    cases = [
        (lambda: wrap(generator, (6,)), "mine is a generator already"),
        (lambda: wrap(network(), (7,)), r"does not take codes \[1, 7\]"),
        (lambda: wrap(network(), ()), "latent shape"),
        (lambda: wrap(network(), (6,), prior="gamma"), "no prior 'gamma'"),  # type: ignore[arg-type]
        (lambda: wrap(network(), (6,), pixel_range=(1, 0)), "pixel range"),
        (lambda: wrap(nn.Linear(6, 3), (6,)), r"must return pictures.*\[1, 3\]"),
        (lambda: wrap(lambda z: (z,), (6,)), "must return pictures.*tuple"),
        (lambda: wrap(lambda z: z[:, :, None, None] / 0, (6,)), "NaN or infinite"),
        (lambda: generator.images(Latents(torch.zeros(1, 5), "code")), "expects codes"),
        (lambda: generator.images(Latents(torch.zeros(1, 6), "z")), "no latent space 'z'"),
    ]
    for call, words in cases:
        with pytest.raises(SemanifoldError, match=words) as raised:
            call()
        assert "\n" not in str(raised.value)


class Noisy(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return squares(z) + 0.05 * torch.randn(3, 8, 8)


def returning(change: Callable[[Tensor], Any]) -> Callable[[Tensor], Any]:
    return lambda z: change(squares(z))


def raising(error: Exception) -> Callable[[Tensor], Tensor]:
    def made(_z: Tensor) -> Tensor:
        raise error

    return made


class OddError(Exception):
    pass


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (Noisy(), "noise of its own"),
        (lambda z: squares(z) * (1 + 0.01 * torch.rand(())), "noise of its own"),
        (nn.Sequential(nn.Unflatten(1, (3, 1, 1)), nn.Upsample(8), nn.Dropout(0.5)).train().forward, "noise of its own"),
        (lambda z: squares(z) - squares(z).mean(0), "depends on the other codes"),
        (returning(lambda x: x[:1]), "for 2 codes it returned .1, "),
        (returning(lambda x: x if len(x) == 1 else x[:, :, 9]), "not two at once|returned"),
        (returning(lambda x: x.to_sparse()), "plain tensors.*sparse"),
        (returning(lambda x: x + 0j), "plain tensors.*complex64"),
        (returning(lambda x: (255 * x).byte()), "plain tensors.*uint8.*pixel_range"),
        (returning(lambda x: x.to("meta")), "plain tensors.*meta"),
        (returning(lambda x: x[:, :, :0]), "must return pictures"),
        (returning(lambda x: x.numpy()), "must return pictures.*ndarray"),
        (raising(OddError("odd")), "codes .*odd"),
        (raising(KeyError()), "KeyError"),
        (raising(AssertionError("a\nb")), "a; check"),
        (raising(ValueError("x" * 9000)), "x…"),
    ],
)
def test_networks_that_are_no_generators_are_found_out_when_they_are_wrapped(network: Any, words: str) -> None:
    state = torch.get_rng_state()
    with pytest.raises(SemanifoldError, match=words) as raised:
        wrap(network, 3)
    assert len(str(raised.value)) < 400
    assert torch.equal(torch.get_rng_state(), state)


def test_a_function_that_works_in_place_leaves_the_codes_alone() -> None:
    generator = wrap(lambda z: squares(z.mul_(2).add_(1)), 3)
    codes = generator.sample([0, 1])
    before = codes.values.clone()
    assert torch.equal(generator.images(codes), squares(2 * before + 1))
    assert torch.equal(codes.values, before)
    code = before.requires_grad_()
    generator.images(Latents(code, "z")).sum().backward()
    assert code.grad is not None


def test_a_network_with_classes_takes_labels() -> None:
    generator = wrap(lambda z, y: squares(z) * (y @ torch.arange(4.0))[:, None, None, None], 3, classes=4, name="four")
    assert generator.images(generator.sample([0, 1], labels=torch.tensor([0, 3])))[0].abs().max() == 0
    numbers = wrap(lambda z, y: squares(z) * y.argmax(1)[:, None, None, None], 3, classes=4)
    codes = generator.sample([5], labels=2)
    assert torch.allclose(numbers.images(codes), generator.images(codes))
    for label in (2, np.int64(2), torch.tensor(2), [2], np.array([2]), torch.eye(4)[2:3]):
        assert generator.sample([5], labels=label) == codes  # type: ignore[arg-type]
    assert generator.sample_like(codes, 6) == generator.sample([6], labels=2)
    for label in ("two", 2.0, [2.0], True, 4, -1, [0, 1], {}):
        with pytest.raises(SemanifoldError, match=r"[Ll]abel|class"):
            generator.sample([5], labels=label)  # type: ignore[arg-type]
    with pytest.raises(SemanifoldError, match="four has 4 classes"):
        generator.images(Latents(torch.zeros(1, 3), "z"))
    with pytest.raises(SemanifoldError, match=r"codes \[1, 3\] of space z and labels \[1, 2\]"):
        wrap(squares, 3, classes=2)
    with pytest.raises(SemanifoldError, match="number of classes"):
        wrap(squares, 3, classes=-1)


@pytest.mark.parametrize("shape", [0, -4, (), (4, 0), "4", None, 4.0, (10**6, 10**6), [[4]]])
def test_latent_shapes_are_positive_sizes(shape: Any) -> None:
    with pytest.raises(SemanifoldError, match=r"latent shape .* such as"):
        wrap(squares, shape)
    assert wrap(squares, 3).shapes == wrap(squares, (3,)).shapes == {"z": (3,)}


def test_a_wrapped_network_says_what_it_is() -> None:
    assert repr(wrap(network(), 6)) == "Wrapped('wrapped Sequential': z [6] -> 3 x 10 x 12)"
    assert repr(wrap(lambda z, y: squares(z), 3, classes=9, name="mine")) == "Wrapped('mine': z [3] -> 3 x 8 x 8, 9 classes)"
    for thing in (5, None, "text", [network()]):
        with pytest.raises(SemanifoldError, match="of type"):
            wrap(thing, 3)  # type: ignore[arg-type]


def test_a_name_gives_nobody_the_regions_of_the_bundled_faces() -> None:
    generator = wrap(squares, 3, name="faces")
    assert generator.world is None
    with pytest.raises(SemanifoldError, match="no face is found in the picture of faces"):
        generator.regions(generator.sample([0]))("mouth")


@real_models
@pytest.mark.parametrize("name", REAL)
def test_real_generators(name: str) -> None:
    """Each makes pictures as it was trained to: in range, different from one another, and mostly smooth."""
    generator: Generator = REAL[name]()
    pictures = generator.images(generator.sample(range(64)))
    assert pictures.shape == (64, *generator.picture_shape)
    assert pictures.abs().max() <= 1
    assert pictures.std(0).mean() > 0.15
    smooth = (pictures[..., 1:] - pictures[..., :-1]).abs().mean() / pictures.std()
    assert smooth < 0.4
    assert (
        generator.images(generator.sample([0]), size=generator.picture_shape[1] // 2).shape[-1] == generator.picture_shape[2] // 2
    )


@real_models
def test_digits_are_dark_outside() -> None:
    generator = REAL["mnist28"]()
    pictures = generator.images(generator.sample(range(32)))
    assert pictures[:, :, :2].mean() < -0.9
    assert pictures[:, :, 8:20, 8:20].mean() > -0.6


def worded(codes: torch.Tensor, labels: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
    """A network that takes a class and a prompt: brightness by the code, stripes by the prompt."""
    stripes = text.mean(1)[:, :, None] * torch.ones(4, 8)
    return torch.tanh(codes[:, :3, None, None] + labels.argmax(1)[:, None, None, None] * 0.1 + stripes[:, None, :, :])


WORDED = {"classes": 2, "conditions": {"text": (5, 4)}, "name": "worded"}


def test_other_conditions_reach_the_network_and_stay_with_the_codes(tmp_path: Path) -> None:
    generator = wrap(worded, 6, **WORDED)
    assert generator.conditions == {"labels": (2,), "text": (5, 4)}
    text = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(1))
    codes = generator.sample([1, 2], labels=[0, 1], conditions={"text": text})
    assert torch.equal(generator.images(codes), worded(codes.values, torch.eye(2), text))
    assert torch.equal(generator.images(codes[1]), generator.images(codes)[1:])
    assert generator.sample([1, 2], conditions={"text": text, "labels": torch.eye(2)}) == codes
    shared = generator.sample([1, 2], labels=0, conditions={"text": text[:1]})
    assert torch.equal(shared.conditions["text"], text[[0, 0]])
    again = generator.sample_like(codes[1], [1, 2])
    assert torch.equal(again.conditions["text"], text[[1, 1]])
    pool = pool_of(codes, generator, (1, 2))
    save_pool(pool, tmp_path / "pool.safetensors")
    assert read_pool(tmp_path / "pool.safetensors", generator).codes == codes
    other = Pool(Latents(codes.values, "z", {**codes.conditions, "text": text + 1}))
    assert set(pool.names).isdisjoint(other.names), "codes with other conditions are other codes"
    assert pool.hash != other.hash


def test_what_needs_a_condition_cannot_be_made_without() -> None:
    generator = wrap(worded, 6, **WORDED)
    with pytest.raises(SemanifoldError, match="makes pictures of text"):
        generator.sample([1], labels=0)
    with pytest.raises(SemanifoldError, match="makes pictures of text"):
        generator.sample([1], labels=0, conditions={"text": torch.zeros(1, 4, 5)})
    with pytest.raises(SemanifoldError, match="2 classes"):
        generator.sample([1], conditions={"text": torch.zeros(1, 5, 4)})
    with pytest.raises(SemanifoldError, match=r"no condition 'texts'.*text"):
        generator.sample([1], labels=0, conditions={"texts": torch.zeros(1, 5, 4)})
    with pytest.raises(SemanifoldError, match="depend on codes only"):
        wrap(nn.Sequential(nn.Unflatten(1, (6, 1, 1))), 6).sample([1], conditions={"text": torch.zeros(1, 5, 4)})
    for wrong in (3, "text", [1.0]):
        with pytest.raises(SemanifoldError, match="tensors by name"):
            generator.sample([1], labels=0, conditions=wrong)  # type: ignore[arg-type]
    with pytest.raises(SemanifoldError, match="given twice"):
        generator.sample([1], labels=0, conditions={"text": torch.zeros(1, 5, 4), "labels": torch.eye(2)[:1]})
    plain, odd = torch.zeros(1, 5, 4), torch.full((1, 5, 4), torch.nan)
    for wrong in (odd, 1 / odd.nan_to_num(), plain.to_sparse(), plain.to("meta"), plain.to(torch.complex64)):
        with pytest.raises(SemanifoldError, match="text is a plain tensor of finite numbers"):
            generator.sample([1], labels=0, conditions={"text": wrong})
    for wrong in (odd[:, 0, :2], torch.eye(2, device="meta")[:1], torch.eye(2)[:1].to_sparse(), torch.eye(2)[:1] * 1j):
        with pytest.raises(SemanifoldError, match="labels is a plain tensor of finite numbers"):
            generator.sample([1], labels=wrong, conditions={"text": plain})
    with pytest.raises(SemanifoldError, match="codes of z need text"):
        generator.images(Latents(torch.zeros(1, 6), "z", {"labels": torch.eye(2)[:1]}))
    with pytest.raises(SemanifoldError, match="no training draws"):
        check_prior(Prior(space="z"), generator)
    for wrong in ({"labels": (2,)}, {"a b": (2,)}, {3: (2,)}, [("text", (5, 4))], {"text": (0,)}):
        with pytest.raises(SemanifoldError):
            wrap(worded, 6, classes=2, conditions=wrong)  # type: ignore[arg-type]


def test_conditions_of_whole_numbers_come_back_from_files(tmp_path: Path) -> None:
    """Words of a text are such numbers; they keep their type, and so do the files of codes and of edits."""

    def read(codes: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        return (codes + torch.eye(6)[text.long()].mean(1)).tanh().unflatten(1, (1, 2, 3)).repeat(1, 3, 4, 4)

    generator = wrap(read, 6, conditions={"text": (3,)}, name="reads")
    codes = generator.sample([1, 2], conditions={"text": torch.tensor([[0, 1, 2], [3, 4, 5]])})
    save_pool(pool_of(codes, generator, (1, 2)), tmp_path / "pool.safetensors")
    assert read_pool(tmp_path / "pool.safetensors", generator).codes_for(generator, "z") == codes
    path = traced(joint_paths(generator, k=1, samples=3, progress=False)[0], codes[1], generator=generator)
    save_edit(path, tmp_path / "edit.safetensors")
    edit = load_edit(tmp_path / "edit.safetensors")
    assert edit.start == codes[1]


def test_edits_keep_the_conditions_of_the_picture_that_they_were_found_on(tmp_path: Path) -> None:
    generator = wrap(worded, 6, **WORDED)
    seed = generator.sample([3], labels=1, conditions={"text": torch.full((1, 5, 4), 0.3)})
    found = discover_manifold(generator, seed, parse_mask("box:0,0,.5,1"), ManifoldSettings(frames=4), progress=False)
    save_edit(found.value, tmp_path / "edit.safetensors")
    edit = load_edit(tmp_path / "edit.safetensors")
    assert edit.start == seed
    assert torch.equal(edit.images(generator, edit.start, 0.0), generator.images(seed))
    assert len(joint_paths(generator, k=2, samples=3, progress=False)) == 2, "directions need codes with conditions too"
