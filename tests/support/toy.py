"""Small generators of which everything is known, for the locality tests."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from semanifold.core.latents import Latents
from semanifold.core.spaces import Space, named
from semanifold.generators.base import Generator
from semanifold.images.masks import Mask, box
from semanifold.locality.worlds import World


class Toy(Generator):
    """Four codes: z0 moves a pattern on the left half, z1 one on the right half, z2 both, z3 nothing."""

    name = "toy"
    spaces = named(Space("z", (4,)))
    picture_shape = (3, 16, 16)

    def __init__(self) -> None:
        super().__init__()
        y, x = torch.meshgrid(torch.linspace(0, 3, 16), torch.linspace(0, 5, 16), indexing="ij")
        pattern = torch.sin(x + 2 * y + torch.tensor([0.0, 1.0, 2.0]).view(3, 1, 1))
        left = (torch.arange(16) < 8).float()
        self.register_buffer("basis", torch.stack([pattern * left, pattern * (1 - left), pattern * 0.7, pattern * 0]))
        self.freeze()

    def images(self, latents: Latents, *, size: int | None = None) -> Tensor:
        self.check(latents)
        return torch.tanh(torch.einsum("nk,kchw->nchw", latents.values, self.get_buffer("basis")) * 0.3)


class ToyConv(Generator):
    """A small convolutional generator, so that there are layers to look at."""

    name = "toy-conv"
    spaces = named(Space("z", (6,)))
    picture_shape = (3, 16, 16)

    def __init__(self) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        self.first = nn.ConvTranspose2d(6, 8, 4)
        self.second = nn.ConvTranspose2d(8, 8, 4, 2, 1)
        self.last = nn.ConvTranspose2d(8, 3, 4, 2, 1)
        for parameter in self.parameters():
            parameter.data.normal_(std=0.3, generator=draw)
        self.freeze()

    def images(self, latents: Latents, *, size: int | None = None) -> Tensor:
        self.check(latents)
        x = torch.relu(self.first(latents.values[:, :, None, None]))
        return torch.tanh(self.last(torch.relu(self.second(x))))


LEFT = box(0, 0, 0.5, 1)


def left_world(generator: Generator) -> World:
    return World(generator, generator.first_space, {"left": Mask("left", LEFT.paint)})


class ToyWeights(Generator):
    """Patterns on either half, each as strong as a product of two sums of codes, and a convolution that gives them colours.

    The codes that leave a half alone are others at every code; the weights of the colours that do are always the same.
    """

    name = "toy-weights"
    spaces = named(Space("z", (5,)))
    picture_shape = (3, 16, 16)

    def __init__(self) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(1)
        place = (torch.arange(16) - torch.tensor([[3.5], [12.5]])).abs() < 3
        self.register_buffer("patterns", torch.randn(8, 16, 16, generator=draw) * place.repeat(4, 1)[:, None])
        self.register_buffer("sums", torch.randn(2, 8, 5, generator=draw))
        self.colours = nn.Conv2d(8, 3, 1, bias=False)
        self.colours.weight.data.normal_(std=0.3, generator=draw)
        self.freeze()

    def images(self, latents: Latents, *, size: int | None = None) -> Tensor:
        self.check(latents)
        a, b = torch.einsum("skz,nz->snk", self.get_buffer("sums"), latents.values)
        return torch.tanh(self.colours((a * b)[:, :, None, None] * self.get_buffer("patterns")) * 0.3)
