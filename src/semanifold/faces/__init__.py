"""The bundled world: faces rendered from named factors, and an exact generator made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semanifold.lazy import lazy_exports

if TYPE_CHECKING:
    from semanifold.faces.analytic import LATENT_SIZE as LATENT_SIZE
    from semanifold.faces.analytic import AnalyticFaces as AnalyticFaces
    from semanifold.faces.analytic import factors_from_latents as factors_from_latents
    from semanifold.faces.factors import FACTORS as FACTORS
    from semanifold.faces.factors import REGIONS as REGIONS
    from semanifold.faces.factors import Factor as Factor
    from semanifold.faces.factors import factor_index as factor_index
    from semanifold.faces.factors import factor_names as factor_names
    from semanifold.faces.factors import factors_of as factors_of
    from semanifold.faces.factors import likeable_face as likeable_face
    from semanifold.faces.names import MASK_REGIONS as MASK_REGIONS
    from semanifold.faces.regions import region_mask as region_mask
    from semanifold.faces.renderer import render as render

_HOMES = {
    "analytic": ("LATENT_SIZE", "AnalyticFaces", "factors_from_latents"),
    "factors": ("FACTORS", "REGIONS", "Factor", "factor_index", "factor_names", "factors_of", "likeable_face"),
    "names": ("MASK_REGIONS",),
    "regions": ("region_mask",),
    "renderer": ("render",),
}
__getattr__ = lazy_exports(__name__, _HOMES)
