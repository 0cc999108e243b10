"""StyleGAN3 (Karras et al. 2021, arXiv:2106.12423) as a frozen, differentiable generator."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.core.shapes import Pictures
from semanifold.core.spaces import Space, named
from semanifold.generators.convolutional import averaged
from semanifold.generators.stylegan2.layers import Mapping
from semanifold.generators.stylegan3.config import StyleGAN3Config, plan
from semanifold.generators.stylegan3.layers import FilteredConv, FourierInput, Pose
from semanifold.generators.styles import Styled, StyleLayer


class StyleGAN3(Styled):
    """StyleGAN3-T and -R: a mapping network z to w, and a synthesis network free of aliasing that every layer's w steers.

    Attributes:
        config: sizes.
    """

    def __init__(
        self,
        config: StyleGAN3Config,
        *,
        name: str = "stylegan3",
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
        # 1. What it looks like from outside: spaces, picture, classes.
        plans, size, rate = plan(config)
        self.layers = (
            StyleLayer("input", 0, size, "input", 4),
            *(StyleLayer(f"convs.{i}", i + 1, p.size, "colour" if p.colour else "conv", p.inputs) for i, p in enumerate(plans)),
        )
        self.spaces = named(
            Space("z", (config.z_dim,)),
            Space("w", (config.w_dim,)),
            Space("w+", (config.num_ws, config.w_dim)),
            Space("s", (sum(layer.channels for layer in self.layers),), affine_of=("w", "w+")),
        )
        self.picture_shape, self.classes = (config.colours, config.size, config.size), config.classes
        # 2. Mapping, Fourier features, and layers.
        draw = torch.Generator().manual_seed(seed)
        widths = (config.z_dim, *[config.w_dim] * config.mapping_layers)
        self.mapping = Mapping(widths, config.classes, config.w_dim, draw, lr=config.mapping_lr, joint=False)
        self.register_buffer("w_avg", torch.zeros(config.w_dim))
        self.pose = Pose()
        self.input = FourierInput(config.channels[0], config.w_dim, size, rate, config.cutoff, draw)
        self.convs = nn.ModuleList(FilteredConv(p, config.w_dim, config.taps, config.clamp, draw) for p in plans)
        self.freeze()

    def images(self, latents: Latents, *, size: int | None = None) -> Pictures:
        """Return the pictures ``[n, colours, size, size]`` of codes of z, w, w+ or s; smaller ones are area averages.

        Raises:
            SemanifoldError: for codes that do not fit, or a size that is not there.
        """
        self.check_shape(latents)
        styles = self.layer_styles(latents)
        x = self.input(styles["input"], self.pose(latents.values.new_ones(len(latents), 1)))
        for i, layer in enumerate(self.convs):
            x = layer(x, styles[f"convs.{i}"])
        return averaged(x * self.config.scale, size, self.name)

    def in_frame(self, features: Tensor) -> Tensor:
        """See :meth:`Generator.in_frame`: features go beyond the picture by a margin, but for those of the last layers."""
        margin = self.config.margin
        if features.shape[-1] == self.config.size or features.shape[-1] <= 2 * margin or not margin:
            return features
        return features[..., margin:-margin, margin:-margin]

    def with_noise(self, kind: str, seed: int = 0) -> Self:
        """See :meth:`Generator.with_noise`; no layer has any, so that nothing but "none" can be asked for."""
        if kind not in ("const", "none"):
            raise SemanifoldError(f"{self.name} has no noise in its layers; leave noise= out.")
        return self
