"""What every generator keeps to, whatever its kind."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from support.instances import MAKERS, Maps, check_derivatives, codes, drawn, labels, made, nothing_random, ripples, untouched
from torch import Tensor

import semanifold as sm
from semanifold.core.errors import SemanifoldError
from semanifold.generators.architectures import row_of
from semanifold.generators.base import Generator, as_latents
from semanifold.generators.editing import editable_layers, weight_of
from semanifold.generators.loading import load_generator, save_generator

DOUBLE = torch.float64
every = pytest.mark.parametrize("name", MAKERS)


def in_all_spaces(generator: Generator, n: int = 3) -> list[sm.Latents]:
    first = codes(generator, n)
    return [generator.convert(first, space) for space in generator.spaces]


@every
def test_pictures_have_the_shape_the_precision_and_about_the_range_that_is_said(name: str) -> None:
    single, double = made(name), made(name, DOUBLE)
    pictures = single.images(codes(single))
    assert tuple(pictures.shape) == (3, *single.picture_shape)
    assert pictures.dtype == single.dtype == torch.float32
    assert not pictures.requires_grad
    assert pictures.isfinite().all()
    assert 0.005 < pictures.std() < 2
    assert (pictures[0] - pictures[1]).abs().max() > 1e-3, "seeds differ"
    exact = double.images(codes(double))
    assert exact.dtype == double.dtype == DOUBLE
    assert torch.equal(codes(double).values, codes(single).values.double()), "seeds mean the same in every precision"
    torch.testing.assert_close(pictures.double(), exact, rtol=1e-3, atol=2e-4)


@every
def test_spaces_lead_to_the_same_pictures(name: str) -> None:
    generator = made(name, DOUBLE)
    pictures = generator.images(codes(generator))
    for latents in in_all_spaces(generator):
        assert tuple(latents.values.shape[1:]) == tuple(generator.shapes[latents.space])
        torch.testing.assert_close(generator.images(latents), pictures)
        assert generator.convert(latents, latents.space) is latents
        assert torch.equal(generator.sample(range(3), latents.space, labels=labels(generator, 3)).values, latents.values)


@every
def test_a_picture_does_not_depend_on_its_batch(name: str) -> None:
    generator = made(name)
    for latents in in_all_spaces(generator, 4):
        pictures = generator.images(latents)
        for i in (0, 3):
            torch.testing.assert_close(generator.images(latents[i]), pictures[i : i + 1], rtol=1e-5, atol=2e-5)
        torch.testing.assert_close(generator.images(latents[[2, 1]]), pictures[[2, 1]], rtol=1e-5, atol=2e-5)
    one = generator.sample([2], labels=None if not generator.classes else 2 % generator.classes)
    assert torch.equal(one.values, codes(generator, 4).values[2:3])


@every
def test_smaller_pictures_are_in_proportion(name: str) -> None:
    generator = made(name)
    latents, (channels, height, width) = codes(generator), generator.picture_shape
    full = generator.images(latents)
    size = generator.coarse_size(height // 2)
    assert size is not None
    small = generator.images(latents, size=size)
    assert tuple(small.shape) == (3, channels, size, width * size // height)
    low = torch.nn.functional.adaptive_avg_pool2d(full, small.shape[2:])
    assert (small - low).std() < 0.7 * low.std() + 0.05, "they show the same"
    torch.testing.assert_close(generator.images(latents, size=height), full)
    assert generator.coarse_size(height) is None
    for wrong in (0, -1):
        with pytest.raises(SemanifoldError):
            generator.images(latents, size=wrong)


@every
def test_derivatives_of_all_spaces(name: str) -> None:
    generator = made(name, DOUBLE)
    n = 1 if name == "faces" else 2  # large, and of the kind of "skip", whose batches are tried
    for latents in in_all_spaces(generator, n):
        check_derivatives(lambda values, like=latents: generator.images(like.with_values(values)), latents.values)
    first = codes(generator, n)
    for space in list(generator.spaces)[1:]:
        check_derivatives(lambda v, s=space: generator.convert(first.with_values(v), s).values, first.values)


@every
def test_vmap_is_the_batch(name: str) -> None:
    generator = made(name, DOUBLE)
    latents = codes(generator)
    given = torch.zeros(3, 0) if latents.labels is None else latents.labels

    def one(values: Tensor, label: Tensor) -> Tensor:
        return generator.images(sm.Latents(values[None], latents.space, label[None] if generator.classes else None))[0]

    torch.testing.assert_close(torch.func.vmap(one)(latents.values, given), generator.images(latents))


@every
def test_nothing_is_random_and_nothing_changes(name: str) -> None:
    generator = made(name)
    with nothing_random(), untouched(generator):
        fresh = MAKERS[name]()
        latents = codes(generator)
        before = latents.values.clone()
        pictures = generator.images(latents)
        generator.images(latents, size=generator.coarse_size(generator.picture_shape[1] // 2))
        assert torch.equal(latents.values, before)
        torch.testing.assert_close(fresh.images(codes(fresh)), pictures)
        assert fresh.fingerprint == generator.fingerprint
    assert not any(value.requires_grad for value in generator.parameters())
    assert not generator.training
    torch.testing.assert_close(copy.deepcopy(generator).train().images(latents), pictures)


@every
def test_a_fingerprint_names_the_weights_and_nothing_else(name: str) -> None:
    generator = made(name)
    assert made(name, DOUBLE).fingerprint == generator.fingerprint
    other = copy.deepcopy(generator)
    other.name = "something else"
    other.__dict__.pop("fingerprint", None)
    assert other.fingerprint == generator.fingerprint
    if not editable_layers(generator):
        return
    layer = next(iter(editable_layers(generator)))
    weight = weight_of(generator, layer).clone()
    weight.view(-1)[-1] += 0.5
    with untouched(generator):
        changed = generator.with_weights({layer: weight})
        assert changed.fingerprint != generator.fingerprint
        same = generator.with_weights({layer: weight_of(generator, layer)})
        assert same.fingerprint == generator.fingerprint
        assert torch.equal(same.images(codes(same)), generator.images(codes(generator)))
    assert (changed.name, changed.spaces, changed.picture_shape) == (generator.name, generator.spaces, generator.picture_shape)


@every
def test_files_give_the_same_generator_again(name: str, tmp_path: Path) -> None:
    generator, file = made(name), tmp_path / "it.safetensors"
    if row_of(generator) is None:
        with pytest.raises(SemanifoldError):
            save_generator(generator, file)
        assert not list(tmp_path.iterdir())
        return
    with untouched(generator):
        save_generator(generator, file)
    again = load_generator(file)
    assert type(again) is type(generator)
    assert (again.config, again.name, again.fingerprint) == (generator.config, generator.name, generator.fingerprint)
    assert (again.spaces, again.classes, again.picture_shape) == (generator.spaces, generator.classes, generator.picture_shape)
    assert torch.equal(again.images(codes(generator)), generator.images(codes(generator)))


@every
def test_what_is_no_code_of_it_is_refused(name: str) -> None:
    generator = made(name)
    latents = codes(generator)
    values, space, given = latents.values, latents.space, latents.labels
    wrong: tuple[tuple[Any, str], ...] = (
        (sm.Latents(values, "nowhere", given), "has no latent space 'nowhere'"),
        (sm.Latents(values[:, :-1], space, given), "expects codes of shape"),
        (sm.Latents(values.flatten(), space, given), "expects codes of shape"),
        (sm.Latents(values[:0], space, None if given is None else given[:0]), "no code"),
        (sm.Latents(values.double(), space, given), "works in float32, but these codes are float64"),
        (sm.Latents(values.long(), space, given), "works in float32, but these codes are int64"),
        *((value, "Pictures are made of Latents") for value in (7, "mouth", None, values)),
    )
    for thing, words in wrong:
        with pytest.raises(SemanifoldError, match=words):
            generator.images(thing)
    with pytest.raises(SemanifoldError, match="NaN or infinite"):
        generator.check(latents.with_values(torch.full_like(values, torch.nan)))
    with pytest.raises(SemanifoldError, match="no latent space"):
        generator.convert(latents, "nowhere")
    with pytest.raises(SemanifoldError, match="no latent space"):
        generator.sample(0, "nowhere", labels=labels(generator, 1))
    for seeds in ([], 1.5, None, [None], True):
        with pytest.raises(SemanifoldError, match="eed"):
            generator.sample(seeds, labels=labels(generator, 1))  # type: ignore[arg-type]
    with pytest.raises(SemanifoldError, match="say which one" if generator.classes else "not class-conditional"):
        generator.sample(0, labels=None if generator.classes else 0)


@every
def test_what_cannot_be_done_is_refused_in_a_sentence_and_what_is_said_to_be_can_be_done(name: str, tmp_path: Path) -> None:
    generator = made(name)
    latents = codes(generator)
    styled, layered = "s" in generator.spaces, "w+" in generator.spaces
    maps = Maps((16, 16))
    can = {
        "truncate": (generator.truncates, lambda: generator.truncate(latents, 0.5)),
        "mix": (layered, lambda: generator.mix(latents, latents[[1, 2, 0]], (1, 2))),
        "with_noise": (layered, lambda: generator.with_noise("none")),
        "channel_index": (styled, lambda: generator.channel_index("1_2")),
        "channel_name": (styled, lambda: generator.channel_name(3)),
        "with_inputs": (generator.takes_inputs, lambda: generator.with_inputs(maps)),
    }
    for what, (able, do) in can.items():
        if able:
            assert do() is not None, what
            continue
        with pytest.raises(SemanifoldError) as error:
            do()
        words = str(error.value)
        assert words.endswith("."), what
        assert words.count(". ") == 0, words
        assert generator.name in words, words
    for ask in (lambda: generator.with_folder(tmp_path, say=print), lambda: generator.codes_in(tmp_path)):
        with pytest.raises(SemanifoldError):  # an empty folder, where one is taken
            ask()
    assert generator.with_noise("const") is not None
    if generator.truncates:
        mean = generator.images(generator.truncate(latents, 0.0))
        torch.testing.assert_close(mean[:1].expand_as(mean), mean)
        torch.testing.assert_close(generator.images(generator.truncate(latents, 1.0)), generator.images(latents))
    for space in generator.spaces:
        affine = generator.affine_maps(space) if space in ("z", "w", "w+", "s") and not styled else None
        assert affine is None
    if generator.world is None and not generator.takes_inputs:
        with pytest.raises(SemanifoldError, match=r"no face is found|in colour or in grey"):
            generator.regions(latents[0])("mouth")


@every
def test_random_directions_of_weights_leave_the_generator_alone(name: str) -> None:
    generator = made(name)
    layers = editable_layers(generator)
    latents = codes(generator)
    before = generator.images(latents)
    with untouched(generator):
        for layer, shape in list(layers.items())[:: max(1, len(layers) // 3)]:
            other = generator.with_weights({layer: weight_of(generator, layer) + drawn(*shape).float()})
            assert tuple(other.images(latents).shape) == tuple(before.shape)
            for wrong in (torch.zeros(1, *shape), torch.full(shape, torch.nan)):
                with pytest.raises(SemanifoldError, match="weight"):
                    generator.with_weights({layer: wrong})
    assert torch.equal(generator.images(latents), before)
    with pytest.raises(SemanifoldError, match="no layer"):
        generator.with_weights({"nowhere": torch.zeros(1, 1)})


@every
def test_codes_of_the_same_class_and_the_spaces_that_are_meant_when_none_is_named(name: str) -> None:
    generator = made(name)
    latents = codes(generator)
    layered = "w+" in generator.spaces
    usual = (generator.first_space, generator.path_space, generator.search_space)
    assert usual == (next(iter(generator.spaces)), *(("w", "w+") if layered else (generator.first_space,) * 2))
    more = generator.sample_like(latents[1], range(5))
    assert torch.equal(more.values[:3], latents.values)
    assert more.space == latents.space
    if latents.labels is None:
        assert more.labels is None
        return
    assert more.labels is not None
    assert torch.equal(more.labels, latents.labels[1:2].expand(5, -1))
    unknown = generator.sample_like(sm.Latents(latents.values[:1], latents.space), range(5))
    assert unknown.labels is not None
    assert unknown.labels.argmax(1).tolist() == [i % generator.classes for i in range(5)]


@every
def test_codes_are_taken_in_any_form_and_others_refused(name: str) -> None:
    generator = made(name)
    latents = codes(generator)
    assert as_latents(latents, generator) is latents
    assert as_latents(latents.to(dtype=DOUBLE), generator) == latents
    assert as_latents(latents, None) is latents
    if not generator.classes:
        for seeds in ([0, 1, 2], range(3), torch.arange(3)):
            assert as_latents(seeds, generator) == latents  # type: ignore[arg-type]
        assert as_latents(1, generator, generator.search_space) == generator.convert(latents[1], generator.search_space)
    for thing, given, words in (
        (latents.values, generator, "do not say in which space"),
        (7, None, "give generator="),
        (latents, "faces", "A generator is expected"),
    ):
        with pytest.raises(SemanifoldError, match=words):
            as_latents(thing, given)  # type: ignore[arg-type]


@every
def test_pictures_can_be_differentiated_or_it_is_said_that_they_cannot(name: str) -> None:
    generator = made(name)
    generator.check_differentiable(codes(generator))
    with torch.no_grad():
        generator.check_differentiable(codes(generator)[1])
    still = sm.wrap(lambda z: ripples(z.detach()), 4, name="still")
    with pytest.raises(SemanifoldError, match="still cannot be differentiated"):
        still.check_differentiable(still.sample(0))
