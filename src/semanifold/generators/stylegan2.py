"""StyleGAN2 (Karras et al. 2020, arXiv:1912.04958; ADA: arXiv:2006.06676) as a frozen, differentiable generator."""

from __future__ import annotations

import math
from collections.abc import Mapping as Mapping_
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semanifold.errors import SemanifoldError, near_names
from semanifold.generators.base import Generator
from semanifold.generators.states import assembled
from semanifold.generators.stylegan2_fused import fused_pictures
from semanifold.generators.stylegan2_layers import Bypass, Colour, Mapping, StyledConv, drawn, upsample
from semanifold.latents import Latents

Architecture = Literal["skip", "resnet", "orig"]
Noise = Literal["const", "random", "none"] | Sequence[Tensor]


@dataclass(frozen=True)
class StyleGAN2Config:
    """Everything that the shapes of the weights say about a StyleGAN2; every number is JSON-ready.

    Attributes:
        size: height and width of the pictures, a power of two from 8.
        z_dim: width of z.
        w_dim: width of w.
        channels: feature channels at 4, 8, 16, ... ``size`` pixels.
        mapping_layers: layers of the mapping network.
        mapping_width: width of its hidden layers; ``w_dim`` when None.
        mapping_lr: its learning rate multiplier, which also scales its weights.
        classes: number of classes, 0 without.
        joint_norm: z and the embedded class are normalised together (the TensorFlow code of 2019), not each by itself.
        colours: channels of the pictures.
        architecture: sum of small pictures (``skip``), residual blocks (``resnet``) or a plain stack (``orig``).
        clamp: features and colours are clamped to ``[-clamp, clamp]``; None for no limit.
    """

    size: int
    z_dim: int
    w_dim: int
    channels: tuple[int, ...]
    mapping_layers: int = 8
    mapping_width: int | None = None
    mapping_lr: float = 0.01
    classes: int = 0
    joint_norm: bool = False
    colours: int = 3
    architecture: Architecture = "skip"
    clamp: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        if self.size < 8 or self.size & (self.size - 1):
            raise SemanifoldError(f"A StyleGAN2 makes pictures of 8, 16, 32, ... pixels, not {self.size}; choose a power of two.")
        if len(self.channels) != int(math.log2(self.size)) - 1:
            raise SemanifoldError(
                f"A StyleGAN2 of {self.size} pixels needs {int(math.log2(self.size)) - 1} channel counts (for 4, 8, ... "
                f"{self.size} pixels), but got {len(self.channels)}."
            )
        if self.architecture not in ("skip", "resnet", "orig"):
            hint = near_names(self.architecture, ("skip", "resnet", "orig"))
            raise SemanifoldError(f"There is no StyleGAN2 architecture {self.architecture!r}: {hint}")

    @property
    def num_ws(self) -> int:
        """Codes in w+: one a convolution and one for the last colour layer."""
        return 2 * len(self.channels)


@dataclass(frozen=True)
class StyleLayer:
    """One layer that a code of w+ drives.

    Attributes:
        name: path of its module, so that ``f"{name}.weight"`` is the key of its raw weight in the state dict.
        index: position of its code in w+.
        size: height and width of its output.
        kind: ``"up"`` (doubles the size), ``"conv"`` or ``"colour"``.
    """

    name: str
    index: int
    size: int
    kind: Literal["up", "conv", "colour"]


class StyleGAN2(Generator):
    """StyleGAN2: mapping network z to w, and a synthesis network that every layer's w steers.

    It is made frozen; ``generator.train().requires_grad_(True)`` makes every weight trainable.

    Attributes:
        config: sizes and architecture.
        layers: which code of w+ drives which layer at which resolution, in the order of computation.
        w_avg: ``[w_dim]`` mean w, the centre of truncation.
    """

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
        self.spaces = {"z": (config.z_dim,), "w": (config.w_dim,), "w+": (config.num_ws, config.w_dim)}
        self.picture_shape, self.classes = (config.colours, config.size, config.size), config.classes
        draw, c, clamp = torch.Generator().manual_seed(seed), config.channels, config.clamp
        self.mapping = _mapping(config, draw)
        self.register_buffer("w_avg", torch.zeros(config.w_dim))
        self.const = nn.Parameter(drawn(draw, c[0], 4, 4))
        convs = [StyledConv(c[0], c[0], config.w_dim, 4, draw, up=False, clamp=clamp)]
        for i, (a, b) in enumerate(pairwise(c)):
            convs.append(StyledConv(a, b, config.w_dim, 8 << i, draw, up=True, clamp=clamp))
            convs.append(StyledConv(b, b, config.w_dim, 8 << i, draw, up=False, clamp=clamp))
        self.convs = nn.ModuleList(convs)
        coloured = c if config.architecture == "skip" else c[-1:]
        self.colours = nn.ModuleList(Colour(a, config.colours, config.w_dim, draw, clamp=clamp) for a in coloured)
        pairs = pairwise(c) if config.architecture == "resnet" else ()
        self.bypasses = nn.ModuleList(Bypass(a, b, draw) for a, b in pairs)
        self.layers = _layer_table(config)
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

    def images(self, latents: Latents, *, size: int | None = None, noise: Noise = "const") -> Tensor:
        """Return the pictures ``[n, colours, size, size]``.

        Args:
            latents: n codes of z, w or w+.
            size: a smaller power of two. A skip generator stops there and returns its running sum; the others make the
                full picture and average it down.
            noise: ``"const"`` (the stored maps), ``"none"``, ``"random"`` (fresh maps for every sample from torch's global
                random state), or one map a convolution, ``[h, h]`` or ``[n or 1, 1, h, h]`` (see :meth:`draw_noise`).

        Raises:
            SemanifoldError: for a size that is not there, codes that do not fit, or a wrong noise argument.
        """
        self.check_shape(latents)
        size = self.config.size if size is None else size
        if size not in [4 << i for i in range(len(self.config.channels))]:
            raise SemanifoldError(f"{self.name} makes pictures of 4, 8, ... {self.config.size} pixels, not {size}.")
        ws = self.convert(latents, "w+").values
        maps = self._noise(noise, len(ws))
        if self._fusible():
            convs, colours = cast("list[StyledConv]", list(self.convs)), cast("list[Colour]", list(self.colours))
            stop = len(self.convs) if self.config.architecture == "orig" else 2 * int(math.log2(size)) - 3
            pictures = fused_pictures(self._start(len(ws)), convs[:stop], colours, ws, maps)
            return pictures if pictures.shape[-1] == size else F.avg_pool2d(pictures, self.config.size // size)
        if self.config.architecture == "skip":
            return self._skip_pictures(ws, maps, size)
        pictures = self._plain_pictures(ws, maps)
        return pictures if size == self.config.size else F.avg_pool2d(pictures, self.config.size // size)

    def _fusible(self) -> bool:
        # a weight that is trained, or that functional_call has put in place, needs the operators' own derivatives
        weights = (layer.weight for layer in (*self.convs, *self.colours))
        frozen = all(isinstance(w, nn.Parameter) and not w.requires_grad and w.device.type == "cpu" for w in weights)
        plain = self.config.architecture != "resnet" and self.config.clamp is None
        return frozen and plain and not torch.is_autocast_enabled("cpu")

    def _start(self, n: int) -> Tensor:
        # channels-last from the start; every later operator keeps the layout
        return self.const.permute(1, 2, 0).contiguous().expand(n, 4, 4, -1).permute(0, 3, 1, 2)

    def _skip_pictures(self, ws: Tensor, maps: list[Tensor | None], size: int) -> Tensor:
        x = self.convs[0](self._start(len(ws)), ws[:, 0], maps[0])
        picture = self.colours[0](x, ws[:, 1])
        for i in range(1, int(math.log2(size)) - 1):
            x = self.convs[2 * i - 1](x, ws[:, 2 * i - 1], maps[2 * i - 1])
            x = self.convs[2 * i](x, ws[:, 2 * i], maps[2 * i])
            picture = upsample(picture) + self.colours[i](x, ws[:, 2 * i + 1])
        return picture

    def _plain_pictures(self, ws: Tensor, maps: list[Tensor | None]) -> Tensor:
        x = self.convs[0](self._start(len(ws)), ws[:, 0], maps[0])
        for i in range(1, len(self.config.channels)):
            shortcut = self.bypasses[i - 1](x) if self.config.architecture == "resnet" else None
            x = self.convs[2 * i - 1](x, ws[:, 2 * i - 1], maps[2 * i - 1])
            if shortcut is None:
                x = self.convs[2 * i](x, ws[:, 2 * i], maps[2 * i])
            else:
                x = shortcut + self.convs[2 * i](x, ws[:, 2 * i], maps[2 * i], gain=math.sqrt(0.5))
        return self.colours[0](x, ws[:, -1])

    def _noise(self, noise: Noise, n: int) -> list[Tensor | None]:
        if isinstance(noise, str):
            if noise == "const":
                return [conv.get_buffer("noise") for conv in self.convs]
            if noise == "random":
                like = self.w_avg
                return [torch.randn(n, 1, s, s, device=like.device, dtype=like.dtype) for s in self._noise_sizes()]
            if noise == "none":
                return [None] * len(self.convs)
            raise SemanifoldError(f"There is no noise {noise!r}: {near_names(noise, ('const', 'random', 'none'))}")
        shapes = [tuple(m.shape[-2:]) for m in noise]
        if shapes != [(s, s) for s in self._noise_sizes()]:
            raise SemanifoldError(
                f"{self.name} takes one noise map per convolution, of {self._noise_sizes()} pixels; got {shapes}."
            )
        return list(noise)

    def _noise_sizes(self) -> list[int]:
        return [layer.size for layer in self.layers if layer.kind != "colour"]

    def draw_noise(self, seed: int) -> list[Tensor]:
        """Return one noise map ``[h, h]`` a convolution, drawn from a seed; the same on every device."""
        draw = torch.Generator().manual_seed(seed)
        return [torch.randn(s, s, generator=draw).to(self.w_avg) for s in self._noise_sizes()]

    def convert(self, latents: Latents, space: str) -> Latents:
        """Carry codes from z to w (the mapping network, with labels), and from w to w+ (the same code for every layer).

        Labels stay with the codes, so that others of the same class can be drawn; pictures of w and w+ do not depend on them.
        """
        self.check_space(space)
        if latents.space == "z" and space in ("w", "w+"):
            if self.classes and latents.labels is None:
                raise SemanifoldError(f"{self.name} has {self.classes} classes; the z codes need labels [n, {self.classes}].")
            latents = Latents(self.mapping(latents.values, latents.labels), "w", latents.labels)
        if latents.space == "w" and space == "w+":
            latents = Latents(latents.values[:, None].expand(-1, self.config.num_ws, -1), "w+", latents.labels)
        return super().convert(latents, space)

    def sample(
        self,
        seeds: int | Sequence[int],
        space: str | None = None,
        *,
        labels: Tensor | Sequence[int] | int | None = None,
        truncation: float = 1.0,
        cutoff: int | None = None,
    ) -> Latents:
        """Draw one code per seed; see :meth:`Generator.sample`.

        Args:
            seeds: one integer a code.
            space: space of the result; without it z, or what :meth:`truncate` returns.
            labels: class index or ``[n, classes]`` weights.
            truncation: psi of :meth:`truncate`.
            cutoff: cutoff of :meth:`truncate`.
        """
        latents = super().sample(seeds, labels=labels)
        if truncation != 1:
            latents = self.truncate(latents, truncation, cutoff)
            if space == "z":
                raise SemanifoldError(
                    "Truncated codes live in w or w+, not in z; leave the truncation out or choose another space."
                )
        return self.convert(latents, space or latents.space)

    def truncate(self, latents: Latents, psi: float, cutoff: int | None = None) -> Latents:
        """Pull codes towards the mean: ``w_avg + psi (w - w_avg)`` (Karras et al. 2019, arXiv:1812.04948, appendix B).

        Args:
            latents: codes of z, w or w+.
            psi: 0 for the mean picture, 1 for no change.
            cutoff: only the first so many layers are pulled; all when None.

        Returns:
            Codes of w+ if they were given in w+ or a cutoff is given, else of w.
        """
        if latents.space == "z":
            latents = self.convert(latents, "w")
        if cutoff is None:
            return latents.with_values(torch.lerp(self.w_avg.expand_as(latents.values), latents.values, psi))
        latents = self.convert(latents, "w+")
        pulled = torch.lerp(self.w_avg.expand_as(latents.values), latents.values, psi)
        kept = torch.arange(self.config.num_ws, device=pulled.device)[:, None] >= cutoff
        return latents.with_values(torch.where(kept, latents.values, pulled))

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
        labels = F.one_hot(torch.randint(config.classes, (n,), generator=draw), config.classes).to(like)
    with torch.device("meta"):
        network = _mapping(config, draw)
    with torch.no_grad():
        return torch.func.functional_call(network, dict(mapping), (z, labels)).mean(0)


def _mapping(config: StyleGAN2Config, draw: torch.Generator) -> Mapping:
    widths = (config.z_dim, *[config.mapping_width or config.w_dim] * (config.mapping_layers - 1), config.w_dim)
    label_width = config.z_dim if config.joint_norm else config.w_dim
    return Mapping(widths, config.classes, label_width, draw, lr=config.mapping_lr, joint=config.joint_norm)


def _layer_table(config: StyleGAN2Config) -> tuple[StyleLayer, ...]:
    last = len(config.channels) - 1
    table = [StyleLayer("convs.0", 0, 4, "conv")]
    for i in range(last + 1):
        if i:
            table.append(StyleLayer(f"convs.{2 * i - 1}", 2 * i - 1, 4 << i, "up"))
            table.append(StyleLayer(f"convs.{2 * i}", 2 * i, 4 << i, "conv"))
        if config.architecture == "skip" or i == last:
            table.append(StyleLayer(f"colours.{i if config.architecture == 'skip' else 0}", 2 * i + 1, 4 << i, "colour"))
    return tuple(table)
