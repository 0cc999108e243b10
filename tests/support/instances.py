"""Tiny instances of every generator, and what the contracts share: derivatives, traps for the global random state, copies."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

import semanifold as sm
from semanifold.generators.base import Generator
from semanifold.generators.biggan.network import BigGAN, BigGANConfig
from semanifold.generators.dcgan import DCGAN, DCGANConfig
from semanifold.generators.inputs import one_hot
from semanifold.generators.pix2pixhd import Pix2PixHD, Pix2PixHDConfig
from semanifold.generators.proggan import ProgGAN, ProgGANConfig
from semanifold.generators.r3gan import R3GAN, R3GANConfig
from semanifold.generators.sngan import SNGAN, SNGANConfig
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config
from semanifold.generators.stylegan3.network import StyleGAN3, StyleGAN3Config
from semanifold.worlds.faces.analytic import AnalyticFaces


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Standard normal numbers that touch no global state."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@dataclass(frozen=True)
class Maps:
    """Label maps of four labels in random blocks, the edges between them left out."""

    size: tuple[int, int]
    digest: str = "blocks"

    def __call__(self, seed: int) -> Tensor:
        height, width = self.size
        labels = torch.randint(4, (height // 4, width // 4), generator=torch.Generator().manual_seed(seed))
        return one_hot(labels.repeat_interleave(4, 0).repeat_interleave(4, 1), 4)


def stylegan2(architecture: str = "skip", **changes: object) -> StyleGAN2:
    sizes = {"size": 16, "z_dim": 6, "w_dim": 6, "channels": (5, 4, 4), "mapping_layers": 2, "architecture": architecture}
    generator = StyleGAN2(StyleGAN2Config(**(sizes | changes)), seed=3)  # type: ignore[arg-type]
    with torch.no_grad():
        for key, value in generator.state_dict().items():
            if key.endswith(("noise_strength", "bias", "w_avg")):
                value.add_(0.2 * drawn(*value.shape, seed=len(key), dtype=value.dtype))
    return generator


def network() -> nn.Module:
    """A small decoder whose statistics are not those of a new one."""
    with torch.random.fork_rng():
        made = nn.Sequential(
            nn.Linear(6, 32), nn.Unflatten(1, (2, 4, 4)), nn.ConvTranspose2d(2, 4, 4, 2, 1), nn.BatchNorm2d(4), nn.SiLU(),
            nn.Conv2d(4, 3, 3, padding=1), nn.Tanh(),
        )  # fmt: skip
    state = {key: 0.4 * drawn(*v.shape, seed=i, dtype=torch.float32) for i, (key, v) in enumerate(made.state_dict().items())}
    made.load_state_dict(state | {"3.running_var": torch.full((4,), 0.3), "3.num_batches_tracked": torch.tensor(1)})
    return made


def ripples(z: Tensor) -> Tensor:
    """A function of four numbers without weights: 1 x 8 x 12."""
    y, x = torch.linspace(-1, 1, 8).to(z)[:, None], torch.linspace(-1, 1, 12).to(z)
    a = z[:, :, None, None].unbind(1)
    return (torch.sin(2 * x + a[0]) * torch.cos(y * (2 + a[1])) * 0.5 * torch.tanh(a[2]) + 0.3 * torch.sin(a[3] * x))[:, None]


def stylegan3(**changes: object) -> StyleGAN3:
    sizes = {
        "size": 16,
        "z_dim": 6,
        "w_dim": 6,
        "channels": (5, 4, 4, 4),
        "critical": 1,
        "margin": 4,
        "cutoff": 2.0,
        "scale": 0.7,
    }
    generator = StyleGAN3(StyleGAN3Config(**(sizes | changes)), seed=3)  # type: ignore[arg-type]
    with torch.no_grad():
        for key, value in generator.state_dict().items():
            if key.endswith(("bias", "w_avg", "magnitude", "pose.weight")):
                value.add_(0.2 * drawn(*value.shape, seed=len(key), dtype=value.dtype))
        # a turn is a vector, which is far from 0 in real models
        generator.input.affine.weight.mul_(0.2)
        generator.input.affine.bias.add_(torch.tensor([1.0, 0.0, 0.0, 0.0]))
    return generator


MAKERS: dict[str, Callable[[], Generator]] = {
    "skip": stylegan2,
    "resnet": lambda: stylegan2("resnet", clamp=3.0),
    "orig of classes": lambda: stylegan2("orig", classes=3),
    "stylegan3-t": stylegan3,
    "stylegan3-r of classes": lambda: stylegan3(kernel=1, radial=True, classes=3),
    "sngan": lambda: SNGAN(SNGANConfig(6, (5, 4, 4))),
    "dcgan": lambda: DCGAN(DCGANConfig(6, (5, 4))),
    "biggan": lambda: BigGAN(BigGANConfig(6, 3, 4, (8, 8), attention=(8,))),
    "r3gan of classes": lambda: R3GAN(R3GANConfig(6, (6, 4), (8, 4), (2, 4), (1, 2), classes=3, embedding=2)),
    "proggan": lambda: ProgGAN(ProgGANConfig(6, (5, 4))),
    "pix2pixhd": lambda: Pix2PixHD(
        Pix2PixHDConfig(4, edges=False, features=4, downsamplings=1, blocks=1, enhancers=1, height=16, width=24), seed=1
    ).with_inputs(Maps((16, 24))),
    "analytic": lambda: AnalyticFaces(size=32),
    "module": lambda: sm.wrap(network(), 6, name="net"),
    "function": lambda: sm.wrap(ripples, 4, pixel_range=(-0.8, 0.8), name="ripples"),
    "faces": lambda: sm.load_generator("faces"),
}
"""Every kind of generator."""


@cache
def made(name: str, dtype: torch.dtype = torch.float32) -> Generator:
    """One generator of a kind, made once per precision: nobody changes it, which is a contract of its own."""
    return copy.deepcopy(MAKERS[name]()).to(dtype)


def labels(generator: Generator, n: int) -> Tensor | None:
    return torch.arange(n) % generator.classes if generator.classes else None


def codes(generator: Generator, n: int = 3, space: str | None = None) -> sm.Latents:
    return generator.sample(range(n), space, labels=labels(generator, n))


@contextmanager
def nothing_random() -> Iterator[None]:
    """Fail if what is done inside changes the global random state."""
    state = torch.random.get_rng_state()
    yield
    assert torch.equal(torch.random.get_rng_state(), state), "the global random state has changed"


@contextmanager
def untouched(*modules: nn.Module) -> Iterator[None]:
    """Fail if what is done inside changes a tensor of these modules."""
    before = [{key: value.clone() for key, value in module.state_dict().items()} for module in modules]
    yield
    for module, held in zip(modules, before, strict=True):
        now = module.state_dict()
        assert list(now) == list(held)
        assert all(torch.equal(now[key], held[key]) for key in held)


def check_derivatives(function: Callable[[Tensor], Tensor], at: Tensor, *, step: float = 1e-7) -> None:
    """Compare forward and reverse mode with central differences along a random direction, in double precision."""
    assert at.dtype == torch.float64
    along = drawn(*at.shape, seed=11)
    quotient = (function(at + step * along) - function(at - step * along)) / (2 * step)
    assert quotient.abs().max() > 1e-5, "nothing depends on what is differentiated by"
    tolerance = {"rtol": 1e-5, "atol": 1e-6 * max(1.0, float(quotient.abs().max()))}
    forward = torch.func.jvp(function, (at,), (along,))[1]
    torch.testing.assert_close(forward, quotient, **tolerance)
    onto = drawn(*quotient.shape, seed=12)
    leaf = at.clone().requires_grad_()
    (back,) = torch.autograd.grad((function(leaf) * onto).sum(), leaf)
    torch.testing.assert_close((back * along).sum(), (quotient * onto).sum(), rtol=1e-5, atol=1e-5)
