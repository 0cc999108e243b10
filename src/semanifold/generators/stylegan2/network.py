"""StyleGAN2 (Karras et al. 2020, arXiv:1912.04958; ADA: arXiv:2006.06676) as a frozen, differentiable generator."""

from __future__ import annotations

import math
from collections.abc import Mapping as Mapping_
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semanifold.core.errors import SemanifoldError, near_names
from semanifold.core.latents import Latents
from semanifold.core.shapes import Pictures
from semanifold.core.spaces import Space, named
from semanifold.generators.mixed_weight import MixedWeight
from semanifold.generators.states import assembled
from semanifold.generators.stylegan2.config import StyleGAN2Config, layer_table
from semanifold.generators.stylegan2.fused import fused_pictures
from semanifold.generators.stylegan2.layers import Bypass, Colour, Mapping, StyledConv, drawn, upsample
from semanifold.generators.styles import Styled

Noise = Literal["const", "none"] | torch.Generator | Sequence[Tensor]


class StyleGAN2(Styled):
    """StyleGAN2: mapping network z to w, and a synthesis network that every layer's w steers.

    It is made frozen; ``generator.requires_grad_(True)`` makes every weight trainable.

    Attributes:
        config: sizes and architecture.
        noise: what the layers add; see :meth:`with_noise`.
    """

    noise: Noise = "const"

    def __init__(
        self,
        config: StyleGAN2Config,
        *,
        name: str = "stylegan2",
        source: str = "unknown",
        licence: str = "unknown",
        seed: int = 0,
    ) -> None:
        """Make a generator with random weights.

        Args:
            config: sizes and architecture.
            name: what people call it.
            source: where the weights are from.
            licence: licence of the weights.
            seed: seed of the random weights and noise maps.
        """
        super().__init__()
        self.config, self.name, self.source, self.licence = config, name, source, licence
        self.layers = layer_table(config)
        # 1. What it looks like from outside: spaces, picture, classes.
        styles = sum(layer.channels for layer in self.layers)
        self.spaces = named(
            Space("z", (config.z_dim,)),
            Space("w", (config.w_dim,)),
            Space("w+", (config.num_ws, config.w_dim)),
            Space("s", (styles,), affine_of=("w", "w+")),
        )
        self.picture_shape, self.classes = (config.colours, *config.sizes[-1]), config.classes
        # 2. Mapping, constant, and two convolutions per size after the first, which has one.
        draw, c, clamp = torch.Generator().manual_seed(seed), config.channels, config.clamp
        self.mapping = _mapping(config, draw)
        self.register_buffer("w_avg", torch.zeros(config.w_dim))
        self.const = nn.Parameter(drawn(draw, c[0], *config.const))
        convs = [StyledConv(c[0], c[0], config.w_dim, config.const, draw, up=False, clamp=clamp)]
        for (a, b), size in zip(pairwise(c), config.sizes[1:]):
            convs.append(StyledConv(a, b, config.w_dim, size, draw, up=True, clamp=clamp))
            convs.append(StyledConv(b, b, config.w_dim, size, draw, up=False, clamp=clamp))
        self.convs = nn.ModuleList(convs)
        # 3. Colours after every size (skip) or at the end; shortcuts around every size (resnet).
        coloured = c if config.architecture == "skip" else c[-1:]
        self.colours = nn.ModuleList(Colour(a, config.colours, config.w_dim, draw, clamp=clamp) for a in coloured)
        pairs = pairwise(c) if config.architecture == "resnet" else ()
        self.bypasses = nn.ModuleList(Bypass(a, b, draw) for a, b in pairs)
        self.freeze()

    @classmethod
    def from_state(
        cls,
        config: StyleGAN2Config,
        state: Mapping_[str, Tensor],
        *,
        name: str = "stylegan2",
        source: str = "unknown",
        licence: str = "unknown",
    ) -> StyleGAN2:
        """Make the generator of a state dict in our own layout, without drawing random weights first.

        Raises:
            SemanifoldError: naming the tensors that are missing, left over or of the wrong shape.
        """
        return assembled(lambda: cls(config, name=name, source=source, licence=licence), state, "StyleGAN2")

    def images(self, latents: Latents, *, size: int | None = None, noise: Noise | None = None) -> Pictures:
        """Return the pictures ``[n, colours, height, width]``.

        Args:
            latents: n codes of z, w, w+ or s.
            size: height of smaller pictures, that of the constant doubled any number of times; widths are in proportion. A skip
                generator stops there and returns its running sum; the others make the full picture and average it down.
            noise: ``"const"`` (the stored maps), ``"none"``, random numbers of the CPU (fresh maps for every sample), or one map
                per convolution, ``[h, w]`` or ``[n or 1, 1, h, w]`` (see :meth:`draw_noise`); that of :meth:`with_noise`
                when None, which is ``"const"`` unless another was asked for.

        Raises:
            SemanifoldError: for a size that is not there, codes that do not fit, or a wrong noise argument.
        """
        self.check_shape(latents)
        config, heights = self.config, [height for height, _ in self.config.sizes]
        size = config.size if size is None else size
        if size not in heights:
            raise SemanifoldError(
                f"{self.name} makes pictures of {heights[0]}, {heights[1]}, ... {config.size} pixels, not {size}."
            )
        # 1. How much to compute: a skip generator's picture of a size is a running sum, the others have none before the end.
        blocks = heights.index(size) + 1 if config.architecture == "skip" else len(heights)
        # 2. A style per layer, a noise map per convolution.
        # sizes double, so the first so many are those up to the constant's times 2^(blocks - 1)
        computed = [layer for layer in self.layers if layer.size <= config.const[0] << (blocks - 1)]
        styles, maps = self.layer_styles(latents, computed), self._noise(self.noise if noise is None else noise, len(latents))
        # 3. The fast kernels where nothing but the codes is differentiated, the layers one by one otherwise.
        if self._fusible():
            convs, colours = cast("list[StyledConv]", list(self.convs)), cast("list[Colour]", list(self.colours))
            stop = 2 * blocks - 1
            tints = [styles[f"colours.{i}"] for i in range(len(colours)) if f"colours.{i}" in styles]
            of_convs = [styles[f"convs.{i}"] for i in range(stop)]
            pictures = fused_pictures(self._start(len(latents)), convs[:stop], colours, of_convs, tints, maps)
        elif config.architecture == "skip":
            pictures = self._skip_pictures(self._start(len(latents)), styles, maps, blocks)
        else:
            pictures = self._plain_pictures(self._start(len(latents)), styles, maps)
        return pictures if pictures.shape[-2] == size else F.avg_pool2d(pictures, config.size // size)

    def _fusible(self) -> bool:
        # a weight that is trained, or that functional_call has put in place, needs the operators' own derivatives
        weights = (layer.weight for layer in (*self.convs, *self.colours))
        frozen = all(isinstance(w, nn.Parameter) and not w.requires_grad and w.device.type == "cpu" for w in weights)
        plain = self.config.architecture != "resnet" and self.config.clamp is None
        plain = plain and not any(isinstance(noise, MixedWeight) for noise in self.noise_maps().values())
        return frozen and plain and not torch.is_autocast_enabled("cpu")

    def _start(self, n: int) -> Tensor:
        # channels-last from the start; every later operator keeps the layout
        return self.const.permute(1, 2, 0).contiguous().expand(n, *self.config.const, -1).permute(0, 3, 1, 2)

    def _skip_pictures(self, x: Tensor, styles: Mapping_[str, Tensor], maps: list[Tensor | None], blocks: int) -> Tensor:
        x = self.convs[0](x, styles["convs.0"], maps[0])
        picture = self.colours[0](x, styles["colours.0"])
        for i in range(1, blocks):
            for j in (2 * i - 1, 2 * i):
                x = self.convs[j](x, styles[f"convs.{j}"], maps[j])
            # each size corrects the enlarged picture of the one before
            picture = upsample(picture) + self.colours[i](x, styles[f"colours.{i}"])
        return picture

    def _plain_pictures(self, x: Tensor, styles: Mapping_[str, Tensor], maps: list[Tensor | None]) -> Tensor:
        x = self.convs[0](x, styles["convs.0"], maps[0])
        for i in range(1, len(self.config.channels)):
            shortcut = self.bypasses[i - 1](x) if self.config.architecture == "resnet" else None
            up, conv = 2 * i - 1, 2 * i
            x = self.convs[up](x, styles[f"convs.{up}"], maps[up])
            if shortcut is None:
                x = self.convs[conv](x, styles[f"convs.{conv}"], maps[conv])
            else:
                # the sum of two has twice the variance; the shortcut has the factor in itself
                x = shortcut + self.convs[conv](x, styles[f"convs.{conv}"], maps[conv], gain=math.sqrt(0.5))
        return self.colours[0](x, styles["colours.0"])

    def _noise(self, noise: Noise, n: int) -> list[Tensor | None]:
        if isinstance(noise, str):
            if noise == "const":
                maps = self.noise_maps().values()
                return [noise.dense()[:, None] if isinstance(noise, MixedWeight) else noise for noise in maps]
            if noise == "none":
                return [None] * len(self.convs)
            raise SemanifoldError(f"There is no noise {noise!r}: {near_names(noise, ('const', 'none'))}")
        if isinstance(noise, torch.Generator):
            return [torch.randn(n, 1, *size, generator=noise).to(self.w_avg) for size in self._noise_sizes()]
        shapes = [tuple(m.shape[-2:]) for m in noise]
        if shapes != self._noise_sizes():
            raise SemanifoldError(
                f"{self.name} takes one noise map per convolution, of {self._noise_sizes()} pixels; got {shapes}."
            )
        return list(noise)

    def _noise_sizes(self) -> list[tuple[int, int]]:
        return [size for i, size in enumerate(self.config.sizes) for _ in range(1 if i == 0 else 2)]

    def noise_maps(self) -> Mapping_[str, Tensor]:
        """See :meth:`Generator.noise_maps`: one ``[h, w]`` per convolution."""
        return {f"convs.{i}.noise": cast("StyledConv", conv).noise for i, conv in enumerate(self.convs)}

    def draw_noise(self, seed: int) -> list[Tensor]:
        """Return one noise map ``[h, w]`` per convolution, drawn from a seed; the same on every device."""
        draw = torch.Generator().manual_seed(seed)
        return [torch.randn(size, generator=draw).to(self.w_avg) for size in self._noise_sizes()]

    def coarse_size(self, size: int) -> int | None:
        """See :meth:`Generator.coarse_size`."""
        return next((height for height, _ in self.config.sizes[:-1] if height >= size), None)

    def with_noise(self, kind: str, seed: int = 0) -> Self:
        """See :meth:`Generator.with_noise`."""
        if kind not in ("const", "random", "none"):
            raise SemanifoldError(f"There is no noise {kind!r}: {near_names(kind, ('const', 'random', 'none'))}")
        other = self.with_weights({})
        other.noise = torch.Generator().manual_seed(seed) if kind == "random" else kind
        return other


def average_w(config: StyleGAN2Config, mapping: Mapping_[str, Tensor], *, n: int = 10_000, seed: int = 0) -> Tensor:
    """Estimate the mean w ``[w_dim]``, the value of :attr:`StyleGAN2.w_avg`, over random codes and random classes.

    Args:
        config: sizes of the mapping network.
        mapping: its weights, ``generator.mapping.state_dict()``.
        n: number of codes.
        seed: seed of the codes.
    """
    draw = torch.Generator().manual_seed(seed)
    like = mapping["layers.0.bias"]
    z = torch.randn(n, config.z_dim, generator=draw).to(like)
    labels = None
    if config.classes:
        # classes as they are drawn in training: uniformly
        labels = F.one_hot(torch.randint(config.classes, (n,), generator=draw), config.classes).to(like)
    with torch.device("meta"):
        network = _mapping(config, draw)
    with torch.no_grad():
        return torch.func.functional_call(network, dict(mapping), (z, labels)).mean(0)


def _mapping(config: StyleGAN2Config, draw: torch.Generator) -> Mapping:
    widths = (config.z_dim, *[config.mapping_width or config.w_dim] * (config.mapping_layers - 1), config.w_dim)
    label_width = config.z_dim if config.joint_norm else config.w_dim
    return Mapping(widths, config.classes, label_width, draw, lr=config.mapping_lr, joint=config.joint_norm)
