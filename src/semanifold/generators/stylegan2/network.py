"""StyleGAN2 (Karras et al. 2020, arXiv:1912.04958; ADA: arXiv:2006.06676) as a frozen, differentiable generator."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping as Mapping_
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semanifold.core.errors import SemanifoldError, near_names, of_type, shown
from semanifold.core.latents import LABELS, Latents
from semanifold.core.shapes import Pictures
from semanifold.core.spaces import Space, named
from semanifold.generators.base import Generator
from semanifold.generators.seeds import Seeds
from semanifold.generators.states import assembled
from semanifold.generators.stylegan2.config import StyleGAN2Config, layer_table
from semanifold.generators.stylegan2.fused import fused_pictures
from semanifold.generators.stylegan2.layers import Bypass, Colour, Mapping, StyledConv, drawn, upsample

Noise = Literal["const", "none"] | torch.Generator | Sequence[Tensor]


class StyleGAN2(Generator):
    """StyleGAN2: mapping network z to w, and a synthesis network that every layer's w steers.

    It is made frozen; ``generator.requires_grad_(True)`` makes every weight trainable.

    Attributes:
        config: sizes and architecture.
        layers: which code of w+ drives which layer at which resolution, in the order of computation, which is also that of their
            styles in a code of s.
        w_avg: ``[w_dim]`` mean w, the centre of truncation.
        noise: what the layers add; see :meth:`with_noise`.
    """

    truncates = True
    noise: Noise = "const"
    w_avg: Tensor

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
        styles, maps = self._styles(latents, blocks), self._noise(self.noise if noise is None else noise, len(latents))
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

    def _styles(self, latents: Latents, blocks: int | None = None) -> dict[str, Tensor]:
        """Return the style ``[n, channels]`` of every layer of the first so many sizes (all when None), by its name."""
        # sizes double, so the first so many are those up to the constant's times 2^(blocks - 1)
        layers = [layer for layer in self.layers if blocks is None or layer.size <= self.config.const[0] << (blocks - 1)]
        if latents.space == "s":
            parts = latents.values.split([layer.channels for layer in self.layers], dim=-1)
            return {layer.name: part for layer, part in zip(layers, parts)}
        ws = self.convert(latents, "w+").values
        return {layer.name: self.get_submodule(layer.name).affine(ws[:, layer.index]) for layer in layers}  # type: ignore[operator]  # each has one

    def _fusible(self) -> bool:
        # a weight that is trained, or that functional_call has put in place, needs the operators' own derivatives
        weights = (layer.weight for layer in (*self.convs, *self.colours))
        frozen = all(isinstance(w, nn.Parameter) and not w.requires_grad and w.device.type == "cpu" for w in weights)
        plain = self.config.architecture != "resnet" and self.config.clamp is None
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
                return [conv.get_buffer("noise") for conv in self.convs]
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

    def draw_noise(self, seed: int) -> list[Tensor]:
        """Return one noise map ``[h, w]`` per convolution, drawn from a seed; the same on every device."""
        draw = torch.Generator().manual_seed(seed)
        return [torch.randn(size, generator=draw).to(self.w_avg) for size in self._noise_sizes()]

    def coarse_size(self, size: int) -> int | None:
        """See :meth:`Generator.coarse_size`."""
        return next((height for height, _ in self.config.sizes[:-1] if height >= size), None)

    def convert(self, latents: Latents, space: str) -> Latents:
        """Carry codes from z to w (the mapping network, with labels), w to w+ (the same code for every layer), w+ to s (styles).

        Labels stay with the codes, so that others of the same class can be drawn; pictures of w, w+ and s do not depend on them.
        """
        self.check_space(space)
        if latents.space == "z" and space in ("w", "w+", "s"):
            labels = self.condition(latents, LABELS) if self.classes else None
            latents = latents.with_values(self.mapping(latents.values, labels), "w")
        if latents.space == "w" and space in ("w+", "s"):
            latents = latents.with_values(latents.values[:, None].repeat(1, self.config.num_ws, 1), "w+")
        if latents.space == "w+" and space == "s":
            latents = latents.with_values(torch.cat(list(self._styles(latents).values()), dim=-1), "s")
        return super().convert(latents, space)

    def channel_index(self, name: str) -> int:
        """Return the place in a code of s of a channel such as ``"6_364"``: layer 6, channel 364, both counted from 0.

        Layers are numbered as they are computed, the colour layers among them (Wu et al. 2021, StyleSpace, arXiv:2011.12799): of
        a skip generator 0 is the first convolution, 1 its colours, 2 and 3 the convolutions of the next size, 4 its colours.

        Raises:
            SemanifoldError: if there is no such channel; it says which there are.
        """
        of_type(name, str, "A channel is called by its name")
        match = re.fullmatch(r"(\d{1,4})_(\d{1,6})", name)
        if match is None:
            raise SemanifoldError(
                f"A channel is called by its layer and its number in it, such as 6_12, but {shown(name, 40)!r} was given."
            )
        layer, channel = int(match[1]), int(match[2])
        if layer >= len(self.layers):
            raise SemanifoldError(f"There is no channel {name}: {self.name} has the layers 0..{len(self.layers) - 1}.")
        width = self.layers[layer].channels
        if channel >= width:
            raise SemanifoldError(
                f"There is no channel {name}: layer {layer} of {self.name} has the channels {layer}_0 to {layer}_{width - 1}."
            )
        return sum(before.channels for before in self.layers[:layer]) + channel

    def channel_name(self, index: int) -> str:
        """Return the name of the channel at a place in a code of s; see :meth:`channel_index`.

        Raises:
            SemanifoldError: if there is no such place.
        """
        total = self.spaces["s"].numbers
        of_type(index, int, "A place in a code is a whole number")
        if not 0 <= index < total:
            raise SemanifoldError(f"Codes of s have the places 0..{total - 1} in {self.name}, not {shown(str(index), 20)}.")
        for place, layer in enumerate(self.layers):
            if index < layer.channels:
                return f"{place}_{index}"
            index -= layer.channels
        raise AssertionError("the layers make up the code")

    def sample(
        self,
        seeds: Seeds,
        space: str | None = None,
        *,
        labels: Tensor | Sequence[int] | int | None = None,
        conditions: Mapping_[str, Tensor] | None = None,
        truncation: float = 1.0,
        cutoff: int | None = None,
    ) -> Latents:
        """Draw one code per seed; see :meth:`Generator.sample`.

        Args:
            seeds: one whole number per code.
            space: space of the result; without it z, or what :meth:`truncate` returns.
            labels: class index or ``[n, classes]`` weights.
            conditions: the same by its name, ``{"labels": weights}``.
            truncation: psi of :meth:`truncate`.
            cutoff: cutoff of :meth:`truncate`.
        """
        latents = super().sample(seeds, labels=labels, conditions=conditions)
        if truncation != 1:
            latents = self.truncate(latents, truncation, cutoff)
            if space == "z":
                raise SemanifoldError(
                    "Truncated codes live in w or w+, not in z; leave the truncation out or choose another space."
                )
        return self.convert(latents, space or latents.space)

    def affine_maps(self, space: str, layers: tuple[int, int] | None = None) -> list[Tensor] | None:
        """See :meth:`Generator.affine_maps`: from w to the styles of the convolutions that these layers of w+ drive."""
        if space == "z":
            return None
        if space == "s":
            raise SemanifoldError(f"Codes of s are styles already, which no map of {self.name} meets; take w or w+.")
        first, stop = layers or (0, self.config.num_ws)
        state = self.state_dict()
        chosen = [layer for layer in self.layers if layer.kind != "colour" and first <= layer.index < stop]
        return [state[f"{layer.name}.affine.weight"] for layer in chosen]

    def with_noise(self, kind: str, seed: int = 0) -> Self:
        """See :meth:`Generator.with_noise`."""
        if kind not in ("const", "random", "none"):
            raise SemanifoldError(f"There is no noise {kind!r}: {near_names(kind, ('const', 'random', 'none'))}")
        other = self.with_weights({})
        other.noise = torch.Generator().manual_seed(seed) if kind == "random" else kind
        return other

    def truncate(self, latents: Latents, psi: float, cutoff: int | None = None) -> Latents:
        """Pull codes towards the mean: ``w_avg + psi (w - w_avg)`` (Karras et al. 2019, arXiv:1812.04948, appendix B).

        Args:
            latents: codes of z, w, w+ or s.
            psi: 0 for the mean picture, 1 for no change.
            cutoff: only the first so many layers of w+ are pulled; all when None.

        Returns:
            Codes of s or w+ if they were given there, of w+ if a cutoff is given, else of w.
        """
        # 1. To the space in which codes are pulled: w, or w+ where layers are told apart.
        if latents.space != "s":
            latents = self.convert(latents, "w+" if cutoff is not None or latents.space == "w+" else "w")
        # 2. The mean code there. Styles are affine in w, so pulling in s is pulling in w+.
        mean = self.convert(Latents(self.w_avg[None], "w"), latents.space).values
        pulled = torch.lerp(mean.expand_as(latents.values), latents.values, psi)
        if cutoff is None:
            return latents.with_values(pulled)
        # 3. Only the first layers: codes of others stay; a channel of s belongs to the layer of w+ that drives it.
        driven = torch.arange(self.config.num_ws, device=pulled.device)[:, None]
        if latents.space == "s":
            places = [torch.full((layer.channels,), layer.index, device=pulled.device) for layer in self.layers]
            driven = torch.cat(places)
        return latents.with_values(torch.where(driven >= cutoff, latents.values, pulled))

    def mix(self, a: Latents, b: Latents, layers: tuple[int, int]) -> Latents:
        """Style mixing: the codes of ``a`` in w+ with those of ``b`` in the layers ``first .. last`` of ``(first, last + 1)``.

        Raises:
            SemanifoldError: for a layer range that is not there or batches that do not fit.
        """
        first, stop = layers
        if not 0 <= first < stop <= self.config.num_ws:
            raise SemanifoldError(
                f"{self.name} has the layers 0..{self.config.num_ws - 1}; {first}..{stop - 1} is no range of them."
            )
        if len(a) != len(b) and 1 not in (len(a), len(b)):
            raise SemanifoldError(f"{len(a)} and {len(b)} codes cannot be mixed; give equally many, or one for all.")
        index = torch.arange(self.config.num_ws, device=a.values.device)[:, None]
        chosen = (index >= first) & (index < stop)
        layered = self.convert(a, "w+")
        return layered.with_values(torch.where(chosen, self.convert(b, "w+").values, layered.values))


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
