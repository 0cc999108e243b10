"""The bundled world, faces that are rendered from named factors, as other rooms ask for it; needs no torch by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semanifold.core.world import World
from semanifold.worlds.faces.names import LABELS, MASK_REGIONS

if TYPE_CHECKING:
    from torch import Tensor

    from semanifold.core.latents import Latents
    from semanifold.generators.base import Generator
    from semanifold.images.masks import Regions

WEIGHTS = Path(__file__).with_name("weights")


class Faces(World):
    """See :class:`~semanifold.core.world.World`."""

    name = "faces"
    regions = MASK_REGIONS
    labels = LABELS
    generators: Mapping[str, Path | None] = {
        "faces": WEIGHTS / "faces64.safetensors",
        "analytic": None,
        "facemaps": WEIGHTS / "facemaps64.safetensors",
    }
    encoders: Mapping[str, Path] = {"774e8664b4613bdb": WEIGHTS / "encoder64.safetensors"}
    fingerprints = frozenset({"774e8664b4613bdb", "043235c345a259a4"})

    def formula(self, name: str) -> Generator:
        """See :meth:`World.formula`."""
        from semanifold.worlds.faces.analytic import AnalyticFaces  # noqa: PLC0415  (brings torch)

        return AnalyticFaces()

    def maps(self) -> Any:
        """See :meth:`World.maps`."""
        from semanifold.worlds.faces.label_maps import FaceMaps  # noqa: PLC0415  (brings torch)

        return FaceMaps()

    def masks(self, generator: Generator, code: Latents | None) -> Regions:
        """See :meth:`World.masks`."""
        from semanifold.worlds.faces.reading import regions_of  # noqa: PLC0415  (brings torch)

        return regions_of(generator, code)

    def features(self, images: Tensor) -> Sequence[Tensor]:
        """See :meth:`World.features`; those of the attribute network."""
        from semanifold.worlds.faces.attribute_network import attribute_network  # noqa: PLC0415  (brings torch)

        return attribute_network(str(images.device), images.dtype).features(images)


FACES = Faces()
