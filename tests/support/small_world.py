"""A generator small enough for a search to take a second: smooth, entangled, its lower half with coordinates of its own."""

import math

import torch
from torch import Tensor

from semanifold.core.latents import Latents
from semanifold.core.spaces import Space, named
from semanifold.generators.base import Generator

DIMS = 6


class SmallWorld(Generator):
    """z [6] (or w+ [3, 2]) -> 1 x 16 x 16: two waves whose lower half answers mostly to coordinates 0 to 2."""

    name = "small"
    spaces = named(Space("z", (DIMS,)), Space("w+", (3, 2)))
    picture_shape = (1, 16, 16)

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(3)
        self.register_buffer("turn", torch.linalg.qr(torch.randn(DIMS, DIMS, generator=draw))[0].to(dtype))
        self.freeze()

    def images(self, latents: Latents, *, size: int | None = None) -> Tensor:
        self.check(latents)
        code = latents.values.reshape(-1, DIMS) @ self.turn
        side = size or 16
        places = ((torch.arange(side) + 0.5) / side * math.pi).to(code)
        y, x = places[:, None], places[None, :]
        low = torch.sigmoid(8 * (y - math.pi / 2))
        a = code[:, :, None, None].unbind(1)
        lower = torch.sin(x + a[0]) * torch.cos(y * (1 + 0.3 * a[1])) + 0.5 * torch.sin(2 * x * (1 + 0.2 * a[2]))
        upper = torch.sin(x * (1 + 0.2 * a[3]) + a[4]) * torch.cos(y + a[5])
        return (0.5 * torch.tanh(low * lower + (1 - low) * upper + 0.1 * a[0] * a[3]))[:, None]

    def convert(self, latents: Latents, space: str) -> Latents:
        self.check_space(space)
        shape = self.shapes[space]
        return Latents(latents.values.reshape(-1, *shape), space, latents.labels)
