"""Generators with other weights: copies that share all the rest, so that nobody's generator is ever changed."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TypeVar

import torch
from torch import Tensor, nn

from semanifold.core.errors import SemanifoldError, near_names, shown
from semanifold.generators.base import Generator
from semanifold.generators.mixed_weight import MixedWeight

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
    """Return the weight of a layer.

    Raises:
        SemanifoldError: if there is no such layer; near names are listed.
    """
    check_layers(generator, [layer])
    return generator.get_submodule(layer).weight  # type: ignore[return-value]  # checked above


def check_layers(generator: Generator, layers: Sequence[str]) -> None:
    """Refuse layers that are not there or are named twice, or whose weights cannot be edited.

    Raises:
        SemanifoldError: naming the layer; near names are listed.
    """
    known = editable_layers(generator)
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
        weights: by layer: a tensor of the shape of its weight, or one weight per sample of the batches that it will be given.

    Raises:
        SemanifoldError: if there is no such layer, or a weight has another shape or holds NaN or infinite values.
    """
    check_layers(generator, list(weights))
    shared = {id(tensor): tensor for tensor in chain(generator.parameters(), generator.buffers()) if tensor is not None}
    for module in generator.modules():  # weights that differ from sample to sample already are shared as well
        mixed = module.__dict__.get("weight")
        if isinstance(mixed, MixedWeight):
            shared[id(mixed)] = mixed  # type: ignore[assignment]  # what deepcopy shares may be anything
    other = copy.deepcopy(generator, shared)
    if "fingerprint" in other.__dict__:
        del other.fingerprint  # it is that of other weights
    other.world = generator.world  # what can be read from pictures can be read from edited ones
    for layer, weight in weights.items():
        module = other.get_submodule(layer)
        expected = tuple(weight_of(generator, layer).shape)
        if tuple(weight.shape) != expected:
            raise SemanifoldError(f"The weight of {layer} is {list(expected)}, but one of {list(weight.shape)} was given.")
        module._parameters.pop("weight", None)
        if isinstance(weight, MixedWeight):
            module.__dict__["weight"] = weight
            continue
        if not torch.isfinite(weight).all():
            raise SemanifoldError(f"The weight that is to go into {layer} holds NaN or infinite values.")
        if "weight" in module.__dict__:
            del module.__dict__["weight"]
        like = weight_of(generator, layer)
        module.weight = nn.Parameter(weight.detach().to(like.device, like.dtype), requires_grad=False)
    return other


def moved(generator: AnyGenerator, changes: Mapping[str, MixedWeight]) -> AnyGenerator:
    """Return a generator with these weights per sample; those of a generator that has some already are added to them."""
    earlier = {layer: generator.get_submodule(layer).__dict__.get("weight") for layer in changes}
    return with_weights(
        generator, {layer: before.plus(change) if (before := earlier[layer]) else change for layer, change in changes.items()}
    )


def _is_editable(module: nn.Module) -> bool:
    weight = module._parameters.get("weight")
    if weight is None and isinstance(module.__dict__.get("weight"), MixedWeight):
        return True
    return weight is not None and weight.ndim >= 2 and not isinstance(module, nn.Embedding)
