"""State dicts from files: taking a foreign one apart, and putting a generator of our own layout together."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError, shown
from semanifold.generators.base import Generator
from semanifold.storage.inert import InertObject

Made = TypeVar("Made", bound=Generator)

Say = Callable[[str], object]
"""Takes a sentence about what a file lacks or has beside its weights, and what was done about it."""

TRAINED = re.compile(r"weight|bias|gain|gamma|beta|scale|strength|embed")
"""What the names of trained tensors contain; others, such as running counts, say nothing about the pictures."""


def silent(words: str) -> None:
    """Say nothing; a :data:`Say` for those who do not want to know."""


class Source:
    """Tensors of a foreign file; remembers which were used, and names the one that is missing, wrong or left over.

    Attributes:
        tensors: all of them by name.
        layout: whose code wrote them, for the messages.
        kind: the architecture that they are expected to be, for the messages.
        unused: names that nobody has asked for yet.
    """

    def __init__(self, state: Mapping[str, Any], layout: str, kind: str) -> None:
        self.tensors, self.layout, self.kind, self.unused = dict(state), layout, kind, set(state)

    def __call__(self, key: str, *shape: int | None) -> Tensor:
        """Take a tensor as float32 (float64 stays); None in ``shape`` stands for any size.

        Raises:
            SemanifoldError: if it is missing, of another shape or not finite.
        """
        if key not in self.tensors:
            raise SemanifoldError(
                f"The {self.layout} {self.kind} lacks the tensor {key}; the file is not complete or of another network."
            )
        stored = self.tensors[key]
        if isinstance(stored, InertObject):
            kind = shown(f"{stored.kind.module}.{stored.kind.name}")
            raise SemanifoldError(
                f"{key} is kept as a {kind}, which semanifold does not know; save the generator's state_dict() as plain tensors."
            )
        value = stored if isinstance(stored, Tensor) else torch.tensor(stored)
        if value.is_complex():
            raise SemanifoldError(f"{key} holds complex numbers, but the {self.layout} {self.kind} has real ones there.")
        self.unused.discard(key)
        if len(value.shape) != len(shape) or any(b is not None and a != b for a, b in zip(value.shape, shape)):
            wanted = " x ".join("any" if s is None else str(s) for s in shape) or "one number"
            raise SemanifoldError(f"{key} has shape {tuple(value.shape)}, but the {self.layout} {self.kind} has {wanted} there.")
        value = value.to(torch.promote_types(value.dtype, torch.float32))
        if not value.is_meta and not torch.isfinite(value).all():
            raise SemanifoldError(f"{key} holds NaN or infinite values; the file is damaged, take another copy.")
        if key.endswith(("running_var", "stored_var")) and not value.is_meta and bool((value < 0).any()):
            raise SemanifoldError(f"{key} holds a variance below 0; the file is damaged, take another copy.")
        return value

    def has(self, key: str) -> bool:
        """Whether there is such a tensor."""
        return key in self.tensors

    def axes(self, key: str) -> int:
        """How many dimensions a tensor has; 0 if there is none."""
        value = self.tensors.get(key)
        return 0 if value is None or isinstance(value, InertObject) else len(value.shape)

    def count(self, pattern: str) -> int:
        """How many consecutive numbers from 0 fit ``pattern.format(number)``."""
        n = 0
        while pattern.format(n) in self.tensors:
            n += 1
        return n

    def drop(self, *endings: str) -> None:
        """Leave out the tensors whose names end so: they say nothing about the pictures."""
        self.unused = {key for key in self.unused if not key.endswith(endings)}

    def finish(self, say: Say) -> None:
        """Refuse trained tensors that have been left over, and say which others there are."""
        left = sorted(key for key in self.unused if not isinstance(self.tensors[key], InertObject))
        trained = [key for key in left if TRAINED.search(key.rpartition(".")[2])]
        if trained:
            raise SemanifoldError(
                f"The {self.layout} {self.kind} holds tensors that belong to no {self.kind}: {first_keys(map(shown, trained))}."
            )
        if left:
            say(f"left out {first_keys(map(shown, left))}, which belong to no {self.kind}")


def assembled(make: Callable[[], Made], state: Mapping[str, Tensor], kind: str) -> Made:
    """Make the frozen generator of a state dict in our own layout, without drawing random weights first.

    Args:
        make: makes the generator with any weights; called on the meta device, where that costs nothing.
        state: its weights; they are taken over, not copied.
        kind: the architecture, for the messages.

    Raises:
        SemanifoldError: naming the tensors that are missing, left over or of the wrong shape.
    """
    try:
        with torch.device("meta"):
            made = make()
    except ArithmeticError as error:  # sizes that a file claims are divided by
        raise SemanifoldError(f"There is no {kind} of the sizes that this file claims; get a fresh copy.") from error
    expected = {key: tuple(value.shape) for key, value in made.state_dict().items()}
    missing, extra = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    wrong = [k for k, shape in expected.items() if k in state and tuple(state[k].shape) != shape]
    for keys, problem in ((missing, "lack"), (extra, "should not hold")):
        if keys:
            raise SemanifoldError(
                f"The weights {problem} {first_keys(map(shown, keys))}; they do not belong to this {kind} configuration."
            )
    if wrong:
        raise SemanifoldError(f"{wrong[0]} has shape {tuple(state[wrong[0]].shape)}, but {expected[wrong[0]]} is expected.")
    made.load_state_dict(dict(state), assign=True)
    made.freeze()
    return made


def first_keys(keys: Iterable[str]) -> str:
    """Name the first three, and say how many more there are."""
    every = list(keys)
    return ", ".join(every[:3]) + (f" and {len(every) - 3} more" if len(every) > 3 else "")
