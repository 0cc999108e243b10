"""Generators with other weights: copies that share all the rest, so that nobody's generator is ever changed."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import TypeVar

import torch
from torch import Tensor, nn

from semanifold.core.errors import SemanifoldError, near_names, shown
from semanifold.generators.base import Generator
from semanifold.generators.mixed_weight import MixedWeight

WEIGHT, NOISE = "weight", "noise"
AnyGenerator = TypeVar("AnyGenerator", bound=Generator)


def editable_layers(generator: Generator) -> dict[str, tuple[int, ...]]:
    """Return the layers whose weights may be edited, by name, each with the shape of its weight, in the order of the modules.

    These are all modules with a ``weight`` of two dimensions or more: convolutions, colour layers, linear layers such as those
    that make styles of codes.
    """
    return {
        name: tuple(module.weight.shape)  # type: ignore[union-attr]  # editable layers have one
        for name, module in generator.named_modules()
        if _is_editable(module)
    }


def weight_of(generator: Generator, layer: str) -> Tensor:
    """Return the weight of a layer, or a noise map by its name, such as ``convs.3.noise``.

    Raises:
        SemanifoldError: if there is no such layer; near names are listed.
    """
    check_layers(generator, [layer], generator.noise_maps())
    module, name = _slot(generator, layer)
    return getattr(module, name)


def check_layers(generator: Generator, layers: Sequence[str], more: Iterable[str] = ()) -> None:
    """Refuse layers that are not there or are named twice, or whose weights cannot be edited.

    Args:
        generator: the generator.
        layers: their names.
        more: names that will do as well, such as those of its noise maps.

    Raises:
        SemanifoldError: naming the layer; near names are listed.
    """
    known = [*editable_layers(generator), *more]
    for i, layer in enumerate(layers):
        if not isinstance(layer, str) or layer not in known:
            hint = near_names(layer, known) if known else "none of its layers has a weight that can be edited."
            raise SemanifoldError(f"{generator.name} has no layer {shown(str(layer), 60)!r}: {hint}")
        if layer in layers[:i]:
            raise SemanifoldError(f"The layer {layer} is named twice; name each layer once.")


def with_weights(generator: AnyGenerator, weights: Mapping[str, Tensor | MixedWeight]) -> AnyGenerator:
    """Return another generator that has other weights in some layers and shares all other tensors with this one.

    Args:
        generator: stays as it is.
        weights: by layer: a tensor of the shape of its weight, or one weight per sample of the batches that it will be given;
            and noise maps by their names in :meth:`Generator.noise_maps`.

    Raises:
        SemanifoldError: if there is no such layer, or a weight has another shape or holds NaN or infinite values.
    """
    check_layers(generator, list(weights), generator.noise_maps())
    shared = {id(tensor): tensor for tensor in chain(generator.parameters(), generator.buffers()) if tensor is not None}
    for module in generator.modules():  # weights that differ from sample to sample already are shared as well
        for name in (WEIGHT, NOISE):
            if isinstance(mixed := module.__dict__.get(name), MixedWeight):
                shared[id(mixed)] = mixed  # type: ignore[assignment]  # what deepcopy shares may be anything
    other = copy.deepcopy(generator, shared)
    if "fingerprint" in other.__dict__:
        del other.fingerprint  # it is that of other weights
    other.world = generator.world  # what can be read from pictures can be read from edited ones
    for layer, weight in weights.items():
        module, name = _slot(other, layer)
        like = weight_of(generator, layer)
        if tuple(weight.shape) != tuple(like.shape):
            raise SemanifoldError(f"The weight of {layer} is {list(like.shape)}, but one of {list(weight.shape)} was given.")
        if not isinstance(weight, MixedWeight) and not torch.isfinite(weight).all():
            raise SemanifoldError(f"The weight that is to go into {layer} holds NaN or infinite values.")
        module._parameters.pop(name, None)
        module._buffers.pop(name, None)
        module.__dict__.pop(name, None)
        if isinstance(weight, MixedWeight):
            module.__dict__[name] = weight
        elif name == NOISE:
            module.register_buffer(name, weight.detach().to(like.device, like.dtype))
        else:
            module.weight = nn.Parameter(weight.detach().to(like.device, like.dtype), requires_grad=False)
    return other


def moved(generator: AnyGenerator, changes: Mapping[str, MixedWeight]) -> AnyGenerator:
    """Return a generator with these weights per sample; those of a generator that has some already are added to them."""
    slots = {layer: _slot(generator, layer) for layer in changes}
    earlier = {layer: module.__dict__.get(name) for layer, (module, name) in slots.items()}
    return with_weights(
        generator, {layer: before.plus(change) if (before := earlier[layer]) else change for layer, change in changes.items()}
    )


def _slot(generator: Generator, layer: str) -> tuple[nn.Module, str]:
    """Return the module that holds the weight of a layer, or a noise map, and the name that it has there."""
    if layer in generator.noise_maps():
        return generator.get_submodule(layer.removesuffix(f".{NOISE}")), NOISE
    return generator.get_submodule(layer), WEIGHT


def _is_editable(module: nn.Module) -> bool:
    weight = module._parameters.get("weight")
    if weight is None and isinstance(module.__dict__.get("weight"), MixedWeight):
        return True
    return weight is not None and weight.ndim >= 2 and not isinstance(module, nn.Embedding)
