"""The closed-form directions that masked manifolds are compared with; each function is one published formula."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from semanifold.generators.base import Generator
from semanifold.generators.stylegan2 import StyleGAN2
from semanifold.latents import Latents
from semanifold.locality.matching import Candidate, line


def random_directions(shape: tuple[int, ...], count: int, seed: int) -> Tensor:
    """Return ``[count, *shape]`` isotropic directions of unit norm, drawn from a seed."""
    drawn = torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))
    return drawn / drawn.flatten(1).norm(dim=1).reshape(-1, *[1] * len(shape))


def principal_directions(codes: Tensor, top: int) -> Tensor:
    """Return the leading principal components of codes ``[n, d]`` as unit rows ``[top, d]``, largest variance first.

    GANSpace's rule for style-based generators: PCA of w over random z (Härkönen et al. 2020, arXiv:2004.02546, section 2.2).
    """
    centred = (codes - codes.mean(0)).double()
    return _leading(centred.T @ centred, top).to(codes.dtype)


def regressed_directions(codes: Tensor, features: Tensor, top: int) -> Tensor:
    """Return the code directions ``[top, d]`` that best explain the principal components of early features, as unit rows.

    GANSpace's rule for generators without a style space (arXiv:2004.02546, section 2.3): PCA of the first layer's features
    over random z gives coordinates x; ``U = argmin sum_j |U x_j - z_j|^2``, whose columns are the directions.

    Args:
        codes: ``[n, d]`` random codes.
        features: ``[n, m]`` the first layer's features of the same codes.
        top: how many directions.
    """
    centred = (features - features.mean(0)).double()
    variances, left = torch.linalg.eigh(centred @ centred.T)
    coordinates = left[:, -top:].flip(1) * variances[-top:].flip(0).clamp(min=0).sqrt()
    solved = torch.linalg.lstsq(coordinates, (codes - codes.mean(0)).double()).solution
    return (solved / solved.norm(dim=1, keepdim=True)).to(codes.dtype)


def sefa_directions(weights: Sequence[Tensor], top: int) -> Tensor:
    """Return the codes that the first affine maps stretch most, as unit rows ``[top, d]``.

    The leading eigenvectors of ``A^T A``, A the style-affine weights ``[out, d]`` of the chosen layers one below the other, each
    row scaled to unit length as in the authors' code (Shen & Zhou 2021, SeFa, arXiv:2007.06600, section 3.2).
    """
    stacked = torch.cat([w.flatten(1) for w in weights]).double()
    stacked = stacked / stacked.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return _leading(stacked.T @ stacked, top).to(weights[0].dtype)


def _leading(symmetric: Tensor, top: int) -> Tensor:
    vectors = torch.linalg.eigh(symmetric).eigenvectors
    return vectors.flip(1)[:, :top].T.contiguous()


def style_weights(generator: StyleGAN2, layers: tuple[int, int]) -> list[Tensor]:
    """Return the affine maps ``[out, w]`` from w to the styles of the convolutions that the given layers of w+ drive."""
    state = generator.state_dict()
    chosen = [layer for layer in generator.layers if layer.kind != "colour" and layers[0] <= layer.index < layers[1]]
    return [state[f"{layer.name}.affine.weight"] for layer in chosen]


def layer_ranges(count: int) -> list[tuple[int, int]]:
    """Return the layer ranges of w+ that a component is tried on: all of them, and every two neighbours (one resolution)."""
    pairs = [(first, min(first + 2, count)) for first in range(0, count, 2)]
    return [(0, count), *pairs] if count > 2 else [(0, count)]


def on_layers(direction: Tensor, layers: tuple[int, int], count: int) -> Tensor:
    """Return a direction ``[d]`` of w as one of w+ ``[count, d]``: the same on the given layers, 0 on the others."""
    wide = direction.new_zeros(count, direction.shape[-1])
    wide[layers[0] : layers[1]] = direction
    return wide


def component_lines(
    directions: Callable[[tuple[int, int]], Tensor], shape: tuple[int, ...], space: str, reach: float
) -> list[Candidate]:
    """Return one candidate for every component and, in w+, every layer range.

    Args:
        directions: ``layers -> [k, d]`` components; of the whole code where there are no layers (``(0, 1)`` is asked for).
        shape: shape of one code.
        space: the space that the lines live in.
        reach: how far the lines go; see :func:`~semanifold.locality.matching.line`.
    """
    if len(shape) == 1:
        return [line(d, reach, space, f"component {i + 1}") for i, d in enumerate(directions((0, 1)))]
    found = []
    for layers in layer_ranges(shape[0]):
        where = "all layers" if layers == (0, shape[0]) else f"layers {layers[0]}-{layers[1] - 1}"
        found += [
            line(on_layers(d, layers, shape[0]), reach, space, f"component {i + 1}, {where}")
            for i, d in enumerate(directions(layers))
        ]
    return found


def layer_features(generator: Generator, latents: Latents) -> dict[int, Tensor]:
    """Return the generator's own feature maps, the last one of every height: ``height -> [n, channels, height, width]``.

    Every module's output counts that has the form of a feature map; pictures (as many channels as the generator's) do not. Empty
    where the generator has no such module, as the analytic faces.
    """
    found: dict[int, Tensor] = {}

    def keep(_module: torch.nn.Module, _inputs: object, output: object) -> None:
        if (
            isinstance(output, Tensor)
            and output.ndim == 4
            and output.shape[-1] > 1
            and output.shape[1] != generator.picture_shape[0]
        ):
            found[output.shape[-2]] = output

    hooks = [module.register_forward_hook(keep) for module in generator.modules() if module is not generator]
    # Plain tensors in place of the parameters make every layer run as a module of its own; a frozen StyleGAN2 would fuse them.
    plain = {name: parameter.detach() for name, parameter in generator.named_parameters()}
    try:
        with torch.no_grad():
            torch.func.functional_call(generator, plain, (latents,))
    finally:
        for hook in hooks:
            hook.remove()
    return dict(sorted(found.items()))


def typical_distance(generator: Generator, space: str, *, pairs: int = 64) -> float:
    """Return how far two random codes lie apart: the mean norm of their difference, a layer of it where codes have layers."""
    codes = generator.sample(range(2 * pairs), space).values
    difference = codes[:pairs] - codes[pairs:]
    return float(difference.reshape(-1, difference.shape[-1]).norm(dim=1).mean())
