"""What every generator inherits: how codes are drawn, which spaces are usual, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace

import pytest
import torch
from support.toy import ToyConv
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.core.spaces import Space, named
from semanifold.generators import base
from semanifold.generators.base import UNKNOWN, Generator, as_latents, origin
from semanifold.generators.wrapped import wrap
from semanifold.images.media import contact_sheet, to_uint8


class Small(Generator):
    """One number per pixel, of any spaces and classes."""

    name = "small"
    picture_shape = (3, 2, 2)

    def __init__(self, *spaces: str, classes: int = 0) -> None:
        super().__init__()
        self.spaces = named(*(Space(name, (2, 4) if name.endswith("+") else (4,)) for name in spaces or ("z",)))
        self.classes = classes
        self.register_buffer("one", torch.ones(1))
        self.freeze()

    def images(self, latents: Latents, *, size: int | None = None) -> Tensor:
        self.check(latents)
        return latents.values.reshape(-1, 1, 2, 2).expand(-1, 3, -1, -1)


class Uneven(Small):
    """Draws its codes in a way of its own."""

    def draw(self, seed: int) -> Tensor:
        return torch.full((4,), float(seed))


def test_codes_are_normal_unless_a_leaf_draws_others() -> None:
    assert Small().is_normal
    assert not Uneven().is_normal
    assert Uneven().sample([2]).values.tolist() == [[2.0] * 4]
    codes = Small().sample(range(2000)).values
    assert float(codes.std()) == pytest.approx(1, abs=0.03)
    assert float(codes.mean()) == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize(
    ("spaces", "first", "path", "search"),
    [
        (("z",), "z", "z", "z"),
        (("z", "w"), "z", "z", "z"),
        (("z", "w", "w+"), "z", "w", "w+"),
        (("factors", "z"), "factors", "factors", "factors"),
    ],
)
def test_usual_spaces(spaces: tuple[str, ...], first: str, path: str, search: str) -> None:
    generator = Small(*spaces)
    assert (generator.first_space, generator.path_space, generator.search_space) == (first, path, search)


def test_one_value_that_is_not_finite_is_refused() -> None:
    values = torch.zeros(2, 4)
    for bad in (float("nan"), float("inf")):
        values[1, 2] = bad
        with pytest.raises(SemanifoldError, match="NaN or infinite"):
            Small().images(Latents(values, "z"))


def test_others_like_a_code_are_of_its_class_or_of_all_in_turn() -> None:
    generator = Small(classes=3)
    of_one = generator.sample_like(generator.sample([1, 2], labels=[2, 0]), [5, 6])
    assert of_one.labels is not None
    assert of_one.labels.argmax(1).tolist() == [2, 2]
    in_turn = generator.sample_like(Latents(torch.zeros(1, 4), "z"), range(5))
    assert in_turn.labels is not None
    assert in_turn.labels.argmax(1).tolist() == [0, 1, 2, 0, 1]
    assert Small().sample_like(Small().sample([1]), [3]).labels is None
    torch.testing.assert_close(of_one.values, generator.sample([5, 6], labels=0).values)


def test_labels_are_numbers_of_classes_or_weights() -> None:
    generator = Small(classes=3)
    for labels in (1, [1, 1], torch.tensor(1), torch.tensor([1, 1]), [[0.0, 1.0, 0.0]] * 2):
        found = generator.sample([0, 1], labels=labels).labels  # type: ignore[arg-type]
        assert found is not None
        assert found.tolist() == [[0, 1, 0]] * 2
    for labels in (3, -1, [0, 3], [0], True, 0.5, [True, False], [[1.0, 0.0]] * 2, "cat", None):
        with pytest.raises(SemanifoldError):
            generator.sample([0, 1], labels=labels)  # type: ignore[arg-type]
    with pytest.raises(SemanifoldError, match="not class-conditional"):
        Small().sample([0], labels=0)


def test_codes_come_as_they_are_or_as_seeds() -> None:
    generator = Small("z", "w")
    codes = generator.sample([4])
    assert as_latents(codes, generator) is codes
    assert as_latents(codes, None) is codes
    assert as_latents(Latents(codes.values.double(), "z"), generator).values.dtype == torch.float32
    torch.testing.assert_close(as_latents(4, generator).values, codes.values)
    assert as_latents([4, 5], generator).values.shape == (2, 4)
    with pytest.raises(SemanifoldError, match="give generator="):
        as_latents(4, None)
    with pytest.raises(SemanifoldError, match="in which space"):
        as_latents(torch.zeros(1, 4), generator)  # type: ignore[arg-type]
    with pytest.raises(SemanifoldError, match="A generator is expected"):
        as_latents(4, "faces")  # type: ignore[arg-type]
    assert (origin(UNKNOWN), origin("small")) == ("another generator", "small")


def test_what_a_small_generator_cannot_do_is_said() -> None:
    generator, codes = Small(), Small().sample([0, 1])
    assert not generator.truncates
    for ask in (
        lambda: generator.truncate(codes, 0.5),
        lambda: generator.mix(codes, codes, (0, 1)),
        lambda: generator.channel_index("0_1"),
        lambda: generator.channel_name(0),
        lambda: generator.check_space("w"),
        lambda: generator.check_space(3),  # type: ignore[arg-type]
        lambda: generator.codes_in("file"),
        lambda: generator.check(Latents(torch.zeros(1, 5), "z")),
        lambda: generator.check(Latents(torch.zeros(1, 4).double(), "z")),
        lambda: generator.check(Latents(torch.zeros(0, 4), "z")),
        lambda: generator.images(torch.zeros(1, 4)),  # type: ignore[arg-type]
    ):
        with pytest.raises(SemanifoldError):
            ask()
    with torch.no_grad():
        generator.check_differentiable(codes)
    generator.images = lambda latents, **_: Small.images(generator, latents).detach()  # type: ignore[method-assign]
    with pytest.raises(SemanifoldError, match="cannot be differentiated"):
        generator.check_differentiable(codes)


@pytest.mark.parametrize(
    ("seconds", "most", "drawn", "shown"),
    [
        (0, 8, 8, 8),
        (0, 6, 6, 4),  # whole rows
        (0, 3, 3, 3),
        (0.125, 8, 4, 4),  # half a second is over when the fourth is there
        (0.109375, 8, 5, 4),
        (0.25, 8, 2, 2),
        (9, 8, 1, 1),
    ],
)
def test_a_glimpse_is_whole_rows_of_the_first_seeds_and_does_not_take_long(
    seconds: float, most: int, drawn: int, shown: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, labels = [100.0], []

    class Slow(Small):
        def images(self, latents: Latents, *, size: int | None = None) -> Tensor:
            clock[0] += seconds
            assert latents.labels is not None
            labels.append(int(latents.labels.argmax()))
            return super().images(latents)

    monkeypatch.setattr(base, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    generator = Slow(classes=3)
    sheet = generator.glimpse() if most == 8 else generator.glimpse(most)
    assert labels == [0, 1, 2, 0, 1, 2, 0, 1][:drawn]
    codes = generator.sample(range(shown), labels=0)
    assert sheet.tobytes() == contact_sheet(list(to_uint8(generator.images(codes))), columns=4).tobytes()


def test_a_generator_stays_in_evaluation_mode_without_gradients_of_its_weights() -> None:
    generator = ToyConv()
    assert not any(parameter.requires_grad for parameter in generator.parameters())
    assert generator.train() is generator
    assert not any(module.training for module in generator.modules())
    torch.nn.Module.train(generator.requires_grad_(True), True)
    assert generator.freeze() is generator
    assert not any(parameter.requires_grad for parameter in generator.parameters())


def test_a_small_generator_keeps_its_space_and_its_noise() -> None:
    generator, codes = Small(), Small().sample([0, 1])
    assert generator.convert(codes, "z") is codes
    with pytest.raises(SemanifoldError, match="has no latent space 'w'"):
        generator.convert(codes, "w")
    with pytest.raises(SemanifoldError, match="no way from space z to w"):
        Small("z", "w").convert(codes, "w")
    assert generator.with_noise("const") is generator
    with pytest.raises(SemanifoldError, match="has no noise"):
        generator.with_noise("none")
    assert generator.affine_maps("z") is None
    assert (generator.coarse_size(1), generator.coarse_size(2)) == (1, None)


class Noisy(Small):
    """Its pictures depend on two more numbers."""

    @property
    def conditions(self) -> Mapping[str, tuple[int, ...]]:
        return {"noise": (2,)}

    def codes_in(self, place: object) -> Latents:
        return Latents(torch.ones(1, 4), "z")


def test_other_conditions_are_zeros_in_examples_and_looked_up_by_their_shape() -> None:
    generator = Noisy("z", "w")
    codes = generator.example([1, 2])
    assert generator.condition(codes, "noise").tolist() == [[0, 0], [0, 0]]
    for conditions in ({}, {"noise": torch.zeros(2, 3)}):
        with pytest.raises(SemanifoldError, match="makes pictures of noise"):
            generator.condition(Latents(codes.values, "z", conditions), "noise")


def test_codes_of_a_file_come_in_the_first_space_unless_another_is_asked_for() -> None:
    generator = Noisy("z", "w")
    assert generator.sample("file").space == "z"
    with pytest.raises(SemanifoldError, match="no way from space z to w"):
        generator.sample("file", "w")


def test_a_probe_of_gradients_makes_one_picture() -> None:
    generator, sizes = Small(), []
    codes = generator.sample([0, 1])
    generator.images = lambda latents, **_: sizes.append(len(latents)) or Small.images(generator, latents)  # type: ignore[method-assign]
    generator.check_differentiable(codes)
    assert sizes == [1]
    assert not codes.values.requires_grad


def test_what_a_leaf_does_not_say_is_the_usual() -> None:
    generator = ToyConv()
    assert generator.sample([0]).labels is None
    assert (generator.conditions, Small(classes=3).conditions) == ({}, {"labels": (3,)})
    assert (generator.takes_inputs, generator.truncates, generator.shares_frames) == (False, False, True)
    other = ToyConv()
    assert other.fingerprint == generator.fingerprint
    other = ToyConv()
    other.first.weight.data[0, 0, 0, 0] += 1
    assert len(other.fingerprint) == 16
    assert other.fingerprint != generator.fingerprint
    html = generator._repr_html_()
    assert html is not None
    assert "toy-conv" in html
    assert "<img" in html


@pytest.mark.parametrize(
    ("channels", "seeds", "says"),
    [
        (2, [0], "in colour or in grey"),
        (3, None, "belongs to one picture"),
        (3, [0, 1], "belongs to one picture"),
        (3, [0], "the picture of"),
        (1, [0], "the picture of"),
    ],
)
def test_a_named_region_is_that_of_one_picture_in_colour_or_in_grey(channels: int, seeds: list[int] | None, says: str) -> None:
    generator = wrap(lambda z: z[:, :channels, None, None].expand(-1, -1, 32, 32), 3)
    with pytest.raises(SemanifoldError, match=says):
        generator.regions(None if seeds is None else generator.sample(seeds))("mouth")


def test_other_weights_are_another_generators() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(3, 12), torch.nn.Unflatten(1, (3, 2, 2)))
    generator = wrap(network, 3)
    other = generator.with_weights({"network.0": torch.zeros(12, 3)})
    assert not torch.equal(other.images(generator.sample([1])), generator.images(generator.sample([1])))
    torch.testing.assert_close(other.images(generator.sample([1])), network[0].bias.detach().reshape(1, 3, 2, 2))
