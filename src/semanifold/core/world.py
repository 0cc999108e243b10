"""Worlds: pictures of which somebody knows how they are made, so that their parts have names and their factors can be read.

A generator shows a world if its weights are among those that the world knows. Rooms below ask a world by this interface, and
never import one: each is named here, and imported when it is first asked for. None of this needs torch.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from semanifold.core.latents import Latents
    from semanifold.generators.base import Generator
    from semanifold.images.masks import Regions

PLACES = ("semanifold.worlds.faces.world:FACES",)
"""Where the worlds that come with the package are defined."""


class World(ABC):
    """What is known of pictures beside the pictures.

    Attributes:
        name: of the world.
        regions: names of the parts of a picture that have a mask.
        labels: names of the parts in a label map, in the order of their numbers; empty if there are no such maps.
        encoders: files of the encoders that come with the package, by the generator's fingerprint.
        generators: files of the weights that come with the package, by the generator's name; None for one that is a formula.
        fingerprints: of the weights that show this world.
    """

    name: str
    regions: tuple[str, ...]
    labels: tuple[str, ...]
    generators: Mapping[str, Path | None]
    encoders: Mapping[str, Path]
    fingerprints: frozenset[str]

    def __reduce__(self) -> tuple[object, ...]:
        """Copies and pickles of a generator show the same world."""
        return _world, (self.name,)

    @abstractmethod
    def formula(self, name: str) -> Generator:
        """Return the generator of a name that has no file."""

    @abstractmethod
    def maps(self) -> Any:
        """Return the label maps of all seeds, to be the inputs of a generator that makes pictures of maps."""

    @abstractmethod
    def masks(self, generator: Generator, code: Latents | None) -> Regions:
        """Return the function that finds the mask of a region by its name on one picture; without a code it refuses."""

    @abstractmethod
    def features(self, images: Tensor) -> Sequence[Tensor]:
        """Return feature maps ``[n, c_l, h_l, w_l]`` of pictures of this world, for a distance."""


@cache
def worlds() -> Mapping[str, World]:
    """Return all worlds by their names."""
    every = [getattr(importlib.import_module(module), name) for module, _, name in (place.partition(":") for place in PLACES)]
    return {world.name: world for world in every}


def _world(name: str) -> World:
    return worlds()[name]


def world_of(fingerprint: str) -> World | None:
    """Return the world that weights show, if any."""
    return next((world for world in worlds().values() if fingerprint in world.fingerprints), None)


@cache
def bundled() -> Mapping[str, World]:
    """Return the worlds of the generators that come with the package, by the generators' names."""
    return {name: world for world in worlds().values() for name in world.generators}
