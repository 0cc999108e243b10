"""What is said of a network that can be loaded: how to know it by its keys, translate its files, make it, and write it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from semanifold.generators.states import Say

LARGEST = 4096
"""Pixels a side of the pictures of a file's generator; known ones have 2,048. A small layer more may double them."""

State = dict[str, Tensor]
Written = tuple[State, dict[str, object]]
"""The tensors of a network in the layout of another program, and what its files hold beside them."""


@dataclass(frozen=True, eq=False)
class ForeignState:
    """What a file holds, for the translation.

    Attributes:
        layout: short name of the layout of the state.
        state: tensors by name, and objects that semanifold does not know.
        latent_avg: mean w beside them.
        settings: what the file says about the network, by path.
        folder: folder of the file.
        say: gets what was drawn, estimated or left out.
    """

    layout: str
    state: State
    latent_avg: Tensor | None
    settings: Mapping[str, object]
    folder: Path
    say: Say


def sizes_in(config: Any) -> int:
    """Return the number of layers of a configuration that lists their channels."""
    return len(config.channels)


@dataclass(frozen=True)
class Architecture:
    """A network that can be loaded.

    Attributes:
        name: what the headers of our own files call it.
        kind: what people call it.
        title: the same with its article.
        layouts: whose code writes files of it, by the short name of the layout.
        mark: pattern of keys that every file of it has; what lies before one of them in a file lies before all keys.
        recognise: names the layout of a state dict by its keys, or returns None.
        translate: turns a foreign state dict of one of these layouts into configuration and state of ours.
        config: class of its configuration.
        make: its class, which takes the configuration, ``name``, ``source`` and ``licence``.
        depth: number of layers that a configuration asks for; a network has at least as many tensors.
        writers: what makes the file of another program, by the short name of its layout.
        published: the ``gan_type`` under which WarpedGANSpace's programs know such a generator, if they do.
    """

    name: str
    kind: str
    title: str
    layouts: Mapping[str, str]
    mark: str
    recognise: Callable[[Mapping[str, object]], str | None]
    translate: Callable[[ForeignState], tuple[Any, State]]
    config: type[Any]
    make: type[Any]
    depth: Callable[[Any], int] = sizes_in
    writers: Mapping[str, Callable[[Any, Say], Written]] = field(default_factory=dict)
    published: Callable[[Any], str | None] = lambda _: None


def by_key(layout: str, mark: re.Pattern[str]) -> Callable[[Mapping[str, object]], str | None]:
    """Recognise the only layout of an architecture by one key."""
    return lambda state: layout if any(mark.fullmatch(key) for key in state) else None
