"""Three real generators, wrapped; for tests and benchmarks. Their files are outside of the repository, see ``reference.py``."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from support import reference
from torch import Tensor, nn

from semanifold.generators.base import Generator
from semanifold.generators.wrapped import wrap

FOLDER = reference.REAL / "generators"


def available() -> bool:
    """Whether the files are there."""
    return FOLDER.is_dir()


def _block(layer: nn.Module, channels: int, *after: nn.Module) -> list[nn.Module]:
    return [layer, nn.BatchNorm2d(channels), *after]


def celeba32_layers() -> nn.Sequential:
    """DCGAN, z [n, 100, 1, 1] to faces [n, 3, 32, 32] in [-1, 1]."""
    return nn.Sequential(
        *_block(nn.ConvTranspose2d(100, 256, 4, bias=False), 256),
        *_block(nn.Conv2d(256, 128, 3, padding=1, bias=False), 128, nn.LeakyReLU(0.2)),
        *_block(nn.ConvTranspose2d(128, 64, 4, 2, 1, bias=False), 64, nn.LeakyReLU(0.2)),
        *_block(nn.ConvTranspose2d(64, 32, 4, 2, 1, bias=False), 32, nn.LeakyReLU(0.2)),
        nn.ConvTranspose2d(32, 3, 4, 2, 1),
        nn.Tanh(),
    )


def celeba64_layers(channels: int = 3) -> nn.Sequential:
    """Decoder of a beta-TCVAE, z [n, 10] to faces [n, 3, 64, 64] in [0, 1]."""
    dense = [nn.Linear(10, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 512), nn.ReLU()]
    convs = [layer for _ in range(3) for layer in (nn.ConvTranspose2d(32, 32, 4, 2, 1), nn.ReLU())]
    return nn.Sequential(*dense, nn.Unflatten(1, (32, 4, 4)), *convs, nn.ConvTranspose2d(32, channels, 4, 2, 1), nn.Sigmoid())


def mnist28_layers() -> nn.Sequential:
    """WGAN-GP, z [n, 64, 1, 1] to digits [n, 1, 28, 28] in [-1, 1]."""
    return nn.Sequential(
        *_block(nn.ConvTranspose2d(64, 256, 3, 2), 256, nn.ReLU()),
        *_block(nn.ConvTranspose2d(256, 128, 4, 1), 128, nn.ReLU()),
        *_block(nn.ConvTranspose2d(128, 64, 3, 2), 64, nn.ReLU()),
        nn.ConvTranspose2d(64, 1, 4, 2),
        nn.Tanh(),
    )


def _filled(layers: nn.Sequential, file: str, prefix: str) -> nn.Sequential:
    """Load weights by position: the layers stand in the order of the file."""
    state: OrderedDict[str, Tensor] = torch.load(FOLDER / file, map_location="cpu", weights_only=True)
    values = [value for key, value in state.items() if key.startswith(prefix)]
    layers.load_state_dict(dict(zip(layers.state_dict(), values, strict=True)))
    return layers


def celeba32() -> Generator:
    """DCGAN of CelebA faces, 32 pixels, uniform z."""
    layers = _filled(celeba32_layers(), "celeba32_dcgan.pt", "generator_deconv.")
    made = nn.Sequential(nn.Unflatten(1, (100, 1, 1)), layers)
    return wrap(made, (100,), prior="uniform", name="celeba32", licence="Apache-2.0", source="fletchersarip93/face-generator")


def celeba64() -> Generator:
    """Decoder of a beta-TCVAE of CelebA faces, 64 pixels."""
    layers = _filled(celeba64_layers(), "btcvae_celeba64.pt", "decoder.")
    return wrap(layers, (10,), pixel_range=(0, 1), name="celeba64", licence="MIT", source="YannDubs/disentangling-vae")


def turned_decoder(file: str, rotation: Tensor, channels: int = 3) -> Generator:
    """Decoder of a variational autoencoder behind a rotation ``[10, 10]`` of its z: z = code @ rotation.

    Args:
        file: in the folder ``generators``, or of a folder beside it.
        rotation: the rotation.
        channels: of its pictures.
    """
    layers = _filled(celeba64_layers(channels), file, "decoder.")
    first = nn.Linear(10, 10, bias=False)
    with torch.no_grad():
        first.weight.copy_(rotation.T)
    return wrap(
        nn.Sequential(first, layers), (10,), pixel_range=(0, 1), name=file.rsplit("/", maxsplit=1)[-1].removesuffix(".pt")
    )


def mnist28() -> Generator:
    """WGAN-GP of MNIST digits, 28 pixels."""
    layers = _filled(mnist28_layers(), "mnist28_wgangp.pt", "model.")
    made = nn.Sequential(nn.Unflatten(1, (64, 1, 1)), layers)
    return wrap(made, (64,), name="mnist28", licence="MIT", source="akanametov/WGAN-GP")


REAL: dict[str, Callable[[], Generator]] = {"celeba32": celeba32, "celeba64": celeba64, "mnist28": mnist28}
