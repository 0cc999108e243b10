"""What happens inside of any generator: the feature maps of its layers, and the first layer that a code meets."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.core.shapes import Pictures
from semanifold.generators.base import Generator

PROBE = 1_000_000
"""Seed of the code by which the first layer is found."""


def layer_features(generator: Generator, latents: Latents) -> dict[int, Tensor]:
    """Return the generator's own feature maps, the last one of every height: ``height -> [n, channels, height, width]``.

    Every module's output counts that has the form of a feature map; pictures (as many channels as the generator's) do not. Empty
    where the generator has no such module, as the analytic faces.
    """
    return features_and_pictures(generator, latents)[0]


def features_and_pictures(
    generator: Generator, latents: Latents, *, tallest: int | None = None
) -> tuple[dict[int, Tensor], Pictures]:
    """Return :func:`layer_features` and the pictures ``[n, c, h, w]`` that the same run made.

    Args:
        generator: the generator.
        latents: n codes.
        tallest: height of the largest maps that are kept; the pictures are as small as the generator can make them, but not
            smaller than that. All maps and whole pictures when None.
    """
    maps: dict[int, Tensor] = {}
    size = None if tallest is None else generator.coarse_size(tallest)

    def keep(_module: torch.nn.Module, _inputs: object, output: object) -> None:
        if (
            isinstance(output, Tensor)
            and output.ndim == 4
            and output.shape[-1] > 1
            and output.shape[1] != generator.picture_shape[0]
        ):
            framed = generator.in_frame(output)
            if tallest is None or framed.shape[-2] <= tallest:
                maps[framed.shape[-2]] = framed

    hooks = [module.register_forward_hook(keep) for module in generator.modules() if module is not generator]
    # Plain tensors in place of the parameters make every layer run as a module of its own; a frozen StyleGAN2 would fuse them.
    plain = {name: parameter.detach() for name, parameter in generator.named_parameters()}
    options = {} if size is None else {"size": size}
    try:
        with torch.no_grad():
            pictures = torch.func.functional_call(generator, plain, (latents,), options)
    finally:
        for hook in hooks:
            hook.remove()
    return dict(sorted(maps.items())), pictures


def early_features(generator: Generator, latents: Latents) -> Tensor:
    """Return the first layer's features ``[n, m]``, at 16 pixels at most; of a generator without layers its pictures."""
    features = layer_features(generator, latents)
    with torch.no_grad():
        first = features[min(features)] if features else generator.images(latents)
    return (first if first.shape[-1] <= 16 else adaptive_avg_pool2d(first, 16)).flatten(1)


def first_weights(generator: Generator, space: str) -> Tensor:
    """Return the matrix ``[out, d]`` of the first layer with weights that a code of a space meets, by what it does to unit codes.

    Raises:
        SemanifoldError: if there is no such layer, it takes only a part of the code, or it is not affine.
    """
    code = generator.example(PROBE, space)
    met: list[tuple[nn.Module, Tensor]] = []

    def note(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs and isinstance(inputs[0], Tensor):
            met.append((module, inputs[0].detach()))

    # modules in which a code meets a matrix; the first one called is the first layer
    weighted = [m for m in generator.modules() if any(p.ndim > 1 for p in m.parameters(recurse=False)) and m is not generator]
    hooks = [module.register_forward_pre_hook(note) for module in weighted]
    try:
        with torch.no_grad():
            generator.images(code)
    finally:
        for hook in hooks:
            hook.remove()
    if not met:
        raise SemanifoldError(f"{generator.name} has no layers with weights, which SeFa takes its directions from; take PCA.")
    module, inputs = met[0]
    size = code.values.numel()
    if inputs.numel() != size:
        raise SemanifoldError(
            f"SeFa needs a first layer that takes the whole code of {size} numbers, but that of {generator.name} takes "
            f"{inputs.numel()}; take PCA instead."
        )
    with torch.no_grad():
        # The layer's matrix column by column: what it makes of unit codes, less what it makes of 0 (its bias).
        units = torch.eye(size).to(inputs).reshape(-1, *inputs.shape[1:])
        constant = module(torch.zeros_like(inputs)).flatten(1)
        columns = module(units).flatten(1) - constant
        # An affine layer is its matrix at the code itself, too.
        expected = inputs.flatten(1) @ columns
        if not torch.allclose(module(inputs).flatten(1) - constant, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max())):
            raise SemanifoldError(f"The first layer of {generator.name} is not affine, as SeFa takes it to be; take PCA instead.")
    return columns.T
