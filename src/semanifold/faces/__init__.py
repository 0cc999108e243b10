"""The bundled world: faces rendered from named factors, and an exact generator made of them."""

from semanifold.faces.analytic import LATENT_SIZE, AnalyticFaces, factors_from_latents
from semanifold.faces.factors import FACTORS, REGIONS, Factor, factor_index, factor_names, factors_of, likeable_face
from semanifold.faces.regions import MASK_REGIONS, region_mask
from semanifold.faces.renderer import render

__all__ = [
    "FACTORS",
    "LATENT_SIZE",
    "MASK_REGIONS",
    "REGIONS",
    "AnalyticFaces",
    "Factor",
    "factor_index",
    "factor_names",
    "factors_from_latents",
    "factors_of",
    "likeable_face",
    "region_mask",
    "render",
]
