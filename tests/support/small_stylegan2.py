"""A small StyleGAN2 of every architecture, and its pictures by the plain formulas."""

import torch
import torch.nn.functional as F
from torch import Tensor

from semanifold.core.latents import Latents
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config

ARCHITECTURES = ["skip", "resnet", "orig"]


def make(architecture: str = "skip", *, double: bool = True, seed: int = 0, **changes: object) -> StyleGAN2:
    sizes = {"size": 32, "z_dim": 7, "w_dim": 6, "channels": (10, 8, 6, 4), "mapping_layers": 2}
    config = StyleGAN2Config(**(sizes | changes), architecture=architecture)
    generator = StyleGAN2(config, name="small", seed=seed)
    draw = torch.Generator().manual_seed(seed + 100)
    state = {  # biases, noise strengths and the mean start at zero, where a mistake in them would not show
        k: v + torch.randn(v.shape, generator=draw) * 0.3 if k.endswith(("bias", "strength", "w_avg")) else v
        for k, v in generator.state_dict().items()
    }
    generator.load_state_dict(state)
    return generator.double() if double else generator


def codes(generator: StyleGAN2, n: int = 2, seed: int = 5) -> Latents:
    values = torch.randn(n, *generator.shapes["w+"], generator=torch.Generator().manual_seed(seed))
    return Latents(values.to(generator.w_avg), "w+")


# The plain version: every sample has its own kernel, the filter is a full 4 x 4 kernel over a picture doubled by zeros.


def plain_filter(x: Tensor) -> Tensor:
    taps = torch.tensor([1.0, 3, 3, 1], dtype=x.dtype)
    kernel = torch.outer(taps, taps) / taps.sum() ** 2 * 4
    n, c, h, w = x.shape
    return F.conv2d(x.reshape(n * c, 1, h, w), kernel[None, None]).reshape(n, c, h - 3, w - 3)


def plain_upsample(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    zeros = x.new_zeros(n, c, 2 * h, 2 * w)
    zeros[:, :, ::2, ::2] = x
    return plain_filter(F.pad(zeros, (2, 1, 2, 1)))


def plain_modulated(x: Tensor, weight: Tensor, styles: Tensor, *, up: bool, demodulate: bool) -> Tensor:
    out = []
    for sample, style in zip(x, styles):
        kernel = weight * style[None, :, None, None]
        if demodulate:
            kernel = kernel / (kernel.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if up:
            y = F.conv_transpose2d(sample[None], kernel.transpose(0, 1), stride=2)
            out.append(plain_filter(F.pad(y, (1, 1, 1, 1))))
        else:
            out.append(F.conv2d(sample[None], kernel, padding=weight.shape[-1] // 2))
    return torch.cat(out)


def plain_pictures(generator: StyleGAN2, ws: Tensor, clamp: float | None = None) -> Tensor:
    state, architecture = generator.state_dict(), generator.config.architecture

    def bound(x: Tensor, gain: float = 1.0) -> Tensor:
        return x if clamp is None else x.clamp(-clamp * gain, clamp * gain)

    def affine(name: str, w: Tensor) -> Tensor:
        weight = state[f"{name}.affine.weight"]
        return w @ (weight / weight.shape[1] ** 0.5).T + state[f"{name}.affine.bias"]

    def conv(i: int, x: Tensor, gain: float = 1.0) -> Tensor:
        name, up = f"convs.{i}", i % 2 == 1
        y = plain_modulated(x, state[f"{name}.weight"], affine(name, ws[:, i]), up=up, demodulate=True)
        y = y + state[f"{name}.noise"] * state[f"{name}.noise_strength"] + state[f"{name}.bias"][:, None, None]
        return bound(torch.where(y > 0, y, 0.2 * y) * 2**0.5 * gain, gain)

    def colour(i: int, x: Tensor, w: Tensor) -> Tensor:
        weight = state[f"colours.{i}.weight"]
        y = plain_modulated(x, weight / weight.shape[1] ** 0.5, affine(f"colours.{i}", w), up=False, demodulate=False)
        return bound(y + state[f"colours.{i}.bias"][:, None, None])

    x = conv(0, state["const"].expand(len(ws), -1, -1, -1))
    picture = colour(0, x, ws[:, 1]) if architecture == "skip" else None
    for i in range(1, len(generator.config.channels)):
        y = conv(2 * i - 1, x)
        if architecture == "resnet":
            weight = state[f"bypasses.{i - 1}.weight"]
            shortcut = plain_upsample(F.conv2d(x, weight / weight.shape[1] ** 0.5)) * 0.5**0.5
            x = shortcut + conv(2 * i, y, 0.5**0.5)
        else:
            x = conv(2 * i, y)
        if picture is not None:
            picture = plain_upsample(picture) + colour(i, x, ws[:, 2 * i + 1])
    return colour(0, x, ws[:, -1]) if picture is None else picture
