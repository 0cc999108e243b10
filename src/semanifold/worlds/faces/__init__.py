"""The bundled world: faces rendered from named factors, and an exact generator made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semanifold.core.lazy import lazy_exports

if TYPE_CHECKING:
    from semanifold.worlds.faces.analytic import LATENT_SIZE as LATENT_SIZE
    from semanifold.worlds.faces.analytic import AnalyticFaces as AnalyticFaces
    from semanifold.worlds.faces.analytic import factors_from_latents as factors_from_latents
    from semanifold.worlds.faces.factors import FACTORS as FACTORS
    from semanifold.worlds.faces.factors import REGIONS as REGIONS
    from semanifold.worlds.faces.factors import Factor as Factor
    from semanifold.worlds.faces.factors import factor_index as factor_index
    from semanifold.worlds.faces.factors import factor_names as factor_names
    from semanifold.worlds.faces.factors import factors_of as factors_of
    from semanifold.worlds.faces.factors import likeable_face as likeable_face
    from semanifold.worlds.faces.names import MASK_REGIONS as MASK_REGIONS
    from semanifold.worlds.faces.regions import region_mask as region_mask
    from semanifold.worlds.faces.renderer import render as render

_HOMES = {
    "analytic": ("LATENT_SIZE", "AnalyticFaces", "factors_from_latents"),
    "factors": ("FACTORS", "REGIONS", "Factor", "factor_index", "factor_names", "factors_of", "likeable_face"),
    "names": ("MASK_REGIONS",),
    "regions": ("region_mask",),
    "renderer": ("render",),
}
__getattr__ = lazy_exports(__name__, _HOMES)
