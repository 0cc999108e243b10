"""R3GAN's generator: grouped residual blocks without normalisation (Huang et al. 2024, arXiv:2501.05441, Sec. 4)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import LABELS, Latents
from semanifold.core.shapes import Pictures
from semanifold.core.spaces import Space, named
from semanifold.generators.architecture import Architecture, by_key
from semanifold.generators.base import Generator
from semanifold.generators.convolutional import averaged, check_channels
from semanifold.generators.states import Say, Source, silent
from semanifold.generators.stylegan2.layers import drawn, upsample

KIND = "R3GAN"
MARK = re.compile(r"AggregationLayer\.Layer\.weight")
"""A key that the published state dicts hold, and no other network's."""
SLOPE = 0.2
"""Of the leaky rectifiers, on the negative side."""


@dataclass(frozen=True)
class R3GANConfig:
    """Everything that the shapes of the weights say about an R3GAN generator; every number is JSON-ready.

    Attributes:
        z_dim: width of z.
        channels: feature channels at 4, 8, ... pixels; the last size is that of the pictures.
        inner: channels inside of the blocks, at each of these sizes.
        groups: groups of the convolutions inside, at each size.
        blocks: residual blocks at each size.
        classes: number of classes; 0 for none.
        embedding: width of what stands for a class, beside z.
        colours: channels of the pictures.
    """

    z_dim: int = 64
    channels: tuple[int, ...] = (768, 768, 768, 768)
    inner: tuple[int, ...] = (1536, 1536, 1536, 1536)
    groups: tuple[int, ...] = (96, 96, 96, 96)
    blocks: tuple[int, ...] = (2, 2, 2, 2)
    classes: int = 0
    embedding: int = 0
    colours: int = 3

    def __post_init__(self) -> None:
        for name in ("channels", "inner", "groups", "blocks"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        check_channels(self.channels, "An R3GAN")
        fits = len(self.channels) == len(self.inner) == len(self.groups) == len(self.blocks) and all(
            groups > 0 and inner > 0 and inner % groups == 0 for inner, groups in zip(self.inner, self.groups, strict=True)
        )
        if not fits:
            raise SemanifoldError(
                f"An R3GAN needs as many inner channels and groups that divide them as sizes; got {self.inner}, {self.groups}."
            )

    @property
    def size(self) -> int:
        """Height and width of the pictures."""
        return 2 << len(self.channels)


class R3GAN(Generator):
    """R3GAN: a basis of 4 x 4 that z weighs, then residual blocks of three convolutions, at sizes that double.

    What stands for a class is joined to z. Pictures lie in about [-1, 1]; nothing bounds them.

    Attributes:
        config: sizes.
    """

    def __init__(
        self,
        config: R3GANConfig,
        *,
        name: str = "r3gan",
        source: str = "unknown",
        licence: str = "unknown",
        seed: int = 0,
    ) -> None:
        """Make a generator with random weights.

        Args:
            config: sizes.
            name: what people call it.
            source: where the weights are from.
            licence: licence of the weights.
            seed: seed of the random weights.
        """
        super().__init__()
        self.config, self.name, self.source, self.licence = config, name, source, licence
        self.spaces = named(Space("z", (config.z_dim,)))
        self.picture_shape, self.classes = (config.colours, config.size, config.size), config.classes
        draw, c = torch.Generator().manual_seed(seed), config.channels
        self.embedding = nn.Parameter(drawn(draw, config.classes, config.embedding)) if config.classes else None
        self.start = _Start(config.z_dim + config.embedding, c[0], draw)
        self.stages = nn.ModuleList(
            _Stage(c[max(i - 1, 0)], c[i], config.inner[i], config.groups[i], config.blocks[i], draw) for i in range(len(c))
        )
        self.colours = _Kernel(c[-1], config.colours, 1, 1, draw)
        self.freeze()

    def images(self, latents: Latents, *, size: int | None = None) -> Pictures:
        """Return the pictures ``[n, colours, size, size]`` of codes of z, with labels if there are classes.

        Smaller ones are area averages.

        Raises:
            SemanifoldError: for codes or labels that do not fit, or a size that is not there.
        """
        self.check_shape(latents)
        z = latents.values
        if self.embedding is not None:
            z = torch.cat([z, self.condition(latents, LABELS) @ self.embedding], 1)
        x = self.start(z)
        for i, stage in enumerate(self.stages):
            x = stage(x, double=i > 0)
        return averaged(self.colours(x), size, self.name)


class _Start(nn.Module):
    """Maps ``[c, 4, 4]``, each times a number that is linear in z ``[n, z]``: features ``[n, c, 4, 4]``."""

    def __init__(self, inputs: int, channels: int, generator: torch.Generator) -> None:
        super().__init__()
        self.basis = nn.Parameter(drawn(generator, channels, 4, 4))
        self.weight = nn.Parameter(drawn(generator, channels, inputs, std=max(inputs, 1) ** -0.5))

    def forward(self, z: Tensor) -> Tensor:
        return self.basis * F.linear(z, self.weight)[..., None, None]


class _Kernel(nn.Module):
    """A convolution without bias that keeps the size; its random first weights keep the variance behind a leaky rectifier."""

    def __init__(self, inputs: int, outputs: int, kernel: int, groups: int, generator: torch.Generator) -> None:
        super().__init__()
        self.groups = groups
        std = math.sqrt(2 / (1 + SLOPE**2) / (inputs // groups)) / kernel
        self.weight = nn.Parameter(drawn(generator, outputs, inputs // groups, kernel, kernel, std=std))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, padding=self.weight.shape[-1] // 2, groups=self.groups)


class _Block(nn.Module):
    """``x + W3 f(W2 f(W1 x + b1) + b2)``: 1 x 1 to the inner channels, 3 x 3 in groups, 1 x 1 back; ``[n, c, h, w]``."""

    def __init__(self, channels: int, inner: int, groups: int, generator: torch.Generator) -> None:
        super().__init__()
        self.enter = _Kernel(channels, inner, 1, 1, generator)
        self.bias1 = nn.Parameter(torch.zeros(inner))
        self.middle = _Kernel(inner, inner, 3, groups, generator)
        self.bias2 = nn.Parameter(torch.zeros(inner))
        self.leave = _Kernel(inner, channels, 1, 1, generator)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.middle(F.leaky_relu(self.enter(x) + self.bias1[:, None, None], SLOPE))
        return x + self.leave(F.leaky_relu(inner + self.bias2[:, None, None], SLOPE))


class _Stage(nn.Module):
    """The blocks of one size; before them the size is doubled, and other channels made if their number changes."""

    def __init__(self, inputs: int, channels: int, inner: int, groups: int, blocks: int, generator: torch.Generator) -> None:
        super().__init__()
        self.widen = _Kernel(inputs, channels, 1, 1, generator) if inputs != channels else None
        self.blocks = nn.ModuleList(_Block(channels, inner, groups, generator) for _ in range(blocks))

    def forward(self, x: Tensor, *, double: bool) -> Tensor:
        if double:
            x = upsample(x if self.widen is None else self.widen(x))
        for block in self.blocks:
            x = block(x)
        return x


def from_published(state: Mapping[str, Tensor], *, say: Say = silent) -> tuple[R3GANConfig, dict[str, Tensor]]:
    """Translate the ``G_ema`` of R3GAN's snapshots into our configuration and state.

    Raises:
        SemanifoldError: naming the tensor that is missing, left over, wrong or NaN.
    """
    take = Source(state, "published", KIND)
    basis = take("MainLayers.0.Layers.0.Basis", None, 4, 4)
    weight = take("MainLayers.0.Layers.0.LinearLayer.weight", basis.shape[0], None)
    out = {"start.basis": basis, "start.weight": weight}
    classes = embedding = 0
    if take.has("EmbeddingLayer.weight"):
        table = take("EmbeddingLayer.weight", None, None)
        embedding, classes = table.shape
        out["embedding"] = table.T.contiguous()
    if not embedding < weight.shape[1]:
        raise SemanifoldError("EmbeddingLayer.weight leaves no room for z in this R3GAN; the file is damaged, take another copy.")
    channels, inner, groups, blocks = [basis.shape[0]], [], [], []
    for i in range(_length(state, r"MainLayers\.(\d{1,4})\.")):
        theirs, ours = f"MainLayers.{i}.Layers", f"stages.{i}"
        if i:
            channels.append(channels[-1])
            if take.has(f"{theirs}.0.LinearLayer.Layer.weight"):
                widen = take(f"{theirs}.0.LinearLayer.Layer.weight", None, channels[-2], 1, 1)
                channels[-1], out[f"{ours}.widen.weight"] = widen.shape[0], widen
                if channels[-1] == channels[-2]:
                    raise SemanifoldError(
                        f"{theirs}.0 has as many channels as before, where a published R3GAN has no convolution."
                    )
            _check_filter(take, f"{theirs}.0.Resampler.Kernel")
        blocks.append(_length(state, rf"MainLayers\.{i}\.Layers\.(\d{{1,4}})\.") - 1)
        shapes = {_block(take, f"{theirs}.{j + 1}", f"{ours}.blocks.{j}", channels[-1], out) for j in range(blocks[-1])}
        if len(shapes) > 1:
            raise SemanifoldError(f"The blocks of {theirs} differ in their sizes; the file is of another network.")
        width, count = shapes.pop() if shapes else (1, 1)
        inner.append(width)
        groups.append(count)
    colours = take("AggregationLayer.Layer.weight", None, channels[-1], 1, 1)
    out["colours.weight"] = colours
    take.finish(say)
    sizes = tuple(channels), tuple(inner), tuple(groups), tuple(blocks)
    return R3GANConfig(weight.shape[1] - embedding, *sizes, classes, embedding, colours.shape[0]), out


def _length(state: Mapping[str, object], pattern: str) -> int:
    """Return how many numbers, from 0 to the largest, keys have at a place."""
    return max((int(match[1]) + 1 for key in state if (match := re.match(pattern, key))), default=1)


def _block(take: Source, theirs: str, ours: str, channels: int, out: dict[str, Tensor]) -> tuple[int, int]:
    """Take one block, and return its inner channels and groups."""
    enter = take(f"{theirs}.LinearLayer1.Layer.weight", None, channels, 1, 1)
    width = enter.shape[0]
    middle = take(f"{theirs}.LinearLayer2.Layer.weight", width, None, 3, 3)
    share = middle.shape[1]
    if not share or width % share:
        raise SemanifoldError(
            f"{theirs}.LinearLayer2 has {share} of {width} channels a group, which does not divide; take another copy."
        )
    out[f"{ours}.enter.weight"], out[f"{ours}.middle.weight"] = enter, middle
    out[f"{ours}.leave.weight"] = take(f"{theirs}.LinearLayer3.Layer.weight", channels, width, 1, 1)
    for i in (1, 2):
        out[f"{ours}.bias{i}"] = take(f"{theirs}.NonLinearity{i}.Bias", width)
    return width, width // share


def _check_filter(take: Source, key: str) -> None:
    """Refuse another filter than (1, 3, 3, 1)."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    value = take(key, 4, 4)
    if not value.is_meta and not torch.allclose(value, torch.outer(taps, taps).to(value), atol=1e-5):
        raise SemanifoldError(f"{key} is not the filter (1, 3, 3, 1) of R3GAN; models with another filter are not supported.")


R3GANS = Architecture(
    name="r3gan",
    kind=KIND,
    title="an R3GAN generator",
    layouts={"r3gan": "R3GAN"},
    mark=MARK.pattern,
    recognise=by_key("r3gan", MARK),
    translate=lambda foreign: from_published(foreign.state, say=foreign.say),
    config=R3GANConfig,
    make=R3GAN,
    depth=lambda config: 5 * sum(config.blocks) + len(config.channels),
)
