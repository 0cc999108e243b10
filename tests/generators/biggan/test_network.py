"""BigGAN against the published pictures; classes, spectral normalisation and the layouts of every size."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from support.published_generators import FILES, SMALL, as_published, gradient, shapes
from support.reference import GRADIENTS, agree, numbers, settings

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.generators.biggan.layout import from_published
from semanifold.generators.biggan.network import BigGAN, BigGANConfig, spectral_norm
from semanifold.generators.loading import load_generator
from semanifold.generators.states import assembled


def test_published_pictures() -> None:
    generator, expected, config = load_generator(FILES["biggan"]), numbers("biggan"), settings("biggan")
    assert isinstance(generator, BigGAN)
    arch = config["arch"]
    assert generator.config == BigGANConfig(
        z_dim=config["dim_z"],
        classes=config["n_classes"],
        embedding=config["generator_config"]["shared_dim"],
        channels=(arch["in_channels"][0], *arch["out_channels"]),
        attention=tuple(int(size) for size, on in arch["attention"].items() if on),
    )
    assert generator.config.chunk == config["z_chunk_size"]
    labels = F.one_hot(expected["y"], config["n_classes"]).float()
    codes = Latents(expected["z"], "z", labels)
    agree(generator.images(codes), expected["img"])
    agree(gradient(generator, codes), expected["grad_z"], GRADIENTS)
    other = F.one_hot((expected["y"] + 7) % config["n_classes"], config["n_classes"])  # the fixture's second class
    mixed = (labels + other) / 2
    agree(mixed @ generator.embedding, expected["class_embedding_mix"])
    agree(generator.images(Latents(expected["z"], "z", mixed)[0]), expected["img_soft"])


def test_the_real_model_is_understood() -> None:
    state = shapes("biggan_128")
    config, ours = from_published(state, {})
    assert config == BigGANConfig()
    generator = assembled(lambda: BigGAN(config), ours, "BigGAN")
    logs = sum(value.numel() for key, value in state.items() if key.endswith(".sv0"))
    assert sum(v.numel() for v in generator.state_dict().values()) == sum(v.numel() for v in state.values()) - logs


CHANNELS = {64: (16, 16, 8, 4, 2), 256: (16, 16, 8, 8, 4, 2, 1), 512: (16, 16, 8, 8, 4, 2, 1, 1)}


@pytest.mark.parametrize(
    "config",
    [
        BigGANConfig(100, 1000, 128, tuple(64 * c for c in CHANNELS[64]), attention=(32,)),
        BigGANConfig(140, 1000, 128, tuple(96 * c for c in CHANNELS[256])),
        BigGANConfig(160, 1000, 128, tuple(96 * c for c in CHANNELS[512])),
        BigGANConfig(128, 10, 128, (256,) * 4, attention=(), hierarchical=False),
        BigGANConfig(36, 3, 7, (8, 8, 8), attention=(8, 16), colours=1),
    ],
)
def test_every_layout_is_read_from_its_shapes(config: BigGANConfig) -> None:
    with torch.device("meta"):
        state = BigGAN(config).state_dict()
    told, ours = from_published(as_published(state), {"dim_z": config.z_dim, "hier": config.hierarchical})
    assert told == config
    assert {key: value.shape for key, value in ours.items()} == {key: value.shape for key, value in state.items()}


def test_configurations_that_make_no_network() -> None:
    with pytest.raises(SemanifoldError, match="cut into 6 equal chunks"):
        BigGANConfig(z_dim=121)
    with pytest.raises(SemanifoldError, match=r"attend at .*not at"):
        BigGANConfig(attention=(256,))


def test_spectral_norm_is_one_power_iteration() -> None:
    draw = torch.Generator().manual_seed(0)
    weight = torch.randn(6, 4, 3, 3, generator=draw, dtype=torch.float64)
    left, singular, _ = torch.linalg.svd(weight.flatten(1))
    torch.testing.assert_close(spectral_norm(weight, left[:, 0]), singular[0])
    u = torch.randn(6, generator=draw, dtype=torch.float64)
    v = weight.flatten(1).T @ u
    expected = (weight.flatten(1) @ (v / v.norm())).norm()
    torch.testing.assert_close(spectral_norm(weight, u), expected)
    assert expected < singular[0]
    assert spectral_norm(torch.zeros(2, 3), torch.ones(2)) == 0


def test_the_estimate_decides_the_pictures() -> None:
    """The exact singular value makes other pictures, so the stored vectors are part of the model and of its fingerprint."""
    generator, other = SMALL["biggan"](), SMALL["biggan"]()
    conv = other.blocks[0].get_submodule("conv1")
    conv.load_state_dict(conv.state_dict() | {"u": torch.linalg.svd(conv.get_parameter("weight").flatten(1))[0][:, 0]})
    codes = generator.sample([0], labels=1)
    assert (generator.images(codes) - other.images(codes)).abs().max() > 1e-3
    assert other.fingerprint != generator.fingerprint


def test_the_textbook_block() -> None:
    """One block in double precision with repeated pixels, PyTorch's batch normalisation and divided weights."""
    generator = SMALL["biggan"]().double()
    block, state = generator.blocks[1], generator.blocks[1].state_dict()
    x = torch.randn(2, 8, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    condition = torch.randn(2, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def weight(name: str) -> torch.Tensor:
        return state[f"{name}.weight"] / spectral_norm(state[f"{name}.weight"], state[f"{name}.u"])

    def norm(name: str, x: torch.Tensor) -> torch.Tensor:
        x = F.batch_norm(x, state[f"{name}.mean"], state[f"{name}.variance"])
        gain, shift = condition @ weight(f"{name}.gain").T, condition @ weight(f"{name}.shift").T
        return ((1 + gain)[:, :, None, None] * x + shift[:, :, None, None]).clamp(min=0)

    def up(x: torch.Tensor) -> torch.Tensor:
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)

    inner = F.conv2d(up(norm("norm1", x)), weight("conv1"), state["conv1.bias"], padding=1)
    inner = F.conv2d(norm("norm2", inner), weight("conv2"), state["conv2.bias"], padding=1)
    expected = inner + F.conv2d(up(x), weight("bypass"), state["bypass.bias"])
    torch.testing.assert_close(block(x, condition), expected)


def test_every_sample_keeps_its_class() -> None:
    generator = SMALL["biggan"]()
    index = torch.tensor([4, 0, 2])
    codes = generator.sample([7, 8, 9], labels=index)
    assert codes.labels is not None
    assert codes.labels.argmax(1).tolist() == [4, 0, 2]
    assert torch.equal(codes.labels, F.one_hot(index, 5).float())
    assert torch.equal(generator.sample([7, 8, 9], labels=F.one_hot(index, 5)).labels, codes.labels)
    assert torch.equal(generator.sample([7, 8], labels=3).labels, F.one_hot(torch.tensor([3, 3]), 5).float())
    moved = generator.images(codes.with_values(codes.values + 0.5))
    for i, label in enumerate(index.tolist()):
        alone = generator.sample([7 + i], labels=label)
        torch.testing.assert_close(generator.images(alone.with_values(alone.values + 0.5)), moved[i : i + 1])
    other = generator.sample([7, 8, 9], labels=(index + 1) % 5)
    assert torch.equal(other.values, codes.values)
    assert (generator.images(other) - generator.images(codes)).abs().amax((1, 2, 3)).min() > 1e-4


def test_a_mixture_of_classes_is_differentiable() -> None:
    generator = SMALL["biggan"]().double()
    codes = generator.sample([0], labels=torch.tensor([[0.5, 0.5, 0.0, 0.0, 0.0]]))
    labels = codes.labels
    assert labels is not None
    slope = torch.func.jvp(
        lambda t: generator.images(Latents(codes.values, "z", labels + t * torch.tensor([[1.0, -1, 0, 0, 0]]))),
        (torch.zeros(()).double(),),
        (torch.ones(()).double(),),
    )[1]
    assert slope.abs().max() > 1e-4


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (None, "say which one"),
        (5, "no class 5.*0..4"),
        (-1, "no class -1"),
        (10**30, "no class"),
        (torch.tensor([0, 5]), "no class 5"),
        (torch.tensor([0, 1, 2]), r"\[2, 5\] or as 2 class indices.*\[3\] of int64"),
        (torch.tensor([0.0, 1.0]), r"whole numbers.*float32"),
        (torch.tensor([True, False]), "whole numbers.*bool"),
        (torch.zeros(2, 4), r"\[2, 4\]"),
    ],
)
def test_labels_that_do_not_fit(labels: object, words: str) -> None:
    generator = SMALL["biggan"]()
    with pytest.raises(SemanifoldError, match=words):
        generator.sample([0, 1], labels=labels)  # type: ignore[arg-type]


def test_codes_without_their_labels() -> None:
    generator = SMALL["biggan"]()
    for labels in (None, torch.zeros(2, 4), torch.zeros(1, 5)):
        with pytest.raises(SemanifoldError, match=r"need labels \[2, 5\]"):
            generator.images(Latents(torch.zeros(2, 8), "z", labels))
    with pytest.raises(SemanifoldError, match="not class-conditional"):
        SMALL["proggan"]().sample([0], labels=torch.tensor([1]))
