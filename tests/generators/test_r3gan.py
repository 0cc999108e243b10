"""R3GAN: its plain formula in double precision, its files, and files that are not whole."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from support.checkpoint_files import write_nvidia
from support.formula_weights import formula
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import LABELS, Latents
from semanifold.generators.inspecting import inspect_file
from semanifold.generators.loading import convert, load_generator
from semanifold.generators.r3gan import R3GAN, R3GANConfig, from_published

SMALL = R3GANConfig(5, (6, 6, 4), (8, 8, 4), (2, 4, 1), (1, 2, 1), classes=3, embedding=2)
TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8


def published(config: R3GANConfig = SMALL) -> dict[str, Tensor]:
    """The state of a snapshot of these sizes, with weights by a formula."""
    state: dict[str, Tensor] = {}

    def add(key: str, *shape: int) -> None:
        state[key] = (formula(1, len(state), torch.Size(shape).numel()) - 0.5).float().reshape(shape)

    if config.classes:
        add("EmbeddingLayer.weight", config.embedding, config.classes)
    for i, (channels, inner, groups, blocks) in enumerate(
        zip(config.channels, config.inner, config.groups, config.blocks, strict=True)
    ):
        layers = f"MainLayers.{i}.Layers"
        if i == 0:
            add(f"{layers}.0.Basis", channels, 4, 4)
            add(f"{layers}.0.LinearLayer.weight", channels, config.z_dim + config.embedding)
        else:
            state[f"{layers}.0.Resampler.Kernel"] = torch.outer(TAPS, TAPS)
            if config.channels[i - 1] != channels:
                add(f"{layers}.0.LinearLayer.Layer.weight", channels, config.channels[i - 1], 1, 1)
        for j in range(1, blocks + 1):
            add(f"{layers}.{j}.LinearLayer1.Layer.weight", inner, channels, 1, 1)
            add(f"{layers}.{j}.LinearLayer2.Layer.weight", inner, inner // groups, 3, 3)
            add(f"{layers}.{j}.LinearLayer3.Layer.weight", channels, inner, 1, 1)
            add(f"{layers}.{j}.NonLinearity1.Bias", inner)
            add(f"{layers}.{j}.NonLinearity2.Bias", inner)
    add("AggregationLayer.Layer.weight", config.colours, config.channels[-1], 1, 1)
    return state


def plain(state: dict[str, Tensor], config: R3GANConfig, z: Tensor, labels: Tensor | None) -> Tensor:
    """The network as its authors describe it, one operation a line; zeros are put between the pixels, then filtered."""
    w = {key: value.double() for key, value in state.items()}
    x = z if labels is None else torch.cat([z, labels @ w["EmbeddingLayer.weight"].T], 1)
    x = torch.einsum("chw,nc->nchw", w["MainLayers.0.Layers.0.Basis"], x @ w["MainLayers.0.Layers.0.LinearLayer.weight"].T)
    for i, blocks in enumerate(config.blocks):
        layers = f"MainLayers.{i}.Layers"
        if i:
            if f"{layers}.0.LinearLayer.Layer.weight" in w:
                x = F.conv2d(x, w[f"{layers}.0.LinearLayer.Layer.weight"])
            kernel = 4 * w[f"{layers}.0.Resampler.Kernel"][None, None].expand(x.shape[1], 1, 4, 4)
            x = F.conv_transpose2d(x, kernel, stride=2, padding=1, groups=x.shape[1])
        for j in range(1, blocks + 1):
            block = f"{layers}.{j}"
            y = F.conv2d(x, w[f"{block}.LinearLayer1.Layer.weight"]) + w[f"{block}.NonLinearity1.Bias"][:, None, None]
            y = torch.where(y > 0, y, 0.2 * y)
            y = F.conv2d(y, w[f"{block}.LinearLayer2.Layer.weight"], padding=1, groups=config.groups[i])
            y = y + w[f"{block}.NonLinearity2.Bias"][:, None, None]
            x = x + F.conv2d(torch.where(y > 0, y, 0.2 * y), w[f"{block}.LinearLayer3.Layer.weight"])
    return F.conv2d(x, w["AggregationLayer.Layer.weight"])


@pytest.mark.parametrize("config", [SMALL, R3GANConfig(5, (4, 6), (4, 8), (4, 2), (0, 1))])
def test_a_file_is_the_network_that_its_authors_describe(config, tmp_path):
    state = published(config)
    write_nvidia(tmp_path / "snapshot.pkl", {f"Model.{key}": value for key, value in state.items()})
    generator = load_generator(tmp_path / "snapshot.pkl")
    assert isinstance(generator, R3GAN)
    assert generator.picture_shape == (3, 2 << len(config.channels), 2 << len(config.channels))
    z = torch.randn(2, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.tensor([[1.0, 0, 0], [0, 0.25, 0.75]], dtype=torch.float64) if config.classes else None
    codes = Latents(z, "z", {} if labels is None else {LABELS: labels})
    torch.testing.assert_close(generator.double().images(codes), plain(state, config, z, labels))


def test_it_is_described_and_converted(tmp_path):
    torch.save(published(), tmp_path / "bare.pt")
    said = inspect_file(tmp_path / "bare.pt")
    assert (said.architecture, said.resolution, said.classes) == ("R3GAN generator", 16, 3)
    assert said.usable
    before = convert(tmp_path / "bare.pt", tmp_path / "ours.safetensors")
    after = load_generator(tmp_path / "ours.safetensors")
    assert before.fingerprint == after.fingerprint
    assert after.config == SMALL


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("MainLayers.1.Layers.2.NonLinearity2.Bias", None, "lacks the tensor MainLayers.1.Layers.2.NonLinearity2.Bias"),
        ("MainLayers.1.Layers.1.NonLinearity2.Bias", torch.full((8,), torch.nan), "NonLinearity2.Bias holds NaN"),
        ("MainLayers.1.Layers.1.SqueezeLayer.weight", torch.zeros(2, 2), "belong to no R3GAN"),
        ("MainLayers.1.Layers.1.LinearLayer2.Layer.weight", torch.zeros(8, 3, 3, 3), "does not divide"),
        ("MainLayers.1.Layers.1.LinearLayer2.Layer.weight", torch.zeros(8, 8, 3, 3), "differ in their sizes"),
        ("MainLayers.2.Layers.0.Resampler.Kernel", torch.ones(4, 4) / 16, "not the filter"),
        ("MainLayers.1.Layers.0.LinearLayer.Layer.weight", torch.zeros(6, 6, 1, 1), "as many channels as before"),
        ("EmbeddingLayer.weight", torch.zeros(7, 3), "no room for z"),
        ("AggregationLayer.Layer.weight", torch.zeros(3, 5, 1, 1), "has shape"),
    ],
)
def test_what_is_missing_left_over_or_wrong_is_named(key, value, words):
    state = published()
    if value is None:
        del state[key]
    else:
        state[key] = value
    with pytest.raises(SemanifoldError, match=re.escape(words)):
        from_published(state)


def test_sizes_that_make_no_network():
    for wrong in ({"inner": (4, 4)}, {"groups": (3, 1, 1)}, {"groups": (0, 1, 1)}, {"channels": (4,)}):
        with pytest.raises(SemanifoldError, match="R3GAN needs"):
            replace(SMALL, **wrong)
