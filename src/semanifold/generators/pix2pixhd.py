"""pix2pixHD (Wang et al. 2018, arXiv:1711.11585): pictures of label maps; also the residual generator of CycleGAN and pix2pix."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semanifold.core.errors import SemanifoldError, near_names, shown
from semanifold.core.latents import Latents
from semanifold.core.shapes import Pictures
from semanifold.core.spaces import Space, named
from semanifold.generators.architecture import Architecture, by_key
from semanifold.generators.base import Generator
from semanifold.generators.convolutional import NORM_EPSILON, Conv, averaged
from semanifold.generators.inputs import MOST_NUMBERS, Inputs, label_names, opened_inputs, read_options
from semanifold.generators.states import Say, Source, silent
from semanifold.generators.stylegan2.layers import drawn
from semanifold.images.masks import Mask, Regions

KIND = "pix2pixHD"
MARK = re.compile(r"model(\d+_\d+)?\.\d+\.conv_block\.\d+\.weight")
"""A key that the published state dicts hold, and no other network's."""
SPACE = "input"
DEEPEST = 8
"""Halvings of the size, or enhancers, that a network may have; published ones have four and one."""


@dataclass(frozen=True)
class Pix2PixHDConfig:
    """Everything that the shapes of the weights say about a network from pictures to pictures; every number is JSON-ready.

    Attributes:
        inputs: channels of its input.
        labelled: whether they are labels, one channel each, rather than colours.
        edges: whether the last channel is the map of the edges between instances.
        features: channels of the global network at its full size; they double with every halving.
        downsamplings: halvings in the global network.
        blocks: residual blocks at its smallest size.
        enhancers: local enhancers around the global network; each doubles the size.
        enhancer_blocks: residual blocks of an enhancer.
        colours: channels of the pictures.
        height: of the maps and the pictures, in pixels; the network takes any multiple of :attr:`multiple`.
        width: the same.
        names: what the labels are called; empty if that is not known.
    """

    inputs: int = 36
    labelled: bool = True
    edges: bool = True
    features: int = 64
    downsamplings: int = 4
    blocks: int = 9
    enhancers: int = 0
    enhancer_blocks: int = 3
    colours: int = 3
    height: int = 512
    width: int = 1024
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        if not (0 <= self.downsamplings <= DEEPEST and 0 <= self.enhancers <= DEEPEST):
            raise SemanifoldError(f"A {KIND} generator halves the size 0 to {DEEPEST} times, and has as many enhancers at most.")
        if min(self.inputs - self.edges, self.features >> self.enhancers, self.blocks, self.colours) < 1:
            raise SemanifoldError(f"A {KIND} generator has one channel and one block at least everywhere.")
        if self.names and len(self.names) != self.labels:
            raise SemanifoldError(f"{len(self.names)} names were given for {self.labels} labels.")
        check_size(self, self.height, self.width)

    @property
    def labels(self) -> int:
        """Number of labels, or of colours."""
        return self.inputs - self.edges

    @property
    def multiple(self) -> int:
        """What the height and the width are multiples of."""
        return 1 << (self.downsamplings + self.enhancers)


def check_size(config: Pix2PixHDConfig, height: int, width: int) -> None:
    """Refuse a size that the halvings do not divide, or that leaves nothing to normalise.

    Raises:
        SemanifoldError: naming both.
    """
    if height % config.multiple or width % config.multiple or min(height, width) < max(8, 2 * config.multiple):
        raise SemanifoldError(
            f"Height and width of the maps must be multiples of {config.multiple}, from {max(8, 2 * config.multiple)} on, but "
            f"they are {height} and {width} pixels; crop or enlarge the maps."
        )


class Pix2PixHD(Generator):
    """A network from label maps (or photos) to pictures, with instance normalisation; pictures lie in [-1, 1].

    Its one space is ``input``: ``[labels (+ edges), height, width]``, one channel of zeros and ones per label, and one that is 1
    on the edges between instances. There is no distribution to draw from: the files of a folder take the place of seeds, which
    number them in the order of their names, from 0, and begin again after the last.

    Attributes:
        config: sizes.
    """

    takes_inputs = True

    def __init__(
        self,
        config: Pix2PixHDConfig,
        *,
        name: str = "pix2pixhd",
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
        self._resize(config.height, config.width)
        draw, f = torch.Generator().manual_seed(seed), config.features
        widths = [f << i for i in range(config.downsamplings + 1)]
        self.first = _Framed(config.inputs, f, 7, draw)
        self.downs = nn.ModuleList(_Halving(a, 2 * a, draw) for a in widths[:-1])
        self.blocks = nn.ModuleList(_Block(widths[-1], draw) for _ in range(config.blocks))
        self.ups = nn.ModuleList(_Doubling(2 * a, a, draw) for a in reversed(widths[:-1]))
        self.enhancers = nn.ModuleList(
            _Enhancer(config.inputs, f >> n, config.enhancer_blocks, draw) for n in range(1, config.enhancers + 1)
        )
        self.colours = _Framed(f >> config.enhancers, config.colours, 7, draw)
        self.freeze()

    def _resize(self, height: int, width: int) -> None:
        self.spaces = named(Space(SPACE, (self.config.inputs, height, width)))
        self.picture_shape = (self.config.colours, height, width)

    def images(self, latents: Latents, *, size: int | None = None) -> Pictures:
        """Return the pictures ``[n, colours, height, width]`` of maps ``[n, inputs, height, width]``; smaller ones are averages.

        The global network sees the map at the smallest of its sizes; every enhancer adds its own features of the map at twice
        the size to what it got, and doubles it (section 3.1).

        Raises:
            SemanifoldError: for maps that do not fit, or a size that is not there.
        """
        self.check_shape(latents)
        maps = [latents.values]
        for _ in self.enhancers:
            maps.append(F.avg_pool2d(maps[-1], 3, 2, 1, count_include_pad=False))
        x = rectified(self.first(maps.pop()))
        for down in self.downs:
            x = down(x)
        for block in self.blocks:
            x = block(x)
        for up in self.ups:
            x = up(x)
        for enhancer in self.enhancers:
            x = enhancer(maps.pop(), x)
        return averaged(self.colours(x).tanh(), size, self.name)

    def draw(self, seed: int) -> Tensor:
        """Return the input number ``seed``, float32 on the CPU.

        Raises:
            SemanifoldError: if the generator was loaded without any.
        """
        if self.inputs is None:
            what = "label maps" if self.config.labelled else "pictures"
            raise SemanifoldError(
                f"{self.name} makes pictures of {what}, which seeds number; give a folder of them: inputs=FOLDER."
            )
        return self.inputs(seed)

    def with_inputs(self, inputs: Inputs) -> Self:
        """See :meth:`Generator.with_inputs`."""
        check_size(self.config, *inputs.size)
        other = self.with_weights({})
        other.inputs, other.config = inputs, replace(self.config, height=inputs.size[0], width=inputs.size[1])
        other._resize(*inputs.size)
        return other

    def with_folder(self, place: str | os.PathLike[str], *, say: Say = silent) -> Self:
        """See :meth:`Generator.with_folder`."""
        return self.with_inputs(opened_inputs(place, self.config, say))

    def codes_in(self, place: str | os.PathLike[str]) -> Latents:
        """See :meth:`Generator.codes_in`; all of them are kept in memory, 75 MB of each street of Cityscapes at 1024 x 512."""
        inputs = opened_inputs(place, self.config, silent)
        _, height, width = self.spaces[SPACE].shape
        if inputs.size != (height, width):
            raise SemanifoldError(
                f"{self.name} was loaded for inputs of {width} x {height} pixels, but these are {inputs.size[1]} x "
                f"{inputs.size[0]}; load the generator with inputs={shown(repr(os.fspath(place)), 60)}."
            )
        if len(inputs.files) * self.config.inputs * height * width > MOST_NUMBERS:
            raise SemanifoldError(f"{len(inputs.files)} inputs of this size do not fit into memory at once; give fewer.")
        return Latents(torch.stack([inputs(i) for i in range(len(inputs.files))]).to(self.device, self.dtype), SPACE)

    def regions(self, code: Latents | int | None = None) -> Regions:
        """Return the function that finds the region of a label, by its name or as ``label3``; of photos, that of a face.

        A generator of a world whose truth is known has its named regions as well, which come first.
        """
        known = super().regions(code)
        if not self.config.labelled:
            return known
        names = label_names(self.config)
        regions = () if self.world is None else self.world.regions

        def find(name: str) -> Mask:
            if name in regions:
                return known(name)
            if name not in names:
                every = [*names, *regions]
                raise SemanifoldError(f"{self.name} has no label {shown(name, 40)!r}: {near_names(name, every)}")
            if code is None:
                raise SemanifoldError("A label lies elsewhere in every map; say whose it is by a seed or a code.")
            one = self.sample(code) if isinstance(code, int) else code
            if len(one) != 1:
                raise SemanifoldError(f"The region of a label belongs to one map, but {len(one)} codes were given.")
            region = one.values[0, names[name]].detach().float().cpu()[None]
            if not region.any():
                raise SemanifoldError(f"There is no {name} in this map; choose another label or another map.")
            return Mask(name, lambda height, width: F.adaptive_avg_pool2d(region, (height, width))[0])

        return find


def rectified(x: Tensor) -> Tensor:
    """Rectify features that have been normalised."""
    return F.relu(instance_normalised(x))


def instance_normalised(x: Tensor) -> Tensor:
    """Instance normalisation without weights: every channel of every picture gets mean 0 and variance 1."""
    centred = x - x.mean((2, 3), keepdim=True)
    return centred * torch.rsqrt(centred.square().mean((2, 3), keepdim=True) + NORM_EPSILON)


class _Framed(Conv):
    """A convolution whose borders are continued by reflection: ``[n, in, h, w]`` to ``[n, out, h, w]``."""

    def forward(self, x: Tensor) -> Tensor:
        reach = self.weight.shape[-1] // 2
        return F.conv2d(F.pad(x, (reach,) * 4, mode="reflect"), self.weight, self.bias)


class _Halving(nn.Module):
    """A convolution that halves the size, normalised and rectified."""

    def __init__(self, inputs: int, outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(drawn(generator, outputs, inputs, 3, 3, std=(2 / (9 * inputs)) ** 0.5))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return rectified(F.conv2d(x, self.weight, self.bias, stride=2, padding=1))


class _Doubling(nn.Module):
    """A transposed convolution that doubles the size, normalised and rectified; its weight is ``[in, out, 3, 3]``."""

    def __init__(self, inputs: int, outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(drawn(generator, inputs, outputs, 3, 3, std=(8 / (9 * inputs)) ** 0.5))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return rectified(F.conv_transpose2d(x, self.weight, self.bias, stride=2, padding=1, output_padding=1))


class _Block(nn.Module):
    """A residual block of two convolutions, which keeps the size."""

    def __init__(self, channels: int, generator: torch.Generator) -> None:
        super().__init__()
        self.conv1 = _Framed(channels, channels, 3, generator)
        self.conv2 = _Framed(channels, channels, 3, generator)

    def forward(self, x: Tensor) -> Tensor:
        return x + instance_normalised(self.conv2(rectified(self.conv1(x))))


class _Enhancer(nn.Module):
    """A local enhancer: features of the map at half its size, added to those of the network inside, worked on and doubled."""

    def __init__(self, inputs: int, features: int, blocks: int, generator: torch.Generator) -> None:
        super().__init__()
        self.first = _Framed(inputs, features, 7, generator)
        self.down = _Halving(features, 2 * features, generator)
        self.blocks = nn.ModuleList(_Block(2 * features, generator) for _ in range(blocks))
        self.up = _Doubling(2 * features, features, generator)

    def forward(self, maps: Tensor, inside: Tensor) -> Tensor:
        x = self.down(rectified(self.first(maps))) + inside
        for block in self.blocks:
            x = block(x)
        return self.up(x)


def from_published(
    state: Mapping[str, Tensor], options: Mapping[str, str] | None = None, *, say: Say = silent
) -> tuple[Pix2PixHDConfig, dict[str, Tensor]]:
    """Translate ``latest_net_G.pth`` of pix2pixHD, or the residual generator of pytorch-CycleGAN-and-pix2pix.

    The sizes are those of the tensors. What the channels of the input mean they do not say; ``opt.txt``, which the training
    leaves beside the weights, does. Without it, three channels are colours, and more are labels and one map of edges.

    Args:
        state: tensors by name.
        options: what ``opt.txt`` says, by name.
        say: gets what was assumed or left out.

    Raises:
        SemanifoldError: naming the tensor that is missing, left over, wrong or NaN.
    """
    take, out = Source(state, "published", KIND), dict[str, Tensor]()
    enhancers = next(n for n in range(DEEPEST + 1) if n == DEEPEST or not take.has(f"model{n + 1}_1.1.weight"))
    weight = take("model.1.weight", None, None, 7, 7)
    features, inputs = weight.shape[:2]
    out |= {"first.weight": weight, "first.bias": take("model.1.bias", features)}
    downs = next(n for n in range(DEEPEST + 1) if n == DEEPEST or not take.has(f"model.{4 + 3 * n}.weight"))
    place, width = 4, features
    for i in range(downs):
        out |= _pair(take, f"model.{place}", f"downs.{i}", (2 * width, width, 3, 3), 2 * width)
        place, width = place + 3, 2 * width
    blocks, place, tensors = _blocks(take, "model", place, "", width)
    out |= tensors
    for i in range(downs):
        out |= _pair(take, f"model.{place}", f"ups.{i}", (width, width // 2, 3, 3), width // 2)
        place, width = place + 3, width // 2
    inner, last = 0, f"model.{place + 1}"
    for n in range(1, enhancers + 1):
        theirs, ours = f"model{n}", f"enhancers.{n - 1}"
        out |= _pair(take, f"{theirs}_1.1", f"{ours}.first", (width // 2, inputs, 7, 7), width // 2)
        out |= _pair(take, f"{theirs}_1.4", f"{ours}.down", (width, width // 2, 3, 3), width)
        inner, place, tensors = _blocks(take, f"{theirs}_2", 0, f"{ours}.", width)
        out |= tensors | _pair(take, f"{theirs}_2.{place}", f"{ours}.up", (width, width // 2, 3, 3), width // 2)
        width, last = width // 2, f"{theirs}_2.{place + 4}"
    colours = take(f"{last}.weight", None, width, 7, 7)
    out |= {"colours.weight": colours, "colours.bias": take(f"{last}.bias", colours.shape[0])}
    take.drop(".num_batches_tracked", ".running_mean", ".running_var")  # instance normalisation of old versions of PyTorch
    take.finish(say)
    labelled, edges = _meaning(inputs, options, say)
    shape = Pix2PixHDConfig(inputs, labelled, edges, features, downs, blocks, enhancers, inner or 3, colours.shape[0], 4096, 4096)
    height, width = 256 * max(1, shape.multiple // 128), 512 * max(1, shape.multiple // 128)
    return replace(shape, height=height, width=width if labelled else height), out


def _pair(take: Source, theirs: str, ours: str, shape: tuple[int, ...], outputs: int) -> dict[str, Tensor]:
    return {f"{ours}.weight": take(f"{theirs}.weight", *shape), f"{ours}.bias": take(f"{theirs}.bias", outputs)}


def _blocks(take: Source, theirs: str, place: int, ours: str, width: int) -> tuple[int, int, dict[str, Tensor]]:
    """Translate residual blocks; return how many there are, the place after them, and their tensors."""
    out, count = dict[str, Tensor](), 0
    while take.has(f"{theirs}.{place}.conv_block.1.weight"):
        block = f"{theirs}.{place}.conv_block"
        second = 5 if take.has(f"{block}.5.weight") else 6  # with dropout between them, which does nothing here
        for number, name in ((1, "conv1"), (second, "conv2")):
            out |= _pair(take, f"{block}.{number}", f"{ours}blocks.{count}.{name}", (width, width, 3, 3), width)
        place, count = place + 1, count + 1
    return count, place, out


def _meaning(inputs: int, options: Mapping[str, str] | None, say: Say) -> tuple[bool, bool]:
    """Return whether the channels of the input are labels, and whether the last one is a map of edges."""
    if options and (options.get("label_nc") or "").isdigit():
        labels, colours = int(options["label_nc"]), int(options["input_nc"]) if options.get("input_nc", "").isdigit() else 3
        edges = options.get("no_instance") == "False"
        if inputs == (labels or colours) + edges:
            return labels > 0, edges
        say("opt.txt does not fit the weights and was left out")
    if inputs in (1, 3):
        return False, False
    say(f"took its {inputs} input channels for {inputs - 1} labels and the edges of instances, since there is no opt.txt")
    return True, True


def layers_in(config: Pix2PixHDConfig) -> int:
    """Return the least number of layers that a configuration asks for."""
    return 2 + 2 * (config.downsamplings + config.blocks) + config.enhancers * (3 + 2 * config.enhancer_blocks)


PIX2PIXHD = Architecture(
    name="pix2pixhd",
    kind="pix2pixHD",
    title="a pix2pixHD generator",
    layouts={"published": "NVIDIA pix2pixHD, or pytorch-CycleGAN-and-pix2pix"},
    mark=MARK.pattern,
    recognise=by_key("published", MARK),
    translate=lambda foreign: from_published(foreign.state, read_options(foreign.folder), say=foreign.say),
    config=Pix2PixHDConfig,
    make=Pix2PixHD,
    depth=layers_in,
)
