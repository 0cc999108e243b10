"""What pictures depend on beside the codes, in the forms that people give it: numbers of classes, weights, tensors by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError, near_names, of_type, shown
from semanifold.core.latents import LABELS, Latents

if TYPE_CHECKING:
    from semanifold.generators.base import Generator


def checked_conditions(
    generator: Generator, labels: Tensor | Sequence[int] | int | None, conditions: Mapping[str, Tensor] | None, n: int
) -> dict[str, Tensor]:
    """Return the conditions ``[n, ...]`` of n codes, on the generator's device and in its precision.

    Args:
        generator: says which conditions there are.
        labels: class index, ``[n]`` indices or ``[n, classes]`` weights.
        conditions: the others, ``[n, ...]`` or ``[1, ...]`` by name; labels may be among them in place of the argument.
        n: number of codes.

    Raises:
        SemanifoldError: for a condition that is not there, is missing, is given twice, has another shape, or holds NaN.
    """
    conditions = {} if conditions is None else conditions
    of_type(conditions, Mapping, "Conditions are tensors by name, such as {'labels': tensor}")
    for name in conditions:
        if name not in generator.conditions:
            known = near_names(str(name), generator.conditions) if generator.conditions else "its pictures depend on codes only."
            raise SemanifoldError(f"{generator.name} has no condition {shown(str(name), 40)!r}: {known}")
    if labels is not None and LABELS in conditions:
        raise SemanifoldError("Labels are given twice, among the conditions as well; leave one out.")
    weights = class_weights(generator, conditions.get(LABELS) if labels is None else labels, n)
    result = {} if weights is None else {LABELS: weights}
    for name, shape in generator.conditions.items():
        if name == LABELS:
            continue
        value = conditions.get(name)
        if not isinstance(value, Tensor) or tuple(value.shape) not in ((1, *shape), (n, *shape)):
            got = list(value.shape) if isinstance(value, Tensor) else "none" if value is None else type(value).__name__
            raise SemanifoldError(
                f"{generator.name} makes pictures of {name}: conditions={{{name!r}: tensor}} of the shape {[n, *shape]} is "
                f"expected, but got {got}."
            )
        _check_plain(value, name)
        result[name] = value.to(generator.device, generator.dtype if value.is_floating_point() else None).expand(n, *shape)
    return result


def condition_of(generator: Generator, latents: Latents, name: str) -> Tensor:
    """See :meth:`Generator.condition`."""
    value, shape = latents.conditions.get(name), [len(latents), *generator.conditions[name]]
    if value is None or list(value.shape) != shape:
        has = f"has {generator.classes} classes" if name == LABELS else f"makes pictures of {name}"
        got = "none" if value is None else list(value.shape)
        raise SemanifoldError(
            f"{generator.name} {has}; codes of {latents.space} need {name} {shape}, but got {got}; sample(seeds, "
            f"{'labels=...' if name == LABELS else 'conditions=...'}) gives them."
        )
    return value


def class_weights(generator: Generator, labels: Tensor | Sequence[int] | int | None, n: int) -> Tensor | None:
    """Return the class weights ``[n, classes]`` of n codes; None for a generator without classes.

    Raises:
        SemanifoldError: for a class that is not there, labels of another shape, or none where one is needed.
    """
    classes = generator.classes
    if not classes:
        if labels is not None:
            raise SemanifoldError(f"{generator.name} is not class-conditional; leave label= out.")
        return None
    if labels is None:
        raise SemanifoldError(f"{generator.name} has {classes} classes; say which one with a label in 0..{classes - 1}.")
    if isinstance(labels, int) and not isinstance(labels, bool):
        return _one_hot(generator, [labels] * n)
    labels = _as_tensor(labels)
    _check_plain(labels, LABELS)
    whole = not labels.is_floating_point() and labels.dtype != torch.bool
    if labels.ndim == 0 and whole:
        return _one_hot(generator, [int(labels)] * n)
    if tuple(labels.shape) == (n,) and whole:
        return _one_hot(generator, labels.tolist())
    if tuple(labels.shape) not in ((1, classes), (n, classes)):
        raise SemanifoldError(
            f"Labels are given as class weights [{n}, {classes}] or as {n} class indices (whole numbers), but these are "
            f"{list(labels.shape)} of {str(labels.dtype).removeprefix('torch.')}."
        )
    return labels.to(generator.device, generator.dtype).expand(n, classes)


def _check_plain(value: Tensor, name: str) -> None:
    """Refuse a condition of which no picture could be made."""
    if value.is_meta or value.layout != torch.strided or value.is_complex() or not torch.isfinite(value).all():
        raise SemanifoldError(f"The condition {shown(name, 40)} is a plain tensor of finite numbers, but it holds others.")


def _one_hot(generator: Generator, index: list[int]) -> Tensor:
    for label in index:
        if not 0 <= label < generator.classes:
            raise SemanifoldError(f"There is no class {label}: {generator.name} has classes 0..{generator.classes - 1}.")
    return torch.nn.functional.one_hot(torch.tensor(index, device=generator.device), generator.classes).to(generator.dtype)


def _as_tensor(labels: Any) -> Tensor:
    try:
        return torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise SemanifoldError(f"A label is the number of a class, such as 3, but {shown(repr(labels), 40)} was given.") from error
